//! Gate 12, continued: the training functions leave every output untouched when they return an error.

use crate::support::errors::{
    Call, Case, Cut, Function, Outcome, SHAPE, TOKENS, base_and_adapter, case, cols, judge, length, progress_cases,
    rows, saved_cases, succeeds, too_many,
};
use lowrank::train::{Beta, Clock, MeanLoss, Moments, Optimizer, State, Trained, clip};
use lowrank::{Argument, Backend, Error, MatMut, MatRef, Plan, Shape};

const BACKEND: Backend = Backend::BASELINE;

fn state<'m>(cut: &mut Cut<'m, '_>, call: &Call) -> State<'m> {
    let [a, b, bias] = call.moments.map(|[first, second]| Moments {
        first: cut.write(Argument::State, first),
        second: cut.write(Argument::State, second),
    });
    State { a, b, bias, clock: call.clock }
}

static ADAMW: Function = Function {
    name: "AdamW::step",
    run: adamw,
    documented: &["Range", "OtherOptimizer", "Rows", "Cols", "Missing", "NonFinite"],
};

fn adamw(call: &Call, arena: &mut [f32], act: bool) -> Outcome {
    let cut = &mut Cut::new(arena, call);
    let (mut adapter, grads, mut state) = (cut.adapter_mut(), cut.grads(), state(cut, call));
    let result = if act { call.adamw.step(BACKEND, &mut adapter, &grads, &mut state) } else { Ok(()) };
    (result, format!("{:?}", state.clock))
}

static SGD: Function = Function {
    name: "Sgd::step",
    run: sgd,
    documented: &["Range", "OtherOptimizer", "Rows", "Cols", "Missing", "NonFinite"],
};

fn sgd(call: &Call, arena: &mut [f32], act: bool) -> Outcome {
    let cut = &mut Cut::new(arena, call);
    let (mut adapter, grads, mut state) = (cut.adapter_mut(), cut.grads(), state(cut, call));
    let result = if act { call.sgd.step(BACKEND, &mut adapter, &grads, &mut state) } else { Ok(()) };
    (result, format!("{:?}", state.clock))
}

static IN_PLACE: Function = Function {
    name: "InPlace::step",
    run: in_place,
    documented: &[
        "Range",
        "Rows",
        "Cols",
        "TooMany",
        "NoForward",
        "ForInference",
        "AbsentAdapter",
        "Unexpected",
        "DeadAdapter",
        "NonFinite",
    ],
};

/// `saved` lies outside of the arena: `gs` in it may be written, as is documented.
fn in_place(call: &Call, arena: &mut [f32], act: bool) -> Outcome {
    let (cut, mut memory) = (&mut Cut::new(arena, call), vec![0.0; 100]);
    let mut saved = Cut::new(&mut memory, call).saved();
    let (base, mut adapter, flow) = (cut.base(), cut.adapter_mut(), cut.flow());
    let result = if act { call.in_place.step(BACKEND, &base, &mut adapter, flow, &mut saved) } else { Ok(()) };
    (result, format!("{:?}", saved.hs()))
}

/// A mean, with two tokens in it if the call says so.
fn begun(call: &Call) -> MeanLoss {
    let mut loss = MeanLoss::over(call.over);
    if call.seen_before {
        let (values, mut grad) = ([[1.0], [2.0]], [[0.0], [0.0]]);
        let values = MatRef::from_rows(&values);
        loss.mean_squared_error(values, values, MatMut::from_rows(&mut grad)).unwrap();
    }
    loss
}

static CROSS_ENTROPY: Function = Function {
    name: "MeanLoss::softmax_cross_entropy",
    run: cross_entropy,
    documented: &["Rows", "Cols", "Length", "Label", "NonFinite", "TooMany"],
};

