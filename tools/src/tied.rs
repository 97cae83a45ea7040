//! Weights and biases that a model has under two names. A merge into one of them changes both, or tears them apart.

use std::collections::{BTreeMap, BTreeSet};

use safetensors::tensor::Dtype;
use serde::Serialize;

use crate::base::{Base, Stored};
use crate::error::Failure;
use crate::layers::Place;
use crate::model::Model;

/// Bytes by which tensors are told apart at first.
const FIRST: usize = 1 << 8;
/// Bytes that are compared at a time.
const PIECE: usize = 1 << 20;

/// Modules that share one weight in models with `tie_word_embeddings`: of the output, and of the input.
const ENDS: [&str; 9] = [
    "lm_head",
    "embed_out",
    "output_projection",
    "embed_tokens",
    "wte",
    "word_embeddings",
    "shared",
    "embed_in",
    "output",
];

/// A weight or bias that is known under another name, too.
#[derive(Debug, Serialize)]
pub(crate) struct Tied {
    pub(crate) layer: String,
    pub(crate) tensor: String,
    /// The other name, and who says so.
    pub(crate) other: String,
}

/// # Errors
/// [`Failure::Tied`] for the first of the tensors that are tied.
pub(crate) fn check(places: &[Place<'_>], base: &Base) -> Result<(), Failure> {
    find(places, base)?.into_iter().next().map_or(Ok(()), |tied| Err(Failure::Tied(tied)))
}

/// The tensors that are tied, of those that a merge changes.
pub(crate) fn find(places: &[Place<'_>], base: &Base) -> Result<Vec<Tied>, Failure> {
    let (model, twins) = (Model::beside(base.path()), Twins::among(places, base)?);
    let mut all = Vec::new();
    for (place, stored) in places.iter().flat_map(|place| place.changed().map(move |stored| (place, stored))) {
        let name = stored.name;
        let other = match by_header(name, base) {
            Some(other) => Some(format!("`{other}`, by the header of the base")),
            None if model.tied == Some(true) && is_end(name) => {
                Some("the weight at the other end of the model, by tie_word_embeddings in its config.json".to_owned())
            }
            None if model.tied == Some(false) && is_end(name) => None,
            None => match twins.of(&stored)? {
                Some(other) => Some(format!("`{other}`, which holds the same numbers")),
                None => (model.ties_unclear && is_end(name)).then(|| {
                    "perhaps the weight at the other end of the model, since its config.json is not understood"
                        .to_owned()
                }),
            },
        };
        all.extend(other.map(|other| Tied { layer: place.entry.name.to_owned(), tensor: name.to_owned(), other }));
    }
    Ok(all)
}

/// Another name of the tensor: `safetensors` keeps one of several, and the others in the metadata.
fn by_header<'b>(name: &str, base: &'b Base) -> Option<&'b str> {
    let metadata = base.shards.iter().filter_map(|shard| shard.metadata.metadata().as_ref());
    let mut names = metadata.flatten().filter(|(other, kept)| *kept == name && *other != name);
    names.next().map(|(other, _)| other.as_str())
}

fn is_end(tensor: &str) -> bool {
    let module = tensor.strip_suffix(".weight").unwrap_or(tensor);
    module.rsplit('.').next().is_some_and(|last| ENDS.contains(&last))
}

/// Tensors that begin alike. Each is read once for that: models of many equal layers have too many pairs.
struct Twins<'b>(BTreeMap<Start, Vec<Stored<'b>>>);

/// Type, shape and first bytes.
type Start = (Dtype, Vec<usize>, Vec<u8>);

impl<'b> Twins<'b> {
    fn among(places: &[Place<'_>], base: &'b Base) -> Result<Self, Failure> {
        let kind = |stored: &Stored<'_>| (stored.info.dtype, stored.info.shape.clone());
        let kinds: BTreeSet<_> = places.iter().flat_map(Place::changed).map(|stored| kind(&stored)).collect();
        let mut groups = BTreeMap::<Start, Vec<Stored<'b>>>::new();
        for stored in base.all().filter(|stored| kinds.contains(&kind(stored))) {
            groups.entry(start(&stored)?).or_default().push(stored);
        }
        Ok(Self(groups))
    }

    /// Another tensor with the same bytes, unless all its elements are equal: then that may be chance.
    fn of(&self, stored: &Stored<'_>) -> Result<Option<&'b str>, Failure> {
        for other in self.0.get(&start(stored)?).into_iter().flatten().filter(|other| other.name != stored.name) {
            if same_bytes(stored, other)? {
                return Ok(Some(other.name));
            }
        }
        Ok(None)
    }
}

fn start(stored: &Stored<'_>) -> Result<Start, Failure> {
    let mut bytes = Vec::new();
    stored.bytes(0..FIRST.min(stored.len()), &mut bytes)?;
    Ok((stored.info.dtype, stored.info.shape.clone(), bytes))
}

fn same_bytes(one: &Stored<'_>, other: &Stored<'_>) -> Result<bool, Failure> {
    let size = one.info.dtype.bitsize().div_ceil(8);
    let (mut ones, mut others) = (Vec::new(), Vec::new());
    let (mut first, mut constant) = (None, true);
    for at in (0..one.len()).step_by(PIECE) {
        let range = at..one.len().min(at + PIECE);
        one.bytes(range.clone(), &mut ones)?;
        other.bytes(range, &mut others)?;
        if ones != others {
            return Ok(false);
        }
        let first = first.get_or_insert_with(|| ones[..size.min(ones.len())].to_vec());
        constant = constant && ones.chunks(size).all(|element| element == first);
    }
    Ok(!constant)
}
