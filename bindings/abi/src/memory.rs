//! The one way from pointers to borrows. All buffers of a call are checked together before a borrow of any is made: not
//! null, aligned, within the address space, and what is written apart from everything else.

use crate::codes::*;
use crate::error::{Fault, lowrank_error};

/// An argument of a call: what the caller's pointers stand for, and the borrow that becomes of it.
pub(crate) trait Passed<'c>: Copy {
    /// The borrow.
    type View;

    /// Notes all the memory that the argument is made of, and what is wrong with it.
    ///
    /// # Safety
    /// A pointer to a struct that is not null is valid for reading as many bytes as its first field says, and that field.
    unsafe fn note(self, memory: &mut Memory);

    /// Borrows it.
    ///
    /// # Safety
    /// All of it was noted in a [`Memory`] in which nothing overlaps, the buffers are as long as they are said to be, and
    /// nobody else writes them, or reads those that are written, as long as `'c`.
    unsafe fn view(self) -> Result<Self::View, Fault>;
}

/// Borrows all arguments of a call, or none. `error` is one of them.
///
/// # Safety
/// What the page of the crate says of pointers holds for those of `error` and `passed`, as long as `'c`.
#[inline(always)]
pub(crate) unsafe fn borrow<'c, P: Passed<'c>>(error: *mut lowrank_error, passed: P) -> Result<P::View, Fault> {
    // SAFETY: the caller's word.
    unsafe { check(error, passed) }?;
    // SAFETY: it was noted right above.
    unsafe { passed.view() }
}

// A frame of its own: the list of spans is gone before the work starts.
#[inline(never)]
unsafe fn check<'c, P: Passed<'c>>(error: *mut lowrank_error, passed: P) -> Result<(), Fault> {
    // SAFETY: the caller's word.
    let mut memory = unsafe { Memory::with(error) };
    // SAFETY: the caller's word.
    unsafe { passed.note(&mut memory) };
    memory.verdict()
}

/// A struct of the header.
///
/// # Safety
/// Its first field is its size, a `usize`, and any bits are valid for all of its fields.
pub(crate) unsafe trait Structure {}

/// Checks the size that a struct within a struct says to have. One that is all 0 stands for none, and so may its size be.
pub(crate) const fn nested<T: Structure>(argument: u32, size: usize, is_zero: bool) -> Result<(), Fault> {
    if size == size_of::<T>() || (size == 0 && is_zero) {
        return Ok(());
    }
    Err(Fault::new(LOWRANK_STRUCT_SIZE, argument, size_of::<T>(), size))
}

// `scripts/check-c-abi.sh` compares the structs of ARM with those that it has seen on wasm32.
#[cfg(any(target_arch = "arm", target_arch = "wasm32"))]
const _: () = assert!(
    size_of::<usize>() == 4
        && size_of::<fn()>() == 4
        && align_of::<usize>() == 4
        && align_of::<fn()>() == 4
        && align_of::<f32>() == 4
        && align_of::<u64>() == 8
        && align_of::<f64>() == 8
);

/// Declares structs of the header to be such.
macro_rules! structures {
    ($($name:ident)*) => {
        $(
            const _: () = assert!(core::mem::offset_of!($name, size) == 0);
            // SAFETY: checked right above; there are only numbers, pointers and optional functions in it.
            unsafe impl $crate::memory::Structure for $name {}
        )*
    };
}
pub(crate) use structures;

// Here and not beside the struct, whose file does not import this one.
structures!(lowrank_error);

/// Spans of the call with the most arguments: a step of an optimizer, or a save of many entries, which counts its entries
/// as one.
const MOST: usize = 20;

#[derive(Copy, Clone)]
struct Span {
    start: usize,
    end: usize,
    argument: u32,
    written: bool,
}

impl Span {
    const EMPTY: Span = Span { start: 0, end: 0, argument: LOWRANK_ARGUMENT_NONE, written: false };

    const fn meets(&self, other: &Span) -> bool {
        self.start < other.end && other.start < self.end
    }
}

/// The memory of all arguments of a call, and the first mistake in it. What comes behind a mistake is noted all the same: the
/// mistake is described in `error`, which must not have bytes in common with any of it.
pub(crate) struct Memory {
    spans: [Span; MOST],
    count: usize,
    fault: Result<(), Fault>,
}

impl Memory {
    /// With the struct of the error alone, if there is one.
    ///
    /// # Safety
    /// As [`Memory::structure`].
    pub(crate) unsafe fn with(error: *const lowrank_error) -> Self {
        let mut memory = Memory { spans: [Span::EMPTY; MOST], count: 0, fault: Ok(()) };
        if !error.is_null() {
            // SAFETY: the caller's word.
            unsafe { memory.structure(LOWRANK_ARGUMENT_ERROR, error, true) };
        }
        memory
    }

