//! Matrices on memory that somebody else owns. The only place where a slice becomes a shape.
//!
//! Row-major with a row stride: element `(i, j)` is `data[i * stride + j]`. A view is checked once, when it is made; from
//! then on `(rows - 1) * stride + cols <= data.len()` holds, which is what the kernels rely on.

use core::ops::Range;
use core::slice::SliceIndex;

use crate::error::{Argument, Error};

/// Elements that a `[rows, cols]` matrix spans at `stride`, or `None` when that number does not fit into memory.
pub(crate) const fn span(rows: usize, cols: usize, stride: usize) -> Option<usize> {
    if rows == 0 || cols == 0 {
        return Some(0);
    }
    let Some(before) = (rows - 1).checked_mul(stride) else { return None };
    let Some(all) = before.checked_add(cols) else { return None };
    if all > isize::MAX as usize / size_of::<f32>() { None } else { Some(all) }
}

/// The stride that counts: where no row lies behind another one, any other may be more than there are addresses.
const fn check(len: usize, rows: usize, cols: usize, stride: usize) -> Result<usize, Error> {
    let argument = Argument::Matrix;
    if stride < cols {
        return Err(Error::Stride { argument, expected: cols, got: stride });
    }
    let Some(expected) = span(rows, cols, stride) else { return Err(Error::Overflow { argument }) };
    if len < expected {
        return Err(Error::Length { argument, expected, got: len });
    }
    Ok(if rows > 1 && cols > 0 { stride } else { cols })
}

const fn check_dense(len: usize, rows: usize, cols: usize) -> Result<(), Error> {
    let argument = Argument::Matrix;
    let Some(expected) = span(rows, cols, cols) else { return Err(Error::Overflow { argument }) };
    if len != expected { Err(Error::Length { argument, expected, got: len }) } else { Ok(()) }
}

/// Where row `at` starts in `len` elements, for cutting there; at their end where there is no such row.
const fn start_of_row(at: usize, len: usize, rows: usize, stride: usize) -> usize {
    if at < rows { at_most(at * stride, len) } else { len }
}

const fn at_most(n: usize, limit: usize) -> usize {
    if n < limit { n } else { limit }
}

/// A matrix `[rows, cols]` that is only read. It may lie in flash.
#[derive(Copy, Clone, Debug)]
pub struct MatRef<'a> {
    data: &'a [f32],
    rows: usize,
    cols: usize,
    stride: usize,
}

/// A matrix `[rows, cols]` that is read and written.
#[derive(Debug)]
pub struct MatMut<'a> {
    data: &'a mut [f32],
    rows: usize,
    cols: usize,
    stride: usize,
}

impl<'a> MatRef<'a> {
    /// A dense matrix: `data` holds exactly `rows * cols` elements.
    ///
    /// # Errors
    /// [`Error::Length`] when it does not, [`Error::Overflow`] when no memory could.
    ///
    /// ```
    /// let m = lowrank::MatRef::new(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], 2, 3)?;
    /// assert_eq!(m.row(1), [4.0, 5.0, 6.0]);
    /// # Ok::<(), lowrank::Error>(())
    /// ```
    pub const fn new(data: &'a [f32], rows: usize, cols: usize) -> Result<Self, Error> {
        match check_dense(data.len(), rows, cols) {
            Ok(()) => Ok(Self { data, rows, cols, stride: cols }),
            Err(error) => Err(error),
        }
    }

    /// A dense matrix, for callers that know that `data` holds exactly as many elements.
    #[inline(always)]
    pub(crate) fn dense(data: &'a [f32], rows: usize, cols: usize) -> Self {
        Self { data, rows: rows_if_dense(data.len(), rows, cols), cols, stride: cols }
    }

    /// A matrix for callers that know that it lies in `data`.
    pub(crate) const fn spanning(data: &'a [f32], rows: usize, cols: usize, stride: usize) -> Self {
        Self { data, rows, cols, stride }
    }

