//! Several senses: a model whose samples have several inputs, each with an encoder of its own, and clips, which have
//! many frames.
//!
//! ```text
//! image ── trunk ─────────────┬─ maps ──────────────> heads that find places
//!                             └─ pool, dense ─┐
//! audio ── log-mel, trunk ───── pool, dense ──┤ fusion > heads that answer for the whole sample
//! video ── trunk on each frame ─ pool, dense ─┘
//! ```
//!
//! [`Senses`] is a [`Trunk`] like any other, so the training step, the balancing strategies and the checkpoints do not
//! know of inputs. The [configuration](InputConfig) names the inputs and their encoders. Any input may be missing in a
//! sample: its encoder does not see the sample, and every [`Fusion`] says what takes its place.
//!
//! **A head sees** the maps of the image, or of a clip's last frame, if it finds places; what the fusion makes of all
//! inputs if it answers for the whole sample; or one input by itself if its options name one (for auxiliary losses, which
//! are balanced as tasks are).

mod build;
mod clip;
mod encoder;
mod fusion;
mod numbers;
mod of_each;
mod sound;
#[cfg(test)]
mod tests;
mod volume;

pub use crate::sense_config::{ClipEncoder, EncoderConfig, Fusion, FusionConfig, InputConfig};
pub use encoder::{Encoded, Encoder};
pub(crate) use of_each::OfEach;

use cerberus_autograd::Var;
use cerberus_nn::{Context, Conv2d, Init, Layer, Linear, Module, ModuleTensor, ModuleTensorMut, join};
use cerberus_tensor::random::Stream;
use cerberus_tensor::{Element, Tensor};
use rand::RngExt;

use crate::attention_pool::{attended, scorer};
use crate::config::ModelConfig;
use crate::features::{FeatureInfo, Features, MapInfo, Whole, WholeInfo};
use crate::inputs::{Given, Inputs, spread};
use crate::trunk::Trunk;
use fusion::{Fuse, Joined};

/// The trunk of a model of several inputs, or of one that is not an image.
pub struct Senses<T: Element = f32> {
    inputs: Vec<Sense<T>>,
    /// What joins the inputs; none for a single one, whose map is used as it is.
    fusion: Option<Box<dyn Fuse<T>>>,
    config: FusionConfig,
    /// The input whose maps heads that find places use, and the rows and columns of its pictures.
    places: Option<(usize, [usize; 2])>,
}

/// An input's name, its encoder, and the attention pooling and dense layer to the vector that is fused.
struct Sense<T: Element> {
    name: String,
    encoder: Box<dyn Encoder<T>>,
    /// Scores the positions of its map, if several inputs are fused.
    attention: Option<Conv2d<T>>,
    projection: Option<Linear<T>>,
}

impl<T: Element> Senses<T> {
    /// The trunk that a configuration with inputs describes.
    ///
    /// # Panics
    /// If the configuration did not pass its [check](ModelConfig::check), or has no inputs.
    #[track_caller]
    pub fn new(config: &ModelConfig, init: &mut Init) -> Self {
        assert!(!config.inputs.is_empty(), "Senses: the configuration names no input");
        let several = config.inputs.len() > 1;
        let width = config.fusion.width;
        let sense = |input: &InputConfig| {
            let encoder: Box<dyn Encoder<T>> = build::encoder(input, config, init);
            let channels = encoder.whole().channels;
            let attention = (several && encoder.has_positions()).then(|| scorer(channels, init));
            let projection = several.then(|| Linear::new(channels, width, init));
            Sense { name: input.name.clone(), encoder, attention, projection }
        };
        let inputs: Vec<Sense<T>> = config.inputs.iter().map(sense).collect();
        let places = inputs.iter().position(|sense| !sense.encoder.stages().is_empty());
        let channels: Vec<usize> = inputs.iter().map(|sense| sense.encoder.whole().channels).collect();
        let fusion = if several { fusion::build(config.fusion, &channels, init) } else { None };
        let [height, width, _] = config.image;
        Self { inputs, fusion, config: config.fusion, places: places.map(|place| (place, [height, width])) }
    }

