//! The cases of the golden hashes. Without heap and `std`: firmware computes the same hashes as the host.
//!
//! Whoever includes this file has the modules `data` and `golden` side by side.

use core::fmt;

use lowrank::train::{AdamW, Decay, InPlace, MeanLoss, Optimizer, Rng as Words, Schedule, Sgd, clip, init};
use lowrank::{
    Accum, Adapter, AdapterMut, Arithmetic, Backend, Backprop, Base, Dropout, Error, Grads, MatMut, MatRef, Plan,
    Saved, Scale, Shape, backward, forward, merge, pack,
};

use super::data::{Data, Rng};

/// Inputs, outputs, rank, tokens.
pub(crate) type Size = (usize, usize, usize, usize);

/// Of the layers.
pub(crate) const SIZES: [Size; 12] = [
    (1, 1, 1, 1),
    (3, 5, 2, 4),
    (12, 20, 0, 3),
    (8, 8, 8, 8),
    (16, 16, 4, 1),
    (17, 33, 5, 7),
    (48, 64, 8, 2),
    (64, 48, 4, 5),
    (100, 7, 3, 9),
    (7, 100, 16, 2),
    (31, 29, 17, 13),
    (300, 12, 2, 18),
];

/// Elements of memory that the cases of any size take.
pub(crate) const MEMORY: usize = {
    let (mut most, mut at) = (0, 0);
    while at < SIZES.len() {
        let (inputs, outputs, rank, n) = SIZES[at];
        let (shape, weights, signals) = (Shape::new(inputs, outputs, rank), inputs * outputs, n * (inputs + outputs));
        let layer = weights + outputs + shape.adapter_parameters() + signals;
        let results = layer + 2 * n * rank + 2 * weights;
        let training = Plan::training(shape, n, Optimizer::AdamW).len() + n * outputs;
        if layer + results + training > most {
            most = layer + results + training;
        }
        at += 1;
    }
    most
};

/// What a hash is of. Prints as `operation arithmetic size`.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Key {
    operation: &'static str,
    arithmetic: Option<Arithmetic>,
    layer: Option<(Size, Data)>,
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} ", self.operation, self.arithmetic.map_or("-", Arithmetic::name))?;
        match self.layer {
            None => f.write_str("-"),
            Some(((inputs, outputs, rank, tokens), data)) => {
                write!(f, "{inputs}x{outputs}r{rank}n{tokens}")?;
                f.write_str(if data == Data::Hostile { "-hostile" } else { "" })
            }
        }
    }
}

/// FNV-1a over the bits. A NaN counts as one, whatever its sign and payload.
pub(crate) fn hash<'a>(parts: impl IntoIterator<Item = &'a [f32]>) -> u64 {
    let canonical = |value: &f32| if value.is_nan() { 0x7fc0_0000 } else { value.to_bits() };
    let bytes = parts.into_iter().flatten().flat_map(|value| canonical(value).to_le_bytes());
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

/// Hands each hash to its reader.
struct Hashes<'r> {
    key: Key,
    read: &'r mut dyn FnMut(Key, u64),
}

impl Hashes<'_> {
    fn add<'a>(&mut self, operation: &'static str, parts: impl IntoIterator<Item = &'a [f32]>) {
        (self.read)(Key { operation, ..self.key }, hash(parts));
    }
}

/// A buffer from which pieces are cut.
struct Memory<'m>(&'m mut [f32]);

impl<'m> Memory<'m> {
    fn zeros(&mut self, len: usize) -> &'m mut [f32] {
        let (piece, rest) = core::mem::take(&mut self.0).split_at_mut(len);
        self.0 = rest;
        piece.fill(0.0);
        piece
    }

    fn random(&mut self, data: Data, rng: &mut Rng, len: usize) -> &'m mut [f32] {
        let piece = self.zeros(len);
        piece.fill_with(|| data.value(rng));
        piece
    }

    /// The memory that is left, to be cut once more later.
    fn again(&mut self) -> Memory<'_> {
        Memory(self.0)
    }
}

