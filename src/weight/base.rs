//! The weights of a layer in any format, and the frozen layer.

use core::ops::Range;

use super::products::{RowsProduct, Times};
use super::socket::{Coded, Format, Stored};
use crate::error::{Argument, Error};
use crate::kernel::vector::copy_rows;
use crate::simd::Backend;
use crate::view::{MatMut, MatRef, expect_bias, expect_range};

/// Frozen weights `W [out, in]`, borrowed: a matrix in rows, [`Packed`](super::Packed) panels, or the bytes of a format.
///
/// ```
/// use lowrank::{Backend, MatRef, Weights, pack};
/// let w = MatRef::from_rows(&[[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]);
/// let mut buffer = [0.0; 6];
/// let (rows, packed) = (Weights::from(w), Weights::from(pack(Backend::BASELINE, w, &mut buffer)?));
/// assert_eq!((rows.get(2, 1), packed.get(2, 1)), (Some(6.0), Some(6.0)));
/// # Ok::<(), lowrank::Error>(())
/// ```
#[derive(Copy, Clone, Debug)]
pub struct Weights<'a>(Form<'a>);

/// Rows are read where they lie. Every other format brings its code, which is linked only where the format is named.
#[derive(Copy, Clone, Debug)]
enum Form<'a> {
    Rows(MatRef<'a>),
    Coded(Coded<'a>),
}

// Every layer holds one, also where the weights rest in rows: a format finds room in these words.
const _: () = assert!(size_of::<Weights<'_>>() == size_of::<[usize; 8]>());

impl<'a> Weights<'a> {
    /// Returns the number of outputs, the rows of `W`.
    pub const fn outputs(&self) -> usize {
        match self.0 {
            Form::Rows(w) => w.rows(),
            Form::Coded(w) => w.outputs(),
        }
    }

    /// Returns the number of inputs, the columns of `W`.
    pub const fn inputs(&self) -> usize {
        match self.0 {
            Form::Rows(w) => w.cols(),
            Form::Coded(w) => w.inputs(),
        }
    }

    /// One of the two products.
    pub(crate) fn product(&self, backend: Backend, times: &mut Times<'_, '_>) {
        match &self.0 {
            Form::Rows(w) => backend.run(RowsProduct { w, times }),
            Form::Coded(w) => w.product(backend, times),
        }
    }

    /// The matrix, where it rests in rows.
    pub(crate) const fn rows(&self) -> Option<&MatRef<'a>> {
        match &self.0 {
            Form::Rows(w) => Some(w),
            Form::Coded(_) => None,
        }
    }

    /// The weights and their code, where they do not rest in rows.
    pub(crate) const fn coded(&self) -> Option<&Coded<'a>> {
        match &self.0 {
            Form::Rows(_) => None,
            Form::Coded(w) => Some(w),
        }
    }

    /// Outputs `range`, which lies within them.
    pub(super) const fn range(self, range: &Range<usize>) -> Self {
        Self(match self.0 {
            Form::Rows(w) => Form::Rows(w.split_rows(range.end).0.split_rows(range.start).1),
            Form::Coded(w) => Form::Coded(w.range(range)),
        })
    }

    /// Returns `W[o, i]`, or `None` where there is no such weight.
    pub fn get(&self, o: usize, i: usize) -> Option<f32> {
        let mut number = [0.0];
        let there = o < self.outputs() && i < self.inputs();
        there.then(|| {
            self.copy((o, i), &mut MatMut::from_row(&mut number));
            number[0]
        })
    }

    /// Weights of a format, of shape `(outputs, inputs)`.
    pub(super) const fn of<F: Format>(stored: Stored<'a>, shape: (usize, usize)) -> Self {
        Self(Form::Coded(Coded::new::<F>(stored, shape)))
    }

    /// Copies the weights from output `o` and input `i` on, as many rows and columns as `out` has.
    pub(crate) fn copy(&self, (o, i): (usize, usize), out: &mut MatMut<'_>) {
        match self.0 {
            Form::Rows(w) => copy_rows(&w, (o, i), out),
            Form::Coded(w) => w.copy((o, i), out),
        }
    }

    /// Gives the weights of output `o`, some at a time, in their order.
    pub(crate) fn for_each_of(&self, o: usize, mut each: impl FnMut(&[f32])) {
        if let Form::Rows(w) = &self.0 {
            return each(w.row(o));
        }
        let inputs = self.inputs();
        let mut i = 0;
        while i < inputs {
            let mut room = [0.0; 16];
            let mut some = MatMut::from_row(&mut room);
            let mut some = some.block(0, 1, 0, inputs - i);
            self.copy((o, i), &mut some);
            each(some.row(0));
            i += some.cols();
        }
    }
}

