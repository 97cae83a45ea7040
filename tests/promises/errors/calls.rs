//! Promise: an error leaves every output untouched and says what is wrong. Views, weights, forward, backward and merge; the
//! training functions have a table of their own.

use crate::support::errors::{
    BACKWARD_ERRORS, Call, Case, Cut, Function, Outcome, base_and_adapter, case, cols, judge, length, progress_cases,
    rows, saved_cases, succeeds, too_many,
};
use lowrank::train::Optimizer;
use lowrank::{
    Argument, Backend, Dropout, Error, MatMut, MatRef, Packed, Saved, Shape, backward, forward, merge, merge_finite,
    pack,
};

const BACKEND: Backend = Backend::BASELINE;
const MAX: usize = usize::MAX;

/// For functions that have no state.
fn stateless(result: Result<(), Error>) -> Outcome {
    (result, String::new())
}

static DENSE: Function = Function { name: "MatRef::new", run: dense, documented: &["Length", "Overflow"] };

fn dense(call: &Call, arena: &mut [f32], _: bool) -> Outcome {
    let [rows, cols, _, len] = call.sizes;
    let result = MatRef::new(&arena[..len], rows, cols).map(drop);
    assert_eq!(MatMut::new(&mut arena[..len], rows, cols).map(drop), result);
    stateless(result)
}

static STRIDED: Function =
    Function { name: "MatRef::with_stride", run: strided, documented: &["Length", "Stride", "Overflow"] };

fn strided(call: &Call, arena: &mut [f32], _: bool) -> Outcome {
    let [rows, cols, stride, len] = call.sizes;
    let result = MatRef::with_stride(&arena[..len], rows, cols, stride).map(drop);
    assert_eq!(MatMut::with_stride(&mut arena[..len], rows, cols, stride).map(drop), result);
    stateless(result)
}

static PACKED: Function = Function { name: "Packed::new", run: packed, documented: &["Length", "Cols", "Overflow"] };

fn packed(call: &Call, arena: &mut [f32], _: bool) -> Outcome {
    let [rows, cols, width, len] = call.sizes;
    stateless(Packed::new(&arena[..len], rows, cols, width).map(drop))
}

static PACK: Function = Function { name: "pack", run: pack_call, documented: &["Length"] };

fn pack_call(call: &Call, arena: &mut [f32], act: bool) -> Outcome {
    let [rows, cols, _, len] = call.sizes;
    let cut = &mut Cut::new(arena, call);
    let (w, buffer) = (cut.read(Argument::W, (rows, cols)), cut.memory(Argument::Packed, len));
    stateless(if act { pack(BACKEND, w, buffer).map(drop) } else { Ok(()) })
}

static INFERENCE: Function = Function { name: "Saved::inference", run: inference, documented: &["Length", "Overflow"] };

fn inference(call: &Call, arena: &mut [f32], _: bool) -> Outcome {
    let [tokens, rank, _, len] = call.sizes;
    stateless(Saved::inference(&mut arena[..len], Shape::new(5, 4, rank), tokens).map(drop))
}

static TRAINING: Function = Function { name: "Saved::training", run: training, documented: &["Length", "Overflow"] };

fn training(call: &Call, arena: &mut [f32], _: bool) -> Outcome {
    let [tokens, rank, _, len] = call.sizes;
    stateless(Saved::training(&mut arena[..len], Shape::new(5, 4, rank), tokens).map(drop))
}

static SET_DROPOUT: Function = Function { name: "Saved::set_dropout", run: set_dropout, documented: &["Range"] };

fn set_dropout(call: &Call, arena: &mut [f32], act: bool) -> Outcome {
    let mut saved = Cut::new(arena, call).saved();
    let dropout = Dropout { probability: call.scale, seed: 1, step: 2, layer_number: 3, first_token: 4 };
    let result = if act { saved.set_dropout(Some(dropout)) } else { Ok(()) };
    (result, format!("{saved:?}"))
}

static FORWARD: Function =
    Function { name: "forward", run: forward_call, documented: &["Rows", "Cols", "TooMany", "Range"] };

fn forward_call(call: &Call, arena: &mut [f32], act: bool) -> Outcome {
    let cut = &mut Cut::new(arena, call);
    let (base, adapter, mut saved) = (cut.base(), cut.adapter(), cut.saved());
    let (x, y) = (cut.read(Argument::X, call.x.unwrap()), cut.write(Argument::Y, call.y));
    let result = if act { forward(BACKEND, &base, &adapter, x, y, &mut saved) } else { Ok(()) };
    (result, format!("{saved:?}"))
}

