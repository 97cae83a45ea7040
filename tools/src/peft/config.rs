//! `adapter_config.json`: what of it changes a number, and what is refused.

use lowrank::Scale;
use serde_json::{Map, Value};

use super::error::PeftError;
use super::pattern::Pattern;

/// PEFT's file has about 1,500 bytes; patterns for every layer of a large model make it longer.
const LONGEST: usize = 4 << 20;

/// Whole numbers up to this one are exact in binary64, 2⁵³.
const LARGEST_WHOLE: f64 = 9_007_199_254_740_992.0;

/// Fields that say where an adapter comes from, where it goes or how it was made: they change no number of a layer, and
/// travel with it.
const CARRIED: [&str; 17] = [
    "auto_mapping",
    "base_model_name_or_path",
    "corda_config",
    "eva_config",
    "exclude_modules",
    "inference_mode",
    "layers_pattern",
    "layers_to_transform",
    "loftq_config",
    "lora_ga_config",
    "megatron_core",
    "peft_version",
    "qalora_group_size",
    "revision",
    "runtime_config",
    "target_modules",
    "task_type",
];

/// Fields that are read below.
const READ: [&str; 11] = [
    "peft_type",
    "r",
    "lora_alpha",
    "lora_dropout",
    "rank_pattern",
    "alpha_pattern",
    "use_rslora",
    "fan_in_fan_out",
    "bias",
    "lora_bias",
    "init_lora_weights",
];

/// Variants that are not implemented: the field and what it means.
const VARIANTS: [(&str, &str); 14] = [
    ("use_dora", "DoRA scales the rows of the sum"),
    ("modules_to_save", "whole modules are trained beside the adapter"),
    ("trainable_token_indices", "rows of an embedding are trained beside the adapter"),
    ("target_parameters", "parameters are adapted that are not those of a linear layer"),
    ("layer_replication", "layers of the base are repeated"),
    ("alora_invocation_tokens", "an activated LoRA is in effect after certain tokens only"),
    ("ensure_weight_tying", "the adapters of tied layers are tied"),
    ("megatron_config", "the layers are those of Megatron"),
    ("use_qalora", "QA-LoRA pools the inputs"),
    ("use_bdlora", "BD-LoRA has block-diagonal matrices"),
    ("velora_config", "VeLoRA projects what is saved for the backward pass"),
    ("arrow_config", "Arrow routes between adapters"),
    ("kasa_config", "KaSA has singular values of its own"),
    ("monteclora_config", "MonteCLoRA samples its matrices"),
];

/// What happens to biases of the base.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Bias {
    /// They stay.
    None,
    /// Those of adapted layers are replaced by trained ones.
    LoraOnly,
}

/// The settings of an adapter.
#[derive(Clone, Debug)]
pub struct Config {
    fields: Map<String, Value>,
    rank: u32,
    alpha: f64,
    ranks: Vec<(Pattern, u32)>,
    alphas: Vec<(Pattern, f64)>,
    rank_stabilized: bool,
    /// The base is stored `[in, out]`.
    pub fan_in_fan_out: bool,
    /// Of the base.
    pub bias: Bias,
    /// `B` has a bias of its own.
    pub b_bias: bool,
    /// Probability that an input of the adapter is dropped in training.
    pub dropout: f32,
}

impl Config {
    /// Reads the text of `adapter_config.json`.
    ///
    /// # Errors
    /// [`PeftError`] for what is not JSON, not of the right kind, or not supported.
    pub fn parse(text: &[u8]) -> Result<Self, PeftError> {
        if text.len() > LONGEST {
            return Err(PeftError::ConfigLength { at_most: LONGEST, got: text.len() });
        }
        Self::from_fields(serde_json::from_slice(text).map_err(PeftError::ConfigJson)?)
    }

