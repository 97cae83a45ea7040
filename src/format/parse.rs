//! The reader of adapter files, which makes entries of bytes.

use super::crc::Crc;
use super::entry::{Entry, Training};
use super::error::FileError;
use super::extent::{Extent, PARTS, Part, RECORD, aligned};
use super::flaw::Flaw;
use super::flawed::{all_zero, flawed, to_usize};
use super::header::{self, HEADER, Header};
use super::table::{self, Key, Meaning, Place, Record};
use super::tensor::Tensor;

/// An adapter file that was checked from its first byte to its last. It borrows the bytes, which may lie in flash.
#[derive(Copy, Clone, Debug)]
pub struct AdapterFile<'a> {
    bytes: &'a [u8],
    header: Header,
    extent: Extent,
}

impl<'a> AdapterFile<'a> {
    /// Checks everything that the [format](super) asks for. The time is linear in the number of bytes.
    ///
    /// The bytes may lie at any address. At a multiple of 4 (see [`Aligned`](super::Aligned)) numbers in f32 can be used where they
    /// lie.
    ///
    /// # Errors
    /// The [`FileError`] says where the file is wrong, and how.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, FileError> {
        let Some(first) = bytes.first_chunk::<HEADER>() else {
            return Err(flawed(bytes.len(), Flaw::Truncated { expected: HEADER }));
        };
        let header = Header::parse(first)?;
        if header.length != bytes.len() as u64 {
            return Err(flawed(header::at::LENGTH, Flaw::Length { expected: bytes.len() }));
        }
        let file = Self { bytes, header, extent: extent(&header)? };
        let expected = Crc::of(file.part(HEADER as u64, header.length).unwrap_or(&[]));
        if header.payload_crc != expected {
            return Err(flawed(header::at::PAYLOAD_CRC, Flaw::Crc { expected, got: header.payload_crc }));
        }
        file.check_entries()?;
        Ok(file)
    }

    /// Returns the fingerprint of the base that the adapters belong to (see [`Fingerprint`](super::Fingerprint)), and 0 when it is not
    /// known.
    pub const fn fingerprint(&self) -> u64 {
        self.header.fingerprint
    }

    /// Returns the number of the save. It wraps, so compare it by serial arithmetic (RFC 1982).
    pub const fn generation(&self) -> u32 {
        self.header.generation
    }

    /// Returns the text that this crate does not interpret.
    pub fn metadata(&self) -> &'a str {
        self.text(self.extent.metadata, self.header.metadata).unwrap_or("")
    }

    /// Returns all entries, ascending by name and then by id.
    pub const fn entries(&self) -> Entries<'a> {
        Entries { file: *self, next: 0 }
    }

    /// Returns entry number `index` of [`entries`](Self::entries).
    pub fn entry(&self, index: usize) -> Option<Entry<'a>> {
        let record = self.record(index)?;
        let Meaning { outline, scale, clock, fan_in_fan_out, random } = record.meaning(0).ok()?;
        let mut rest = self.bytes.get(usize::try_from(record.payload_at).ok()?..)?;
        let mut next = |index| cut(&mut rest, outline.part(index));
        let (a, b, bias, b_bias) = (next(0)?, next(1)?, next(2)?, next(3)?);
        let mut moments = [Tensor::EMPTY; 6];
        for (moment, index) in moments.iter_mut().zip(4..) {
            *moment = next(index)?;
        }
        Some(Entry {
            name: self.text(u64::from(record.name_at), record.name_len)?,
            id: record.id,
            scale,
            a,
            b,
            bias: outline.bias.map(|_| bias),
            b_bias: outline.b_bias.map(|_| b_bias),
            fan_in_fan_out,
            training: outline.training.map(|(optimizer, trained)| Training { optimizer, trained, clock, moments }),
            random,
        })
    }

    /// Finds the entry of this name by binary search. If several have the name, it is the one with the smallest id.
    pub fn find(&self, name: &str) -> Option<Entry<'a>> {
        let (mut low, mut high) = (0, self.header.entries as usize);
        while low < high {
            let middle = low + (high - low) / 2;
            if self.name(&self.record(middle)?) < name.as_bytes() { low = middle + 1 } else { high = middle }
        }
        if self.name(&self.record(low)?) == name.as_bytes() { self.entry(low) } else { None }
    }

    /// Finds the first entry with this id. It looks at one entry after the other.
    pub fn find_id(&self, id: u32) -> Option<Entry<'a>> {
        let index =
            (0..self.header.entries as usize).find(|&i| self.record(i).is_some_and(|record| record.id == id))?;
        self.entry(index)
    }

    fn record(&self, index: usize) -> Option<Record> {
        let start = HEADER as u64 + RECORD as u64 * u64::from(u32::try_from(index).ok()?);
        let end = start + RECORD as u64;
        if end > self.extent.names {
            return None;
        }
        Some(Record::read(self.part(start, end)?))
    }

    fn part(&self, from: u64, to: u64) -> Option<&'a [u8]> {
        let part = self.bytes.get(usize::try_from(from).ok()?..usize::try_from(to).ok()?)?;
        #[cfg(test)]
        {
            tests::look_at(part);
        }
        Some(part)
    }

    fn text(&self, at: u64, len: u32) -> Option<&'a str> {
        core::str::from_utf8(self.part(at, at + u64::from(len))?).ok()
    }

    fn name(&self, record: &Record) -> &'a [u8] {
        let at = u64::from(record.name_at);
        self.part(at, at + u64::from(record.name_len)).unwrap_or(&[])
    }

    fn check_entries(&self) -> Result<(), FileError> {
        let Extent { names, metadata, metadata_end, payload } = self.extent;
        let mut place = Place { name: names, payload };
        let mut previous = None;
        for index in 0..self.header.entries as usize {
            let start = HEADER + index * RECORD;
            let record = self.record(index).unwrap_or_default();
            let meaning = record.meaning(start)?;
            let after = place.after(&record, &meaning.outline, start)?;
            if after.name > metadata {
                return Err(flawed(start + table::at::NAME_LEN, Flaw::Outside));
            }
            if after.payload > self.bytes.len() as u64 {
                return Err(flawed(start + table::at::PAYLOAD, Flaw::Outside));
            }
            let key = Key { name: self.name(&record), id: record.id };
            key.check_after(previous, start)?;
            previous = Some(key);
            self.check_text(place.name, after.name)?;
            self.check_padding(place.payload, &meaning)?;
            place = after;
        }
        if place.name != metadata {
            return Err(flawed(header::at::NAMES, Flaw::Length { expected: to_usize(place.name - names) }));
        }
        self.check_text(metadata, metadata_end)?;
        self.check_zeros(metadata_end, payload)?;
        if place.payload == self.header.length {
            Ok(())
        } else {
            Err(flawed(header::at::LENGTH, Flaw::Length { expected: to_usize(place.payload) }))
        }
    }

    fn check_text(&self, from: u64, to: u64) -> Result<(), FileError> {
        match core::str::from_utf8(self.part(from, to).unwrap_or(&[])) {
            Ok(_) => Ok(()),
            Err(error) => Err(flawed(to_usize(from) + error.valid_up_to(), Flaw::Utf8)),
        }
    }

    fn check_padding(&self, payload: u64, meaning: &Meaning) -> Result<(), FileError> {
        let mut at = payload;
        for index in 0..PARTS {
            let end = at + meaning.outline.part(index).bytes().unwrap_or(0);
            at = aligned(end).unwrap_or(end);
            self.check_zeros(end, at)?;
        }
        Ok(())
    }

    fn check_zeros(&self, from: u64, to: u64) -> Result<(), FileError> {
        all_zero(to_usize(from), self.part(from, to).unwrap_or(&[]), |got| Flaw::Padding { got })
    }
}

