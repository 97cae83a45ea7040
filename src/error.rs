//! The error of a call. It names the argument, the value that was expected and the value that came.
//!
//! Every public operation checks all of its arguments before it writes anything, so an `Err` means that every output
//! is as it was.

use core::fmt;

use crate::dtype::Dtype;
use crate::optimizer::Optimizer;

/// The argument that an [`Error`] is about. It has the name of the equation or of the call.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Argument {
    /// The frozen weights are `W [out, in]`.
    W,
    /// The bias is `b [1, out]`, frozen or trained.
    Bias,
    /// The first matrix of the adapter is `A [r, in]`.
    A,
    /// The second matrix of the adapter is `B [out, r]`.
    B,
    /// The factor `s` stands in front of the adapter.
    Scale,
    /// The input of the layer is `X [n, in]`.
    X,
    /// The output of the layer is `Y [n, out]`.
    Y,
    /// This is the gradient of the loss with respect to `Y`.
    DY,
    /// This is the gradient of the loss with respect to `X`.
    DX,
    /// This is the gradient of the loss with respect to `A`.
    DA,
    /// This is the gradient of the loss with respect to `B`.
    DB,
    /// This is the gradient of the loss with respect to the bias.
    DBias,
    /// The forward pass leaves these activations for the backward pass.
    Saved,
    /// The state of an optimizer is its momentum, or its first and second moments.
    State,
    /// A merge writes into this matrix.
    Merged,
    /// A plan or a [`Cutter`](crate::arena::Cutter) cuts this buffer into pieces.
    Arena,
    /// This buffer holds packed weights.
    Packed,
    /// The bytes of weights in a format that is decoded; lengths are in bytes.
    Codes,
    /// The scales of such weights, in the same bytes or beside them.
    Scales,
    /// Tokens are the rows of `X` and `Y`; this is their number.
    Tokens,
    /// The rank is `r`.
    Rank,
    /// This is a matrix whose role is not known yet.
    Matrix,
    /// The error is about the norm of the gradients of all layers together.
    GradNorm,
    /// This is the learning rate of an optimizer.
    LearningRate,
    /// `β1` is the moment factor of the mean of the gradients in AdamW.
    Beta1,
    /// `β2` is the moment factor of the mean of their squares.
    Beta2,
    /// The momentum is `μ` of SGD.
    Momentum,
    /// The dampening of SGD goes with the momentum.
    Dampening,
    /// Epsilon keeps a division away from zero.
    Epsilon,
    /// Weight decay is a setting of an optimizer.
    WeightDecay,
    /// Clipping holds the norm of the gradients to this maximum.
    MaxNorm,
    /// Dropout drops an element with this probability.
    Dropout,
    /// A loss compares logits with these class labels.
    Labels,
    /// A loss compares predictions with these targets.
    Targets,
    /// A loss writes its gradient with respect to the prediction here.
    LossGrad,
    /// These are the bytes of an adapter file.
    File,
    /// `B` has a bias, as with `lora_bias` in PEFT.
    BBias,
    /// The layer number chooses the random numbers of a layer.
    LayerNumber,
}

/// The largest number below 1 is the bound of every number that has to be smaller than 1.
pub(crate) const BELOW_ONE: f32 = 1.0 - f32::EPSILON / 2.0;

