//! The configuration of a model. It is written into every checkpoint, so that a
//! file alone is enough to rebuild its model.
//!
//! A model is a trunk and a list of [`HeadConfig`]s. Each names the kind of its
//! head (see [`kinds`](crate::tasks::kinds)), the label it learns from, and its
//! options. On command lines a head is written `KIND`, `NAME:KIND` or
//! `NAME:KIND@LABEL`: `classify` is short for `classify:classify@class`.

use cerberus_data::{DatasetInfo, LabelKind, MOST_CLASSES, MultiFashion};
use serde::{Deserialize, Serialize};

mod senses;

pub use crate::head_config::{HeadConfig, HeadOptions};
use crate::lenet::LENET_SIDE;
use crate::networks::{self, Neck};
use crate::normalisation::Normalisation;
use crate::sense_config::{FusionConfig, InputConfig, MOST_CHANNELS, weights_between};
use crate::tasks::{self, HeadKind};
use crate::trunk::halving_unit;

/// The most rows or columns of an image: a file with more is damaged.
const MOST_SIDE: usize = 1 << 16;

impl HeadConfig {
    /// A head called `name` of `kind` that learns from `label`, or, if that is `None`, from the first label of the
    /// data that suits the kind.
    ///
    /// # Errors
    /// A sentence that lists the alternatives, if there is no such kind or the data have no such label.
    pub fn new(name: &str, kind: &str, label: Option<&str>, info: &DatasetInfo) -> Result<Self, String> {
        let known = find_kind(kind)?;
        let suits = |found: LabelKind| found == known.label;
        let found = match label {
            Some(label) => info.label(label).filter(|found| suits(found.kind)),
            None => info.labels.iter().find(|found| suits(found.kind)),
        };
        let Some(found) = found else {
            let possible: Vec<&str> = tasks::kinds::<f32>()
                .iter()
                .filter(|k| first_label(k, info).is_some())
                .map(|k| k.name)
                .collect();
            let asked = label.map_or(String::new(), |label| format!(" under the name {label:?}"));
            return Err(format!(
                "{} has no labels for the task {kind}{asked}; it has them for: {}",
                info.name,
                possible.join(", ")
            ));
        };
        Ok(Self {
            name: name.into(),
            kind: kind.into(),
            label: found.name.clone(),
            classes: found.classes.clone(),
            weight: known.weight,
            options: HeadOptions::default(),
        })
    }

    /// A head as it is written on command lines: `KIND`, `NAME:KIND` or `NAME:KIND@LABEL`.
    ///
    /// # Errors
    /// As [`HeadConfig::new`].
    pub fn parse(text: &str, info: &DatasetInfo) -> Result<Self, String> {
        let (text, label) = text.split_once('@').map_or((text, None), |(text, label)| (text, Some(label)));
        let (name, kind) = text.split_once(':').unwrap_or((text, text));
        Self::new(name, kind, label, info)
    }
}

fn first_label<'a>(kind: &HeadKind<f32>, info: &'a DatasetInfo) -> Option<&'a str> {
    info.labels.iter().find(|label| label.kind == kind.label).map(|label| label.name.as_str())
}

impl HeadConfig {
    /// Whether the head predicts a class for every pixel.
    pub fn finds_masks(&self) -> bool {
        find_kind(&self.kind).is_ok_and(|kind| kind.label == LabelKind::Mask)
    }
}

/// The kind of head called `name`.
///
/// # Errors
/// A sentence that lists the existing kinds.
pub fn find_kind(name: &str) -> Result<HeadKind<f32>, String> {
    let kinds = tasks::kinds::<f32>();
    let known: Vec<&str> = kinds.iter().map(|kind| kind.name).collect();
    let known = known.join(", ");
    kinds
        .into_iter()
        .find(|kind| kind.name == name)
        .ok_or_else(|| format!("there is no task {name:?}; the tasks are {known}"))
}

/// The kind of trunk, which the heads share.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TrunkKind {
    /// [`ConvTrunk`](crate::ConvTrunk) with the stages of the configuration.
    #[default]
    Stages,
    /// [`LeNet`](crate::LeNet), which has no options: one map of one position.
    LeNet,
    /// One of the [`networks`], which the configuration names.
    Network,
    /// The user's own trunk, built in code: a configuration cannot rebuild it.
    Custom,
}

