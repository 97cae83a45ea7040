//! The loss curve in a terminal, drawn with braille dots.

use std::fmt::Write;

const CELLS: usize = 66;
const LINES: usize = 9;
/// What a logarithmic scale shows in place of 0.
pub(crate) const SMALLEST: f32 = 1e-6;
/// Dots of a character: 2 wide, 4 high. The bits of a column, from the top.
const BITS: [[u32; 4]; 2] = [[0x01, 0x02, 0x04, 0x40], [0x08, 0x10, 0x20, 0x80]];

/// The curve over its axes, on a logarithmic scale, smoothed.
pub(crate) fn draw(losses: &[f32], epochs: u32) -> String {
    let columns: Vec<f32> = means(losses, 2 * CELLS).iter().map(|loss| loss.max(SMALLEST)).collect();
    let (low, high) = range(&columns);
    let span = (high / low).ln().max(f32::MIN_POSITIVE);
    let height = |loss: f32| ((high / loss).ln() / span * (4 * LINES - 1) as f32).round() as usize;
    let mut cells = [[0u32; CELLS]; LINES];
    let mut previous = height(high);
    for (x, &loss) in columns.iter().enumerate() {
        let y = height(loss);
        // Down or up from the neighbour, so that there are no gaps.
        let run = if previous < y { previous + 1..=y } else { y..=previous.saturating_sub(1).max(y) };
        for y in run {
            cells[y / 4][x / 2] |= BITS[x % 2][y % 4];
        }
        previous = y;
    }

    let mut text = String::new();
    for (line, cells) in cells.iter().enumerate() {
        let label = match line {
            0 => format!("{high:.2} ┤"),
            _ if line == LINES / 2 => format!("{:.2} ┤", (low * high).sqrt()),
            _ if line == LINES - 1 => format!("{low:.2} ┤"),
            _ => "│".into(),
        };
        let dots: String = cells
            .iter()
            .filter_map(|&bits| if bits == 0 { Some(' ') } else { char::from_u32(0x2800 | bits) })
            .collect();
        let _ = writeln!(text, "{label:>9}{}", dots.trim_end());
    }
    let _ = writeln!(text, "        └{}", "─".repeat(CELLS));
    let (first, last) = ("epoch 1", format!("epoch {epochs}"));
    let _ = writeln!(text, "         {first}{last:>width$}", width = CELLS - first.len());
    text
}

/// The smallest and the largest of some numbers.
pub(crate) fn range(values: &[f32]) -> (f32, f32) {
    values.iter().fold((f32::MAX, SMALLEST), |(low, high), &value| (low.min(value), high.max(value)))
}

/// `count` points of the curve, each the mean of the steps around it: of a twentieth of all, to quiet the noise.
pub(crate) fn means(losses: &[f32], count: usize) -> Vec<f32> {
    let reach = losses.len() / 40;
    let mean = |steps: &[f32]| steps.iter().sum::<f32>() / steps.len() as f32;
    let point = |i: usize| {
        let middle = (2 * i + 1) * losses.len() / (2 * count);
        mean(&losses[middle.saturating_sub(reach)..(middle + reach + 1).min(losses.len())])
    };
    if losses.is_empty() { Vec::new() } else { (0..count).map(point).collect() }
}
