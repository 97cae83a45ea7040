//! A layer with every operand and every output in a memory of its own, placed as a test likes it.

use std::ops::DerefMut;

use lowrank::{
    Accum, Adapter, Backend, Backprop, Base, Error, Grads, Packed, Saved, Shape, backward, forward, merge,
    merge_finite, pack,
};

use super::placed::Placed;
use super::{Layer, Outputs};

/// How the frozen weights lie.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Layout {
    Rows,
    /// Panels of so many outputs.
    Packed(usize),
}

/// Packed weights as the documentation of the layout says, element by element.
pub(crate) fn pack_by_hand(w: &[f32], outputs: usize, inputs: usize, width: usize) -> Vec<f32> {
    let mut packed = vec![f32::NAN; w.len()];
    for o in 0..outputs {
        let (lane, panel) = (o % width, o - o % width);
        for i in 0..inputs {
            packed[inputs * panel + i * width.min(outputs - panel) + lane] = w[o * inputs + i];
        }
    }
    packed
}

/// What a pass over a stage may choose. None of it but `accum` changes a bit of the results.
#[derive(Copy, Clone, Debug)]
pub(crate) struct How {
    pub(crate) backend: Backend,
    pub(crate) layout: Layout,
    pub(crate) accum: Accum,
    /// The bias comes with the adapter; the base has one too, of NaN.
    pub(crate) trained_bias: bool,
}

struct Operands<M> {
    w: Placed<M>,
    packed: Placed<M>,
    bias: Option<Placed<M>>,
    decoy: Placed<M>,
    a: Placed<M>,
    b: Placed<M>,
    scale: f32,
    x: Placed<M>,
    dy: Placed<M>,
}

struct Results<M> {
    saved: Placed<M>,
    y: Placed<M>,
    da: Placed<M>,
    db: Placed<M>,
    dbias: Placed<M>,
    dx: Placed<M>,
    merged: Placed<M>,
}

/// A placed layer. The memory of `Saved`, of the packed weights and of the merged ones starts as NaN.
pub(crate) struct Stage<'l, M> {
    layer: &'l Layer,
    operands: Operands<M>,
    results: Results<M>,
    hs: Vec<f32>,
}

impl<M: DerefMut<Target = [f32]>> Operands<M> {
    fn base(&self, how: How) -> Base<'_> {
        let w = self.w.view();
        let weights = match how.layout {
            Layout::Rows => w.into(),
            Layout::Packed(width) => Packed::new(self.packed.slice(), w.rows(), w.cols(), width).unwrap().into(),
        };
        let decoy = (how.trained_bias && self.bias.is_some()).then_some(&self.decoy);
        let bias = decoy.or(self.bias.as_ref());
        Base { weights, bias: bias.map(Placed::view) }
    }

    fn adapter(&self, how: How) -> Adapter<'_> {
        let bias = if how.trained_bias { self.bias.as_ref() } else { None };
        Adapter { a: self.a.view(), b: self.b.view(), bias: bias.map(Placed::view), scale: self.scale }
    }
}

impl<'l, M: DerefMut<Target = [f32]>> Stage<'l, M> {
    pub(crate) fn new(
        layer: &'l Layer,
        old: &Outputs,
        mut place: impl FnMut(&[f32], usize, usize) -> Placed<M>,
    ) -> Self {
        let Shape { inputs, outputs, rank } = layer.shape;
        let n = layer.tokens;
        let saved = Saved::training_len(layer.shape, n).unwrap();
        let nan = vec![f32::NAN; saved.max(outputs * inputs).max(outputs)];
        Self {
            layer,
            operands: Operands {
                w: place(&layer.w, outputs, inputs),
                packed: place(&nan[..outputs * inputs], 1, outputs * inputs),
                bias: layer.bias.as_ref().map(|bias| place(bias, 1, outputs)),
                decoy: place(&nan[..outputs], 1, outputs),
                a: place(&layer.a, rank, inputs),
                b: place(&layer.b, outputs, rank),
                scale: layer.scale,
                x: place(&layer.x, n, inputs),
                dy: place(&layer.dy, n, outputs),
            },
            results: Results {
                saved: place(&nan[..saved], 1, saved),
                y: place(&old.y, n, outputs),
                da: place(&old.da, rank, inputs),
                db: place(&old.db, outputs, rank),
                dbias: place(&old.dbias, 1, outputs),
                dx: place(&old.dx, n, inputs),
                merged: place(&nan[..outputs * inputs], outputs, inputs),
            },
            hs: old.hs.clone(),
        }
    }