fn cross_entropy(call: &Call, arena: &mut [f32], act: bool) -> Outcome {
    let (cut, mut loss) = (&mut Cut::new(arena, call), begun(call));
    let (logits, grad) = (cut.read(Argument::Y, call.y), cut.write(Argument::LossGrad, call.loss_grad));
    let result = if act { loss.softmax_cross_entropy(logits, &call.labels, grad) } else { Ok(()) };
    (result, format!("{loss:?}"))
}

static SQUARED_ERROR: Function = Function {
    name: "MeanLoss::mean_squared_error",
    run: squared_error,
    documented: &["Rows", "Cols", "NonFinite", "TooMany"],
};

fn squared_error(call: &Call, arena: &mut [f32], act: bool) -> Outcome {
    let (cut, mut loss) = (&mut Cut::new(arena, call), begun(call));
    let (y, targets) = (cut.read(Argument::Y, call.y), cut.read(Argument::Targets, call.targets));
    let grad = cut.write(Argument::LossGrad, call.loss_grad);
    let result = if act { loss.mean_squared_error(y, targets, grad) } else { Ok(()) };
    (result, format!("{loss:?}"))
}

static FACTOR: Function = Function { name: "clip::factor", run: factor, documented: &["Range", "NonFinite"] };

fn factor(call: &Call, _: &mut [f32], _: bool) -> Outcome {
    (clip::factor(call.square_sum, call.max_norm).map(drop), String::new())
}

static GLOBAL_NORM: Function =
    Function { name: "clip::global_norm", run: global_norm, documented: &["Range", "NonFinite"] };

fn global_norm(call: &Call, arena: &mut [f32], act: bool) -> Outcome {
    let (whole, mut memory) = (Call::default(), vec![1.0; 100]);
    let mut first = Cut::new(&mut memory, &whole).grads();
    let mut second = Cut::new(arena, call).grads();
    let layers = &mut [&mut first, &mut second];
    let result = if act { clip::global_norm(BACKEND, layers, call.max_norm).map(drop) } else { Ok(()) };
    (result, format!("{first:?}"))
}

static SPLIT: Function = Function { name: "Plan::split", run: split, documented: &["Length", "Overflow"] };

fn split(call: &Call, arena: &mut [f32], _: bool) -> Outcome {
    let [tokens, rank, _, len] = call.sizes;
    let plan = Plan::training(Shape::new(5, 4, rank), tokens, Optimizer::AdamW);
    (plan.split(&mut arena[..len]).map(drop), String::new())
}

static STATE: Function = Function { name: "State::new", run: state_new, documented: &["Length", "Overflow"] };

fn state_new(call: &Call, arena: &mut [f32], _: bool) -> Outcome {
    let [inputs, rank, _, len] = call.sizes;
    let shape = Shape::new(inputs, 4, rank);
    (State::new(&mut arena[..len], shape, Optimizer::AdamW, Trained::DEFAULT).map(drop), String::new())
}

static FUNCTIONS: [&Function; 9] =
    [&ADAMW, &SGD, &IN_PLACE, &CROSS_ENTROPY, &SQUARED_ERROR, &FACTOR, &GLOBAL_NORM, &SPLIT, &STATE];

fn range(argument: Argument, at_least: f32, at_most: f32, got: f32) -> Error {
    Error::Range { argument, at_least, at_most, got }
}

fn non_finite(argument: Argument, index: usize) -> Error {
    Error::NonFinite { argument, index }
}

