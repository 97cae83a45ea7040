//! A device that saves adapters in a simulated flash, and knows which of them it may find.

use std::ops::{AddAssign, Range};

use lowrank::store::{Stored, page_len, slot_len};
use lowrank::{Contents, Dtype, Flash, Shape, Store, StoreError};

use super::Rng;
use super::bytes::{crc32, put};
use super::files::{OwnedContents, OwnedEntry};
use super::nor::{Nor, Said};

pub(crate) type Result<T> = std::result::Result<T, StoreError<Said>>;

/// Contents to choose from, all of different bytes, and the file of each with generation 0.
#[derive(Clone, Debug)]
pub(crate) struct Book {
    pub(crate) contents: Vec<OwnedContents>,
    files: Vec<Vec<u8>>,
}

impl Book {
    /// Files of these shapes, or without any layer.
    pub(crate) fn new(shapes: &[Option<Shape>], rng: &mut Rng) -> Self {
        let contents: Vec<OwnedContents> = shapes
            .iter()
            .enumerate()
            .map(|(i, shape)| OwnedContents {
                entries: shape.iter().map(|&shape| OwnedEntry::new("layer", shape, Dtype::F32, rng)).collect(),
                metadata: format!("{i}"),
                fingerprint: rng.next(),
                generation: 0,
            })
            .collect();
        let files = contents.iter().map(OwnedContents::file).collect();
        Self { contents, files }
    }

    pub(crate) fn file(&self, index: usize, generation: u32) -> Vec<u8> {
        let mut bytes = self.files[index].clone();
        put(&mut bytes, 32, &generation.to_le_bytes());
        let crc = crc32(&bytes[..60]);
        put(&mut bytes, 60, &crc.to_le_bytes());
        bytes
    }

    pub(crate) fn longest(&self) -> usize {
        self.files.iter().map(Vec::len).max().unwrap()
    }
}

/// How often something happened.
#[derive(Copy, Clone, Debug, Default)]
pub(crate) struct Tally {
    pub(crate) saves: u64,
    pub(crate) recoveries: u64,
    pub(crate) cuts: u64,
    pub(crate) sealed_again: u64,
    pub(crate) cut_sealing_again: u64,
    pub(crate) new: u64,
    pub(crate) old: u64,
    pub(crate) without_seal: u64,
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Tally) {
        let Tally { saves, recoveries, cuts, sealed_again, cut_sealing_again, new, old, without_seal } = other;
        self.saves += saves;
        self.recoveries += recoveries;
        self.cuts += cuts;
        self.sealed_again += sealed_again;
        self.cut_sealing_again += cut_sealing_again;
        self.new += new;
        self.old += old;
        self.without_seal += without_seal;
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Device<'b, const WRITE: usize, const ERASE: usize> {
    pub(crate) nor: Nor<WRITE, ERASE>,
    pub(crate) slots: [Range<u32>; 2],
    pub(crate) book: &'b Book,
    page: usize,
    /// What may be found: entries of the book, or nothing.
    pub(crate) allowed: Vec<Option<usize>>,
    pub(crate) tally: Tally,
}

/// Bytes that belong to nobody, around the slots.
const FOREIGN: u8 = 0x5a;

impl<'b, const WRITE: usize, const ERASE: usize> Device<'b, WRITE, ERASE> {
    /// A blank flash with two slots for files of the book, and something else before, between and behind them.
    pub(crate) fn new(book: &'b Book, pages: usize, seed: u64) -> Self {
        let len = slot_len::<Nor<WRITE, ERASE>>(book.longest()).unwrap();
        let block = ERASE.max(16);
        let starts = [block, 2 * block + len];
        let mut nor = Nor::blank(3 * block + 2 * len, seed);
        [0, block + len, 2 * (block + len)].into_iter().for_each(|at| nor.plant(at, &vec![FOREIGN; block]));
        Self {
            nor,
            slots: starts.map(|start| start as u32..(start + len) as u32),
            book,
            page: pages * page_len::<Nor<WRITE, ERASE>>(),
            allowed: vec![None],
            tally: Tally::default(),
        }
    }

