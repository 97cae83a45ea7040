//! Constructors with sizes of any kind, against the same rules in 128 bits.

use arbitrary::{Arbitrary, Result, Unstructured};
use lowrank::weight::{Weights, pack, packed_len};
use lowrank::{Argument, Arithmetic, Error, MatMut, MatRef, Packed, Saved, Scale, Shape};

use crate::backends;
use crate::data::{UpTo, assert_same};
use crate::misfit::Misfit;

/// A case of this target.
#[allow(clippy::large_enum_variant, reason = "one case lives at a time")]
#[derive(Debug, Arbitrary)]
pub enum Case {
    Matrix(Matrix),
    Panels(Panels),
    Lengths(Lengths),
    Misfit(Misfit),
}

impl Case {
    pub fn check(self) {
        match self {
            Case::Matrix(case) => case.check(),
            Case::Panels(case) => case.check(),
            Case::Lengths(case) => case.check(),
            Case::Misfit(case) => case.check(),
        }
    }
}

/// A size: small, near a power of two, or anything.
#[derive(Copy, Clone, Debug)]
struct Size(usize);

impl<'a> Arbitrary<'a> for Size {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Self> {
        Ok(Size(match u.int_in_range(0..=3)? {
            0 | 1 => u.int_in_range(0..=9)?,
            2 => (1usize << u.int_in_range(0..=usize::BITS - 1)?).wrapping_add_signed(u.int_in_range(-3..=3)?),
            _ => u.arbitrary()?,
        }))
    }
}

/// Elements of a matrix, or `None` when their bytes do not fit into `isize`.
fn span(rows: usize, cols: usize, stride: usize) -> Option<usize> {
    if rows == 0 || cols == 0 {
        return Some(0);
    }
    let span = (rows as u128 - 1) * stride as u128 + cols as u128;
    (span <= isize::MAX as u128 / 4).then_some(span as usize)
}

fn count_up(len: usize) -> Vec<f32> {
    (0..len).map(|i| i as f32).collect()
}

#[derive(Debug, Arbitrary)]
pub struct Matrix {
    len: UpTo<64>,
    rows: Size,
    cols: Size,
    stride: Size,
    row: Size,
}

impl Matrix {
    fn check(self) {
        let (rows, cols, stride) = (self.rows.0, self.cols.0, self.stride.0);
        let argument = Argument::Matrix;
        let mut data = count_up(self.len.0);
        let got = data.len();

        let dense = match span(rows, cols, cols) {
            None => Err(Error::Overflow { argument }),
            Some(expected) if expected != got => Err(Error::Length { argument, expected, got }),
            Some(_) => Ok(()),
        };
        assert_eq!(MatRef::new(&data, rows, cols).map(drop), dense);
        assert_eq!(MatMut::new(&mut data, rows, cols).map(drop), dense);
        if let Ok(view) = MatRef::new(&data, rows, cols) {
            self.check_rows(view, cols);
        }

        let strided = match span(rows, cols, stride) {
            _ if stride < cols => Err(Error::Stride { argument, expected: cols, got: stride }),
            None => Err(Error::Overflow { argument }),
            Some(expected) if expected > got => Err(Error::Length { argument, expected, got }),
            Some(_) => Ok(()),
        };
        assert_eq!(MatRef::with_stride(&data, rows, cols, stride).map(drop), strided);
        assert_eq!(MatMut::with_stride(&mut data, rows, cols, stride).map(drop), strided);
        if let Ok(view) = MatRef::with_stride(&data, rows, cols, stride) {
            self.check_rows(view, stride);
        }
        if let Ok(mut view) = MatMut::with_stride(&mut data, rows, cols, stride) {
            view.row_mut(self.row.0).fill(-1.0);
            let row = self.row.0;
            for (at, &value) in data.iter().enumerate() {
                let inside = row < rows && cols > 0 && (row * stride..row * stride + cols).contains(&at);
                assert_eq!(value, if inside { -1.0 } else { at as f32 });
            }
        }
    }

    fn check_rows(&self, view: MatRef<'_>, stride: usize) {
        let (rows, cols) = (self.rows.0, self.cols.0);
        let counts = rows > 1 && cols > 0;
        assert_eq!((view.rows(), view.cols(), view.stride()), (rows, cols, if counts { stride } else { cols }));
        for i in (0..rows.min(70)).chain([self.row.0, rows, usize::MAX]) {
            let expected =
                if i < rows { count_up(cols).iter().map(|x| x + (i * stride) as f32).collect() } else { vec![] };
            assert_same("row", if cols == 0 { &[] } else { &expected }, view.row(i));
        }
    }
}

#[derive(Debug, Arbitrary)]
pub struct Panels {
    len: UpTo<64>,
    outputs: Size,
    inputs: Size,
    width: Size,
    at: (Size, Size),
}

