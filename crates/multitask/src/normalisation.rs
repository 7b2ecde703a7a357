//! The normalisation of pixels that a network's weights expect, as a part of the model.
//!
//! Data sets make images with the values `x = (v / 255 - 0.5) / 0.25` ([`cerberus_data::normalise`]). Published weights
//! were trained on `(v / 255 - mean) / std` with a mean and a standard deviation for each channel. The difference is one
//! factor and one summand per channel. Folded into the first convolution they would be wrong at the edges, where the
//! convolution reads zeros; applied to the image before the trunk they are exact. The configuration of a model keeps
//! mean and standard deviation, so everything that runs the model applies them.

use cerberus_autograd::Var;
use cerberus_data::{PIXEL_MEAN, PIXEL_STD};
use cerberus_nn::{Context, Module, ModuleTensor, ModuleTensorMut};
use cerberus_tensor::{Element, Tensor};
use serde::{Deserialize, Serialize};

use crate::features::{Features, MapInfo};
use crate::trunk::Trunk;

/// Mean and standard deviation of each channel of the pixels, where black is 0 and white is 1.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Normalisation {
    /// Subtracted.
    pub mean: Vec<f64>,
    /// Divided by.
    pub std: Vec<f64>,
}

impl Normalisation {
    /// The one of ImageNet's red, green and blue, with which torchvision's weights were trained.
    pub fn imagenet() -> Self {
        Self { mean: vec![0.485, 0.456, 0.406], std: vec![0.229, 0.224, 0.225] }
    }

    /// Checks it for images of so many channels.
    ///
    /// # Errors
    /// A sentence that says what is wrong.
    pub fn check(&self, channels: usize) -> Result<(), String> {
        let Self { mean, std } = self;
        if mean.len() != channels || std.len() != channels {
            return Err(format!(
                "a normalisation by means {mean:?} and deviations {std:?} does not fit images of {channels} channels; \
                 give one number of each for every channel"
            ));
        }
        if !mean.iter().all(|m| m.is_finite()) || !std.iter().all(|s| s.is_finite() && *s > 0.0) {
            return Err(format!(
                "a normalisation by means {mean:?} and deviations {std:?} is impossible; means must be finite and \
                 deviations above 0"
            ));
        }
        Ok(())
    }

    /// The trunk, given images that are normalised in this way instead of as data sets do it.
    pub fn before<T: Element>(&self, trunk: Box<dyn Trunk<T>>) -> Box<dyn Trunk<T>> {
        // (PIXEL_STD x + PIXEL_MEAN - mean) / std
        let per_channel = |value: &dyn Fn(f64, f64) -> f64| -> Tensor<T> {
            let values = self.mean.iter().zip(&self.std).map(|(&mean, &std)| T::from_f64(value(mean, std)));
            Tensor::from_vec(values.collect(), &[self.mean.len()])
        };
        let scale = per_channel(&|_, std| f64::from(PIXEL_STD) / std);
        let shift = per_channel(&|mean, std| (f64::from(PIXEL_MEAN) - mean) / std);
        Box::new(Normalised { trunk, scale, shift })
    }
}

/// A trunk behind a change of the pixels; its paths and its maps are the trunk's.
struct Normalised<T: Element> {
    trunk: Box<dyn Trunk<T>>,
    scale: Tensor<T>,
    shift: Tensor<T>,
}

impl<T: Element> Trunk<T> for Normalised<T> {
    fn stages(&self) -> Vec<MapInfo> {
        self.trunk.stages()
    }

    fn neck(&self) -> Option<MapInfo> {
        self.trunk.neck()
    }

    #[track_caller]
    fn forward(&self, images: Var<T>, context: &mut Context<T>) -> Features<T> {
        let images = images * Var::constant(self.scale.clone()) + Var::constant(self.shift.clone());
        self.trunk.forward(images, context)
    }
}

impl<T: Element> Module<T> for Normalised<T> {
    fn visit<'a>(&'a self, path: &str, f: &mut dyn FnMut(String, ModuleTensor<'a, T>)) {
        self.trunk.visit(path, f);
    }

    fn visit_mut<'a>(&'a mut self, path: &str, f: &mut dyn FnMut(String, ModuleTensorMut<'a, T>)) {
        self.trunk.visit_mut(path, f);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cerberus_data::{Image, normalise};

    /// A trunk whose map is the image.
    struct Eye;

    impl Module<f32> for Eye {
        fn visit<'a>(&'a self, _: &str, _: &mut dyn FnMut(String, ModuleTensor<'a, f32>)) {}
        fn visit_mut<'a>(&'a mut self, _: &str, _: &mut dyn FnMut(String, ModuleTensorMut<'a, f32>)) {}
    }

    impl Trunk<f32> for Eye {
        fn stages(&self) -> Vec<MapInfo> {
            vec![MapInfo { name: "image".into(), channels: 3, stride: 1 }]
        }

        fn forward(&self, images: Var, _: &mut Context) -> Features {
            Features::new(vec![images], None)
        }
    }

    #[test]
    fn pixels_reach_the_trunk_as_torchvision_would_normalise_them() {
        let pixels: Vec<u8> = vec![0, 0, 0, 255, 255, 255, 10, 100, 200];
        let image = Image { height: 1, width: 3, channels: 3, pixels: pixels.clone().into() };
        let trunk = Normalisation::imagenet().before(Box::new(Eye));
        let features = trunk.forward(Var::constant(normalise(&[&image])), &mut Context::evaluation());
        let Normalisation { mean, std } = Normalisation::imagenet();
        for (index, (found, &pixel)) in features.stages[0].value().to_vec().iter().zip(&pixels).enumerate() {
            let expected = (f64::from(pixel) / 255.0 - mean[index % 3]) / std[index % 3];
            assert!((f64::from(*found) - expected).abs() < 1e-6, "{index}: {found}, not {expected}");
        }
    }

    #[test]
    fn a_normalisation_that_does_not_fit_is_refused() {
        assert!(Normalisation::imagenet().check(3).is_ok());
        assert!(Normalisation::imagenet().check(1).unwrap_err().contains("1 channels"));
        let flat = Normalisation { mean: vec![0.0], std: vec![0.0] };
        assert!(flat.check(1).unwrap_err().contains("above 0"));
    }
}
