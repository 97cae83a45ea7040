//! Two slots of NOR flash that a power cut does not harm.

use core::ffi::c_void;

use lowrank::store::{Store, Stored, slot_len};
use lowrank::{Flash, StoreError};

use crate::codes::*;
use crate::contents::lowrank_contents;
use crate::error::{Fault, lowrank_error};
use crate::memory::{Memory, Number, Passed, SliceMut, StructMut, slice_mut, structures};

/// NOR flash: three functions of a driver. They get `context`, return 0 or a code of their own that the error then shows, and
/// must not touch the memory of the call but what they are given.
///
/// The write unit of the flash may be up to LOWRANK_FLASH_UNIT bytes: programming comes in whole multiples of that.
#[derive(Copy, Clone, Debug)]
#[repr(C)]
pub struct lowrank_flash {
    /// Bytes of this struct.
    pub size: usize,
    /// Handed to the functions.
    pub context: *mut c_void,
    /// Reads `len` bytes at address `at`.
    pub read: Option<unsafe extern "C" fn(context: *mut c_void, at: u32, into: *mut u8, len: usize) -> i32>,
    /// Erases whole blocks, from the first address up to and without the second.
    pub erase: Option<unsafe extern "C" fn(context: *mut c_void, from: u32, to: u32) -> i32>,
    /// Programs `len` bytes that are erased at address `at`.
    pub program: Option<unsafe extern "C" fn(context: *mut c_void, at: u32, bytes: *const u8, len: usize) -> i32>,
    /// Bytes of the flash.
    pub capacity: usize,
    /// Bytes of a block, which is erased at once: a power of two.
    pub erase_size: u32,
}

/// Two slots of a flash, each from its start up to and without its end.
#[derive(Copy, Clone, Debug)]
#[repr(C)]
pub struct lowrank_store {
    /// Bytes of this struct.
    pub size: usize,
    /// The flash.
    pub flash: lowrank_flash,
    /// Where the slots start, multiples of `erase_size` and of LOWRANK_FLASH_UNIT.
    pub start: [u32; 2],
    /// Where they end, such multiples as well.
    pub end: [u32; 2],
    /// Working memory: a call writes to it also when it fails.
    pub page: *mut u8,
    /// Bytes of the page: a multiple of LOWRANK_FLASH_UNIT, at least LOWRANK_PAGE_LEN.
    pub page_len: usize,
}

/// Where a file lies.
#[derive(Copy, Clone, Debug)]
#[repr(C)]
pub struct lowrank_stored {
    /// Bytes of this struct; to be set before the call.
    pub size: usize,
    /// Bytes of the file; 0 when there is none.
    pub len: usize,
    /// The address of its first byte.
    pub at: u32,
    /// The slot: 0 or 1.
    pub slot: u32,
    /// The generation of the file.
    pub generation: u32,
}

structures!(lowrank_flash lowrank_store lowrank_stored);

/// A flash whose functions are all there.
///
/// `WRITE` is the largest write unit that is served. Smaller units within it are no harm: a cut leaves some of them as they
/// were, one loose and the others done, and the store takes all of the larger unit as loose then. Slots are erased as a
/// whole, so `ERASE` need not be that of the hardware.
pub(crate) struct Driver {
    context: *mut c_void,
    read: unsafe extern "C" fn(*mut c_void, u32, *mut u8, usize) -> i32,
    erase: unsafe extern "C" fn(*mut c_void, u32, u32) -> i32,
    program: unsafe extern "C" fn(*mut c_void, u32, *const u8, usize) -> i32,
    capacity: usize,
}

fn result(code: i32) -> Result<(), i32> {
    if code == 0 { Ok(()) } else { Err(code) }
}

impl Flash for Driver {
    type Error = i32;
    const WRITE: usize = LOWRANK_FLASH_UNIT;
    const ERASE: usize = LOWRANK_FLASH_UNIT;

    fn capacity(&self) -> usize {
        self.capacity
    }

