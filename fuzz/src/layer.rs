//! Forward, backward and merge of one layer, on every backend, against [`lowrank::reference`], bit for bit.

use arbitrary::Arbitrary;
use lowrank::reference::{self, Gradients, Signals};
use lowrank::{
    Accum, Adapter, Arithmetic, Backend, Backprop, Base, Dropout, Error, Grads, Packed, Saved, Shape, backward,
    forward, merge, merge_finite,
};

use crate::backends;
use crate::data::{DropoutCase, Guarded, Maker, Numbers, Place, Scalar, UpTo, assert_equal, assert_same, is_valid};

#[derive(Debug, Arbitrary)]
enum Layout {
    Rows,
    /// One less than the width of the panels.
    Packed(UpTo<63>),
}

/// What the caller asks for.
#[derive(Debug, Arbitrary)]
struct Wishes {
    base_bias: bool,
    adapter_bias: bool,
    accumulate: bool,
    da: bool,
    dbias: bool,
    dx: bool,
}

/// One layer and its data.
#[derive(Debug, Arbitrary)]
pub struct Case {
    inputs: UpTo<40>,
    outputs: UpTo<40>,
    rank: UpTo<20>,
    tokens: UpTo<40>,
    spare_tokens: UpTo<2>,
    layout: Layout,
    scale: Scalar,
    dropout: Option<DropoutCase>,
    wishes: Wishes,
    places: [Place; 16],
    numbers: Numbers,
}

/// The layer's inputs.
struct Layer {
    shape: Shape,
    tokens: usize,
    w: Guarded,
    packed: Guarded,
    bias: Guarded,
    a: Guarded,
    b: Guarded,
    own_bias: Guarded,
    x: Guarded,
    dy: Guarded,
    dropout: Option<Dropout>,
}

/// The layer's outputs.
#[derive(Clone)]
struct Outputs {
    y: Guarded,
    hs: Guarded,
    da: Guarded,
    db: Guarded,
    dbias: Guarded,
    dx: Guarded,
    merged: Guarded,
}

impl Case {
    /// Panics where a backend and the specification differ.
    pub fn check(self) {
        let shape = Shape::new(self.inputs.0, self.outputs.0, self.rank.0);
        let mut maker = Maker::new(self.numbers.clone(), &self.places);
        let layer = self.layer(shape, &mut maker);
        let outputs = Outputs {
            y: maker.matrix(layer.tokens, shape.outputs),
            hs: maker.matrix(layer.tokens, shape.rank),
            da: maker.matrix(shape.rank, shape.inputs),
            db: maker.matrix(shape.outputs, shape.rank),
            dbias: maker.matrix(1, shape.outputs),
            dx: maker.matrix(layer.tokens, shape.inputs),
            merged: maker.matrix(shape.outputs, shape.inputs),
        };
        let memory_len = Saved::training_len(shape, layer.tokens + self.spare_tokens.0).unwrap();
        let memory = maker.matrix(1, memory_len);

        for arithmetic in Arithmetic::ALL {
            let mut expected = outputs.clone();
            let result = self.specify(arithmetic, &layer, &mut expected);
            for backend in backends(arithmetic) {
                self.check_backend(backend, &layer, memory.clone(), (&outputs, &expected), &result);
                self.check_merge(backend, &layer, outputs.merged.clone(), &expected.merged, &result);
            }
        }
        layer.assert_untouched();
    }

    fn layer(&self, shape: Shape, maker: &mut Maker) -> Layer {
        let Shape { inputs, outputs, rank } = shape;
        let w = maker.matrix(outputs, inputs);
        let mut packed = maker.matrix(1, outputs * inputs);
        if let Layout::Packed(width) = self.layout {
            pack_as_documented(&w.values(), shape, width.0 + 1, packed.slice_mut());
        }
        Layer {
            shape,
            tokens: self.tokens.0,
            w,
            packed,
            bias: maker.matrix(1, outputs),
            a: maker.matrix(rank, inputs),
            b: maker.matrix(outputs, rank),
            own_bias: maker.matrix(1, outputs),
            x: maker.matrix(self.tokens.0, inputs),
            dy: maker.matrix(self.tokens.0, outputs),
            dropout: self.dropout.as_ref().map(DropoutCase::value),
        }
    }

