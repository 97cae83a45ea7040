//! Functions of numbers, and settings: what they give at their edges.

use crate::support::{mat, mat_mut};
use lowrank::train::{AdamW, Decay, InPlace, MeanLoss, Optimizer, Plan, Schedule, Sgd, Trained, Work, init};
use lowrank::{Argument, Backend, Dropout, Error, MatMut, MatRef, Shape};

/// Warm-up, total, step, and the factors of `get_linear_schedule_with_warmup`, `get_cosine_schedule_with_warmup` and
/// `get_constant_schedule_with_warmup`, as Transformers 5.24.0 computes them in binary64.
#[rustfmt::skip]
const TRANSFORMERS: [(u32, u32, u32, [f64; 3]); 45] = [
    (0, 10, 0, [1.0, 1.0, 1.0]),
    (0, 10, 1, [0.9, 0.9755282581475768, 1.0]),
    (0, 10, 2, [0.8, 0.9045084971874737, 1.0]),
    (0, 10, 5, [0.5, 0.5, 1.0]),
    (0, 10, 9, [0.1, 0.024471741852423234, 1.0]),
    (0, 10, 10, [0.0, 0.0, 1.0]),
    (0, 10, 11, [0.0, 0.024471741852423234, 1.0]),
    (0, 10, 20, [0.0, 1.0, 1.0]),
    (3, 10, 0, [0.0, 0.0, 0.0]),
    (3, 10, 1, [0.3333333333333333, 0.3333333333333333, 0.3333333333333333]),
    (3, 10, 2, [0.6666666666666666, 0.6666666666666666, 0.6666666666666666]),
    (3, 10, 3, [1.0, 1.0, 1.0]),
    (3, 10, 4, [0.8571428571428571, 0.9504844339512095, 1.0]),
    (3, 10, 6, [0.5714285714285714, 0.6112604669781572, 1.0]),
    (3, 10, 9, [0.14285714285714285, 0.04951556604879048, 1.0]),
    (3, 10, 10, [0.0, 0.0, 1.0]),
    (3, 10, 11, [0.0, 0.04951556604879043, 1.0]),
    (3, 10, 17, [0.0, 1.0, 1.0]),
    (10, 110, 0, [0.0, 0.0, 0.0]),
    (10, 110, 1, [0.1, 0.1, 0.1]),
    (10, 110, 2, [0.2, 0.2, 0.2]),
    (10, 110, 10, [1.0, 1.0, 1.0]),
    (10, 110, 11, [0.99, 0.9997532801828658, 1.0]),
    (10, 110, 60, [0.5, 0.5, 1.0]),
    (10, 110, 109, [0.01, 0.0002467198171342, 1.0]),
    (10, 110, 110, [0.0, 0.0, 1.0]),
    (10, 110, 111, [0.0, 0.0002467198171342, 1.0]),
    (10, 110, 210, [0.0, 1.0, 1.0]),
    (4, 4, 0, [0.0, 0.0, 0.0]),
    (4, 4, 1, [0.25, 0.25, 0.25]),
    (4, 4, 2, [0.5, 0.5, 0.5]),
    (4, 4, 3, [0.75, 0.75, 0.75]),
    (4, 4, 4, [0.0, 1.0, 1.0]),
    (4, 4, 5, [0.0, 0.0, 1.0]),
    (10, 3, 0, [0.0, 0.0, 0.0]),
    (10, 3, 1, [0.1, 0.1, 0.1]),
    (10, 3, 2, [0.2, 0.2, 0.2]),
    (10, 3, 3, [0.3, 0.3, 0.3]),
    (10, 3, 4, [0.4, 0.4, 0.4]),
    (10, 3, 6, [0.6, 0.6, 0.6]),
    (10, 3, 10, [0.0, 1.0, 1.0]),
    (10, 3, 11, [0.0, 0.0, 1.0]),
    (0, 0, 0, [0.0, 1.0, 1.0]),
    (0, 0, 1, [0.0, 0.0, 1.0]),
    (0, 0, 2, [0.0, 1.0, 1.0]),
];

