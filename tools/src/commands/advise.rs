//! `lowrank advise`: what is left of an update in weights of fewer bits.

use std::ops::Range;
use std::path::PathBuf;

use clap::Args;
use lowrank::format::Entry;
use lowrank::train::Rng;
use lowrank::{Backend, Dtype};
use serde::Serialize;

use crate::advice::{Advice, Advisor, Arrival, Storage, Verdict};
use crate::base::Base;
use crate::blocks::Update;
use crate::error::Failure;
use crate::health;
use crate::layers::{Acceptance, Naming, Place};
use crate::layout::Layout;
use crate::report::{self, Output, percent};
use crate::source::Source;
use crate::terminal;
use crate::tied::{self, Tied};

const HELP: &str = "\
The command judges each layer in each storage. D = s·B·A is the update, W is the
base as its file has it, and Q rounds to that storage. There are two situations:

  merge, then store   M = Q(W + D) and V = W: the base is merged as it is, and
                      the merged weights are rounded
  into a stored base  M = Q(Q(W) + D) and V = Q(W): the base lies in that
                      storage already, and so does what it is merged to

  kept   <M-V, D>/|D|^2   share of the update that arrives (100 % is all)
  noise  |M-V-D|/|D|      what rounding adds to it (0 % is nothing)
  base   |Q(W)-W|/|D|     what rounding adds to the base alone

int8 and int4 are symmetric: whole numbers from -127 to 127, or -7 to 7, times
one f32 per row and block of 32 inputs, the largest magnitude of the block over
127 or 7; ties go to even.

The verdict is `survives` with kept from 99 % to 101 % and noise <= 10 %, `noisy`
with kept from 90 % to 110 % and noise <= 100 %, otherwise `lost`: then keep the
adapter beside the base, or merge into more bits. In `merge, then store`, noise
that the base has anyway is no fault of the update: up to 1.1 times `base`
survives, and up to twice is noisy. But noise moves kept by about noise/sqrt(n)
in a layer of n weights. Where that is over 1 % (10 %), the update drowns in it,
and does not survive (is lost), whatever kept is by chance. `does not fit` stands
where a weight is too large for the storage. The summary says how many layers
survive, and how the worst one does.

Without --base, W is made up: normal deviates of standard deviation 1/sqrt(in).
With it, a note names tied weights, which `lowrank merge` refuses.

Example:
  lowrank advise my-adapter --base base.safetensors

Exit status: 0 done, 1 the work failed, 2 the command line is wrong.";

/// Says how much of an update survives merging into fewer bits
#[derive(Args, Debug)]
#[command(after_help = HELP)]
pub(crate) struct Advise {
    /// This adapter is judged: a PEFT directory or an adapter file
    adapter: PathBuf,
    /// The adapter belongs to this base: model.safetensors, model.safetensors.index.json with its shards, or the directory
    /// of either
    #[arg(long, value_name = "BASE")]
    base: Option<PathBuf>,
    /// The merged weights are to be stored so
    #[arg(long, value_name = "NAME", value_delimiter = ',', default_value = "f16,bf16,int8,int4")]
    storage: Vec<Storage>,
    #[command(flatten)]
    naming: Naming,
    #[command(flatten)]
    acceptance: Acceptance,
    #[command(flatten)]
    output: Output,
}

#[derive(Serialize)]
struct Report {
    base: Option<PathBuf>,
    layers: Vec<Advised>,
    summary: Vec<Summary>,
    /// Weights of the base that a merge would change under two names or tear apart.
    tied: Vec<Tied>,
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
        let entries = opened.entries();
        health::check(&entries, false)?;
        let base = self.base.as_deref().map(Base::open).transpose()?;
        let (mut places, mut tied) = (None, Vec::new());
        if let Some(base) = &base {
            let found = self.acceptance.places(&self.naming, &opened, &entries, base)?;
            tied = tied::find(&found, base)?;
            places = Some(found);
        }
        let bar = report::progress(entries.iter().map(weights).sum());
        let mut advised = Vec::new();
        for (number, entry) in entries.iter().enumerate() {
            let place = places.as_ref().and_then(|places| places.get(number));
            advised.push(self.layer(entry, number, place)?);
            bar.inc(weights(entry));
        }
        bar.finish_and_clear();
        let summary = summaries(&advised, &self.storage);
        let mut text = text(&advised, &summary);
        if base.is_none() {
            text.push_str("The base is made up: give --base for the real one.\n");
        }
        text.extend(tied.iter().map(note));
        self.output.print(&Report { base: self.base.clone(), layers: advised, summary, tied }, &text)
    }

    fn layer(&self, entry: &Entry<'_>, number: usize, place: Option<&Place<'_>>) -> Result<Advised, Failure> {
        let layout = place.map_or(Layout::of(entry), |place| place.layout);
        let update = Update::of(entry, layout).map_err(Failure::Core)?;
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
        if !advisor.norm().is_finite() {
            return Err(Failure::Overflow { layer: entry.name.to_owned() });
        }
        Ok(Advised { layer: entry.name.to_owned(), update_norm: advisor.norm(), advice: advisor.advice() })
    }
}

