//! Seals: the marks behind a file that say that it is complete, and which of two files is the newer one.

use super::flash::GRAIN;

/// A slot has so many seals. The first seal belongs to the file, and the others are used when a cut has left a seal in doubt.
pub(super) const SEALS: usize = 4;

/// A seal has so many marks, which are programmed one after the other.
pub(super) const MARKS: usize = 3;

/// From the number of a seal to that of the next one of the same file. The first one has the number of the file, and the next
/// file that of its seal and one: so the seals of two files alternate.
const STEP: u32 = 2;

/// The number of a seal is no further behind the generation of the other file, unless no store has put the two side by side:
/// the last seal of a file, one more for the next file, and the last seal of that.
const FARTHEST: u32 = 2 * STEP * SEALS as u32;

const MAGIC: [u8; 8] = *b"sealed\0\x01";

/// The bytes of each mark of a seal. Where a bit of the number is 0 its complement is 1, so programming that was cut never
/// makes one number of another.
pub(super) const fn mark(number: u32) -> [u8; GRAIN] {
    let [m0, m1, m2, m3, m4, m5, m6, m7] = MAGIC;
    let [n0, n1, n2, n3] = number.to_le_bytes();
    [m0, m1, m2, m3, m4, m5, m6, m7, n0, n1, n2, n3, !n0, !n1, !n2, !n3]
}

/// Returns the number of a mark, and `None` when these bytes are no mark.
fn number(bytes: &[u8; GRAIN]) -> Option<u32> {
    let [.., n0, n1, n2, n3, _, _, _, _] = *bytes;
    let number = u32::from_le_bytes([n0, n1, n2, n3]);
    (mark(number) == *bytes).then_some(number)
}

/// Says whether `a` is the later of two numbers that wrap (RFC 1982).
pub(super) const fn is_later(a: u32, b: u32) -> bool {
    a.wrapping_sub(b).cast_signed() > 0
}

/// Returns the later of two numbers, either of which may be missing.
pub(super) fn latest(a: Option<u32>, b: Option<u32>) -> Option<u32> {
    match (a, b) {
        (Some(a), Some(b)) => Some(if is_later(b, a) { b } else { a }),
        (a, b) => a.or(b),
    }
}

/// The seals of a slot, as they are read once. A seal has as many marks as the place of the last mark that reads right.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Seals {
    /// This is the latest number with one mark or more.
    pub begun: Option<u32>,
    /// This is the latest number with two marks or more.
    pub counts: Option<u32>,
    /// This is the latest number with three marks.
    pub firm: Option<u32>,
    /// These seals are blank.
    pub blank: [bool; SEALS],
}

impl Seals {
    /// Adds the next seal, number `index`.
    pub(super) fn add(&mut self, index: usize, marks: &[[u8; GRAIN]; MARKS]) {
        if let Some(blank) = self.blank.get_mut(index) {
            *blank = marks.as_flattened().iter().all(|&byte| byte == 0xff);
        }
        let [first, second, third] = marks.each_ref().map(number);
        self.begun = latest(self.begun, third.or(second).or(first));
        self.counts = latest(self.counts, third.or(second));
        self.firm = latest(self.firm, third);
    }

    /// Says whether the file stands, whatever becomes of the other slot, whose seals are `other`.
    pub(super) fn stand_above(&self, other: &Seals) -> bool {
        match (self.firm, other.begun) {
            (Some(firm), Some(begun)) => is_later(firm, begun),
            (firm, _) => firm.is_some(),
        }
    }

    /// The blank seals, with their numbers, that would make a file of this generation stand. A seal of a file has one number
    /// only, so that it gets the same bytes if it was begun before and nothing of it can be read.
    pub(super) fn unused_above(&self, other: &Seals, generation: u32) -> impl Iterator<Item = (usize, u32)> {
        let begun = other.begun;
        let is_above = move |number| begun.is_none_or(|begun| is_later(number, begun));
        let first = match begun {
            Some(begun) if !is_above(generation.wrapping_add(FARTHEST)) => begun.wrapping_add(1),
            _ => generation,
        };
        let numbers = (0..SEALS as u32).map(move |index| first.wrapping_add(STEP * index));
        let seals = self.blank.into_iter().zip(numbers).enumerate();
        seals
            .filter(move |(_, (blank, number))| *blank && is_above(*number))
            .map(|(index, (_, number))| (index, number))
    }
}

/// Returns the slots that count, the latest number first.
pub(super) fn candidates([first, second]: &[Seals; 2]) -> impl Iterator<Item = usize> + use<> {
    let (a, b) = (first.counts, second.counts);
    let order = if latest(a, b) == a { [(0, a), (1, b)] } else { [(1, b), (0, a)] };
    order.into_iter().filter_map(|(slot, number)| number.map(|_| slot))
}
