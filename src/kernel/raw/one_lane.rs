//! Products where there are no vectors: operands of any strides, so nothing is copied, blocked or swapped in memory.

#![allow(unsafe_code, reason = "the sizes of views, compared once, then raw pointers")]

use super::tile::{RawProduct, Start};
use core::marker::PhantomData;

use crate::kernel::operand::Factor;
use crate::simd::Simd;
use crate::simd::target::ONE_TILE;
use crate::view::MatMut;

/// `out[row, lane] = start` continued by `chain_d left[row, d]·right[d, lane]`, one number at a time.
// A function of its own for all calls, and everything by reference: a call is as small as can be.
#[inline(never)]
pub(crate) fn product<S: Simd>(simd: S, left: Factor<'_>, right: Factor<'_>, out: &mut MatMut<'_>, start: &Start<'_>) {
    // SAFETY: views lie inside their slices, and `of` takes the smallest of all sizes.
    unsafe { cover(simd, &mut RawProduct::of(left, right, out, start)) }
}

/// All chains of a product, of which it leaves no pointer where it was.
///
/// # Safety
/// All chains are there, with an output and a start for each.
// The product lies in memory, and the loops move its pointers there: from registers they would be spilled, in twice as much code.
#[inline(never)]
pub(super) unsafe fn cover<S: Simd>(simd: S, product: &mut RawProduct) {
    let RawProduct { few, many, width, height, .. } = product;
    // One tile takes chains that lie anywhere, the others those that lie side by side.
    let any = ONE_TILE || many.col_stride == 1 && few.col_stride == 1;
    if *width < 4 && *height >= 4 && (any || few.row_stride == 1) {
        core::mem::swap(many, few);
        core::mem::swap(width, height);
        product.out = product.out.t();
        product.start = product.start.t();
    }
    let has_tiles = any || product.many.row_stride == 1;
    // One chain on the other side leaves registers for more on this one.
    let most = match product.height {
        _ if !has_tiles => 0,
        1 => 2,
        _ => 1,
    };
    while product.width > 0 {
        let Some(kind) = Tiles::<S>::KINDS.get(most.min(product.width / 4)) else { return };
        let (column, out, start) = (product.few.at, product.out.at, product.start.at);
        let mut left = product.height;
        while left >= kind.few {
            // SAFETY: as many chains are left, side by side as the tile wants them.
            unsafe { (kind.tile)(product, simd) };
            product.few.skip_rows(kind.few);
            product.out.skip_cols(kind.few);
            product.start.skip_cols(kind.few);
            left -= kind.few;
        }
        if left > 0 {
            // One chain beside those of `many` is computed twice, at one place: a tile for it would be as much code again.
            let strides = (product.few.row_stride, product.out.col_stride, product.start.col_stride);
            (product.few.row_stride, product.out.col_stride, product.start.col_stride) = (0, 0, 0);
            // SAFETY: as above; both chains of `few` are the one that is left.
            unsafe { (kind.tile)(product, simd) };
            (product.few.row_stride, product.out.col_stride, product.start.col_stride) = strides;
        }
        (product.few.at, product.out.at, product.start.at) = (column, out, start);
        product.many.skip_rows(kind.many);
        product.out.skip_rows(kind.many);
        product.start.skip_rows(kind.many);
        product.width -= kind.many;
    }
}

/// Chains of a tile on both sides, and the tile.
struct Kind<S> {
    many: usize,
    few: usize,
    tile: unsafe fn(&mut RawProduct, S),
}

struct Tiles<S>(PhantomData<S>);

impl<S: Simd> Tiles<S> {
    /// One chain; four beside two; eight beside one. One tile is four beside one.
    const KINDS: &'static [Kind<S>; 3] = &if ONE_TILE {
        const { [Self::kind::<1, 1>(), Self::kind::<4, 1>(), Self::kind::<4, 1>()] }
    } else {
        [Self::kind::<1, 1>(), Self::kind::<4, 2>(), Self::kind::<8, 1>()]
    };

    const fn kind<const MANY: usize, const FEW: usize>() -> Kind<S> {
        Kind { many: MANY, few: FEW, tile: tile::<S, MANY, FEW> }
    }
}

/// `MANY × FEW` accumulators stay in registers over the depth.
///
/// # Safety
/// There are as many chains. If there are several of `many` and more tiles than one, the numbers lie side by side, either along all
/// chains, or across those of `many`.
// Inlined, what all tiles have in common would be computed beforehand and spilled: three times as much code.
#[inline(never)]
unsafe fn tile<S: Simd, const MANY: usize, const FEW: usize>(product: &mut RawProduct, simd: S) {
    let mut acc = [[simd.splat(0.0); MANY]; FEW];
    let mut start = product.start;
    unroll!(v < FEW, {
        let mut at = start.at;
        unroll!(m < MANY, {
            // From chain to chain: a product for each would be more code.
            at = at.wrapping_add(if m > 0 { start.row_stride } else { 0 });
            // SAFETY: this chain has a start.
            acc[v][m] = unsafe { simd.load(at) };
        });
        start.skip_cols(1);
    });
    // One function for both ways through memory: what stands before and behind them is most of a tile.
    if MANY > 1 && !ONE_TILE && product.many.col_stride == 1 && product.few.col_stride == 1 {
        // SAFETY: as the caller says, and the numbers lie side by side along the chains.
        unsafe { steps::<S, true, MANY, FEW>(product, simd, &mut acc) };
    } else {
        // SAFETY: as the caller says.
        unsafe { steps::<S, false, MANY, FEW>(product, simd, &mut acc) };
    }
    let mut out = product.out;
    unroll!(v < FEW, {
        let mut at = out.at;
        unroll!(m < MANY, {
            at = at.wrapping_add(if m > 0 { out.row_stride } else { 0 });
            // SAFETY: this chain has an output, which is borrowed for writing.
            unsafe { simd.store(at.cast_mut(), acc[v][m]) };
        });
        out.skip_cols(1);
    });
}

/// The steps of all chains of a tile.
///
/// # Safety
/// As for [`tile`]; the numbers lie side by side along the chains if `ALONG`.
#[inline(always)]
unsafe fn steps<S: Simd, const ALONG: bool, const MANY: usize, const FEW: usize>(
    product: &RawProduct,
    simd: S,
    acc: &mut [[S::V; MANY]; FEW],
) {
    // A pointer for each chain, where numbers that lie side by side have no steps of their own.
    let apart = ALONG || ONE_TILE;
    let (mut many, mut few) = ([product.many.at; MANY], [product.few.at; FEW]);
    unroll!(m < MANY, { many[m] = product.many.at(m, 0) });
    unroll!(v < FEW, { few[v] = product.few.at(v, 0) });
    for _ in 0..product.depth {
        let mut values = [simd.splat(0.0); FEW];
        unroll!(v < FEW, {
            // SAFETY: the chain is this deep.
            values[v] = unsafe { simd.load(few[v]) };
            few[v] = few[v].wrapping_add(if ALONG { 1 } else { product.few.col_stride });
        });
        unroll!(m < MANY, {
            let from = if apart { many[m] } else { many[0].wrapping_add(m) };
            // SAFETY: the chain is this deep.
            let value = unsafe { simd.load(from) };
            unroll!(v < FEW, { acc[v][m] = simd.step(acc[v][m], values[v], value) });
            if apart {
                many[m] = many[m].wrapping_add(if ALONG { 1 } else { product.many.col_stride });
            }
        });
        if !apart {
            many[0] = many[0].wrapping_add(product.many.col_stride);
        }
    }
}