static BACKWARD: Function = Function { name: "backward", run: backward_call, documented: &BACKWARD_ERRORS };

fn backward_call(call: &Call, arena: &mut [f32], act: bool) -> Outcome {
    let cut = &mut Cut::new(arena, call);
    let (base, adapter, mut saved) = (cut.base(), cut.adapter(), cut.saved());
    let (flow, mut grads) = (cut.flow(), cut.grads());
    let result = if act { backward(BACKEND, &base, &adapter, flow, &mut saved, &mut grads) } else { Ok(()) };
    (result, format!("{saved:?}"))
}

static MERGE: Function = Function { name: "merge", run: merge_call, documented: &["Rows", "Cols", "Range"] };

fn merge_call(call: &Call, arena: &mut [f32], act: bool) -> Outcome {
    let cut = &mut Cut::new(arena, call);
    let (base, adapter, merged) = (cut.base(), cut.adapter(), cut.write(Argument::Merged, call.merged));
    stateless(if act { merge(BACKEND, &base, &adapter, merged) } else { Ok(()) })
}

static MERGE_FINITE: Function =
    Function { name: "merge_finite", run: merge_finite_call, documented: &["Rows", "Cols", "Range", "NonFinite"] };

fn merge_finite_call(call: &Call, arena: &mut [f32], act: bool) -> Outcome {
    let cut = &mut Cut::new(arena, call);
    let (base, adapter, merged) = (cut.base(), cut.adapter(), cut.write(Argument::Merged, call.merged));
    stateless(if act { merge_finite(BACKEND, &base, &adapter, merged) } else { Ok(()) })
}

static CHECK_ALIVE: Function =
    Function { name: "Adapter::check_alive", run: check_alive, documented: &["DeadAdapter"] };

fn check_alive(call: &Call, arena: &mut [f32], _: bool) -> Outcome {
    stateless(Cut::new(arena, call).adapter().check_alive())
}

static CHECK_FINITE: Function =
    Function { name: "Adapter::check_finite", run: check_finite, documented: &["NonFinite"] };

fn check_finite(call: &Call, arena: &mut [f32], _: bool) -> Outcome {
    stateless(Cut::new(arena, call).adapter().check_finite())
}

static CHECK_GRADS: Function = Function { name: "Grads::check_finite", run: check_grads, documented: &["NonFinite"] };

fn check_grads(call: &Call, arena: &mut [f32], _: bool) -> Outcome {
    stateless(Cut::new(arena, call).grads().check_finite())
}

static FUNCTIONS: [&Function; 14] = [
    &DENSE,
    &STRIDED,
    &PACKED,
    &PACK,
    &INFERENCE,
    &TRAINING,
    &SET_DROPOUT,
    &FORWARD,
    &BACKWARD,
    &MERGE,
    &MERGE_FINITE,
    &CHECK_ALIVE,
    &CHECK_FINITE,
    &CHECK_GRADS,
];

/// Constructors, which see nothing but sizes.
fn constructors() -> Vec<Case> {
    use Argument::{Matrix, Packed, Saved};
    let mut table = Vec::new();
    let mut add = |function, error, sizes: [usize; 4]| table.push(case(function, error, move |c| c.sizes = sizes));
    for (function, argument) in [(&DENSE, Matrix), (&STRIDED, Matrix), (&PACKED, Packed), (&INFERENCE, Saved)] {
        add(function, length(argument, 6, 5), [2, 3, 3, 5]);
        add(function, length(argument, 1, 0), [1, 1, 1, 0]);
        add(function, length(argument, 1000, 7), [10, 100, 100, 7]);
        for [n, m] in [[MAX, 2], [1 << (usize::BITS / 2), 1 << (usize::BITS / 2)], [2, isize::MAX as usize / 4]] {
            add(function, Error::Overflow { argument }, [n, m, m, 6]);
        }
    }
    // A dense matrix has no elements to spare, a strided one may lie in a longer slice.
    add(&DENSE, length(Matrix, 6, 7), [2, 3, 0, 7]);
    add(&INFERENCE, length(Saved, 0, 1), [0, 3, 0, 1]);
    add(&STRIDED, length(Matrix, 23, 22), [3, 3, 10, 22]);
    for (wanted, stride) in [(3, 2), (3, 0), (MAX, 4)] {
        add(&STRIDED, Error::Stride { argument: Matrix, expected: wanted, got: stride }, [2, wanted, stride, 6]);
    }
    for sizes in [[2, 3, 0, 6], [0, 0, 0, 0], [MAX, MAX, 0, 1]] {
        add(&PACKED, cols(Packed, 1, 0), sizes);
    }
    for (expected, sizes) in [(6, [2, 3, 0, 5]), (6, [2, 3, 0, 7]), (0, [0, 3, 0, 1])] {
        add(&PACK, length(Packed, expected, sizes[3]), sizes);
    }
    for (expected, sizes) in [(12, [2, 3, 0, 6]), (12, [2, 3, 0, 13]), (0, [2, 0, 0, 1])] {
        add(&TRAINING, length(Saved, expected, sizes[3]), sizes);
    }
    // Twice this is too much; once would fit.
    for sizes in [[MAX, 1, 0, 6], [1, isize::MAX as usize / 4, 0, 6], [isize::MAX as usize / 8 + 1, 1, 0, 6]] {
        add(&TRAINING, Error::Overflow { argument: Saved }, sizes);
    }
    table
}

