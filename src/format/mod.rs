//! The adapter file: the adapters of many layers in one run of bytes, made to be used from flash where it lies.
//!
//! [`AdapterFile::parse`] checks every byte of a file and gives its entries, which borrow from it. [`Contents::emit`] writes a file,
//! and [`encoded_len`] says how long it will be, as a constant. An [`Entry`] is the part of a file that belongs to one layer. It comes from
//! [`Layer::entry`](crate::train::Layer::entry) and goes to [`Layer::resume`](crate::train::Layer::resume).
//!
//! ```
//! use lowrank::format::{Aligned, Outline, encoded_len};
//! use lowrank::train::{Clock, Optimizer, Trained};
//! use lowrank::{AdapterFile, Backend, Base, Contents, Dtype, Plan, Scale, Shape};
//!
//! const SHAPE: Shape = Shape::new(2, 3, 1); // inputs, outputs, rank
//! const PLAN: Plan = Plan::training(SHAPE, 1, Optimizer::AdamW);
//! const ENTRY: Outline =
//!     Outline { training: Some((Optimizer::AdamW, Trained::DEFAULT)), ..Outline::new("fc1", SHAPE, Dtype::F32) };
//! const LEN: usize = encoded_len(&[ENTRY], 0).unwrap();
//! static W: [[f32; 2]; 3] = [[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]];
//!
//! // Write: the adapter, the state of its optimizer, the place in the random numbers of its dropout.
//! let mut arena = [0.0; PLAN.len()];
//! let mut layer = PLAN.layer(Base::rows(&W, None), &mut arena)?;
//! layer.init(Scale::Alpha(8.0), 42, 0)?;
//! layer.set_clock(Clock { steps: 17, ..layer.clock() }); // as after 17 steps
//! let mut flash = Aligned([0xff; LEN]);
//! Contents { entries: &[layer.entry("fc1")?], metadata: "", fingerprint: 0, generation: 1 }.emit(&mut flash.0)?;
//!
//! // Read, and use where it lies.
//! let entry = AdapterFile::parse(&flash.0)?.find("fc1").unwrap();
//! const INFERENCE: Plan = Plan::inference(SHAPE, 1);
//! let (mut arena, mut y) = ([0.0; INFERENCE.len()], [[0.0; 3]]);
//! let mut layer = INFERENCE.adapted(Base::rows(&W, None), entry.adapter().unwrap(), &mut arena)?;
//! layer.forward(Backend::BASELINE, &[[3.0, 4.0]], &mut y)?;
//!
//! // Or copy, and train on.
//! let mut arena = [0.0; PLAN.len()];
//! let mut layer = PLAN.layer(Base::rows(&W, None), &mut arena)?;
//! layer.resume(&entry)?;
//! assert_eq!((layer.scale(), layer.clock().steps), (Some(Scale::Alpha(8.0)), 17));
//! # Ok::<(), Box<dyn core::error::Error>>(())
//! ```
#![doc = include_str!("format.md")]

pub(crate) mod crc;
mod emit;
mod entry;
mod error;
mod extent;
mod fields;
mod fingerprint;
mod flaw;
mod flawed;
pub(crate) mod header;
mod parse;
mod resume;
mod table;
mod tensor;

pub use emit::{Contents, StreamError};
pub use entry::{Entry, RandomState, Training};
pub use error::{EmitError, FileError};
pub use extent::{Outline, encoded_len};
pub use fingerprint::Fingerprint;
pub use flaw::Flaw;
pub use parse::{AdapterFile, Entries};
pub use tensor::Tensor;

/// A value at a multiple of 16. A file that lies in it has numbers that can be used in place.
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
