//! One product of an equation, on views or on the matrices of a table.

use super::operand::{Factor, More, plain, transposed};
use super::places::{Chains, Place, Product, Side};
use super::product::{Kind, Multiply, in_table, multiply, product_and_more, scale_rows};
use super::raw::Start;
use super::raw::table::Call;
use crate::simd::{Backend, Kernel, Simd};
use crate::view::{MatMut, MatRef};

/// `out = start` continued by `left · right`, perhaps times `s`.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Equation {
    product: Product,
    /// The constants below that hold for this equation.
    flags: u8,
    /// A product of the adapter that continues the chains.
    more: Option<&'static Equation>,
}

/// An equation forms a gradient of the adapter. Where the adapter is absent, no product is added to it.
const OF_ADAPTER: u8 = Chains::SHALLOW;
/// An equation forms a gradient, which may be added to.
const GRADIENT: u8 = Chains::CONTINUED;
/// The factor `s` stands in front of the finished chains.
const SCALED: u8 = Chains::SCALED;
/// Where the adapter is absent, an equation is left out.
const INNER: u8 = 16;
/// With dropout the code of dropout takes the place of an equation.
const DROPPED: u8 = 32;
/// The output is as wide as the rank, so that another product is fast.
const THIN: u8 = 64;
/// The left side is ones: a sum over the rows of the right.
const SUM: u8 = 128;
/// These flags count in every call.
const ALWAYS: u8 = SCALED | Chains::KEPT;

impl Equation {
    const fn new(out: Place, left: Side, right: Side, start: Place, flags: u8) -> Self {
        Self { product: Product::new(out, left, right, start), flags, more: None }
    }

    /// `out = start` continued by `left · right`, and then by `more`, where the adapter counts.
    pub(crate) const fn of_base(
        out: Place,
        (left, right): (Side, Side),
        start: Place,
        more: &'static Equation,
    ) -> Self {
        Self { more: Some(more), ..Self::new(out, left, right, start, 0) }
    }

    /// `out = s · (left · right)`, for the adapter
    pub(crate) const fn inner(out: Place, left: Side, right: Side) -> Self {
        Self::new(out, left, right, Place::ZERO, INNER | SCALED)
    }

    /// `out` continued by `left · right`, for the adapter
    pub(crate) const fn continued(out: Place, left: Side, right: Side) -> Self {
        Self::new(out, left, right, out, INNER | Chains::KEPT)
    }

    /// The gradient of a matrix of the adapter
    pub(crate) const fn gradient(out: Place, left: Side, right: Side) -> Self {
        Self::new(out, left, right, Place::ZERO, OF_ADAPTER | GRADIENT)
    }

    /// The gradient of a bias: the sum of the rows of a matrix. `ones` is as many ones.
    pub(crate) const fn sum(out: Place, rows: Place, ones: Place) -> Self {
        Self::new(out, ones.t(), rows.plain(), Place::ZERO, GRADIENT | SUM)
    }

    pub(crate) const fn thin(self) -> Self {
        Self { flags: self.flags | THIN, ..self }
    }

    pub(crate) const fn dropped(self) -> Self {
        Self { flags: self.flags | DROPPED, ..self }
    }

    pub(crate) const fn out(&self) -> Place {
        self.product.out()
    }

    /// The places of left and right.
    pub(crate) const fn places(&self) -> (Place, Place) {
        let (left, right) = self.product.sides();
        (left.place, right.place)
    }

