//! What can be wrong with an adapter file, and the names of the fields it can be wrong with.

use core::fmt;

/// What is wrong with an adapter file at the place that [`Error::File`](super::Error::File) names.
#[derive(Copy, Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Flaw {
    /// The bytes end before the header does.
    Truncated {
        /// Bytes that are there at least.
        expected: usize,
    },
    /// No adapter file: it does not start with `lowrank` and a zero byte.
    Magic,
    /// A version, of the format or of the arithmetic contract, that this release does not know.
    Version {
        /// The version that it knows.
        expected: u16,
        /// The version of the file.
        got: u16,
    },
    /// A checksum that is not that of the bytes.
    Crc {
        /// Of the bytes.
        expected: u32,
        /// In the file.
        got: u32,
    },
    /// A length that does not agree with what is there.
    Length {
        /// The length of what is there.
        expected: usize,
    },
    /// An offset that is not the one place where this part has to start.
    Offset {
        /// That place.
        expected: usize,
    },
    /// A part that reaches beyond the end of what holds it.
    Outside,
    /// A number that does not fit into its field.
    TooLarge,
    /// 0 where there has to be something.
    Zero,
    /// A byte of a field that is reserved, or about something that the layer does not have, and is not 0.
    NotZero {
        /// The byte.
        got: u8,
    },
    /// A byte between two parts that is not 0.
    Padding {
        /// The byte.
        got: u8,
    },
    /// A code without a meaning.
    Code {
        /// The code.
        got: u8,
    },
    /// A trained bias of a layer that has none.
    NoBias,
    /// Text that is not UTF-8.
    Utf8,
    /// Layers do not ascend by name and then by id.
    Order,
    /// An infinity or a NaN.
    NonFinite,
    /// A scale that does not follow from alpha and rank.
    Scale {
        /// The scale that follows.
        expected: f32,
        /// The scale of the file.
        got: f32,
    },
    /// A probability below 0, or not below 1.
    Probability {
        /// The number that came.
        got: f32,
    },
    /// A tensor with the wrong number of rows. Numbers from 2³² on are given as 2³² - 1.
    Rows {
        /// Rows needed.
        expected: u32,
        /// Rows that came.
        got: u32,
    },
    /// A tensor with the wrong number of columns. Numbers from 2³² on are given as 2³² - 1.
    Cols {
        /// Columns needed.
        expected: u32,
        /// Columns that came.
        got: u32,
    },
    /// A moment of an optimizer that is not stored as f32.
    NotF32,
}

const HEADER: usize = 64;
const ENTRY: usize = 96;

type Name = (usize, &'static str);

/// The first byte of each field and its name, as on the page of [`format`](crate::format).
const HEADER_FIELDS: [Name; 12] = [
    (0, "magic"),
    (8, "format version"),
    (10, "contract version"),
    (12, "layers"),
    (16, "length"),
    (24, "fingerprint"),
    (32, "generation"),
    (36, "bytes of names"),
    (40, "bytes of metadata"),
    (44, "reserved"),
    (56, "payload CRC"),
    (60, "header CRC"),
];

const ENTRY_FIELDS: [Name; 25] = [
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
    (76, "stream"),
    (80, "dropout"),
    (84, "reserved"),
];

fn name(fields: &[Name], at: usize) -> &'static str {
    fields.iter().rev().find(|field| field.0 <= at).map_or("", |field| field.1)
}

impl Flaw {
    /// Whether it is about a field of the header or of the layer table.
    const fn is_in_a_table(self) -> bool {
        !matches!(self, Flaw::Truncated { .. } | Flaw::Utf8 | Flaw::Padding { .. })
    }

    pub(super) fn describe(self, at: usize, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "File: byte {at}")?;
        if self.is_in_a_table() {
            match at.checked_sub(HEADER) {
                None => write!(f, " ({})", name(&HEADER_FIELDS, at))?,
                Some(at) => write!(f, " (layer {}, {})", at / ENTRY, name(&ENTRY_FIELDS, at % ENTRY))?,
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
            Flaw::Order => f.write_str(": layers must ascend by name and id"),
            Flaw::NonFinite => f.write_str(": not a finite number"),
            Flaw::Scale { expected, got } => write!(f, ": expected {expected:?}, got {got:?}"),
            Flaw::Probability { got } => write!(f, ": expected a value from 0 to below 1, got {got:?}"),
            Flaw::Rows { expected, got } => write!(f, ": expected {expected} rows, got {got}"),
            Flaw::Cols { expected, got } => write!(f, ": expected {expected} columns, got {got}"),
            Flaw::NotF32 => f.write_str(": moments are f32"),
        }
    }
}
