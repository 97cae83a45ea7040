//! The settings of PEFT in the metadata of an adapter file: an object with the configuration under its file name.

use indexmap::IndexMap;
use serde_json::value::RawValue;

use super::CONFIG_FILE;
use super::config::Config;
use super::error::PeftError;

/// The metadata that keeps a configuration, with every character of its values.
pub fn metadata(config: &Config) -> String {
    format!("{{\"{CONFIG_FILE}\":{}}}", config.compact())
}

/// The configuration in the metadata of a file; `None` when there is none.
///
/// # Errors
/// As [`Config::parse`].
pub fn from_metadata(metadata: &str) -> Result<Option<Config>, PeftError> {
    let Ok(entries) = serde_json::from_str::<IndexMap<String, Box<RawValue>>>(metadata) else { return Ok(None) };
    match entries.get(CONFIG_FILE) {
        Some(fields) if fields.get().starts_with('{') => Config::parse(fields.get().as_bytes()).map(Some),
        _ => Ok(None),
    }
}