    /// Which inputs the fusion gets of each sample, drawn at random: every input that the sample has is dropped with the
    /// fusion's rate, but never all.
    fn drop_some(&self, present: &[Vec<bool>], mut random: Stream) -> Vec<Vec<bool>> {
        let mut kept = present.to_vec();
        (0..present[0].len()).for_each(|sample| {
            let own: Vec<usize> = (0..present.len()).filter(|&input| present[input][sample]).collect();
            let keeps: Vec<bool> =
                own.iter().map(|_| random.random::<f64>() >= self.config.modality_dropout).collect();
            let survivor = random.random_range(0..own.len().max(1));
            let none = !keeps.contains(&true);
            for (place, &input) in own.iter().enumerate() {
                kept[input][sample] = keeps[place] || (none && place == survivor);
            }
        });
        kept
    }
}

/// What an encoder made of the samples that have its input, and their places in the batch.
type Seen<T> = Option<(Encoded<T>, Vec<usize>)>;

impl<T: Element> Trunk<T> for Senses<T> {
    /// The maps for heads that find places: those of the first input that makes some.
    fn stages(&self) -> Vec<MapInfo> {
        self.places.map_or(Vec::new(), |(input, _)| self.inputs[input].encoder.stages())
    }

    fn neck(&self) -> Option<MapInfo> {
        self.places.and_then(|(input, _)| self.inputs[input].encoder.neck())
    }

    fn info(&self, image: [usize; 2]) -> FeatureInfo {
        let vector = |name: &str, channels| MapInfo { name: name.into(), channels, stride: 1 };
        let width = self.config.width;
        let (joined, alone) = match (&self.inputs[..], &self.fusion) {
            ([only], _) => (Some(only.encoder.whole()), Vec::new()),
            (several, fusion) => (
                fusion.as_ref().map(|_| vector("fused", width)),
                several.iter().map(|sense| vector(&sense.name, width)).collect(),
            ),
        };
        let inputs = self.inputs.iter().map(|sense| sense.name.clone()).collect();
        let places = self.places.map(|(input, _)| input);
        let whole = Some(WholeInfo { joined, alone, inputs, places });
        FeatureInfo { image, stages: self.stages(), neck: self.neck(), whole }
    }

    /// The features of images that have no other inputs.
    #[track_caller]
    fn forward(&self, images: Var<T>, context: &mut Context<T>) -> Features<T> {
        self.encode(images.into(), context)
    }

    #[track_caller]
    fn encode(&self, inputs: Inputs<T>, context: &mut Context<T>) -> Features<T> {
        let len = inputs.len();
        let given: Vec<Option<Given<T>>> =
            self.inputs.iter().map(|sense| inputs.get(&sense.name).cloned()).collect();
        drop(inputs);
        let encode = |(sense, given): (&Sense<T>, Option<Given<T>>)| {
            given.map(|given| (sense.encoder.forward(given.values, context), given.places))
        };
        let seen: Vec<Seen<T>> = self.inputs.iter().zip(given).map(encode).collect();
        let has = |seen: &Seen<T>| {
            let mut has = vec![false; len];
            seen.iter().flat_map(|(_, places)| places).for_each(|&place| has[place] = true);
            has
        };
        let present: Vec<Vec<bool>> = seen.iter().map(has).collect();
        let mut features = self.maps(&seen, len);
        features.whole = Some(self.whole(seen, present, context));
        features
    }
}

impl<T: Element> Senses<T> {
    /// The maps for heads that find places, of the input that has some.
    fn maps(&self, seen: &[Seen<T>], len: usize) -> Features<T> {
        let Some((input, image)) = self.places else { return Features::new(Vec::new(), None) };
        let Some((encoded, places)) = &seen[input] else { return self.blank(len, image) };
        let all = |map: &Var<T>| spread(map.clone(), places, len);
        let own = encoded.maps.as_ref().expect("an encoder with stages makes maps");
        Features::new(own.stages.iter().map(all).collect(), own.neck.as_ref().map(all))
    }

