//! Operations on arguments that do not fit each other: accepted exactly when they fit, and nothing written otherwise.

use arbitrary::Arbitrary;
use lowrank::{
    Accum, Adapter, Arithmetic, Backprop, Base, Error, Grads, Saved, Shape, backward, forward, merge, merge_finite,
};

use crate::backends;
use crate::data::{Guarded, Maker, Numbers, Place, UpTo};

/// Rows and columns; mostly what fits, as the fuzzer would hardly ever find it.
#[derive(Copy, Clone, Debug, Arbitrary)]
enum Size {
    Fits,
    AlsoFits,
    FitsToo,
    Is(UpTo<4>, UpTo<4>),
}

impl Size {
    fn or(self, fitting: (usize, usize)) -> (usize, usize) {
        match self {
            Size::Is(rows, cols) => (rows.0, cols.0),
            _ => fitting,
        }
    }
}

/// A layer whose arguments may have any shape.
#[derive(Debug, Arbitrary)]
pub struct Misfit {
    inputs: UpTo<4>,
    outputs: UpTo<4>,
    rank: UpTo<4>,
    tokens: UpTo<4>,
    sizes: [Size; 12],
    bias: bool,
    own_bias: bool,
    x: bool,
    forward_first: bool,
    for_training: bool,
    places: [Place; 12],
    numbers: Numbers,
}

impl Misfit {
    pub fn check(self) {
        let (inputs, outputs, rank, n) = (self.inputs.0, self.outputs.0, self.rank.0, self.tokens.0);
        // W, b, A, B, the adapter's bias, X, Y, dY, dX, dA, dB, db
        let right = [
            (outputs, inputs),
            (1, outputs),
            (rank, inputs),
            (outputs, rank),
            (1, outputs),
            (n, inputs),
            (n, outputs),
            (n, outputs),
            (n, inputs),
            (rank, inputs),
            (outputs, rank),
            (1, outputs),
        ];
        let mut maker = Maker::new(self.numbers.clone(), &self.places);
        let mut fits = [true; 12];
        let matrices: [Guarded; 12] = std::array::from_fn(|i| {
            let (rows, cols) = self.sizes[i].or(right[i]);
            fits[i] = (rows, cols) == right[i];
            maker.matrix(rows, cols)
        });
        for backend in backends(Arithmetic::Separate) {
            self.check_on(backend, &matrices, &fits);
        }
    }

    fn check_on(&self, backend: lowrank::Backend, matrices: &[Guarded; 12], fits: &[bool; 12]) {
        let [w, b, a, bb, own, x, mut y, dy, mut dx, mut da, mut db, mut dbias] = matrices.clone();
        let shape = Shape::new(self.inputs.0, self.outputs.0, self.rank.0);
        let base = Base { weights: w.view().into(), bias: self.bias.then(|| b.view()) };
        let bias = self.own_bias.then(|| own.view());
        let adapter = Adapter { a: a.view(), b: bb.view(), bias, scale: 1.0 };
        let layer_fits = fits[0] && fits[2] && fits[3] && (fits[1] || !self.bias) && (fits[4] || !self.own_bias);
        // Shapes may all be wrong and yet agree with each other; what they agree on is then not the shape of `saved`.
        let mut memory = vec![0.0; 2 * shape.rank * self.tokens.0];
        let mut saved = if self.for_training {
            Saved::training(&mut memory, shape, self.tokens.0)
        } else {
            Saved::inference(&mut memory[..shape.rank * self.tokens.0], shape, self.tokens.0)
        }
        .unwrap();

        let mut forward_done = false;
        if self.forward_first {
            let result = forward(backend, &base, &adapter, x.view(), y.view_mut(), &mut saved);
            forward_done = result.is_ok();
            let shorter = x.view().rows() < self.tokens.0
                && (x.view().rows(), self.inputs.0) == (y.view().rows(), x.view().cols())
                && y.view().cols() == self.outputs.0;
            assert_eq!(forward_done, layer_fits && (fits[5] && fits[6] || shorter), "forward: {result:?}");
            if result.is_err() {
                y.assert_untouched("Y");
            }
        }
        let flow = Backprop { x: self.x.then(|| x.view()), dy: dy.view(), dx: Some(dx.view_mut()) };
        let mut grads =
            Grads { a: Some(da.view_mut()), b: db.view_mut(), bias: Some(dbias.view_mut()), accum: Accum::Replace };
        let result = backward(backend, &base, &adapter, flow, &mut saved, &mut grads);
        if result.is_err() {
            for (name, matrix) in [("dX", &dx), ("dA", &da), ("dB", &db), ("db", &dbias)] {
                matrix.assert_untouched(name);
            }
        }
        let everything = layer_fits && fits[5..].iter().all(|&fits| fits) && self.x;
        let ready = forward_done && (self.for_training || x.view().rows() == 0);
        match result {
            Ok(()) => assert!(ready && layer_fits && self.x && fits[9..].iter().all(|&fits| fits)),
            Err(Error::DeadAdapter) => assert!(adapter.check_alive().is_err() && ready && layer_fits),
            Err(error) => assert!(!(everything && ready), "backward: {error}"),
        }
        self.check_merge(backend, &base, &adapter, matrices[0].clone(), layer_fits);
    }

    fn check_merge(
        &self,
        backend: lowrank::Backend,
        base: &Base<'_>,
        adapter: &Adapter<'_>,
        mut merged: Guarded,
        layer_fits: bool,
    ) {
        let result = merge(backend, base, adapter, merged.view_mut());
        assert!(result.is_ok() || !layer_fits, "{result:?}");
        if result.is_err() {
            merged.assert_untouched("merged");
            assert!(merge_finite(backend, base, adapter, merged.view_mut()).is_err());
            merged.assert_untouched("merged");
        }
    }
}
