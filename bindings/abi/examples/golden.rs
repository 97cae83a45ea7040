//! The scenario of `bindings/c/tests/golden.c` through the Rust API: prints the digest that the C program has to reach.

use std::error::Error;

use lowrank::format::{Contents, Entry, Fingerprint, RandomState, Training};
use lowrank::train::{AdamW, InPlace, MeanLoss, Optimizer, Plan, Rng, Sgd, Trained, clip, init};
use lowrank::{
    Accum, Arithmetic, Backend, Backprop, Base, Dropout, MatMut, MatRef, Saved, Scale, Shape, backward, forward,
    input_grads, merge_finite, pack, parameter_grads,
};

const SHAPE: Shape = Shape::new(13, 7, 3);
const TOKENS: usize = 4;
const STEPS: u32 = 20;

struct Digest(u64);

impl Digest {
    fn bytes(&mut self, bytes: &[u8]) {
        self.0 = bytes.iter().fold(self.0, |hash, &byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    }

    fn numbers(&mut self, numbers: &[f32]) {
        numbers.iter().for_each(|number| self.bytes(&number.to_le_bytes()));
    }
}

/// Numbers from -1 to 1, exact in few bits.
fn random<const N: usize>(stream: u32) -> [f32; N] {
    let rng = Rng { seed: 1, stream, step: 0 };
    core::array::from_fn(|i| (rng.word(i as u64) >> 16) as f32 / 32768.0 - 1.0)
}

fn train(backend: Backend, optimizer: Optimizer, digest: &mut Digest) -> Result<(), Box<dyn Error>> {
    let (w, bias, x) = (random::<{ 7 * 13 }>(1), random::<7>(2), random::<{ 4 * 13 }>(3));
    let targets = random::<{ 4 * 7 }>(4);
    let (mut packed, mut merged) = ([0.0; 7 * 13], [0.0; 7 * 13]);
    let weights = pack(backend, MatRef::new(&w, 7, 13)?, &mut packed)?;
    let base = Base { weights: weights.into(), bias: Some(MatRef::from_row(&bias)) };
    let x = MatRef::new(&x, TOKENS, 13)?;
    let plan = Plan::training(SHAPE, TOKENS, optimizer);
    let mut arena = vec![0.0; plan.len()];
    let mut work = plan.split(&mut arena)?;
    work.adapter.scale = Scale::RankStabilized(2.0).factor(SHAPE.rank);
    init::kaiming_uniform(&mut work.adapter, 42, 0)?;
    for step in 0..STEPS {
        let (mut y, mut dy, mut dx) = ([0.0; 28], [0.0; 28], [0.0; 52]);
        let dropout = Dropout { probability: 0.25, seed: 9, step, layer_number: 0, first_token: 0 };
        work.saved.set_dropout((step % 2 == 1).then_some(dropout))?;
        forward(backend, &base, &work.adapter.as_ref(), x, MatMut::new(&mut y, 4, 7)?, &mut work.saved)?;
        let mut loss = MeanLoss::over(TOKENS);
        let logits = MatRef::new(&y, 4, 7)?;
        if optimizer == Optimizer::AdamW {
            loss.softmax_cross_entropy(logits, &[0, 3, 6, 1], MatMut::new(&mut dy, 4, 7)?)?;
        } else {
            loss.mean_squared_error(logits, MatRef::new(&targets, 4, 7)?, MatMut::new(&mut dy, 4, 7)?)?;
        }
        digest.numbers(&[loss.value()]);
        let dy = MatRef::new(&dy, 4, 7)?;
        let flow = Backprop { x: Some(x), dy, dx: Some(MatMut::new(&mut dx, 4, 13)?) };
        match optimizer {
            Optimizer::AdamW => {
                backward(backend, &base, &work.adapter.as_ref(), flow, &mut work.saved, &mut work.grads)?;
                AdamW { learning_rate: 0.05, ..AdamW::DEFAULT }.step(
                    backend,
                    &mut work.adapter,
                    &work.grads,
                    &mut work.state,
                )?;
            }
            Optimizer::Momentum => {
                input_grads(backend, &base, &work.adapter.as_ref(), dy, flow.dx, &mut work.saved)?;
                work.grads.accum = if step == 0 { Accum::Replace } else { Accum::Add };
                parameter_grads(backend, Some(x), dy, &work.saved, &mut work.grads.whole())?;
                let factor = clip::factor(clip::square_sum(backend, &work.grads), 0.5)?;
                clip::scale(backend, &mut work.grads, factor);
                let sgd = Sgd { learning_rate: 0.05, momentum: 0.875, nesterov: true, ..Sgd::DEFAULT };
                sgd.step(backend, &mut work.adapter, &work.grads, &mut work.state)?;
            }
            _ => {
                let in_place = InPlace { learning_rate: 0.05, max_norm: Some(0.5), ..InPlace::DEFAULT };
                in_place.step(backend, &base, &mut work.adapter, flow, &mut work.saved)?;
            }
        }
        digest.numbers(&dx);
    }
    merge_finite(backend, &base, &work.adapter.as_ref(), MatMut::new(&mut merged, 7, 13)?)?;
    digest.numbers(&merged);
    let mut memory = [0.0; 12];
    let mut saved = Saved::inference(&mut memory, SHAPE, TOKENS)?;
    let mut y = [0.0; 28];
    forward(backend, &base, &work.adapter.as_ref(), x, MatMut::new(&mut y, 4, 7)?, &mut saved)?;
    digest.numbers(&y);
    let entry = Entry {
        id: 5,
        training: Some(Training::of(&work.state, optimizer, Trained::DEFAULT)),
        random: RandomState { seed: 42, step: STEPS, layer_number: 0, dropout: 0.25 },
        ..Entry::of("layer", &work.adapter.as_ref())
    };
    let fingerprint = Fingerprint::of(&base);
    let contents = Contents { entries: &[entry], metadata: "golden", fingerprint, generation: 3 };
    let mut file = vec![0; contents.encoded_len()?];
    contents.emit(&mut file)?;
    digest.bytes(&file);
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    for arithmetic in Arithmetic::ALL {
        let mut digest = Digest(0xcbf2_9ce4_8422_2325);
        for optimizer in [Optimizer::AdamW, Optimizer::Momentum, Optimizer::InPlace] {
            train(Backend::SCALAR.with(arithmetic), optimizer, &mut digest)?;
        }
        println!("{} {:016x}", arithmetic.name(), digest.0);
    }
    Ok(())
}
