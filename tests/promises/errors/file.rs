//! Gate 12, continued: reading and writing adapter files leaves every output untouched when it fails.

use std::convert::Infallible;

use crate::support::errors::{
    Call, Case, Cut, Function, OUTPUTS, Outcome, RANK, case, cols, judge, length, rows, succeeds,
};
use crate::support::files::{OwnedContents, OwnedEntry, OwnedTensor};
use crate::support::{Rng, mat_mut};
use lowrank::format::{Contents, EmitError, StreamError, Tensor};
use lowrank::train::{Clock, Moments, Optimizer, State};
use lowrank::{Argument, Dtype, Error, FileError, Flaw, MatMut, Scale};

static FROM_BYTES: Function =
    Function { name: "Tensor::from_bytes", run: from_bytes, documented: &["Length", "Overflow"] };

fn from_bytes(call: &Call, _: &mut [f32], _: bool) -> Outcome {
    let [rows, cols, _, len] = call.sizes;
    (Tensor::from_bytes(Dtype::F16, rows, cols, &vec![0; len]).map(drop), String::new())
}

static DECODE: Function = Function { name: "Tensor::decode", run: decode, documented: &["Rows", "Cols"] };

/// Into a matrix of the size of `B`.
fn decode(call: &Call, arena: &mut [f32], act: bool) -> Outcome {
    let into = Cut::new(arena, call).write(Argument::B, call.b);
    let result = if act { call.contents.entries[0].b.view().decode(into) } else { Ok(()) };
    (result, String::new())
}

static LOAD: Function =
    Function { name: "Entry::load", run: load, documented: &["Rows", "Cols", "Missing", "Unexpected"] };

fn load(call: &Call, arena: &mut [f32], act: bool) -> Outcome {
    let mut adapter = Cut::new(arena, call).adapter_mut();
    let result = if act { call.contents.entries[0].view().load(&mut adapter) } else { Ok(()) };
    (result, format!("{}", adapter.scale))
}

static RESTORE: Function = Function { name: "Training::restore", run: restore, documented: &["Rows", "Cols"] };

fn restore(call: &Call, arena: &mut [f32], act: bool) -> Outcome {
    let cut = &mut Cut::new(arena, call);
    let [a, b, bias] = call.moments.map(|[first, second]| Moments {
        first: cut.write(Argument::State, first),
        second: cut.write(Argument::State, second),
    });
    let mut state = State { a, b, bias, clock: Clock::default() };
    let training = call.contents.entries[0].view().training.unwrap();
    let result = if act { training.restore(&mut state) } else { Ok(()) };
    (result, format!("{:?}", state.clock))
}

static EMIT: Function<EmitError> = Function { name: "Contents::emit", run: emit, documented: &["File", "TooMany"] };

fn emit(call: &Call, _: &mut [f32], act: bool) -> Outcome<EmitError> {
    let mut out = vec![0xa5; call.room];
    let write = |contents: Contents<'_>| {
        let length = contents.encoded_len();
        let result = contents.emit(&mut out);
        assert!(
            format!("{length:?}") == format!("{result:?}")
                || matches!(result, Err(EmitError::Call(Error::TooMany { .. })))
        );
        result.map(drop)
    };
    let result = if act { call.contents.borrowed(write) } else { Ok(()) };
    (result, format!("{out:?}"))
}

static STREAM: Function<EmitError> = Function { name: "Contents::stream", run: stream, documented: &["File"] };

fn stream(call: &Call, _: &mut [f32], act: bool) -> Outcome<EmitError> {
    let mut pieces = Vec::new();
    let mut sink = |piece: &[u8]| -> Result<(), Infallible> {
        pieces.push(piece.to_vec());
        Ok(())
    };
    let write = |contents: Contents<'_>| match contents.stream(&mut sink) {
        Ok(_) => Ok(()),
        Err(StreamError::Contents(error)) => Err(error),
    };
    let result = if act { call.contents.borrowed(write) } else { Ok(()) };
    (result, format!("{pieces:?}"))
}

static READERS: [&Function; 4] = [&FROM_BYTES, &DECODE, &LOAD, &RESTORE];

static WRITERS: [&Function<EmitError>; 2] = [&EMIT, &STREAM];

