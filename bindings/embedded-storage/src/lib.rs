//! [`lowrank::Store`] on any flash with a driver for [`embedded_storage`].
//!
//! ```
//! use embedded_storage::nor_flash::NorFlash;
//! use lowrank::format::Contents;
//! use lowrank::store::{Store, StoreError, slot_len};
//! use lowrank_embedded_storage::Driver;
//!
//! /// Saves in the first two slots of a flash, for files of up to 4000 bytes, and reads it back.
//! fn keep<F: NorFlash>(flash: F, contents: &Contents<'_>, memory: &mut [u8; 4000]) -> Result<(), StoreError<F::Error>> {
//!     let slot = const { slot_len::<Driver<F>>(4000).unwrap() } as u32;
//!     let mut page = [0; 512]; // page_len::<Driver<F>>() at least
//!     let mut store = Store::new(Driver(flash), [0..slot, slot..2 * slot], &mut page)?;
//!     store.save(contents)?;
//!     let file = store.load(memory)?;
//!     assert_eq!(file.map(|file| file.fingerprint()), Some(contents.fingerprint));
//!     Ok(())
//! }
//! ```
//!
//! What the store assumes of the hardware is written at [`lowrank::store`]. Of the driver it assumes in addition what
//! [`embedded_storage`] asks for: other words than those that are written stay as they are. One thing is up to the driver:
//! where flash has error correction, words that were being written when the power failed may not be correctable. If the driver
//! returns an error for these, and not just any bytes, then the store cannot read past them, and passes the error on.

#![no_std]
#![forbid(unsafe_code)]

use embedded_storage::nor_flash::NorFlash;
use lowrank::Flash;

/// A driver as a [`Flash`]. Drivers that read 1, 2, 4, 8 or 16 bytes at once will do; a build with another one fails.
#[derive(Copy, Clone, Debug, Default)]
pub struct Driver<F>(pub F);

impl<F: NorFlash> Flash for Driver<F> {
    type Error = F::Error;
    const WRITE: usize = F::WRITE_SIZE;
    const ERASE: usize = F::ERASE_SIZE;

    fn capacity(&self) -> usize {
        self.0.capacity()
    }

    fn read(&mut self, at: u32, into: &mut [u8]) -> Result<(), F::Error> {
        const { assert!(16 % F::READ_SIZE == 0, "READ_SIZE has to divide 16") };
        self.0.read(at, into)
    }

    fn erase(&mut self, from: u32, to: u32) -> Result<(), F::Error> {
        self.0.erase(from, to)
    }

    fn program(&mut self, at: u32, bytes: &[u8]) -> Result<(), F::Error> {
        self.0.write(at, bytes)
    }
}
