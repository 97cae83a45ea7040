//! The register tile and the loops that lay it over one panel.
//!
//! Unrolled by a macro over raw pointers. Measured before it was chosen (one tile in the first-level cache, GFLOP/s,
//! plain loops / macro over slices / macro over raw pointers): AVX2 126/122/114 at opt-level 3, 42/117/124 at "s",
//! 12/34/119 at "z". Firmware is built with "s" and "z".

use crate::kernel::operand::{Factor, Operand};
use crate::simd::{Kernel, Simd};
use crate::view::{MatMut, MatRef, part, span};

static ZERO: f32 = 0.0;

/// An operand, an output or a start from one element on. Pointers move by `wrapping_add`: behind the last tile they may leave the
/// slice, and are then not used.
#[derive(Copy, Clone)]
pub(super) struct Raw {
    pub(super) at: *const f32,
    pub(super) row_stride: usize,
    pub(super) col_stride: usize,
}

impl Raw {
    /// A zero as each element of a matrix.
    pub(super) const ZERO: Self = Self { at: &raw const ZERO, row_stride: 0, col_stride: 0 };

    #[inline(always)]
    pub(super) const fn of(operand: &Operand<'_>) -> Self {
        Self { at: operand.data().as_ptr(), row_stride: operand.row_stride(), col_stride: operand.col_stride() }
    }

    #[inline(always)]
    pub(super) const fn of_matrix(matrix: &MatRef<'_>) -> Self {
        Self { at: matrix.data().as_ptr(), row_stride: matrix.stride(), col_stride: 1 }
    }

    /// A factor, its rows and its columns.
    #[inline(always)]
    pub(super) const fn of_factor(factor: Factor<'_>) -> (Self, usize, usize) {
        let Factor { matrix, transposed } = factor;
        let (at, rows, cols, stride) = (matrix.data().as_ptr(), matrix.rows(), matrix.cols(), matrix.stride());
        if transposed {
            (Self { at, row_stride: 1, col_stride: stride }, cols, rows)
        } else {
            (Self { at, row_stride: stride, col_stride: 1 }, rows, cols)
        }
    }

    #[inline(always)]
    pub(super) const fn t(self) -> Self {
        Self { at: self.at, row_stride: self.col_stride, col_stride: self.row_stride }
    }

    #[inline(always)]
    pub(super) const fn at(&self, row: usize, col: usize) -> *const f32 {
        self.at.wrapping_add(row * self.row_stride + col * self.col_stride)
    }

    #[inline(always)]
    pub(super) const fn skip_rows(&mut self, rows: usize) {
        self.at = self.at.wrapping_add(rows * self.row_stride);
    }

    #[inline(always)]
    pub(super) const fn skip_cols(&mut self, cols: usize) {
        self.at = self.at.wrapping_add(cols * self.col_stride);
    }
}

/// A product over raw pointers, with a chain for each row of `many` and each of `few`, and along both the depth.
#[derive(Copy, Clone)]
pub(super) struct RawProduct {
    /// The left operand.
    pub(super) few: Raw,
    /// The transpose of the right operand.
    pub(super) many: Raw,
    pub(super) depth: usize,
    /// Chains of `many`, and of `few`.
    pub(super) width: usize,
    pub(super) height: usize,
    /// It is written: a row for each of `many`, a column for each of `few`. So is the start.
    pub(super) out: Raw,
    pub(super) start: Raw,
}

impl RawProduct {
    /// `out[row, lane] = start` continued by `chain_d left[row, d]·right[d, lane]`. Where views disagree about a size, it is the smallest.
    #[inline(always)]
    pub(super) fn of(left: Factor<'_>, right: Factor<'_>, out: &mut MatMut<'_>, start: &Start<'_>) -> Self {
        let (few, height, left_depth) = Raw::of_factor(left);
        let (many, width, right_depth) = Raw::of_factor(right.t());
        let (depth, mut width, height) = (left_depth.min(right_depth), width.min(out.cols()), height.min(out.rows()));
        let out = Raw { at: out.data_mut().as_mut_ptr().cast_const(), row_stride: 1, col_stride: out.stride() };
        let start = match *start {
            Start::Zero => Raw::ZERO,
            Start::Bias(bias) => {
                width = width.min(bias.len());
                Raw { at: bias.as_ptr(), row_stride: 1, col_stride: 0 }
            }
            Start::Existing => out,
        };
        Self { few, many, depth, width, height, out, start }
    }
}

