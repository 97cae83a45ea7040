//! PEFT directories and bases, made by hand.

#![allow(dead_code, reason = "every test uses another part")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use lowrank::Dtype;
use lowrank_tools::peft::{self, Adapter, PeftError};
use safetensors::tensor::{Dtype as Stored, TensorView};
use serde_json::{Map, Value, json};

/// A tensor: name, type, shape and bytes.
#[derive(Clone, Debug)]
pub(crate) struct Tensor {
    pub(crate) name: String,
    pub(crate) dtype: Stored,
    pub(crate) shape: Vec<usize>,
    pub(crate) bytes: Vec<u8>,
}

impl Tensor {
    /// Rounded to a type.
    pub(crate) fn new(name: &str, dtype: Dtype, shape: &[usize], values: &[f32]) -> Self {
        assert_eq!(shape.iter().product::<usize>(), values.len(), "{name}");
        let encode = |value: &f32| dtype.encode(*value).to_le_bytes()[..dtype.size()].to_vec();
        let stored = match dtype {
            Dtype::F32 => Stored::F32,
            Dtype::F16 => Stored::F16,
            Dtype::Bf16 => Stored::BF16,
        };
        Self { name: name.into(), dtype: stored, shape: shape.into(), bytes: values.iter().flat_map(encode).collect() }
    }

    pub(crate) fn f32(name: &str, shape: &[usize], values: &[f32]) -> Self {
        Self::new(name, Dtype::F32, shape, values)
    }

    /// What is stored.
    pub(crate) fn values(&self) -> Vec<f32> {
        let dtype = match self.dtype {
            Stored::F32 => Dtype::F32,
            Stored::F16 => Dtype::F16,
            Stored::BF16 => Dtype::Bf16,
            other => panic!("{other}"),
        };
        let number = |bytes: &[u8]| {
            let mut four = [0; 4];
            four[..bytes.len()].copy_from_slice(bytes);
            dtype.decode(u32::from_le_bytes(four))
        };
        self.bytes.chunks(dtype.size()).map(number).collect()
    }
}

/// Numbers that look random, in (−1, 1).
pub(crate) fn noise(seed: u64, count: usize) -> Vec<f32> {
    let rng = lowrank::train::Rng::new(seed);
    (0..count as u64).map(|i| 2.0 * rng.uniform(i) - 1.0).collect()
}

pub(crate) fn safetensors(tensors: &[Tensor]) -> Vec<u8> {
    let views = tensors.iter().map(|tensor| {
        let view = TensorView::new(tensor.dtype, tensor.shape.clone(), &tensor.bytes).unwrap();
        (tensor.name.as_str(), view)
    });
    safetensors::serialize(views, Some([("format".into(), "pt".into())].into())).unwrap()
}

pub(crate) fn load(path: &Path) -> Vec<Tensor> {
    let bytes = std::fs::read(path).unwrap();
    let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let tensor = |(name, view): (String, TensorView<'_>)| Tensor {
        name,
        dtype: view.dtype(),
        shape: view.shape().to_vec(),
        bytes: view.data().to_vec(),
    };
    let mut tensors: Vec<_> = file.tensors().into_iter().map(tensor).collect();
    tensors.sort_by(|x, y| x.name.cmp(&y.name));
    tensors
}

/// The two files of an adapter.
#[derive(Clone, Debug)]
pub(crate) struct Peft {
    pub(crate) fields: Map<String, Value>,
    pub(crate) tensors: Vec<Tensor>,
}

pub(crate) fn key(layer: &str, part: &str) -> String {
    format!("base_model.model.{layer}.{part}")
}

impl Peft {
    /// Without layers.
    pub(crate) fn empty() -> Self {
        let fields = json!({ "peft_type": "LORA", "r": 2, "lora_alpha": 8, "target_modules": ["q", "v"] });
        Self { fields: fields.as_object().unwrap().clone(), tensors: Vec::new() }
    }

    /// Layers `net.q` [3, 4] and `net.v` [5, 4] of rank 2.
    pub(crate) fn new() -> Self {
        let mut peft = Self::empty();
        peft.layer("net.q", 4, 3, 2, Dtype::F32);
        peft.layer("net.v", 4, 5, 2, Dtype::F32);
        peft
    }

