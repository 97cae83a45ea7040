//! Gate 18, continued: a flash that returns errors, that does not do what it was told to, or that holds just anything.

use crate::support::bytes::{crc32, fix_checksums, put};
use crate::support::nor::{Fault, Nor, Said};
use crate::support::saved::{Book, Device, Result};
use crate::support::{Rng, full, report};
use lowrank::format::Contents;
use lowrank::store::{StoreError, page_len, slot_len};
use lowrank::{AdapterFile, Shape, Store};

const WRITE: usize = 8;
const ERASE: usize = 256;
type Sim<'b> = Device<'b, WRITE, ERASE>;

fn book() -> Book {
    let rng = &mut Rng(28);
    Book::new(&[Some(Shape::new(9, 5, 2)), Some(Shape::new(5, 3, 2)), None, Some(Shape::new(3, 3, 1))], rng)
}

/// A device on which entry 0 has been replaced by entry 1.
fn used(book: &Book) -> Sim<'_> {
    let mut device = Sim::new(book, 1, 5);
    device.save(0).unwrap();
    device.save(1).unwrap();
    device
}

/// Saves with this fault; then the newest file is what it may be, and saving works again.
fn save_with(mut device: Sim<'_>, fault: Fault) -> Result<()> {
    device.nor.fault = fault;
    let result = device.save(2);
    let hit = device.nor.fault == Fault::None;
    assert_eq!(result.is_err(), hit, "{fault:?}: {result:?}");
    device.nor.fault = Fault::None;
    device.nor.boot(None);
    if result.is_ok() {
        device.allowed = vec![Some(2)];
    }
    device.recover().unwrap();
    device.save(3).unwrap();
    device.nor.boot(None);
    assert_eq!(device.recover(), Ok(Some(3)));
    device.check_foreign();
    result
}

/// Each read, erase and program of a save fails once, without an effect and without a cut.
#[test]
fn errors_of_the_flash() {
    let book = book();
    for device in [used(&book), Sim::new(&book, 1, 6)] {
        let mut failed = 0;
        while let Err(error) = save_with(device.clone(), Fault::Fails(failed)) {
            assert!(matches!(error, StoreError::Flash { error: Said::Broken, .. }), "{error}");
            failed += 1;
        }
        report("flash", "flash", failed, "calls of the flash that failed in a save, old or new file there", 50);
    }
}

/// Reading at boot fails once: nothing is found then, and nothing is wrong afterwards.
#[test]
fn errors_at_boot() {
    let book = book();
    let (mut device, mut failed) = (used(&book), 0);
    loop {
        device.nor.fault = Fault::Fails(failed);
        let result = device.recover();
        if std::mem::take(&mut device.nor.fault) != Fault::None {
            assert_eq!(result, Ok(Some(1)));
            break;
        }
        assert!(matches!(result, Err(StoreError::Flash { error: Said::Broken, .. })));
        assert_eq!(device.recover(), Ok(Some(1)));
        failed += 1;
    }
    report("flash", "flash", failed, "reads that failed at boot, the file found afterwards", 20);
}

/// Each program and erase does nothing once, and says that all is well: reading back finds it, where it is.
#[test]
fn what_was_not_done_is_found() {
    let book = book();
    let device = used(&book);
    let victim = device.slots[0].clone();
    let mut found = Vec::new();
    while let Err(error) = save_with(device.clone(), Fault::Ignored(found.len() as u64)) {
        let StoreError::Verify { at } = error else { panic!("{error}") };
        assert!(victim.contains(&at));
        found.push(at);
    }
    report("flash", "flash", found.len() as u64, "erases and programs that did nothing, found by reading back", 6);
    // The erase, found by the first seal; the file, its header; three marks.
    let (seals, start) = (victim.end - 12 * 16, victim.start);
    let (body, ends) = found[1..].split_at(found.len() - 5);
    assert_eq!((found[0], ends), (seals, &[start, seals, seals + 16, seals + 32][..]));
    assert!(body.is_sorted() && body[0] == start + 64);
}

/// One bit of the newest file or its seal has rotted: the older file is found, and the rotten one never again.
#[test]
fn rotten_bits() {
    let book = book();
    let device = used(&book);
    let slot = device.slots[1].clone();
    let mut rotten = 0;
    for at in slot.start..slot.start + book.file(1, 0).len() as u32 {
        for bit in 0..8 {
            let mut device = device.clone();
            let byte = device.nor.bytes()[at as usize];
            device.nor.plant(at as usize, &[byte ^ 1 << bit]);
            device.allowed = vec![Some(0)];
            assert_eq!(device.recover(), Ok(Some(0)));
            device.nor.plant(at as usize, &[byte]);
            assert_eq!(device.recover(), Ok(Some(0)));
            rotten += 1;
        }
    }
    report("flash", "flash", rotten, "rotten bits", 1000);
}