/// Everything that determines a model's structure.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ModelConfig {
    /// Rows, columns and channels of the images.
    pub image: [usize; 3],
    /// The kind of trunk.
    #[serde(default)]
    pub trunk: TrunkKind,
    /// Output channels of each convolution, stage by stage; a max-pool halves the image between stages, so its sides
    /// must have `2^(stages - 1)` pixels at least. Empty for trunks without stages.
    pub stages: Vec<Vec<usize>>,
    /// The name of the network if that is the kind of trunk; otherwise empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub network: String,
    /// How the trunk's maps are joined.
    #[serde(default, skip_serializing_if = "Neck::is_none")]
    pub neck: Neck,
    /// The normalisation of pixels that the trunk's weights expect; that of the data sets if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub normalisation: Option<Normalisation>,
    /// The inputs of a model of several, or of one that is not an image; empty for a model of one image. The size and
    /// the trunk above are then those of the image, or of a clip's frames, if there are any.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub inputs: Vec<InputConfig>,
    /// How several inputs are joined.
    #[serde(default, skip_serializing_if = "is_usual")]
    pub fusion: FusionConfig,
    /// The heads, in order.
    pub heads: Vec<HeadConfig>,
}

fn is_usual(fusion: &FusionConfig) -> bool {
    *fusion == FusionConfig::default()
}

fn network_names() -> String {
    let names: Vec<&str> = networks::networks::<f32>().iter().map(|network| network.name).collect();
    names.join(", ")
}

/// The channels of the default trunk for images of this size. For larger images it has one stage more, so that the
/// deepest map sees most of the image, and fewer channels in the stages with large maps.
fn usual_stages([height, width, _]: [usize; 3]) -> Vec<Vec<usize>> {
    if height.min(width) > 96 {
        vec![vec![16], vec![32, 32], vec![64, 64], vec![128, 128], vec![160, 160]]
    } else {
        vec![vec![32], vec![64, 64], vec![128, 128], vec![128, 128]]
    }
}

impl ModelConfig {
    /// The default model for a data set's images: classification, detection
    /// and segmentation, as far as there are labels for them.
    pub fn for_data(info: &DatasetInfo) -> Self {
        if info.name == MultiFashion::NAME {
            return Self::for_pairs(info);
        }
        let inputs = InputConfig::usual(info);
        let classes = info.labels.iter().filter(|label| label.kind == LabelKind::Class);
        let classes = classes
            .filter_map(|label| HeadConfig::new(&label.name, "classify", Some(&label.name), info).ok());
        let mut heads: Vec<HeadConfig> = classes.collect();
        // A data set of images has one class, and the head for it is called what it does.
        if inputs.is_empty() || heads.len() == 1 {
            heads = HeadConfig::new("classify", "classify", None, info).into_iter().collect();
        }
        let places = ["detect", "segment"];
        heads.extend(places.into_iter().filter_map(|kind| HeadConfig::new(kind, kind, None, info).ok()));
        let image = [info.height, info.width, info.channels];
        Self { inputs, ..Self::with_stages(image, usual_stages(image), heads) }
    }

    /// A model with a [`ConvTrunk`](crate::ConvTrunk) of these stages.
    pub fn with_stages(image: [usize; 3], stages: Vec<Vec<usize>>, heads: Vec<HeadConfig>) -> Self {
        let (network, neck) = (String::new(), Neck::None);
        Self {
            image,
            trunk: TrunkKind::Stages,
            stages,
            network,
            neck,
            normalisation: None,
            inputs: Vec::new(),
            fusion: FusionConfig::default(),
            heads,
        }
    }

    /// Chooses the trunk by name: `base` (the one of [`for_data`](Self::for_data)), `narrow` and `wide` with half and
    /// twice its channels, `lenet`, one of the [`networks`], which gets a feature pyramid, or the
    /// channels of each convolution with `/` between stages: `16/32,32/64,64`.
    ///
    /// # Errors
    /// A sentence that lists the choices.
    pub fn set_trunk(&mut self, name: &str) -> Result<(), String> {
        (self.network, self.neck) = (String::new(), Neck::None);
        if name == "lenet" {
            (self.trunk, self.stages) = (TrunkKind::LeNet, Vec::new());
            return Ok(());
        }
        if networks::find::<f32>(name).is_some() {
            (self.trunk, self.stages) = (TrunkKind::Network, Vec::new());
            (self.network, self.neck) = (name.into(), Neck::Fpn);
            return Ok(());
        }
        let base = usual_stages(self.image);
        let scaled = |by: fn(usize) -> usize| {
            base.iter().map(|stage| stage.iter().map(|&c| by(c)).collect()).collect()
        };
        let stages: Vec<Vec<usize>> = match name {
            "base" => base,
            "narrow" => scaled(|channels| channels / 2),
            "wide" => scaled(|channels| 2 * channels),
            _ => {
                let stage = |text: &str| {
                    text.split(',').map(|c| c.trim().parse().ok()).collect::<Option<Vec<usize>>>()
                };
                let stages: Option<_> = name.split('/').map(stage).collect();
                stages.ok_or_else(|| {
                    format!(
                        "there is no trunk {name:?}; choose base, narrow, wide, lenet, {}, or the channels of each \
                         convolution with / between stages, such as 16/32,32/64,64",
                        network_names()
                    )
                })?
            }
        };
        (self.trunk, self.stages) = (TrunkKind::Stages, stages);
        Ok(())
    }

