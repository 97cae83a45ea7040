//! SGD in place against its formulas, bit for bit.

use arbitrary::Arbitrary;
use lowrank::reference::{self, Gradients, Signals, chain};
use lowrank::train::InPlace;
use lowrank::{Accum, AdapterMut, Arithmetic, Backend, Backprop, Base, Dropout, Error, MatRef, Saved, Shape, forward};

use crate::backends;
use crate::data::{DropoutCase, Guarded, Maker, Numbers, Place, Scalar, UpTo, assert_same, is_valid};

/// One layer and its data.
#[derive(Debug, Arbitrary)]
pub struct InPlaceCase {
    inputs: UpTo<36>,
    outputs: UpTo<36>,
    rank: UpTo<18>,
    tokens: UpTo<18>,
    frozen_a: bool,
    wants_dx: bool,
    learning_rate: Scalar,
    b_rate: Scalar,
    max_norm: Option<Scalar>,
    scale: Scalar,
    dropout: Option<DropoutCase>,
    places: [Place; 7],
    numbers: Numbers,
}

/// What a step changes, and what it is computed from.
#[derive(Clone)]
struct Layer {
    w: Guarded,
    a: Guarded,
    b: Guarded,
    x: Guarded,
    dy: Guarded,
    dx: Guarded,
}

/// Gradients by the specification, dense.
struct Slow {
    hs: Vec<f32>,
    gs: Vec<f32>,
    da: Vec<f32>,
    db: Vec<f32>,
    dx: Vec<f32>,
}

fn mat(data: &[f32], rows: usize, cols: usize) -> MatRef<'_> {
    MatRef::new(data, rows, cols).unwrap()
}

impl InPlaceCase {
    pub fn check(self) {
        let Shape { inputs, outputs, rank } = self.shape();
        let mut maker = Maker::new(self.numbers.clone(), &self.places);
        let layer = Layer {
            w: maker.matrix(outputs, inputs),
            a: maker.matrix(rank, inputs),
            b: maker.matrix(outputs, rank),
            x: maker.matrix(self.tokens.0, inputs),
            dy: maker.matrix(self.tokens.0, outputs),
            dx: maker.matrix(self.tokens.0, inputs),
        };
        let memory = maker.matrix(1, Saved::training_len(self.shape(), self.tokens.0).unwrap());
        for arithmetic in Arithmetic::ALL {
            for backend in backends(arithmetic) {
                self.check_on(backend, layer.clone(), memory.clone());
            }
        }
    }

    fn shape(&self) -> Shape {
        Shape::new(self.inputs.0, self.outputs.0, self.rank.0)
    }

    fn dropout(&self) -> Option<Dropout> {
        self.dropout.as_ref().map(DropoutCase::value).filter(is_valid)
    }

    fn check_on(&self, backend: Backend, mut layer: Layer, mut memory: Guarded) {
        let old = layer.clone();
        let base = Base { weights: old.w.view().into(), bias: None };
        let mut saved = Saved::training(memory.slice_mut(), self.shape(), self.tokens.0).unwrap();
        saved.set_dropout(self.dropout()).unwrap();
        let mut y = vec![0.0; self.tokens.0 * self.outputs.0];
        let y = lowrank::MatMut::new(&mut y, self.tokens.0, self.outputs.0).unwrap();
        let (a, b) = (layer.a.view_mut(), layer.b.view_mut());
        let mut adapter = AdapterMut { a, b, bias: None, scale: self.scale.value() };
        if forward(backend, &base, &adapter.as_ref(), old.x.view(), y, &mut saved).is_err() {
            assert!(!self.scale.value().is_finite());
            return;
        }
        let dead = adapter.as_ref().check_alive().is_err();
        let flow = Backprop {
            x: (!self.frozen_a).then(|| old.x.view()),
            dy: old.dy.view(),
            dx: self.wants_dx.then(|| layer.dx.view_mut()),
        };
        let optimizer =
            InPlace { learning_rate: self.learning_rate.value(), b_rate: self.b_rate.value(), max_norm: self.max_norm.map(Scalar::value) };
        let result = optimizer.step(backend, &base, &mut adapter, flow, &mut saved);
        let slow = self.specify(backend.arithmetic(), &old);
        let factor = self.factor(backend.arithmetic(), &slow, dead, &old);
        assert_eq!(result.is_ok(), factor.is_some(), "{result:?}");
        let Some(factor) = factor else {
            if dead && result == Err(Error::DeadAdapter) {
                layer.dx.assert_untouched("dX of a dead adapter");
            }
            for matrix in [&layer.a, &layer.b, &layer.dx] {
                matrix.assert_untouched("after an error");
            }
            return;
        };
        let (a, b) = self.descend(backend.arithmetic(), &slow, &old, factor);
        assert_same(&format!("A on {backend:?}"), &a, &layer.a.values());
        assert_same(&format!("B on {backend:?}"), &b, &layer.b.values());
        if self.wants_dx {
            assert_same(&format!("dX on {backend:?}"), &slow.dx, &layer.dx.values());
        }
        for matrix in [&layer.a, &layer.b, &layer.dx, &memory] {
            matrix.assert_guarded("in place");
        }
    }

