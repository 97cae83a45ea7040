//! The frozen base: one safetensors file, or several with an index. Only ever opened for reading.

use std::collections::HashMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::{Path, PathBuf};

use lowrank::Dtype;
use safetensors::tensor::{Dtype as StoredType, Metadata, TensorInfo};
use serde::Deserialize;

use crate::error::Failure;
use crate::mistake::{Mistake, SWAPPED};
use crate::number::decode;
use crate::peft::CONFIG_FILE;
use crate::source::Kind;
use crate::tensor_file::{self, LENGTH_BYTES, TensorFileError};

/// The limit of the format itself.
const LONGEST_HEADER: u64 = 100_000_000;
const LONGEST_INDEX: u64 = 100_000_000;
const INDEX_SUFFIX: &str = ".index.json";

/// What bitsandbytes (4 and 8 bits), GPTQ, AWQ, HQQ, compressed-tensors and fp8 write for a module.
const QUANTISED: [&str; 12] = [
    "weight.absmax",
    "weight.quant_map",
    "weight.SCB",
    "SCB",
    "weight_format",
    "qweight",
    "qzeros",
    "W_q",
    "weight_packed",
    "weight_scale",
    "weight_scale_inv",
    "weight.quant_state.bitsandbytes__nf4",
];

/// Ends of the names of embeddings that heads are tied to.
const EMBEDDINGS: [&str; 5] =
    ["embed_tokens.weight", "wte.weight", "word_embeddings.weight", "embed_in.weight", "shared.weight"];

/// A base on disk.
pub(crate) struct Base {
    pub(crate) shards: Vec<Shard>,
    /// The path of the index, where there is one.
    pub(crate) index: Option<PathBuf>,
    /// Number of the shard of each tensor.
    tensors: HashMap<String, usize>,
}

/// One safetensors file.
pub(crate) struct Shard {
    pub(crate) path: PathBuf,
    file: File,
    /// Length and header, as they lie in the file.
    pub(crate) head: Vec<u8>,
    pub(crate) metadata: Metadata,
}

#[derive(Deserialize)]
struct Index {
    weight_map: HashMap<String, String>,
}

impl Base {
    /// Opens a file `….safetensors`, or an index `….safetensors.index.json` and all files that it names, or the one of
    /// both that lies in a directory.
    pub(crate) fn open(path: &Path) -> Result<Self, Failure> {
        if path.is_dir() {
            return Self::open(&in_directory(path)?);
        }
        check_kind(path)?;
        let is_index = path.file_name().is_some_and(|name| name.to_string_lossy().ends_with(INDEX_SUFFIX));
        if is_index {
            return Self::open_index(path);
        }
        let shard = Shard::open(path.to_owned())?;
        let tensors = shard.metadata.offset_keys().into_iter().map(|name| (name, 0)).collect();
        Ok(Self { shards: vec![shard], index: None, tensors })
    }

    fn open_index(path: &Path) -> Result<Self, Failure> {
        let flaw = |flaw: String| Failure::Index { path: path.to_owned(), flaw };
        let text = std::fs::read(path).map_err(|source| Failure::Read { path: path.to_owned(), source })?;
        if text.len() as u64 > LONGEST_INDEX {
            return Err(flaw(format!("expected at most {LONGEST_INDEX} bytes, got {}", text.len())));
        }
        let index: Index = serde_json::from_slice(&text).map_err(|error| flaw(error.to_string()))?;
        let mut files: Vec<&String> = index.weight_map.values().collect();
        files.sort_unstable();
        files.dedup();
        let mut base = Self { shards: Vec::new(), index: Some(path.to_owned()), tensors: HashMap::new() };
        for file in files {
            if Path::new(file).file_name().is_none_or(|name| name != file.as_str()) {
                return Err(flaw(format!("expected names of files beside the index, got {file:?}")));
            }
            let shard = Shard::open(path.with_file_name(file))?;
            for tensor in shard.metadata.offset_keys() {
                if index.weight_map.get(&tensor) != Some(file) {
                    return Err(flaw(format!("tensor `{tensor}` lies in {file:?}, expected by the index elsewhere")));
                }
                base.tensors.insert(tensor, base.shards.len());
            }
            base.shards.push(shard);
        }
        match index.weight_map.keys().find(|tensor| !base.tensors.contains_key(*tensor)) {
            Some(tensor) => Err(flaw(format!("tensor `{tensor}` is missing in {:?}", index.weight_map[tensor]))),
            None => Ok(base),
        }
    }

