//! An adapter from wherever it lies: a PEFT directory or an adapter file.

use std::path::{Path, PathBuf};

use lowrank::format::{AdapterFile, Entry};

use crate::emit_source::BEGINNING;
use crate::error::{Failure, in_directory};
use crate::format::Format;
use crate::mistake::{Mistake, SWAPPED};
use crate::peft::{Adapter, CONFIG_FILE, Files, TENSOR_FILE};
use crate::terminal;

/// What PEFT wrote before it wrote safetensors.
const BIN_FILE: &str = "adapter_model.bin";

/// The bytes of an adapter.
pub(crate) enum Source {
    Peft { path: PathBuf, files: Files },
    File { path: PathBuf, bytes: Vec<u8> },
}

/// An adapter that has been checked.
pub(crate) enum Opened<'a> {
    Peft(Box<Adapter<'a>>),
    File(AdapterFile<'a>),
}

impl Source {
    /// A directory is one of PEFT, everything else an adapter file.
    pub(crate) fn load(path: &Path) -> Result<Self, Failure> {
        if path.is_dir() {
            return Ok(Source::Peft { path: path.to_owned(), files: load_peft(path)? });
        }
        Ok(Source::File { path: path.to_owned(), bytes: read(path)? })
    }

    /// Checks the adapter, and warns of what has no effect.
    pub(crate) fn open(&self) -> Result<Opened<'_>, Failure> {
        match self {
            Source::Peft { path, files } => Ok(Opened::Peft(read_peft(path, files)?.into())),
            Source::File { path, bytes } => Ok(Opened::File(parse(path, bytes)?)),
        }
    }
}

impl Opened<'_> {
    pub(crate) fn entries(&self) -> Vec<Entry<'_>> {
        match self {
            Opened::Peft(adapter) => adapter.entries(),
            Opened::File(file) => file.entries().collect(),
        }
    }

    pub(crate) fn format(&self) -> Format {
        match self {
            Opened::Peft(_) => Format::Peft,
            Opened::File(_) => Format::File,
        }
    }

    /// Of the base that the adapter was made for, 0 where that is not known.
    pub(crate) fn fingerprint(&self) -> u64 {
        match self {
            Opened::Peft(_) => 0,
            Opened::File(file) => file.fingerprint(),
        }
    }
}

/// The files of a PEFT directory.
fn load_peft(path: &Path) -> Result<Files, Failure> {
    let has = |name: &str| path.join(name).exists();
    if has(BIN_FILE) && !has(TENSOR_FILE) {
        return Err(Mistake::BinAdapter { path: path.to_owned(), file: BIN_FILE }.into());
    }
    if !has(CONFIG_FILE) && (has("model.safetensors") || has("model.safetensors.index.json")) {
        let (what, expected, hint) = ("this is the directory of a base", "a PEFT directory", SWAPPED);
        return Err(Mistake::Kind { path: path.to_owned(), what, expected, hint }.into());
    }
    Ok(Files::load(path)?)
}

/// The adapter in these files of a directory; warns of what has no effect.
fn read_peft<'a>(directory: &Path, files: &'a Files) -> Result<Adapter<'a>, Failure> {
    let adapter = files.read().map_err(|source| Failure::PeftIn { directory: directory.to_owned(), source })?;
    for warning in &adapter.warnings {
        terminal::complain(&format!("warning: {}", in_directory(directory, warning)));
    }
    Ok(adapter)
}

pub(crate) fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    std::fs::read(path).map_err(|source| Failure::Read { path: path.to_owned(), source })
}

fn parse<'a>(path: &Path, bytes: &'a [u8]) -> Result<AdapterFile<'a>, Failure> {
    const PART: &str = "; give the directory that it lies in";
    let (what, hint) = match Kind::of(bytes) {
        Kind::Safetensors if path.ends_with(TENSOR_FILE) => ("this is a safetensors file", PART),
        Kind::Safetensors => ("this is a safetensors file", SWAPPED),
        Kind::Torch if path.ends_with(BIN_FILE) => {
            return Err(Mistake::BinAdapter { path: path.to_owned(), file: BIN_FILE }.into());
        }
        Kind::Torch => ("this is a file of torch.save", "; save the adapter with PeftModel.save_pretrained"),
        Kind::Code => ("this is the source code of an adapter", "; give the adapter that it was made of"),
        Kind::Other if path.ends_with(CONFIG_FILE) => ("this is a part of a PEFT directory", PART),
        Kind::Adapter | Kind::Other => {
            return AdapterFile::parse(bytes).map_err(|source| Failure::File { path: path.to_owned(), source });
        }
    };
    Err(Mistake::Kind { path: path.to_owned(), what, expected: "an adapter file or a PEFT directory", hint }.into())
}

/// What the first bytes of a file say that it is.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Adapter,
    Safetensors,
    /// What `torch.save` writes: a zip archive, or a pickle.
    Torch,
    /// What `lowrank convert` writes for firmware.
    Code,
    Other,
}

impl Kind {
    pub(crate) fn of(bytes: &[u8]) -> Self {
        match bytes {
            [b'l', b'o', b'w', b'r', b'a', b'n', b'k', 0, ..] => Kind::Adapter,
            [b'P', b'K', 3, 4, ..] | [0x80, 2..=5, ..] => Kind::Torch,
            // A length below 2³², and the header in JSON.
            [_, _, _, _, 0, 0, 0, 0, b'{', ..] => Kind::Safetensors,
            [b'/', b'*' | b'/', b' ', text @ ..] if text.starts_with(BEGINNING.as_bytes()) => Kind::Code,
            _ => Kind::Other,
        }
    }

    /// Of a file that cannot be read, nothing is known.
    pub(crate) fn of_file(path: &Path) -> Self {
        use std::io::Read;
        let mut first = Vec::new();
        let read = std::fs::File::open(path).and_then(|file| file.take(16).read_to_end(&mut first));
        read.map_or(Kind::Other, |_| Kind::of(&first))
    }
}
