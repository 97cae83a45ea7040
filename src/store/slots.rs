//! The store: two slots of flash, of which one has the newest file.

use core::ops::Range;

use super::error::StoreError;
use super::flash::{Device, Flash, GRAIN};
use super::seal::{MARKS, SEALS, Seals, candidates, latest};
use super::slot::{self, Slot};
use crate::format::crc::Crc;
use crate::format::header::{HEADER, Header};
use crate::format::{AdapterFile, Contents};

/// The place of a file.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// The file is in this slot, 0 or 1.
    pub slot: usize,
    /// The first byte of the file has this address.
    pub at: u32,
    /// The file has so many bytes.
    pub len: usize,
    /// The file has this [generation](AdapterFile::generation).
    pub generation: u32,
}

impl Stored {
    /// Returns the bytes of the flash that hold the file. They stay as they are until a newer file has been saved and the next save
    /// begins.
    pub const fn range(&self) -> Range<usize> {
        let at = self.at as usize;
        at..at.saturating_add(self.len)
    }
}

/// Two slots of a flash.
#[derive(Debug)]
pub struct Store<'p, F> {
    pub(super) device: Device<F>,
    pub(super) slots: [Slot; 2],
    pub(super) page: &'p mut [u8],
}

/// The content of a slot.
enum Content {
    File(Stored),
    Nothing,
    /// The slot holds no file, or not all of it.
    Broken,
}

/// The newest file, and the seals of both slots.
type Found = (Option<Stored>, [Seals; 2]);

impl<'p, F: Flash> Store<'p, F> {
    /// Opens two slots, each a range of addresses. Nothing is read yet, and any content of the slots is harmless.
    ///
    /// `page` is working memory of [`page_len`](super::page_len) bytes or a multiple. A longer page makes fewer and longer accesses.
    ///
    /// # Errors
    /// [`StoreError::Unaligned`], [`StoreError::Outside`], [`StoreError::TooSmall`], [`StoreError::Overlap`],
    /// [`StoreError::Page`].
    pub fn new(flash: F, slots: [Range<u32>; 2], page: &'p mut [u8]) -> Result<Self, StoreError<F::Error>> {
        let slots = slot::check(&flash, slots)?;
        slot::check_page::<F>(page.len())?;
        Ok(Self { device: Device(flash), slots, page })
    }

    /// Returns the flash.
    pub fn into_flash(self) -> F {
        self.device.0
    }

    /// Returns the bytes of the longest file that fits.
    pub fn capacity(&self) -> usize {
        let [first, second] = self.slots.map(|slot| slot.capacity::<F>());
        first.min(second)
    }

    /// Returns the place of the newest file, as far as reading can tell, and `None` when there is none.
    ///
    /// After a save that was cut in the midst of sealing, the answer may be the old file now and the new one at the next boot,
    /// or the other way round: [`recover`](Self::recover) decides between them.
    ///
    /// # Errors
    /// [`StoreError::Flash`].
    pub fn newest(&mut self) -> Result<Option<Stored>, StoreError<F::Error>> {
        Ok(self.find()?.0)
    }

    /// Returns the place of the newest file, whose checksums are all right, and `None` when there is none. Every later boot finds the same
    /// file until something is saved.
    ///
    /// If a save was cut in the midst of sealing, another seal is programmed; otherwise nothing is.
    ///
    /// # Errors
    /// [`StoreError::Flash`]. When another seal is needed: [`StoreError::Verify`], [`StoreError::NoSealLeft`]; then
    /// [`newest`](Self::newest) still finds the file.
    pub fn recover(&mut self) -> Result<Option<Stored>, StoreError<F::Error>> {
        let (newest, seals) = self.find()?;
        if let Some(newest) = newest {
            self.settle(newest, &seals)?;
        }
        Ok(newest)
    }

