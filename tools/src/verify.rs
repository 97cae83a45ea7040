//! `lowrank verify`: whether adapters are whole, and belong to a base.

use std::path::{Path, PathBuf};

use clap::Args;
use serde::Serialize;

use crate::base::Base;
use crate::error::Failure;
use crate::health;
use crate::layers::{Naming, fingerprint};
use crate::report::{Outcome, Output};
use crate::source::{Opened, Source};
use crate::terminal;

const HELP: &str = "\
Of an adapter file, every byte is checked: both checksums, all lengths, offsets
and reserved bytes. Of a PEFT directory, all that `lowrank pack` checks. Of
both, that no number is infinite or NaN, and that no layer is dead: A and B are
zero, so it changes nothing and can never learn. With --base, also that shapes
fit, and that the fingerprint in a file is that of the base.

Example:
  lowrank verify adapter.lowrank my-adapter

Exit status: 0 all are good, 1 one is not, 2 the command line is wrong.";

/// Checks adapters
#[derive(Args, Debug)]
#[command(after_help = HELP)]
pub(crate) struct Verify {
    /// Adapter files and PEFT directories
    #[arg(required = true, value_name = "ADAPTER")]
    adapters: Vec<PathBuf>,
    /// The base that they have to belong to
    #[arg(long, value_name = "FILE")]
    base: Option<PathBuf>,
    #[command(flatten)]
    naming: Naming,
    #[command(flatten)]
    output: Output,
}

#[derive(Serialize)]
struct Report {
    adapter: PathBuf,
    good: bool,
    layers: Option<usize>,
    flaw: Option<String>,
}

impl Verify {
    pub(crate) fn run(&self) -> Result<Outcome, Failure> {
        let base = self.base.as_deref().map(Base::open).transpose()?;
        let report = |path: &PathBuf| {
            let checked = self.check(path, base.as_ref());
            let (layers, flaw) = match checked {
                Ok(layers) => (Some(layers), None),
                Err(failure) => (None, Some(failure.to_string())),
            };
            Report { adapter: path.clone(), good: flaw.is_none(), layers, flaw }
        };
        let reports: Vec<_> = self.adapters.iter().map(report).collect();
        let line = |report: &Report| {
            let name = terminal::path(&report.adapter);
            match &report.flaw {
                None => format!("{name}: good, {} layers\n", report.layers.unwrap_or(0)),
                Some(flaw) => format!("{name}: NOT GOOD: {}\n", terminal::line(flaw)),
            }
        };
        self.output.print(&reports, &reports.iter().map(line).collect::<String>())?;
        Ok(if reports.iter().all(|report| report.good) { Outcome::Good } else { Outcome::Found })
    }

    /// The number of layers of an adapter that is good.
    fn check(&self, path: &Path, base: Option<&Base>) -> Result<usize, Failure> {
        let source = Source::load(path)?;
        let opened = source.open()?;
        let layers = opened.layers();
        health::check(&layers, false)?;
        if let Some(base) = base {
            let adapter = opened.fingerprint();
            match opened {
                // All that is known of its base is that it fits, whichever way round.
                Opened::Peft(_) => drop(self.naming.places(&layers, base, true)?),
                Opened::File(_) if adapter == 0 => return Err(Failure::NoFingerprint),
                Opened::File(_) => {
                    let base = fingerprint(&self.naming.places(&layers, base, true)?)?;
                    if base != adapter {
                        return Err(Failure::Fingerprint { base, adapter });
                    }
                }
            }
        }
        Ok(layers.len())
    }
}