fn memory_cases() -> Vec<Case> {
    use Argument::Matrix;
    let mut table = Vec::new();
    let mut add = |error, sizes: [usize; 4]| table.push(case(&FROM_BYTES, error, move |c| c.sizes = sizes));
    for (expected, sizes) in [(12, [2, 3, 0, 11]), (12, [2, 3, 0, 6]), (0, [0, 3, 0, 1])] {
        add(length(Matrix, expected, sizes[3]), sizes);
    }
    for [rows, cols] in [[usize::MAX, 2], [1 << (usize::BITS / 2), 1 << (usize::BITS / 2)], [1, usize::MAX / 4 + 1]] {
        add(Error::Overflow { argument: Matrix }, [rows, cols, 0, 6]);
    }
    for got in [0, 3, 5] {
        table.push(case(&DECODE, rows(Matrix, OUTPUTS, got), move |c| c.b.0 = got));
        table.push(case(&DECODE, cols(Matrix, RANK, got + 1), move |c| c.b.1 = got + 1));
    }
    table
}

fn load_cases() -> Vec<Case> {
    use Argument::{A, B, BBias, Bias};
    let b_bias = |c: &mut Call| c.contents.entries[0].b_bias = Some(OwnedTensor::random(&mut Rng(1), Dtype::F32, 1, 4));
    vec![
        case(&LOAD, rows(A, 3, 2), |c| c.a = (2, 5)),
        case(&LOAD, cols(A, 5, 6), |c| c.a = (3, 6)),
        case(&LOAD, rows(B, 4, 5), |c| c.b = (5, 3)),
        case(&LOAD, cols(B, 3, 2), |c| c.b = (4, 2)),
        case(&LOAD, rows(Bias, 1, 0), |c| c.trained_bias = Some((0, 4))),
        case(&LOAD, cols(Bias, 4, 5), |c| c.trained_bias = Some((1, 5))),
        case(&LOAD, Error::Missing { argument: Bias }, |c| c.trained_bias = None),
        case(&LOAD, Error::Missing { argument: BBias }, b_bias),
        case(&LOAD, Error::Missing { argument: BBias }, move |c| (c.trained_bias, _) = (None, b_bias(c))),
        case(&LOAD, Error::Unexpected { argument: Bias }, |c| c.contents.entries[0].bias = None),
        case(&LOAD, Error::Unexpected { argument: Bias }, |c| {
            (c.contents.entries[0].bias, c.trained_bias) = (None, Some((1, 5)));
        }),
        case(&LOAD, Error::Unexpected { argument: Bias }, |c| {
            (c.contents.entries[0].bias, c.trained_bias) = (None, Some((0, 4)));
        }),
    ]
}

fn restore_cases() -> Vec<Case> {
    let mut table = Vec::new();
    let shapes = [(3, 5), (4, 3), (1, 4)];
    for (matrix, (right_rows, right_cols)) in shapes.into_iter().enumerate() {
        for moment in 0..2 {
            let mut add = |error, size| table.push(case(&RESTORE, error, move |c| c.moments[matrix][moment] = size));
            let argument = Argument::State;
            add(rows(argument, right_rows, right_rows + 1), (right_rows + 1, right_cols));
            add(rows(argument, right_rows, 0), (0, right_cols));
            add(cols(argument, right_cols, right_cols - 1), (right_rows, right_cols - 1));
        }
    }
    // The file has moments of an optimizer that needs fewer.
    table.push(case(&RESTORE, rows(Argument::State, 0, 3), |c| {
        let entry = c.contents.entries.remove(0);
        c.contents
            .entries
            .insert(0, entry.training(Optimizer::Momentum, lowrank::train::Trained::DEFAULT, &mut Rng(1)));
    }));
    table
}

