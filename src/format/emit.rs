//! From layers to bytes.

use core::convert::Infallible;

use super::crc::Crc;
use super::extent::{ALIGN, ENTRY, Extent, Outline, PARTS, addressable, narrow};
use super::header::{self, HEADER, Header};
use super::layer::is_empty;
use super::table::{self, Entry, Key, Place};
use super::{Layer, flawed};
use crate::error::{Argument, Error, Flaw};

/// What is to be written into an adapter file.
#[derive(Copy, Clone, Debug)]
pub struct Contents<'a> {
    /// Ascending by name and then by id.
    pub layers: &'a [Layer<'a>],
    /// Text that this crate does not interpret; may be empty.
    pub metadata: &'a str,
    /// The fingerprint of the base that the adapters belong to (see [`Fingerprint`](super::Fingerprint)); 0 when it is not
    /// known.
    pub fingerprint: u64,
    /// The number of the save. It wraps.
    pub generation: u32,
}

/// Why a file was not streamed to its end.
#[derive(Copy, Clone, Debug, PartialEq)]
pub enum StreamError<E> {
    /// The contents are not those of a file. Nothing has been given to the sink.
    Contents(Error),
    /// What the sink said.
    Sink(E),
}

impl Contents<'_> {
    /// Bytes of the file. Everything is checked.
    ///
    /// # Errors
    /// [`Error::File`] with the place that the flaw would have in the file; [`Error::Overflow`] when the file does not fit
    /// into the address space.
    pub fn encoded_len(&self) -> Result<usize, Error> {
        let end = self.check()?.payload;
        addressable(end).ok_or(Error::Overflow { argument: Argument::File })
    }

    /// Writes the file to the start of `out` and returns its length. What lies behind it stays as it is.
    ///
    /// # Errors
    /// As [`encoded_len`](Self::encoded_len); [`Error::TooMany`] when `out` is too short. Nothing is written then.
    pub fn emit(&self, out: &mut [u8]) -> Result<usize, Error> {
        let (got, at_most) = (self.encoded_len()?, out.len());
        let Some((first, mut rest)) = out.get_mut(..got).and_then(<[u8]>::split_first_chunk_mut::<HEADER>) else {
            return Err(Error::TooMany { argument: Argument::File, at_most, got });
        };
        let header = self.stream(|piece| -> Result<(), Infallible> {
            if let Some((to, after)) = core::mem::take(&mut rest).split_at_mut_checked(piece.len()) {
                to.iter_mut().zip(piece).for_each(|(to, &byte)| *to = byte);
                rest = after;
            }
            Ok(())
        });
        match header {
            Ok(header) => *first = header,
            Err(StreamError::Contents(error)) => return Err(error),
        }
        Ok(got)
    }

    /// Gives the bytes from 64 on to `sink` in their order: 64 at a time, and at the end fewer, a multiple of 16. Then returns
    /// the first 64 bytes, the header: the first in the file and the last in time, so that a file which was not written to
    /// its end has no header.
    ///
    /// # Errors
    /// [`StreamError::Contents`] as [`encoded_len`](Self::encoded_len), before the sink gets anything;
    /// [`StreamError::Sink`] as soon as it fails.
    pub fn stream<E>(&self, sink: impl FnMut(&[u8]) -> Result<(), E>) -> Result<[u8; HEADER], StreamError<E>> {
        let length = self.encoded_len().map_err(StreamError::Contents)?;
        let mut out = Out { piece: [0; PIECE], filled: 0, crc: Crc::NEW, sink };
        self.table(&mut out)?;
        self.texts_and_payload(&mut out).map_err(StreamError::Sink)?;
        self.header(length, out.crc.finish()).map_err(StreamError::Contents)
    }

    /// Puts all entries.
    // A frame of its own: an entry is gone before the payload is written.
    #[inline(never)]
    fn table<E>(&self, out: &mut Out<impl FnMut(&[u8]) -> Result<(), E>>) -> Result<(), StreamError<E>> {
        let mut entries = Entries::new(self.layers, self.place().map_err(StreamError::Contents)?);
        while entries.next().map_err(StreamError::Contents)? {
            out.put_entry(&entries.entry).map_err(StreamError::Sink)?;
        }
        Ok(())
    }

    fn texts_and_payload<E>(&self, out: &mut Out<impl FnMut(&[u8]) -> Result<(), E>>) -> Result<(), E> {
        self.layers.iter().try_for_each(|layer| out.put(layer.name.as_bytes()))?;
        out.put(self.metadata.as_bytes())?;
        out.pad()?;
        for layer in self.layers {
            for index in 0..PARTS {
                layer.tensor(index).each_bytes(|bytes| out.put(bytes))?;
                out.pad()?;
            }
        }
        out.flush()
    }

    /// Makes all entries and checks them. What is left is where those of another layer would go.
    fn check(&self) -> Result<Place, Error> {
        let mut entries = Entries::new(self.layers, self.place()?);
        while entries.next()? {}
        Ok(entries.place)
    }

    /// Where the first name and the first payload go.
    fn place(&self) -> Result<Place, Error> {
        let [layers, names, metadata] = self.counts()?;
        match Extent::new(layers, names, metadata) {
            Some(Extent { names: name, payload, .. }) => Ok(Place { name, payload }),
            None => Err(flawed(header::at::NAMES, Flaw::TooLarge)),
        }
    }

    /// The header of a file that has been written.
    // A frame of its own, as above.
    #[inline(never)]
    fn header(&self, length: usize, payload_crc: u32) -> Result<[u8; HEADER], Error> {
        let mut header = Header::EMPTY;
        [header.layers, header.names, header.metadata] = self.counts()?;
        (header.fingerprint, header.generation) = (self.fingerprint, self.generation);
        (header.length, header.payload_crc) = (length as u64, payload_crc);
        Ok(header.emit())
    }

    /// Layers, bytes of their names, bytes of the metadata.
    #[inline(never)]
    fn counts(&self) -> Result<[u32; 3], Error> {
        let field = |at, size: u64| narrow(size).ok_or(flawed(at, Flaw::TooLarge));
        let names = self.layers.iter().fold(0u64, |sum, layer| sum.saturating_add(layer.name.len() as u64));
        Ok([
            field(header::at::LAYERS, self.layers.len() as u64)?,
            field(header::at::NAMES, names)?,
            field(header::at::METADATA, self.metadata.len() as u64)?,
        ])
    }
}

