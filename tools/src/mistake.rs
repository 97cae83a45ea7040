//! What people mistake one file for another with, and what their files have wrong.

use std::path::PathBuf;

/// The end of hints about commands that take two arguments.
pub(crate) const SWAPPED: &str = "; are the arguments swapped?";

/// A mistake in what a command was given.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Mistake {
    #[error("layer {layer:?}: element {index} of {part} is {value}, expected {}; train again from an earlier state",
        if value.is_finite() { "none below zero" } else { "a finite number" })]
    BadNumber { layer: String, part: &'static str, index: usize, value: f32 },
    #[error(
        "layer {layer:?} is dead: A and B are zero, so it changes nothing and can never learn; take it out of \
         target_modules, or train it anew (`lowrank convert` takes it with --allow-dead)"
    )]
    Dead { layer: String },
    #[error("{}: {what}, expected {expected}{hint}", path.display())]
    Kind { path: PathBuf, what: &'static str, expected: &'static str, hint: &'static str },
    #[error(
        "{}: the adapter is saved as {file}, which Python alone can read; convert it with save_file(torch.load({file:?}), \
         \"adapter_model.safetensors\", metadata={{\"format\": \"pt\"}}) of safetensors.torch, and give the directory",
        path.display()
    )]
    BinAdapter { path: PathBuf, file: &'static str },
    #[error(
        "{}: this is a file of torch.save, which Python alone can read, expected safetensors; \"From PEFT into flash\" in \
         README.md has the three lines of Python that export the state of an optimizer", path.display()
    )]
    TorchState { path: PathBuf },
    #[error(
        "{}: expected model.safetensors or model.safetensors.index.json in this directory{hint}", path.display()
    )]
    BaseDirectory { path: PathBuf, hint: &'static str },
    #[error(
        "{}: the layer `{layer}` is quantised in this base ({sign}), which is not supported; give the base that is not, in \
         F32, F16 or BF16", path.display()
    )]
    Quantised { path: PathBuf, layer: String, sign: String },
    #[error(
        "{}: the base has no tensor `{tensor}` for the layer `{layer}`, whose weight is tied to `{tied}`; untie and save \
         it, for a merge would change both", path.display()
    )]
    Tied { path: PathBuf, layer: String, tensor: String, tied: String },
    #[error(
        "{}: tensor `{tensor}`: element {index} of the base is {value}, expected a finite number; download the base again",
        path.display()
    )]
    BaseNumber { path: PathBuf, tensor: String, index: usize, value: f32 },
}
