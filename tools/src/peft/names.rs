//! What the name of a tensor says about it.

use super::error::PeftError;

const PREFIX: &str = "base_model.model.";

/// What a tensor is to its layer.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// `A [r, in]`
    A,
    /// `B [out, r]`
    B,
    /// `[out]`, takes the place of the base's bias
    Bias,
    /// `[out]`, the bias of `B`
    BBias,
}

impl Part {
    const ALL: [Part; 4] = [Part::A, Part::B, Part::Bias, Part::BBias];

    const fn suffix(self) -> &'static str {
        match self {
            Part::A => ".lora_A.weight",
            Part::B => ".lora_B.weight",
            Part::Bias => ".base_layer.bias",
            Part::BBias => ".lora_B.bias",
        }
    }

    /// The name of the tensor of a layer.
    pub(super) fn tensor(self, layer: &str) -> String {
        format!("{PREFIX}{layer}{}", self.suffix())
    }
}

/// The names of the tensors of a layer that AdamW can train here.
pub(crate) struct ParameterNames {
    pub(crate) a: String,
    pub(crate) b: String,
    pub(crate) bias: String,
}

/// As PEFT calls them.
pub(crate) fn parameter_names(layer: &str) -> ParameterNames {
    ParameterNames { a: Part::A.tensor(layer), b: Part::B.tensor(layer), bias: Part::Bias.tensor(layer) }
}

/// The layer that a tensor belongs to, and what it is there.
pub(super) fn classify(tensor: &str) -> Result<(&str, Part), PeftError> {
    let name = || tensor.to_owned();
    let Some(path) = tensor.strip_prefix(PREFIX) else { return Err(PeftError::Prefix { tensor: name() }) };
    if path.contains(".lora_embedding_") || path.starts_with("lora_embedding_") {
        return Err(PeftError::Embedding { tensor: name() });
    }
    if path.contains("lora_magnitude_vector") {
        return Err(PeftError::DoraTensor { tensor: name() });
    }
    let found = Part::ALL.iter().find_map(|&part| Some((path.strip_suffix(part.suffix())?, part)));
    let Some((layer, part)) = found else { return Err(PeftError::UnknownTensor { tensor: name() }) };
    if layer.split('.').any(|step| step == "base_layer") {
        return Err(PeftError::Wrapped { tensor: name() });
    }
    if layer.is_empty() || layer.chars().any(char::is_control) {
        return Err(PeftError::LayerName { tensor: name() });
    }
    Ok((layer, part))
}
