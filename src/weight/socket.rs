//! Weights that do not rest in rows, and the code of their format.

use core::num::NonZeroUsize;
use core::ops::Range;

use super::panels::{Panels, copy};
use super::products::{Multiplier, Times, product};
use crate::kernel::equation::{Equation, Mode};
use crate::kernel::raw::Start;
use crate::kernel::raw::table::Call;
use crate::simd::Backend;
use crate::view::MatMut;

/// Weights, and what computes with them. A program that makes no such weights does not link the code.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Coded<'a> {
    pub(super) stored: Stored<'a>,
    /// The first output of these weights among those that are stored.
    pub(super) first: usize,
    outputs: usize,
    inputs: usize,
    code: &'static Code,
}

/// What the weights are read from: all outputs that are stored, whatever range of them a layer has.
// Four words: one more would be one more in every layer, also in those whose weights rest in rows.
#[derive(Copy, Clone, Debug)]
pub(crate) enum Stored<'a> {
    /// Panels of `width` outputs; the last one has those that are left.
    Panels { data: &'a [f32], width: NonZeroUsize },
    /// Bytes of a format that is decoded.
    Bytes(Bytes<'a>),
}

/// Codes, and the scales beside them where the format has any there.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Bytes<'a> {
    pub codes: &'a [u8],
    pub scales: &'a [u8],
}

/// A format: how its weights are read from what is stored.
pub(crate) trait Format {
    type Panels<'a>: Panels;

    fn panels<'a>(weights: &Coded<'a>, backend: Backend) -> Self::Panels<'a>;
}

/// The code of a format. It is written once for all formats: see [`Panels`].
#[derive(Debug)]
struct Code {
    product: fn(Multiplier, &Coded<'_>, &mut Times<'_, '_>),
    copy: fn(&Coded<'_>, (usize, usize), &mut MatMut<'_>),
    // What it asks of the table first is not linked for rows, either.
    run: fn(&Coded<'_>, Multiplier, &mut Call<'_, '_, '_>, &Equation, &Mode),
}

impl Code {
    const fn of<F: Format>() -> &'static Self {
        const {
            &Self {
                product: |multiplier, weights, times| {
                    product(multiplier, &F::panels(weights, multiplier.backend()), times)
                },
                copy: |weights, from, out| copy(&F::panels(weights, Backend::BASELINE), from, out),
                run,
            }
        }
    }
}

impl<'a> Coded<'a> {
    /// All the weights that are stored, of this shape.
    pub(crate) const fn new<F: Format>(stored: Stored<'a>, (outputs, inputs): (usize, usize)) -> Self {
        Self { stored, first: 0, outputs, inputs, code: Code::of::<F>() }
    }

    pub(crate) const fn outputs(&self) -> usize {
        self.outputs
    }

    pub(crate) const fn inputs(&self) -> usize {
        self.inputs
    }

    /// Outputs `range`, which lies within them.
    pub(crate) const fn range(self, range: &Range<usize>) -> Self {
        Self { first: self.first + range.start, outputs: range.end - range.start, ..self }
    }

    /// One of the two products.
    #[inline(always)]
    pub(crate) fn product(&self, backend: Backend, times: &mut Times<'_, '_>) {
        (self.code.product)(Multiplier::of(backend), self, times);
    }

    /// An equation of the base on the matrices of a table, with [`more`](Equation::of_base) where that counts.
    pub(crate) fn run(&self, backend: Backend, call: &mut Call<'_, '_, '_>, equation: &'static Equation, mode: &Mode) {
        (self.code.run)(self, Multiplier::of(backend), call, equation, mode);
    }

    /// Copies the weights from an output and an input on, as many rows and columns as `out` has.
    pub(crate) fn copy(&self, from: (usize, usize), out: &mut MatMut<'_>) {
        (self.code.copy)(self, from, out);
    }
}

fn run(coded: &Coded<'_>, multiplier: Multiplier, call: &mut Call<'_, '_, '_>, equation: &Equation, mode: &Mode) {
    call.write(equation.out(), |call, out| {
        let row = equation.row().map(|row| call.read(row));
        let start = match row.as_ref().map(|row| row.row(0)) {
            None | Some([]) => Start::Zero,
            Some(row) => Start::Bias(row),
        };
        let left = call.read(equation.places().0);
        let more = equation.more_places(mode).map(|(left, right)| [call.read(left), call.read(right)]);
        let more = more.as_ref().map(|[left, right]| [left, right]);
        let (more, is_forward) = (equation.more_factors(more), row.is_some());
        (coded.code.product)(multiplier, coded, &mut Times { is_forward, left: &left, more, out, start });
    });
}
