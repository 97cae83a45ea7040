//! The adapter file: the adapters of many layers in one run of bytes, made to be used from flash where it lies.
//!
//! [`AdapterFile::parse`] verifies bytes and gives borrowed [`Layer`]s; [`Contents`] is what is to be written;
//! [`encoded_len`] says how long a file will be, as a constant.
//!
//! ```
//! use lowrank::format::{AdapterFile, Aligned, Contents, Layer, Outline, RandomState, Training, encoded_len};
//! use lowrank::train::{Optimizer, Plan, Trained, init};
//! use lowrank::{Backend, Base, Dtype, MatMut, MatRef, Saved, Scale, Shape, forward};
//!
//! const SHAPE: Shape = Shape::new(2, 3, 1); // inputs, outputs, rank
//! const PLAN: Plan = Plan::training(SHAPE, 1, Optimizer::AdamW);
//! const LAYER: Outline =
//!     Outline { training: Some((Optimizer::AdamW, Trained::DEFAULT)), ..Outline::new("fc1", SHAPE, Dtype::F32) };
//! const LEN: usize = encoded_len(&[LAYER], 0).unwrap();
//!
//! let mut arena = [0.0; PLAN.len()];
//! let mut work = PLAN.split(&mut arena)?;
//! init::kaiming_uniform(&mut work.adapter, 42, 0)?;
//! work.state.clock.steps = 17; // as after 17 steps
//!
//! // Write: the adapter, the state of its optimizer, where its random numbers stand.
//! let layer = Layer {
//!     scale: Scale::Alpha(8.0),
//!     training: Some(Training::of(&work.state, Optimizer::AdamW, Trained::DEFAULT)),
//!     random: RandomState { seed: 42, step: 17, ..RandomState::default() },
//!     ..Layer::of("fc1", &work.adapter.as_ref())
//! };
//! let mut flash = Aligned([0xff; LEN]);
//! Contents { layers: &[layer], metadata: "", fingerprint: 0, generation: 1 }.emit(&mut flash.0)?;
//!
//! // Read, and use where it lies.
//! let file = AdapterFile::parse(&flash.0)?;
//! let layer = file.find("fc1").unwrap();
//! let adapter = layer.adapter().unwrap();
//! let base = Base { weights: MatRef::from_rows(&[[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]]).into(), bias: None };
//! let (mut memory, mut y) = ([0.0; 1], [[0.0; 3]]);
//! let mut saved = Saved::inference(&mut memory, layer.shape(), 1)?;
//! let x = MatRef::from_rows(&[[3.0, 4.0]]);
//! forward(Backend::BASELINE, &base, &adapter, x, MatMut::from_rows(&mut y), &mut saved)?;
//!
//! // Or copy, and train on.
//! let mut arena = [0.0; PLAN.len()];
//! let mut resumed = PLAN.split(&mut arena)?;
//! layer.load(&mut resumed.adapter)?;
//! layer.training.unwrap().restore(&mut resumed.state)?;
//! assert_eq!((resumed.adapter.scale, resumed.state.clock.steps), (8.0, 17));
//! # Ok::<(), lowrank::Error>(())
//! ```
#![doc = include_str!("format.md")]

pub(crate) mod crc;
mod emit;
mod extent;
mod fields;
mod fingerprint;
pub(crate) mod header;
mod layer;
mod parse;
mod table;
mod tensor;

pub use emit::{Contents, StreamError};
pub use extent::{Outline, encoded_len};
pub use fingerprint::Fingerprint;
pub use layer::{Layer, RandomState, Training};
pub use parse::{AdapterFile, Layers};
pub use tensor::Tensor;

use crate::error::{Error, Flaw};

/// Something at a multiple of 16, as a file wants to lie: its numbers can be used in place then.
///
/// ```
/// use lowrank::format::Aligned;
/// // static FILE: Aligned<[u8; 1234]> = Aligned(*include_bytes!("adapter.lowrank"));
/// static FILE: Aligned<[u8; 5]> = Aligned([0; 5]);
/// assert_eq!(FILE.0.as_ptr().addr() % 16, 0);
/// ```
#[derive(Copy, Clone, Debug)]
#[repr(C, align(16))]
pub struct Aligned<T>(pub T);

/// Something is wrong at this byte of a file.
const fn flawed(at: usize, flaw: Flaw) -> Error {
    Error::File { at, flaw }
}

/// Checks bytes that have to be 0. `start` is where they are, for errors.
fn all_zero(start: usize, bytes: &[u8], flaw: impl Fn(u8) -> Flaw) -> Result<(), Error> {
    match bytes.iter().enumerate().find(|(_, byte)| **byte != 0) {
        Some((at, &got)) => Err(flawed(start + at, flaw(got))),
        None => Ok(()),
    }
}

/// For errors: what does not fit is as large as it gets.
fn to_usize(n: u64) -> usize {
    usize::try_from(n).unwrap_or(usize::MAX)
}
