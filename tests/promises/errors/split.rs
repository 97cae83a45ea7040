//! Gate 12, continued: cutting a layer into pieces, and the calls that run on them, leave everything untouched when they
//! return an error.

use std::ops::Range;

use crate::support::errors::{
    Call, Case, Function, Outcome, SHAPE, base_and_adapter, case, cols, judge, progress_cases, rows, saved_cases,
    succeeds, too_many,
};
use crate::support::{Data, Layer, errors, mat, mat_mut};
use lowrank::{
    Accum, Adapter, Argument, Backend, Cut, Done, Dropout, Error, Grads, Saved, forward, input_grads, parameter_grads,
};

const BACKEND: Backend = Backend::BASELINE;
const MAX: usize = usize::MAX;

fn stateless(result: Result<(), Error>) -> Outcome {
    (result, String::new())
}

fn range(call: &Call) -> Range<usize> {
    call.sizes[0]..call.sizes[1]
}

static SPLIT_COLS: Function = Function { name: "MatMut::split_cols", run: split_cols, documented: &["Rows"] };

fn split_cols(call: &Call, arena: &mut [f32], _: bool) -> Outcome {
    stateless(errors::Cut::new(arena, call).write(Argument::Y, call.y).split_cols(call.sizes[0]).map(drop))
}

static BASE_OUTPUTS: Function =
    Function { name: "Base::outputs", run: base_outputs, documented: &["TooMany", "Reversed", "Rows", "Cols"] };

fn base_outputs(call: &Call, arena: &mut [f32], _: bool) -> Outcome {
    stateless(errors::Cut::new(arena, call).base().outputs(range(call)).map(drop))
}

static ADAPTER_OUTPUTS: Function =
    Function { name: "Adapter::outputs", run: adapter_outputs, documented: &["TooMany", "Reversed", "Rows", "Cols"] };

fn adapter_outputs(call: &Call, arena: &mut [f32], _: bool) -> Outcome {
    stateless(errors::Cut::new(arena, call).adapter().outputs(range(call)).map(drop))
}

static INPUT_GRADS: Function = Function {
    name: "input_grads",
    run: input_grads_call,
    documented: &["Rows", "Cols", "TooMany", "Range", "NoForward", "ForInference", "AbsentAdapter", "DeadAdapter"],
};

fn input_grads_call(call: &Call, arena: &mut [f32], act: bool) -> Outcome {
    let cut = &mut errors::Cut::new(arena, call);
    let (base, adapter, mut saved, flow) = (cut.base(), cut.adapter(), cut.saved(), cut.flow());
    let result = if act { input_grads(BACKEND, &base, &adapter, flow.dy, flow.dx, &mut saved) } else { Ok(()) };
    (result, format!("{saved:?}"))
}

static PARAMETER_GRADS: Function = Function {
    name: "parameter_grads",
    run: parameter_grads_call,
    documented: &["Rows", "Cols", "NoForward", "NoInputGrads", "ForInference", "Missing"],
};

/// On the second of two pieces, cut at `sizes`.
fn parameter_grads_call(call: &Call, arena: &mut [f32], act: bool) -> Outcome {
    let cut = &mut errors::Cut::new(arena, call);
    let (saved, flow, mut grads) = (cut.saved(), cut.flow(), cut.grads());
    let (_, mut part) = grads.whole().split(Cut { rank: call.sizes[0], output: call.sizes[1] });
    let result = if act { parameter_grads(BACKEND, flow.x, flow.dy, &saved, &mut part) } else { Ok(()) };
    (result, format!("{saved:?}"))
}

static JOIN_TOKENS: Function = Function {
    name: "Saved::join_tokens",
    run: join_tokens,
    documented: &["NoForward", "NoInputGrads", "AbsentAdapter", "OtherDropout", "Rows", "TooMany"],
};

const DROPOUT: Dropout = Dropout { probability: 0.5, seed: 1, step: 2, layer_number: 3, first_token: 4 };

