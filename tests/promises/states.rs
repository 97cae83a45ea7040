//! Gate 15 within a batch: whatever calls come after one another on one [`Saved`], in whatever state it is, the last one gives
//! the bits of the specification, or says what is missing and writes nothing. One table.

use crate::support::{Data, Layer, Outputs, first_difference, mat, mat_mut, report};
use lowrank::train::InPlace;
use lowrank::{
    Accum, AdapterMut, Argument, Backend, Backprop, Batch, Dropout, Error, Grads, Progress, Saved, Shape, backward,
    forward, input_grads, parameter_grads, reference,
};

const BACKEND: Backend = Backend::SCALAR;
const SHAPE: Shape = Shape::new(5, 4, 3);
const TOKENS: usize = 4;

/// What is in the memory of `saved` before the first call.
const OLD: f32 = 0.25;

/// An adapter of the table. `Q` has other numbers than `P`, [`Who::Zero`] and [`Who::MinusZero`] have those of `P` with a scale
/// that makes it absent; the others do not fit.
#[derive(Copy, Clone, Debug, PartialEq)]
enum Who {
    P,
    Q,
    Zero,
    MinusZero,
    OtherRank,
    OtherOutputs,
    OtherInputs,
}

use Who::{MinusZero, OtherInputs, OtherOutputs, OtherRank, P, Q, Zero};

impl Who {
    fn layer(self) -> Layer {
        let (shape, seed) = match self {
            P | Zero | MinusZero => (SHAPE, 1),
            Q => (SHAPE, 2),
            OtherRank => (Shape { rank: 2, ..SHAPE }, 3),
            OtherOutputs => (Shape { outputs: 6, ..SHAPE }, 4),
            OtherInputs => (Shape { inputs: 6, ..SHAPE }, 5),
        };
        let mut layer = Layer::new(shape, TOKENS + 1, Data::Finite, seed);
        // One base and one batch for all that fit.
        if shape == SHAPE {
            let first = Layer::new(SHAPE, TOKENS + 1, Data::Finite, 1);
            (layer.w, layer.x, layer.dy, layer.bias) = (first.w, first.x, first.dy, first.bias);
        }
        match self {
            Zero => layer.scale = 0.0,
            MinusZero => layer.scale = -0.0,
            _ => {}
        }
        layer
    }
}

/// A call. Numbers are tokens.
#[derive(Copy, Clone, Debug)]
enum Do {
    Forward(Who, usize),
    Dropout(u32),
    NoDropout,
    Resume(Option<Batch>),
    /// Cut into two pieces after a token, and joined.
    SplitAndJoin(usize),
    /// Cut, and never joined.
    Split,
    InputGrads(Who, usize),
    ParameterGrads(usize),
    Backward(Who, usize),
    InPlace(Who, usize),
    /// Stopped by a norm that is not finite, after `gs` was written.
    InPlaceFails(Who),
}

use Do::{Backward, Forward, InPlaceFails, InputGrads, NoDropout, ParameterGrads, Resume, Split, SplitAndJoin};

/// What the last call gives: of the specification with the `hs` of one adapter, the `gs` of another one, the dropout of a step
/// and so many tokens.
#[derive(Copy, Clone, Debug)]
enum Gives {
    Bits(Who, Who, Option<u32>, usize),
    /// As [`Gives::Bits`], but with the `hs` that was in the memory.
    OldBits(Who, usize),
    /// It is done, and has no outputs.
    Done,
    Refused(Error),
}

use Gives::{Bits, Done, OldBits, Refused};

const fn dropout(step: u32) -> Dropout {
    Dropout { probability: 0.5, seed: 3, step, layer_number: 1, first_token: 0 }
}

const fn batch(tokens: usize, progress: Progress) -> Option<Batch> {
    Some(Batch { tokens, progress })
}