/// Makes the entries of the table, one after the other, and checks the layers in doing so.
struct Entries<'a> {
    layers: &'a [Layer<'a>],
    /// Of the next entry.
    start: usize,
    place: Place,
    previous: Option<Key<'a>>,
    /// The one made last. It is made where it stays: returned by value, several of them would lie on the stack at once.
    entry: Entry,
}

impl<'a> Entries<'a> {
    #[inline(always)]
    fn new(layers: &'a [Layer<'a>], place: Place) -> Self {
        Self { layers, start: HEADER, place, previous: None, entry: Entry::default() }
    }

    /// Makes the next entry, if there is one.
    fn next(&mut self) -> Result<bool, Error> {
        let Some((layer, rest)) = self.layers.split_first() else { return Ok(false) };
        let (entry, start) = (&mut self.entry, self.start);
        entry.describe(layer, start)?;
        let name_at = narrow(self.place.name);
        debug_assert!(name_at.is_some(), "`Extent` has refused names that end where no offset can say it");
        entry.name_at = name_at.unwrap_or(u32::MAX);
        entry.payload_at = self.place.payload;
        let outline = entry.meaning(start)?.outline;
        check_tensors(layer, &outline, start)?;
        let key = Key { name: layer.name.as_bytes(), id: layer.id };
        key.check_after(self.previous, start)?;
        self.previous = Some(key);
        self.place = self.place.after(entry, &outline, start)?;
        (self.layers, self.start) = (rest, start.saturating_add(ENTRY));
        Ok(true)
    }
}

/// Checks that the tensors are those of which the table will speak.
fn check_tensors(layer: &Layer<'_>, outline: &Outline, start: usize) -> Result<(), Error> {
    use table::at::{A, B, B_BIAS, BIAS, OPTIMIZER};
    for index in 0..PARTS {
        let (tensor, part) = (layer.tensor(index), outline.part(index));
        let at = [A, B, BIAS, B_BIAS].get(index).copied().unwrap_or(OPTIMIZER);
        let fail = |flaw| Err(flawed(start + at, flaw));
        let (rows, cols) = (tensor.rows(), tensor.cols());
        if is_empty((rows, cols)) && is_empty((part.rows, part.cols)) {
            continue;
        }
        let clamp = |n: usize| narrow(n as u64).unwrap_or(u32::MAX);
        if rows != part.rows {
            return fail(Flaw::Rows { expected: clamp(part.rows), got: clamp(rows) });
        }
        if cols != part.cols {
            return fail(Flaw::Cols { expected: clamp(part.cols), got: clamp(cols) });
        }
        if tensor.dtype() != part.dtype {
            return fail(Flaw::NotF32);
        }
    }
    Ok(())
}

/// Bytes that a sink gets at once.
const PIECE: usize = 64;

/// Collects bytes into pieces for the sink, and their checksum.
struct Out<F> {
    piece: [u8; PIECE],
    filled: usize,
    crc: Crc,
    sink: F,
}

impl<E, F: FnMut(&[u8]) -> Result<(), E>> Out<F> {
    fn put(&mut self, bytes: &[u8]) -> Result<(), E> {
        bytes.iter().try_for_each(|&byte| self.put_byte(byte))
    }

    // A frame of its own: the bytes are gone before the next entry is made.
    #[inline(never)]
    fn put_entry(&mut self, entry: &Entry) -> Result<(), E> {
        self.put(&entry.write())
    }

    fn put_byte(&mut self, byte: u8) -> Result<(), E> {
        if let Some(to) = self.piece.get_mut(self.filled) {
            *to = byte;
            self.filled += 1;
        }
        if self.filled == PIECE { self.flush() } else { Ok(()) }
    }

    /// Zeros up to where the next tensor may start. Pieces start at such places.
    fn pad(&mut self) -> Result<(), E> {
        while !(self.filled as u64).is_multiple_of(ALIGN) {
            self.put_byte(0)?;
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), E> {
        let piece = self.piece.get(..self.filled).unwrap_or(&[]);
        if piece.is_empty() {
            return Ok(());
        }
        self.crc.update(piece);
        self.filled = 0;
        (self.sink)(piece)
    }
}
