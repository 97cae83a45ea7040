//! Promise: a mistake in a step of a layer, or in what it resumes from, is said, and leaves everything untouched.

use super::errors::backward_cases;
use crate::support::errors::{Call, Case, Function, OUTPUTS, SHAPE, TOKENS, cols, judge, rows, succeeds, too_many};
use crate::support::files::OwnedEntry;
use crate::support::layers::{
    BACKEND, BAD, BELOW_ONE, Before, EMPTY, LENT, NO_SCALE, RUNNING, accumulation, adopt, after, backward,
    backward_of_nan, bad_scale, forward, init, lent, on_layer, planned, range, spoil_grads, step, step_in_place,
};
use crate::support::{Data, Rng, mat, mat_mut};
use lowrank::format::RandomState;
use lowrank::train::{Beta, InPlace, Optimizer, Trained};
use lowrank::{Argument, Base, Dtype, Error, Plan, Scale, Shape};

static ADAMW: Function = Function {
    name: "Layer::step of AdamW",
    run: |call, arena, act| on_layer(call, arena, act, |layer, _| layer.step(BACKEND, &call.adamw)),
    documented: &["Range", "OtherOptimizer", "Missing", "NonFinite", "ForInference"],
};

static SGD: Function = Function {
    name: "Layer::step of Sgd",
    run: |call, arena, act| on_layer(call, arena, act, |layer, _| layer.step(BACKEND, &call.sgd)),
    documented: ADAMW.documented,
};

static IN_PLACE: Function = Function {
    name: "Layer::step_in_place",
    run: |call, arena, act| {
        let rule = call.in_place;
        on_layer(call, arena, act, |layer, it| layer.step_in_place(BACKEND, &rule, it.x, it.dy, it.dx))
    },
    documented: &[
        "Range",
        "Rows",
        "Cols",
        "NoForward",
        "ForInference",
        "Unexpected",
        "DeadAdapter",
        "NonFinite",
        "Missing",
        "OtherOptimizer",
    ],
};

static RESUME: Function = Function {
    name: "Layer::resume",
    run: |call, arena, act| on_layer(call, arena, act, |layer, _| layer.resume(&call.contents.entries[0].view())),
    documented: &["ForInference", "Rows", "Cols", "Missing", "Unexpected", "OtherOptimizer", "Range", "TooMany"],
};

static FUNCTIONS: [&Function; 4] = [&ADAMW, &SGD, &IN_PLACE, &RESUME];

fn in_place_cases() -> Vec<Case> {
    use Argument::{Bias, DY, LearningRate, MaxNorm};
    let (mut table, max) = (Vec::new(), f32::MAX);
    let mut add = |error, spoil: Box<dyn Fn(&mut Call)>| {
        table.push(after(RUNNING[0], &IN_PLACE, error, move |c| {
            planned(c, Optimizer::InPlace, true, false);
            spoil(c);
        }));
    };
    for got in BAD {
        add(range(LearningRate, 0.0, max, got), Box::new(move |c| c.in_place.learning_rate = got));
        add(
            range(LearningRate, 0.0, max, got),
            Box::new(move |c| (c.in_place.learning_rate, c.in_place.b_rate) = (1.0, got)),
        );
        add(range(MaxNorm, 0.0, max, got), Box::new(move |c| c.in_place.max_norm = Some(got)));
    }
    for (index, value) in [(0, f32::NAN), (5, f32::INFINITY), (7, f32::NEG_INFINITY)] {
        add(Error::NonFinite { argument: DY, index }, Box::new(move |c| c.put = vec![(DY, index, value)]));
    }
    for a in [true, false] {
        add(Error::Unexpected { argument: Bias }, Box::new(move |c| planned(c, Optimizer::InPlace, a, true)));
    }
    table.push(after(RUNNING[0], &IN_PLACE, Error::Unexpected { argument: Bias }, |c| {
        planned(c, Optimizer::InPlace, true, true);
        c.dx = None;
    }));
    for plan in [Optimizer::Sgd, Optimizer::Momentum, Optimizer::AdamW] {
        let error = Error::OtherOptimizer { planned: plan, used: Optimizer::InPlace };
        table.push(after(RUNNING[0], &IN_PLACE, error, move |c| planned(c, plan, true, false)));
    }
    table.push(after(&[init, forward::<2>, step_in_place], &IN_PLACE, Error::NoForward, |c| {
        planned(c, Optimizer::InPlace, true, false);
    }));
    table
}

