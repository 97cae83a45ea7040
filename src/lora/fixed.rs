//! Fixed-layout types for shapes that are known at compile time: plain arrays in a fixed order, row-major, without
//! padding. They are memory only; the operations take the views that they give.

use super::{Accum, Adapter, AdapterMut, Grads, Saved, Shape};
use crate::view::{MatMut, MatRef};
use crate::weight::{Base, Weights};

/// `W [OUT, IN]`, then `b [OUT]`. Made to be a `static` in flash.
#[derive(Clone, Debug)]
#[repr(C)]
pub struct FixedBase<const IN: usize, const OUT: usize> {
    /// `W [out, in]`.
    pub w: [[f32; IN]; OUT],
    /// `b [out]`.
    pub bias: [f32; OUT],
}

impl<const IN: usize, const OUT: usize> FixedBase<IN, OUT> {
    /// The layer, borrowed.
    pub const fn view(&self) -> Base<'_> {
        Base { weights: Weights::Rows(MatRef::from_rows(&self.w)), bias: Some(MatRef::from_row(&self.bias)) }
    }
}

/// `A [R, IN]`, then `B [OUT, R]`, then the scale.
///
/// ```
/// use lowrank::{Backend, FixedAdapter, FixedBase, FixedSaved, MatMut, MatRef, forward};
///
/// static BASE: FixedBase<2, 3> = FixedBase { w: [[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]], bias: [0.0; 3] };
/// let adapter = FixedAdapter::<2, 3, 1> { a: [[1.0, 1.0]], b: [[0.0], [0.0], [1.0]], scale: 2.0 };
/// let mut saved = FixedSaved::<2, 3, 1, 1>::ZERO;
/// let mut y = [[0.0; 3]; 1];
/// let x = MatRef::from_rows(&[[3.0, 4.0]]);
/// forward(Backend::BASELINE, &BASE.view(), &adapter.view(), x, MatMut::from_rows(&mut y), &mut saved.view())?;
/// assert_eq!(y, [[3.0, 4.0, 21.0]]);
/// # Ok::<(), lowrank::Error>(())
/// ```
#[derive(Clone, Debug)]
#[repr(C)]
pub struct FixedAdapter<const IN: usize, const OUT: usize, const R: usize> {
    /// `A [r, in]`.
    pub a: [[f32; IN]; R],
    /// `B [out, r]`.
    pub b: [[f32; R]; OUT],
    /// `s`.
    pub scale: f32,
}

impl<const IN: usize, const OUT: usize, const R: usize> FixedAdapter<IN, OUT, R> {
    /// Sizes of the layer.
    pub const SHAPE: Shape = Shape::new(IN, OUT, R);

    /// `A` and `B` zero: to be initialised before training.
    pub const fn zero(scale: f32) -> Self {
        Self { a: [[0.0; IN]; R], b: [[0.0; R]; OUT], scale }
    }

    /// The adapter, borrowed for reading.
    pub const fn view(&self) -> Adapter<'_> {
        Adapter { a: MatRef::from_rows(&self.a), b: MatRef::from_rows(&self.b), bias: None, scale: self.scale }
    }

    /// The adapter, borrowed for training.
    pub const fn view_mut(&mut self) -> AdapterMut<'_> {
        AdapterMut {
            a: MatMut::from_rows(&mut self.a),
            b: MatMut::from_rows(&mut self.b),
            bias: None,
            scale: self.scale,
        }
    }
}

/// `dA [R, IN]`, then `dB [OUT, R]`.
#[derive(Clone, Debug)]
#[repr(C)]
pub struct FixedGrads<const IN: usize, const OUT: usize, const R: usize> {
    /// `dA [r, in]`.
    pub a: [[f32; IN]; R],
    /// `dB [out, r]`.
    pub b: [[f32; R]; OUT],
}

impl<const IN: usize, const OUT: usize, const R: usize> FixedGrads<IN, OUT, R> {
    /// All zero.
    pub const ZERO: Self = Self { a: [[0.0; IN]; R], b: [[0.0; R]; OUT] };

    /// The gradients, borrowed.
    pub const fn view(&mut self, accum: Accum) -> Grads<'_> {
        Grads { a: Some(MatMut::from_rows(&mut self.a)), b: MatMut::from_rows(&mut self.b), bias: None, accum }
    }
}

/// `hs [N, R]`, then `gs [N, R]`: what a layer saves in training on up to `N` tokens.
#[derive(Clone, Debug)]
#[repr(C)]
pub struct FixedSaved<const IN: usize, const OUT: usize, const R: usize, const N: usize> {
    hs: [[f32; R]; N],
    gs: [[f32; R]; N],
}

impl<const IN: usize, const OUT: usize, const R: usize, const N: usize> FixedSaved<IN, OUT, R, N> {
    /// Before the first forward pass.
    pub const ZERO: Self = Self { hs: [[0.0; R]; N], gs: [[0.0; R]; N] };

    /// The memory, borrowed. A backward pass takes the same view as the forward pass before it.
    pub fn view(&mut self) -> Saved<'_> {
        let (hs, gs) = (MatMut::from_rows(&mut self.hs), MatMut::from_rows(&mut self.gs));
        Saved::from_pieces(hs, gs, Shape::new(IN, OUT, R))
    }
}

// The layout promises, checked where the crate is compiled.
const _: () = {
    assert!(size_of::<FixedBase<3, 5>>() == 4 * (15 + 5));
    assert!(size_of::<FixedAdapter<3, 5, 2>>() == 4 * (6 + 10 + 1));
    assert!(core::mem::offset_of!(FixedAdapter<3, 5, 2>, b) == 4 * 6);
    assert!(core::mem::offset_of!(FixedGrads<3, 5, 2>, b) == 4 * 6);
    assert!(size_of::<FixedSaved<3, 5, 2, 7>>() == 4 * 28);
};
