//! The operands of a product as the passes have them.

use super::pack::Operand;
use crate::view::{MatMut, MatRef};

/// Which operand of a product is the transpose of its matrix.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    Neither,
    /// The left matrix is `[depth, rows]`.
    Left,
    /// The right matrix is `[lanes, depth]`.
    Right,
}

/// `left [rows, depth]` and `right [depth, lanes]`, each perhaps transposed. Where the two and the output disagree about a
/// size, it is the smallest: so a matrix may have more rows than are in use.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Pair<'a> {
    pub left: &'a MatRef<'a>,
    pub right: &'a MatRef<'a>,
    pub turn: Turn,
}

impl<'a> Pair<'a> {
    pub(crate) const fn new(left: &'a MatRef<'a>, right: &'a MatRef<'a>, turn: Turn) -> Self {
        Self { left, right, turn }
    }

    /// Operands and output, of sizes that agree, but for the left operand, of which no more is read.
    #[inline(always)]
    pub(crate) fn fit<'o>(&self, out: &'o mut MatMut<'_>) -> (Operand<'a>, Operand<'a>, MatMut<'o>) {
        let Self { left, right, turn } = *self;
        let (rows, left_depth) =
            if turn == Turn::Left { (left.cols(), left.rows()) } else { (left.rows(), left.cols()) };
        let left = if turn == Turn::Left { Operand::transposed(*left) } else { Operand::plain(*left) };
        let (right, out) = if turn == Turn::Right {
            let out = out.within(rows, right.rows());
            (Operand::transposed(right.within(out.cols(), left_depth)), out)
        } else {
            let out = out.within(rows, right.cols());
            (Operand::plain(right.within(left_depth, out.cols())), out)
        };
        (left, right, out)
    }
}
