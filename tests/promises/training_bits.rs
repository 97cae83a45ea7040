//! Gate 1 for training: optimizers, norms and in-place SGD give the bits of the specification on every backend.

use crate::support;
use crate::support::{Data, Layer, Rng, backends, first_difference, full, mat, mat_mut, report};
use lowrank::train::{AdamW, Beta, Clock, InPlace, Optimizer, Sgd, State, Trained, clip};
use lowrank::{Accum, AdapterMut, Backend, Backprop, Dropout, Error, Grads, Saved, Shape, forward, reference};

/// Columns around the lane counts of every backend, and more than one vector of the widest.
const COLUMNS: [usize; 14] = [0, 1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 33, 50];

#[derive(Copy, Clone, Debug)]
enum Rule {
    AdamW(AdamW),
    Sgd(Sgd),
}

impl Rule {
    fn all() -> Vec<Rule> {
        let sgd = Sgd { learning_rate: 0.1, b_rate: 4.0, ..Sgd::DEFAULT };
        vec![
            Rule::AdamW(AdamW { learning_rate: 0.01, b_rate: 16.0, ..AdamW::DEFAULT }),
            Rule::AdamW(AdamW {
                learning_rate: 0.01,
                weight_decay: 0.0,
                epsilon: 1e-3,
                beta1: Beta::new(0.0),
                ..AdamW::DEFAULT
            }),
            Rule::Sgd(sgd),
            Rule::Sgd(Sgd { weight_decay: 0.01, ..sgd }),
            Rule::Sgd(Sgd { momentum: 0.9, dampening: 0.25, ..sgd }),
            Rule::Sgd(Sgd { momentum: 0.9, nesterov: true, weight_decay: 0.01, ..sgd }),
        ]
    }

    fn optimizer(self) -> Optimizer {
        match self {
            Rule::AdamW(_) => Optimizer::AdamW,
            Rule::Sgd(sgd) if sgd.momentum == 0.0 => Optimizer::Sgd,
            Rule::Sgd(_) => Optimizer::Momentum,
        }
    }

    fn step(
        self,
        backend: Backend,
        adapter: &mut AdapterMut<'_>,
        grads: &Grads<'_>,
        state: &mut State<'_>,
    ) -> Result<(), Error> {
        match self {
            Rule::AdamW(rule) => rule.step(backend, adapter, grads, state),
            Rule::Sgd(rule) => rule.step(backend, adapter, grads, state),
        }
    }

    /// One matrix, by the specification; `to_b`: with the learning rate of `B`.
    fn specify(self, to_b: bool, clock: Clock, p: &mut [f32], g: &[f32], m: &mut [f32], v: &mut [f32]) -> Clock {
        match self {
            Rule::AdamW(rule) => {
                let lr = if to_b { rule.learning_rate * rule.b_rate } else { rule.learning_rate };
                reference::adamw(&rule, lr, clock, p, g, (m, v))
            }
            Rule::Sgd(rule) => {
                let lr = if to_b { rule.learning_rate * rule.b_rate } else { rule.learning_rate };
                reference::sgd(&rule, lr, clock.steps == 0, p, g, m);
                Clock { steps: clock.steps + 1, ..clock }
            }
        }
    }
}

#[test]
fn optimizers() {
    let ranks = if full() { 0..=17 } else { 2..=4 };
    for backend in backends() {
        let mut count = 0;
        for rule in Rule::all() {
            for rank in ranks.clone() {
                for (index, inputs) in COLUMNS.into_iter().enumerate() {
                    let outputs = COLUMNS[COLUMNS.len() - 1 - index];
                    for data in [Data::Finite, Data::Hostile] {
                        count += three_steps(backend, rule, Shape::new(inputs, outputs, rank), data);
                    }
                }
            }
        }
        let promised = if full() { 400_000 } else { 100_000 };
        report("bits", format!("{backend:?}").as_str(), count, "compared elements of optimizer steps", promised);
    }
}

