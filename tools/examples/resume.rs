//! Goes on with the training of a layer: adapter and optimizer come from an adapter file, and go into another one.
//!
//! ```text
//! resume FILE DATA STEPS LEARNING_RATE OUT
//! ```
//!
//! `DATA` is a safetensors file of F32 tensors: the frozen `W [out, in]` and `b [out]`, and batches `X [m, n, in]` with
//! targets `T [m, n, out]`. Step `t`, counted from 1 over all runs, takes batch `(t - 1) % m`. The loss is the mean
//! squared error.

use std::error::Error;

use lowrank::format::{AdapterFile, Contents, Entry, Training};
use lowrank::train::{AdamW, MeanLoss, Optimizer, Plan, Work};
use lowrank::{Backend, Backprop, Base, MatMut, MatRef, Shape, backward, forward};
use safetensors::SafeTensors;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [file, data, steps, rate, out] = arguments.as_slice() else {
        return Err("expected FILE DATA STEPS LEARNING_RATE OUT".into());
    };
    let bytes = std::fs::read(file)?;
    let file = AdapterFile::parse(&bytes)?;
    let entry = file.entries().next().ok_or("the file has no layer")?;
    let training = entry.training.ok_or("the layer has no state of an optimizer")?;

    let plan = Plan::training(entry.shape(), Data::TOKENS_AT_MOST, Optimizer::AdamW).with(training.trained);
    let mut arena = vec![0.0; plan.len()];
    let mut work = plan.split(&mut arena)?;
    entry.load(&mut work.adapter)?;
    training.restore(&mut work.state)?;

    let data = Data::read(&std::fs::read(data)?, entry.shape())?;
    let adamw = AdamW { learning_rate: rate.parse()?, ..AdamW::DEFAULT };
    for _ in 0..steps.parse::<u32>()? {
        data.step(&mut work, &adamw)?;
    }

    let entry = Entry {
        scale: entry.scale,
        fan_in_fan_out: entry.fan_in_fan_out,
        training: Some(Training::of(&work.state, Optimizer::AdamW, training.trained)),
        random: entry.random,
        ..Entry::of(entry.name, &work.adapter.as_ref())
    };
    let contents = Contents {
        entries: &[entry],
        metadata: file.metadata(),
        fingerprint: file.fingerprint(),
        generation: file.generation().wrapping_add(1),
    };
    let mut bytes = vec![0; contents.encoded_len()?];
    contents.emit(&mut bytes)?;
    Ok(std::fs::write(out, bytes)?)
}

/// The frozen layer and the batches.
struct Data {
    shape: Shape,
    tokens: usize,
    w: Vec<f32>,
    b: Vec<f32>,
    x: Vec<f32>,
    targets: Vec<f32>,
}

impl Data {
    const TOKENS_AT_MOST: usize = 64;

    fn read(bytes: &[u8], shape: Shape) -> Result<Self, Box<dyn Error>> {
        let file = SafeTensors::deserialize(bytes)?;
        let numbers = |name: &str| -> Result<Vec<f32>, safetensors::SafeTensorError> {
            let (numbers, _) = file.tensor(name)?.data().as_chunks();
            Ok(numbers.iter().map(|&number| f32::from_le_bytes(number)).collect())
        };
        let tokens = *file.tensor("X")?.shape().get(1).ok_or("expected X [m, n, in]")?;
        Ok(Self { shape, tokens, w: numbers("W")?, b: numbers("b")?, x: numbers("X")?, targets: numbers("T")? })
    }

    fn step(&self, work: &mut Work<'_>, adamw: &AdamW) -> Result<(), Box<dyn Error>> {
        let Shape { inputs, outputs, .. } = self.shape;
        let (backend, n) = (Backend::detect(), self.tokens);
        let batches = self.x.len() / (n * inputs);
        let batch = usize::try_from(work.state.clock.steps)? % batches;
        let x = MatRef::new(&self.x[batch * n * inputs..][..n * inputs], n, inputs)?;
        let target = MatRef::new(&self.targets[batch * n * outputs..][..n * outputs], n, outputs)?;
        let base =
            Base { weights: MatRef::new(&self.w, outputs, inputs)?.into(), bias: Some(MatRef::from_row(&self.b)) };

        let (mut y, mut dy) = (vec![0.0; n * outputs], vec![0.0; n * outputs]);
        let y_mut = MatMut::new(&mut y, n, outputs)?;
        forward(backend, &base, &work.adapter.as_ref(), x, y_mut, &mut work.saved)?;
        let mut loss = MeanLoss::over(n);
        loss.mean_squared_error(MatRef::new(&y, n, outputs)?, target, MatMut::new(&mut dy, n, outputs)?)?;
        let flow = Backprop { x: Some(x), dy: MatRef::new(&dy, n, outputs)?, dx: None };
        backward(backend, &base, &work.adapter.as_ref(), flow, &mut work.saved, &mut work.grads)?;
        adamw.step(backend, &mut work.adapter, &work.grads, &mut work.state)?;
        Ok(())
    }
}
