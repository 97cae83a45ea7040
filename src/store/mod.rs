//! Saving adapter files in two slots of NOR flash, so that a power cut at any moment leaves the old file or the new one.
//!
//! A [`Store`] needs a [`Flash`], two slots of it, and a page of RAM; the file itself is never in RAM as a whole. How long a
//! slot and a page have to be is known when the firmware is built: [`slot_len`], [`page_len`].
//!
//! ```
//! use lowrank::format::{Aligned, Contents, Layer, Outline, encoded_len};
//! use lowrank::store::{Flash, Store, page_len, slot_len};
//! use lowrank::{Adapter, Dtype, MatRef, Scale, Shape};
//!
//! const LAYER: Outline = Outline::new("fc1", Shape::new(2, 3, 1), Dtype::F32); // inputs, outputs, rank
//! const FILE: usize = encoded_len(&[LAYER], 0).unwrap();
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
//! let layer = Layer { scale: Scale::Alpha(2.0), ..Layer::of("fc1", &adapter) };
//! store.save(&Contents { layers: &[layer], metadata: "", fingerprint: 0, generation: 0 })?;
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
mod write;

pub use error::StoreError;
pub use flash::Flash;
pub use slot::{page_len, slot_len};

use core::ops::Range;

use crate::format::crc::Crc;
use crate::format::header::{HEADER, Header};
use crate::format::{AdapterFile, Contents};
use flash::{Device, GRAIN};
use seal::{MARKS, SEALS, Seals, candidates, latest};
use slot::Slot;

/// Where a file lies.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// The slot: 0 or 1.
    pub slot: usize,
    /// The address of its first byte.
    pub at: u32,
    /// Bytes of the file.
    pub len: usize,
    /// The [generation](AdapterFile::generation) of the file.
    pub generation: u32,
}

impl Stored {
    /// The bytes of the flash that hold the file. They stay as they are until a newer file has been saved and the next save
    /// begins.
    pub const fn range(&self) -> Range<usize> {
        let at = self.at as usize;
        at..at.saturating_add(self.len)
    }
}

/// Two slots of a flash.
#[derive(Debug)]
pub struct Store<'p, F> {
    device: Device<F>,
    slots: [Slot; 2],
    page: &'p mut [u8],
}

/// What is in a slot.
enum Content {
    File(Stored),
    Nothing,
    /// Not a file, or not all of it.
    Broken,
}

/// The newest file, and what the seals of both slots say.
type Found = (Option<Stored>, [Seals; 2]);

impl<'p, F: Flash> Store<'p, F> {
    /// Two slots, each a range of addresses. Nothing is read yet, and whatever is in the slots, it does no harm.
    ///
    /// `page` is working memory, of [`page_len`] bytes or a multiple: more of it means fewer and longer accesses.
    ///
    /// # Errors
    /// [`StoreError::Unaligned`], [`StoreError::Outside`], [`StoreError::TooSmall`], [`StoreError::Overlap`],
    /// [`StoreError::Page`].
    pub fn new(flash: F, slots: [Range<u32>; 2], page: &'p mut [u8]) -> Result<Self, StoreError<F::Error>> {
        let slots = slot::check(&flash, slots)?;
        slot::check_page::<F>(page.len())?;
        Ok(Self { device: Device(flash), slots, page })
    }

    /// The flash.
    pub fn into_flash(self) -> F {
        self.device.0
    }

    /// Bytes of the longest file that fits.
    pub fn capacity(&self) -> usize {
        let [first, second] = self.slots.map(|slot| slot.capacity::<F>());
        first.min(second)
    }

    /// Where the newest file lies, as far as reading can tell. `None` when there is none.
    ///
    /// After a save that was cut in the midst of sealing, the answer may be the old file now and the new one at the next boot,
    /// or the other way round: [`recover`](Self::recover) decides between them.
    ///
    /// # Errors
    /// [`StoreError::Flash`].
    pub fn newest(&mut self) -> Result<Option<Stored>, StoreError<F::Error>> {
        Ok(self.find()?.0)
    }

    /// Where the newest file lies, with all its checksums right. `None` when there is none. A file that was found once is what
    /// every boot finds until something is saved.
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

    /// Copies the newest file into memory, and parses it. `None` when there is none. Numbers in f32 can be used where they are
    /// if `into` starts at a multiple of 4: see [`Aligned`](crate::format::Aligned).
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

    /// Saves a file in place of the older one, and returns where it lies. Its generation is chosen here: that of `contents`
    /// does not matter. What is borrowed from the newest file where it lies may be saved again; nothing may be borrowed from
    /// the older one, which is erased.
    ///
    /// # Errors
    /// Before anything is written: [`StoreError::File`] as [`Contents::encoded_len`], [`StoreError::TooLong`],
    /// [`StoreError::NoSealLeft`]. Later [`StoreError::Flash`] and [`StoreError::Verify`], with the newest file still there;
    /// if it happens in the midst of sealing, the new file may be found instead.
    pub fn save(&mut self, contents: &Contents<'_>) -> Result<Stored, StoreError<F::Error>> {
        let (needed, available) = (contents.encoded_len().map_err(StoreError::File)?, self.capacity());
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

    fn slot(&self, index: usize) -> Slot {
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
