//! The scenario is what it says it is: the data, the rotation, and a training whose bits depend on nothing but its settings.

use lowrank::train::Optimizer;
use lowrank::{Arithmetic, Backend};
use lowrank_demo::{
    Config, Digest, Digit, Error, HIDDEN, INPUTS, Network, TEST_IMAGES, TRAINING_IMAGES, Training, Turns, WEIGHTS,
    test_images, training_images,
};

const OPTIMIZERS: [Optimizer; 4] = [Optimizer::AdamW, Optimizer::Momentum, Optimizer::Sgd, Optimizer::InPlace];

/// A training short enough to be repeated often.
fn short(backend: Backend, optimizer: Optimizer) -> Config {
    Config { epochs: 1, ..Config::new(backend, optimizer) }
}

/// Trains to the end, and hands the training over.
fn with_trained<T>(config: Config, network: Network<'_>, then: impl FnOnce(Training<'_>) -> T) -> T {
    // What was in the memory must not matter.
    let (mut arena, mut order) = (vec![f32::NAN; config.arena_len()], [u16::MAX; TRAINING_IMAGES]);
    let mut training = Training::new(config, network, &mut arena, &mut order).unwrap();
    let mut steps = 0;
    while let Some(report) = training.step().unwrap() {
        steps += 1;
        assert_eq!(report.step, steps);
    }
    assert_eq!(steps, config.steps());
    then(training)
}

fn digest(config: Config) -> Digest {
    with_trained(config, Network::rows(), |training| training.digest())
}

fn input(image: usize, turns: u8) -> [f32; INPUTS] {
    let mut input = [f32::NAN; INPUTS];
    Digit::get(image).unwrap().write(Turns(turns), &mut input);
    input
}

#[test]
fn the_first_image_is_the_zero_of_the_data_set() {
    let expected = [
        [0, 0, 5, 13, 9, 1, 0, 0],
        [0, 0, 13, 15, 10, 15, 5, 0],
        [0, 3, 15, 2, 0, 11, 8, 0],
        [0, 4, 12, 0, 0, 8, 8, 0],
        [0, 5, 8, 0, 0, 9, 8, 0],
        [0, 4, 11, 0, 1, 12, 7, 0],
        [0, 2, 14, 5, 10, 12, 0, 0],
        [0, 0, 6, 13, 10, 0, 0, 0],
    ];
    let digit = Digit::get(0).unwrap();
    assert_eq!(digit.label(), 0);
    assert_eq!([0, 1, 2, 3, 4, 5, 6, 7].map(|row| [0, 1, 2, 3, 4, 5, 6, 7].map(|col| digit.pixel(row, col))), expected);
    assert_eq!(input(0, 0)[2..4], [5.0 / 16.0, 13.0 / 16.0]);
    assert_eq!((digit.pixel(8, 0), digit.pixel(0, 8)), (0, 0));
}

#[test]
fn labels_and_pixels_are_those_of_the_data_set() {
    let (mut counts, mut images, mut ink) = ([0; 10], 0, 0u64);
    while let Some(digit) = Digit::get(images) {
        counts[digit.label() as usize] += 1;
        for i in 0..INPUTS {
            let pixel = digit.pixel(i / 8, i % 8);
            assert!(pixel <= 16, "image {images}: {pixel}");
            ink += u64::from(pixel);
        }
        images += 1;
    }
    // `sklearn.datasets.load_digits()`: `numpy.bincount(target)` and `data.sum()`.
    assert_eq!(counts, [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]);
    assert_eq!((images, ink), (1797, 561_718));
}

#[test]
fn test_and_training_images_share_nothing() {
    let (test, training): (Vec<_>, Vec<_>) = (test_images().collect(), training_images().collect());
    assert_eq!((test.len(), training.len()), (TEST_IMAGES, TRAINING_IMAGES));
    let mut all = [test, training].concat();
    all.sort_unstable();
    assert_eq!(all, (0..1797).collect::<Vec<u16>>());
}

#[test]
fn turns_are_turns() {
    for image in 0..1797 {
        let digit = Digit::get(image).unwrap();
        let (upright, turned) = (input(image, 0), input(image, 1));
        assert_ne!(upright, turned, "image {image}");
        for (i, turned) in turned.into_iter().enumerate() {
            // `numpy.rot90`: what was the right edge becomes the top.
            assert_eq!(turned, f32::from(digit.pixel(i % 8, 7 - i / 8)) / 16.0, "image {image}, pixel {i}");
        }
        let mut reversed = upright;
        reversed.reverse();
        assert_eq!(input(image, 2), reversed, "image {image}");
        assert_eq!(input(image, 4), upright, "image {image}");
        assert_eq!(input(image, 7), input(image, 3), "image {image}");
    }
}

#[test]
fn the_base_reads_upright_digits_only() {
    // As `data/README.md` says: 97.78 % and 10.56 % of 360.
    for backend in Backend::available() {
        assert_eq!(Network::rows().score(backend, Turns::NONE).unwrap().correct, 352, "{backend:?}");
        assert_eq!(Network::rows().score(backend, Turns::QUARTER).unwrap().correct, 38, "{backend:?}");
    }
}

#[test]
fn fnv_has_its_known_answers() {
    assert_eq!(Digest::EMPTY.with_all(&[]), Digest(0xcbf2_9ce4_8422_2325));
    // From the test vectors that its authors publish.
    assert_eq!(Digest::EMPTY.with(f32::from_le_bytes(*b"foob")).to_string(), "dd120e790c2512af");
}

