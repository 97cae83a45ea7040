//! Matrices in memory that is more than the matrix: strided, off the alignment of vectors, between guard bands.

use std::ops::DerefMut;

use lowrank::{MatMut, MatRef};

/// What lies round a matrix: a NaN with a payload that no operation makes. Whoever reads it shows it, whoever writes over
/// it is seen.
pub(crate) const PAINT: u32 = 0x7fde_adbe;

/// How a matrix lies in its memory.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Placement {
    /// Elements between the end of a row and the start of the next.
    pub(crate) gap: usize,
    /// Painted elements before the matrix and behind it; they are part of the slice that the view is made on.
    pub(crate) guard: usize,
    /// Distance of the first element from a 64-byte boundary, in elements: 0 to 15.
    pub(crate) offset: usize,
}

impl Placement {
    /// A slice that holds the matrix and nothing else.
    pub(crate) const DENSE: Placement = Placement { gap: 0, guard: 0, offset: 0 };
}

/// Elements between two 64-byte boundaries.
const LINE: usize = 16;

/// A matrix `[rows, cols]` in owned or lent memory.
pub(crate) struct Placed<M> {
    memory: M,
    first: usize,
    rows: usize,
    cols: usize,
    stride: usize,
}

impl Placed<Vec<f32>> {
    /// Copies `values`, row-major, into new memory.
    pub(crate) fn new(values: &[f32], rows: usize, cols: usize, how: Placement) -> Self {
        let stride = cols + how.gap;
        let mut memory = vec![0.0; how.guard + LINE + rows * stride + how.guard];
        let guarded = memory.as_ptr().addr() / size_of::<f32>() + how.guard;
        let first = how.guard + (LINE + how.offset - guarded % LINE) % LINE;
        memory.truncate(first + rows * stride + how.guard);
        Self::within(memory, values, (rows, cols), first, stride)
    }
}

impl<M: DerefMut<Target = [f32]>> Placed<M> {
    /// Copies `values` to `first` in `memory`, and paints the rest of it.
    pub(crate) fn within(
        mut memory: M,
        values: &[f32],
        (rows, cols): (usize, usize),
        first: usize,
        stride: usize,
    ) -> Self {
        assert_eq!(values.len(), rows * cols);
        memory.fill(f32::from_bits(PAINT));
        let mut placed = Self { memory, first, rows, cols, stride };
        for i in 0..rows {
            placed.view_mut().row_mut(i).copy_from_slice(&values[i * cols..][..cols]);
        }
        placed
    }

    pub(crate) fn view(&self) -> MatRef<'_> {
        MatRef::with_stride(&self.memory[self.first..], self.rows, self.cols, self.stride).unwrap()
    }

    pub(crate) fn view_mut(&mut self) -> MatMut<'_> {
        MatMut::with_stride(&mut self.memory[self.first..], self.rows, self.cols, self.stride).unwrap()
    }

    /// The only row of a matrix that has one.
    pub(crate) fn slice(&self) -> &[f32] {
        assert_eq!(self.rows, 1);
        &self.memory[self.first..][..self.cols]
    }

    /// The only row of a matrix that has one.
    pub(crate) fn slice_mut(&mut self) -> &mut [f32] {
        assert_eq!(self.rows, 1);
        &mut self.memory[self.first..][..self.cols]
    }

    /// The elements, row-major.
    pub(crate) fn values(&self) -> Vec<f32> {
        (0..self.rows).flat_map(|i| self.view().row(i).to_vec()).collect()
    }

    /// Whether the paint before, between and behind the rows is what it was.
    pub(crate) fn is_intact(&self) -> bool {
        self.memory.iter().enumerate().all(|(at, value)| {
            let inside = at
                .checked_sub(self.first)
                .is_some_and(|at| self.stride > 0 && at / self.stride < self.rows && at % self.stride < self.cols);
            inside || value.to_bits() == PAINT
        })
    }
}