/// Where the chains of a product start.
#[derive(Copy, Clone, Debug)]
pub(crate) enum Start<'a> {
    /// At +0. The old output is not read.
    Zero,
    /// At one value per lane, the same for every row. The old output is not read.
    Bias(&'a [f32]),
    /// At the output as it is: the chain is continued.
    Existing,
}

impl<'a> Start<'a> {
    /// The start of the lanes from `lane` on.
    #[inline(always)]
    pub(crate) fn lanes_from(self, lane: usize) -> Start<'a> {
        match self {
            Start::Bias(bias) => Start::Bias(part(bias, lane..)),
            other => other,
        }
    }
}

/// Lanes of the panels that `lanes` are cut into: as many as a tile has, or fewer, so that the last one is not much
/// narrower than the others.
#[inline(always)]
pub(crate) fn panel_lanes<S: Simd>(lanes: usize) -> usize {
    even_parts::<S>(lanes, S::TILE_VECTORS)
}

#[inline(always)]
fn even_parts<S: Simd>(lanes: usize, most_vectors: usize) -> usize {
    let parts = lanes.div_ceil(most_vectors * S::LANES).max(1);
    lanes.div_ceil(parts).next_multiple_of(S::LANES).max(1)
}

/// Lanes gathered from the rows of a matrix that are walked at a time, for one row of the output and for more: with few chains, each
/// waits for its own last step, with many rows of the matrix, 4 KiB apart they displace each other from the first-level cache.
/// One token, 1024×1024 rows: 3 GFLOP/s with 48 lanes, 12 with 16 (AVX-512); a rank of 4: 23 with 16 lanes, 40 with 8 (AVX2,
/// Zen 4).
const GATHERED_LANES: (usize, usize) = (16, 8);

/// Vectors that are gathered at a time for so many rows of the output.
#[inline(always)]
const fn gathered_vectors<S: Simd>(rows: usize) -> usize {
    let vectors = if rows == 1 { GATHERED_LANES.0 } else { GATHERED_LANES.1 } / S::LANES;
    match vectors {
        0 => 1,
        _ if vectors > S::TILE_VECTORS => S::TILE_VECTORS,
        _ => vectors,
    }
}

/// Depths by which the first right operand is fetched beforehand.
const DEPTH_AHEAD: usize = 32;

/// One product of a sum of products, over one panel.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Term<'a> {
    /// `(row, depth)`
    pub left: Operand<'a>,
    /// `(depth, lane)`
    pub right: Operand<'a>,
    pub ahead: Ahead<'a>,
}

/// What is fetched into the cache beforehand.
#[derive(Copy, Clone, Debug)]
pub(crate) enum Ahead<'a> {
    /// Nothing: the right operand has just been copied.
    Nothing,
    /// The right operand, [`DEPTH_AHEAD`] depths from where the product is; below the first tile, what comes behind it.
    Right,
    /// Rows that lie side by side, and are those of the left operand some time later.
    Left(&'a [f32]),
}

impl Term<'_> {
    pub(crate) const NONE: Term<'static> = Term { left: Operand::NONE, right: Operand::NONE, ahead: Ahead::Nothing };

    #[inline(always)]
    const fn depth(&self) -> usize {
        self.right.rows()
    }

    /// Lanes lie in different rows of memory: vectors are transposed in registers.
    const fn is_gathered(&self) -> bool {
        !self.right.has_vectors()
    }
}

