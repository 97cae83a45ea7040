//! What the name of a tensor says about it.

use std::collections::HashSet;

use super::error::PeftError;

const PREFIX: &str = "base_model.model.";

/// The step under which PEFT keeps a module that it has wrapped.
const WRAPPED: &str = "base_layer";

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
    /// The base's own weight. PEFT saves it along with an adapter of the head, and it changes nothing.
    Base,
}

impl Part {
    const ALL: [Part; 5] = [Part::A, Part::B, Part::Bias, Part::BBias, Part::Base];

    // None of them ends in another one, so that a name of a tensor has one layer and one part.
    const fn suffix(self) -> &'static str {
        match self {
            Part::A => ".lora_A.weight",
            Part::B => ".lora_B.weight",
            Part::Bias => ".base_layer.bias",
            Part::BBias => ".lora_B.bias",
            Part::Base => ".base_layer.weight",
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

/// The layer that a tensor belongs to, and what it is there. The name of a layer is whatever stands in front.
pub(super) fn classify(tensor: &str) -> Result<(&str, Part), PeftError> {
    let name = || tensor.to_owned();
    let Some(path) = tensor.strip_prefix(PREFIX) else { return Err(PeftError::Prefix { tensor: name() }) };
    if let Some(found) = Part::ALL.iter().find_map(|&part| Some((path.strip_suffix(part.suffix())?, part))) {
        return Ok(found);
    }
    if path.contains(".lora_embedding_") || path.starts_with("lora_embedding_") {
        return Err(PeftError::Embedding { tensor: name() });
    }
    if path.contains("lora_magnitude_vector") {
        return Err(PeftError::DoraTensor { tensor: name() });
    }
    let whole = path.ends_with(".weight") || path.ends_with(".bias");
    if whole && !path.split('.').any(|step| step.starts_with("lora_")) {
        return Err(PeftError::WholeTensor { tensor: name() });
    }
    Err(PeftError::UnknownTensor { tensor: name() })
}

/// Refuses layers inside of other layers. PEFT makes them for `nn.MultiheadAttention`, whose own adapter is not that of a
/// linear layer.
pub(super) fn check_wrapped<'a>(layers: impl Iterator<Item = &'a str> + Clone) -> Result<(), PeftError> {
    let all: HashSet<&str> = layers.clone().collect();
    // Few places can be the end of another layer: a name of many megabytes takes no longer than it is long.
    let lengths: HashSet<usize> = all.iter().map(|layer| layer.len()).collect();
    for layer in layers {
        let step = |(at, _): (usize, &str)| {
            if !lengths.contains(&at) {
                return None;
            }
            let (outer, rest) = (layer.get(..at)?, layer.get(at + 1 + WRAPPED.len()..)?);
            ((rest.is_empty() || rest.starts_with('.')) && all.contains(outer)).then_some(outer)
        };
        if let Some(outer) = layer.match_indices(&format!(".{WRAPPED}")).find_map(step) {
            return Err(PeftError::Wrapped { layer: layer.to_owned(), outer: outer.to_owned() });
        }
    }
    Ok(())
}
