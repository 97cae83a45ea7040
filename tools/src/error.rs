//! Why a command fails.

use std::path::PathBuf;

use crate::mistake::Mistake;
use crate::peft::PeftError;
use crate::tensor_file::TensorFileError;

/// Why a command has not done its work. Nothing was written then.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    #[error(transparent)]
    Peft(#[from] PeftError),
    #[error(transparent)]
    Mistake(#[from] Mistake),
    #[error("{}: {source}", path.display())]
    Read { path: PathBuf, source: std::io::Error },
    #[error("{}: cannot be written: {source}", path.display())]
    Write { path: PathBuf, source: std::io::Error },
    #[error("{}: exists already, and is not overwritten; remove it, or choose another name", path.display())]
    Exists { path: PathBuf },
    #[error("standard output: {0}")]
    Output(std::io::Error),
    #[error("{}: {source}", path.display())]
    TensorFile { path: PathBuf, source: TensorFileError },
    #[error("{}: {flaw}; download the base again", path.display())]
    Index { path: PathBuf, flaw: String },
    #[error(
        "{}: tensor `{tensor}`: expected F32, F16 or BF16, got {got}; merge into a base that is not quantised",
        path.display()
    )]
    BaseType { path: PathBuf, tensor: String, got: String },
    #[error("{}: tensor `{tensor}`: expected the shape {expected:?} {why}, got {got:?}", path.display())]
    BaseShape { path: PathBuf, tensor: String, expected: Vec<usize>, got: Vec<usize>, why: &'static str },
    #[error("layer `{layer}`: the base has no tensor `{tensor}`; {hint}")]
    BaseMissing { layer: String, tensor: String, hint: String },
    #[error("layer `{layer}`: the tensor `{tensor}` of the base belongs to another layer already; see --remove-prefix")]
    Twice { layer: String, tensor: String },
    #[error(
        "layer `{layer}`: the adapter has a bias, but the base has no tensor `{tensor}`, so there is no place for it"
    )]
    BaseBias { layer: String, tensor: String },
    #[error(
        "layer `{layer}`: element {index} of the merged `{tensor}` is {value}, which is not finite in {dtype}; nothing \
         was written"
    )]
    NonFinite { layer: String, tensor: String, index: usize, value: f32, dtype: &'static str },
    #[error("{}: {source}", path.display())]
    File { path: PathBuf, source: lowrank::Error },
    #[error("{0}")]
    Core(lowrank::Error),
    #[error("{}: tensor `{tensor}`: {flaw}", path.display())]
    State { path: PathBuf, tensor: String, flaw: String },
    #[error("the file has no fingerprint of its base; expected one, by --base; pack it with --fingerprint")]
    NoFingerprint,
    #[error(
        "fingerprint: expected {expected:016x}, that of the base, got {got:016x}; the file belongs to another base"
    )]
    Fingerprint { expected: u64, got: u64 },
    #[error("the plan: {0}; no buffer is that long")]
    Plan(&'static str),
}
