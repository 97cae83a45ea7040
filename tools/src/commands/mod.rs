//! The commands: one file for each, with its options, its help and its report. What they share lies beside this directory.

mod advise;
mod convert;
mod inspect;
mod merge;
mod plan;
mod verify;

pub(crate) use advise::Advise;
pub(crate) use convert::Convert;
pub(crate) use inspect::Inspect;
pub(crate) use merge::Merge;
pub(crate) use plan::PlanArgs;
pub(crate) use verify::Verify;