    fn read(&mut self, at: u32, into: &mut [u8]) -> Result<(), i32> {
        // SAFETY: the caller's word on its function, which writes so many bytes here.
        result(unsafe { (self.read)(self.context, at, into.as_mut_ptr(), into.len()) })
    }

    fn erase(&mut self, from: u32, to: u32) -> Result<(), i32> {
        // SAFETY: the caller's word on its function.
        result(unsafe { (self.erase)(self.context, from, to) })
    }

    fn program(&mut self, at: u32, bytes: &[u8]) -> Result<(), i32> {
        // SAFETY: the caller's word on its function, which reads so many bytes here.
        result(unsafe { (self.program)(self.context, at, bytes.as_ptr(), bytes.len()) })
    }
}

impl lowrank_flash {
    fn driver(&self) -> Result<Driver, Fault> {
        if self.size != size_of::<Self>() {
            return Err(Fault::new(LOWRANK_STRUCT_SIZE, LOWRANK_ARGUMENT_FLASH, size_of::<Self>(), self.size));
        }
        let (Some(read), Some(erase), Some(program)) = (self.read, self.erase, self.program) else {
            return Err(Fault::new(LOWRANK_NULL, LOWRANK_ARGUMENT_FLASH, 0, 0));
        };
        Ok(Driver { context: self.context, read, erase, program, capacity: self.capacity })
    }

    /// What the bounds of a slot are multiples of, as well as of the write unit, which the store looks after.
    fn block(&self) -> Result<u32, Fault> {
        if !self.erase_size.is_power_of_two() {
            return Err(Fault::new(LOWRANK_UNKNOWN, LOWRANK_ARGUMENT_FLASH, 0, self.erase_size as usize));
        }
        Ok(self.erase_size)
    }
}

impl<'c> Passed<'c> for *const lowrank_store {
    type View = Store<'c, Driver>;

    unsafe fn note(self, memory: &mut Memory) {
        // SAFETY: the caller's word.
        let Some(store) = (unsafe { memory.structure(LOWRANK_ARGUMENT_STORE, self, false) }) else { return };
        if let Err(fault) = store.flash.driver() {
            memory.refuse(fault);
        }
        memory.elements(LOWRANK_ARGUMENT_PAGE, store.page.cast_const(), store.page_len, true);
    }

    unsafe fn view(self) -> Result<Store<'c, Driver>, Fault> {
        // SAFETY: noted.
        let lowrank_store { size: _, flash, start, end, page, page_len } = unsafe { *self };
        let multiple_of = flash.block()?;
        for (slot, bound) in start.into_iter().enumerate().chain(end.into_iter().enumerate()) {
            // A power of two, so nothing is divided.
            if bound & (multiple_of - 1) != 0 {
                return Err(StoreError::Unaligned { slot, multiple_of }.into());
            }
        }
        // SAFETY: noted, with this length.
        let page = unsafe { slice_mut(page, page_len) };
        let ([s0, s1], [e0, e1]) = (start, end);
        Ok(Store::new(flash.driver()?, [s0..e0, s1..e1], page)?)
    }
}

fn describe(stored: Option<Stored>) -> lowrank_stored {
    let Stored { slot, at, len, generation } = stored.unwrap_or(Stored { slot: 0, at: 0, len: 0, generation: 0 });
    lowrank_stored { size: size_of::<lowrank_stored>(), len, at, slot: slot as u32, generation }
}

/// Bytes of a slot for files of up to so many bytes. `erase_size` is that of the flash.
///
/// # Safety
/// As the page of the header says of pointers.
///
/// # Errors
/// LOWRANK_OVERFLOW when addresses do not reach that far; LOWRANK_UNKNOWN for an `erase_size` that is no power of two.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lowrank_slot_len(
    file_len: usize,
    erase_size: u32,
    len: *mut usize,
    error: *mut lowrank_error,
) -> lowrank_status {
    crate::call!(error, (Number(len),), |(len,)| {
        if !erase_size.is_power_of_two() {
            return Err(Fault::new(LOWRANK_UNKNOWN, LOWRANK_ARGUMENT_FLASH, 0, erase_size as usize));
        }
        let mask = erase_size as usize - 1;
        let whole = slot_len::<Driver>(file_len).and_then(|len| Some(len.checked_add(mask)? & !mask));
        match whole {
            Some(whole) if u32::try_from(whole).is_ok() => *len = whole,
            _ => return Err(Fault::new(LOWRANK_OVERFLOW, LOWRANK_ARGUMENT_FILE, 0, 0)),
        }
        Ok(())
    })
}