    /// As [`parse`](Self::parse), from the fields.
    ///
    /// # Errors
    /// As [`parse`](Self::parse).
    pub fn from_fields(fields: Map<String, Value>) -> Result<Self, PeftError> {
        refuse(&fields)?;
        let of = Fields(&fields);
        Ok(Self {
            rank: of.get("r").map_or(Ok(8), |value| rank("r", value))?,
            alpha: of.get("lora_alpha").map_or(Ok(8.0), |value| alpha("lora_alpha", value))?,
            ranks: of.patterns("rank_pattern", rank)?,
            alphas: of.patterns("alpha_pattern", alpha)?,
            rank_stabilized: of.flag("use_rslora")?,
            fan_in_fan_out: of.flag("fan_in_fan_out")?,
            bias: of.bias()?,
            b_bias: of.flag("lora_bias")?,
            dropout: of.get("lora_dropout").map_or(Ok(0.0), dropout)?,
            fields,
        })
    }

    /// All fields, in the order of the file.
    pub fn fields(&self) -> &Map<String, Value> {
        &self.fields
    }

    /// Whether names of layers have to be matched.
    pub fn has_patterns(&self) -> bool {
        !(self.ranks.is_empty() && self.alphas.is_empty())
    }

    /// The rank of a layer, and the setting that says so.
    pub fn rank(&self, layer: &str) -> (u32, String) {
        match self.ranks.iter().find(|(pattern, _)| pattern.matches(layer)) {
            Some((pattern, rank)) => (*rank, format!("`rank_pattern[{:?}]`", pattern.key())),
            None => (self.rank, "`r`".to_owned()),
        }
    }

    /// The factor `s` of a layer. An alpha that is no number of 32 bits becomes the factor itself.
    ///
    /// # Errors
    /// [`PeftError::Scale`] when the factor is too large for 32 bits.
    pub fn scale(&self, layer: &str) -> Result<Scale, PeftError> {
        let rank = f64::from(self.rank(layer).0);
        let alpha =
            self.alphas.iter().find(|(pattern, _)| pattern.matches(layer)).map_or(self.alpha, |(_, alpha)| *alpha);
        let factor = alpha / if self.rank_stabilized { rank.sqrt() } else { rank };
        if !(factor as f32).is_finite() {
            return Err(PeftError::Scale { layer: layer.to_owned(), got: factor });
        }
        Ok(match alpha as f32 {
            exact if f64::from(exact) != alpha => Scale::Direct(factor as f32),
            exact if self.rank_stabilized => Scale::RankStabilized(exact),
            exact => Scale::Alpha(exact),
        })
    }
}

/// Refuses other methods, variants, unknown fields, and bases that were changed.
fn refuse(fields: &Map<String, Value>) -> Result<(), PeftError> {
    match fields.get("peft_type") {
        None => return Err(PeftError::FieldMissing { field: "peft_type", expected: "\"LORA\"" }),
        Some(Value::String(method)) if method == "LORA" => {}
        Some(got) => return Err(PeftError::Method { got: got.to_string() }),
    }
    match fields.get("init_lora_weights") {
        None | Some(Value::Bool(_) | Value::Null) => {}
        Some(Value::String(how)) if ["gaussian", "orthogonal", "eva"].contains(&how.as_str()) => {}
        Some(got) => return Err(PeftError::ChangedBase { got: got.to_string() }),
    }
    for (field, value) in fields.iter().filter(|(_, value)| is_set(value)) {
        let (field, got) = (field.clone(), value.to_string());
        if let Some((_, means)) = VARIANTS.iter().find(|(name, _)| *name == field) {
            let advice = "train without it, or merge it with PEFT";
            return Err(PeftError::Variant { field, got, means, expected: "null, false or empty", advice });
        }
        if !READ.contains(&field.as_str()) && !CARRIED.contains(&field.as_str()) {
            return Err(PeftError::UnknownField { field, got });
        }
    }
    Ok(())
}

/// Whether a field holds more than nothing.
fn is_set(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => false,
        Value::Bool(true) | Value::Number(_) => true,
        Value::String(text) => !text.is_empty(),
        Value::Array(items) => !items.is_empty(),
        Value::Object(fields) => !fields.is_empty(),
    }
}

