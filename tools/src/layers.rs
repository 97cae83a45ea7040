//! Where the layers of an adapter lie in the base.

use clap::Args;
use lowrank::format::{Fingerprint, Layer};
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
    /// What to remove from the start of every layer's name before it is looked up in the base
    #[arg(long, value_name = "PREFIX", default_value = "", hide_default_value = true)]
    remove_prefix: String,
    /// What to put there instead
    #[arg(long, value_name = "PREFIX", default_value = "", hide_default_value = true)]
    add_prefix: String,
    /// How a weight is stored whose shape does not tell: out-in (nn.Linear) or in-out (Conv1D); with LAYER=, only of the
    /// layers whose name is LAYER or ends in .LAYER; may be given several times
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
        layers: &'a [Layer<'a>],
        base: &'a Base,
    ) -> Result<Vec<Place<'a>>, Failure> {
        let adapter = if self.other_base { 0 } else { opened.fingerprint() };
        let places = naming.places(layers, base, adapter != 0)?;
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
    pub(crate) layer: &'a Layer<'a>,
    pub(crate) weight: Stored<'a>,
    pub(crate) bias: Option<Stored<'a>>,
    pub(crate) layout: Layout,
}

impl<'a> Place<'a> {
    /// The bias, if a merge changes it.
    pub(crate) fn changed_bias(&self) -> Option<Stored<'a>> {
        self.bias.filter(|_| self.layer.bias.is_some() || self.layer.b_bias.is_some())
    }

    /// The tensors that a merge changes.
    pub(crate) fn changed(&self) -> impl Iterator<Item = Stored<'a>> {
        [Some(self.weight), self.changed_bias()].into_iter().flatten()
    }
}

impl Naming {
    /// Where each layer lies. `by_flags`: where nothing else tells the layout, the flags of the adapter do, since a wrong one
    /// does no harm: it gives another fingerprint than the expected one, or only shapes count.
    ///
    /// # Errors
    /// When a tensor is missing or does not fit, and when nobody knows the layout of a square weight.
    pub(crate) fn places<'a>(
        &self,
        layers: &'a [Layer<'a>],
        base: &'a Base,
        by_flags: bool,
    ) -> Result<Vec<Place<'a>>, Failure> {
        Told::check(&self.layout)?;
        let weights: Vec<Stored<'a>> = layers.iter().map(|layer| self.weight(layer, base)).collect::<Result<_, _>>()?;
        let mut knowledge = Knowledge::new(&self.layout, layers, base.path(), by_flags);
        if let Some(name) = knowledge.unused(layers) {
            return Err(Failure::LayoutUnused { name: name.to_owned() });
        }
        knowledge.flaws().iter().for_each(|flaw| terminal::complain(&format!("warning: {flaw}")));
        let stored: Vec<_> = layers.iter().zip(weights.iter().map(|weight| weight.info.shape.as_slice())).collect();
        knowledge.distrust_model(&stored);
        if let Some(doubt) = knowledge.doubt(&stored) {
            terminal::complain(&format!("warning: {doubt}"));
        }
        let (mut places, mut unknown) = (Vec::new(), Vec::new());
        for (layer, weight) in layers.iter().zip(weights) {
            match knowledge.layout(layer, &weight.info.shape) {
                Some(layout) => places.push(self.place(layer, weight, layout, base)?),
                None => {
                    weight.expect(&Layout::of(layer).shape(layer), "by the adapter")?;
                    unknown.push(layer);
                }
            }
        }
        match unknown.split_first() {
            None => Ok(places),
            Some((layer, others)) => Err(Failure::LayoutUnknown {
                layer: layer.name.to_owned(),
                others: others.len(),
                path: base.path().to_owned(),
                fan_in_fan_out: layer.fan_in_fan_out,
            }),
        }
    }

    /// The name of a tensor of a layer in the base.
    fn tensor(&self, layer: &Layer<'_>, tensor: &str) -> String {
        let path = layer.name.strip_prefix(self.remove_prefix.as_str()).unwrap_or(layer.name);
        format!("{}{path}.{tensor}", self.add_prefix)
    }

    fn weight<'a>(&self, layer: &Layer<'_>, base: &'a Base) -> Result<Stored<'a>, Failure> {
        let (tensor, shape) = (self.tensor(layer, "weight"), layer.shape());
        if let Some((stored, sign)) = base.quantised(tensor.strip_suffix(".weight").unwrap_or(&tensor)) {
            let path = stored.shard.path.clone();
            return Err(Mistake::Quantised { path, layer: layer.name.to_owned(), sign }.into());
        }
        let Some(weight) = base.find(&tensor) else {
            if let Some(tied) = base.tied([shape.outputs, shape.inputs]) {
                let (path, tied) = (tied.shard.path.clone(), tied.name.to_owned());
                return Err(Mistake::Tied { path, layer: layer.name.to_owned(), tensor, tied }.into());
            }
            let hint = match base.with_suffix(&tensor) {
                Some(other) => format!("it has `{other}`: see --remove-prefix and --add-prefix"),
                None => "is it the base that the adapter was trained on?".to_owned(),
            };
            return Err(Failure::BaseMissing { layer: layer.name.to_owned(), tensor, hint });
        };
        weight.dtype()?;
        Ok(weight)
    }

    fn place<'a>(
        &self,
        layer: &'a Layer<'a>,
        weight: Stored<'a>,
        layout: Layout,
        base: &'a Base,
    ) -> Result<Place<'a>, Failure> {
        weight.expect(
            &layout.shape(layer),
            match layout {
                Layout::OutIn => "by the adapter ([out, in])",
                Layout::InOut => "by the adapter ([in, out])",
            },
        )?;
        let name = self.tensor(layer, "bias");
        let bias = base.find(&name);
        if let Some(bias) = bias {
            bias.expect(&[layer.shape().outputs], "by the adapter ([out])")?;
            bias.dtype()?;
        } else if layer.bias.is_some() || layer.b_bias.is_some() {
            return Err(Failure::BaseBias { layer: layer.name.to_owned(), tensor: name });
        }
        Ok(Place { layer, weight, bias, layout })
    }

    /// The fingerprint of the base of these layers.
    pub(crate) fn fingerprint(&self, layers: &[Layer<'_>], base: &Base) -> Result<u64, Failure> {
        fingerprint(&self.places(layers, base, false)?)
    }
}

/// The fingerprint of the base at these places, one after the other.
pub(crate) fn fingerprint(places: &[Place<'_>]) -> Result<u64, Failure> {
    let mut fingerprint = Fingerprint::new();
    let (mut weights, mut turned, mut bias) = (Vec::new(), Vec::new(), Vec::new());
    for place in places {
        let shape = place.layer.shape();
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
        fingerprint.base(&lowrank::Base { weights: Weights::Rows(rows), bias });
    }
    Ok(fingerprint.finish())
}
