//! `lowrank verify`: whether adapters are whole, and belong to a base.

use std::path::{Path, PathBuf};

use clap::Args;
use serde::Serialize;

use crate::base::Base;
use crate::error::Failure;
use crate::health;
use crate::layers::{NO_BASE, Naming, fingerprint};
use crate::peft::PeftError;
use crate::report::{Outcome, Output, count};
use crate::source::{Opened, Source};
use crate::terminal;

const HELP: &str = "\
Every byte of an adapter file is checked: both checksums, all lengths, offsets
and reserved bytes. Of a PEFT directory, the command checks all that `lowrank
convert` checks. No number may be infinite or NaN, and no layer may be dead: its
A and B are zero, so it changes nothing and can never learn. With --base, shapes
have to fit, the numbers of the base have to be finite, and the fingerprint in a
file has to be that of the base. A PEFT directory has none, so that nobody can
tell whether the base is the right one.

Example:
  lowrank verify adapter.lowrank my-adapter

Exit status: 0 all are good, 1 one is not or cannot be read, 2 the command line
is wrong.";

/// Checks adapters
#[derive(Args, Debug)]
#[command(after_help = HELP)]
pub(crate) struct Verify {
    /// These adapters are checked: adapter files and PEFT directories
    #[arg(required = true, value_name = "ADAPTER")]
    adapters: Vec<PathBuf>,
    /// The adapters have to belong to this base, a file or a directory
    #[arg(long, value_name = "BASE")]
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
    /// What was compared with the base; null without one.
    compared: Option<Compared>,
    note: Option<&'static str>,
}

/// What an adapter can be compared with a base by.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Compared {
    Shapes,
    Fingerprint,
}

impl Verify {
    pub(crate) fn run(&self) -> Result<Outcome, Failure> {
        let base = self.base.as_deref().map(Base::open).transpose()?;
        let (mut reports, mut unread) = (Vec::new(), Vec::new());
        for path in &self.adapters {
            match self.report(path, base.as_ref()) {
                Ok(report) => reports.push(report),
                Err(failure) => unread.push(failure),
            }
        }
        if !reports.is_empty() {
            self.output.print(&reports, &reports.iter().map(line).collect::<String>())?;
        }
        if let Some(last) = unread.pop() {
            unread.iter().for_each(|failure| terminal::complain(&format!("error: {failure}")));
            return Err(last);
        }
        Ok(if reports.iter().all(|report| report.good) { Outcome::Good } else { Outcome::Found })
    }

    /// What is found out about an adapter that can be read.
    fn report(&self, path: &Path, base: Option<&Base>) -> Result<Report, Failure> {
        let mut report =
            Report { adapter: path.to_owned(), good: true, layers: None, flaw: None, compared: None, note: None };
        match self.check(path, base) {
            Ok((layers, compared)) => {
                report.note = (compared == Some(Compared::Shapes)).then_some(NO_BASE);
                (report.layers, report.compared) = (Some(layers), compared);
            }
            Err(failure @ (Failure::Read { .. } | Failure::Peft(PeftError::Read { .. }))) => return Err(failure),
            Err(failure) => {
                let (flaw, name) = (failure.not_swapped().to_string(), format!("{}: ", path.display()));
                (report.good, report.flaw) = (false, Some(flaw.strip_prefix(&name).unwrap_or(&flaw).to_owned()));
            }
        }
        Ok(report)
    }

    /// The number of layers of an adapter that is good, and what was compared.
    fn check(&self, path: &Path, base: Option<&Base>) -> Result<(usize, Option<Compared>), Failure> {
        let source = Source::load(path)?;
        let opened = source.open()?;
        let entries = opened.entries();
        health::check(&entries, false)?;
        let Some(base) = base else { return Ok((entries.len(), None)) };
        let adapter = opened.fingerprint();
        if adapter == 0 && matches!(opened, Opened::File(_)) {
            return Err(Failure::NoFingerprint);
        }
        let places = self.naming.places(&entries, base, true)?;
        // Reads every number, and refuses a base with one that is not finite.
        let base = fingerprint(&places)?;
        if adapter == 0 {
            return Ok((entries.len(), Some(Compared::Shapes)));
        }
        match base {
            base if base == adapter => Ok((entries.len(), Some(Compared::Fingerprint))),
            base => Err(Failure::Fingerprint { base, adapter }),
        }
    }
}

fn line(report: &Report) -> String {
    let name = terminal::path(&report.adapter);
    match &report.flaw {
        None => {
            let note = report.note.map(|note| format!("; {note}")).unwrap_or_default();
            format!("{name}: good, {}{note}\n", count(report.layers.unwrap_or(0), "layer"))
        }
        Some(flaw) => format!("{name}: NOT GOOD: {}\n", terminal::line(flaw)),
    }
}