    fn base<'a>(&self, layer: &'a Layer) -> Base<'a> {
        let Shape { inputs, outputs, .. } = layer.shape;
        let weights = match self.layout {
            Layout::Rows => layer.w.view().into(),
            Layout::Packed(width) => Packed::new(layer.packed.slice(), outputs, inputs, width.0 + 1).unwrap().into(),
        };
        Base { weights, bias: self.wishes.base_bias.then(|| layer.bias.view()) }
    }

    fn adapter<'a>(&self, layer: &'a Layer) -> Adapter<'a> {
        Adapter {
            a: layer.a.view(),
            b: layer.b.view(),
            bias: self.wishes.adapter_bias.then(|| layer.own_bias.view()),
            scale: self.scale.value(),
        }
    }

    fn accum(&self) -> Accum {
        if self.wishes.accumulate { Accum::Add } else { Accum::Replace }
    }

    /// Fills `out` by the executable specification, with the weights as rows: the layout must not matter.
    fn specify(&self, arithmetic: Arithmetic, layer: &Layer, out: &mut Outputs) -> Result<(), Error> {
        let base = Base { weights: layer.w.view().into(), bias: self.wishes.base_bias.then(|| layer.bias.view()) };
        let adapter = self.adapter(layer);
        let (x, dy) = (layer.x.view(), layer.dy.view());
        // What is invalid never gets into a layer.
        let dropout = layer.dropout.filter(is_valid);
        reference::forward(arithmetic, &base, &adapter, dropout, x, (out.y.view_mut(), out.hs.view_mut()))?;
        reference::merge(arithmetic, &base, &adapter, out.merged.view_mut())?;
        let hs = out.hs.clone();
        let mut gs = hs.clone();
        let mut grads = Gradients {
            gs: gs.view_mut(),
            a: out.da.view_mut(),
            b: out.db.view_mut(),
            bias: out.dbias.view_mut(),
            dx: out.dx.view_mut(),
        };
        let signals = Signals { x, dy, hs: hs.view() };
        reference::backward(arithmetic, &base, &adapter, dropout, signals, self.accum(), &mut grads)
    }

    fn check_backend(
        &self,
        backend: Backend,
        layer: &Layer,
        mut memory: Guarded,
        (old, expected): (&Outputs, &Outputs),
        specified: &Result<(), Error>,
    ) {
        let mut out = old.clone();
        let (base, adapter) = (self.base(layer), self.adapter(layer));
        let mut saved = Saved::training(memory.slice_mut(), layer.shape, layer.tokens + self.spare_tokens.0).unwrap();
        let accepted = saved.set_dropout(layer.dropout).is_ok();
        assert_eq!(accepted, layer.dropout.as_ref().is_none_or(is_valid));

        let result = forward(backend, &base, &adapter, layer.x.view(), out.y.view_mut(), &mut saved);
        assert_equal(&result, specified, &format!("forward on {backend:?}"));
        if result.is_err() {
            return out.y.assert_untouched("Y after an error");
        }
        assert_same(&format!("Y on {backend:?}"), &expected.y.values(), &out.y.values());
        if !layer.is_absent(adapter.scale) {
            let hs: Vec<f32> = (0..layer.tokens).flat_map(|t| saved.hs().row(t).to_vec()).collect();
            assert_same(&format!("hs on {backend:?}"), &expected.hs.values(), &hs);
        }

        let flow = Backprop {
            x: (self.wishes.da).then(|| layer.x.view()),
            dy: layer.dy.view(),
            dx: self.wishes.dx.then(|| out.dx.view_mut()),
        };
        let mut grads = Grads {
            a: self.wishes.da.then(|| out.da.view_mut()),
            b: out.db.view_mut(),
            bias: self.wishes.dbias.then(|| out.dbias.view_mut()),
            accum: self.accum(),
        };
        let result = backward(backend, &base, &adapter, flow, &mut saved, &mut grads);
        let dead = layer.is_dead(adapter.scale);
        assert_eq!(result, if dead { Err(Error::DeadAdapter) } else { Ok(()) }, "backward on {backend:?}");
        for (name, wanted, expected, got) in [
            ("dA", self.wishes.da, &expected.da, &out.da),
            ("dB", true, &expected.db, &out.db),
            ("db", self.wishes.dbias, &expected.dbias, &out.dbias),
            ("dX", self.wishes.dx, &expected.dx, &out.dx),
        ] {
            let name = format!("{name} on {backend:?}");
            if wanted && !dead {
                assert_same(&name, &expected.values(), &got.values());
                got.assert_guarded(&name);
            } else {
                got.assert_untouched(&name);
            }
        }
        out.y.assert_guarded("Y");
        memory.assert_guarded("saved");
    }

    fn check_merge(
        &self,
        backend: Backend,
        layer: &Layer,
        mut merged: Guarded,
        expected: &Guarded,
        specified: &Result<(), Error>,
    ) {
        let (base, adapter) = (self.base(layer), self.adapter(layer));
        let mut only_finite = merged.clone();
        let result = merge(backend, &base, &adapter, merged.view_mut());
        assert_equal(&result, specified, &format!("merge on {backend:?}"));
        if result.is_ok() {
            assert_same(&format!("merge on {backend:?}"), &expected.values(), &merged.values());
            merged.assert_guarded("merge");
        } else {
            merged.assert_untouched("merge after an error");
        }

        let finite = |values: Vec<f32>| values.iter().all(|value| value.is_finite());
        let may = specified.is_ok()
            && finite(expected.values())
            && (layer.is_absent(adapter.scale) || finite(layer.a.values()) && finite(layer.b.values()));
        let result = merge_finite(backend, &base, &adapter, only_finite.view_mut());
        assert_eq!(result.is_ok(), may, "merge_finite on {backend:?}: {result:?}");
        if may {
            assert_same(&format!("merge_finite on {backend:?}"), &expected.values(), &only_finite.values());
            only_finite.assert_guarded("merge_finite");
        } else {
            only_finite.assert_untouched("merge_finite after an error");
        }
    }
}

impl Layer {
    /// Rank 0 or a scale of ±0.
    fn is_absent(&self, scale: f32) -> bool {
        self.shape.rank == 0 || scale == 0.0
    }

    fn is_dead(&self, scale: f32) -> bool {
        let zero = |values: Vec<f32>| values.iter().all(|&value| value == 0.0);
        !self.is_absent(scale) && zero(self.a.values()) && zero(self.b.values())
    }

    fn assert_untouched(&self) {
        for (name, matrix) in [
            ("W", &self.w),
            ("b", &self.bias),
            ("A", &self.a),
            ("B", &self.b),
            ("the adapter's bias", &self.own_bias),
            ("X", &self.x),
            ("dY", &self.dy),
        ] {
            matrix.assert_untouched(name);
        }
        self.packed.assert_guarded("packed W");
    }
}

/// The formula on the page of `lowrank::weight`, element by element.
fn pack_as_documented(w: &[f32], shape: Shape, width: usize, packed: &mut [f32]) {
    let Shape { inputs, outputs, .. } = shape;
    for o in 0..outputs {
        let first = o - o % width;
        let lanes = width.min(outputs - first);
        for i in 0..inputs {
            packed[inputs * first + i * lanes + o % width] = w[o * inputs + i];
        }
    }
}
