//! Why a command fails.

use std::path::{Path, PathBuf};

use crate::format::ConversionError;
use crate::mistake::{Mistake, SWAPPED};
use crate::peft::{CONFIG_FILE, PeftError, TENSOR_FILE};
use crate::tensor_file::TensorFileError;
use crate::tied::Tied;

/// Why a command has not done its work. Nothing was written then.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    #[error(transparent)]
    Peft(#[from] PeftError),
    #[error("{}", in_directory(directory, &source.to_string()))]
    PeftIn { directory: PathBuf, source: PeftError },
    #[error(transparent)]
    Mistake(#[from] Mistake),
    #[error(transparent)]
    Conversion(#[from] ConversionError),
    #[error("{}: cannot be read: {source}", path.display())]
    Read { path: PathBuf, source: std::io::Error },
    #[error("{}: cannot be written: {source}", path.display())]
    Write { path: PathBuf, source: std::io::Error },
    #[error("{}: exists already, and is not overwritten; remove it, or choose another name", path.display())]
    Exists { path: PathBuf },
    #[error("{path:?}: {flaw}")]
    OutputName { path: PathBuf, flaw: &'static str },
    #[error("{}: the folder {} {flaw}", path.display(), folder.display())]
    OutputFolder { path: PathBuf, folder: PathBuf, flaw: &'static str },
    #[error("{}: is {kind}, and outputs are regular files or new directories; choose another name", path.display())]
    Special { path: PathBuf, kind: &'static str },
    #[error("{}: is {kind}, and --force replaces only regular files; remove it, or choose another name", path.display())]
    NotRegular { path: PathBuf, kind: &'static str },
    #[error(
        "{} and {} are names of one file, and two outputs go there; choose another name for one of them",
        first.display(), second.display()
    )]
    OneOutputTwice { first: PathBuf, second: PathBuf },
    #[error("{}: is an input of this command (as {}), and is not replaced; choose another name", path.display(), input.display())]
    OutputIsInput { path: PathBuf, input: PathBuf },
    #[error("the standard output cannot be written: {0}; nothing else was written")]
    Output(std::io::Error),
    #[error("the report cannot be written as JSON: {0}; nothing was written")]
    Json(serde_json::Error),
    #[error("{path:?}: the path is not UTF-8, and JSON cannot hold it; leave out --json, or choose another name")]
    JsonPath { path: std::ffi::OsString },
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
    #[error(
        "layer `{layer}`{}: the weight in {} is square, so its shape does not say whether it is stored [out, in] \
         (nn.Linear) or [in, out] (Conv1D), and no config.json of a known model lies beside it; the adapter has \
         fan_in_fan_out={fan_in_fan_out}, but PEFT saves that of one module for all; add `--layout out-in` if all of them \
         are nn.Linear, as in most models, or `--layout in-out` if all are Conv1D, as in GPT-2; `--layout LAYER=in-out` is \
         for single layers",
        and_others(*others), path.display()
    )]
    LayoutUnknown { layer: String, others: usize, path: PathBuf, fan_in_fan_out: bool },
    #[error("--layout: {} is given as {first} and as {second}; give one of them", match layer {
        Some(layer) => format!("`{layer}`"),
        None => "the layout of all layers".to_owned(),
    })]
    LayoutTwice { layer: Option<String>, first: &'static str, second: &'static str },
    #[error("--layout: no layer has the name `{name}` or one that ends in `.{name}`")]
    LayoutUnused { name: String },
    #[error(
        "layer `{}`: the tensor `{}` of the base is also {}: tied weights, which a merge would change under both names or \
         under only one; keep the adapter beside the base, or add --tied to change `{}` all the same",
        .0.layer, .0.tensor, .0.other, .0.tensor
    )]
    Tied(Tied),
    #[error("layer `{layer}`: the update s·B·A is too large for 32 bits; its scale or its numbers are wrong")]
    Overflow { layer: String },
    #[error("{}: {source}", path.display())]
    File { path: PathBuf, source: lowrank::FileError },
    #[error("{}: {source}", path.display())]
    Emit { path: PathBuf, source: lowrank::format::EmitError },
    #[error("{0}")]
    Core(lowrank::Error),
    #[error("{}: tensor `{tensor}`: {flaw}", path.display())]
    State { path: PathBuf, tensor: String, flaw: String },
    #[error(
        "the file has no fingerprint of its base; expected one, by --base; `lowrank convert` adds it with --fingerprint"
    )]
    NoFingerprint,
    #[error(
        "the fingerprint of the base is {base:016x}, but the adapter was made for one with {adapter:016x}; give the base \
         that it was trained on"
    )]
    Fingerprint { base: u64, adapter: u64 },
    #[error(
        "the fingerprint of the base is {base:016x}, but the adapter was made for one with {adapter:016x}; give the base \
         that it was trained on, or add --other-base to take this one all the same"
    )]
    OtherBase { base: u64, adapter: u64 },
    #[error("{0} of a layer of these sizes is more than any memory holds; take smaller sizes")]
    Plan(&'static str),
    #[error(
        "the optimizer `in-place` has no gradients and cannot train a bias; leave out --train-bias, or take another \
         optimizer"
    )]
    InPlaceBias,
}

impl Failure {
    /// Where there are no two arguments that could be swapped.
    pub(crate) fn not_swapped(mut self) -> Self {
        if let Failure::Mistake(Mistake::Kind { hint, .. } | Mistake::BaseDirectory { hint, .. }) = &mut self {
            *hint = hint.strip_suffix(SWAPPED).unwrap_or(hint);
        }
        self
    }
}

/// What is said about the files of a PEFT directory, with the path of the file or else of the directory.
pub(crate) fn in_directory(directory: &Path, text: &str) -> String {
    let of_file = [CONFIG_FILE, TENSOR_FILE].iter().any(|file| text.starts_with(file));
    let separator = if of_file { std::path::MAIN_SEPARATOR_STR } else { ": " };
    let directory = directory.to_string_lossy();
    format!("{}{separator}{text}", directory.trim_end_matches(std::path::is_separator))
}

fn and_others(others: usize) -> String {
    match others {
        0 => String::new(),
        1 => " and another one".to_owned(),
        _ => format!(" and {others} others"),
    }
}
