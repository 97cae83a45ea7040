//! The register tile and the loops that lay it over one panel.
//!
//! Unrolled by a macro over raw pointers. Measured before it was chosen (one tile in the first-level cache, GFLOP/s,
//! plain loops / macro over slices / macro over raw pointers): AVX2 126/122/114 at opt-level 3, 42/117/124 at "s",
//! 12/34/119 at "z". Firmware is built with "s" and "z".

#![allow(unsafe_code, reason = "one check of all lengths in `fits`, then raw pointers")]

use crate::simd::{Kernel, Simd};
use crate::view::{MatMut, span};

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

/// Numbers at two strides: `(outer, inner)` is `data[outer * outer_stride + inner * inner_stride]`.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Strided<'a> {
    pub data: &'a [f32],
    pub outer: usize,
    pub inner: usize,
}

impl Strided<'_> {
    fn holds(&self, outer: usize, inner: usize) -> bool {
        if outer == 0 || inner == 0 {
            return true;
        }
        let last = (outer - 1).checked_mul(self.outer).zip((inner - 1).checked_mul(self.inner));
        let last = last.and_then(|(a, b)| a.checked_add(b));
        last.is_some_and(|last| last < self.data.len())
    }
}

/// The product over one panel: `out[row, lane]` continued over `depth`.
pub(crate) struct PanelProduct<'a> {
    /// `(row, depth)`
    pub left: Strided<'a>,
    /// `(depth, lane)`; the inner stride is 1 unless vectors have one lane.
    pub right: Strided<'a>,
    pub depth: usize,
    pub out: MatMut<'a>,
    pub start: Start<'a>,
}

impl PanelProduct<'_> {
    /// Whether everything that the loops will touch lies inside the slices.
    fn fits<S: Simd>(&mut self) -> bool {
        let (rows, lanes, stride) = (self.out.rows(), self.out.cols(), self.out.stride());
        let start = match self.start {
            Start::Bias(bias) => bias.len() >= lanes,
            Start::Zero | Start::Existing => true,
        };
        start
            && self.left.holds(rows, self.depth)
            && self.right.holds(self.depth, lanes)
            && (self.right.inner == 1 || S::LANES == 1)
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
        let mut operands = Operands {
            left: self.left.data.as_ptr(),
            left_row: self.left.outer,
            left_depth: self.left.inner,
            right: self.right.data.as_ptr(),
            right_depth: self.right.outer,
            right_lane: self.right.inner,
            depth: self.depth,
            out_row: self.out.stride(),
            out: self.out.data_mut().as_mut_ptr(),
            start: match self.start {
                Start::Zero => Chains::Zero,
                Start::Bias(bias) => Chains::Lanes(bias.as_ptr()),
                Start::Existing => Chains::Existing,
            },
        };
        let mut lane = 0;
        while lane < lanes {
            let width = (lanes - lane).min(S::TILE_VECTORS * S::LANES);
            // SAFETY: `fits` has checked rows × depth of left, depth × lanes of right, rows × lanes of out and the lanes
            // of a bias; lane + width <= lanes.
            unsafe { column(simd, &operands, rows, width) };
            operands.skip_lanes(width);
            lane += width;
        }
    }
}

#[derive(Copy, Clone)]
enum Chains {
    Zero,
    Lanes(*const f32),
    Existing,
}

/// Pointers to the first element that a tile needs, and the strides from there.
#[derive(Copy, Clone)]
struct Operands {
    left: *const f32,
    left_row: usize,
    left_depth: usize,
    right: *const f32,
    right_depth: usize,
    right_lane: usize,
    depth: usize,
    out: *mut f32,
    out_row: usize,
    start: Chains,
}

impl Operands {
    /// Pointers move by `wrapping_add`: behind the last tile they may leave the slice, and are then not used.
    #[inline(always)]
    fn skip_lanes(&mut self, lanes: usize) {
        self.right = self.right.wrapping_add(lanes * self.right_lane);
        self.out = self.out.wrapping_add(lanes);
        if let Chains::Lanes(bias) = &mut self.start {
            *bias = bias.wrapping_add(lanes);
        }
    }

