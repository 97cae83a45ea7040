//! A layer in pieces: tokens, outputs, parameters. Pieces borrow disjoint memory, and every chain lies within one piece.

use core::ops::Range;

use super::adapter::{Adapter, AdapterMut};
use super::dropout::Dropping;
use super::grads::Grads;
use super::saved::{Batch, Progress, Saved};
use super::shape::Shape;
use crate::error::{Argument, Error};
use crate::view::{MatMut, expect_bias, expect_range, expect_shape};

/// Where the parameters of a layer are cut in two. What comes before goes to the first piece, the rest to the second; a
/// place behind the end gives all to the first.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash)]
pub struct Cut {
    /// The row of `A`. With dropout a row costs the masks of all tokens: cut between `A` and `B` (`rank` that of the layer,
    /// `output` 0) rather than within `A`.
    pub rank: usize,
    /// The row of `B`, and the element of the bias.
    pub output: usize,
}

impl Cut {
    /// Before all parameters.
    pub(super) const START: Cut = Cut { rank: 0, output: 0 };
}

impl<'a> Adapter<'a> {
    /// Outputs `range`: `A`, these rows of `B`, these elements of the bias. See [`Base::outputs`](crate::Base::outputs).
    ///
    /// `hs` is the same for every range, and each piece computes it: give each a [`Saved`] of its own.
    ///
    /// # Errors
    /// [`Error::TooMany`] when the range ends behind the last output; [`Error::Reversed`]; [`Error::Rows`] and [`Error::Cols`]
    /// when there are not as many biases as outputs.
    ///
    /// ```
    /// use lowrank::{Adapter, Backend, Base, MatMut, MatRef, Saved, forward};
    ///
    /// let base = Base { weights: MatRef::from_rows(&[[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]]).into(), bias: None };
    /// let (a, b) = (MatRef::from_rows(&[[1.0, 1.0]]), MatRef::from_rows(&[[0.0], [0.0], [1.0]]));
    /// let adapter = Adapter { a, b, bias: None, scale: 2.0 };
    /// let (x, mut y) = (MatRef::from_rows(&[[3.0, 4.0]]), [[0.0; 3]]);
    ///
    /// let (y0, y1) = MatMut::from_rows(&mut y).split_cols(1)?;
    /// for (range, y) in [(0..1, y0), (1..3, y1)] { // on a thread each, if you like
    ///     let (base, adapter) = (base.outputs(range.clone())?, adapter.outputs(range)?);
    ///     let mut memory = [0.0; 1];
    ///     let mut saved = Saved::inference(&mut memory, adapter.shape(), 1)?;
    ///     forward(Backend::BASELINE, &base, &adapter, x, y, &mut saved)?;
    /// }
    /// assert_eq!(y, [[3.0, 4.0, 7.0 + 2.0 * 7.0]]);
    /// # Ok::<(), lowrank::Error>(())
    /// ```
    pub fn outputs(&self, range: Range<usize>) -> Result<Adapter<'a>, Error> {
        let outputs = self.b.rows();
        expect_bias(self.bias.as_ref(), outputs)?;
        expect_range(Argument::B, &range, outputs)?;
        let b = self.b.split_rows(range.end).0.split_rows(range.start).1;
        let bias = self.bias.map(|bias| bias.cols_of(&range));
        Ok(Adapter { b, bias, ..*self })
    }
}

impl<'a> AdapterMut<'a> {
    /// All of it as one piece, to be [split](Self::split).
    pub fn whole(&mut self) -> AdapterMut<'_> {
        let bias = self.bias.as_mut().map(MatMut::reborrow);
        AdapterMut { a: self.a.reborrow(), b: self.b.reborrow(), bias, scale: self.scale }
    }

    /// The parameters in two pieces, for a step of an optimizer on each, with pieces of [`Grads`] and of
    /// [`State`](crate::train::State) that are cut at the same place. A piece is not an adapter that a layer could run with.
    ///
    /// ```
    /// use lowrank::train::{AdamW, Optimizer, Plan};
    /// use lowrank::{Backend, Cut, Shape};
    ///
    /// const PLAN: Plan = Plan::training(Shape::new(2, 3, 1), 4, Optimizer::AdamW);
    /// let mut arena = [0.5; PLAN.len()];
    /// let mut work = PLAN.split(&mut arena)?;
    ///
    /// let cut = Cut { rank: 1, output: 0 }; // all of A, all of B
    /// let (mut a, mut b) = work.adapter.whole().split(cut);
    /// let (da, db) = work.grads.whole().split(cut);
    /// let (mut state_a, mut state_b) = work.state.whole().split(cut);
    /// // On a thread each, if you like:
    /// AdamW::DEFAULT.step(Backend::BASELINE, &mut a, da.grads(), &mut state_a)?;
    /// AdamW::DEFAULT.step(Backend::BASELINE, &mut b, db.grads(), &mut state_b)?;
    /// work.state.clock = state_a.clock;
    /// # Ok::<(), lowrank::Error>(())
    /// ```
    #[must_use]
    pub fn split(self, at: Cut) -> (AdapterMut<'a>, AdapterMut<'a>) {
        let Self { a, b, bias, scale } = self;
        let ((a, more_a), (b, more_b)) = (a.split_rows(at.rank), b.split_rows(at.output));
        let (bias, more_bias) = unzip(bias.map(|bias| bias.split_line(at.output)));
        (AdapterMut { a, b, bias, scale }, AdapterMut { a: more_a, b: more_b, bias: more_bias, scale })
    }
}

