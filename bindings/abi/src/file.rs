//! Reading an adapter file where it lies.

use core::ffi::c_char;

use lowrank::format::{AdapterFile, Entry, Fingerprint};

use crate::codes::*;
use crate::entry::lowrank_entry;
use crate::error::{Fault, lowrank_error};
use crate::matrix::lowrank_base;
use crate::memory::{Number, Slice, StructMut, structures};

/// What the header of a file says.
#[derive(Copy, Clone, Debug)]
#[repr(C)]
pub struct lowrank_file {
    /// Bytes of this struct; to be set before the call.
    pub size: usize,
    /// Number of entries.
    pub entries: usize,
    /// Text in UTF-8 that this library does not interpret, without a zero byte at the end.
    pub metadata: *const c_char,
    /// Bytes of the metadata.
    pub metadata_len: usize,
    /// The fingerprint of the base; 0 when it is not known.
    pub fingerprint: u64,
    /// The number of the save. It wraps.
    pub generation: u32,
}

structures!(lowrank_file);

/// A file, from its first byte to its last.
fn file(bytes: *const u8, len: usize) -> Slice<u8> {
    Slice(LOWRANK_ARGUMENT_FILE, bytes, len)
}

/// Checks a file from its first byte to its last, in a time that is linear in its length. The bytes may lie at any address, in
/// flash as well; at a multiple of 4 (of 16, best), numbers in f32 can be used where they are.
///
/// # Safety
/// As the page of the header says of pointers.
///
/// # Errors
/// LOWRANK_FILE.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lowrank_parse(
    bytes: *const u8,
    len: usize,
    into: *mut lowrank_file,
    error: *mut lowrank_error,
) -> lowrank_status {
    crate::call!(error, (file(bytes, len), StructMut(LOWRANK_ARGUMENT_FILE, into)), |(bytes, into)| {
        let file = AdapterFile::parse(bytes)?;
        *into = lowrank_file {
            size: size_of::<lowrank_file>(),
            entries: file.entries().len(),
            metadata: file.metadata().as_ptr().cast(),
            metadata_len: file.metadata().len(),
            fingerprint: file.fingerprint(),
            generation: file.generation(),
        };
        Ok(())
    })
}

fn fill(into: &mut lowrank_entry, entry: Option<Entry<'_>>) -> Result<(), Fault> {
    *into = lowrank_entry::of(&entry.ok_or(Fault::new(LOWRANK_NOT_FOUND, LOWRANK_ARGUMENT_ENTRY, 0, 0))?);
    Ok(())
}

/// Entry number `index` of a file. Each such call checks the whole file, as `lowrank_parse` does.
///
/// # Safety
/// As the page of the header says of pointers.
///
/// # Errors
/// LOWRANK_FILE, LOWRANK_NOT_FOUND.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lowrank_entry_at(
    bytes: *const u8,
    len: usize,
    index: usize,
    entry: *mut lowrank_entry,
    error: *mut lowrank_error,
) -> lowrank_status {
    crate::call!(error, (file(bytes, len), StructMut(LOWRANK_ARGUMENT_ENTRY, entry)), |(bytes, into)| {
        fill(into, AdapterFile::parse(bytes)?.entry(index))
    })
}

/// The entry of this name, of several the one with the smallest id.
///
/// # Safety
/// As the page of the header says of pointers.
///
/// # Errors
/// LOWRANK_FILE, LOWRANK_NOT_FOUND, LOWRANK_NOT_UTF8.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lowrank_entry_find(
    bytes: *const u8,
    len: usize,
    name: *const c_char,
    name_len: usize,
    entry: *mut lowrank_entry,
    error: *mut lowrank_error,
) -> lowrank_status {
    let name = Slice(LOWRANK_ARGUMENT_NAME, name.cast::<u8>(), name_len);
    crate::call!(error, (file(bytes, len), name, StructMut(LOWRANK_ARGUMENT_ENTRY, entry)), |(bytes, name, into)| {
        let name = core::str::from_utf8(name);
        let name = name.map_err(|_| Fault::new(LOWRANK_NOT_UTF8, LOWRANK_ARGUMENT_NAME, 0, name_len))?;
        fill(into, AdapterFile::parse(bytes)?.find(name))
    })
}

/// The first entry with this id.
///
/// # Safety
/// As the page of the header says of pointers.
///
/// # Errors
/// LOWRANK_FILE, LOWRANK_NOT_FOUND.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lowrank_entry_find_id(
    bytes: *const u8,
    len: usize,
    id: u32,
    entry: *mut lowrank_entry,
    error: *mut lowrank_error,
) -> lowrank_status {
    crate::call!(error, (file(bytes, len), StructMut(LOWRANK_ARGUMENT_ENTRY, entry)), |(bytes, into)| {
        fill(into, AdapterFile::parse(bytes)?.find_id(id))
    })
}

/// A fingerprint of the frozen base, so that an adapter is not put on a base that it was not trained on.
///
/// # Safety
/// As the page of the header says of pointers.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lowrank_fingerprint(
    base: *const lowrank_base,
    fingerprint: *mut u64,
    error: *mut lowrank_error,
) -> lowrank_status {
    crate::call!(error, (base, Number(fingerprint)), |(base, fingerprint)| {
        *fingerprint = Fingerprint::of(&base);
        Ok(())
    })
}
