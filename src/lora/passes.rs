//! The passes over a table of matrices: rows of equations, and the code that dropout and weights of other formats bring.

use super::dropout::Dropping;
use super::equations::{DA, DB, DBIAS, DX, G, H, Y};
use super::place;
use super::saved::{Batch, Progress};
use crate::error::{Argument, Error};
use crate::kernel::equation::{Equation, Mode, Pass};
use crate::kernel::raw::table::{Call, Read, Table, Written};
use crate::simd::Backend;
use crate::weight::Coded;

/// What a pass takes beside its matrices: the code of the weights, if they are not in rows, and that of dropout.
pub(crate) type Code<'a> = (Option<&'a Coded<'a>>, Option<&'a Dropping>);

/// A pass: its equations, and the one of the base.
pub(crate) struct Equations {
    all: &'static [&'static Equation],
    of_base: &'static Equation,
    /// Errors about the output name this argument.
    out: Argument,
    /// How far its tokens have come, if the adapter counts.
    progress: Progress,
}

/// `hs = s·(X̃·Aᵀ)`, `Y = X·Wᵀ + b + hs·Bᵀ`.
pub(crate) static FORWARD: Equations =
    Equations { all: &[&H, &Y], of_base: &Y, out: Argument::Y, progress: Progress::Forward };
/// `gs`, `dX`, `dB`, `dA`, `db`, as far as they are wanted.
pub(crate) static BACKWARD: Equations =
    Equations { all: &[&G, &DB, &DA, &DBIAS, &DX], of_base: &DX, out: Argument::DX, progress: Progress::Backward };

/// The matrices that a pass is given: those that it needs, and the output if it is wanted.
pub(crate) struct Given<'a> {
    pub dy: Read<'a>,
    pub x: Read<'a>,
    pub out: Written<'a>,
}

/// Runs a pass over the matrices of a table and those that it is given. Returns how far its tokens have come.
///
/// # Errors
/// [`Error::Rows`], [`Error::Cols`]. Nothing is written then.
#[inline(always)]
pub(crate) fn run_pass(
    backend: Backend,
    table: &mut Table<'_>,
    (tokens, mode): (usize, &Mode),
    (coded, dropping): Code<'_>,
    pass: &'static Equations,
    given: Given<'_>,
) -> Result<Batch, Error> {
    let call = &mut table.call(tokens);
    call.bring(Argument::DY, place::DY, &given.dy);
    call.bring(Argument::X, place::X, &given.x);
    call.bring_mut(pass.out, pass.of_base.out(), given.out);
    call.checked()?;
    let dropping = dropping.filter(|_| mode.drops());
    let is_forward = matches!(pass.progress, Progress::Forward);
    let (first, last) = if is_forward { (dropping, None) } else { (None, dropping) };
    before(first, backend, call, mode);
    backend.run(Pass { call: &mut *call, equations: pass.all, mode });
    if let Some(coded) = coded {
        coded.run(backend, call, pass.of_base, mode);
    }
    after(last, backend, call, mode);
    Ok(Batch { tokens, progress: if mode.is_present() { pass.progress } else { Progress::Absent } })
}

/// Dropout before the equations.
// Functions of their own, which are always called: otherwise the equations are in the code twice, with dropout and without.
#[inline(never)]
fn before(dropping: Option<&Dropping>, backend: Backend, call: &mut Call<'_, '_, '_>, mode: &Mode) {
    if let Some(dropping) = dropping {
        dropping.before_forward(backend, call, mode);
    }
}

/// Dropout behind them.
#[inline(never)]
fn after(dropping: Option<&Dropping>, backend: Backend, call: &mut Call<'_, '_, '_>, mode: &Mode) {
    if let Some(dropping) = dropping {
        dropping.after_backward(backend, call, mode);
    }
}