fn note(Tied { tensor, other, .. }: &Tied) -> String {
    let [tensor, other] = [tensor, other].map(|text| terminal::line(text));
    format!("Note: the tensor `{tensor}` of the base is also {other}: tied weights, which `lowrank merge` refuses.\n")
}

/// Bytes of the base in f32, as a measure of work.
fn weights(entry: &Entry<'_>) -> u64 {
    (entry.shape().full_parameters() * Dtype::F32.size()) as u64
}

/// Rows of a base that nobody has.
fn made_up(update: &Update, number: usize, rows: Range<usize>, values: &mut Vec<f32>) {
    let [_, cols] = update.stored_shape();
    let rng = Rng { stream: number as u32, ..Rng::new(0) };
    let deviation = 1.0 / (update.shape.inputs as f32).sqrt();
    values.clear();
    values.extend((rows.start * cols..rows.end * cols).map(|at| deviation * rng.normal(at as u64)));
}

/// How an update gets into a storage.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Situation {
    MergeThenStore,
    IntoStoredBase,
}

impl Situation {
    const ALL: [Self; 2] = [Situation::MergeThenStore, Situation::IntoStoredBase];

    const fn name(self) -> &'static str {
        match self {
            Situation::MergeThenStore => "merge, then store",
            Situation::IntoStoredBase => "into a stored base",
        }
    }

    const fn of(self, advice: &Advice) -> Arrival {
        match self {
            Situation::MergeThenStore => advice.merge_then_store,
            Situation::IntoStoredBase => advice.into_stored_base,
        }
    }
}

/// All layers in one storage and situation.
#[derive(Serialize)]
struct Summary {
    situation: Situation,
    storage: Storage,
    layers: usize,
    /// Layers by verdict.
    survives: usize,
    noisy: usize,
    lost: usize,
    does_not_fit: usize,
    empty: usize,
    /// The layer with the worst verdict; of several, the one of which the least is kept; of equal ones, the first.
    worst: String,
    base_noise: Option<f64>,
    /// Of the worst layer.
    #[serde(flatten)]
    arrival: Arrival,
}

fn summaries(advised: &[Advised], storages: &[Storage]) -> Vec<Summary> {
    let summary = |situation: Situation, number: usize| {
        let arrival = |layer: &Advised| situation.of(&layer.advice[number]);
        let badness = |layer: &&Advised| (arrival(layer).verdict, -arrival(layer).kept.unwrap_or(f64::INFINITY));
        // `max_by` gives the last of equal ones.
        let worst = advised.iter().rev().max_by(|x, y| {
            let ((x, less), (y, least)) = (badness(x), badness(y));
            x.cmp(&y).then(less.total_cmp(&least))
        })?;
        let count = |verdict| advised.iter().filter(|layer| arrival(layer).verdict == verdict).count();
        Some(Summary {
            situation,
            storage: storages[number],
            layers: advised.len(),
            survives: count(Verdict::Survives),
            noisy: count(Verdict::Noisy),
            lost: count(Verdict::Lost),
            does_not_fit: count(Verdict::DoesNotFit),
            empty: count(Verdict::Empty),
            worst: worst.layer.clone(),
            base_noise: worst.advice[number].base_noise,
            arrival: arrival(worst),
        })
    };
    let numbers = |situation| (0..storages.len()).map(move |number| (situation, number));
    let all = Situation::ALL.into_iter().flat_map(numbers);
    all.filter_map(|(situation, number)| summary(situation, number)).collect()
}

fn text(advised: &[Advised], summaries: &[Summary]) -> String {
    let mut text = String::new();
    for situation in Situation::ALL {
        let row = |layer: &Advised, advice: &Advice| {
            let [kept, noise, verdict] = situation.of(advice).cells(advice.storage);
            let (update, base) = (format!("{:.3e}", layer.update_norm), percent(advice.base_noise));
            [layer.layer.clone(), update, advice.storage.name().to_owned(), kept, noise, base, verdict]
        };
        let rows = advised.iter().flat_map(|layer| layer.advice.iter().map(move |advice| row(layer, advice)));
        let table = report::table(
            ["layer", "update", "storage", "kept", "noise", "base", "verdict"],
            &rows.collect::<Vec<_>>(),
        );
        text += &format!("{}:\n{table}\n", situation.name());
    }
    let row = |summary: &Summary| {
        let Summary { situation, storage, layers, survives, worst, .. } = summary;
        let [kept, noise, verdict] = summary.arrival.cells(*storage);
        let (what, survive) = (format!("{}, {}", situation.name(), storage.name()), format!("{survives} of {layers}"));
        [what, survive, worst.clone(), kept, noise, percent(summary.base_noise), verdict]
    };
    let head = ["summary", "survive", "worst layer", "kept", "noise", "base", "verdict"];
    text + &report::table(head, &summaries.iter().map(row).collect::<Vec<_>>())
}
