//! The command line.

use std::ffi::OsString;
use std::fmt::Display;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::process::exit;

use lexopt::Arg;
use lowrank::train::Optimizer;
use lowrank::{Arithmetic, Backend};
use lowrank_demo::Config;

const OPTIMIZERS: [(&str, Optimizer); 4] = [
    ("adamw", Optimizer::AdamW),
    ("sgd", Optimizer::Sgd),
    ("momentum", Optimizer::Momentum),
    ("in-place", Optimizer::InPlace),
];

const HELP: &str = "\
Adapts a small network to a user whose handwritten digits are rotated

Usage: personalize [OPTIONS]

Options:
      --backend <NAME>       One of BACKENDS [default: the last]
      --arithmetic <NAME>    Rounding: separate or fused [default: the fast one]
      --rank <R>             Rank of both adapters, 1 to 64 [default: 4]
      --optimizer <NAME>     adamw, sgd, momentum or in-place [default: adamw]
      --epochs <N>           Passes over the images [default: 10 (adamw) or 12]
      --seed <N>             Of initial adapter and image order [default: 0]
      --micro-batch <N>      Images in memory at a time, 1 to 32 [default: 32]
      --packed               Frozen weights in panels, as the backend likes them
      --plot <FILE>          Write the loss curve as an SVG file
      --save-adapter <FILE>  Write the trained adapters as an adapter file
      --json                 Print one JSON object instead of the report
  -h, --help                 Print this help

The network (64-48-10) reads upright digits and is frozen. An adapter of low
rank on both of its layers learns to read digits turned by 90 degrees, from
1,437 images; 360 other images test it.

--backend, --micro-batch and --packed change no bit of a result: the digest of
an --arithmetic stays the same.

Exit status: 0 done, 1 the work failed, 2 the command line is wrong.
";

pub(crate) struct Options {
    pub(crate) config: Config,
    /// The frozen weights lie in panels.
    pub(crate) packed: bool,
    /// Where the loss curve goes.
    pub(crate) plot: Option<PathBuf>,
    /// Where the adapter file goes.
    pub(crate) save_adapter: Option<PathBuf>,
    pub(crate) json: bool,
}

impl Options {
    /// Ends the program with status 2 when there is something wrong with the arguments, with 0 after the help.
    pub(crate) fn from_command_line() -> Self {
        match Self::parse(std::env::args_os().skip(1)) {
            Ok(Some(options)) => options,
            Ok(None) => {
                print!("{}", help());
                exit(0)
            }
            Err(error) => {
                eprintln!("error: {error}\n\nFor more information, try '--help'.");
                exit(2)
            }
        }
    }

    /// `None` where the help is wanted.
    fn parse(arguments: impl Iterator<Item = OsString>) -> Result<Option<Self>, lexopt::Error> {
        let (mut backend, mut arithmetic, mut optimizer) = (Backend::detect(), None, Optimizer::AdamW);
        let (mut rank, mut epochs, mut seed, mut micro_batch) = (4, None, 0, 32);
        let (mut packed, mut plot, mut save_adapter, mut json) = (false, None, None, false);
        let mut parser = lexopt::Parser::from_args(arguments);
        while let Some(argument) = parser.next()? {
            let Arg::Long(name) = argument else {
                return if argument == Arg::Short('h') { Ok(None) } else { Err(argument.unexpected()) };
            };
            let name = format!("--{name}");
            match &*name {
                "--backend" => backend = one_of(&name, parser.value()?, backends().map(|one| (one.name(), one)))?,
                "--arithmetic" => {
                    arithmetic = Some(one_of(&name, parser.value()?, Arithmetic::ALL.map(|one| (one.name(), one)))?);
                }
                "--optimizer" => optimizer = one_of(&name, parser.value()?, OPTIMIZERS)?,
                "--rank" => rank = number(&name, parser.value()?, 1..=64)? as usize,
                "--epochs" => epochs = Some(number(&name, parser.value()?, 1..=1000)? as u32),
                "--seed" => seed = number(&name, parser.value()?, 0..=u64::MAX)?,
                "--micro-batch" => micro_batch = number(&name, parser.value()?, 1..=32)? as usize,
                "--plot" => plot = Some(parser.value()?.into()),
                "--save-adapter" => save_adapter = Some(parser.value()?.into()),
                "--packed" => packed = true,
                "--json" => json = true,
                "--help" => return Ok(None),
                _ => return Err(lexopt::Error::UnexpectedOption(name)),
            }
        }
        let backend = arithmetic.map_or(backend, |arithmetic| backend.with(arithmetic));
        let default = Config::new(backend, optimizer);
        let epochs = epochs.unwrap_or(default.epochs);
        let config = Config { rank, epochs, micro_batch, seed, ..default };
        config.check().map_err(mistake)?;
        Ok(Some(Self { config, packed, plot, save_adapter, json }))
    }
}

