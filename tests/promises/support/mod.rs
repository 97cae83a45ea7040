//! What the promises share: which backends must run, how counts are printed, data, and a layer on owned buffers.

pub(crate) mod bytes;
pub(crate) mod data;
pub(crate) mod errors;
pub(crate) mod files;
#[cfg(any(target_arch = "x86", target_arch = "x86_64", target_arch = "aarch64"))]
pub(crate) mod flags;
pub(crate) mod golden;
pub(crate) mod layers;
pub(crate) mod nor;
pub(crate) mod oracle;
pub(crate) mod placed;
pub(crate) mod random;
pub(crate) mod saved;
pub(crate) mod stage;
pub(crate) mod tolerances;

use std::fmt::Display;

use lowrank::{
    Accum, Adapter, Arithmetic, Backend, Backprop, Base, Dropout, Error, Grads, MatMut, MatRef, Saved, Shape, backward,
    forward, pack, reference,
};

pub(crate) use data::{Data, Rng};

/// Every backend of this machine in both arithmetics.
///
/// `LOWRANK_EXPECT=scalar,avx2` names the backends that have to be among them: one that is missing fails the test. A
/// skipped backend is not a passed one.
pub(crate) fn backends() -> Vec<Backend> {
    let all: Vec<_> = Backend::available().collect();
    if let Ok(expected) = std::env::var("LOWRANK_EXPECT") {
        for name in expected.split(',').filter(|name| !name.is_empty()) {
            assert!(all.iter().any(|b| b.name() == name), "backend {name} was expected, but only {all:?} can run");
        }
    }
    assert!(!all.is_empty());
    all
}

/// Lanes of a backend's vectors.
pub(crate) fn lanes(backend: Backend) -> usize {
    match backend.name() {
        "scalar" => 1,
        "neon" | "simd128" => 4,
        "avx2" => 8,
        "avx512" => 16,
        other => panic!("how many lanes has {other}?"),
    }
}

/// Whether the whole of a test is asked for (`LOWRANK_FULL=1`) or the part that suits `cargo test`.
pub(crate) fn full() -> bool {
    std::env::var_os("LOWRANK_FULL").is_some()
}

/// Prints what was done for a promise, and fails when that was less than promised.
pub(crate) fn report(promise: &str, who: impl Display, count: u64, what: &str, at_least: u64) {
    println!("promise {promise} {who}: {count} {what}");
    assert!(count >= at_least, "promise {promise} {who}: {count} {what}, but at least {at_least} are promised");
}

impl Data {
    pub(crate) fn fill(self, rng: &mut Rng, len: usize) -> Vec<f32> {
        (0..len).map(|_| self.value(rng)).collect()
    }
}

/// Equality of bits, where NaN equals NaN: sign and payload of a NaN are not part of the contract.
pub(crate) fn same(a: f32, b: f32) -> bool {
    a.to_bits() == b.to_bits() || (a.is_nan() && b.is_nan())
}

/// Index of the first difference.
pub(crate) fn first_difference(a: &[f32], b: &[f32]) -> Option<usize> {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).position(|(&a, &b)| !same(a, b))
}

pub(crate) fn mat(data: &[f32], rows: usize, cols: usize) -> MatRef<'_> {
    MatRef::new(data, rows, cols).unwrap()
}

pub(crate) fn mat_mut(data: &mut [f32], rows: usize, cols: usize) -> MatMut<'_> {
    MatMut::new(data, rows, cols).unwrap()
}

/// A layer with all of its inputs, on owned dense buffers.
#[derive(Clone, Debug)]
pub(crate) struct Layer {
    pub(crate) shape: Shape,
    pub(crate) tokens: usize,
    pub(crate) w: Vec<f32>,
    pub(crate) bias: Option<Vec<f32>>,
    pub(crate) a: Vec<f32>,
    pub(crate) b: Vec<f32>,
    pub(crate) scale: f32,
    pub(crate) x: Vec<f32>,
    pub(crate) dy: Vec<f32>,
    pub(crate) dropout: Option<Dropout>,
}

/// All outputs of a forward and a backward pass.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Outputs {
    pub(crate) y: Vec<f32>,
    pub(crate) hs: Vec<f32>,
    pub(crate) da: Vec<f32>,
    pub(crate) db: Vec<f32>,
    pub(crate) dbias: Vec<f32>,
    pub(crate) dx: Vec<f32>,
}

impl Outputs {
    /// The name and index of the first element that differs.
    pub(crate) fn difference(&self, other: &Outputs) -> Option<(&'static str, usize)> {
        let pairs = [
            ("Y", &self.y, &other.y),
            ("hs", &self.hs, &other.hs),
            ("dA", &self.da, &other.da),
            ("dB", &self.db, &other.db),
            ("db", &self.dbias, &other.dbias),
            ("dX", &self.dx, &other.dx),
        ];
        pairs.into_iter().find_map(|(name, a, b)| Some((name, first_difference(a, b)?)))
    }

    /// Elements that a comparison looks at.
    pub(crate) fn len(&self) -> usize {
        self.y.len() + self.hs.len() + self.da.len() + self.db.len() + self.dbias.len() + self.dx.len()
    }
}