/// Two pieces of what may be missing.
fn unzip<T>(pieces: Option<(T, T)>) -> (Option<T>, Option<T>) {
    match pieces {
        Some((first, rest)) => (Some(first), Some(rest)),
        None => (None, None),
    }
}

/// Gradients of some of the parameters: rows of `dA`, rows of `dB`, elements of `db`. It knows which.
#[derive(Debug)]
pub struct GradsPart<'a> {
    grads: Grads<'a>,
    /// Where it starts in the whole.
    first: Cut,
    /// Where the whole ends.
    end: Cut,
}

impl Grads<'_> {
    /// All of them as one piece, to be [split](GradsPart::split).
    pub fn whole(&mut self) -> GradsPart<'_> {
        let end = self.end();
        let a = self.a.as_mut().map(MatMut::reborrow);
        let bias = self.bias.as_mut().map(MatMut::reborrow);
        let grads = Grads { a, b: self.b.reborrow(), bias, accum: self.accum };
        GradsPart { grads, first: Cut::START, end }
    }

    /// Where they end as a whole.
    pub(super) fn end(&self) -> Cut {
        Cut { rank: self.a.as_ref().map_or(self.b.cols(), MatMut::rows), output: self.b.rows() }
    }

    /// Checks that they are gradients of such a layer, or a piece of those that end there.
    pub(super) fn check(&self, shape: Shape, end: Cut) -> Result<(), Error> {
        if let Some(a) = &self.a {
            expect_shape(Argument::DA, (end.rank, a.cols()), (shape.rank, shape.inputs))?;
        }
        expect_shape(Argument::DB, (end.output, self.b.cols()), (shape.outputs, shape.rank))?;
        let expected = (1, self.b.rows());
        self.bias.as_ref().map_or(Ok(()), |bias| expect_shape(Argument::DBias, (bias.rows(), bias.cols()), expected))
    }
}

impl<'a> GradsPart<'a> {
    /// Two pieces, for [`parameter_grads`](super::parameter_grads) on each. The cut counts from where this piece starts.
    #[must_use]
    pub fn split(self, at: Cut) -> (GradsPart<'a>, GradsPart<'a>) {
        let Self { grads: Grads { a, b, bias, accum }, first, end } = self;
        let (a, more_a) = unzip(a.map(|a| a.split_rows(at.rank)));
        let (b, more_b) = b.split_rows(at.output);
        let (bias, more_bias) = unzip(bias.map(|bias| bias.split_line(at.output)));
        let rest = Cut { rank: first.rank + a.as_ref().map_or(0, MatMut::rows), output: first.output + b.rows() };
        (
            GradsPart { grads: Grads { a, b, bias, accum }, first, end },
            GradsPart { grads: Grads { a: more_a, b: more_b, bias: more_bias, accum }, first: rest, end },
        )
    }

    /// The piece, for a step of an optimizer.
    pub const fn grads(&self) -> &Grads<'a> {
        &self.grads
    }

    pub(super) fn check(&self, shape: Shape) -> Result<(), Error> {
        self.grads.check(shape, self.end)
    }

    /// The piece, and where it starts.
    pub(super) const fn parts(&mut self) -> (&mut Grads<'a>, Cut) {
        (&mut self.grads, self.first)
    }
}

/// What a piece of [`Saved`] has done: tells the whole, once the piece has given its memory back.
#[derive(Debug)]
#[must_use = "the whole learns of it by `Saved::join_tokens`"]
pub struct Done {
    first: usize,
    batch: Option<Batch>,
    dropping: Option<Dropping>,
}

