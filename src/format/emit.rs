//! The writer of adapter files, which makes bytes of entries.

use core::convert::Infallible;

use super::crc::Crc;
use super::entry::{Entry, is_empty};
use super::error::{EmitError, FileError};
use super::extent::{ALIGN, Extent, Outline, PARTS, RECORD, addressable, narrow};
use super::flaw::Flaw;
use super::flawed::flawed;
use super::header::{self, HEADER, Header};
use super::table::{self, Key, Place, Record};
use crate::error::{Argument, Error};

/// The contents of an adapter file that is to be written.
#[derive(Copy, Clone, Debug)]
pub struct Contents<'a> {
    /// The entries ascend by name and then by id.
    pub entries: &'a [Entry<'a>],
    /// The crate does not interpret this text, which may be empty.
    pub metadata: &'a str,
    /// This is the fingerprint of the base that the adapters belong to (see [`Fingerprint`](super::Fingerprint)), or 0 when it is not
    /// known.
    pub fingerprint: u64,
    /// This is the number of the save. It wraps.
    pub generation: u32,
}

/// The reason why a file was not streamed to its end.
#[derive(Copy, Clone, Debug, PartialEq)]
pub enum StreamError<E> {
    /// The contents are not those of a file, and the sink got nothing.
    Contents(EmitError),
    /// The sink failed with this error.
    Sink(E),
}

impl<E> From<EmitError> for StreamError<E> {
    fn from(error: EmitError) -> Self {
        StreamError::Contents(error)
    }
}

impl<E> From<FileError> for StreamError<E> {
    fn from(error: FileError) -> Self {
        StreamError::Contents(error.into())
    }
}

impl Contents<'_> {
    /// Checks everything, and returns the bytes of the file.
    ///
    /// # Errors
    /// [`EmitError::File`] with the place that the flaw would have in the file; [`EmitError::Call`] with [`Error::Overflow`] when the
    /// file does not fit into the address space.
    pub fn encoded_len(&self) -> Result<usize, EmitError> {
        let end = self.check()?.payload;
        addressable(end).ok_or(EmitError::Call(Error::Overflow { argument: Argument::File }))
    }

    /// Writes the file to the start of `out` and returns its length. The bytes behind it stay as they are.
    ///
    /// # Errors
    /// As [`encoded_len`](Self::encoded_len); [`EmitError::Call`] with [`Error::TooMany`] when `out` is too short. Nothing is written then.
    pub fn emit(&self, out: &mut [u8]) -> Result<usize, EmitError> {
        let (got, at_most) = (self.encoded_len()?, out.len());
        let Some((first, mut rest)) = out.get_mut(..got).and_then(<[u8]>::split_first_chunk_mut::<HEADER>) else {
            return Err(EmitError::Call(Error::TooMany { argument: Argument::File, at_most, got }));
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

    /// Gives the bytes from 64 on to `sink` in their order: 64 at a time, and at the end fewer, a multiple of 16. Then it returns
    /// the header, which is the first 64 bytes of the file. The header is written last, so that a file which was not written to its end
    /// has none.
    ///
    /// # Errors
    /// [`StreamError::Contents`] as [`encoded_len`](Self::encoded_len), before the sink gets anything;
    /// [`StreamError::Sink`] as soon as it fails.
    pub fn stream<E>(&self, sink: impl FnMut(&[u8]) -> Result<(), E>) -> Result<[u8; HEADER], StreamError<E>> {
        let length = self.encoded_len()?;
        let mut out = Out { piece: [0; PIECE], filled: 0, crc: Crc::NEW, sink };
        self.table(&mut out)?;
        self.texts_and_payload(&mut out).map_err(StreamError::Sink)?;
        Ok(self.header(length, out.crc.finish())?)
    }

    /// Puts all records.
    // A frame of its own: a record is gone before the payload is written.
    #[inline(never)]
    fn table<E>(&self, out: &mut Out<impl FnMut(&[u8]) -> Result<(), E>>) -> Result<(), StreamError<E>> {
        let mut records = Records::new(self.entries, self.place()?);
        while records.next()? {
            out.put_record(&records.record).map_err(StreamError::Sink)?;
        }
        Ok(())
    }

    fn texts_and_payload<E>(&self, out: &mut Out<impl FnMut(&[u8]) -> Result<(), E>>) -> Result<(), E> {
        self.entries.iter().try_for_each(|entry| out.put(entry.name.as_bytes()))?;
        out.put(self.metadata.as_bytes())?;
        out.pad()?;
        for entry in self.entries {
            for index in 0..PARTS {
                entry.tensor(index).each_bytes(|bytes| out.put(bytes))?;
                out.pad()?;
            }
        }
        out.flush()
    }

    /// Makes all records and checks them, and returns the places that another entry would get.
    fn check(&self) -> Result<Place, FileError> {
        let mut records = Records::new(self.entries, self.place()?);
        while records.next()? {}
        Ok(records.place)
    }

    /// The places of the first name and of the first payload.
    fn place(&self) -> Result<Place, FileError> {
        let [entries, names, metadata] = self.counts()?;
        match Extent::new(entries, names, metadata) {
            Some(Extent { names: name, payload, .. }) => Ok(Place { name, payload }),
            None => Err(flawed(header::at::NAMES, Flaw::TooLarge)),
        }
    }

    /// The header of a file that has been written.
    // A frame of its own, as above.
    #[inline(never)]
    fn header(&self, length: usize, payload_crc: u32) -> Result<[u8; HEADER], FileError> {
        let mut header = Header::EMPTY;
        [header.entries, header.names, header.metadata] = self.counts()?;
        (header.fingerprint, header.generation) = (self.fingerprint, self.generation);
        (header.length, header.payload_crc) = (length as u64, payload_crc);
        Ok(header.emit())
    }

    /// Counts entries, bytes of their names, and bytes of the metadata.
    #[inline(never)]
    fn counts(&self) -> Result<[u32; 3], FileError> {
        let field = |at, size: u64| narrow(size).ok_or(flawed(at, Flaw::TooLarge));
        let names = self.entries.iter().fold(0u64, |sum, entry| sum.saturating_add(entry.name.len() as u64));
        Ok([
            field(header::at::ENTRIES, self.entries.len() as u64)?,
            field(header::at::NAMES, names)?,
            field(header::at::METADATA, self.metadata.len() as u64)?,
        ])
    }
}

/// Makes the records of the table, one after the other, and checks the entries in doing so.
struct Records<'a> {
    entries: &'a [Entry<'a>],
    /// These are the places of the next record.
    start: usize,
    place: Place,
    previous: Option<Key<'a>>,
    /// The last record is made where it stays. Returned by value, several records would lie on the stack at once.
    record: Record,
}