    /// One number as every row of a matrix `[rows, 1]`.
    pub(crate) const fn repeat(number: &'a f32, rows: usize) -> Self {
        Self { data: core::slice::from_ref(number), rows, cols: 1, stride: 0 }
    }

    /// The matrix `[rows.len(), C]` of an array of rows, whose type has the shape.
    pub const fn from_rows<const C: usize>(rows: &'a [[f32; C]]) -> Self {
        Self { data: rows.as_flattened(), rows: rows.len(), cols: C, stride: C }
    }

    /// The matrix `[1, row.len()]` of one row: a bias.
    ///
    /// ```
    /// use lowrank::{Base, MatRef};
    ///
    /// static W: [[f32; 2]; 3] = [[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]];
    /// static BIAS: [f32; 3] = [0.5; 3];
    /// let base = Base { weights: MatRef::from_rows(&W).into(), bias: Some(MatRef::from_row(&BIAS)) };
    /// assert_eq!(base.bias.map(|bias| (bias.rows(), bias.row(0))), Some((1, &BIAS[..])));
    /// ```
    pub const fn from_row(row: &'a [f32]) -> Self {
        Self { data: row, rows: 1, cols: row.len(), stride: row.len() }
    }

    /// A matrix whose rows start `stride` elements apart. `data` may be longer than the matrix; what lies between and
    /// behind the rows is never touched. Where there is one row or none, or no column, `stride` makes no difference.
    ///
    /// # Errors
    /// [`Error::Stride`] when `stride < cols`, [`Error::Length`] when `data` is too short, [`Error::Overflow`].
    pub const fn with_stride(data: &'a [f32], rows: usize, cols: usize, stride: usize) -> Result<Self, Error> {
        match check(data.len(), rows, cols, stride) {
            Ok(stride) => Ok(Self { data, rows, cols, stride }),
            Err(error) => Err(error),
        }
    }

    /// Number of rows.
    pub const fn rows(&self) -> usize {
        self.rows
    }

    /// Number of columns.
    pub const fn cols(&self) -> usize {
        self.cols
    }

    /// Elements from the start of one row to the start of the next; as many as there are columns where there is no next one.
    pub const fn stride(&self) -> usize {
        self.stride
    }

    /// Whether there are no gaps between the rows.
    pub(crate) const fn is_dense(&self) -> bool {
        self.stride == self.cols
    }

