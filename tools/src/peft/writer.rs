//! From the layers of an adapter to the two files of PEFT.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap, HashSet};

use indexmap::IndexMap;
use lowrank::Scale;
use lowrank::format::{Entry, Tensor};
use safetensors::tensor::{Dtype, View};
use serde_json::{Map, Number, Value, json};

use super::config::{Bias, Config, Setting};
use super::error::PeftError;
use super::names::{Part, check_wrapped};
use super::pattern::{escape, exactly};
use crate::{number, tensor_file};

/// The contents of a PEFT directory.
#[derive(Debug)]
pub struct Written {
    /// `adapter_config.json`
    pub config: String,
    /// `adapter_model.safetensors`
    pub tensors: Vec<u8>,
}

/// Writes layers as PEFT does: with this configuration, which has to agree with them, or with one that is made from
/// them. What is written, [`read`](super::read) reads.
///
/// # Errors
/// [`PeftError::Disagreement`] when the configuration says something else than a layer; [`PeftError::Mixed`],
/// [`PeftError::SameName`] and [`PeftError::Wrapped`] when PEFT has no configuration or no names for these layers.
pub fn write(entries: &[Entry<'_>], config: Option<&Config>) -> Result<Written, PeftError> {
    check_names(entries)?;
    let text = match config {
        Some(config) => {
            agree(entries, config)?;
            config.pretty()
        }
        None => from_table(entries)?,
    };
    let tensors: BTreeMap<String, Stored<'_>> = entries.iter().flat_map(stored).collect();
    let format = HashMap::from([("format".to_owned(), "pt".to_owned())]);
    let tensors = safetensors::serialize(tensors, Some(format)).map_err(PeftError::Serialize)?;
    Ok(Written { config: text, tensors })
}

/// Checks that each layer has a name of its own, which its tensors can bear.
fn check_names(entries: &[Entry<'_>]) -> Result<(), PeftError> {
    let mut seen = HashMap::new();
    for entry in entries {
        if let Some(first) = seen.insert(entry.name, entry.id) {
            return Err(PeftError::SameName { layer: entry.name.to_owned(), first, second: entry.id });
        }
    }
    check_wrapped(entries.iter().map(|entry| entry.name))
}

/// The tensors of a layer and their names.
fn stored<'a>(entry: &Entry<'a>) -> impl Iterator<Item = (String, Stored<'a>)> {
    let shape = entry.shape();
    let matrix = |tensor: Tensor<'a>| Stored { tensor, shape: vec![tensor.rows(), tensor.cols()] };
    let vector = |tensor| Stored { tensor, shape: vec![shape.outputs] };
    let tensors = [
        (Part::A, Some(matrix(entry.a))),
        (Part::B, Some(matrix(entry.b))),
        (Part::Bias, entry.bias.map(vector)),
        (Part::BBias, entry.b_bias.map(vector)),
    ];
    let name = entry.name.to_owned();
    tensors.into_iter().filter_map(move |(part, tensor)| Some((part.tensor(&name), tensor?)))
}

/// A tensor as safetensors wants it.
struct Stored<'a> {
    tensor: Tensor<'a>,
    shape: Vec<usize>,
}

impl View for Stored<'_> {
    fn dtype(&self) -> Dtype {
        tensor_file::stored_type(self.tensor.dtype())
    }

    fn shape(&self) -> &[usize] {
        &self.shape
    }

    fn data(&self) -> Cow<'_, [u8]> {
        self.tensor.bytes().map_or_else(|| Cow::Owned(number::bytes(&self.tensor)), Cow::Borrowed)
    }

    fn data_len(&self) -> usize {
        self.tensor.rows() * self.tensor.cols() * self.tensor.dtype().size()
    }
}

