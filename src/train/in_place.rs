//! SGD that updates the parameters while it forms the gradients. It has neither gradient buffers nor a state.

use super::clip;
use super::range::in_range;
use crate::error::{Argument, Error};
use crate::lora::{AdapterMut, Backprop, Saved, descend, finite, inner_grad, input_grad, prepare, square_sum};
use crate::simd::Backend;
use crate::weight::Base;

/// Plain SGD that applies each gradient as it is formed. A training takes the memory of the adapter and `2·n·r` numbers.
///
/// First `gs` is formed, and `dX` if it is wanted, from the old `A` and `B`. Then the chains of the parameters go on, where `η` is the
/// learning rate times the clipping factor:
///
/// ```text
/// B[o,k] continued by chain_t dY[t,o]·rn(-η_B·hs[t,k])
/// A[k,i] continued by chain_t rn(-η·gs[t,k])·X̃[t,i]
/// ```
#[derive(Copy, Clone, Debug, PartialEq)]
pub struct InPlace {
    /// The learning rate is at least 0.
    pub learning_rate: f32,
    /// `B` learns faster by this factor, which is at least 0. LoRA+ takes about 16.
    pub b_rate: f32,
    /// The norm of the layer's gradient is clipped to this maximum, as [`clip::factor`] says. It is computed beforehand and not stored, so
    /// that the gradients are formed twice.
    pub max_norm: Option<f32>,
}

impl Default for InPlace {
    fn default() -> Self {
        Self::DEFAULT
    }
}

impl InPlace {
    /// The default is `learning_rate: 1e-3` without clipping.
    pub const DEFAULT: InPlace = InPlace { learning_rate: 1e-3, b_rate: 1.0, max_norm: None };

    /// Runs a backward pass and a step in one, after a [`forward`](crate::forward) with this `saved`. `flow.x` is left out where `A`
    /// is frozen. A trained bias is refused.
    ///
    /// # Errors
    /// As [`backward`](crate::backward); [`Error::Range`] for a hyper-parameter; [`Error::Unexpected`] when the adapter has
    /// a bias; [`Error::NonFinite`] when `dY` is not finite or, with `max_norm`, when the norm is not. Nothing is written then but
    /// `gs` in `saved`, which is then as after the forward pass.
    pub fn step(
        &self,
        backend: Backend,
        base: &Base<'_>,
        adapter: &mut AdapterMut<'_>,
        flow: Backprop<'_>,
        saved: &mut Saved<'_>,
    ) -> Result<(), Error> {
        in_range(Argument::LearningRate, self.learning_rate, f32::MAX)?;
        in_range(Argument::LearningRate, self.learning_rate * self.b_rate, f32::MAX)?;
        in_range(Argument::MaxNorm, self.max_norm.unwrap_or(0.0), f32::MAX)?;
        if adapter.bias.is_some() {
            return Err(Error::Unexpected { argument: Argument::Bias });
        }
        prepare(base, &adapter.as_ref(), &flow, saved)?;
        let shape = adapter.as_ref().shape();
        finite(Argument::DY, &flow.dy)?;
        let Backprop { x, dy, mut dx } = flow;
        let present = !adapter.as_ref().is_absent();
        let mut factor = 1.0;
        if present {
            inner_grad(backend, &adapter.as_ref(), &dy, saved);
            if let Some(max_norm) = self.max_norm {
                factor = clip::factor(square_sum(backend, shape, saved, (&x, &dy)), max_norm)?;
            }
        }
        if let Some(dx) = &mut dx {
            input_grad(backend, base, &adapter.as_ref(), (&dy, saved), dx);
        }
        if present {
            let rates = (-(self.learning_rate * factor), -(self.learning_rate * self.b_rate * factor));
            descend(backend, saved, (&x, &dy), rates, adapter);
        }
        saved.batch = None;
        Ok(())
    }
}
