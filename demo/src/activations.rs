//! Images on their way through the network, and their gradients on the way back.

use lowrank::arena::Cutter;
use lowrank::{MatMut, MatRef};

use crate::{CLASSES, Digit, HIDDEN, INPUTS, Turns};

/// Rows of a micro-batch, each as wide as its layer.
#[derive(Debug)]
pub(crate) struct Activations<'m> {
    /// Input `X [n, 64]`.
    pub x: &'m mut [f32],
    /// `relu` of the hidden layer, `[n, 48]`.
    pub hidden: &'m mut [f32],
    /// Output `[n, 10]`.
    pub logits: &'m mut [f32],
    /// Gradient with respect to `logits`.
    pub d_logits: &'m mut [f32],
    /// Gradient with respect to `hidden`, then to what went into the `relu`.
    pub d_hidden: &'m mut [f32],
}

impl<'m> Activations<'m> {
    /// Elements for `images` images.
    pub(crate) const fn len(images: usize) -> usize {
        images.saturating_mul(INPUTS + 2 * (HIDDEN + CLASSES))
    }

    /// Cuts off [`Activations::len`] elements.
    pub(crate) fn cut(memory: &mut Cutter<'m>, images: usize) -> Result<Self, lowrank::Error> {
        let mut rows = |width: usize| memory.slice(images.saturating_mul(width));
        Ok(Self {
            x: rows(INPUTS)?,
            hidden: rows(HIDDEN)?,
            logits: rows(CLASSES)?,
            d_logits: rows(CLASSES)?,
            d_hidden: rows(HIDDEN)?,
        })
    }

    /// Copies the logits of the first image.
    pub(crate) fn copy_logits(&self, out: &mut [f32; CLASSES]) {
        out.iter_mut().zip(self.logits.iter()).for_each(|(to, &logit)| *to = logit);
    }

    /// Writes images into the rows of `x`.
    pub(crate) fn load(&mut self, images: &[u16], turns: Turns) {
        for (row, &image) in self.x.chunks_exact_mut(INPUTS).zip(images) {
            if let Some(digit) = Digit::get(usize::from(image)) {
                digit.write(turns, row);
            }
        }
    }
}

/// The first `n` rows of a buffer that may hold more.
pub(crate) fn rows(data: &[f32], n: usize, cols: usize) -> Result<MatRef<'_>, lowrank::Error> {
    MatRef::with_stride(data, n, cols, cols)
}

/// As [`rows`], to write.
pub(crate) fn rows_mut(data: &mut [f32], n: usize, cols: usize) -> Result<MatMut<'_>, lowrank::Error> {
    MatMut::with_stride(data, n, cols, cols)
}