/// What can be wrong with the entries, each with the field of the table that would be. The first has its record at 64, the
/// second at 160.
fn contents_cases(function: &'static Function<EmitError>) -> Vec<Case<EmitError>> {
    use Flaw::{Cols, NoBias, NonFinite, NotF32, Order, Probability, Rows, Zero};
    let mut table = Vec::new();
    let mut add = |at, flaw, spoil: fn(&mut OwnedContents)| {
        table.push(case(function, FileError { at, flaw }.into(), move |c| spoil(&mut c.contents)));
    };
    fn tensor(rows: usize, cols: usize) -> OwnedTensor {
        OwnedTensor::random(&mut Rng(1), Dtype::F32, rows, cols)
    }
    fn moments(entry: &mut OwnedEntry) -> &mut Vec<OwnedTensor> {
        &mut entry.training.as_mut().unwrap().3
    }
    fn clock(entry: &mut OwnedEntry) -> &mut Clock {
        &mut entry.training.as_mut().unwrap().2
    }
    add(160, Order, |c| c.entries.swap(0, 1));
    add(160, Order, |c| c.entries[1].name.clear());
    add(168, Order, |c| c.entries[1].name = "fc1".to_owned());
    add(168, Order, |c| (c.entries[0].id, c.entries[1].id, c.entries[1].name) = (9, 8, "fc1".to_owned()));
    add(64 + 12, Zero, |c| c.entries[0].a = tensor(3, 0));
    add(160 + 16, Zero, |c| c.entries[1].b = tensor(0, 1));
    add(160 + 20, Zero, |c| (c.entries[1].a, c.entries[1].b) = (tensor(0, 2), tensor(2, 0)));
    add(64 + 26, Cols { expected: 3, got: 2 }, |c| c.entries[0].b = tensor(4, 2));
    add(160 + 26, Cols { expected: 2, got: 1 }, |c| c.entries[1].a = tensor(2, 2));
    add(64 + 27, Rows { expected: 1, got: 4 }, |c| c.entries[0].bias = Some(tensor(4, 1)));
    add(64 + 27, Rows { expected: 1, got: 0 }, |c| c.entries[0].bias = Some(tensor(0, 4)));
    add(64 + 27, Cols { expected: 4, got: 5 }, |c| c.entries[0].bias = Some(tensor(1, 5)));
    add(160 + 28, Cols { expected: 2, got: 3 }, |c| c.entries[1].b_bias = Some(tensor(1, 3)));
    add(64 + 30, Rows { expected: 3, got: 5 }, |c| moments(&mut c.entries[0])[0] = tensor(5, 3));
    add(64 + 30, Cols { expected: 5, got: 3 }, |c| moments(&mut c.entries[0])[1] = tensor(3, 3));
    add(64 + 30, Rows { expected: 4, got: 0 }, |c| moments(&mut c.entries[0])[3] = tensor(0, 3));
    add(64 + 30, NotF32, |c| moments(&mut c.entries[0])[5] = OwnedTensor::random(&mut Rng(1), Dtype::Bf16, 1, 4));
    add(64 + 30, Rows { expected: 0, got: 3 }, |c| c.entries[0].training.as_mut().unwrap().0 = Optimizer::Sgd);
    add(64 + 31, NoBias, |c| c.entries[0].bias = None);
    add(64 + 32, NonFinite, |c| c.entries[0].scale = Scale::Alpha(f32::NAN));
    add(160 + 32, NonFinite, |c| c.entries[1].scale = Scale::Direct(f32::NEG_INFINITY));
    add(64 + 56, NonFinite, |c| clock(&mut c.entries[0]).weight1 = f32::INFINITY);
    add(64 + 60, NonFinite, |c| clock(&mut c.entries[0]).weight2 = f32::NAN);
    add(64 + 80, Probability { got: 1.0 }, |c| c.entries[0].random.dropout = 1.0);
    add(160 + 80, Probability { got: -0.5 }, |c| c.entries[1].random.dropout = -0.5);
    add(160 + 80, NonFinite, |c| c.entries[1].random.dropout = f32::NAN);
    table
}

fn room_cases() -> Vec<Case<EmitError>> {
    let needed = Call::default().contents.file().len();
    [0, 63, 64, needed - 1]
        .map(|room| {
            let error = Error::TooMany { argument: Argument::File, at_most: room, got: needed };
            case(&EMIT, error.into(), move |c| c.room = room)
        })
        .into()
}

#[test]
fn errors_leave_everything_as_it_was() {
    let mut table = memory_cases();
    table.extend(load_cases());
    table.extend(restore_cases());
    judge(&READERS, &table);
    let mut table = contents_cases(&EMIT);
    table.extend(contents_cases(&STREAM));
    table.extend(room_cases());
    judge(&WRITERS, &table);
}