    /// Keeps the first mistake, unless a later one is about the struct of the error: nothing can be written to it then.
    pub(crate) fn refuse(&mut self, fault: Fault) {
        if self.fault.is_ok() || fault.is_about_error() {
            self.fault = Err(fault);
        }
    }

    /// Notes `bytes` bytes, and returns whether they can be. Nothing of an address is looked at where there are none.
    #[inline(never)]
    pub(crate) fn bytes(&mut self, argument: u32, start: usize, bytes: usize, align: usize, written: bool) -> bool {
        if bytes == 0 {
            return true;
        }
        let fault = if start == 0 {
            Fault::new(LOWRANK_NULL, argument, bytes, 0)
        } else if start & (align - 1) != 0 {
            Fault::new(LOWRANK_MISALIGNED, argument, align, start)
        } else {
            match (start.checked_add(bytes), self.spans.get_mut(self.count)) {
                (Some(end), Some(free)) if bytes <= isize::MAX as usize => {
                    *free = Span { start, end, argument, written };
                    self.count += 1;
                    return true;
                }
                (_, None) => Fault::new(LOWRANK_OTHER, argument, MOST, self.count),
                _ => Fault::new(LOWRANK_WRAPS, argument, isize::MAX as usize, bytes),
            }
        };
        self.refuse(fault);
        false
    }

    /// Notes elements, and returns whether they can be.
    pub(crate) fn elements<T>(&mut self, argument: u32, start: *const T, len: usize, written: bool) -> bool {
        self.bytes(argument, start.addr(), len.saturating_mul(size_of::<T>()), align_of::<T>(), written)
    }

    /// Notes a struct, and returns it for a look at its fields.
    ///
    /// # Safety
    /// If it is not null, it is valid for reading as many bytes as its first field says, and that field.
    pub(crate) unsafe fn structure<'c, T: Structure>(
        &mut self,
        argument: u32,
        pointer: *const T,
        written: bool,
    ) -> Option<&'c T> {
        // SAFETY: the caller's word.
        let whole = unsafe { self.sized(argument, pointer.cast(), (size_of::<T>(), align_of::<T>()), written) };
        // SAFETY: not null, aligned, and as large as a `T`, for which any bits are valid.
        whole.then(|| unsafe { &*pointer })
    }

    /// Notes a struct, and returns whether it is one.
    ///
    /// # Safety
    /// If it is not null, it is valid for reading a number.
    #[inline(never)]
    pub(crate) unsafe fn sized(
        &mut self,
        argument: u32,
        pointer: *const usize,
        (size, align): (usize, usize),
        written: bool,
    ) -> bool {
        if !self.bytes(argument, pointer.addr(), size, align, written) {
            return false;
        }
        // SAFETY: the caller's word; not null, aligned and not wrapping, as was checked right above.
        let got = unsafe { pointer.read() };
        if got != size {
            self.refuse(Fault::new(LOWRANK_STRUCT_SIZE, argument, size, got));
        }
        got == size
    }

    /// Notes one of many things, checks it against all that was noted before, and forgets it: only reads, which may overlap
    /// each other.
    pub(crate) fn apart(&mut self, note: impl FnOnce(&mut Memory)) {
        let before = self.count;
        note(self);
        self.disjoint();
        self.count = before;
    }

    /// Whether all of it can be borrowed.
    pub(crate) fn verdict(mut self) -> Result<(), Fault> {
        self.disjoint();
        self.fault
    }

    /// Checks that nothing that is written has bytes in common with anything else. The struct of the error comes first.
    fn disjoint(&mut self) {
        let spans = self.spans.get(..self.count).unwrap_or(&[]);
        for (i, a) in spans.iter().enumerate() {
            for b in spans.iter().skip(i + 1) {
                if (a.written || b.written) && a.meets(b) {
                    let (output, other) = if a.written { (a, b) } else { (b, a) };
                    let fault = Fault::new(LOWRANK_OVERLAP, output.argument, 0, other.argument as usize);
                    return self.refuse(fault);
                }
            }
        }
    }
}

/// Elements that are read.
pub(crate) struct Slice<T>(pub u32, pub *const T, pub usize);

/// Elements that are written.
pub(crate) struct SliceMut<T>(pub u32, pub *mut T, pub usize);

/// A struct that is read as it is.
pub(crate) struct Struct<T>(pub u32, pub *const T);

