//! Errors as sentences, for people who read a log. Written without `core::fmt`, which would bring panics, and only linked where
//! it is called.

use core::ffi::{CStr, c_char};

use crate::codes::*;
use crate::decimal::Decimal;
use crate::error::{Fault, lowrank_error};
use crate::memory::{Memory, slice_mut};

/// What a status means, in English, with a zero byte at the end. Never null. `lowrank_error_text` says more.
#[unsafe(no_mangle)]
pub extern "C" fn lowrank_status_text(status: lowrank_status) -> *const c_char {
    status_text(status).as_ptr()
}

const fn status_text(status: lowrank_status) -> &'static CStr {
    match status {
        LOWRANK_OK => c"done",
        LOWRANK_LENGTH => c"a buffer has the wrong number of elements",
        LOWRANK_ROWS => c"a matrix has the wrong number of rows",
        LOWRANK_COLS => c"a matrix has the wrong number of columns",
        LOWRANK_TOO_MANY => c"there is more of something than there is room for",
        LOWRANK_STRIDE => c"a row stride is smaller than a row",
        LOWRANK_OVERFLOW => c"a size does not fit into the address space",
        LOWRANK_RANGE => c"a number lies outside of its range",
        LOWRANK_NON_FINITE => c"an infinity or a NaN where only finite numbers make sense",
        LOWRANK_LABEL => c"a label names no class",
        LOWRANK_DEAD_ADAPTER => c"A and B are both zero: the adapter can never learn",
        LOWRANK_MISSING => c"an argument that is needed was left out",
        LOWRANK_UNEXPECTED => c"an argument was given that cannot be filled",
        LOWRANK_NO_FORWARD => c"no forward pass of this batch came before",
        LOWRANK_NO_INPUT_GRADS => c"lowrank_input_grads has to come before lowrank_parameter_grads",
        LOWRANK_FOR_INFERENCE => c"made for inference, a backward pass needs memory for training",
        LOWRANK_ABSENT_ADAPTER => c"an earlier pass of this batch ran with a scale of 0: run forward again",
        LOWRANK_OTHER_OPTIMIZER => c"the memory was planned for another optimizer, which needs less",
        LOWRANK_REVERSED => c"a range ends before it starts",
        LOWRANK_FILE => c"not an adapter file, or contents that cannot be one",
        LOWRANK_FLASH => c"the flash failed",
        LOWRANK_VERIFY => c"the flash does not hold what was written",
        LOWRANK_TOO_LONG => c"the file does not fit",
        LOWRANK_NO_SEAL_LEFT => c"all seals of a slot are used up",
        LOWRANK_SLOT_UNALIGNED => c"a slot is not made of whole blocks",
        LOWRANK_SLOT_OUTSIDE => c"a slot does not lie within the flash",
        LOWRANK_SLOT_TOO_SMALL => c"a slot is too small",
        LOWRANK_SLOTS_OVERLAP => c"the slots overlap",
        LOWRANK_PAGE => c"the page has the wrong length",
        LOWRANK_DEVIATION => c"this build or thread does not keep to IEEE 754",
        LOWRANK_NULL => c"a pointer is null that must not be",
        LOWRANK_MISALIGNED => c"an address is not aligned",
        LOWRANK_STRUCT_SIZE => c"the first field of a struct is not its size",
        LOWRANK_OVERLAP => c"what is written overlaps another argument",
        LOWRANK_WRAPS => c"a buffer reaches beyond the end of the address space",
        LOWRANK_UNKNOWN => c"a code without a meaning",
        LOWRANK_UNSUPPORTED => c"not in this build, or not on this CPU",
        LOWRANK_NOT_UTF8 => c"text is not UTF-8",
        LOWRANK_NOT_FOUND => c"no such entry",
        LOWRANK_NOT_IN_PLACE => c"the adapter cannot be used where it lies",
        LOWRANK_NOT_SET => c"what only a call sets was not set by it",
        _ => c"an error without a code",
    }
}

/// What an argument is called, in English, with a zero byte at the end: LOWRANK_ARGUMENT_... Never null.
#[unsafe(no_mangle)]
pub extern "C" fn lowrank_argument_text(argument: u32) -> *const c_char {
    argument_text(argument).as_ptr()
}

