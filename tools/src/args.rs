//! The command line.

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::advise::Advise;
use crate::error::Failure;
use crate::inspect::Inspect;
use crate::merge::Merge;
use crate::pack::Pack;
use crate::plan::PlanArgs;
use crate::report::Outcome;
use crate::unpack::Unpack;
use crate::verify::Verify;

const HELP: &str = "\
Every command has examples in its own help.

Example:
  lowrank pack my-adapter adapter.lowrank

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
    Pack(Pack),
    Unpack(Unpack),
    Inspect(Inspect),
    Verify(Verify),
    Merge(Merge),
    Advise(Advise),
    Plan(PlanArgs),
}

/// Runs the command line of the process.
pub fn run() -> ExitCode {
    match dispatch(&Arguments::parse().command) {
        Ok(Outcome::Good) => ExitCode::SUCCESS,
        Ok(Outcome::Found) => ExitCode::FAILURE,
        Err(failure) => {
            eprintln!("error: {failure}");
            ExitCode::FAILURE
        }
    }
}

fn dispatch(command: &Command) -> Result<Outcome, Failure> {
    match command {
        Command::Pack(command) => command.run()?,
        Command::Unpack(command) => command.run()?,
        Command::Inspect(command) => return command.run(),
        Command::Verify(command) => return command.run(),
        Command::Merge(command) => command.run()?,
        Command::Advise(command) => command.run()?,
        Command::Plan(command) => command.run()?,
    }
    Ok(Outcome::Good)
}
