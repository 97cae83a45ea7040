//! One lane: plain Rust, for every target. Also the exact fused step and the exact square root where the hardware or
//! the language offers none.

use core::marker::PhantomData;

use super::lanes::{Kernel, Rounding, Simd};

#[derive(Copy, Clone)]
pub(crate) struct Scalar<R>(PhantomData<R>);

impl<R> Scalar<R> {
    pub(super) const fn new() -> Self {
        Self(PhantomData)
    }
}

impl<R: Rounding> Simd for Scalar<R> {
    type V = f32;
    type Narrow = Self;
    const LANES: usize = 1;
    // 8 accumulators, 2 + 1 operands: fits the 16 registers of SSE as well as those of Cortex-M4F and RISC-V F.
    const TILE_ROWS: usize = 4;
    const TILE_VECTORS: usize = 2;

    #[inline(always)]
    fn narrow(self) -> Self {
        self
    }

    // No feature has to be switched on, so this is no barrier to what the compiler knows of the arguments.
    #[inline]
    fn call<K: Kernel>(self, kernel: K) -> K::Output {
        kernel.run(self)
    }

    #[inline(always)]
    fn splat(self, x: f32) -> f32 {
        x
    }

    #[inline(always)]
    unsafe fn load(self, from: *const f32) -> f32 {
        // SAFETY: the caller vouches for one number.
        unsafe { from.read() }
    }

    #[inline(always)]
    unsafe fn load_first(self, from: *const f32, count: usize) -> f32 {
        if count == 0 {
            return 0.0;
        }
        // SAFETY: the caller vouches for count >= 1 numbers.
        unsafe { from.read() }
    }

    #[inline(always)]
    unsafe fn load_columns(self, from: *const f32, _stride: usize) -> [f32; 4] {
        // SAFETY: the caller vouches for 4 numbers; an array of them has their alignment.
        unsafe { from.cast::<[f32; 4]>().read() }
    }

    #[inline(always)]
    unsafe fn load_i8(self, from: *const u8) -> f32 {
        // SAFETY: the caller vouches for one byte.
        f32::from(unsafe { from.read() } as i8)
    }

    #[inline(always)]
    unsafe fn load_u4(self, from: *const u8) -> [f32; 2] {
        // SAFETY: the caller vouches for one byte.
        let byte = unsafe { from.read() };
        [f32::from(byte & 15), f32::from(byte >> 4)]
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f32, v: f32) {
        // SAFETY: the caller vouches for one number.
        unsafe { to.write(v) }
    }

    #[inline(always)]
    unsafe fn store_first(self, to: *mut f32, count: usize, v: f32) {
        if count > 0 {
            // SAFETY: the caller vouches for count >= 1 numbers.
            unsafe { to.write(v) }
        }
    }

    #[inline(always)]
    fn add(self, a: f32, b: f32) -> f32 {
        a + b
    }

    #[inline(always)]
    fn sub(self, a: f32, b: f32) -> f32 {
        a - b
    }

    #[inline(always)]
    fn mul(self, a: f32, b: f32) -> f32 {
        a * b
    }

    #[inline(always)]
    fn div(self, a: f32, b: f32) -> f32 {
        a / b
    }

    #[inline(always)]
    fn sqrt(self, a: f32) -> f32 {
        sqrt(a)
    }

    #[inline(always)]
    fn step(self, acc: f32, a: f32, b: f32) -> f32 {
        step::<R>(acc, a, b)
    }
}

/// One link of a chain, on one lane.
#[inline(always)]
pub(crate) fn step<R: Rounding>(acc: f32, a: f32, b: f32) -> f32 {
    if R::FUSED { fused(acc, a, b) } else { acc + a * b }
}

