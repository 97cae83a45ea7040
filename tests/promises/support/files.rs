//! Adapter files on owned buffers: contents to be written, and bytes that lie where they are asked to.

use lowrank::format::{Contents, Entry, RandomState, Tensor, Training};
use lowrank::train::{Clock, Optimizer, Trained};
use lowrank::{AdapterFile, Dtype, Scale, Shape};

use super::Rng;

/// A matrix in bytes.
#[derive(Clone, Debug)]
pub(crate) struct OwnedTensor {
    pub(crate) dtype: Dtype,
    pub(crate) rows: usize,
    pub(crate) cols: usize,
    pub(crate) bytes: Vec<u8>,
}

impl OwnedTensor {
    /// Any bits: NaN are data.
    pub(crate) fn random(rng: &mut Rng, dtype: Dtype, rows: usize, cols: usize) -> Self {
        let bytes = (0..rows * cols * dtype.size()).map(|_| rng.next() as u8).collect();
        Self { dtype, rows, cols, bytes }
    }

    pub(crate) fn view(&self) -> Tensor<'_> {
        Tensor::from_bytes(self.dtype, self.rows, self.cols, &self.bytes).unwrap()
    }
}

/// What a [`Layer`] borrows.
#[derive(Clone, Debug)]
pub(crate) struct OwnedEntry {
    pub(crate) name: String,
    pub(crate) id: u32,
    pub(crate) scale: Scale,
    pub(crate) a: OwnedTensor,
    pub(crate) b: OwnedTensor,
    pub(crate) bias: Option<OwnedTensor>,
    pub(crate) b_bias: Option<OwnedTensor>,
    pub(crate) fan_in_fan_out: bool,
    pub(crate) training: Option<(Optimizer, Trained, Clock, Vec<OwnedTensor>)>,
    pub(crate) random: RandomState,
}

impl OwnedEntry {
    /// `A` and `B` of one type, nothing else.
    pub(crate) fn new(name: &str, shape: Shape, dtype: Dtype, rng: &mut Rng) -> Self {
        let Shape { inputs, outputs, rank } = shape;
        Self {
            name: name.to_owned(),
            id: 0,
            scale: Scale::Alpha(8.0),
            a: OwnedTensor::random(rng, dtype, rank, inputs),
            b: OwnedTensor::random(rng, dtype, outputs, rank),
            bias: None,
            b_bias: None,
            fan_in_fan_out: false,
            training: None,
            random: RandomState::default(),
        }
    }

    pub(crate) fn shape(&self) -> Shape {
        Shape::new(self.a.cols, self.b.rows, self.a.rows)
    }

    pub(crate) fn with_bias(mut self, dtype: Dtype, rng: &mut Rng) -> Self {
        self.bias = Some(OwnedTensor::random(rng, dtype, 1, self.b.rows));
        self
    }

    pub(crate) fn with_b_bias(mut self, dtype: Dtype, rng: &mut Rng) -> Self {
        self.b_bias = Some(OwnedTensor::random(rng, dtype, 1, self.b.rows));
        self
    }

    /// With moments as the optimizer has them.
    pub(crate) fn training(mut self, optimizer: Optimizer, trained: Trained, rng: &mut Rng) -> Self {
        let Shape { inputs, outputs, rank } = self.shape();
        let shapes = [(rank, inputs, trained.a), (outputs, rank, true), (1, outputs, trained.bias)];
        let mut moments = Vec::new();
        for (rows, cols, is_trained) in shapes {
            for moment in 0..2 {
                let rows = if is_trained && moment < optimizer.moments() { rows } else { 0 };
                moments.push(OwnedTensor::random(rng, Dtype::F32, rows, cols));
            }
        }
        let clock = Clock { steps: 1 + rng.next() % 1000, weight1: 0.1 + rng.unit().abs(), weight2: rng.unit().abs() };
        self.training = Some((optimizer, trained, clock, moments));
        self
    }

    pub(crate) fn view(&self) -> Entry<'_> {
        Entry {
            name: &self.name,
            id: self.id,
            scale: self.scale,
            a: self.a.view(),
            b: self.b.view(),
            bias: self.bias.as_ref().map(OwnedTensor::view),
            b_bias: self.b_bias.as_ref().map(OwnedTensor::view),
            fan_in_fan_out: self.fan_in_fan_out,
            training: self.training.as_ref().map(|(optimizer, trained, clock, moments)| Training {
                optimizer: *optimizer,
                trained: *trained,
                clock: *clock,
                moments: std::array::from_fn(|i| moments[i].view()),
            }),
            random: self.random,
        }
    }
}

