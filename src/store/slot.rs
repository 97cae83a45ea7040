//! The parts of a slot: the file lies at its start, and the seals lie at its end.

use core::ops::Range;

use super::error::StoreError;
use super::flash::{Flash, GRAIN};
use super::seal::{MARKS, SEALS};
use crate::format::header::HEADER;

/// The conditions on the constants of a flash. A build with other constants fails.
const fn check_flash<F: Flash>() {
    assert!(F::WRITE.is_power_of_two() && F::ERASE.is_power_of_two(), "WRITE and ERASE have to be powers of two");
    assert!(F::WRITE <= F::ERASE, "ERASE has to be a multiple of WRITE");
    assert!(F::ERASE <= 1 << 31, "ERASE has to fit into an address");
}

/// The first write unit, or the first of them, which are written last: they hold the header.
pub(super) const fn head_len<F: Flash>() -> usize {
    if F::WRITE > HEADER { F::WRITE } else { HEADER }
}

/// Marks of a seal are so many bytes apart, whole write units.
pub(super) const fn mark_len<F: Flash>() -> usize {
    if F::WRITE > GRAIN { F::WRITE } else { GRAIN }
}

const fn seals_len<F: Flash>() -> usize {
    SEALS * MARKS * mark_len::<F>()
}

/// Start and end of a slot are multiples of this length.
const fn block_len<F: Flash>() -> usize {
    if F::ERASE > GRAIN { F::ERASE } else { GRAIN }
}

/// Returns the bytes of working memory that a [`Store`](super::Store) needs. They are 128 on flash whose write unit has no more than 64.
pub const fn page_len<F: Flash>() -> usize {
    const { check_flash::<F>() };
    2 * head_len::<F>()
}

/// Returns the bytes of a slot for files of up to `file` bytes: the file and the seals, in whole blocks. It is a constant where
/// [`encoded_len`](crate::format::encoded_len) is a constant, and `None` when addresses do not reach that far.
pub const fn slot_len<F: Flash>(file: usize) -> Option<usize> {
    const { check_flash::<F>() };
    let file = if file < head_len::<F>() { head_len::<F>() } else { file };
    let Some(file) = file.checked_next_multiple_of(mark_len::<F>()) else { return None };
    let Some(len) = file.checked_add(seals_len::<F>()) else { return None };
    match len.checked_next_multiple_of(block_len::<F>()) {
        Some(len) if len as u64 <= u32::MAX as u64 => Some(len),
        _ => None,
    }
}

/// The addresses of a slot that was checked.
#[derive(Copy, Clone, Debug)]
pub(super) struct Slot {
    pub start: u32,
    pub end: u32,
}

impl Slot {
    /// Returns the bytes for the file.
    pub(super) const fn capacity<F: Flash>(self) -> usize {
        ((self.end - self.start) as usize).saturating_sub(seals_len::<F>())
    }

    /// Returns the address of a mark of a seal.
    pub(super) const fn mark_at<F: Flash>(self, seal: usize, mark: usize) -> u32 {
        self.end - (seals_len::<F>() - (seal * MARKS + mark) * mark_len::<F>()) as u32
    }
}

pub(super) fn check<F: Flash>(flash: &F, slots: [Range<u32>; 2]) -> Result<[Slot; 2], StoreError<F::Error>> {
    const { check_flash::<F>() };
    let capacity = flash.capacity();
    for (slot, Range { start, end }) in slots.iter().enumerate() {
        let multiple_of = block_len::<F>() as u32;
        if !start.is_multiple_of(multiple_of) || !end.is_multiple_of(multiple_of) {
            return Err(StoreError::Unaligned { slot, multiple_of });
        }
        if end < start || *end as usize > capacity {
            return Err(StoreError::Outside { slot, capacity });
        }
        let needed = head_len::<F>() + seals_len::<F>();
        if ((end - start) as usize) < needed {
            return Err(StoreError::TooSmall { slot, needed });
        }
    }
    let [first, second] = slots.map(|Range { start, end }| Slot { start, end });
    if first.start < second.end && second.start < first.end {
        return Err(StoreError::Overlap);
    }
    Ok([first, second])
}

pub(super) fn check_page<F: Flash>(got: usize) -> Result<(), StoreError<F::Error>> {
    let multiple_of = head_len::<F>();
    if got < page_len::<F>() || !got.is_multiple_of(multiple_of) {
        return Err(StoreError::Page { multiple_of, got });
    }
    Ok(())
}