    /// What continues the chains in a call.
    #[inline(always)]
    fn more(&self, mode: &Mode) -> Option<&'static Equation> {
        self.more.filter(|more| !more.is_left_out(mode))
    }

    #[inline(always)]
    const fn is_left_out(&self, mode: &Mode) -> bool {
        self.flags & mode.flags & (INNER | DROPPED) != 0
    }

    /// What a call makes of the chains.
    #[inline(always)]
    const fn chains(&self, mode: &Mode) -> Chains {
        Chains::new(self.flags & mode.flags, mode.scale)
    }

    /// The places of left and right of what continues the chains in a call.
    pub(crate) fn more_places(&self, mode: &Mode) -> Option<(Place, Place)> {
        self.more(mode).map(Equation::places)
    }

    /// The row that every row of the output starts from, if there is one.
    pub(crate) fn row(&self) -> Option<Place> {
        self.product.row()
    }

    /// Left and right, as they stand in the equation.
    #[inline(always)]
    pub(crate) const fn factors<'a>(&self, left: &'a MatRef<'a>, right: &'a MatRef<'a>) -> (Factor<'a>, Factor<'a>) {
        const fn of<'a>(side: Side, matrix: &'a MatRef<'a>) -> Factor<'a> {
            if side.transposed { transposed(matrix) } else { plain(matrix) }
        }
        let sides = self.product.sides();
        (of(sides.0, left), of(sides.1, right))
    }

    #[inline(always)]
    const fn kind(&self) -> Kind {
        match self.flags & (THIN | SUM) {
            0 => Kind::Plain,
            THIN => Kind::Thin,
            _ => Kind::Sum,
        }
    }

    /// The product on views, without the factor `s`.
    #[inline(always)]
    pub(crate) fn product<S: Simd>(
        &self,
        simd: S,
        (left, right): (&MatRef<'_>, &MatRef<'_>),
        out: &mut MatMut<'_>,
        start: Start<'_>,
    ) {
        multiply(simd, self.kind(), self.factors(left, right), out, start);
    }

    /// Left and right of [`more`](Self::of_base).
    #[inline(always)]
    pub(crate) fn more_factors<'a>(&self, more: Option<[&'a MatRef<'a>; 2]>) -> More<Factor<'a>> {
        self.more.zip(more).map(|(equation, [left, right])| equation.factors(left, right))
    }

    /// The equation on views, with a factor in so many rows of `out` where one is given.
    #[inline(always)]
    pub(crate) fn run(
        &self,
        backend: Backend,
        (left, right): (&MatRef<'_>, &MatRef<'_>),
        out: &mut MatMut<'_>,
        start: Start<'static>,
        scaled: Option<(usize, f32)>,
    ) {
        // The kernel has what it takes of the equation, so that a program does not hold the row of the table.
        let (kind, factors) = (self.kind(), self.factors(left, right));
        backend.run(Multiply { kind, factors, out, start: &start, scaled });
    }

    /// The equation on the matrices of a table. Nothing happens where one of them is missing.
    #[inline(always)]
    fn run_in<S: Simd>(&'static self, simd: S, call: &mut Call<'_, '_, '_>, mode: &Mode) {
        let mut next = Some(self);
        // Not an iterator: at "s" it would become a function of its own.
        let products = || {
            let equation = next.filter(|equation| !equation.is_left_out(mode))?;
            next = equation.more;
            Some((&equation.product, equation.chains(mode)))
        };
        if !in_table(simd, call, products) && !self.is_left_out(mode) {
            self.run_on_views(simd, call, self.more(mode), self.chains(mode));
        }
    }

    /// Runs the equation with the products that are fast where there are vectors.
    #[inline(always)]
    fn run_on_views<S: Simd>(&self, simd: S, call: &mut Call<'_, '_, '_>, more: Option<&Equation>, chains: Chains) {
        let (left, right) = self.places();
        if !(call.has(left) && call.has(right)) {
            return;
        }
        call.write(self.out(), |call, out| {
            let row = self.product.row().map(|row| call.read(row));
            let start = match row.as_ref().map(|row| row.row(0)) {
                _ if chains.continues() => Start::Existing,
                None | Some([]) => Start::Zero,
                Some(row) => Start::Bias(row),
            };
            if !chains.is_deep() {
                if !chains.continues() {
                    out.fill_zero();
                }
                return;
            }
            let (left, right) = (call.read(left), call.read(right));
            let Some(more) = more else { return self.product(simd, (&left, &right), out, start) };
            let (more_left, more_right) = more.places();
            let (more_left, more_right) = (call.read(more_left), call.read(more_right));
            let (left, right) = self.factors(&left, &right);
            product_and_more(simd, left, right, (Some(more.factors(&more_left, &more_right)), 0), out, start);
        });
        if let Some(scale) = chains.scale() {
            call.write(self.out(), |_, out| scale_rows(simd, out, out.rows(), scale));
        }
    }
}

