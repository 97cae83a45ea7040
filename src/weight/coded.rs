//! Weights that do not rest in rows, and the code of their format.

use core::ops::Range;

use super::packed::Packed;
use super::panels::copy;
use super::products::{Multiplier, Times, product};
use crate::kernel::equation::{Equation, Mode};
use crate::kernel::raw::Start;
use crate::kernel::raw::table::Call;
use crate::simd::Backend;
use crate::view::MatMut;

/// Weights, and what computes with them. A program that makes no such weights does not link the code.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Coded<'a> {
    weights: Packed<'a>,
    code: &'static Code,
}

/// The code of a format. It is written once for all formats: see [`Panels`](super::panels::Panels).
#[derive(Debug)]
struct Code {
    product: fn(Multiplier, &Packed<'_>, &mut Times<'_, '_>),
    copy: fn(&Packed<'_>, (usize, usize), &mut MatMut<'_>),
    // What it asks of the table first is not linked for rows, either.
    run: fn(&Coded<'_>, Multiplier, &mut Call<'_, '_, '_>, &Equation, &Mode),
}

impl<'a> From<Packed<'a>> for Coded<'a> {
    fn from(weights: Packed<'a>) -> Self {
        const CODE: Code = Code {
            product: |multiplier, weights, times| product(multiplier, weights, times),
            copy: |weights, from, out| copy(weights, from, out),
            run,
        };
        Self { weights, code: &CODE }
    }
}

impl Coded<'_> {
    pub(crate) const fn outputs(&self) -> usize {
        self.weights.outputs()
    }

    pub(crate) const fn inputs(&self) -> usize {
        self.weights.inputs()
    }

    /// Outputs `range`, which lies within them.
    pub(crate) const fn range(self, range: &Range<usize>) -> Self {
        Self { weights: self.weights.range(range), ..self }
    }

    /// One of the two products.
    #[inline(always)]
    pub(crate) fn product(&self, backend: Backend, times: &mut Times<'_, '_>) {
        (self.code.product)(Multiplier::of(backend), &self.weights, times);
    }

    /// An equation of the base on the matrices of a table, with [`more`](Equation::of_base) where that counts.
    pub(crate) fn run(&self, backend: Backend, call: &mut Call<'_, '_, '_>, equation: &'static Equation, mode: &Mode) {
        (self.code.run)(self, Multiplier::of(backend), call, equation, mode);
    }

    /// Copies the weights from an output and an input on, as many rows and columns as `out` has.
    pub(crate) fn copy(&self, from: (usize, usize), out: &mut MatMut<'_>) {
        (self.code.copy)(&self.weights, from, out);
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
        (coded.code.product)(multiplier, &coded.weights, &mut Times { is_forward, left: &left, more, out, start });
    });
}