/// Gradients before a call, so that what was written can be told.
fn old_gradients(layer: &Layer, n: usize) -> Outputs {
    let mut out = layer.old_outputs(Data::Finite, 9);
    out.dx.truncate(n * layer.shape.inputs);
    out
}

/// Runs a call on the numbers of its adapter. `out` has the gradients of [`SHAPE`].
fn perform(call: Do, saved: &mut Saved<'_>, out: &mut Outputs) -> Result<(), Error> {
    let (who, n) = match call {
        Forward(who, n) | InputGrads(who, n) | Backward(who, n) | Do::InPlace(who, n) => (who, n),
        InPlaceFails(who) => (who, TOKENS),
        ParameterGrads(n) => (P, n),
        Do::Dropout(step) => return saved.set_dropout(Some(dropout(step))),
        NoDropout => return saved.set_dropout(None),
        Resume(batch) => return saved.resume(batch),
        Split => {
            drop(saved.whole().split_tokens(1));
            return Ok(());
        }
        SplitAndJoin(at) => {
            let (first, second) = saved.whole().split_tokens(at);
            let done = [first.done(), second.done()];
            return saved.join_tokens(done);
        }
    };
    let layer = who.layer();
    let (base, Shape { inputs, outputs, rank }) = (layer.base(), layer.shape);
    let (x, dy) = (mat(&layer.x[..n * inputs], n, inputs), mat(&layer.dy[..n * outputs], n, outputs));
    let adapter = layer.adapter();
    let mut own = old_gradients(&layer, n);
    let out = if layer.shape == SHAPE { out } else { &mut own };
    out.dx.resize(n * inputs, 7.0);
    let dx = mat_mut(&mut out.dx, n, inputs);
    let mut grads = Grads {
        a: Some(mat_mut(&mut out.da, rank, inputs)),
        b: mat_mut(&mut out.db, outputs, rank),
        bias: Some(mat_mut(&mut out.dbias, 1, outputs)),
        accum: Accum::Replace,
    };
    match call {
        Forward(..) => forward(BACKEND, &base, &adapter, x, mat_mut(&mut own.y[..n * outputs], n, outputs), saved),
        InputGrads(..) => input_grads(BACKEND, &base, &adapter, dy, Some(dx), saved),
        ParameterGrads(_) => parameter_grads(BACKEND, Some(x), dy, saved, &mut grads.whole()),
        Backward(..) => {
            let flow = Backprop { x: Some(x), dy, dx: Some(dx) };
            backward(BACKEND, &base, &adapter, flow, saved, &mut grads)
        }
        _ => {
            let (mut a, mut b, scale) = (layer.a.clone(), layer.b.clone(), layer.scale);
            let (a, b) = (mat_mut(&mut a, rank, inputs), mat_mut(&mut b, outputs, rank));
            let mut trained = AdapterMut { a, b, bias: None, scale };
            let fails = matches!(call, InPlaceFails(_));
            let steep = vec![1e30; n * outputs];
            let dy = if fails { mat(&steep, n, outputs) } else { dy };
            let rule = InPlace { max_norm: Some(1.0), ..InPlace::DEFAULT };
            let flow = Backprop { x: Some(x), dy, dx: None };
            match rule.step(BACKEND, &base, &mut trained, flow, saved) {
                Err(Error::NonFinite { argument: Argument::GradNorm, .. }) if fails => Ok(()),
                result => result,
            }
        }
    }
}

