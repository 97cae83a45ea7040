//! What is done only where a call names it: a program without that call does not link its code.

use core::mem::transmute;

use lowrank::train::Layer;
use lowrank::{Dropout, Error, Saved, Weights};

use crate::codes::*;
use crate::error::Fault;

/// Code that a call has named. Only the calls write it, so it does not say its size. Where it is needed and was not named, a call
/// says LOWRANK_NOT_SET.
#[derive(Copy, Clone, Debug)]
#[repr(C)]
pub struct lowrank_code {
    /// The code.
    pub function: Option<unsafe extern "C" fn()>,
    /// All bits of its address turned round, and a number of its kind: what lies in memory that no call has filled in is refused, not
    /// run, and so is code of another kind.
    pub inverse: usize,
}

type Code = unsafe extern "C" fn();

/// Reads W [out, in] in panels of a width.
pub(crate) type OfPanels = for<'w> fn(&'w [f32], (usize, usize), usize) -> Result<Weights<'w>, Error>;
/// Gives a layer its dropout.
pub(crate) type OfLayer = fn(&mut Layer<'_>, Dropout) -> Result<(), Error>;
/// Gives saved activations their dropout.
pub(crate) type OfSaved = fn(&mut Saved<'_>, Dropout) -> Result<(), Error>;

macro_rules! kinds {
    ($($number:literal $of:ident $get:ident: $kind:ty, about $argument:ident;)*) => {
        impl lowrank_code {
            $(
                pub(crate) fn $of(code: $kind) -> Self {
                    // SAFETY: all pointers to code are alike; it is called as what it is.
                    Self::named(unsafe { transmute::<$kind, Code>(code) }, $number)
                }

                /// The code that was named, in a field that only the function above fills in.
                pub(crate) fn $get(&self) -> Result<$kind, Fault> {
                    let code = self.get($number).ok_or(Fault::new(LOWRANK_NOT_SET, $argument, 0, 0))?;
                    // SAFETY: as the page of the crate says, the fields that calls set are as calls have set them.
                    Ok(unsafe { transmute::<Code, $kind>(code) })
                }
            )*
        }
    };
}

kinds! {
    1 of_panels panels: OfPanels, about LOWRANK_ARGUMENT_W;
    2 of_layer layer: OfLayer, about LOWRANK_ARGUMENT_DROPOUT;
    3 of_saved saved: OfSaved, about LOWRANK_ARGUMENT_DROPOUT;
}

impl lowrank_code {
    pub(crate) const NONE: Self = Self { function: None, inverse: 0 };

    fn named(code: Code, kind: usize) -> Self {
        Self { function: Some(code), inverse: !(code as usize) ^ kind }
    }

    fn get(&self, kind: usize) -> Option<Code> {
        self.function.filter(|&code| !(code as usize) ^ kind == self.inverse)
    }
}
