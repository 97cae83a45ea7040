//! The only error of the crate: which argument, what was expected, what came.
//!
//! Every public operation checks all of its arguments before it writes anything, so an `Err` means that every output
//! is as it was.

mod flaw;

pub use flaw::Flaw;

use core::fmt;

use crate::optimizer::Optimizer;

/// The argument that an [`Error`] is about, by the name it has in the equation or at the call.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Argument {
    /// Frozen weights `W [out, in]`.
    W,
    /// Bias `b [1, out]`, frozen or trained.
    Bias,
    /// Adapter matrix `A [r, in]`.
    A,
    /// Adapter matrix `B [out, r]`.
    B,
    /// The factor `s` in front of the adapter.
    Scale,
    /// Layer input `X [n, in]`.
    X,
    /// Layer output `Y [n, out]`.
    Y,
    /// Gradient of the loss with respect to `Y`.
    DY,
    /// Gradient of the loss with respect to `X`.
    DX,
    /// Gradient of the loss with respect to `A`.
    DA,
    /// Gradient of the loss with respect to `B`.
    DB,
    /// Gradient of the loss with respect to the bias.
    DBias,
    /// What the forward pass leaves for the backward pass.
    Saved,
    /// State of an optimizer (momentum, first and second moments).
    State,
    /// Destination of a merge.
    Merged,
    /// A buffer from which a plan hands out pieces.
    Arena,
    /// A buffer for packed weights.
    Packed,
    /// The number of tokens (rows of `X` and `Y`).
    Tokens,
    /// The rank `r`.
    Rank,
    /// A matrix as such, where no role is known yet.
    Matrix,
    /// The gradients of all layers together, when it is about their norm.
    GradNorm,
    /// The learning rate.
    LearningRate,
    /// A moment factor of an optimizer (momentum, dampening, beta).
    Momentum,
    /// The term that keeps a division away from zero.
    Epsilon,
    /// Weight decay.
    WeightDecay,
    /// Maximal norm of a gradient.
    MaxNorm,
    /// Probability of dropping an element.
    Dropout,
    /// Class labels of a loss.
    Labels,
    /// Targets of a loss.
    Targets,
    /// Gradient of the loss with respect to the prediction.
    LossGrad,
    /// An adapter file, in bytes.
    File,
    /// The bias of `B`, as with `lora_bias` in PEFT.
    BBias,
    /// The number of a layer, which chooses its random numbers.
    Layer,
}

/// The largest number below 1: a bound for what has to be smaller than 1.
pub(crate) const BELOW_ONE: f32 = 1.0 - f32::EPSILON / 2.0;