/// What the specification gives, with the `hs` of one adapter (or what is in the memory) and the `gs` of another one.
fn specified(first: Option<Who>, second: Who, step: Option<u32>, n: usize) -> Outputs {
    let (dropout, Shape { inputs, outputs, rank }) = (step.map(dropout), SHAPE);
    let layer = second.layer();
    let mut out = old_gradients(&layer, n);
    out.hs = vec![OLD; n * rank];
    let x = mat(&layer.x[..n * inputs], n, inputs);
    if let Some(first) = first {
        let (first, mut y) = (first.layer(), vec![0.0; n * outputs]);
        let into = (mat_mut(&mut y, n, outputs), mat_mut(&mut out.hs, n, rank));
        reference::forward(BACKEND.arithmetic(), &first.base(), &first.adapter(), dropout, x, into).unwrap();
    }
    let mut gs = vec![0.0; n * rank];
    let mut gradients = reference::Gradients {
        gs: mat_mut(&mut gs, n, rank),
        a: mat_mut(&mut out.da, rank, inputs),
        b: mat_mut(&mut out.db, outputs, rank),
        bias: mat_mut(&mut out.dbias, 1, outputs),
        dx: mat_mut(&mut out.dx, n, inputs),
    };
    let signals = reference::Signals { x, dy: mat(&layer.dy[..n * outputs], n, outputs), hs: mat(&out.hs, n, rank) };
    let (base, adapter, accum) = (layer.base(), layer.adapter(), Accum::Replace);
    reference::backward(BACKEND.arithmetic(), &base, &adapter, dropout, signals, accum, &mut gradients).unwrap();
    out
}

/// Calls of which all but the last succeed, whether it is for inference, and what the last one gives.
type Row = (bool, Vec<Do>, Gives);

fn row(calls: &[Do], gives: Gives) -> Row {
    (false, calls.to_vec(), gives)
}

fn inference(calls: &[Do], gives: Gives) -> Row {
    (true, calls.to_vec(), gives)
}

/// Each of the calls that go on from a forward pass is refused for this reason.
macro_rules! all_refused {
    ($error:expr; $($before:expr),*) => {
        [
            row(&[$($before,)* Backward(P, 4)], Refused($error)),
            row(&[$($before,)* InputGrads(P, 4)], Refused($error)),
            row(&[$($before,)* Do::InPlace(P, 4)], Refused($error)),
        ]
    };
}

