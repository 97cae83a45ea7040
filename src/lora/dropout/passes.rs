//! What dropout adds to the passes. Only [`Dropping::checked`] names this code: a program that never sets dropout does not link it.

use super::mask::Dropout;
use crate::error::Error;
use crate::kernel::equation::Mode;
use crate::kernel::raw::Start;
use crate::kernel::raw::table::Call;
use crate::lora::equations::{DA, H, MORE_DX};
use crate::lora::place;
use crate::simd::target::BLOCK;
use crate::simd::{Backend, Kernel, Simd};
use crate::view::{MatMut, MatRef, part_mut};

/// Dropout, and the code of it.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Dropping {
    pub dropout: Dropout,
    code: &'static Code,
}

/// The code of the passes where there is dropout.
#[derive(Debug)]
struct Code {
    inner_activations: fn(Backend, &Dropout, [&MatRef<'_>; 2], f32, &mut MatMut<'_>),
    input_grad: fn(Backend, &Dropout, [&MatRef<'_>; 2], &mut MatMut<'_>),
    gradient_a: fn(Backend, &Dropout, [&MatRef<'_>; 2], (&mut MatMut<'_>, usize), Start<'static>),
    // What these ask first is not linked where there is no dropout, either.
    before_forward: fn(&Dropping, Backend, &mut Call<'_, '_, '_>, &Mode),
    after_backward: fn(&Dropping, Backend, &mut Call<'_, '_, '_>, &Mode),
}

impl Dropping {
    /// # Errors
    /// [`Error::Range`], [`Error::TooMany`]: see [`Dropout`].
    pub(crate) fn checked(dropout: Dropout) -> Result<Self, Error> {
        const CODE: Code = Code { inner_activations, input_grad, gradient_a, before_forward, after_backward };
        dropout.check()?;
        Ok(Self { dropout, code: &CODE })
    }

    /// The same with token number `first` of the batch as its first.
    pub(crate) const fn starting_at(self, first: usize) -> Self {
        let dropout = self.dropout;
        Self { dropout: Dropout { first_token: dropout.first_token.wrapping_add(first as u64), ..dropout }, ..self }
    }

    /// `hs = s·(X̃·Aᵀ)` of `X` and `A`.
    pub(crate) fn inner_activations(&self, backend: Backend, xa: [&MatRef<'_>; 2], scale: f32, hs: &mut MatMut<'_>) {
        (self.code.inner_activations)(backend, &self.dropout, xa, scale, hs);
    }

    /// `dX = step(dX, D, gs·A)` where the element was kept, of `gs` and `A`.
    pub(crate) fn input_grad(&self, backend: Backend, sides: [&MatRef<'_>; 2], dx: &mut MatMut<'_>) {
        (self.code.input_grad)(backend, &self.dropout, sides, dx);
    }

    /// The columns of `dA = start ⊕ gsᵀ·X̃` from `first` on, as many as `da` has, of `gs` and `X`. `gs` has the columns of its rows.
    pub(crate) fn gradient_a(
        &self,
        backend: Backend,
        sides: [&MatRef<'_>; 2],
        (da, first): (&mut MatMut<'_>, usize),
        start: Start<'static>,
    ) {
        (self.code.gradient_a)(backend, &self.dropout, sides, (da, first), start);
    }

    /// `hs` of a table.
    pub(crate) fn before_forward(&self, backend: Backend, call: &mut Call<'_, '_, '_>, mode: &Mode) {
        (self.code.before_forward)(self, backend, call, mode);
    }

    /// `dX` and `dA` of a table.
    pub(crate) fn after_backward(&self, backend: Backend, call: &mut Call<'_, '_, '_>, mode: &Mode) {
        (self.code.after_backward)(self, backend, call, mode);
    }
}

fn before_forward(dropping: &Dropping, backend: Backend, call: &mut Call<'_, '_, '_>, mode: &Mode) {
    call.write(place::HS, |call, hs| {
        dropping.inner_activations(backend, [&call.read(place::X), &call.read(place::A)], mode.scale, hs);
    });
}

fn after_backward(dropping: &Dropping, backend: Backend, call: &mut Call<'_, '_, '_>, mode: &Mode) {
    let start = if mode.accumulates() { Start::Existing } else { Start::Zero };
    call.write(place::DX, |call, dx| {
        dropping.input_grad(backend, [&call.read(place::GS), &call.read(place::A)], dx);
    });
    call.write(place::DA, |call, da| {
        dropping.gradient_a(backend, [&call.read(place::GS), &call.read(place::X)], (da, 0), start);
    });
}

/// `len` in parts of `most`: where each starts, and how long it is. Of nothing, one part without length, so that a product writes
/// what it starts at.
#[inline(always)]
fn parts(len: usize, most: usize) -> impl Iterator<Item = (usize, usize)> {
    (0..len.max(1)).step_by(most).map(move |at| (at, most.min(len - at)))
}

fn inner_activations(backend: Backend, dropout: &Dropout, [x, a]: [&MatRef<'_>; 2], scale: f32, hs: &mut MatMut<'_>) {
    let (rank, inputs) = (a.rows(), x.cols());
    let mut memory = [[0.0; BLOCK.1]; BLOCK.0];
    let mut memory = MatMut::from_rows(&mut memory);
    for (token, rows) in parts(x.rows(), BLOCK.0) {
        let (mut start, mut out) = (Start::Zero, hs.block(token, rows, 0, rank));
        for (i, cols) in parts(inputs, BLOCK.1) {
            let mut kept = memory.block(0, rows, 0, cols);
            dropout.apply(*x, token, i, &mut kept);
            let sides = (&kept.as_ref(), &a.block(0, rank, i, cols));
            // The finished chains are scaled.
            let scaled = (i + cols >= inputs).then_some((rows, scale));
            H.run(backend, sides, &mut out, start, scaled);
            start = Start::Existing;
        }
    }
}

fn gradient_a(
    backend: Backend,
    dropout: &Dropout,
    [gs, x]: [&MatRef<'_>; 2],
    (da, first): (&mut MatMut<'_>, usize),
    start: Start<'static>,
) {
    let rank = da.rows();
    let mut memory = [[0.0; BLOCK.1]; BLOCK.0];
    let mut memory = MatMut::from_rows(&mut memory);
    for (i, cols) in parts(da.cols(), BLOCK.1) {
        let (mut start, mut out) = (start, da.block(0, rank, i, cols));
        for (token, rows) in parts(x.rows(), BLOCK.0) {
            let mut kept = memory.block(0, rows, 0, cols);
            dropout.apply(*x, token, first + i, &mut kept);
            DA.run(backend, (&gs.block(token, rows, 0, rank), &kept.as_ref()), &mut out, start, None);
            start = Start::Existing;
        }
    }
}

fn input_grad(backend: Backend, dropout: &Dropout, [gs, a]: [&MatRef<'_>; 2], dx: &mut MatMut<'_>) {
    backend.run(InputGrad { dropout, gs, a, dx });
}

struct InputGrad<'a, 'o> {
    dropout: &'a Dropout,
    gs: &'a MatRef<'a>,
    a: &'a MatRef<'a>,
    dx: &'a mut MatMut<'o>,
}

impl Kernel for InputGrad<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let (inputs, rank) = (self.dx.cols(), self.a.rows());
        let factor = self.dropout.keep_factor();
        let mut memory = [[0.0; BLOCK.1]; BLOCK.0];
        let mut memory = MatMut::from_rows(&mut memory);
        for (token, rows) in parts(self.dx.rows(), BLOCK.0) {
            for (i, cols) in parts(inputs, BLOCK.1) {
                let mut block = memory.block(0, rows, 0, cols);
                let (left, right) = (self.gs.block(token, rows, 0, rank), self.a.block(0, rank, i, cols));
                MORE_DX.product(simd, (&left, &right), &mut block, Start::Zero);
                for t in 0..rows {
                    let to = part_mut(self.dx.row_mut(token + t), i..);
                    let from = block.row(t);
                    self.dropout.mask(inputs, token + t, i, cols, |j, kept| {
                        if let (true, Some(to), Some(&value)) = (kept, to.get_mut(j), from.get(j)) {
                            let next = simd.step(simd.splat(*to), simd.splat(factor), simd.splat(value));
                            simd.write(core::slice::from_mut(to), next);
                        }
                    });
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use super::*;

    #[test]
    fn parts_follow_each_other_and_are_all_of_it() {
        let of = |len| parts(len, 4).collect::<Vec<_>>();
        assert_eq!([of(0), of(1), of(4)], [[(0, 0)], [(0, 1)], [(0, 4)]]);
        assert_eq!(of(8), [(0, 4), (4, 4)]);
        assert_eq!(of(9), [(0, 4), (4, 4), (8, 1)]);
    }
}
