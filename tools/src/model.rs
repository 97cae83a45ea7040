//! What the configuration of Transformers beside a base says about its model.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use serde::Deserialize;
use serde_json::Value;

const LONGEST: u64 = 4 << 20;

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
}

#[derive(Deserialize)]
struct Config {
    model_type: Option<String>,
    tie_word_embeddings: Option<bool>,
    /// Code of the model's own, which can do anything.
    auto_map: Option<Value>,
    text_config: Option<Box<Config>>,
}

impl Model {
    /// Of the base with this path.
    pub(crate) fn beside(base: &Path) -> Self {
        let mut text = Vec::new();
        let read =
            File::open(base.with_file_name("config.json")).and_then(|file| file.take(LONGEST).read_to_end(&mut text));
        read.ok()
            .and_then(|_| serde_json::from_slice(&text).ok())
            .map_or_else(Self::default, |config| Self::of(&config))
    }

    fn of(config: &Config) -> Self {
        let known = |model: &String| match model.as_str() {
            model if WITH_CONV1D.contains(&model) => Some(&CONV1D[..]),
            model if WITHOUT_CONV1D.contains(&model) => Some(&[][..]),
            _ => None,
        };
        let conv1d = config.model_type.as_ref().filter(|_| config.auto_map.is_none()).and_then(known);
        let text = config.text_config.as_ref().and_then(|text| text.tie_word_embeddings);
        Self { conv1d, tied: config.tie_word_embeddings.or(text) }
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