fn table() -> Vec<Row> {
    use Error::{AbsentAdapter, ForInference, NoForward, NoInputGrads};
    use Progress::{Absent, Backward as Back, Forward as Forth};
    let rows = |argument, expected, got| Refused(Error::Rows { argument, expected, got });
    let cols = |argument, expected, got| Refused(Error::Cols { argument, expected, got });
    let too_many = |got| Refused(Error::TooMany { argument: Argument::Tokens, at_most: TOKENS, got });
    let mut table = vec![
        // One adapter after another: each gives its part.
        row(&[Forward(P, 4), Backward(P, 4)], Bits(P, P, None, 4)),
        row(&[Forward(P, 4), Backward(Q, 4)], Bits(P, Q, None, 4)),
        row(&[Forward(P, 4), Backward(Zero, 4)], Bits(P, Zero, None, 4)),
        row(&[Forward(Zero, 4), Backward(MinusZero, 4)], Bits(Zero, Zero, None, 4)),
        row(&[Forward(P, 4), Forward(Q, 4), Backward(P, 4)], Bits(Q, P, None, 4)),
        row(&[Forward(Zero, 4), Forward(P, 4), Backward(P, 4)], Bits(P, P, None, 4)),
        row(&[Forward(P, 4), Backward(P, 4), Backward(Q, 4)], Bits(P, Q, None, 4)),
        row(&[Forward(P, 4), Backward(OtherRank, 4)], cols(Argument::Rank, 2, 3)),
        row(&[Forward(P, 4), Backward(OtherOutputs, 4)], rows(Argument::Saved, 6, 4)),
        row(&[Forward(P, 4), Backward(OtherInputs, 4)], cols(Argument::Saved, 6, 5)),
        row(&[Forward(P, 4), Do::InPlace(OtherRank, 4)], cols(Argument::Rank, 2, 3)),
        row(&[Forward(P, 4), InputGrads(OtherOutputs, 4)], rows(Argument::Saved, 6, 4)),
        // The halves of the backward pass, in every order.
        row(&[Forward(P, 4), InputGrads(P, 4), ParameterGrads(4)], Bits(P, P, None, 4)),
        row(&[Forward(P, 4), InputGrads(P, 4), InputGrads(Q, 4), ParameterGrads(4)], Bits(P, Q, None, 4)),
        row(&[Forward(P, 4), InputGrads(P, 4), InputGrads(Zero, 4), ParameterGrads(4)], Bits(P, Zero, None, 4)),
        row(&[Forward(P, 4), InputGrads(P, 4), ParameterGrads(4), ParameterGrads(4)], Bits(P, P, None, 4)),
        row(&[Forward(P, 4), InputGrads(Zero, 4), ParameterGrads(4)], Bits(P, Zero, None, 4)),
        row(&[Forward(P, 4), InputGrads(Zero, 4), InputGrads(P, 4)], Refused(AbsentAdapter)),
        row(&[Forward(Zero, 4), ParameterGrads(4)], Bits(Zero, Zero, None, 4)),
        row(&[ParameterGrads(4)], Refused(NoForward)),
        row(&[Forward(P, 4), ParameterGrads(4)], Refused(NoInputGrads)),
        row(&[Forward(P, 4), InputGrads(P, 4), Forward(Q, 4), ParameterGrads(4)], Refused(NoInputGrads)),
        row(&[Forward(P, 4), InputGrads(P, 4), Forward(Zero, 4), ParameterGrads(4)], Bits(Zero, Zero, None, 4)),
        // Dropout that is set between the passes belongs to the next forward pass.
        row(&[Do::Dropout(1), Forward(P, 4), Backward(P, 4)], Bits(P, P, Some(1), 4)),
        row(&[Do::Dropout(1), Forward(P, 4), Do::Dropout(2), Forward(P, 4), Backward(P, 4)], Bits(P, P, Some(2), 4)),
        row(&[Do::Dropout(1), Forward(P, 4), NoDropout, Forward(P, 4), Backward(P, 4)], Bits(P, P, None, 4)),
        row(&[Forward(P, 4), InputGrads(P, 4), Do::Dropout(1), ParameterGrads(4)], Refused(NoForward)),
        row(&[Do::Dropout(1), Forward(P, 4), InputGrads(P, 4), NoDropout, ParameterGrads(4)], Refused(NoForward)),
        row(&[Forward(Zero, 4), NoDropout, ParameterGrads(4)], Refused(NoForward)),
        // Other numbers of tokens.
        row(&[Forward(P, 4), Backward(P, 2)], rows(Argument::DY, 4, 2)),
        row(&[Forward(P, 2), Backward(P, 4)], rows(Argument::DY, 2, 4)),
        row(&[Forward(P, 0), Backward(P, 4)], rows(Argument::DY, 0, 4)),
        row(&[Forward(P, 0), Backward(P, 0)], Bits(P, P, None, 0)),
        row(&[Forward(P, 4), Forward(P, 2), Backward(P, 2)], Bits(P, P, None, 2)),
        row(&[Forward(P, 4), Forward(P, 2), Backward(P, 4)], rows(Argument::DY, 2, 4)),
        row(&[Forward(P, 4), InputGrads(P, 4), ParameterGrads(2)], rows(Argument::DY, 4, 2)),
        row(&[Forward(P, 4), Do::InPlace(P, 2)], rows(Argument::DY, 4, 2)),
        row(&[Forward(P, 5)], too_many(5)),
        row(&[Forward(P, 4), Backward(P, 5)], too_many(5)),
        // Resumed as it was, or as somebody made it up: the word of the caller about what is in the memory.
        row(&[Forward(P, 4), Resume(batch(4, Forth)), Backward(P, 4)], Bits(P, P, None, 4)),
        row(&[Forward(P, 4), Resume(batch(2, Forth)), Backward(P, 2)], Bits(P, P, None, 2)),
        row(&[Forward(P, 4), InputGrads(P, 4), Resume(batch(4, Back)), ParameterGrads(4)], Bits(P, P, None, 4)),
        row(&[Forward(P, 4), InputGrads(P, 4), Resume(batch(4, Forth)), ParameterGrads(4)], Refused(NoInputGrads)),
        row(&[Forward(P, 4), InputGrads(P, 4), Resume(None), ParameterGrads(4)], Refused(NoForward)),
        row(&[Resume(batch(4, Forth)), Backward(P, 4)], OldBits(P, 4)),
        row(&[Resume(batch(4, Forth)), ParameterGrads(4)], Refused(NoInputGrads)),
        row(&[Resume(batch(4, Absent)), Backward(Zero, 4)], Bits(Zero, Zero, None, 4)),
        row(&[Resume(batch(4, Absent)), ParameterGrads(4)], Bits(Zero, Zero, None, 4)),
        row(&[Resume(batch(5, Absent))], too_many(5)),
        row(&[Resume(batch(usize::MAX, Forth))], too_many(usize::MAX)),
        inference(&[Resume(batch(4, Back))], Refused(ForInference)),
        // Cut in pieces.
        row(&[Forward(P, 4), SplitAndJoin(1), Backward(P, 4)], Bits(P, P, None, 4)),
        row(&[Forward(P, 2), SplitAndJoin(3), Backward(P, 2)], Bits(P, P, None, 2)),
        row(&[Forward(P, 4), InputGrads(P, 4), SplitAndJoin(2), ParameterGrads(4)], Bits(P, P, None, 4)),
        row(&[Forward(P, 4), SplitAndJoin(2), ParameterGrads(4)], Refused(NoInputGrads)),
        row(&[Forward(P, 4), InputGrads(P, 4), Split, ParameterGrads(4)], Refused(NoForward)),
        row(&[Do::Dropout(1), Forward(P, 4), SplitAndJoin(1), Backward(P, 4)], Bits(P, P, Some(1), 4)),
        row(&[SplitAndJoin(2)], Refused(NoForward)),
        row(&[Forward(P, 4), NoDropout, SplitAndJoin(2)], Refused(NoForward)),
        // In place: the memory is used up, and `gs` is that of the call that failed.
        row(&[Forward(P, 4), Do::InPlace(P, 4)], Done),
        row(&[Forward(P, 4), Do::InPlace(Q, 4)], Done),
        row(&[Forward(P, 4), Do::InPlace(Zero, 4)], Done),
        row(&[Forward(Zero, 4), Do::InPlace(MinusZero, 4)], Done),
        row(&[Forward(P, 4), InputGrads(P, 4), Do::InPlace(P, 4)], Done),
        row(&[Forward(P, 4), InPlaceFails(Q), Backward(P, 4)], Bits(P, P, None, 4)),
        row(&[Forward(P, 4), InputGrads(P, 4), InPlaceFails(P), ParameterGrads(4)], Refused(NoInputGrads)),
        row(&[Forward(P, 4), InputGrads(P, 4), Do::InPlace(P, 4), ParameterGrads(4)], Refused(NoForward)),
        row(&[Forward(Zero, 4), Do::InPlace(Zero, 4), ParameterGrads(4)], Refused(NoForward)),
        // Without room for `gs`.
        inference(&[Forward(P, 4), Backward(P, 4)], Refused(ForInference)),
        inference(&[Forward(P, 4), InputGrads(P, 4)], Refused(ForInference)),
        inference(&[Forward(P, 4), ParameterGrads(4)], Refused(ForInference)),
        inference(&[Forward(P, 4), Do::InPlace(P, 4)], Refused(ForInference)),
        inference(&[Forward(Zero, 4), Backward(Zero, 4)], Refused(ForInference)),
        inference(&[Forward(Zero, 4), ParameterGrads(4)], Bits(Zero, Zero, None, 4)),
    ];
    table.extend(all_refused!(NoForward;));
    table.extend(all_refused!(NoForward; Forward(P, 4), Do::Dropout(1)));
    table.extend(all_refused!(NoForward; Forward(P, 4), NoDropout));
    table.extend(all_refused!(NoForward; Do::Dropout(1), Forward(P, 4), Do::Dropout(1)));
    table.extend(all_refused!(NoForward; Forward(P, 4), Split));
    table.extend(all_refused!(NoForward; Forward(P, 4), Resume(None)));
    table.extend(all_refused!(NoForward; Forward(P, 4), Do::InPlace(P, 4)));
    table.extend(all_refused!(AbsentAdapter; Forward(Zero, 4)));
    table.extend(all_refused!(AbsentAdapter; Forward(MinusZero, 4)));
    table.extend(all_refused!(AbsentAdapter; Forward(P, 4), Forward(Zero, 4)));
    table.extend(all_refused!(AbsentAdapter; Forward(Zero, 4), InputGrads(Zero, 4)));
    table.extend(all_refused!(AbsentAdapter; Forward(P, 4), Backward(Zero, 4)));
    table.extend(all_refused!(AbsentAdapter; Forward(Zero, 4), SplitAndJoin(1)));
    table.extend(all_refused!(AbsentAdapter; Do::Dropout(1), Forward(Zero, 4)));
    table.extend(all_refused!(AbsentAdapter; Resume(batch(4, Absent))));
    table
}

