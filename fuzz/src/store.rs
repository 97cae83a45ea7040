//! The two slots in flash: whatever is in them, and wherever the driver fails.

use std::ops::Range;

use arbitrary::Arbitrary;
use lowrank::format::{AdapterFile, Contents, Entry};
use lowrank::store::{Flash, Store, StoreError, Stored, page_len};
use lowrank::{Adapter, MatRef};

use crate::data::{Scalar, UpTo};

const ERASE: usize = 256;
const SLOT: usize = 4 * ERASE;
const GAP: usize = ERASE;
const CAPACITY: usize = 2 * SLOT + 3 * GAP;
/// Slots do not touch each other or the ends of the flash, so that an access outside of them is seen.
const SLOTS: [Range<u32>; 2] = [GAP as u32..(GAP + SLOT) as u32, (2 * GAP + SLOT) as u32..(2 * GAP + 2 * SLOT) as u32];

/// A case of this target.
#[derive(Debug, Arbitrary)]
pub struct Case {
    write: Unit,
    pages: UpTo<2>,
    /// Near the numbers of all seals: numbers all around the ring cannot be told to be later or earlier.
    base: u32,
    image: Vec<Scribble>,
    calls: Vec<Call>,
}

/// Bytes of a write unit.
#[derive(Debug, Arbitrary)]
enum Unit {
    One,
    Eight,
    ThirtyTwo,
}

/// What was done to the flash before.
#[derive(Debug, Arbitrary)]
enum Scribble {
    Bytes { at: u16, bytes: Vec<u8> },
    Mark { slot: bool, seal: UpTo<3>, mark: UpTo<2>, number: i8 },
    File { slot: bool, file: File, generation: i8 },
}

/// A call, with the number of accesses after which the driver fails.
#[derive(Debug, Arbitrary)]
struct Call {
    kind: Kind,
    fails_after: Option<u8>,
}

#[derive(Debug, Arbitrary)]
enum Kind {
    Newest,
    Recover,
    Load { room: u16 },
    Save(File),
}

/// Contents with one layer.
#[derive(Debug, Arbitrary)]
struct File {
    name: UpTo<40>,
    numbers: Vec<Scalar>,
}

impl File {
    fn with<R>(&self, generation: u32, use_it: impl FnOnce(&Contents<'_>) -> R) -> R {
        let numbers: Vec<f32> = self.numbers.iter().map(|number| number.value()).collect();
        let (name, inputs) = ("n".repeat(self.name.0), numbers.len());
        let a = MatRef::new(&numbers, 1, inputs).unwrap();
        let adapter = Adapter { a, b: MatRef::from_rows(&[[1.0]]), bias: None, scale: 1.0 };
        use_it(&Contents { entries: &[Entry::of(&name, &adapter)], metadata: "", fingerprint: 7, generation })
    }
}

impl Case {
    pub fn check(self) {
        match self.write {
            Unit::One => self.run::<1>(),
            Unit::Eight => self.run::<8>(),
            Unit::ThirtyTwo => self.run::<32>(),
        }
    }