/// Checks that a configuration says of each layer what the table says.
fn agree(entries: &[Entry<'_>], config: &Config) -> Result<(), PeftError> {
    let names: Vec<&str> = entries.iter().map(|entry| entry.name).collect();
    let (settings, _) = config.settings(&names)?;
    entries.iter().zip(&settings).try_for_each(|(entry, setting)| agrees(entry, setting, config))
}

fn agrees(entry: &Entry<'_>, setting: &Setting<'_>, config: &Config) -> Result<(), PeftError> {
    let rank = entry.shape().rank;
    let same = |field, table: String, config: String| {
        if table == config {
            return Ok(());
        }
        Err(PeftError::Disagreement { layer: entry.name.to_owned(), field, table, config })
    };
    same("rank", rank.to_string(), setting.rank.to_string())?;
    same("scale", number(entry.scale.factor(rank)), number(setting.scale.factor(rank)))?;
    same("dropout", number(entry.random.dropout), number(config.dropout))?;
    same("fan_in_fan_out", entry.fan_in_fan_out.to_string(), config.fan_in_fan_out.to_string())?;
    same("a bias of B", entry.b_bias.is_some().to_string(), config.b_bias.to_string())?;
    if entry.bias.is_some() {
        same("a trained bias", true.to_string(), (config.bias == Bias::LoraOnly).to_string())?;
    }
    Ok(())
}

fn number(value: f32) -> String {
    format!("{value:?}")
}

/// The decimal number with the fewest digits that is this one in binary32.
fn shortest(value: f32) -> f64 {
    let decimal = value.to_string().parse().unwrap_or(f64::from(value));
    if decimal as f32 == value { decimal } else { f64::from(value) }
}

/// A configuration that says what the layers say, and nothing else.
fn from_table(entries: &[Entry<'_>]) -> Result<String, PeftError> {
    let rank_stabilized = entries.iter().all(|entry| matches!(entry.scale, Scale::RankStabilized(_)));
    // A pattern for one name can match another one that only has a line feed more.
    let checked = |rank_stabilized| {
        let text = fields(entries, rank_stabilized)?;
        agree(entries, &Config::parse(text.as_bytes())?).map(|()| text)
    };
    match checked(rank_stabilized) {
        // A root that was rounded in another way: alpha/r can express any factor.
        Err(PeftError::Disagreement { field: "scale", .. }) if rank_stabilized => checked(false),
        result => result,
    }
}

fn fields(entries: &[Entry<'_>], rank_stabilized: bool) -> Result<String, PeftError> {
    let ranks: Vec<_> = entries.iter().map(|entry| Value::from(entry.shape().rank)).collect();
    let alphas: Vec<_> = entries.iter().map(|entry| alpha(entry, rank_stabilized)).collect();
    let (rank, rank_pattern) = usual_and_others(entries, &ranks);
    let (alpha, alpha_pattern) = usual_and_others(entries, &alphas);
    let any_bias = entries.iter().any(|entry| entry.bias.is_some());
    let names: Vec<_> = entries.iter().map(|entry| escape(entry.name)).collect();
    let fields = json!({
        "alpha_pattern": alpha_pattern,
        "bias": if any_bias { "lora_only" } else { "none" },
        "fan_in_fan_out": same(entries, "fan_in_fan_out", |entry| entry.fan_in_fan_out)?,
        "inference_mode": true,
        "init_lora_weights": true,
        "lora_alpha": alpha,
        "lora_bias": same(entries, "a bias of B", |entry| entry.b_bias.is_some())?,
        "lora_dropout": shortest(same(entries, "dropout", |entry| entry.random.dropout)?),
        "peft_type": "LORA",
        "r": rank,
        "rank_pattern": rank_pattern,
        "target_modules": format!("(?:{})", names.join("|")),
        "use_rslora": rank_stabilized,
    });
    Ok(format!("{fields:#}"))
}

/// The alpha that gives the factor of a layer.
fn alpha(entry: &Entry<'_>, rank_stabilized: bool) -> Value {
    let rank = entry.shape().rank;
    let alpha = match entry.scale {
        Scale::RankStabilized(alpha) if rank_stabilized => f64::from(alpha),
        Scale::Alpha(alpha) => f64::from(alpha),
        // Exact below a rank of 2²⁹, and so is dividing by the rank again.
        scale => f64::from(scale.factor(rank)) * rank as f64,
    };
    // PEFT's alpha is a whole number wherever it can be one.
    let whole = alpha as i64;
    if (whole as f64).to_bits() == alpha.to_bits() && alpha.abs() < 1e9 {
        return Value::from(whole);
    }
    Number::from_f64(alpha).map_or(Value::Null, Value::Number)
}

/// The most frequent value, of several the first one, and a pattern for each layer with another one.
fn usual_and_others(entries: &[Entry<'_>], values: &[Value]) -> (Value, Map<String, Value>) {
    let mut counts: IndexMap<String, usize> = IndexMap::new();
    values.iter().for_each(|value| *counts.entry(value.to_string()).or_default() += 1);
    // Of several, `max_by_key` takes the last.
    let usual = counts.iter().rev().max_by_key(|(_, count)| **count).map(|(text, _)| text.clone()).unwrap_or_default();
    let is_usual = |value: &&Value| value.to_string() == usual;
    // A layer whose name is the key of another one would be looked up by it, if it had no key of its own.
    let keys: HashSet<String> = entries.iter().map(|entry| exactly(entry.name)).collect();
    let own_key = |(entry, value): &(&Entry<'_>, &Value)| !is_usual(value) || keys.contains(entry.name);
    let others = entries.iter().zip(values).filter(own_key);
    let patterns: Map<_, _> = others.map(|(entry, value)| (exactly(entry.name), value.clone())).collect();
    // With the usual value alone, a table says nothing.
    let patterns = if patterns.values().all(|value| is_usual(&value)) { Map::new() } else { patterns };
    (values.iter().find(is_usual).cloned().unwrap_or_default(), patterns)
}

/// What all layers have in common.
fn same<T: Copy + PartialEq + std::fmt::Debug>(
    entries: &[Entry<'_>],
    field: &'static str,
    of: impl Fn(&Entry<'_>) -> T,
) -> Result<T, PeftError> {
    let mut values = entries.iter().map(|entry| (entry.name, of(entry)));
    let (_, expected) = values.next().ok_or(PeftError::NoLayers)?;
    match values.find(|(_, value)| *value != expected) {
        None => Ok(expected),
        Some((entry, got)) => Err(PeftError::Mixed {
            layer: entry.to_owned(),
            field,
            got: format!("{got:?}"),
            expected: format!("{expected:?}"),
        }),
    }
}
