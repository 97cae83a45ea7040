//! Panels of outputs. The layout is on the page of the [module](super).

use core::num::NonZeroUsize;
use core::ops::Range;

use super::panels::{Panels, SideBySide};
use crate::error::{Argument, Error};
use crate::kernel::operand::Piece;
use crate::kernel::pack::Pack;
use crate::simd::Backend;
use crate::view::{MatRef, expect_len, part, span};

/// Weights `W [out, in]` in panels of outputs, borrowed: all of them, or a range of outputs.
#[derive(Copy, Clone, Debug)]
pub struct Packed<'a> {
    data: &'a [f32],
    /// Outputs in `data`.
    all: usize,
    /// The first output of the range.
    first: usize,
    /// Outputs of the range.
    outputs: usize,
    inputs: usize,
    width: NonZeroUsize,
}

/// Length of the buffer that [`pack`] fills: `outputs · inputs`, or `None` when that does not fit into memory.
pub const fn packed_len(outputs: usize, inputs: usize) -> Option<usize> {
    span(outputs, inputs, inputs)
}

/// Packs `W [out, in]` into the caller's buffer, in panels as wide as `backend` likes them.
///
/// The bits of the results do not depend on the layout: packing is done once, for speed.
///
/// # Errors
/// [`Error::Length`] when `buffer` does not hold exactly [`packed_len`] elements.
///
/// ```
/// use lowrank::{Backend, Base, MatRef, weight::pack};
/// let w = MatRef::new(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], 3, 2)?;
/// let mut buffer = [0.0; 6];
/// let base = Base { weights: pack(Backend::BASELINE, w, &mut buffer)?.into(), bias: None };
/// # Ok::<(), lowrank::Error>(())
/// ```
pub fn pack<'b>(backend: Backend, w: MatRef<'_>, buffer: &'b mut [f32]) -> Result<Packed<'b>, Error> {
    let (outputs, inputs, width) = (w.rows(), w.cols(), backend.panel_width());
    let Some(len) = packed_len(outputs, inputs) else { return Err(Error::Overflow { argument: Argument::W }) };
    expect_len(Argument::Packed, buffer.len(), len)?;
    backend.run(Pack { matrix: w, width, panels: buffer });
    Packed::new(buffer, outputs, inputs, width)
}

impl<'a> Packed<'a> {
    /// Weights that were packed before, for example at build time: panels of `width` outputs in `data`.
    ///
    /// # Errors
    /// [`Error::Length`] when `data` does not hold `outputs · inputs` elements, [`Error::Cols`] when `width` is 0,
    /// [`Error::Overflow`].
    pub const fn new(data: &'a [f32], outputs: usize, inputs: usize, width: usize) -> Result<Self, Error> {
        let Some(width) = NonZeroUsize::new(width) else {
            return Err(Error::Cols { argument: Argument::Packed, expected: 1, got: 0 });
        };
        let Some(len) = packed_len(outputs, inputs) else {
            return Err(Error::Overflow { argument: Argument::Packed });
        };
        match expect_len(Argument::Packed, data.len(), len) {
            Ok(()) => Ok(Self { data, all: outputs, first: 0, outputs, inputs, width }),
            Err(error) => Err(error),
        }
    }

    /// Number of outputs.
    pub const fn outputs(&self) -> usize {
        self.outputs
    }

    /// Number of inputs.
    pub const fn inputs(&self) -> usize {
        self.inputs
    }

    /// Outputs in every panel but the last.
    pub const fn width(&self) -> usize {
        self.width.get()
    }

    /// Outputs `range` of these, which lies within them.
    #[inline(always)]
    pub(crate) const fn range(self, range: &Range<usize>) -> Self {
        Self { first: self.first + range.start, outputs: range.end - range.start, ..self }
    }
}

impl Panels for Packed<'_> {
    const IN_PLACE: bool = true;

    fn outputs(&self) -> usize {
        self.outputs
    }

    fn inputs(&self) -> usize {
        self.inputs
    }

    /// What lies in one panel, which is cut where the range of outputs starts or ends within it.
    // Not inlined: it is called from several loops, once for a panel.
    #[inline(never)]
    fn panel<'r>(&'r self, output: usize, input: usize, _room: &'r mut [f32]) -> Piece<'r> {
        let output_of_all = self.first + output;
        let lane = output_of_all % self.width;
        let first = output_of_all - lane;
        let width = self.width.get().min(self.all - first);
        let outputs = (width - lane).min(self.outputs - output);
        let panel =
            MatRef::dense(part(self.data, first * self.inputs..(first + width) * self.inputs), self.inputs, width);
        Piece { matrix: panel.block(input, usize::MAX, lane, outputs), transposed: false }
    }

    #[inline(always)]
    fn side_by_side(&self) -> Option<SideBySide<'_>> {
        let Self { data, all, first, outputs, inputs, width } = *self;
        let (limit, whole) = (first + outputs, |output: usize| output - output % width);
        let start = whole(first.saturating_add(width.get() - 1)).min(limit);
        let end = if limit == all { all } else { whole(limit).max(start) };
        let panels = part(data, start * inputs..end * inputs);
        Some(SideBySide { outputs: start - first..end - first, panels, width: width.get() })
    }
}
