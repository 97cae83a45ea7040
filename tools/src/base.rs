//! The frozen base: one safetensors file, or several with an index. Only ever opened for reading.

use std::collections::HashMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::{Path, PathBuf};

use lowrank::Dtype;
use safetensors::tensor::{Metadata, TensorInfo};
use serde::Deserialize;

use crate::error::Failure;
use crate::number::decode;
use crate::tensor_file::{self, LENGTH_BYTES, TensorFileError};

/// The limit of the format itself.
const LONGEST_HEADER: u64 = 100_000_000;
const LONGEST_INDEX: u64 = 100_000_000;
const INDEX_SUFFIX: &str = ".index.json";

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
    /// Opens a file `….safetensors`, or an index `….safetensors.index.json` and all files that it names.
    pub(crate) fn open(path: &Path) -> Result<Self, Failure> {
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

    /// Bytes of all tensors.
    pub(crate) fn data_len(&self) -> u64 {
        self.shards.iter().map(|shard| shard.metadata.data_len() as u64).sum()
    }
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

    /// Replaces `values` by rows of `cols` elements.
    pub(crate) fn rows(
        &self,
        rows: Range<usize>,
        cols: usize,
        dtype: Dtype,
        values: &mut Vec<f32>,
    ) -> Result<(), Failure> {
        let row = cols * dtype.size();
        let mut bytes = vec![0; rows.len() * row];
        self.shard.read((self.info.data_offsets.0 + rows.start * row) as u64, &mut bytes)?;
        decode(dtype, &bytes, values);
        Ok(())
    }

    /// Replaces `values` by all elements.
    pub(crate) fn all(&self, values: &mut Vec<f32>) -> Result<(), Failure> {
        self.rows(0..1, self.info.shape.iter().product(), self.dtype()?, values)
    }
}
