//! Panels of outputs. The layout is on the page of the [module](super).

use core::num::NonZeroUsize;
use core::ops::Range;

use crate::error::{Argument, Error};
use crate::kernel::pack::Pack;
use crate::simd::Backend;
use crate::view::{MatRef, expect_len, span};

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

    /// The outputs whose panels lie within the range as a whole, and these panels, one after the other. They are none where
    /// every panel is cut.
    #[inline(always)]
    pub(crate) fn uncut(&self) -> (Range<usize>, &'a [f32]) {
        let Self { data, all, first, outputs, inputs, width } = *self;
        let (limit, whole) = (first + outputs, |output: usize| output - output % width);
        let start = whole(first.saturating_add(width.get() - 1)).min(limit);
        let end = if limit == all { all } else { whole(limit).max(start) };
        let panels = data.get(start.saturating_mul(inputs)..end.saturating_mul(inputs)).unwrap_or(&[]);
        (start - first..end - first, panels)
    }

    /// From output `first` on, what lies in one panel, as a matrix `[in, outputs]`.
    #[inline(always)]
    pub(crate) fn piece(&self, first: usize) -> MatRef<'a> {
        let output = self.first + first;
        let lane = output % self.width;
        let panel = output - lane;
        let width = self.width.get().min(self.all - panel);
        let outputs = (width - lane).min(self.outputs - first);
        let start = panel * self.inputs;
        let data = self.data.get(start..start + width * self.inputs).unwrap_or(&[]);
        MatRef::dense(data, self.inputs, width).split_cols(lane).1.split_cols(outputs).0
    }

    /// The panels as matrices `[in, outputs of the panel]`, each with the number of its first output. Where the range
    /// starts or ends within a panel, that panel is cut.
    #[inline(always)]
    pub(crate) fn panels(&self) -> impl Iterator<Item = (usize, MatRef<'a>)> + Clone + use<'a> {
        let Self { data, all, first, outputs, inputs, width } = *self;
        let (start, end) = (first - first % width, first + outputs);
        // Without inputs or outputs there is nothing in a panel.
        let end = if inputs == 0 || outputs == 0 { start } else { end };
        (start..end).step_by(width.get()).filter_map(move |panel| {
            let lanes = width.get().min(all - panel);
            let skipped = first.saturating_sub(panel);
            let kept = lanes.min(end - panel) - skipped;
            let matrix = MatRef::with_stride(data.get(panel * inputs + skipped..)?, inputs, kept, lanes).ok()?;
            Some((panel + skipped - first, matrix))
        })
    }
}