/// What AdamW and SGD check about adapter, gradients and state.
fn step_cases(function: &'static Function) -> Vec<Case> {
    use Argument::{A, Bias, DA, DB, DBias, State};
    let missing = Error::Missing { argument: Bias };
    vec![
        case(function, rows(DA, 3, 2), |c| c.da = Some((2, 5))),
        case(function, cols(DA, 5, 6), |c| c.da = Some((3, 6))),
        case(function, rows(DB, 4, 3), |c| c.db = (3, 3)),
        case(function, cols(DB, 3, 4), |c| c.db = (4, 4)),
        case(function, rows(DBias, 1, 2), |c| c.dbias = Some((2, 4))),
        case(function, cols(DBias, 4, 5), |c| c.dbias = Some((1, 5))),
        // Gradients are held to their matrices, not `B` to `A`: of which they may be rows.
        case(function, cols(DB, 4, 3), |c| c.b = (4, 4)),
        case(function, cols(DB, 2, 3), |c| c.b = (4, 2)),
        case(function, rows(DA, 2, 3), |c| c.a = (2, 5)),
        case(function, rows(Bias, 1, 2), |c| c.trained_bias = Some((2, 4))),
        case(function, cols(Bias, 4, 3), |c| c.trained_bias = Some((1, 3))),
        case(function, rows(State, 3, 0), |c| c.moments[0][0] = (0, 5)),
        case(function, cols(State, 3, 5), |c| c.moments[1][0] = (4, 5)),
        case(function, rows(State, 1, 0), |c| c.moments[2][0] = (0, 4)),
        case(function, missing, |c| c.trained_bias = None),
        case(function, missing, |c| (c.trained_bias, c.da) = (None, None)),
        case(function, missing, |c| (c.trained_bias, c.put) = (None, vec![(DA, 0, f32::NAN)])),
        case(function, non_finite(DA, 14), |c| c.put = vec![(DA, 14, f32::NAN)]),
        case(function, non_finite(DB, 1), |c| c.put = vec![(DB, 7, f32::NAN), (DB, 1, f32::INFINITY)]),
        case(function, non_finite(DBias, 3), |c| c.put = vec![(DBias, 3, f32::NEG_INFINITY)]),
        case(function, non_finite(DB, 0), |c| (c.da, c.put) = (None, vec![(DB, 0, f32::NAN)])),
        // A moment that is not read does not have to be right, an adapter's NaN is none of the optimizer's business.
        case(function, cols(DA, 5, 1), |c| (c.da, c.put) = (Some((3, 1)), vec![(A, 0, f32::NAN)])),
    ]
}

/// The largest number below 1.
const BELOW_ONE: f32 = 0.999_999_94;

/// Numbers that are no learning rates and the like.
const BAD: [f32; 4] = [-1.0, f32::NAN, f32::INFINITY, f32::NEG_INFINITY];

/// Steps halve the distance of a weight to 1.
fn at_clock(call: &mut Call, weight1: f32, weight2: f32) {
    call.clock = Clock { steps: 3, weight1, weight2 };
    (call.adamw.beta1, call.adamw.beta2) = (Beta::new(0.5), Beta::new(0.5));
}