    /// Rows without gaps as one long row, of which nothing is left where there are no elements.
    #[inline(always)]
    pub(crate) fn flatten(self) -> MatRef<'a> {
        if !self.is_dense() {
            return self;
        }
        let len = self.rows * self.cols;
        MatRef { data: self.data, rows: 1, cols: len, stride: len }
    }

    /// The memory that the view was made on.
    pub(crate) const fn data(&self) -> &'a [f32] {
        self.data
    }

    /// Row `i`, empty when there is no such row.
    #[inline(always)]
    pub fn row(&self, i: usize) -> &'a [f32] {
        row_range(i, self.rows, self.cols, self.stride).and_then(|r| self.data.get(r)).unwrap_or(&[])
    }

    /// Row `i`, or all rows as one where they have no gaps and that is wanted.
    #[inline(always)]
    pub(crate) fn line(&self, i: usize, all: bool) -> &'a [f32] {
        if all { part(self.data, ..self.rows * self.cols) } else { self.row(i) }
    }

    /// The rows from `first` on, at most `count`, and of them the columns from `col` on, at most `cols`.
    #[inline(always)]
    pub(crate) fn block(&self, first: usize, count: usize, col: usize, cols: usize) -> MatRef<'a> {
        let rows = count.min(self.rows.saturating_sub(first));
        let cols = cols.min(self.cols.saturating_sub(col));
        if rows == 0 || cols == 0 {
            return MatRef { data: &[], rows, cols, stride: self.stride };
        }
        let start = first * self.stride + col;
        MatRef { data: part(self.data, start..), rows, cols, stride: self.stride }
    }

    /// The part from row `row` and column `col` on.
    // Not inlined: where it is called, size counts.
    #[inline(never)]
    pub(crate) fn from(&self, row: usize, col: usize) -> MatRef<'a> {
        self.block(row, usize::MAX, col, usize::MAX)
    }

    /// The first `at` rows, and the others. Where there are fewer than `at`, the first piece has all of them.
    ///
    /// ```
    /// let x = lowrank::MatRef::from_rows(&[[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]);
    /// let (first, rest) = x.split_rows(1);
    /// assert_eq!((first.rows(), rest.rows(), rest.row(0)), (1, 2, &[3.0, 4.0][..]));
    /// ```
    #[must_use]
    pub const fn split_rows(self, at: usize) -> (Self, Self) {
        let Self { data, rows, cols, stride } = self;
        let at = at_most(at, rows);
        let (first, rest) = data.split_at(start_of_row(at, data.len(), rows, stride));
        (Self { data: first, rows: at, cols, stride }, Self { data: rest, rows: rows - at, cols, stride })
    }

    /// The first `at` columns, and the others. Where there are fewer than `at`, the first piece has all of them.
    ///
    /// ```
    /// let dy = lowrank::MatRef::from_rows(&[[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]);
    /// let (first, rest) = dy.split_cols(1);
    /// assert_eq!((first.row(1), rest.row(1)), (&[4.0][..], &[5.0, 6.0][..]));
    /// ```
    #[must_use]
    pub const fn split_cols(self, at: usize) -> (Self, Self) {
        let Self { data, rows, cols, stride } = self;
        let at = at_most(at, cols);
        let (_, rest) = data.split_at(at_most(at, data.len()));
        (Self { data, rows, cols: at, stride }, Self { data: rest, rows, cols: cols - at, stride })
    }

    /// Columns `range`, which lies within them.
    pub(crate) const fn cols_of(self, range: &Range<usize>) -> Self {
        self.split_cols(range.end).0.split_cols(range.start).1
    }
}

impl<'a> MatMut<'a> {
    /// As [`MatRef::new`].
    ///
    /// # Errors
    /// As [`MatRef::new`].
    pub const fn new(data: &'a mut [f32], rows: usize, cols: usize) -> Result<Self, Error> {
        match check_dense(data.len(), rows, cols) {
            Ok(()) => Ok(Self { data, rows, cols, stride: cols }),
            Err(error) => Err(error),
        }
    }

    /// As [`MatRef::dense`].
    #[inline(always)]
    pub(crate) fn dense(data: &'a mut [f32], rows: usize, cols: usize) -> Self {
        let rows = rows_if_dense(data.len(), rows, cols);
        Self { data, rows, cols, stride: cols }
    }

    /// As [`MatRef::spanning`].
    pub(crate) const fn spanning(data: &'a mut [f32], rows: usize, cols: usize, stride: usize) -> Self {
        Self { data, rows, cols, stride }
    }

    /// As [`MatRef::from_rows`].
    pub const fn from_rows<const C: usize>(rows: &'a mut [[f32; C]]) -> Self {
        let count = rows.len();
        Self { data: rows.as_flattened_mut(), rows: count, cols: C, stride: C }
    }

    /// As [`MatRef::from_row`].
    ///
    /// ```
    /// let (mut bias, trained) = ([0.0; 3], [0.5; 3]);
    /// lowrank::MatMut::from_row(&mut bias).row_mut(0).copy_from_slice(&trained);
    /// assert_eq!(bias, trained);
    /// ```
    pub const fn from_row(row: &'a mut [f32]) -> Self {
        let cols = row.len();
        Self { data: row, rows: 1, cols, stride: cols }
    }