impl Layer {
    pub(crate) fn new(shape: Shape, tokens: usize, data: Data, seed: u64) -> Self {
        let rng = &mut Rng(seed);
        let Shape { inputs, outputs, rank } = shape;
        Self {
            shape,
            tokens,
            w: data.fill(rng, outputs * inputs),
            bias: (rng.below(4) > 0).then(|| data.fill(rng, outputs)),
            a: data.fill(rng, rank * inputs),
            b: data.fill(rng, outputs * rank),
            scale: if data == Data::Integers { 2.0 } else { 0.75 },
            x: data.fill(rng, tokens * inputs),
            dy: data.fill(rng, tokens * outputs),
            dropout: None,
        }
    }

    pub(crate) fn base(&self) -> Base<'_> {
        Base {
            weights: mat(&self.w, self.shape.outputs, self.shape.inputs).into(),
            bias: self.bias.as_deref().map(MatRef::from_row),
        }
    }

    /// The base with packed weights, in a buffer that the caller keeps.
    pub(crate) fn packed<'a>(&'a self, backend: Backend, buffer: &'a mut Vec<f32>) -> Base<'a> {
        *buffer = vec![f32::NAN; self.w.len()];
        let weights = pack(backend, mat(&self.w, self.shape.outputs, self.shape.inputs), buffer).unwrap().into();
        Base { weights, bias: self.bias.as_deref().map(MatRef::from_row) }
    }

    pub(crate) fn adapter(&self) -> Adapter<'_> {
        let Shape { inputs, outputs, rank } = self.shape;
        Adapter { a: mat(&self.a, rank, inputs), b: mat(&self.b, outputs, rank), bias: None, scale: self.scale }
    }

    /// Whether the adapter is dead, which the backward pass refuses.
    pub(crate) fn is_dead(&self) -> bool {
        self.adapter().check_alive().is_err()
    }

    /// Buffers for the outputs with something in them, so that accumulating and replacing differ.
    pub(crate) fn old_outputs(&self, data: Data, seed: u64) -> Outputs {
        let rng = &mut Rng(seed);
        let Shape { inputs, outputs, rank } = self.shape;
        Outputs {
            y: data.fill(rng, self.tokens * outputs),
            hs: vec![0.0; self.tokens * rank],
            da: data.fill(rng, rank * inputs),
            db: data.fill(rng, outputs * rank),
            dbias: data.fill(rng, outputs),
            dx: data.fill(rng, self.tokens * inputs),
        }
    }

    /// Forward and backward on a backend.
    pub(crate) fn run(&self, backend: Backend, base: &Base<'_>, accum: Accum, out: &mut Outputs) -> Result<(), Error> {
        let Shape { inputs, outputs, rank } = self.shape;
        let n = self.tokens;
        let mut memory = vec![f32::NAN; Saved::training_len(self.shape, n).unwrap()];
        let mut saved = Saved::training(&mut memory, self.shape, n)?;
        saved.set_dropout(self.dropout)?;
        let x = mat(&self.x, n, inputs);
        forward(backend, base, &self.adapter(), x, mat_mut(&mut out.y, n, outputs), &mut saved)?;
        if !(rank == 0 || self.scale == 0.0) {
            for t in 0..n {
                out.hs[t * rank..][..rank].copy_from_slice(saved.hs().row(t));
            }
        }
        let flow = Backprop { x: Some(x), dy: mat(&self.dy, n, outputs), dx: Some(mat_mut(&mut out.dx, n, inputs)) };
        let mut grads = Grads {
            a: Some(mat_mut(&mut out.da, rank, inputs)),
            b: mat_mut(&mut out.db, outputs, rank),
            bias: Some(mat_mut(&mut out.dbias, 1, outputs)),
            accum,
        };
        backward(backend, base, &self.adapter(), flow, &mut saved, &mut grads)
    }

    /// The same by the executable specification.
    pub(crate) fn specify(&self, arithmetic: Arithmetic, accum: Accum, out: &mut Outputs) {
        let Shape { inputs, outputs, rank } = self.shape;
        let n = self.tokens;
        let (base, adapter, x) = (self.base(), self.adapter(), mat(&self.x, n, inputs));
        let y = mat_mut(&mut out.y, n, outputs);
        reference::forward(arithmetic, &base, &adapter, self.dropout, x, (y, mat_mut(&mut out.hs, n, rank))).unwrap();
        let mut gs = vec![0.0; n * rank];
        let mut gradients = reference::Gradients {
            gs: mat_mut(&mut gs, n, rank),
            a: mat_mut(&mut out.da, rank, inputs),
            b: mat_mut(&mut out.db, outputs, rank),
            bias: mat_mut(&mut out.dbias, 1, outputs),
            dx: mat_mut(&mut out.dx, n, inputs),
        };
        let signals = reference::Signals { x, dy: mat(&self.dy, n, outputs), hs: mat(&out.hs, n, rank) };
        reference::backward(arithmetic, &base, &adapter, self.dropout, signals, accum, &mut gradients).unwrap();
    }
}
