//! Adapters as PEFT writes them: a directory with `adapter_config.json` and `adapter_model.safetensors`.
//!
//! What is read: LoRA on linear layers with `rank_pattern`, `alpha_pattern`, `use_rslora`, `fan_in_fan_out`,
//! `bias="lora_only"` and `lora_bias`, in f32, f16 and bf16. Everything else is refused by name, see [`PeftError`]: a
//! file whose variant is ignored loads, and computes the wrong thing.

mod config;
mod error;
mod fields;
mod known;
mod metadata;
mod names;
mod pattern;
mod python;
mod reader;
mod writer;

pub use config::{Bias, Config, Setting, Unused};
pub use error::PeftError;
pub use metadata::{from_metadata, metadata};
pub(crate) use names::{ParameterNames, parameter_names};
pub use reader::{Adapter, Files, PeftLayer, read};
pub use writer::{Written, write};

/// The file with the settings.
pub const CONFIG_FILE: &str = "adapter_config.json";
/// The file with the tensors.
pub const TENSOR_FILE: &str = "adapter_model.safetensors";