    #[inline(always)]
    fn skip_rows(&mut self, rows: usize) {
        self.left = self.left.wrapping_add(rows * self.left_row);
        self.out = self.out.wrapping_add(rows * self.out_row);
    }
}

/// Repeats a block with a constant index, counting from 0 up to a limit of at most 8.
macro_rules! unroll {
    ($i:ident < $limit:expr, $body:block) => { unroll!(@ $i, $limit, $body, 0 1 2 3 4 5 6 7) };
    (@ $i:ident, $limit:expr, $body:block, $($n:literal)*) => {{
        $(if $n < $limit { let $i: usize = $n; $body })*
    }};
}

/// One tile column, `width` lanes wide: chooses the number of vectors in a row of the tile.
///
/// # Safety
/// The operands hold `rows` × `width` chains of their depth, and `0 < width <= TILE_VECTORS * LANES`.
#[inline(always)]
unsafe fn column<S: Simd>(simd: S, operands: &Operands, rows: usize, width: usize) {
    let tail = width % S::LANES;
    macro_rules! vectors {
        ($($vectors:literal)*) => {
            $(if $vectors <= S::TILE_VECTORS && width.div_ceil(S::LANES) == $vectors {
                if S::LANES == 1 || tail == 0 {
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

/// The tiles of one column, one below the other: as many of full height as fit, then 4, 2, 1 rows.
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
    macro_rules! heights {
        ($($height:literal)*) => {
            $(if $height <= S::TILE_ROWS {
                while rows >= $height {
                    // SAFETY: as for this function; at least this many rows are left.
                    unsafe { tile::<S, $height, VECTORS, TAIL>(simd, &operands, tail) };
                    operands.skip_rows($height);
                    rows -= $height;
                }
            })*
        };
    }
    heights!(8 6 4 2 1);
}

/// One tile: `ROWS × VECTORS` vectors of accumulators stay in registers over the whole depth.
///
/// # Safety
/// As for [`stack`], for `ROWS` rows.
#[inline(always)]
unsafe fn tile<S: Simd, const ROWS: usize, const VECTORS: usize, const TAIL: bool>(
    simd: S,
    operands: &Operands,
    tail: usize,
) {
    let o = *operands;
    let load = |from: *const f32, v: usize| {
        let from = from.wrapping_add(v * S::LANES);
        if TAIL && v + 1 == VECTORS {
            // SAFETY: the last vector has `tail` lanes.
            unsafe { simd.load_first(from, tail) }
        } else {
            // SAFETY: every other vector is full.
            unsafe { simd.load(from) }
        }
    };

    let mut acc = [[simd.splat(0.0); VECTORS]; ROWS];
    match o.start {
        Chains::Zero => {}
        Chains::Lanes(bias) => unroll!(v < VECTORS, {
            let value = load(bias, v);
            unroll!(m < ROWS, { acc[m][v] = value });
        }),
        Chains::Existing => unroll!(m < ROWS, {
            unroll!(v < VECTORS, { acc[m][v] = load(o.out.wrapping_add(m * o.out_row), v) });
        }),
    }

    let (mut left, mut right) = (o.left, o.right);
    for _ in 0..o.depth {
        let mut lanes = [simd.splat(0.0); VECTORS];
        unroll!(v < VECTORS, {
            // One lane: vectors lie `right_lane` apart. More lanes: they lie side by side.
            let first = if S::LANES == 1 { right.wrapping_add(v * o.right_lane) } else { right };
            lanes[v] = load(first, if S::LANES == 1 { 0 } else { v });
        });
        unroll!(m < ROWS, {
            // SAFETY: the operands hold this row at this depth.
            let value = unsafe { left.wrapping_add(m * o.left_row).read() };
            let value = simd.splat(value);
            unroll!(v < VECTORS, { acc[m][v] = simd.step(acc[m][v], value, lanes[v]) });
        });
        left = left.wrapping_add(o.left_depth);
        right = right.wrapping_add(o.right_depth);
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
