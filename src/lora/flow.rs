//! What a backward pass is given.

use crate::view::{MatMut, MatRef};

/// What flows through a layer in the backward pass.
#[derive(Debug)]
pub struct Backprop<'a> {
    /// `X [n, in]` of the forward pass. Not needed where `A` is frozen.
    pub x: Option<MatRef<'a>>,
    /// `dY [n, out]`, the gradient of the loss with respect to the layer's output.
    pub dy: MatRef<'a>,
    /// Receives `dX [n, in]`. `None` where nothing below is trained: then `W` is not read.
    pub dx: Option<MatMut<'a>>,
}
