//! The header of a file.

use super::crc::Crc;
use super::error::FileError;
use super::fields::{Fields, Read, Write};
use super::flaw::Flaw;
use super::flawed::{all_zero, flawed};

/// The header has so many bytes.
pub(crate) const HEADER: usize = 64;

const MAGIC: [u8; 8] = *b"lowrank\0";
const FORMAT: u16 = 1;
const CONTRACT: u16 = 1;

/// The places of the fields that can be wrong.
pub(super) mod at {
    pub(super) const MAGIC: usize = 0;
    pub(super) const FORMAT: usize = 8;
    pub(super) const CONTRACT: usize = 10;
    pub(crate) const ENTRIES: usize = 12;
    pub(crate) const LENGTH: usize = 16;
    pub(crate) const NAMES: usize = 36;
    pub(crate) const METADATA: usize = 40;
    pub(super) const RESERVED: usize = 44;
    pub(crate) const PAYLOAD_CRC: usize = 56;
    pub(super) const HEADER_CRC: usize = 60;
}

/// The fields of the header.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Header {
    magic: [u8; 8],
    format: u16,
    contract: u16,
    pub entries: u32,
    pub length: u64,
    pub fingerprint: u64,
    pub generation: u32,
    pub names: u32,
    pub metadata: u32,
    reserved: [u8; 12],
    pub payload_crc: u32,
    header_crc: u32,
}

impl Header {
    /// The header of a file without contents.
    pub(super) const EMPTY: Header = Header {
        magic: MAGIC,
        format: FORMAT,
        contract: CONTRACT,
        entries: 0,
        length: HEADER as u64,
        fingerprint: 0,
        generation: 0,
        names: 0,
        metadata: 0,
        reserved: [0; 12],
        payload_crc: 0,
        header_crc: 0,
    };

    fn fields(&mut self, f: &mut impl Fields) {
        f.bytes(&mut self.magic);
        f.u16(&mut self.format);
        f.u16(&mut self.contract);
        f.u32(&mut self.entries);
        f.u64(&mut self.length);
        f.u64(&mut self.fingerprint);
        f.u32(&mut self.generation);
        f.u32(&mut self.names);
        f.u32(&mut self.metadata);
        f.bytes(&mut self.reserved);
        f.u32(&mut self.payload_crc);
        f.u32(&mut self.header_crc);
    }

    /// Checks the header alone, without the bytes that follow it.
    pub(crate) fn parse(bytes: &[u8; HEADER]) -> Result<Header, FileError> {
        let mut header = Self::EMPTY;
        header.fields(&mut Read(bytes));
        let expected = Self::crc(bytes);
        if header.magic != MAGIC {
            Err(flawed(at::MAGIC, Flaw::Magic))
        } else if header.format != FORMAT {
            Err(flawed(at::FORMAT, Flaw::Version { expected: FORMAT, got: header.format }))
        } else if header.header_crc != expected {
            Err(flawed(at::HEADER_CRC, Flaw::Crc { expected, got: header.header_crc }))
        } else if header.contract != CONTRACT {
            Err(flawed(at::CONTRACT, Flaw::Version { expected: CONTRACT, got: header.contract }))
        } else {
            all_zero(at::RESERVED, &header.reserved, |got| Flaw::NotZero { got })?;
            Ok(header)
        }
    }

    /// Returns the header as bytes, with its checksum.
    pub(super) fn emit(mut self) -> [u8; HEADER] {
        let mut bytes = [0; HEADER];
        self.fields(&mut Write(&mut bytes));
        self.header_crc = Self::crc(&bytes);
        self.fields(&mut Write(&mut bytes));
        bytes
    }

    fn crc(bytes: &[u8; HEADER]) -> u32 {
        Crc::of(bytes.split_at(at::HEADER_CRC).0)
    }
}
