//! A [`Layer`] gives the bits of the free functions on views, whatever it is made for: it and the parts of a plan go the same way, and
//! after each call all that can be seen of them is the same.

use std::ops::Range;

use crate::support::placed::{Placed, Placement};
use crate::support::random::for_all;
use crate::support::{Data, Layer as Inputs, backends, first_difference, full, mat, report};
use lowrank::train::{AdamW, InPlace, Optimizer, Sgd, Trained, clip, init};
use lowrank::{
    Accum, Backend, Backprop, Base, Dropout, Error, Layer, MatMut, MatRef, Plan, Saved, Scale, Shape, Work, backward,
    forward, merge,
};
use proptest::prelude::*;

/// An optimizer with its numbers.
#[derive(Copy, Clone, Debug)]
enum Rule {
    InPlace(InPlace),
    Sgd(Sgd),
    AdamW(AdamW),
}

const MOMENTUM: Sgd =
    Sgd { learning_rate: 0.1, b_rate: 2.0, momentum: 0.9, nesterov: true, weight_decay: 0.01, ..Sgd::DEFAULT };
const PLAIN: Sgd = Sgd { learning_rate: 0.1, b_rate: 4.0, ..Sgd::DEFAULT };

/// What the memory is planned for, and what steps: the last two need less than they have.
const RULES: [(Optimizer, Rule); 7] = [
    (Optimizer::InPlace, Rule::InPlace(InPlace { learning_rate: 0.1, b_rate: 3.0, max_norm: None })),
    (Optimizer::InPlace, Rule::InPlace(InPlace { learning_rate: 0.3, b_rate: 0.5, max_norm: Some(0.05) })),
    (Optimizer::Sgd, Rule::Sgd(PLAIN)),
    (Optimizer::Momentum, Rule::Sgd(MOMENTUM)),
    (Optimizer::AdamW, Rule::AdamW(AdamW { learning_rate: 0.05, b_rate: 4.0, ..AdamW::DEFAULT })),
    (Optimizer::Momentum, Rule::Sgd(PLAIN)),
    (Optimizer::AdamW, Rule::Sgd(MOMENTUM)),
];

const SCALES: [Scale; 5] =
    [Scale::Alpha(3.0), Scale::RankStabilized(2.0), Scale::Direct(-0.75), Scale::Direct(0.0), Scale::Direct(-0.0)];

/// Inputs, outputs, rank; tokens.
const SHAPES: [(Shape, usize); 11] = [
    (Shape::new(0, 3, 2), 2),
    (Shape::new(3, 0, 2), 2),
    (Shape::new(3, 4, 0), 2),
    (Shape::new(3, 4, 2), 0),
    (Shape::new(0, 0, 0), 0),
    (Shape::new(1, 1, 1), 1),
    (Shape::new(5, 1, 3), 4),
    (Shape::new(1, 6, 1), 3),
    (Shape::new(17, 33, 5), 7),
    (Shape::new(7, 19, 17), 1),
    (Shape::new(64, 64, 8), 3),
];

/// All that a caller can choose about a training.
#[derive(Copy, Clone, Debug)]
struct Options {
    optimizer: Optimizer,
    rule: Rule,
    scale: Scale,
    trained: Trained,
    packed: bool,
    base_bias: bool,
    dropout: bool,
    accumulates: bool,
    dx: bool,
    strided: bool,
    /// The adapter lies in the buffer before; otherwise it is a new one.
    adopted: bool,
}

impl Options {
    /// All combinations have a number below this one.
    const COUNT: usize = (RULES.len() * SCALES.len()) << 9;

    /// A number without common divisors with [`Self::COUNT`], so that some of the combinations have some of everything.
    const STRIDE: usize = 131;
    /// All of them took more than three minutes.
    const FULL_STRIDE: usize = 11;

    fn number(mut rest: usize) -> Self {
        let mut digit = |base| {
            let digit = rest % base;
            rest /= base;
            digit
        };
        let (optimizer, rule) = RULES[digit(RULES.len())];
        let scale = SCALES[digit(SCALES.len())];
        let mut flag = || digit(2) == 1;
        let in_place = optimizer == Optimizer::InPlace;
        let trained = Trained { a: flag(), bias: flag() && !in_place };
        let (packed, base_bias, dropout, accumulates) = (flag(), flag(), flag(), flag());
        let (dx, strided, adopted) = (flag(), flag(), flag());
        Self { optimizer, rule, scale, trained, packed, base_bias, dropout, accumulates, dx, strided, adopted }
    }