/// After a whole backward pass.
const GRADED: [Before; 3] = [init, forward::<2>, backward::<2>];

fn hyper_parameters() -> Vec<Case> {
    use Argument::{Beta1, Beta2, Dampening, Epsilon, LearningRate, Momentum, WeightDecay};
    let (mut table, max) = (Vec::new(), f32::MAX);
    for got in BAD {
        let rate = range(LearningRate, 0.0, max, got);
        let decay = range(WeightDecay, 0.0, max, got);
        let beta = |argument| range(argument, 0.0, BELOW_ONE, got);
        let mut add = |function, error, spoil: Box<dyn Fn(&mut Call)>| {
            table.push(after(&GRADED, function, error, spoil));
        };
        add(&ADAMW, rate, Box::new(move |c| c.adamw.learning_rate = got));
        add(&ADAMW, rate, Box::new(move |c| (c.adamw.learning_rate, c.adamw.b_rate) = (1.0, got)));
        add(&ADAMW, decay, Box::new(move |c| c.adamw.weight_decay = got));
        add(&ADAMW, range(Epsilon, 0.0, max, got), Box::new(move |c| c.adamw.epsilon = got));
        add(&ADAMW, beta(Beta1), Box::new(move |c| c.adamw.beta1 = Beta::new(f64::from(got))));
        add(&ADAMW, beta(Beta2), Box::new(move |c| c.adamw.beta2 = Beta::new(f64::from(got))));
        add(&SGD, rate, Box::new(move |c| c.sgd.learning_rate = got));
        add(&SGD, rate, Box::new(move |c| (c.sgd.learning_rate, c.sgd.b_rate) = (1.0, got)));
        add(&SGD, decay, Box::new(move |c| c.sgd.weight_decay = got));
        add(&SGD, range(Momentum, 0.0, 1.0, got), Box::new(move |c| c.sgd.momentum = got));
        add(&SGD, range(Dampening, 0.0, 1.0, got), Box::new(move |c| c.sgd.dampening = got));
    }
    table
}

fn step_cases() -> Vec<Case> {
    use Argument::{DA, DB, DBias};
    let mut table = hyper_parameters();
    let ungraded: [&[Before]; 7] = [
        &[],
        &[init],
        &[init, forward::<2>],
        &[init, forward::<2>, backward::<2>, step],
        &[init, accumulation, forward::<2>, backward::<2>, step, forward::<2>],
        &[init, forward::<2>, backward::<2>, init],
        &[init, forward::<2>, backward::<2>, adopt],
    ];
    for function in [&ADAMW, &SGD] {
        for before in ungraded {
            table.push(after(before, function, Error::Missing { argument: DB }, |_| ()));
        }
        let spoils: [(Before, Argument, usize); 4] = [
            (|layer| spoil_grads(layer, DA, 14), DA, 14),
            (|layer| spoil_grads(layer, DB, 1), DB, 1),
            (|layer| spoil_grads(layer, DBias, 3), DBias, 3),
            (backward_of_nan, DA, 0),
        ];
        for (spoil, argument, index) in spoils {
            // At first `B` is zero, and with it `dA` times whatever comes: NaN times zero is NaN.
            let before = [&GRADED[..], &[spoil]].concat();
            table.push(after(&before, function, Error::NonFinite { argument, index }, |_| ()));
        }
    }
    for (planned_for, used) in other_optimizers() {
        let function = if used == Optimizer::AdamW { &ADAMW } else { &SGD };
        let before: &[Before] = if planned_for == Optimizer::InPlace { RUNNING[0] } else { &GRADED };
        for a in [true, false] {
            let error = Error::OtherOptimizer { planned: planned_for, used };
            table.push(after(before, function, error, move |c| {
                planned(c, planned_for, a, false);
                c.sgd.momentum = if used == Optimizer::Sgd { 0.0 } else { 0.5 };
            }));
        }
    }
    table
}