    /// Packs the weights if that is wanted: by `pack` where the width is the backend's own, else by hand.
    pub(crate) fn pack(&mut self, how: How) -> &[f32] {
        let (w, packed) = (self.operands.w.view(), &mut self.operands.packed);
        match how.layout {
            Layout::Rows => {}
            Layout::Packed(width) if width == how.backend.panel_width() => {
                pack(how.backend, w, packed.slice_mut()).unwrap();
            }
            Layout::Packed(width) => {
                packed.slice_mut().copy_from_slice(&pack_by_hand(&self.layer.w, w.rows(), w.cols(), width));
            }
        }
        packed.slice()
    }

    /// Forward and backward. A dead adapter is an error of the backward pass: then only the forward pass has happened.
    pub(crate) fn train(&mut self, how: How) -> Result<(), Error> {
        let (base, adapter) = (self.operands.base(how), self.operands.adapter(how));
        let (x, results) = (self.operands.x.view(), &mut self.results);
        let mut saved = Saved::training(results.saved.slice_mut(), self.layer.shape, x.rows())?;
        saved.set_dropout(self.layer.dropout)?;
        forward(how.backend, &base, &adapter, x, results.y.view_mut(), &mut saved)?;
        if self.layer.shape.rank > 0 && adapter.scale != 0.0 {
            self.hs = (0..x.rows()).flat_map(|t| saved.hs().row(t).to_vec()).collect();
        }
        let flow = Backprop { x: Some(x), dy: self.operands.dy.view(), dx: Some(results.dx.view_mut()) };
        let mut grads = Grads {
            a: Some(results.da.view_mut()),
            b: results.db.view_mut(),
            bias: Some(results.dbias.view_mut()),
            accum: how.accum,
        };
        backward(how.backend, &base, &adapter, flow, &mut saved, &mut grads)
    }

    pub(crate) fn merge(&mut self, how: How) -> Result<(), Error> {
        let (base, adapter) = (self.operands.base(how), self.operands.adapter(how));
        merge(how.backend, &base, &adapter, self.results.merged.view_mut())
    }

    pub(crate) fn merge_finite(&mut self, how: How) -> Result<(), Error> {
        let (base, adapter) = (self.operands.base(how), self.operands.adapter(how));
        merge_finite(how.backend, &base, &adapter, self.results.merged.view_mut())
    }

    pub(crate) fn outputs(&self) -> Outputs {
        let Results { y, da, db, dbias, dx, .. } = &self.results;
        Outputs {
            y: y.values(),
            hs: self.hs.clone(),
            da: da.values(),
            db: db.values(),
            dbias: dbias.values(),
            dx: dx.values(),
        }
    }

    pub(crate) fn merged(&self) -> Vec<f32> {
        self.results.merged.values()
    }

    /// Whether nothing was written outside any matrix.
    pub(crate) fn is_intact(&self) -> bool {
        let Operands { w, packed, bias, decoy, a, b, x, dy, .. } = &self.operands;
        let Results { saved, y, da, db, dbias, dx, merged } = &self.results;
        let all = [w, packed, decoy, a, b, x, dy, saved, y, da, db, dbias, dx, merged];
        all.into_iter().chain(bias).all(Placed::is_intact)
    }
}
