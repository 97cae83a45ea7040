//! Saving adapter files in two slots of NOR flash, so that a power cut at any moment leaves the old file or the new one.
//!
//! A [`Store`] needs a [`Flash`], two slots of it, and a page of RAM. The file itself is never in RAM as a whole. [`slot_len`] and
//! [`page_len`] say how long a slot and a page have to be, as constants of the build.
//!
//! ```
//! use lowrank::format::{Aligned, Contents, Entry, Outline, encoded_len};
//! use lowrank::store::{Flash, Store, page_len, slot_len};
//! use lowrank::{Adapter, Dtype, MatRef, Scale, Shape};
//!
//! const ENTRY: Outline = Outline::new("fc1", Shape::new(2, 3, 1), Dtype::F32); // inputs, outputs, rank
//! const FILE: usize = encoded_len(&[ENTRY], 0).unwrap();
//! const SLOT: usize = slot_len::<Ram>(FILE).unwrap();
//! const CAPACITY: usize = 2 * SLOT; // the linker script sets this aside
//!
//! struct Ram([u8; CAPACITY]);
//!
//! impl Flash for Ram {
//!     type Error = core::convert::Infallible;
//!     const WRITE: usize = 8;
//!     const ERASE: usize = 2048;
//!
//!     fn capacity(&self) -> usize {
//!         CAPACITY
//!     }
//!     fn read(&mut self, at: u32, into: &mut [u8]) -> Result<(), Self::Error> {
//!         into.copy_from_slice(&self.0[at as usize..][..into.len()]);
//!         Ok(())
//!     }
//!     fn erase(&mut self, from: u32, to: u32) -> Result<(), Self::Error> {
//!         self.0[from as usize..to as usize].fill(0xff);
//!         Ok(())
//!     }
//!     fn program(&mut self, at: u32, bytes: &[u8]) -> Result<(), Self::Error> {
//!         self.0[at as usize..][..bytes.len()].copy_from_slice(bytes);
//!         Ok(())
//!     }
//! }
//!
//! let mut page = [0; page_len::<Ram>()];
//! let slots = [0..SLOT as u32, SLOT as u32..CAPACITY as u32];
//! let mut store = Store::new(Ram([0xff; CAPACITY]), slots, &mut page)?;
//!
//! // At boot: copied into RAM,
//! let mut memory = Aligned([0; FILE]);
//! assert!(store.load(&mut memory.0)?.is_none());
//!
//! // after training,
//! let (a, b) = ([[1.0, 2.0]], [[3.0], [4.0], [5.0]]);
//! let adapter = Adapter { a: MatRef::from_rows(&a), b: MatRef::from_rows(&b), bias: None, scale: 2.0 };
//! let entry = Entry { scale: Scale::Alpha(2.0), ..Entry::of("fc1", &adapter) };
//! store.save(&Contents { entries: &[entry], metadata: "", fingerprint: 0, generation: 0 })?;
//!
//! // and at the next boot.
//! let file = store.load(&mut memory.0)?.unwrap();
//! assert_eq!(file.find("fc1").unwrap().adapter().unwrap().b.row(2), [5.0]);
//!
//! // Or used where it lies, if the flash can be addressed: the bytes `stored.range()` of the flash.
//! let stored = store.recover()?.unwrap();
//! assert_eq!((stored.generation, stored.range()), (2, 0..FILE));
//! # Ok::<(), lowrank::store::StoreError<core::convert::Infallible>>(())
//! ```
#![doc = include_str!("store.md")]

mod error;
mod flash;
mod seal;
mod slot;
mod slots;
mod write;

pub use error::StoreError;
pub use flash::Flash;
pub use slot::{page_len, slot_len};
pub use slots::{Store, Stored};