#[rustfmt::skip]
const fn argument_text(argument: u32) -> &'static CStr {
    match argument {
        LOWRANK_ARGUMENT_W => c"W",
        LOWRANK_ARGUMENT_BIAS => c"the bias",
        LOWRANK_ARGUMENT_A => c"A",
        LOWRANK_ARGUMENT_B => c"B",
        LOWRANK_ARGUMENT_SCALE => c"the scale s",
        LOWRANK_ARGUMENT_X => c"X",
        LOWRANK_ARGUMENT_Y => c"Y",
        LOWRANK_ARGUMENT_DY => c"dY",
        LOWRANK_ARGUMENT_DX => c"dX",
        LOWRANK_ARGUMENT_DA => c"dA",
        LOWRANK_ARGUMENT_DB => c"dB",
        LOWRANK_ARGUMENT_DBIAS => c"the gradient of the bias",
        LOWRANK_ARGUMENT_SAVED => c"the saved activations",
        LOWRANK_ARGUMENT_STATE => c"the state of the optimizer",
        LOWRANK_ARGUMENT_MERGED => c"the merged weights",
        LOWRANK_ARGUMENT_ARENA => c"the arena",
        LOWRANK_ARGUMENT_PACKED => c"the memory for packed weights",
        LOWRANK_ARGUMENT_TOKENS => c"the number of tokens",
        LOWRANK_ARGUMENT_RANK => c"the rank",
        LOWRANK_ARGUMENT_MATRIX => c"a matrix",
        LOWRANK_ARGUMENT_GRAD_NORM => c"the norm of the gradients",
        LOWRANK_ARGUMENT_LEARNING_RATE => c"the learning rate",
        LOWRANK_ARGUMENT_MOMENTUM => c"the momentum",
        LOWRANK_ARGUMENT_EPSILON => c"epsilon",
        LOWRANK_ARGUMENT_WEIGHT_DECAY => c"the weight decay",
        LOWRANK_ARGUMENT_MAX_NORM => c"the maximal norm",
        LOWRANK_ARGUMENT_DROPOUT => c"the dropout",
        LOWRANK_ARGUMENT_LABELS => c"the labels",
        LOWRANK_ARGUMENT_TARGETS => c"the targets",
        LOWRANK_ARGUMENT_LOSS_GRAD => c"the gradient of the loss",
        LOWRANK_ARGUMENT_FILE => c"the file",
        LOWRANK_ARGUMENT_B_BIAS => c"the bias of B",
        LOWRANK_ARGUMENT_LAYER_NUMBER => c"the layer number",
        LOWRANK_ARGUMENT_DAMPENING => c"the dampening",
        LOWRANK_ARGUMENT_BETA1 => c"beta1",
        LOWRANK_ARGUMENT_BETA2 => c"beta2",
        LOWRANK_ARGUMENT_BASE => c"the base",
        LOWRANK_ARGUMENT_ADAPTER => c"the adapter",
        LOWRANK_ARGUMENT_FLOW => c"the backprop struct",
        LOWRANK_ARGUMENT_GRADS => c"the gradients",
        LOWRANK_ARGUMENT_PLAN => c"the plan",
        LOWRANK_ARGUMENT_WORK => c"the work",
        LOWRANK_ARGUMENT_LENGTHS => c"the lengths",
        LOWRANK_ARGUMENT_BACKEND => c"the backend",
        LOWRANK_ARGUMENT_OPTIMIZER => c"the optimizer",
        LOWRANK_ARGUMENT_TRAINED => c"what is trained",
        LOWRANK_ARGUMENT_ACCUMULATE => c"replace or accumulate",
        LOWRANK_ARGUMENT_PROGRESS => c"the progress of the saved activations",
        LOWRANK_ARGUMENT_DTYPE => c"the type of the numbers",
        LOWRANK_ARGUMENT_LOSS => c"the mean loss",
        LOWRANK_ARGUMENT_RNG => c"the random numbers",
        LOWRANK_ARGUMENT_ITEMS => c"the items",
        LOWRANK_ARGUMENT_SCHEDULE => c"the schedule",
        LOWRANK_ARGUMENT_RESULT => c"the result",
        LOWRANK_ARGUMENT_ENTRY => c"the entry",
        LOWRANK_ARGUMENT_ENTRIES => c"the entries of the contents",
        LOWRANK_ARGUMENT_NAME => c"the name of the entry",
        LOWRANK_ARGUMENT_METADATA => c"the metadata",
        LOWRANK_ARGUMENT_CONTENTS => c"the contents",
        LOWRANK_ARGUMENT_ROOM => c"the room of the contents",
        LOWRANK_ARGUMENT_FLASH => c"the flash",
        LOWRANK_ARGUMENT_STORE => c"the store",
        LOWRANK_ARGUMENT_PAGE => c"the page of the store",
        LOWRANK_ARGUMENT_STORED => c"the stored struct",
        LOWRANK_ARGUMENT_ERROR => c"the error struct",
        LOWRANK_ARGUMENT_CLOCK => c"the clock of the optimizer",
        LOWRANK_ARGUMENT_LAYER => c"the layer",
        _ => c"an argument",
    }
}

