//! The one computation of sizes, for reading, writing and planning. It runs in checked 64-bit numbers.

use super::header::HEADER;
use crate::dtype::Dtype;
use crate::lora::Shape;
use crate::train::{Optimizer, State, Trained};

/// Every tensor starts at a multiple of this, from the start of the file.
pub(super) const ALIGN: u64 = 16;

/// A record of the table has so many bytes.
pub(super) const RECORD: usize = 96;

/// Returns the next multiple of [`ALIGN`].
pub(super) const fn aligned(n: u64) -> Option<u64> {
    n.checked_next_multiple_of(ALIGN)
}

/// The facts about an entry that decide how many bytes it takes.
///
/// ```
/// use lowrank::format::{Outline, encoded_len};
/// use lowrank::{Dtype, Shape};
/// use lowrank::train::{Optimizer, Trained};
///
/// const ENTRY: Outline = Outline {
///     training: Some((Optimizer::AdamW, Trained::DEFAULT)),
///     ..Outline::new("fc1", Shape::new(64, 48, 4), Dtype::F32)
/// };
/// // Header, one record of the table, the name up to a multiple of 16, three times A and B.
/// const LEN: usize = encoded_len(&[ENTRY], 0).unwrap();
/// assert_eq!(LEN, 64 + 96 + 16 + 3 * 4 * 4 * (64 + 48));
/// static SLOT: [u8; LEN] = [0xff; LEN];
/// # assert_eq!(SLOT.len(), LEN);
/// ```
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash)]
pub struct Outline {
    /// The name has so many bytes.
    pub name: usize,
    /// The shape has inputs, outputs and rank.
    pub shape: Shape,
    /// `A` is stored in this type.
    pub a: Dtype,
    /// `B` is stored in this type.
    pub b: Dtype,
    /// A bias that replaces that of the base is stored in this type, if there is one.
    pub bias: Option<Dtype>,
    /// The bias of `B` is stored in this type, if there is one.
    pub b_bias: Option<Dtype>,
    /// The state of this optimizer is stored, if there is one, for these trained parameters.
    pub training: Option<(Optimizer, Trained)>,
}

/// One tensor in the payload. It has no rows if it is not there.
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

/// An entry has at most so many tensors: `A`, `B`, the bias, the bias of `B`, and first and second moments of `A`, `B` and the bias.
pub(super) const PARTS: usize = 10;

impl Outline {
    /// Describes an entry with `A` and `B` in one type, without biases and without the state of an optimizer.
    pub const fn new(name: &str, shape: Shape, dtype: Dtype) -> Self {
        Self { name: name.len(), shape, a: dtype, b: dtype, bias: None, b_bias: None, training: None }
    }

    /// Returns tensor number `index` of the payload. It has no rows if it is not there.
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

    /// Returns the bytes of the payload, and `None` when they cannot be counted, or when a file cannot hold the shape.
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

/// The places where the parts of a file start.
#[derive(Copy, Clone, Debug)]
pub(super) struct Extent {
    pub names: u64,
    pub metadata: u64,
    pub metadata_end: u64,
    pub payload: u64,
}

impl Extent {
    /// Returns `None` when names would lie further from the start than their offsets can say.
    pub(super) const fn new(entries: u32, names: u32, metadata: u32) -> Option<Self> {
        // All of it lies below 2^40.
        let table = HEADER as u64 + RECORD as u64 * entries as u64;
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

/// Returns the bytes of a file with these entries and so many bytes of metadata. It is a constant where the arguments are constants, so
/// that it can size a slot in flash. [`Contents::encoded_len`](super::Contents::encoded_len) is the same computation.
///
/// The result is `None` when the format or the address space has no room for the file, or when an entry has no inputs, outputs or
/// rank.
pub const fn encoded_len(entries: &[Outline], metadata: usize) -> Option<usize> {
    let (mut names, mut payload, mut i) = (0u64, 0u64, 0);
    while i < entries.len() {
        let Some(bytes) = entries[i].payload() else { return None };
        let Some(all) = payload.checked_add(bytes) else { return None };
        let Some(all_names) = names.checked_add(entries[i].name as u64) else { return None };
        (names, payload, i) = (all_names, all, i + 1);
    }
    let (Some(entries), Some(names), Some(metadata)) =
        (narrow(entries.len() as u64), narrow(names), narrow(metadata as u64))
    else {
        return None;
    };
    let Some(extent) = Extent::new(entries, names, metadata) else { return None };
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
