//! Matrices by place: each is checked once, when it takes its place, and the products over them check nothing more.

#![allow(unsafe_code, reason = "pointers to matrices that were checked against the sizes of their places")]

use core::marker::PhantomData;
use core::ptr::{NonNull, null_mut};

use super::compact::cover;
use super::tile::{Raw, RawProduct};
use crate::error::{Argument, Error};
use crate::kernel::places::{Chains, Dim, FIRST_OF_CALL, Owner, PLACES, Pair, Place, Product, Side};
use crate::simd::Simd;
use crate::view::{MatMut, MatRef, expect_shape};

/// Whether all matrices have the sizes of their places.
pub(crate) type Checked = Result<(), Error>;

/// Sizes that the places of a table have in common, rounded up to a power of two.
const DIMS: usize = 8;

/// A matrix, or nothing.
#[derive(Copy, Clone, Debug)]
struct Slot {
    at: *mut f32,
    stride: usize,
}

/// A matrix and its rows and columns, or nothing.
#[derive(Copy, Clone, Debug)]
struct Sized {
    slot: Slot,
    size: (usize, usize),
}

impl Sized {
    const NOTHING: Self = Self { slot: NOTHING, size: (0, 0) };

    const fn of(matrix: &MatRef<'_>) -> Self {
        let slot = Slot { at: matrix.data().as_ptr().cast_mut(), stride: matrix.stride() };
        Self { slot, size: (matrix.rows(), matrix.cols()) }
    }
}

/// A matrix that a call reads, or nothing: as a table takes it.
// Taken from views where they are made: for a call that is no more code than the views themselves.
#[derive(Debug)]
pub(crate) struct Read<'c>(Sized, PhantomData<&'c [f32]>);

impl<'c> Read<'c> {
    pub(crate) const NOTHING: Self = Self(Sized::NOTHING, PhantomData);

    pub(crate) const fn of(matrix: &MatRef<'c>) -> Self {
        Self(Sized::of(matrix), PhantomData)
    }
}

/// A matrix that a call writes, or nothing.
#[derive(Debug)]
pub(crate) struct Written<'c>(Sized, PhantomData<&'c mut [f32]>);

impl<'c> Written<'c> {
    pub(crate) const NOTHING: Self = Self(Sized::NOTHING, PhantomData);

    pub(crate) fn of(matrix: MatMut<'c>) -> Self {
        let (size, stride) = ((matrix.rows(), matrix.cols()), matrix.stride());
        Self(Sized { slot: Slot { at: matrix.into_data().as_mut_ptr(), stride }, size }, PhantomData)
    }
}

static ONE: f32 = 1.0;

const NOTHING: Slot = Slot { at: null_mut(), stride: 0 };

/// Matrices by place.
///
/// # Invariants
/// A slot has one place. What is there has at least the rows and columns that `dims` says, at its stride. Places that products write are borrowed for
/// writing, and overlap nothing else; the others are borrowed for reading. A place of a call holds what the running [`Call`] has brought,
/// or nothing: a call empties these places when it begins, and only a call reads them.
pub(crate) struct Table<'m> {
    slots: [Slot; PLACES],
    dims: [usize; DIMS],
    /// The most tokens: rows of the table's own matrices that have a row for each token.
    most: usize,
    /// A bit for each place whose matrix is the table's own.
    own: u16,
    memory: PhantomData<&'m mut [f32]>,
}

// SAFETY: a table holds borrows of slices of f32, for reading and for writing, which may be sent to another thread.
unsafe impl Send for Table<'_> {}
// SAFETY: a shared table only gives borrows for reading.
unsafe impl Sync for Table<'_> {}

impl<'m> Table<'m> {
    pub(crate) const fn new((inputs, outputs, rank): (usize, usize, usize), most: usize) -> Self {
        let mut slots = [NOTHING; PLACES];
        slots[Place::ONES.slot() as usize] = Slot { at: (&raw const ONE).cast_mut(), stride: 0 };
        Self { slots, dims: [inputs, outputs, rank, most, 1, 0, 0, 0], most, own: 0, memory: PhantomData }
    }

    pub(crate) const fn dim(&self, dim: Dim) -> usize {
        self.size_of(dim as usize)
    }