    fn plan(&self, shape: Shape, tokens: usize) -> Plan {
        Plan::training(shape, tokens, self.optimizer).with(self.trained)
    }

    fn place(&self, values: &[f32], rows: usize, cols: usize) -> Placed<Vec<f32>> {
        let strided = Placement { gap: 3, guard: 5, offset: 1 };
        Placed::new(values, rows, cols, if self.strided { strided } else { Placement::DENSE })
    }
}

const DROPOUT: Dropout = Dropout { probability: 0.3, seed: 7, step: 11, layer_number: 2, first_token: 5 };

/// What a layer is made on. The bias is there or not as the options say.
fn inputs(options: &Options, shape: Shape, tokens: usize, data: Data, seed: u64) -> Inputs {
    let mut inputs = Inputs::new(shape, tokens, data, seed);
    inputs.bias = options.base_bias.then(|| (0..shape.outputs).map(|o| 0.25 * o as f32 - 1.0).collect());
    inputs
}

fn base<'a>(inputs: &'a Inputs, options: &Options, backend: Backend, packed: &'a mut Vec<f32>) -> Base<'a> {
    if options.packed { inputs.packed(backend, packed) } else { inputs.base() }
}

fn values(matrix: MatRef<'_>) -> Vec<f32> {
    (0..matrix.rows()).flat_map(|i| matrix.row(i).to_vec()).collect()
}

/// The elements, where there is a matrix.
fn optional(matrix: Option<&MatMut<'_>>) -> Vec<f32> {
    matrix.map_or(Vec::new(), |matrix| values(matrix.as_ref()))
}

/// A layer, and the parts of its plan for the free functions.
struct Twins<'a> {
    backend: Backend,
    options: Options,
    inputs: &'a Inputs,
    base: Base<'a>,
    layer: Layer<'a>,
    work: Work<'a>,
    dropout: Option<Dropout>,
    /// Backward passes since the last step.
    passes: usize,
    count: u64,
}