/// Returns the places of the parts of a file that its header describes. They lie within the file.
fn extent(header: &Header) -> Result<Extent, FileError> {
    let Header { entries, names, metadata, length, .. } = *header;
    let within = |at, names, metadata| {
        let extent = Extent::new(entries, names, metadata).filter(|extent| extent.payload <= length);
        extent.ok_or(flawed(at, Flaw::Outside))
    };
    within(header::at::ENTRIES, 0, 0)?;
    within(header::at::NAMES, names, 0)?;
    within(header::at::METADATA, names, metadata)
}

/// The first bytes as a tensor, without the padding behind them.
fn cut<'a>(rest: &mut &'a [u8], part: Part) -> Option<Tensor<'a>> {
    let bytes = part.bytes()?;
    let (padded, after) = rest.split_at_checked(usize::try_from(aligned(bytes)?).ok()?)?;
    *rest = after;
    Tensor::from_bytes(part.dtype, part.rows, part.cols, padded.get(..usize::try_from(bytes).ok()?)?).ok()
}

/// The entries of a file, one after the other.
#[derive(Clone, Debug)]
pub struct Entries<'a> {
    file: AdapterFile<'a>,
    next: usize,
}

impl<'a> Iterator for Entries<'a> {
    type Item = Entry<'a>;

