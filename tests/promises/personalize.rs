//! The scenario of the demo, whole: every backend gives the same bits, and they are the bits that are written down here.

use lowrank::train::Optimizer;
use lowrank::{Arithmetic, Backend};
use lowrank_demo::{Config, Digest, Network, TRAINING_IMAGES, Training, Turns, WEIGHTS};

use crate::support::backends;

/// Of the default training. Another digest is another result: a new version of the arithmetic contract, or a mistake.
const fn expected(arithmetic: Arithmetic) -> Digest {
    match arithmetic {
        Arithmetic::Separate => Digest(0x413b_7e11_4830_f661),
        Arithmetic::Fused => Digest(0x9225_dbd0_7a60_eb1a),
    }
}

fn adapt(backend: Backend) -> Digest {
    let config = Config::new(backend, Optimizer::AdamW);
    let network = Network::rows();
    let base = network.digest();
    let before = network.score(backend, Turns::QUARTER).unwrap().accuracy();
    assert!(before <= 0.15, "{backend:?}: {before} before");

    let (mut arena, mut order) = (vec![f32::NAN; config.arena_len()], [0; TRAINING_IMAGES]);
    let mut training = Training::new(config, network, &mut arena, &mut order).unwrap();
    while training.step().unwrap().is_some() {}
    let after = training.score(Turns::QUARTER).unwrap();
    assert!(after.accuracy() >= 0.84, "{backend:?}: {after:?}");

    let mut weights = vec![f32::NAN; WEIGHTS];
    let merged = network.merged(backend, &training.adapters(), &mut weights).unwrap();
    assert_eq!(merged.score(backend, Turns::QUARTER), Ok(after), "{backend:?}: merged");
    assert_eq!(network.digest(), base, "{backend:?}: the frozen network has changed");
    training.digest()
}

#[test]
fn every_backend_adapts_to_the_same_bits() {
    for backend in backends() {
        let digest = adapt(backend);
        println!("digest {} {}: {digest}", backend.arithmetic().name(), backend.name());
        assert_eq!(digest, expected(backend.arithmetic()), "{backend:?}");
    }
}
