//! Bytes that are numbers where they lie.

/// The same memory as numbers. `None` when it does not start at a multiple of 4, is no multiple of 4 bytes long, or holds
/// little-endian numbers on a big-endian machine.
pub(crate) fn as_f32(bytes: &[u8]) -> Option<&[f32]> {
    let start = bytes.as_ptr().cast::<f32>();
    if !start.is_aligned() || !bytes.len().is_multiple_of(size_of::<f32>()) || cfg!(target_endian = "big") {
        return None;
    }
    // SAFETY: aligned and within `bytes`, borrowed for as long as they are; all bits are numbers.
    Some(unsafe { core::slice::from_raw_parts(start, bytes.len() / size_of::<f32>()) })
}

/// The memory of codes as bytes.
pub(crate) const fn bytes_of_i8(codes: &[i8]) -> &[u8] {
    // SAFETY: the same memory, borrowed for as long; both are any byte.
    unsafe { core::slice::from_raw_parts(codes.as_ptr().cast(), codes.len()) }
}

/// The memory of numbers as bytes, in the order of the machine.
pub(crate) const fn bytes_of_f32(numbers: &[f32]) -> &[u8] {
    // SAFETY: the same memory, borrowed for as long; all its bytes are initialised.
    unsafe { core::slice::from_raw_parts(numbers.as_ptr().cast(), size_of_val(numbers)) }
}
