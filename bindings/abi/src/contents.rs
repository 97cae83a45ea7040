//! Writing an adapter file.

use core::ffi::c_char;
use core::mem::MaybeUninit;

use lowrank::format::{Contents, Entry};

use crate::codes::*;
use crate::entry::{lowrank_entry, text};
use crate::error::{Fault, lowrank_error};
use crate::memory::{Memory, Number, Passed, SliceMut, slice, slice_mut, structures};

/// What is to be written into a file.
#[derive(Copy, Clone, Debug)]
#[repr(C)]
pub struct lowrank_contents {
    /// Bytes of this struct.
    pub size: usize,
    /// Ascending by name and then by id.
    pub entries: *const lowrank_entry,
    /// Number of entries.
    pub entries_len: usize,
    /// Text in UTF-8; null when there is none.
    pub metadata: *const c_char,
    /// Bytes of the metadata.
    pub metadata_len: usize,
    /// The fingerprint of the base; 0 when it is not known.
    pub fingerprint: u64,
    /// The number of the save. Not looked at by `lowrank_store_save`, which counts itself.
    pub generation: u32,
    /// Working memory of a call: at a multiple of 8. What is in it before does not matter, and a call writes to it also when
    /// it fails.
    pub room: *mut u64,
    /// Elements of the room: at least LOWRANK_ENTRY_ROOM for each entry.
    pub room_len: usize,
}

structures!(lowrank_contents);

const _: () = assert!(size_of::<Entry<'_>>() <= LOWRANK_ENTRY_ROOM * size_of::<u64>());
const _: () = assert!(align_of::<Entry<'_>>() <= align_of::<u64>());

/// Entries as the core wants them, made in the room of the contents. To be passed as the last argument, since the entries are
/// compared with what was noted before them.
impl<'c> Passed<'c> for *const lowrank_contents {
    type View = Contents<'c>;

    unsafe fn note(self, memory: &mut Memory) {
        // SAFETY: the caller's word.
        let contents = unsafe { memory.structure(LOWRANK_ARGUMENT_CONTENTS, self, false) };
        let Some(contents) = contents else { return };
        let needed = contents.entries_len.saturating_mul(LOWRANK_ENTRY_ROOM);
        if contents.room_len < needed {
            memory.refuse(Fault::new(LOWRANK_LENGTH, LOWRANK_ARGUMENT_ROOM, needed, contents.room_len));
        }
        memory.elements(LOWRANK_ARGUMENT_ROOM, contents.room.cast_const(), contents.room_len, true);
        memory.elements(LOWRANK_ARGUMENT_METADATA, contents.metadata, contents.metadata_len, false);
        let whole = memory.elements(LOWRANK_ARGUMENT_ENTRIES, contents.entries, contents.entries_len, false);
        // Where there is no room for as many entries as is said, the number is as likely to be wrong: none is looked at.
        if !whole || contents.room_len < needed {
            return;
        }
        // SAFETY: not null and aligned; the caller's word for the length.
        let entries = unsafe { slice(contents.entries, contents.entries_len) };
        for entry in entries {
            let expected = size_of::<lowrank_entry>();
            if entry.size != expected {
                return memory.refuse(Fault::new(LOWRANK_STRUCT_SIZE, LOWRANK_ARGUMENT_ENTRIES, expected, entry.size));
            }
            memory.apart(|memory| entry.note_parts(memory));
        }
    }

    unsafe fn view(self) -> Result<Contents<'c>, Fault> {
        // SAFETY: noted.
        let contents = unsafe { &*self };
        // SAFETY: noted.
        let entries = unsafe { slice(contents.entries, contents.entries_len) };
        // SAFETY: noted: aligned, apart from all else, and with room for as many entries.
        let room = unsafe { slice_mut(contents.room.cast::<MaybeUninit<Entry<'c>>>(), contents.entries_len) };
        for (to, entry) in room.iter_mut().zip(entries) {
            // SAFETY: noted.
            to.write(unsafe { entry.get() }?);
        }
        // SAFETY: every one of them was written right above.
        let entries = unsafe { slice(room.as_ptr().cast::<Entry<'c>>(), room.len()) };
        // SAFETY: noted.
        let metadata = unsafe { text(LOWRANK_ARGUMENT_METADATA, contents.metadata, contents.metadata_len) }?;
        Ok(Contents { entries, metadata, fingerprint: contents.fingerprint, generation: contents.generation })
    }
}

/// Bytes of the file that contents give.
///
/// # Safety
/// As the page of the header says of pointers.
///
/// # Errors
/// LOWRANK_FILE with the place that the flaw would have in the file; LOWRANK_OVERFLOW; LOWRANK_LENGTH for a room that is too
/// short; LOWRANK_MISSING, LOWRANK_UNKNOWN, LOWRANK_NOT_UTF8 for an entry that is none.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lowrank_encoded_len(
    contents: *const lowrank_contents,
    len: *mut usize,
    error: *mut lowrank_error,
) -> lowrank_status {
    crate::call!(error, (Number(len), contents), |(len, contents)| {
        *len = contents.encoded_len()?;
        Ok(())
    })
}

/// Writes a file to the start of `bytes`, and its length to `written`. What lies behind it stays as it is.
///
/// # Safety
/// As the page of the header says of pointers.
///
/// # Errors
/// As `lowrank_encoded_len`; LOWRANK_TOO_MANY when there are too few bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lowrank_emit(
    contents: *const lowrank_contents,
    bytes: *mut u8,
    len: usize,
    written: *mut usize,
    error: *mut lowrank_error,
) -> lowrank_status {
    let out = SliceMut(LOWRANK_ARGUMENT_FILE, bytes, len);
    crate::call!(error, (out, Number(written), contents), |(out, written, contents)| {
        *written = contents.emit(out)?;
        Ok(())
    })
}