/// Every bit of both checksums of the newest file counts: the older file is found.
#[test]
fn checksums_are_compared_to_the_last_bit() {
    let book = book();
    let device = used(&book);
    let slot = device.slots[1].clone();
    for (at, bit) in [56, 60].into_iter().flat_map(|at| (0..32).map(move |bit| (at, bit))) {
        let mut device = device.clone();
        let mut header = device.nor.bytes()[slot.start as usize..][..64].to_vec();
        header[at + bit / 8] ^= 1 << (bit % 8);
        if at == 56 {
            let crc = crc32(&header[..60]);
            put(&mut header, 60, &crc.to_le_bytes());
        }
        device.nor.plant(slot.start as usize, &header);
        device.allowed = vec![Some(0)];
        assert_eq!(device.recover(), Ok(Some(0)), "bit {bit} of the checksum at {at}");
    }
}

/// The newest file is in doubt for want of its third mark: the first blank seal that can be verified makes it stand, whichever
/// of its marks the flash swallows in the one before. It has the number that belongs to its place, and the next save takes the
/// number after it.
#[test]
fn a_seal_that_cannot_be_verified_is_followed_by_the_next_one() {
    let book = book();
    for (taken, swallowed) in (0..3).flat_map(|taken| [None, Some(0), Some(1), Some(2)].map(|mark| (taken, mark))) {
        let mut device = Sim::new(&book, 1, 5);
        device.plant(0, 0, 5);
        device.plant(1, 1, 6);
        let end = device.slots[1].end as usize;
        let place = |seal: usize, mark: usize| end - 192 + 48 * seal + 16 * mark;
        device.nor.plant(place(0, 2), &[0xff; 16]);
        (1..=taken).for_each(|seal| device.nor.plant(place(seal, 0), &[0]));
        device.nor.fault = swallowed.map_or(Fault::None, Fault::Ignored);

        let seal = 1 + taken + usize::from(swallowed.is_some());
        let (found, at) = (device.recover(), format!("{taken} seals taken, mark {swallowed:?} swallowed"));
        if seal > 3 {
            assert_eq!(found, Err(StoreError::Verify { at: place(3, swallowed.unwrap() as usize) as u32 }), "{at}");
            continue;
        }
        assert_eq!(found, Ok(Some(1)), "{at}");
        let number = 6 + 2 * seal as u32;
        let mark = [&b"sealed\0\x01"[..], &number.to_le_bytes(), &(!number).to_le_bytes()].concat();
        assert_eq!(device.nor.bytes()[place(seal, 0)..place(seal, 3)], mark.repeat(3), "{at}");
        device.nor.boot(None);
        device.save(2).unwrap();
        let stored = device.with(|store| store.recover()).unwrap().unwrap();
        assert_eq!((stored.slot, stored.generation), (0, number + 1), "{at}");
    }
}

/// The other slot has a mark whose number is so much later than the newest file: the first seal of the file with a later number
/// makes it stand. Numbers belong to their places, so there may be none. Two slots that no store has put side by side may be
/// further apart: then any later number will do.
#[test]
fn the_first_seal_with_a_later_number_makes_a_file_stand() {
    let book = book();
    for (generation, ahead) in
        [5, u32::MAX - 2, i32::MAX as u32 - 3].into_iter().flat_map(|g| (-9..40).map(move |d| (g, d)))
    {
        let mut device = Sim::new(&book, 1, 5);
        device.plant(0, 0, generation);
        let number = |ahead: i32| generation.wrapping_add_signed(ahead);
        let mark = |number: u32| [&b"sealed\0\x01"[..], &number.to_le_bytes(), &(!number).to_le_bytes()].concat();
        device.nor.plant(device.slots[1].end as usize - 192, &mark(number(ahead)));

        let seals = device.slots[0].end as usize - 192;
        let before = device.nor.bytes();
        let (found, at) = (device.recover(), format!("{ahead} later than {generation}"));
        let programmed = |seal: i32| {
            let mut expected = before.clone();
            put(&mut expected, seals + 48 * seal as usize, &mark(number(2 * seal)).repeat(3));
            expected
        };
        let expected = match ahead {
            ..0 => before.clone(),
            0..6 => programmed(1 + ahead / 2),
            // The last seal of a file is 6 after it, the next file one more, and the last seal of that 6 more.
            6..=13 => {
                assert_eq!(
                    (found, device.nor.bytes() == before),
                    (Err(StoreError::NoSealLeft { slot: 0 }), true),
                    "{at}"
                );
                continue;
            }
            14..16 => continue,
            16.. => device.nor.bytes(),
        };
        assert_eq!((found, device.nor.bytes() == expected), (Ok(Some(0)), true), "{at}");
        device.save(2).unwrap();
        let stored = device.with(|store| store.recover()).unwrap().unwrap();
        let is_later = |number| stored.generation.wrapping_sub(number) as i32 > 0;
        assert!(stored.slot == 1 && is_later(generation) && is_later(number(ahead)), "{at}: {stored:?}");
        assert_eq!(device.recover(), Ok(Some(2)), "{at}");
    }
}

