//! The command line.

use std::ffi::OsString;
use std::io::Write;
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{Parser, Subcommand};

use crate::commands::{Advise, Convert, Inspect, Merge, PlanArgs, Verify};
use crate::error::Failure;
use crate::report::Outcome;
use crate::terminal;

const HELP: &str = "\
Every command has examples in its own help.

Example:
  lowrank convert my-adapter adapter.lowrank

Exit status: 0 done, 1 the work failed or something was found, 2 the command
line is wrong.";

/// Adapters of low-rank adaptation (LoRA) between PyTorch + PEFT and devices
#[derive(Parser, Debug)]
#[command(name = "lowrank", bin_name = "lowrank", version, after_help = HELP)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    // The names of before, which scripts have; see `Convert::called`.
    #[command(aliases = ["pack", "unpack"])]
    Convert(Convert),
    Inspect(Inspect),
    Verify(Verify),
    Merge(Merge),
    Advise(Advise),
    Plan(PlanArgs),
}

/// Runs the command line of the process.
pub fn run() -> ExitCode {
    let words: Vec<OsString> = std::env::args_os().collect();
    let outcome = match Arguments::try_parse_from(&words) {
        Ok(arguments) => expect_json(&words).and_then(|()| dispatch(arguments.command, &words)),
        Err(error) if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) => {
            let printed = error.print().and_then(|()| std::io::stdout().flush());
            printed.map(|()| Outcome::Good).map_err(Failure::Output)
        }
        Err(error) => {
            terminal::complain_lines(&wrong(&words).unwrap_or(error).render().to_string());
            return ExitCode::from(2);
        }
    };
    match outcome {
        Ok(Outcome::Good) => ExitCode::SUCCESS,
        Ok(Outcome::Found) => ExitCode::FAILURE,
        Err(failure) => {
            terminal::complain(&format!("error: {failure}"));
            ExitCode::FAILURE
        }
    }
}

/// What is wrong with the command line, where words that would do something to a terminal are escaped. Names of files
/// become such words.
fn wrong(words: &[OsString]) -> Option<clap::Error> {
    let clean = words.iter().map(|word| terminal::line(&word.to_string_lossy()).into_owned());
    Arguments::try_parse_from(clean).err()
}

/// Refuses early what could not be reported in the end.
fn expect_json(words: &[OsString]) -> Result<(), Failure> {
    match words.iter().skip(1).find(|word| word.to_str().is_none()) {
        Some(path) if words.iter().any(|word| word == "--json") => Err(Failure::JsonPath { path: path.clone() }),
        _ => Ok(()),
    }
}

/// Does the work. The second word is the name that the command was called by, since nothing stands before it.
fn dispatch(command: Command, words: &[OsString]) -> Result<Outcome, Failure> {
    match command {
        Command::Convert(mut command) => {
            command.called(&words.get(1).map_or("".into(), |name| name.to_string_lossy()));
            command.run()?;
        }
        Command::Inspect(command) => return command.run().map_err(Failure::not_swapped),
        Command::Verify(command) => return command.run().map_err(Failure::not_swapped),
        Command::Merge(command) => command.run()?,
        Command::Advise(command) => command.run().map_err(Failure::not_swapped)?,
        Command::Plan(command) => command.run()?,
    }
    Ok(Outcome::Good)
}
