//! The run itself: scores, adapts, scores again.

use std::fmt;
use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use lowrank::Scale;
use lowrank::format::{Contents, EmitError, Entry, Fingerprint};
use lowrank_demo::{Config, Digest, Layers, Network, Score, TRAINING_IMAGES, Training, Turns, WEIGHTS};

use crate::options::Options;

/// What came out.
pub(crate) struct Outcome {
    pub config: Config,
    pub packed: bool,
    pub losses: Vec<f32>,
    pub rotated: Scores,
    pub upright: Scores,
    /// Of the adapter and of all losses.
    pub digest: Digest,
    /// Of the frozen network, the same before and after.
    pub base: Digest,
    /// An adapter file with the layers `hidden` and `output`.
    pub adapters: Vec<u8>,
    pub duration: Duration,
}

/// The scores on images that are turned in one way.
pub(crate) struct Scores {
    pub before: Score,
    pub after: Score,
    pub merged: Score,
}

/// Why there is no outcome.
pub(crate) enum Failure {
    Demo(lowrank_demo::Error),
    /// The adapters did not become a file.
    Emit(EmitError),
    /// A bit of the frozen network has changed.
    BaseChanged {
        before: Digest,
        after: Digest,
    },
    Write(PathBuf, std::io::Error),
    Output(std::io::Error),
}

impl From<lowrank_demo::Error> for Failure {
    fn from(error: lowrank_demo::Error) -> Self {
        Failure::Demo(error)
    }
}

impl From<EmitError> for Failure {
    fn from(error: EmitError) -> Self {
        Failure::Emit(error)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Demo(error) => error.fmt(f),
            Failure::Emit(error) => error.fmt(f),
            Failure::BaseChanged { before, after } => {
                write!(f, "the frozen network has changed: expected the digest {before}, got {after}")
            }
            Failure::Write(path, error) => write!(f, "cannot write {}: {error}", path.display()),
            Failure::Output(error) => write!(f, "cannot write to standard output: {error}"),
        }
    }
}

pub(crate) fn run(options: &Options) -> Result<Outcome, Failure> {
    let (config, packed) = (options.config, options.packed);
    let backend = config.backend;
    let start = Instant::now();
    let mut panels = vec![0.0; WEIGHTS];
    let network = if packed { Network::packed(backend, &mut panels)? } else { Network::rows() };
    let base = network.digest();

    let (mut arena, mut order) = (vec![0.0; config.arena_len()], [0; TRAINING_IMAGES]);
    let mut training = Training::new(config, network, &mut arena, &mut order)?;
    let losses = train(&mut training, &config)?;
    let mut weights = vec![0.0; WEIGHTS];
    let merged = network.merged(backend, &training.adapters(), &mut weights)?;
    let digest = training.digest();
    let adapters = adapter_file(&training, &config)?;
    let mut scores = |turns| -> Result<Scores, Failure> {
        let before = network.score(backend, turns)?;
        Ok(Scores { before, after: training.score(turns)?, merged: merged.score(backend, turns)? })
    };
    let (rotated, upright) = (scores(Turns::QUARTER)?, scores(Turns::NONE)?);

    let after = network.digest();
    if after != base {
        return Err(Failure::BaseChanged { before: base, after });
    }
    Ok(Outcome { config, packed, losses, rotated, upright, digest, base, adapters, duration: start.elapsed() })
}

/// What a device keeps of all this.
fn adapter_file(training: &Training<'_>, config: &Config) -> Result<Vec<u8>, EmitError> {
    let Layers { hidden, output } = training.adapters();
    let scale = Scale::Alpha(config.alpha);
    let entries = [Entry { scale, ..Entry::of("hidden", &hidden) }, Entry { scale, ..Entry::of("output", &output) }];
    let mut fingerprint = Fingerprint::new();
    fingerprint.base(&training.network().hidden);
    fingerprint.base(&training.network().output);
    let contents = Contents { entries: &entries, metadata: "", fingerprint: fingerprint.finish(), generation: 1 };
    let mut bytes = vec![0; contents.encoded_len()?];
    contents.emit(&mut bytes)?;
    Ok(bytes)
}

/// All steps; says how far it is where somebody watches.
fn train(training: &mut Training<'_>, config: &Config) -> Result<Vec<f32>, Failure> {
    let watched = std::io::stderr().is_terminal();
    let mut losses = Vec::new();
    let mut shown = Instant::now();
    while let Some(report) = training.step()? {
        losses.push(report.loss);
        if watched && shown.elapsed() > Duration::from_millis(50) {
            shown = Instant::now();
            let (epochs, steps) = (config.epochs, config.steps());
            show(format_args!(
                "epoch {} of {epochs}, step {} of {steps}, loss {:.3}",
                report.epoch, report.step, report.loss
            ));
        }
    }
    if watched {
        show(format_args!(""));
    }
    Ok(losses)
}

/// Replaces the line on the terminal. One that cannot be written is no loss.
fn show(line: fmt::Arguments<'_>) {
    let _ = write!(std::io::stderr(), "\r\x1b[2K{line}");
}