fn hyper_parameters() -> Vec<Case> {
    use Argument::{Beta1, Beta2, Dampening, Epsilon, LearningRate, MaxNorm, Momentum, WeightDecay};
    let (mut table, max) = (Vec::new(), f32::MAX);
    for got in BAD {
        let rate = || range(LearningRate, 0.0, max, got);
        table.push(case(&ADAMW, rate(), move |c| c.adamw.learning_rate = got));
        table.push(case(&ADAMW, rate(), move |c| (c.adamw.learning_rate, c.adamw.b_rate) = (1.0, got)));
        table.push(case(&ADAMW, range(WeightDecay, 0.0, max, got), move |c| c.adamw.weight_decay = got));
        table.push(case(&ADAMW, range(Epsilon, 0.0, max, got), move |c| c.adamw.epsilon = got));
        table.push(case(&ADAMW, range(Beta1, 0.0, BELOW_ONE, got), move |c| c.adamw.beta1 = Beta::new(f64::from(got))));
        table.push(case(&ADAMW, range(Beta2, 0.0, BELOW_ONE, got), move |c| c.adamw.beta2 = Beta::new(f64::from(got))));
        table.push(case(&SGD, rate(), move |c| c.sgd.learning_rate = got));
        table.push(case(&SGD, rate(), move |c| (c.sgd.learning_rate, c.sgd.b_rate) = (1.0, got)));
        table.push(case(&SGD, range(WeightDecay, 0.0, max, got), move |c| c.sgd.weight_decay = got));
        table.push(case(&SGD, range(Momentum, 0.0, 1.0, got), move |c| c.sgd.momentum = got));
        table.push(case(&SGD, range(Dampening, 0.0, 1.0, got), move |c| c.sgd.dampening = got));
        table.push(in_place_case(rate(), move |c| c.in_place.learning_rate = got));
        table.push(in_place_case(rate(), move |c| (c.in_place.learning_rate, c.in_place.b_rate) = (1.0, got)));
        let max_norm = range(MaxNorm, 0.0, max, got);
        table.push(in_place_case(max_norm, move |c| c.in_place.max_norm = Some(got)));
        table.push(case(&FACTOR, max_norm, move |c| c.max_norm = got));
        table.push(case(&GLOBAL_NORM, max_norm, move |c| c.max_norm = got));
    }
    table.extend([
        case(&ADAMW, range(Epsilon, f32::from_bits(1), max, 0.0), |c| c.adamw.epsilon = 0.0),
        case(&ADAMW, range(Beta1, 0.0, BELOW_ONE, 1.0), |c| c.adamw.beta1 = Beta::new(1.0)),
        case(&ADAMW, range(Beta2, 0.0, BELOW_ONE, 1.0), |c| c.adamw.beta2 = Beta::new(1.0)),
        case(&SGD, range(Momentum, 0.0, 1.0, 1.5), |c| c.sgd.momentum = 1.5),
        case(&SGD, range(Momentum, f32::from_bits(1), 1.0, 0.0), |c| (c.sgd.nesterov, c.sgd.momentum) = (true, 0.0)),
        case(&SGD, range(Dampening, 0.0, 0.0, 0.5), |c| (c.sgd.nesterov, c.sgd.dampening) = (true, 0.5)),
        case(&ADAMW, range(Argument::State, 0.0, 1.0, -0.5), |c| at_clock(c, -2.0, 0.5)),
        case(&ADAMW, range(Argument::State, 0.0, 1.0, -0.25), |c| at_clock(c, 0.5, -1.5)),
        case(&ADAMW, range(Argument::State, 0.0, 1.0, f32::NAN), |c| at_clock(c, 0.5, f32::NAN)),
        case(&ADAMW, range(Argument::State, 0.0, 1.0, f32::NAN), |c| at_clock(c, f32::NAN, 0.5)),
        case(&ADAMW, range(Argument::State, 0.0, 1.0, 1.75), |c| at_clock(c, 0.5, 2.5)),
        case(&ADAMW, rows(Argument::State, 4, 3), |c| c.moments[1][1] = (3, 3)),
        case(&ADAMW, cols(Argument::State, 4, 3), |c| c.moments[2][1] = (1, 3)),
    ]);
    table
}

/// Memory that was planned for an optimizer that needs less, or for one in place, which has no gradients.
fn other_optimizers() -> Vec<Case> {
    use Optimizer::{AdamW, InPlace, Momentum, Sgd};
    let mut table = Vec::new();
    for (used, planned) in
        [(AdamW, Momentum), (AdamW, Sgd), (AdamW, InPlace), (Momentum, Sgd), (Momentum, InPlace), (Sgd, InPlace)]
    {
        let function = if used == AdamW { &ADAMW } else { &SGD };
        for frozen in [false, true] {
            table.push(case(function, Error::OtherOptimizer { planned, used }, move |c| {
                for moments in &mut c.moments {
                    moments[planned.moments()..].iter_mut().for_each(|moment| moment.0 = 0);
                }
                if used == Sgd {
                    c.sgd.momentum = 0.0;
                }
                if planned == InPlace {
                    (c.da, c.db.0, c.dbias) = (None, 0, None);
                }
                if frozen {
                    (c.da, c.dbias) = (None, None);
                    (c.moments[0], c.moments[2]) = ([(0, 5); 2], [(0, 4); 2]);
                }
            }));
        }
    }
    table
}

