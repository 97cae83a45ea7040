//! The fields of `adapter_config.json` that are known: the table `fields.json`, which the npm package is made from, too.
//!
//! A field is `read` by [`Config`](super::Config); or it is `carried`: it says where an adapter comes from, where it goes or
//! how it was made, changes no number of a layer, and travels with it; or it is `refused`, since it stands for a variant
//! that is not implemented. A field that PEFT gets anew is a line of that table.

use std::sync::LazyLock;

use serde::Deserialize;

static TABLE: LazyLock<Vec<Known<'static>>> =
    LazyLock::new(|| serde_json::from_str(include_str!("fields.json")).expect("fields.json is a table of fields"));

/// A line of the table.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Known<'a> {
    field: &'a str,
    #[serde(rename = "use")]
    using: Use,
    /// What a refused field means.
    means: Option<&'a str>,
    /// The number that PEFT takes where the field is not there.
    default: Option<f64>,
    /// The names that the field may hold.
    #[serde(default, borrow)]
    names: Vec<&'a str>,
    /// Others, in lower case, whose case does not matter.
    #[serde(default, borrow)]
    names_in_any_case: Vec<&'a str>,
}

#[derive(Copy, Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Use {
    Read,
    Carried,
    Refused,
}

impl Known<'static> {
    pub(super) fn find(field: &str) -> Option<&'static Self> {
        TABLE.iter().find(|known| known.field == field)
    }

    /// What a refused field means.
    pub(super) fn refused(&self) -> Option<&'static str> {
        (self.using == Use::Refused).then(|| self.means.unwrap_or("it is not implemented"))
    }

    /// The number that PEFT takes where a field is not there.
    pub(super) fn default(field: &str) -> f64 {
        Self::find(field).and_then(|known| known.default).unwrap_or(0.0)
    }

    /// Whether the field may hold this name.
    pub(super) fn takes(&self, name: &str) -> bool {
        self.names.contains(&name) || self.names_in_any_case.contains(&name.to_ascii_lowercase().as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_has_one_line_with_what_its_use_needs() {
        let mut names: Vec<_> = TABLE.iter().map(|known| known.field).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), TABLE.len());
        for known in TABLE.iter() {
            assert_eq!(known.using == Use::Refused, known.means.is_some(), "{}", known.field);
            let more = known.default.is_some() || !known.names.is_empty() || !known.names_in_any_case.is_empty();
            assert!(!more || known.using == Use::Read, "{}", known.field);
        }
        for using in [Use::Read, Use::Carried, Use::Refused] {
            assert!(TABLE.iter().any(|known| known.using == using), "{using:?}");
        }
        assert_eq!(["r", "lora_alpha", "lora_dropout"].map(Known::default), [8.0, 8.0, 0.0]);
    }
}
