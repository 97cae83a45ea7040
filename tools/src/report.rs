//! What commands say: tables for people, JSON for programs, progress for those who wait.

use std::fmt::Write as _;

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use lowrank::train::Optimizer;
use serde::Serialize;

use crate::error::Failure;
use crate::terminal;
use crate::write::Outputs;

/// How a command says what it found.
#[derive(Args, Debug)]
pub(crate) struct Output {
    /// Print JSON instead of text
    #[arg(long)]
    pub(crate) json: bool,
}

impl Output {
    pub(crate) fn print(&self, report: &impl Serialize, text: &str) -> Result<(), Failure> {
        let printed = if self.json {
            let json = serde_json::to_string_pretty(report).map_err(Failure::Json)?;
            terminal::print_json(&(json + "\n"))
        } else {
            terminal::print(&format!("{}\n", text.trim_end()))
        };
        printed.map_err(Failure::Output)
    }

    /// Prints, and then gives the outputs their names: a command that cannot say what it has done has not done it.
    pub(crate) fn deliver(&self, outputs: Outputs, report: &impl Serialize, text: &str) -> Result<(), Failure> {
        self.print(report, text)?;
        outputs.commit()
    }
}

/// What a report calls an optimizer.
pub(crate) const fn optimizer(optimizer: Optimizer) -> &'static str {
    match optimizer {
        Optimizer::AdamW => "adamw",
        Optimizer::Momentum => "momentum",
        Optimizer::Sgd => "sgd",
        Optimizer::InPlace => "in_place",
    }
}

/// What a command has found where it did its work.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Good,
    Found,
}

/// A bar over bytes on the error output, where that is a terminal.
pub(crate) fn progress(bytes: u64) -> ProgressBar {
    let style = ProgressStyle::with_template("{wide_bar} {bytes} of {total_bytes}, {eta} left");
    ProgressBar::new(bytes).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

/// Characters of a cell that are shown: names of files have no end of their own, and widths of [`std::fmt`] end at 65,535.
const WIDEST: usize = 120;

/// The text, or its beginning and an ellipsis.
fn cut(text: &str) -> String {
    match text.char_indices().nth(WIDEST) {
        None => text.to_owned(),
        Some(_) => text.chars().take(WIDEST - 1).chain(['…']).collect(),
    }
}

/// Rows in columns: the first to the left, the others to the right.
pub(crate) fn table<const N: usize>(head: [&str; N], rows: &[[String; N]]) -> String {
    let rows: Vec<[_; N]> = rows.iter().map(|row| row.each_ref().map(|cell| cut(&terminal::line(cell)))).collect();
    let width = |col: usize| {
        let cells = rows.iter().map(|row| row[col].chars().count());
        cells.chain([head[col].chars().count()]).max().unwrap_or(0)
    };
    let widths: [usize; N] = std::array::from_fn(width);
    let mut text = String::new();
    let mut line = |cells: [&str; N]| {
        let mut line = String::new();
        for (col, cell) in cells.into_iter().enumerate() {
            let width = widths[col];
            let _ = if col == 0 { write!(line, "{cell:width$}") } else { write!(line, "  {cell:>width$}") };
        }
        text.push_str(line.trim_end());
        text.push('\n');
    };
    line(head);
    rows.iter().for_each(|row| line(std::array::from_fn(|col| &*row[col])));
    text
}

/// A number of things, whose name here is that of one.
pub(crate) fn count(number: usize, thing: &str) -> String {
    format!("{number} {thing}{}", if number == 1 { "" } else { "s" })
}

/// A share as a percentage. Beyond ten times the whole, digits say no more.
pub(crate) fn percent(share: Option<f64>) -> String {
    match share {
        None => "-".to_owned(),
        Some(share) if share > 10.0 => "> 1000 %".to_owned(),
        Some(share) if share < -10.0 => "< -1000 %".to_owned(),
        Some(share) => format!("{:.2} %", 100.0 * share),
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn one_thing_is_not_several() {
        let counted = [0, 1, 2, 11].map(|number| super::count(number, "layer"));
        assert_eq!(counted, ["0 layers", "1 layer", "2 layers", "11 layers"]);
    }

    #[test]
    fn percentages_have_an_end() {
        for (share, expected) in [
            (0.123_45, "12.35 %"),
            (10.0, "1000.00 %"),
            (10.01, "> 1000 %"),
            (-53.7, "< -1000 %"),
            (f64::INFINITY, "> 1000 %"),
        ] {
            assert_eq!(super::percent(Some(share)), expected);
        }
        assert_eq!(super::percent(None), "-");
    }

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows = [["aé".to_owned(), "1".to_owned()], ["b".to_owned(), "1000".to_owned()]];
        assert_eq!(super::table(["layer", "n"], &rows), "layer     n\naé        1\nb      1000\n");
        let rows = [["a\n\x1bb".to_owned()]];
        assert_eq!(super::table(["layer"], &rows), "layer\na\\n\\u{1b}b\n");
        let rows = [["é".repeat(super::WIDEST)], ["é".repeat(70_000)]];
        let (whole, short) = ("é".repeat(super::WIDEST), "é".repeat(super::WIDEST - 1));
        assert_eq!(super::table(["layer"], &rows), format!("layer\n{whole}\n{short}…\n"));
    }
}
