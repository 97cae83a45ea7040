//! The flash: the few operations that a save needs, and access that gives every error its address.

use super::error::StoreError;

/// NOR flash. The page of [`store`](super#what-is-assumed-of-the-flash) has the assumptions about the hardware.
///
/// Addresses count bytes from the start of the flash. Callers keep to the multiples below, and within [`capacity`](Self::capacity).
pub trait Flash {
    /// The driver fails with errors of this type.
    type Error;

    /// A write unit has so many bytes, a power of two. It is programmed at once, and only once between two erases.
    const WRITE: usize;

    /// A block has so many bytes, a power of two and a multiple of [`WRITE`](Self::WRITE). It is erased at once.
    const ERASE: usize;

    /// Returns the bytes of the flash.
    fn capacity(&self) -> usize;

    /// Reads bytes. Address and length are multiples of 16.
    ///
    /// # Errors
    /// The driver fails when nothing is known about the bytes. An operation that was cut may leave bits that the hardware cannot correct.
    /// They are no error: they may read as anything.
    fn read(&mut self, at: u32, into: &mut [u8]) -> Result<(), Self::Error>;

    /// Erases whole blocks, from the first address up to and without the second.
    ///
    /// # Errors
    /// The driver fails when the blocks may not be erased.
    fn erase(&mut self, from: u32, to: u32) -> Result<(), Self::Error>;

    /// Programs whole write units that are erased.
    ///
    /// # Errors
    /// The driver fails when the units may not hold the bytes.
    fn program(&mut self, at: u32, bytes: &[u8]) -> Result<(), Self::Error>;
}

impl<F: Flash> Flash for &mut F {
    type Error = F::Error;
    const WRITE: usize = F::WRITE;
    const ERASE: usize = F::ERASE;

    fn capacity(&self) -> usize {
        F::capacity(self)
    }

    fn read(&mut self, at: u32, into: &mut [u8]) -> Result<(), F::Error> {
        F::read(self, at, into)
    }

    fn erase(&mut self, from: u32, to: u32) -> Result<(), F::Error> {
        F::erase(self, from, to)
    }

    fn program(&mut self, at: u32, bytes: &[u8]) -> Result<(), F::Error> {
        F::program(self, at, bytes)
    }
}

/// Address and length of every read are multiples of this.
pub(super) const GRAIN: usize = 16;

/// So many bytes are compared at once.
const COMPARED: usize = 64;

/// An operation on bytes at their address.
pub(super) type Access<F> = fn(&mut Device<F>, u32, &[u8]) -> Result<(), StoreError<<F as Flash>::Error>>;

/// A flash whose errors have an address.
#[derive(Debug)]
pub(super) struct Device<F>(pub F);

impl<F: Flash> Device<F> {
    pub(super) fn read(&mut self, at: u32, into: &mut [u8]) -> Result<(), StoreError<F::Error>> {
        self.0.read(at, into).map_err(|error| StoreError::Flash { at, error })
    }

    pub(super) fn erase(&mut self, from: u32, to: u32) -> Result<(), StoreError<F::Error>> {
        self.0.erase(from, to).map_err(|error| StoreError::Flash { at: from, error })
    }

    pub(super) fn program(&mut self, at: u32, bytes: &[u8]) -> Result<(), StoreError<F::Error>> {
        self.0.program(at, bytes).map_err(|error| StoreError::Flash { at, error })
    }

    /// Checks that the flash holds these bytes.
    pub(super) fn expect(&mut self, mut at: u32, bytes: &[u8]) -> Result<(), StoreError<F::Error>> {
        for expected in bytes.chunks(COMPARED) {
            let mut room = [0; COMPARED];
            let Some(got) = room.get_mut(..expected.len()) else { break };
            self.read(at, got)?;
            if let Some(index) = got.iter().zip(expected).position(|(got, expected)| got != expected) {
                return Err(StoreError::Verify { at: at.saturating_add(index as u32) });
            }
            at = at.saturating_add(COMPARED as u32);
        }
        Ok(())
    }
}