/// Where the newest file lies, as far as reading can tell; `len` is 0 when there is none.
///
/// # Safety
/// As the page of the header says of pointers.
///
/// # Errors
/// LOWRANK_FLASH; LOWRANK_SLOT_UNALIGNED, LOWRANK_SLOT_OUTSIDE, LOWRANK_SLOT_TOO_SMALL, LOWRANK_SLOTS_OVERLAP, LOWRANK_PAGE,
/// LOWRANK_UNKNOWN for a store that is none.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lowrank_store_newest(
    store: *const lowrank_store,
    stored: *mut lowrank_stored,
    error: *mut lowrank_error,
) -> lowrank_status {
    crate::call!(error, (store, StructMut(LOWRANK_ARGUMENT_STORED, stored)), |(mut store, into)| {
        *into = describe(store.newest()?);
        Ok(())
    })
}

/// Where the newest file lies, with all its checksums right, and so that every boot finds it until something is saved; `len`
/// is 0 when there is none. If a save was cut in the midst of sealing, another seal is programmed.
///
/// # Safety
/// As the page of the header says of pointers.
///
/// # Errors
/// As `lowrank_store_newest`; LOWRANK_VERIFY, LOWRANK_NO_SEAL_LEFT.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lowrank_store_recover(
    store: *const lowrank_store,
    stored: *mut lowrank_stored,
    error: *mut lowrank_error,
) -> lowrank_status {
    crate::call!(error, (store, StructMut(LOWRANK_ARGUMENT_STORED, stored)), |(mut store, into)| {
        *into = describe(store.recover()?);
        Ok(())
    })
}

/// Copies the newest file into `bytes`, and its length to `file_len`, which is 0 when there is none. Numbers in f32 can be used
/// where they are if `bytes` starts at a multiple of 4. It is the file of `lowrank_store_recover`, or where that fails for want
/// of a seal, the one of `lowrank_store_newest`.
///
/// # Safety
/// As the page of the header says of pointers.
///
/// # Errors
/// As `lowrank_store_newest`; LOWRANK_TOO_LONG when there are too few bytes; LOWRANK_FILE when the file is none. `bytes` may
/// have been written then.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lowrank_store_load(
    store: *const lowrank_store,
    bytes: *mut u8,
    len: usize,
    file_len: *mut usize,
    error: *mut lowrank_error,
) -> lowrank_status {
    let into = SliceMut(LOWRANK_ARGUMENT_FILE, bytes, len);
    crate::call!(error, (store, into, Number(file_len)), |(mut store, into, file_len)| {
        let found = store.load(into)?.is_some();
        *file_len = if found { describe(store.newest()?).len } else { 0 };
        Ok(())
    })
}

/// Saves a file in place of the older one, and says where it lies. Nothing of `contents` may lie in the older file.
///
/// # Safety
/// As the page of the header says of pointers.
///
/// # Errors
/// As `lowrank_store_newest` and `lowrank_encoded_len`; LOWRANK_TOO_LONG, LOWRANK_NO_SEAL_LEFT. LOWRANK_FLASH and
/// LOWRANK_VERIFY also after something was written to the flash: the newest file is still there.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lowrank_store_save(
    store: *const lowrank_store,
    contents: *const lowrank_contents,
    stored: *mut lowrank_stored,
    error: *mut lowrank_error,
) -> lowrank_status {
    let passed = (store, StructMut(LOWRANK_ARGUMENT_STORED, stored), contents);
    crate::call!(error, passed, |(mut store, into, contents)| {
        *into = describe(Some(store.save(&contents)?));
        Ok(())
    })
}
