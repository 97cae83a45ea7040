//! One layer of lowrank as a WebAssembly module without glue code: the side of lowrank in `bench.mjs`.
//!
//! [`create`] takes all memory; no later call takes any. The operations return 0, or 1 when lowrank returned an error.
//! JavaScript reads the matrices, and never writes to them: the borrows here stay true.

use lowrank::train::{AdamW, Optimizer, State, Trained};
use lowrank::{
    Accum, Adapter, AdapterMut, Argument, Arithmetic, Backend, Backprop, Base, Error, Grads, MatMut, MatRef, Saved,
    Shape, Weights, backward, forward, pack,
};

#[path = "../../src/memory.rs"]
pub mod memory;
use memory::Buffer;

/// `bench.mjs` has the same two.
const SCALE: f32 = 2.0;
const ADAMW: AdamW = AdamW::DEFAULT;

/// A layer with numbers in [-1, 1), and everything that the steps of its training need.
pub struct Layer {
    backend: Backend,
    rows: MatRef<'static>,
    base: Base<'static>,
    adapter: AdapterMut<'static>,
    x: MatRef<'static>,
    dy: MatRef<'static>,
    y: MatMut<'static>,
    inner: &'static mut [f32],
    dx: MatMut<'static>,
    saved: Saved<'static>,
    grads: Grads<'static>,
    state: State<'static>,
}

/// `rows · cols` numbers; `part` says where in the sequence they start.
fn numbers(rows: usize, cols: usize, part: u32) -> &'static mut [f32] {
    keep(Buffer::numbers(rows * cols, part << 26))
}

fn zeros(len: usize) -> &'static mut [f32] {
    keep(Buffer::zeros(len))
}

fn keep(buffer: Buffer) -> &'static mut [f32] {
    &mut *Box::leak(Box::new(buffer))
}

impl Layer {
    fn new(shape: Shape, tokens: usize) -> Result<Self, Error> {
        let Shape { inputs, outputs, rank } = shape;
        let backend = backend();
        let rows = MatRef::new(numbers(outputs, inputs, 0), outputs, inputs)?;
        let weights = Weights::from(pack(backend, rows, zeros(outputs * inputs))?);
        let numbers_of = |rows, cols, part| MatMut::new(numbers(rows, cols, part), rows, cols);
        let zeros_of = |rows, cols| MatMut::new(zeros(rows * cols), rows, cols);
        let saved = Saved::training_len(shape, tokens).ok_or(Error::Overflow { argument: Argument::Saved })?;
        let (optimizer, trained) = (Optimizer::AdamW, Trained::DEFAULT);
        let state = State::len(shape, optimizer, trained).ok_or(Error::Overflow { argument: Argument::State })?;
        Ok(Self {
            backend,
            rows,
            base: Base { weights, bias: Some(MatRef::from_row(numbers(1, outputs, 1))) },
            adapter: AdapterMut {
                a: numbers_of(rank, inputs, 2)?,
                b: numbers_of(outputs, rank, 3)?,
                bias: None,
                scale: SCALE,
            },
            x: MatRef::new(numbers(tokens, inputs, 4), tokens, inputs)?,
            dy: MatRef::new(numbers(tokens, outputs, 5), tokens, outputs)?,
            y: zeros_of(tokens, outputs)?,
            inner: zeros(tokens * outputs),
            dx: zeros_of(tokens, inputs)?,
            saved: Saved::training(zeros(saved), shape, tokens)?,
            grads: Grads {
                a: Some(zeros_of(rank, inputs)?),
                b: zeros_of(outputs, rank)?,
                bias: None,
                accum: Accum::Replace,
            },
            state: State::new(zeros(state), shape, optimizer, trained)?,
        })
    }

    /// `Y = X·Wᵀ`: a forward pass with rank 0.
    fn product(&mut self, packed: bool, bias: bool) -> Result<(), Error> {
        let (inputs, outputs) = (self.rows.cols(), self.rows.rows());
        let weights = if packed { self.base.weights } else { self.rows.into() };
        let base = Base { weights, bias: self.base.bias.filter(|_| bias) };
        let (a, b) = (MatRef::new(&[], 0, inputs)?, MatRef::new(&[], outputs, 0)?);
        let adapter = Adapter { a, b, bias: None, scale: SCALE };
        let mut saved = Saved::inference(&mut [], Shape::new(inputs, outputs, 0), self.x.rows())?;
        forward(self.backend, &base, &adapter, self.x, self.y.reborrow(), &mut saved)
    }

