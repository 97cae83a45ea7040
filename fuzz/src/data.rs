//! Numbers, sizes, and matrices that notice when something around them changes.

use arbitrary::{Arbitrary, Result, Unstructured};
use lowrank::{Dropout, MatMut, MatRef};

/// A number from 0 to `MAX`.
#[derive(Copy, Clone, Debug)]
pub struct UpTo<const MAX: usize>(pub usize);

impl<'a, const MAX: usize> Arbitrary<'a> for UpTo<MAX> {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Self> {
        u.int_in_range(0..=MAX).map(UpTo)
    }
}

/// Equality of bits, where NaN equals NaN: sign and payload of a NaN are not part of the contract.
pub fn same(a: f32, b: f32) -> bool {
    a.to_bits() == b.to_bits() || (a.is_nan() && b.is_nan())
}

/// Panics at the first difference.
pub fn assert_same(what: &str, expected: &[f32], got: &[f32]) {
    assert_eq!(expected.len(), got.len(), "{what}");
    for (i, (&e, &g)) in expected.iter().zip(got).enumerate() {
        assert!(same(e, g), "{what}: element {i} is {g:e} ({:08x}), expected {e:e} ({:08x})", g.to_bits(), e.to_bits());
    }
}

/// Equality as it is printed, so that an error about a NaN equals itself.
pub fn assert_equal<T: std::fmt::Debug>(expected: &T, got: &T, what: &str) {
    assert_eq!(format!("{expected:?}"), format!("{got:?}"), "{what}");
}

/// A parameter of an operation.
#[derive(Copy, Clone, Debug, Arbitrary)]
pub enum Scalar {
    Fraction(u16),
    Zero,
    NegativeZero,
    Bits(u32),
}

impl Scalar {
    /// Fractions lie in [0, 1).
    pub fn value(self) -> f32 {
        match self {
            Scalar::Fraction(n) => f32::from(n) / 65_536.0,
            Scalar::Zero => 0.0,
            Scalar::NegativeZero => -0.0,
            Scalar::Bits(bits) => f32::from_bits(bits),
        }
    }
}

#[derive(Clone, Debug, Arbitrary)]
pub struct DropoutCase {
    probability: Scalar,
    seed: u64,
    step: u32,
    layer_number: u32,
    first_token: u64,
}

impl DropoutCase {
    pub fn value(&self) -> Dropout {
        Dropout {
            probability: self.probability.value(),
            seed: self.seed,
            step: self.step,
            // Most layer numbers are below 2³⁰, as they have to be.
            layer_number: if self.layer_number % 4 == 0 { self.layer_number } else { self.layer_number >> 2 },
            first_token: self.first_token,
        }
    }
}

/// What `Saved::set_dropout` promises to take.
pub fn is_valid(dropout: &Dropout) -> bool {
    (0.0..1.0).contains(&dropout.probability) && dropout.layer_number < 1 << 30
}

/// A case made from the fuzzer's bytes and, where they end, from bytes that are a function of them. Short inputs are whole
/// cases then, and not cases full of zeros.
#[derive(Debug)]
pub struct Extended<T>(pub T);

/// More than any case takes.
const CASE_BYTES: usize = 1024;

impl<'a, T: for<'b> Arbitrary<'b>> Arbitrary<'a> for Extended<T> {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Self> {
        let mut bytes = u.bytes(u.len())?.to_vec();
        let mut random = SplitMix(bytes.iter().fold(0, |state, &byte| SplitMix(state ^ u64::from(byte)).next()));
        while bytes.len() < CASE_BYTES {
            bytes.extend(random.next().to_le_bytes());
        }
        Unstructured::new(&bytes).arbitrary().map(Extended)
    }
}

/// SplitMix64 (S. Vigna).
#[derive(Clone, Debug, Arbitrary)]
struct SplitMix(u64);

