//! One adapted layer with its memory, and the operations on it.

use std::fmt;

use lowrank::train::{AdamW, Optimizer, Sgd, State, Trained};
use lowrank::{
    Accum, Adapter, AdapterMut, Backend, Backprop, Base, Error, Grads, MatMut, MatRef, Saved, Shape, backward, forward,
    merge, pack,
};

/// So slow that the numbers stay ordinary, however often a step is repeated. [`Sgd`] is run at the same rate.
pub const ADAMW: AdamW = AdamW { learning_rate: 1e-12, ..AdamW::DEFAULT };

/// How the frozen weights rest in memory.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Layout {
    /// Row-major.
    Rows,
    /// In panels, as wide as the backend likes them.
    Packed,
}

impl Layout {
    /// Both.
    pub const ALL: [Layout; 2] = [Layout::Rows, Layout::Packed];
}

/// What is timed.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Operation {
    /// `Y = X·Wᵀ + b` alone: a forward pass with rank 0.
    Base(Layout),
    /// The two products of rank `r` that training `B` alone takes, `dY·B` and `dYᵀ·hs`.
    Thin,
    /// A forward pass.
    Forward(Layout),
    /// A backward pass with all gradients.
    Backward(Layout),
    /// A merge.
    Merge(Layout),
    /// A step of plain SGD for `A` and `B`.
    Sgd,
    /// A step of AdamW for `A` and `B`.
    AdamW,
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, layout) = match self {
            Operation::Base(layout) => ("base", Some(layout)),
            Operation::Thin => ("thin", None),
            Operation::Forward(layout) => ("forward", Some(layout)),
            Operation::Backward(layout) => ("backward", Some(layout)),
            Operation::Merge(layout) => ("merge", Some(layout)),
            Operation::Sgd => ("sgd", None),
            Operation::AdamW => ("adamw", None),
        };
        match layout {
            None => f.pad(name),
            Some(Layout::Rows) => f.pad(&format!("{name} rows")),
            Some(Layout::Packed) => f.pad(&format!("{name} packed")),
        }
    }
}

/// How much an operation has to do at least.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Work {
    /// Multiplications and additions; in AdamW, divisions and roots too.
    pub flops: u64,
    /// Bytes of the matrices that are read or written, each counted once.
    pub bytes: u64,
}

/// A layer of a certain size on a certain backend, with data in every buffer.
#[derive(Clone, Debug)]
pub struct Workload {
    backend: Backend,
    shape: Shape,
    tokens: usize,
    w: Vec<f32>,
    packed: Vec<f32>,
    bias: Vec<f32>,
    a: Vec<f32>,
    b: Vec<f32>,
    x: Vec<f32>,
    dy: Vec<f32>,
}

/// Numbers in [-1, 1) that do not repeat soon.
fn numbers(len: usize) -> Vec<f32> {
    let mut state = 0x2545_f491_u32;
    let next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / 8_388_608.0 - 1.0
    };
    std::iter::repeat_with(next).take(len).collect()
}

impl Workload {
    /// # Errors
    /// None that a caller could cause.
    pub fn new(backend: Backend, shape: Shape, tokens: usize) -> Result<Self, Error> {
        let Shape { inputs, outputs, rank } = shape;
        let w = numbers(outputs * inputs);
        let mut packed = vec![0.0; w.len()];
        pack(backend, MatRef::new(&w, outputs, inputs)?, &mut packed)?;
        Ok(Self {
            backend,
            shape,
            tokens,
            w,
            packed,
            bias: numbers(outputs),
            a: numbers(rank * inputs),
            b: numbers(outputs * rank),
            x: numbers(tokens * inputs),
            dy: numbers(tokens * outputs),
        })
    }

    /// The work that `operation` is.
    pub fn work(&self, operation: Operation) -> Work {
        let Shape { inputs, outputs, rank } = self.shape;
        let n = self.tokens;
        let (w, x, y) = (outputs * inputs, n * inputs, n * outputs);
        let adapter = rank * (inputs + outputs);
        let (flops, numbers) = match operation {
            Operation::Base(_) => (2 * n * w, w + x + y),
            Operation::Thin => (4 * y * rank, y + 2 * outputs * rank + 2 * n * rank),
            Operation::Forward(_) => (2 * n * (w + adapter), w + adapter + x + y),
            Operation::Backward(_) => (2 * n * (w + 2 * adapter), w + 2 * (adapter + x) + y),
            Operation::Merge(_) => (2 * w * rank, 2 * w + adapter),
            // p is read and written, g is read; so are two moments.
            Operation::Sgd => (2 * adapter, 3 * adapter),
            Operation::AdamW => (14 * adapter, 7 * adapter),
        };
        Work { flops: flops as u64, bytes: 4 * numbers as u64 }
    }

