//! `lowrank inspect`: what is in an adapter.

use std::path::PathBuf;

use clap::Args;
use lowrank::Scale;
use lowrank::format::{AdapterFile, Entry};
use serde::Serialize;

use crate::error::Failure;
use crate::health::State;
use crate::number::elements;
use crate::report::{self, Outcome, Output};
use crate::source::{Opened, Source};

const HELP: &str = "\
The command shows the shape, the scale and the types of each layer, the norms of
A, of B and of the update s·B·A, and the state of the layer:

  ok         it changes the output
  untrained  B is zero: it changes nothing yet
  dead       A and B are zero: they change nothing, and can never learn
  nonfinite  a number is infinite or NaN, here or in the optimizer's state, or
             a second moment is below zero
  off        the scale is zero: it changes nothing

Example:
  lowrank inspect adapter.lowrank

Exit status: 0 nothing found, 1 a layer is dead or nonfinite, or the work
failed, 2 the command line is wrong.";

/// Shows what is in an adapter
#[derive(Args, Debug)]
#[command(after_help = HELP)]
pub(crate) struct Inspect {
    /// This adapter is shown: a PEFT directory or an adapter file
    adapter: PathBuf,
    #[command(flatten)]
    output: Output,
}

#[derive(Serialize)]
struct Report {
    adapter: PathBuf,
    header: Option<HeaderReport>,
    layers: Vec<LayerReport>,
}

/// Of an adapter file.
#[derive(Serialize)]
struct HeaderReport {
    bytes: usize,
    generation: u32,
    fingerprint: Option<String>,
    metadata_bytes: usize,
}

#[derive(Serialize)]
struct LayerReport {
    layer: String,
    id: u32,
    inputs: usize,
    outputs: usize,
    rank: usize,
    scale: f32,
    scale_mode: &'static str,
    alpha: Option<f32>,
    a: &'static str,
    b: &'static str,
    bias: Option<&'static str>,
    b_bias: Option<&'static str>,
    fan_in_fan_out: bool,
    dropout: f32,
    optimizer: Option<&'static str>,
    optimizer_steps: Option<u64>,
    a_norm: f64,
    b_norm: f64,
    update_norm: f64,
    state: State,
}

impl Inspect {
    pub(crate) fn run(&self) -> Result<Outcome, Failure> {
        let source = Source::load(&self.adapter)?;
        let opened = source.open()?;
        let header = match (&opened, &source) {
            (Opened::File(file), Source::File { bytes, .. }) => Some(header(file, bytes.len())),
            _ => None,
        };
        let layers: Result<Vec<_>, _> = opened.entries().iter().map(LayerReport::of).collect();
        let report = Report { adapter: self.adapter.clone(), header, layers: layers.map_err(Failure::Core)? };
        self.output.print(&report, &text(&report))?;
        let bad = |layer: &LayerReport| matches!(layer.state, State::Dead | State::Nonfinite);
        Ok(if report.layers.iter().any(bad) { Outcome::Found } else { Outcome::Good })
    }
}

fn header(file: &AdapterFile<'_>, bytes: usize) -> HeaderReport {
    let fingerprint = file.fingerprint();
    HeaderReport {
        bytes,
        generation: file.generation(),
        fingerprint: (fingerprint != 0).then(|| format!("{fingerprint:016x}")),
        metadata_bytes: file.metadata().len(),
    }
}

impl LayerReport {
    fn of(entry: &Entry<'_>) -> Result<Self, lowrank::Error> {
        let shape = entry.shape();
        let (a, b) = (elements(&entry.a)?, elements(&entry.b)?);
        let scale = entry.scale.factor(shape.rank);
        let (scale_mode, alpha) = match entry.scale {
            Scale::Direct(_) => ("direct", None),
            Scale::Alpha(alpha) => ("alpha/r", Some(alpha)),
            Scale::RankStabilized(alpha) => ("alpha/sqrt(r)", Some(alpha)),
        };
        Ok(Self {
            layer: entry.name.to_owned(),
            id: entry.id,
            inputs: shape.inputs,
            outputs: shape.outputs,
            rank: shape.rank,
            scale,
            scale_mode,
            alpha,
            a: entry.a.dtype().name(),
            b: entry.b.dtype().name(),
            bias: entry.bias.map(|bias| bias.dtype().name()),
            b_bias: entry.b_bias.map(|bias| bias.dtype().name()),
            fan_in_fan_out: entry.fan_in_fan_out,
            dropout: entry.random.dropout,
            optimizer: entry.training.map(|training| report::optimizer(training.optimizer)),
            optimizer_steps: entry.training.map(|training| training.clock.steps),
            a_norm: dot(&a, &a).sqrt(),
            b_norm: dot(&b, &b).sqrt(),
            update_norm: f64::from(scale).abs() * product_norm(&a, &b, shape.rank),
            state: State::of(entry)?,
        })
    }
}

fn dot(x: &[f32], y: &[f32]) -> f64 {
    x.iter().zip(y).map(|(&x, &y)| f64::from(x) * f64::from(y)).sum()
}

/// `‖B·A‖` without forming `B·A`: the square is the sum of `(BᵀB)∘(AAᵀ)`.
fn product_norm(a: &[f32], b: &[f32], rank: usize) -> f64 {
    let inputs = a.len().checked_div(rank).unwrap_or(0).max(1);
    let rows: Vec<&[f32]> = a.chunks_exact(inputs).collect();
    let columns: Vec<Vec<f32>> = (0..rank).map(|k| b.iter().skip(k).step_by(rank).copied().collect()).collect();
    let square: f64 = (rows.iter().zip(&columns))
        .flat_map(|(row, column)| rows.iter().zip(&columns).map(move |(r, c)| dot(row, r) * dot(column, c)))
        .sum();
    // Rounding can leave less than zero; what is no number stays so.
    if square < 0.0 { 0.0 } else { square.sqrt() }
}

fn text(report: &Report) -> String {
    let mut text = String::new();
    if let Some(HeaderReport { bytes, generation, fingerprint, metadata_bytes }) = &report.header {
        let base = fingerprint.as_deref().unwrap_or("not known");
        text = format!("{bytes} bytes, generation {generation}, base {base}, {metadata_bytes} bytes of metadata\n\n");
    }
    let row = |layer: &LayerReport| {
        let types = [Some(layer.a), Some(layer.b), layer.bias, layer.b_bias].into_iter().flatten();
        let training = layer.optimizer_steps.map_or_else(|| "-".to_owned(), |steps| steps.to_string());
        [
            layer.layer.clone(),
            format!("{} x {}", layer.outputs, layer.inputs),
            layer.rank.to_string(),
            layer.scale.to_string(),
            types.collect::<Vec<_>>().join(" "),
            training,
            format!("{:.3e}", layer.a_norm),
            format!("{:.3e}", layer.b_norm),
            format!("{:.3e}", layer.update_norm),
            layer.state.name().to_owned(),
        ]
    };
    let rows: Vec<_> = report.layers.iter().map(row).collect();
    let head = ["layer", "out x in", "rank", "scale", "types", "steps", "|A|", "|B|", "|s·B·A|", "state"];
    text + &report::table(head, &rows)
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_norm_of_a_product_is_that_of_the_product() {
        // B·A = [[1, 2], [3, 4], [5, 6]]·[[1, 0], [1, 1]] = [[3, 2], [7, 4], [11, 6]].
        let norm = super::product_norm(&[1.0, 0.0, 1.0, 1.0], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], 2);
        assert_eq!(norm, f64::from(9 + 4 + 49 + 16 + 121 + 36).sqrt());
    }
}
