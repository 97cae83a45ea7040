//! Promise: every mistake is said, and leaves buffer, outputs, clock and what is remembered of a batch untouched.

use crate::support::errors::{
    Call, Case, Cut, Function, OUTPUTS, SHAPE, TOKENS, case, cols, judge, length, rows, succeeds, too_many,
};
use crate::support::layers::{
    BACKEND, BAD, BELOW_ONE, Before, EMPTY, LENT, NO_SCALE, RUNNING, adapter, adopt, after, bad_scale, dropout,
    forward, init, lent, no_dropout, on_layer, planned, range,
};
use lowrank::train::Optimizer;
use lowrank::{Argument, Dropout, Error, Plan, Scale, Shape};

static LAYER: Function = Function {
    name: "Plan::layer",
    run: |call, arena, act| {
        let cut = &mut Cut::new(arena, call);
        let (base, memory) = (cut.base(), cut.memory(Argument::Arena, call.arena.unwrap_or(call.plan.len())));
        (if act { call.plan.layer(base, memory).map(drop) } else { Ok(()) }, String::new())
    },
    documented: &["Length", "Overflow", "Rows", "Cols", "ForInference"],
};

static ADAPTED: Function = Function {
    name: "Plan::adapted",
    run: |call, arena, act| {
        let cut = &mut Cut::new(arena, call);
        let (base, memory) = (cut.base(), cut.memory(Argument::Arena, call.arena.unwrap_or(call.plan.len())));
        let adapter = adapter(cut, call);
        (if act { call.plan.adapted(base, adapter, memory).map(drop) } else { Ok(()) }, String::new())
    },
    documented: &["Length", "Overflow", "Rows", "Cols", "Unexpected", "Range", "Stride"],
};

static INIT: Function = Function {
    name: "Layer::init",
    run: |call, arena, act| on_layer(call, arena, act, |layer, _| layer.init(call.scaled, 1, call.number)),
    documented: &["TooMany", "Range", "ForInference"],
};

static ADOPT: Function = Function {
    name: "Layer::adopt",
    run: |call, arena, act| on_layer(call, arena, act, |layer, _| layer.adopt(call.scaled)),
    documented: &["Range", "ForInference"],
};

static ADAPTER: Function = Function {
    name: "Layer::adapter",
    run: |call, arena, act| on_layer(call, arena, act, |layer, _| layer.adapter().map(drop)),
    documented: &["Missing"],
};

static RECORD: Function = Function {
    name: "Layer::entry",
    run: |call, arena, act| on_layer(call, arena, act, |layer, _| layer.entry("fc").map(drop)),
    documented: &["Missing"],
};

static SET_DROPOUT: Function = Function {
    name: "Layer::set_dropout",
    run: |call, arena, act| on_layer(call, arena, act, |layer, _| layer.set_dropout(call.dropout)),
    documented: &["Range", "TooMany"],
};

static FORWARD: Function = Function {
    name: "Layer::forward",
    run: |call, arena, act| on_layer(call, arena, act, |layer, it| layer.forward(BACKEND, it.x, it.y)),
    documented: &["Rows", "Cols", "TooMany", "Missing"],
};

static BACKWARD: Function = Function {
    name: "Layer::backward",
    run: |call, arena, act| on_layer(call, arena, act, |layer, it| layer.backward(BACKEND, it.x, it.dy, it.dx)),
    documented: &["Rows", "Cols", "NoForward", "ForInference", "OtherOptimizer", "DeadAdapter", "Missing"],
};

static MERGE: Function = Function {
    name: "Layer::merge",
    run: |call, arena, act| on_layer(call, arena, act, |layer, it| layer.merge(BACKEND, it.merged)),
    documented: &["Rows", "Cols", "Missing"],
};

/// What opening says of the base and of the buffer.
fn opening_cases(function: &'static Function, inference: bool) -> Vec<Case> {
    use Argument::{Arena, Bias, W};
    let plan = move |shape, tokens| {
        if inference { Plan::inference(shape, tokens) } else { Plan::training(shape, tokens, Optimizer::AdamW) }
    };
    let len = plan(SHAPE, TOKENS).len();
    let of = |error, spoil: fn(&mut Call)| {
        case(function, error, move |c| {
            c.plan = plan(SHAPE, TOKENS);
            spoil(c);
        })
    };
    let mut table = vec![
        of(rows(Bias, 1, 0), |c| c.bias = Some((0, 4))),
        of(cols(Bias, 4, 3), |c| c.bias = Some((1, 3))),
        of(cols(Bias, 4, 0), |c| c.bias = Some((1, 0))),
    ];
    for got in [0, len - 1, len + 1] {
        table.push(case(function, length(Arena, len, got), move |c| {
            (c.plan, c.arena) = (plan(SHAPE, TOKENS), Some(got));
        }));
    }
    for tokens in [usize::MAX, usize::MAX / 4, isize::MAX as usize / 8] {
        table.push(case(function, Error::Overflow { argument: Arena }, move |c| {
            (c.plan, c.arena) = (plan(SHAPE, tokens), Some(1));
        }));
    }
    for (outputs, inputs) in [(6, 5), (3, 5), (5, 4)] {
        let shape = Shape::new(inputs, outputs, 3);
        table.push(case(function, rows(W, outputs, OUTPUTS), move |c| c.plan = plan(shape, TOKENS)));
    }
    for inputs in [0, 4, 6] {
        let shape = Shape::new(inputs, OUTPUTS, 3);
        table.push(case(function, cols(W, inputs, SHAPE.inputs), move |c| c.plan = plan(shape, TOKENS)));
    }
    table
}