/// An error of a call. It names the argument, and nothing was written.
#[derive(Copy, Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Error {
    /// A slice has the wrong number of elements.
    Length {
        /// This slice is meant.
        argument: Argument,
        /// The call needs so many elements.
        expected: usize,
        /// So many elements came.
        got: usize,
    },
    /// A matrix has the wrong number of rows.
    Rows {
        /// This matrix is meant.
        argument: Argument,
        /// The call needs so many rows.
        expected: usize,
        /// So many rows came.
        got: usize,
    },
    /// A matrix has the wrong number of columns.
    Cols {
        /// This matrix is meant.
        argument: Argument,
        /// The call needs so many columns.
        expected: usize,
        /// So many columns came.
        got: usize,
    },
    /// There is more of something than there is room for.
    TooMany {
        /// This argument is too large.
        argument: Argument,
        /// So many fit at most.
        at_most: usize,
        /// So many came.
        got: usize,
    },
    /// A row stride is smaller than a row.
    Stride {
        /// This matrix is meant.
        argument: Argument,
        /// The stride has at least so many elements.
        expected: usize,
        /// This stride came.
        got: usize,
    },
    /// The rows of a format are whole blocks, and these are none.
    Multiple {
        /// This matrix is meant.
        argument: Argument,
        /// The number of columns has to be a multiple of this.
        of: usize,
        /// So many columns came.
        got: usize,
    },
    /// A product of sizes does not fit into `usize`, or its bytes not into `isize`.
    Overflow {
        /// The size of this argument does not fit.
        argument: Argument,
    },
    /// A number lies outside of its range.
    Range {
        /// This number is meant.
        argument: Argument,
        /// The value has to be at least this one.
        at_least: f32,
        /// The value may be at most this one.
        at_most: f32,
        /// This value came.
        got: f32,
    },
    /// A number is infinite or NaN where only finite numbers make sense.
    NonFinite {
        /// The number is in this slice or matrix.
        argument: Argument,
        /// The first such number has this index, counted row by row.
        index: usize,
    },
    /// A label names no class.
    Label {
        /// The label has this index.
        index: usize,
        /// There are so many classes, and labels are smaller.
        classes: usize,
        /// This label came.
        got: u32,
    },
    /// `A` and `B` are both zero, so that every gradient stays zero and the adapter cannot learn.
    DeadAdapter,
    /// An argument that this call needs was left out.
    Missing {
        /// This argument is missing.
        argument: Argument,
    },
    /// An argument was given that this call cannot fill (a gradient whose source is frozen).
    Unexpected {
        /// This argument is too much.
        argument: Argument,
    },
    /// A range ends before it starts.
    Reversed {
        /// The range is one of this argument.
        argument: Argument,
        /// The range starts here.
        start: usize,
        /// The range ends here.
        end: usize,
    },
    /// No forward pass of this batch came before.
    NoForward,
    /// [`parameter_grads`](crate::parameter_grads) came before [`input_grads`](crate::input_grads).
    NoInputGrads,
    /// The call needs memory for training, and the memory was planned for inference.
    ForInference,
    /// An earlier pass of this batch ran without an adapter (its scale was 0), so `hs` was not written; this one has an adapter.
    AbsentAdapter,
    /// Pieces of a batch had another dropout than the whole.
    OtherDropout,
    /// The memory was planned for one optimizer, and a step or a saved state is that of another one that does not fit.
    OtherOptimizer {
        /// The memory was planned for this optimizer.
        planned: Optimizer,
        /// The step or the state is one of this optimizer.
        used: Optimizer,
    },
    /// A tensor of a file cannot be used where it lies: it is stored in another form, or else it starts at an address that is no
    /// multiple of 4, or the machine is big-endian. It can be copied.
    NotInPlace {
        /// This tensor is meant.
        argument: Argument,
        /// Its numbers are stored in this type.
        dtype: Dtype,
    },
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Error::Length { argument, expected, got } => {
                let unit = if matches!(argument, Argument::Codes) { "bytes" } else { "elements" };
                write!(f, "{argument:?}: expected {expected} {unit}, got {got}")
            }
            Error::Multiple { argument, of, got } => write!(f, "{argument:?}: {got} columns are no multiple of {of}"),
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
            Error::NotInPlace { argument, dtype: Dtype::F32 } => {
                write!(f, "{argument:?}: not at a multiple of 4 in memory, or on a big-endian machine: copy it")
            }
            Error::NotInPlace { argument, dtype } => {
                write!(f, "{argument:?}: stored as {dtype:?}, which is not used where it lies: copy it")
            }
        }
    }
}

impl core::error::Error for Error {}
