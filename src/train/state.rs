//! The memory of an optimizer between two steps of a layer, in a buffer of the caller.

use crate::arena::{Cutter, Piece, total};
use crate::error::{Argument, Error};
use crate::lora::{Cut, Shape};
use crate::optimizer::Optimizer;
use crate::view::{MatMut, expect_shape};

/// The parameters of a layer that are trained beside `B`.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash)]
pub struct Trained {
    /// `A` is trained. It is frozen in LoRA-FA (L. Zhang et al., "LoRA-FA: Memory-efficient Low-rank Adaptation", 2023).
    pub a: bool,
    /// The bias of the layer is trained, as with `bias="lora_only"` in PEFT.
    pub bias: bool,
}

impl Default for Trained {
    fn default() -> Self {
        Self::DEFAULT
    }
}

impl Trained {
    /// `A` and `B` are trained, and the bias is frozen.
    pub const DEFAULT: Trained = Trained { a: true, bias: false };

    /// Shapes of `A`, `B` and the bias, empty where they are not trained.
    pub(crate) const fn pieces(self, shape: Shape) -> [Piece; 3] {
        [
            (if self.a { shape.rank } else { 0 }, shape.inputs),
            (shape.outputs, shape.rank),
            (if self.bias { 1 } else { 0 }, shape.outputs),
        ]
    }
}

/// The progress of the optimizer of a layer. A program that saves it beside the moments resumes to the same bits.
#[derive(Copy, Clone, Debug, Default, PartialEq)]
#[repr(C)]
pub struct Clock {
    /// The optimizer has taken so many steps. The first step does not read the moments.
    pub steps: u64,
    /// This is `1 - β1ᵗ`, kept as the complement: `c = rn(rn(β·c) + rn(1 - β))`. Subtracting the running product from 1 instead is
    /// up to five times as far from an f64 run as PyTorch's f32 run is, by cancellation.
    pub weight1: f32,
    /// This is `1 - β2ᵗ`, kept in the same way.
    pub weight2: f32,
}

impl Clock {
    /// Refuses weights that no training has after a step: they are from 0 to 1.
    // Of numbers without a sign, the bits have the order of the numbers, and NaN is behind them; a sign is behind NaN.
    #[inline(always)]
    pub(super) const fn check(&self) -> Result<(), Error> {
        let (bits1, bits2) = (self.weight1.to_bits(), self.weight2.to_bits());
        let most = if bits1 > bits2 { bits1 } else { bits2 };
        if most > 1.0_f32.to_bits() {
            let (argument, got) = (Argument::State, f32::from_bits(most));
            return Err(Error::Range { argument, at_least: 0.0, at_most: 1.0, got });
        }
        Ok(())
    }
}

/// The moments of one matrix of parameters. They are empty where the optimizer has none.
#[derive(Debug)]
pub struct Moments<'m> {
    /// The first moment is `exp_avg` of AdamW, and the momentum buffer of SGD.
    pub first: MatMut<'m>,
    /// The second moment is `exp_avg_sq` of AdamW.
    pub second: MatMut<'m>,
}

/// The state of the optimizer of one layer.
#[derive(Debug)]
pub struct State<'m> {
    /// These are the moments of `A [r, in]`.
    pub a: Moments<'m>,
    /// These are the moments of `B [out, r]`.
    pub b: Moments<'m>,
    /// These are the moments of the bias `[1, out]`.
    pub bias: Moments<'m>,
    /// The clock has the steps and the bias corrections.
    pub clock: Clock,
}

impl<'m> State<'m> {
    pub(crate) const fn pieces(shape: Shape, optimizer: Optimizer, trained: Trained) -> [Piece; 6] {
        let [a, b, bias] = trained.pieces(shape);
        let one = optimizer.moments() >= 1;
        let two = optimizer.moments() >= 2;
        [keep(a, one), keep(a, two), keep(b, one), keep(b, two), keep(bias, one), keep(bias, two)]
    }