    /// Copies the newest file into memory, and parses it. The result is `None` when there is none. Numbers in f32 can be used where they
    /// lie if `into` starts at a multiple of 4: see [`Aligned`](crate::format::Aligned).
    ///
    /// It is the file of [`recover`](Self::recover), or that of [`newest`](Self::newest) when another seal is needed and fails.
    ///
    /// # Errors
    /// [`StoreError::Flash`] when it cannot be read; [`StoreError::TooLong`] when `into` is too short; [`StoreError::File`] when
    /// the checksums are right and the file is not.
    pub fn load<'b>(&mut self, into: &'b mut [u8]) -> Result<Option<AdapterFile<'b>>, StoreError<F::Error>> {
        let stored = self.recover().or_else(|_| self.newest())?;
        let Some(Stored { at, len, .. }) = stored else { return Ok(None) };
        let available = into.len();
        let bytes = into.get_mut(..len).ok_or(StoreError::TooLong { needed: len, available })?;
        self.device.read(at, bytes)?;
        AdapterFile::parse(bytes).map(Some).map_err(StoreError::File)
    }

    /// Saves a file in the place of the older one, and returns its place. The store chooses its generation, and ignores that of
    /// `contents`. An entry that borrows from the newest file where it lies may be saved again. Nothing may borrow from the older file,
    /// which is erased.
    ///
    /// # Errors
    /// Before anything is written: [`StoreError::Contents`] as [`Contents::encoded_len`], [`StoreError::TooLong`],
    /// [`StoreError::NoSealLeft`]. Later [`StoreError::Flash`] and [`StoreError::Verify`], with the newest file still there;
    /// if it happens in the midst of sealing, the new file may be found instead.
    pub fn save(&mut self, contents: &Contents<'_>) -> Result<Stored, StoreError<F::Error>> {
        let (needed, available) = (contents.encoded_len().map_err(StoreError::Contents)?, self.capacity());
        if needed > available {
            return Err(StoreError::TooLong { needed, available });
        }
        let (newest, seals) = self.find()?;
        let (slot, number) = match newest {
            Some(newest) => (usize::from(newest.slot == 0), self.settle(newest, &seals)?),
            None => (0, self.keep_nothing(&seals)?),
        };
        let generation = number.wrapping_add(1);
        let contents = Contents { generation, ..*contents };
        self.erase(slot)?;
        self.file_pieces(slot, &contents, Device::program)?;
        self.file_pieces(slot, &contents, Device::expect)?;
        self.seal(slot, 0, generation)?;
        Ok(Stored { slot, at: self.slot(slot).start, len: needed, generation })
    }

    pub(super) fn slot(&self, index: usize) -> Slot {
        let [first, second] = self.slots;
        if index == 0 { first } else { second }
    }

    // Inlined, its frame is there as long as a file is being written.
    #[inline(never)]
    fn find(&mut self) -> Result<Found, StoreError<F::Error>> {
        let seals = [self.seals(0)?, self.seals(1)?];
        for slot in candidates(&seals) {
            match self.content(slot)? {
                Content::File(stored) => return Ok((Some(stored), seals)),
                Content::Nothing => break,
                Content::Broken => {}
            }
        }
        Ok((None, seals))
    }

    fn seals(&mut self, slot: usize) -> Result<Seals, StoreError<F::Error>> {
        let mut seals = Seals::default();
        for index in 0..SEALS {
            let mut marks = [[0; GRAIN]; MARKS];
            for (place, mark) in marks.iter_mut().enumerate() {
                self.device.read(self.slot(slot).mark_at::<F>(index, place), mark)?;
            }
            seals.add(index, &marks);
        }
        Ok(seals)
    }

    fn content(&mut self, slot: usize) -> Result<Content, StoreError<F::Error>> {
        let capacity = self.slot(slot).capacity::<F>();
        let mut at = self.slot(slot).start;
        let mut header = [0; HEADER];
        self.device.read(at, &mut header)?;
        if header == [0xff; HEADER] {
            return Ok(Content::Nothing);
        }
        let Ok(header) = Header::parse(&header) else { return Ok(Content::Broken) };
        let len = usize::try_from(header.length).unwrap_or(usize::MAX);
        if !(HEADER..=capacity).contains(&len) || !len.is_multiple_of(GRAIN) {
            return Ok(Content::Broken);
        }
        let stored = Stored { slot, at, len, generation: header.generation };
        let (mut left, mut crc) = (len - HEADER, Crc::NEW);
        at += HEADER as u32;
        while left > 0 {
            let piece = left.min(self.page.len());
            let Some(bytes) = self.page.get_mut(..piece) else { break };
            self.device.read(at, bytes)?;
            crc.update(bytes);
            (at, left) = (at + piece as u32, left - piece);
        }
        Ok(if crc.finish() == header.payload_crc { Content::File(stored) } else { Content::Broken })
    }

    /// Makes nothing in the second slot stand above what a first save may have begun in the first one, and returns the latest
    /// number of any seal.
    fn keep_nothing(&mut self, seals: &[Seals; 2]) -> Result<u32, StoreError<F::Error>> {
        let [first, second] = seals;
        let number = latest(first.begun, second.begun).unwrap_or(0);
        if second.stand_above(first) {
            return Ok(number);
        }
        let number = number.wrapping_add(1);
        self.erase(1)?;
        self.seal(1, 0, number).map(|()| number)
    }

    /// Makes the newest file stand, and returns the latest number of any seal.
    fn settle(&mut self, newest: Stored, seals: &[Seals; 2]) -> Result<u32, StoreError<F::Error>> {
        let [first, second] = seals;
        let (own, other) = if newest.slot == 0 { (first, second) } else { (second, first) };
        let read = latest(first.begun, second.begun);
        if own.stand_above(other) {
            return Ok(read.unwrap_or(newest.generation));
        }
        let mut result = Err(StoreError::NoSealLeft { slot: newest.slot });
        for (index, number) in own.unused_above(other, newest.generation) {
            let latest_now = latest(read, Some(number)).unwrap_or(number);
            result = self.seal(newest.slot, index, number).map(|()| latest_now);
            if result.is_ok() {
                break;
            }
        }
        result
    }
}
