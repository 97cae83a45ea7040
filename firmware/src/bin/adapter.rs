//! Reads rotated digits with a network and an adapter that both lie in flash, and ends with a verdict.

#![no_std]
#![no_main]

use lowrank::format::AdapterFile;
use lowrank::{Adapter, Argument, Backend, Error};
use lowrank_demo::{Layers, Network, Turns};
use lowrank_firmware::{Failure, adapter, check, entry, finish};
use semihosting::println;

/// Test images that PyTorch + PEFT reads correctly with the adapter of `peft-adapter/`.
const EXPECTED: usize = 341;

#[entry]
fn main() -> ! {
    finish(run())
}

fn run() -> Result<(), Failure> {
    let file = AdapterFile::parse(adapter::ADAPTER)?;
    let adapters = Layers { hidden: in_place(&file, "hidden")?, output: in_place(&file, "output")? };
    let (backend, network) = (Backend::BASELINE, Network::rows());
    let before = network.score(backend, Turns::QUARTER)?;
    let after = network.score_adapted(backend, &adapters, Turns::QUARTER)?;
    println!("rotated digits read without the adapter: {} of {}", before.correct, before.images);
    println!("rotated digits read with it: {} of {}, {} expected", after.correct, after.images, EXPECTED);
    check(after.correct == EXPECTED, "as many digits are read as by PyTorch")
}

/// The adapter of a layer where it lies.
fn in_place<'a>(file: &AdapterFile<'a>, name: &str) -> Result<Adapter<'a>, Error> {
    let missing = Error::Missing { argument: Argument::File };
    file.find(name).and_then(|entry| entry.adapter().ok()).ok_or(missing)
}
