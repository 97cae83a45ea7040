//! Products where there are no vectors: operands of any strides, so nothing is copied, blocked or swapped in memory.

#![allow(unsafe_code, reason = "the sizes of views, compared once, then raw pointers")]

use super::tile::{RawProduct, Start};
use core::marker::PhantomData;

use crate::kernel::operand::Factor;
use crate::simd::Simd;
use crate::simd::target::SMALL;
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
    let along = many.col_stride == 1 && few.col_stride == 1;
    if *width < 4 && *height >= 4 && (along || few.row_stride == 1) {
        core::mem::swap(many, few);
        core::mem::swap(width, height);
        product.out = product.out.t();
        product.start = product.start.t();
    }
    let beside = product.many.row_stride == 1;
    let four = match (along && !SMALL, along || beside || SMALL) {
        (true, _) => 3,
        (false, true) => 4,
        (false, false) => 0,
    };
    // One chain on the other side leaves registers for more on this one.
    let eight = if four > 0 && product.height == 1 && !SMALL { four - 2 } else { four };
    while product.width > 0 {
        let kind = match product.width {
            8.. => eight,
            4.. => four,
            _ => 0,
        };
        let Some(kind) = Tiles::<S>::KINDS.get(kind) else { return };
        let (column, out, start) = (product.few.at, product.out.at, product.start.at);
        let mut left = product.height;
        while left > 0 {
            let (count, tile) = if left > 1 { (kind.few, kind.tile) } else { (1, kind.last) };
            // SAFETY: as many chains are left, side by side as the tile wants them.
            unsafe { tile(product, simd) };
            product.few.skip_rows(count);
            product.out.skip_cols(count);
            product.start.skip_cols(count);
            left -= count;
        }
        (product.few.at, product.out.at, product.start.at) = (column, out, start);
        product.many.skip_rows(kind.many);
        product.out.skip_rows(kind.many);
        product.start.skip_rows(kind.many);
        product.width -= kind.many;
    }
}

/// Chains of a tile on both sides, and the tile where there is but one on the side of the few.
struct Kind<S> {
    many: usize,
    few: usize,
    tile: unsafe fn(&mut RawProduct, S),
    last: unsafe fn(&mut RawProduct, S),
}

struct Tiles<S>(PhantomData<S>);

impl<S: Simd> Tiles<S> {
    /// One chain; eight beside one along their numbers, and across; four likewise.
    const KINDS: &'static [Kind<S>; 5] = &if SMALL {
        const { [Self::kind::<false, 1, 1>(), Self::four(), Self::four(), Self::four(), Self::four()] }
    } else {
        [
            Self::kind::<false, 1, 1>(),
            Self::kind::<true, 8, 1>(),
            Self::kind::<false, 8, 1>(),
            Kind { last: tile::<S, true, 4, 1>, ..Self::kind::<true, 4, 2>() },
            Kind { last: tile::<S, false, 4, 1>, ..Self::kind::<false, 4, 2>() },
        ]
    };

    const fn kind<const ALONG: bool, const MANY: usize, const FEW: usize>() -> Kind<S> {
        Kind { many: MANY, few: FEW, tile: tile::<S, ALONG, MANY, FEW>, last: tile::<S, ALONG, MANY, FEW> }
    }

    const fn four() -> Kind<S> {
        Self::kind::<false, 4, 1>()
    }
}

/// `MANY × FEW` accumulators stay in registers over the depth.
///
/// # Safety
/// There are as many chains. Their numbers lie side by side on both sides if `ALONG`, else those of the chains of `many`
/// do, if there are several.
// Inlined, what all tiles have in common would be computed beforehand and spilled: three times as much code.
#[inline(never)]
unsafe fn tile<S: Simd, const ALONG: bool, const MANY: usize, const FEW: usize>(product: &mut RawProduct, simd: S) {
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
    // A pointer for each chain, where numbers that lie side by side have no tiles of their own.
    let apart = ALONG || SMALL;
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
