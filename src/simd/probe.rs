//! Known answers that tell whether a build or a thread keeps to IEEE 754: contraction of `a·b + c`, flush-to-zero,
//! approximate division and other rounding modes each change at least one of them.

use core::hint::black_box;

use super::backend::{Arithmetic, Backend};
use super::lanes::{Kernel, Simd};

/// The first probe of [`selftest`] that did not give the known answer.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Deviation {
    /// Position of the probe in the list; behind its end, the loop over an array.
    pub probe: usize,
    /// Bits that the contract asks for.
    pub expected: u32,
    /// Bits that came.
    pub got: u32,
}

#[derive(Copy, Clone)]
enum Operation {
    Add,
    Sub,
    Mul,
    Div,
    Sqrt,
    /// `c + a·b` in the arithmetic of the call.
    Step,
}

struct Probe {
    operation: Operation,
    operands: [u32; 3],
    separate: u32,
    #[cfg_attr(lowrank_separate_only, allow(dead_code, reason = "this build has no such arithmetic"))]
    fused: u32,
}

const fn plain(operation: Operation, a: u32, b: u32, answer: u32) -> Probe {
    Probe { operation, operands: [a, b, 0], separate: answer, fused: answer }
}

const fn chain(acc: u32, a: u32, b: u32, separate: u32, fused: u32) -> Probe {
    Probe { operation: Operation::Step, operands: [a, b, acc], separate, fused }
}

/// The answers were computed with rational numbers and rounded once (twice for the separate steps).
const PROBES: [Probe; 24] = {
    use Operation::{Add, Div, Mul, Sqrt, Sub};
    [
        plain(Add, 0x0000_0001, 0x0000_0001, 0x0000_0002), // subnormals are kept on the way in and out
        plain(Add, 0x4b80_0000, 0x3f80_0000, 0x4b80_0000), // a tie goes to even
        plain(Add, 0x4b80_0000, 0x3f80_0001, 0x4b80_0001),
        plain(Add, 0x8000_0000, 0x0000_0000, 0x0000_0000), // -0 + 0 = 0
        plain(Sub, 0x0080_0000, 0x0000_0001, 0x007f_ffff), // gradual underflow
        plain(Sub, 0x7f80_0000, 0x7f7f_ffff, 0x7f80_0000),
        plain(Mul, 0x0080_0000, 0x3f00_0000, 0x0040_0000),
        plain(Mul, 0x1f80_0001, 0x1f80_0001, 0x0020_0001),
        plain(Mul, 0x8000_0000, 0x3f80_0000, 0x8000_0000),
        plain(Div, 0x3f80_0000, 0x4040_0000, 0x3eaa_aaab), // no reciprocal estimate
        plain(Div, 0x0080_0000, 0x4040_0000, 0x002a_aaab),
        plain(Div, 0x7f7f_ffff, 0x3f7f_ffff, 0x7f80_0000),
        plain(Sqrt, 0x4000_0000, 0, 0x3fb5_04f3),
        plain(Sqrt, 0x0000_0001, 0, 0x1a35_04f3),
        plain(Sqrt, 0x8000_0000, 0, 0x8000_0000),
        chain(0xbf80_0000, 0x3f80_0800, 0x3f80_0800, 0x3a00_0000, 0x3a00_0400), // contraction shows here
        chain(0x8000_0001, 0x1a00_0000, 0x1a00_0000, 0x8000_0001, 0x8000_0000),
        chain(0xff7f_ffff, 0x7f7f_ffff, 0x3f80_0001, 0x7f80_0000, 0x73ff_ffff),
        chain(0x0001_0002, 0x9700_0800, 0x1cff_f001, 0x0001_0001, 0x0001_0001), // a twice rounded emulation fails
        chain(0x0080_0000, 0x8080_0000, 0x3f7f_fffe, 0x0000_0001, 0x0000_0001),
        chain(0x3f80_0001, 0x3380_0000, 0x3f80_0000, 0x3f80_0002, 0x3f80_0002),
        chain(0x7f7f_ffff, 0x7380_0000, 0x3f00_0000, 0x7f80_0000, 0x7f80_0000),
        chain(0x8000_0000, 0x8000_0000, 0x3f80_0000, 0x8000_0000, 0x8000_0000),
        chain(0x0000_0001, 0x0080_0000, 0x3f00_0000, 0x0040_0001, 0x0040_0001),
    ]
};

/// Asks a backend for 24 known answers, in every lane, and a loop over an array for another one: a compiler that makes vectors
/// of such loops may make vectors that flush subnormals, as those of Arm's Helium do.
///
/// Run it once at start, and on every thread whose floating-point environment others may have changed. It takes well
/// under 10,000 instructions where the hardware has floating point.
///
/// # Errors
/// The first [`Deviation`]: the build or the thread does not keep to IEEE 754, and results will differ from other
/// targets.
///
/// ```
/// assert_eq!(lowrank::selftest(lowrank::Backend::BASELINE), Ok(()));
/// ```
pub fn selftest(backend: Backend) -> Result<(), Deviation> {
    for (index, probe) in PROBES.iter().enumerate() {
        let expected = match backend.arithmetic() {
            Arithmetic::Separate => probe.separate,
            #[cfg(not(lowrank_separate_only))]
            Arithmetic::Fused => probe.fused,
        };
        // As many lanes as the widest backend has.
        let mut lanes = [0.0f32; 16];
        backend.run(Ask { probe, lanes: &mut lanes });
        for got in lanes.map(f32::to_bits) {
            if got != expected {
                return Err(Deviation { probe: index, expected, got });
            }
        }
    }
    let mut numbers = black_box([f32::from_bits(2); 16]);
    numbers.iter_mut().for_each(|number| *number *= 0.5);
    match black_box(numbers).map(f32::to_bits).into_iter().find(|&got| got != 1) {
        Some(got) => Err(Deviation { probe: PROBES.len(), expected: 1, got }),
        None => Ok(()),
    }
}

struct Ask<'a> {
    probe: &'a Probe,
    lanes: &'a mut [f32; 16],
}

impl Kernel for Ask<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let [a, b, c] = black_box(self.probe.operands).map(|bits| simd.splat(f32::from_bits(bits)));
        let answer = match self.probe.operation {
            Operation::Add => simd.add(a, b),
            Operation::Sub => simd.sub(a, b),
            Operation::Mul => simd.mul(a, b),
            Operation::Div => simd.div(a, b),
            Operation::Sqrt => simd.sqrt(a),
            Operation::Step => simd.step(c, a, b),
        };
        for lanes in self.lanes.chunks_mut(S::LANES) {
            simd.write(lanes, answer);
        }
    }
}