/// `rn(acc + a·b)`, exactly: by the FPU where it is known to have the instruction. That of a Cortex-M has it, but it is a call
/// for each step: Separate stays the faster arithmetic there.
#[inline]
pub(crate) fn fused(acc: f32, a: f32, b: f32) -> f32 {
    #[cfg(all(target_arch = "arm", target_abi = "eabihf", target_os = "none", not(target_has_atomic = "64")))]
    {
        unsafe extern "C" {
            safe fn lowrank_vfma_f32(acc: f32, a: f32, b: f32) -> f32;
        }
        lowrank_vfma_f32(acc, a, b)
    }
    #[cfg(lowrank_riscv_f)]
    {
        let mut sum = acc;
        // SAFETY: the build target guarantees the instruction, and it touches nothing but registers.
        unsafe {
            core::arch::asm!("fmadd.s {sum}, {a}, {b}, {sum}", sum = inout(freg) sum, a = in(freg) a, b = in(freg) b,
                options(pure, nomem, nostack));
        }
        sum
    }
    #[cfg(not(any(
        all(target_arch = "arm", target_abi = "eabihf", target_os = "none", not(target_has_atomic = "64")),
        lowrank_riscv_f,
    )))]
    {
        fused_emulated(acc, a, b)
    }
}

/// [`fused`] without the instruction: S. Boldo and G. Melquiond, "Emulation of FMA and correctly rounded sums: proved
/// algorithms using rounding to odd", IEEE Trans. Computers 57(4), 2008.
///
/// The product of two binary32 numbers is exact in binary64 (48 bits of 53, exponents far inside the range). Their sum
/// with `acc` is rounded to odd there, which keeps the information that a second rounding to at most 51 bits needs.
/// `libm::fmaf` 0.2.16 is no alternative: it rounds 97000800 × 1cfff001 + 00010002 to 00010002 instead of 00010001.
#[allow(dead_code, reason = "where the hardware has the instruction, only tests use this one, and compare the two")]
fn fused_emulated(acc: f32, a: f32, b: f32) -> f32 {
    let product = f64::from(a) * f64::from(b);
    let acc = f64::from(acc);
    let sum = product + acc;
    if !sum.is_finite() {
        return sum as f32;
    }
    // Knuth's two-sum: sum + lost is exactly product + acc.
    let part = sum - product;
    let lost = (product - (sum - part)) + (acc - part);
    let bits = sum.to_bits();
    let odd = if lost == 0.0 || bits & 1 == 1 {
        sum
    } else if (lost > 0.0) == (sum > 0.0) {
        f64::from_bits(bits + 1)
    } else {
        f64::from_bits(bits - 1)
    };
    odd as f32
}

/// `rn(√x)`: NaN below zero, `-0` for `-0`.
#[inline(always)]
pub(crate) fn sqrt(x: f32) -> f32 {
    #[cfg(target_arch = "x86_64")]
    {
        use core::arch::x86_64::{_mm_cvtss_f32, _mm_set_ss, _mm_sqrt_ss};
        #[target_feature(enable = "sse2")]
        fn root(x: f32) -> f32 {
            _mm_cvtss_f32(_mm_sqrt_ss(_mm_set_ss(x)))
        }
        // SAFETY: SSE2 is part of every x86-64.
        unsafe { root(x) }
    }
    #[cfg(all(target_arch = "aarch64", target_feature = "neon"))]
    {
        use core::arch::aarch64::{vdup_n_f32, vget_lane_f32, vsqrt_f32};
        #[target_feature(enable = "neon")]
        fn root(x: f32) -> f32 {
            vget_lane_f32::<0>(vsqrt_f32(vdup_n_f32(x)))
        }
        // SAFETY: the build target guarantees NEON.
        unsafe { root(x) }
    }
    #[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
    {
        use core::arch::wasm32::{f32x4_extract_lane, f32x4_splat, f32x4_sqrt};
        f32x4_extract_lane::<0>(f32x4_sqrt(f32x4_splat(x)))
    }
    #[cfg(all(target_arch = "arm", target_abi = "eabihf"))]
    {
        unsafe extern "C" {
            safe fn lowrank_vsqrt_f32(x: f32) -> f32;
        }
        lowrank_vsqrt_f32(x)
    }
    #[cfg(lowrank_riscv_f)]
    {
        let root;
        // SAFETY: the build target guarantees the instruction, and it touches nothing but registers.
        unsafe {
            core::arch::asm!("fsqrt.s {root}, {x}", root = out(freg) root, x = in(freg) x, options(pure, nomem, nostack));
        }
        root
    }
    #[cfg(not(any(
        target_arch = "x86_64",
        all(target_arch = "aarch64", target_feature = "neon"),
        all(target_arch = "wasm32", target_feature = "simd128"),
        all(target_arch = "arm", target_abi = "eabihf"),
        lowrank_riscv_f,
    )))]
    {
        sqrt_integer(x)
    }
}

