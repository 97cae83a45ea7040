//! The equations of the passes, each a row of a table, over the matrices of a layer: what the passes compute, and nothing else.
//!
//! | row | equation | start of its chains |
//! |---|---|---|
//! | [`H`] | `hs = s·(X·Aᵀ)` | +0 |
//! | [`Y`] | `Y = X·Wᵀ`, then [`MORE_Y`] | the bias |
//! | [`MORE_Y`] | `Y = hs·Bᵀ` | `Y` |
//! | [`G`] | `gs = s·(dY·B)` | +0 |
//! | [`DX`] | `dX = dY·W`, then [`MORE_DX`] | +0 |
//! | [`MORE_DX`] | `dX = gs·A` | `dX` |
//! | [`DB`] | `dB = dYᵀ·hs` | +0, or the old gradient |
//! | [`DA`] | `dA = gsᵀ·X` | +0, or the old gradient |
//! | [`DBIAS`] | `db = 1ᵀ·dY` | +0, or the old gradient |
//!
//! `W` here is a matrix in rows; other formats bring code of their own for [`Y`] and [`DX`]: see [`crate::weight`]. The merge has `s` in
//! front of its chains.

use super::place;
use crate::kernel::equation::Equation;
use crate::kernel::places::Place;

pub(crate) static H: Equation = Equation::inner(place::HS, place::X.plain(), place::A.t()).thin().dropped();
pub(crate) static Y: Equation = Equation::of_base(place::Y, (place::X.plain(), place::W.t()), place::BIAS, &MORE_Y);
pub(crate) static MORE_Y: Equation = Equation::continued(place::Y, place::HS.plain(), place::B.t());
pub(crate) static G: Equation = Equation::inner(place::GS, place::DY.plain(), place::B.plain()).thin();
pub(crate) static DX: Equation =
    Equation::of_base(place::DX, (place::DY.plain(), place::W.plain()), Place::ZERO, &MORE_DX);
/// With dropout, the chains of this product start from +0, and the code of dropout adds them where an element was kept.
pub(crate) static MORE_DX: Equation = Equation::continued(place::DX, place::GS.plain(), place::A.plain()).dropped();
pub(crate) static DB: Equation = Equation::gradient(place::DB, place::DY.t(), place::HS.plain()).thin();
pub(crate) static DA: Equation = Equation::gradient(place::DA, place::GS.t(), place::X.plain()).dropped();
pub(crate) static DBIAS: Equation = Equation::sum(place::DBIAS, place::DY, place::ONES);