    const fn size_of(&self, number: usize) -> usize {
        // The remainder takes the place of a check.
        self.dims[number % DIMS]
    }

    /// The most tokens.
    pub(crate) const fn most(&self) -> usize {
        self.most
    }

    #[inline(always)]
    fn slot(&self, place: Place) -> Slot {
        // There are as many places, so the remainder needs no check.
        self.slots[place.slot() as usize % PLACES]
    }

    #[inline(always)]
    fn set(&mut self, place: Place, slot: Slot) {
        self.slots[place.slot() as usize % PLACES] = slot;
    }

    /// Rows and columns of whatever is at a place.
    #[inline(always)]
    fn size(&self, place: Place) -> (usize, usize) {
        (self.size_of(place.rows()), self.size_of(place.cols()))
    }

    /// The first element of an operand and its strides.
    #[inline(always)]
    fn operand(&self, side: Side) -> Raw {
        let Slot { at, stride } = self.slot(side.place);
        let raw = Raw { at, row_stride: stride, col_stride: 1 };
        if side.transposed { raw.t() } else { raw }
    }

    /// A row as the start of the chains of every row of an output; zeros where there is none.
    #[inline(always)]
    fn row(&self, place: Place) -> Raw {
        let at = self.slot(place).at;
        if at.is_null() { Raw::ZERO } else { Raw { at, row_stride: 1, col_stride: 0 } }
    }

    /// Cuts the matrix of a place from the front of a buffer. Where the buffer has fewer elements, the place stays empty.
    #[inline(always)]
    pub(crate) fn cut(&mut self, place: Place, buffer: &mut &'m mut [f32]) {
        let (rows, cols) = self.size(place);
        let piece = buffer.split_off_mut(..rows.saturating_mul(cols));
        if let (Some(piece), Owner::Table | Owner::Lent) = (piece, place.owner()) {
            self.own |= 1 << place.slot();
            self.set(place, Slot { at: piece.as_mut_ptr(), stride: cols });
        }
    }

    /// Lends the table a matrix for as long as it lives; one that it owns stays at its place. A matrix of another size is noted as an
    /// error, if none was before.
    pub(crate) fn lend(&mut self, checked: &mut Checked, argument: Argument, place: Place, matrix: &MatRef<'m>) {
        debug_assert!(place.owner() == Owner::Lent, "{place:?} is not for lending");
        if place.owner() == Owner::Lent {
            self.take(checked, argument, place, &Sized::of(matrix));
        }
    }

    /// Gives a matrix its place if it has the sizes of the place.
    // The error is noted, not returned: so a call takes half of the code.
    #[inline(never)]
    fn take(&mut self, checked: &mut Checked, argument: Argument, place: Place, matrix: &Sized) {
        if checked.is_err() || matrix.slot.at.is_null() {
            return;
        }
        *checked = expect_shape(argument, matrix.size, self.size(place));
        if checked.is_ok() && !self.owns(place) {
            self.set(place, matrix.slot);
        }
    }

    /// Whether the table has memory of its own at a place.
    pub(crate) const fn owns(&self, place: Place) -> bool {
        self.own >> place.slot() & 1 != 0
    }

    /// Whether there is a matrix at a place.
    pub(crate) fn has(&self, place: Place) -> bool {
        !self.slot(place).at.is_null()
    }