/// A trained bias is what `InPlace` does not have.
fn in_place_case(error: Error, spoil: impl Fn(&mut Call) + 'static) -> Case {
    case(&IN_PLACE, error, move |c| {
        c.trained_bias = None;
        spoil(c);
    })
}

fn in_place_cases() -> Vec<Case> {
    use Argument::{A, B, Bias, DX, DY, GradNorm, X};
    let unexpected = Error::Unexpected { argument: Bias };
    let mut table = progress_cases(&IN_PLACE);
    table.extend([
        case(&IN_PLACE, unexpected, |_| ()),
        case(&IN_PLACE, unexpected, |c| c.trained_bias = Some((2, 3))),
        case(&IN_PLACE, unexpected, |c| c.x = None),
        in_place_case(cols(DY, 4, 5), |c| c.dy = (2, 5)),
        in_place_case(rows(DY, 2, 1), |c| c.dy = (1, 4)),
        in_place_case(rows(X, 2, 3), |c| c.x = Some((3, 5))),
        in_place_case(cols(X, 5, 4), |c| c.x = Some((2, 4))),
        in_place_case(rows(DX, 2, 5), |c| c.dx = Some((5, 2))),
        in_place_case(cols(DX, 5, 6), |c| c.dx = Some((2, 6))),
        in_place_case(non_finite(DY, 7), |c| c.put = vec![(DY, 7, f32::NAN)]),
        in_place_case(non_finite(DY, 0), |c| c.put = vec![(DY, 0, f32::INFINITY)]),
        in_place_case(non_finite(GradNorm, 0), |c| c.put = vec![(DY, 3, 1e30)]),
        in_place_case(non_finite(GradNorm, 0), |c| c.put = vec![(X, 3, f32::NAN)]),
    ]);
    for zero in [0.0, -0.0] {
        table.push(in_place_case(Error::DeadAdapter, move |c| c.zero = vec![(A, zero), (B, 0.0)]));
    }
    table.push(in_place_case(Error::DeadAdapter, |c| (c.zero, c.x) = (vec![(A, 0.0), (B, -0.0)], None)));
    for shared in base_and_adapter(&IN_PLACE).into_iter().chain(saved_cases(&IN_PLACE)) {
        let (mut spoiled, spoil) = (Call { trained_bias: None, ..Call::default() }, shared.spoil);
        spoil(&mut spoiled);
        if spoiled.trained_bias.is_none() {
            table.push(in_place_case(shared.error, move |c| spoil(c)));
        }
    }
    table
}

fn loss_cases() -> Vec<Case> {
    use Argument::{Labels, LossGrad, Targets, Tokens, Y};
    let label = |index, got| Error::Label { index, classes: 4, got };
    let mut table = vec![
        case(&CROSS_ENTROPY, length(Labels, 2, 1), |c| c.labels = vec![0]),
        case(&CROSS_ENTROPY, length(Labels, 2, 0), |c| c.labels = vec![]),
        case(&CROSS_ENTROPY, length(Labels, 1, 2), |c| c.y = (1, 4)),
        case(&CROSS_ENTROPY, label(0, 4), |c| c.labels = vec![4, 0]),
        case(&CROSS_ENTROPY, label(1, u32::MAX), |c| c.labels = vec![3, u32::MAX]),
        case(&CROSS_ENTROPY, label(0, 9), |c| c.labels = vec![9, 10]),
        case(&SQUARED_ERROR, rows(Targets, 2, 4), |c| c.targets = (4, 2)),
        case(&SQUARED_ERROR, cols(Targets, 4, 3), |c| c.targets = (2, 3)),
        case(&SQUARED_ERROR, non_finite(Targets, 2), |c| c.put = vec![(Targets, 2, f32::INFINITY)]),
    ];
    for function in [&CROSS_ENTROPY, &SQUARED_ERROR] {
        table.extend([
            case(function, rows(LossGrad, 2, 1), |c| c.loss_grad = (1, 4)),
            case(function, rows(LossGrad, 2, 3), |c| c.loss_grad = (3, 4)),
            case(function, rows(LossGrad, 2, 0), |c| c.loss_grad = (0, 4)),
            case(function, cols(LossGrad, 4, 3), |c| c.loss_grad = (2, 3)),
            case(function, cols(LossGrad, 4, 5), |c| c.loss_grad = (2, 5)),
            case(function, cols(LossGrad, 4, 0), |c| c.loss_grad = (2, 0)),
        ]);
        for over in [0, 1] {
            table.push(case(function, too_many(Tokens, over, 2), move |c| c.over = over));
        }
        // Two of three tokens have been seen.
        table.push(case(function, too_many(Tokens, 1, 2), |c| (c.over, c.seen_before) = (3, true)));
        for (index, value) in [(0, f32::NAN), (5, f32::INFINITY), (7, f32::NEG_INFINITY)] {
            table.push(case(function, non_finite(Y, index), move |c| c.put = vec![(Y, index, value)]));
        }
    }
    table
}

