//! Buffers on cache-line borders: no contender is slower for where its operands happen to lie.

use std::ops::{Deref, DerefMut};

const LINE: usize = 64;

/// Numbers that start on a cache line.
#[derive(Debug)]
pub struct Buffer {
    memory: Vec<f32>,
    skip: usize,
    len: usize,
}

impl Buffer {
    /// `len` zeros.
    pub fn zeros(len: usize) -> Self {
        let memory = vec![0.0; len + LINE / size_of::<f32>()];
        let skip = memory.as_ptr().align_offset(LINE);
        Self { memory, skip, len }
    }

    /// Numbers in [-1, 1) that follow from `seed` and their position: `(i + 1 + seed)·2654435761 mod 2³²`, its upper 24 bits.
    pub fn numbers(len: usize, seed: u32) -> Self {
        let mut buffer = Self::zeros(len);
        for (i, value) in buffer.iter_mut().enumerate() {
            let bits = (i as u32).wrapping_add(1).wrapping_add(seed).wrapping_mul(2_654_435_761);
            *value = (bits >> 8) as f32 / 8_388_608.0 - 1.0;
        }
        buffer
    }
}

impl Deref for Buffer {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        &self.memory[self.skip..][..self.len]
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [f32] {
        &mut self.memory[self.skip..][..self.len]
    }
}

/// Streams that [`read_streams`] reads side by side, and numbers of each at a time.
const STREAMS: usize = 8;
const STEP: usize = 16;

/// Adds up `data` as eight streams side by side. From main memory this is up to twice as fast as end to end: a hardware
/// prefetcher stops at the end of a page of 4 KiB, and here seven others are still ahead. Returns the bytes read.
pub fn read_streams(data: &[f32]) -> usize {
    #[cfg(target_arch = "x86_64")]
    if std::is_x86_feature_detected!("avx2") {
        // SAFETY: the CPU has AVX2.
        return unsafe { read_avx2(data) };
    }
    add_up(data)
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn read_avx2(data: &[f32]) -> usize {
    add_up(data)
}

#[inline(always)]
fn add_up(data: &[f32]) -> usize {
    let (steps, _) = data.as_chunks::<STEP>();
    let len = steps.len() / STREAMS;
    let streams: [&[[f32; STEP]]; STREAMS] = std::array::from_fn(|i| &steps[i * len..][..len]);
    let mut sums = [0.0; STEP];
    for i in 0..len {
        for stream in streams {
            for (sum, &value) in sums.iter_mut().zip(&stream[i]) {
                *sum += value;
            }
        }
    }
    std::hint::black_box(sums);
    STREAMS * len * STEP * size_of::<f32>()
}
