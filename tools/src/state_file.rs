//! The state of PyTorch's AdamW for an adapter, in a safetensors file.
//!
//! For a tensor `T` of the adapter it holds `T.exp_avg` and `T.exp_avg_sq` in the shape of `T`, and `T.step`, one
//! number, all in F32: what `optimizer.state_dict()["state"]` has for that parameter.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use lowrank::format::{Entry, Tensor, Training};
use lowrank::train::{Clock, Optimizer, Trained};
use safetensors::tensor::{Dtype, Metadata, TensorInfo};

use crate::error::Failure;
use crate::mistake::Mistake;
use crate::peft::{ParameterNames, parameter_names};
use crate::source::Kind;
use crate::tensor_file;

const LONGEST_HEADER: u64 = 16 << 20;

/// The file, and how far its layers have come.
pub(crate) struct StateFile<'a> {
    path: PathBuf,
    metadata: Metadata,
    data: &'a [u8],
    betas: [f64; 2],
}

impl<'a> StateFile<'a> {
    pub(crate) fn parse(path: &Path, bytes: &'a [u8], betas: [f64; 2]) -> Result<Self, Failure> {
        if Kind::of(bytes) == Kind::Torch {
            return Err(Mistake::TorchState { path: path.to_owned() }.into());
        }
        let other = |what| {
            let expected = "T.exp_avg, T.exp_avg_sq and T.step for the tensors T of the adapter";
            let hint = "; \"From PEFT into flash\" in README.md has the three lines of Python that export it";
            Err(Mistake::Kind { path: path.to_owned(), what, expected, hint }.into())
        };
        if Kind::of(bytes) == Kind::Adapter {
            return other("this is an adapter file and no optimizer state");
        }
        let flaw = |source| Failure::TensorFile { path: path.to_owned(), source };
        let (metadata, data) = tensor_file::parse(bytes, LONGEST_HEADER).map_err(flaw)?;
        let parts = [".exp_avg", ".exp_avg_sq", ".step"];
        if !metadata.offset_keys().iter().any(|name| parts.iter().any(|part| name.ends_with(part))) {
            return other("this is no optimizer state");
        }
        Ok(Self { path: path.to_owned(), metadata, data, betas })
    }

    /// Gives each layer its state; every tensor of the file has to belong to one.
    pub(crate) fn attach(&self, entries: &mut [Entry<'a>]) -> Result<(), Failure> {
        let mut used = HashSet::new();
        for entry in entries {
            entry.training = Some(self.training(entry, &mut used)?);
        }
        match self.metadata.offset_keys().iter().find(|name| !used.contains(*name)) {
            None => Ok(()),
            Some(other) => Err(self.flaw(other, "belongs to no A, B or bias of the adapter; leave it out".to_owned())),
        }
    }

    /// The state of a layer; adds the names of its tensors to `used`.
    fn training(&self, entry: &Entry<'_>, used: &mut HashSet<String>) -> Result<Training<'a>, Failure> {
        let ParameterNames { a, b, bias } = parameter_names(entry.name);
        let shape = entry.shape();
        let has = |name: &str| self.metadata.info(&format!("{name}.exp_avg")).is_some();
        let trained = Trained { a: has(&a), bias: entry.bias.is_some() && has(&bias) };
        let mut moments = [Tensor::EMPTY; 6];
        let mut steps = None;
        let parameters = [
            (trained.a, a, vec![shape.rank, shape.inputs]),
            (true, b, vec![shape.outputs, shape.rank]),
            (trained.bias, bias, vec![shape.outputs]),
        ];
        for (pair, (_, name, shape)) in moments.chunks_exact_mut(2).zip(&parameters).filter(|(_, (is, ..))| *is) {
            let [first, second, count] = ["exp_avg", "exp_avg_sq", "step"].map(|part| format!("{name}.{part}"));
            pair.copy_from_slice(&[self.moment(&first, shape)?, self.moment(&second, shape)?]);
            let step = self.step(&count)?;
            if *steps.get_or_insert(step) != step {
                let flaw = "expected as many steps as of the other parameters of the layer";
                return Err(self.flaw(&count, flaw.to_owned()));
            }
            used.extend([first, second, count]);
        }
        let clock = clock(steps.unwrap_or(0), self.betas);
        Ok(Training { optimizer: Optimizer::AdamW, trained, clock, moments })
    }

    fn moment(&self, name: &str, shape: &[usize]) -> Result<Tensor<'a>, Failure> {
        let info = self.find(name)?;
        if info.shape != shape {
            return Err(self.flaw(name, format!("expected the shape {shape:?}, got {:?}", info.shape)));
        }
        let (rows, cols) = match *shape {
            [rows, cols] => (rows, cols),
            _ => (1, shape.iter().product()),
        };
        Tensor::from_bytes(lowrank::Dtype::F32, rows, cols, self.bytes(info)).map_err(Failure::Core)
    }

    fn step(&self, name: &str) -> Result<u64, Failure> {
        let info = self.find(name)?;
        let step = self.bytes(info).try_into().map(f32::from_le_bytes).unwrap_or(f32::NAN);
        if step >= 1.0 && step.fract() == 0.0 && step < 16_777_216.0 {
            return Ok(step as u64);
        }
        Err(self.flaw(name, format!("expected one whole number from 1 to below 2^24, got {step}")))
    }

    fn find(&self, name: &str) -> Result<&TensorInfo, Failure> {
        let info = self.metadata.info(name).ok_or_else(|| self.flaw(name, "is missing".to_owned()))?;
        if info.dtype == Dtype::F32 {
            Ok(info)
        } else {
            Err(self.flaw(name, format!("expected F32, got {}", info.dtype)))
        }
    }

    fn bytes(&self, info: &TensorInfo) -> &'a [u8] {
        let (start, end) = info.data_offsets;
        self.data.get(start..end).unwrap_or(&[])
    }

    fn flaw(&self, tensor: &str, flaw: String) -> Failure {
        Failure::State { path: self.path.clone(), tensor: tensor.to_owned(), flaw }
    }
}

/// The clock after so many steps, as [`Clock`] says.
fn clock(steps: u64, betas: [f64; 2]) -> Clock {
    let [weight1, weight2] = betas.map(|beta| {
        let (mut weight, rest) = (0.0f32, (1.0 - beta) as f32);
        for _ in 0..steps {
            let next = beta as f32 * weight + rest;
            // From here on it stays, whatever the number of steps.
            if next.to_bits() == weight.to_bits() {
                break;
            }
            weight = next;
        }
        weight
    });
    Clock { steps, weight1, weight2 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lowrank::train::{AdamW, Beta, Plan};
    use lowrank::{Backend, Shape};

    #[test]
    fn the_clock_is_that_of_the_optimizer() {
        let plan = Plan::training(Shape::new(1, 1, 1), 1, Optimizer::AdamW);
        let mut arena = vec![0.0; plan.len()];
        let mut work = plan.split(&mut arena).unwrap();
        let adamw = AdamW { beta1: Beta::new(0.8), beta2: Beta::new(0.99), ..AdamW::DEFAULT };
        for steps in 1..=100 {
            adamw.step(Backend::BASELINE, &mut work.adapter, &work.grads, &mut work.state).unwrap();
            assert_eq!(clock(steps, [0.8, 0.99]), work.state.clock, "after {steps} steps");
        }
    }
}
