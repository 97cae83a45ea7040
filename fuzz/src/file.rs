//! Adapter files: any bytes, files that have been damaged, and contents of any kind.

use arbitrary::{Arbitrary, Result, Unstructured};
use lowrank::format::{AdapterFile, Contents, EmitError, Entry, RandomState, StreamError, Tensor, Training};
use lowrank::train::{Clock, Optimizer, Plan, Trained};
use lowrank::{AdapterMut, Dtype, FileError, MatMut, Scale, Shape};

use crate::data::{Guarded, Place, Scalar, UpTo};

/// A case of this target.
#[derive(Debug, Arbitrary)]
pub enum Case {
    /// Bytes as they are.
    Bytes(Memory),
    /// The same with magic, versions, length and checksums made right, so that the rest is looked at.
    Plausible(Memory),
    /// Contents are written, bytes are changed, and the length and the checksums are made right, if wanted.
    Damaged { contents: Written, damage: Vec<(u16, u8)>, length: i8, repaired: bool, lies: UpTo<15> },
}

impl Case {
    pub fn check(self) {
        match self {
            Case::Bytes(memory) => _ = check(&memory),
            Case::Plausible(mut memory) => {
                memory.repair(true);
                _ = check(&memory);
            }
            Case::Damaged { contents, damage, length, repaired, lies } => {
                let Some(mut bytes) = contents.file() else { return };
                let untouched = damage.iter().all(|change| change.1 == 0) && length == 0;
                for (at, change) in damage {
                    let at = usize::from(at) % bytes.len();
                    bytes[at] ^= change;
                }
                bytes.resize(bytes.len().saturating_add_signed(length.into()), 0);
                let mut memory = Memory::new(&bytes, lies.0);
                if repaired {
                    memory.repair(false);
                }
                assert!(check(&memory) || !untouched, "what was written is not read");
            }
        }
    }
}

/// Bytes at an address of some remainder modulo 16. The address sanitizer watches their end.
#[derive(Debug)]
pub struct Memory {
    bytes: Vec<u8>,
    start: usize,
}

impl<'a> Arbitrary<'a> for Memory {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Self> {
        let lies: UpTo<15> = u.arbitrary()?;
        Ok(Self::new(u.bytes(u.len())?, lies.0))
    }
}

impl Memory {
    fn new(content: &[u8], remainder: usize) -> Self {
        let mut bytes = Vec::<u8>::with_capacity(content.len() + 31);
        let start = (16 - bytes.as_ptr().addr() % 16) % 16 + remainder;
        bytes.resize(start, 0xff);
        bytes.extend_from_slice(content);
        Self { bytes, start }
    }

    fn bytes(&self) -> &[u8] {
        &self.bytes[self.start..]
    }

    /// Makes length and checksums right, and on request all other fields of the header that have one right value.
    fn repair(&mut self, header: bool) {
        let bytes = &mut self.bytes[self.start..];
        if bytes.len() < 64 {
            return;
        }
        if header {
            bytes[..12].copy_from_slice(b"lowrank\0\x01\0\x01\0");
            bytes[44..56].fill(0);
        }
        let length = bytes.len() as u64;
        bytes[16..24].copy_from_slice(&length.to_le_bytes());
        let payload = crc32(&bytes[64..]);
        bytes[56..60].copy_from_slice(&payload.to_le_bytes());
        let header = crc32(&bytes[..60]);
        bytes[60..64].copy_from_slice(&header.to_le_bytes());
    }
}

fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, &byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| crc >> 1 ^ if crc & 1 == 1 { 0xedb8_8320 } else { 0 })
    })
}

/// Panics unless the bytes are refused, or are a file whose entries can be used and are written to the same bytes.
fn check(memory: &Memory) -> bool {
    let bytes = memory.bytes();
    let file = match AdapterFile::parse(bytes) {
        Ok(file) => file,
        Err(error) => {
            let FileError { at, flaw } = error;
            assert!(at <= bytes.len().max(64), "{flaw:?} at {at} of {}", bytes.len());
            assert!(!error.to_string().is_empty());
            return false;
        }
    };
    let entries: Vec<Entry<'_>> = file.entries().collect();
    assert_eq!((file.entries().len(), file.entry(entries.len()).is_none()), (entries.len(), true));
    for entry in &entries {
        check_entry(entry, (bytes.as_ptr().addr()).is_multiple_of(4));
        let found = file.find(entry.name).unwrap();
        assert!(found.name == entry.name && found.id <= entry.id);
        assert!(file.find_id(entry.id).unwrap().id == entry.id);
    }
    let (fingerprint, generation) = (file.fingerprint(), file.generation());
    let contents = Contents { entries: &entries, metadata: file.metadata(), fingerprint, generation };
    assert!(emit(&contents).unwrap() == bytes, "written to other bytes");
    true
}