    fn next(&mut self) -> Option<Entry<'a>> {
        let index = self.next;
        self.next = index.saturating_add(1);
        self.file.entry(index)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = (self.file.header.entries as usize).saturating_sub(self.next);
        (left, Some(left))
    }
}

impl ExactSizeIterator for Entries<'_> {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::Contents;
    use crate::{MatRef, Scale};
    use core::cell::Cell;
    use std::{println, string::String, vec, vec::Vec};

    std::thread_local! {
        static LOOKED_AT: Cell<u64> = const { Cell::new(0) };
    }

    pub(super) fn look_at(part: &[u8]) {
        LOOKED_AT.set(LOOKED_AT.get() + part.len() as u64);
    }

    /// How many bytes are handed out to be looked at, the same byte as often as it is, while something runs.
    fn looks<T>(run: impl FnOnce() -> T) -> (u64, T) {
        let before = LOOKED_AT.get();
        let result = run();
        (LOOKED_AT.get() - before, result)
    }

    /// Makes entries whose names are the longest for their number: all begin alike.
    fn file(entries: u32, name: usize) -> Vec<u8> {
        let names: Vec<String> = (0..entries).map(|i| std::format!("{}{i:06}", "a".repeat(name))).collect();
        let one = MatRef::from_rows(&[[1.0]]);
        let adapter = crate::Adapter { a: one, b: one, bias: None, scale: 1.0 };
        let entries: Vec<Entry<'_>> =
            names.iter().map(|name| Entry { scale: Scale::Alpha(1.0), ..Entry::of(name, &adapter) }).collect();
        let contents = Contents { entries: &entries, metadata: "", fingerprint: 0, generation: 0 };
        let mut bytes = vec![0; contents.encoded_len().unwrap()];
        contents.emit(&mut bytes).unwrap();
        bytes
    }

    #[test]
    fn time_is_linear_in_the_length() {
        for (entries, name) in [(1, 0), (10, 100), (1000, 0), (100_000, 0), (10_000, 90), (100, 100_000)] {
            let bytes = file(entries, name);
            let length = bytes.len() as u64;
            let (looks, parsed) = looks(|| AdapterFile::parse(&bytes));
            println!("promise file linear: {looks} bytes looked at, {entries} entries in {length} bytes");
            assert_eq!(parsed.unwrap().entries().len(), entries as usize);
            // The checksum looks at every byte once, the checks of the fields, and those of the names, which meet both their
            // neighbours, at what is left.
            assert!((length - 64..=4 * length).contains(&looks));
        }
    }

    #[test]
    fn finding_is_a_binary_search() {
        let bytes = file(100_000, 0);
        let file = AdapterFile::parse(&bytes).unwrap();
        for index in [0, 1, 49_999, 99_999] {
            let (looks, entry) = looks(|| file.find(&std::format!("{index:06}")).unwrap());
            assert_eq!(entry.name, std::format!("{index:06}"));
            // There are 17 halvings, each of which looks at a record and a name, and then the entry is made.
            assert!(looks <= 19 * (96 + 6), "{looks}");
        }
        assert!(file.find("none").is_none());
    }
}