    fn run<const WRITE: usize>(self) {
        let mut flash = Nor::<WRITE> { bytes: vec![0xff; CAPACITY], accesses_left: None };
        for scribble in &self.image {
            flash.scribble(scribble, self.base);
        }
        for range in gaps() {
            flash.bytes[range].fill(0xa5);
        }
        let mut page = vec![0; page_len::<Nor<WRITE>>() * (1 + self.pages.0)];
        for call in &self.calls {
            check_call(call, &mut flash, &mut page);
            assert!(gaps().into_iter().all(|range| flash.bytes[range].iter().all(|&byte| byte == 0xa5)));
        }
    }
}

fn gaps() -> [Range<usize>; 3] {
    let [first, second] = SLOTS.map(|slot| slot.start as usize..slot.end as usize);
    [0..first.start, first.end..second.start, second.end..CAPACITY]
}

fn check_call<const WRITE: usize>(call: &Call, flash: &mut Nor<WRITE>, page: &mut [u8]) {
    let old = Store::new(&mut *flash, SLOTS, page).unwrap().newest().unwrap();
    let before = flash.bytes.clone();
    flash.accesses_left = call.fails_after;
    let mut store = Store::new(&mut *flash, SLOTS, page).unwrap();
    let saved = match &call.kind {
        Kind::Newest => {
            if let Ok(newest) = store.newest() {
                assert_eq!(newest, old);
            }
            Saved::Not
        }
        Kind::Recover => {
            if let Ok(recovered) = store.recover() {
                assert_eq!(recovered, old);
            }
            Saved::Not
        }
        Kind::Load { room } => {
            let mut memory = vec![0xa5; usize::from(*room)];
            match store.load(&mut memory) {
                Ok(file) => assert_eq!(file.is_some(), old.is_some()),
                Err(StoreError::TooLong { needed, available }) => {
                    assert_eq!((needed, available), (old.unwrap().len, memory.len()));
                    assert!(memory.iter().all(|&byte| byte == 0xa5));
                }
                Err(StoreError::File(_) | StoreError::Flash { .. }) => {}
                Err(other) => panic!("{other}"),
            }
            Saved::Not
        }
        Kind::Save(file) => check_save(&mut store, file, old),
    };
    flash.accesses_left = None;
    if matches!(call.kind, Kind::Newest) {
        assert!(flash.bytes == before, "looking for the newest file wrote");
    }
    // The newest file is there as it was, and what is found is that, or the one that was being saved.
    if let Some(old) = old {
        assert!(flash.bytes[old.range()] == before[old.range()], "the newest file was changed");
    }
    let found = Store::new(&mut *flash, SLOTS, page).unwrap().newest().unwrap();
    match saved {
        Saved::As(saved) => assert_eq!(found, Some(saved)),
        Saved::Cut if found != old => {
            let found = found.expect("the newest file is no longer found");
            assert!(old.is_none_or(|old| old.slot != found.slot && old.generation != found.generation));
        }
        Saved::Cut | Saved::Not => assert_eq!(found, old),
    }
    if let Some(found) = found
        && let Ok(file) = AdapterFile::parse(&flash.bytes[found.range()])
    {
        assert_eq!(file.generation(), found.generation);
    }
}

enum Saved {
    /// Nothing was to be saved, or it was refused.
    Not,
    /// The driver failed.
    Cut,
    As(Stored),
}

fn check_save<const WRITE: usize>(store: &mut Store<'_, &mut Nor<WRITE>>, file: &File, old: Option<Stored>) -> Saved {
    let capacity = store.capacity();
    file.with(0, |contents| {
        let len = contents.encoded_len();
        match store.save(contents) {
            Ok(stored) => {
                assert_eq!(len, Ok(stored.len));
                assert!(old.is_none_or(|old| old.slot != stored.slot), "the newest file was overwritten");
                let mut memory = vec![0; capacity];
                let read = store.load(&mut memory);
                if let Ok(read) = read {
                    let read = read.expect("what was saved is not found");
                    assert_eq!(read.generation(), stored.generation);
                    assert_eq!(read.entries().map(|layer| layer.a.cols()).collect::<Vec<_>>(), [file.numbers.len()]);
                }
                Saved::As(stored)
            }
            Err(StoreError::Contents(error)) => {
                assert_eq!(len, Err(error));
                Saved::Not
            }
            Err(StoreError::TooLong { needed, available }) => {
                assert_eq!((Ok(needed), available), (len, capacity));
                assert!(needed > available);
                Saved::Not
            }
            Err(StoreError::NoSealLeft { .. }) => Saved::Not,
            Err(StoreError::Flash { .. }) => Saved::Cut,
            Err(other) => panic!("{other}"),
        }
    })
}

/// A flash that minds its manners: units are programmed once, blocks erased as a whole, and nothing outside of the slots.
struct Nor<const WRITE: usize> {
    bytes: Vec<u8>,
    /// How many erases and programs, and reads, succeed.
    accesses_left: Option<u8>,
}

impl<const WRITE: usize> Nor<WRITE> {
    fn scribble(&mut self, scribble: &Scribble, base: u32) {
        let start = |slot: &bool| SLOTS[usize::from(*slot)].start as usize;
        match scribble {
            Scribble::Bytes { at, bytes } => {
                let at = usize::from(*at) % CAPACITY;
                let len = bytes.len().min(CAPACITY - at);
                self.bytes[at..][..len].copy_from_slice(&bytes[..len]);
            }
            Scribble::Mark { slot, seal, mark, number } => {
                let (unit, number) = (WRITE.max(16), base.wrapping_add_signed((*number).into()));
                let at = start(slot) + SLOT - (12 - (seal.0 * 3 + mark.0)) * unit;
                self.bytes[at..][..8].copy_from_slice(b"sealed\0\x01");
                self.bytes[at + 8..][..4].copy_from_slice(&number.to_le_bytes());
                self.bytes[at + 12..][..4].copy_from_slice(&(!number).to_le_bytes());
            }
            Scribble::File { slot, file, generation } => {
                file.with(base.wrapping_add_signed((*generation).into()), |contents| {
                    if contents.encoded_len().is_ok_and(|len| len <= SLOT) {
                        contents.emit(&mut self.bytes[start(slot)..][..SLOT]).unwrap();
                    }
                })
            }
        }
    }

