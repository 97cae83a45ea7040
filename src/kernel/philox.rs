//! Philox4x32-10, a counter-based generator: J. Salmon, M. Moraes, R. Dror, D. Shaw, "Parallel random numbers: as easy
//! as 1, 2, 3", SC 2011. A value is a function of seed and position, so that a mask need not be stored, nor a state.

/// Four random words for a counter and a key.
pub(crate) fn philox(mut counter: [u32; 4], mut key: [u32; 2]) -> [u32; 4] {
    for _ in 0..10 {
        let low = u64::from(counter[0]) * 0xd251_1f53;
        let high = u64::from(counter[2]) * 0xcd9e_8d57;
        counter = [
            (high >> 32) as u32 ^ counter[1] ^ key[0],
            high as u32,
            (low >> 32) as u32 ^ counter[3] ^ key[1],
            low as u32,
        ];
        key = [key[0].wrapping_add(0x9e37_79b9), key[1].wrapping_add(0xbb67_ae85)];
    }
    counter
}

/// A sequence of random words that can be read at any position.
///
/// The words at positions `4i..4i + 4` are `philox([i low, i high, step, stream], [seed low, seed high])`.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) struct Stream {
    pub seed: u64,
    pub step: u32,
    pub stream: u32,
}

impl Stream {
    /// Calls `each(j, word)` for the words at `first..first + count`, `j` counting from 0.
    #[inline]
    pub(crate) fn words(&self, first: u64, count: usize, mut each: impl FnMut(usize, u32)) {
        let key = [self.seed as u32, (self.seed >> 32) as u32];
        let mut block = [0; 4];
        for j in 0..count {
            let position = first.wrapping_add(j as u64);
            let lane = (position % 4) as usize;
            if j == 0 || lane == 0 {
                let index = position / 4;
                block = philox([index as u32, (index >> 32) as u32, self.step, self.stream], key);
            }
            each(j, block[lane & 3]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Known answers of the Random123 library (kat_vectors).
    #[test]
    fn known_answers() {
        assert_eq!(philox([0; 4], [0; 2]), [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]);
        assert_eq!(philox([u32::MAX; 4], [u32::MAX; 2]), [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd]);
        assert_eq!(
            philox([0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344], [0xa409_3822, 0x299f_31d0]),
            [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1]
        );
    }

    #[test]
    fn words_do_not_depend_on_where_reading_starts() {
        let stream = Stream { seed: 0x1234_5678_9abc_def0, step: 7, stream: 3 };
        let mut all = [0; 40];
        stream.words(5, 40, |j, word| all[j] = word);
        for first in 0..40 {
            stream.words(5 + first as u64, 40 - first, |j, word| assert_eq!(word, all[first + j]));
        }
    }

    #[test]
    fn words_are_blocks_of_counter_and_key() {
        let stream = Stream { seed: 0x1234_5678_9abc_def0, step: 7, stream: 3 };
        for block in [0, 1, 0xffff_ffff, 0x1_0000_0000, 0x1234_5678_9abc_def0] {
            let counter = [block as u32, (block >> 32) as u32, 7, 3];
            let expected = philox(counter, [0x9abc_def0, 0x1234_5678]);
            stream.words(4 * block, 4, |j, word| assert_eq!(word, expected[j], "{block}: {j}"));
        }
    }
}