// Argument and result of this ABI are in s0. A function, as `asm!` cannot name a register of the FPU on every Cortex-M, and
// in numbers, as optimisation at link time assembles this without knowing of the FPU.
#[cfg(all(target_arch = "arm", target_abi = "eabihf"))]
core::arch::global_asm!(
    ".pushsection .text.lowrank_vsqrt_f32, \"ax\", %progbits",
    ".balign 2",
    ".thumb",
    ".thumb_func",
    ".global lowrank_vsqrt_f32",
    ".type lowrank_vsqrt_f32, %function",
    "lowrank_vsqrt_f32:",
    ".inst.w 0xeeb10ac0", // vsqrt.f32 s0, s0
    "bx lr",
    ".size lowrank_vsqrt_f32, . - lowrank_vsqrt_f32",
    ".popsection",
);

// As above, acc in s0, a in s1, b in s2. Of the targets of this ABI only Cortex-M has no 64-bit atomics, and every FPU of a
// Cortex-M has the instruction; that of a Cortex-R5 has not.
#[cfg(all(target_arch = "arm", target_abi = "eabihf", target_os = "none", not(target_has_atomic = "64")))]
core::arch::global_asm!(
    ".pushsection .text.lowrank_vfma_f32, \"ax\", %progbits",
    ".balign 2",
    ".thumb",
    ".thumb_func",
    ".global lowrank_vfma_f32",
    ".type lowrank_vfma_f32, %function",
    "lowrank_vfma_f32:",
    ".inst.w 0xeea00a81", // vfma.f32 s0, s1, s2
    "bx lr",
    ".size lowrank_vfma_f32, . - lowrank_vfma_f32",
    ".popsection",
);