fn three_steps(backend: Backend, rule: Rule, shape: Shape, data: Data) -> u64 {
    let rng = &mut Rng(shape.inputs as u64 + 1000 * shape.rank as u64);
    let Shape { inputs, outputs, rank } = shape;
    let sizes = [rank * inputs, outputs * rank, outputs];
    let mut params = sizes.map(|len| data.fill(rng, len));
    let mut expected = params.clone();
    let mut moments = sizes.map(|len| (vec![f32::NAN; len], vec![f32::NAN; len]));
    let trained = Trained { a: true, bias: true };
    let mut memory = vec![f32::NAN; State::len(shape, rule.optimizer(), trained).unwrap()];
    let mut state = State::new(&mut memory, shape, rule.optimizer(), trained).unwrap();
    let mut clock = Clock::default();
    let mut count = 0;
    for step in 0..3 {
        // Hostile gradients have to stay below the point where their squares overflow: infinities are the business of `nan_classes`.
        let mut grads = sizes.map(|len| data.fill(rng, len));
        grads.iter_mut().flatten().for_each(|g| *g = g.clamp(-1e15, 1e15));
        let [pa, pb, pbias] = &mut params;
        let mut adapter = AdapterMut {
            a: mat_mut(pa, rank, inputs),
            b: mat_mut(pb, outputs, rank),
            bias: Some(mat_mut(pbias, 1, outputs)),
            scale: 1.0,
        };
        let [ga, gb, gbias] = &mut grads;
        let views = Grads {
            a: Some(mat_mut(ga, rank, inputs)),
            b: mat_mut(gb, outputs, rank),
            bias: Some(mat_mut(gbias, 1, outputs)),
            accum: Accum::Replace,
        };
        rule.step(backend, &mut adapter, &views, &mut state).unwrap();
        let mut next = clock;
        for (index, (p, (m, v))) in expected.iter_mut().zip(&mut moments).enumerate() {
            next = rule.specify(index == 1, clock, p, &grads[index], m, v);
        }
        clock = next;
        assert_eq!(state.clock, clock, "{rule:?}");
        for (ours, theirs) in params.iter().zip(&expected) {
            let difference = first_difference(ours, theirs);
            assert_eq!(difference, None, "{backend:?} {rule:?} {shape:?} {data:?} step {step}");
            count += ours.len() as u64;
        }
    }
    count
}

#[test]
fn norms() {
    for backend in backends() {
        let mut count = 0;
        for rows in 0..5 {
            for cols in 0..70 {
                for data in [Data::Finite, Data::Hostile] {
                    let mut matrix = data.fill(&mut Rng(cols as u64), rows * cols);
                    let expected = reference::square_sum(backend.arithmetic(), mat(&matrix, rows, cols));
                    let b = mat_mut(&mut matrix, rows, cols);
                    let ours = clip::square_sum(backend, &Grads { a: None, b, bias: None, accum: Accum::Replace });
                    assert!(support::same(ours, expected), "{backend:?} [{rows}, {cols}]: {ours}, not {expected}");
                    count += 1;
                }
            }
        }
        report("bits", format!("{backend:?}").as_str(), count, "compared sums of squares", 700);
    }
}

/// Learning rates, and the factors on them for `B`: the order in which they are multiplied with the factor of clipping shows.
const RATES: [(f32, f32); 4] = [(0.1, 3.0), (0.3, 16.1), (0.7, 0.3), (0.013, 7.7)];

/// In-place SGD without clipping is the specification's gradients with `-η·hs` and `-η·gs` in the place of `hs` and `gs`;
/// with clipping it takes the norm that stored gradients would have.
#[test]
fn in_place() {
    let tokens = if full() { vec![0, 1, 2, 5, 17, 33] } else { vec![0, 1, 5] };
    for backend in backends() {
        let mut count = 0;
        for &n in &tokens {
            for (inputs, outputs, rank) in [(1, 1, 1), (13, 7, 3), (33, 17, 4), (40, 50, 17), (5, 3, 0)] {
                for max_norm in [None, Some(0.01)] {
                    for dropout in [None, Some(DROPOUT)] {
                        let mut layer = Layer::new(Shape::new(inputs, outputs, rank), n, Data::Finite, n as u64 + 1);
                        layer.dropout = dropout;
                        for (learning_rate, b_rate) in RATES {
                            count += step_in_place(backend, &layer, InPlace { learning_rate, b_rate, max_norm });
                        }
                    }
                }
            }
        }
        report("bits", format!("{backend:?}").as_str(), count, "compared elements of in-place SGD", 10_000);
    }
}