/// What a call knows of its equations.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Mode {
    /// The factor `s`.
    pub scale: f32,
    /// The constants above that count in this call: `OF_ADAPTER` and `INNER` where the adapter is absent, `GRADIENT` where gradients
    /// are added to, `DROPPED` where there is an adapter and dropout; `ALWAYS`.
    flags: u8,
}

impl Mode {
    /// The adapter counts if its scale is not 0 and `has_rank`.
    pub(crate) const fn new(scale: f32, has_rank: bool, accumulates: bool, drops: bool) -> Self {
        let adapter = match scale == 0.0 || !has_rank {
            true => OF_ADAPTER | INNER,
            false if drops => DROPPED,
            false => 0,
        };
        Self { scale, flags: ALWAYS | adapter | if accumulates { GRADIENT } else { 0 } }
    }

    pub(crate) const fn is_present(self) -> bool {
        self.flags & INNER == 0
    }

    pub(crate) const fn accumulates(self) -> bool {
        self.flags & GRADIENT != 0
    }

    /// Whether there is dropout, and an adapter that it counts for.
    pub(crate) const fn drops(self) -> bool {
        self.flags & DROPPED != 0
    }
}

/// Equations on the matrices of a table, one after the other, compiled for the instruction set.
pub(crate) struct Pass<'a, 't, 'm, 'c> {
    pub call: &'a mut Call<'t, 'm, 'c>,
    pub equations: &'static [&'static Equation],
    pub mode: &'a Mode,
}

impl Kernel for Pass<'_, '_, '_, '_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        for equation in self.equations {
            equation.run_in(simd, self.call, self.mode);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::vec;
    use std::vec::Vec;

    use super::*;
    use crate::error::Argument;
    use crate::kernel::places::Dim::{Inputs, One, Outputs, Rank, Tokens};
    use crate::kernel::places::Owner;
    use crate::kernel::raw::table::{Read, Table, Written};
    use crate::simd::Arithmetic;

    const A: Place = Place::new(0, (Rank, Inputs), Owner::Lent);
    const B: Place = Place::new(1, (Outputs, Rank), Owner::Lent);
    const BIAS: Place = Place::new(2, (One, Outputs), Owner::Lent);
    const HS: Place = Place::new(3, (Tokens, Rank), Owner::Table);
    const GRAD: Place = Place::new(4, (Outputs, Rank), Owner::Table);
    const SUMS: Place = Place::new(5, (One, Outputs), Owner::Table);
    const ONES: Place = Place::new(6, (Tokens, One), Owner::Lent);
    const W: Place = Place::new(7, (Outputs, Inputs), Owner::Lent);
    const X: Place = Place::new(10, (Tokens, Inputs), Owner::Read);
    const Y: Place = Place::new(11, (Tokens, Outputs), Owner::Written);
    const DY: Place = Place::new(12, (Tokens, Outputs), Owner::Read);

    static INNER: Equation = Equation::inner(HS, X.plain(), A.t()).thin().dropped();
    static WHOLE: Equation = Equation::of_base(Y, (X.plain(), W.t()), BIAS, &MORE);
    static MORE: Equation = Equation::continued(Y, HS.plain(), B.t()).dropped();
    static GRADIENT_B: Equation = Equation::gradient(GRAD, DY.t(), HS.plain()).thin();
    static SUM: Equation = Equation::sum(SUMS, DY, ONES);
    static MORE_ALONE: Equation = Equation::continued(Y, X.plain(), W.t());
    static ALL: &[&Equation] = &[&INNER, &WHOLE, &MORE_ALONE, &GRADIENT_B, &SUM];

    const SCALE: f32 = 0.7;

    /// Numbers that have no pattern and no common rounding.
    fn numbers(count: usize, seed: u32) -> Vec<f32> {
        (1..=count as u32).map(|i| (i.wrapping_mul(2_654_435_761) ^ seed) as i32 as f32 * 2.0_f32.powi(-31)).collect()
    }

