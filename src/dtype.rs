//! How the numbers of an adapter file are stored, and the way between each of them and binary32.

/// The type of stored numbers, little-endian.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash)]
pub enum Dtype {
    /// IEEE 754 binary32.
    F32,
    /// IEEE 754 binary16: 5 bits of exponent, 10 of fraction.
    F16,
    /// The upper half of a binary32: 8 bits of exponent, 7 of fraction.
    Bf16,
}

impl Dtype {
    /// All of them.
    pub const ALL: [Dtype; 3] = [Dtype::F32, Dtype::F16, Dtype::Bf16];

    /// Bytes of a number.
    pub const fn size(self) -> usize {
        match self {
            Dtype::F32 => 4,
            Dtype::F16 | Dtype::Bf16 => 2,
        }
    }

    /// `f32`, `f16` or `bf16`.
    pub const fn name(self) -> &'static str {
        match self {
            Dtype::F32 => "f32",
            Dtype::F16 => "f16",
            Dtype::Bf16 => "bf16",
        }
    }

    /// The number that these bits stand for, exactly; of the 16-bit types the lower half of `bits`. A NaN keeps its sign and
    /// its payload.
    ///
    /// ```
    /// use lowrank::Dtype;
    /// assert_eq!(Dtype::F16.decode(0x3e00), 1.5);
    /// assert_eq!(Dtype::Bf16.decode(0x3fc0), 1.5);
    /// ```
    pub const fn decode(self, bits: u32) -> f32 {
        match self {
            Dtype::F32 => f32::from_bits(bits),
            Dtype::F16 => f32::from_bits(widen_f16(bits & 0xffff)),
            Dtype::Bf16 => f32::from_bits(bits << 16),
        }
    }

    /// The bits of the nearest number of this type, of two equally near ones that with an even last bit. What rounds
    /// beyond the largest number is an infinity. A NaN keeps its sign and the upper end of its payload, and stays a NaN.
    ///
    /// ```
    /// use lowrank::Dtype;
    /// assert_eq!(Dtype::F16.encode(65_519.0), 0x7bff); // 65504, the largest
    /// assert_eq!(Dtype::F16.encode(65_520.0), 0x7c00); // infinity
    /// assert_eq!(Dtype::Bf16.encode(1.0 + 1.0 / 256.0), 0x3f80); // a tie goes to even
    /// ```
    pub const fn encode(self, value: f32) -> u32 {
        let bits = value.to_bits();
        let (sign, magnitude) = (bits >> 31, bits & 0x7fff_ffff);
        match self {
            Dtype::F32 => bits,
            Dtype::F16 => sign << 15 | narrow_f16(magnitude),
            Dtype::Bf16 if magnitude > INFINITY => sign << 15 | quiet(magnitude >> 16, 7),
            Dtype::Bf16 => sign << 15 | divide_by_power(magnitude, 16),
        }
    }
}

/// Bits of a binary32.
const INFINITY: u32 = 0x7f80_0000;

/// Exponent bias of binary32 less that of binary16.
const REBIAS: u32 = (127 - 15) << 23;

/// The bits of the binary32 that is a binary16: exact. Those of a NaN are shifted.
// In a loop it becomes vector instructions without a branch: normal numbers get another exponent, and a subnormal one is the fraction
// of a number whose leading bit is taken off again.
#[inline(always)]
pub(crate) const fn widen_f16(half: u32) -> u32 {
    const EXPONENT: u32 = 0x1f << 23;
    const LEADING: u32 = REBIAS + (1 << 23);
    let (sign, magnitude) = ((half & 0x8000) << 16, (half & 0x7fff) << 13);
    let exponent = magnitude & EXPONENT;
    let wide = if exponent == 0 {
        (f32::from_bits(magnitude + LEADING) - f32::from_bits(LEADING)).to_bits()
    } else if exponent == EXPONENT {
        magnitude + 2 * REBIAS
    } else {
        magnitude + REBIAS
    };
    sign | wide
}

const fn narrow_f16(magnitude: u32) -> u32 {
    const INFINITY_F16: u32 = 0x7c00;
    const SMALLEST_NORMAL: u32 = REBIAS + (1 << 23);
    if magnitude > INFINITY {
        return quiet(INFINITY_F16 | (magnitude >> 13) & 0x03ff, 10);
    }
    if magnitude >= SMALLEST_NORMAL {
        let rounded = divide_by_power(magnitude - REBIAS, 13);
        return if rounded < INFINITY_F16 { rounded } else { INFINITY_F16 };
    }
    // In units of 2⁻²⁴. From 2⁻²⁵ downwards, which is an exponent of 102, all is 0.
    let (exponent, significand) = (magnitude >> 23, magnitude & 0x007f_ffff | 0x0080_0000);
    if exponent < 102 { 0 } else { divide_by_power(significand, 126 - exponent) }
}

/// A NaN with `fraction` bits of fraction whose payload may have been cut to nothing, which would make it an infinity.
const fn quiet(nan: u32, fraction: u32) -> u32 {
    if nan & ((1 << fraction) - 1) == 0 { nan | 1 << (fraction - 1) } else { nan }
}

/// `n / 2^power`, rounded to the nearest, of two equally near ones to the even one; `1 <= power <= 31`.
const fn divide_by_power(n: u32, power: u32) -> u32 {
    let (quotient, rest, half) = (n >> power, n & ((1 << power) - 1), 1 << (power - 1));
    if rest > half || rest == half && quotient & 1 == 1 { quotient + 1 } else { quotient }
}