    fn specify(&self, arithmetic: Arithmetic, layer: &Layer) -> Slow {
        let Shape { inputs, outputs, rank } = self.shape();
        let n = self.tokens.0;
        let zeros = |len: usize| vec![0.0; len];
        let mut slow = Slow {
            hs: zeros(n * rank),
            gs: zeros(n * rank),
            da: zeros(rank * inputs),
            db: zeros(outputs * rank),
            dx: zeros(n * inputs),
        };
        let (mut y, mut dbias) = (zeros(n * outputs), zeros(outputs));
        let base = Base { weights: layer.w.view().into(), bias: None };
        let adapter = lowrank::Adapter { a: layer.a.view(), b: layer.b.view(), bias: None, scale: self.scale.value() };
        fn mat_mut(data: &mut [f32], rows: usize, cols: usize) -> lowrank::MatMut<'_> {
            lowrank::MatMut::new(data, rows, cols).unwrap()
        }
        let outs = (mat_mut(&mut y, n, outputs), mat_mut(&mut slow.hs, n, rank));
        reference::forward(arithmetic, &base, &adapter, self.dropout(), layer.x.view(), outs).unwrap();
        let mut grads = Gradients {
            gs: mat_mut(&mut slow.gs, n, rank),
            a: mat_mut(&mut slow.da, rank, inputs),
            b: mat_mut(&mut slow.db, outputs, rank),
            bias: mat_mut(&mut dbias, 1, outputs),
            dx: mat_mut(&mut slow.dx, n, inputs),
        };
        let signals = Signals { x: layer.x.view(), dy: layer.dy.view(), hs: mat(&slow.hs, n, rank) };
        reference::backward(arithmetic, &base, &adapter, self.dropout(), signals, Accum::Replace, &mut grads).unwrap();
        slow
    }

    /// The clipping factor, or `None` where the step must be refused.
    fn factor(&self, arithmetic: Arithmetic, slow: &Slow, dead: bool, layer: &Layer) -> Option<f32> {
        let Shape { inputs, outputs, rank } = self.shape();
        let non_negative = |x: f32| (0.0..=f32::MAX).contains(&x);
        let max_norm = self.max_norm.map_or(0.0, Scalar::value);
        let fine = [self.learning_rate.value(), self.learning_rate.value() * self.b_rate.value(), max_norm].into_iter().all(non_negative);
        let finite = layer.dy.values().iter().all(|value| value.is_finite());
        if !fine || dead || !finite {
            return None;
        }
        if self.max_norm.is_none() || rank == 0 || self.scale.value() == 0.0 {
            return Some(1.0);
        }
        let of_a = if self.frozen_a { 0.0 } else { reference::square_sum(arithmetic, mat(&slow.da, rank, inputs)) };
        let total = of_a + reference::square_sum(arithmetic, mat(&slow.db, outputs, rank));
        total.is_finite().then(|| (max_norm / (total.sqrt() + 1e-6)).min(1.0))
    }

    /// As on the page of [`InPlace`].
    fn descend(&self, arithmetic: Arithmetic, slow: &Slow, layer: &Layer, factor: f32) -> (Vec<f32>, Vec<f32>) {
        let Shape { inputs, outputs, rank } = self.shape();
        let (mut a, mut b) = (layer.a.values(), layer.b.values());
        if rank == 0 || self.scale.value() == 0.0 {
            return (a, b);
        }
        let (x, dy, n) = (layer.x.view(), layer.dy.view(), self.tokens.0);
        let (eta, eta_b) = (self.learning_rate.value() * factor, self.learning_rate.value() * self.b_rate.value() * factor);
        for k in 0..rank {
            for (o, b) in (0..outputs).zip(b.iter_mut().skip(k).step_by(rank)) {
                *b = chain(arithmetic, *b, (0..n).map(|t| (dy.row(t)[o], -eta_b * slow.hs[t * rank + k])));
            }
            for i in (0..inputs).filter(|_| !self.frozen_a) {
                let products =
                    (0..n).map(|t| (-eta * slow.gs[t * rank + k], reference::dropped(self.dropout(), x, t, i)));
                a[k * inputs + i] = chain(arithmetic, a[k * inputs + i], products);
            }
        }
        (a, b)
    }
}