fn other_optimizers() -> [(Optimizer, Optimizer); 6] {
    use Optimizer::{AdamW, InPlace, Momentum, Sgd};
    [(Momentum, AdamW), (Sgd, AdamW), (InPlace, AdamW), (Sgd, Momentum), (InPlace, Momentum), (InPlace, Sgd)]
}

/// The entry that a call resumes from: without the state of an optimizer, if it is not about that.
fn entry(change: impl Fn(&mut OwnedEntry) + 'static) -> impl Fn(&mut Call) + 'static {
    move |call| {
        call.contents.entries[0].training = None;
        change(&mut call.contents.entries[0]);
    }
}

fn of_shape(inputs: usize, outputs: usize, rank: usize) -> OwnedEntry {
    let rng = &mut Rng(1);
    OwnedEntry::new("fc", Shape::new(inputs, outputs, rank), Dtype::F32, rng).with_bias(Dtype::F32, rng)
}

fn adapter_cases(before: &[Before]) -> Vec<Case> {
    use Argument::{A, B, BBias, Bias, Dropout, LayerNumber};
    let (missing, unexpected) = (Error::Missing { argument: Bias }, Error::Unexpected { argument: Bias });
    let mut table = vec![
        after(before, &RESUME, rows(A, 2, 3), entry(|it| *it = of_shape(5, 4, 2))),
        after(before, &RESUME, cols(A, 6, 5), entry(|it| *it = of_shape(6, 4, 3))),
        after(before, &RESUME, rows(B, 7, 4), entry(|it| *it = of_shape(5, 7, 3))),
        after(
            before,
            &RESUME,
            Error::Missing { argument: BBias },
            entry(|it| {
                *it = it.clone().with_b_bias(Dtype::F32, &mut Rng(2));
            }),
        ),
        after(before, &RESUME, unexpected, entry(|it| it.bias = None)),
        after(
            before,
            &RESUME,
            too_many(LayerNumber, (1 << 30) - 1, 1 << 30),
            entry(|it| {
                it.random = RandomState { dropout: 0.5, layer_number: 1 << 30, ..RandomState::default() };
            }),
        ),
    ];
    for p in BAD.into_iter().chain([1.0]) {
        let error = range(Dropout, 0.0, BELOW_ONE, p);
        table.push(after(before, &RESUME, error, entry(move |it| it.random.dropout = p)));
        table.push(after(before, &RESUME, error, move |c| c.contents.entries[0].random.dropout = p));
    }
    for got in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        table.push(after(before, &RESUME, bad_scale(got), move |c| c.contents.entries[0].scale = Scale::Direct(got)));
        table.push(after(before, &RESUME, bad_scale(got), entry(move |it| it.scale = Scale::Alpha(got))));
    }
    // Of a plan without a trained bias, whose states do not have one either.
    let fill = entry(|_| ());
    table.push(after(before, &RESUME, missing, move |c| {
        fill(c);
        planned(c, Optimizer::AdamW, true, false);
    }));
    table
}