/// What is wrong with the pieces, in `sizes[2]`: nothing, or one of these.
const FIRST_RAN_FURTHER: usize = 101;
const SECOND_RAN_FURTHER: usize = 102;
const SECOND_HAS_DROPOUT: usize = 103;
const REVERSED: usize = 104;
const NONE: usize = 105;
const SECOND_IS_ABSENT: usize = 106;

/// Two pieces, the first of 2 tokens, run forward on the first two `sizes` of tokens ([`MAX`]: not at all), tell a whole that
/// has room for as many as the last one says.
fn join_tokens(call: &Call, arena: &mut [f32], act: bool) -> Outcome {
    let [tokens @ .., wrong, room] = call.sizes;
    let mut memory = vec![0.0; Saved::training_len(SHAPE, 9).unwrap()];
    let mut origin = Saved::training(&mut memory, SHAPE, 9).unwrap();
    let mut saved = Saved::training(&mut arena[..2 * SHAPE.rank * room], SHAPE, room).unwrap();
    for saved in [&mut origin, &mut saved] {
        saved.set_dropout(call.inference.then_some(DROPOUT)).unwrap();
    }
    let pieces: [Saved<'_>; 2] = origin.whole().split_tokens(2).into();
    let mut at = 0;
    let mut done = pieces.map(|mut piece| {
        if wrong == SECOND_HAS_DROPOUT && at == 1 {
            piece.set_dropout(Some(Dropout { seed: 2, ..DROPOUT })).unwrap();
        }
        if tokens[at] != MAX {
            let scale = if wrong == SECOND_IS_ABSENT && at == 1 { 0.0 } else { 0.5 };
            run(&mut piece, tokens[at], scale, [FIRST_RAN_FURTHER, SECOND_RAN_FURTHER][at] == wrong);
        }
        at += 1;
        piece.done()
    });
    if wrong == REVERSED {
        done.reverse();
    }
    let done: Vec<Done> = if wrong == NONE { vec![] } else { done.into() };
    let result = if act { saved.join_tokens(done) } else { Ok(()) };
    (result, format!("{saved:?}"))
}

/// A forward pass and, if wanted, the first half of a backward pass.
fn run(saved: &mut Saved<'_>, tokens: usize, scale: f32, further: bool) {
    let layer = Layer::new(SHAPE, tokens, Data::Finite, 1);
    let adapter = Adapter { scale, ..layer.adapter() };
    let (mut y, mut x) = (vec![0.0; tokens * SHAPE.outputs], layer.x.clone());
    let y = mat_mut(&mut y, tokens, SHAPE.outputs);
    forward(BACKEND, &layer.base(), &adapter, mat(&layer.x, tokens, SHAPE.inputs), y, saved).unwrap();
    if further {
        let (dy, dx) = (mat(&layer.dy, tokens, SHAPE.outputs), mat_mut(&mut x, tokens, SHAPE.inputs));
        input_grads(BACKEND, &layer.base(), &adapter, dy, Some(dx), saved).unwrap();
    }
}

static FUNCTIONS: [&Function; 6] =
    [&SPLIT_COLS, &BASE_OUTPUTS, &ADAPTER_OUTPUTS, &INPUT_GRADS, &PARAMETER_GRADS, &JOIN_TOKENS];

fn cutting() -> Vec<Case> {
    use Argument::{B, Bias, Matrix, W};
    let mut table = Vec::new();
    for y in [(2, 3), (3, 0), (MAX / 8, 0)] {
        table.push(case(&SPLIT_COLS, rows(Matrix, 1, y.0), move |c| c.y = y));
    }
    for (function, argument) in [(&BASE_OUTPUTS, W), (&ADAPTER_OUTPUTS, B)] {
        for (start, end) in [(0, 5), (5, 5), (3, MAX), (MAX, MAX)] {
            table.push(case(function, too_many(argument, 4, end), move |c| c.sizes = [start, end, 0, 0]));
        }
        for (start, end) in [(2, 1), (4, 3), (5, 0), (9, 7), (MAX, 4)] {
            let reversed = Error::Reversed { argument, start, end };
            table.push(case(function, reversed, move |c| c.sizes = [start, end, 0, 0]));
        }
    }
    for (size, error) in [
        ((0, 4), rows(Bias, 1, 0)),
        ((2, 4), rows(Bias, 1, 2)),
        ((4, 1), rows(Bias, 1, 4)),
        ((1, 3), cols(Bias, 4, 3)),
        ((1, 5), cols(Bias, 4, 5)),
        ((1, 0), cols(Bias, 4, 0)),
    ] {
        table.push(case(&BASE_OUTPUTS, error, move |c| (c.bias, c.sizes) = (Some(size), [1, 3, 0, 0])));
        table.push(case(&ADAPTER_OUTPUTS, error, move |c| (c.trained_bias, c.sizes) = (Some(size), [1, 3, 0, 0])));
    }
    table
}

fn input_grads_cases() -> Vec<Case> {
    use Argument::{A, B, DX, DY};
    let dead = |a: f32, b: f32| move |c: &mut Call| c.zero = vec![(A, a), (B, b)];
    let mut table = base_and_adapter(&INPUT_GRADS);
    table.extend(saved_cases(&INPUT_GRADS));
    table.extend(progress_cases(&INPUT_GRADS));
    table.extend([
        case(&INPUT_GRADS, cols(DY, 4, 5), |c| c.dy = (2, 5)),
        case(&INPUT_GRADS, rows(DY, 2, 1), |c| c.dy = (1, 4)),
        case(&INPUT_GRADS, rows(DX, 2, 5), |c| c.dx = Some((5, 2))),
        case(&INPUT_GRADS, cols(DX, 5, 6), |c| c.dx = Some((2, 6))),
        case(&INPUT_GRADS, Error::DeadAdapter, dead(0.0, 0.0)),
        case(&INPUT_GRADS, Error::DeadAdapter, dead(-0.0, 0.0)),
        case(&INPUT_GRADS, Error::DeadAdapter, dead(0.0, -0.0)),
    ]);
    table
}

fn parameter_grads_cases() -> Vec<Case> {
    use Argument::{DA, DB, DBias, DY, X};
    let mut table = Vec::new();
    // Whatever the piece: all, some, or nothing.
    for at in [[0, 0], [1, 2], [3, 0], [9, 9]] {
        let mut add = |error, spoil: fn(&mut Call)| {
            table.push(case(&PARAMETER_GRADS, error, move |c| {
                (c.input_grads, c.sizes) = (true, [at[0], at[1], 0, 0]);
                spoil(c);
            }));
        };
        add(cols(DY, 4, 5), |c| c.dy = (2, 5));
        add(rows(DY, 2, 1), |c| c.dy = (1, 4));
        add(rows(X, 2, 3), |c| c.x = Some((3, 5)));
        add(cols(X, 5, 4), |c| c.x = Some((2, 4)));
        add(rows(DA, 3, 2), |c| c.da = Some((2, 5)));
        add(rows(DA, 3, 4), |c| c.da = Some((4, 5)));
        add(cols(DA, 5, 3), |c| c.da = Some((3, 3)));
        add(rows(DB, 4, 3), |c| c.db = (3, 3));
        add(rows(DB, 4, 5), |c| c.db = (5, 3));
        add(cols(DB, 3, 4), |c| c.db = (4, 4));
        add(Error::Missing { argument: X }, |c| c.x = None);
        add(Error::NoForward, |c| c.forward = None);
        add(Error::NoInputGrads, |c| c.input_grads = false);
        add(Error::ForInference, |c| (c.input_grads, c.inference) = (false, true));
    }
    // The second piece of a bias whose length is wrong, and of one that is no row: the first piece has all of that.
    for (at, dbias, error) in [
        (0, (1, 5), cols(DBias, 4, 5)),
        (2, (1, 5), cols(DBias, 2, 3)),
        (2, (1, 3), cols(DBias, 2, 1)),
        (0, (2, 4), rows(DBias, 1, 0)),
        (2, (4, 1), rows(DBias, 1, 0)),
    ] {
        table.push(case(&PARAMETER_GRADS, error, move |c| {
            (c.input_grads, c.sizes, c.dbias) = (true, [0, at, 0, 0], Some(dbias));
        }));
    }
    table
}

fn join_tokens_cases() -> Vec<Case> {
    use Argument::Tokens;
    let mut table = Vec::new();
    let mut add = |error, sizes: [usize; 4]| table.push(case(&JOIN_TOKENS, error, move |c| c.sizes = sizes));
    for sizes in [[MAX, 3, 0, 5], [2, MAX, 0, 5], [MAX, MAX, 0, 5], [2, 3, NONE, 5], [0, MAX, 0, 5]] {
        add(Error::NoForward, sizes);
    }
    add(Error::NoInputGrads, [2, 3, FIRST_RAN_FURTHER, 5]);
    add(Error::NoInputGrads, [2, 3, SECOND_RAN_FURTHER, 5]);
    add(Error::NoInputGrads, [1, 0, FIRST_RAN_FURTHER, 5]);
    for sizes in [[2, 3, SECOND_IS_ABSENT, 5], [2, 1, SECOND_IS_ABSENT, 5], [0, 3, SECOND_IS_ABSENT, 5]] {
        add(Error::AbsentAdapter, sizes);
    }
    add(Error::OtherDropout, [1, 3, SECOND_HAS_DROPOUT, 1]);
    add(Error::OtherDropout, [2, 3, SECOND_HAS_DROPOUT, 5]);
    add(rows(Tokens, 2, 1), [1, 3, 0, 5]);
    add(rows(Tokens, 2, 0), [0, 1, 0, 5]);
    add(rows(Tokens, 2, 0), [2, 3, REVERSED, 5]);
    add(too_many(Tokens, 5, 6), [2, 4, 0, 5]);
    add(too_many(Tokens, 0, 1), [1, 0, 0, 0]);
    add(too_many(Tokens, 8, 9), [2, 7, 0, 8]);
    table.push(case(&JOIN_TOKENS, Error::OtherDropout, |c| {
        (c.inference, c.sizes) = (true, [2, 3, SECOND_HAS_DROPOUT, 5]);
    }));
    table
}

/// What pieces have done is not known before they are joined, and what they have not done is not known at all.
#[test]
fn the_whole_knows_what_it_is_told() {
    let mut memory = vec![0.0; Saved::training_len(SHAPE, 5).unwrap()];
    let mut saved = Saved::training(&mut memory, SHAPE, 5).unwrap();
    let dy = [0.0; 5 * 4];
    let tell = |saved: &Saved<'_>, tokens| {
        let (mut db, dy) = ([0.0; 4 * 3], mat(&dy[..tokens * 4], tokens, 4));
        let mut grads = Grads { a: None, b: mat_mut(&mut db, 4, 3), bias: None, accum: Accum::Replace };
        parameter_grads(BACKEND, None, dy, saved, &mut grads.whole())
    };
    for (at, tokens) in (0..=6).flat_map(|at| (1..=5).map(move |tokens| (at, tokens))) {
        run(&mut saved, tokens, 0.5, true);
        assert_eq!(tell(&saved, tokens), Ok(()));
        // Pieces know what the whole has done, and tell it.
        let (first, second) = saved.whole().split_tokens(at);
        assert_eq!((first.hs().rows(), second.hs().rows()), (tokens.min(at), tokens.saturating_sub(at)));
        let done = [first.done(), second.done()];
        assert_eq!((tell(&saved, tokens), saved.hs().rows()), (Err(Error::NoForward), 0));
        saved.join_tokens(done).unwrap();
        assert_eq!((tell(&saved, tokens), saved.hs().rows()), (Ok(()), tokens));
        // A second forward pass is all that is known then.
        let (mut first, mut second) = saved.whole().split_tokens(at);
        run(&mut first, tokens.min(at), 0.5, false);
        run(&mut second, tokens.saturating_sub(at), 0.5, false);
        let done = [first.done(), second.done()];
        saved.join_tokens(done).unwrap();
        assert_eq!((tell(&saved, tokens), saved.hs().rows()), (Err(Error::NoInputGrads), tokens));
    }
}