/// The factors of Transformers, to the rounding of a step's part of the whole (2⁻²⁵, of which the cosine makes π/2 times as much),
/// the error of our cosine (half of 1.2e-7), and a last rounding. Where its cosine rises again, or jumps, ours is 0.
#[test]
fn schedules_are_those_of_transformers_but_where_its_cosine_comes_back() {
    let (mut same, mut others) = (0, 0);
    for (warmup, total, step, factors) in TRANSFORMERS {
        for (decay, due) in [Decay::Linear, Decay::Cosine, Decay::Constant].into_iter().zip(factors) {
            let factor = Schedule { warmup, total, decay }.factor(step);
            if decay == Decay::Cosine && step >= warmup && (step > total || total <= warmup) {
                assert_eq!(factor, 0.0, "{warmup} {total} {step}");
                others += usize::from(due != 0.0);
                continue;
            }
            let error = (f64::from(factor) - due).abs();
            let bound = 2f64.powi(-25) * (1.0 + std::f64::consts::FRAC_PI_2) + 0.6e-7;
            assert!(error <= bound, "{decay:?} {warmup} {total} {step}: {factor}, not {due}");
            same += 1;
        }
    }
    assert!(same > 100 && others > 5, "{same} {others}");
    // The last step that there is.
    let long = Schedule { warmup: 0, total: u32::MAX, decay: Decay::Linear };
    assert_eq!([long.factor(0), long.factor(u32::MAX)], [1.0, 0.0]);
}

/// Nothing has a loss of 0 and no gradient: neither NaN nor an infinity.
#[test]
fn the_loss_of_nothing_is_zero() {
    for (tokens, n, outputs) in [(0, 0, 0), (0, 0, 3), (2, 0, 3), (1, 1, 0), (2, 1, 0), (3, 3, 0)] {
        let empty = mat(&[], n, outputs);
        let mut loss = MeanLoss::over(tokens);
        assert_eq!(loss.value(), 0.0);
        assert_eq!(loss.mean_squared_error(empty, empty, mat_mut(&mut [], n, outputs)), Ok(()));
        assert_eq!((loss.value(), loss.sum, loss.seen), (0.0, 0.0, n), "{tokens} {n} {outputs}");
        // And it does not spoil what comes after it.
        if n < tokens {
            let (one, mut grad) = ([[3.0f32]], [[0.0]]);
            let (prediction, target) = (MatRef::from_rows(&one), MatRef::from_rows(&[[1.0]]));
            loss.mean_squared_error(prediction, target, MatMut::from_rows(&mut grad)).unwrap();
            assert_eq!((loss.value(), grad), (4.0 / tokens as f32, [[4.0 / tokens as f32]]));
        }
    }
    let mut loss = MeanLoss::over(0);
    assert_eq!(loss.softmax_cross_entropy(mat(&[], 0, 3), &[], mat_mut(&mut [], 0, 3)), Ok(()));
    assert_eq!(loss.value(), 0.0);
    let label = Error::Label { index: 0, classes: 0, got: 0 };
    assert_eq!(MeanLoss::over(1).softmax_cross_entropy(mat(&[], 1, 0), &[0], mat_mut(&mut [], 1, 0)), Err(label));
}