    /// A tensor by its name.
    pub(crate) fn find(&self, name: &str) -> Option<Stored<'_>> {
        let (key, &shard) = self.tensors.get_key_value(name)?;
        let shard = self.shards.get(shard)?;
        Some(Stored { name: key, shard, info: shard.metadata.info(name)? })
    }

    /// The only tensor whose name ends in this one behind a dot, or the other way round: a hint for errors.
    pub(crate) fn with_suffix(&self, name: &str) -> Option<&str> {
        let dotted = format!(".{name}");
        let mut found =
            self.tensors.keys().filter(|other| other.ends_with(&dotted) || name.ends_with(&format!(".{other}")));
        found.next().filter(|_| found.next().is_none()).map(String::as_str)
    }

    /// As it was named: the index, or the one file.
    pub(crate) fn path(&self) -> &Path {
        self.paths().next().unwrap_or(Path::new(""))
    }

    /// All tensors, in the order of their names.
    pub(crate) fn all(&self) -> impl Iterator<Item = Stored<'_>> {
        let mut names: Vec<&str> = self.tensors.keys().map(String::as_str).collect();
        names.sort_unstable();
        names.into_iter().filter_map(|name| self.find(name))
    }

    /// Every file of it.
    pub(crate) fn paths(&self) -> impl Iterator<Item = &Path> {
        self.index.as_deref().into_iter().chain(self.shards.iter().map(|shard| shard.path.as_path()))
    }

    /// The sign that a module of the base is quantised: a tensor that quantisers write beside or instead of its weight, or
    /// the type of that weight.
    pub(crate) fn quantised(&self, module: &str) -> Option<(Stored<'_>, String)> {
        for sign in QUANTISED {
            if let Some(stored) = self.find(&format!("{module}.{sign}")) {
                return Some((stored, format!("it has `{}`", stored.name)));
            }
        }
        let weight = self.find(&format!("{module}.weight"))?;
        let packed = matches!(
            weight.info.dtype,
            StoredType::U8 | StoredType::I8 | StoredType::I32 | StoredType::F8_E4M3 | StoredType::F8_E5M2
        );
        packed.then(|| (weight, format!("`{}` is {}", weight.name, weight.info.dtype)))
    }

    /// The only embedding of this shape, which a layer without a weight of its own may be tied to.
    pub(crate) fn tied(&self, shape: [usize; 2]) -> Option<Stored<'_>> {
        let mut found = self.tensors.keys().filter(|name| EMBEDDINGS.iter().any(|end| name.ends_with(end)));
        let stored = self.find(found.next().filter(|_| found.next().is_none())?)?;
        (stored.info.shape == shape).then_some(stored)
    }

    /// Bytes of all tensors.
    pub(crate) fn data_len(&self) -> u64 {
        self.shards.iter().map(|shard| shard.metadata.data_len() as u64).sum()
    }
}

/// The base in a directory, as transformers looks for it.
fn in_directory(path: &Path) -> Result<PathBuf, Failure> {
    let names = ["model.safetensors", "model.safetensors.index.json"];
    if let Some(found) = names.iter().map(|name| path.join(name)).find(|file| file.is_file()) {
        return Ok(found);
    }
    let has = |name: &str| path.join(name).exists();
    let hint = if has(CONFIG_FILE) {
        "; this is a PEFT directory; are the arguments swapped?"
    } else if has("pytorch_model.bin") || has("pytorch_model.bin.index.json") {
        "; load the model with transformers and save it with save_pretrained, which writes safetensors"
    } else {
        ", or name the file"
    };
    Err(Mistake::BaseDirectory { path: path.to_owned(), hint }.into())
}

/// Refuses what is known to be no base.
fn check_kind(path: &Path) -> Result<(), Failure> {
    let (what, hint) = match Kind::of_file(path) {
        Kind::Adapter => ("this is an adapter file", SWAPPED),
        Kind::Torch => {
            ("this is a file of torch.save", "; load the model with transformers and save it with save_pretrained")
        }
        Kind::Safetensors | Kind::Code | Kind::Other => return Ok(()),
    };
    let expected = "a base in safetensors";
    Err(Mistake::Kind { path: path.to_owned(), what, expected, hint }.into())
}

