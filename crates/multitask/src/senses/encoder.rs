//! What an encoder is.

use cerberus_autograd::Var;
use cerberus_nn::{Context, Module};
use cerberus_tensor::Element;

use crate::features::{Features, MapInfo};

/// What an encoder makes of an input of `P` samples.
pub struct Encoded<T: Element = f32> {
    /// For heads that find places: the maps of the images, or of the clips' last frames.
    pub maps: Option<Features<T>>,
    /// A map for heads that answer for the whole sample, `[P, h, w, C]`.
    pub whole: Var<T>,
}

/// A network that makes maps of one input.
pub trait Encoder<T: Element = f32>: Module<T> + Send + Sync {
    /// The maps for heads that find places, shallow to deep; none if the input has no places in a picture.
    fn stages(&self) -> Vec<MapInfo> {
        Vec::new()
    }

    /// The map in which several of them are joined, if the encoder makes one.
    fn neck(&self) -> Option<MapInfo> {
        None
    }

    /// The map for heads that answer for the whole sample.
    fn whole(&self) -> MapInfo;

    /// Whether that map has positions, over which it is pooled by attention before inputs are fused.
    fn has_positions(&self) -> bool {
        true
    }

    /// The maps of an input, `[P, ..]`.
    ///
    /// # Panics
    /// If the input does not have the size that the encoder is made for.
    #[track_caller]
    fn forward(&self, x: Var<T>, context: &mut Context<T>) -> Encoded<T>;
}
