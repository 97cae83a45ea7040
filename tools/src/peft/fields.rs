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

/// The characters of JSON, and of each whether it belongs to a string.
fn marked(json: &str) -> impl Iterator<Item = (char, bool)> {
    let (mut inside, mut escaped) = (false, false);
    json.chars().map(move |c| {
        let in_string = inside || c == '"';
        inside = if inside { escaped || c != '"' } else { c == '"' };
        escaped = inside && !escaped && c == '\\';
        (c, in_string)
    })
}

/// JSON without the white space between its parts.
pub(super) fn compact(json: &str) -> String {
    marked(json).filter(|(c, in_string)| *in_string || !c.is_ascii_whitespace()).map(|(c, _)| c).collect()
}

/// How many objects and lists lie inside of each other.
pub(super) fn depth(json: &str) -> usize {
    let (mut depth, mut deepest) = (0usize, 0);
    for (c, _) in marked(json).filter(|(_, in_string)| !in_string) {
        match c {
            '{' | '[' => depth += 1,
            '}' | ']' => depth = depth.saturating_sub(1),
            _ => {}
        }
        deepest = deepest.max(depth);
    }
    deepest
}

/// A number in a line that Python writes and reads, and JSON does not have.
pub(super) fn python_number(line: &str) -> Option<&'static str> {
    let outside: String = marked(line).filter(|(_, in_string)| !in_string).map(|(c, _)| c).collect();
    ["NaN", "-Infinity", "Infinity"].into_iter().find(|word| outside.contains(word))
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
