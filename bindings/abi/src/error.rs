//! From errors to codes.

use lowrank::format::EmitError;
use lowrank::train::Optimizer;
use lowrank::{Argument, Deviation, Error, FileError, Flaw, StoreError};

use crate::codes::*;

/// What went wrong with an argument. Nothing but working memory was written then, unless a call says otherwise. Fields that
/// the status does not speak of are 0.
#[derive(Copy, Clone, Debug, PartialEq)]
#[repr(C)]
pub struct lowrank_error {
    /// Bytes of this struct; to be set before the call.
    pub size: usize,
    /// What the call returned.
    pub status: lowrank_status,
    /// The argument that it is about: `LOWRANK_ARGUMENT_...`.
    pub argument: u32,
    /// What was expected.
    pub expected: usize,
    /// What came.
    pub got: usize,
    /// Where: an element, a label, a byte of a file, a probe, a slot, an address of the flash.
    pub index: usize,
    /// What is wrong with a file: `LOWRANK_FLAW_...`.
    pub flaw: u32,
    /// The smallest value allowed.
    pub at_least: f32,
    /// The largest value allowed.
    pub at_most: f32,
    /// The value that came.
    pub value: f32,
}

/// Why a call did not do its work.
#[derive(Copy, Clone, Debug)]
pub(crate) enum Fault {
    /// Found by the ABI itself.
    Argument {
        status: lowrank_status,
        argument: u32,
        expected: usize,
        got: usize,
    },
    Core(Error),
    File(FileError),
    Store(StoreError<i32>),
    Deviation(Deviation),
}

impl Fault {
    pub(crate) const fn new(status: lowrank_status, argument: u32, expected: usize, got: usize) -> Self {
        Fault::Argument { status, argument, expected, got }
    }

    /// About the struct that errors are described in: it cannot be, and nothing may be written to it.
    pub(crate) const fn is_about_error(&self) -> bool {
        matches!(self, Fault::Argument { argument: LOWRANK_ARGUMENT_ERROR, .. })
    }

    /// A code without a meaning.
    pub(crate) const fn unknown(argument: u32, code: u32) -> Self {
        Self::new(LOWRANK_UNKNOWN, argument, 0, code as usize)
    }
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        Fault::Core(error)
    }
}

impl From<FileError> for Fault {
    fn from(error: FileError) -> Self {
        Fault::File(error)
    }
}

impl From<EmitError> for Fault {
    fn from(error: EmitError) -> Self {
        match error {
            EmitError::File(error) => Fault::File(error),
            EmitError::Call(error) => Fault::Core(error),
        }
    }
}

impl From<StoreError<i32>> for Fault {
    fn from(error: StoreError<i32>) -> Self {
        Fault::Store(error)
    }
}

impl lowrank_error {
    const NONE: lowrank_error = lowrank_error {
        size: size_of::<lowrank_error>(),
        status: LOWRANK_OK,
        argument: LOWRANK_ARGUMENT_NONE,
        expected: 0,
        got: 0,
        index: 0,
        flaw: LOWRANK_FLAW_NONE,
        at_least: 0.0,
        at_most: 0.0,
        value: 0.0,
    };

    const fn about(status: lowrank_status, argument: u32) -> Self {
        lowrank_error { status, argument, ..Self::NONE }
    }

    /// Found by the ABI itself.
    pub(crate) const fn of_abi(status: lowrank_status, argument: u32, expected: usize, got: usize) -> Self {
        lowrank_error { status, argument, expected, got, ..Self::NONE }
    }

    fn of(fault: Fault) -> Self {
        match fault {
            Fault::Argument { status, argument, expected, got } => Self::of_abi(status, argument, expected, got),
            Fault::Core(error) => Self::of_argument(error),
            Fault::File(error) => Self::of_file(error),
            Fault::Store(error) => Self::of_store(error),
            Fault::Deviation(deviation) => Self::of_deviation(deviation),
        }
    }

    /// Of a call that has nothing to do with files or flash.
    fn without_files(fault: Fault) -> Self {
        match fault {
            Fault::Argument { status, argument, expected, got } => Self::of_abi(status, argument, expected, got),
            Fault::Core(error) => Self::of_argument(error),
            Fault::Deviation(deviation) => Self::of_deviation(deviation),
            Fault::File(_) | Fault::Store(_) => Self::about(LOWRANK_OTHER, LOWRANK_ARGUMENT_NONE),
        }
    }

