//! CRC-32 as in zlib, PNG and IEEE 802.3: reflected polynomial `0xedb88320`, all ones before and after.

/// The checksum of the bytes so far.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Crc(u32);

/// The effect of four bits. The table takes 64 bytes of flash; the usual one of 1 KiB is worth its room on a host only.
const NIBBLES: [u32; 16] = {
    let mut table = [0; 16];
    let mut i = 0;
    while i < 16 {
        let (mut crc, mut bit) = (i as u32, 0);
        while bit < 4 {
            crc = crc >> 1 ^ if crc & 1 == 1 { 0xedb8_8320 } else { 0 };
            bit += 1;
        }
        table[i] = crc;
        i += 1;
    }
    table
};

impl Crc {
    /// Starts the checksum, of no bytes.
    pub(crate) const NEW: Crc = Crc(u32::MAX);

    pub(crate) fn of(bytes: &[u8]) -> u32 {
        let mut crc = Self::NEW;
        crc.update(bytes);
        crc.finish()
    }

    pub(crate) fn update(&mut self, bytes: &[u8]) {
        let nibble = |crc: u32| crc >> 4 ^ NIBBLES.get(crc as usize & 15).copied().unwrap_or(0);
        self.0 = bytes.iter().fold(self.0, |crc, &byte| nibble(nibble(crc ^ u32::from(byte))));
    }

    pub(crate) const fn finish(self) -> u32 {
        !self.0
    }
}