fn forward_cases() -> Vec<Case> {
    use Argument::{X, Y};
    vec![
        case(&FORWARD, cols(X, 5, 4), |c| c.x = Some((2, 4))),
        case(&FORWARD, cols(X, 5, 0), |c| c.x = Some((2, 0))),
        case(&FORWARD, rows(Y, 2, 3), |c| c.y = (3, 4)),
        case(&FORWARD, rows(Y, 1, 2), |c| c.x = Some((1, 5))),
        case(&FORWARD, cols(Y, 4, 5), |c| c.y = (2, 5)),
    ]
}

fn backward_cases() -> Vec<Case> {
    use Argument::{A, B, DA, DB, DBias, DX, DY, X};
    let missing = |argument| Error::Missing { argument };
    let dead = |a: f32, b: f32| move |c: &mut Call| c.zero = vec![(A, a), (B, b)];
    let mut table = progress_cases(&BACKWARD);
    table.extend([
        case(&BACKWARD, cols(DY, 4, 5), |c| c.dy = (2, 5)),
        case(&BACKWARD, rows(DY, 2, 1), |c| c.dy = (1, 4)),
        case(&BACKWARD, rows(X, 2, 3), |c| c.x = Some((3, 5))),
        case(&BACKWARD, cols(X, 5, 4), |c| c.x = Some((2, 4))),
        case(&BACKWARD, rows(DX, 2, 5), |c| c.dx = Some((5, 2))),
        case(&BACKWARD, cols(DX, 5, 6), |c| c.dx = Some((2, 6))),
        case(&BACKWARD, rows(DA, 3, 2), |c| c.da = Some((2, 5))),
        case(&BACKWARD, cols(DA, 5, 3), |c| c.da = Some((3, 3))),
        case(&BACKWARD, rows(DB, 4, 3), |c| c.db = (3, 4)),
        case(&BACKWARD, cols(DB, 3, 4), |c| c.db = (4, 4)),
        case(&BACKWARD, rows(DBias, 1, 2), |c| c.dbias = Some((2, 4))),
        case(&BACKWARD, cols(DBias, 4, 5), |c| c.dbias = Some((1, 5))),
        case(&BACKWARD, missing(X), |c| c.x = None),
        case(&BACKWARD, missing(X), |c| (c.x, c.bias) = (None, None)),
        case(&BACKWARD, missing(X), |c| (c.x, c.dx) = (None, None)),
        case(&BACKWARD, Error::DeadAdapter, dead(0.0, 0.0)),
        case(&BACKWARD, Error::DeadAdapter, dead(-0.0, 0.0)),
        case(&BACKWARD, Error::DeadAdapter, dead(0.0, -0.0)),
        case(&CHECK_ALIVE, Error::DeadAdapter, dead(0.0, 0.0)),
        case(&CHECK_ALIVE, Error::DeadAdapter, dead(-0.0, -0.0)),
        case(&CHECK_ALIVE, Error::DeadAdapter, |c| (c.a, c.zero) = ((3, 0), vec![(B, 0.0)])),
    ]);
    table
}