    pub(crate) fn base(&self, layout: Layout) -> Result<Base<'_>, Error> {
        let (outputs, inputs) = (self.shape.outputs, self.shape.inputs);
        let weights = match layout {
            Layout::Rows => MatRef::new(&self.w, outputs, inputs)?.into(),
            Layout::Packed => {
                let width = self.backend.panel_width();
                lowrank::Packed::new(&self.packed, outputs, inputs, width)?.into()
            }
        };
        Ok(Base { weights, bias: Some(MatRef::from_row(&self.bias)) })
    }

    pub(crate) fn adapter(&self) -> Result<Adapter<'_>, Error> {
        let Shape { inputs, outputs, rank } = self.shape;
        let (a, b) = (MatRef::new(&self.a, rank, inputs)?, MatRef::new(&self.b, outputs, rank)?);
        Ok(Adapter { a, b, bias: None, scale: 0.5 })
    }

    /// Prepares `operation` once and hands it to `timer`, which may run it any number of times.
    ///
    /// # Errors
    /// None that a caller could cause.
    pub fn prepare<T>(&self, operation: Operation, timer: impl FnOnce(&mut dyn FnMut()) -> T) -> Result<T, Error> {
        match operation {
            Operation::Base(layout) => {
                let without = Self { shape: Shape { rank: 0, ..self.shape }, a: vec![], b: vec![], ..self.clone() };
                without.time_forward(layout, timer)
            }
            Operation::Forward(layout) => self.time_forward(layout, timer),
            Operation::Thin => self.time_backward(Layout::Rows, false, timer),
            Operation::Backward(layout) => self.time_backward(layout, true, timer),
            Operation::Merge(layout) => self.time_merge(layout, timer),
            Operation::Sgd => self.time_step(Optimizer::Sgd, timer),
            Operation::AdamW => self.time_step(Optimizer::AdamW, timer),
        }
    }

    fn time_forward<T>(&self, layout: Layout, timer: impl FnOnce(&mut dyn FnMut()) -> T) -> Result<T, Error> {
        let (base, adapter, x) = (self.base(layout)?, self.adapter()?, self.x()?);
        let mut memory = vec![0.0; self.shape.rank * self.tokens];
        let mut saved = Saved::inference(&mut memory, self.shape, self.tokens)?;
        let mut y = vec![0.0; self.dy.len()];
        let mut y = MatMut::new(&mut y, self.tokens, self.shape.outputs)?;
        Ok(timer(&mut || assert!(forward(self.backend, &base, &adapter, x, y.reborrow(), &mut saved).is_ok())))
    }

    pub(crate) fn x(&self) -> Result<MatRef<'_>, Error> {
        MatRef::new(&self.x, self.tokens, self.shape.inputs)
    }

    pub(crate) fn dy(&self) -> Result<MatRef<'_>, Error> {
        MatRef::new(&self.dy, self.tokens, self.shape.outputs)
    }

    pub(crate) const fn backend(&self) -> Backend {
        self.backend
    }

    /// Everything, or what training `B` alone takes.
    fn time_backward<T>(
        &self,
        layout: Layout,
        everything: bool,
        timer: impl FnOnce(&mut dyn FnMut()) -> T,
    ) -> Result<T, Error> {
        let Shape { inputs, outputs, rank } = self.shape;
        let (base, adapter, x) = (self.base(layout)?, self.adapter()?, self.x()?);
        let dy = self.dy()?;
        let mut memory = vec![0.0; 2 * rank * self.tokens];
        let mut saved = Saved::training(&mut memory, self.shape, self.tokens)?;
        let (mut y, mut dx) = (vec![0.0; self.dy.len()], vec![0.0; self.x.len()]);
        forward(self.backend, &base, &adapter, x, MatMut::new(&mut y, self.tokens, outputs)?, &mut saved)?;

        let mut dx = MatMut::new(&mut dx, self.tokens, inputs)?;
        let (mut da, mut db, mut dbias) = (self.a.clone(), self.b.clone(), self.bias.clone());
        let mut grads = Grads {
            a: if everything { Some(MatMut::new(&mut da, rank, inputs)?) } else { None },
            b: MatMut::new(&mut db, outputs, rank)?,
            bias: if everything { Some(MatMut::new(&mut dbias, 1, outputs)?) } else { None },
            accum: Accum::Replace,
        };
        Ok(timer(&mut || {
            let flow = Backprop { x: everything.then_some(x), dy, dx: everything.then(|| dx.reborrow()) };
            assert!(backward(self.backend, &base, &adapter, flow, &mut saved, &mut grads).is_ok());
        }))
    }

    fn time_merge<T>(&self, layout: Layout, timer: impl FnOnce(&mut dyn FnMut()) -> T) -> Result<T, Error> {
        let (base, adapter) = (self.base(layout)?, self.adapter()?);
        let mut merged = vec![0.0; self.w.len()];
        let mut merged = MatMut::new(&mut merged, self.shape.outputs, self.shape.inputs)?;
        Ok(timer(&mut || assert!(merge(self.backend, &base, &adapter, merged.reborrow()).is_ok())))
    }

    fn time_step<T>(&self, optimizer: Optimizer, timer: impl FnOnce(&mut dyn FnMut()) -> T) -> Result<T, Error> {
        let Shape { inputs, outputs, rank } = self.shape;
        let (mut a, mut b) = (self.a.clone(), self.b.clone());
        let (a, b) = (MatMut::new(&mut a, rank, inputs)?, MatMut::new(&mut b, outputs, rank)?);
        let mut adapter = AdapterMut { a, b, bias: None, scale: 0.5 };
        let (mut da, mut db) = (self.a.clone(), self.b.clone());
        let (da, db) = (Some(MatMut::new(&mut da, rank, inputs)?), MatMut::new(&mut db, outputs, rank)?);
        let grads = Grads { a: da, b: db, bias: None, accum: Accum::Replace };
        let mut memory = vec![0.0; optimizer.moments() * self.shape.adapter_parameters()];
        let mut state = State::new(&mut memory, self.shape, optimizer, Trained::DEFAULT)?;
        let (sgd, adamw) = (Sgd { learning_rate: ADAMW.learning_rate, ..Sgd::DEFAULT }, ADAMW);
        Ok(timer(&mut || {
            let done = match optimizer {
                Optimizer::AdamW => adamw.step(self.backend, &mut adapter, &grads, &mut state),
                _ => sgd.step(self.backend, &mut adapter, &grads, &mut state),
            };
            assert!(done.is_ok());
        }))
    }
}