/// What is wrong with a file, in English, with a zero byte at the end: LOWRANK_FLAW_... Never null.
#[unsafe(no_mangle)]
pub extern "C" fn lowrank_flaw_text(flaw: u32) -> *const c_char {
    flaw_text(flaw).0.as_ptr()
}

/// The flaw, and what its numbers say.
#[rustfmt::skip]
const fn flaw_text(flaw: u32) -> (&'static CStr, &'static str) {
    match flaw {
        LOWRANK_FLAW_NONE => (c"nothing", ""),
        LOWRANK_FLAW_TRUNCATED => (c"the bytes end before the header does", ", at least %e are needed"),
        LOWRANK_FLAW_MAGIC => (c"this is no adapter file", ""),
        LOWRANK_FLAW_VERSION => (c"the version is not known", ": expected %e, got %g"),
        LOWRANK_FLAW_CRC => (c"the checksum is wrong", ": expected %x, got %h"),
        LOWRANK_FLAW_LENGTH => (c"the length is wrong", ": expected %e"),
        LOWRANK_FLAW_OFFSET => (c"something starts at the wrong place", ": expected byte %e"),
        LOWRANK_FLAW_OUTSIDE => (c"something reaches beyond the end", ""),
        LOWRANK_FLAW_TOO_LARGE => (c"a number is too large for its field", ""),
        LOWRANK_FLAW_ZERO => (c"a number is 0 that must not be", ""),
        LOWRANK_FLAW_NOT_ZERO => (c"a number is not 0 that has to be", ": got %g"),
        LOWRANK_FLAW_PADDING => (c"padding is not 0", ": got %g"),
        LOWRANK_FLAW_CODE => (c"a code has no meaning", ": got %g"),
        LOWRANK_FLAW_NO_BIAS => (c"a bias is trained that is not there", ""),
        LOWRANK_FLAW_UTF8 => (c"text is not UTF-8", ""),
        LOWRANK_FLAW_ORDER => (c"entries do not ascend by name and id", ""),
        LOWRANK_FLAW_NON_FINITE => (c"a number is infinite or NaN", ""),
        LOWRANK_FLAW_SCALE => (c"the scale does not follow from alpha and rank", ": expected %l, got %v"),
        LOWRANK_FLAW_PROBABILITY => (c"a probability is not from 0 to below 1", ": got %v"),
        LOWRANK_FLAW_ROWS => (c"a matrix has the wrong number of rows", ": expected %e, got %g"),
        LOWRANK_FLAW_COLS => (c"a matrix has the wrong number of columns", ": expected %e, got %g"),
        LOWRANK_FLAW_NOT_F32 => (c"moments are not f32", ""),
        _ => (c"a flaw without a code", ""),
    }
}

