//! The methods by name, for programs that let their users choose.

use cerberus_tensor::{Element, Tensor};

use crate::baseline::Baseline;
use crate::cam::Cam;
use crate::error::ExplainError;
use crate::explainer::{Attribution, Explainer};
use crate::integrated::IntegratedGradients;
use crate::occlusion::Occlusion;
use crate::rise::Rise;
use crate::smooth::{Averaging, ExpectedGradients, SmoothGrad};

/// A method with its options.
#[derive(Clone, Debug)]
pub enum Method<T: Element = f32> {
    /// [`Explainer::saliency`].
    Saliency,
    /// [`Explainer::input_x_gradient`].
    InputXGradient,
    /// [`Explainer::integrated_gradients`].
    IntegratedGradients(IntegratedGradients<T>),
    /// [`Explainer::smooth_grad`].
    SmoothGrad(SmoothGrad),
    /// [`Explainer::expected_gradients`].
    ExpectedGradients(ExpectedGradients<T>),
    /// [`Explainer::guided_backprop`].
    GuidedBackprop,
    /// [`Explainer::deconvolution`].
    Deconvolution,
    /// [`Explainer::deep_lift`].
    DeepLift(Baseline<T>),
    /// [`Explainer::cam`] of this kind, of the layer at a path, without negative values.
    Cam(Cam, String),
    /// [`Explainer::score_cam`] of the layer at a path.
    ScoreCam(String),
    /// [`Explainer::occlusion`].
    Occlusion(Occlusion<T>),
    /// [`Explainer::rise`].
    Rise(Rise<T>),
}

/// What methods that are chosen by name need to know.
#[derive(Clone, Debug)]
pub struct Choices<T: Element = f32> {
    /// The baseline of all methods that have one.
    pub baseline: Baseline<T>,
    /// The path of the layer whose maps are explained.
    pub layer: String,
    /// The references of expected gradients; without any, they start from the baseline alone.
    pub references: Option<Tensor<T>>,
    /// The seed of all that is drawn.
    pub seed: u64,
}

/// The names of the methods, in the order of [`Method::all`].
pub const METHODS: [&str; 16] = [
    "saliency",
    "input-x-gradient",
    "integrated-gradients",
    "smoothgrad",
    "smoothgrad-squared",
    "vargrad",
    "expected-gradients",
    "guided-backprop",
    "deconvolution",
    "deeplift",
    "grad-cam",
    "grad-cam++",
    "layer-cam",
    "score-cam",
    "occlusion",
    "rise",
];

impl<T: Element> Method<T> {
    /// All methods with their usual options, for pictures of the size of `x`.
    ///
    /// # Errors
    /// If the baseline does not fit `x`.
    pub fn all(choices: &Choices<T>, x: &Tensor<T>) -> Result<Vec<Self>, ExplainError> {
        METHODS.iter().map(|name| Self::find(name, choices, x)).collect()
    }

    /// The method of this name, one of [`METHODS`], with its usual options, for pictures of the size of `x`.
    ///
    /// # Errors
    /// If there is no such method; the message lists them. If the baseline does not fit `x`.
    pub fn find(name: &str, choices: &Choices<T>, x: &Tensor<T>) -> Result<Self, ExplainError> {
        let Choices { baseline, layer, references, seed } = choices;
        let (seed, layer) = (*seed, || layer.clone());
        let smooth = |averaging| Self::SmoothGrad(SmoothGrad { averaging, seed, ..SmoothGrad::default() });
        Ok(match name {
            "saliency" => Self::Saliency,
            "input-x-gradient" => Self::InputXGradient,
            "integrated-gradients" => Self::IntegratedGradients(IntegratedGradients {
                baseline: baseline.clone(),
                ..IntegratedGradients::default()
            }),
            "smoothgrad" => smooth(Averaging::Mean),
            "smoothgrad-squared" => smooth(Averaging::Square),
            "vargrad" => smooth(Averaging::Variance),
            "expected-gradients" => {
                let references = match references {
                    Some(references) => references.clone(),
                    None => baseline.of(x)?,
                };
                Self::ExpectedGradients(ExpectedGradients { references, samples: 200, seed })
            }
            "guided-backprop" => Self::GuidedBackprop,
            "deconvolution" => Self::Deconvolution,
            "deeplift" => Self::DeepLift(baseline.clone()),
            "grad-cam" => Self::Cam(Cam::Grad, layer()),
            "grad-cam++" => Self::Cam(Cam::PlusPlus, layer()),
            "layer-cam" => Self::Cam(Cam::Layer, layer()),
            "score-cam" => Self::ScoreCam(layer()),
            "occlusion" => Self::Occlusion(Occlusion { baseline: baseline.clone(), ..Occlusion::default() }),
            "rise" => Self::Rise(Rise { baseline: baseline.clone(), seed, ..Rise::default() }),
            _ => {
                return Err(ExplainError::Option(format!(
                    "there is no method {name:?}; there are {}",
                    METHODS.join(", ")
                )));
            }
        })
    }

    /// Its name, one of [`METHODS`].
    pub fn name(&self) -> &'static str {
        match self {
            Self::Saliency => "saliency",
            Self::InputXGradient => "input-x-gradient",
            Self::IntegratedGradients(_) => "integrated-gradients",
            Self::SmoothGrad(options) => match options.averaging {
                Averaging::Mean => "smoothgrad",
                Averaging::Square => "smoothgrad-squared",
                Averaging::Variance => "vargrad",
            },
            Self::ExpectedGradients(_) => "expected-gradients",
            Self::GuidedBackprop => "guided-backprop",
            Self::Deconvolution => "deconvolution",
            Self::DeepLift(_) => "deeplift",
            Self::Cam(Cam::Grad, _) => "grad-cam",
            Self::Cam(Cam::PlusPlus, _) => "grad-cam++",
            Self::Cam(Cam::Layer, _) => "layer-cam",
            Self::ScoreCam(_) => "score-cam",
            Self::Occlusion(_) => "occlusion",
            Self::Rise(_) => "rise",
        }
    }
}

impl<T: Element> Explainer<'_, T> {
    /// The attributions of pictures `[N, H, W, C]` by a method, one for each answer.
    ///
    /// # Errors
    /// Those of the method.
    pub fn explain(&self, x: &Tensor<T>, method: &Method<T>) -> Result<Vec<Attribution<T>>, ExplainError> {
        match method {
            Method::Saliency => Ok(self.saliency(x)),
            Method::InputXGradient => Ok(self.input_x_gradient(x)),
            Method::IntegratedGradients(options) => self.integrated_gradients(x, options),
            Method::SmoothGrad(options) => self.smooth_grad(x, options),
            Method::ExpectedGradients(options) => self.expected_gradients(x, options),
            Method::GuidedBackprop => self.guided_backprop(x),
            Method::Deconvolution => self.deconvolution(x),
            Method::DeepLift(baseline) => self.deep_lift(x, baseline),
            Method::Cam(kind, layer) => self.cam(x, layer, *kind, true),
            Method::ScoreCam(layer) => self.score_cam(x, layer),
            Method::Occlusion(options) => self.occlusion(x, options),
            Method::Rise(options) => self.rise(x, options),
        }
    }
}
