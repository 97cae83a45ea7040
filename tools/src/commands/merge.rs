//! `lowrank merge`: the base with the update added, in new files.

use std::collections::HashMap;
use std::ops::Range;
use std::path::{Path, PathBuf};

use clap::Args;
use indicatif::ProgressBar;
use lowrank::{Backend, Dtype};
use serde::Serialize;

use crate::advice::{Advice, Advisor, Arrival, Storage};
use crate::base::{Base, Shard, Stored};
use crate::blocks::Update;
use crate::error::Failure;
use crate::health;
use crate::layers::{Acceptance, Naming, Place};
use crate::layout::Layout;
use crate::number::{elements, encode, transpose};
use crate::report::{self, Output};
use crate::source::{Source, read};
use crate::terminal;
use crate::tied;
use crate::write::{Complete, Draft, DraftDirectory, Outputs};

/// Bytes that are copied at a time.
const COPY: usize = 1 << 20;

const HELP: &str = "\
W' = W + s·B·A is computed in f32 and rounded once to the type of the base. A
trained bias takes the place of the base's, and s times the bias of B is added.
All other tensors, the header and the index are copied bit for bit. The base is
only read. A sharded base becomes a directory.

The command refuses adapters with a NaN or a dead layer, a base with another
fingerprint than the one in the adapter, and tied weights or biases: those that
the base has under a second name, or as a copy, or that tie_word_embeddings in a
config.json beside it is about. Where that file is there but is not understood,
the head and the embedding may be tied, and are refused, too.

A weight is stored [out, in] by nn.Linear and [in, out] by Conv1D. Its shape
tells which, unless it is square; then --layout has to, or a config.json of a
model that is known.

At the end, the command says how much of each update is left in the merged
weights, and how much noise rounding has added to it (see `lowrank advise
--help`).

Example:
  lowrank merge my-adapter base.safetensors merged.safetensors

Exit status: 0 done, 1 the work failed and nothing was written, 2 the command
line is wrong.";

/// Adds an adapter to its base, in new safetensors files
#[derive(Args, Debug)]
#[command(after_help = HELP)]
pub(crate) struct Merge {
    /// This adapter is added: a PEFT directory or an adapter file
    adapter: PathBuf,
    /// The adapter is added to this base: model.safetensors, model.safetensors.index.json with its shards, or the directory
    /// of either
    base: PathBuf,
    /// The merged model goes there: to a file, or to a directory where the base is sharded; neither may exist yet
    out: PathBuf,
    #[command(flatten)]
    naming: Naming,
    #[command(flatten)]
    acceptance: Acceptance,
    /// Merge into weights that the model has under another name, too
    #[arg(long)]
    tied: bool,
    #[command(flatten)]
    output: Output,
}

#[derive(Serialize)]
struct Report {
    out: PathBuf,
    backend: &'static str,
    tensors: usize,
    layers: Vec<Merged>,
}

#[derive(Serialize)]
struct Merged {
    layer: String,
    tensor: String,
    layout: Layout,
    bias: bool,
    storage: Storage,
    #[serde(flatten)]
    arrival: Arrival,
}

impl Merge {
    pub(crate) fn run(&self) -> Result<(), Failure> {
        let source = Source::load(&self.adapter)?;
        let opened = source.open()?;
        let entries = opened.entries();
        let base = Base::open(&self.base)?;
        health::check(&entries, false)?;
        let places = self.acceptance.places(&self.naming, &opened, &entries, &base)?;
        if !self.tied {
            tied::check(&places, &base)?;
        }
        let jobs = Jobs::plan(places)?;
        let mut outputs = Outputs::new(&[&self.out], &[], false)?;
        let bar = report::progress(base.data_len());
        let mut work = Work { jobs: &jobs, bar: &bar, backend: Backend::detect(), advice: HashMap::new() };
        outputs.add(match &base.index {
            None => {
                let mut out = Draft::new(&self.out)?;
                base.shards.iter().try_for_each(|shard| work.shard(shard, &mut out))?;
                out.complete()?
            }
            Some(index) => work.directory(&base, index, &self.out)?,
        });
        bar.finish_and_clear();
        self.report(&work, &base, outputs)
    }

    fn report(&self, work: &Work<'_>, base: &Base, outputs: Outputs) -> Result<(), Failure> {
        let merged = |place: &Place<'_>| {
            let Advice { storage, into_stored_base: arrival, .. } = *work.advice.get(place.weight.name)?;
            let (layer, tensor) = (place.entry.name.to_owned(), place.weight.name.to_owned());
            Some(Merged { layer, tensor, layout: place.layout, bias: place.bias.is_some(), storage, arrival })
        };
        let layers: Vec<Merged> = work.jobs.places.iter().filter_map(merged).collect();
        let row = |merged: &Merged| {
            let [kept, noise, verdict] = merged.arrival.cells(merged.storage);
            [merged.layer.clone(), merged.storage.name().to_owned(), kept, noise, verdict]
        };
        let rows: Vec<_> = layers.iter().map(row).collect();
        let tensors = base.shards.iter().map(|shard| shard.metadata.tensors().len()).sum();
        let text = format!(
            "{}\n{} of {} merged into {}\n",
            report::table(["layer", "type", "kept", "noise", "verdict"], &rows),
            work.jobs.by_tensor.len(),
            report::count(tensors, "tensor"),
            terminal::path(&self.out)
        );
        let report = Report { out: self.out.clone(), backend: work.backend.name(), tensors, layers };
        self.output.deliver(outputs, &report, &text)
    }
}

