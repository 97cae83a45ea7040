//! `lowrank advise`: what is left of an update in weights of fewer bits.

use std::ops::Range;
use std::path::PathBuf;

use clap::Args;
use lowrank::format::Layer;
use lowrank::train::Rng;
use lowrank::{Backend, Dtype};
use serde::Serialize;

use crate::advice::{Advice, Advisor, Storage};
use crate::base::Base;
use crate::blocks::Update;
use crate::error::Failure;
use crate::layers::{Naming, Place};
use crate::report::{self, Output};
use crate::source::Source;

const HELP: &str = "\
Per layer and storage, with the update D = s·B·A, the base W as that storage
rounds it, and M the rounded W + D:

  kept   <M-W, D>/|D|^2   share of the update that arrives (1 is all of it)
  noise  |M-W-D|/|D|      what rounding adds to it (0 is nothing)

int8 and int4 are symmetric: whole numbers from -127 to 127, or -7 to 7, times
one f32 per row and block of 32 inputs, the largest magnitude of the block over
127 or 7; ties go to even.

Verdicts: `survives` with kept >= 99 % and noise <= 10 %, `noisy` with kept >=
90 % and noise <= 100 %, otherwise `lost`: then keep the adapter beside the
base, or merge into more bits.

Without --base, W is made up: normal deviates of standard deviation 1/sqrt(in).

Example:
  lowrank advise my-adapter --base base.safetensors

Exit status: 0 done, 1 the work failed, 2 the command line is wrong.";

/// Says how much of an update survives merging into fewer bits
#[derive(Args, Debug)]
#[command(after_help = HELP)]
pub(crate) struct Advise {
    /// PEFT directory or adapter file
    adapter: PathBuf,
    /// The base: model.safetensors, or model.safetensors.index.json with its shards
    #[arg(long, value_name = "FILE")]
    base: Option<PathBuf>,
    /// How the merged weights are to be stored
    #[arg(long, value_name = "NAME", value_delimiter = ',', default_value = "f16,bf16,int8,int4")]
    storage: Vec<Storage>,
    #[command(flatten)]
    naming: Naming,
    #[command(flatten)]
    output: Output,
}

#[derive(Serialize)]
struct Report {
    base: Option<PathBuf>,
    layers: Vec<Advised>,
}

#[derive(Serialize)]
struct Advised {
    layer: String,
    /// `‖s·B·A‖`, the root of the sum of squares.
    update_norm: f64,
    advice: Vec<Advice>,
}

impl Advise {
    pub(crate) fn run(&self) -> Result<(), Failure> {
        let source = Source::load(&self.adapter)?;
        let opened = source.open()?;
        let layers = opened.layers();
        let base = self.base.as_deref().map(Base::open).transpose()?;
        let places = match &base {
            None => None,
            Some(base) => {
                let places: Result<Vec<_>, _> = layers.iter().map(|layer| self.naming.place(layer, base)).collect();
                Some(places?)
            }
        };
        let bar = report::progress(layers.iter().map(weights).sum());
        let mut advised = Vec::new();
        for (number, layer) in layers.iter().enumerate() {
            let place = places.as_ref().and_then(|places| places.get(number));
            advised.push(self.layer(layer, number, place)?);
            bar.inc(weights(layer));
        }
        bar.finish_and_clear();
        let rows: Vec<_> = advised.iter().flat_map(rows).collect();
        let mut text = report::table(["layer", "update", "storage", "kept", "noise", "verdict"], &rows);
        if base.is_none() {
            text.push_str("The base is made up: give --base for the real one.\n");
        }
        self.output.print(&Report { base: self.base.clone(), layers: advised }, &text)
    }

    fn layer(&self, layer: &Layer<'_>, number: usize, place: Option<&Place<'_>>) -> Result<Advised, Failure> {
        let update = Update::of(layer).map_err(Failure::Core)?;
        let [_, cols] = update.stored_shape();
        let mut advisor = Advisor::new(Backend::detect(), &self.storage);
        let read = |rows: Range<usize>, values: &mut Vec<f32>| match place {
            Some(place) => place.weight.rows(rows, cols, place.weight.dtype()?, values),
            None => {
                made_up(&update, number, rows, values);
                Ok(())
            }
        };
        update.each_block(read, |block| advisor.add(block).map(drop))?;
        Ok(Advised { layer: layer.name.to_owned(), update_norm: advisor.norm(), advice: advisor.advice() })
    }
}

/// Bytes of the base in f32, as a measure of work.
fn weights(layer: &Layer<'_>) -> u64 {
    (layer.shape().full_parameters() * Dtype::F32.size()) as u64
}

/// Rows of a base that nobody has.
fn made_up(update: &Update, number: usize, rows: Range<usize>, values: &mut Vec<f32>) {
    let [_, cols] = update.stored_shape();
    let rng = Rng { stream: number as u32, ..Rng::new(0) };
    let deviation = 1.0 / (update.shape.inputs as f32).sqrt();
    values.clear();
    values.extend((rows.start * cols..rows.end * cols).map(|at| deviation * rng.normal(at as u64)));
}

fn rows(advised: &Advised) -> impl Iterator<Item = [String; 6]> {
    advised.advice.iter().map(|&Advice { storage, kept, noise, verdict }| {
        let [kept, noise] = [kept, noise].map(report::percent);
        let update = format!("{:.3e}", advised.update_norm);
        [advised.layer.clone(), update, storage.name().to_owned(), kept, noise, verdict.name().to_owned()]
    })
}
