//! The fields of a table in their order: one list, for reading and for writing.

/// The direction in which fields go.
pub(super) trait Fields {
    /// Moves the next `N` bytes.
    fn bytes<const N: usize>(&mut self, value: &mut [u8; N]);

    fn u8(&mut self, value: &mut u8) {
        let mut bytes = [*value];
        self.bytes(&mut bytes);
        *value = u8::from_le_bytes(bytes);
    }

    fn u16(&mut self, value: &mut u16) {
        let mut bytes = value.to_le_bytes();
        self.bytes(&mut bytes);
        *value = u16::from_le_bytes(bytes);
    }

    fn u32(&mut self, value: &mut u32) {
        let mut bytes = value.to_le_bytes();
        self.bytes(&mut bytes);
        *value = u32::from_le_bytes(bytes);
    }

    fn u64(&mut self, value: &mut u64) {
        let mut bytes = value.to_le_bytes();
        self.bytes(&mut bytes);
        *value = u64::from_le_bytes(bytes);
    }
}

/// Reads fields from bytes. Where the bytes have ended, fields stay as they are.
pub(super) struct Read<'a>(pub &'a [u8]);

impl Fields for Read<'_> {
    fn bytes<const N: usize>(&mut self, value: &mut [u8; N]) {
        if let Some((first, rest)) = self.0.split_first_chunk() {
            *value = *first;
            self.0 = rest;
        }
    }
}

/// Writes fields to bytes. Where there is no more room, it writes nothing.
pub(super) struct Write<'a>(pub &'a mut [u8]);

impl Fields for Write<'_> {
    fn bytes<const N: usize>(&mut self, value: &mut [u8; N]) {
        if let Some((first, rest)) = core::mem::take(&mut self.0).split_first_chunk_mut() {
            *first = *value;
            self.0 = rest;
        }
    }
}
