//! `lowrank verify`: whether adapters are whole, and belong to a base.

use std::path::{Path, PathBuf};

use clap::Args;
use serde::Serialize;

use crate::base::Base;
use crate::error::Failure;
use crate::layers::Naming;
use crate::report::{Outcome, Output};
use crate::source::{Opened, Source};

const HELP: &str = "\
Of an adapter file, every byte is checked: both checksums, all lengths, offsets
and reserved bytes. Of a PEFT directory, all that `lowrank pack` checks. With
--base, also that shapes fit, and that the fingerprint in a file is that of the
base.

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
        let line = |report: &Report| match &report.flaw {
            None => format!("{}: good, {} layers\n", report.adapter.display(), report.layers.unwrap_or(0)),
            Some(flaw) => format!("{}: NOT GOOD: {flaw}\n", report.adapter.display()),
        };
        self.output.print(&reports, &reports.iter().map(line).collect::<String>())?;
        Ok(if reports.iter().all(|report| report.good) { Outcome::Good } else { Outcome::Found })
    }

    /// The number of layers of an adapter that is good.
    fn check(&self, path: &Path, base: Option<&Base>) -> Result<usize, Failure> {
        let source = Source::load(path)?;
        let opened = source.open()?;
        let layers = opened.layers();
        if let Some(base) = base {
            let expected = self.naming.fingerprint(&layers, base)?;
            match &opened {
                Opened::File(file) if file.fingerprint() == 0 => return Err(Failure::NoFingerprint),
                Opened::File(file) if file.fingerprint() != expected => {
                    return Err(Failure::Fingerprint { expected, got: file.fingerprint() });
                }
                _ => {}
            }
        }
        Ok(layers.len())
    }
}
