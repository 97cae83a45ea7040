//! Gate 12, continued: errors of the store. What is refused beforehand changes no byte of the flash, and after any error the
//! newest file is still there.

use std::collections::BTreeMap;
use std::ops::Range;

use crate::support::bytes::{fix_checksums, put};
use crate::support::nor::{Fault, Nor, Said};
use crate::support::saved::{Book, Device, Result};
use crate::support::{Rng, mat, report};
use lowrank::format::{Contents, Entry};
use lowrank::store::StoreError;
use lowrank::{Adapter, AdapterFile, FileError, Flaw, Scale, Shape, Store};

/// Write units of 8 bytes, blocks of 512: the first of twelve marks starts 192 bytes before the end of a slot.
type Sim = Device<'static, 8, 512>;
const MARKS: u32 = 192;
const MARK: u32 = 16;

/// Slot 0 has the newest file, with generation 5, slot 1 an older one.
fn device() -> Sim {
    let shapes = [Some(Shape::new(5, 3, 2)), Some(Shape::new(9, 4, 3)), Some(Shape::new(2, 2, 1))];
    let book = Box::leak(Box::new(Book::new(&shapes, &mut Rng(12))));
    let mut device = Sim::new(book, 1, 12);
    device.plant(1, 1, 4);
    device.plant(0, 0, 5);
    device
}

type Call = dyn Fn(&mut Sim) -> Result<()>;

/// What returns the error, of which function, and what about the flash is to be wrong before.
struct Case {
    function: &'static str,
    error: StoreError<Said>,
    spoil: Box<dyn Fn(&mut Sim)>,
    run: Box<Call>,
}

