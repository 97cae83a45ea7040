//! Panels of outputs. The layout is on the page of the [module](super).

use core::num::NonZeroUsize;

use super::base::{Base, Weights};
use super::panels::{Panels, SideBySide};
use super::socket::{Coded, Format, Stored};
use crate::error::{Argument, Error};
use crate::kernel::operand::Piece;
use crate::kernel::pack::Pack;
use crate::simd::Backend;
use crate::view::{MatRef, expect_len, part, span};

/// Weights `W [out, in]` in panels of outputs, borrowed.
#[derive(Copy, Clone, Debug)]
pub struct Packed<'a> {
    data: &'a [f32],
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
            Ok(()) => Ok(Self { data, outputs, inputs, width }),
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
}

impl<'a> Base<'a> {
    /// Weights that [`pack`] has written, and a bias `[out]`.
    pub fn packed(weights: Packed<'a>, bias: Option<&'a [f32]>) -> Self {
        Self::new(weights.into(), bias)
    }
}

impl<'a> From<Packed<'a>> for Weights<'a> {
    fn from(packed: Packed<'a>) -> Self {
        let Packed { data, outputs, inputs, width } = packed;
        Self::of::<InPanels>(Stored::Panels { data, width }, (outputs, inputs))
    }
}

/// The format of [`Packed`].
struct InPanels;

impl Format for InPanels {
    type Panels<'a> = Part<'a>;

    #[inline(always)]
    fn panels<'a>(weights: &Coded<'a>, _backend: Backend) -> Part<'a> {
        let (first, outputs, inputs) = (weights.first, weights.outputs(), weights.inputs());
        match weights.stored {
            Stored::Panels { data, width } => Part { data, first, outputs, inputs, width },
            Stored::Bytes(_) => {
                debug_assert!(false, "panels are no bytes");
                Part { data: &[], first: 0, outputs: 0, inputs, width: NonZeroUsize::MIN }
            }
        }
    }
}

/// A range of outputs.
#[derive(Copy, Clone)]
struct Part<'a> {
    data: &'a [f32],
    /// The first output of the range.
    first: usize,
    /// Outputs of the range.
    outputs: usize,
    inputs: usize,
    width: NonZeroUsize,
}

impl Part<'_> {
    /// Outputs in `data`, or those that are known of where they take no room.
    #[inline(always)]
    fn all(&self) -> usize {
        self.data.len().checked_div(self.inputs).unwrap_or(self.first + self.outputs)
    }

    /// What lies in one panel, which is cut where the range of outputs starts or ends within it.
    // Not inlined: it is called from several loops, once for a panel.
    #[inline(never)]
    fn in_place(&self, output: usize, input: usize) -> Piece<'_> {
        let output_of_all = self.first + output;
        let lane = output_of_all % self.width;
        let first = output_of_all - lane;
        let width = self.width.get().min(self.all() - first);
        let outputs = (width - lane).min(self.outputs - output);
        let panel =
            MatRef::dense(part(self.data, first * self.inputs..(first + width) * self.inputs), self.inputs, width);
        Piece { matrix: panel.block(input, usize::MAX, lane, outputs), transposed: false }
    }
}

impl Panels for Part<'_> {
    const IN_PLACE: bool = true;

    fn outputs(&self) -> usize {
        self.outputs
    }

    fn inputs(&self) -> usize {
        self.inputs
    }

    #[inline(always)]
    fn panel<'r>(&'r self, (output, input): (usize, usize), _most: (usize, usize), _room: &'r mut [f32]) -> Piece<'r> {
        self.in_place(output, input)
    }

    #[inline(always)]
    fn side_by_side(&self) -> Option<SideBySide<'_>> {
        let (Self { data, first, outputs, inputs, width }, all) = (*self, self.all());
        let (limit, whole) = (first + outputs, |output: usize| output - output % width);
        let start = whole(first.saturating_add(width.get() - 1)).min(limit);
        let end = if limit == all { all } else { whole(limit).max(start) };
        let panels = part(data, start * inputs..end * inputs);
        Some(SideBySide { outputs: start - first..end - first, panels, width: width.get() })
    }
}