#[test]
fn unspoiled_calls_succeed() {
    for function in READERS {
        succeeds(function, function.name != "Tensor::from_bytes", |c| c.sizes = [2, 3, 0, 12]);
    }
    for function in WRITERS {
        succeeds(function, true, |_| ());
    }
}

/// What people will read.
#[test]
fn texts() {
    let file = |at, flaw| FileError { at, flaw };
    let texts = [
        (file(12, Flaw::Truncated { expected: 64 }), "File: byte 12: the end; a file has at least 64 bytes"),
        (file(0, Flaw::Magic), "File: byte 0 (magic): no adapter file"),
        (file(8, Flaw::Version { expected: 1, got: 2 }), "File: byte 8 (format version): expected version 1, got 2"),
        (
            file(56, Flaw::Crc { expected: 0x1234_abcd, got: 7 }),
            "File: byte 56 (payload CRC): the checksum is 0x1234abcd, not 0x00000007",
        ),
        (file(160 + 20, Flaw::Zero), "File: byte 180 (entry 1, rank): must not be 0"),
        (file(64 + 59, Flaw::NotZero { got: 3 }), "File: byte 123 (entry 0, weight1): has to be 0, got 3"),
        (file(700, Flaw::Padding { got: 3 }), "File: byte 700: padding has to be 0, got 3"),
        (file(64 + 40, Flaw::Offset { expected: 304 }), "File: byte 104 (entry 0, payload): it has to start at 304"),
        (
            file(64 + 36, Flaw::Scale { expected: 4.0, got: 8.5 }),
            "File: byte 100 (entry 0, scale): expected 4.0, got 8.5",
        ),
        (file(160, Flaw::Order), "File: byte 160 (entry 1, name): entries must ascend by name and id"),
        (file(500, Flaw::Utf8), "File: byte 500: no UTF-8"),
    ];
    for (error, text) in texts {
        assert_eq!([error.to_string(), EmitError::from(error).to_string()], [text; 2]);
    }
    let error = length(Argument::File, 4, 3);
    assert_eq!([error.to_string(), EmitError::from(error).to_string()], ["File: expected 4 elements, got 3"; 2]);
}

/// The names in texts are those of the page, at the same bytes, and the page leaves no byte out.
#[test]
fn the_page_names_every_byte() {
    let page = include_str!("../../../src/format/format.md");
    let tables: Vec<&str> = page.split("| at | bytes | field |\n|---|---|---|\n").skip(1).collect();
    assert_eq!(tables.len(), 2);
    for (table, (start, size, owner)) in tables.into_iter().zip([(0, 64, ""), (64 + 96, 96, "entry 1, ")]) {
        let mut at = 0;
        for line in table.lines().take_while(|line| line.starts_with('|')) {
            let cells: Vec<&str> = line.split('|').map(str::trim).collect();
            let (offset, bytes): (usize, usize) = (cells[1].parse().unwrap(), cells[2].parse().unwrap());
            assert_eq!(offset, at, "{line}");
            let name = cells[3].split(':').next().unwrap();
            for byte in [at, at + bytes - 1] {
                let text = FileError { at: start + byte, flaw: Flaw::Zero }.to_string();
                assert!(text.contains(&format!("({owner}{name})")), "'{text}' does not say {name}");
            }
            at += bytes;
        }
        assert_eq!(at, size);
    }
}

/// Moments that are not there have no shape that could be wrong.
#[test]
fn what_has_no_elements_fits() {
    let mut contents = Call::default().contents;
    let entry = contents.entries.remove(0).training(Optimizer::Sgd, lowrank::train::Trained::DEFAULT, &mut Rng(1));
    fn empty<'m>() -> Moments<'m> {
        Moments { first: mat_mut(&mut [], 0, 7), second: MatMut::new(&mut [], 3, 0).unwrap() }
    }
    let mut state = State { a: empty(), b: empty(), bias: empty(), clock: Clock::default() };
    assert_eq!(entry.view().training.unwrap().restore(&mut state), Ok(()));
    assert_eq!(state.clock, entry.training.unwrap().2);
}
