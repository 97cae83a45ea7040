//! The flash: the few operations that saving needs, and access to it that says where an error was.

use super::StoreError;

/// NOR flash. What is assumed of the hardware behind it is on the page of [`store`](super#what-is-assumed-of-the-flash).
///
/// Addresses are bytes from its start. Callers keep to the multiples below, and within [`capacity`](Self::capacity).
pub trait Flash {
    /// What the driver says when it fails.
    type Error;

    /// Bytes of a write unit: what is programmed at once, and only once between two erases. A power of two.
    const WRITE: usize;

    /// Bytes of a block, which is erased at once. A power of two, and a multiple of [`WRITE`](Self::WRITE).
    const ERASE: usize;

    /// Bytes of the flash.
    fn capacity(&self) -> usize;

    /// Reads bytes. Address and length are multiples of 16.
    ///
    /// # Errors
    /// When nothing is known about the bytes. Bits that hardware cannot correct, as an operation that was cut leaves them in
    /// flash with error correction, are no error: they read as anything.
    fn read(&mut self, at: u32, into: &mut [u8]) -> Result<(), Self::Error>;

    /// Erases whole blocks, from the first address up to and without the second.
    ///
    /// # Errors
    /// When they may not be erased.
    fn erase(&mut self, from: u32, to: u32) -> Result<(), Self::Error>;

    /// Programs whole write units that are erased.
    ///
    /// # Errors
    /// When they may not hold the bytes.
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

/// Bytes that are compared at once.
const COMPARED: usize = 64;

/// Something that is done with bytes at their address.
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

    /// Checks that these bytes are there.
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
