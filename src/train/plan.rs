//! The length of the memory of a layer, and its parts.

use super::state::{State, Trained};
use crate::arena::{Cutter, Piece, total};
use crate::error::{Argument, Error};
use crate::kernel::raw::table::{Checked, Table};
use crate::lora::{Accum, AdapterMut, Grads, OWN, Saved, Shape};
use crate::optimizer::Optimizer;
use crate::view::{expect_len, span};

/// The memory of one layer. Its length is a constant where shape and tokens are constants.
///
/// A static that is as long as the constant says fits when the image links. A buffer on the stack may not: on a small board the stack
/// overflows, and nothing says so.
///
/// The code that computes the length is the code that cuts the buffer. A plan of inference has room for the activations alone, as
/// [`Saved::inference_len`].
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
    /// The adapter is borrowed, and there are no gradients.
    inference: bool,
    /// A bit for each place of [`OWN`] that has a matrix.
    own: u8,
    /// The elements of the buffer; `usize::MAX` when they do not fit into memory. Counted here, as a rule by the compiler.
    len: usize,
}

/// The parts of a training buffer.
#[derive(Debug)]
pub struct Work<'m> {
    /// The adapter has a scale of 1 until it is set. `A` and `B` hold the content of the buffer until [`init`](super::init) writes them.
    pub adapter: AdapterMut<'m>,
    /// Each backward pass replaces the gradients. All are empty with [`Optimizer::InPlace`].
    pub grads: Grads<'m>,
    /// These activations wait between the forward and the backward pass.
    pub saved: Saved<'m>,
    /// The state of the optimizer is the one before the first step. To resume, set its clock.
    pub state: State<'m>,
}

impl Plan {
    /// Plans training on up to `tokens` tokens at a time. `A` and `B` are trained, and the bias is frozen.
    pub const fn training(shape: Shape, tokens: usize, optimizer: Optimizer) -> Self {
        Self { shape, tokens, optimizer, trained: Trained::DEFAULT, inference: false, own: 0, len: 0 }.counted()
    }

    /// Plans inference on up to `tokens` tokens at a time, with an adapter that is borrowed: see [`adapted`](Self::adapted).
    ///
    /// ```
    /// use lowrank::{Plan, Shape};
    /// assert_eq!(Plan::inference(Shape::new(64, 64, 8), 2).len(), 2 * 8); // hs
    /// ```
    pub const fn inference(shape: Shape, tokens: usize) -> Self {
        Self { inference: true, ..Self::training(shape, tokens, Optimizer::InPlace) }.counted()
    }

    /// Returns the plan for other trained parameters.
    #[must_use]
    pub const fn with(self, trained: Trained) -> Self {
        Self { trained, ..self }.counted()
    }

    /// Adapter, gradients, saved activations, optimizer state.
    const fn pieces(&self) -> [Piece; 14] {
        let Self { shape, tokens, optimizer, trained, inference, .. } = *self;
        let [_, b, bias] = trained.pieces(shape);
        let a = (shape.rank, shape.inputs);
        let [da, db, dbias] = match optimizer {
            Optimizer::InPlace => [(0, shape.inputs), (0, shape.rank), (0, shape.outputs)],
            _ => trained.pieces(shape),
        };
        let inner = (tokens, shape.rank);
        if inference {
            let [a, b, bias] = [(0, shape.inputs), (0, shape.rank), (0, shape.outputs)];
            return [a, b, bias, a, b, bias, inner, (0, shape.rank), a, a, b, b, bias, bias];
        }
        let [m0, m1, m2, m3, m4, m5] = State::pieces(shape, optimizer, trained);
        [a, b, bias, da, db, dbias, inner, inner, m0, m1, m2, m3, m4, m5]
    }

    /// The same with the matrices and the elements of its buffer.
    // Not inlined: a plan that is no constant is counted in more than one place.
    #[inline(never)]
    const fn counted(self) -> Self {
        let Self {
            shape: Shape { inputs, outputs, rank },
            tokens,
            optimizer,
            trained: Trained { a, bias },
            inference,
            ..
        } = self;
        let inner = tokens.saturating_mul(rank);
        if inference {
            return Self { own: 0b0100_0000, ..self }.with_len(inner);
        }
        let (a, bias) = (a as u8, bias as u8);
        // A step in place has no gradients, and no moments.
        let (grads, copies) = match optimizer {
            Optimizer::InPlace => (0, 0),
            _ => (a << 3 | 1 << 4 | bias << 5, 1 + optimizer.moments()),
        };
        let own = 0b1100_0011 | bias << 2 | grads;
        let (of_a, of_b) = (rank.saturating_mul(inputs), rank.saturating_mul(outputs));
        let of_bias = outputs.saturating_mul(bias as usize);
        let trained = of_a.saturating_mul(a as usize).saturating_add(of_b).saturating_add(of_bias);
        let adapter = of_a.saturating_add(of_b).saturating_add(of_bias);
        let all = adapter.saturating_add(trained.saturating_mul(copies)).saturating_add(inner.saturating_mul(2));
        Self { own, ..self }.with_len(all)
    }

