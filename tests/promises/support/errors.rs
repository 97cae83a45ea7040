//! What the tables of errors share: a call that is right until a case spoils one thing about it, and the judge.

use std::collections::BTreeMap;
use std::fmt::{Debug, Display};

use lowrank::train::{AdamW, Clock, InPlace, Optimizer, Sgd, Trained};
use lowrank::{
    Accum, Adapter, AdapterMut, Argument, Backend, Backprop, Base, Dropout, Dtype, Error, Grads, Layer, MatMut, MatRef,
    Plan, Saved, Scale, Shape, forward, input_grads,
};

use super::files::{OwnedContents, OwnedEntry};
use super::{Data, Rng, mat, mat_mut, report};

pub(crate) type Size = (usize, usize);

pub(crate) const INPUTS: usize = 5;
pub(crate) const OUTPUTS: usize = 4;
pub(crate) const RANK: usize = 3;
pub(crate) const TOKENS: usize = 2;
pub(crate) const SHAPE: Shape = Shape::new(INPUTS, OUTPUTS, RANK);

/// Sizes of all arguments. Every dimension has a length of its own, so that none is taken for another.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) w: Size,
    pub(crate) bias: Option<Size>,
    pub(crate) a: Size,
    pub(crate) b: Size,
    pub(crate) trained_bias: Option<Size>,
    pub(crate) scale: f32,
    pub(crate) x: Option<Size>,
    pub(crate) y: Size,
    pub(crate) dy: Size,
    pub(crate) dx: Option<Size>,
    pub(crate) da: Option<Size>,
    pub(crate) db: Size,
    pub(crate) dbias: Option<Size>,
    pub(crate) merged: Size,
    pub(crate) saved: (Shape, usize),
    pub(crate) inference: bool,
    /// Tokens of the forward pass before the call.
    pub(crate) forward: Option<usize>,
    /// With this scale.
    pub(crate) forward_scale: f32,
    /// Whether `input_grads` came after it.
    pub(crate) input_grads: bool,
    /// Matrices that are all zero, or minus zero.
    pub(crate) zero: Vec<(Argument, f32)>,
    /// Elements that are replaced.
    pub(crate) put: Vec<(Argument, usize, f32)>,
    /// Rows, columns, stride or width, and length, for functions that take no more than that.
    pub(crate) sizes: [usize; 4],
    pub(crate) adamw: AdamW,
    pub(crate) sgd: Sgd,
    pub(crate) in_place: InPlace,
    /// First and second moments of `A`, `B` and the bias.
    pub(crate) moments: [[Size; 2]; 3],
    pub(crate) clock: Clock,
    pub(crate) square_sum: f32,
    pub(crate) max_norm: f32,
    /// Tokens that the mean of a loss is over, and whether two of them have been seen.
    pub(crate) over: usize,
    pub(crate) seen_before: bool,
    pub(crate) labels: Vec<u32>,
    pub(crate) targets: Size,
    pub(crate) loss_grad: Size,
    pub(crate) contents: OwnedContents,
    /// Bytes for a file.
    pub(crate) room: usize,
    /// What a layer is made for, and with how many elements if not with all.
    pub(crate) plan: Plan,
    pub(crate) arena: Option<usize>,
    /// What came before with the layer.
    pub(crate) before: Vec<fn(&mut Layer<'_>)>,
    pub(crate) scaled: Scale,
    /// The number of the layer.
    pub(crate) number: u32,
    pub(crate) dropout: Option<Dropout>,
    /// Elements between two rows of `A` and of `B`.
    pub(crate) gaps: [usize; 2],
}

/// A layer of [`SHAPE`] with everything that an adapter and a state can hold, and a second one.
fn contents() -> OwnedContents {
    let rng = &mut Rng(3);
    let first = OwnedEntry::new("fc1", SHAPE, Dtype::F32, rng).with_bias(Dtype::F32, rng).training(
        Optimizer::AdamW,
        Trained { a: true, bias: true },
        rng,
    );
    let second = OwnedEntry::new("fc2", Shape::new(2, 2, 1), Dtype::F16, rng).with_b_bias(Dtype::F32, rng);
    OwnedContents { entries: vec![first, second], ..OwnedContents::default() }
}

