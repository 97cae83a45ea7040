//! An adapter, for reading and in training.

use super::shape::Shape;
use crate::error::{Argument, Error};
use crate::kernel::vector::{first_non_finite, is_zero};
use crate::view::{MatMut, MatRef, expect_bias, expect_shape};
use crate::weight::Base;

/// An adapter that is only read. It may lie in flash.
#[derive(Copy, Clone, Debug)]
pub struct Adapter<'a> {
    /// `A [r, in]`.
    pub a: MatRef<'a>,
    /// `B [out, r]`.
    pub b: MatRef<'a>,
    /// A trained bias `[1, out]` that takes the place of the base's, as with `bias="lora_only"` in PEFT.
    pub bias: Option<MatRef<'a>>,
    /// `s`; see [`Scale::factor`](crate::Scale::factor).
    pub scale: f32,
}

/// An adapter in training. The fields are those of [`Adapter`].
#[derive(Debug)]
pub struct AdapterMut<'a> {
    /// `A [r, in]`.
    pub a: MatMut<'a>,
    /// `B [out, r]`.
    pub b: MatMut<'a>,
    /// A trained bias `[1, out]`.
    pub bias: Option<MatMut<'a>>,
    /// `s`.
    pub scale: f32,
}

impl AdapterMut<'_> {
    /// The same adapter, for reading.
    pub fn as_ref(&self) -> Adapter<'_> {
        Adapter {
            a: self.a.as_ref(),
            b: self.b.as_ref(),
            bias: self.bias.as_ref().map(MatMut::as_ref),
            scale: self.scale,
        }
    }
}

impl Adapter<'_> {
    /// Sizes, read off `A` and `B`.
    pub const fn shape(&self) -> Shape {
        Shape::new(self.a.cols(), self.b.rows(), self.a.rows())
    }

    /// # Errors
    /// [`Error::DeadAdapter`] when `A` and `B` are both zero: then every gradient is zero, and stays so.
    pub fn check_alive(&self) -> Result<(), Error> {
        if self.is_absent() || !is_zero(&self.b) || !is_zero(&self.a) { Ok(()) } else { Err(Error::DeadAdapter) }
    }

    /// # Errors
    /// [`Error::NonFinite`] with the first element of `A`, `B` or the bias that is infinite or NaN.
    pub fn check_finite(&self) -> Result<(), Error> {
        finite(Argument::A, &self.a)?;
        finite(Argument::B, &self.b)?;
        self.bias.map_or(Ok(()), |bias| finite(Argument::Bias, &bias))
    }

    /// Rank 0 or a scale of ±0.
    pub(crate) const fn is_absent(&self) -> bool {
        self.a.rows() == 0 || self.scale == 0.0
    }

    pub(crate) fn check(&self, base: &Base<'_>) -> Result<(), Error> {
        base.check()?;
        let (outputs, inputs, rank) = (base.weights.outputs(), base.weights.inputs(), self.a.rows());
        expect_shape(Argument::A, (rank, self.a.cols()), (rank, inputs))?;
        expect_shape(Argument::B, (self.b.rows(), self.b.cols()), (outputs, rank))?;
        expect_bias(self.bias.as_ref(), outputs)?;
        check_scale(self.scale)
    }
}

pub(crate) fn check_scale(scale: f32) -> Result<(), Error> {
    let (at_least, at_most) = (f32::MIN, f32::MAX);
    if scale.is_finite() {
        Ok(())
    } else {
        Err(Error::Range { argument: Argument::Scale, at_least, at_most, got: scale })
    }
}

pub(crate) fn finite(argument: Argument, matrix: &MatRef<'_>) -> Result<(), Error> {
    first_non_finite(matrix).map_or(Ok(()), |index| Err(Error::NonFinite { argument, index }))
}