    /// Cuts a dense matrix off the front of a slice, an empty one where the slice is too short.
    // Not inlined: a layout is cut into many.
    #[inline(never)]
    pub(crate) fn cut(data: &mut &'a mut [f32], rows: usize, cols: usize) -> Self {
        let all = core::mem::take(data);
        match rows.checked_mul(cols).filter(|&len| len <= all.len()) {
            Some(len) => {
                let (first, rest) = all.split_at_mut(len);
                *data = rest;
                Self { data: first, rows, cols, stride: cols }
            }
            None => Self { data: &mut [], rows: 0, cols, stride: cols },
        }
    }

    /// As [`MatRef::with_stride`].
    ///
    /// # Errors
    /// As [`MatRef::with_stride`].
    pub const fn with_stride(data: &'a mut [f32], rows: usize, cols: usize, stride: usize) -> Result<Self, Error> {
        match check(data.len(), rows, cols, stride) {
            Ok(stride) => Ok(Self { data, rows, cols, stride }),
            Err(error) => Err(error),
        }
    }

    /// Number of rows.
    pub const fn rows(&self) -> usize {
        self.rows
    }

    /// Number of columns.
    pub const fn cols(&self) -> usize {
        self.cols
    }

    /// Elements from the start of one row to the start of the next; as many as there are columns where there is no next one.
    pub const fn stride(&self) -> usize {
        self.stride
    }

    pub(crate) const fn data_mut(&mut self) -> &mut [f32] {
        self.data
    }