#[test]
fn the_backend_changes_no_bit() {
    for optimizer in OPTIMIZERS {
        for arithmetic in Arithmetic::ALL {
            let expected = digest(short(Backend::SCALAR.with(arithmetic), optimizer));
            let backends: Vec<_> = Backend::available().filter(|b| b.arithmetic() == arithmetic).collect();
            assert!(!backends.is_empty());
            for backend in backends {
                assert_eq!(digest(short(backend, optimizer)), expected, "{optimizer:?} {backend:?}");
            }
        }
    }
}

#[test]
fn the_settings_change_bits() {
    let config = short(Backend::detect(), Optimizer::AdamW);
    let all = [
        config,
        Config { seed: 1, ..config },
        Config { rank: 5, ..config },
        Config { alpha: 8.5, ..config },
        Config { batch: 33, micro_batch: 33, ..config },
        Config { learning_rate: 0.021, ..config },
        Config { max_norm: Some(1.0), ..config },
        Config { optimizer: Optimizer::Sgd, ..config },
        Config { epochs: 2, ..config },
    ]
    .map(digest);
    for (i, one) in all.iter().enumerate() {
        assert!(!all[..i].contains(one), "setting {i} changes nothing");
    }
}

#[test]
fn splitting_the_batch_changes_no_bit() {
    for optimizer in [Optimizer::AdamW, Optimizer::Momentum, Optimizer::Sgd] {
        for backend in Backend::available() {
            let config = short(backend, optimizer);
            let expected = digest(config);
            for micro_batch in [1, 5, 16, 31] {
                let config = Config { micro_batch, ..config };
                assert_eq!(digest(config), expected, "{optimizer:?} {backend:?} {micro_batch}");
            }
        }
    }
}

#[test]
fn packed_weights_change_no_bit() {
    for backend in Backend::available() {
        let config = short(backend, Optimizer::AdamW);
        let mut buffer = vec![f32::NAN; WEIGHTS];
        let packed = Network::packed(backend, &mut buffer).unwrap();
        assert_eq!(packed.digest(), Network::rows().digest());
        assert_eq!(with_trained(config, packed, |training| training.digest()), digest(config), "{backend:?}");
        assert_eq!(packed.digest(), Network::rows().digest(), "the base was written to");
    }
}

#[test]
fn every_seed_adapts_with_every_optimizer() {
    for optimizer in OPTIMIZERS {
        let mut accuracies = String::new();
        for seed in 0..10 {
            let config = Config { seed, ..Config::new(Backend::detect(), optimizer) };
            with_trained(config, Network::rows(), |mut training| {
                let score = training.score(Turns::QUARTER).unwrap();
                accuracies += &format!(" {:.2}", 100.0 * score.accuracy());
                assert!(score.accuracy() >= 0.84, "{optimizer:?}, seed {seed}: {score:?}");

                let mut weights = vec![f32::NAN; WEIGHTS];
                let merged = Network::rows().merged(config.backend, &training.adapters(), &mut weights).unwrap();
                assert_eq!(
                    merged.score(config.backend, Turns::QUARTER),
                    Ok(score),
                    "{optimizer:?}, seed {seed}: merged"
                );
                assert_ne!(merged.digest(), Network::rows().digest());
            });
        }
        println!("{optimizer:?}:{accuracies}");
    }
}

#[test]
fn other_ranks_adapt() {
    for rank in [1, 2, 3, 8, 64] {
        let config = Config { rank, ..Config::new(Backend::detect(), Optimizer::AdamW) };
        let accuracy = with_trained(config, Network::rows(), |mut training| training.score(Turns::QUARTER)).unwrap();
        println!("rank {rank}: {:.2}", 100.0 * accuracy.accuracy());
        // Most images.
        assert!(accuracy.accuracy() > 0.5, "rank {rank}: {accuracy:?}");
    }
}

#[test]
fn a_small_device_is_enough() {
    const TINY: Config = Config { micro_batch: 1, ..Config::new(Backend::BASELINE, Optimizer::Sgd) };
    // Adapter and gradients; between the passes 2·r for each layer; activations of one image.
    assert_eq!(TINY.arena_len(), 2 * 680 + 2 * 2 * 4 + (INPUTS + 2 * (HIDDEN + 10)));
}

#[test]
fn errors_say_what_is_wrong() {
    let config = Config::new(Backend::BASELINE, Optimizer::AdamW);
    let error = |config: Config| config.check().unwrap_err();
    let setting = |name, at_most, got| Error::Setting { name, at_least: 1, at_most, got };
    assert_eq!(error(Config { rank: 0, ..config }), setting("rank", 64, 0));
    assert_eq!(error(Config { rank: 65, ..config }), setting("rank", 64, 65));
    assert_eq!(error(Config { batch: 0, ..config }), setting("batch", TRAINING_IMAGES, 0));
    assert_eq!(error(Config { batch: 1438, ..config }), setting("batch", TRAINING_IMAGES, 1438));
    assert_eq!(error(Config { micro_batch: 0, ..config }), setting("micro_batch", 32, 0));
    assert_eq!(error(Config { micro_batch: 33, ..config }), setting("micro_batch", 32, 33));
    assert_eq!(
        error(Config { micro_batch: 16, ..Config::new(Backend::BASELINE, Optimizer::InPlace) }),
        Error::SplitInPlace { batch: 32, micro_batch: 16 }
    );

    let (mut arena, mut order) = (vec![0.0; config.arena_len() + 1], [0; TRAINING_IMAGES]);
    let (expected, got) = (config.arena_len(), arena.len());
    let too_long = Training::new(config, Network::rows(), &mut arena, &mut order).unwrap_err();
    assert_eq!(too_long, lowrank::Error::Length { argument: lowrank::Argument::Arena, expected, got }.into());
    let mut short = [0.0; WEIGHTS - 1];
    assert_eq!(
        Network::packed(Backend::BASELINE, &mut short).unwrap_err().to_string(),
        "Packed: expected 3552 elements, got 3551"
    );
}