/// What went wrong with an argument. Nothing was written.
#[derive(Copy, Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Error {
    /// A slice has the wrong number of elements.
    Length {
        /// The slice.
        argument: Argument,
        /// Elements needed.
        expected: usize,
        /// Elements that came.
        got: usize,
    },
    /// A matrix has the wrong number of rows.
    Rows {
        /// The matrix.
        argument: Argument,
        /// Rows needed.
        expected: usize,
        /// Rows that came.
        got: usize,
    },
    /// A matrix has the wrong number of columns.
    Cols {
        /// The matrix.
        argument: Argument,
        /// Columns needed.
        expected: usize,
        /// Columns that came.
        got: usize,
    },
    /// There is more of something than there is room for.
    TooMany {
        /// What.
        argument: Argument,
        /// The most that fits.
        at_most: usize,
        /// How many came.
        got: usize,
    },
    /// A row stride is smaller than a row.
    Stride {
        /// The matrix.
        argument: Argument,
        /// The smallest stride that is possible, in elements.
        expected: usize,
        /// The stride that came.
        got: usize,
    },
    /// A product of sizes does not fit into `usize`, or its bytes not into `isize`.
    Overflow {
        /// Whose size.
        argument: Argument,
    },
    /// A number lies outside of its range.
    Range {
        /// The number.
        argument: Argument,
        /// The smallest value allowed.
        at_least: f32,
        /// The largest value allowed.
        at_most: f32,
        /// The value that came.
        got: f32,
    },
    /// An infinity or a NaN where only finite numbers make sense.
    NonFinite {
        /// The slice or matrix.
        argument: Argument,
        /// Row-major index of the first offender.
        index: usize,
    },
    /// A label that names no class.
    Label {
        /// Index of the label.
        index: usize,
        /// Number of classes; labels are smaller.
        classes: usize,
        /// The label that came.
        got: u32,
    },
    /// `A` and `B` are both zero: every gradient is zero for ever, the adapter cannot learn.
    DeadAdapter,
    /// An argument that this call needs was left out.
    Missing {
        /// What is missing.
        argument: Argument,
    },
    /// An argument was given that this call cannot fill (a gradient whose source is frozen).
    Unexpected {
        /// What is too much.
        argument: Argument,
    },
    /// A range whose end lies before its start.
    Reversed {
        /// What the range is of.
        argument: Argument,
        /// Where it starts.
        start: usize,
        /// Where it ends.
        end: usize,
    },
    /// No forward pass of this batch came before.
    NoForward,
    /// [`parameter_grads`](crate::parameter_grads) came before [`input_grads`](crate::input_grads).
    NoInputGrads,
    /// A backward pass with a [`Saved`](crate::Saved) that was made for inference: it has no room for `gs`.
    ForInference,
    /// An earlier pass of this batch ran without an adapter (its scale was 0), so `hs` was not written; this one has an adapter.
    AbsentAdapter,
    /// Pieces of a batch that had another dropout than the whole.
    OtherDropout,
    /// The memory was planned for one optimizer, and a step of another one needs more than that.
    OtherOptimizer {
        /// The optimizer that the memory was planned for.
        planned: Optimizer,
        /// The optimizer of the step.
        used: Optimizer,
    },
    /// An adapter file does not keep to the [format](crate::format), or would not.
    File {
        /// Where, in bytes from the start of the file: the start of a field, or the byte itself where it is about one.
        at: usize,
        /// What is wrong there.
        flaw: Flaw,
    },
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Error::Length { argument, expected, got } => {
                write!(f, "{argument:?}: expected {expected} elements, got {got}")
            }
            Error::Rows { argument, expected, got } => write!(f, "{argument:?}: expected {expected} rows, got {got}"),
            Error::Cols { argument, expected, got } => {
                write!(f, "{argument:?}: expected {expected} columns, got {got}")
            }
            Error::Stride { argument, expected, got } => {
                write!(f, "{argument:?}: a row stride of at least {expected} is needed, got {got}")
            }
            Error::TooMany { argument, at_most, got } => write!(f, "{argument:?}: at most {at_most} fit, got {got}"),
            Error::Overflow { argument } => write!(f, "{argument:?}: the size does not fit into the address space"),
            Error::Range { argument, at_least, at_most, got } => {
                write!(f, "{argument:?}: expected a value from {at_least:?} to {at_most:?}, got {got:?}")
            }
            Error::NonFinite { argument, index } => {
                write!(f, "{argument:?}: element {index} is not a finite number")
            }
            Error::Label { index, classes, got } => {
                write!(f, "Labels: label {index} is {got}, but there are {classes} classes")
            }
            Error::DeadAdapter => f.write_str("A and B are both zero: the adapter can never learn"),
            Error::Missing { argument } => write!(f, "{argument:?}: needed here, but not given"),
            Error::Unexpected { argument } => write!(f, "{argument:?}: given, but this call cannot fill it"),
            Error::Reversed { argument, start, end } => {
                write!(f, "{argument:?}: the range starts at {start} and ends before that, at {end}")
            }
            Error::NoForward => f.write_str("no forward pass of this batch came before"),
            Error::NoInputGrads => f.write_str("input_grads has to come before parameter_grads"),
            Error::ForInference => {
                f.write_str("Saved: made for inference, a backward pass needs one made for training")
            }
            Error::AbsentAdapter => {
                f.write_str("an earlier pass of this batch ran with a scale of 0 and left no hs: run forward again")
            }
            Error::OtherDropout => f.write_str("Dropout: a piece of the batch had another one than the whole"),
            Error::OtherOptimizer { planned, used } => write!(f, "State: planned for {planned:?}, used with {used:?}"),
            Error::File { at, flaw } => flaw.describe(at, f),
        }
    }
}

impl core::error::Error for Error {}