impl Panels {
    fn check(self) {
        let (outputs, inputs, width) = (self.outputs.0, self.inputs.0, self.width.0);
        let argument = Argument::Packed;
        let data = count_up(self.len.0);
        let got = data.len();
        assert_eq!(packed_len(outputs, inputs), span(outputs, inputs, inputs));
        let result = match span(outputs, inputs, inputs) {
            _ if width == 0 => Err(Error::Cols { argument, expected: 1, got: 0 }),
            None => Err(Error::Overflow { argument }),
            Some(expected) if expected != got => Err(Error::Length { argument, expected, got }),
            Some(_) => Ok(()),
        };
        assert_eq!(Packed::new(&data, outputs, inputs, width).map(drop), result);
        if let Ok(packed) = Packed::new(&data, outputs, inputs, width) {
            assert_eq!((packed.outputs(), packed.inputs(), packed.width()), (outputs, inputs, width));
            self.check_elements(packed.into());
        }
        if let Ok(w) = MatRef::new(&data, outputs, inputs) {
            check_pack(w);
        }
    }

    fn check_elements(&self, weights: Weights<'_>) {
        let (outputs, inputs, width) = (self.outputs.0, self.inputs.0, self.width.0);
        let near = |size: usize| (0..size.min(70)).chain([size, usize::MAX]);
        let all = near(outputs).flat_map(|o| near(inputs).map(move |i| (o, i)));
        for (o, i) in all.chain([(self.at.0.0, self.at.1.0)]) {
            let expected = (o < outputs && i < inputs).then(|| {
                let first = o - o % width;
                (inputs * first + i * width.min(outputs - first) + o % width) as f32
            });
            assert_eq!(weights.get(o, i), expected, "element ({o}, {i})");
        }
    }
}

/// Packing for any backend keeps every element; a buffer of another length is refused, and not written.
fn check_pack(w: MatRef<'_>) {
    for backend in backends(Arithmetic::Separate) {
        let (outputs, inputs) = (w.rows(), w.cols());
        let mut buffer = vec![-1.0; outputs * inputs];
        let packed = Weights::from(pack(backend, w, &mut buffer).unwrap());
        for o in 0..outputs.min(70) {
            for i in 0..inputs.min(70) {
                assert_eq!(packed.get(o, i), Some(w.row(o)[i]));
            }
        }
        let mut longer = vec![-1.0; outputs * inputs + 1];
        let expected = Error::Length { argument: Argument::Packed, expected: longer.len() - 1, got: longer.len() };
        assert_eq!(pack(backend, w, &mut longer).map(drop), Err(expected));
        assert!(longer.iter().all(|&value| value == -1.0));
    }
}

#[derive(Debug, Arbitrary)]
pub struct Lengths {
    len: UpTo<64>,
    inputs: Size,
    outputs: Size,
    rank: Size,
    tokens: Size,
    alpha: u32,
}

impl Lengths {
    fn check(self) {
        let shape = Shape::new(self.inputs.0, self.outputs.0, self.rank.0);
        let (inputs, outputs, rank) = (self.inputs.0 as u128, self.outputs.0 as u128, self.rank.0 as u128);
        let saturated = |n: u128| n.min(usize::MAX as u128) as usize;
        assert_eq!(shape.adapter_parameters(), saturated(rank.saturating_mul(inputs + outputs)));
        assert_eq!(shape.full_parameters(), saturated(inputs * outputs));
        self.check_saved(shape);
        self.check_scale();
    }

    fn check_saved(&self, shape: Shape) {
        let argument = Argument::Saved;
        let tokens = self.tokens.0;
        let (single, got) = (span(tokens, shape.rank, shape.rank), self.len.0);
        let double = single.and_then(|n| span(2, n, n));
        assert_eq!(Saved::inference_len(shape, tokens), single);
        assert_eq!(Saved::training_len(shape, tokens), double);
        let result = |len: Option<usize>| match len {
            None => Err(Error::Overflow { argument }),
            Some(expected) if expected != got => Err(Error::Length { argument, expected, got }),
            Some(_) => Ok(()),
        };
        let mut memory = count_up(got);
        assert_eq!(Saved::inference(&mut memory, shape, tokens).map(drop), result(single));
        assert_eq!(Saved::training(&mut memory, shape, tokens).map(drop), result(double));
    }

    /// `alpha/√r` is rounded once, up to the error of the root in binary64 (less than 2⁻⁵⁰).
    fn check_scale(&self) {
        let (alpha, rank) = (f32::from_bits(self.alpha), self.rank.0);
        assert_same("direct", &[alpha], &[Scale::Direct(alpha).factor(rank)]);
        let [plain, root] = [rank as f64, (rank as f64).sqrt()].map(|divisor| f64::from(alpha) / divisor);
        if rank == 0 {
            assert_eq!([Scale::Alpha(alpha).factor(0), Scale::RankStabilized(alpha).factor(0)], [0.0, 0.0]);
            return;
        }
        assert_same("alpha/r", &[plain as f32], &[Scale::Alpha(alpha).factor(rank)]);
        let stabilized = Scale::RankStabilized(alpha).factor(rank);
        let bounds = [-1.0, 1.0].map(|sign: f64| (root * (1.0 + sign * 2f64.powi(-50))) as f32);
        let (low, high) = (bounds[0].min(bounds[1]), bounds[0].max(bounds[1]));
        assert!(alpha.is_nan() && stabilized.is_nan() || low <= stabilized && stabilized <= high, "{stabilized:e}");
    }
}