/// A struct that is written.
pub(crate) struct StructMut<T>(pub u32, pub *mut T);

/// One number that is written.
pub(crate) struct Number<T>(pub *mut T);

macro_rules! copy {
    ($($name:ident)*) => {
        $(
            impl<T> Clone for $name<T> {
                fn clone(&self) -> Self {
                    *self
                }
            }
            impl<T> Copy for $name<T> {}
        )*
    };
}
copy!(Slice SliceMut Struct StructMut Number);

impl<'c, T: 'c> Passed<'c> for Slice<T> {
    type View = &'c [T];

    unsafe fn note(self, memory: &mut Memory) {
        memory.elements(self.0, self.1, self.2, false);
    }

    unsafe fn view(self) -> Result<&'c [T], Fault> {
        // SAFETY: the caller's word.
        Ok(unsafe { slice(self.1, self.2) })
    }
}

impl<'c, T: 'c> Passed<'c> for SliceMut<T> {
    type View = &'c mut [T];

    unsafe fn note(self, memory: &mut Memory) {
        memory.elements(self.0, self.1, self.2, true);
    }

    unsafe fn view(self) -> Result<&'c mut [T], Fault> {
        // SAFETY: the caller's word.
        Ok(unsafe { slice_mut(self.1, self.2) })
    }
}

impl<'c, T: Structure + 'c> Passed<'c> for Struct<T> {
    type View = &'c T;

    unsafe fn note(self, memory: &mut Memory) {
        // SAFETY: the caller's word.
        unsafe { memory.structure(self.0, self.1, false) };
    }

    unsafe fn view(self) -> Result<&'c T, Fault> {
        // SAFETY: it was noted: not null, aligned and large enough; any bits are valid.
        Ok(unsafe { &*self.1 })
    }
}

impl<'c, T: Structure + 'c> Passed<'c> for StructMut<T> {
    type View = &'c mut T;

    unsafe fn note(self, memory: &mut Memory) {
        // SAFETY: the caller's word.
        unsafe { memory.structure(self.0, self.1.cast_const(), true) };
    }

    unsafe fn view(self) -> Result<&'c mut T, Fault> {
        // SAFETY: it was noted: not null, aligned, large enough, and apart from all else; any bits are valid.
        Ok(unsafe { &mut *self.1 })
    }
}

impl<'c, T: 'c> Passed<'c> for Number<T> {
    type View = &'c mut T;

    unsafe fn note(self, memory: &mut Memory) {
        memory.elements(LOWRANK_ARGUMENT_RESULT, self.0, 1, true);
    }

    unsafe fn view(self) -> Result<&'c mut T, Fault> {
        // SAFETY: it was noted: not null, aligned, and apart from all else.
        Ok(unsafe { &mut *self.0 })
    }
}

macro_rules! tuples {
    ($(($($name:ident)*))*) => {
        $(
            #[allow(non_snake_case, reason = "the names of the types serve for the values")]
            impl<'c, $($name: Passed<'c>),*> Passed<'c> for ($($name,)*) {
                type View = ($($name::View,)*);

                #[inline(always)]
                unsafe fn note(self, memory: &mut Memory) {
                    let ($($name,)*) = self;
                    $(
                        // SAFETY: the caller's word.
                        unsafe { $name.note(memory) };
                    )*
                }

                #[inline(always)]
                unsafe fn view(self) -> Result<Self::View, Fault> {
                    let ($($name,)*) = self;
                    Ok(($(
                        // SAFETY: the caller's word.
                        unsafe { $name.view() }?,
                    )*))
                }
            }
        )*
    };
}

impl<'c> Passed<'c> for () {
    type View = ();

    unsafe fn note(self, _: &mut Memory) {}

    unsafe fn view(self) -> Result<(), Fault> {
        Ok(())
    }
}
tuples! { (A) (A B) (A B C) (A B C D) (A B C D E) }

/// # Safety
/// Valid for reading `len` elements as long as `'c`, and not written by anybody. May be null where there are none.
pub(crate) unsafe fn slice<'c, T>(start: *const T, len: usize) -> &'c [T] {
    if len == 0 {
        return &[];
    }
    // SAFETY: the caller's word.
    unsafe { core::slice::from_raw_parts(start, len) }
}

/// # Safety
/// Valid for writing `len` elements as long as `'c`, and not accessed by anybody else. May be null where there are none.
pub(crate) unsafe fn slice_mut<'c, T>(start: *mut T, len: usize) -> &'c mut [T] {
    if len == 0 {
        return &mut [];
    }
    // SAFETY: the caller's word.
    unsafe { core::slice::from_raw_parts_mut(start, len) }
}