/// A number from 2³⁰ on is no layer's: its random numbers would be those of another one.
#[test]
fn layers_have_numbers_below_two_to_the_thirty() {
    const PLAN: Plan = Plan::training(Shape::new(5, 4, 3), 2, Optimizer::Sgd);
    type Initialise = fn(&mut lowrank::AdapterMut<'_>, u64, u32) -> Result<(), Error>;
    let last = (1 << 30) - 1;
    let refused =
        |got: u32| Err(Error::TooMany { argument: Argument::LayerNumber, at_most: last as usize, got: got as usize });
    for initialise in [init::kaiming_uniform as Initialise, init::gaussian] {
        let of = |layer| {
            let mut arena = [7.0; PLAN.len()];
            let mut work = PLAN.split(&mut arena).unwrap();
            (initialise(&mut work.adapter, 1, layer), arena)
        };
        let (first, other) = (of(0), of(last));
        assert_eq!((first.0, other.0), (Ok(()), Ok(())));
        assert_ne!(first.1, other.1);
        for layer in [1 << 30, 1 << 31, (1 << 31) | 1, u32::MAX] {
            assert_eq!(of(layer), (refused(layer), [7.0; PLAN.len()]), "{layer}");
        }
    }
    let mut arena = [0.0; PLAN.len()];
    let Work { mut saved, .. } = PLAN.split(&mut arena).unwrap();
    for (layer, due) in [(0, Ok(())), (last, Ok(())), (1 << 30, refused(1 << 30)), (u32::MAX, refused(u32::MAX))] {
        assert_eq!(
            saved.set_dropout(Some(Dropout { probability: 0.5, layer_number: layer, ..Dropout::default() })),
            due
        );
    }
}

/// `keeps` compares with `⌊p·2³²⌋`, for every exponent and for what is no probability.
#[test]
fn the_threshold_of_dropout_is_p_times_two_to_the_thirty_two() {
    let due = |p: f32| (p * 4_294_967_296.0) as u32;
    let word = |p: f32| {
        // Of 4096 words, those below the threshold are dropped.
        let words = lowrank::train::Rng { seed: 3, stream: 2, step: 1 };
        let dropout = Dropout { probability: p, seed: 3, step: 1, layer_number: 2, first_token: 0 };
        (0..4096).filter(|&i| dropout.keeps(4096, 0, i) == (words.word(i as u64) >= due(p))).count()
    };
    let of_every_exponent = (0..=0xff).map(|exponent| f32::from_bits(exponent << 23 | 0x00d5_5555));
    let edges = [0.0, -0.0, 0.5, 0.25, 1.0 - f32::EPSILON / 2.0, f32::EPSILON, 1.0, 2.0, -0.5, f32::INFINITY, f32::NAN];
    for p in of_every_exponent.chain(edges) {
        assert_eq!(word(p), 4096, "{p}");
    }
}

#[test]
fn defaults_are_the_constants() {
    assert_eq!(AdamW::default(), AdamW::DEFAULT);
    assert_eq!(Sgd::default(), Sgd::DEFAULT);
    assert_eq!(InPlace::default(), InPlace::DEFAULT);
    assert_eq!(Trained::default(), Trained::DEFAULT);
    assert_eq!(Schedule::default(), Schedule { warmup: 0, total: 0, decay: Decay::Constant });
    assert_eq!([0, 1, u32::MAX].map(|step| Schedule::default().factor(step)), [1.0; 3]);
    assert_eq!(Dropout::default().keep_factor(), 1.0);
}

/// Moments that a first step did not need are zero for a later one, whatever was in the memory.
#[test]
fn another_rule_later_does_not_read_what_nobody_wrote() {
    let plain = Sgd::DEFAULT;
    let heavy = Sgd { momentum: 0.9, ..Sgd::DEFAULT };
    let run = |fill: f32, rules: &[Option<Sgd>]| {
        let plan = Plan::training(Shape::new(5, 4, 3), 2, Optimizer::AdamW);
        let mut arena = vec![fill; plan.len()];
        let Work { mut adapter, mut grads, mut state, .. } = plan.split(&mut arena).unwrap();
        init::gaussian(&mut adapter, 1, 0).unwrap();
        (0..3).for_each(|k| grads.a.as_mut().unwrap().row_mut(k).fill(0.25));
        (0..4).for_each(|o| grads.b.row_mut(o).fill(-0.5));
        for rule in rules {
            match rule {
                Some(sgd) => sgd.step(Backend::BASELINE, &mut adapter, &grads, &mut state).unwrap(),
                None => AdamW::DEFAULT.step(Backend::BASELINE, &mut adapter, &grads, &mut state).unwrap(),
            }
        }
        arena.truncate(plan.adapter_len().unwrap());
        arena
    };
    for rules in
        [[Some(plain), Some(heavy)], [Some(plain), None], [Some(heavy), None], [None, Some(heavy)], [None, Some(plain)]]
    {
        assert_eq!(run(f32::NAN, &rules), run(0.0, &rules), "{rules:?}");
    }
}