/// The sentence of a status; [`Text::sentence`] says what stands for what.
#[rustfmt::skip]
const fn sentence(status: lowrank_status) -> &'static str {
    match status {
        LOWRANK_LENGTH => "%a: expected %e elements, got %g",
        LOWRANK_ROWS => "%a: expected %e rows, got %g",
        LOWRANK_COLS => "%a: expected %e columns, got %g",
        LOWRANK_TOO_MANY => "%a: at most %e fit, got %g",
        LOWRANK_STRIDE => "%a: a row stride of at least %e is needed, got %g",
        LOWRANK_RANGE => "%a: expected a number from %l to %m, got %v",
        LOWRANK_NON_FINITE => "%a: element %i is infinite or NaN",
        LOWRANK_LABEL => "%a: label %i is %g, but there are %e classes",
        LOWRANK_FILE => "%a, byte %i: %f",
        LOWRANK_OTHER_OPTIMIZER => "%a: the memory was planned for %p, and the step is one of %q, which needs more",
        LOWRANK_REVERSED => "%a: a range starts at %e and ends before that, at %g",
        LOWRANK_FLASH => "the flash failed at address %I: its driver returned %s",
        LOWRANK_VERIFY => "the flash does not hold at address %I what was erased or programmed there",
        LOWRANK_TOO_LONG => "the file has %g bytes, but there are %e",
        LOWRANK_NO_SEAL_LEFT => "slot %i: all seals are used up, erase both slots to start anew",
        LOWRANK_SLOT_UNALIGNED => "slot %i: its bounds are not multiples of %e",
        LOWRANK_SLOT_OUTSIDE => "slot %i: it does not lie within the %e bytes of the flash",
        LOWRANK_SLOT_TOO_SMALL => "slot %i: it is too small, at least %e bytes are needed",
        LOWRANK_PAGE => "%a: expected a multiple of %e bytes, at least two of them, got %g",
        LOWRANK_DEVIATION => "%a: this build or thread does not keep to IEEE 754: probe %i gave the bits %h, not %x",
        LOWRANK_MISALIGNED => "%a: the address %h is not a multiple of %e",
        LOWRANK_STRUCT_SIZE => "%a: its first field is %g, not the size %e of the struct",
        LOWRANK_OVERLAP => "%a: it is written, and has bytes in common with %o",
        LOWRANK_WRAPS => "%a: %g bytes reach beyond the end of the address space",
        LOWRANK_UNKNOWN => "%a: the code %g has no meaning",
        LOWRANK_UNSUPPORTED => "%a: %g is not in this build, or not on this CPU",
        LOWRANK_NOT_UTF8 => "%a: its %g bytes are not UTF-8",
        LOWRANK_OVERFLOW | LOWRANK_MISSING | LOWRANK_UNEXPECTED | LOWRANK_NULL | LOWRANK_NOT_IN_PLACE => "%a: %t",
        LOWRANK_NOT_SET => "%a: %c, which did not happen",
        _ => "%t",
    }
}

/// The call that sets an argument.
const fn setter_text(argument: u32) -> &'static str {
    match argument {
        LOWRANK_ARGUMENT_W => "lowrank_layer_set_panels or lowrank_base_panels says that it is in panels",
        LOWRANK_ARGUMENT_DROPOUT => "lowrank_layer_set_dropout or lowrank_set_dropout sets it",
        _ => "lowrank_layer_init makes it, after lowrank_layer_plan",
    }
}

const fn optimizer_text(optimizer: usize) -> &'static str {
    match optimizer as u32 {
        LOWRANK_MOMENTUM => "SGD with momentum",
        LOWRANK_ADAMW => "AdamW",
        LOWRANK_SGD => "SGD",
        LOWRANK_IN_PLACE => "SGD in place",
        _ => "another optimizer",
    }
}

/// A text that is written as far as there is room, and counted to its end.
struct Text<'c> {
    to: &'c mut [u8],
    len: usize,
}