    const fn of_deviation(Deviation { probe: index, expected, got }: Deviation) -> Self {
        lowrank_error {
            index,
            ..Self::of_abi(LOWRANK_DEVIATION, LOWRANK_ARGUMENT_BACKEND, expected as usize, got as usize)
        }
    }

    fn of_argument(error: Error) -> Self {
        // A table first, so that the fields are written in one place.
        let (status, argument, expected, got, index) = match error {
            Error::Length { argument, expected, got } => (LOWRANK_LENGTH, argument, expected, got, 0),
            Error::Rows { argument, expected, got } => (LOWRANK_ROWS, argument, expected, got, 0),
            Error::Cols { argument, expected, got } => (LOWRANK_COLS, argument, expected, got, 0),
            Error::TooMany { argument, at_most, got } => (LOWRANK_TOO_MANY, argument, at_most, got, 0),
            Error::Stride { argument, expected, got } => (LOWRANK_STRIDE, argument, expected, got, 0),
            Error::Overflow { argument } => (LOWRANK_OVERFLOW, argument, 0, 0, 0),
            Error::Range { argument, .. } => (LOWRANK_RANGE, argument, 0, 0, 0),
            Error::NonFinite { argument, index } => (LOWRANK_NON_FINITE, argument, 0, 0, index),
            Error::Label { index, classes, got } => (LOWRANK_LABEL, Argument::Labels, classes, got as usize, index),
            Error::Missing { argument } => (LOWRANK_MISSING, argument, 0, 0, 0),
            Error::Unexpected { argument } => (LOWRANK_UNEXPECTED, argument, 0, 0, 0),
            Error::Reversed { argument, start, end } => (LOWRANK_REVERSED, argument, start, end, 0),
            Error::NoForward => (LOWRANK_NO_FORWARD, Argument::Saved, 0, 0, 0),
            Error::NoInputGrads => (LOWRANK_NO_INPUT_GRADS, Argument::Saved, 0, 0, 0),
            Error::ForInference => (LOWRANK_FOR_INFERENCE, Argument::Saved, 0, 0, 0),
            Error::AbsentAdapter => (LOWRANK_ABSENT_ADAPTER, Argument::Saved, 0, 0, 0),
            Error::OtherOptimizer { planned, used } => {
                let (planned, used) = (optimizer_code(planned) as usize, optimizer_code(used) as usize);
                (LOWRANK_OTHER_OPTIMIZER, Argument::State, planned, used, 0)
            }
            Error::DeadAdapter => return Self::about(LOWRANK_DEAD_ADAPTER, LOWRANK_ARGUMENT_ADAPTER),
            _ => return Self::about(LOWRANK_OTHER, LOWRANK_ARGUMENT_NONE),
        };
        let described = lowrank_error { index, ..Self::of_abi(status, argument_code(argument), expected, got) };
        match error {
            Error::Range { at_least, at_most, got: value, .. } => {
                lowrank_error { at_least, at_most, value, ..described }
            }
            _ => described,
        }
    }

