//! Gate 17, continued: what is stored in 16 bits. All numbers decoded, and all that lies between them encoded, by routes that
//! share nothing with the crate.

use crate::support::{full, report};
use lowrank::Dtype;

/// A type of 16 bits by its parameters.
struct Half {
    dtype: Dtype,
    fraction: u32,
    bias: i32,
}

const HALVES: [Half; 2] =
    [Half { dtype: Dtype::F16, fraction: 10, bias: 15 }, Half { dtype: Dtype::Bf16, fraction: 7, bias: 127 }];

impl Half {
    /// Bits of infinity, and the number of finite magnitudes.
    fn infinity(&self) -> u32 {
        0x7fff & !((1 << self.fraction) - 1)
    }

    /// The value of a magnitude by the formula of IEEE 754, in binary64, where it is exact. Infinity counts as the number
    /// that would come next: what rounds to it is infinite.
    fn value(&self, magnitude: u32) -> f64 {
        let (exponent, fraction) = ((magnitude >> self.fraction) as i32, magnitude & ((1 << self.fraction) - 1));
        let hidden = if exponent == 0 { 0.0 } else { 1.0 };
        let significand = hidden + f64::from(fraction) / f64::from(1 << self.fraction);
        significand * 2f64.powi(exponent.max(1) - self.bias)
    }
}

#[test]
fn all_16_bit_numbers_decode() {
    for half in HALVES {
        let mut count = 0;
        for bits in 0..=0xffff_u32 {
            let (negative, magnitude) = (bits >> 15 == 1, bits & 0x7fff);
            let value = half.dtype.decode(bits);
            assert_eq!(value.is_sign_negative(), negative, "{bits:#06x}");
            if magnitude > half.infinity() {
                assert!(value.is_nan(), "{bits:#06x}");
            } else if magnitude == half.infinity() {
                assert!(value.is_infinite(), "{bits:#06x}");
            } else {
                assert_eq!(f64::from(value.abs()), half.value(magnitude), "{bits:#06x}");
            }
            // There and back, NaN included; the upper half of the bits does not count.
            assert_eq!(half.dtype.encode(value), bits);
            assert_eq!(half.dtype.decode(0xabcd_0000 | bits).to_bits(), value.to_bits());
            count += 1;
        }
        report("file", half.dtype.name(), count, "numbers decoded", 65_536);
    }
}

/// Checks both signs of a magnitude.
fn check(half: &Half, magnitude: u32, expected: u32) {
    let value = f32::from_bits(magnitude);
    assert_eq!(half.dtype.encode(value), expected, "{} of {value:e}", half.dtype.name());
    assert_eq!(half.dtype.encode(-value), 0x8000 | expected, "{} of -{value:e}", half.dtype.name());
}

/// Between two neighbours and just beside their middle: the middle goes to the even one.
#[test]
fn all_middles_go_to_even() {
    for half in HALVES {
        let mut count = 0;
        for lower in 0..half.infinity() {
            let middle = (half.value(lower) + half.value(lower + 1)) / 2.0;
            let bits = (middle as f32).to_bits();
            assert_eq!(f64::from(middle as f32), middle);
            check(&half, bits, lower + lower % 2);
            check(&half, bits - 1, lower);
            check(&half, bits + 1, lower + 1);
            count += 1;
        }
        report("file", half.dtype.name(), count, "middles encoded", 31_744);
    }
}

/// In ascending order, so that the nearest is found by walking: every finite f32, or one of each 499.
fn f32_encode_to_the_nearest(half: &Half) {
    let step = if full() { 1 } else { 499 };
    let middle = |lower: u32| (half.value(lower) + half.value(lower + 1)) / 2.0;
    let (mut nearest, mut above, mut count) = (0, middle(0), 0_u64);
    for magnitude in (0..=f32::INFINITY.to_bits()).step_by(step) {
        let value = f64::from(f32::from_bits(magnitude));
        while nearest < half.infinity() && (value > above || value == above && nearest % 2 == 1) {
            nearest += 1;
            above = middle(nearest);
        }
        check(half, magnitude, nearest);
        count += 2;
    }
    report("file", half.dtype.name(), count, "f32 encoded", if full() { 4_278_190_082 } else { 8_000_000 });
}

#[test]
fn f32_encode_to_the_nearest_f16() {
    f32_encode_to_the_nearest(&HALVES[0]);
}

#[test]
fn f32_encode_to_the_nearest_bf16() {
    f32_encode_to_the_nearest(&HALVES[1]);
}

#[test]
fn nan_stays_nan() {
    let step = if full() { 1 } else { 97 };
    for half in HALVES {
        let mut count = 0;
        for payload in (1..0x0080_0000_u32).step_by(step).chain([0x007f_ffff, 0x0040_0000]) {
            for sign in [0, 0x8000_0000] {
                let bits = half.dtype.encode(f32::from_bits(sign | 0x7f80_0000 | payload));
                assert!(bits & 0x7fff > half.infinity() && bits >> 15 == sign >> 31, "{payload:#x} gives {bits:#06x}");
                let kept = payload >> (23 - half.fraction);
                assert!(kept == 0 || bits & !0x8000 == half.infinity() | kept, "{payload:#x} gives {bits:#06x}");
                count += 1;
            }
        }
        report("file", half.dtype.name(), count, "NaN encoded", 170_000);
    }
}

#[test]
fn f32_is_itself() {
    for bits in (0..=u32::MAX).step_by(65_521).chain([0x7f80_0001, 0xffff_ffff]) {
        assert_eq!(Dtype::F32.decode(bits).to_bits(), bits);
        assert_eq!(Dtype::F32.encode(f32::from_bits(bits)), bits);
    }
    assert_eq!(Dtype::ALL.map(Dtype::size), [4, 2, 2]);
    assert_eq!(Dtype::ALL.map(Dtype::name), ["f32", "f16", "bf16"]);
}