/// A piece can be cut again and joined again: its tokens are counted from where it starts, not from where the whole does.
#[test]
fn a_piece_is_a_whole() {
    const TOKENS: usize = 7;
    let mut memory = vec![0.0; Saved::training_len(SHAPE, TOKENS).unwrap()];
    let mut saved = Saved::training(&mut memory, SHAPE, TOKENS).unwrap();
    saved.set_dropout(Some(DROPOUT)).unwrap();
    for (outer, inner) in (0..=TOKENS).flat_map(|outer| (0..=TOKENS - outer).map(move |inner| (outer, inner))) {
        let (mut first, mut rest) = saved.whole().split_tokens(outer);
        let len = TOKENS - outer;
        run(&mut first, outer, 0.75, false);
        let (mut second, mut third) = rest.whole().split_tokens(inner);
        run(&mut second, inner, 0.75, false);
        run(&mut third, len - inner, 0.75, false);
        let done = [second.done(), third.done()];
        rest.join_tokens(done).unwrap();
        assert_eq!((rest.hs().rows(), rest.batch().map(|batch| batch.tokens)), (len, Some(len)));
        let done = [first.done(), rest.done()];
        saved.join_tokens(done).unwrap();
        assert_eq!(saved.hs().rows(), TOKENS);

        // In the wrong order, or without the first of them, the error counts from the start of the piece.
        let (_, mut rest) = saved.whole().split_tokens(outer);
        let (mut second, mut third) = rest.whole().split_tokens(inner);
        run(&mut second, inner, 0.75, false);
        run(&mut third, len - inner, 0.75, false);
        let (second, third) = (second.done(), third.done());
        let before = format!("{rest:?}");
        if inner > 0 && len > inner {
            let rows = Error::Rows { argument: Argument::Tokens, expected: inner, got: 0 };
            assert_eq!(rest.join_tokens([third, second]), Err(rows));
            assert_eq!(format!("{rest:?}"), before);
        }
    }
}

#[test]
fn errors_leave_everything_as_it_was() {
    let mut table = cutting();
    table.extend(input_grads_cases());
    table.extend(parameter_grads_cases());
    table.extend(join_tokens_cases());
    judge(&FUNCTIONS, &table);
}

#[test]
fn unspoiled_calls_succeed() {
    let writes = ["input_grads", "parameter_grads", "Saved::join_tokens"];
    for function in FUNCTIONS {
        let all_sizes = match function.name {
            // The tokens of two pieces, and the room that there is for them.
            "Saved::join_tokens" => [[0, 0, 0, 5], [2, 0, 0, 5], [1, 0, 0, 1], [2, 3, 0, 5], [2, 3, 0, 9]],
            // A range of 4 outputs, or where 3 rows of dA and 4 of dB are cut.
            _ => [[0, 0, 0, 0], [0, 4, 0, 0], [1, 3, 0, 0], [2, 2, 0, 0], [0, 1, 0, 0]],
        };
        for sizes in all_sizes {
            succeeds(function, writes.contains(&function.name), |c| {
                (c.y, c.input_grads, c.sizes) = ((1, 4), function.name == "parameter_grads", sizes);
            });
        }
    }
}