    /// What is made of whole samples.
    fn whole(&self, seen: Vec<Seen<T>>, present: Vec<Vec<bool>>, context: &mut Context<T>) -> Whole<T> {
        let len = present[0].len();
        let nothing = |shape: &[usize]| Var::constant(Tensor::zeros(shape));
        if let [sense] = &self.inputs[..] {
            let joined = match seen.into_iter().next().flatten() {
                Some((encoded, places)) => spread(encoded.whole, &places, len),
                None => nothing(&[len, 1, 1, sense.encoder.whole().channels]),
            };
            return Whole { joined: Some(joined), alone: Vec::new(), kept: present.clone(), present };
        }
        let kept = if context.is_training() && self.config.modality_dropout > 0.0 {
            self.drop_some(&present, context.random())
        } else {
            present.clone()
        };
        let width = self.config.width;
        let vector = |(sense, seen): (&Sense<T>, &Seen<T>)| {
            let (Some(projection), Some((encoded, places))) = (&sense.projection, seen) else {
                return nothing(&[len, width]);
            };
            let pooled = attended(encoded.whole.clone(), sense.attention.as_ref(), context);
            spread(projection.forward(pooled, context).relu(), places, len)
        };
        let vectors: Vec<Var<T>> = self.inputs.iter().zip(&seen).map(vector).collect();
        let joined = self.fusion.as_ref().map(|fusion| {
            let mut maps: Vec<Option<Var<T>>> = vec![None; seen.len()];
            if fusion.asks_maps() {
                let map = |seen: Seen<T>| seen.map(|(encoded, places)| spread(encoded.whole, &places, len));
                maps = seen.into_iter().map(map).collect();
            }
            let rest = |(input, vector): (usize, &Var<T>)| match kept[input] == present[input] {
                true => vector.clone(),
                false => vector.clone() * Var::constant(fusion::mask(&kept[input])),
            };
            let vectors: Vec<Var<T>> = vectors.iter().enumerate().map(rest).collect();
            fusion
                .join(Joined { vectors: &vectors, maps: &maps, present: &kept }, context)
                .reshape(&[len, 1, 1, width])
        });
        let alone = vectors.into_iter().map(|vector| vector.reshape(&[len, 1, 1, width])).collect();
        Whole { joined, alone, present, kept }
    }

    /// Maps of zeros for a batch in which no sample has what heads that find places look at.
    fn blank(&self, len: usize, image: [usize; 2]) -> Features<T> {
        let zeros = |info: MapInfo| {
            let [height, width] = image.map(|side| side.div_ceil(info.stride));
            Var::constant(Tensor::zeros(&[len, height, width, info.channels]))
        };
        Features::new(self.stages().into_iter().map(zeros).collect(), self.neck().map(zeros))
    }
}

/// Paths read `image.encoder.stage1.block1.conv.weight`, `audio.projection.weight`, `fusion.dense.weight`.
impl<T: Element> Module<T> for Senses<T> {
    fn visit<'a>(&'a self, path: &str, f: &mut dyn FnMut(String, ModuleTensor<'a, T>)) {
        for sense in &self.inputs {
            let own = join(path, &sense.name);
            sense.encoder.visit(&join(&own, "encoder"), f);
            sense.attention.visit(&join(&own, "attention"), f);
            sense.projection.visit(&join(&own, "projection"), f);
        }
        self.fusion.visit(&join(path, "fusion"), f);
    }

    fn visit_mut<'a>(&'a mut self, path: &str, f: &mut dyn FnMut(String, ModuleTensorMut<'a, T>)) {
        for sense in &mut self.inputs {
            let own = join(path, &sense.name);
            sense.encoder.visit_mut(&join(&own, "encoder"), f);
            sense.attention.visit_mut(&join(&own, "attention"), f);
            sense.projection.visit_mut(&join(&own, "projection"), f);
        }
        self.fusion.visit_mut(&join(path, "fusion"), f);
    }
}
