//! The update of a layer, block by block, whatever way round the base is stored.

use std::ops::Range;

use lowrank::format::Entry;
use lowrank::{Adapter, Backend, Base, MatMut, MatRef, Shape};

use crate::error::Failure;
use crate::layout::Layout;
use crate::number::{elements, transpose};

/// Elements of a block, about; there are always whole rows of the stored matrix in one.
const BLOCK: usize = 1 << 18;

/// Rows of a block are a multiple of this, so that no group of quantised weights is cut.
pub(crate) const GROUP: usize = 32;

/// The adapter of a layer in f32.
pub(crate) struct Update {
    pub(crate) shape: Shape,
    a: Vec<f32>,
    b: Vec<f32>,
    pub(crate) scale: f32,
    /// The base is stored `[in, out]`.
    pub(crate) transposed: bool,
}

/// Some rows of the stored matrix, turned so that they are `[outputs, inputs]`.
pub(crate) struct Block<'b> {
    pub(crate) outputs: usize,
    pub(crate) inputs: usize,
    pub(crate) base: &'b [f32],
    adapter: Adapter<'b>,
}

impl Update {
    pub(crate) fn of(entry: &Entry<'_>, layout: Layout) -> Result<Self, lowrank::Error> {
        let shape = entry.shape();
        Ok(Self {
            shape,
            a: elements(&entry.a)?,
            b: elements(&entry.b)?,
            scale: entry.scale.factor(shape.rank),
            transposed: layout == Layout::InOut,
        })
    }

    /// Rows and columns of the base, as it is stored.
    pub(crate) const fn stored_shape(&self) -> [usize; 2] {
        let Shape { inputs, outputs, .. } = self.shape;
        if self.transposed { [inputs, outputs] } else { [outputs, inputs] }
    }

    /// Calls `visit` for each block, with the rows that `read` puts into its buffer.
    pub(crate) fn each_block(
        &self,
        mut read: impl FnMut(Range<usize>, &mut Vec<f32>) -> Result<(), Failure>,
        mut visit: impl FnMut(&Block<'_>) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let [rows, cols] = self.stored_shape();
        let step = (BLOCK / cols.max(1)).next_multiple_of(GROUP).max(GROUP);
        let (mut stored, mut turned, mut columns) = (Vec::new(), Vec::new(), Vec::new());
        for first in (0..rows).step_by(step) {
            let range = first..rows.min(first + step);
            read(range.clone(), &mut stored)?;
            if self.transposed {
                transpose(&stored, cols, &mut turned);
                let block = Block {
                    outputs: cols,
                    inputs: range.len(),
                    base: &turned,
                    adapter: self.inputs(range, &mut columns).map_err(Failure::Core)?,
                };
                visit(&block)?;
            } else {
                let adapter = self.outputs(range.clone()).map_err(Failure::Core)?;
                visit(&Block { outputs: range.len(), inputs: cols, base: &stored, adapter })?;
            }
        }
        Ok(())
    }

    fn outputs(&self, range: Range<usize>) -> Result<Adapter<'_>, lowrank::Error> {
        let Shape { inputs, rank, .. } = self.shape;
        let b = &self.b[range.start * rank..range.end * rank];
        Ok(Adapter {
            a: MatRef::new(&self.a, rank, inputs)?,
            b: MatRef::new(b, range.len(), rank)?,
            bias: None,
            scale: self.scale,
        })
    }

    fn inputs<'a>(&'a self, range: Range<usize>, columns: &'a mut Vec<f32>) -> Result<Adapter<'a>, lowrank::Error> {
        let Shape { inputs, outputs, rank } = self.shape;
        columns.clear();
        self.a.chunks_exact(inputs).for_each(|row| columns.extend(&row[range.clone()]));
        Ok(Adapter {
            a: MatRef::new(columns, rank, range.len())?,
            b: MatRef::new(&self.b, outputs, rank)?,
            bias: None,
            scale: self.scale,
        })
    }
}

impl Block<'_> {
    /// Replaces `merged` by the block with the update added to `base`, as [`lowrank::merge`] does it.
    pub(crate) fn merge_into(&self, backend: Backend, base: &[f32], merged: &mut Vec<f32>) -> Result<(), Failure> {
        merged.clear();
        merged.resize(base.len(), 0.0);
        let mut merge = || {
            let base = Base { weights: MatRef::new(base, self.outputs, self.inputs)?.into(), bias: None };
            lowrank::merge(backend, &base, &self.adapter, MatMut::new(merged, self.outputs, self.inputs)?)
        };
        merge().map_err(Failure::Core)
    }
}