impl<'a> Twins<'a> {
    fn new(
        backend: Backend,
        options: Options,
        inputs: &'a Inputs,
        base: Base<'a>,
        [one, other]: [&'a mut [f32]; 2],
    ) -> Self {
        let plan = options.plan(inputs.shape, inputs.tokens);
        let (mut layer, mut work) = (plan.layer(base, one).unwrap(), plan.split(other).unwrap());
        work.adapter.scale = options.scale.factor(inputs.shape.rank);
        if options.adopted {
            layer.adopt(options.scale).unwrap();
        } else {
            layer.init(options.scale, 42, 3).unwrap();
            init::kaiming_uniform(&mut work.adapter, 42, 3).unwrap();
            if let Some(bias) = &mut work.adapter.bias {
                let zeros = vec![0.0; inputs.shape.outputs];
                bias.row_mut(0).copy_from_slice(inputs.bias.as_deref().unwrap_or(&zeros));
            }
        }
        layer.set_accumulation(options.accumulates);
        let dropout = options.dropout.then_some(DROPOUT);
        layer.set_dropout(dropout).unwrap();
        work.saved.set_dropout(dropout).unwrap();
        Self { backend, options, inputs, base, layer, work, dropout, passes: 0, count: 0 }
    }

    fn equal(&mut self, what: &str, got: &[f32], expected: &[f32]) {
        assert_eq!(got.len(), expected.len(), "{what} {:?} {:?}", self.options, self.inputs.shape);
        if let Some(at) = first_difference(got, expected) {
            let (got, expected, of) = (got[at], expected[at], self.inputs.shape);
            panic!("{what}[{at}] is {got}, not {expected}: {:?} {of:?} {:?}", self.options, self.backend);
        }
        self.count += got.len() as u64;
    }

    fn placed_equal(&mut self, what: &str, got: &Placed<Vec<f32>>, expected: &Placed<Vec<f32>>) {
        self.equal(what, &got.values(), &expected.values());
        assert!(got.is_intact() && expected.is_intact(), "{what}: something was written beside it");
    }

    /// The rows of these tokens of `X` and of `dY`.
    fn signals(&self, tokens: &Range<usize>) -> [Placed<Vec<f32>>; 2] {
        let Inputs { x, dy, shape: Shape { inputs, outputs, .. }, .. } = self.inputs;
        [(x, *inputs), (dy, *outputs)]
            .map(|(all, cols)| self.options.place(&all[tokens.start * cols..tokens.end * cols], tokens.len(), cols))
    }

    fn forward(&mut self, tokens: &Range<usize>) {
        let ([x, _], outputs) = (self.signals(tokens), self.inputs.shape.outputs);
        let [mut y, mut expected] =
            [(); 2].map(|()| self.options.place(&vec![9.0; tokens.len() * outputs], tokens.len(), outputs));
        let ours = self.layer.forward(self.backend, x.view(), y.view_mut());
        let Work { adapter, saved, .. } = &mut self.work;
        let theirs = forward(self.backend, &self.base, &adapter.as_ref(), x.view(), expected.view_mut(), saved);
        assert_eq!((ours, theirs), (Ok(()), Ok(())));
        self.placed_equal("Y", &y, &expected);
    }

    /// A backward pass, or a step in place. `X` is not given where `A` is frozen.
    fn backward(&mut self, tokens: &Range<usize>) -> Result<(), Error> {
        let ([x, dy], inputs, frozen) = (self.signals(tokens), self.inputs.shape.inputs, !self.options.trained.a);
        let [mut dx, mut expected] =
            [(); 2].map(|()| self.options.place(&vec![9.0; tokens.len() * inputs], tokens.len(), inputs));
        let (backend, wanted, x) = (self.backend, self.options.dx, (!frozen).then(|| x.view()));
        let flow = Backprop { x, dy: dy.view(), dx: wanted.then(|| expected.view_mut()) };
        let (x, dx_wanted) = (x.unwrap_or(mat(&[], 0, 0)), wanted.then(|| dx.view_mut()));
        let Work { adapter, grads, saved, .. } = &mut self.work;
        let (ours, theirs) = if let Rule::InPlace(rule) = &self.options.rule {
            let theirs = rule.step(backend, &self.base, adapter, flow, saved);
            (self.layer.step_in_place(backend, rule, x, dy.view(), dx_wanted), theirs)
        } else {
            let adds = self.options.accumulates && self.passes > 0;
            grads.accum = if adds { Accum::Add } else { Accum::Replace };
            let theirs = backward(backend, &self.base, &adapter.as_ref(), flow, saved, grads);
            (self.layer.backward(backend, x, dy.view(), dx_wanted), theirs)
        };
        assert_eq!(ours, theirs, "{:?}", self.options);
        self.passes += usize::from(ours.is_ok());
        self.placed_equal("dX", &dx, &expected);
        ours
    }

    fn step(&mut self) -> Result<(), Error> {
        let (backend, Work { adapter, grads, state, .. }) = (self.backend, &mut self.work);
        let (ours, theirs) = match &self.options.rule {
            Rule::Sgd(rule) => (self.layer.step(backend, rule), rule.step(backend, adapter, grads, state)),
            Rule::AdamW(rule) => (self.layer.step(backend, rule), rule.step(backend, adapter, grads, state)),
            Rule::InPlace(_) => (Ok(()), Ok(())),
        };
        assert_eq!(ours, theirs, "{:?}", self.options);
        if ours.is_ok() {
            self.passes = 0;
        }
        ours
    }

    /// Each step has masks of its own.
    fn next_masks(&mut self) {
        self.dropout = self.dropout.map(|dropout| Dropout { step: dropout.step + 1, ..dropout });
        self.work.saved.set_dropout(self.dropout).unwrap();
        assert_eq!(self.layer.dropout(), self.dropout);
    }

    fn clip(&mut self) {
        if let Some((_, mut grads)) = self.layer.parts() {
            let ours = clip::global_norm(self.backend, &mut [&mut grads], 0.05);
            let theirs = clip::global_norm(self.backend, &mut [&mut self.work.grads], 0.05);
            assert_eq!(ours.map(f32::to_bits), theirs.map(f32::to_bits));
        }
    }

    /// What the first backward pass of a step replaces, in both.
    fn paint_gradients(&mut self) {
        let (_, ours) = self.layer.parts().unwrap();
        let theirs = &mut self.work.grads;
        let ours = [ours.a, Some(ours.b), ours.bias].into_iter().flatten();
        let theirs = [theirs.a.as_mut(), Some(&mut theirs.b), theirs.bias.as_mut()].into_iter().flatten();
        for mut matrix in ours.chain(theirs.map(MatMut::reborrow)) {
            (0..matrix.rows()).for_each(|i| matrix.row_mut(i).fill(7.0));
        }
    }

    /// Everything that can be seen between two calls.
    fn compare(&mut self) {
        let Work { adapter, grads, state, .. } = &self.work;
        let theirs = [values(adapter.a.as_ref()), values(adapter.b.as_ref()), optional(adapter.bias.as_ref())];
        let their_grads = [optional(grads.a.as_ref()), values(grads.b.as_ref()), optional(grads.bias.as_ref())];
        let moments = [&state.a, &state.b, &state.bias].map(|it| [&it.first, &it.second].map(|it| values(it.as_ref())));
        assert_eq!(self.layer.clock(), state.clock);
        let adapter = self.layer.adapter().unwrap();
        let ours = [values(adapter.a), values(adapter.b), adapter.bias.map_or(Vec::new(), values)];
        let our_moments = self.layer.moments().map(values);
        let state = self.layer.state_mut();
        let views = [&state.a, &state.b, &state.bias].map(|it| [&it.first, &it.second].map(|it| values(it.as_ref())));
        let (_, grads) = self.layer.parts().unwrap();
        let our_grads = [optional(grads.a.as_ref()), values(grads.b.as_ref()), optional(grads.bias.as_ref())];
        for (name, (ours, theirs)) in ["A", "B", "bias"].into_iter().zip(ours.iter().zip(&theirs)) {
            self.equal(name, ours, theirs);
        }
        for (name, (ours, theirs)) in ["dA", "dB", "db"].into_iter().zip(our_grads.iter().zip(&their_grads)) {
            self.equal(name, ours, theirs);
        }
        for (ours, (view, theirs)) in our_moments.iter().zip(views.iter().flatten().zip(moments.iter().flatten())) {
            self.equal("moments", ours, theirs);
            self.equal("state", view, theirs);
        }
    }

    fn merge(&mut self) {
        let Shape { inputs, outputs, .. } = self.inputs.shape;
        let [mut ours, mut theirs] =
            [(); 2].map(|()| self.options.place(&vec![9.0; outputs * inputs], outputs, inputs));
        let adapter = self.work.adapter.as_ref();
        merge(self.backend, &self.base, &adapter, theirs.view_mut()).unwrap();
        self.layer.merge(self.backend, ours.view_mut()).unwrap();
        self.placed_equal("merged", &ours, &theirs);
    }

    /// Three steps, each on a batch and a shorter one, the later ones with a batch that goes back twice and with clipping. A dead
    /// adapter ends it.
    fn train(&mut self) {
        let tokens = self.inputs.tokens;
        for step in 0..3 {
            self.paint_gradients();
            for batch in [0..tokens, tokens / 2..tokens] {
                self.forward(&batch);
                let in_place = self.options.optimizer == Optimizer::InPlace;
                for _ in 0..if step == 1 && !in_place { 2 } else { 1 } {
                    let done = self.backward(&batch);
                    if done == Err(Error::DeadAdapter) {
                        return;
                    }
                    self.compare();
                    if in_place && done.is_ok() {
                        self.next_masks();
                    }
                }
            }
            if step == 2 {
                self.clip();
            }
            if self.options.optimizer != Optimizer::InPlace && self.step().is_ok() {
                self.next_masks();
            }
            self.compare();
        }
        self.merge();
    }
}

/// Elements that were compared.
fn trains_alike(backend: Backend, options: Options, (shape, tokens): (Shape, usize), data: Data, seed: u64) -> u64 {
    let inputs = inputs(&options, shape, tokens, data, seed);
    let plan = options.plan(shape, tokens);
    let (mut one, mut packed) = (vec![f32::NAN; plan.len()], Vec::new());
    let bias = vec![0.5; shape.outputs];
    let adapter = inputs.a.iter().chain(&inputs.b).chain(&bias);
    one[..plan.adapter_len().unwrap()].iter_mut().zip(adapter).for_each(|(to, &from)| *to = from);
    let mut other = one.clone();
    let base = base(&inputs, &options, backend, &mut packed);
    let mut twins = Twins::new(backend, options, &inputs, base, [&mut one, &mut other]);
    let (_, grads) = twins.layer.parts().unwrap();
    let zeros = [optional(grads.a.as_ref()), values(grads.b.as_ref()), optional(grads.bias.as_ref())].concat();
    assert!(zeros.iter().all(|value| value.to_bits() == 0), "gradients of a layer that begins are zero");
    twins.train();
    twins.count
}

#[test]
fn training_gives_the_bits_of_the_free_functions() {
    for backend in backends() {
        let mut count = 0;
        for shape in SHAPES {
            for number in (0..Options::COUNT).step_by(if full() { Options::FULL_STRIDE } else { Options::STRIDE }) {
                count += trains_alike(backend, Options::number(number), shape, Data::Finite, number as u64);
            }
        }
        report("bits", format!("{backend:?}"), count, "compared elements of layers", 1_000_000);
    }
}

#[test]
fn random_layers_give_the_bits_of_the_free_functions() {
    let shapes = (0..=40usize, 0..=40usize, 0..=18usize, 0..=12usize);
    let data = prop_oneof![Just(Data::Finite), Just(Data::Hostile), Just(Data::NonFinite)];
    let strategy = (shapes, data, 0..Options::COUNT, any::<u64>());
    for_all("layers", strategy, |backend, &((inputs, outputs, rank, tokens), data, number, seed)| {
        let shape = Shape::new(inputs, outputs, rank);
        trains_alike(backend, Options::number(number), (shape, tokens), data, seed);
        Ok(())
    });
}

/// What adapters of an inference are lent with: whether there is a bias of the base, and one of the adapter.
const BIASES: [(bool, bool); 4] = [(false, false), (false, true), (true, false), (true, true)];

/// A layer with a borrowed adapter, on a batch and a shorter one. Elements that were compared.
fn infers_alike(backend: Backend, options: &Options, (shape, tokens): (Shape, usize), trained_bias: bool) -> u64 {
    let inputs = inputs(options, shape, tokens, Data::Hostile, 5);
    let (plan, bias, mut packed) = (Plan::inference(shape, tokens), vec![-0.5; shape.outputs], Vec::new());
    let base = base(&inputs, options, backend, &mut packed);
    let mut adapter = inputs.adapter();
    adapter.scale = options.scale.factor(shape.rank);
    adapter.bias = trained_bias.then(|| MatRef::from_row(&bias));
    let (mut one, mut other) = (vec![f32::NAN; plan.len()], vec![f32::NAN; plan.len()]);
    let mut layer = plan.adapted(base, adapter, &mut one).unwrap();
    let mut saved = Saved::inference(&mut other, shape, tokens).unwrap();
    let dropout = options.dropout.then_some(DROPOUT);
    layer.set_dropout(dropout).unwrap();
    saved.set_dropout(dropout).unwrap();
    let mut count = 0;
    for batch in [0..tokens, tokens / 2..tokens] {
        let x =
            options.place(&inputs.x[batch.start * shape.inputs..batch.end * shape.inputs], batch.len(), shape.inputs);
        let [mut ours, mut theirs] =
            [(); 2].map(|()| options.place(&vec![9.0; batch.len() * shape.outputs], batch.len(), shape.outputs));
        layer.forward(backend, x.view(), ours.view_mut()).unwrap();
        forward(backend, &base, &adapter, x.view(), theirs.view_mut(), &mut saved).unwrap();
        assert_eq!(first_difference(&ours.values(), &theirs.values()), None, "{backend:?} {options:?} {shape:?}");
        assert!(ours.is_intact());
        count += ours.values().len() as u64;
    }
    let [mut ours, mut theirs] =
        [(); 2].map(|()| options.place(&vec![9.0; shape.full_parameters()], shape.outputs, shape.inputs));
    layer.merge(backend, ours.view_mut()).unwrap();
    merge(backend, &base, &adapter, theirs.view_mut()).unwrap();
    assert_eq!(first_difference(&ours.values(), &theirs.values()), None, "{backend:?} {options:?} {shape:?}");
    assert_eq!((layer.training(), layer.parts().is_none()), (None, true));
    count + ours.values().len() as u64
}

#[test]
fn a_borrowed_adapter_gives_the_bits_of_forward() {
    for backend in backends() {
        let mut count = 0;
        for shape in SHAPES {
            for number in
                (0..Options::COUNT).step_by(if full() { 8 * Options::FULL_STRIDE } else { 8 * Options::STRIDE })
            {
                for (base_bias, trained_bias) in BIASES {
                    let options = Options { base_bias, ..Options::number(number) };
                    count += infers_alike(backend, &options, shape, trained_bias);
                }
            }
        }
        report("bits", format!("{backend:?}"), count, "compared elements of borrowed adapters", 100_000);
    }
}

/// One step on a batch that comes in pieces of so many tokens, which have the masks of the batch.
fn step_in_pieces(backend: Backend, options: &Options, inputs: &Inputs, piece: usize) -> Vec<f32> {
    let (Shape { inputs: cols, outputs, .. }, tokens) = (inputs.shape, inputs.tokens);
    let mut arena = vec![f32::NAN; options.plan(inputs.shape, tokens).len()];
    let mut layer = options.plan(inputs.shape, tokens).layer(inputs.base(), &mut arena).unwrap();
    layer.init(options.scale, 1, 0).unwrap();
    layer.set_accumulation(true);
    let mut seen = Vec::new();
    for _ in 0..2 {
        let mask = layer.dropout().or(options.dropout.then_some(DROPOUT));
        for first in (0..tokens).step_by(piece) {
            let n = piece.min(tokens - first);
            let dropout = mask.map(|mask| Dropout { first_token: 100 + first as u64, ..mask });
            layer.set_dropout(dropout).unwrap();
            let (mut y, mut dx) = (vec![0.0; n * outputs], vec![0.0; n * cols]);
            let x = mat(&inputs.x[first * cols..][..n * cols], n, cols);
            let dy = mat(&inputs.dy[first * outputs..][..n * outputs], n, outputs);
            layer.forward(backend, x, MatMut::new(&mut y, n, outputs).unwrap()).unwrap();
            layer.backward(backend, x, dy, Some(MatMut::new(&mut dx, n, cols).unwrap())).unwrap();
        }
        if let Some((_, grads)) = layer.parts() {
            seen.extend([optional(grads.a.as_ref()), values(grads.b.as_ref()), optional(grads.bias.as_ref())].concat());
        }
        layer.step(backend, &PLAIN).unwrap();
    }
    seen.extend(values(layer.adapter().unwrap().a));
    seen.extend(values(layer.adapter().unwrap().b));
    seen
}

#[test]
fn micro_batches_give_the_bits_of_the_batch() {
    let mut count = 0;
    for backend in backends() {
        for (shape, tokens) in [(Shape::new(5, 1, 3), 4), (Shape::new(17, 33, 5), 7), (Shape::new(3, 4, 0), 5)] {
            for dropout in [false, true] {
                let trained = Trained { a: true, bias: true };
                let options = Options { optimizer: Optimizer::Sgd, trained, dropout, ..Options::number(0) };
                let inputs = inputs(&options, shape, tokens, Data::Finite, 8);
                let whole = step_in_pieces(backend, &options, &inputs, tokens);
                for piece in 1..tokens {
                    let pieces = step_in_pieces(backend, &options, &inputs, piece);
                    assert_eq!(first_difference(&pieces, &whole), None, "{backend:?} {shape:?} by {piece}");
                    count += 1;
                }
            }
        }
    }
    report("bits", "layers", count, "batches in pieces", 26);
}
