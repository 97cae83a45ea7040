//! The matrices of a layer in its table, as the types that the free functions take.

use super::adapter::{Adapter, AdapterMut};
use super::grads::{Accum, Grads};
use super::place;
use super::shape::Shape;
use crate::error::Argument;
use crate::kernel::places::{Dim, Pair, Place};
use crate::kernel::raw::table::Table;
use crate::view::MatMut;

/// The places that a layer cuts from its buffer, in this order.
pub(crate) static OWN: [Place; 8] =
    [place::A, place::B, place::BIAS, place::DA, place::DB, place::DBIAS, place::HS, place::GS];

/// Each parameter with its gradient, and the argument that errors name.
pub(crate) static TRAINED: [(Argument, Pair); 3] = [
    (Argument::DA, Pair::new(place::A, place::DA)),
    (Argument::DB, Pair::new(place::B, place::DB)),
    (Argument::DBias, Pair::new(place::BIAS, place::DBIAS)),
];

pub(crate) const fn shape(table: &Table<'_>) -> Shape {
    Shape { inputs: table.dim(Dim::Inputs), outputs: table.dim(Dim::Outputs), rank: table.dim(Dim::Rank) }
}

/// The adapter for reading, with this factor. A borrowed bias may be that of the base.
pub(crate) fn adapter<'t>(table: &'t Table<'_>, scale: f32, owns_bias: bool) -> Adapter<'t> {
    let bias = (owns_bias && table.has(place::BIAS)).then(|| table.read(place::BIAS));
    Adapter { a: table.read(place::A), b: table.read(place::B), bias, scale }
}

/// What training changes: parameters and gradients, and the room of the passes.
pub(crate) fn parts<'t>(table: &'t mut Table<'_>, scale: f32) -> (AdapterMut<'t>, Grads<'t>, [MatMut<'t>; 2]) {
    let optional = [place::BIAS, place::DA, place::DBIAS].map(|place| table.owns(place));
    let [a, b, bias, da, db, dbias, hs, gs] = table.own(OWN);
    let [bias, da, dbias] = [(bias, optional[0]), (da, optional[1]), (dbias, optional[2])]
        .map(|(matrix, is_there)| is_there.then_some(matrix));
    let adapter = AdapterMut { a, b, bias, scale };
    (adapter, Grads { a: da, b: db, bias: dbias, accum: Accum::Replace }, [hs, gs])
}