impl Text<'_> {
    fn byte(&mut self, byte: u8) {
        if let Some(to) = self.to.get_mut(self.len) {
            *to = byte;
        }
        self.len += 1;
    }

    fn bytes(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|&byte| self.byte(byte));
    }

    fn number(&mut self, number: usize) {
        let mut digits = [0; 20];
        let (mut rest, mut first) = (number, 19);
        for (place, digit) in digits.iter_mut().enumerate().rev() {
            (*digit, rest) = ((rest % 10) as u8, rest / 10);
            if *digit != 0 {
                first = place;
            }
        }
        digits.iter().skip(first).for_each(|digit| self.byte(b'0' + digit));
    }

    fn hex(&mut self, number: usize) {
        self.bytes(b"0x");
        let digits = (usize::BITS - number.leading_zeros()).div_ceil(4).max(1);
        for digit in (0..digits).rev() {
            let digit = (number >> (4 * digit)) as u8 & 15;
            self.byte(if digit < 10 { b'0' + digit } else { b'a' - 10 + digit });
        }
    }

    /// `template` with the numbers of an error. Its signs are those of this function.
    #[rustfmt::skip]
    fn sentence(&mut self, template: &str, error: &lowrank_error) {
        let mut is_sign = false;
        for &byte in template.as_bytes() {
            match byte {
                b'%' if !is_sign => { is_sign = true; continue }
                _ if !is_sign => self.byte(byte),
                b'a' => self.bytes(argument_text(error.argument).to_bytes()),
                b'o' => self.bytes(argument_text(error.got as u32).to_bytes()),
                b't' => self.bytes(status_text(error.status).to_bytes()),
                b'c' => self.bytes(setter_text(error.argument).as_bytes()),
                b'f' => self.flaw(error),
                b'p' => self.bytes(optimizer_text(error.expected).as_bytes()),
                b'q' => self.bytes(optimizer_text(error.got).as_bytes()),
                b'e' => self.number(error.expected),
                b'g' => self.number(error.got),
                b'i' => self.number(error.index),
                b'x' => self.hex(error.expected),
                b'h' => self.hex(error.got),
                b'I' => self.hex(error.index),
                b's' => self.signed(error.got as i32),
                b'l' => self.float(error.at_least),
                b'm' => self.float(error.at_most),
                b'v' => self.float(error.value),
                other => self.byte(other),
            }
            is_sign = false;
        }
    }

    // A function of its own: `sentence` calls itself only through it, once.
    fn flaw(&mut self, error: &lowrank_error) {
        let (flaw, numbers) = flaw_text(error.flaw);
        self.bytes(flaw.to_bytes());
        self.sentence(numbers, error);
    }

    fn signed(&mut self, number: i32) {
        if number < 0 {
            self.byte(b'-');
        }
        self.number(number.unsigned_abs() as usize);
    }

    fn float(&mut self, value: f32) {
        if value.is_nan() {
            return self.bytes(b"NaN");
        }
        if value.is_sign_negative() {
            self.byte(b'-');
        }
        if value.is_infinite() {
            return self.bytes(b"infinity");
        }
        Decimal::of(value).write(|byte| self.byte(byte));
    }
}

/// Writes what an error says as a sentence in English, in ASCII, with all its numbers, for example "Y: expected 3 rows, got 2".
/// At most `length` bytes are written, the last of them is 0. Returns the bytes that the whole sentence has, without the 0:
/// where that is `length` or more, the sentence was cut. With `length` 0, nothing is written, and `text` may be null.
///
/// What is no `lowrank_error` (null, misaligned, of another size) gets a sentence, too. It takes no heap, and is linked only
/// where it is called.
///
/// # Safety
/// As the page of the header says of pointers.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lowrank_error_text(error: *const lowrank_error, text: *mut c_char, length: usize) -> usize {
    // SAFETY: the caller's word.
    let error = unsafe { given(error) };
    let template = sentence(error.status);
    let mut count = Text { to: &mut [], len: 0 };
    count.sentence(template, &error);
    let written = if text.is_null() { 0 } else { length.min(count.len + 1) };
    // SAFETY: the caller's word: there are `length` bytes or more.
    if let Some((end, to)) = unsafe { slice_mut(text.cast::<u8>(), written) }.split_last_mut() {
        *end = 0;
        Text { to, len: 0 }.sentence(template, &error);
    }
    count.len
}

/// The error, or what is wrong with it.
///
/// # Safety
/// As [`Memory::structure`].
unsafe fn given(error: *const lowrank_error) -> lowrank_error {
    if error.is_null() {
        return lowrank_error::of_abi(LOWRANK_NULL, LOWRANK_ARGUMENT_ERROR, 0, 0);
    }
    // SAFETY: the caller's word.
    match unsafe { Memory::with(error) }.verdict() {
        // SAFETY: it was noted: aligned, and as large as its first field says.
        Ok(()) => unsafe { error.read() },
        Err(Fault::Argument { status, argument, expected, got }) => {
            lowrank_error::of_abi(status, argument, expected, got)
        }
        Err(_) => lowrank_error::of_abi(LOWRANK_OTHER, LOWRANK_ARGUMENT_ERROR, 0, 0),
    }
}
