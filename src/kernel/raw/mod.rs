//! Whatever needs `unsafe` in the kernels: tiles over raw pointers, behind one check of all lengths, and room on the stack.

#![allow(unsafe_code, reason = "one check of all lengths in `fits`, then raw pointers")]

/// Repeats a block with a constant index, counting from 0 up to a limit of at most 8.
macro_rules! unroll {
    ($i:ident < $limit:expr, $body:block) => { unroll!(@ $i, $limit, $body, 0 1 2 3 4 5 6 7) };
    (@ $i:ident, $limit:expr, $body:block, $($n:literal)*) => {{
        $(if $n < $limit { let $i: usize = $n; $body })*
    }};
}

pub(crate) mod codes;
mod compact;
pub(crate) mod elements;
pub(crate) mod one_lane;
pub(crate) mod room;
pub(crate) mod row;
pub(crate) mod scaled;
pub(crate) mod small;
pub(crate) mod table;
#[cfg(test)]
mod tests;
mod tile;

pub(crate) use compact::{Compact, compact};
pub(crate) use tile::{Ahead, PanelProduct, Start, Term, panel_lanes};