    #[rustfmt::skip]
    fn of_file(FileError { at: index, flaw }: FileError) -> Self {
        let error = lowrank_error { index, ..Self::about(LOWRANK_FILE, LOWRANK_ARGUMENT_FILE) };
        let plain = |flaw| lowrank_error { flaw, ..error };
        let sizes = |flaw, expected, got| lowrank_error { flaw, expected, got, ..error };
        match flaw {
            Flaw::Truncated { expected } => sizes(LOWRANK_FLAW_TRUNCATED, expected, 0),
            Flaw::Magic => plain(LOWRANK_FLAW_MAGIC),
            Flaw::Version { expected, got } => sizes(LOWRANK_FLAW_VERSION, expected.into(), got.into()),
            Flaw::Crc { expected, got } => sizes(LOWRANK_FLAW_CRC, expected as usize, got as usize),
            Flaw::Length { expected } => sizes(LOWRANK_FLAW_LENGTH, expected, 0),
            Flaw::Offset { expected } => sizes(LOWRANK_FLAW_OFFSET, expected, 0),
            Flaw::Outside => plain(LOWRANK_FLAW_OUTSIDE),
            Flaw::TooLarge => plain(LOWRANK_FLAW_TOO_LARGE),
            Flaw::Zero => plain(LOWRANK_FLAW_ZERO),
            Flaw::NotZero { got } => sizes(LOWRANK_FLAW_NOT_ZERO, 0, got.into()),
            Flaw::Padding { got } => sizes(LOWRANK_FLAW_PADDING, 0, got.into()),
            Flaw::Code { got } => sizes(LOWRANK_FLAW_CODE, 0, got.into()),
            Flaw::NoBias => plain(LOWRANK_FLAW_NO_BIAS),
            Flaw::Utf8 => plain(LOWRANK_FLAW_UTF8),
            Flaw::Order => plain(LOWRANK_FLAW_ORDER),
            Flaw::NonFinite => plain(LOWRANK_FLAW_NON_FINITE),
            Flaw::Scale { expected, got } => {
                lowrank_error { at_least: expected, at_most: expected, value: got, ..plain(LOWRANK_FLAW_SCALE) }
            }
            Flaw::Probability { got } => lowrank_error { value: got, ..plain(LOWRANK_FLAW_PROBABILITY) },
            Flaw::Rows { expected, got } => sizes(LOWRANK_FLAW_ROWS, expected as usize, got as usize),
            Flaw::Cols { expected, got } => sizes(LOWRANK_FLAW_COLS, expected as usize, got as usize),
            Flaw::NotF32 => plain(LOWRANK_FLAW_NOT_F32),
            _ => plain(LOWRANK_FLAW_OTHER),
        }
    }

    fn of_store(error: StoreError<i32>) -> Self {
        let slot = |status, index, expected| lowrank_error {
            index,
            ..Self::of_abi(status, LOWRANK_ARGUMENT_STORE, expected, 0)
        };
        match error {
            StoreError::Flash { at, error } => lowrank_error {
                got: error as u32 as usize,
                ..Self { index: at as usize, ..Self::about(LOWRANK_FLASH, LOWRANK_ARGUMENT_FLASH) }
            },
            StoreError::Verify { at } => {
                lowrank_error { index: at as usize, ..Self::about(LOWRANK_VERIFY, LOWRANK_ARGUMENT_FLASH) }
            }
            StoreError::Contents(EmitError::File(error)) | StoreError::File(error) => Self::of_file(error),
            StoreError::Contents(EmitError::Call(error)) => Self::of_argument(error),
            StoreError::TooLong { needed, available } => {
                Self::of_abi(LOWRANK_TOO_LONG, LOWRANK_ARGUMENT_FILE, available, needed)
            }
            StoreError::NoSealLeft { slot: index } => slot(LOWRANK_NO_SEAL_LEFT, index, 0),
            StoreError::Unaligned { slot: index, multiple_of } => {
                slot(LOWRANK_SLOT_UNALIGNED, index, multiple_of as usize)
            }
            StoreError::Outside { slot: index, capacity } => slot(LOWRANK_SLOT_OUTSIDE, index, capacity),
            StoreError::TooSmall { slot: index, needed } => slot(LOWRANK_SLOT_TOO_SMALL, index, needed),
            StoreError::Overlap => Self::about(LOWRANK_SLOTS_OVERLAP, LOWRANK_ARGUMENT_STORE),
            StoreError::Page { multiple_of, got } => {
                Self::of_abi(LOWRANK_PAGE, LOWRANK_ARGUMENT_PAGE, multiple_of, got)
            }
            _ => Self::about(LOWRANK_OTHER, LOWRANK_ARGUMENT_STORE),
        }
    }
}

/// What a call returns. An error is described where there is a place for it.
///
/// # Safety
/// `error` is null, or was the first to be noted in the [`Memory`](crate::memory::Memory) of the call, whose verdict is in
/// `result`; and nothing is borrowed any more.
#[inline(never)]
pub(crate) unsafe fn finish(result: Result<(), Fault>, error: *mut lowrank_error) -> lowrank_status {
    let Err(fault) = result else { return LOWRANK_OK };
    // SAFETY: the caller's word.
    unsafe { report(lowrank_error::of(fault), error) }
}