fn adapted_cases() -> Vec<Case> {
    use Argument::{A, B, Bias};
    let mut table = opening_cases(&ADAPTED, true);
    let lent = |error, spoil: fn(&mut Call)| {
        case(&ADAPTED, error, move |c| {
            c.plan = Plan::inference(SHAPE, TOKENS);
            spoil(c);
        })
    };
    let stride = |argument, expected, got| Error::Stride { argument, expected, got };
    table.extend([
        lent(cols(A, 5, 6), |c| c.a = (3, 6)),
        lent(rows(B, 4, 5), |c| c.b = (5, 3)),
        lent(cols(B, 3, 2), |c| c.b = (4, 2)),
        lent(rows(Bias, 1, 2), |c| c.trained_bias = Some((2, 4))),
        lent(cols(Bias, 4, 5), |c| c.trained_bias = Some((1, 5))),
        lent(cols(Argument::Rank, 2, 3), |c| c.plan = Plan::inference(Shape { rank: 2, ..SHAPE }, TOKENS)),
        lent(cols(Argument::Rank, 4, 3), |c| c.plan = Plan::inference(Shape { rank: 4, ..SHAPE }, TOKENS)),
        lent(stride(A, 5, 6), |c| c.gaps = [1, 0]),
        lent(stride(B, 3, 5), |c| c.gaps = [0, 2]),
        lent(stride(A, 5, 9), |c| c.gaps = [4, 4]),
        lent(bad_scale(f32::NAN), |c| c.scale = f32::NAN),
        lent(bad_scale(f32::INFINITY), |c| c.scale = f32::INFINITY),
        lent(bad_scale(f32::NEG_INFINITY), |c| c.scale = f32::NEG_INFINITY),
    ]);
    for optimizer in [Optimizer::InPlace, Optimizer::Sgd, Optimizer::AdamW] {
        table.push(case(&ADAPTED, Error::Unexpected { argument: A }, move |c| planned(c, optimizer, true, false)));
        table.push(case(&LAYER, Error::ForInference, |c| c.plan = Plan::inference(SHAPE, TOKENS)));
    }
    table
}

fn beginning_cases() -> Vec<Case> {
    let mut table = Vec::new();
    let states: [&[Before]; 3] = [&[], RUNNING[0], RUNNING[1]];
    for before in states {
        for number in [1 << 30, u32::MAX] {
            let error = too_many(Argument::LayerNumber, (1 << 30) - 1, number as usize);
            table.push(after(before, &INIT, error, move |c| c.number = number));
        }
        for got in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            for scaled in [Scale::Direct, Scale::Alpha, Scale::RankStabilized] {
                for function in [&INIT, &ADOPT] {
                    table.push(after(before, function, bad_scale(got), move |c| c.scaled = scaled(got)));
                }
            }
        }
        for p in BAD.into_iter().chain([1.0, 1.5]) {
            let error = range(Argument::Dropout, 0.0, BELOW_ONE, p);
            table.push(after(before, &SET_DROPOUT, error, move |c| {
                c.dropout = Some(Dropout { probability: p, ..Dropout::default() });
            }));
        }
        let error = too_many(Argument::LayerNumber, (1 << 30) - 1, 1 << 30);
        table.push(after(before, &SET_DROPOUT, error, |c| {
            c.dropout = Some(Dropout { probability: 0.5, layer_number: 1 << 30, ..Dropout::default() });
        }));
    }
    for before in LENT {
        table.extend([&INIT, &ADOPT, &BACKWARD].map(|function| lent(before, function, Error::ForInference)));
    }
    for before in EMPTY {
        for function in [&ADAPTER, &RECORD, &FORWARD, &BACKWARD, &MERGE] {
            table.push(after(before, function, NO_SCALE, |_| ()));
        }
    }
    table
}