/// The bytes, emitted and streamed.
fn emit(contents: &Contents<'_>) -> std::result::Result<Vec<u8>, EmitError> {
    let mut streamed = vec![0; 64];
    let stream = contents.stream(|piece| -> std::result::Result<(), ()> {
        streamed.extend_from_slice(piece);
        Ok(())
    });
    let length = match contents.encoded_len() {
        Ok(length) => length,
        Err(error) => {
            assert_eq!(format!("{stream:?}"), format!("{:?}", Err::<(), _>(StreamError::<()>::Contents(error))));
            assert_eq!(format!("{:?}", contents.emit(&mut [])), format!("{:?}", Err::<(), _>(error)));
            return Err(error);
        }
    };
    let mut out = vec![0xa5; length + 1];
    assert_eq!(contents.emit(&mut out), Ok(length));
    assert_eq!(out.pop(), Some(0xa5));
    streamed[..64].copy_from_slice(&stream.unwrap());
    assert!(streamed == out, "streamed to other bytes");
    let mut short = vec![0xa5; length - 1];
    assert!(contents.emit(&mut short).is_err() && short.iter().all(|&byte| byte == 0xa5));
    Ok(out)
}

/// In place, loaded and restored, the numbers are those of the bytes.
fn check_entry(entry: &Entry<'_>, aligned: bool) {
    let Shape { inputs, outputs, rank } = entry.shape();
    let tensors = [Some(entry.a), Some(entry.b), entry.bias].into_iter().flatten();
    let in_place = tensors.clone().all(|tensor| tensor.dtype() == Dtype::F32) && aligned && entry.b_bias.is_none();
    assert_eq!(entry.adapter().is_ok(), in_place);
    for tensor in tensors.chain(entry.b_bias) {
        check_tensor(&tensor);
    }
    let mut memory = vec![0.0; rank * inputs + outputs * rank + outputs];
    let (a, rest) = memory.split_at_mut(rank * inputs);
    let (b, bias) = rest.split_at_mut(outputs * rank);
    let mut target = AdapterMut {
        a: MatMut::new(a, rank, inputs).unwrap(),
        b: MatMut::new(b, outputs, rank).unwrap(),
        bias: entry.bias.map(|_| MatMut::new(bias, 1, outputs).unwrap()),
        scale: f32::NAN,
    };
    assert_eq!(entry.load(&mut target).is_ok(), entry.b_bias.is_none());
    if entry.b_bias.is_none() {
        assert!(target.scale.is_finite());
        assert_eq!(bits(&decoded(&entry.a)), (0..rank).flat_map(|k| bits(target.a.row(k))).collect::<Vec<_>>());
        assert_eq!(bits(&decoded(&entry.b)), (0..outputs).flat_map(|o| bits(target.b.row(o))).collect::<Vec<_>>());
    }
    if let Some(training) = entry.training {
        let plan = Plan::training(entry.shape(), 0, training.optimizer).with(training.trained);
        let mut arena = vec![f32::NAN; plan.len()];
        let mut work = plan.split(&mut arena).unwrap();
        training.restore(&mut work.state).unwrap();
        assert_eq!(work.state.clock, training.clock);
        let again = Training::of(&work.state, training.optimizer, training.trained);
        for (again, moment) in again.moments.iter().zip(&training.moments) {
            assert_eq!(bits(&decoded(again)), bits(&decoded(moment)));
        }
    }
}

fn bits(numbers: &[f32]) -> Vec<u32> {
    numbers.iter().map(|number| number.to_bits()).collect()
}

fn decoded(tensor: &Tensor<'_>) -> Vec<f32> {
    let mut numbers = vec![0.0; tensor.rows() * tensor.cols()];
    tensor.decode(MatMut::new(&mut numbers, tensor.rows(), tensor.cols()).unwrap()).unwrap();
    numbers
}

fn check_tensor(tensor: &Tensor<'_>) {
    let (bytes, size) = (tensor.bytes().unwrap(), tensor.dtype().size());
    assert_eq!(bytes.len(), tensor.rows() * tensor.cols() * size);
    for (four, number) in bytes.chunks(size).zip(decoded(tensor)) {
        let bits = four.iter().rev().fold(0, |bits, &byte| bits << 8 | u32::from(byte));
        assert_eq!(tensor.dtype().decode(bits).to_bits(), number.to_bits());
        assert_eq!(tensor.dtype().encode(number), bits);
    }
}

/// Contents to be written; many cannot be.
#[derive(Debug, Arbitrary)]
pub struct Written {
    entries: Vec<EntryCase>,
    sorted: bool,
    metadata: String,
    fingerprint: u64,
    generation: u32,
}

#[derive(Debug, Arbitrary)]
struct EntryCase {
    name: String,
    id: UpTo<3>,
    /// `A`, `B`, the bias, the bias of `B`, six moments.
    sizes: (UpTo<5>, UpTo<5>, UpTo<4>),
    misfit: Option<(UpTo<9>, UpTo<3>, UpTo<3>)>,
    dtypes: [UpTo<3>; 4],
    scale: (UpTo<2>, Scalar),
    training: Option<TrainingCase>,
    fan_in_fan_out: bool,
    random: (u64, u32, u32, Scalar),
    place: Place,
    bytes: u8,
}

