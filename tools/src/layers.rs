//! Where the layers of an adapter lie in the base.

use clap::Args;
use lowrank::format::{Fingerprint, Layer};
use lowrank::{MatRef, Weights};

use crate::base::{Base, Stored};
use crate::error::Failure;
use crate::mistake::Mistake;
use crate::number::transpose;

/// How names of layers become names of tensors.
#[derive(Args, Debug, Default)]
pub(crate) struct Naming {
    /// What to remove from the start of every layer's name before it is looked up in the base
    #[arg(long, value_name = "PREFIX", default_value = "", hide_default_value = true)]
    remove_prefix: String,
    /// What to put there instead
    #[arg(long, value_name = "PREFIX", default_value = "", hide_default_value = true)]
    add_prefix: String,
}

/// A layer and its tensors in the base, whose shapes fit.
#[derive(Copy, Clone)]
pub(crate) struct Place<'a> {
    pub(crate) layer: &'a Layer<'a>,
    pub(crate) weight: Stored<'a>,
    pub(crate) bias: Option<Stored<'a>>,
}

impl Naming {
    pub(crate) fn place<'a>(&self, layer: &'a Layer<'a>, base: &'a Base) -> Result<Place<'a>, Failure> {
        let path = layer.name.strip_prefix(self.remove_prefix.as_str()).unwrap_or(layer.name);
        let name = |tensor| format!("{}{path}.{tensor}", self.add_prefix);
        let (tensor, shape) = (name("weight"), layer.shape());
        if let Some((stored, sign)) = base.quantised(&format!("{}{path}", self.add_prefix)) {
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
        let (expected, why) = if layer.fan_in_fan_out {
            ([shape.inputs, shape.outputs], "by the adapter ([in, out], since fan_in_fan_out is true)")
        } else {
            ([shape.outputs, shape.inputs], "by the adapter ([out, in], since fan_in_fan_out is false)")
        };
        weight.expect(&expected, why)?;
        weight.dtype()?;
        let bias = base.find(&name("bias"));
        if let Some(bias) = bias {
            bias.expect(&[shape.outputs], "by the adapter ([out])")?;
            bias.dtype()?;
        } else if layer.bias.is_some() || layer.b_bias.is_some() {
            return Err(Failure::BaseBias { layer: layer.name.to_owned(), tensor: name("bias") });
        }
        Ok(Place { layer, weight, bias })
    }

    /// The fingerprint of the base of these layers, one after the other.
    pub(crate) fn fingerprint(&self, layers: &[Layer<'_>], base: &Base) -> Result<u64, Failure> {
        let mut fingerprint = Fingerprint::new();
        let (mut weights, mut turned, mut bias) = (Vec::new(), Vec::new(), Vec::new());
        for layer in layers {
            let place = self.place(layer, base)?;
            let shape = layer.shape();
            place.weight.all(&mut weights)?;
            if layer.fan_in_fan_out {
                transpose(&weights, shape.outputs, &mut turned);
                std::mem::swap(&mut weights, &mut turned);
            }
            if let Some(stored) = place.bias {
                stored.all(&mut bias)?;
            }
            let rows = MatRef::new(&weights, shape.outputs, shape.inputs).map_err(Failure::Core)?;
            let bias = place.bias.map(|_| bias.as_slice());
            fingerprint.base(&lowrank::Base { weights: Weights::Rows(rows), bias });
        }
        Ok(fingerprint.finish())
    }
}
