//! The formats of an adapter, and how the name of a destination tells which one is meant.

use std::path::{Path, PathBuf};

use clap::ValueEnum;
use serde::Serialize;

/// A form that an adapter is kept in.
#[derive(Copy, Clone, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Format {
    /// A PEFT directory
    Peft,
    /// An adapter file
    File,
    /// An adapter file as a C array
    C,
    /// An adapter file as a Rust static
    Rust,
}

/// Why a conversion is refused, whatever the adapter holds.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConversionError {
    #[error(
        "{}: the name does not say what the adapter file becomes; add --to peft, --to file, --to c or --to rust, or choose \
         a name that ends in .lowrank, .c, .rs or a slash", path.display()
    )]
    Destination { path: PathBuf },
    #[error(
        "{}: this is a PEFT directory already; copy it, or add --to file, --to c or --to rust for another format",
        path.display()
    )]
    PeftToPeft { path: PathBuf },
    #[error(
        "{}: this is an adapter file already, and nothing in it would change; copy it, add --strip, --generation, \
         --fingerprint or --optimizer-state, or add --to for another format", path.display()
    )]
    NothingChanges { path: PathBuf },
    #[error(
        "`{option}` means nothing from {} to {}; leave it out, or add --to for another format",
        from.name(), to.name()
    )]
    Option { option: &'static str, from: Format, to: Format },
    #[error("`{option}` means nothing without {needed}; leave it out, or add {needed}")]
    Alone { option: &'static str, needed: &'static str },
}

impl Format {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Format::Peft => "a PEFT directory",
            Format::File => "an adapter file",
            Format::C => "a C array",
            Format::Rust => "a Rust static",
        }
    }

    /// What an adapter of format `from` becomes at this path, where nobody says so.
    ///
    /// # Errors
    /// [`ConversionError::Destination`] when the name fits to several formats.
    pub(crate) fn of_destination(path: &Path, from: Self) -> Result<Self, ConversionError> {
        let directory = path.is_dir() || path.to_string_lossy().ends_with(std::path::is_separator);
        let ending = path.extension().map(|ending| ending.to_string_lossy());
        match ending.as_deref() {
            // Nothing else is written as a directory.
            _ if directory && from == Format::File => Ok(Format::Peft),
            Some("c") => Ok(Format::C),
            Some("rs") => Ok(Format::Rust),
            Some("lowrank") => Ok(Format::File),
            _ if from == Format::Peft => Ok(Format::File),
            None => Ok(Format::Peft),
            Some(_) => Err(ConversionError::Destination { path: path.to_owned() }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_a_destination_tells_its_format() {
        for (name, from_peft, from_file) in [
            ("x.c", Some(Format::C), Some(Format::C)),
            ("a.b/x.rs", Some(Format::Rust), Some(Format::Rust)),
            ("x.lowrank", Some(Format::File), Some(Format::File)),
            ("x", Some(Format::File), Some(Format::Peft)),
            ("a.b/x", Some(Format::File), Some(Format::Peft)),
            ("x.bin", Some(Format::File), None),
            ("x-1.5", Some(Format::File), None),
            ("x.C", Some(Format::File), None),
            ("x.c/", Some(Format::C), Some(Format::Peft)),
            ("x-1.5/", Some(Format::File), Some(Format::Peft)),
            (".", Some(Format::File), Some(Format::Peft)),
        ] {
            for (from, expected) in [(Format::Peft, from_peft), (Format::File, from_file)] {
                assert_eq!(Format::of_destination(Path::new(name), from).ok(), expected, "{from:?} to {name}");
            }
        }
    }
}