/// The products over one panel: `out[row, lane]` continued by the first term, then by the second.
///
/// The lanes of a term lie side by side. Those of the first term may be gathered from the rows of a matrix instead, if it is the only
/// one; lanes are then a multiple of `LANES`, its depth is a multiple of 4, and rows are few.
pub(crate) struct PanelProduct<'a> {
    pub terms: [Term<'a>; 2],
    pub out: MatMut<'a>,
    pub start: Start<'a>,
}

impl PanelProduct<'_> {
    /// Whether everything that the loops will touch lies inside the slices.
    pub(super) fn fits<S: Simd>(&mut self) -> bool {
        let (rows, lanes, stride) = (self.out.rows(), self.out.cols(), self.out.stride());
        let start = match self.start {
            Start::Bias(bias) => bias.len() >= lanes,
            Start::Zero | Start::Existing => true,
        };
        let [first, second] = &self.terms;
        let gathered = !first.is_gathered()
            || (second.depth() == 0
                && first.right.row_stride() == 1
                && lanes.is_multiple_of(S::LANES)
                && first.depth().is_multiple_of(4));
        let terms = self.terms.iter().all(|t| t.left.holds(rows, t.depth()) && t.right.holds(t.depth(), lanes));
        start
            && terms
            && gathered
            && !second.is_gathered()
            && span(rows, lanes, stride).is_some_and(|all| all <= self.out.data_mut().len())
    }
}

impl Kernel for PanelProduct<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(mut self, simd: S) {
        let fits = self.fits::<S>();
        debug_assert!(fits, "a product that does not fit its operands");
        if !fits {
            return;
        }
        let (rows, lanes) = (self.out.rows(), self.out.cols());
        let [first, second] = &self.terms;
        let gathered = first.is_gathered();
        let (out_row, out) = (self.out.stride(), self.out.data_mut().as_mut_ptr());
        let mut operands = Operands {
            terms: [Factors::of(first), Factors::of(second)],
            out,
            out_row,
            start: match self.start {
                Start::Zero => Raw { at: ZEROS.as_ptr(), row_stride: 0, col_stride: 0 },
                Start::Bias(bias) => Raw { at: bias.as_ptr(), row_stride: 0, col_stride: 1 },
                Start::Existing => Raw { at: out.cast_const(), row_stride: out_row, col_stride: 1 },
            },
        };
        let mut lane = 0;
        let vectors = if gathered { gathered_vectors::<S>(rows) } else { S::TILE_VECTORS };
        let step = even_parts::<S>(lanes, vectors);
        // Loop 3.
        while lane < lanes {
            let width = step.min(lanes - lane);
            // SAFETY: `fits` has checked rows × depth of left, depth × lanes of right, rows × lanes of out and the lanes
            // of a bias, and what is asked of gathered lanes; lane + width <= lanes.
            unsafe { column(simd, &operands, rows, width, gathered) };
            operands.skip_lanes(width);
            lane += width;
        }
    }
}

/// What the chains of a tile start at that do not go on from anything: as many zeros as the widest tile has lanes.
static ZEROS: [f32; 48] = [0.0; 48];

/// A term from the first element that a tile needs.
#[derive(Copy, Clone)]
struct Factors {
    left: Raw,
    right: Raw,
    depth: usize,
    fetch: Fetch,
}

impl Factors {
    #[inline(always)]
    fn of(term: &Term<'_>) -> Self {
        let (left, right) = (Raw::of(&term.left), Raw::of(&term.right));
        Self { left, right, depth: term.depth(), fetch: Fetch::of(term) }
    }
}

/// Everything that a tile needs, from its first element.
#[derive(Copy, Clone)]
struct Operands {
    terms: [Factors; 2],
    out: *mut f32,
    out_row: usize,
    /// Where the chains start. A start at zero is the same for all lanes, and so are `ZEROS`; its columns do not move then.
    start: Raw,
}

/// What a tile fetches into the cache beforehand: a line for each of its vectors, per depth.
#[derive(Copy, Clone)]
struct Fetch {
    from: *const f32,
    /// Elements from what one row fetches to what the next one does. Such a tile fetches as many elements per depth as it has
    /// rows.
    per_row: usize,
    /// Elements per depth, where they do not depend on the rows.
    per_depth: usize,
}