fn step_in_place(backend: Backend, layer: &Layer, rule: InPlace) -> u64 {
    let Shape { inputs, outputs, rank } = layer.shape;
    let (n, arithmetic) = (layer.tokens, backend.arithmetic());
    let x = mat(&layer.x, n, inputs);

    // Stored gradients: their norm, and the factor that follows from it.
    let mut stored = layer.old_outputs(Data::Finite, 1);
    layer.run(backend, &layer.base(), Accum::Replace, &mut stored).unwrap();
    let sum = reference::square_sum(arithmetic, mat(&stored.da, rank, inputs))
        + reference::square_sum(arithmetic, mat(&stored.db, outputs, rank));
    let factor = rule.max_norm.map_or(1.0, |max| clip::factor(sum, max).unwrap());

    let (mut a, mut b, mut y, mut dx) = (layer.a.clone(), layer.b.clone(), stored.y.clone(), stored.dx.clone());
    let mut memory = vec![0.0; Saved::training_len(layer.shape, n).unwrap()];
    let mut saved = Saved::training(&mut memory, layer.shape, n).unwrap();
    saved.set_dropout(layer.dropout).unwrap();
    forward(backend, &layer.base(), &layer.adapter(), x, mat_mut(&mut y, n, outputs), &mut saved).unwrap();
    let mut adapter = AdapterMut {
        a: mat_mut(&mut a, rank, inputs),
        b: mat_mut(&mut b, outputs, rank),
        bias: None,
        scale: layer.scale,
    };
    let flow = Backprop { x: Some(x), dy: mat(&layer.dy, n, outputs), dx: Some(mat_mut(&mut dx, n, inputs)) };
    rule.step(backend, &layer.base(), &mut adapter, flow, &mut saved).unwrap();

    let (eta_a, eta_b) = (-(rule.learning_rate * factor), -(rule.learning_rate * rule.b_rate * factor));
    let gs = |t: usize, k: usize| {
        let products = (0..outputs).map(|o| (layer.b[o * rank + k], layer.dy[t * outputs + o]));
        layer.scale * reference::chain(arithmetic, 0.0, products)
    };
    for k in 0..rank {
        for i in 0..inputs {
            let products = (0..n).map(|t| (eta_a * gs(t, k), reference::dropped(layer.dropout, x, t, i)));
            let expected = reference::chain(arithmetic, layer.a[k * inputs + i], products);
            assert_eq!(a[k * inputs + i].to_bits(), expected.to_bits(), "A {backend:?} {rule:?} {:?}", layer.shape);
        }
        for o in 0..outputs {
            let products = (0..n).map(|t| (layer.dy[t * outputs + o], eta_b * stored.hs[t * rank + k]));
            let expected = reference::chain(arithmetic, layer.b[o * rank + k], products);
            assert_eq!(b[o * rank + k].to_bits(), expected.to_bits(), "B {backend:?} {rule:?} {:?}", layer.shape);
        }
    }
    assert_eq!(first_difference(&dx, &stored.dx), None, "dX {backend:?}");
    (a.len() + b.len() + dx.len()) as u64
}

/// Without an adapter a step in place gives the `dX` of the base and changes no parameter, whatever is in `saved`, with clipping
/// and without.
#[test]
fn in_place_without_an_adapter() {
    let mut count = 0;
    for backend in backends() {
        for (rank, scale) in [(3, 0.0), (3, -0.0), (0, 1.0)] {
            for (max_norm, dropout) in
                [(None, None), (Some(0.5), None), (None, Some(DROPOUT)), (Some(0.5), Some(DROPOUT))]
            {
                let shape = Shape::new(13, 7, rank);
                let mut layer = Layer::new(shape, 5, Data::Finite, 3);
                (layer.scale, layer.dropout) = (scale, dropout);
                let (mut a, mut b, mut dx, mut y) =
                    (layer.a.clone(), layer.b.clone(), vec![9.0; 5 * 13], vec![9.0; 5 * 7]);
                let mut memory = vec![f32::NAN; Saved::training_len(shape, 5).unwrap()];
                let mut saved = Saved::training(&mut memory, shape, 5).unwrap();
                saved.set_dropout(dropout).unwrap();
                let (x, y) = (mat(&layer.x, 5, 13), mat_mut(&mut y, 5, 7));
                forward(backend, &layer.base(), &layer.adapter(), x, y, &mut saved).unwrap();
                let mut adapter =
                    AdapterMut { a: mat_mut(&mut a, rank, 13), b: mat_mut(&mut b, 7, rank), bias: None, scale };
                let flow = Backprop { x: Some(x), dy: mat(&layer.dy, 5, 7), dx: Some(mat_mut(&mut dx, 5, 13)) };
                let rule = InPlace { learning_rate: 0.1, b_rate: 2.0, max_norm };
                assert_eq!(rule.step(backend, &layer.base(), &mut adapter, flow, &mut saved), Ok(()));
                assert_eq!((first_difference(&a, &layer.a), first_difference(&b, &layer.b)), (None, None));
                for (t, i) in (0..5).flat_map(|t| (0..13).map(move |i| (t, i))) {
                    let products = (0..7).map(|o| (layer.dy[t * 7 + o], layer.w[o * 13 + i]));
                    let expected = reference::chain(backend.arithmetic(), 0.0, products);
                    assert_eq!(dx[t * 13 + i].to_bits(), expected.to_bits(), "{backend:?} {scale} {rank}");
                    count += 1;
                }
            }
        }
    }
    report("bits", "in place", count, "elements of dX without an adapter", 500);
}

const DROPOUT: Dropout = Dropout { probability: 0.5, seed: 1, step: 2, layer_number: 3, first_token: 4 };