impl Shard {
    fn open(path: PathBuf) -> Result<Self, Failure> {
        let read = |source| Failure::Read { path: path.clone(), source };
        let flaw = |source| Failure::TensorFile { path: path.clone(), source };
        let mut file = File::open(&path).map_err(read)?;
        let len = file.metadata().map_err(read)?.len();
        let mut head = vec![0; LENGTH_BYTES];
        if len < LENGTH_BYTES as u64 {
            return Err(flaw(TensorFileError::Short { expected: LENGTH_BYTES as u64, got: len }));
        }
        file.read_exact(&mut head).map_err(read)?;
        let first = *head.first_chunk().unwrap_or(&[0; LENGTH_BYTES]);
        let header = tensor_file::header_len(first, LONGEST_HEADER, len).map_err(flaw)?;
        head.resize(LENGTH_BYTES + header, 0);
        file.read_exact(&mut head[LENGTH_BYTES..]).map_err(read)?;
        let metadata = tensor_file::parse_header(&head[LENGTH_BYTES..], len).map_err(flaw)?;
        Ok(Self { path, file, head, metadata })
    }

    /// Fills `buffer` with what lies at `at` behind the header.
    pub(crate) fn read(&self, at: u64, buffer: &mut [u8]) -> Result<(), Failure> {
        let mut file = &self.file;
        let from = SeekFrom::Start(self.head.len() as u64 + at);
        let done = file.seek(from).and_then(|_| file.read_exact(buffer));
        done.map_err(|source| Failure::Read { path: self.path.clone(), source })
    }
}

/// A tensor of the base.
#[derive(Copy, Clone)]
pub(crate) struct Stored<'a> {
    pub(crate) name: &'a str,
    pub(crate) shard: &'a Shard,
    pub(crate) info: &'a TensorInfo,
}

impl Stored<'_> {
    /// Its type, if it can be merged into.
    pub(crate) fn dtype(&self) -> Result<Dtype, Failure> {
        tensor_file::float_type(self.info.dtype).ok_or_else(|| Failure::BaseType {
            path: self.shard.path.clone(),
            tensor: self.name.to_owned(),
            got: self.info.dtype.to_string(),
        })
    }

    /// Checks its shape.
    pub(crate) fn expect(&self, expected: &[usize], why: &'static str) -> Result<(), Failure> {
        if self.info.shape == expected {
            return Ok(());
        }
        Err(Failure::BaseShape {
            path: self.shard.path.clone(),
            tensor: self.name.to_owned(),
            expected: expected.to_vec(),
            got: self.info.shape.clone(),
            why,
        })
    }

    /// Its length in bytes.
    pub(crate) fn len(&self) -> usize {
        let (start, end) = self.info.data_offsets;
        end - start
    }

    /// Replaces `buffer` by some of its bytes.
    pub(crate) fn bytes(&self, range: Range<usize>, buffer: &mut Vec<u8>) -> Result<(), Failure> {
        buffer.clear();
        buffer.resize(range.len(), 0);
        self.shard.read((self.info.data_offsets.0 + range.start) as u64, buffer)
    }

    /// Replaces `values` by rows of `cols` elements.
    ///
    /// # Errors
    /// [`Mistake::BaseNumber`] for the first one that is infinite or NaN: no work on such a base has a sensible result.
    pub(crate) fn rows(
        &self,
        rows: Range<usize>,
        cols: usize,
        dtype: Dtype,
        values: &mut Vec<f32>,
    ) -> Result<(), Failure> {
        let (row, mut bytes) = (cols * dtype.size(), Vec::new());
        self.bytes(rows.start * row..rows.end * row, &mut bytes)?;
        decode(dtype, &bytes, values);
        match values.iter().position(|value| !value.is_finite()) {
            None => Ok(()),
            Some(at) => {
                let (path, tensor, index) = (self.shard.path.clone(), self.name.to_owned(), rows.start * cols + at);
                Err(Mistake::BaseNumber { path, tensor, index, value: values[at] }.into())
            }
        }
    }

    /// Replaces `values` by all elements.
    pub(crate) fn all(&self, values: &mut Vec<f32>) -> Result<(), Failure> {
        self.rows(0..1, self.info.shape.iter().product(), self.dtype()?, values)
    }
}
