//! The command line.

use std::path::PathBuf;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::error::ErrorKind;
use clap::{CommandFactory, Parser, value_parser};
use lowrank::train::Optimizer;
use lowrank::{Arithmetic, Backend};
use lowrank_demo::Config;

const OPTIMIZERS: [(&str, Optimizer); 4] = [
    ("adamw", Optimizer::AdamW),
    ("sgd", Optimizer::Sgd),
    ("momentum", Optimizer::Momentum),
    ("inplace", Optimizer::InPlace),
];

const NOTES: &str = "\
The network (64-48-10) reads upright digits and is frozen. An adapter of low
rank on both of its layers learns to read digits turned by 90 degrees, from
1,437 images; 360 other images test it.

--backend, --micro-batch and --packed change no bit of a result: the digest of
an --arithmetic stays the same.

Exit status: 0 done, 1 the work failed, 2 the command line is wrong.";

/// Adapts a small network to a user whose handwritten digits are rotated
#[derive(Parser, Debug)]
#[command(name = "personalize", bin_name = "personalize", after_help = NOTES)]
pub(crate) struct Options {
    #[arg(long, value_name = "NAME", value_parser = backend(), hide_possible_values = true, help = backend_help())]
    backend: Option<Backend>,

    /// Rounding: separate or fused [default: the fast one]
    #[arg(long, value_name = "NAME", value_parser = arithmetic(), hide_possible_values = true)]
    arithmetic: Option<Arithmetic>,

    /// Rank of both adapters, 1 to 64
    #[arg(long, value_name = "R", default_value_t = 4, value_parser = value_parser!(u32).range(1..=64))]
    rank: u32,

    /// adamw, sgd, momentum or inplace
    #[arg(long, value_name = "NAME", default_value = "adamw", value_parser = optimizer(), hide_possible_values = true)]
    optimizer: Optimizer,

    /// Passes over the images [default: 10 (adamw) or 12]
    #[arg(long, value_name = "N", value_parser = value_parser!(u32).range(1..=1000))]
    epochs: Option<u32>,

    /// Of initial adapter and image order
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,

    /// Images in memory at a time, 1 to 32
    #[arg(long, value_name = "N", default_value_t = 32, value_parser = value_parser!(u32).range(1..=32))]
    micro_batch: u32,

    /// Frozen weights in panels, as the backend likes them
    #[arg(long)]
    pub(crate) packed: bool,

    /// Write the loss curve as an SVG file
    #[arg(long, value_name = "FILE")]
    pub(crate) plot: Option<PathBuf>,

    /// Write the trained adapters as an adapter file
    #[arg(long, value_name = "FILE")]
    pub(crate) save_adapter: Option<PathBuf>,

    /// Print one JSON object instead of the report
    #[arg(long)]
    pub(crate) json: bool,
}

impl Options {
    /// Ends the program with status 2 when there is something wrong with the arguments.
    pub(crate) fn from_command_line() -> Self {
        let options = Self::parse();
        if let Err(error) = options.config().check() {
            Self::command().error(ErrorKind::ValueValidation, error).exit();
        }
        options
    }

    pub(crate) fn config(&self) -> Config {
        let backend = self.backend.unwrap_or_else(Backend::detect);
        let backend = self.arithmetic.map_or(backend, |arithmetic| backend.with(arithmetic));
        let default = Config::new(backend, self.optimizer);
        Config {
            rank: self.rank as usize,
            epochs: self.epochs.unwrap_or(default.epochs),
            micro_batch: self.micro_batch as usize,
            seed: self.seed,
            ..default
        }
    }
}

pub(crate) fn optimizer_name(optimizer: Optimizer) -> &'static str {
    OPTIMIZERS.iter().find(|(_, other)| *other == optimizer).map_or("unknown", |(name, _)| name)
}

/// The backends of this machine, each in the arithmetic that is fast there.
fn backends() -> impl Iterator<Item = Backend> {
    Backend::available().filter(|backend| (backend.arithmetic() == Arithmetic::Fused) == backend.has_fused())
}

fn backend_help() -> String {
    let names: Vec<_> = backends().map(|backend| backend.name()).collect();
    format!("One of {} [default: the last]", names.join(", "))
}

fn backend() -> impl TypedValueParser<Value = Backend> {
    one_of(backends().map(|backend| (backend.name(), backend)).collect())
}

fn arithmetic() -> impl TypedValueParser<Value = Arithmetic> {
    one_of(Arithmetic::ALL.map(|arithmetic| (arithmetic.name(), arithmetic)).to_vec())
}

fn optimizer() -> impl TypedValueParser<Value = Optimizer> {
    one_of(OPTIMIZERS.to_vec())
}

/// Accepts the names, and lists them in the help and in the error.
fn one_of<T: Copy + Send + Sync + 'static>(values: Vec<(&'static str, T)>) -> impl TypedValueParser<Value = T> {
    PossibleValuesParser::new(values.iter().map(|(name, _)| *name).collect::<Vec<_>>()).try_map(move |name| {
        let found = values.iter().find(|(other, _)| *other == name);
        found.map(|(_, value)| *value).ok_or("no such value")
    })
}
