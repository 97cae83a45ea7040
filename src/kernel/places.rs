//! Places for the matrices of a table, and the products over them, as data.

/// Places of a table.
pub(super) const PLACES: usize = 16;
/// The first place that belongs to a call; so do those behind it.
pub(super) const FIRST_OF_CALL: u8 = 10;

/// A size of the table: inputs, outputs, rank, tokens of the running call, or the constant 1.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Dim {
    Inputs,
    Outputs,
    Rank,
    Tokens,
    One,
}

/// Who owns the matrix at a place.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Owner {
    /// The table, as long as it lives.
    Table,
    /// The table, or somebody who lends it for reading.
    Lent,
    /// Whoever makes a call, for reading.
    Read,
    /// Whoever makes a call, for writing.
    Written,
}

/// A place for a matrix, and the sizes that the matrix has.
// In two bytes, so that it is a constant of one instruction, and the tables of places are short.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Place {
    /// From the lowest bit on: the slot in four bits, rows and columns in three each, the owner in two.
    bits: u16,
}

impl Place {
    /// It never has a matrix: chains start at +0 there.
    pub(crate) const ZERO: Self = Self::of(15, (Dim::One, Dim::One), Owner::Read);

    /// A one for each token, which every table has.
    pub(crate) const ONES: Self = Self::of(9, (Dim::Tokens, Dim::One), Owner::Lent);

    pub(crate) const fn new(slot: u8, (rows, cols): (Dim, Dim), owner: Owner) -> Self {
        let is_taken = slot == Self::ZERO.slot() || slot == Self::ONES.slot();
        assert!((slot as usize) < PLACES && !is_taken, "no such place");
        let is_of_call = matches!(owner, Owner::Read | Owner::Written);
        assert!(is_of_call == (slot >= FIRST_OF_CALL), "a place among those of another owner");
        Self::of(slot, (rows, cols), owner)
    }

    const fn of(slot: u8, (rows, cols): (Dim, Dim), owner: Owner) -> Self {
        Self { bits: slot as u16 | (rows as u16) << 4 | (cols as u16) << 7 | (owner as u16) << 10 }
    }

    pub(super) const fn slot(self) -> u8 {
        self.bits as u8 & 15
    }

    /// The number of the size that its rows are, as [`Dim`] counts.
    pub(super) const fn rows(self) -> usize {
        (self.bits >> 4 & 7) as usize
    }

    /// As [`rows`](Self::rows).
    pub(super) const fn cols(self) -> usize {
        (self.bits >> 7 & 7) as usize
    }

    pub(super) const fn owner(self) -> Owner {
        match self.bits >> 10 {
            0 => Owner::Table,
            1 => Owner::Lent,
            2 => Owner::Read,
            _ => Owner::Written,
        }
    }

    pub(super) const fn is_of_call(self) -> bool {
        self.slot() >= FIRST_OF_CALL
    }

    /// Whether products may write the matrix.
    pub(crate) const fn is_written(self) -> bool {
        matches!(self.owner(), Owner::Table | Owner::Written)
    }

    /// Whether no two of these places have the same slot.
    pub(crate) const fn are_apart(places: &[Place]) -> bool {
        let (mut seen, mut i) = (0u16, 0);
        while i < places.len() {
            let bit = 1 << places[i].slot();
            if seen & bit != 0 {
                return false;
            }
            seen |= bit;
            i += 1;
        }
        true
    }

    pub(crate) const fn is(self, other: Place) -> bool {
        self.slot() == other.slot()
    }

    pub(crate) const fn t(self) -> Side {
        Side { place: self, transposed: true }
    }

    pub(crate) const fn plain(self) -> Side {
        Side { place: self, transposed: false }
    }
}

/// The matrix of a place, or its transpose.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Side {
    pub place: Place,
    pub transposed: bool,
}

impl Side {
    pub(super) const fn t(self) -> Self {
        Self { transposed: !self.transposed, ..self }
    }

    const fn rows(self) -> usize {
        if self.transposed { self.place.cols() } else { self.place.rows() }
    }

    const fn cols(self) -> usize {
        if self.transposed { self.place.rows() } else { self.place.cols() }
    }
}

/// `out = start` continued by `left · right`, of matrices whose sizes agree.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Product {
    out: Place,
    left: Place,
    right: Place,
    start: Place,
    /// Whether the left is transposed, and the right.
    transposed: [bool; 2],
}