/// `rn(√x)` in integers, one bit of the root at a time: 25 bits at least, one more than a result keeps. Whether anything
/// remained is then enough to round correctly.
#[allow(dead_code, reason = "where the hardware has a root, only tests use this one, and compare the two")]
fn sqrt_integer(x: f32) -> f32 {
    let bits = x.to_bits();
    if x == 0.0 || x.is_nan() || bits == f32::INFINITY.to_bits() {
        return x;
    }
    if x < 0.0 {
        return f32::NAN;
    }
    // x = mantissa · 2^exponent with an even exponent, 2^23 <= mantissa < 2^25
    let (mut mantissa, mut exponent) = match (bits >> 23) as i32 {
        0 => {
            let up = bits.leading_zeros() - 8;
            (bits << up, -149 - up as i32)
        }
        e => ((bits & 0x007f_ffff) | 0x0080_0000, e - 150),
    };
    if exponent & 1 != 0 {
        mantissa <<= 1;
        exponent -= 1;
    }
    // The digits of √(mantissa · 2^26) from the top, 2^24 <= root < 2^26. Two bits of the number come down each time. What the
    // square of the root leaves is at most 2·root.
    let (mut root, mut rest, mut number) = (0u32, 0u32, mantissa << 6);
    for _ in 0..26 {
        rest = (rest << 2) | (number >> 30);
        number <<= 2;
        root <<= 1;
        let digit = 2 * root + 1;
        if rest >= digit {
            rest -= digit;
            root += 1;
        }
    }
    // With a sticky bit below, rounded once, by the conversion.
    let scaled = ((root << 1) | u32::from(rest != 0)) as f32;
    let power = exponent / 2 - 14;
    scaled * f32::from_bits(((power + 127) as u32) << 23)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bit patterns that cross every exponent, plus a pseudo-random walk.
    fn patterns() -> impl Iterator<Item = u32> {
        (0..200_000u32).map(|i| i.wrapping_mul(2_654_435_761))
    }

    #[test]
    fn integer_root_is_the_hardware_root() {
        for bits in patterns().chain([0, 1, 2, 3, 0x007f_ffff, 0x0080_0000, 0x7f7f_ffff, 0x7f80_0000, 0x8000_0000]) {
            let x = f32::from_bits(bits);
            let (ours, exact) = (sqrt_integer(x), std::primitive::f32::sqrt(x));
            assert!(
                ours.to_bits() == exact.to_bits() || (ours.is_nan() && exact.is_nan()),
                "√{bits:08x}: {:08x}, not {:08x}",
                ours.to_bits(),
                exact.to_bits()
            );
        }
    }

    #[test]
    fn emulated_fused_step_is_the_fused_step() {
        let mut special = vec_of_specials();
        special.extend(patterns().take(4000).map(f32::from_bits));
        let n = special.len();
        for i in 0..400_000usize {
            let (a, b, c) = (special[i % n], special[(i * 7 + i / n) % n], special[(i * 13 + i / 3) % n]);
            let (ours, exact) = (fused_emulated(c, a, b), a.mul_add(b, c));
            assert!(
                ours.to_bits() == exact.to_bits() || (ours.is_nan() && exact.is_nan()),
                "{:08x} × {:08x} + {:08x}: {:08x}, not {:08x}",
                a.to_bits(),
                b.to_bits(),
                c.to_bits(),
                ours.to_bits(),
                exact.to_bits()
            );
        }
        let known =
            fused_emulated(f32::from_bits(0x0001_0002), f32::from_bits(0x9700_0800), f32::from_bits(0x1cff_f001));
        assert_eq!(known.to_bits(), 0x0001_0001);
    }

    /// Sums so close to half a unit in the last place, on both sides, that binary64 has them there, of all signs.
    #[test]
    fn emulated_fused_step_rounds_once_beside_a_tie() {
        let (half, unit) = (f32::EPSILON / 2.0, f32::EPSILON);
        for (k, j, odd) in (0..1000).step_by(7).flat_map(|k| (0..3).map(move |j| (k, j, (k + j) % 2))) {
            // Their product is 1 but for some units in the last place of binary64.
            let (more, less) = (1.0 + k as f32 * unit, 1.0 - k as f32 * unit - j as f32 * half);
            for (sign, other) in [(1.0, 1.0), (1.0, -1.0), (-1.0, 1.0), (-1.0, -1.0)] {
                // Half a unit is 1 / 4096².
                let (a, b, c) = (sign * more / 4096.0, less / 4096.0, other * (1.0 + odd as f32 * unit));
                let (ours, exact) = (fused_emulated(c, a, b), a.mul_add(b, c));
                assert_eq!(ours.to_bits(), exact.to_bits(), "{a:e} × {b:e} + {c:e}");
            }
        }
    }

    fn vec_of_specials() -> std::vec::Vec<f32> {
        [0u32, 1, 2, 0x007f_ffff, 0x0080_0000, 0x3f80_0000, 0x3f80_0001, 0x3f7f_ffff, 0x7f7f_ffff, 0x7f80_0000]
            .into_iter()
            .flat_map(|bits| [f32::from_bits(bits), f32::from_bits(bits | 0x8000_0000)])
            .collect()
    }
}
