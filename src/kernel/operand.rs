//! The one form in which a matrix goes down to the register tile.

use crate::view::MatRef;

/// An operand of a product, `[rows, cols]`: element `(row, col)` is `data[row * row_stride + col * col_stride]`.
///
/// It is made of a matrix or of its transpose, so one of the strides is 1.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Operand<'a> {
    data: &'a [f32],
    rows: usize,
    cols: usize,
    row_stride: usize,
    col_stride: usize,
}

/// The operands of a second product, whose chains continue those of the first.
pub(crate) type More<'a> = Option<(Operand<'a>, Operand<'a>)>;

impl<'a> Operand<'a> {
    /// Nothing: no rows, no columns.
    pub(crate) const NONE: Operand<'static> = Operand { data: &[], rows: 0, cols: 0, row_stride: 0, col_stride: 1 };

    #[inline(always)]
    pub(crate) const fn of(matrix: &MatRef<'a>) -> Self {
        let (rows, cols) = (matrix.rows(), matrix.cols());
        Self { data: matrix.data(), rows, cols, row_stride: matrix.stride(), col_stride: 1 }
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

    /// A column as an operand of one column, whose numbers lie side by side as far as there are any.
    #[inline(always)]
    pub(crate) const fn column(self) -> Self {
        Self { cols: 1, col_stride: 1, ..self }
    }

    /// The part with rows `first..first + rows` and columns `col..col + cols`, cut at the edges.
    #[inline(always)]
    pub(crate) fn block(&self, first: usize, rows: usize, col: usize, cols: usize) -> Self {
        let rows = rows.min(self.rows.saturating_sub(first));
        let cols = cols.min(self.cols.saturating_sub(col));
        let start =
            if rows == 0 || cols == 0 { self.data.len() } else { first * self.row_stride + col * self.col_stride };
        Self { data: self.data.get(start..).unwrap_or(&[]), rows, cols, ..*self }
    }

    /// The columns from `col` on.
    #[inline(always)]
    pub(crate) fn from_col(&self, col: usize) -> Self {
        self.block(0, usize::MAX, col, usize::MAX)
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
        self.data.get(start..start + self.cols).unwrap_or(&[])
    }
}