impl Fetch {
    #[inline(always)]
    fn of(term: &Term<'_>) -> Self {
        let Raw { at, row_stride, .. } = Raw::of(&term.right);
        match term.ahead {
            Ahead::Nothing => Self { from: at, per_row: 0, per_depth: 0 },
            Ahead::Right => Self { from: at.wrapping_add(DEPTH_AHEAD * row_stride), per_row: 0, per_depth: row_stride },
            Ahead::Left(next) => Self { from: next.as_ptr(), per_row: term.left.row_stride(), per_depth: 0 },
        }
    }
}

impl Operands {
    #[inline(always)]
    fn skip_lanes(&mut self, lanes: usize) {
        for term in &mut self.terms {
            term.right.skip_cols(lanes);
            if term.fetch.per_row == 0 {
                term.fetch.from = term.fetch.from.wrapping_add(lanes);
            }
        }
        self.out = self.out.wrapping_add(lanes);
        self.start.skip_cols(lanes);
    }

    /// The tiles below the first find its right operand in the cache. They fetch what comes behind it, the next block of
    /// depths, or memory would rest meanwhile: 4096×4096 on 16 tokens takes 5 to 7 % less time (AVX-512, Zen 4).
    #[inline(always)]
    fn skip_rows(&mut self, rows: usize) {
        for term in &mut self.terms {
            term.left.skip_rows(rows);
            term.fetch.from = match term.fetch.per_row {
                0 => term.right.at.wrapping_add(term.depth * term.fetch.per_depth),
                per_row => term.fetch.from.wrapping_add(rows * per_row),
            };
        }
        self.out = self.out.wrapping_add(rows * self.out_row);
        self.start.skip_rows(rows);
    }
}

/// One tile column, `width` lanes wide: chooses the number of vectors in a row of the tile.
///
/// # Safety
/// The operands hold `rows` × `width` chains of their depths, and `0 < width <= TILE_VECTORS * LANES`. If `gathered`, there is one
/// term, the width is a multiple of `LANES`, and the depth a multiple of 4.
#[inline(always)]
unsafe fn column<S: Simd>(simd: S, operands: &Operands, rows: usize, width: usize, gathered: bool) {
    let tail = width % S::LANES;
    macro_rules! vectors {
        ($($vectors:literal)*) => {
            $(if $vectors <= S::TILE_VECTORS && width.div_ceil(S::LANES) == $vectors {
                if gathered {
                    if $vectors <= const { gathered_vectors::<S>(1) } {
                        // SAFETY: as for this function; the vectors are all full.
                        unsafe { stack_gathered::<S, $vectors>(simd, *operands, rows) }
                    }
                } else if tail == 0 {
                    // SAFETY: as for this function; the vectors are all full.
                    unsafe { stack::<S, $vectors, false>(simd, *operands, rows, 0) }
                } else {
                    // SAFETY: as for this function; the last vector has 0 < tail < LANES lanes.
                    unsafe { stack::<S, $vectors, true>(simd, *operands, rows, tail) }
                }
            })*
        };
    }
    vectors!(1 2 3);
}

/// Tiles one below the other: as many of each height as fit, as long as their accumulators stay in registers.
// A loop for each height: with one step for all of them, whose length is not known, backward passes over packed weights took 8 % longer.
macro_rules! heights {
    ($rows:ident, $operands:ident, $limit:expr, $($height:literal)* => $tile:expr) => {
        $(if $height <= $limit {
            // Loop 4.
            while $rows >= $height {
                const ROWS: usize = $height;
                $tile;
                $operands.skip_rows(ROWS);
                $rows -= ROWS;
            }
        })*
    };
}

