//! Where the layers of an adapter lie in the base.

use clap::Args;
use lowrank::format::{Entry, Fingerprint};
use lowrank::{MatRef, Weights};

use crate::base::{Base, Stored};
use crate::error::Failure;
use crate::layout::{Knowledge, Layout, Told};
use crate::mistake::Mistake;
use crate::number::transpose;
use crate::source::Opened;
use crate::terminal;

/// Of an adapter without a fingerprint, where the shapes of its layers are those of a base.
pub(crate) const NO_BASE: &str =
    "this adapter names no base: its shapes fit, whether it is the right one cannot be told";

/// How names of layers become names of tensors.
#[derive(Args, Debug, Default)]
pub(crate) struct Naming {
    /// Remove this from the start of every layer's name before the name is looked up in the base
    #[arg(long, value_name = "PREFIX", default_value = "", hide_default_value = true)]
    remove_prefix: String,
    /// Put this there instead
    #[arg(long, value_name = "PREFIX", default_value = "", hide_default_value = true)]
    add_prefix: String,
    /// A weight whose shape does not tell is stored so: out-in (nn.Linear) or in-out (Conv1D); LAYER= says it only of the
    /// layers whose name is LAYER or ends in .LAYER; the option may be given several times
    #[arg(long, value_name = "[LAYER=]LAYOUT", value_parser = Told::parse)]
    layout: Vec<Told>,
}

/// Which bases are taken to merge into.
#[derive(Args, Debug)]
pub(crate) struct Acceptance {
    /// Take a base with another fingerprint than that of the base that the adapter was made for
    #[arg(long)]
    other_base: bool,
}

impl Acceptance {
    /// The places of layers in the base that they were made for, as far as the adapter knows it.
    pub(crate) fn places<'a>(
        &self,
        naming: &Naming,
        opened: &Opened<'_>,
        entries: &'a [Entry<'a>],
        base: &'a Base,
    ) -> Result<Vec<Place<'a>>, Failure> {
        let adapter = if self.other_base { 0 } else { opened.fingerprint() };
        let places = naming.places(entries, base, adapter != 0)?;
        if opened.fingerprint() == 0 {
            terminal::complain(&format!("note: {NO_BASE}"));
        }
        if adapter != 0 {
            let base = fingerprint(&places)?;
            if base != adapter {
                return Err(Failure::OtherBase { base, adapter });
            }
        }
        Ok(places)
    }
}

/// A layer and its tensors in the base, whose shapes fit.
#[derive(Copy, Clone)]
pub(crate) struct Place<'a> {
    pub(crate) entry: &'a Entry<'a>,
    pub(crate) weight: Stored<'a>,
    pub(crate) bias: Option<Stored<'a>>,
    pub(crate) layout: Layout,
}

impl<'a> Place<'a> {
    /// The bias, if a merge changes it.
    pub(crate) fn changed_bias(&self) -> Option<Stored<'a>> {
        self.bias.filter(|_| self.entry.bias.is_some() || self.entry.b_bias.is_some())
    }

    /// The tensors that a merge changes.
    pub(crate) fn changed(&self) -> impl Iterator<Item = Stored<'a>> {
        [Some(self.weight), self.changed_bias()].into_iter().flatten()
    }
}

