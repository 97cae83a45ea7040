//! The steps of a save: a slot is erased, then gets the file without its header, then the header, then the seal.

use super::error::StoreError;
use super::flash::{Access, Device, Flash, GRAIN};
use super::seal::{MARKS, SEALS, mark};
use super::slot::{head_len, mark_len};
use super::slots::Store;
use crate::format::header::HEADER;
use crate::format::{Contents, StreamError};

impl<F: Flash> Store<'_, F> {
    /// Erases a slot, and checks that it has no seal.
    pub(super) fn erase(&mut self, slot: usize) -> Result<(), StoreError<F::Error>> {
        let slot = self.slot(slot);
        self.device.erase(slot.start, slot.end)?;
        for seal in 0..SEALS {
            for place in 0..MARKS {
                self.device.expect(slot.mark_at::<F>(seal, place), &[0xff; GRAIN])?;
            }
        }
        Ok(())
    }

    /// Runs an operation on every piece of the file at its place in a slot, and at the end on the write units that hold its header.
    // Inlined, the frames of both passes lie on the stack at once: 700 bytes more on thumbv7em.
    #[inline(never)]
    pub(super) fn file_pieces(
        &mut self,
        slot: usize,
        contents: &Contents<'_>,
        each: Access<F>,
    ) -> Result<(), StoreError<F::Error>> {
        let start = self.slot(slot).start;
        let (head, body) = self.page.split_at_mut_checked(head_len::<F>()).unwrap_or_default();
        let at = start + head.len() as u32;
        let mut out = Out { device: &mut self.device, each, head, in_head: HEADER, body, in_body: 0, at };
        let header = contents.stream(|piece| out.put(piece)).map_err(|error| match error {
            StreamError::Contents(error) => StoreError::Contents(error),
            StreamError::Sink(error) => error,
        })?;
        out.flush()?;
        out.finish(start, &header)
    }

    /// Programs a seal that is blank, one mark after the other. Each mark is verified before the next one is begun.
    pub(super) fn seal(&mut self, slot: usize, seal: usize, number: u32) -> Result<(), StoreError<F::Error>> {
        let slot = self.slot(slot);
        let mark = mark(number);
        let unit = self.page.get_mut(..mark_len::<F>()).unwrap_or_default();
        unit.fill(0xff);
        unit.iter_mut().zip(mark).for_each(|(to, byte)| *to = byte);
        for place in 0..MARKS {
            let at = slot.mark_at::<F>(seal, place);
            self.device.program(at, unit)?;
            self.device.expect(at, &mark)?;
        }
        Ok(())
    }
}

/// Collects the bytes of a file behind its header into pieces of the length of `body`.
struct Out<'o, F: Flash> {
    device: &'o mut Device<F>,
    each: Access<F>,
    /// Returns the write units with the header, which come last.
    head: &'o mut [u8],
    in_head: usize,
    body: &'o mut [u8],
    in_body: usize,
    at: u32,
}

impl<F: Flash> Out<'_, F> {
    fn put(&mut self, bytes: &[u8]) -> Result<(), StoreError<F::Error>> {
        for &byte in bytes {
            if let Some(to) = self.head.get_mut(self.in_head) {
                *to = byte;
                self.in_head += 1;
                continue;
            }
            if let Some(to) = self.body.get_mut(self.in_body) {
                *to = byte;
                self.in_body += 1;
            }
            if self.in_body == self.body.len() {
                self.flush()?;
            }
        }
        Ok(())
    }

    /// Returns the collected bytes, and ones up to the end of the write unit.
    fn flush(&mut self) -> Result<(), StoreError<F::Error>> {
        let len = self.in_body.next_multiple_of(F::WRITE);
        let Some(bytes) = self.body.get_mut(..len).filter(|bytes| !bytes.is_empty()) else { return Ok(()) };
        bytes.iter_mut().skip(self.in_body).for_each(|byte| *byte = 0xff);
        (self.each)(self.device, self.at, bytes)?;
        self.at += len as u32;
        self.in_body = 0;
        Ok(())
    }

    fn finish(self, start: u32, header: &[u8; HEADER]) -> Result<(), StoreError<F::Error>> {
        self.head.iter_mut().zip(header).for_each(|(to, &byte)| *to = byte);
        self.head.iter_mut().skip(self.in_head).for_each(|to| *to = 0xff);
        (self.each)(self.device, start, self.head)
    }
}
