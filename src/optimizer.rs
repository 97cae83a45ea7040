//! The names of the optimizers.

/// The optimizers, as far as memory is concerned.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash)]
pub enum Optimizer {
    /// [`InPlace`](crate::train::InPlace): neither gradients nor state.
    InPlace,
    /// [`Sgd`](crate::train::Sgd) without momentum: gradients, no state.
    Sgd,
    /// [`Sgd`](crate::train::Sgd) with momentum: gradients and one number per parameter.
    Momentum,
    /// [`AdamW`](crate::train::AdamW): gradients and two numbers per parameter.
    AdamW,
}

impl Optimizer {
    /// Numbers that the optimizer remembers per parameter.
    pub const fn moments(self) -> usize {
        match self {
            Optimizer::InPlace | Optimizer::Sgd => 0,
            Optimizer::Momentum => 1,
            Optimizer::AdamW => 2,
        }
    }
}