/// A layer with all of its inputs.
struct Layer<'m> {
    shape: Shape,
    tokens: usize,
    w: &'m [f32],
    bias: Option<&'m [f32]>,
    a: &'m [f32],
    b: &'m [f32],
    scale: f32,
    x: &'m [f32],
    dy: &'m [f32],
}

/// All outputs of a forward and a backward pass.
struct Outputs<'m> {
    y: &'m mut [f32],
    hs: &'m mut [f32],
    da: &'m mut [f32],
    db: &'m mut [f32],
    dbias: &'m mut [f32],
    dx: &'m mut [f32],
}

fn mat(data: &[f32], rows: usize, cols: usize) -> MatRef<'_> {
    MatRef::new(data, rows, cols).unwrap()
}

fn mat_mut(data: &mut [f32], rows: usize, cols: usize) -> MatMut<'_> {
    MatMut::new(data, rows, cols).unwrap()
}

impl<'m> Layer<'m> {
    fn new((inputs, outputs, rank, tokens): Size, data: Data, memory: &mut Memory<'m>) -> Self {
        let rng = &mut Rng(7 + inputs as u64 * 1000 + outputs as u64);
        let mut random = |rng: &mut Rng, len| &*memory.random(data, rng, len);
        Self {
            shape: Shape::new(inputs, outputs, rank),
            tokens,
            w: random(rng, outputs * inputs),
            bias: (rng.below(4) > 0).then(|| random(rng, outputs)),
            a: random(rng, rank * inputs),
            b: random(rng, outputs * rank),
            scale: Scale::RankStabilized(3.0).factor(rank),
            x: random(rng, tokens * inputs),
            dy: random(rng, tokens * outputs),
        }
    }

    fn weights(&self) -> MatRef<'_> {
        mat(self.w, self.shape.outputs, self.shape.inputs)
    }

    fn base(&self) -> Base<'_> {
        Base { weights: self.weights().into(), bias: self.bias.map(MatRef::from_row) }
    }

    fn adapter(&self) -> Adapter<'_> {
        let Shape { inputs, outputs, rank } = self.shape;
        Adapter { a: mat(self.a, rank, inputs), b: mat(self.b, outputs, rank), bias: None, scale: self.scale }
    }

    /// Buffers for the outputs with something in them, so that accumulating and replacing differ.
    fn old_outputs<'o>(&self, memory: &mut Memory<'o>) -> Outputs<'o> {
        let (rng, n, Shape { inputs, outputs, rank }) = (&mut Rng(2), self.tokens, self.shape);
        let mut random = |len| memory.random(Data::Finite, rng, len);
        let (y, da, db) = (random(n * outputs), random(rank * inputs), random(outputs * rank));
        let (dbias, dx) = (random(outputs), random(n * inputs));
        Outputs { y, hs: memory.zeros(n * rank), da, db, dbias, dx }
    }

    fn run<'o>(
        &self,
        backend: Backend,
        base: &Base<'_>,
        (accum, dropout): (Accum, Option<Dropout>),
        mut memory: Memory<'o>,
    ) -> Outputs<'o> {
        let (n, Shape { inputs, outputs, rank }) = (self.tokens, self.shape);
        let Outputs { y, hs, da, db, dbias, dx } = self.old_outputs(&mut memory);
        let room = memory.zeros(Saved::training_len(self.shape, n).unwrap());
        let mut saved = Saved::training(room, self.shape, n).unwrap();
        saved.set_dropout(dropout).unwrap();
        let x = mat(self.x, n, inputs);
        forward(backend, base, &self.adapter(), x, mat_mut(y, n, outputs), &mut saved).unwrap();
        for (t, to) in hs.chunks_exact_mut(rank.max(1)).enumerate() {
            to.copy_from_slice(saved.hs().row(t));
        }
        let flow = Backprop { x: Some(x), dy: mat(self.dy, n, outputs), dx: Some(mat_mut(dx, n, inputs)) };
        let mut grads = Grads {
            a: Some(mat_mut(da, rank, inputs)),
            b: mat_mut(db, outputs, rank),
            bias: Some(mat_mut(dbias, 1, outputs)),
            accum,
        };
        backward(backend, base, &self.adapter(), flow, &mut saved, &mut grads).unwrap();
        Outputs { y, hs, da, db, dbias, dx }
    }
}

