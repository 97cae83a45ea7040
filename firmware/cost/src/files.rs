//! Adapter files and the store.

use lowrank::format::{AdapterFile, Aligned, Contents, Entry};
use lowrank::store::{Flash, Store};

use crate::fixed::{FixedAdapter, FixedBase};
use crate::{RANK, SIDE};

const FILE: usize = 8192;
const SLOT: u32 = 12288;

/// NOR flash that is memory, in the units of an STM32L4.
pub struct RamFlash<'m>(pub &'m mut [u8; 2 * SLOT as usize]);

impl RamFlash<'_> {
    fn cells(&mut self, at: u32, len: usize) -> &mut [u8] {
        let end = (at as usize).saturating_add(len);
        self.0.get_mut(at as usize..end).unwrap_or(&mut [])
    }
}

impl Flash for RamFlash<'_> {
    type Error = ();
    const WRITE: usize = 8;
    const ERASE: usize = 2048;

    fn capacity(&self) -> usize {
        self.0.len()
    }

    fn read(&mut self, at: u32, into: &mut [u8]) -> Result<(), ()> {
        let cells = self.cells(at, into.len());
        into.iter_mut().zip(cells).for_each(|(to, cell)| *to = *cell);
        Ok(())
    }

    fn erase(&mut self, from: u32, to: u32) -> Result<(), ()> {
        self.cells(from, to.saturating_sub(from) as usize).fill(0xff);
        Ok(())
    }

    fn program(&mut self, at: u32, bytes: &[u8]) -> Result<(), ()> {
        self.cells(at, bytes.len()).iter_mut().zip(bytes).for_each(|(cell, byte)| *cell &= *byte);
        Ok(())
    }
}

/// Memory for files.
#[repr(C)]
pub struct Files {
    pub base: FixedBase<SIDE, SIDE>,
    pub adapter: FixedAdapter<SIDE, SIDE, RANK>,
    pub file: Aligned<[u8; FILE]>,
    pub len: u32,
    pub flash: [u8; 2 * SLOT as usize],
    pub page: [u8; 256],
}

impl Files {
    pub const EMPTY: Self = Self {
        base: FixedBase { w: [[0.0; SIDE]; SIDE], bias: [0.0; SIDE] },
        adapter: FixedAdapter::zero(0.5),
        file: Aligned([0; FILE]),
        len: 0,
        flash: [0xff; 2 * SLOT as usize],
        page: [0; 256],
    };
}

fn status<E>(result: Result<(), E>) -> u32 {
    u32::from(result.is_err())
}

/// Writes the adapter into `file`.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn emit_file(m: &mut Files) -> u32 {
    let entries = [Entry::of("layer", &m.adapter.view())];
    let contents = Contents { entries: &entries, metadata: "", fingerprint: 0, generation: 0 };
    status(contents.emit(&mut m.file.0).map(|len| m.len = len as u32))
}

/// Parses `file`, and borrows the adapter where it lies.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn parse_file(m: &mut Files) -> u32 {
    let mut parse = || {
        let file = AdapterFile::parse(m.file.0.get(..m.len as usize).unwrap_or(&[])).ok()?;
        let adapter = file.find("layer")?.adapter().ok()?;
        m.len = adapter.a.rows() as u32;
        Some(())
    };
    status(parse().ok_or(()))
}

/// The fingerprint of the base.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn fingerprint(m: &mut Files) -> u32 {
    lowrank::format::Fingerprint::of(&m.base.view()) as u32
}

/// Writes `file`, and parses it.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn file(m: &mut Files) -> u32 {
    emit_file(m) | parse_file(m)
}

const SLOTS: [core::ops::Range<u32>; 2] = [0..SLOT, SLOT..2 * SLOT];

/// Saves the adapter in the older slot.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn store_save(m: &mut Files) -> u32 {
    let entries = [Entry::of("layer", &m.adapter.view())];
    let contents = Contents { entries: &entries, metadata: "", fingerprint: 0, generation: 0 };
    let saved = Store::new(RamFlash(&mut m.flash), SLOTS, &mut m.page).and_then(|mut store| store.save(&contents));
    status(saved.map(|stored| m.len = stored.len as u32))
}

/// Finds the newest file.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn store_recover(m: &mut Files) -> u32 {
    let found = Store::new(RamFlash(&mut m.flash), SLOTS, &mut m.page).and_then(|mut store| store.recover());
    status(found.map(|stored| m.len = stored.map_or(0, |stored| stored.len) as u32))
}

/// Saves the adapter, and finds the newest file.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn store(m: &mut Files) -> u32 {
    store_save(m) | store_recover(m)
}
