//! Whether the numbers of an adapter are good: finite, and able to learn.

use lowrank::format::{Entry, Tensor};
use serde::Serialize;

use crate::error::Failure;
use crate::mistake::Mistake;
use crate::number::elements;

/// How a layer is.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum State {
    Ok,
    Untrained,
    Dead,
    Nonfinite,
    Off,
}

/// The first number of a layer that is infinite or NaN, or a second moment below zero, of which AdamW takes the root.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Bad {
    pub(crate) part: &'static str,
    pub(crate) index: usize,
    pub(crate) value: f32,
}

impl State {
    /// # Errors
    /// [`lowrank::Error`] when a tensor cannot be decoded.
    pub(crate) fn of(entry: &Entry<'_>) -> Result<Self, lowrank::Error> {
        let zero = |tensor: &Tensor<'_>| Ok(elements(tensor)?.iter().all(|&value| value == 0.0));
        let [a, b] = [zero(&entry.a)?, zero(&entry.b)?];
        Ok(if bad(entry)?.is_some() {
            State::Nonfinite
        } else if a && b {
            State::Dead
        } else if entry.scale.factor(entry.shape().rank) == 0.0 {
            State::Off
        } else if b {
            State::Untrained
        } else {
            State::Ok
        })
    }

    pub(crate) const fn name(self) -> &'static str {
        match self {
            State::Ok => "ok",
            State::Untrained => "untrained",
            State::Dead => "dead",
            State::Nonfinite => "nonfinite",
            State::Off => "off",
        }
    }
}

/// The first bad number of a layer, its training state included.
///
/// # Errors
/// [`lowrank::Error`] when a tensor cannot be decoded.
pub(crate) fn bad(entry: &Entry<'_>) -> Result<Option<Bad>, lowrank::Error> {
    const MOMENTS: [&str; 6] = [
        "the first moment of A",
        "the second moment of A",
        "the first moment of B",
        "the second moment of B",
        "the first moment of the bias",
        "the second moment of the bias",
    ];
    let numbers =
        [("A", Some(entry.a)), ("B", Some(entry.b)), ("the bias", entry.bias), ("the bias of B", entry.b_bias)];
    let moments = entry.training.iter().flat_map(|training| training.moments);
    let moments = MOMENTS.into_iter().zip(moments.map(Some));
    for (part, tensor) in numbers.into_iter().chain(moments) {
        let Some(tensor) = tensor.filter(|tensor| tensor.rows() * tensor.cols() != 0) else { continue };
        let values = elements(&tensor)?;
        let good = |value: &f32| value.is_finite() && (*value >= 0.0 || !part.starts_with("the second"));
        if let Some(index) = values.iter().position(|value| !good(value)) {
            return Ok(Some(Bad { part, index, value: values[index] }));
        }
    }
    Ok(None)
}

/// Refuses layers with bad numbers, and, unless they are allowed, layers that can never learn.
///
/// # Errors
/// [`Mistake::BadNumber`] and [`Mistake::Dead`].
pub(crate) fn check(entries: &[Entry<'_>], allow_dead: bool) -> Result<(), Failure> {
    for entry in entries {
        let name = || entry.name.to_owned();
        if let Some(Bad { part, index, value }) = bad(entry).map_err(Failure::Core)? {
            return Err(Mistake::BadNumber { layer: name(), part, index, value }.into());
        }
        if !allow_dead && State::of(entry).map_err(Failure::Core)? == State::Dead {
            return Err(Mistake::Dead { layer: name() }.into());
        }
    }
    Ok(())
}