impl SplitMix {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

/// Where the numbers of a case come from: uniform in [-1, 1), and among them hostile ones, which are special values or bit
/// patterns that the fuzzer chose.
#[derive(Clone, Debug, Arbitrary)]
pub struct Numbers {
    random: SplitMix,
    hostile: UpTo<8>,
    patterns: Vec<u32>,
}

/// How many of 64 numbers are hostile. Mostly few: a chain keeps the first NaN it meets.
const HOSTILE: [u64; 9] = [0, 0, 0, 1, 1, 2, 4, 16, 64];

const SPECIAL: [u32; 10] = [
    0x0000_0000, // ±0
    0x8000_0000,
    0x0000_0001, // the smallest and the largest subnormal
    0x807f_ffff,
    0x0080_0000, // the smallest normal
    0x7f7f_ffff, // ± the largest
    0xff7f_ffff,
    0x7f80_0000, // ± infinity
    0xff80_0000,
    0x7fc0_0000, // NaN
];

impl Numbers {
    /// The next one.
    pub fn draw(&mut self) -> f32 {
        let word = self.random.next();
        let pick = (word >> 8) as usize;
        match (word % 64 < HOSTILE[self.hostile.0], self.patterns.is_empty() || word & 64 == 0) {
            (false, _) => (word >> 40) as f32 / 8_388_608.0 - 1.0,
            (true, true) => f32::from_bits(SPECIAL[pick % SPECIAL.len()]),
            (true, false) => f32::from_bits(self.patterns[pick % self.patterns.len()]),
        }
    }
}

/// How a matrix lies in its buffer: elements in front of it, between its rows, and behind it. With none, the address
/// sanitizer watches the edge.
#[derive(Copy, Clone, Debug, Arbitrary)]
pub struct Place {
    before: UpTo<17>,
    gap: UpTo<3>,
    after: UpTo<2>,
}

/// A matrix in a larger buffer whose other elements nobody may touch.
#[derive(Clone, Debug)]
pub struct Guarded {
    memory: Vec<f32>,
    original: Vec<u32>,
    first: usize,
    rows: usize,
    cols: usize,
    stride: usize,
}

/// A signalling NaN: no arithmetic returns it.
const GUARD: u32 = 0x7fa5_c3e1;

impl Guarded {
    pub fn new(place: Place, rows: usize, cols: usize, mut value: impl FnMut() -> f32) -> Self {
        let (first, stride) = (place.before.0, cols + place.gap.0);
        let span = if rows == 0 || cols == 0 { 0 } else { (rows - 1) * stride + cols };
        let mut memory = vec![f32::from_bits(GUARD); first + span + place.after.0];
        for i in 0..rows {
            memory.iter_mut().skip(first + i * stride).take(cols).for_each(|to| *to = value());
        }
        let original = memory.iter().map(|x| x.to_bits()).collect();
        Self { memory, original, first, rows, cols, stride }
    }

    fn span(&self) -> std::ops::Range<usize> {
        let span = if self.rows == 0 || self.cols == 0 { 0 } else { (self.rows - 1) * self.stride + self.cols };
        self.first..self.first + span
    }

    pub fn view(&self) -> MatRef<'_> {
        MatRef::with_stride(&self.memory[self.span()], self.rows, self.cols, self.stride).unwrap()
    }

    pub fn view_mut(&mut self) -> MatMut<'_> {
        let span = self.span();
        MatMut::with_stride(&mut self.memory[span], self.rows, self.cols, self.stride).unwrap()
    }

    /// The elements of a matrix with one row.
    pub fn slice(&self) -> &[f32] {
        assert_eq!(self.rows, 1);
        &self.memory[self.span()]
    }

    /// The elements of a matrix with one row.
    pub fn slice_mut(&mut self) -> &mut [f32] {
        assert_eq!(self.rows, 1);
        let span = self.span();
        &mut self.memory[span]
    }

    /// The matrix, row by row.
    pub fn values(&self) -> Vec<f32> {
        let view = self.view();
        (0..self.rows).flat_map(|i| view.row(i).to_vec()).collect()
    }

    /// Panics if an element outside of the matrix has changed.
    pub fn assert_guarded(&self, what: &str) {
        self.assert_kept(what, |at| {
            let inside = at.checked_sub(self.first).is_some_and(|at| at / self.stride.max(1) < self.rows);
            !inside || (at - self.first) % self.stride.max(1) >= self.cols
        });
    }

    /// Panics if any element has changed.
    pub fn assert_untouched(&self, what: &str) {
        self.assert_kept(what, |_| true);
    }

    fn assert_kept(&self, what: &str, must_be_kept: impl Fn(usize) -> bool) {
        for (at, (now, &then)) in self.memory.iter().zip(&self.original).enumerate() {
            let kept = now.to_bits() == then || !must_be_kept(at);
            assert!(kept, "{what}: element {at} of the buffer was changed to {now:e}: {self:?}");
        }
    }
}

/// Makes the matrices of a case, each in a place of its own.
pub struct Maker {
    numbers: Numbers,
    /// Whether infinities and NaN are replaced by 1.
    pub finite: bool,
    /// Multiplies every number.
    pub factor: f32,
    places: Vec<Place>,
    next: usize,
}

impl Maker {
    pub fn new(numbers: Numbers, places: &[Place]) -> Self {
        Self { numbers, finite: false, factor: 1.0, places: places.to_vec(), next: 0 }
    }

    pub fn matrix(&mut self, rows: usize, cols: usize) -> Guarded {
        let place = self.places[self.next % self.places.len()];
        self.next += 1;
        Guarded::new(place, rows, cols, || {
            let value = self.factor * self.numbers.draw();
            if self.finite && !value.is_finite() { 1.0 } else { value }
        })
    }
}
