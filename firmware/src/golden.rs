//! The golden hashes, computed here and compared with those of the last release.

use core::fmt::{self, Write};

use lowrank::Backend;
use semihosting::println;

use crate::data;

#[path = "../../tests/promises/support/golden.rs"]
mod cases;

use cases::SIZES;

/// Elements that a case needs at most.
pub const MEMORY: usize = cases::MEMORY;

/// `hash operation arithmetic size`, one a line.
const GOLDEN: &str = include_str!("../../tests/golden_hashes.txt");

/// How many hashes were computed, and how many of them are those of the last release.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// Hashes computed.
    pub all: usize,
    /// Hashes that are what they were.
    pub equal: usize,
}

impl Count {
    /// Prints what differs.
    fn add(&mut self, key: cases::Key, hash: u64) {
        self.all += 1;
        if is_golden(key, hash) {
            self.equal += 1;
        } else {
            println!("{hash:016x} {key} is not what it was");
        }
    }
}

/// Runs the cases of one backend, up to `most` multiplications per product, in a buffer of [`MEMORY`] elements.
pub fn run(backend: Backend, most: usize, memory: &mut [f32]) -> Count {
    let mut count = Count::default();
    let mut read = |key, hash| count.add(key, hash);
    for size @ (inputs, outputs, _, tokens) in SIZES {
        if inputs * outputs * tokens <= most {
            cases::of_size(backend, size, memory, &mut read);
        }
    }
    count
}

/// Runs the cases that have no backend: initialisation, losses, schedules, random numbers.
pub fn numbers(memory: &mut [f32]) -> Count {
    let mut count = Count::default();
    cases::of_numbers(memory, &mut |key, hash| count.add(key, hash));
    count
}

fn is_golden(key: cases::Key, hash: u64) -> bool {
    let mut line = Line { bytes: [0; 64], len: 0 };
    if write!(line, "{hash:016x} {key}").is_err() {
        return false;
    }
    GOLDEN.lines().any(|golden| golden.as_bytes() == &line.bytes[..line.len])
}

/// Text of up to 64 bytes.
struct Line {
    bytes: [u8; 64],
    len: usize,
}

impl Write for Line {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let room = self.bytes.get_mut(self.len..self.len + text.len()).ok_or(fmt::Error)?;
        room.copy_from_slice(text.as_bytes());
        self.len += text.len();
        Ok(())
    }
}
