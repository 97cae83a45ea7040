//! Where a layer stands, for callers that keep its memory but not the layer.

use super::layer::Layer;
use super::state::Clock;
use crate::error::{Argument, Error};
use crate::lora::{Batch, Scale, check_scale};

/// Where a [`Layer`] stands, as plain data. It is everything that the layer knows beside its base, its plan, its dropout and the contents of
/// its buffer: whoever keeps these goes on with the same bits.
///
/// ```
/// use lowrank::train::{Optimizer, Sgd};
/// use lowrank::{Backend, Base, Plan, Scale, Shape};
///
/// const PLAN: Plan = Plan::training(Shape::new(2, 3, 1), 1, Optimizer::Sgd);
/// static W: [[f32; 2]; 3] = [[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]];
/// let (backend, mut arena, mut y) = (Backend::BASELINE, [0.0; PLAN.len()], [[0.0; 3]]);
/// let mut layer = PLAN.layer(Base::rows(&W, None), &mut arena)?;
/// layer.init(Scale::Alpha(2.0), 42, 0)?;
/// layer.forward(backend, &[[1.0, 2.0]], &mut y)?;
/// let standing = layer.standing();
///
/// let mut layer = PLAN.layer(Base::rows(&W, None), &mut arena)?; // some time later
/// layer.stand(standing)?;
/// layer.backward(backend, &[[1.0, 2.0]], &[[0.5, 0.0, 0.5]], None)?;
/// layer.step(backend, &Sgd::DEFAULT)?;
/// # Ok::<(), lowrank::Error>(())
/// ```
#[derive(Copy, Clone, Debug, Default, PartialEq)]
pub struct Standing {
    /// How the factor `s` came about; `None` before there is an adapter.
    pub scale: Option<Scale>,
    /// The tokens of the last forward pass, and how far they have come.
    pub batch: Option<Batch>,
    /// How far the optimizer has come.
    pub clock: Clock,
    /// Whether a backward pass came since the last step.
    pub is_graded: bool,
    /// Whether the backward passes between two steps add up.
    pub accumulates: bool,
}

impl Layer<'_> {
    /// Returns where the layer stands.
    pub fn standing(&self) -> Standing {
        Standing {
            scale: self.scale(),
            batch: self.batch,
            clock: self.clock,
            is_graded: self.graded,
            accumulates: self.accumulates,
        }
    }

    /// Goes on where a layer on the same base, plan and buffer stood. Its dropout is to be [set](Self::set_dropout) before.
    ///
    /// # Errors
    /// [`Error::ForInference`] for a layer whose adapter is borrowed; [`Error::Range`] when the factor of the scale is not finite;
    /// [`Error::TooMany`] when there is no room for so many tokens; [`Error::Missing`] about [`Argument::Scale`] when there is a batch or
    /// a gradient, and no scale. Nothing has changed then.
    // Inlined: a caller whose scale is always a factor does not link the roots and quotients of the others.
    #[inline(always)]
    pub fn stand(&mut self, standing: Standing) -> Result<(), Error> {
        let Standing { scale, batch, clock, is_graded, accumulates } = standing;
        if self.optimizer.is_none() {
            return Err(Error::ForInference);
        }
        let scale = scale.map(|scale| (scale, scale.factor(self.shape().rank)));
        match scale {
            Some((_, factor)) => check_scale(factor)?,
            None if batch.is_some() || is_graded => return Err(Error::Missing { argument: Argument::Scale }),
            None => {}
        }
        if let Some(Batch { tokens: got, .. }) = batch
            && got > self.tokens()
        {
            return Err(Error::TooMany { argument: Argument::Tokens, at_most: self.tokens(), got });
        }
        (self.scale, self.batch, self.clock) = (scale, batch, clock);
        (self.graded, self.accumulates) = (is_graded, accumulates);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lora::{Adapter, Progress, Shape};
    use crate::simd::Backend;
    use crate::train::{Optimizer, Plan, Sgd};
    use crate::view::MatRef;
    use crate::weight::Base;

    const SHAPE: Shape = Shape::new(2, 3, 1);
    const PLAN: Plan = Plan::training(SHAPE, 2, Optimizer::Sgd);
    static W: [[f32; 2]; 3] = [[1.0, 2.0]; 3];

    #[test]
    fn a_layer_goes_on_where_another_one_stood() {
        let (backend, mut arenas, mut y) = (Backend::BASELINE, [[0.0; PLAN.len()]; 2], [[0.0; 3]; 2]);
        let [first, second] = &mut arenas;
        let mut layer = PLAN.layer(Base::rows(&W, None), first).unwrap();
        assert_eq!(layer.standing(), Standing::default());
        layer.init(Scale::Alpha(2.0), 1, 0).unwrap();
        layer.forward(backend, &[[1.0, 2.0]; 2], &mut y).unwrap();
        layer.backward(backend, &[[1.0, 2.0]; 2], &[[1.0; 3]; 2], None).unwrap();
        layer.step(backend, &Sgd::DEFAULT).unwrap();
        layer.set_accumulation(true);
        layer.backward(backend, &[[1.0, 2.0]; 2], &[[1.0; 3]; 2], None).unwrap();
        let standing = Standing {
            scale: Some(Scale::Alpha(2.0)),
            batch: Some(Batch { tokens: 2, progress: Progress::Backward }),
            clock: layer.clock(),
            is_graded: true,
            accumulates: true,
        };
        assert_eq!((layer.standing(), layer.clock().steps), (standing, 1));

        let mut layer = PLAN.layer(Base::rows(&W, None), second).unwrap();
        layer.stand(standing).unwrap();
        assert_eq!(layer.standing(), standing);
        assert_eq!(layer.adapter().unwrap().scale, 2.0);
    }

    #[test]
    fn where_no_layer_can_stand_is_refused() {
        let mut arena = [0.0; PLAN.len()];
        let mut layer = PLAN.layer(Base::rows(&W, None), &mut arena).unwrap();
        let with = |scale, tokens: Option<usize>, is_graded| {
            let batch = tokens.map(|tokens| Batch { tokens, progress: Progress::Forward });
            Standing { scale, batch, is_graded, ..Standing::default() }
        };
        let scale = Some(Scale::Direct(1.0));
        let missing = Err(Error::Missing { argument: Argument::Scale });
        let too_many = Err(Error::TooMany { argument: Argument::Tokens, at_most: 2, got: 3 });
        for (standing, expected) in [
            (with(None, None, false), Ok(())),
            (with(None, Some(1), false), missing),
            (with(None, None, true), missing),
            (with(scale, Some(1), true), Ok(())),
            (with(scale, Some(2), false), Ok(())),
            (with(scale, Some(3), false), too_many),
        ] {
            let old = layer.standing();
            assert_eq!(layer.stand(standing), expected, "{standing:?}");
            assert_eq!(layer.standing(), if expected.is_ok() { standing } else { old });
        }
        assert!(matches!(layer.stand(with(Some(Scale::Direct(f32::INFINITY)), None, false)), Err(Error::Range { .. })));

        let (plan, mut arena) = (Plan::inference(SHAPE, 2), [0.0; 2]);
        let (a, b) = (MatRef::from_rows(&[[1.0, 1.0]]), MatRef::from_rows(&[[1.0]; 3]));
        let adapter = Adapter { a, b, bias: None, scale: 1.0 };
        let mut layer = plan.adapted(Base::rows(&W, None), adapter, &mut arena).unwrap();
        assert_eq!(layer.stand(with(scale, None, false)), Err(Error::ForInference));
    }
}