    /// The same matrix, for reading.
    pub const fn as_ref(&self) -> MatRef<'_> {
        MatRef { data: self.data, rows: self.rows, cols: self.cols, stride: self.stride }
    }

    pub(crate) const fn into_data(self) -> &'a mut [f32] {
        self.data
    }

    /// The same matrix, from now on for reading.
    pub(crate) const fn into_ref(self) -> MatRef<'a> {
        MatRef { data: self.data, rows: self.rows, cols: self.cols, stride: self.stride }
    }

    /// The same matrix, borrowed for a shorter time.
    pub const fn reborrow(&mut self) -> MatMut<'_> {
        MatMut { data: self.data, rows: self.rows, cols: self.cols, stride: self.stride }
    }

    /// Row `i`, empty when there is no such row.
    #[inline(always)]
    pub fn row(&self, i: usize) -> &[f32] {
        row_range(i, self.rows, self.cols, self.stride).and_then(|r| self.data.get(r)).unwrap_or(&[])
    }

    /// Row `i`, empty when there is no such row.
    #[inline(always)]
    pub fn row_mut(&mut self, i: usize) -> &mut [f32] {
        row_range(i, self.rows, self.cols, self.stride).and_then(|r| self.data.get_mut(r)).unwrap_or(&mut [])
    }

    /// As [`MatRef::line`].
    #[inline(always)]
    pub(crate) fn line_mut(&mut self, i: usize, all: bool) -> &mut [f32] {
        if all { part_mut(self.data, ..self.rows * self.cols) } else { self.row_mut(i) }
    }

    /// Not inlined, which at opt-level 3 would be a page of code at each call.
    #[inline(never)]
    pub(crate) fn fill_zero(&mut self) {
        let mut dense = self.reborrow().flatten();
        for i in 0..dense.rows {
            dense.row_mut(i).fill(0.0);
        }
    }

    /// Rows without gaps as one long row, of which nothing is left where there are no elements.
    #[inline(always)]
    pub(crate) fn flatten(self) -> MatMut<'a> {
        if !self.as_ref().is_dense() {
            return self;
        }
        let len = self.rows * self.cols;
        MatMut { data: self.data, rows: 1, cols: len, stride: len }
    }

    /// The first rows and columns, at most so many.
    #[inline(always)]
    pub(crate) fn within(&mut self, rows: usize, cols: usize) -> MatMut<'_> {
        MatMut { data: self.data, rows: rows.min(self.rows), cols: cols.min(self.cols), stride: self.stride }
    }

    /// As [`MatRef::from`].
    #[inline(never)]
    pub(crate) fn from(&mut self, row: usize, col: usize) -> MatMut<'_> {
        self.block(row, usize::MAX, col, usize::MAX)
    }

    /// As [`MatMut::split_cols`]. Of several rows, which are an error wherever one is expected, the first piece has all.
    pub(crate) const fn split_line(self, at: usize) -> (Self, Self) {
        if self.rows > 1 {
            return self.split_rows(usize::MAX);
        }
        let Self { data, rows, cols, stride } = self;
        let at = at_most(at, cols);
        let (first, rest) = data.split_at_mut(at_most(at, data.len()));
        (Self { data: first, rows, cols: at, stride }, Self { data: rest, rows, cols: cols - at, stride })
    }

    /// As [`MatRef::block`].
    #[inline(always)]
    pub(crate) fn block(&mut self, first: usize, count: usize, col: usize, cols: usize) -> MatMut<'_> {
        let rows = count.min(self.rows.saturating_sub(first));
        let cols = cols.min(self.cols.saturating_sub(col));
        if rows == 0 || cols == 0 {
            return MatMut { data: &mut [], rows, cols, stride: self.stride };
        }
        let start = first * self.stride + col;
        MatMut { data: part_mut(self.data, start..), rows, cols, stride: self.stride }
    }

    /// As [`MatRef::split_rows`]: two pieces that two threads can write.
    ///
    /// ```
    /// let mut y = [[0.0; 2]; 3];
    /// let (mut first, mut rest) = lowrank::MatMut::from_rows(&mut y).split_rows(2);
    /// first.row_mut(1).fill(1.0);
    /// rest.row_mut(0).fill(2.0);
    /// assert_eq!(y, [[0.0, 0.0], [1.0, 1.0], [2.0, 2.0]]);
    /// ```
    #[must_use]
    pub const fn split_rows(self, at: usize) -> (Self, Self) {
        let Self { data, rows, cols, stride } = self;
        let at = at_most(at, rows);
        let (first, rest) = data.split_at_mut(start_of_row(at, data.len(), rows, stride));
        (Self { data: first, rows: at, cols, stride }, Self { data: rest, rows: rows - at, cols, stride })
    }

    /// The first `at` columns, and the others, of a matrix that has one row: the output of one token, a bias. Where there
    /// are fewer than `at`, the first piece has all of them.
    ///
    /// # Errors
    /// [`Error::Rows`] when there are several rows: their pieces would lie between each other.
    ///
    /// ```
    /// let mut y = [[0.0; 3]];
    /// let (mut first, mut rest) = lowrank::MatMut::from_rows(&mut y).split_cols(2)?;
    /// first.row_mut(0).fill(1.0);
    /// rest.row_mut(0).fill(2.0);
    /// assert_eq!(y, [[1.0, 1.0, 2.0]]);
    /// # Ok::<(), lowrank::Error>(())
    /// ```
    pub const fn split_cols(self, at: usize) -> Result<(Self, Self), Error> {
        if self.rows > 1 {
            return Err(Error::Rows { argument: Argument::Matrix, expected: 1, got: self.rows });
        }
        Ok(self.split_line(at))
    }
}

/// An array of rows, whose type has the shape.
impl<'a, const R: usize, const C: usize> From<&'a [[f32; C]; R]> for MatRef<'a> {
    fn from(rows: &'a [[f32; C]; R]) -> Self {
        Self::from_rows(rows)
    }
}

/// As [`MatRef::from_rows`].
impl<'a, const C: usize> From<&'a [[f32; C]]> for MatRef<'a> {
    fn from(rows: &'a [[f32; C]]) -> Self {
        Self::from_rows(rows)
    }
}