    /// The trunk's name in the form that [`set_trunk`](Self::set_trunk) reads.
    pub fn trunk_name(&self) -> String {
        let stage = |stage: &Vec<usize>| stage.iter().map(usize::to_string).collect::<Vec<_>>().join(",");
        match self.trunk {
            TrunkKind::Stages => self.stages.iter().map(stage).collect::<Vec<_>>().join("/"),
            TrunkKind::LeNet => "lenet".into(),
            TrunkKind::Network => self.network.clone(),
            TrunkKind::Custom => "custom".into(),
        }
    }

    /// The network of the MultiMNIST literature: LeNet, and a hidden layer for each label.
    fn for_pairs(info: &DatasetInfo) -> Self {
        let head = |label: &str| HeadConfig::new(label, "mlp", Some(label), info).ok();
        let heads = info.labels.iter().filter_map(|label| head(&label.name)).collect();
        let image = [info.height, info.width, info.channels];
        Self { trunk: TrunkKind::LeNet, ..Self::with_stages(image, Vec::new(), heads) }
    }

    /// How many maps the trunk makes.
    fn maps(&self) -> usize {
        match self.trunk {
            TrunkKind::Stages => self.stages.len(),
            TrunkKind::LeNet => 1,
            TrunkKind::Network => networks::find::<f32>(&self.network).map_or(0, |network| network.stages),
            TrunkKind::Custom => 0,
        }
    }

    /// The heads' weights in the loss, in order.
    pub fn weights(&self) -> Vec<f64> {
        self.heads.iter().map(|head| head.weight).collect()
    }

    /// The number of weights in the convolutions of the trunk and of the inputs' own encoders: a lower bound of the
    /// model's parameters. 0 for trunks without stages.
    pub fn least_numbers(&self) -> u64 {
        let trunk = weights_between(self.image[2..].iter().chain(self.stages.iter().flatten()), 9);
        if self.inputs.is_empty() {
            return trunk;
        }
        self.inputs.iter().map(|input| input.least_numbers(trunk)).fold(0, u64::saturating_add)
    }

    /// Checks that a model can be built from this configuration.
    ///
    /// # Errors
    /// A sentence that says what is wrong.
    pub fn check(&self) -> Result<(), String> {
        let [height, width, channels] = self.image;
        if channels > MOST_CHANNELS || height > MOST_SIDE || width > MOST_SIDE {
            return Err(format!(
                "images of {height}x{width} pixels and {channels} channels are larger than any this program takes: \
                 {MOST_SIDE} rows and columns, {MOST_CHANNELS} channels"
            ));
        }
        if let Some(normalisation) = &self.normalisation {
            normalisation.check(channels)?;
        }
        self.check_senses()?;
        let uses_trunk = self.inputs.is_empty() || self.inputs.iter().any(InputConfig::uses_trunk);
        match self.trunk {
            _ if !uses_trunk => {}
            TrunkKind::Stages => self.check_stages()?,
            TrunkKind::LeNet => self.check_lenet()?,
            TrunkKind::Network => self.check_network()?,
            TrunkKind::Custom => {
                return Err(
                    "the model has a trunk that was built in code; build it there again, and load the \
                            file into it"
                        .into(),
                );
            }
        }
        if self.heads.is_empty() {
            return Err("there is no task".into());
        }
        for (index, head) in self.heads.iter().enumerate() {
            if self.heads[..index].iter().any(|other| other.name == head.name) {
                return Err(format!("the task {} is named twice", head.name));
            }
            self.check_head(head)?;
        }
        Ok(())
    }