pub(crate) fn optimizer_name(optimizer: Optimizer) -> &'static str {
    OPTIMIZERS.iter().find(|(_, other)| *other == optimizer).map_or("unknown", |(name, _)| name)
}

/// The backends of this machine, each in the arithmetic that is fast there.
fn backends() -> impl Iterator<Item = Backend> {
    Backend::available().filter(|backend| (backend.arithmetic() == Arithmetic::Fused) == backend.has_fused())
}

fn help() -> String {
    let names: Vec<_> = backends().map(|backend| backend.name()).collect();
    HELP.replace("BACKENDS", &names.join(", "))
}

fn mistake(error: impl Display) -> lexopt::Error {
    lexopt::Error::Custom(error.to_string().into())
}

fn number(name: &str, value: OsString, range: RangeInclusive<u64>) -> Result<u64, lexopt::Error> {
    let (text, least, most) = (value.to_string_lossy(), range.start(), range.end());
    let found = text.parse().ok().filter(|number| range.contains(number));
    found.ok_or_else(|| mistake(format_args!("{name} is {text:?}, expected a number from {least} to {most}")))
}

fn one_of<T: Copy>(
    name: &str,
    value: OsString,
    values: impl IntoIterator<Item = (&'static str, T)>,
) -> Result<T, lexopt::Error> {
    let values: Vec<_> = values.into_iter().collect();
    let found = values.iter().find(|(other, _)| value == *other);
    let names = || values.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ");
    let text = value.to_string_lossy();
    found.map(|(_, one)| *one).ok_or_else(|| mistake(format_args!("{name} is {text:?}, expected one of {}", names())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Option<Options>, String> {
        Options::parse(line.split_whitespace().map(OsString::from)).map_err(|error| error.to_string())
    }

    #[test]
    fn every_option_of_the_help_is_known() {
        let names = HELP.split_whitespace().filter_map(|word| word.strip_prefix("--"));
        let names: Vec<_> = names.map(|name| name.trim_end_matches(',')).collect();
        for name in &names {
            let said = parse(&format!("--{name}=1")).err().unwrap_or_default();
            assert!(!said.contains("invalid option"), "{said}");
        }
        assert!(names.len() >= 12, "only {names:?}");
    }

    #[test]
    fn a_value_becomes_a_setting_and_a_wrong_value_a_mistake() {
        let options =
            parse("--backend scalar --arithmetic=fused --rank 3 --optimizer in-place --seed 9 --packed").unwrap();
        let Options { config, packed, .. } = options.unwrap();
        assert_eq!((config.backend.name(), config.backend.arithmetic()), ("scalar", Arithmetic::Fused));
        assert_eq!(
            (config.rank, config.optimizer, config.epochs, config.seed, packed),
            (3, Optimizer::InPlace, 12, 9, true)
        );
        assert!(parse("--epochs 1 -h").unwrap().is_none());
        let said = |line| parse(line).err().unwrap_or_default();
        assert_eq!(said("--rank 65"), "--rank is \"65\", expected a number from 1 to 64");
        assert_eq!(said("--optimizer adam"), "--optimizer is \"adam\", expected one of adamw, sgd, momentum, in-place");
        assert!(said("--rank").contains("missing argument") && said("--no").contains("invalid option"));
        assert!(said("7").contains("unexpected argument"));
    }
}
