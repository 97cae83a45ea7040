//! Formats that are decoded: what a format says of its codes, and the panels of them.

use core::marker::PhantomData;

use super::panels::{Panels, RUN};
use super::socket::{Bytes, Coded, Format, Stored};
use crate::kernel::operand::Piece;
use crate::simd::{Arithmetic, Backend, Kernel, Simd};
use crate::view::{MatMut, MatRef, part_mut};

/// What the codes of a format mean. The first of its [`Bytes`] are those of the first output, also where a range of outputs is read.
pub(crate) trait Decode {
    /// The weights of output `o` from input `i` on, as many as `to` holds: they lie in one run, between two multiples of [`RUN`].
    fn part(bytes: &Bytes<'_>, inputs: usize, at: (usize, usize), to: &mut [f32]);

    /// A whole run, the same numbers as those of [`part`](Self::part).
    #[inline(always)]
    fn run<S: Simd>(_simd: S, bytes: &Bytes<'_>, inputs: usize, at: (usize, usize), to: &mut [f32; RUN]) {
        Self::part(bytes, inputs, at, to);
    }
}

/// The code of a format.
impl<D: Decode> Format for D {
    type Panels<'a> = Decoded<'a>;

    #[inline(always)]
    fn panels<'a>(weights: &Coded<'a>, backend: Backend) -> Decoded<'a> {
        let (first, outputs, inputs) = (weights.first, weights.outputs(), weights.inputs());
        match weights.stored {
            Stored::Bytes(bytes) => Decoded { bytes, first, outputs, inputs, decode: decode::<D>, backend },
            Stored::Panels { .. } => {
                debug_assert!(false, "bytes are no panels");
                let bytes = Bytes { codes: &[], scales: &[] };
                Decoded { bytes, first: 0, outputs: 0, inputs, decode: decode::<D>, backend }
            }
        }
    }
}

/// A range of outputs. All formats are one type, so that the products over them are one function, too.
#[derive(Copy, Clone)]
pub(crate) struct Decoded<'a> {
    bytes: Bytes<'a>,
    first: usize,
    outputs: usize,
    inputs: usize,
    backend: Backend,
    decode: fn(&Decoded<'_>, (usize, usize), &mut MatMut<'_>),
}

/// Writes the weights from an output and an input on, as many as `to` holds.
fn decode<D: Decode>(weights: &Decoded<'_>, at: (usize, usize), to: &mut MatMut<'_>) {
    // Decoding knows no arithmetic: it is compiled once for each instruction set.
    weights.backend.with(Arithmetic::Separate).run(Block { weights, at, to, format: PhantomData::<D> });
}

struct Block<'t, 'w, 'o, D> {
    weights: &'t Decoded<'w>,
    at: (usize, usize),
    to: &'t mut MatMut<'o>,
    format: PhantomData<D>,
}

impl<D: Decode> Kernel for Block<'_, '_, '_, D> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self { weights: Decoded { bytes, first, inputs, .. }, at: (o, i), to, .. } = self;
        for row in 0..to.rows() {
            row_of::<S, D>(simd, bytes, *inputs, (first + o + row, i), to.row_mut(row));
        }
    }
}

/// The weights of an output from an input on, as many as `to` holds.
#[inline(always)]
fn row_of<S: Simd, D: Decode>(
    simd: S,
    bytes: &Bytes<'_>,
    inputs: usize,
    (o, mut i): (usize, usize),
    mut to: &mut [f32],
) {
    while !to.is_empty() {
        let count = (RUN - i % RUN).min(to.len());
        let Some((some, rest)) = to.split_at_mut_checked(count) else { return };
        match <&mut [f32; RUN]>::try_from(&mut *some) {
            Ok(run) if S::LANES > 1 => D::run(simd, bytes, inputs, (o, i), run),
            _ => D::part(bytes, inputs, (o, i), some),
        }
        i += count;
        to = rest;
    }
}

impl Panels for Decoded<'_> {
    const IN_PLACE: bool = false;

    fn outputs(&self) -> usize {
        self.outputs
    }

    fn inputs(&self) -> usize {
        self.inputs
    }

    fn panel<'r>(&'r self, at: (usize, usize), (outputs, inputs): (usize, usize), room: &'r mut [f32]) -> Piece<'r> {
        let (outputs, inputs) = (outputs.min(self.outputs - at.0), inputs.min(self.inputs - at.1));
        let room = part_mut(room, ..outputs * inputs);
        (self.decode)(self, at, &mut MatMut::dense(room, outputs, inputs));
        Piece { matrix: MatRef::dense(room, outputs, inputs), transposed: true }
    }
}