    fn check_lenet(&self) -> Result<(), String> {
        let [height, width, channels] = self.image;
        if self.neck != Neck::None {
            return Err("LeNet makes one map: there is nothing to join; leave the neck out".into());
        }
        if [height, width] != [LENET_SIDE; 2] || channels == 0 || !self.stages.is_empty() {
            return Err(format!(
                "images of {height}x{width} pixels and {channels} channels with stages {:?} do not fit LeNet; \
                 it takes {LENET_SIDE}x{LENET_SIDE} pixels and has no stages to choose",
                self.stages
            ));
        }
        let whole = ["mlp", "classify", "multi_label", "regress"];
        match self.heads.iter().find(|head| !whole.contains(&&*head.kind)) {
            Some(head) => Err(format!(
                "the task {} needs places in the image, of which LeNet keeps none; it can have {}",
                head.name,
                whole.join(", ")
            )),
            None => Ok(()),
        }
    }

    fn check_network(&self) -> Result<(), String> {
        if networks::find::<f32>(&self.network).is_none() {
            return Err(format!("there is no network {:?}; there are {}", self.network, network_names()));
        }
        let [height, width, channels] = self.image;
        if height == 0 || width == 0 || channels == 0 || !self.stages.is_empty() {
            return Err(format!(
                "images of {height}x{width} pixels and {channels} channels with stages {:?} do not fit {}; it takes \
                 images of any size but 0 and has no stages to choose",
                self.stages, self.network
            ));
        }
        Ok(())
    }

    fn check_stages(&self) -> Result<(), String> {
        let channels = self.stages.iter().flatten();
        if self.stages.len() < 3 || self.stages.iter().any(Vec::is_empty) || channels.clone().any(|&c| c == 0)
        {
            return Err(format!(
                "the trunk {:?} must have at least three stages, none of them empty",
                self.stages
            ));
        }
        if channels.clone().any(|&c| c > MOST_CHANNELS) || self.stages.len() > 12 {
            return Err(format!("the trunk {:?} is larger than any this program writes", self.stages));
        }
        let least = halving_unit(self.stages.len());
        let [height, width, channels] = self.image;
        if height < least || width < least || channels == 0 {
            return Err(format!(
                "images of {height}x{width} pixels and {channels} channels do not fit {} stages; both sides must be at \
                 least {least} pixels, with at least one channel",
                self.stages.len()
            ));
        }
        Ok(())
    }

    fn check_head(&self, head: &HeadConfig) -> Result<(), String> {
        let kind = find_kind(&head.kind)?;
        let fail = |problem: String| Err(format!("the task {}: {problem}", head.name));
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
        if head.name.is_empty() || !head.name.chars().all(plain) {
            return fail("its name must be of letters, digits, - and _".into());
        }
        let outputs = head.outputs() + usize::from(kind.label == LabelKind::Mask);
        if !(1..=MOST_CLASSES).contains(&head.outputs()) {
            return fail(format!("{} classes; there must be 1 to {MOST_CLASSES}", head.outputs()));
        }
        let HeadOptions {
            input: _,
            levels,
            dropout,
            label_smoothing,
            class_weights,
            focal,
            logit_adjustment,
        } = &head.options;
        let deepest = self.maps();
        if !levels.iter().all(|level| (1..=deepest).contains(level)) || !levels.is_sorted_by(|a, b| a < b) {
            return fail(format!(
                "its levels {levels:?} must be stages from 1 to {deepest}, in rising order"
            ));
        }
        if !(0.0..1.0).contains(dropout) || !(0.0..=1.0).contains(label_smoothing) {
            return fail("dropout must be from 0 to below 1, label smoothing from 0 to 1".into());
        }
        if !head.weight.is_finite()
            || head.weight < 0.0
            || focal.is_some_and(|gamma| !(0.0..=10.0).contains(&gamma))
        {
            return fail("its weight must be at least 0, and a focal exponent from 0 to 10".into());
        }
        let one_each = |list: &Option<Vec<f64>>, least: f64| {
            list.as_ref().is_none_or(|l| l.len() == outputs && l.iter().all(|v| v.is_finite() && *v >= least))
        };
        if !one_each(class_weights, 0.0) || !one_each(logit_adjustment, f64::MIN) {
            return fail(format!(
                "class weights and logit adjustments must be {outputs} finite numbers, weights not negative"
            ));
        }
        Ok(())
    }
}