/// The tiles of one column.
///
/// # Safety
/// The operands hold `rows` chains in each of `VECTORS` vectors, the last of which has `tail` lanes if `TAIL`.
#[inline(always)]
unsafe fn stack<S: Simd, const VECTORS: usize, const TAIL: bool>(
    simd: S,
    mut operands: Operands,
    mut rows: usize,
    tail: usize,
) {
    // At most 8: of 12 rows 4 KiB apart, four find no place in the first-level cache. r 16, inputs 1024: 73 instead of 106
    // GFLOP/s (AVX-512, Zen 4).
    let limit = (S::TILE_ROWS * S::TILE_VECTORS / VECTORS).min(8);
    heights!(rows, operands, limit, 8 6 4 2 1 => {
        // SAFETY: as for this function; at least ROWS rows are left.
        unsafe { tile::<S, ROWS, VECTORS, TAIL, false>(simd, &operands, tail) };
    });
}

/// The tiles of one column, lanes gathered from the rows of memory. They are lower, as four vectors for each one of the
/// accumulators' have to stay in registers too.
///
/// # Safety
/// As for [`stack`]; there is one term, whose depth is a multiple of 4.
#[inline(always)]
unsafe fn stack_gathered<S: Simd, const VECTORS: usize>(simd: S, mut operands: Operands, mut rows: usize) {
    let limit = if VECTORS > gathered_vectors::<S>(2) { 1 } else { S::TILE_ROWS * S::TILE_VECTORS * 2 / 3 / VECTORS };
    heights!(rows, operands, limit, 4 2 1 => {
        // SAFETY: as for this function; at least ROWS rows are left.
        unsafe { tile::<S, ROWS, VECTORS, false, true>(simd, &operands, 0) }
    });
}

/// One tile: `ROWS × VECTORS` vectors of accumulators stay in registers over the depth of both terms.
///
/// # Safety
/// As for [`stack`] or [`stack_gathered`], for `ROWS` rows.
#[inline(always)]
unsafe fn tile<S: Simd, const ROWS: usize, const VECTORS: usize, const TAIL: bool, const GATHERED: bool>(
    simd: S,
    operands: &Operands,
    tail: usize,
) {
    let o = operands;
    let mut acc = [[simd.splat(0.0); VECTORS]; ROWS];
    unroll!(m < ROWS, {
        unroll!(v < VECTORS, {
            // SAFETY: there is a start for this row and these lanes.
            acc[m][v] = unsafe { load::<S, VECTORS, TAIL>(simd, o.start.at(m, 0), v, tail) };
        });
    });
    let [first, second] = &o.terms;
    if GATHERED {
        // SAFETY: as for this function.
        unsafe { accumulate_gathered(simd, &mut acc, first) };
    } else {
        // SAFETY: as for this function.
        unsafe { accumulate::<S, ROWS, VECTORS, TAIL>(simd, &mut acc, first, tail) };
        if second.depth > 0 {
            // SAFETY: as for this function.
            unsafe { accumulate::<S, ROWS, VECTORS, TAIL>(simd, &mut acc, second, tail) };
        }
    }
    unroll!(m < ROWS, {
        unroll!(v < VECTORS, {
            let to = o.out.wrapping_add(m * o.out_row + v * S::LANES);
            if TAIL && v + 1 == VECTORS {
                // SAFETY: the last vector has `tail` lanes.
                unsafe { simd.store_first(to, tail, acc[m][v]) }
            } else {
                // SAFETY: every other vector is full.
                unsafe { simd.store(to, acc[m][v]) }
            }
        });
    });
}

/// Vector `v` of `VECTORS` that lie side by side from `from` on.
///
/// # Safety
/// All vectors are readable; the last one has `tail` lanes if `TAIL`.
#[inline(always)]
unsafe fn load<S: Simd, const VECTORS: usize, const TAIL: bool>(
    simd: S,
    from: *const f32,
    v: usize,
    tail: usize,
) -> S::V {
    let from = from.wrapping_add(v * S::LANES);
    if TAIL && v + 1 == VECTORS {
        // SAFETY: the last vector has `tail` lanes.
        unsafe { simd.load_first(from, tail) }
    } else {
        // SAFETY: every other vector is full.
        unsafe { simd.load(from) }
    }
}

/// Pointers to the at most 8 rows of the left operand, one for every three of them: see [`Simd::unrelated`].
struct RowPointers<const ROWS: usize>([*const f32; 3]);

