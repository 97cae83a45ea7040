//! Random numbers that are a function of seed and position.

use lowrank::train::Rng;

use crate::codes::*;
use crate::error::{Fault, lowrank_error};
use crate::memory::{Number, SliceMut, Struct, structures};

/// A sequence of random numbers that can be read at any position, with the same bits on every target.
#[derive(Copy, Clone, Debug)]
#[repr(C)]
pub struct lowrank_rng {
    /// Bytes of this struct.
    pub size: usize,
    /// Seed of the run.
    pub seed: u64,
    /// Independent sequences of one seed. From 2^31 + 2^30 on they are free.
    pub stream: u32,
    /// Independent sequences of one stream.
    pub step: u32,
}

structures!(lowrank_rng);

impl lowrank_rng {
    const fn get(&self) -> Rng {
        Rng { seed: self.seed, stream: self.stream, step: self.step }
    }
}

/// 32 random bits.
///
/// # Safety
/// As the page of the header says of pointers.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lowrank_rng_word(
    rng: *const lowrank_rng,
    position: u64,
    word: *mut u32,
    error: *mut lowrank_error,
) -> lowrank_status {
    crate::call!(error, (Struct(LOWRANK_ARGUMENT_RNG, rng), Number(word)), |(rng, word)| {
        *word = rng.get().word(position);
        Ok(())
    })
}

/// Puts `count` items of `item_size` bytes each (1, 2, 4 or 8) into a random order, which depends on `rng` and `count` only.
///
/// # Safety
/// As the page of the header says of pointers.
///
/// # Errors
/// LOWRANK_UNKNOWN for another size.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lowrank_rng_shuffle(
    rng: *const lowrank_rng,
    items: *mut core::ffi::c_void,
    count: usize,
    item_size: usize,
    error: *mut lowrank_error,
) -> lowrank_status {
    let bytes = SliceMut(LOWRANK_ARGUMENT_ITEMS, items.cast::<u8>(), count.saturating_mul(item_size));
    crate::call!(error, (Struct(LOWRANK_ARGUMENT_RNG, rng), bytes), |(rng, bytes)| {
        let rng = rng.get();
        match item_size {
            1 => rng.shuffle(bytes),
            2 => rng.shuffle(bytes.as_chunks_mut::<2>().0),
            4 => rng.shuffle(bytes.as_chunks_mut::<4>().0),
            8 => rng.shuffle(bytes.as_chunks_mut::<8>().0),
            got => return Err(Fault::new(LOWRANK_UNKNOWN, LOWRANK_ARGUMENT_ITEMS, 0, got)),
        }
        Ok(())
    })
}

/// Fills `items` with the numbers from 0 to `count` - 1, in the order into which `lowrank_rng_shuffle` puts them.
///
/// # Safety
/// As the page of the header says of pointers.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lowrank_rng_order(
    seed: u64,
    stream: u32,
    step: u32,
    items: *mut u32,
    count: usize,
    error: *mut lowrank_error,
) -> lowrank_status {
    crate::call_without_files!(error, (SliceMut(LOWRANK_ARGUMENT_ITEMS, items, count),), |(items,)| {
        items.iter_mut().zip(0..).for_each(|(to, number)| *to = number);
        Rng { seed, stream, step }.shuffle(items);
        Ok(())
    })
}