/// What a [`Contents`] borrows.
#[derive(Clone, Debug, Default)]
pub(crate) struct OwnedContents {
    pub(crate) entries: Vec<OwnedEntry>,
    pub(crate) metadata: String,
    pub(crate) fingerprint: u64,
    pub(crate) generation: u32,
}

impl OwnedContents {
    /// Calls `with` with the contents, borrowed.
    pub(crate) fn borrowed<T>(&self, with: impl FnOnce(Contents<'_>) -> T) -> T {
        let entries: Vec<Entry<'_>> = self.entries.iter().map(OwnedEntry::view).collect();
        let Self { metadata, fingerprint, generation, .. } = self;
        with(Contents { entries: &entries, metadata, fingerprint: *fingerprint, generation: *generation })
    }

    pub(crate) fn file(&self) -> Vec<u8> {
        self.borrowed(|contents| {
            let mut bytes = vec![0xa5; contents.encoded_len().unwrap()];
            assert_eq!(contents.emit(&mut bytes), Ok(bytes.len()));
            bytes
        })
    }
}

/// Two entries in f32 with the state of AdamW.
pub(crate) fn two_entries() -> OwnedContents {
    let rng = &mut Rng(17);
    let all = Trained { a: true, bias: true };
    let first = OwnedEntry::new("encoder.fc1", Shape::new(5, 3, 2), Dtype::F32, rng)
        .with_bias(Dtype::F32, rng)
        .training(Optimizer::AdamW, all, rng);
    let second = OwnedEntry {
        scale: Scale::RankStabilized(16.0),
        random: RandomState { seed: 1 << 40 | 9, step: 17, layer_number: 1, dropout: 0.1 },
        ..OwnedEntry::new("encoder.fc2", Shape::new(3, 4, 3), Dtype::F32, rng)
    }
    .training(Optimizer::AdamW, Trained::DEFAULT, rng);
    let metadata = r#"{"peft_type": "LORA"}"#.to_owned();
    OwnedContents { entries: vec![first, second], metadata, fingerprint: 0x0123_4567_89ab_cdef, generation: 7 }
}

/// Layers in bf16 and f16 with biases of both kinds.
pub(crate) fn halves() -> OwnedContents {
    let rng = &mut Rng(18);
    let first = OwnedEntry {
        fan_in_fan_out: true,
        scale: Scale::Direct(-0.75),
        ..OwnedEntry::new("a", Shape::new(7, 3, 1), Dtype::Bf16, rng).with_b_bias(Dtype::F16, rng)
    };
    let mut second = OwnedEntry { id: 3, ..OwnedEntry::new("a", Shape::new(2, 5, 3), Dtype::F16, rng) }
        .with_bias(Dtype::Bf16, rng)
        .training(Optimizer::Momentum, Trained { a: false, bias: true }, rng);
    second.b = OwnedTensor::random(rng, Dtype::Bf16, 5, 3);
    OwnedContents { entries: vec![first, second], generation: u32::MAX, ..OwnedContents::default() }
}

/// Many small entries without names, and metadata.
pub(crate) fn many_entries() -> OwnedContents {
    let rng = &mut Rng(19);
    let entry = |id| OwnedEntry { id, ..OwnedEntry::new("", Shape::new(1, 1, 1), Dtype::F32, rng) };
    let entries = (0..9).map(entry).collect();
    OwnedContents { entries, metadata: "größer als nichts".to_owned(), ..OwnedContents::default() }
}

/// What was parsed, written again.
pub(crate) fn emitted_again(file: &AdapterFile<'_>) -> Vec<u8> {
    let entries: Vec<Entry<'_>> = file.entries().collect();
    let (fingerprint, generation) = (file.fingerprint(), file.generation());
    let contents = Contents { entries: &entries, metadata: file.metadata(), fingerprint, generation };
    let mut bytes = vec![0xff; contents.encoded_len().unwrap()];
    assert_eq!(contents.emit(&mut bytes), Ok(bytes.len()));
    bytes
}

/// Bytes at an address of this remainder modulo 16.
#[derive(Debug)]
pub(crate) struct Lying {
    memory: Vec<u8>,
    start: usize,
    len: usize,
}

impl Lying {
    pub(crate) fn new(bytes: &[u8], remainder: usize) -> Self {
        let mut memory = vec![0; bytes.len() + 32];
        let start = (16 - memory.as_ptr().addr() % 16) + remainder;
        memory[start..start + bytes.len()].copy_from_slice(bytes);
        Self { memory, start, len: bytes.len() }
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.memory[self.start..self.start + self.len]
    }
}
