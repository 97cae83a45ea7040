//! An adapter from wherever it lies: a PEFT directory or an adapter file.

use std::path::{Path, PathBuf};

use lowrank::format::{AdapterFile, Layer};

use crate::error::Failure;
use crate::peft::{Adapter, Files};

/// The bytes of an adapter.
pub(crate) enum Source {
    Peft(Files),
    File { path: PathBuf, bytes: Vec<u8> },
}

/// An adapter that has been checked.
pub(crate) enum Opened<'a> {
    Peft(Adapter<'a>),
    File(AdapterFile<'a>),
}

impl Source {
    /// A directory is one of PEFT, everything else an adapter file.
    pub(crate) fn load(path: &Path) -> Result<Self, Failure> {
        if path.is_dir() {
            return Ok(Source::Peft(Files::load(path)?));
        }
        Ok(Source::File { path: path.to_owned(), bytes: read(path)? })
    }

    pub(crate) fn open(&self) -> Result<Opened<'_>, Failure> {
        match self {
            Source::Peft(files) => Ok(Opened::Peft(files.read()?)),
            Source::File { path, bytes } => Ok(Opened::File(parse(path, bytes)?)),
        }
    }
}

impl Opened<'_> {
    pub(crate) fn layers(&self) -> Vec<Layer<'_>> {
        match self {
            Opened::Peft(adapter) => adapter.layers(),
            Opened::File(file) => file.layers().collect(),
        }
    }
}

pub(crate) fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    std::fs::read(path).map_err(|source| Failure::Read { path: path.to_owned(), source })
}

pub(crate) fn parse<'a>(path: &Path, bytes: &'a [u8]) -> Result<AdapterFile<'a>, Failure> {
    AdapterFile::parse(bytes).map_err(|source| Failure::File { path: path.to_owned(), source })
}
