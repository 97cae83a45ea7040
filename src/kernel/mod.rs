//! The kernels, each written once over [`crate::simd::Simd`]: this page is their contract.
//!
//! Every product of low-rank adaptation has the form
//!
//! ```text
//! out[row, lane] = start ⊕ left[row, 0]·right[0, lane] ⊕ left[row, 1]·right[1, lane] ⊕ …
//! ```
//!
//! one chain per output element, over the depth in ascending order, one accumulator, each ⊕ one
//! [`step`](crate::simd::Simd::step). SIMD lanes run along outputs, so that no two lanes ever meet and the bits do not
//! depend on their number. Storing an accumulator and loading it again changes nothing, so every block size is free.
//!
//! ```text
//!                              lanes ->
//!                       +---------------------+
//!              depth |  | right: TILE_VECTORS |   one vector load each, per depth
//!                    v  |  vectors side by    |
//!                       |  side               |
//!          depth ->     +---------------------+
//!        +-----------+  +---------------------+
//!   rows | left:     |  | out: TILE_ROWS ×    |
//!     |  | broadcast |  |  TILE_VECTORS       |   stay in registers
//!     v  |           |  |  accumulators       |
//!        +-----------+  +---------------------+
//! ```
//!
//! # The loops, from outside in
//! Blocked products cut three ranges: lanes, depth and rows. The numbers stand in the code as `Loop 1` to `Loop 5`.
//!
//! | loop | walks | in `blocked.rs` | in `swapped.rs`, where rows and lanes change places |
//! |---|---|---|---|
//! | 1 | lanes, as many as a panel has: `panel_lanes` | `by_panels` | the rows of the output: what is copied once stays in the cache |
//! | 2 | depth, as many as a panel on the stack holds, or 256 where it is read in place | `by_panels` | inside of a loop over the lanes of the output, as many at a time as there is room for accumulators |
//! | 3 | the lanes of one tile | `raw/tile.rs`, `PanelProduct` | the same |
//! | 4 | the rows of one tile | `raw/tile.rs`, `stack` | the same |
//! | 5 | depth, one step of every chain of the tile | `raw/tile.rs`, `accumulate` | the same |
//!
//! For a few rows, `by_rows` has loop 2 outside of loop 1: a right operand in rows is then read in the order of memory.
//!
//! # The files
//! | file | holds |
//! |---|---|
//! | `product.rs` | the door: what the passes call. It chooses between size, where one function computes every product, and speed |
//! | `equation.rs` | one product of an equation, on views or on the matrices of a table |
//! | `places.rs` | places for the matrices of a table, and the products over them, as data |
//! | `operand.rs` | one operand: a matrix or its transpose, as two strides |
//! | `blocked.rs` | the blocked product: picks the order of the loops |
//! | `swapped.rs` | the same with rows and lanes swapped, so that of a large `right` nothing is copied |
//! | `thin.rs` | the same product for a rank narrower than a vector: narrower vectors, or rows and lanes swapped |
//! | `pack.rs` | transposition, panels |
//! | `raw/` | the register tile, behind one check of all lengths; one row over several panels; one lane; room on the stack for copies |
//! | `vector.rs` | scale, sums over rows, sums of squares, the search for non-finite numbers |
//! | `elementary.rs` | exp, ln, cos from + − × ÷ |
//! | `philox.rs` | random words as a function of seed and position |
//!
//! - **Stack.** Copies lie on it: at most two panels and the accumulators of `raw/room.rs`, 48 KiB on x86-64, 16 KiB with NEON and
//!   simd128, nothing on one-lane targets.
//! - **Edges.** The last vector of a row may be partly filled: only its valid lanes are read and written.
//! - **Aliasing.** Operands are borrowed, the output is borrowed mutably: they cannot overlap.
//! - **Alignment.** That of `f32`. More is faster, never required.

pub(crate) mod blocked;
pub(crate) mod elementary;
pub(crate) mod equation;
pub(crate) mod operand;
pub(crate) mod pack;
pub(crate) mod philox;
pub(crate) mod places;
pub(crate) mod product;
pub(crate) mod raw;
pub(crate) mod swapped;
pub(crate) mod thin;
pub(crate) mod vector;

#[cfg(test)]
mod tests;
