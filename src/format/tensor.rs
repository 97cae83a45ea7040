//! A matrix of an adapter file.

use crate::dtype::Dtype;
use crate::error::{Argument, Error};
use crate::simd;
use crate::view::{MatMut, MatRef, expect_len, expect_shape};

/// A matrix `[rows, cols]` that is only read. It consists of row-major bytes of a [`Dtype`], or is a view of numbers in memory.
#[derive(Copy, Clone, Debug)]
pub struct Tensor<'a>(Data<'a>);

#[derive(Copy, Clone, Debug)]
enum Data<'a> {
    Bytes { dtype: Dtype, rows: usize, cols: usize, bytes: &'a [u8] },
    Numbers(MatRef<'a>),
}

impl<'a> From<MatRef<'a>> for Tensor<'a> {
    fn from(matrix: MatRef<'a>) -> Self {
        Self(Data::Numbers(matrix))
    }
}

impl<'a> Tensor<'a> {
    /// A tensor without elements. It stands for a moment that an optimizer does not have.
    pub const EMPTY: Tensor<'static> = Tensor(Data::Bytes { dtype: Dtype::F32, rows: 0, cols: 0, bytes: &[] });

    /// Makes a dense row-major matrix of little-endian bytes, at any address.
    ///
    /// # Errors
    /// [`Error::Length`] when there are not exactly `rows * cols * dtype.size()` bytes, [`Error::Overflow`] when there could
    /// not be.
    pub const fn from_bytes(dtype: Dtype, rows: usize, cols: usize, bytes: &'a [u8]) -> Result<Self, Error> {
        let argument = Argument::Matrix;
        let expected = match rows.checked_mul(cols) {
            Some(elements) => elements.checked_mul(dtype.size()),
            None => None,
        };
        let Some(expected) = expected else { return Err(Error::Overflow { argument }) };
        if expected > isize::MAX as usize {
            return Err(Error::Overflow { argument });
        }
        match expect_len(argument, bytes.len(), expected) {
            Ok(()) => Ok(Self(Data::Bytes { dtype, rows, cols, bytes })),
            Err(error) => Err(error),
        }
    }

    /// Returns the type in which the numbers are stored.
    pub const fn dtype(&self) -> Dtype {
        match self.0 {
            Data::Bytes { dtype, .. } => dtype,
            Data::Numbers(_) => Dtype::F32,
        }
    }

    /// Returns the number of rows.
    pub const fn rows(&self) -> usize {
        match self.0 {
            Data::Bytes { rows, .. } => rows,
            Data::Numbers(matrix) => matrix.rows(),
        }
    }

    /// Returns the number of columns.
    pub const fn cols(&self) -> usize {
        match self.0 {
            Data::Bytes { cols, .. } => cols,
            Data::Numbers(matrix) => matrix.cols(),
        }
    }

    /// Returns the bytes, row-major and little-endian, and `None` for a view.
    pub const fn bytes(&self) -> Option<&'a [u8]> {
        match self.0 {
            Data::Bytes { bytes, .. } => Some(bytes),
            Data::Numbers(_) => None,
        }
    }

    /// Returns the numbers where they lie. The result is `None` when they are not [`Dtype::F32`], when they do not start at a multiple of
    /// 4, or when the machine is big-endian. Then [`decode`](Self::decode) gives them.
    pub fn as_f32(&self) -> Option<MatRef<'a>> {
        match self.0 {
            Data::Bytes { dtype: Dtype::F32, rows, cols, bytes } => MatRef::new(simd::as_f32(bytes)?, rows, cols).ok(),
            Data::Bytes { .. } => None,
            Data::Numbers(matrix) => Some(matrix),
        }
    }

    /// Writes the numbers into a matrix of the same shape, exactly.
    ///
    /// # Errors
    /// [`Error::Rows`], [`Error::Cols`].
    pub fn decode(&self, mut into: MatMut<'_>) -> Result<(), Error> {
        expect_shape(Argument::Matrix, (into.rows(), into.cols()), (self.rows(), self.cols()))?;
        self.fill(&mut into);
        Ok(())
    }

    /// Writes the numbers into a matrix whose shape has been checked.
    pub(super) fn fill(&self, into: &mut MatMut<'_>) {
        match self.0 {
            Data::Numbers(matrix) => {
                for i in 0..into.rows() {
                    into.row_mut(i).iter_mut().zip(matrix.row(i)).for_each(|(to, &from)| *to = from);
                }
            }
            Data::Bytes { dtype: Dtype::F32, bytes, .. } => {
                fill(into, bytes, |four: [u8; 4]| u32::from_le_bytes(four), Dtype::F32)
            }
            Data::Bytes { dtype, bytes, .. } => {
                fill(into, bytes, |two: [u8; 2]| u32::from(u16::from_le_bytes(two)), dtype)
            }
        }
    }

    /// Calls `each` with the bytes of all numbers in their order, in any pieces, until it fails.
    pub(super) fn each_bytes<E>(&self, mut each: impl FnMut(&[u8]) -> Result<(), E>) -> Result<(), E> {
        match self.0 {
            Data::Bytes { bytes, .. } => each(bytes),
            Data::Numbers(matrix) => {
                (0..matrix.rows()).flat_map(|i| matrix.row(i)).try_for_each(|value| each(&value.to_le_bytes()))
            }
        }
    }
}

fn fill<const N: usize>(into: &mut MatMut<'_>, bytes: &[u8], bits: impl Fn([u8; N]) -> u32, dtype: Dtype) {
    let (mut numbers, _) = bytes.as_chunks::<N>();
    for i in 0..into.rows() {
        let row = into.row_mut(i);
        if let Some((first, rest)) = numbers.split_at_checked(row.len()) {
            row.iter_mut().zip(first).for_each(|(to, &from)| *to = dtype.decode(bits(from)));
            numbers = rest;
        }
    }
}