    /// The matrix of a place that is not a call's, without rows where there is none.
    pub(crate) fn read(&self, place: Place) -> MatRef<'_> {
        // SAFETY: what is the table's or is lent to it is there.
        if place.is_of_call() { MatRef::dense(&[], 0, 0) } else { unsafe { self.view(place) } }
    }

    /// The numbers from the first to the last of whatever is at a place; none where there is nothing.
    #[inline(never)]
    fn span(&self, place: Place) -> NonNull<[f32]> {
        let (Slot { at, stride }, (rows, cols)) = (self.slot(place), self.size(place));
        match NonNull::new(at) {
            Some(at) if rows > 0 && cols > 0 => NonNull::slice_from_raw_parts(at, (rows - 1) * stride + cols),
            _ => NonNull::slice_from_raw_parts(NonNull::dangling(), 0),
        }
    }

    /// Rows, columns and stride of whatever is at a place.
    #[inline(always)]
    fn layout(&self, place: Place) -> (usize, usize, usize) {
        let (Slot { at, stride }, (rows, cols)) = (self.slot(place), self.size(place));
        if at.is_null() { (0, cols, cols) } else { (rows, cols, stride) }
    }

    /// # Safety
    /// Whatever is at the place is there, and nobody writes it as long as the view lives.
    #[inline(never)]
    unsafe fn view<'v>(&self, place: Place) -> MatRef<'v> {
        let (rows, cols, stride) = self.layout(place);
        // SAFETY: the matrix has these sizes, and nobody writes it meanwhile.
        MatRef::spanning(unsafe { self.span(place).as_ref() }, rows, cols, stride)
    }

    /// # Safety
    /// Whatever is at the place is there, may be written, and nobody else has it as long as the view lives.
    unsafe fn view_mut<'v>(&self, place: Place) -> MatMut<'v> {
        let (rows, cols, stride) = self.layout(place);
        // SAFETY: the matrix has these sizes, and nobody else has it.
        MatMut::spanning(unsafe { self.span(place).as_mut() }, rows, cols, stride)
    }

    /// The numbers of a parameter.
    pub(crate) fn param(&self, pair: &Pair) -> &[f32] {
        // SAFETY: a parameter is the table's or is lent to it, as `Pair::new` has checked.
        unsafe { self.span(pair.param()).as_ref() }
    }

    /// The numbers of a gradient; none where there is no gradient.
    pub(crate) fn grad(&self, pair: &Pair) -> &[f32] {
        // SAFETY: a gradient is the table's, as `Pair::new` has checked.
        unsafe { self.span(pair.grad()).as_ref() }
    }

    /// As [`grad`](Self::grad), for writing.
    pub(crate) fn grad_mut(&mut self, pair: &Pair) -> &mut [f32] {
        // SAFETY: as above, and the table is borrowed for writing.
        unsafe { self.span(pair.grad()).as_mut() }
    }

    /// The numbers of a parameter for writing, and those of its gradient; `None` where the table does not own both.
    pub(crate) fn pair(&mut self, pair: &Pair) -> Option<(&mut [f32], &[f32])> {
        if !self.owns(pair.param()) || !self.owns(pair.grad()) {
            return None;
        }
        // SAFETY: the table owns both, they are not the same, and it is borrowed for writing.
        let param = unsafe { self.span(pair.param()).as_mut() };
        // SAFETY: as above.
        Some((param, unsafe { self.span(pair.grad()).as_ref() }))
    }

    /// Matrices of the table, for writing; one that is not its own, or is asked for twice, is without rows.
    pub(crate) fn own<const N: usize>(&mut self, places: [Place; N]) -> [MatMut<'_>; N] {
        let mut left = self.own;
        places.map(|place| {
            let bit = 1 << place.slot();
            if left & bit == 0 {
                return MatMut::dense(&mut [], 0, self.size_of(place.cols()));
            }
            left &= !bit;
            // SAFETY: the table owns the memory, it is borrowed for writing, and the place comes only once.
            unsafe { self.view_mut(place) }
        })
    }

    /// Opens the table for a call with so many tokens; no more than there are in [`most`](Self::most).
    pub(crate) fn call<'t, 'c>(&'t mut self, tokens: usize) -> Call<'t, 'm, 'c> {
        debug_assert!(tokens <= self.most, "{tokens} tokens, and room for {}", self.most);
        self.dims[Dim::Tokens as usize] = tokens.min(self.most);
        for slot in self.slots.iter_mut().rev().take(PLACES - FIRST_OF_CALL as usize) {
            *slot = NOTHING;
        }
        Call { table: self, checked: Ok(()), matrices: PhantomData }
    }
}

/// A table with the matrices that belong to a call.
pub(crate) struct Call<'t, 'm, 'c> {
    table: &'t mut Table<'m>,
    /// The first error of what was brought.
    checked: Checked,
    matrices: PhantomData<&'c mut [f32]>,
}

