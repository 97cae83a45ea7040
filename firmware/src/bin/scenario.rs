//! What a device does: checks itself, adapts to its user, saves the adapter, finds it again after a restart, and uses it.

#![no_std]
#![no_main]

use lowrank::format::{Aligned, Contents, Entry, Fingerprint, Outline, encoded_len};
use lowrank::store::{page_len, slot_len};
use lowrank::train::Optimizer;
use lowrank::{Adapter, Argument, Arithmetic, Backend, Dtype, Error, Scale, Store, selftest};
use lowrank_demo::{Config, Digest, Layers, Network, TRAINING_IMAGES, Training, Turns};
use lowrank_firmware::flash::RamFlash;
use lowrank_firmware::{EPOCHS, Failure, check, entry, finish};
use semihosting::println;

/// Four images in memory at a time: no bit depends on it.
const CONFIG: Config = Config { micro_batch: 4, ..Config::new(Backend::BASELINE, Optimizer::AdamW) };
const SHAPES: Layers<lowrank::Shape> = CONFIG.shapes();
const FILE: usize = {
    let entries =
        [Outline::new("hidden", SHAPES.hidden, Dtype::F32), Outline::new("output", SHAPES.output, Dtype::F32)];
    encoded_len(&entries, 0).expect("the entries fit into a file")
};
const SLOT: usize = slot_len::<RamFlash<'_>>(FILE).expect("the file fits into the address space");
const SLOTS: [core::ops::Range<u32>; 2] = [0..SLOT as u32, SLOT as u32..2 * SLOT as u32];

#[entry]
fn main() -> ! {
    // Fused is emulated: ten times as slow, or more.
    finish(run(Arithmetic::Separate, EPOCHS).and_then(|()| run(Arithmetic::Fused, 1)))
}

fn run(arithmetic: Arithmetic, epochs: u32) -> Result<(), Failure> {
    let config = Config { backend: CONFIG.backend.with(arithmetic), epochs, ..CONFIG };
    selftest(config.backend).map_err(Failure::Selftest)?;
    let (mut arena, mut order) = ([f32::NAN; CONFIG.arena_len()], [0; TRAINING_IMAGES]);
    let network = Network::rows();
    let base = network.digest();
    let before = network.score(config.backend, Turns::QUARTER)?;
    let mut training = Training::new(config, network, &mut arena, &mut order)?;
    while training.step()?.is_some() {}
    let after = training.score(Turns::QUARTER)?;
    let name = arithmetic.name();
    println!("{name}: {} of {} digits before, {} after {epochs} epochs", before.correct, before.images, after.correct);
    println!("digest {name} {epochs} {}", training.digest());
    check(2 * after.correct > after.images, "most digits are read after the adaptation")?;
    check(network.digest() == base, "the network is what it was")?;

    let mut cells = [0xff; 2 * SLOT];
    let adapters = training.adapters();
    for (saves, slot) in [(1, 0), (2, 1), (3, 0)] {
        let stored = save(&mut cells, &adapters, &network)?;
        check(stored.slot == slot && stored.len == FILE, "the slots take turns")?;
        let mut memory = Aligned([0; FILE]);
        let (recovered, generation) = recover(&mut cells, &mut memory, &network)?;
        check(generation == stored.generation, "what was saved last is found")?;
        check(bits(&recovered) == bits(&adapters), "what was saved is found, to the last bit")?;
        let again = network.score_adapted(config.backend, &recovered, Turns::QUARTER)?;
        check(again == after, "the adapter that was found reads as many digits")?;
        println!("{name}: save {saves} in slot {slot}, {FILE} bytes found again");
    }
    Ok(())
}

fn fingerprint(network: &Network<'_>) -> u64 {
    let mut fingerprint = Fingerprint::new();
    fingerprint.base(&network.hidden);
    fingerprint.base(&network.output);
    fingerprint.finish()
}

/// Saves the adapters in the older slot.
fn save(
    cells: &mut [u8],
    adapters: &Layers<Adapter<'_>>,
    network: &Network<'_>,
) -> Result<lowrank::store::Stored, Failure> {
    let mut page = [0; page_len::<RamFlash<'_>>()];
    let scale = Scale::Alpha(CONFIG.alpha);
    let entries = [
        Entry { scale, ..Entry::of("hidden", &adapters.hidden) },
        Entry { scale, ..Entry::of("output", &adapters.output) },
    ];
    let contents = Contents { entries: &entries, metadata: "", fingerprint: fingerprint(network), generation: 0 };
    Ok(Store::new(RamFlash(cells), SLOTS, &mut page)?.save(&contents)?)
}

/// What a device does at boot: the newest adapters that are whole, and their generation.
fn recover<'m>(
    cells: &mut [u8],
    memory: &'m mut Aligned<[u8; FILE]>,
    network: &Network<'_>,
) -> Result<(Layers<Adapter<'m>>, u32), Failure> {
    let mut page = [0; page_len::<RamFlash<'_>>()];
    let missing = Error::Missing { argument: Argument::File };
    let file = Store::new(RamFlash(cells), SLOTS, &mut page)?.load(&mut memory.0)?.ok_or(missing)?;
    check(file.fingerprint() == fingerprint(network), "the adapter belongs to this network")?;
    let adapter = |name| file.find(name).and_then(|entry| entry.adapter().ok()).ok_or(missing);
    Ok((Layers { hidden: adapter("hidden")?, output: adapter("output")? }, file.generation()))
}

/// Of every number of both adapters.
fn bits(adapters: &Layers<Adapter<'_>>) -> Digest {
    [&adapters.hidden, &adapters.output].into_iter().fold(Digest::EMPTY, |digest, adapter| {
        let rows = |digest: Digest, matrix: lowrank::MatRef<'_>| {
            (0..matrix.rows()).fold(digest, |digest, row| digest.with_all(matrix.row(row)))
        };
        rows(rows(digest, adapter.a), adapter.b).with(adapter.scale)
    })
}