fn passes(hashes: &mut Hashes<'_>, backend: Backend, layer: &Layer<'_>, mut memory: Memory<'_>) {
    let mut base = layer.base();
    if layer.tokens.is_multiple_of(2) {
        base.weights = pack(backend, layer.weights(), memory.zeros(layer.w.len())).unwrap().into();
    }
    let out = layer.run(backend, &base, (Accum::Replace, None), memory.again());
    hashes.add("y", [&*out.y]);
    hashes.add("hs", [&*out.hs]);
    hashes.add("da", [&*out.da]);
    hashes.add("db", [&*out.db]);
    hashes.add("dbias", [&*out.dbias]);
    hashes.add("dx", [&*out.dx]);
    let out = layer.run(backend, &base, (Accum::Add, None), memory.again());
    hashes.add("accumulated", [&*out.da, out.db, out.dbias]);
    let dropout = Dropout { probability: 0.2, seed: 0x1234_5678_9abc, step: 3, layer_number: 1, first_token: 77 };
    let out = layer.run(backend, &base, (Accum::Replace, Some(dropout)), memory.again());
    hashes.add("dropout-forward", [&*out.y, out.hs]);
    hashes.add("dropout-backward", [&*out.da, out.db, out.dx]);
    inference(hashes, backend, layer, &base, memory);
}

fn inference(hashes: &mut Hashes<'_>, backend: Backend, layer: &Layer<'_>, base: &Base<'_>, mut memory: Memory<'_>) {
    let (n, Shape { inputs, outputs, rank }) = (layer.tokens, layer.shape);
    let bias = layer.old_outputs(&mut memory).dbias;
    let adapter = Adapter { bias: Some(mat(bias, 1, outputs)), ..layer.adapter() };
    let (y, merged) = (memory.zeros(n * outputs), memory.zeros(layer.w.len()));
    let mut saved = Saved::inference(memory.zeros(n * rank), layer.shape, n).unwrap();
    forward(backend, base, &adapter, mat(layer.x, n, inputs), mat_mut(y, n, outputs), &mut saved).unwrap();
    hashes.add("trained-bias", [&*y]);
    merge(backend, base, &layer.adapter(), mat_mut(merged, outputs, inputs)).unwrap();
    hashes.add("merge", [&*merged]);
}

/// An optimizer, and how it takes a step.
enum Step {
    Sgd(Sgd),
    AdamW(AdamW),
    InPlace(InPlace),
}

/// Four steps on one batch, in the memory of a plan. Adapter, gradients and state count; what is saved between the passes is
/// nobody's business.
fn training(hashes: &mut Hashes<'_>, backend: Backend, layer: &Layer<'_>, mut memory: Memory<'_>) {
    let momentum = Sgd { learning_rate: 0.1, momentum: 0.9, nesterov: true, weight_decay: 0.01, ..Sgd::DEFAULT };
    let runs = [
        ("sgd", Optimizer::Sgd, Step::Sgd(Sgd { learning_rate: 0.1, ..Sgd::DEFAULT })),
        ("sgd-momentum", Optimizer::Momentum, Step::Sgd(momentum)),
        ("adamw", Optimizer::AdamW, Step::AdamW(AdamW { learning_rate: 0.05, b_rate: 4.0, ..AdamW::DEFAULT })),
        ("in-place", Optimizer::InPlace, Step::InPlace(InPlace { learning_rate: 0.1, ..InPlace::DEFAULT })),
        ("in-place-clip", Optimizer::InPlace, Step::InPlace(InPlace { max_norm: Some(0.5), ..InPlace::DEFAULT })),
    ];
    for (name, optimizer, step) in runs {
        let plan = Plan::training(layer.shape, layer.tokens, optimizer);
        let mut memory = memory.again();
        let (arena, y) = (memory.zeros(plan.len()), memory.zeros(layer.tokens * layer.shape.outputs));
        train(backend, layer, &plan, &step, (arena, y));
        let [adapter, grads, state] = [plan.adapter_len(), plan.grads_len(), plan.state_len()].map(Option::unwrap);
        hashes.add(name, [&arena[..adapter + grads], &arena[arena.len() - state..], y]);
    }
}

