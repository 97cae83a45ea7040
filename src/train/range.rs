//! The range of a hyper-parameter.

use crate::error::{Argument, Error};

/// Checks that a hyper-parameter is at least 0 and below, or at most, its bound.
pub(super) const fn in_range(argument: Argument, got: f32, at_most: f32) -> Result<(), Error> {
    // Written so that NaN fails.
    if got >= 0.0 && got <= at_most && got.is_finite() {
        Ok(())
    } else {
        Err(Error::Range { argument, at_least: 0.0, at_most, got })
    }
}