impl<const ROWS: usize> RowPointers<ROWS> {
    #[inline(always)]
    fn new(first: *const f32, stride: usize) -> Self {
        let mut rows = [first; 3];
        unroll!(group < 3, { rows[group] = first.wrapping_add(3 * group * stride) });
        Self(rows)
    }

    #[inline(always)]
    fn row(&self, row: usize, stride: usize) -> *const f32 {
        self.0[row / 3].wrapping_add(row % 3 * stride)
    }

    #[inline(always)]
    fn advance<S: Simd>(&mut self, simd: S, depth: usize) {
        unroll!(group < 3, {
            if 3 * group < ROWS {
                self.0[group] = simd.unrelated(self.0[group].wrapping_add(depth));
            }
        });
    }
}

/// The chains over one term.
///
/// # Safety
/// The term holds `ROWS` rows and `VECTORS` vectors, the last with `tail` lanes if `TAIL`.
#[inline(always)]
unsafe fn accumulate<S: Simd, const ROWS: usize, const VECTORS: usize, const TAIL: bool>(
    simd: S,
    acc: &mut [[S::V; VECTORS]; ROWS],
    term: &Factors,
    tail: usize,
) {
    let t = *term;
    let (mut left, mut right) = (RowPointers::<ROWS>::new(t.left.at, t.left.row_stride), t.right);
    let (mut next, stride) = (t.fetch.from, if t.fetch.per_row > 0 { ROWS } else { t.fetch.per_depth });
    // Loop 5.
    for _ in 0..t.depth {
        let mut lanes = [simd.splat(0.0); VECTORS];
        unroll!(v < VECTORS, {
            // SAFETY: the term holds these lanes at this depth.
            lanes[v] = unsafe { load::<S, VECTORS, TAIL>(simd, right.at, v, tail) };
            simd.prefetch(next.wrapping_add(v * S::LANES));
        });
        unroll!(m < ROWS, {
            // SAFETY: the term holds this row at this depth.
            let value = unsafe { left.row(m, t.left.row_stride).read() };
            let value = simd.splat(value);
            unroll!(v < VECTORS, { acc[m][v] = simd.step(acc[m][v], value, lanes[v]) });
        });
        left.advance(simd, t.left.col_stride);
        next = next.wrapping_add(stride);
        right.skip_rows(1);
    }
}

/// The chains over one term whose lanes are gathered: four depths of a vector are one transposition.
///
/// # Safety
/// The term holds `ROWS` rows and `VECTORS` full vectors; its depth is a multiple of 4.
#[inline(always)]
unsafe fn accumulate_gathered<S: Simd, const ROWS: usize, const VECTORS: usize>(
    simd: S,
    acc: &mut [[S::V; VECTORS]; ROWS],
    term: &Factors,
) {
    let t = *term;
    // Where the rows leave no gaps, the next tile follows this one.
    let lane_stride = t.right.col_stride;
    let fetch = if lane_stride == t.depth { VECTORS * S::LANES * lane_stride } else { 0 };
    let mut next = t.right.at.wrapping_add(fetch);
    let mut d = 0;
    // Loop 5, four depths at a time.
    while d < t.depth {
        unroll!(v < VECTORS, {
            let from = t.right.at.wrapping_add(v * S::LANES * lane_stride + d);
            // SAFETY: the term holds LANES rows of these lanes, and four numbers of each from this depth on.
            let columns = unsafe { simd.load_columns(from, lane_stride) };
            unroll!(j < 4, {
                simd.prefetch(next.wrapping_add(j * S::LANES));
                unroll!(m < ROWS, {
                    // SAFETY: the term holds this row at this depth.
                    let value = unsafe { t.left.at(m, d + j).read() };
                    acc[m][v] = simd.step(acc[m][v], simd.splat(value), columns[j]);
                });
            });
            next = next.wrapping_add(if fetch > 0 { 4 * S::LANES } else { 0 });
        });
        d += 4;
    }
}
