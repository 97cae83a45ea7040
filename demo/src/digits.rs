//! 1,797 handwritten digits, decoded pixel by pixel from where they lie. `data/README.md` describes the file.

use crate::INPUTS;

/// Images in the data set.
pub const IMAGES: usize = 1797;
/// Images with a number that is a multiple of 5: only for testing.
pub const TEST_IMAGES: usize = IMAGES.div_ceil(5);
/// All other images.
pub const TRAINING_IMAGES: usize = IMAGES - TEST_IMAGES;

const SIDE: usize = 8;
const ROW_BYTES: usize = 5;
const RECORD_BYTES: usize = 1 + SIDE * ROW_BYTES;

static RECORDS: &[u8; IMAGES * RECORD_BYTES] = include_bytes!("../data/digits.bin");

/// Quarter turns, counter-clockwise, in which an image is seen.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash)]
pub struct Turns(pub u8);

impl Turns {
    /// Upright, as the base network knows the digits.
    pub const NONE: Turns = Turns(0);
    /// As the user's images arrive.
    pub const QUARTER: Turns = Turns(1);

    /// Row and column of the pixel that is seen at `(row, col)`.
    const fn source(self, (mut row, mut col): (usize, usize)) -> (usize, usize) {
        let mut turn = 0;
        while turn < self.0 % 4 {
            (row, col) = (col, SIDE - 1 - row);
            turn += 1;
        }
        (row, col)
    }
}

/// One image of 8 × 8 pixels with its label.
#[derive(Copy, Clone, Debug)]
pub struct Digit {
    label: u8,
    rows: &'static [[u8; ROW_BYTES]],
}

impl Digit {
    /// Image `number`, counted from 0.
    pub fn get(number: usize) -> Option<Digit> {
        let [label, rows @ ..] = RECORDS.as_chunks::<RECORD_BYTES>().0.get(number)?;
        Some(Digit { label: *label, rows: rows.as_chunks().0 })
    }

    /// The digit that was written, 0 to 9.
    pub const fn label(&self) -> u32 {
        self.label as u32
    }

    /// Ink at a pixel, from 0 to 16; 0 outside of the image.
    pub fn pixel(&self, row: usize, col: usize) -> u8 {
        match self.rows.get(row) {
            Some(&[a, b, c, d, e]) if col < SIDE => {
                let word = u64::from_le_bytes([a, b, c, d, e, 0, 0, 0]);
                (word >> (5 * col)) as u8 & 31
            }
            _ => 0,
        }
    }

    /// Writes the input of the network, row by row: each pixel divided by 16.
    pub fn write(&self, turns: Turns, input: &mut [f32]) {
        for (i, to) in input.iter_mut().take(INPUTS).enumerate() {
            let (row, col) = turns.source((i / SIDE, i % SIDE));
            *to = f32::from(self.pixel(row, col)) / 16.0;
        }
    }
}

/// Numbers of the images to train on.
pub fn training_images() -> impl Iterator<Item = u16> {
    (0..IMAGES as u16).filter(|i| i % 5 != 0)
}

/// Numbers of the images to test with.
pub fn test_images() -> impl Iterator<Item = u16> {
    (0..IMAGES as u16).step_by(5)
}