    const fn with_len(self, len: usize) -> Self {
        Self { len: if span(1, len, len).is_some() { len } else { usize::MAX }, ..self }
    }

    /// Returns the elements of the buffer, and `None` when they do not fit into memory.
    pub const fn checked_len(&self) -> Option<usize> {
        if self.len == usize::MAX { None } else { Some(self.len) }
    }

    /// Returns the elements of the buffer, and `usize::MAX` when they do not fit into memory. No array is that long, and
    /// [`split`](Self::split) returns an error.
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Says whether the buffer has no elements.
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the bytes of the buffer, or `usize::MAX` when there are more.
    pub const fn bytes(&self) -> usize {
        self.len().saturating_mul(size_of::<f32>())
    }

    /// Returns the elements that hold the adapter. The gradients, the saved activations and the state follow it.
    pub const fn adapter_len(&self) -> Option<usize> {
        let [a, b, bias, ..] = self.pieces();
        total(&[a, b, bias])
    }

    /// Returns the elements that hold the gradients.
    pub const fn grads_len(&self) -> Option<usize> {
        let [_, _, _, da, db, dbias, ..] = self.pieces();
        total(&[da, db, dbias])
    }

    /// Returns the elements that hold the activations between the forward and the backward pass.
    pub const fn saved_len(&self) -> Option<usize> {
        if self.inference {
            return Saved::inference_len(self.shape, self.tokens);
        }
        Saved::training_len(self.shape, self.tokens)
    }

    /// Returns the elements that hold the state of the optimizer.
    pub const fn state_len(&self) -> Option<usize> {
        State::len(self.shape, self.optimizer, self.trained)
    }

    pub(super) const fn is_inference(&self) -> bool {
        self.inference
    }

    pub(super) const fn optimizer(&self) -> Optimizer {
        self.optimizer
    }

    pub(super) const fn tokens(&self) -> usize {
        self.tokens
    }

    pub(super) const fn trained(&self) -> Trained {
        self.trained
    }

    /// Returns the shape of the layer.
    pub const fn shape(&self) -> Shape {
        self.shape
    }

    /// Cuts a buffer of exactly [`len`](Self::len) elements into the matrices of a table, and returns the moments behind them. Another
    /// length is noted as an error, if there was none before.
    #[inline(always)]
    pub(super) fn cut<'m>(&self, checked: &mut Checked, table: &mut Table<'m>, arena: &'m mut [f32]) -> &'m mut [f32] {
        let (got, mut rest) = (arena.len(), arena);
        for (i, &place) in OWN.iter().enumerate() {
            if self.own >> i & 1 != 0 {
                table.cut(place, &mut rest);
            }
        }
        if checked.is_ok() {
            *checked = match self.checked_len() {
                Some(expected) => expect_len(Argument::Arena, got, expected),
                None => Err(Error::Overflow { argument: Argument::Arena }),
            };
        }
        rest
    }

    /// Cuts a buffer of exactly [`len`](Self::len) elements, and writes nothing.
    ///
    /// # Errors
    /// [`Error::Length`] when the buffer is shorter or longer, [`Error::Overflow`] when no buffer could be long enough.
    pub fn split<'m>(&self, arena: &'m mut [f32]) -> Result<Work<'m>, Error> {
        let pieces = self.pieces();
        let mut cutter = Cutter::exactly(Argument::Arena, arena, &pieces)?;
        let [a, b, bias, da, db, dbias, hs, gs, m0, m1, m2, m3, m4, m5] = pieces;
        let adapter = AdapterMut {
            a: cutter.take(a),
            b: cutter.take(b),
            bias: optional(&mut cutter, bias, self.trained.bias),
            scale: 1.0,
        };
        let in_place = self.optimizer == Optimizer::InPlace;
        let grads = Grads {
            a: optional(&mut cutter, da, self.trained.a && !in_place),
            b: cutter.take(db),
            bias: optional(&mut cutter, dbias, self.trained.bias && !in_place),
            accum: Accum::Replace,
        };
        let saved = Saved::from_pieces(cutter.take(hs), cutter.take(gs), self.shape);
        let state = State::take(&mut cutter, [m0, m1, m2, m3, m4, m5]);
        Ok(Work { adapter, grads, saved, state })
    }
}

fn optional<'m>(cutter: &mut Cutter<'m>, piece: Piece, wanted: bool) -> Option<crate::view::MatMut<'m>> {
    let matrix = cutter.take(piece);
    wanted.then_some(matrix)
}