impl<'a> Records<'a> {
    #[inline(always)]
    fn new(entries: &'a [Entry<'a>], place: Place) -> Self {
        Self { entries, start: HEADER, place, previous: None, record: Record::default() }
    }

    /// Makes the next record, if there is one.
    fn next(&mut self) -> Result<bool, FileError> {
        let Some((entry, rest)) = self.entries.split_first() else { return Ok(false) };
        let (record, start) = (&mut self.record, self.start);
        record.describe(entry, start)?;
        let name_at = narrow(self.place.name);
        debug_assert!(name_at.is_some(), "`Extent` has refused names that end where no offset can say it");
        record.name_at = name_at.unwrap_or(u32::MAX);
        record.payload_at = self.place.payload;
        let outline = record.meaning(start)?.outline;
        check_tensors(entry, &outline, start)?;
        let key = Key { name: entry.name.as_bytes(), id: entry.id };
        key.check_after(self.previous, start)?;
        self.previous = Some(key);
        self.place = self.place.after(record, &outline, start)?;
        (self.entries, self.start) = (rest, start.saturating_add(RECORD));
        Ok(true)
    }
}

/// Checks that the tensors are those of which the table will speak.
fn check_tensors(entry: &Entry<'_>, outline: &Outline, start: usize) -> Result<(), FileError> {
    use table::at::{A, B, B_BIAS, BIAS, OPTIMIZER};
    for index in 0..PARTS {
        let (tensor, part) = (entry.tensor(index), outline.part(index));
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

/// A sink gets so many bytes at once.
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

    // A frame of its own: the bytes are gone before the next record is made.
    #[inline(never)]
    fn put_record(&mut self, record: &Record) -> Result<(), E> {
        self.put(&record.write())
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
