//! The forms of a matrix on its way to the register tile: the passes name a [`Factor`], the loops cut an [`Operand`].

use crate::view::{MatRef, part};

/// A matrix or its transpose, as it stands in an equation.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Factor<'a> {
    pub matrix: &'a MatRef<'a>,
    pub transposed: bool,
}

/// The matrix itself.
pub(crate) const fn plain<'a>(matrix: &'a MatRef<'a>) -> Factor<'a> {
    Factor { matrix, transposed: false }
}

/// Its transpose.
pub(crate) const fn transposed<'a>(matrix: &'a MatRef<'a>) -> Factor<'a> {
    Factor { matrix, transposed: true }
}

impl<'a> Factor<'a> {
    pub(crate) const fn t(self) -> Self {
        Self { transposed: !self.transposed, ..self }
    }

    /// The columns from `lane` on.
    pub(crate) fn lanes_from(&self, lane: usize) -> Piece<'a> {
        let Self { matrix, transposed } = *self;
        Piece { matrix: if transposed { matrix.from(lane, 0) } else { matrix.from(0, lane) }, transposed }
    }

    #[inline(always)]
    pub(crate) const fn rows(&self) -> usize {
        if self.transposed { self.matrix.cols() } else { self.matrix.rows() }
    }

    #[inline(always)]
    pub(crate) const fn cols(&self) -> usize {
        if self.transposed { self.matrix.rows() } else { self.matrix.cols() }
    }
}

/// As [`Factor`], for a part of a matrix that nobody else holds.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Piece<'a> {
    pub matrix: MatRef<'a>,
    pub transposed: bool,
}

impl<'a> Piece<'a> {
    #[inline(always)]
    pub(crate) const fn factor(&self) -> Factor<'_> {
        Factor { matrix: &self.matrix, transposed: self.transposed }
    }

    pub(crate) const fn t(self) -> Self {
        Self { transposed: !self.transposed, ..self }
    }

    #[inline(always)]
    pub(crate) const fn operand(self) -> Operand<'a> {
        let operand = Operand::new(self.matrix);
        if self.transposed { operand.t() } else { operand }
    }
}

/// A second product of a left and a right, whose chains continue those of the first, if there is one.
pub(crate) type More<T> = Option<(T, T)>;

/// An operand of a product, `[rows, cols]`: element `(row, col)` is `data[row * row_stride + col * col_stride]`.
///
/// One of the strides is 1, as it is made of a matrix or of its transpose.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Operand<'a> {
    data: &'a [f32],
    rows: usize,
    cols: usize,
    row_stride: usize,
    col_stride: usize,
}

impl<'a> Operand<'a> {
    /// Nothing: no rows, no columns.
    pub(crate) const NONE: Operand<'static> = Operand { data: &[], rows: 0, cols: 0, row_stride: 0, col_stride: 1 };

    #[inline(always)]
    pub(crate) const fn of(factor: Factor<'a>) -> Self {
        Piece { matrix: *factor.matrix, transposed: factor.transposed }.operand()
    }

    /// The operand reads the matrix as it lies.
    #[inline(always)]
    pub(crate) const fn new(matrix: MatRef<'a>) -> Self {
        let (rows, cols) = (matrix.rows(), matrix.cols());
        Self { data: matrix.data(), rows, cols, row_stride: matrix.stride(), col_stride: 1 }
    }

    /// As a matrix, for operands whose rows have their numbers side by side.
    #[inline(always)]
    pub(crate) fn matrix(self) -> MatRef<'a> {
        debug_assert!(self.has_vectors(), "{self:?} is no matrix");
        MatRef::spanning(self.data, self.rows, self.cols, self.row_stride)
    }

    /// Any shape at any strides, whether or not it lies inside the slice.
    #[cfg(test)]
    pub(crate) const fn strided(
        data: &'a [f32],
        (rows, cols): (usize, usize),
        (row_stride, col_stride): (usize, usize),
    ) -> Self {
        Self { data, rows, cols, row_stride, col_stride }
    }

    /// The transpose.
    #[inline(always)]
    pub(crate) const fn t(self) -> Self {
        let Self { data, rows, cols, row_stride, col_stride } = self;
        Self { data, rows: cols, cols: rows, row_stride: col_stride, col_stride: row_stride }
    }

    pub(crate) const fn data(&self) -> &'a [f32] {
        self.data
    }

    pub(crate) const fn rows(&self) -> usize {
        self.rows
    }

    pub(crate) const fn cols(&self) -> usize {
        self.cols
    }

    pub(crate) const fn row_stride(&self) -> usize {
        self.row_stride
    }

    pub(crate) const fn col_stride(&self) -> usize {
        self.col_stride
    }

    /// Whether the numbers of a row lie side by side, so that they can be loaded as vectors.
    pub(crate) const fn has_vectors(&self) -> bool {
        self.col_stride == 1
    }

    /// An operand of one column as one whose rows lie side by side: there is but one number in each.
    #[inline(always)]
    pub(crate) const fn column(self) -> Self {
        Self { col_stride: 1, ..self }
    }

    /// The part with rows `first..first + rows` and columns `col..col + cols`, cut at the edges.
    #[inline(always)]
    pub(crate) fn block(&self, first: usize, rows: usize, col: usize, cols: usize) -> Self {
        let rows = rows.min(self.rows.saturating_sub(first));
        let cols = cols.min(self.cols.saturating_sub(col));
        let start =
            if rows == 0 || cols == 0 { self.data.len() } else { first * self.row_stride + col * self.col_stride };
        Self { data: part(self.data, start..), rows, cols, ..*self }
    }

    /// The first rows and columns, at most so many.
    #[inline(always)]
    pub(crate) fn within(self, rows: usize, cols: usize) -> Self {
        Self { rows: rows.min(self.rows), cols: cols.min(self.cols), ..self }
    }

    /// Whether so many rows and columns lie inside the slice.
    pub(crate) fn holds(&self, rows: usize, cols: usize) -> bool {
        if rows == 0 || cols == 0 {
            return true;
        }
        let last = (rows - 1).checked_mul(self.row_stride).zip((cols - 1).checked_mul(self.col_stride));
        let last = last.and_then(|(a, b)| a.checked_add(b));
        last.is_some_and(|last| last < self.data.len())
    }

    /// Row `i`, whose numbers lie side by side.
    #[inline(always)]
    pub(crate) fn row(&self, i: usize) -> &'a [f32] {
        debug_assert!(self.has_vectors() && i < self.rows, "row {i} of {self:?}");
        let start = i * self.row_stride;
        part(self.data, start..start + self.cols)
    }
}