    /// `h = X·Aᵀ` as a forward pass computes it: that of a layer without outputs, whose `A` is this layer's `W`.
    fn inner(&mut self) -> Result<(), Error> {
        let (inputs, rank, tokens) = (self.rows.cols(), self.rows.rows(), self.x.rows());
        let base = Base { weights: MatRef::new(&[], 0, inputs)?.into(), bias: None };
        let adapter = Adapter { a: self.rows, b: MatRef::new(&[], 0, rank)?, bias: None, scale: 1.0 };
        let mut saved = Saved::inference(self.inner, Shape::new(inputs, 0, rank), tokens)?;
        forward(self.backend, &base, &adapter, self.x, MatMut::new(&mut [], tokens, 0)?, &mut saved)
    }

    fn forward(&mut self) -> Result<(), Error> {
        forward(self.backend, &self.base, &self.adapter.as_ref(), self.x, self.y.reborrow(), &mut self.saved)
    }

    fn step(&mut self) -> Result<(), Error> {
        self.forward()?;
        let flow = Backprop { x: Some(self.x), dy: self.dy, dx: Some(self.dx.reborrow()) };
        backward(self.backend, &self.base, &self.adapter.as_ref(), flow, &mut self.saved, &mut self.grads)?;
        ADAMW.step(self.backend, &mut self.adapter, &self.grads, &mut self.state)
    }
}

fn backend() -> Backend {
    Backend::detect().with(Arithmetic::Separate)
}

/// Width of the panels of packed weights.
#[unsafe(no_mangle)]
pub extern "C" fn panel_width() -> usize {
    backend().panel_width()
}

/// The name of the backend, as ASCII.
#[unsafe(no_mangle)]
pub extern "C" fn name() -> *const u8 {
    backend().name().as_ptr()
}

/// Length of [`name`].
#[unsafe(no_mangle)]
pub extern "C" fn name_len() -> usize {
    backend().name().len()
}

/// A layer that lives as long as the module; null where the sizes are wrong.
#[unsafe(no_mangle)]
pub extern "C" fn create(outputs: usize, inputs: usize, rank: usize, tokens: usize) -> Option<Box<Layer>> {
    Layer::new(Shape::new(inputs, outputs, rank), tokens).ok().map(Box::new)
}

/// Where a matrix lies. `MATRICES` in `ours.mjs` has the same order.
#[unsafe(no_mangle)]
pub extern "C" fn matrix(layer: &Layer, which: usize) -> *const f32 {
    let (adapter, grads) = (layer.adapter.as_ref(), &layer.grads);
    let rows = [
        layer.rows.row(0),
        layer.base.bias.map_or(&[], |bias| bias.row(0)),
        adapter.a.row(0),
        adapter.b.row(0),
        layer.x.row(0),
        layer.dy.row(0),
        layer.y.row(0),
        &*layer.inner,
        layer.dx.row(0),
        grads.a.as_ref().map_or(&[], |a| a.row(0)),
        grads.b.row(0),
    ];
    rows.get(which).map_or(core::ptr::null(), |row| row.as_ptr())
}

/// `Y = X·Wᵀ`, without the adapter: with `W` packed or as rows, from the bias or from 0.
#[unsafe(no_mangle)]
pub extern "C" fn product(layer: &mut Layer, packed: bool, bias: bool) -> u32 {
    layer.product(packed, bias).is_err().into()
}

/// `h = X·Wᵀ` as a forward pass computes it from an `A`.
#[unsafe(no_mangle)]
pub extern "C" fn inner(layer: &mut Layer) -> u32 {
    layer.inner().is_err().into()
}

/// The forward pass with the adapter.
#[unsafe(no_mangle)]
pub extern "C" fn forward_pass(layer: &mut Layer) -> u32 {
    layer.forward().is_err().into()
}

/// Forward and backward pass with `dX`, and AdamW.
#[unsafe(no_mangle)]
pub extern "C" fn step(layer: &mut Layer) -> u32 {
    layer.step().is_err().into()
}

/// Forgets every result.
#[unsafe(no_mangle)]
pub extern "C" fn clear(layer: &mut Layer) {
    layer.inner.fill(f32::NAN);
    let grads = layer.grads.a.iter_mut().chain([&mut layer.grads.b]);
    for matrix in [&mut layer.y, &mut layer.dx].into_iter().chain(grads) {
        (0..matrix.rows()).for_each(|i| matrix.row_mut(i).fill(f32::NAN));
    }
}
