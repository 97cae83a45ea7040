//! What is fuzzed of `lowrank::train`.

use arbitrary::Arbitrary;

use crate::in_place::InPlaceCase;
use crate::losses::{Clipping, CrossEntropy, SquaredError};
use crate::optimizers::Steps;

/// A case of this target.
#[derive(Debug, Arbitrary)]
pub enum Case {
    Steps(Steps),
    InPlace(InPlaceCase),
    Clipping(Clipping),
    CrossEntropy(CrossEntropy),
    SquaredError(SquaredError),
}

impl Case {
    pub fn check(self) {
        match self {
            Case::Steps(case) => case.check(),
            Case::InPlace(case) => case.check(),
            Case::Clipping(case) => case.check(),
            Case::CrossEntropy(case) => case.check(),
            Case::SquaredError(case) => case.check(),
        }
    }
}
