//! The flaws that an adapter file can have, and the names of its fields.

use core::fmt;

/// A flaw of an adapter file, at the place that a [`FileError`](super::FileError) names.
#[derive(Copy, Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Flaw {
    /// The bytes end before the header does.
    Truncated {
        /// A file has at least so many bytes.
        expected: usize,
    },
    /// The bytes do not start with `lowrank` and a zero byte, so they are no adapter file.
    Magic,
    /// This release does not know the version of the format, or of the arithmetic contract.
    Version {
        /// This release knows this version.
        expected: u16,
        /// The file has this version.
        got: u16,
    },
    /// A checksum does not belong to the bytes.
    Crc {
        /// The bytes have this checksum.
        expected: u32,
        /// The file says this checksum.
        got: u32,
    },
    /// A length does not agree with the bytes that are there.
    Length {
        /// So many bytes are there.
        expected: usize,
    },
    /// A part does not start at the only place that the format has for it.
    Offset {
        /// The part has to start here.
        expected: usize,
    },
    /// A part reaches beyond the end of the part that holds it.
    Outside,
    /// A number does not fit into its field.
    TooLarge,
    /// A number is 0 where the format asks for more.
    Zero,
    /// A byte is not 0 although its field is reserved, or belongs to something that the entry does not have.
    NotZero {
        /// The byte has this value.
        got: u8,
    },
    /// A byte between two parts is not 0.
    Padding {
        /// The byte has this value.
        got: u8,
    },
    /// A code has no meaning.
    Code {
        /// The code has this value.
        got: u8,
    },
    /// An entry says that its bias is trained, and has none.
    NoBias,
    /// A text is not UTF-8.
    Utf8,
    /// Entries do not ascend by name and then by id.
    Order,
    /// A number is infinite or NaN.
    NonFinite,
    /// A scale does not follow from alpha and rank.
    Scale {
        /// This scale follows.
        expected: f32,
        /// The file has this scale.
        got: f32,
    },
    /// A probability is below 0, or not below 1.
    Probability {
        /// This number came.
        got: f32,
    },
    /// A tensor has the wrong number of rows. Numbers from 2³² on are given as 2³² - 1.
    Rows {
        /// The entry needs so many rows.
        expected: u32,
        /// So many rows came.
        got: u32,
    },
    /// A tensor has the wrong number of columns. Numbers from 2³² on are given as 2³² - 1.
    Cols {
        /// The entry needs so many columns.
        expected: u32,
        /// So many columns came.
        got: u32,
    },
    /// A moment of an optimizer is not stored as f32.
    NotF32,
}

const HEADER: usize = 64;
const RECORD: usize = 96;

type Name = (usize, &'static str);

/// The first byte of each field and its name, as on the page of [`format`](crate::format).
const HEADER_FIELDS: [Name; 12] = [
    (0, "magic"),
    (8, "format version"),
    (10, "contract version"),
    (12, "entries"),
    (16, "length"),
    (24, "fingerprint"),
    (32, "generation"),
    (36, "bytes of names"),
    (40, "bytes of metadata"),
    (44, "reserved"),
    (56, "payload CRC"),
    (60, "header CRC"),
];

const RECORD_FIELDS: [Name; 25] = [
    (0, "name"),
    (4, "bytes of name"),
    (8, "id"),
    (12, "inputs"),
    (16, "outputs"),
    (20, "rank"),
    (24, "scale mode"),
    (25, "A"),
    (26, "B"),
    (27, "bias"),
    (28, "bias of B"),
    (29, "magnitude"),
    (30, "optimizer"),
    (31, "flags"),
    (32, "alpha"),
    (36, "scale"),
    (40, "payload"),
    (48, "steps"),
    (56, "weight1"),
    (60, "weight2"),
    (64, "seed"),
    (72, "step"),
    (76, "layer number"),
    (80, "dropout"),
    (84, "reserved"),
];

fn name(fields: &[Name], at: usize) -> &'static str {
    fields.iter().rev().find(|field| field.0 <= at).map_or("", |field| field.1)
}

impl Flaw {
    /// Says whether it is about a field of the header or of the table.
    const fn is_in_a_table(self) -> bool {
        !matches!(self, Flaw::Truncated { .. } | Flaw::Utf8 | Flaw::Padding { .. })
    }

    pub(super) fn describe(self, at: usize, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "File: byte {at}")?;
        if self.is_in_a_table() {
            match at.checked_sub(HEADER) {
                None => write!(f, " ({})", name(&HEADER_FIELDS, at))?,
                Some(at) => write!(f, " (entry {}, {})", at / RECORD, name(&RECORD_FIELDS, at % RECORD))?,
            }
        }
        match self {
            Flaw::Truncated { expected } => write!(f, ": the end; a file has at least {expected} bytes"),
            Flaw::Magic => f.write_str(": no adapter file"),
            Flaw::Version { expected, got } => write!(f, ": expected version {expected}, got {got}"),
            Flaw::Crc { expected, got } => write!(f, ": the checksum is {expected:#010x}, not {got:#010x}"),
            Flaw::Length { expected } => write!(f, ": the length is {expected}"),
            Flaw::Offset { expected } => write!(f, ": it has to start at {expected}"),
            Flaw::Outside => f.write_str(": reaches beyond the end"),
            Flaw::TooLarge => f.write_str(": too large for its field"),
            Flaw::Zero => f.write_str(": must not be 0"),
            Flaw::NotZero { got } => write!(f, ": has to be 0, got {got}"),
            Flaw::Padding { got } => write!(f, ": padding has to be 0, got {got}"),
            Flaw::Code { got } => write!(f, ": {got} has no meaning"),
            Flaw::NoBias => f.write_str(": trains a bias that is not there"),
            Flaw::Utf8 => f.write_str(": no UTF-8"),
            Flaw::Order => f.write_str(": entries must ascend by name and id"),
            Flaw::NonFinite => f.write_str(": not a finite number"),
            Flaw::Scale { expected, got } => write!(f, ": expected {expected:?}, got {got:?}"),
            Flaw::Probability { got } => write!(f, ": expected a value from 0 to below 1, got {got:?}"),
            Flaw::Rows { expected, got } => write!(f, ": expected {expected} rows, got {got}"),
            Flaw::Cols { expected, got } => write!(f, ": expected {expected} columns, got {got}"),
            Flaw::NotF32 => f.write_str(": moments are f32"),
        }
    }
}