impl Naming {
    /// The first of these options that is given.
    pub(crate) fn given(&self) -> Option<&'static str> {
        let all = [
            ("--remove-prefix", !self.remove_prefix.is_empty()),
            ("--add-prefix", !self.add_prefix.is_empty()),
            ("--layout", !self.layout.is_empty()),
        ];
        all.iter().find(|(_, given)| *given).map(|(option, _)| *option)
    }

    /// Where each layer lies. `by_flags`: where nothing else tells the layout, the flags of the adapter do, since a wrong one
    /// does no harm: it gives another fingerprint than the expected one, or only shapes count.
    ///
    /// # Errors
    /// When a tensor is missing or does not fit, and when nobody knows the layout of a square weight.
    pub(crate) fn places<'a>(
        &self,
        entries: &'a [Entry<'a>],
        base: &'a Base,
        by_flags: bool,
    ) -> Result<Vec<Place<'a>>, Failure> {
        Told::check(&self.layout)?;
        let weights: Vec<Stored<'a>> =
            entries.iter().map(|entry| self.weight(entry, base)).collect::<Result<_, _>>()?;
        let mut knowledge = Knowledge::new(&self.layout, entries, base.path(), by_flags);
        if let Some(name) = knowledge.unused(entries) {
            return Err(Failure::LayoutUnused { name: name.to_owned() });
        }
        knowledge.flaws().iter().for_each(|flaw| terminal::complain(&format!("warning: {flaw}")));
        let stored: Vec<_> = entries.iter().zip(weights.iter().map(|weight| weight.info.shape.as_slice())).collect();
        knowledge.distrust_model(&stored);
        if let Some(doubt) = knowledge.doubt(&stored) {
            terminal::complain(&format!("warning: {doubt}"));
        }
        let (mut places, mut unknown) = (Vec::new(), Vec::new());
        for (entry, weight) in entries.iter().zip(weights) {
            match knowledge.layout(entry, &weight.info.shape) {
                Some(layout) => places.push(self.place(entry, weight, layout, base)?),
                None => {
                    weight.expect(&Layout::of(entry).shape(entry), "by the adapter")?;
                    unknown.push(entry);
                }
            }
        }
        match unknown.split_first() {
            None => Ok(places),
            Some((entry, others)) => Err(Failure::LayoutUnknown {
                layer: entry.name.to_owned(),
                others: others.len(),
                path: base.path().to_owned(),
                fan_in_fan_out: entry.fan_in_fan_out,
            }),
        }
    }

    /// The name of a tensor of a layer in the base.
    fn tensor(&self, entry: &Entry<'_>, tensor: &str) -> String {
        let path = entry.name.strip_prefix(self.remove_prefix.as_str()).unwrap_or(entry.name);
        format!("{}{path}.{tensor}", self.add_prefix)
    }

    fn weight<'a>(&self, entry: &Entry<'_>, base: &'a Base) -> Result<Stored<'a>, Failure> {
        let (tensor, shape) = (self.tensor(entry, "weight"), entry.shape());
        if let Some((stored, sign)) = base.quantised(tensor.strip_suffix(".weight").unwrap_or(&tensor)) {
            let path = stored.shard.path.clone();
            return Err(Mistake::Quantised { path, layer: entry.name.to_owned(), sign }.into());
        }
        let Some(weight) = base.find(&tensor) else {
            if let Some(tied) = base.tied([shape.outputs, shape.inputs]) {
                let (path, tied) = (tied.shard.path.clone(), tied.name.to_owned());
                return Err(Mistake::Tied { path, layer: entry.name.to_owned(), tensor, tied }.into());
            }
            let hint = match base.with_suffix(&tensor) {
                Some(other) => format!("it has `{other}`: see --remove-prefix and --add-prefix"),
                None => "is it the base that the adapter was trained on?".to_owned(),
            };
            return Err(Failure::BaseMissing { layer: entry.name.to_owned(), tensor, hint });
        };
        weight.dtype()?;
        Ok(weight)
    }

    fn place<'a>(
        &self,
        entry: &'a Entry<'a>,
        weight: Stored<'a>,
        layout: Layout,
        base: &'a Base,
    ) -> Result<Place<'a>, Failure> {
        weight.expect(
            &layout.shape(entry),
            match layout {
                Layout::OutIn => "by the adapter ([out, in])",
                Layout::InOut => "by the adapter ([in, out])",
            },
        )?;
        let name = self.tensor(entry, "bias");
        let bias = base.find(&name);
        if let Some(bias) = bias {
            bias.expect(&[entry.shape().outputs], "by the adapter ([out])")?;
            bias.dtype()?;
        } else if entry.bias.is_some() || entry.b_bias.is_some() {
            return Err(Failure::BaseBias { layer: entry.name.to_owned(), tensor: name });
        }
        Ok(Place { entry, weight, bias, layout })
    }

    /// The fingerprint of the base of these layers.
    pub(crate) fn fingerprint(&self, entries: &[Entry<'_>], base: &Base) -> Result<u64, Failure> {
        fingerprint(&self.places(entries, base, false)?)
    }
}

/// The fingerprint of the base at these places, one after the other.
pub(crate) fn fingerprint(places: &[Place<'_>]) -> Result<u64, Failure> {
    let mut fingerprint = Fingerprint::new();
    let (mut weights, mut turned, mut bias) = (Vec::new(), Vec::new(), Vec::new());
    for place in places {
        let shape = place.entry.shape();
        place.weight.all(&mut weights)?;
        if place.layout == Layout::InOut {
            transpose(&weights, shape.outputs, &mut turned);
            std::mem::swap(&mut weights, &mut turned);
        }
        if let Some(stored) = place.bias {
            stored.all(&mut bias)?;
        }
        let rows = MatRef::new(&weights, shape.outputs, shape.inputs).map_err(Failure::Core)?;
        let bias = place.bias.map(|_| MatRef::from_row(&bias));
        fingerprint.base(&lowrank::Base { weights: Weights::from(rows), bias });
    }
    Ok(fingerprint.finish())
}