type Run = (&'static str, fn(&mut Sim) -> Result<()>);

const NEWEST: Run = ("Store::newest", |device| device.with(|store| store.newest()).map(drop));
const RECOVER: Run = ("Store::recover", |device| device.with(|store| store.recover()).map(drop));
const SAVE: Run = ("Store::save", |device| device.save(2));
const LOAD: Run = ("Store::load", |device| {
    let mut memory = [0; 1000];
    device.with(|store| store.load(&mut memory).map(drop))
});

fn case((function, run): Run, error: StoreError<Said>, spoil: impl Fn(&mut Sim) + 'static) -> Case {
    Case { function, error, spoil: Box::new(spoil), run: Box::new(run) }
}

/// The kinds of error of each function.
const DOCUMENTED: [(&str, &[&str]); 5] = [
    ("Store::new", &["Unaligned", "Outside", "TooSmall", "Overlap", "Page"]),
    ("Store::newest", &["Flash"]),
    ("Store::recover", &["Flash", "Verify", "NoSealLeft"]),
    ("Store::load", &["Flash", "TooLong", "File"]),
    ("Store::save", &["Contents", "TooLong", "NoSealLeft", "Flash", "Verify"]),
];

/// `Verify` of `Verify { at: 1 }`
fn kind(error: &StoreError<Said>) -> String {
    let text = format!("{error:?}");
    text[..text.find([' ', '(']).unwrap_or(text.len())].to_owned()
}

/// Whether something may have been written before this error.
fn is_late(error: &StoreError<Said>) -> bool {
    matches!(error, StoreError::Flash { .. } | StoreError::Verify { .. })
}

/// Runs the table. Every documented kind of error of every function needs three cases or more.
fn judge(cases: &[Case]) {
    let mut counts: BTreeMap<(&str, String), u64> = BTreeMap::new();
    for (row, Case { function, error, spoil, run }) in cases.iter().enumerate() {
        let mut device = device();
        spoil(&mut device);
        let before = device.nor.bytes();
        assert_eq!(run(&mut device), Err(*error), "{function} row {row}");
        assert!(is_late(error) || device.nor.bytes() == before, "{function} row {row}: something was written");
        device.nor.boot(None);
        device.nor.fault = Fault::None;
        let stored = device.with(|store| store.newest()).unwrap();
        if !matches!(error, StoreError::File(_)) {
            assert!(device.identify(stored).is_some(), "{function} row {row}");
        }
        *counts.entry((function, kind(error))).or_default() += 1;
    }
    for (function, kinds) in DOCUMENTED {
        for documented in kinds {
            let count = counts.remove(&(function, (*documented).to_owned())).unwrap_or(0);
            report("errors", format!("{function} {documented}"), count, "cases, the newest file still there", 3);
        }
    }
    assert!(counts.is_empty(), "errors that no documentation names: {counts:?}");
}

fn construction() -> Vec<Case> {
    let mut cases = Vec::new();
    let mut add = |error, slots: [Range<u32>; 2], page: usize| {
        let run = move |_: &mut Sim| {
            let mut page = vec![0; page];
            Store::new(&mut Nor::<8, 64>::blank(4096, 0), slots.clone(), &mut page).map(drop)
        };
        cases.push(Case { function: "Store::new", error, spoil: Box::new(|_| {}), run: Box::new(run) });
    };
    let (capacity, needed) = (4096, 256);
    for (slot, slots) in [(0, [8..512, 512..1024]), (0, [0..500, 512..1024]), (1, [0..512, 512..1023])] {
        add(StoreError::Unaligned { slot, multiple_of: 64 }, slots, 128);
    }
    #[expect(clippy::reversed_empty_ranges, reason = "it is what the case is about")]
    for (slot, slots) in [(0, [0..4160, 512..1024]), (1, [0..512, 512..256]), (1, [0..512, 512..1 << 31])] {
        add(StoreError::Outside { slot, capacity }, slots, 128);
    }
    for (slot, slots) in [(0, [0..192, 512..1024]), (0, [64..64, 512..1024]), (1, [0..512, 512..576])] {
        add(StoreError::TooSmall { slot, needed }, slots, 128);
    }
    for slots in [[0..512, 0..512], [0..512, 448..960], [512..2048, 1024..1280]] {
        add(StoreError::Overlap, slots, 128);
    }
    for got in [0, 64, 127, 160] {
        add(StoreError::Page { multiple_of: 64, got }, [0..512, 512..1024], got);
    }
    cases
}

/// Reads that fail: a mark of each slot, and the header.
fn reads(run: Run) -> Vec<Case> {
    let [first, second] = device().slots;
    [(0, first.end - MARKS), (13, second.end - MARKS + MARK), (24, first.start)]
        .map(|(call, at)| {
            let error = StoreError::Flash { at, error: Said::Broken };
            case(run, error, move |device| device.nor.fault = Fault::Fails(call))
        })
        .into()
}

/// Makes marks of the newest file wrong, counted over all its seals.
fn spoil_marks(device: &mut Sim, marks: &[u32]) {
    for mark in marks {
        device.nor.plant((device.slots[0].end - MARKS + MARK * mark) as usize, &[0; 4]);
    }
}

/// The newest file is in doubt for want of a mark, and its other seals are taken.
fn without_seal(run: Run) -> Vec<Case> {
    let all_but_two: &'static [u32] = &[2, 3, 4, 5, 6, 7, 8, 9, 10, 11];
    let marks: [&'static [u32]; 3] = [&[2, 3, 6, 9], &[2, 4, 8, 11], all_but_two];
    marks.map(|marks| case(run, StoreError::NoSealLeft { slot: 0 }, move |device| spoil_marks(device, marks))).into()
}

fn recovery() -> Vec<Case> {
    let mut cases = reads(NEWEST);
    cases.extend(reads(RECOVER));
    cases.extend(without_seal(RECOVER));
    for mark in 0..3 {
        // The last seal is the only one left, and one of its marks does not get there.
        let at = device().slots[0].end - 3 * MARK + MARK * mark;
        cases.push(case(RECOVER, StoreError::Verify { at }, move |device| {
            spoil_marks(device, &[2, 3, 6]);
            device.nor.fault = Fault::Ignored(mark.into());
        }));
    }
    cases
}

fn loading() -> Vec<Case> {
    let mut cases = Vec::new();
    let slot = device().slots[0].clone();
    // In vain again after the first failure; the copy into memory at the end.
    for (fault, at) in [
        (Fault::Breaks(0), slot.end - MARKS),
        (Fault::Breaks(24), slot.end - MARKS),
        (Fault::Breaks(27), slot.start),
        (Fault::Fails(27), slot.start),
    ] {
        let error = StoreError::Flash { at, error: Said::Broken };
        cases.push(case(LOAD, error, move |device| device.nor.fault = fault));
    }
    let needed = device().book.file(0, 5).len();
    for available in [0, 64, needed - 1] {
        let run = move |device: &mut Sim| {
            let mut memory = vec![0xa5; available];
            let result = device.with(|store| store.load(&mut memory).map(drop));
            assert!(memory.iter().all(|&byte| byte == 0xa5));
            result
        };
        let error = StoreError::TooLong { needed, available };
        cases.push(Case { function: LOAD.0, error, spoil: Box::new(|_| {}), run: Box::new(run) });
    }
    // A rank of 0, a mode of the scale that is none, something reserved.
    for (at, value) in [(64 + 20, 0), (64 + 24, 9), (64 + 84, 1)] {
        let mut file = device().book.file(0, 5);
        put(&mut file, at, &[value]);
        fix_checksums(&mut file);
        let error = StoreError::File(AdapterFile::parse(&file).unwrap_err());
        cases.push(case(LOAD, error, move |device| device.nor.plant(device.slots[0].start as usize, &file)));
    }
    cases
}

/// Saves contents of a layer `[inputs, outputs]` of rank 1, with one thing wrong about it.
fn refused(error: StoreError<Said>, (inputs, outputs): (usize, usize), spoil: fn(&mut Entry<'_>)) -> Case {
    let run = move |device: &mut Sim| {
        let (a, b) = (vec![1.0; inputs], vec![1.0; outputs]);
        let adapter = Adapter { a: mat(&a, 1, inputs), b: mat(&b, outputs, 1), bias: None, scale: 1.0 };
        let mut entry = Entry { scale: Scale::Alpha(1.0), ..Entry::of("", &adapter) };
        spoil(&mut entry);
        let contents = Contents { entries: &[entry], metadata: "", fingerprint: 0, generation: 0 };
        device.with(|store| store.save(&contents).map(drop))
    };
    Case { function: SAVE.0, error, spoil: Box::new(|_| {}), run: Box::new(run) }
}

fn saving() -> Vec<Case> {
    let file = |at: usize, flaw| StoreError::Contents(FileError { at: 64 + at, flaw }.into());
    let mut cases = vec![
        refused(file(32, Flaw::NonFinite), (4, 4), |entry| entry.scale = Scale::Alpha(f32::NAN)),
        refused(file(80, Flaw::Probability { got: 1.0 }), (4, 4), |entry| entry.random.dropout = 1.0),
        refused(file(12, Flaw::Zero), (0, 4), |_| {}),
    ];
    let available = device().with(|store| store.capacity());
    // The last one is too long by one tensor's padding.
    for inputs in [1000, 400, (available - 64 - 96 - 16) / 4 + 1] {
        let needed = 64 + 96 + (4 * inputs).next_multiple_of(16) + 16;
        cases.push(refused(StoreError::TooLong { needed, available }, (inputs, 1), |_| {}));
    }
    cases.extend(without_seal(SAVE));
    cases.extend(reads(SAVE));
    let slot = device().slots[1].clone();
    // What was not erased, not programmed, and not sealed.
    for (ignored, at) in [(0, slot.end - MARKS), (1, slot.start + 64), (5, slot.end - MARKS)] {
        cases.push(case(SAVE, StoreError::Verify { at }, move |device| device.nor.fault = Fault::Ignored(ignored)));
    }
    cases
}

#[test]
fn errors_leave_the_newest_file() {
    let mut cases = construction();
    cases.extend(recovery());
    cases.extend(loading());
    cases.extend(saving());
    judge(&cases);
}

/// What people will read.
#[test]
fn texts() {
    let file = FileError { at: 0, flaw: Flaw::Magic };
    let texts = [
        (StoreError::Flash { at: 0x1_0000, error: Said::Broken }, "the flash failed at 0x10000: Broken"),
        (StoreError::Verify { at: 0x1f }, "the flash does not hold at 0x1f what was written there"),
        (StoreError::File(file), "File: byte 0 (magic): no adapter file"),
        (StoreError::Contents(file.into()), "File: byte 0 (magic): no adapter file"),
        (StoreError::TooLong { needed: 300, available: 200 }, "the file has 300 bytes, but there are 200"),
        (StoreError::NoSealLeft { slot: 1 }, "slot 1: all seals are used up"),
        (StoreError::Unaligned { slot: 0, multiple_of: 512 }, "slot 0: its bounds have to be multiples of 512"),
        (StoreError::Outside { slot: 1, capacity: 4096 }, "slot 1: does not lie within the 4096 bytes of the flash"),
        (StoreError::TooSmall { slot: 1, needed: 256 }, "slot 1: at least 256 bytes are needed"),
        (StoreError::Overlap, "the slots overlap"),
        (StoreError::Page { multiple_of: 64, got: 1 }, "page: expected a multiple of 64 bytes, at least two, got 1"),
    ];
    for (error, text) in texts {
        assert_eq!(error.to_string(), text);
    }
}