fn merge_cases() -> Vec<Case> {
    use Argument::{A, B, Bias, DA, DB, DBias, Merged, W};
    let mut table = Vec::new();
    for function in [&MERGE, &MERGE_FINITE] {
        table.push(case(function, rows(Merged, 4, 5), |c| c.merged = (5, 5)));
        table.push(case(function, rows(Merged, 4, 0), |c| c.merged = (0, 5)));
        table.push(case(function, cols(Merged, 5, 4), |c| c.merged = (4, 4)));
    }
    let mut add = |function, argument, put: Vec<(Argument, usize, f32)>| {
        let error = Error::NonFinite { argument, index: put.last().unwrap().1 };
        table.push(case(function, error, move |c| c.put.clone_from(&put)));
    };
    add(&MERGE_FINITE, A, vec![(A, 14, f32::NAN)]);
    add(&MERGE_FINITE, B, vec![(B, 0, f32::INFINITY)]);
    add(&MERGE_FINITE, Merged, vec![(W, 19, f32::NEG_INFINITY)]);
    add(&MERGE_FINITE, Merged, vec![(W, 13, f32::NAN), (W, 7, f32::NAN)]);
    // Finite factors, an infinite product: s·B[0,0]·A[0,0], in all of row 0 at most, first in column 0.
    add(&MERGE_FINITE, Merged, vec![(B, 0, 1e30), (A, 0, 1e30)]);
    add(&CHECK_FINITE, A, vec![(A, 3, f32::INFINITY)]);
    add(&CHECK_FINITE, B, vec![(B, 11, f32::NAN)]);
    add(&CHECK_FINITE, Bias, vec![(Bias, 2, f32::NEG_INFINITY)]);
    add(&CHECK_GRADS, DA, vec![(DA, 14, f32::NAN)]);
    add(&CHECK_GRADS, DB, vec![(DB, 5, f32::INFINITY)]);
    add(&CHECK_GRADS, DBias, vec![(DBias, 3, f32::NAN)]);
    table
}

fn dropout_cases() -> Vec<Case> {
    [-0.1, 1.0, 2.0, f32::NAN, f32::INFINITY, f32::NEG_INFINITY]
        .map(|got| {
            let error = Error::Range { argument: Argument::Dropout, at_least: 0.0, at_most: 0.999_999_94, got };
            case(&SET_DROPOUT, error, move |c| c.scale = got)
        })
        .into()
}

#[test]
fn errors_leave_everything_as_it_was() {
    let mut table = constructors();
    for function in [&FORWARD, &BACKWARD, &MERGE, &MERGE_FINITE] {
        table.extend(base_and_adapter(function));
    }
    table.extend(saved_cases(&FORWARD));
    table.extend(saved_cases(&BACKWARD));
    table.extend(forward_cases());
    table.extend(backward_cases());
    table.extend(merge_cases());
    table.extend(dropout_cases());
    judge(&FUNCTIONS, &table);
}

#[test]
fn unspoiled_calls_succeed() {
    for function in FUNCTIONS {
        let writes = ["pack", "Saved::set_dropout", "forward", "backward", "merge", "merge_finite"];
        succeeds(function, writes.contains(&function.name), |c| {
            if function.name == "Saved::training" {
                c.sizes = [1, 3, 0, 6];
            }
        });
    }
}

/// What people will read.
#[test]
fn texts() {
    let texts = [
        (length(Argument::Packed, 4, 3), "Packed: expected 4 elements, got 3"),
        (rows(Argument::DY, 2, 1), "DY: expected 2 rows, got 1"),
        (cols(Argument::X, 5, 4), "X: expected 5 columns, got 4"),
        (too_many(Argument::Tokens, 1, 2), "Tokens: at most 1 fit, got 2"),
        (Error::Overflow { argument: Argument::Saved }, "Saved: the size does not fit into the address space"),
        (Error::NonFinite { argument: Argument::A, index: 14 }, "A: element 14 is not a finite number"),
        (Error::DeadAdapter, "A and B are both zero: the adapter can never learn"),
        (Error::Missing { argument: Argument::X }, "X: needed here, but not given"),
        (
            Error::Reversed { argument: Argument::W, start: 3, end: 1 },
            "W: the range starts at 3 and ends before that, at 1",
        ),
        (Error::NoForward, "no forward pass of this batch came before"),
        (Error::NoInputGrads, "input_grads has to come before parameter_grads"),
        (Error::ForInference, "Saved: made for inference, a backward pass needs one made for training"),
        (Error::AbsentAdapter, "an earlier pass of this batch ran with a scale of 0 and left no hs: run forward again"),
        (Error::OtherDropout, "Dropout: a piece of the batch had another one than the whole"),
        (
            Error::OtherOptimizer { planned: Optimizer::Sgd, used: Optimizer::AdamW },
            "State: planned for Sgd, used with AdamW",
        ),
    ];
    for (error, text) in texts {
        assert_eq!(error.to_string(), text);
    }
}
