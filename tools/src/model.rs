//! What the configuration of Transformers beside a base says about its model.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::Path;

use serde_json::{Map, Value};

const LONGEST: u64 = 4 << 20;
const TIED: &str = "tie_word_embeddings";

/// Models some of whose linear layers are `Conv1D`, and the names of those.
const WITH_CONV1D: [&str; 4] = ["decision_transformer", "gpt2", "imagegpt", "openai-gpt"];
const CONV1D: [&str; 4] = ["c_attn", "c_fc", "c_proj", "q_attn"];

/// Models all of whose linear layers are `nn.Linear`. Others are, too: they are not known here, so that one has to say it.
const WITHOUT_CONV1D: [&str; 40] = [
    "albert",
    "bart",
    "bert",
    "bloom",
    "clip",
    "cohere",
    "deberta",
    "deberta-v2",
    "deepseek_v3",
    "distilbert",
    "electra",
    "falcon",
    "gemma",
    "gemma2",
    "gemma3",
    "gemma3_text",
    "gpt_bigcode",
    "gpt_neo",
    "gpt_neox",
    "gptj",
    "granite",
    "llama",
    "mbart",
    "mistral",
    "mixtral",
    "mt5",
    "olmo2",
    "opt",
    "phi",
    "phi3",
    "qwen2",
    "qwen2_moe",
    "qwen3",
    "qwen3_moe",
    "roberta",
    "smollm3",
    "stablelm",
    "starcoder2",
    "t5",
    "whisper",
];

/// What is known; nothing without a configuration.
#[derive(Default)]
pub(crate) struct Model {
    /// Names of layers that are `Conv1D`, where the class of every layer is known.
    conv1d: Option<&'static [&'static str]>,
    /// Whether the output layer is the embedding.
    pub(crate) tied: Option<bool>,
    /// A configuration is there, but does not say in known words whether it is.
    pub(crate) ties_unclear: bool,
    /// What is not understood, and what follows: a sentence for each.
    pub(crate) flaws: Vec<String>,
}

impl Model {
    /// Of the base with this path.
    pub(crate) fn beside(base: &Path) -> Self {
        let path = base.with_file_name("config.json");
        let mut model = match read(&path) {
            Ok(None) => Self::default(),
            Ok(Some(config)) => Self::of(&config),
            Err(flaw) => Self::default().unclear(&flaw),
        };
        model.flaws.iter_mut().for_each(|flaw| *flaw = format!("{}: {flaw}", path.display()));
        model
    }

    fn of(config: &Map<String, Value>) -> Self {
        let mut model = Self::default();
        match field(config, "model_type") {
            None => {}
            Some(Value::String(name)) if field(config, "auto_map").is_none() => {
                let name = name.as_str();
                let without = WITHOUT_CONV1D.contains(&name).then_some(&[][..]);
                model.conv1d = if WITH_CONV1D.contains(&name) { Some(&CONV1D) } else { without };
            }
            // Code of the model's own, which can do anything.
            Some(Value::String(_)) => {}
            Some(other) => model.flaws.push(format!(
                "expected a text as model_type, got {}; it cannot be told how square weights are stored",
                kind(other)
            )),
        }
        let text = match field(config, "text_config") {
            None => None,
            Some(Value::Object(text)) => Some(text),
            Some(other) => {
                model = model.unclear(&format!("expected an object as text_config, got {}", kind(other)));
                None
            }
        };
        // A model of texts in a model of more has the head: if it is tied there, it is tied.
        for config in [Some(config), text].into_iter().flatten() {
            match field(config, TIED) {
                None => {}
                Some(Value::Bool(tied)) => model.tied = Some(*tied || model.tied == Some(true)),
                Some(other) => model = model.unclear(&format!("expected true or false as {TIED}, got {}", kind(other))),
            }
        }
        model.tied = model.tied.filter(|&tied| tied || !model.ties_unclear);
        model
    }

    fn unclear(mut self, flaw: &str) -> Self {
        self.flaws.push(format!("{flaw}; it cannot be told whether the head of the model is tied to its embedding"));
        self.ties_unclear = true;
        self
    }

    /// Whether a layer is a `Conv1D`, where the class of every layer is known.
    pub(crate) fn is_conv1d(&self, layer: &str) -> Option<bool> {
        let last = layer.rsplit('.').next().unwrap_or(layer);
        self.conv1d.map(|names| names.contains(&last))
    }

    /// Where it turned out that the configuration is that of another model.
    pub(crate) fn forget_classes(&mut self) {
        self.conv1d = None;
    }
}

/// `None` where there is none.
///
/// # Errors
/// What is not understood.
fn read(path: &Path) -> Result<Option<Map<String, Value>>, String> {
    let mut text = Vec::new();
    match File::open(path).and_then(|file| file.take(LONGEST).read_to_end(&mut text)) {
        Ok(_) => {}
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(format!("cannot be read: {error}")),
    }
    serde_json::from_slice(&text).map(Some).map_err(|error| format!("expected an object of JSON: {error}"))
}

/// A field that says something.
fn field<'c>(config: &'c Map<String, Value>, name: &str) -> Option<&'c Value> {
    config.get(name).filter(|value| !value.is_null())
}

const fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a truth value",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}