impl<'a> From<MatRef<'a>> for Weights<'a> {
    fn from(rows: MatRef<'a>) -> Self {
        Self(Form::Rows(rows))
    }
}

/// The frozen layer: `W [out, in]` and its bias `b [1, out]`, if it has one.
///
/// ```
/// use lowrank::{Base, MatRef};
/// let base = Base { weights: MatRef::new(&[1.0, 0.0, 0.0, 1.0, 1.0, 1.0], 3, 2)?.into(), bias: None };
/// assert_eq!((base.weights.outputs(), base.weights.inputs()), (3, 2));
/// # Ok::<(), lowrank::Error>(())
/// ```
#[derive(Copy, Clone, Debug)]
pub struct Base<'a> {
    /// `W [out, in]`.
    pub weights: Weights<'a>,
    /// `b [1, out]`; see [`MatRef::from_row`].
    pub bias: Option<MatRef<'a>>,
}

impl<'a> Base<'a> {
    /// Weights `[out, in]` in rows, as PyTorch stores them, and a bias `[out]`. An array of rows has its shape in its type.
    ///
    /// ```
    /// use lowrank::{Base, MatRef};
    /// static W: [[f32; 2]; 3] = [[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]];
    /// let base = Base::rows(&W, Some(&[0.1, 0.2, 0.3]));
    /// let same = Base::rows(MatRef::new(W.as_flattened(), 3, 2)?, Some(&[0.1, 0.2, 0.3]));
    /// assert_eq!((base.weights.outputs(), same.weights.inputs()), (3, 2));
    /// # Ok::<(), lowrank::Error>(())
    /// ```
    pub fn rows(weights: impl Into<MatRef<'a>>, bias: Option<&'a [f32]>) -> Self {
        Self { weights: weights.into().into(), bias: bias.map(MatRef::from_row) }
    }

    /// Weights in any format, and a bias `[out]`.
    ///
    /// ```
    /// use lowrank::{Base, Weights};
    /// static W: [u8; 34] = [1; 34]; // one output of 32 inputs
    /// let base = Base::new(Weights::q8_0(&W, 1, 32)?, Some(&[0.5]));
    /// assert_eq!((base.weights.outputs(), base.weights.inputs()), (1, 32));
    /// # Ok::<(), lowrank::Error>(())
    /// ```
    pub fn new(weights: Weights<'a>, bias: Option<&'a [f32]>) -> Self {
        Self { weights, bias: bias.map(MatRef::from_row) }
    }

    /// Outputs `range` as a layer of their own: these rows of `W`, these elements of the bias. Packed weights can be cut
    /// at any output; at a multiple of [`Packed::width`](super::Packed::width) they are read fastest.
    ///
    /// With [`Adapter::outputs`](crate::Adapter::outputs) of the same range, [`forward`](crate::forward) gives these
    /// columns of `Y`, with the same bits: two threads can compute one token.
    ///
    /// # Errors
    /// [`Error::TooMany`] when the range ends behind the last output; [`Error::Reversed`]; [`Error::Rows`] and [`Error::Cols`]
    /// when there are not as many biases as outputs.
    ///
    /// ```
    /// use lowrank::{Base, MatRef};
    /// let weights = MatRef::from_rows(&[[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]]).into();
    /// let part = Base { weights, bias: Some(MatRef::from_row(&[0.1, 0.2, 0.3])) }.outputs(1..3)?;
    /// assert_eq!((part.weights.outputs(), part.weights.get(0, 1)), (2, Some(1.0)));
    /// assert_eq!(part.bias.map(|bias| bias.row(0)), Some(&[0.2, 0.3][..]));
    /// # Ok::<(), lowrank::Error>(())
    /// ```
    pub fn outputs(&self, range: Range<usize>) -> Result<Base<'a>, Error> {
        self.check()?;
        expect_range(Argument::W, &range, self.weights.outputs())?;
        Ok(Base { weights: self.weights.range(&range), bias: self.bias.map(|bias| bias.cols_of(&range)) })
    }

    pub(crate) fn check(&self) -> Result<(), Error> {
        expect_bias(self.bias.as_ref(), self.weights.outputs())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bias_that_is_not_one_number_for_each_output_is_refused() {
        let weights = MatRef::from_rows(&[[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]]).into();
        let with = |rows, cols| Base { weights, bias: Some(MatRef::dense(&[0.5; 12][..rows * cols], rows, cols)) };
        assert!(with(1, 3).outputs(0..3).is_ok());
        assert!(matches!(with(2, 3).outputs(0..3), Err(Error::Rows { expected: 1, got: 2, .. })));
        for cols in [2, 4] {
            assert!(matches!(with(1, cols).outputs(0..3), Err(Error::Cols { expected: 3, got, .. }) if got == cols));
        }
    }
}