    /// The matrices of a layer, row by row.
    #[derive(Clone)]
    struct Given {
        /// Inputs, outputs, rank, tokens. There is room for one token more.
        sizes: [usize; 4],
        a: Vec<f32>,
        b: Vec<f32>,
        bias: Option<Vec<f32>>,
        w: Vec<f32>,
        x: Vec<f32>,
        dy: Vec<f32>,
        /// `hs`, the gradient and the sums.
        own: Vec<f32>,
        y: Vec<f32>,
    }

    impl Given {
        fn new(sizes: [usize; 4], has_bias: bool) -> Self {
            let [inputs, outputs, rank, tokens] = sizes;
            Self {
                sizes,
                a: numbers(rank * inputs, 1),
                b: numbers(outputs * rank, 2),
                bias: has_bias.then(|| numbers(outputs, 3)),
                w: numbers(outputs * inputs, 4),
                x: numbers(tokens * inputs, 5),
                dy: numbers(tokens * outputs, 6),
                own: numbers((tokens + 1) * rank + outputs * rank + outputs, 7),
                y: numbers(tokens * outputs, 8),
            }
        }

        /// All equations, without the matrices at some places.
        fn run(&mut self, backend: Backend, mode: Mode, without: &[Place]) {
            let Self { sizes: [inputs, outputs, rank, tokens], a, b, bias, w, x, dy, own, y } = self;
            let (inputs, outputs, rank, tokens) = (*inputs, *outputs, *rank, *tokens);
            let is_there = |place: Place| !without.iter().any(|other| other.is(place));
            let mut table = Table::new((inputs, outputs, rank), tokens + 1);
            let (mut checked, mut own) = (Ok(()), &mut own[..]);
            for place in [HS, GRAD, SUMS] {
                table.cut(place, &mut own);
            }
            let ones = MatRef::repeat(&1.0, tokens + 1);
            let mut lent =
                vec![(A, MatRef::dense(a, rank, inputs)), (B, MatRef::dense(b, outputs, rank)), (ONES, ones)];
            lent.push((W, MatRef::dense(w, outputs, inputs)));
            lent.extend(bias.as_ref().map(|bias| (BIAS, MatRef::dense(bias, 1, outputs))));
            for (place, matrix) in lent.iter().filter(|(place, _)| is_there(*place)) {
                table.lend(&mut checked, Argument::W, *place, matrix);
            }
            checked.unwrap();
            let mut call = table.call(tokens);
            for (place, matrix) in [(X, MatRef::dense(x, tokens, inputs)), (DY, MatRef::dense(dy, tokens, outputs))] {
                if is_there(place) {
                    call.bring(Argument::X, place, &Read::of(&matrix));
                }
            }
            call.bring_mut(Argument::Y, Y, Written::of(MatMut::dense(y, tokens, outputs)));
            call.checked().unwrap();
            backend.run(Pass { call: &mut call, equations: ALL, mode: &mode });
        }

        /// The same by definition.
        fn define(&mut self, arithmetic: Arithmetic, [is_present, accumulates, drops]: [bool; 3]) {
            let Self { sizes: [inputs, outputs, rank, tokens], a, b, bias, w, x, dy, own, y } = self;
            let (inputs, outputs, rank, tokens) = (*inputs, *outputs, *rank, *tokens);
            let (hs, rest) = own.split_at_mut((tokens + 1) * rank);
            let (grad, sums) = rest.split_at_mut(outputs * rank);
            if is_present && !drops {
                for (at, hs) in hs[..tokens * rank].iter_mut().enumerate() {
                    let (t, k) = (at / rank, at % rank);
                    let step = |h, i| arithmetic.step(h, x[t * inputs + i], a[k * inputs + i]);
                    *hs = SCALE * (0..inputs).fold(0.0, step);
                }
            }
            for (at, y) in y.iter_mut().enumerate() {
                let (t, o) = (at / outputs, at % outputs);
                let step = |y, i| arithmetic.step(y, x[t * inputs + i], w[o * inputs + i]);
                *y = (0..inputs).fold(bias.as_ref().map_or(0.0, |bias| bias[o]), step);
                if is_present && !drops {
                    *y = (0..rank).fold(*y, |y, k| arithmetic.step(y, hs[t * rank + k], b[o * rank + k]));
                }
                if is_present {
                    *y = (0..inputs).fold(*y, step);
                }
            }
            for (at, grad) in grad.iter_mut().enumerate() {
                let (o, k, start) = (at / rank, at % rank, if accumulates { *grad } else { 0.0 });
                let depth = if is_present { tokens } else { 0 };
                let step = |sum, t| arithmetic.step(sum, dy[t * outputs + o], hs[t * rank + k]);
                *grad = (0..depth).fold(start, step);
            }
            for (o, sum) in sums.iter_mut().enumerate() {
                *sum = (0..tokens).fold(if accumulates { *sum } else { 0.0 }, |sum, t| sum + dy[t * outputs + o]);
            }
        }