    fn inside(at: u32, len: usize) -> Range<usize> {
        let range = at as usize..at as usize + len;
        assert!(
            SLOTS.iter().any(|slot| slot.start as usize <= range.start && range.end <= slot.end as usize),
            "{range:?}"
        );
        range
    }

    fn fails(&mut self) -> bool {
        match &mut self.accesses_left {
            Some(0) => true,
            Some(left) => {
                *left -= 1;
                false
            }
            None => false,
        }
    }
}

impl<const WRITE: usize> Flash for Nor<WRITE> {
    type Error = ();
    const WRITE: usize = WRITE;
    const ERASE: usize = ERASE;

    fn capacity(&self) -> usize {
        CAPACITY
    }

    fn read(&mut self, at: u32, into: &mut [u8]) -> Result<(), ()> {
        let range = Self::inside(at, into.len());
        assert!(at.is_multiple_of(16) && into.len().is_multiple_of(16));
        if self.fails() {
            return Err(());
        }
        into.copy_from_slice(&self.bytes[range]);
        Ok(())
    }

    fn erase(&mut self, from: u32, to: u32) -> Result<(), ()> {
        let range = Self::inside(from, (to - from) as usize);
        assert!(range.start.is_multiple_of(ERASE) && range.end.is_multiple_of(ERASE));
        let end = if self.fails() { range.start + ERASE / 2 } else { range.end };
        self.bytes[range.start..end].fill(0xff);
        if end == range.end { Ok(()) } else { Err(()) }
    }

    fn program(&mut self, at: u32, bytes: &[u8]) -> Result<(), ()> {
        let range = Self::inside(at, bytes.len());
        assert!(range.start.is_multiple_of(WRITE) && bytes.len().is_multiple_of(WRITE));
        for (unit, new) in self.bytes[range.clone()].chunks(WRITE).zip(bytes.chunks(WRITE)) {
            assert!(unit.iter().all(|&byte| byte == 0xff) || unit == new, "programmed twice");
        }
        let len = if self.fails() { bytes.len() / 2 } else { bytes.len() };
        self.bytes[range.start..][..len].copy_from_slice(&bytes[..len]);
        if len == bytes.len() { Ok(()) } else { Err(()) }
    }
}
