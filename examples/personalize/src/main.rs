//! A network that reads upright handwritten digits meets a user whose images are rotated by 90 degrees, and adapts.
//!
//! ```text
//! cargo run --profile quick -p lowrank-personalize             # compiles fast
//! cargo run --release -p lowrank-personalize -- --help         # runs fast
//! ```

mod adapt;
mod curve;
mod json;
mod options;
mod report;
mod svg;

use std::io::Write;
use std::process::ExitCode;

use adapt::Failure;
use options::Options;

fn main() -> ExitCode {
    let options = Options::from_command_line();
    match run(&options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("error: {failure}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> Result<(), Failure> {
    let outcome = adapt::run(options)?;
    if let Some(path) = &options.plot {
        std::fs::write(path, svg::draw(&outcome)).map_err(|error| Failure::Write(path.clone(), error))?;
    }
    if let Some(path) = &options.save_adapter {
        std::fs::write(path, &outcome.adapters).map_err(|error| Failure::Write(path.clone(), error))?;
    }
    let text = if options.json { json::write(&outcome) } else { report::write(&outcome) };
    std::io::stdout().write_all(text.as_bytes()).map_err(Failure::Output)
}