    /// Returns the elements that [`State::new`] needs, and `None` when they do not fit into memory.
    pub const fn len(shape: Shape, optimizer: Optimizer, trained: Trained) -> Option<usize> {
        total(&Self::pieces(shape, optimizer, trained))
    }

    /// Makes the state before the first step, in the caller's memory. The first step does not read the content of the memory.
    ///
    /// # Errors
    /// [`Error::Length`] when `memory` does not hold exactly [`State::len`] elements, [`Error::Overflow`].
    pub fn new(memory: &'m mut [f32], shape: Shape, optimizer: Optimizer, trained: Trained) -> Result<Self, Error> {
        let pieces = Self::pieces(shape, optimizer, trained);
        Ok(Self::take(&mut Cutter::exactly(Argument::State, memory, &pieces)?, pieces))
    }

    pub(crate) fn take(cutter: &mut Cutter<'m>, pieces: [Piece; 6]) -> Self {
        let [a1, a2, b1, b2, bias1, bias2] = pieces;
        let mut moments = |first, second| Moments { first: cutter.take(first), second: cutter.take(second) };
        Self { a: moments(a1, a2), b: moments(b1, b2), bias: moments(bias1, bias2), clock: Clock::default() }
    }

    /// The optimizer that it has memory for.
    pub(super) fn planned(&self) -> Optimizer {
        let any = |rows: fn(&Moments<'_>) -> usize| [&self.a, &self.b, &self.bias].into_iter().any(|it| rows(it) > 0);
        if any(|it| it.second.rows()) {
            Optimizer::AdamW
        } else if any(|it| it.first.rows()) {
            Optimizer::Momentum
        } else {
            Optimizer::Sgd
        }
    }

    /// Gives all of it as one piece, to be [split](Self::split).
    pub fn whole(&mut self) -> State<'_> {
        State { a: self.a.whole(), b: self.b.whole(), bias: self.bias.whole(), clock: self.clock }
    }

    /// Cuts the state into two pieces, for a step on each: see [`AdapterMut::split`](crate::AdapterMut::split). Each piece has a
    /// clock. When all pieces have made their step, set the clock of the whole to theirs.
    #[must_use]
    pub fn split(self, at: Cut) -> (State<'m>, State<'m>) {
        let Self { a, b, bias, clock } = self;
        let (a, more_a) = a.split(|matrix| matrix.split_rows(at.rank));
        let (b, more_b) = b.split(|matrix| matrix.split_rows(at.output));
        let (bias, more_bias) = bias.split(|matrix| matrix.split_line(at.output));
        (State { a, b, bias, clock }, State { a: more_a, b: more_b, bias: more_bias, clock })
    }
}

const fn keep(piece: Piece, wanted: bool) -> Piece {
    if wanted { piece } else { (0, piece.1) }
}

impl<'m> Moments<'m> {
    fn whole(&mut self) -> Moments<'_> {
        Moments { first: self.first.reborrow(), second: self.second.reborrow() }
    }

    fn split(self, cut: impl Fn(MatMut<'m>) -> (MatMut<'m>, MatMut<'m>)) -> (Moments<'m>, Moments<'m>) {
        let ((first, more_first), (second, more_second)) = (cut(self.first), cut(self.second));
        (Moments { first, second }, Moments { first: more_first, second: more_second })
    }

    /// Zero in the first step, whatever they hold. A step that does not need them clears them, too: a later one may.
    pub(super) fn begin(&mut self, clock: &Clock) {
        if clock.steps == 1 {
            self.first.fill_zero();
            self.second.fill_zero();
        }
    }

    /// Checks that there are `count` moments for a matrix of this shape.
    pub(crate) fn check(&self, count: usize, shape: Piece) -> Result<(), Error> {
        if count >= 1 {
            expect_shape(Argument::State, (self.first.rows(), self.first.cols()), shape)?;
        }
        if count >= 2 {
            expect_shape(Argument::State, (self.second.rows(), self.second.cols()), shape)?;
        }
        Ok(())
    }
}