fn clip_cases() -> Vec<Case> {
    use Argument::{DA, DB, DBias, GradNorm};
    let mut table = Vec::new();
    for sum in [f32::NAN, f32::INFINITY, -1.0] {
        table.push(case(&FACTOR, non_finite(GradNorm, 0), move |c| c.square_sum = sum));
    }
    // The last one is finite, but its square is not.
    for (argument, value) in [(DA, f32::NAN), (DB, f32::INFINITY), (DBias, -1e30)] {
        table.push(case(&GLOBAL_NORM, non_finite(GradNorm, 0), move |c| c.put = vec![(argument, 1, value)]));
    }
    table
}

fn memory_cases() -> Vec<Case> {
    use Argument::{Arena, State};
    let mut table = Vec::new();
    let mut add = |function, error, sizes: [usize; 4]| table.push(case(function, error, move |c| c.sizes = sizes));
    // A, B, dA, dB and two moments of each, 3·(5 + 4) numbers; hs and gs of 2 tokens.
    for len in [0, 119, 121] {
        add(&SPLIT, length(Arena, 4 * 27 + 12, len), [2, 3, 0, len]);
    }
    for [tokens, rank] in [[usize::MAX, 3], [2, usize::MAX / 16], [2, isize::MAX as usize / 4]] {
        add(&SPLIT, Error::Overflow { argument: Arena }, [tokens, rank, 0, 1]);
    }
    for len in [0, 53, 55] {
        add(&STATE, length(State, 2 * 27, len), [5, 3, 0, len]);
    }
    for [inputs, rank] in [[usize::MAX, 2], [2, usize::MAX / 4], [isize::MAX as usize / 4, 1]] {
        add(&STATE, Error::Overflow { argument: State }, [inputs, rank, 0, 1]);
    }
    table
}

#[test]
fn errors_leave_everything_as_it_was() {
    let mut table = step_cases(&ADAMW);
    table.extend(step_cases(&SGD));
    table.extend(hyper_parameters());
    table.extend(other_optimizers());
    table.extend(in_place_cases());
    table.extend(loss_cases());
    table.extend(clip_cases());
    table.extend(memory_cases());
    judge(&FUNCTIONS, &table);
}

#[test]
fn unspoiled_calls_succeed() {
    for function in FUNCTIONS {
        let writes = !["clip::factor", "Plan::split", "State::new"].contains(&function.name);
        succeeds(function, writes, |c| match function.name {
            "InPlace::step" => c.trained_bias = None,
            "Plan::split" => c.sizes = [TOKENS, SHAPE.rank, 0, 120],
            "State::new" => c.sizes = [SHAPE.inputs, SHAPE.rank, 0, 54],
            _ => {}
        });
    }
}