fn train(backend: Backend, layer: &Layer<'_>, plan: &Plan, step: &Step, (arena, y): (&mut [f32], &mut [f32])) {
    let (n, Shape { inputs, outputs, .. }) = (layer.tokens, layer.shape);
    let (base, x) = (layer.base(), mat(layer.x, n, inputs));
    let mut work = plan.split(arena).unwrap();
    work.adapter.scale = layer.scale;
    init::kaiming_uniform(&mut work.adapter, 99, 3).unwrap();
    for _ in 0..4 {
        forward(backend, &base, &work.adapter.as_ref(), x, mat_mut(y, n, outputs), &mut work.saved).unwrap();
        let flow = Backprop { x: Some(x), dy: mat(layer.dy, n, outputs), dx: None };
        if let Step::InPlace(in_place) = step {
            in_place.step(backend, &base, &mut work.adapter, flow, &mut work.saved).unwrap();
            continue;
        }
        backward(backend, &base, &work.adapter.as_ref(), flow, &mut work.saved, &mut work.grads).unwrap();
        clip::global_norm(backend, &mut [&mut work.grads], 2.0).unwrap();
        match step {
            Step::Sgd(sgd) => sgd.step(backend, &mut work.adapter, &work.grads, &mut work.state).unwrap(),
            Step::AdamW(adamw) => adamw.step(backend, &mut work.adapter, &work.grads, &mut work.state).unwrap(),
            Step::InPlace(_) => {}
        }
    }
}

/// The hashes of one size on one backend.
pub(crate) fn of_size(backend: Backend, size: Size, memory: &mut [f32], read: &mut dyn FnMut(Key, u64)) {
    let key = Key { operation: "", arithmetic: Some(backend.arithmetic()), layer: Some((size, Data::Finite)) };
    let mut hashes = Hashes { key, read };
    let mut left = Memory(memory);
    let layer = Layer::new(size, Data::Finite, &mut left);
    passes(&mut hashes, backend, &layer, left.again());
    training(&mut hashes, backend, &layer, left.again());
    // Packing knows no arithmetic.
    hashes.key.arithmetic = None;
    let packed = left.zeros(layer.w.len());
    pack(backend, layer.weights(), packed).unwrap();
    hashes.add(pack_name(backend.panel_width()), [&*packed]);

    hashes.key = Key { layer: Some((size, Data::Hostile)), ..key };
    let mut left = Memory(memory);
    let layer = Layer::new(size, Data::Hostile, &mut left);
    // A dead adapter is refused by the backward pass.
    if layer.adapter().check_alive().is_ok() {
        passes(&mut hashes, backend, &layer, left);
    }
}

