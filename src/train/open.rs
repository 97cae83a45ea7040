//! The opening of a layer: a plan, a base and a buffer become one.

use super::layer::Layer;
use super::plan::Plan;
use super::state::Clock;
use crate::error::{Argument, Error};
use crate::kernel::raw::table::Table;
use crate::lora::{Adapter, Scale, Shape, place};
use crate::view::expect_shape;
use crate::weight::Base;

impl Plan {
    /// Opens a layer on a base and a buffer of exactly [`len`](Plan::len) elements. It has no adapter yet: that is for
    /// [`Layer::init`] or [`Layer::resume`].
    ///
    /// # Errors
    /// [`Error::Length`] when the buffer is shorter or longer, [`Error::Overflow`] when no buffer could be long enough;
    /// [`Error::Rows`], [`Error::Cols`] when the base has another shape; [`Error::ForInference`] for a plan of inference, whose
    /// adapter is borrowed: see [`adapted`](Plan::adapted). Nothing is written.
    pub fn layer<'a>(&self, base: Base<'a>, arena: &'a mut [f32]) -> Result<Layer<'a>, Error> {
        if self.is_inference() { Err(Error::ForInference) } else { self.open(base, arena) }
    }

    /// Opens a layer with an adapter that is only read, and may lie in flash: that of an adapter file, for one. The plan is one of
    /// inference.
    ///
    /// # Errors
    /// As [`layer`](Plan::layer), but for a plan of training, which says [`Error::Unexpected`]; [`Error::Rows`], [`Error::Cols`] when
    /// the adapter has another shape than the base, and [`Error::Cols`] about [`Argument::Rank`] when it has another rank than the plan;
    /// [`Error::Range`] for a scale that is not finite; [`Error::Stride`] when `A`, `B` or the bias have gaps between their rows.
    ///
    /// ```
    /// use lowrank::{Adapter, Backend, Base, MatRef, Plan, Shape};
    ///
    /// const PLAN: Plan = Plan::inference(Shape::new(2, 3, 1), 1);
    /// static W: [[f32; 2]; 3] = [[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]];
    /// let (a, b) = (MatRef::from_rows(&[[1.0, 1.0]]), MatRef::from_rows(&[[0.0], [0.0], [1.0]]));
    /// let adapter = Adapter { a, b, bias: None, scale: 2.0 };
    ///
    /// let (mut arena, mut y) = ([0.0; PLAN.len()], [[0.0; 3]]);
    /// let mut layer = PLAN.adapted(Base::rows(&W, None), adapter, &mut arena)?;
    /// layer.forward(Backend::BASELINE, &[[3.0, 4.0]], &mut y)?;
    /// assert_eq!(y, [[3.0, 4.0, 7.0 + 2.0 * 7.0]]);
    /// # Ok::<(), lowrank::Error>(())
    /// ```
    pub fn adapted<'a>(&self, base: Base<'a>, adapter: Adapter<'a>, arena: &'a mut [f32]) -> Result<Layer<'a>, Error> {
        if !self.is_inference() {
            return Err(Error::Unexpected { argument: Argument::A });
        }
        for (argument, matrix) in [(Argument::A, &adapter.a), (Argument::B, &adapter.b)] {
            if !matrix.is_dense() {
                return Err(Error::Stride { argument, expected: matrix.cols(), got: matrix.stride() });
            }
        }
        adapter.check(&base)?;
        expect_shape(Argument::Rank, (0, adapter.shape().rank), (0, self.shape().rank))?;
        let mut layer = self.open(base, arena)?;
        let mut checked = Ok(());
        layer.table.lend(&mut checked, Argument::A, place::A, &adapter.a);
        layer.table.lend(&mut checked, Argument::B, place::B, &adapter.b);
        if let Some(bias) = &adapter.bias {
            // It takes the place of the base's.
            layer.base.bias = None;
            layer.table.lend(&mut checked, Argument::Bias, place::BIAS, bias);
        }
        checked?;
        layer.scale = Some((Scale::Direct(adapter.scale), adapter.scale));
        Ok(layer)
    }

    fn open<'a>(&self, base: Base<'a>, arena: &'a mut [f32]) -> Result<Layer<'a>, Error> {
        let Shape { inputs, outputs, rank } = self.shape();
        let optimizer = if self.is_inference() { None } else { Some(self.optimizer()) };
        let mut layer = Layer {
            base,
            table: Table::new((inputs, outputs, rank), self.tokens()),
            moments: &mut [],
            clock: Clock { steps: 0, weight1: 0.0, weight2: 0.0 },
            optimizer,
            trained: self.trained(),
            accumulates: false,
            graded: false,
            scale: None,
            batch: None,
            dropping: None,
        };
        let (table, mut checked, Base { weights, bias }) = (&mut layer.table, Ok(()), &layer.base);
        match weights.rows() {
            Some(w) => table.lend(&mut checked, Argument::W, place::W, w),
            None => checked = expect_shape(Argument::W, (weights.outputs(), weights.inputs()), (outputs, inputs)),
        }
        layer.moments = self.cut(&mut checked, table, arena);
        if let Some(bias) = bias {
            table.lend(&mut checked, Argument::Bias, place::BIAS, bias);
        }
        checked.map(|()| layer)
    }
}