impl Default for Call {
    fn default() -> Self {
        Self {
            w: (OUTPUTS, INPUTS),
            bias: Some((1, OUTPUTS)),
            a: (RANK, INPUTS),
            b: (OUTPUTS, RANK),
            trained_bias: Some((1, OUTPUTS)),
            scale: 0.5,
            x: Some((TOKENS, INPUTS)),
            y: (TOKENS, OUTPUTS),
            dy: (TOKENS, OUTPUTS),
            dx: Some((TOKENS, INPUTS)),
            da: Some((RANK, INPUTS)),
            db: (OUTPUTS, RANK),
            dbias: Some((1, OUTPUTS)),
            merged: (OUTPUTS, INPUTS),
            saved: (SHAPE, TOKENS),
            inference: false,
            forward: Some(TOKENS),
            forward_scale: 1.0,
            input_grads: false,
            zero: Vec::new(),
            put: Vec::new(),
            sizes: [2, 3, 3, 6],
            adamw: AdamW::DEFAULT,
            sgd: Sgd { momentum: 0.5, ..Sgd::DEFAULT },
            in_place: InPlace { max_norm: Some(0.5), ..InPlace::DEFAULT },
            moments: [[(RANK, INPUTS); 2], [(OUTPUTS, RANK); 2], [(1, OUTPUTS); 2]],
            clock: Clock::default(),
            square_sum: 2.0,
            max_norm: 0.5,
            over: TOKENS,
            seen_before: false,
            labels: vec![0, 3],
            targets: (TOKENS, OUTPUTS),
            loss_grad: (TOKENS, OUTPUTS),
            contents: contents(),
            room: 1024,
            plan: Plan::training(SHAPE, TOKENS, Optimizer::AdamW).with(Trained { a: true, bias: true }),
            arena: None,
            before: Vec::new(),
            scaled: Scale::Alpha(6.0),
            number: 1,
            dropout: None,
            gaps: [0; 2],
        }
    }
}

/// The arena from which a call takes all of its memory.
pub(crate) struct Cut<'m, 'c> {
    rest: &'m mut [f32],
    call: &'c Call,
}

impl<'m, 'c> Cut<'m, 'c> {
    pub(crate) fn new(arena: &'m mut [f32], call: &'c Call) -> Self {
        Self { rest: arena, call }
    }