struct Fields<'a>(&'a Map<String, Value>);

impl<'a> Fields<'a> {
    /// `None` where PEFT takes its default.
    fn get(&self, field: &str) -> Option<&'a Value> {
        self.0.get(field).filter(|value| !value.is_null())
    }

    fn flag(&self, field: &str) -> Result<bool, PeftError> {
        match self.get(field) {
            None => Ok(false),
            Some(Value::Bool(flag)) => Ok(*flag),
            Some(got) => Err(wrong_type(field, "true or false", got)),
        }
    }

    fn bias(&self) -> Result<Bias, PeftError> {
        match self.get("bias") {
            None => Ok(Bias::None),
            Some(Value::String(bias)) if bias == "none" => Ok(Bias::None),
            Some(Value::String(bias)) if bias == "lora_only" => Ok(Bias::LoraOnly),
            Some(Value::String(bias)) if bias == "all" => Err(PeftError::Variant {
                field: "bias".into(),
                got: "\"all\"".into(),
                means: "biases of layers without adapter are trained too",
                expected: "\"none\" or \"lora_only\"",
                advice: "train with bias=\"lora_only\"",
            }),
            Some(got) => Err(wrong_type("bias", "\"none\" or \"lora_only\"", got)),
        }
    }

    fn patterns<T>(
        &self,
        field: &'static str,
        parse: fn(&str, &Value) -> Result<T, PeftError>,
    ) -> Result<Vec<(Pattern, T)>, PeftError> {
        let entries = match self.get(field) {
            None => return Ok(Vec::new()),
            Some(Value::Object(entries)) => entries,
            Some(got) => return Err(wrong_type(field, "a table of patterns", got)),
        };
        let pattern = |(key, value): (&String, &Value)| {
            let value = parse(&format!("{field}[{key:?}]"), value)?;
            let pattern = Pattern::new(key).map_err(|flaw| PeftError::Pattern { field, key: key.clone(), flaw })?;
            Ok((pattern, value))
        };
        entries.iter().map(pattern).collect()
    }
}

fn wrong_type(field: &str, expected: &'static str, got: &Value) -> PeftError {
    PeftError::FieldType { field: field.to_owned(), expected, got: got.to_string() }
}

fn rank(field: &str, value: &Value) -> Result<u32, PeftError> {
    let expected = "a whole number from 1 to 4294967295";
    let number = match value {
        Value::Number(number) if !number.is_f64() => number,
        _ => return Err(wrong_type(field, expected, value)),
    };
    let rank = number.as_u64().and_then(|rank| u32::try_from(rank).ok()).filter(|&rank| rank > 0);
    rank.ok_or_else(|| PeftError::FieldRange { field: field.to_owned(), expected, got: value.to_string() })
}

fn alpha(field: &str, value: &Value) -> Result<f64, PeftError> {
    let expected = "a number";
    let Value::Number(number) = value else { return Err(wrong_type(field, expected, value)) };
    let alpha = number.as_f64().ok_or_else(|| wrong_type(field, expected, value))?;
    if number.is_f64() || alpha.abs() <= LARGEST_WHOLE {
        return Ok(alpha);
    }
    let expected = "a whole number of at most 2^53 in magnitude, or one with a decimal point";
    Err(PeftError::FieldRange { field: field.to_owned(), expected, got: value.to_string() })
}

fn dropout(value: &Value) -> Result<f32, PeftError> {
    let (field, expected) = ("lora_dropout", "a number from 0 to below 1");
    let p = value.as_f64().ok_or_else(|| wrong_type(field, expected, value))?;
    let out_of_range = || PeftError::FieldRange { field: field.to_owned(), expected, got: value.to_string() };
    if (0.0..1.0).contains(&(p as f32)) { Ok(p as f32) } else { Err(out_of_range()) }
}