impl Product {
    /// `start` is a row for all rows of `out`, `out` itself, or [`Place::ZERO`]. Where there is no row, the chains start at +0.
    pub(crate) const fn new(out: Place, left: Side, right: Side, start: Place) -> Self {
        let sizes = left.rows() == out.rows() && left.cols() == right.rows() && right.cols() == out.cols();
        assert!(sizes, "sizes that disagree");
        let is_row = start.rows() == Dim::One as usize && start.cols() == out.cols();
        assert!(is_row || start.is(out) || start.is(Place::ZERO), "a start of another size");
        assert!(out.is_written() && !out.is(left.place) && !out.is(right.place), "an output that is read");
        Self { out, left: left.place, right: right.place, start, transposed: [left.transposed, right.transposed] }
    }

    pub(crate) const fn out(&self) -> Place {
        self.out
    }

    pub(crate) const fn sides(&self) -> (Side, Side) {
        let [left, right] = self.transposed;
        (Side { place: self.left, transposed: left }, Side { place: self.right, transposed: right })
    }

    pub(super) const fn start(&self) -> Place {
        self.start
    }

    pub(super) const fn depth(&self) -> usize {
        self.sides().0.cols()
    }

    /// The row that every row of the output starts from, if there is one.
    pub(crate) fn row(&self) -> Option<Place> {
        (!self.start.is(self.out) && !self.start.is(Place::ZERO)).then_some(self.start)
    }
}

/// What a call makes of the chains of a product.
// Flags, so that it is passed in two registers.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Chains {
    flags: u8,
    scale: f32,
}

impl Chains {
    /// Only what they start from is written.
    pub(crate) const SHALLOW: u8 = 1;
    /// They go on from the output as it is, whatever they start from otherwise.
    pub(crate) const CONTINUED: u8 = 2;
    /// The factor stands behind them.
    pub(crate) const SCALED: u8 = 4;
    /// They are those of a product that starts from its output.
    pub(crate) const KEPT: u8 = 8;

    /// Only the flags above count.
    #[inline(always)]
    pub(crate) const fn new(flags: u8, scale: f32) -> Self {
        Self { flags, scale }
    }

    #[inline(always)]
    pub(crate) const fn continues(self) -> bool {
        self.flags & (Self::CONTINUED | Self::KEPT) != 0
    }

    #[inline(always)]
    pub(crate) const fn is_deep(self) -> bool {
        self.flags & Self::SHALLOW == 0
    }

    /// The factor behind them.
    #[inline(always)]
    pub(crate) const fn scale(self) -> Option<f32> {
        if self.flags & Self::SCALED == 0 { None } else { Some(self.scale) }
    }
}

/// A parameter, and its gradient.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Pair {
    param: Place,
    grad: Place,
}

impl Pair {
    pub(crate) const fn new(param: Place, grad: Place) -> Self {
        assert!(
            matches!(param.owner(), Owner::Lent) && matches!(grad.owner(), Owner::Table),
            "matrices of other owners"
        );
        Self { param, grad }
    }

    pub(super) const fn param(&self) -> Place {
        self.param
    }

