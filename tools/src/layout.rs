//! Which way round the base stores the weight of a layer.
//!
//! PEFT decides that for each module by its class, but saves one `fan_in_fan_out` for all, that of the last one. So the
//! flag says nothing about a layer that is one of several. The shape of the stored weight does, unless it is square; then
//! somebody else has to know.

use std::path::Path;

use clap::ValueEnum;
use lowrank::format::Entry;
use serde::Serialize;

use crate::error::Failure;
use crate::model::Model;

/// The order of the sides of a stored weight.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Layout {
    /// `[out, in]`, as `nn.Linear` stores it.
    OutIn,
    /// `[in, out]`, as the `Conv1D` of Transformers stores it.
    InOut,
}

impl Layout {
    /// By the adapter.
    pub(crate) const fn of(entry: &Entry<'_>) -> Self {
        if entry.fan_in_fan_out { Layout::InOut } else { Layout::OutIn }
    }

    /// The only one in which a weight of this layer has this shape; `None` when both or neither do.
    fn by_shape(entry: &Entry<'_>, stored: &[usize]) -> Option<Self> {
        let mut fitting = [Layout::OutIn, Layout::InOut].into_iter().filter(|layout| layout.shape(entry) == stored);
        fitting.next().filter(|_| fitting.next().is_none())
    }

    const fn other(self) -> Self {
        match self {
            Layout::OutIn => Layout::InOut,
            Layout::InOut => Layout::OutIn,
        }
    }

    /// As the command line calls it.
    const fn name(self) -> &'static str {
        match self {
            Layout::OutIn => "out-in",
            Layout::InOut => "in-out",
        }
    }

    const fn sides(self) -> &'static str {
        match self {
            Layout::OutIn => "[out, in]",
            Layout::InOut => "[in, out]",
        }
    }

    pub(crate) const fn shape(self, entry: &Entry<'_>) -> [usize; 2] {
        let shape = entry.shape();
        match self {
            Layout::OutIn => [shape.outputs, shape.inputs],
            Layout::InOut => [shape.inputs, shape.outputs],
        }
    }
}

/// What the command line says: of one layer, or of all of which nothing else is known.
#[derive(Clone, Debug)]
pub(crate) struct Told {
    layer: Option<String>,
    layout: Layout,
}

impl Told {
    /// `[LAYER=]LAYOUT`
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let (layer, layout) = match text.rsplit_once('=') {
            Some((layer, layout)) => (Some(layer.to_owned()), layout),
            None => (None, text),
        };
        let layout = Layout::from_str(layout, false).map_err(|_| "expected out-in, in-out or LAYER=…".to_owned())?;
        Ok(Self { layer, layout })
    }

    /// # Errors
    /// [`Failure::LayoutTwice`] for two layouts under one name.
    pub(crate) fn check(all: &[Self]) -> Result<(), Failure> {
        for (number, first) in all.iter().enumerate() {
            let contradicts = |other: &&Self| other.layer == first.layer && other.layout != first.layout;
            if let Some(second) = all[number..].iter().find(contradicts) {
                let (first, second, layer) = (first.layout.name(), second.layout.name(), first.layer.clone());
                return Err(Failure::LayoutTwice { layer, first, second });
            }
        }
        Ok(())
    }

    /// Whether it names the layer, or the end of its name behind a dot.
    fn names(&self, layer: &str) -> bool {
        self.layer
            .as_deref()
            .is_some_and(|name| layer.strip_suffix(name).is_some_and(|front| front.is_empty() || front.ends_with('.')))
    }
}

/// Everything that is known about layouts.
pub(crate) struct Knowledge<'k> {
    told: &'k [Told],
    model: Model,
    /// The flags of the layers say it, layer by layer.
    flags: bool,
}

impl<'k> Knowledge<'k> {
    /// About these layers of a base. `by_flags`: the flags count where nothing else is known.
    pub(crate) fn new(told: &'k [Told], entries: &[Entry<'_>], base: &Path, by_flags: bool) -> Self {
        let differ = entries.windows(2).any(|pair| pair[0].fan_in_fan_out != pair[1].fan_in_fan_out);
        Self { told, model: Model::beside(base), flags: by_flags || differ || entries.len() == 1 }
    }

    /// What is not understood about the model.
    pub(crate) fn flaws(&self) -> &[String] {
        &self.model.flaws
    }

    /// What is said about no layer at all.
    pub(crate) fn unused(&self, entries: &[Entry<'_>]) -> Option<&'k str> {
        let unused = |told: &&Told| told.layer.is_some() && !entries.iter().any(|entry| told.names(entry.name));
        self.told.iter().find(unused).and_then(|told| told.layer.as_deref())
    }

    fn by_model(&self, entry: &Entry<'_>) -> Option<Layout> {
        self.model.is_conv1d(entry.name).map(|conv1d| if conv1d { Layout::InOut } else { Layout::OutIn })
    }

    /// A configuration that does not describe these layers is that of another model.
    pub(crate) fn distrust_model(&mut self, entries: &[(&Entry<'_>, &[usize])]) {
        let wrong = |&(entry, stored): &(&Entry<'_>, &[usize])| {
            let (seen, said) = (Layout::by_shape(entry, stored), self.by_model(entry));
            seen.is_some() && said.is_some() && seen != said
        };
        if entries.iter().any(wrong) {
            self.model.forget_classes();
        }
    }

    /// Where `--layout` for all decides about a square layer, although every layer whose shape tells has the other layout.
    pub(crate) fn doubt(&self, entries: &[(&Entry<'_>, &[usize])]) -> Option<String> {
        let told = self.told.iter().rev().find(|told| told.layer.is_none())?.layout;
        let decided = |entry: &Entry<'_>| {
            let shape = entry.shape();
            shape.inputs == shape.outputs && shape.inputs > 1 && !self.told.iter().any(|told| told.names(entry.name))
        };
        let (square, _) = entries.iter().find(|(entry, _)| decided(entry))?;
        let seen = |layout| entries.iter().find(|(entry, stored)| Layout::by_shape(entry, stored) == Some(layout));
        if seen(told).is_some() {
            return None;
        }
        let (witness, _) = seen(told.other())?;
        Some(format!(
            "layer `{}` is square and taken as {} by --layout, but layer `{}` of this base is {} by its shape",
            square.name,
            told.sides(),
            witness.name,
            told.other().sides()
        ))
    }

    /// The layout of a layer whose weight has this shape; `None` when nobody knows.
    pub(crate) fn layout(&self, entry: &Entry<'_>, stored: &[usize]) -> Option<Layout> {
        let (mut named, mut other) = (None, None);
        for told in self.told {
            match &told.layer {
                // The longest name counts: it is the most exact one.
                Some(name) if told.names(entry.name) && named.is_none_or(|(len, _)| len <= name.len()) => {
                    named = Some((name.len(), told.layout));
                }
                Some(_) => {}
                None => other = Some(told.layout),
            }
        }
        let shape = entry.shape();
        named
            .map(|(_, layout)| layout)
            .or_else(|| Layout::by_shape(entry, stored))
            // Neither fits, or both do with one element: what follows makes no difference.
            .or_else(|| (shape.inputs != shape.outputs || shape.inputs == 1).then(|| Layout::of(entry)))
            .or(other)
            .or_else(|| self.by_model(entry))
            .or_else(|| self.flags.then(|| Layout::of(entry)))
    }
}
