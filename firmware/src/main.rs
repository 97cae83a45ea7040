//! Reads rotated digits with a network and an adapter that both lie in flash, and ends with a verdict.

#![no_std]
#![no_main]

#[rustfmt::skip]
mod adapter;

use cortex_m as _;
use cortex_m_rt::entry;
use cortex_m_semihosting::{debug, hprintln};
use lowrank::format::AdapterFile;
use lowrank::{Adapter, Argument, Backend, Error};
use lowrank_demo::{Layers, Network, Turns};
use panic_semihosting as _;

/// Test images that PyTorch + PEFT reads correctly with the adapter of `peft-adapter/`.
const EXPECTED: usize = 341;

#[entry]
fn main() -> ! {
    let status = match verdict() {
        Ok(true) => debug::EXIT_SUCCESS,
        Ok(false) => debug::EXIT_FAILURE,
        Err(error) => {
            hprintln!("failed: {}", error);
            debug::EXIT_FAILURE
        }
    };
    loop {
        debug::exit(status);
    }
}

fn verdict() -> Result<bool, lowrank_demo::Error> {
    let file = AdapterFile::parse(adapter::ADAPTER)?;
    let adapters = Layers { hidden: in_place(&file, "hidden")?, output: in_place(&file, "output")? };
    let (backend, network) = (Backend::BASELINE, Network::rows());
    let before = network.score(backend, Turns::QUARTER)?;
    let after = network.score_adapted(backend, &adapters, Turns::QUARTER)?;
    hprintln!("rotated digits read without the adapter: {} of {}", before.correct, before.images);
    hprintln!("rotated digits read with it: {} of {}, {} expected", after.correct, after.images, EXPECTED);
    Ok(after.correct == EXPECTED)
}

/// The adapter of a layer where it lies.
fn in_place<'a>(file: &AdapterFile<'a>, name: &str) -> Result<Adapter<'a>, Error> {
    let missing = Error::Missing { argument: Argument::File };
    file.find(name).and_then(|layer| layer.adapter()).ok_or(missing)
}
