//! Promise: a bad file cannot crash, over-read, stall or half-load. Three files, and all ways to damage them.

use std::collections::BTreeSet;

use crate::support::bytes::{RECORD, crc32, fix_checksums, put, written_down};
use crate::support::files::{Lying, OwnedContents, emitted_again, halves, many_entries, two_entries};
use crate::support::{full, report};
use lowrank::format::{Entry, Tensor};
use lowrank::{AdapterFile, Argument, Dtype, Error, FileError, Flaw};

fn samples() -> [(&'static str, OwnedContents); 3] {
    [
        ("two entries with AdamW", two_entries()),
        ("halves with biases", halves()),
        ("many small entries", many_entries()),
    ]
}

/// The yardstick of the checksums, against the check value of the CRC catalogues.
#[test]
fn checksums_are_those_of_zlib() {
    assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
    assert_eq!(crc32(&[]), 0);
}

fn parse(bytes: &[u8]) -> Result<(), FileError> {
    AdapterFile::parse(bytes).map(drop)
}

#[test]
fn files_are_as_written_down_and_are_written_again() {
    for (name, contents) in samples() {
        let bytes = contents.file();
        assert!(bytes == written_down(&contents), "{name}");
        for remainder in 0..16 {
            let lying = Lying::new(&bytes, remainder);
            let file = AdapterFile::parse(lying.bytes()).unwrap();
            assert!(emitted_again(&file) == bytes, "{name}");
            for entry in file.entries() {
                let expected = why_not_in_place(&entry, remainder % 4 == 0);
                assert_eq!(entry.adapter().err(), expected, "{name}, {remainder} bytes behind a multiple of 16");
            }
        }
    }
}

/// The first reason, in the order of the tensors.
fn why_not_in_place(entry: &Entry<'_>, aligned: bool) -> Option<Error> {
    if entry.b_bias.is_some() {
        return Some(Error::Missing { argument: Argument::BBias });
    }
    let tensors = [(Argument::A, Some(&entry.a)), (Argument::B, Some(&entry.b)), (Argument::Bias, entry.bias.as_ref())];
    tensors.into_iter().find_map(|(argument, tensor)| {
        let dtype = tensor?.dtype();
        // A tensor without bytes lies anywhere.
        let lies_right = aligned || tensor?.rows() * tensor?.cols() == 0;
        (dtype != Dtype::F32 || !lies_right).then_some(Error::NotInPlace { argument, dtype })
    })
}

#[test]
fn truncated_or_longer() {
    let mut count = 0;
    for (name, contents) in samples() {
        let bytes = contents.file();
        for length in 0..bytes.len() {
            let (at, flaw) = match length {
                0..64 => (length, Flaw::Truncated { expected: 64 }),
                _ => (16, Flaw::Length { expected: length }),
            };
            assert_eq!(parse(&bytes[..length]), Err(FileError { at, flaw }), "{name}: {length} bytes");
            count += 1;
        }
        for more in 1..=96 {
            for filler in [0, 0xff] {
                let mut longer = bytes.clone();
                longer.resize(bytes.len() + more, filler);
                let flaw = Flaw::Length { expected: longer.len() };
                assert_eq!(parse(&longer), Err(FileError { at: 16, flaw }), "{name}: {more} bytes more");
                count += 1;
            }
        }
    }
    report("file", "lengths", count, "truncated or longer files, each refused", 3000);
}

/// The flaw that a changed byte has to show: a magic number or a version where it is one, else a checksum.
fn shown_by_change(at: usize, flaw: Flaw) -> bool {
    match at {
        0..8 => flaw == Flaw::Magic,
        8..10 => matches!(flaw, Flaw::Version { expected: 1, .. }),
        _ => matches!(flaw, Flaw::Crc { .. }),
    }
}

#[test]
fn every_byte_changed() {
    let mut count = 0;
    // In short: every bit, all of them, and one more that depends on the place.
    let changes = |at: usize| -> Vec<u8> {
        if full() { (1..=255).collect() } else { vec![1, 2, 4, 8, 16, 32, 64, 128, 255, (at % 255) as u8 + 1] }
    };
    for (name, contents) in samples() {
        let mut bytes = contents.file();
        for at in 0..bytes.len() {
            for change in changes(at) {
                bytes[at] ^= change;
                match parse(&bytes) {
                    Err(FileError { at: 0 | 8 | 56 | 60, flaw }) if shown_by_change(at, flaw) => count += 1,
                    other => panic!("{name}: byte {at} changed by {change:#x} gives {other:?}"),
                }
                bytes[at] ^= change;
            }
        }
        assert_eq!(parse(&bytes), Ok(()));
    }
    report("file", "bytes", count, "changed bytes, each noticed", if full() { 600_000 } else { 25_000 });
}

/// Files made by hand from a valid one, with right checksums, and what has to be said about them.
struct Rejects {
    valid: Vec<u8>,
    seen: BTreeSet<String>,
}

impl Rejects {
    fn new(contents: &OwnedContents) -> Self {
        Self { valid: contents.file(), seen: BTreeSet::new() }
    }

    fn expect(&mut self, spoiled: &[u8], at: usize, flaw: Flaw) {
        assert_ne!(spoiled, self.valid);
        let error = FileError { at, flaw };
        assert_eq!(parse(spoiled), Err(error));
        // In front of a page that is not there, and of nothing, a misread shows in Miri and the sanitizer.
        assert_eq!(parse(Lying::new(spoiled, 3).bytes()), Err(error));
        self.seen.insert(format!("{error:?}"));
    }

    /// Other bytes at `at` have a flaw there.
    fn at(&mut self, at: usize, value: &[u8], flaw: Flaw) {
        self.elsewhere(&[(at, value)], at, flaw);
    }

    /// Other bytes at some places have a flaw at one of them, or at another.
    fn elsewhere(&mut self, changes: &[(usize, &[u8])], flaw_at: usize, flaw: Flaw) {
        let mut bytes = self.valid.clone();
        changes.iter().for_each(|&(at, value)| put(&mut bytes, at, value));
        fix_checksums(&mut bytes);
        self.expect(&bytes, flaw_at, flaw);
    }
}

const MAX: [u8; 4] = [0xff; 4];
const INFINITY: [u8; 4] = f32::INFINITY.to_le_bytes();
const NAN: [u8; 4] = f32::NAN.to_le_bytes();

fn number(value: f32) -> [u8; 4] {
    value.to_le_bytes()
}

/// The two entries take 880 bytes: records at 64 and 160, names at 256, metadata at 278, payload at 304 and 592.
fn header_rejects(two: &mut Rejects) {
    use Flaw::{Length, Magic, NotZero, Outside, Version};
    let valid = two.valid.clone();
    two.expect(&[], 0, Flaw::Truncated { expected: 64 });
    two.expect(&valid[..63], 63, Flaw::Truncated { expected: 64 });
    two.expect(&valid[..64], 16, Length { expected: 64 });
    two.at(0, b"LOWRANK\0", Magic);
    two.elsewhere(&[(7, &[1])], 0, Magic);
    two.at(8, &[0, 0], Version { expected: 1, got: 0 });
    two.at(8, &[2, 0], Version { expected: 1, got: 2 });
    two.at(8, &[1, 1], Version { expected: 1, got: 257 });
    two.at(10, &[0, 0], Version { expected: 1, got: 0 });
    two.at(10, &[2, 0], Version { expected: 1, got: 2 });
    two.at(12, &MAX, Outside);
    two.at(12, &[9, 0, 0, 0], Outside);
    two.elsewhere(&[(12, &[3, 0, 0, 0])], 64, Flaw::Offset { expected: 352 });
    two.elsewhere(&[(12, &[0, 0, 0, 0])], 36, Length { expected: 0 });
    two.at(16, &[0; 8], Length { expected: 880 });
    two.at(16, &[0xff; 8], Length { expected: 880 });
    two.at(36, &MAX, Outside);
    two.at(36, &[0x71, 2, 0, 0], Outside); // 625 bytes of names end behind the file
    two.elsewhere(&[(36, &[23, 0, 0, 0]), (40, &[20, 0, 0, 0])], 36, Length { expected: 22 });
    two.elsewhere(&[(36, &[21, 0, 0, 0]), (40, &[22, 0, 0, 0])], 164, Outside);
    two.at(40, &MAX, Outside);
    two.at(40, &[0x5b, 2, 0, 0], Outside); // 603 bytes of metadata
    two.elsewhere(&[(40, &[0, 0, 0, 0])], 104, Flaw::Offset { expected: 288 });
    for at in [44, 50, 55] {
        two.at(at, &[at as u8], NotZero { got: at as u8 });
    }
    // Every bit of both checksums counts.
    for bit in 0..32 {
        for at in [60, 56] {
            let mut crc = valid.clone();
            crc[at + bit / 8] ^= 1 << (bit % 8);
            if at == 56 {
                let header = crc32(&crc[..60]);
                put(&mut crc, 60, &header.to_le_bytes());
            }
            let expected = u32::from_le_bytes(valid[at..at + 4].try_into().unwrap());
            two.expect(&crc, at, Flaw::Crc { expected, got: expected ^ 1 << bit });
        }
    }
}

fn entry_rejects(two: &mut Rejects) {
    use Flaw::{Code, NoBias, NonFinite, NotZero, Offset, Order, Outside, Probability, Scale, Zero};
    let (first, second) = (64, 64 + RECORD);
    two.at(first, &[0, 0, 0, 0], Offset { expected: 256 });
    two.at(second, &MAX, Offset { expected: 267 });
    two.elsewhere(&[(first + 4, &[12])], second, Offset { expected: 268 });
    two.elsewhere(&[(first + 4, &[0])], second, Offset { expected: 256 });
    two.at(first + 4, &[23], Outside);
    two.at(second + 4, &MAX, Outside);
    two.elsewhere(&[(second + 4, &[10]), (267, b"f")], 36, Flaw::Length { expected: 21 });
    two.elsewhere(&[(second + 4, &[10])], second, Order);
    two.elsewhere(&[(256, b"f")], second, Order);
    two.elsewhere(&[(256, b"encoder.fc2")], second + 8, Order);
    two.elsewhere(&[(256, b"encoder.fc2"), (first + 8, &[1])], second + 8, Order);
    for size in [12, 16, 20] {
        two.at(first + size, &[0; 4], Zero);
        two.at(second + size, &[0; 4], Zero);
    }
    // Products of 32 and of 64 bits, and one that does not fit into 64.
    two.elsewhere(&[(first + 12, &MAX)], first + 40, Outside);
    two.elsewhere(&[(second + 16, &MAX)], second + 40, Outside);
    let huge: [(usize, &[u8]); 3] =
        [(first + 12, &MAX), (first + 20, &MAX), (first + 36, &number(8.0 / 4_294_967_295.0))];
    two.elsewhere(&huge, first + 40, Outside);
    two.at(first + 24, &[3], Code { got: 3 });
    two.at(second + 24, &[255], Code { got: 255 });
    two.elsewhere(&[(first + 24, &[0])], first + 36, Scale { expected: 8.0, got: 4.0 });
    two.elsewhere(&[(first + 24, &[2])], first + 36, Scale { expected: 8.0 / 2f32.sqrt(), got: 4.0 });
    two.elsewhere(&[(first + 32, &number(7.0))], first + 36, Scale { expected: 3.5, got: 4.0 });
    two.at(first + 36, &number(-4.0), Scale { expected: 4.0, got: -4.0 });
    two.at(first + 36, &(4f32.to_bits() + 1).to_le_bytes(), Scale { expected: 4.0, got: 4.000_000_5 });
    for at in [25, 26] {
        two.at(first + at, &[0], Code { got: 0 });
        two.at(first + at, &[4], Code { got: 4 });
    }
    for at in [27, 28] {
        two.at(first + at, &[4], Code { got: 4 });
        two.at(second + at, &[255], Code { got: 255 });
    }
    two.at(first + 29, &[1], NotZero { got: 1 });
    two.at(first + 30, &[5], Code { got: 5 });
    two.at(second + 30, &[255], Code { got: 255 });
    two.at(first + 31, &[3 | 8], Code { got: 11 });
    two.at(second + 31, &[1 | 128], Code { got: 129 });
    two.at(second + 31, &[3], NoBias);
    two.at(second + 31, &[2], NoBias);
    for at in [32, 36, 56, 60, 80] {
        two.at(first + at, &INFINITY, NonFinite);
        two.at(second + at, &NAN, NonFinite);
    }
    two.at(first + 40, &[0; 8], Offset { expected: 304 });
    two.at(first + 40, &320u64.to_le_bytes(), Offset { expected: 304 });
    two.at(second + 40, &304u64.to_le_bytes(), Offset { expected: 592 });
    two.at(second + 40, &[0xff; 8], Offset { expected: 592 });
    for p in [1.0, 1.5, -0.25, f32::MAX] {
        two.at(second + 80, &number(p), Probability { got: p });
    }
    for at in [84, 90, 95] {
        two.at(first + at, &[at as u8], NotZero { got: at as u8 });
    }
}

/// What lies behind the table.
fn content_rejects(two: &mut Rejects) {
    use Flaw::{Length, Outside, Padding, Utf8};
    two.at(256, &[0xff], Utf8);
    two.at(270, &[0x80], Utf8);
    two.at(277, &[0xc3], Utf8);
    two.at(266, &[0xc3, 0xa4], Utf8); // one letter over the end of a name
    two.at(278, &[0xc0, 0xaf], Utf8); // longer than it needs to be
    two.at(297, &[0xed, 0xa0], Utf8); // half a surrogate pair
    for at in [299, 303] {
        two.at(at, &[1], Padding { got: 1 });
    }
    // Behind A, B, the bias and their moments; behind A of the second entry.
    for at in [344, 351, 376, 396, 440, 488, 520, 552, 572, 588, 591, 628] {
        two.at(at, &[0x80], Padding { got: 0x80 });
    }
    let resized = |length: usize| {
        let mut bytes = two.valid.clone();
        bytes.resize(length, 0);
        put(&mut bytes, 16, &(length as u64).to_le_bytes());
        fix_checksums(&mut bytes);
        bytes
    };
    let (longer, shorter, shortest) = (resized(896), resized(864), resized(304));
    two.expect(&longer, 16, Length { expected: 880 });
    two.expect(&shorter, 160 + 40, Outside);
    two.expect(&shortest, 64 + 40, Outside);
}

/// Layers without an optimizer speak of none.
fn untrained_rejects(many: &mut Rejects) {
    use Flaw::{Code, NotZero, Offset, Order};
    let third = 64 + 2 * RECORD;
    many.at(third + 31, &[1], Code { got: 1 });
    many.at(third + 31, &[2], Code { got: 2 });
    for at in [48, 55, 56, 59, 60, 63] {
        many.at(third + at, &[at as u8], NotZero { got: at as u8 });
    }
    many.at(third + 8, &[1], Order);
    many.at(third + 8, &[0], Order);
    // With moments of AdamW, what follows would lie elsewhere.
    many.elsewhere(&[(third + 30, &[2]), (third + 31, &[1])], third + RECORD + 40, Offset { expected: 1120 });
    // A type of half the size: the second number of the old one is padding now.
    many.elsewhere(&[(third + 25, &[2]), (1024, &[1; 4])], 1026, Flaw::Padding { got: 1 });
    // Zeros of two signs are two numbers.
    let zeros: [(usize, &[u8]); 2] = [(third + 32, &number(-0.0)), (third + 36, &number(0.0))];
    many.elsewhere(&zeros, third + 36, Flaw::Scale { expected: -0.0, got: 0.0 });
}

#[test]
fn made_by_hand() {
    let mut two = Rejects::new(&two_entries());
    header_rejects(&mut two);
    entry_rejects(&mut two);
    content_rejects(&mut two);
    let mut many = Rejects::new(&many_entries());
    untrained_rejects(&mut many);
    // An error about the same byte of another file is not another error.
    let distinct = two.seen.union(&many.seen).count() as u64;
    report("file", "rejects", distinct, "errors of files made by hand, no two the same", 60);
}

/// Flaws that a reader might invent: unusual files, but right ones.
#[test]
fn unusual_files_are_read() {
    let empty = OwnedContents::default().file();
    assert_eq!((parse(&empty), empty.len()), (Ok(()), 64));
    let only_metadata = OwnedContents { metadata: "\0 €".to_owned(), ..OwnedContents::default() }.file();
    assert_eq!(AdapterFile::parse(&only_metadata).unwrap().metadata(), "\0 €");
    let mut rejects = Rejects::new(&two_entries());
    let mut accept = |at: usize, value: &[u8]| {
        put(&mut rejects.valid, at, value);
        fix_checksums(&mut rejects.valid);
        assert_eq!(parse(&rejects.valid), Ok(()), "{value:?} at {at}");
    };
    accept(24, &[0xff; 8]);
    accept(32, &MAX);
    accept(304, &NAN);
    accept(592, &INFINITY);
    accept(64 + 80, &number(-0.0));
    accept(64 + 80, &number(f32::from_bits(1f32.to_bits() - 1)));
    accept(64 + 48, &[0xff; 8]);
    accept(64 + 56, &number(-1e30));
    accept(64 + 8, &MAX);
    accept(64 + 31, &[7]);
    let empty: Tensor<'_> = Tensor::EMPTY;
    assert_eq!((empty.rows(), empty.cols(), empty.bytes()), (0, 0, Some(&[][..])));
}

/// However many entries have been taken, the iterator says how many are left, and stays at its end.
#[test]
fn entries_that_are_left_are_counted() {
    for (name, contents) in samples() {
        let bytes = contents.file();
        let file = AdapterFile::parse(&bytes).unwrap();
        let mut entries = file.entries();
        for (taken, expected) in contents.entries.iter().enumerate() {
            let left = contents.entries.len() - taken;
            assert_eq!((entries.len(), entries.size_hint()), (left, (left, Some(left))), "{name}");
            assert_eq!(entries.clone().count(), left, "{name}");
            let entry = entries.next().unwrap();
            assert_eq!((entry.name, entry.id), (&expected.name[..], expected.id), "{name}");
        }
        for _ in 0..3 {
            assert_eq!((entries.len(), entries.size_hint()), (0, (0, Some(0))), "{name}");
            assert!(entries.next().is_none(), "{name}");
        }
    }
}