/// The same matrix, only to be read.
impl<'a> From<&'a MatMut<'_>> for MatRef<'a> {
    fn from(matrix: &'a MatMut<'_>) -> Self {
        matrix.as_ref()
    }
}

/// An array of rows, whose type has the shape.
impl<'a, const R: usize, const C: usize> From<&'a mut [[f32; C]; R]> for MatMut<'a> {
    fn from(rows: &'a mut [[f32; C]; R]) -> Self {
        Self::from_rows(rows)
    }
}

/// As [`MatMut::from_rows`].
impl<'a, const C: usize> From<&'a mut [[f32; C]]> for MatMut<'a> {
    fn from(rows: &'a mut [[f32; C]]) -> Self {
        Self::from_rows(rows)
    }
}

/// The elements of a range, for callers that know that they are there; none where they are wrong, which would be a mistake in this
/// crate.
#[inline(always)]
pub(crate) fn part<R: SliceIndex<[f32], Output = [f32]>>(data: &[f32], range: R) -> &[f32] {
    let part = data.get(range);
    debug_assert!(part.is_some(), "a range that {} elements do not have", data.len());
    part.unwrap_or(&[])
}

/// As [`part`].
#[inline(always)]
pub(crate) fn part_mut<R: SliceIndex<[f32], Output = [f32]>>(data: &mut [f32], range: R) -> &mut [f32] {
    let len = data.len();
    let part = data.get_mut(range);
    debug_assert!(part.is_some(), "a range that {len} elements do not have");
    part.unwrap_or(&mut [])
}

/// The rows of a dense matrix; none where it is not as long as its caller says, which would be a mistake in this crate.
#[inline(always)]
fn rows_if_dense(len: usize, rows: usize, cols: usize) -> usize {
    let fits = rows.checked_mul(cols) == Some(len);
    debug_assert!(fits, "[{rows}, {cols}] in {len} elements");
    if fits { rows } else { 0 }
}

#[inline(always)]
fn row_range(i: usize, rows: usize, cols: usize, stride: usize) -> Option<Range<usize>> {
    (i < rows && cols > 0).then(|| i * stride..i * stride + cols)
}

/// Checks that a matrix has the shape that its role asks for.
pub(crate) const fn expect_shape(
    argument: Argument,
    got: (usize, usize),
    expected: (usize, usize),
) -> Result<(), Error> {
    if got.0 != expected.0 {
        Err(Error::Rows { argument, expected: expected.0, got: got.0 })
    } else if got.1 != expected.1 {
        Err(Error::Cols { argument, expected: expected.1, got: got.1 })
    } else {
        Ok(())
    }
}

/// Checks that a bias, if there is one, is a row with an element for each output.
pub(crate) const fn expect_bias(bias: Option<&MatRef<'_>>, outputs: usize) -> Result<(), Error> {
    match bias {
        Some(bias) => expect_shape(Argument::Bias, (bias.rows, bias.cols), (1, outputs)),
        None => Ok(()),
    }
}

/// Checks that a matrix has as many columns as its role asks for.
pub(crate) const fn expect_cols(argument: Argument, got: usize, expected: usize) -> Result<(), Error> {
    if got == expected { Ok(()) } else { Err(Error::Cols { argument, expected, got }) }
}

/// Checks that a range lies within a length and does not run backwards.
pub(crate) const fn expect_range(argument: Argument, range: &Range<usize>, len: usize) -> Result<(), Error> {
    if range.start > range.end {
        Err(Error::Reversed { argument, start: range.start, end: range.end })
    } else if range.end > len {
        Err(Error::TooMany { argument, at_most: len, got: range.end })
    } else {
        Ok(())
    }
}

/// Checks that a slice has the length that its role asks for.
pub(crate) const fn expect_len(argument: Argument, got: usize, expected: usize) -> Result<(), Error> {
    if got == expected { Ok(()) } else { Err(Error::Length { argument, expected, got }) }
}

#[cfg(test)]
mod tests;
