//! How much memory the training of a layer takes, and who gets which part of it.

use super::state::{State, Trained};
use crate::error::{Argument, Error};
use crate::lora::{Accum, AdapterMut, Grads, Saved, Shape};
use crate::optimizer::Optimizer;
use crate::scratch::{Piece, Scratch, total};

/// The memory that training one layer takes: a constant where shape and tokens are.
///
/// A buffer in a static, which is as long as the constant says, is known to fit when the image is linked. One on the stack is not:
/// on a small board it overflows without a word.
///
/// The code that computes the length is the code that cuts the buffer. For inference there is nothing but the activations:
/// see [`Saved::inference_len`].
///
/// ```
/// use lowrank::{Shape, train::{Optimizer, Plan}};
/// const PLAN: Plan = Plan::training(Shape::new(64, 64, 8), 1, Optimizer::AdamW);
/// // A, B, their gradients and two moments; hs and gs.
/// assert_eq!(PLAN.len(), 4 * 8 * (64 + 64) + 2 * 8);
/// ```
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash)]
pub struct Plan {
    shape: Shape,
    tokens: usize,
    optimizer: Optimizer,
    trained: Trained,
}

/// The parts of a training buffer.
#[derive(Debug)]
pub struct Work<'m> {
    /// The adapter. Its scale is 1 until it is set; `A` and `B` hold what was in the buffer: see [`init`](super::init).
    pub adapter: AdapterMut<'m>,
    /// Gradients that are replaced by each backward pass. All empty with [`Optimizer::InPlace`].
    pub grads: Grads<'m>,
    /// Between forward and backward.
    pub saved: Saved<'m>,
    /// Of the optimizer, before the first step; to resume, set its clock.
    pub state: State<'m>,
}

impl Plan {
    /// Training on up to `tokens` tokens at a time: `A` and `B` trained, the bias frozen.
    pub const fn training(shape: Shape, tokens: usize, optimizer: Optimizer) -> Self {
        Self { shape, tokens, optimizer, trained: Trained::DEFAULT }
    }

    /// The same with other parameters trained.
    #[must_use]
    pub const fn with(self, trained: Trained) -> Self {
        Self { trained, ..self }
    }

    /// Adapter, gradients, saved activations, optimizer state.
    const fn pieces(&self) -> [Piece; 14] {
        let Self { shape, tokens, optimizer, trained } = *self;
        let [_, b, bias] = trained.pieces(shape);
        let a = (shape.rank, shape.inputs);
        let [da, db, dbias] = match optimizer {
            Optimizer::InPlace => [(0, shape.inputs), (0, shape.rank), (0, shape.outputs)],
            _ => trained.pieces(shape),
        };
        let inner = (tokens, shape.rank);
        let [m0, m1, m2, m3, m4, m5] = State::pieces(shape, optimizer, trained);
        [a, b, bias, da, db, dbias, inner, inner, m0, m1, m2, m3, m4, m5]
    }

    /// Elements of the buffer. `None` when that does not fit into memory.
    pub const fn checked_len(&self) -> Option<usize> {
        total(&self.pieces())
    }

    /// Elements of the buffer, `usize::MAX` when that does not fit into memory: no array is that long, and
    /// [`split`](Self::split) returns an error.
    pub const fn len(&self) -> usize {
        match self.checked_len() {
            Some(len) => len,
            None => usize::MAX,
        }
    }

    /// Whether there is nothing to store.
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes of the buffer, saturating.
    pub const fn bytes(&self) -> usize {
        self.len().saturating_mul(size_of::<f32>())
    }

    /// Elements that hold the adapter; then come the gradients, the saved activations and the state.
    pub const fn adapter_len(&self) -> Option<usize> {
        let [a, b, bias, ..] = self.pieces();
        total(&[a, b, bias])
    }

    /// Elements that hold the gradients.
    pub const fn grads_len(&self) -> Option<usize> {
        let [_, _, _, da, db, dbias, ..] = self.pieces();
        total(&[da, db, dbias])
    }

    /// Elements that hold what is saved between forward and backward pass.
    pub const fn saved_len(&self) -> Option<usize> {
        Saved::training_len(self.shape, self.tokens)
    }

    /// Elements that hold the state of the optimizer.
    pub const fn state_len(&self) -> Option<usize> {
        State::len(self.shape, self.optimizer, self.trained)
    }

    /// Sizes of the layer.
    pub const fn shape(&self) -> Shape {
        self.shape
    }

    /// Cuts a buffer of exactly [`len`](Self::len) elements, and writes nothing.
    ///
    /// # Errors
    /// [`Error::Length`] when the buffer is shorter or longer, [`Error::Overflow`] when no buffer could be long enough.
    pub fn split<'m>(&self, arena: &'m mut [f32]) -> Result<Work<'m>, Error> {
        let pieces = self.pieces();
        let mut scratch = Scratch::new(Argument::Arena, arena, &pieces)?;
        let [a, b, bias, da, db, dbias, hs, gs, m0, m1, m2, m3, m4, m5] = pieces;
        let adapter = AdapterMut {
            a: scratch.take(a),
            b: scratch.take(b),
            bias: optional(&mut scratch, bias, self.trained.bias),
            scale: 1.0,
        };
        let in_place = self.optimizer == Optimizer::InPlace;
        let grads = Grads {
            a: optional(&mut scratch, da, self.trained.a && !in_place),
            b: scratch.take(db),
            bias: optional(&mut scratch, dbias, self.trained.bias && !in_place),
            accum: Accum::Replace,
        };
        let saved = Saved::from_pieces(scratch.take(hs), scratch.take(gs), self.shape);
        let state = State::take(&mut scratch, [m0, m1, m2, m3, m4, m5]);
        Ok(Work { adapter, grads, saved, state })
    }
}

fn optional<'m>(scratch: &mut Scratch<'m>, piece: Piece, wanted: bool) -> Option<crate::view::MatMut<'m>> {
    let matrix = scratch.take(piece);
    wanted.then_some(matrix)
}
