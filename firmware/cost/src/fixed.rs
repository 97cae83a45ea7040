//! A layer as plain arrays in a fixed order, so that the images have nothing to cut or to check before the call that they measure.

use lowrank::{Accum, Adapter, AdapterMut, Base, Grads, MatMut, MatRef};

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
    pub fn view(&self) -> Base<'_> {
        Base { weights: MatRef::from_rows(&self.w).into(), bias: Some(MatRef::from_row(&self.bias)) }
    }
}

/// `A [R, IN]`, then `B [OUT, R]`, then the scale.
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