/// What `load` gives is a file, verified, and what it gives once it gives again; after a save it is what was saved.
fn load_and_save(mut device: Sim<'_>) -> bool {
    device.nor.boot(None);
    let mut memory = vec![0; 4096];
    let first = match device.with(|store| store.load(&mut memory).map(|file| file.map(|file| file.generation()))) {
        Ok(found) => found,
        Err(StoreError::File(_)) => None,
        Err(error) => panic!("{error}"),
    };
    if first.is_some() {
        let stored = device.with(|store| store.recover()).unwrap().unwrap();
        let bytes = &device.nor.bytes()[stored.range()];
        let file = AdapterFile::parse(bytes).unwrap();
        assert_eq!((bytes, Some(stored.generation)), (&memory[..stored.len], first));
        assert_eq!(file.generation(), stored.generation);
    }
    device.save(2).unwrap();
    device.nor.boot(None);
    assert_eq!(device.recover(), Ok(Some(2)));
    device.check_foreign();
    first.is_some()
}

/// Whatever lies in the slots: noise, files that were changed with and without right checksums, seals of any number.
#[test]
fn anything_in_the_slots() {
    let book = book();
    let used = used(&book);
    let rng = &mut Rng(38);
    let cases = if full() { 200_000 } else { 3_000 };
    let mut files = 0;
    for case in 0..cases {
        let mut device = used.clone();
        for slot in 0..2 {
            let Some(range) = (rng.below(4) > 0).then(|| device.slots[slot].clone()) else { continue };
            let (start, len) = (range.start as usize, range.len());
            match case % 4 {
                0 => (0..len).for_each(|i| device.nor.plant(start + i, &[rng.next() as u8])),
                1 => device.plant(slot, rng.below(4), rng.next() as u32),
                2 => {
                    let mut bytes = device.nor.bytes()[start..start + book.file(1 - slot, 0).len()].to_vec();
                    let at = rng.below(bytes.len());
                    bytes[at] = rng.next() as u8;
                    fix_checksums(&mut bytes);
                    device.nor.plant(start, &bytes);
                }
                _ => {}
            }
            // Three could hit the three seals that are blank, and then saving is refused.
            for _ in 0..rng.below(3) {
                device.nor.plant(start + rng.below(len), &[rng.next() as u8]);
            }
        }
        files += u64::from(load_and_save(device));
    }
    report("flash", "flash", cases, "flashes with anything in them", cases);
    report("flash", "flash", files, "of them with a file", cases / 10);
    report("flash", "flash", cases - files, "of them without", cases / 10);
}

/// Generations wrap; two files of any generations are told apart, and the next save is the newest.
#[test]
fn generations_wrap() {
    let book = book();
    let mut saves = 0;
    for start in [0, 1, u32::MAX / 2 - 3, u32::MAX / 2 + 1, u32::MAX - 4, u32::MAX] {
        let mut device = Sim::new(&book, 1, 7);
        device.plant(0, 0, start);
        for index in 1..20 {
            device.nor.boot(None);
            device.save(index % 4).unwrap();
            let stored = device.with(|store| store.recover()).unwrap().unwrap();
            assert_eq!(stored.generation, start.wrapping_add(index as u32));
            assert_eq!(device.recover(), Ok(Some(index % 4)));
            saves += 1;
        }
        for older in [1, 2, 1000, i32::MAX as u32] {
            for newest in 0..2 {
                let mut device = Sim::new(&book, 1, 8);
                device.plant(1 - newest, 0, start.wrapping_sub(older));
                device.plant(newest, 1, start);
                assert_eq!(device.recover(), Ok(Some(1)), "{start} is later than {older} before it");
                device.save(2).unwrap();
                assert_eq!(device.recover(), Ok(Some(2)));
                saves += 1;
            }
        }
    }
    report("flash", "flash", saves, "saves of generations that wrap", 100);
}