    /// Puts a file with one whole seal into a slot, as the page of the store says.
    pub(crate) fn plant(&mut self, slot: usize, index: usize, generation: u32) {
        let Range { start, end } = self.slots[slot].clone();
        self.nor.plant(start as usize, &self.book.file(index, generation));
        let mut mark = b"sealed\0\x01".to_vec();
        mark.extend(generation.to_le_bytes());
        mark.extend((!generation).to_le_bytes());
        let stride = WRITE.max(16);
        (0..3).for_each(|place| self.nor.plant(end as usize - (12 - place) * stride, &mark));
        self.allowed = vec![Some(index)];
    }

    pub(crate) fn with<T>(&mut self, work: impl FnOnce(&mut Store<'_, &mut Nor<WRITE, ERASE>>) -> T) -> T {
        let mut page = vec![0xa5; self.page];
        work(&mut Store::new(&mut self.nor, self.slots.clone(), &mut page).unwrap())
    }

    /// Nothing but the slots has been touched.
    pub(crate) fn check_foreign(&self) {
        let (bytes, [first, second]) = (self.nor.bytes(), &self.slots);
        let around = [0..first.start, first.end..second.start, second.end..bytes.len() as u32];
        let mut foreign = around.into_iter().flat_map(|range| &bytes[range.start as usize..range.end as usize]);
        assert!(foreign.all(|&byte| byte == FOREIGN));
    }

    /// An entry of the book that may not be found yet.
    pub(crate) fn another(&self) -> usize {
        (0..self.book.contents.len()).find(|&index| !self.allowed.contains(&Some(index))).unwrap()
    }

    /// The entry of the book that was found; it has to be one of those that may be.
    pub(crate) fn identify(&mut self, stored: Option<Stored>) -> Option<usize> {
        let Some(stored) = stored else {
            assert!(self.allowed.contains(&None), "nothing found, but it may be {:?}", self.allowed);
            return None;
        };
        let mut bytes = vec![0; stored.len];
        let fault = std::mem::take(&mut self.nor.fault);
        self.nor.read(stored.at, &mut bytes).unwrap();
        self.nor.fault = fault;
        assert_eq!(stored.range(), stored.at as usize..stored.at as usize + stored.len);
        let is_it = |index: usize| self.book.file(index, stored.generation) == bytes;
        let found = self.allowed.iter().flatten().copied().find(|&index| is_it(index));
        assert!(found.is_some(), "{stored:?} is none of {:?}", self.allowed);
        found
    }

    /// What is found now will be found from now on.
    pub(crate) fn recover(&mut self) -> Result<Option<usize>> {
        self.tally.recoveries += 1;
        let before = self.nor.steps;
        let result = self.with(|store| store.recover());
        if self.nor.steps > before {
            self.tally.sealed_again += 1;
            self.tally.cut_sealing_again += u64::from(self.nor.is_dead());
        }
        let stored = result?;
        let found = self.identify(stored);
        if self.allowed.len() > 1 {
            if found == self.allowed[0] { self.tally.old += 1 } else { self.tally.new += 1 }
        }
        // Nothing cannot be sealed.
        if found.is_some() {
            self.allowed = vec![found];
        }
        Ok(found)
    }

    /// Saves an entry of the book. From now on it may be found; once this has returned, nothing else may.
    pub(crate) fn save(&mut self, index: usize) -> Result<()> {
        self.tally.saves += 1;
        let contents = &self.book.contents[index];
        let result = contents.borrowed(|contents| {
            let contents = Contents { generation: 1234, ..contents };
            self.with(|store| store.save(&contents))
        });
        self.allowed.push(Some(index));
        self.tally.cuts += u64::from(self.nor.is_dead());
        let stored = result?;
        self.allowed = vec![Some(index)];
        self.identify(Some(stored));
        Ok(())
    }
}
