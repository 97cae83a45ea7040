//! Gradients of an adapter.

use super::adapter::finite;
use crate::error::{Argument, Error};
use crate::kernel::raw::Start;
use crate::view::MatMut;

/// Whether a gradient replaces what was in its buffer or is added to it.
///
/// Adding continues the chains: one batch of 128 and 128 batches of one give the same bits.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash)]
pub enum Accum {
    /// The old content is not read.
    Replace,
    /// The chain continues from the old content.
    Add,
}

impl Accum {
    pub(crate) const fn start(self) -> Start<'static> {
        match self {
            Accum::Replace => Start::Zero,
            Accum::Add => Start::Existing,
        }
    }
}

/// Gradients of an adapter, in the caller's memory.
#[derive(Debug)]
pub struct Grads<'a> {
    /// `dA [r, in]`. `None`: `A` is frozen, and the backward pass needs no `X` (L. Zhang et al., "LoRA-FA", 2023).
    pub a: Option<MatMut<'a>>,
    /// `dB [out, r]`.
    pub b: MatMut<'a>,
    /// `db [1, out]`, where the bias is trained.
    pub bias: Option<MatMut<'a>>,
    /// What the next backward pass does with the old content.
    pub accum: Accum,
}

impl Grads<'_> {
    /// # Errors
    /// [`Error::NonFinite`] with the first element that is infinite or NaN.
    pub fn check_finite(&self) -> Result<(), Error> {
        if let Some(a) = &self.a {
            finite(Argument::DA, &a.as_ref())?;
        }
        finite(Argument::DB, &self.b.as_ref())?;
        self.bias.as_ref().map_or(Ok(()), |bias| finite(Argument::DBias, &bias.as_ref()))
    }
}
