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
//! | file | holds |
//! |---|---|
//! | `tile/` | the register tile, behind one check of all lengths; one row over several panels; one lane; room on the stack for copies |
//! | `pack.rs` | operands, transposition, panels |
//! | `pair.rs` | two matrices, and which of them is transposed |
//! | `product.rs` | what the passes call; where size counts, one function for every product |
//! | `gemm.rs` | the blocked product: picks the order of the loops |
//! | `exchange.rs` | the same with rows and lanes exchanged, so that of a large `right` nothing is copied |
//! | `thin.rs` | the same product for a rank narrower than a vector: narrower vectors, or rows and lanes exchanged |
//! | `vector.rs` | scale, sums over rows, sums of squares, the search for non-finite numbers |
//! | `elementary.rs` | exp, ln, cos from + − × ÷ |
//! | `philox.rs` | random words as a function of seed and position |
//!
//! - **Stack.** Copies lie on it: at most two panels and the accumulators of `tile/room.rs`, 48 KiB on x86-64, 16 KiB with NEON and
//!   simd128, nothing on one-lane targets.
//! - **Edges.** The last vector of a row may be partly filled: only its valid lanes are read and written.
//! - **Aliasing.** Operands are borrowed, the output is borrowed mutably: they cannot overlap.
//! - **Alignment.** That of `f32`. More is faster, never required.

pub(crate) mod elementary;
pub(crate) mod exchange;
pub(crate) mod gemm;
pub(crate) mod pack;
pub(crate) mod pair;
pub(crate) mod philox;
pub(crate) mod product;
pub(crate) mod thin;
pub(crate) mod tile;
pub(crate) mod vector;
