//! Several senses: a model whose samples have several inputs, each with an encoder of its own, and clips, which have
//! many frames.
//!
//! ```text
//! image ── trunk ─────────────┬─ maps ──────────────> heads that find places
//!                             └─ mean, dense ─┐
//! audio ── log-mel, trunk ───── mean, dense ──┤ fusion > heads that answer for the whole sample
//! video ── trunk on each frame ─ mean, dense ─┘
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
use cerberus_nn::{Context, Init, Layer, Linear, Module, ModuleTensor, ModuleTensorMut, join};
use cerberus_tensor::random::Stream;
use cerberus_tensor::{Element, Tensor};
use rand::RngExt;

use crate::config::ModelConfig;
use crate::features::{FeatureInfo, Features, MapInfo, Whole, WholeInfo};
use crate::inputs::{Given, Inputs, spread};
use crate::trunk::Trunk;
use encoder::pooled;
use fusion::Fuse;

/// The trunk of a model of several inputs, or of one that is not an image.
pub struct Senses<T: Element = f32> {
    inputs: Vec<Sense<T>>,
    /// What joins the inputs; none for a single one, whose map is used as it is.
    fusion: Option<Box<dyn Fuse<T>>>,
    config: FusionConfig,
    /// The input whose maps heads that find places use, and the rows and columns of its pictures.
    places: Option<(usize, [usize; 2])>,
}

/// An input's name, its encoder, and the dense layer to the vector that is fused.
struct Sense<T: Element> {
    name: String,
    encoder: Box<dyn Encoder<T>>,
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
            let projection = several.then(|| Linear::new(channels, width, init));
            Sense { name: input.name.clone(), encoder, projection }
        };
        let inputs: Vec<Sense<T>> = config.inputs.iter().map(sense).collect();
        let places = inputs.iter().position(|sense| !sense.encoder.stages().is_empty());
        let channels: Vec<usize> = inputs.iter().map(|sense| sense.encoder.whole().channels).collect();
        let fusion = if several { fusion::build(config.fusion, &channels, init) } else { None };
        let [height, width, _] = config.image;
        Self { inputs, fusion, config: config.fusion, places: places.map(|place| (place, [height, width])) }
    }

    /// What each sample keeps of its inputs, drawn at random: every input is dropped with the fusion's rate, but one
    /// that the sample has is always kept.
    fn drop_some(
        &self,
        given: Vec<Option<Given<T>>>,
        len: usize,
        mut random: Stream,
    ) -> Vec<Option<Given<T>>> {
        let has = |input: &Option<Given<T>>, sample: usize| {
            input.as_ref().is_some_and(|given| given.places.binary_search(&sample).is_ok())
        };
        let mut kept = vec![vec![false; len]; given.len()];
        (0..len).for_each(|sample| {
            let own: Vec<usize> = (0..given.len()).filter(|&input| has(&given[input], sample)).collect();
            let keeps: Vec<bool> =
                own.iter().map(|_| random.random::<f64>() >= self.config.modality_dropout).collect();
            let survivor = random.random_range(0..own.len().max(1));
            let none = !keeps.contains(&true);
            for (place, &input) in own.iter().enumerate() {
                kept[input][sample] = keeps[place] || (none && place == survivor);
            }
        });
        let retain = |(given, keeps): (Option<Given<T>>, Vec<bool>)| given?.retain(|sample| keeps[sample]);
        given.into_iter().zip(kept).map(retain).collect()
    }
}

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
        let mut given: Vec<Option<Given<T>>> =
            self.inputs.iter().map(|sense| inputs.get(&sense.name).cloned()).collect();
        drop(inputs);
        if context.is_training() && self.config.modality_dropout > 0.0 && self.inputs.len() > 1 {
            given = self.drop_some(given, len, context.random());
        }
        let present: Vec<Vec<bool>> = given
            .iter()
            .map(|given| {
                let mut has = vec![false; len];
                given.iter().flat_map(|given| &given.places).for_each(|&place| has[place] = true);
                has
            })
            .collect();
        let mut features = Features::new(Vec::new(), None);
        let mut alone = Vec::new();
        let mut maps = Vec::new();
        let mut joined = None;
        for (index, (sense, given)) in self.inputs.iter().zip(given).enumerate() {
            let seen = given.map(|given| (sense.encoder.forward(given.values, context), given.places));
            let finds_places = self.places.filter(|&(input, _)| input == index);
            if let Some((_, image)) = finds_places {
                features = match &seen {
                    Some((encoded, places)) => {
                        let all = |map: &Var<T>| spread(map.clone(), places, len);
                        let own = encoded.maps.as_ref().expect("an encoder with stages makes maps");
                        Features::new(own.stages.iter().map(all).collect(), own.neck.as_ref().map(all))
                    }
                    None => self.blank(len, image),
                };
            }
            let nothing = |channels: usize, shape: [usize; 2]| {
                Var::constant(Tensor::zeros(&[len, shape[0], shape[1], channels]))
            };
            let Some(projection) = &sense.projection else {
                joined = Some(match seen {
                    Some((encoded, places)) => spread(encoded.whole, &places, len),
                    None => nothing(sense.encoder.whole().channels, [1, 1]),
                });
                continue;
            };
            let width = self.config.width;
            let Some((encoded, places)) = seen else {
                alone.push(nothing(width, [1, 1]));
                maps.push(None);
                continue;
            };
            let vector = projection.forward(pooled(encoded.whole.clone()), context).relu();
            alone.push(spread(vector, &places, len).reshape(&[len, 1, 1, width]));
            maps.push(Some(spread(encoded.whole, &places, len)));
        }
        if let Some(fusion) = &self.fusion {
            let fused = fusion.join(&alone, &maps, &present, context);
            joined = Some(fused.reshape(&[len, 1, 1, self.config.width]));
        }
        features.whole = Some(Whole { joined, alone, present });
        features
    }
}

impl<T: Element> Senses<T> {
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
            sense.projection.visit(&join(&own, "projection"), f);
        }
        self.fusion.visit(&join(path, "fusion"), f);
    }

    fn visit_mut<'a>(&'a mut self, path: &str, f: &mut dyn FnMut(String, ModuleTensorMut<'a, T>)) {
        for sense in &mut self.inputs {
            let own = join(path, &sense.name);
            sense.encoder.visit_mut(&join(&own, "encoder"), f);
            sense.projection.visit_mut(&join(&own, "projection"), f);
        }
        self.fusion.visit_mut(&join(path, "fusion"), f);
    }
}
