//! A short decimal number that means an f32 and no other, in integers, without `core::fmt`: of all lengths the shortest at
//! which the nearest does. Beside a power of two, one that is not the nearest can be a digit shorter.

/// Digits before the point: those of 2^128, and one for a carry.
const WHOLE: usize = 40;
/// And behind it: those of a quarter of the smallest number, 2^-151.
const DIGITS: usize = WHOLE + 151;

type Digits = [u8; DIGITS];

/// Up to nine digits, and where the point lies.
pub(crate) struct Decimal {
    digits: [u8; 9],
    len: usize,
    /// The power of ten of the first digit.
    exponent: i32,
}

/// `factor` · 2^`power`, exactly.
fn exact(factor: u32, power: i32) -> Digits {
    let mut digits = [0; DIGITS];
    let mut rest = factor;
    for digit in digits.iter_mut().take(WHOLE).rev() {
        (*digit, rest) = ((rest % 10) as u8, rest / 10);
    }
    for _ in 0..power {
        let mut carry = 0;
        for digit in digits.iter_mut().rev() {
            let double = 2 * *digit + carry;
            (*digit, carry) = (double % 10, double / 10);
        }
    }
    for _ in power..0 {
        let mut carry = 0;
        for digit in &mut digits {
            let half = 10 * carry + *digit;
            (*digit, carry) = (half / 2, half % 2);
        }
    }
    digits
}

/// `digits` rounded to the first `end` of them, and how far that is from them.
fn rounded(digits: &Digits, end: usize) -> (Digits, Digits) {
    let (mut near, mut error) = (*digits, *digits);
    near.iter_mut().skip(end).for_each(|digit| *digit = 0);
    error.iter_mut().take(end).for_each(|digit| *digit = 0);
    if digits.get(end).is_some_and(|&next| next >= 5) {
        let mut carry = 1;
        for digit in near.iter_mut().take(end).rev() {
            (*digit, carry) = if carry + *digit == 10 { (0, 1) } else { (*digit + carry, 0) };
        }
        // What is missing to one at the last place that stays.
        let mut carry = 1;
        for digit in error.iter_mut().skip(end).rev() {
            (*digit, carry) = if 9 - *digit + carry == 10 { (0, 1) } else { (9 - *digit + carry, 0) };
        }
    }
    (near, error)
}

fn first(digits: &Digits) -> Option<usize> {
    digits.iter().position(|&digit| digit != 0)
}

impl Decimal {
    /// Of the magnitude of a finite number.
    pub(crate) fn of(value: f32) -> Self {
        let bits = value.to_bits() & 0x7fff_ffff;
        let (field, fraction) = ((bits >> 23) as i32, bits & 0x007f_ffff);
        let (factor, power) = if field == 0 { (fraction, -149) } else { (fraction | 0x0080_0000, field - 150) };
        let digits = exact(factor, power);
        let Some(start) = first(&digits) else { return Self { digits: [0; 9], len: 1, exponent: 0 } };
        // Everything nearer than half a step means this number, and half a step away if it is even; below a power of two, steps
        // are half as long.
        let above = exact(1, power - 1);
        let below = if fraction == 0 && field > 1 { exact(1, power - 2) } else { above };
        let means_it = |(near, error): &(Digits, Digits)| {
            let step = if *near > digits { &above } else { &below };
            error < step || (error == step && fraction % 2 == 0)
        };
        let shortest = (1..9).map(|len| rounded(&digits, start + len)).find(means_it);
        let (near, _) = shortest.unwrap_or_else(|| rounded(&digits, start + 9));
        let start = first(&near).unwrap_or(start);
        let mut short = Self { digits: [0; 9], len: 1, exponent: WHOLE as i32 - 1 - start as i32 };
        for (place, (to, &digit)) in short.digits.iter_mut().zip(near.iter().skip(start)).enumerate() {
            *to = digit;
            if digit != 0 {
                short.len = place + 1;
            }
        }
        short
    }

    /// As `0.05`, `16777216`, `3.4028235e38`.
    pub(crate) fn write(&self, mut byte: impl FnMut(u8)) {
        let Self { digits, len, exponent } = *self;
        let is_plain = (-5..10).contains(&exponent);
        // Places before the point.
        let whole = if is_plain { exponent + 1 } else { 1 };
        if whole <= 0 {
            byte(b'0');
            byte(b'.');
            (whole..0).for_each(|_| byte(b'0'));
        }
        for place in 0..(len as i32).max(whole) {
            if place == whole && whole > 0 {
                byte(b'.');
            }
            byte(b'0' + digits.get(place as usize).copied().unwrap_or(0));
        }
        if !is_plain {
            byte(b'e');
            if exponent < 0 {
                byte(b'-');
            }
            let exponent = exponent.unsigned_abs() as u8;
            if exponent >= 10 {
                byte(b'0' + exponent / 10);
            }
            byte(b'0' + exponent % 10);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::{String, ToString};
    use std::{format, vec::Vec};

    fn text(value: f32) -> String {
        let mut bytes = Vec::new();
        Decimal::of(value).write(|byte| bytes.push(byte));
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn numbers_read_as_people_write_them() {
        for (value, expected) in [
            (0.0, "0"),
            (1.0, "1"),
            (0.05, "0.05"),
            (0.5, "0.5"),
            (10.0, "10"),
            (120.5, "120.5"),
            (0.99999994, "0.99999994"),
            (16777216.0, "16777216"),
            (0.00001, "0.00001"),
            (1e-6, "1e-6"),
            (1e-38, "1e-38"),
            (1e10, "1e10"),
            (3.25e12, "3.25e12"),
            (f32::MAX, "3.4028235e38"),
            (f32::MIN_POSITIVE, "1.1754944e-38"),
            (f32::from_bits(1), "1e-45"),
        ] {
            assert_eq!(text(value), expected);
        }
    }

    #[test]
    fn the_shortest_digits_mean_the_same_number() {
        let powers = (1..255).flat_map(|field: u32| [-1, 0, 1].map(|by: i32| (field << 23).wrapping_add_signed(by)));
        let others = (0..20_000u32).map(|i| i.wrapping_mul(2_654_435_761) & 0x7fff_ffff);
        for value in powers.chain(others).map(f32::from_bits).filter(|value| value.is_finite() && *value > 0.0) {
            let text = text(value);
            assert_eq!(text.parse::<f32>().unwrap().to_bits(), value.to_bits(), "{text}");
            let digits = |text: &str| {
                let text = text.split('e').next().unwrap().replace('.', "");
                text.trim_matches('0').to_string()
            };
            let longer = usize::from(value.to_bits().trailing_zeros() >= 23);
            let shortest = digits(&format!("{value:e}")).len();
            assert!((shortest..=shortest + longer).contains(&digits(&text).len()), "{text}, {value:e}");
        }
    }
}