/// As [`finish`], for calls that have nothing to do with files or flash: where only those are linked, no code for the flaws of
/// files is.
///
/// # Safety
/// As [`finish`].
#[inline(never)]
pub(crate) unsafe fn finish_without_files(result: Result<(), Fault>, error: *mut lowrank_error) -> lowrank_status {
    let Err(fault) = result else { return LOWRANK_OK };
    // SAFETY: the caller's word.
    unsafe { report(lowrank_error::without_files(fault), error) }
}

/// # Safety
/// As [`finish`].
unsafe fn report(described: lowrank_error, error: *mut lowrank_error) -> lowrank_status {
    // Whatever is wrong with `error` is what the call is refused for.
    if !error.is_null() && described.argument != LOWRANK_ARGUMENT_ERROR {
        // SAFETY: it was noted: aligned, as large as its first field says, within the address space, apart from all else.
        unsafe { error.write(described) };
    }
    described.status
}

pub(crate) const fn optimizer_code(optimizer: Optimizer) -> u32 {
    match optimizer {
        Optimizer::Momentum => LOWRANK_MOMENTUM,
        Optimizer::AdamW => LOWRANK_ADAMW,
        Optimizer::Sgd => LOWRANK_SGD,
        Optimizer::InPlace => LOWRANK_IN_PLACE,
    }
}

#[rustfmt::skip]
pub(crate) const fn argument_code(argument: Argument) -> u32 {
    match argument {
        Argument::W => LOWRANK_ARGUMENT_W,
        Argument::Bias => LOWRANK_ARGUMENT_BIAS,
        Argument::A => LOWRANK_ARGUMENT_A,
        Argument::B => LOWRANK_ARGUMENT_B,
        Argument::Scale => LOWRANK_ARGUMENT_SCALE,
        Argument::X => LOWRANK_ARGUMENT_X,
        Argument::Y => LOWRANK_ARGUMENT_Y,
        Argument::DY => LOWRANK_ARGUMENT_DY,
        Argument::DX => LOWRANK_ARGUMENT_DX,
        Argument::DA => LOWRANK_ARGUMENT_DA,
        Argument::DB => LOWRANK_ARGUMENT_DB,
        Argument::DBias => LOWRANK_ARGUMENT_DBIAS,
        Argument::Saved => LOWRANK_ARGUMENT_SAVED,
        Argument::State => LOWRANK_ARGUMENT_STATE,
        Argument::Merged => LOWRANK_ARGUMENT_MERGED,
        Argument::Arena => LOWRANK_ARGUMENT_ARENA,
        Argument::Packed => LOWRANK_ARGUMENT_PACKED,
        Argument::Tokens => LOWRANK_ARGUMENT_TOKENS,
        Argument::Rank => LOWRANK_ARGUMENT_RANK,
        Argument::Matrix => LOWRANK_ARGUMENT_MATRIX,
        Argument::GradNorm => LOWRANK_ARGUMENT_GRAD_NORM,
        Argument::LearningRate => LOWRANK_ARGUMENT_LEARNING_RATE,
        Argument::Beta1 => LOWRANK_ARGUMENT_BETA1,
        Argument::Beta2 => LOWRANK_ARGUMENT_BETA2,
        Argument::Momentum => LOWRANK_ARGUMENT_MOMENTUM,
        Argument::Dampening => LOWRANK_ARGUMENT_DAMPENING,
        Argument::Epsilon => LOWRANK_ARGUMENT_EPSILON,
        Argument::WeightDecay => LOWRANK_ARGUMENT_WEIGHT_DECAY,
        Argument::MaxNorm => LOWRANK_ARGUMENT_MAX_NORM,
        Argument::Dropout => LOWRANK_ARGUMENT_DROPOUT,
        Argument::Labels => LOWRANK_ARGUMENT_LABELS,
        Argument::Targets => LOWRANK_ARGUMENT_TARGETS,
        Argument::LossGrad => LOWRANK_ARGUMENT_LOSS_GRAD,
        Argument::File => LOWRANK_ARGUMENT_FILE,
        Argument::BBias => LOWRANK_ARGUMENT_B_BIAS,
        Argument::LayerNumber => LOWRANK_ARGUMENT_LAYER_NUMBER,
        _ => LOWRANK_ARGUMENT_NONE,
    }
}
