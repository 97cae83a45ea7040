//! The record of an entry in the table of a file: its fields and their meaning.

use core::cmp::Ordering;

use super::entry::{Entry, RandomState, Training};
use super::error::FileError;
use super::extent::{Outline, RECORD, narrow};
use super::fields::{Fields, Read, Write};
use super::flaw::Flaw;
use super::flawed::{all_zero, flawed, to_usize};
use crate::dtype::Dtype;
use crate::lora::{Scale, Shape};
use crate::train::{Clock, Optimizer, Trained};

/// The places of the fields that can be wrong, from the start of the record.
pub(super) mod at {
    pub(crate) const NAME: usize = 0;
    pub(crate) const NAME_LEN: usize = 4;
    pub(crate) const ID: usize = 8;
    pub(super) const INPUTS: usize = 12;
    pub(super) const OUTPUTS: usize = 16;
    pub(super) const RANK: usize = 20;
    pub(super) const MODE: usize = 24;
    pub(crate) const A: usize = 25;
    pub(crate) const B: usize = 26;
    pub(crate) const BIAS: usize = 27;
    pub(crate) const B_BIAS: usize = 28;
    pub(super) const MAGNITUDE: usize = 29;
    pub(crate) const OPTIMIZER: usize = 30;
    pub(super) const FLAGS: usize = 31;
    pub(super) const ALPHA: usize = 32;
    pub(super) const SCALE: usize = 36;
    pub(crate) const PAYLOAD: usize = 40;
    pub(super) const STEPS: usize = 48;
    pub(super) const WEIGHTS: [usize; 2] = [56, 60];
    pub(super) const DROPOUT: usize = 80;
    pub(super) const RESERVED: usize = 84;
}

/// Bits of the flags.
const TRAINS_A: u8 = 1;
const TRAINS_BIAS: u8 = 2;
const FAN_IN_FAN_OUT: u8 = 4;

/// The fields of a record. Numbers in binary32 are kept as bits.
#[derive(Copy, Clone, Debug, Default)]
pub(super) struct Record {
    pub name_at: u32,
    pub name_len: u32,
    pub id: u32,
    pub inputs: u32,
    pub outputs: u32,
    pub rank: u32,
    mode: u8,
    a: u8,
    b: u8,
    bias: u8,
    b_bias: u8,
    magnitude: u8,
    optimizer: u8,
    flags: u8,
    alpha: u32,
    scale: u32,
    pub payload_at: u64,
    steps: u64,
    weights: [u32; 2],
    seed: u64,
    step: u32,
    layer_number: u32,
    dropout: u32,
    reserved: [u8; 12],
}

/// The key that entries are sorted by.
#[derive(Copy, Clone, Debug)]
pub(super) struct Key<'a> {
    pub name: &'a [u8],
    pub id: u32,
}

impl Key<'_> {
    /// Checks that the entry comes behind the entry before it. For errors, `start` is that of its record.
    pub(super) fn check_after(self, previous: Option<Key<'_>>, start: usize) -> Result<(), FileError> {
        match previous.map(|previous| (previous.name.cmp(self.name), previous.id)) {
            Some((Ordering::Greater, _)) => Err(flawed(start + at::NAME, Flaw::Order)),
            Some((Ordering::Equal, id)) if id >= self.id => Err(flawed(start + at::ID, Flaw::Order)),
            _ => Ok(()),
        }
    }
}

/// The places where the name and the payload of the next entry have to start.
#[derive(Copy, Clone, Debug)]
pub(super) struct Place {
    pub name: u64,
    pub payload: u64,
}

impl Place {
    /// Checks that name and payload of the entry start here, and returns the places of those of the next entry.
    pub(super) fn after(self, record: &Record, outline: &Outline, start: usize) -> Result<Self, FileError> {
        if u64::from(record.name_at) != self.name {
            return Err(flawed(start + at::NAME, Flaw::Offset { expected: to_usize(self.name) }));
        }
        if record.payload_at != self.payload {
            return Err(flawed(start + at::PAYLOAD, Flaw::Offset { expected: to_usize(self.payload) }));
        }
        match outline.payload().and_then(|bytes| self.payload.checked_add(bytes)) {
            Some(payload) => Ok(Self { name: self.name + u64::from(record.name_len), payload }),
            None => Err(flawed(start + at::PAYLOAD, Flaw::Outside)),
        }
    }
}

/// The content of a record, without the places of its parts.
#[derive(Copy, Clone, Debug)]
pub(super) struct Meaning {
    pub outline: Outline,
    pub scale: Scale,
    pub clock: Clock,
    pub fan_in_fan_out: bool,
    pub random: RandomState,
}