/// A slot of the length that is computed holds the file that it was computed for, and not much more; and it holds nothing else
/// than the page of the store says.
#[test]
fn lengths_of_slots() {
    fn check<const WRITE: usize, const ERASE: usize>() -> u64 {
        let rng = &mut Rng(48);
        for outputs in 1..60 {
            let book = Book::new(&[Some(Shape::new(1, outputs, 1)), None], rng);
            let mut device = Device::<WRITE, ERASE>::new(&book, 1 + outputs % 2, 9);
            let (capacity, longest) = (device.with(|store| store.capacity()), book.longest());
            assert!(capacity >= longest && capacity < longest.max(WRITE) + ERASE.max(16), "{capacity} for {longest}");
            device.save(0).unwrap();
            device.save(1).unwrap();
            device.save(0).unwrap();
            let mut memory = vec![0; longest];
            let generation = device.with(|store| store.load(&mut memory).unwrap().unwrap().generation());
            assert_eq!(memory, book.file(0, generation));
            let slot = device.with(|store| store.recover()).unwrap().unwrap().slot;
            let mut written_down = Device::<WRITE, ERASE>::new(&book, 1, 9);
            written_down.plant(slot, 0, generation);
            let range = device.slots[slot].start as usize..device.slots[slot].end as usize;
            assert!(device.nor.bytes()[range.clone()] == written_down.nor.bytes()[range]);
        }
        assert_eq!(page_len::<Nor<WRITE, ERASE>>(), 2 * WRITE.max(64));
        assert_eq!(slot_len::<Nor<WRITE, ERASE>>(usize::MAX), None);
        assert_eq!(slot_len::<Nor<WRITE, ERASE>>(u32::MAX as usize), None);
        59
    }
    let lengths = check::<1, 1>() + check::<4, 4096>() + check::<16, 16>() + check::<32, 128>() + check::<256, 256>();
    report("flash", "flash", lengths, "lengths of slots", 200);
}

/// The length of a slot by the page of the store, for any length of a file.
#[test]
fn lengths_of_slots_equal_u128() {
    fn check<const WRITE: usize, const ERASE: usize>() -> u64 {
        let [unit, head, block] = [WRITE.max(16), WRITE.max(64), ERASE.max(16)].map(|size| size as u128);
        let limits = [u32::MAX as usize, usize::MAX];
        let near = limits.into_iter().flat_map(|limit| (0..20).map(move |i| limit - i * ERASE.max(16) / 3));
        let files: Vec<usize> = (0..3000).chain(near).collect();
        for &file in &files {
            let len = ((file as u128).max(head).next_multiple_of(unit) + 12 * unit).next_multiple_of(block);
            let expected = (len <= u32::MAX.into()).then_some(len as usize);
            assert_eq!(
                slot_len::<Nor<WRITE, ERASE>>(file),
                expected,
                "{file} bytes, units of {WRITE}, blocks of {ERASE}"
            );
        }
        files.len() as u64
    }
    let lengths = check::<1, 1>() + check::<4, 4096>() + check::<64, 64>() + check::<32, 128>() + check::<256, 512>();
    report("flash", "flash", lengths, "lengths of slots equal to u128", 15_000);
}

/// Two slots may fill the flash, in either order, each just long enough for a file without contents; a block less is too little.
#[test]
fn slots_may_touch() {
    fn check<const WRITE: usize, const ERASE: usize>() {
        let len = slot_len::<Nor<WRITE, ERASE>>(0).unwrap() as u32;
        let contents = Contents { entries: &[], metadata: "", fingerprint: 0, generation: 0 };
        for slots in [[0..len, len..2 * len], [len..2 * len, 0..len]] {
            let (mut nor, mut page) = (Nor::<WRITE, ERASE>::blank(2 * len as usize, 10), vec![0; 2 * WRITE.max(64)]);
            let mut store = Store::new(&mut nor, slots.clone(), &mut page).unwrap();
            for generation in 2..7 {
                let stored = store.save(&contents).unwrap();
                let slot = (generation % 2) as usize;
                assert_eq!((stored.slot, stored.at, stored.generation), (slot, slots[slot].start, generation));
                assert_eq!(store.recover(), Ok(Some(stored)));
            }
            let [first, second] = slots;
            let shorter = [first, second.start..second.end - ERASE.max(16) as u32];
            let error = Store::new(&mut nor, shorter, &mut page).map(drop);
            assert!(matches!(error, Err(StoreError::TooSmall { slot: 1, .. })), "{error:?}");
        }
    }
    check::<1, 1>();
    check::<8, 256>();
    check::<64, 64>();
    check::<256, 512>();
}

/// The flash comes back.
#[test]
fn the_flash_comes_back() {
    let book = book();
    let mut device = used(&book);
    let mut page = [0; 128];
    let nor = device.nor.clone();
    let mut store = Store::new(nor, device.slots.clone(), &mut page).unwrap();
    book.contents[2].borrowed(|contents: Contents<'_>| store.save(&contents)).unwrap();
    device.nor = store.into_flash();
    device.allowed = vec![Some(2)];
    assert_eq!(device.recover(), Ok(Some(2)));
}