    pub(crate) fn memory(&mut self, argument: Argument, len: usize) -> &'m mut [f32] {
        // One number between the pieces belongs to nobody.
        let (piece, rest) = std::mem::take(&mut self.rest).split_at_mut(len + 1);
        self.rest = rest;
        let piece = &mut piece[..len];
        self.call.zero.iter().filter(|zero| zero.0 == argument).for_each(|zero| piece.fill(zero.1));
        self.call.put.iter().filter(|put| put.0 == argument).for_each(|put| piece[put.1] = put.2);
        piece
    }

    pub(crate) fn read(&mut self, argument: Argument, (rows, cols): Size) -> MatRef<'m> {
        mat(self.memory(argument, rows * cols), rows, cols)
    }

    pub(crate) fn write(&mut self, argument: Argument, (rows, cols): Size) -> MatMut<'m> {
        mat_mut(self.memory(argument, rows * cols), rows, cols)
    }

    pub(crate) fn base(&mut self) -> Base<'m> {
        let weights = self.read(Argument::W, self.call.w).into();
        Base { weights, bias: self.call.bias.map(|size| self.read(Argument::Bias, size)) }
    }

    pub(crate) fn adapter(&mut self) -> Adapter<'m> {
        let Call { a, b, trained_bias, scale, .. } = *self.call;
        let (a, b) = (self.read(Argument::A, a), self.read(Argument::B, b));
        Adapter { a, b, bias: trained_bias.map(|size| self.read(Argument::Bias, size)), scale }
    }

    pub(crate) fn adapter_mut(&mut self) -> AdapterMut<'m> {
        let Call { a, b, trained_bias, scale, .. } = *self.call;
        let (a, b) = (self.write(Argument::A, a), self.write(Argument::B, b));
        AdapterMut { a, b, bias: trained_bias.map(|size| self.write(Argument::Bias, size)), scale }
    }

    pub(crate) fn grads(&mut self) -> Grads<'m> {
        let Call { da, db, dbias, .. } = *self.call;
        Grads {
            a: da.map(|size| self.write(Argument::DA, size)),
            b: self.write(Argument::DB, db),
            bias: dbias.map(|size| self.write(Argument::DBias, size)),
            accum: Accum::Replace,
        }
    }

    pub(crate) fn flow(&mut self) -> Backprop<'m> {
        let Call { x, dy, dx, .. } = *self.call;
        Backprop {
            x: x.map(|size| self.read(Argument::X, size)),
            dy: self.read(Argument::DY, dy),
            dx: dx.map(|size| self.write(Argument::DX, size)),
        }
    }

    /// What a forward pass has left, if one came before: one that fits `saved`, whatever the call will be.
    pub(crate) fn saved(&mut self) -> Saved<'m> {
        let (shape, tokens) = self.call.saved;
        let mut saved = if self.call.inference {
            let len = Saved::inference_len(shape, tokens).unwrap();
            Saved::inference(self.memory(Argument::Saved, len), shape, tokens).unwrap()
        } else {
            let len = Saved::training_len(shape, tokens).unwrap();
            Saved::training(self.memory(Argument::Saved, len), shape, tokens).unwrap()
        };
        let Some(n) = self.call.forward else { return saved };
        let Shape { inputs, outputs, rank } = shape;
        let fill = |len| Data::Finite.fill(&mut Rng(1), len);
        let (w, a, b, x) = (fill(outputs * inputs), fill(rank * inputs), fill(outputs * rank), fill(n * inputs));
        let base = Base { weights: mat(&w, outputs, inputs).into(), bias: None };
        let adapter =
            Adapter { a: mat(&a, rank, inputs), b: mat(&b, outputs, rank), bias: None, scale: self.call.forward_scale };
        let mut y = vec![0.0; n * outputs];
        let y = mat_mut(&mut y, n, outputs);
        forward(Backend::BASELINE, &base, &adapter, mat(&x, n, inputs), y, &mut saved).unwrap();
        if self.call.input_grads {
            let dy = fill(n * outputs);
            input_grads(Backend::BASELINE, &base, &adapter, mat(&dy, n, outputs), None, &mut saved).unwrap();
        }
        saved
    }
}

/// What a function returned, and what it left outside of the arena, as a text.
pub(crate) type Outcome<E = Error> = (Result<(), E>, String);

/// The kinds of error of a backward pass.
pub(crate) const BACKWARD_ERRORS: [&str; 9] =
    ["Rows", "Cols", "TooMany", "Range", "NoForward", "ForInference", "AbsentAdapter", "Missing", "DeadAdapter"];

/// A public function. `run` takes its arguments from the arena and, if told to `act`, calls it.
pub(crate) struct Function<E: 'static = Error> {
    pub(crate) name: &'static str,
    pub(crate) run: fn(&Call, &mut [f32], act: bool) -> Outcome<E>,
    /// The kinds of error that its documentation names.
    pub(crate) documented: &'static [&'static str],
}

/// One way to misuse a function, and what it has to say.
pub(crate) struct Case<E: 'static = Error> {
    pub(crate) function: &'static Function<E>,
    pub(crate) spoil: Box<dyn Fn(&mut Call)>,
    pub(crate) error: E,
}

pub(crate) fn case<E>(function: &'static Function<E>, error: E, spoil: impl Fn(&mut Call) + 'static) -> Case<E> {
    Case { function, spoil: Box::new(spoil), error }
}

