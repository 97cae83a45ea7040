//! NOR flash played by a region of RAM, since QEMU has none on these boards that a program can erase and write.

use lowrank::Flash;

/// A write unit was programmed twice without an erase between.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct NotErased;

/// Flash with the units of an STM32L4: pages of 2 KiB, double words of 8 bytes.
#[derive(Debug)]
pub struct RamFlash<'m>(pub &'m mut [u8]);

impl Flash for RamFlash<'_> {
    type Error = NotErased;
    const WRITE: usize = 8;
    const ERASE: usize = 2048;

    fn capacity(&self) -> usize {
        self.0.len()
    }

    fn read(&mut self, at: u32, into: &mut [u8]) -> Result<(), NotErased> {
        into.copy_from_slice(&self.0[at as usize..][..into.len()]);
        Ok(())
    }

    fn erase(&mut self, from: u32, to: u32) -> Result<(), NotErased> {
        self.0[from as usize..to as usize].fill(0xff);
        Ok(())
    }

    fn program(&mut self, at: u32, bytes: &[u8]) -> Result<(), NotErased> {
        let cells = &mut self.0[at as usize..][..bytes.len()];
        if cells.iter().any(|&cell| cell != 0xff) {
            return Err(NotErased);
        }
        cells.copy_from_slice(bytes);
        Ok(())
    }
}