impl<'m> Saved<'m> {
    /// All of it as one piece, to be [split](Self::split_tokens). From here on `self` knows of no forward pass, until
    /// [`join_tokens`](Self::join_tokens) tells it.
    pub fn whole(&mut self) -> Saved<'_> {
        let Self { shape, first, dropping, .. } = *self;
        Saved { hs: self.hs.reborrow(), gs: self.gs.reborrow(), shape, first, batch: self.batch.take(), dropping }
    }

    /// Two pieces: the first `at` tokens that there is room for, and the others, for a forward pass or
    /// [`input_grads`](super::input_grads) on each. Dropout that was set before has the masks of the whole.
    ///
    /// ```
    /// use lowrank::{Adapter, Backend, Base, MatMut, MatRef, Saved, forward};
    ///
    /// let base = Base { weights: MatRef::from_rows(&[[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]]).into(), bias: None };
    /// let (a, b) = (MatRef::from_rows(&[[1.0, 1.0]]), MatRef::from_rows(&[[0.0], [0.0], [1.0]]));
    /// let adapter = Adapter { a, b, bias: None, scale: 2.0 };
    /// let x = MatRef::from_rows(&[[3.0, 4.0], [1.0, 0.0]]);
    /// let (mut y, mut memory) = ([[0.0; 3]; 2], [0.0; 4]);
    /// let mut saved = Saved::training(&mut memory, adapter.shape(), 2)?;
    ///
    /// let (x0, x1) = x.split_rows(1);
    /// let (y0, y1) = MatMut::from_rows(&mut y).split_rows(1);
    /// let (mut saved0, mut saved1) = saved.whole().split_tokens(1);
    /// // On a thread each, if you like:
    /// forward(Backend::BASELINE, &base, &adapter, x0, y0, &mut saved0)?;
    /// forward(Backend::BASELINE, &base, &adapter, x1, y1, &mut saved1)?;
    ///
    /// let done = [saved0.done(), saved1.done()];
    /// saved.join_tokens(done)?;
    /// assert_eq!(y, [[3.0, 4.0, 21.0], [1.0, 0.0, 3.0]]);
    /// # Ok::<(), lowrank::Error>(())
    /// ```
    #[must_use]
    pub fn split_tokens(self, at: usize) -> (Saved<'m>, Saved<'m>) {
        let Self { hs, gs, shape, first, batch, dropping } = self;
        let at = at.min(hs.rows());
        let ((hs, more_hs), (gs, more_gs)) = (hs.split_rows(at), gs.split_rows(at));
        let part = |tokens: fn(usize, usize) -> usize| batch.map(|b| Batch { tokens: tokens(b.tokens, at), ..b });
        let (batch, more) = (part(usize::min), part(usize::saturating_sub));
        let later = dropping.map(|dropping| dropping.starting_at(at));
        (
            Saved { hs, gs, shape, first, batch, dropping },
            Saved { hs: more_hs, gs: more_gs, shape, first: first + at, batch: more, dropping: later },
        )
    }

    /// Ends a piece.
    pub fn done(self) -> Done {
        Done { first: self.first, batch: self.batch, dropping: self.dropping }
    }

    /// What the pieces have done, the whole has: forward pass or [`input_grads`](super::input_grads), on the tokens of all
    /// pieces together. Pieces come in the order of their tokens.
    ///
    /// # Errors
    /// [`Error::NoForward`] when there is no piece, or one has not run; [`Error::NoInputGrads`] when one has not run as far as
    /// the others; [`Error::AbsentAdapter`] when one ran without an adapter, and others with one; [`Error::OtherDropout`] when
    /// the dropout of one was set to another than that of the whole; [`Error::Rows`] when the tokens of one do not follow those
    /// before; [`Error::TooMany`] when they do not fit. Nothing has changed then.
    pub fn join_tokens(&mut self, pieces: impl IntoIterator<Item = Done>) -> Result<(), Error> {
        let mut whole: Option<Batch> = None;
        for Done { first, batch, dropping } in pieces {
            let batch = batch.ok_or(Error::NoForward)?;
            let Batch { tokens, progress } = *whole.get_or_insert(Batch { tokens: 0, ..batch });
            if progress != batch.progress {
                let one_is_absent = [progress, batch.progress].contains(&Progress::Absent);
                return Err(if one_is_absent { Error::AbsentAdapter } else { Error::NoInputGrads });
            }
            let expected = first.wrapping_sub(self.first);
            if dropping.map(|it| it.dropout) != self.dropping.map(|it| it.starting_at(expected).dropout) {
                return Err(Error::OtherDropout);
            }
            if batch.tokens > 0 && tokens != expected {
                return Err(Error::Rows { argument: Argument::Tokens, expected, got: tokens });
            }
            whole = Some(Batch { tokens: tokens.saturating_add(batch.tokens), progress });
        }
        let whole = whole.ok_or(Error::NoForward)?;
        if whole.tokens > self.hs.rows() {
            return Err(Error::TooMany { argument: Argument::Tokens, at_most: self.hs.rows(), got: whole.tokens });
        }
        self.batch = Some(whole);
        Ok(())
    }
}