#[derive(Debug, Arbitrary)]
struct TrainingCase {
    optimizer: UpTo<3>,
    a: bool,
    bias: bool,
    steps: u64,
    weights: [Scalar; 2],
}

const OPTIMIZERS: [Optimizer; 4] = [Optimizer::InPlace, Optimizer::Sgd, Optimizer::Momentum, Optimizer::AdamW];

/// A tensor in memory: numbers with gaps between their rows, or bytes.
enum Owned {
    Numbers(Guarded),
    Bytes(Dtype, usize, usize, Vec<u8>),
}

impl Owned {
    fn view(&self) -> Tensor<'_> {
        match self {
            Owned::Numbers(matrix) => matrix.view().into(),
            Owned::Bytes(dtype, rows, cols, bytes) => Tensor::from_bytes(*dtype, *rows, *cols, bytes).unwrap(),
        }
    }
}

impl EntryCase {
    /// Rows and columns of all tensors that the entry may have, and whether it has them.
    fn shapes(&self) -> [(usize, usize, bool); 10] {
        let (inputs, outputs, rank) = (self.sizes.0.0, self.sizes.1.0, self.sizes.2.0);
        let [a, b, bias] = [(rank, inputs), (outputs, rank), (1, outputs)];
        let (moments, trains_a, trains_bias) =
            self.training.as_ref().map_or((0, false, false), |t| (OPTIMIZERS[t.optimizer.0].moments(), t.a, t.bias));
        let moment = |shape: (usize, usize), wanted: bool, number| (shape.0, shape.1, wanted && number <= moments);
        let mut shapes = [
            (a.0, a.1, true),
            (b.0, b.1, true),
            (1, outputs, self.dtypes[2].0 > 0),
            (1, outputs, self.dtypes[3].0 > 0),
            moment(a, trains_a, 1),
            moment(a, trains_a, 2),
            moment(b, true, 1),
            moment(b, true, 2),
            moment(bias, trains_bias, 1),
            moment(bias, trains_bias, 2),
        ];
        if let Some((which, rows, cols)) = &self.misfit {
            shapes[which.0] = (rows.0, cols.0, true);
        }
        shapes
    }

    fn tensors(&self) -> Vec<Option<Owned>> {
        let mut next = u32::from(self.bytes) << 16;
        let mut tensor = |at: usize, (rows, cols, there): (usize, usize, bool)| {
            let dtype = self.dtypes.get(at).map_or(1, |dtype| dtype.0);
            let mut number = || {
                next = next.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                next
            };
            there.then(|| match dtype {
                2 | 3 => {
                    let dtype = if dtype == 2 { Dtype::F16 } else { Dtype::Bf16 };
                    let bytes = (0..rows * cols * dtype.size()).map(|_| (number() >> 24) as u8).collect();
                    Owned::Bytes(dtype, rows, cols, bytes)
                }
                _ => Owned::Numbers(Guarded::new(self.place, rows, cols, || f32::from_bits(number()))),
            })
        };
        self.shapes().into_iter().enumerate().map(|(at, shape)| tensor(at, shape)).collect()
    }

    fn view<'a>(&'a self, tensors: &'a [Option<Owned>]) -> Entry<'a> {
        let tensor = |at: usize| tensors[at].as_ref().map(Owned::view);
        let moment = |at: usize| tensor(at).unwrap_or(Tensor::EMPTY);
        let alpha = self.scale.1.value();
        Entry {
            name: &self.name,
            id: self.id.0 as u32,
            scale: [Scale::Direct, Scale::Alpha, Scale::RankStabilized][self.scale.0.0](alpha),
            a: moment(0),
            b: moment(1),
            bias: tensor(2),
            b_bias: tensor(3),
            fan_in_fan_out: self.fan_in_fan_out,
            training: self.training.as_ref().map(|training| Training {
                optimizer: OPTIMIZERS[training.optimizer.0],
                trained: Trained { a: training.a, bias: training.bias },
                clock: Clock {
                    steps: training.steps,
                    weight1: training.weights[0].value(),
                    weight2: training.weights[1].value(),
                },
                moments: std::array::from_fn(|i| moment(4 + i)),
            }),
            random: RandomState {
                seed: self.random.0,
                step: self.random.1,
                layer_number: self.random.2,
                dropout: self.random.3.value(),
            },
        }
    }
}

impl Written {
    /// The file, if there is one.
    fn file(&self) -> Option<Vec<u8>> {
        let tensors: Vec<_> = self.entries.iter().map(EntryCase::tensors).collect();
        let mut entries: Vec<Entry<'_>> =
            self.entries.iter().zip(&tensors).map(|(entry, tensors)| entry.view(tensors)).collect();
        if self.sorted {
            entries.sort_by_key(|entry| (entry.name, entry.id));
            entries.dedup_by_key(|entry| (entry.name, entry.id));
        }
        let Self { metadata, fingerprint, generation, .. } = self;
        emit(&Contents { entries: &entries, metadata, fingerprint: *fingerprint, generation: *generation }).ok()
    }
}