    pub(super) const fn grad(&self) -> Place {
        self.grad
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{UnwindSafe, catch_unwind};

    use super::Dim::{Inputs, One, Outputs, Rank, Tokens};
    use super::*;

    const A: Place = Place::new(0, (Rank, Inputs), Owner::Lent);
    const DA: Place = Place::new(1, (Rank, Inputs), Owner::Table);
    const HS: Place = Place::new(8, (Tokens, Rank), Owner::Table);
    const X: Place = Place::new(10, (Tokens, Inputs), Owner::Read);
    const DX: Place = Place::new(14, (Tokens, Inputs), Owner::Written);
    const ROW: Place = Place::new(2, (One, Rank), Owner::Lent);

    /// Whether something that a mistake ends does not end. In WebAssembly a panic ends the tests: there only what stands is made.
    fn is_made<T>(make: impl FnOnce() -> T + UnwindSafe, expected: bool) -> bool {
        if cfg!(target_family = "wasm") && !expected { false } else { catch_unwind(make).is_ok() }
    }

    #[test]
    fn places_stand_among_those_of_their_owner() {
        for owner in [Owner::Table, Owner::Lent, Owner::Read, Owner::Written] {
            let is_of_call = matches!(owner, Owner::Read | Owner::Written);
            for slot in 0..20 {
                let expected = slot != 9 && slot < 15 && (slot >= 10) == is_of_call;
                let stands = is_made(|| Place::new(slot, (One, One), owner), expected);
                assert_eq!(stands, expected, "{slot} {owner:?}");
            }
        }
        let written = [A, DA, HS, X, DX, Place::ZERO, Place::ONES].map(Place::is_written);
        assert_eq!(written, [false, true, true, false, true, false, false]);
        let of_call = [A, DA, HS, X, DX, Place::ZERO, Place::ONES].map(Place::is_of_call);
        assert_eq!(of_call, [false, false, false, true, true, true, false]);
    }

    #[test]
    fn places_with_one_slot_are_not_apart() {
        assert!(Place::are_apart(&[A, DA, HS, X, Place::ONES]));
        assert!(!Place::are_apart(&[A, DA, HS, X, Place::new(1, (One, One), Owner::Lent)]));
        assert!(!Place::are_apart(&[HS, HS]));
        assert!(A.is(Place::new(0, (One, One), Owner::Lent)) && !A.is(DA));
    }

    /// A product of these places is made.
    fn stands(out: Place, left: Side, right: Side, start: Place) -> bool {
        is_made(|| Product::new(out, left, right, start), true)
    }

    /// It is a mistake.
    fn falls(out: Place, left: Side, right: Side, start: Place) -> bool {
        !is_made(|| Product::new(out, left, right, start), false)
    }

    #[test]
    fn products_whose_sizes_disagree_are_mistakes() {
        let (x, a, dx) = (X.plain(), A.t(), DX.plain());
        // HS = X · Aᵀ, from nothing, from a row and from itself; dX = HS · A; dA = HSᵀ · X.
        assert!(stands(HS, x, a, Place::ZERO) && stands(HS, x, a, ROW) && stands(HS, x, a, HS));
        assert!(stands(DX, HS.plain(), A.plain(), Place::ZERO) && stands(DA, HS.t(), x, Place::ZERO));
        // The rows of the left, what both have in common, the columns of the right.
        assert!(falls(DA, x, a, Place::ZERO) && falls(HS, x, A.plain(), Place::ZERO) && falls(DX, x, a, Place::ZERO));
        // Starts: as wide, but with more rows; a row, but not as wide.
        let (rows, other) = (Place::new(3, (Outputs, Rank), Owner::Lent), Place::new(3, (One, Outputs), Owner::Lent));
        assert!(falls(HS, x, a, rows) && falls(HS, x, a, other));
        // Outputs: one that is not written, and one that is read.
        let read = Place::new(11, (Tokens, Rank), Owner::Read);
        assert!(falls(read, x, a, Place::ZERO));
        let square = Place::new(3, (Rank, Rank), Owner::Lent);
        let written = Place::new(4, (Rank, Rank), Owner::Table);
        assert!(stands(written, square.plain(), square.plain(), Place::ZERO));
        assert!(falls(written, written.plain(), square.plain(), Place::ZERO));
        assert!(falls(written, square.plain(), written.plain(), Place::ZERO));
        assert_eq!(dx.t().t().transposed, dx.transposed);
    }

    #[test]
    fn a_product_knows_what_it_starts_from() {
        let of = |start| Product::new(HS, X.plain(), A.t(), start);
        assert!(of(ROW).row().is_some_and(|row| row.is(ROW)));
        assert!(of(HS).row().is_none() && of(Place::ZERO).row().is_none());
        assert_eq!(of(ROW).depth(), Inputs as usize);
        assert!(of(ROW).out().is(HS) && of(ROW).start().is(ROW));
    }

    #[test]
    fn chains_are_what_their_flags_say() {
        for flags in 0..=u8::MAX {
            let chains = Chains::new(flags, 0.5);
            assert_eq!(chains.is_deep(), flags & 1 == 0);
            assert_eq!(chains.continues(), flags & 10 != 0);
            assert_eq!(chains.scale(), (flags & 4 != 0).then_some(0.5));
        }
    }

    #[test]
    fn a_gradient_is_of_the_table_and_its_parameter_is_lent() {
        let pair = Pair::new(A, DA);
        assert!(pair.param().is(A) && pair.grad().is(DA));
        for (param, grad) in [(DA, DA), (A, A), (DA, A), (X, DA), (A, DX)] {
            assert!(!is_made(|| Pair::new(param, grad), false));
        }
    }
}
