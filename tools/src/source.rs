//! An adapter from wherever it lies: a PEFT directory or an adapter file.

use std::path::{Path, PathBuf};

use lowrank::format::{AdapterFile, Layer};

use crate::error::{Failure, in_directory};
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
    pub(crate) fn layers(&self) -> Vec<Layer<'_>> {
        match self {
            Opened::Peft(adapter) => adapter.layers(),
            Opened::File(file) => file.layers().collect(),
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
pub(crate) fn load_peft(path: &Path) -> Result<Files, Failure> {
    let kind = |what, hint| Mistake::Kind { path: path.to_owned(), what, expected: "a PEFT directory", hint };
    if path.is_file() {
        let hint = match path.file_name().and_then(|name| name.to_str()) {
            Some(BIN_FILE) => return Err(Mistake::BinAdapter { path: path.to_owned(), file: BIN_FILE }.into()),
            Some(CONFIG_FILE | TENSOR_FILE) => "; give the directory that it lies in",
            _ if Kind::of_file(path) == Kind::Adapter => "; `lowrank unpack` makes one of an adapter file",
            _ => SWAPPED,
        };
        return Err(kind("this is a file", hint).into());
    }
    let has = |name: &str| path.join(name).exists();
    if has(BIN_FILE) && !has(TENSOR_FILE) {
        return Err(Mistake::BinAdapter { path: path.to_owned(), file: BIN_FILE }.into());
    }
    if path.is_dir() && !has(CONFIG_FILE) && (has("model.safetensors") || has("model.safetensors.index.json")) {
        return Err(kind("this is the directory of a base", SWAPPED).into());
    }
    Ok(Files::load(path)?)
}

/// The adapter in these files of a directory; warns of what has no effect.
pub(crate) fn read_peft<'a>(directory: &Path, files: &'a Files) -> Result<Adapter<'a>, Failure> {
    let adapter = files.read().map_err(|source| Failure::PeftIn { directory: directory.to_owned(), source })?;
    for warning in &adapter.warnings {
        terminal::complain(&format!("warning: {}", in_directory(directory, warning)));
    }
    Ok(adapter)
}

pub(crate) fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    std::fs::read(path).map_err(|source| Failure::Read { path: path.to_owned(), source })
}

/// The bytes of an adapter file.
pub(crate) fn read_adapter(path: &Path) -> Result<Vec<u8>, Failure> {
    if path.is_dir() {
        let (what, expected) = ("this is a directory", "an adapter file");
        let hint = "; `lowrank pack` makes one of a PEFT directory";
        return Err(Mistake::Kind { path: path.to_owned(), what, expected, hint }.into());
    }
    read(path)
}

pub(crate) fn parse<'a>(path: &Path, bytes: &'a [u8]) -> Result<AdapterFile<'a>, Failure> {
    let (what, hint) = match Kind::of(bytes) {
        Kind::Safetensors if path.ends_with(TENSOR_FILE) => {
            ("this is a safetensors file", "; give the directory that it lies in")
        }
        Kind::Safetensors => ("this is a safetensors file", SWAPPED),
        Kind::Torch if path.ends_with(BIN_FILE) => {
            return Err(Mistake::BinAdapter { path: path.to_owned(), file: BIN_FILE }.into());
        }
        Kind::Torch => ("this is a file of torch.save", "; save the adapter with PeftModel.save_pretrained"),
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
    Other,
}

impl Kind {
    pub(crate) fn of(bytes: &[u8]) -> Self {
        match bytes {
            [b'l', b'o', b'w', b'r', b'a', b'n', b'k', 0, ..] => Kind::Adapter,
            [b'P', b'K', 3, 4, ..] | [0x80, 2..=5, ..] => Kind::Torch,
            // A length below 2³², and the header in JSON.
            [_, _, _, _, 0, 0, 0, 0, b'{', ..] => Kind::Safetensors,
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