pub(crate) fn rows(argument: Argument, expected: usize, got: usize) -> Error {
    Error::Rows { argument, expected, got }
}

pub(crate) fn cols(argument: Argument, expected: usize, got: usize) -> Error {
    Error::Cols { argument, expected, got }
}

pub(crate) fn too_many(argument: Argument, at_most: usize, got: usize) -> Error {
    Error::TooMany { argument, at_most, got }
}

pub(crate) fn length(argument: Argument, expected: usize, got: usize) -> Error {
    Error::Length { argument, expected, got }
}

/// What every operation checks about base and adapter.
pub(crate) fn base_and_adapter(function: &'static Function) -> Vec<Case> {
    use Argument::{A, B, Bias};
    let (at_least, at_most) = (f32::MIN, f32::MAX);
    let mut table = vec![
        case(function, rows(Bias, 1, 0), |c| c.bias = Some((0, 4))),
        case(function, rows(Bias, 1, 4), |c| c.bias = Some((4, 1))),
        case(function, cols(Bias, 4, 3), |c| c.bias = Some((1, 3))),
        case(function, cols(Bias, 4, 0), |c| c.bias = Some((1, 0))),
        case(function, cols(Bias, 7, 4), |c| c.w = (7, 5)),
        case(function, cols(A, 5, 6), |c| c.a = (3, 6)),
        case(function, cols(A, 9, 5), |c| c.w = (4, 9)),
        case(function, rows(B, 4, 5), |c| c.b = (5, 3)),
        case(function, cols(B, 3, 2), |c| c.b = (4, 2)),
        case(function, cols(B, 7, 3), |c| c.a = (7, 5)),
        case(function, rows(Bias, 1, 0), |c| c.trained_bias = Some((0, 4))),
        case(function, rows(Bias, 1, 4), |c| c.trained_bias = Some((4, 1))),
        case(function, cols(Bias, 4, 5), |c| c.trained_bias = Some((1, 5))),
    ];
    table.extend([f32::NAN, f32::INFINITY, f32::NEG_INFINITY].map(|got| {
        case(function, Error::Range { argument: Argument::Scale, at_least, at_most, got }, move |c| c.scale = got)
    }));
    table
}

/// What forward and backward check about `saved`.
pub(crate) fn saved_cases(function: &'static Function) -> Vec<Case> {
    use Argument::{Rank, Saved, Tokens};
    let made_for = |inputs, outputs, rank| {
        move |c: &mut Call| (c.saved, c.forward) = ((Shape::new(inputs, outputs, rank), 2), Some(2))
    };
    vec![
        case(function, rows(Saved, 4, 3), made_for(5, 3, 3)),
        case(function, cols(Saved, 5, 6), made_for(6, 4, 3)),
        case(function, cols(Rank, 3, 2), made_for(5, 4, 2)),
        case(function, cols(Rank, 3, 4), made_for(5, 4, 4)),
        case(function, too_many(Tokens, 1, 2), |c| (c.saved, c.forward) = ((SHAPE, 1), Some(1))),
        case(function, too_many(Tokens, 0, 2), |c| (c.saved, c.forward) = ((SHAPE, 0), Some(0))),
        case(function, too_many(Tokens, 1, 2), |c| (c.saved, c.forward) = ((SHAPE, 1), None)),
    ]
}

/// What every backward pass says of what came before it.
pub(crate) fn progress_cases(function: &'static Function) -> Vec<Case> {
    let mut table = Vec::new();
    for dx in [Some((TOKENS, INPUTS)), None] {
        let mut add = |error, spoil: fn(&mut Call)| {
            table.push(case(function, error, move |c| {
                (c.dx, c.trained_bias) = (dx, None);
                spoil(c);
            }));
        };
        add(Error::NoForward, |c| c.forward = None);
        add(Error::NoForward, |c| (c.forward, c.inference) = (None, true));
        add(Error::ForInference, |c| c.inference = true);
        add(Error::ForInference, |c| (c.inference, c.forward_scale) = (true, 0.0));
        add(Error::AbsentAdapter, |c| c.forward_scale = 0.0);
        add(Error::AbsentAdapter, |c| (c.forward_scale, c.input_grads) = (-0.0, true));
    }
    table
}

