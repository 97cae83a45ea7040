//! The places of the matrices of a layer in its table.

use crate::kernel::places::Dim::{Inputs, One, Outputs, Rank, Tokens};
use crate::kernel::places::{Owner, Place};

pub(crate) const A: Place = Place::new(0, (Rank, Inputs), Owner::Lent);
pub(crate) const B: Place = Place::new(1, (Outputs, Rank), Owner::Lent);
/// Trained, or that of the base.
pub(crate) const BIAS: Place = Place::new(2, (One, Outputs), Owner::Lent);
pub(crate) static DA: Place = Place::new(3, (Rank, Inputs), Owner::Table);
pub(crate) static DB: Place = Place::new(4, (Outputs, Rank), Owner::Table);
pub(crate) static DBIAS: Place = Place::new(5, (One, Outputs), Owner::Table);
pub(crate) const HS: Place = Place::new(6, (Tokens, Rank), Owner::Table);
pub(crate) const GS: Place = Place::new(7, (Tokens, Rank), Owner::Table);
/// Where the weights rest in rows.
pub(crate) const W: Place = Place::new(8, (Outputs, Inputs), Owner::Lent);
/// A one for each token.
pub(crate) const ONES: Place = Place::ONES;
pub(crate) const X: Place = Place::new(10, (Tokens, Inputs), Owner::Read);
pub(crate) static Y: Place = Place::new(11, (Tokens, Outputs), Owner::Written);
pub(crate) const DY: Place = Place::new(12, (Tokens, Outputs), Owner::Read);
pub(crate) const DX: Place = Place::new(13, (Tokens, Inputs), Owner::Written);

/// A table relies on it that a slot has one place, and so one size.
const _: () =
    assert!(Place::are_apart(&[A, B, BIAS, DA, DB, DBIAS, HS, GS, W, ONES, X, Y, DY, DX]), "two places in one slot");