impl Record {
    fn fields(&mut self, f: &mut impl Fields) {
        f.u32(&mut self.name_at);
        f.u32(&mut self.name_len);
        f.u32(&mut self.id);
        f.u32(&mut self.inputs);
        f.u32(&mut self.outputs);
        f.u32(&mut self.rank);
        f.u8(&mut self.mode);
        f.u8(&mut self.a);
        f.u8(&mut self.b);
        f.u8(&mut self.bias);
        f.u8(&mut self.b_bias);
        f.u8(&mut self.magnitude);
        f.u8(&mut self.optimizer);
        f.u8(&mut self.flags);
        f.u32(&mut self.alpha);
        f.u32(&mut self.scale);
        f.u64(&mut self.payload_at);
        f.u64(&mut self.steps);
        f.u32(&mut self.weights[0]);
        f.u32(&mut self.weights[1]);
        f.u64(&mut self.seed);
        f.u32(&mut self.step);
        f.u32(&mut self.layer_number);
        f.u32(&mut self.dropout);
        f.bytes(&mut self.reserved);
    }

    pub(super) fn read(bytes: &[u8]) -> Self {
        let mut record = Self::default();
        record.fields(&mut Read(bytes));
        record
    }

    pub(super) fn write(mut self) -> [u8; RECORD] {
        let mut bytes = [0; RECORD];
        self.fields(&mut Write(&mut bytes));
        bytes
    }

    /// Becomes the record of an entry, wherever its name and its payload will lie. For errors, `start` is that of the record.
    pub(super) fn describe(&mut self, entry: &Entry<'_>, start: usize) -> Result<(), FileError> {
        let field = |at: usize, size: usize| narrow(size as u64).ok_or(flawed(start + at, Flaw::TooLarge));
        let Shape { inputs, outputs, rank } = entry.shape();
        let (mode, alpha) = scale_fields(entry.scale);
        let RandomState { seed, step, layer_number, dropout } = entry.random;
        *self = Self::default();
        self.name_len = field(at::NAME_LEN, entry.name.len())?;
        self.id = entry.id;
        self.inputs = field(at::INPUTS, inputs)?;
        self.outputs = field(at::OUTPUTS, outputs)?;
        self.rank = field(at::RANK, rank)?;
        self.mode = mode;
        self.a = dtype_code(Some(entry.a.dtype()));
        self.b = dtype_code(Some(entry.b.dtype()));
        self.bias = dtype_code(entry.bias.map(|bias| bias.dtype()));
        self.b_bias = dtype_code(entry.b_bias.map(|bias| bias.dtype()));
        self.flags = if entry.fan_in_fan_out { FAN_IN_FAN_OUT } else { 0 };
        self.alpha = alpha.to_bits();
        self.scale = entry.scale.factor(rank).to_bits();
        (self.seed, self.step, self.layer_number) = (seed, step, layer_number);
        self.dropout = dropout.to_bits();
        if let Some(Training { optimizer, trained, clock, .. }) = entry.training {
            self.optimizer = optimizer_code(optimizer);
            self.flags |= if trained.a { TRAINS_A } else { 0 } | if trained.bias { TRAINS_BIAS } else { 0 };
            self.steps = clock.steps;
            self.weights = [clock.weight1.to_bits(), clock.weight2.to_bits()];
        }
        Ok(())
    }

    /// Checks every field except the offsets. For errors, `start` is that of the record.
    pub(super) fn meaning(&self, start: usize) -> Result<Meaning, FileError> {
        let fail = |at: usize, flaw| Err(flawed(start + at, flaw));
        let sizes = [(at::INPUTS, self.inputs), (at::OUTPUTS, self.outputs), (at::RANK, self.rank)];
        if let Some((at, _)) = sizes.into_iter().find(|size| size.1 == 0) {
            return fail(at, Flaw::Zero);
        }
        let shape = Shape::new(self.inputs as usize, self.outputs as usize, self.rank as usize);
        let scale = self.scale(start, shape.rank)?;
        if self.magnitude != 0 {
            return fail(at::MAGNITUDE, Flaw::NotZero { got: self.magnitude });
        }
        let random = RandomState {
            seed: self.seed,
            step: self.step,
            layer_number: self.layer_number,
            dropout: finite(start + at::DROPOUT, self.dropout)?,
        };
        if !(0.0..1.0).contains(&random.dropout) {
            return fail(at::DROPOUT, Flaw::Probability { got: random.dropout });
        }
        all_zero(start + at::RESERVED, &self.reserved, |got| Flaw::NotZero { got })?;
        let (training, clock) = self.training(start)?;
        let outline = Outline {
            name: self.name_len as usize,
            shape,
            a: needed_dtype(start + at::A, self.a)?,
            b: needed_dtype(start + at::B, self.b)?,
            bias: dtype(start + at::BIAS, self.bias)?,
            b_bias: dtype(start + at::B_BIAS, self.b_bias)?,
            training,
        };
        if outline.bias.is_none() && self.flags & TRAINS_BIAS != 0 {
            return fail(at::FLAGS, Flaw::NoBias);
        }
        Ok(Meaning { outline, scale, clock, fan_in_fan_out: self.flags & FAN_IN_FAN_OUT != 0, random })
    }