fn arena() -> Vec<f32> {
    Data::Finite.fill(&mut Rng(12), 4096)
}

fn run<E>(function: &Function<E>, call: &Call, act: bool) -> (Result<(), E>, Vec<u32>, String) {
    let mut memory = arena();
    let (result, state) = (function.run)(call, &mut memory, act);
    (result, memory.iter().map(|value| value.to_bits()).collect(), state)
}

/// The error of a call for what it is, wherever it is wrapped.
fn unwrapped(error: &impl Debug) -> String {
    let text = format!("{error:?}");
    let inner = text.strip_prefix("Call(").and_then(|inner| inner.strip_suffix(')'));
    inner.unwrap_or(&text).to_owned()
}

/// `Length` of `Length { .. }`
fn kind(error: &impl Debug) -> String {
    let text = unwrapped(error);
    text[..text.find([' ', '(']).unwrap_or(text.len())].to_owned()
}

/// Runs the table. Every documented kind of error of every function needs three cases or more.
pub(crate) fn judge<E: Copy + Debug + Display>(functions: &[&'static Function<E>], table: &[Case<E>]) {
    let mut counts: BTreeMap<(&str, String), u64> = BTreeMap::new();
    for (row, case) in table.iter().enumerate() {
        let at = format!("{} row {row}, {:?}", case.function.name, case.error);
        let mut call = Call::default();
        (case.spoil)(&mut call);
        let (_, before, state_before) = run(case.function, &call, false);
        let (result, after, state_after) = run(case.function, &call, true);
        // By their text, as NaN is not equal to itself.
        assert_eq!(format!("{result:?}"), format!("{:?}", Err::<(), _>(case.error)), "{at}");
        assert_eq!(before.iter().zip(&after).position(|(a, b)| a != b), None, "{at}: something was written");
        assert_eq!(state_before, state_after, "{at}: something has changed");
        explains(&case.error);
        *counts.entry((case.function.name, kind(&case.error))).or_default() += 1;
    }
    for function in functions {
        for documented in function.documented {
            let count = counts.remove(&(function.name, (*documented).to_owned())).unwrap_or(0);
            report("errors", format!("{} {documented}", function.name), count, "cases, nothing written", 3);
        }
    }
    assert!(counts.is_empty(), "errors that no documentation names: {counts:?}");
}

/// Unspoiled, every function succeeds and, where it has outputs, writes: so the cases fail for their own reason, and the
/// comparison of the arena can fail.
pub(crate) fn succeeds<E: Debug + PartialEq>(function: &Function<E>, writes: bool, prepare: impl Fn(&mut Call)) {
    let mut call = Call::default();
    prepare(&mut call);
    let (_, before, state_before) = run(function, &call, false);
    let (result, after, state_after) = run(function, &call, true);
    assert_eq!(result, Ok(()), "{}", function.name);
    assert_eq!(before != after || state_before != state_after, writes, "{}", function.name);
}

/// The text names the argument and all numbers, and is short enough to be read. A flaw of a file has words of its own.
fn explains(error: &(impl Debug + Display)) {
    let text = error.to_string();
    assert!(text.len() <= 100, "a long story: {text}");
    let debug = unwrapped(error);
    for word in debug.split([' ', ',', '{', '}', ':', '(', ')']).filter(|word| !word.is_empty()).skip(1) {
        let field = word.starts_with(|c: char| c.is_lowercase() || debug.starts_with("File") && c.is_uppercase());
        assert!(field || text.contains(word.trim_end_matches(".0")), "'{text}' does not mention {word} of {debug}");
    }
    assert!(!text.contains('{') && text.contains(' '), "'{text}' is no sentence");
}
