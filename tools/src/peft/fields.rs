//! A table of JSON whose values keep the characters that they have in the file: every number, whatever its size, and text that
//! is not Unicode, as in the path of a base that is not UTF-8.

use indexmap::IndexMap;
use serde::Deserialize;
use serde_json::value::RawValue;

/// Names and values in the order of the file. Of two equal names, the first has the place and the last has the value, as in
/// Python.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(transparent)]
pub(super) struct Fields(IndexMap<String, Box<RawValue>>);

impl Fields {
    pub(super) fn get(&self, field: &str) -> Option<&RawValue> {
        self.0.get(field).map(Box::as_ref)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &RawValue)> {
        self.0.iter().map(|(field, value)| (field.as_str(), value.as_ref()))
    }

    /// Without white space.
    pub(super) fn compact(&self) -> String {
        let fields: Vec<_> =
            self.iter().map(|(field, value)| format!("{}:{}", quoted(field), compact(value.get()))).collect();
        format!("{{{}}}", fields.join(","))
    }

    /// One line for each field, as PEFT writes them.
    pub(super) fn pretty(&self) -> String {
        let fields: Vec<_> =
            self.iter().map(|(field, value)| format!("\n  {}: {}", quoted(field), value.get())).collect();
        format!("{{{}\n}}", fields.join(","))
    }
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// JSON without the white space between its parts.
pub(super) fn compact(json: &str) -> String {
    let (mut inside, mut escaped) = (false, false);
    let stays = |&c: &char| {
        let stays = inside || !c.is_ascii_whitespace();
        inside = if inside { escaped || c != '"' } else { c == '"' };
        escaped = inside && !escaped && c == '\\';
        stays
    };
    json.chars().filter(stays).collect()
}

/// Text; `None` for other values, and for text that is not Unicode.
pub(super) fn text(value: &RawValue) -> Option<String> {
    serde_json::from_str(value.get()).ok()
}

/// A table.
pub(super) fn table(value: &RawValue) -> Result<Fields, serde_json::Error> {
    serde_json::from_str(value.get())
}

/// A number, rounded to nearest; infinite beyond the range of 64 bits.
pub(super) fn number(value: &RawValue) -> Option<f64> {
    let text = value.get();
    text.starts_with(|c: char| c == '-' || c.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

/// The digits and the sign of a number without a point and an exponent: what is a whole number in Python.
pub(super) fn integer(value: &RawValue) -> Option<&str> {
    let text = value.get();
    number(value).filter(|_| !text.contains(['.', 'e', 'E'])).map(|_| text)
}
