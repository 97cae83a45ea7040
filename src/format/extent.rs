//! How long everything is: the one computation of sizes, in checked 64-bit numbers, for reading, writing and planning.

use super::header::HEADER;
use crate::dtype::Dtype;
use crate::lora::Shape;
use crate::train::{Optimizer, State, Trained};

/// Every tensor starts at a multiple of this, from the start of the file.
pub(super) const ALIGN: u64 = 16;

/// Bytes of an entry of the table.
pub(super) const ENTRY: usize = 96;

/// The next multiple of [`ALIGN`].
pub(super) const fn aligned(n: u64) -> Option<u64> {
    n.checked_next_multiple_of(ALIGN)
}

/// What decides how many bytes a layer takes.
///
/// ```
/// use lowrank::format::{Outline, encoded_len};
/// use lowrank::{Dtype, Shape};
/// use lowrank::train::{Optimizer, Trained};
///
/// const LAYER: Outline = Outline {
///     training: Some((Optimizer::AdamW, Trained::DEFAULT)),
///     ..Outline::new("fc1", Shape::new(64, 48, 4), Dtype::F32)
/// };
/// // Header, one row of the table, the name up to a multiple of 16, three times A and B.
/// const LEN: usize = encoded_len(&[LAYER], 0).unwrap();
/// assert_eq!(LEN, 64 + 96 + 16 + 3 * 4 * 4 * (64 + 48));
/// static SLOT: [u8; LEN] = [0xff; LEN];
/// # assert_eq!(SLOT.len(), LEN);
/// ```
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash)]
pub struct Outline {
    /// Bytes of the name.
    pub name: usize,
    /// Inputs, outputs, rank.
    pub shape: Shape,
    /// How `A` is stored.
    pub a: Dtype,
    /// How `B` is stored.
    pub b: Dtype,
    /// How a bias that replaces the base's is stored, if there is one.
    pub bias: Option<Dtype>,
    /// How the bias of `B` is stored, if there is one.
    pub b_bias: Option<Dtype>,
    /// The optimizer whose state is stored, if it is, and what it trains.
    pub training: Option<(Optimizer, Trained)>,
}

/// One tensor in the payload, without rows if it is not there.
#[derive(Copy, Clone, Debug)]
pub(super) struct Part {
    pub dtype: Dtype,
    pub rows: usize,
    pub cols: usize,
}

impl Part {
    /// Bytes without padding.
    pub(super) const fn bytes(self) -> Option<u64> {
        match (self.rows as u64).checked_mul(self.cols as u64) {
            Some(elements) => elements.checked_mul(self.dtype.size() as u64),
            None => None,
        }
    }
}

/// Tensors of a layer at most: `A`, `B`, the bias, the bias of `B`, and first and second moments of `A`, `B` and the bias.
pub(super) const PARTS: usize = 10;

impl Outline {
    /// `A` and `B` in one type, no biases, no state of an optimizer.
    pub const fn new(name: &str, shape: Shape, dtype: Dtype) -> Self {
        Self { name: name.len(), shape, a: dtype, b: dtype, bias: None, b_bias: None, training: None }
    }

    /// Tensor number `index` of the payload, without rows if it is not there.
    pub(super) const fn part(&self, index: usize) -> Part {
        let Shape { inputs, outputs, rank } = self.shape;
        match index {
            0 => Part { dtype: self.a, rows: rank, cols: inputs },
            1 => Part { dtype: self.b, rows: outputs, cols: rank },
            2 => optional(self.bias, outputs),
            3 => optional(self.b_bias, outputs),
            _ => self.moment(index),
        }
    }

    const fn moment(&self, index: usize) -> Part {
        let Some((optimizer, trained)) = self.training else { return optional(None, 0) };
        let [a1, a2, b1, b2, bias1, bias2] = State::pieces(self.shape, optimizer, trained);
        let (rows, cols) = match index {
            4 => a1,
            5 => a2,
            6 => b1,
            7 => b2,
            8 => bias1,
            _ => bias2,
        };
        Part { dtype: Dtype::F32, rows, cols }
    }

    /// Bytes of the payload. `None` when they are not countable, or the shape is none that a file can hold.
    pub(super) const fn payload(&self) -> Option<u64> {
        let Shape { inputs, outputs, rank } = self.shape;
        if !(storable(inputs) && storable(outputs) && storable(rank)) {
            return None;
        }
        let (mut sum, mut i) = (0u64, 0);
        while i < PARTS {
            let Some(bytes) = self.part(i).bytes() else { return None };
            let Some(bytes) = aligned(bytes) else { return None };
            let Some(all) = sum.checked_add(bytes) else { return None };
            sum = all;
            i += 1;
        }
        Some(sum)
    }
}

const fn storable(size: usize) -> bool {
    size >= 1 && narrow(size as u64).is_some()
}

const fn optional(dtype: Option<Dtype>, cols: usize) -> Part {
    match dtype {
        Some(dtype) => Part { dtype, rows: 1, cols },
        None => Part { dtype: Dtype::F32, rows: 0, cols },
    }
}

/// Where the parts of a file start.
#[derive(Copy, Clone, Debug)]
pub(super) struct Extent {
    pub names: u64,
    pub metadata: u64,
    pub metadata_end: u64,
    pub payload: u64,
}

impl Extent {
    /// `None` when names would lie further from the start than their offsets can say.
    pub(super) const fn new(layers: u32, names: u32, metadata: u32) -> Option<Self> {
        // All of it lies below 2^40.
        let table = HEADER as u64 + ENTRY as u64 * layers as u64;
        let names_end = table + names as u64;
        let metadata_end = names_end + metadata as u64;
        match aligned(metadata_end) {
            Some(payload) if names_end <= u32::MAX as u64 => {
                Some(Self { names: table, metadata: names_end, metadata_end, payload })
            }
            _ => None,
        }
    }
}

/// Bytes of a file with these layers and so many bytes of metadata: a constant where they are, for the size of a slot in
/// flash. [`Contents::encoded_len`](super::Contents::encoded_len) is the same computation.
///
/// `None` when the format or the address space has no room for it, or a layer has no inputs, outputs or rank.
pub const fn encoded_len(layers: &[Outline], metadata: usize) -> Option<usize> {
    let (mut names, mut payload, mut i) = (0u64, 0u64, 0);
    while i < layers.len() {
        let Some(bytes) = layers[i].payload() else { return None };
        let Some(all) = payload.checked_add(bytes) else { return None };
        let Some(all_names) = names.checked_add(layers[i].name as u64) else { return None };
        (names, payload, i) = (all_names, all, i + 1);
    }
    let (Some(layers), Some(names), Some(metadata)) =
        (narrow(layers.len() as u64), narrow(names), narrow(metadata as u64))
    else {
        return None;
    };
    let Some(extent) = Extent::new(layers, names, metadata) else { return None };
    match extent.payload.checked_add(payload) {
        Some(len) => addressable(len),
        None => None,
    }
}

/// A number that fits into a field of 32 bits.
pub(super) const fn narrow(n: u64) -> Option<u32> {
    if n <= u32::MAX as u64 { Some(n as u32) } else { None }
}

/// A number of bytes that can lie in memory.
pub(super) const fn addressable(bytes: u64) -> Option<usize> {
    if bytes <= isize::MAX as u64 { Some(bytes as usize) } else { None }
}