/// Between the calls the table has as many tokens as there is room for.
impl Drop for Call<'_, '_, '_> {
    fn drop(&mut self) {
        self.table.dims[Dim::Tokens as usize] = self.table.most;
    }
}

impl<'m, 'c> Call<'_, 'm, 'c> {
    /// Takes a matrix for reading. One of another size is noted as an error: see [`checked`](Self::checked).
    pub(crate) fn bring(&mut self, argument: Argument, place: Place, matrix: &Read<'c>) {
        debug_assert!(place.owner() == Owner::Read, "{place:?} is not for reading");
        if place.owner() == Owner::Read {
            self.table.take(&mut self.checked, argument, place, &matrix.0);
        }
    }

    /// Takes a matrix for writing, as [`bring`](Self::bring).
    pub(crate) fn bring_mut(&mut self, argument: Argument, place: Place, matrix: Written<'c>) {
        debug_assert!(place.owner() == Owner::Written, "{place:?} is not for writing");
        if place.owner() == Owner::Written {
            self.table.take(&mut self.checked, argument, place, &matrix.0);
        }
    }

    /// # Errors
    /// [`Error::Rows`], [`Error::Cols`] about the first matrix that has other sizes than its place.
    pub(crate) const fn checked(&self) -> Checked {
        self.checked
    }

    /// Whether there is a matrix at a place.
    pub(crate) fn has(&self, place: Place) -> bool {
        self.table.has(place)
    }

    /// The matrix of a place, without rows where there is none.
    pub(crate) fn read(&self, place: Place) -> MatRef<'_> {
        // SAFETY: what a call has brought is there as long as the call; only `&mut self` writes.
        unsafe { self.table.view(place) }
    }

    /// Lends the matrix of a place for writing, while the others can be read. Nothing happens where there is none.
    #[inline(always)]
    pub(crate) fn write(&mut self, place: Place, write: impl FnOnce(&Self, &mut MatMut<'_>)) {
        let slot = self.table.slot(place);
        if slot.at.is_null() || !place.is_written() {
            return;
        }
        // SAFETY: the place is one that is written, and is empty while its matrix is lent.
        let mut out = unsafe { self.table.view_mut(place) };
        self.table.set(place, NOTHING);
        write(self, &mut out);
        self.table.set(place, slot);
    }

    /// A product where size counts. Returns whether its matrices are there; without one of them nothing happens.
    // Inlined: one loop calls it for all products, and a frame of its own would be more stack and more code.
    #[inline(always)]
    pub(crate) fn product<S: Simd>(&mut self, simd: S, product: &Product, chains: Chains) -> bool {
        let table = &*self.table;
        let (to, (height, width)) = (table.slot(product.out()), table.size(product.out()));
        let ((left, right), out) = (product.sides(), Raw { at: to.at, row_stride: 1, col_stride: to.stride });
        let mut raw = RawProduct {
            few: table.operand(left),
            many: table.operand(right.t()),
            depth: if chains.is_deep() { table.size_of(product.depth()) } else { 0 },
            width,
            height,
            out,
            start: if chains.continues() { out } else { table.row(product.start()) },
        };
        if raw.few.at.is_null() || raw.many.at.is_null() || to.at.is_null() {
            return false;
        }
        // SAFETY: each matrix has the sizes of its place, and is there as long as the call; `Product::new` has compared the places.
        unsafe { cover(simd, &mut raw) };
        if let Some(scale) = chains.scale() {
            for i in 0..height {
                for at in (0..width).map(|j| to.at.wrapping_add(i * to.stride + j)) {
                    // SAFETY: the output has so many rows and columns.
                    unsafe { *at *= scale };
                }
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LENT: Place = Place::new(0, (Dim::Rank, Dim::Inputs), Owner::Lent);
    const OWN: Place = Place::new(1, (Dim::Tokens, Dim::Rank), Owner::Table);
    const GRAD: Place = Place::new(2, (Dim::Rank, Dim::Inputs), Owner::Table);
    const X: Place = Place::new(10, (Dim::Tokens, Dim::Inputs), Owner::Read);
    const Y: Place = Place::new(11, (Dim::Tokens, Dim::Rank), Owner::Written);

    /// Two inputs, one for the rank, three tokens at most.
    fn table<'m>() -> Table<'m> {
        Table::new((2, 1, 1), 3)
    }

    #[test]
    fn what_a_call_has_brought_is_gone_with_it() {
        let (mut table, x, mut y) = (table(), [[1.0, 2.0]], [[3.0]]);
        let mut call = table.call(1);
        call.bring(Argument::X, X, &Read::of(&MatRef::from_rows(&x)));
        call.bring_mut(Argument::Y, Y, Written::of(MatMut::from_rows(&mut y)));
        assert_eq!((call.has(X), call.has(Y), call.checked()), (true, true, Ok(())));
        assert_eq!((call.read(X).row(0), call.read(Y).row(0)), (&x[0][..], &[3.0][..]));
        drop(call);
        assert_eq!((table.dim(Dim::Tokens), table.read(X).rows()), (3, 0));
        let call = table.call(2);
        assert_eq!((call.has(X), call.has(Y), call.read(X).rows()), (false, false, 0));
    }

    #[test]
    fn a_matrix_of_another_size_takes_no_place() {
        let (right, mut table, mut checked) = ([[1.0, 2.0]], table(), Ok(()));
        table.lend(&mut checked, Argument::A, LENT, &MatRef::from_rows(&[[1.0], [2.0]]));
        assert_eq!(checked, Err(Error::Rows { argument: Argument::A, expected: 1, got: 2 }));
        assert!(!table.has(LENT));
        let first = checked;
        table.lend(&mut checked, Argument::B, LENT, &MatRef::from_rows(&right));
        assert_eq!((checked, table.has(LENT)), (first, false));
        table.lend(&mut Ok(()), Argument::A, LENT, &MatRef::from_rows(&right));
        assert_eq!(table.read(LENT).row(0), right[0]);
    }

    #[test]
    fn memory_of_its_own_stays_and_is_given_once() {
        let (mut memory, lent) = ([1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0], [[8.0, 9.0]]);
        let (mut table, mut buffer) = (table(), &mut memory[..]);
        [LENT, OWN].into_iter().for_each(|place| table.cut(place, &mut buffer));
        assert_eq!(buffer, [6.0, 7.0]);
        assert_eq!((table.owns(LENT), table.owns(GRAD)), (true, false));
        table.lend(&mut Ok(()), Argument::A, LENT, &MatRef::from_rows(&lent));
        assert_eq!(table.read(LENT).row(0), [1.0, 2.0]);
        assert_eq!(table.own([LENT, OWN, GRAD, OWN, LENT]).map(|matrix| matrix.rows()), [1, 3, 0, 0, 0]);

        let pair = Pair::new(LENT, GRAD);
        assert_eq!(table.pair(&pair), None);
        table.cut(GRAD, &mut buffer);
        assert_eq!(table.pair(&pair), Some((&mut [1.0, 2.0][..], &[6.0, 7.0][..])));
        table.grad_mut(&pair).fill(0.0);
        assert_eq!((table.read(LENT).row(0), table.read(GRAD).row(0)), (&[1.0, 2.0][..], &[0.0; 2][..]));
        // There is nothing left.
        table.cut(X, &mut buffer);
        assert_eq!((buffer.len(), table.has(X)), (0, false));
    }

    /// What is lent to a table is not cleared, and is no pair with a gradient.
    #[test]
    fn what_is_lent_is_only_read() {
        let (mut memory, lent) = ([6.0, 7.0], [[8.0, 9.0]]);
        let (mut table, mut buffer) = (table(), &mut memory[..]);
        table.cut(GRAD, &mut buffer);
        table.lend(&mut Ok(()), Argument::A, LENT, &MatRef::from_rows(&lent));
        assert_eq!(table.pair(&Pair::new(LENT, GRAD)), None);
        assert_eq!(table.own([LENT]).map(|matrix| matrix.rows()), [0]);
        let mut call = table.call(1);
        call.write(LENT, |_, _| panic!("it is not written"));
        let mut written = false;
        call.write(GRAD, |call, out| written = !call.has(GRAD) && out.row(0) == [6.0, 7.0]);
        assert!(written && call.has(GRAD));
    }
}