        fn bits(&self) -> [Vec<u32>; 2] {
            [&self.own, &self.y].map(|numbers| numbers.iter().map(|number| number.to_bits()).collect())
        }
    }

    const SIZES: [[usize; 4]; 5] = [[5, 7, 2, 3], [19, 21, 9, 2], [3, 4, 0, 2], [0, 3, 2, 1], [4, 3, 1, 0]];

    #[test]
    fn on_a_table_they_are_their_definition() {
        for (backend, sizes) in Backend::available().flat_map(|backend| SIZES.map(|sizes| (backend, sizes))) {
            for case in 0..16 {
                let [is_absent, accumulates, drops, has_bias] = [1, 2, 4, 8].map(|bit| case & bit != 0);
                let mut got = Given::new(sizes, has_bias);
                let mut expected = got.clone();
                let mode = Mode::new(if is_absent { 0.0 } else { SCALE }, sizes[2] > 0, accumulates, drops);
                assert_eq!((mode.is_present(), mode.accumulates()), (!is_absent && sizes[2] > 0, accumulates));
                got.run(backend, mode, &[]);
                expected.define(backend.arithmetic(), [mode.is_present(), accumulates, drops]);
                assert_eq!(got.bits(), expected.bits(), "{backend}, {sizes:?}, case {case}");
            }
        }
    }

    /// Each output stays as it is without one of the matrices that it is of. The others are computed.
    #[test]
    fn without_one_of_its_matrices_nothing_happens() {
        for backend in Backend::available() {
            let mode = Mode::new(SCALE, true, false, false);
            let old = Given::new(SIZES[0], true);
            for (place, changed) in [(X, [false, true]), (W, [true, true]), (DY, [true, false]), (A, [false, true])] {
                let mut new = old.clone();
                new.run(backend, mode, &[place]);
                let hs = 4 * 2;
                assert_eq!([new.own[0] != old.own[0], new.own[hs] != old.own[hs]], changed, "{backend}, {place:?}");
                let writes = !(place.is(X) || place.is(W));
                assert_eq!(new.y != old.y, writes, "{backend}, {place:?}");
            }
        }
    }

    /// On views, `s` counts in the rows that are in use, and where it is given. A sum does not read its left side.
    #[test]
    fn on_views_they_are_their_definition() {
        for backend in Backend::available() {
            let mut given = Given::new(SIZES[1], false);
            let [inputs, outputs, rank, tokens] = given.sizes;
            let mut hs = given.own[..(tokens + 1) * rank].to_vec();
            let (x, a) = (MatRef::dense(&given.x, tokens, inputs), MatRef::dense(&given.a, rank, inputs));
            let out = &mut MatMut::dense(&mut hs, tokens + 1, rank);
            INNER.run(backend, (&x, &a), out, Start::Zero, Some((tokens, SCALE)));
            let (mut sums, dy) = (vec![7.0; outputs], MatRef::dense(&given.dy, tokens, outputs));
            let out = &mut MatMut::dense(&mut sums, 1, outputs);
            SUM.run(backend, (&dy, &dy), out, Start::Zero, None);
            given.define(backend.arithmetic(), [true, false, false]);
            assert_eq!(hs, given.own[..hs.len()], "{backend}");
            assert!(given.own.ends_with(&sums), "{backend}");
        }
    }
}
