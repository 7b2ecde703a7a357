//! What each head of a network looked at.
//!
//! A multi-task model gives several answers from one trunk, and none of them says why. An *attribution* gives every
//! pixel of the input, or every place of an inner map, a number: how much it matters for one number of the answer.
//!
//! - [`Explained`] is what is explained: any function from pictures to numbers by operations on
//!   the tape. A closure is one; [`HeadTargets`] makes one of a model's heads: a class, a box, a region.
//! - [`Explainer`] runs the methods on it, several answers from one forward pass, in batches that fit into memory.
//! - [`Method`] names the methods, for programs that let their users choose.
//! - [`trunk`] tells which channels each head relies on, and how alike two trunks are.
//! - [`Baseline`] is the picture that differences are taken from.
//!
//! | method | passes | explains |
//! |---|---|---|
//! | [saliency](Explainer::saliency), [input × gradient](Explainer::input_x_gradient) | 1 forward, 1 backward | the slope |
//! | [integrated gradients](Explainer::integrated_gradients) | one of each per step | the difference to a baseline |
//! | [SmoothGrad](Explainer::smooth_grad), its square and variance | one of each per sample | the slope around the picture |
//! | [expected gradients](Explainer::expected_gradients) | one of each per sample | the difference to other pictures |
//! | [guided backpropagation](Explainer::guided_backprop), [deconvolution](Explainer::deconvolution) | 1 forward, 1 backward | what excites ReLUs |
//! | [DeepLIFT](Explainer::deep_lift) | 1 of each, of two pictures | the difference to a baseline |
//! | [Grad-CAM, Grad-CAM++, LayerCAM](Explainer::cam) | 1 forward, 1 short backward | places of a layer's map |
//! | [Score-CAM](Explainer::score_cam) | one forward per channel | places of a layer's map |
//! | [occlusion](Explainer::occlusion) | one forward per window | what is lost when it is covered |
//! | [RISE](Explainer::rise) | one forward per mask | what is seen through masks |
//!
//! [`faithfulness`] measures whether a map is true.
//!
//! Conventions are captum's, whose numbers the tests compare with. `docs/explain.md` tells what each can and
//! cannot say.
//!
//! ```
//! use cerberus_autograd::Var;
//! use cerberus_explain::{Baseline, Explainer, IntegratedGradients};
//! use cerberus_nn::{Context, Conv2d, Flatten, Init, Layer, Linear, Relu, Sequential};
//! use cerberus_tensor::Tensor;
//!
//! let mut init = Init::new(1);
//! let network = Sequential::<f64>::new()
//!     .add("conv", Conv2d::new(1, 4, 3, &mut init).same())
//!     .add("relu", Relu::default())
//!     .add("flatten", Flatten::default())
//!     .add("output", Linear::new(4 * 5 * 5, 3, &mut init));
//! // Two answers from one forward pass: the logits of the classes 0 and 2.
//! let model = |x: Var<f64>, context: &mut Context<f64>| {
//!     let logits = network.forward(x, context);
//!     vec![logits.clone().narrow(1, 0, 1), logits.narrow(1, 2, 1)]
//! };
//! let explainer = Explainer::new(&model);
//! let picture = Tensor::from_fn(&[1, 5, 5, 1], |i| (i as f64).sin());
//! let found = explainer.integrated_gradients(&picture, &IntegratedGradients::default()).unwrap();
//! assert_eq!(found.len(), 2);
//! assert_eq!(found[0].values.shape(), picture.shape());
//! // The attributions add up to what the answer is above that for zeros.
//! let [answer, zero] = [&picture, &Tensor::zeros(picture.shape())].map(|x| explainer.answers(x)[0][0]);
//! let total = found[0].values.sum_all().item();
//! assert!((total - (answer - zero) - found[0].gap.as_ref().unwrap()[0]).abs() < 1e-12);
//! let exact = explainer.deep_lift(&picture, &Baseline::Zero).unwrap();
//! assert!(exact[1].gap.as_ref().unwrap()[0].abs() < 1e-12);
//! ```
#![forbid(unsafe_code)]

mod baseline;
mod by_rule;
mod cam;
mod deep_lift;
mod error;
mod explainer;
pub mod faithfulness;
mod gradients;
pub mod heads;
mod integrated;
mod method;
mod occlusion;
mod rise;
mod score_cam;
mod smooth;
pub mod trunk;

pub use baseline::{BASELINES, Baseline};
pub use cam::Cam;
pub use error::ExplainError;
pub use explainer::{Attribution, Explained, Explainer};
pub use heads::{HeadTargets, Side, Target};
pub use integrated::{IntegratedGradients, Quadrature};
pub use method::{Choices, METHODS, Method};
pub use occlusion::Occlusion;
pub use rise::Rise;
pub use smooth::{Averaging, ExpectedGradients, SmoothGrad};