fn forward_and_merge_cases() -> Vec<Case> {
    use Argument::{Merged, Tokens, X, Y};
    let mut table = Vec::new();
    let begun: &[Before] = &[init];
    for before in [begun, RUNNING[0], RUNNING[1]] {
        let mut add = |function, error, spoil: fn(&mut Call)| table.push(after(before, function, error, spoil));
        add(&FORWARD, cols(X, 5, 4), |c| c.x = Some((2, 4)));
        add(&FORWARD, cols(X, 5, 6), |c| c.x = Some((0, 6)));
        add(&FORWARD, rows(Y, 2, 1), |c| c.y = (1, 4));
        add(&FORWARD, rows(Y, 1, 2), |c| c.x = Some((1, 5)));
        add(&FORWARD, cols(Y, 4, 5), |c| c.y = (2, 5));
        add(&FORWARD, too_many(Tokens, 2, 3), |c| (c.x, c.y) = (Some((3, 5)), (3, 4)));
        add(&MERGE, rows(Merged, 4, 3), |c| c.merged = (3, 5));
        add(&MERGE, rows(Merged, 4, 5), |c| c.merged = (5, 4));
        add(&MERGE, cols(Merged, 5, 6), |c| c.merged = (4, 6));
    }
    table.push(after(&[init], &FORWARD, too_many(Tokens, 0, 1), |c| {
        c.plan = Plan::training(SHAPE, 0, Optimizer::Sgd);
        (c.x, c.y) = (Some((1, 5)), (1, 4));
    }));
    table
}

/// What both passes backward say, with the plan that each is for.
pub(crate) fn backward_cases(function: &'static Function, optimizer: Optimizer) -> Vec<Case> {
    use Argument::{DX, DY, X};
    let mut table = Vec::new();
    let mut add = |before: &[Before], error, spoil: fn(&mut Call)| {
        for bias in [false, true] {
            if !(bias && optimizer == Optimizer::InPlace) {
                table.push(after(before, function, error, move |c| {
                    planned(c, optimizer, true, bias);
                    spoil(c);
                }));
            }
        }
    };
    let dropped: &[Before] = &[init, dropout, forward::<2>];
    for before in [RUNNING[0], dropped] {
        add(before, rows(DY, 2, 1), |c| c.dy = (1, 4));
        add(before, cols(DY, 4, 5), |c| c.dy = (2, 5));
        add(before, rows(X, 2, 1), |c| c.x = Some((1, 5)));
        add(before, cols(X, 5, 4), |c| c.x = Some((2, 4)));
        add(before, rows(DX, 2, 3), |c| c.dx = Some((3, 5)));
        add(before, cols(DX, 5, 6), |c| c.dx = Some((2, 6)));
        add(before, rows(DX, 2, 0), |c| c.dx = Some((0, 5)));
    }
    add(&[init, forward::<2>, forward::<1>], rows(DY, 1, 2), |_| ());
    add(&[init, forward::<0>], rows(DY, 0, 2), |_| ());
    let forgotten: [&[Before]; 6] = [
        &[init],
        &[init, dropout],
        &[init, forward::<2>, dropout],
        &[init, dropout, forward::<2>, no_dropout],
        &[init, forward::<2>, init],
        &[init, forward::<2>, adopt],
    ];
    for before in forgotten {
        add(before, Error::NoForward, |_| ());
        add(before, Error::NoForward, |c| (c.dx, c.dy) = (None, (2, 4)));
    }
    for zero in [0.0, -0.0] {
        table.push(after(&[adopt, forward::<2>], function, Error::DeadAdapter, move |c| {
            planned(c, optimizer, true, false);
            c.zero = vec![(Argument::Arena, zero)];
        }));
    }
    table.push(after(&[adopt, dropout, forward::<2>], function, Error::DeadAdapter, move |c| {
        planned(c, optimizer, false, false);
        (c.zero, c.x) = (vec![(Argument::Arena, 0.0)], None);
    }));
    table
}

/// What only the backward pass says that keeps its gradients.
fn own_backward_cases() -> Vec<Case> {
    let other = Error::OtherOptimizer { planned: Optimizer::InPlace, used: Optimizer::Sgd };
    let mut table = vec![after(RUNNING[0], &BACKWARD, rows(Argument::DY, 2, 3), |c| c.dy = (3, 4))];
    for a in [true, false] {
        table.push(after(RUNNING[0], &BACKWARD, other, move |c| planned(c, Optimizer::InPlace, a, false)));
        table.push(after(RUNNING[0], &BACKWARD, other, move |c| {
            planned(c, Optimizer::InPlace, a, true);
            c.dx = None;
        }));
    }
    table
}

static FUNCTIONS: [&Function; 10] =
    [&LAYER, &ADAPTED, &INIT, &ADOPT, &ADAPTER, &RECORD, &SET_DROPOUT, &FORWARD, &BACKWARD, &MERGE];

#[test]
fn errors_leave_a_layer_as_it_was() {
    let mut table = opening_cases(&LAYER, false);
    table.extend(adapted_cases());
    table.extend(beginning_cases());
    table.extend(forward_and_merge_cases());
    table.extend(backward_cases(&BACKWARD, Optimizer::AdamW));
    table.extend(own_backward_cases());
    judge(&FUNCTIONS, &table);
}

#[test]
fn unspoiled_calls_succeed() {
    for function in FUNCTIONS {
        let reads = ["Plan::layer", "Plan::adapted", "Layer::adapter", "Layer::entry"].contains(&function.name);
        succeeds(function, !reads, |c| {
            c.before = RUNNING[0].to_vec();
            if function.name == ADAPTED.name {
                c.plan = Plan::inference(SHAPE, TOKENS);
            }
        });
    }
}
