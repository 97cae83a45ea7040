//! Promise: saving an adapter survives power loss. Lives of simulated devices whose power fails again and again: what is found
//! is exactly the old file or exactly the new one, and once it was found it stays.

use crate::support::nor::{Mood, Said};
use crate::support::saved::{Book, Device, Tally};
use crate::support::{Rng, full, report};
use lowrank::Shape;
use lowrank::store::StoreError;

/// One boot: recover, mostly, and save. Whether the device can go on.
fn session<const WRITE: usize, const ERASE: usize>(
    device: &mut Device<'_, WRITE, ERASE>,
    fuse: Option<u64>,
    rng: &mut Rng,
) -> bool {
    device.nor.boot(fuse);
    device.nor.backwards = rng.below(2) == 0;
    let mut patience = 100;
    let mut recoveries = rng.below(3);
    while recoveries > 0 {
        match device.recover() {
            Ok(_) => recoveries -= 1,
            // A mark that was cut was blank for the store, and then not for the driver.
            Err(StoreError::Flash { error: Said::NotBlank, .. }) if patience > 0 => patience -= 1,
            Err(error) => return is_cut(error, device),
        }
    }
    let result = device.save(device.another());
    result.is_ok() || result.is_err_and(|error| is_cut(error, device))
}

/// Whether the device can go on after this error. If not, its file can still be read, and it took four cuts to come to that.
fn is_cut<const WRITE: usize, const ERASE: usize>(
    error: StoreError<Said>,
    device: &mut Device<'_, WRITE, ERASE>,
) -> bool {
    match error {
        StoreError::Flash { error: Said::Cut | Said::NotBlank, .. } => true,
        StoreError::NoSealLeft { .. } => {
            assert!(device.nor.moods.len() >= 4);
            let stored = device.with(|store| store.newest()).unwrap();
            device.identify(stored);
            let mut memory = vec![0; device.book.longest()];
            device.nor.fuse = None;
            assert!(device.with(|store| store.load(&mut memory).unwrap().is_some()));
            device.tally.without_seal += 1;
            false
        }
        error => panic!("{error}"),
    }
}

/// Cuts in the first sessions, one of them at step `first` of about `steps`; then none, and all is well.
fn life<const WRITE: usize, const ERASE: usize>(
    mut device: Device<'_, WRITE, ERASE>,
    (first, steps): (u64, u64),
    cuts: usize,
    rng: &mut Rng,
) -> Tally {
    let seals = (9 * WRITE.max(16)) as u64;
    let mut fuse = first;
    for _ in 0..cuts {
        if !session(&mut device, Some(fuse), rng) {
            return device.tally;
        }
        fuse = match rng.below(4) {
            0 => rng.next() % (4 * seals),
            1 => steps.saturating_sub(rng.next() % seals),
            2 => rng.next() % 8,
            _ => rng.next() % steps,
        };
    }
    if session(&mut device, None, rng) && session(&mut device, None, rng) && device.allowed.len() == 1 {
        device.nor.boot(None);
        assert_eq!(device.recover(), Ok(device.allowed[0]));
    }
    device.check_foreign();
    device.tally
}

/// A cut at every step of a save, so often, each followed by others.
fn lives<const WRITE: usize, const ERASE: usize>(rounds: u64) -> Tally {
    let rng = &mut Rng(18 + WRITE as u64);
    // Files without a layer, with a small one, and one of 2 KiB.
    let mut shapes = [None, Some(Shape::new(5, 3, 2))].repeat(6);
    shapes[2] = Some(Shape::new(24, 40, 8));
    let book = Book::new(&shapes, rng);
    let mut sum = Tally::default();
    for round in 0..rounds {
        let mut device = Device::<WRITE, ERASE>::new(&book, 1 + rng.below(3), rng.next());
        match round % 4 {
            0 => device.plant(rng.below(2), 0, u32::MAX.wrapping_sub(rng.below(4) as u32)),
            1 => device.plant(rng.below(2), 1, (i32::MAX as u32).wrapping_sub(rng.below(4) as u32)),
            2 => [2, 1].into_iter().for_each(|index| device.save(index).unwrap()),
            _ => {}
        }
        let mut uncut = device.clone();
        uncut.nor.boot(None);
        uncut.save(uncut.another()).unwrap();
        let steps = uncut.nor.steps;
        for first in 0..steps {
            // Of the very first save, three cuts is what is promised.
            let cuts = 2 + rng.below(if device.allowed == [None] { 2 } else { 4 });
            sum += life(device.clone(), (first, steps), cuts, rng);
        }
    }
    sum
}