/// Which tensors of the base change, and how.
struct Jobs<'a> {
    places: Vec<Place<'a>>,
    by_tensor: HashMap<&'a str, (usize, Job)>,
}

#[derive(Copy, Clone)]
enum Job {
    Weight,
    Bias,
}

impl<'a> Jobs<'a> {
    fn plan(places: Vec<Place<'a>>) -> Result<Self, Failure> {
        let mut by_tensor = HashMap::new();
        for (number, place) in places.iter().enumerate() {
            let bias = place.changed_bias().map(|bias| (bias.name, Job::Bias));
            for (name, job) in [Some((place.weight.name, Job::Weight)), bias].into_iter().flatten() {
                if by_tensor.insert(name, (number, job)).is_some() {
                    return Err(Failure::Twice { layer: place.entry.name.to_owned(), tensor: name.to_owned() });
                }
            }
        }
        Ok(Self { places, by_tensor })
    }
}

struct Work<'a> {
    jobs: &'a Jobs<'a>,
    bar: &'a ProgressBar,
    backend: Backend,
    /// By the name of the tensor.
    advice: HashMap<&'a str, Advice>,
}

impl<'a> Work<'a> {
    fn directory(&mut self, base: &Base, index: &Path, out: &Path) -> Result<Complete, Failure> {
        let directory = DraftDirectory::new(out)?;
        let name = |path: &Path| PathBuf::from(path.file_name().unwrap_or_default());
        for shard in &base.shards {
            let mut file = directory.file(&name(&shard.path))?;
            self.shard(shard, &mut file)?;
            directory.add(file)?;
        }
        let mut copy = directory.file(&name(index))?;
        copy.write(&read(index)?)?;
        directory.add(copy)?;
        Ok(directory.complete())
    }

    /// One file: what changes keeps its place and length.
    fn shard(&mut self, shard: &Shard, out: &mut Draft) -> Result<(), Failure> {
        out.write(&shard.head)?;
        for name in shard.metadata.offset_keys() {
            let Some(info) = shard.metadata.info(&name) else { continue };
            match self.jobs.by_tensor.get(name.as_str()) {
                Some(&(number, Job::Weight)) => self.weight(&self.jobs.places[number], out)?,
                Some(&(number, Job::Bias)) => self.bias(&self.jobs.places[number], out)?,
                None => self.copy(shard, info.data_offsets, out)?,
            }
        }
        Ok(())
    }

    fn copy(&self, shard: &Shard, (start, end): (usize, usize), out: &mut Draft) -> Result<(), Failure> {
        let mut buffer = vec![0; COPY.min(end - start)];
        for at in (start..end).step_by(COPY) {
            let piece = &mut buffer[..COPY.min(end - at)];
            shard.read(at as u64, piece)?;
            out.write(piece)?;
            self.bar.inc(piece.len() as u64);
        }
        Ok(())
    }

    fn weight(&mut self, place: &Place<'a>, out: &mut Draft) -> Result<(), Failure> {
        let update = Update::of(place.entry, place.layout).map_err(Failure::Core)?;
        let dtype = place.weight.dtype()?;
        let [_, cols] = update.stored_shape();
        let mut advisor = Advisor::new(self.backend, &[Storage::from(dtype)]);
        let (mut turned, mut bytes, mut done) = (Vec::new(), Vec::new(), 0);
        let read = |rows: Range<usize>, values: &mut Vec<f32>| place.weight.rows(rows, cols, dtype, values);
        update.each_block(read, |block| {
            let mut merged = advisor.add(block)?;
            if update.transposed {
                transpose(merged, block.inputs, &mut turned);
                merged = &turned;
            }
            finite(place.entry.name, &place.weight, done, merged)?;
            encode(dtype, merged, &mut bytes);
            done += merged.len();
            self.bar.inc(bytes.len() as u64);
            out.write(&bytes)
        })?;
        self.advice.extend(advisor.advice().first().map(|advice| (place.weight.name, *advice)));
        Ok(())
    }

    /// The trained bias or that of the base, and `s` times the bias of `B`.
    fn bias(&self, place: &Place<'_>, out: &mut Draft) -> Result<(), Failure> {
        let Some(stored) = place.bias else { return Ok(()) };
        let (entry, dtype) = (place.entry, stored.dtype()?);
        let mut bias = Vec::new();
        match entry.bias {
            Some(trained) => bias = elements(&trained).map_err(Failure::Core)?,
            None => stored.rows(0..1, entry.shape().outputs, dtype, &mut bias)?,
        }
        if let Some(own) = entry.b_bias {
            let scale = entry.scale.factor(entry.shape().rank);
            let own = elements(&own).map_err(Failure::Core)?;
            bias.iter_mut().zip(own).for_each(|(bias, own)| *bias += scale * own);
        }
        Storage::from(dtype).round(&mut bias, 1);
        finite(entry.name, &stored, 0, &bias)?;
        let mut bytes = Vec::new();
        encode(dtype, &bias, &mut bytes);
        self.bar.inc(bytes.len() as u64);
        out.write(&bytes)
    }
}

/// Refuses what would break the model: an overflow of f16, for example.
fn finite(layer: &str, stored: &Stored<'_>, first: usize, values: &[f32]) -> Result<(), Failure> {
    match values.iter().position(|value| !value.is_finite()) {
        None => Ok(()),
        Some(at) => Err(Failure::NonFinite {
            layer: layer.to_owned(),
            tensor: stored.name.to_owned(),
            index: first + at,
            value: values[at],
            dtype: stored.dtype().map_or("f32", Dtype::name),
        }),
    }
}