    fn scale(&self, start: usize, rank: usize) -> Result<Scale, FileError> {
        let alpha = finite(start + at::ALPHA, self.alpha)?;
        let scale = match self.mode {
            0 => Scale::Direct(alpha),
            1 => Scale::Alpha(alpha),
            2 => Scale::RankStabilized(alpha),
            got => return Err(flawed(start + at::MODE, Flaw::Code { got })),
        };
        let (expected, got) = (scale.factor(rank), finite(start + at::SCALE, self.scale)?);
        if expected.to_bits() == self.scale {
            Ok(scale)
        } else {
            Err(flawed(start + at::SCALE, Flaw::Scale { expected, got }))
        }
    }

    fn training(&self, start: usize) -> Result<(Option<(Optimizer, Trained)>, Clock), FileError> {
        let trained = Trained { a: self.flags & TRAINS_A != 0, bias: self.flags & TRAINS_BIAS != 0 };
        let optimizer = match self.optimizer {
            0 => None,
            1 => Some(Optimizer::Momentum),
            2 => Some(Optimizer::AdamW),
            3 => Some(Optimizer::Sgd),
            4 => Some(Optimizer::InPlace),
            got => return Err(flawed(start + at::OPTIMIZER, Flaw::Code { got })),
        };
        let known = if optimizer.is_some() { TRAINS_A | TRAINS_BIAS | FAN_IN_FAN_OUT } else { FAN_IN_FAN_OUT };
        if self.flags & !known != 0 {
            return Err(flawed(start + at::FLAGS, Flaw::Code { got: self.flags }));
        }
        let [weight1, weight2] = self.weights;
        if optimizer.is_none() {
            let unused = |at: usize, bytes: &[u8]| all_zero(start + at, bytes, |got| Flaw::NotZero { got });
            unused(at::STEPS, &self.steps.to_le_bytes())?;
            unused(at::WEIGHTS[0], &weight1.to_le_bytes())?;
            unused(at::WEIGHTS[1], &weight2.to_le_bytes())?;
        }
        let clock = Clock {
            steps: self.steps,
            weight1: finite(start + at::WEIGHTS[0], weight1)?,
            weight2: finite(start + at::WEIGHTS[1], weight2)?,
        };
        Ok((optimizer.map(|optimizer| (optimizer, trained)), clock))
    }
}

const fn scale_fields(scale: Scale) -> (u8, f32) {
    match scale {
        Scale::Direct(s) => (0, s),
        Scale::Alpha(alpha) => (1, alpha),
        Scale::RankStabilized(alpha) => (2, alpha),
    }
}

const fn optimizer_code(optimizer: Optimizer) -> u8 {
    match optimizer {
        Optimizer::Momentum => 1,
        Optimizer::AdamW => 2,
        Optimizer::Sgd => 3,
        Optimizer::InPlace => 4,
    }
}

const fn dtype_code(dtype: Option<Dtype>) -> u8 {
    match dtype {
        None => 0,
        Some(Dtype::F32) => 1,
        Some(Dtype::F16) => 2,
        Some(Dtype::Bf16) => 3,
    }
}

fn dtype(at: usize, code: u8) -> Result<Option<Dtype>, FileError> {
    match code {
        0 => Ok(None),
        1 => Ok(Some(Dtype::F32)),
        2 => Ok(Some(Dtype::F16)),
        3 => Ok(Some(Dtype::Bf16)),
        got => Err(flawed(at, Flaw::Code { got })),
    }
}

fn needed_dtype(at: usize, code: u8) -> Result<Dtype, FileError> {
    dtype(at, code)?.ok_or(flawed(at, Flaw::Code { got: code }))
}

fn finite(at: usize, bits: u32) -> Result<f32, FileError> {
    let value = f32::from_bits(bits);
    if value.is_finite() { Ok(value) } else { Err(flawed(at, Flaw::NonFinite)) }
}