#[test]
fn old_or_new() {
    let rounds: u64 = if full() { 16 } else { 2 };
    let mut sum = lives::<1, 256>(rounds.div_ceil(4));
    sum += lives::<4, 64>(rounds.div_ceil(4));
    sum += lives::<8, 512>(rounds.div_ceil(2));
    sum += lives::<16, 4096>(rounds);
    sum += lives::<32, 1024>(rounds);
    sum += lives::<64, 64>(rounds);
    sum += lives::<256, 8192>(rounds);
    let at_least = if full() { 200_000 } else { 20_000 };
    report("flash", "store", sum.saves, "simulated saves", at_least);
    report("flash", "store", sum.cuts, "of them cut", at_least / 3);
    report("flash", "store", sum.recoveries, "recoveries", at_least);
    report("flash", "store", sum.old, "times exactly the old file after a cut", at_least / 10);
    report("flash", "store", sum.new, "times exactly the new file after a cut", at_least / 100);
    report("flash", "store", sum.sealed_again, "recoveries that sealed again", at_least / 100);
    report("flash", "store", sum.cut_sealing_again, "of them cut", at_least / 200);
    println!("promise flash store, {} lives that ended without a seal left", sum.without_seal);
}

/// All combinations of moods.
fn all_moods(choices: &[Vec<Mood>]) -> Vec<Vec<Mood>> {
    choices.iter().fold(vec![vec![]], |all, choice| {
        let longer =
            |moods: &Vec<Mood>| choice.iter().map(move |&mood| [&moods[..], &[mood]].concat()).collect::<Vec<_>>();
        all.iter().flat_map(longer).collect()
    })
}

/// Everything that can happen to a device with so many more cuts, if units that were cut read alike until the next boot.
/// Returns how many saves that takes.
fn explore<const WRITE: usize, const ERASE: usize>(device: &Device<'_, WRITE, ERASE>, cuts: usize) -> u64 {
    let mut saves = 0;
    for moods in all_moods(&device.nor.choices()) {
        let boot = |fuse| {
            let mut device = device.clone();
            device.nor.boot(fuse);
            device.nor.moods.clone_from(&moods);
            device
        };
        let mut uncut = boot(None);
        if let Err(error) = uncut.recover() {
            assert!(!is_cut(error, &mut uncut));
            continue;
        }
        let recovered = uncut.nor.steps;
        for moods in all_moods(&uncut.nor.choices()) {
            uncut.nor.moods = moods;
            let newest = uncut.with(|store| store.newest()).unwrap();
            uncut.identify(newest);
        }
        uncut.nor.moods.clone_from(&moods);
        let index = uncut.another();
        uncut.save(index).unwrap();
        saves += 1;
        for fuse in 0..if cuts > 0 { uncut.nor.steps } else { 0 } {
            let mut cut = boot(Some(fuse));
            assert_eq!(cut.recover().is_err(), fuse < recovered);
            if fuse >= recovered {
                cut.save(index).unwrap_err();
                saves += 1;
            }
            saves += explore(&cut, cuts - 1);
        }
    }
    saves
}

/// The smallest files, on a flash that is used and on one that is blank: cuts, and saves at least.
fn everything<const WRITE: usize, const ERASE: usize>(used: (usize, u64), blank: (usize, u64)) {
    let book = Book::new(&[None; 7], &mut Rng(18));
    let mut device = Device::<WRITE, ERASE>::new(&book, 1, 0);
    device.nor.coarse = true;
    let who = |cuts| format!("units of {WRITE}, blocks of {ERASE}, {cuts} cuts");
    report("flash", who(blank.0), explore(&device, blank.0), "saves, all that can happen to the first one", blank.1);
    [0, 1].into_iter().for_each(|index| device.save(index).unwrap());
    report("flash", who(used.0), explore(&device, used.0), "saves, all that can happen", used.1);
}

#[test]
fn everything_that_can_happen() {
    if full() {
        everything::<32, 512>((4, 870_000), (3, 28_000));
        everything::<32, 128>((3, 60_000), (3, 140_000));
        everything::<16, 64>((3, 120_000), (2, 3_800));
        everything::<8, 512>((3, 140_000), (2, 3_500));
    } else {
        everything::<32, 512>((3, 16_000), (3, 28_000));
        everything::<16, 64>((2, 1_800), (2, 3_800));
    }
}