#[test]
fn every_pair_of_states_gives_bits_or_an_error() {
    let (mut refused, mut bits) = (0, 0);
    for (inference, calls, gives) in table() {
        let at = format!("{calls:?}, inference: {inference}");
        let (len, layer) = (Saved::training_len(SHAPE, TOKENS).unwrap(), P.layer());
        let mut memory = vec![OLD; if inference { len / 2 } else { len }];
        let make = if inference { Saved::inference } else { Saved::training };
        let mut saved = make(&mut memory, SHAPE, TOKENS).unwrap();
        let (last, before) = calls.split_last().unwrap();
        for &call in before {
            assert_eq!(perform(call, &mut saved, &mut old_gradients(&layer, TOKENS)), Ok(()), "{at}: {call:?}");
        }
        let mut out = old_gradients(&layer, TOKENS);
        let (state, result) = (format!("{saved:?}"), perform(*last, &mut saved, &mut out));
        let due = match gives {
            Bits(first, second, step, n) => specified(Some(first), second, step, n),
            OldBits(second, n) => specified(None, second, None, n),
            Done => {
                assert_eq!((result, saved.batch()), (Ok(()), None), "{at}");
                bits += 1;
                continue;
            }
            Refused(error) => {
                assert_eq!(result, Err(error), "{at}");
                assert_eq!(format!("{saved:?}"), state, "{at}: something has changed");
                let untouched = old_gradients(&layer, TOKENS);
                let pairs = [(&out.da, &untouched.da), (&out.db, &untouched.db), (&out.dbias, &untouched.dbias)];
                assert!(
                    pairs.into_iter().all(|(a, b)| first_difference(a, b).is_none()),
                    "{at}: something was written"
                );
                refused += 1;
                continue;
            }
        };
        assert_eq!(result, Ok(()), "{at}");
        for (name, got, due) in [("dA", &out.da, &due.da), ("dB", &out.db, &due.db), ("db", &out.dbias, &due.dbias)] {
            assert_eq!(first_difference(got, due), None, "{at}: {name}");
        }
        if matches!(last, Backward(..)) {
            assert_eq!(first_difference(&out.dx, &due.dx), None, "{at}: dX");
        }
        bits += 1;
    }
    report("resume", "states", refused, "sequences of calls that are refused", 70);
    report("resume", "states", bits, "sequences of calls that give the bits of the specification", 35);
}