    pub(crate) fn layer(&mut self, name: &str, inputs: usize, outputs: usize, rank: usize, dtype: Dtype) {
        let seed = self.tensors.len() as u64;
        let a = noise(2 * seed, rank * inputs);
        let b = noise(2 * seed + 1, outputs * rank);
        self.tensors.push(Tensor::new(&key(name, "lora_A.weight"), dtype, &[rank, inputs], &a));
        self.tensors.push(Tensor::new(&key(name, "lora_B.weight"), dtype, &[outputs, rank], &b));
    }

    pub(crate) fn set(mut self, field: &str, value: Value) -> Self {
        self.fields.insert(field.into(), value);
        self
    }

    pub(crate) fn with(mut self, tensor: Tensor) -> Self {
        self.tensors.retain(|other| other.name != tensor.name);
        self.tensors.push(tensor);
        self
    }

    pub(crate) fn without(mut self, name: &str) -> Self {
        let before = self.tensors.len();
        self.tensors.retain(|tensor| tensor.name != name);
        assert!(self.tensors.len() < before, "no {name}");
        self
    }

    pub(crate) fn tensor(&self, name: &str) -> &Tensor {
        self.tensors.iter().find(|tensor| tensor.name == name).unwrap_or_else(|| panic!("no {name}"))
    }

    pub(crate) fn config(&self) -> Vec<u8> {
        Value::Object(self.fields.clone()).to_string().into_bytes()
    }

    /// What the reader says.
    pub(crate) fn read<T>(&self, look: impl FnOnce(Result<Adapter<'_>, PeftError>) -> T) -> T {
        look(peft::read(&self.config(), &safetensors(&self.tensors)))
    }

    pub(crate) fn write(&self, directory: &Path) {
        std::fs::create_dir(directory).unwrap();
        std::fs::write(directory.join(peft::CONFIG_FILE), self.config()).unwrap();
        std::fs::write(directory.join(peft::TENSOR_FILE), safetensors(&self.tensors)).unwrap();
    }
}

/// An adapter file.
pub(crate) fn emit(entries: &[lowrank::format::Entry<'_>]) -> Vec<u8> {
    let contents = lowrank::format::Contents { entries, metadata: "", fingerprint: 0, generation: 0 };
    let mut bytes = vec![0; contents.encoded_len().unwrap()];
    contents.emit(&mut bytes).unwrap();
    bytes
}

/// Of an adapter without a fingerprint.
pub(crate) const NO_BASE: &str =
    "this adapter names no base: its shapes fit, whether it is the right one cannot be told";

/// A directory that goes away, and the command in it.
pub(crate) struct Room(tempfile::TempDir);

impl Room {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(crate) fn lowrank(&self, arguments: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_lowrank")).current_dir(self.0.path()).args(arguments).output().unwrap()
    }

    /// The output of a command that has to succeed, and may only note that the adapter names no base.
    pub(crate) fn good(&self, arguments: &[&str]) -> String {
        let output = self.lowrank(arguments);
        let errors = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(0), "{arguments:?}: {errors}");
        assert!(errors.is_empty() || errors == format!("note: {NO_BASE}\n"), "{arguments:?}: {errors}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// The same as JSON.
    pub(crate) fn json(&self, arguments: &[&str]) -> Value {
        let arguments: Vec<&str> = arguments.iter().copied().chain(["--json"]).collect();
        serde_json::from_str(&self.good(&arguments)).unwrap()
    }

    /// The error of a command that has to fail.
    pub(crate) fn bad(&self, arguments: &[&str]) -> String {
        let output = self.lowrank(arguments);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}");
        assert_eq!(output.stdout, b"", "{arguments:?}");
        String::from_utf8(output.stderr).unwrap()
    }

    /// Names of what is in the directory, in order.
    pub(crate) fn names(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.0.path()).unwrap();
        let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

/// A base for the layers of [`Peft::new`], with another tensor.
pub(crate) fn base() -> Vec<Tensor> {
    vec![
        Tensor::f32("net.q.weight", &[3, 4], &noise(20, 12)),
        Tensor::f32("net.q.bias", &[3], &noise(21, 3)),
        Tensor::f32("net.v.weight", &[5, 4], &noise(22, 20)),
        Tensor::f32("other", &[7], &noise(23, 7)),
    ]
}

/// A room with `my-adapter`, `base.safetensors`, and the adapter file of it.
pub(crate) fn furnished() -> Room {
    let room = Room::new();
    Peft::new().write(&room.path("my-adapter"));
    std::fs::write(room.path("base.safetensors"), safetensors(&base())).unwrap();
    room.good(&["convert", "my-adapter", "adapter.lowrank"]);
    room
}