fn state_cases(before: &[Before]) -> Vec<Case> {
    let mut table = Vec::new();
    let mut add = |error, optimizer, a, bias| {
        table.push(after(before, &RESUME, error, move |c| {
            let entry = c.contents.entries[0].clone();
            c.contents.entries[0] = entry.training(optimizer, Trained { a, bias }, &mut Rng(5));
        }));
    };
    for used in [Optimizer::InPlace, Optimizer::Sgd, Optimizer::Momentum] {
        add(Error::OtherOptimizer { planned: Optimizer::AdamW, used }, used, true, true);
    }
    add(rows(Argument::State, 0, 3), Optimizer::AdamW, false, true);
    add(rows(Argument::State, 0, 1), Optimizer::AdamW, true, false);
    add(rows(Argument::State, 0, 3), Optimizer::AdamW, false, false);
    table.push(after(before, &RESUME, rows(Argument::State, 2, 3), |c| {
        c.contents.entries[0] =
            of_shape(5, 4, 2).training(Optimizer::AdamW, Trained { a: true, bias: true }, &mut Rng(5));
    }));
    table.push(after(before, &RESUME, cols(Argument::State, 6, 5), |c| {
        c.contents.entries[0] =
            of_shape(6, 4, 3).training(Optimizer::AdamW, Trained { a: true, bias: true }, &mut Rng(5));
    }));
    table
}

#[test]
fn errors_leave_a_layer_as_it_was() {
    let mut table = step_cases();
    table.extend(in_place_cases());
    table.extend(backward_cases(&IN_PLACE, Optimizer::InPlace));
    let states: [&[Before]; 3] = [&[], RUNNING[0], RUNNING[1]];
    for before in states {
        table.extend(adapter_cases(before));
        table.extend(state_cases(before));
    }
    for before in LENT {
        table.extend([&RESUME, &ADAMW, &SGD, &IN_PLACE].map(|function| lent(before, function, Error::ForInference)));
    }
    for before in EMPTY {
        table.push(after(before, &IN_PLACE, NO_SCALE, |c| planned(c, Optimizer::InPlace, true, false)));
    }
    judge(&FUNCTIONS, &table);
}

#[test]
fn unspoiled_steps_succeed() {
    for function in FUNCTIONS {
        succeeds(function, true, |c| {
            c.before = GRADED.to_vec();
            if function.name == IN_PLACE.name {
                planned(c, Optimizer::InPlace, true, false);
                c.before = RUNNING[0].to_vec();
            }
        });
    }
}

/// A norm that is not finite is found when the room of the passes has been written, and nothing but that; the step can be made once
/// more, with the bits of one that came at once.
#[test]
fn a_norm_that_overflows_leaves_the_adapter() {
    let plan = Plan::training(SHAPE, TOKENS, Optimizer::InPlace);
    let passing = plan.adapter_len().unwrap()..plan.adapter_len().unwrap() + plan.saved_len().unwrap();
    let w = Data::Finite.fill(&mut Rng(6), SHAPE.full_parameters());
    let run = |spoiled: bool, again: bool| {
        let mut arena = vec![f32::from_bits(0x7fde_adbe); plan.len()];
        let mut layer = plan.layer(Base::rows(mat(&w, OUTPUTS, SHAPE.inputs), None), &mut arena).unwrap();
        RUNNING[0].iter().for_each(|before| before(&mut layer));
        let x = vec![0.5; TOKENS * SHAPE.inputs];
        let (rule, mut dx) = (InPlace { max_norm: Some(1.0), ..InPlace::DEFAULT }, vec![9.0; x.len()]);
        for (wanted, dy) in [(spoiled, 1e30), (again, 0.5)] {
            let dy = vec![dy; TOKENS * OUTPUTS];
            let (x, dy) = (mat(&x, TOKENS, SHAPE.inputs), mat(&dy, TOKENS, OUTPUTS));
            if wanted {
                let dx = mat_mut(&mut dx, TOKENS, SHAPE.inputs);
                let expected = Err(Error::NonFinite { argument: Argument::GradNorm, index: 0 });
                let expected = if dy.row(0)[0] > 1.0 { expected } else { Ok(()) };
                assert_eq!(layer.step_in_place(BACKEND, &rule, x, dy, Some(dx)), expected);
            }
        }
        let kept = arena.iter().enumerate().filter(|(at, _)| !passing.contains(at)).map(|(_, value)| value);
        kept.chain(&dx).map(|value| value.to_bits()).collect::<Vec<_>>()
    };
    assert_eq!(run(true, false), run(false, false));
    assert_eq!(run(true, true), run(false, true));
    assert_ne!(run(false, true), run(false, false));
}