/// The hashes of what has neither backend nor arithmetic.
pub(crate) fn of_numbers(memory: &mut [f32], read: &mut dyn FnMut(Key, u64)) {
    let mut hashes = Hashes { key: Key { operation: "", arithmetic: None, layer: None }, read };
    for (size, data) in SIZES.into_iter().zip([Data::Finite, Data::Hostile].into_iter().cycle()) {
        let mut left = Memory(memory);
        let layer = Layer::new(size, Data::Finite, &mut left);
        hashes.key.layer = Some((size, Data::Finite));
        for width in [8, 12, 16, 48] {
            hashes.add(pack_name(width), [&*panels(&layer, width, left.again())]);
        }
        initialisation(&mut hashes, &layer, left.again());
        losses(&mut hashes, &layer, data, left);
    }
    hashes.key.layer = None;
    for (name, decay) in [("constant", Decay::Constant), ("linear", Decay::Linear), ("cosine", Decay::Cosine)] {
        let schedule = Schedule { warmup: 13, total: 400, decay };
        hashes.add(name, [&*each(memory, 500, |step| schedule.factor(step as u32))]);
    }
    let words = Words { seed: u64::MAX / 3, stream: 5, step: 6 };
    hashes.add("uniform", [&*each(memory, 1000, |at| words.uniform(at as u64))]);
    hashes.add("normal", [&*each(memory, 1000, |at| words.normal(at as u64))]);
    let order = each(memory, 1000, |at| at as f32);
    words.shuffle(order);
    hashes.add("shuffle", [&*order]);
}

fn each(memory: &mut [f32], count: usize, value: impl Fn(usize) -> f32) -> &mut [f32] {
    let values = &mut memory[..count];
    values.iter_mut().enumerate().for_each(|(at, to)| *to = value(at));
    values
}

fn pack_name(width: usize) -> &'static str {
    let names = [(8, "pack-8"), (12, "pack-12"), (16, "pack-16"), (48, "pack-48")];
    names.into_iter().find(|(known, _)| *known == width).expect("a width of panels that has golden hashes").1
}

/// The layout of packed weights by its documentation.
fn panels<'o>(layer: &Layer<'_>, width: usize, mut memory: Memory<'o>) -> &'o mut [f32] {
    let (packed, Shape { inputs, outputs, .. }) = (memory.zeros(layer.w.len()), layer.shape);
    for o in 0..outputs {
        for i in 0..inputs {
            let first = o - o % width;
            packed[inputs * first + i * width.min(outputs - first) + o % width] = layer.w[o * inputs + i];
        }
    }
    packed
}

fn initialisation(hashes: &mut Hashes<'_>, layer: &Layer<'_>, mut memory: Memory<'_>) {
    type Initialise = fn(&mut AdapterMut<'_>, u64, u32) -> Result<(), Error>;
    let Shape { inputs, outputs, rank } = layer.shape;
    let (a, b) = (memory.zeros(layer.a.len()), memory.zeros(layer.b.len()));
    let both: [(&str, Initialise); 2] = [("kaiming", init::kaiming_uniform), ("gaussian", init::gaussian)];
    for (name, initialise) in both {
        a.copy_from_slice(layer.a);
        b.copy_from_slice(layer.b);
        let (a_view, b_view) = (mat_mut(a, rank, inputs), mat_mut(b, outputs, rank));
        initialise(&mut AdapterMut { a: a_view, b: b_view, bias: None, scale: 1.0 }, 42, 7).unwrap();
        hashes.add(name, [&*a, b]);
    }
}

fn losses(hashes: &mut Hashes<'_>, layer: &Layer<'_>, data: Data, mut memory: Memory<'_>) {
    let (n, outputs) = (layer.tokens, layer.shape.outputs);
    let rng = &mut Rng(n as u64);
    let logits = memory.random(data, rng, n * outputs);
    logits.iter_mut().for_each(|z| *z = z.clamp(-30.0, 30.0) * 4.0);
    let mut labels = [0; 32];
    let labels = &mut labels[..n];
    labels.fill_with(|| rng.below(outputs) as u32);
    let (mut loss, grad) = (MeanLoss::over(n + 1), memory.zeros(n * outputs));
    let (y, targets) = (mat(logits, n, outputs), mat(layer.dy, n, outputs));
    loss.softmax_cross_entropy(y, labels, mat_mut(grad, n, outputs)).unwrap();
    hashes.add("cross-entropy", [&*grad, &[loss.value()]]);
    let mut loss = MeanLoss::over(n + 1);
    loss.mean_squared_error(y, targets, mat_mut(grad, n, outputs)).unwrap();
    hashes.add("squared-error", [&*grad, &[loss.value()]]);
}
