//! Class activation maps: which places of a layer's map an answer uses, by the gradient with respect to the map.
//!
//! The layer is named by its path, as for [`Context::watch`]: `conv2` in a `Sequential`, `trunk.stage3` in a multi-task
//! model. The maps have the layer's size; [`Attribution::resized`] gives them the picture's.

use cerberus_autograd::{Tape, Var, grad_each};
use cerberus_nn::Context;
use cerberus_tensor::resize::{Interpolation, resize};
use cerberus_tensor::{Element, Tensor};

use crate::error::ExplainError;
use crate::explainer::{Attribution, Explainer, Pictures, gradients_of};

/// How the channels of a map are weighed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Cam {
    /// By the mean gradient of each channel: `Σ_k mean(g_k) A_k` (Selvaraju et al., "Grad-CAM", 2017, equations 1
    /// and 2).
    #[default]
    Grad,
    /// By `w_k = Σ a_k max(g_k, 0)` with `a_k = g_k² / (2 g_k² + g_k³ Σ A_k)` (Chattopadhay et al., "Grad-CAM++", 2018,
    /// equation 19 for `a`), for the exponential of the answer; its factor, the same everywhere, is left out.
    PlusPlus,
    /// Every place by its own gradient: `Σ_k max(g_k, 0) A_k` (Jiang et al., "LayerCAM", 2021).
    Layer,
}

impl<T: Element> Attribution<T> {
    /// The map `[N, H, W, 1]` of rows and columns `size`, by bilinear interpolation.
    pub fn resized(&self, size: [usize; 2]) -> Tensor<T> {
        resize(&self.map(), size, Interpolation::Bilinear)
    }
}

impl<T: Element> Explainer<'_, T> {
    /// A class activation map of the layer at `path`, `[N, h, w, 1]`. `relu` leaves only what speaks for the
    /// answer, as all three papers do; captum by default does not. One forward pass, and a backward pass as far
    /// as the layer.
    ///
    /// # Errors
    /// If no such layer has run, or its output is not a map.
    pub fn cam(
        &self,
        x: &Tensor<T>,
        path: &str,
        kind: Cam,
        relu: bool,
    ) -> Result<Vec<Attribution<T>>, ExplainError> {
        let (map, gradients) = self.layer_gradients(x, path)?;
        let attribution = |gradient| {
            let sum = weighed(&map, gradient, kind);
            Attribution::of(if relu { sum.map(cerberus_tensor::relu) } else { sum })
        };
        Ok(gradients.into_iter().map(attribution).collect())
    }

    /// The output of the layer at `path` and the gradient of every answer with respect to it, all
    /// `[N, h, w, c]`: what class activation maps, and figures of how much an answer relies on each channel,
    /// are made from. An answer that does not depend on the layer has zeros. One forward pass, and a backward
    /// pass as far as the layer.
    ///
    /// # Errors
    /// If no such layer has run, or its output is not a map.
    pub fn layer_gradients(
        &self,
        x: &Tensor<T>,
        path: &str,
    ) -> Result<(Tensor<T>, Vec<Tensor<T>>), ExplainError> {
        let count = x.shape()[0];
        let batch = self.batch(&Pictures::of(x).shape, count);
        let mut all = Self::in_batches(count, batch, |first, here| {
            self.layer_gradients_of_batch(x.narrow(0, first, here).contiguous(), path)
        })?;
        let map = all.remove(0);
        Ok((map, all))
    }

    /// The layer's map, and after it the gradients.
    fn layer_gradients_of_batch(&self, x: Tensor<T>, path: &str) -> Result<Vec<Tensor<T>>, ExplainError> {
        let count = x.shape()[0];
        let mut context = Context::evaluation();
        context.watch(path);
        let outputs = self.model().outputs(Tape::new().leaf(x), &mut context);
        let map = watched(&context, path)?;
        let (gradients, ()) =
            gradients_of(outputs, &map, count, |sums, visit| grad_each(sums, &[&map], visit));
        Ok(std::iter::once(map.into_value()).chain(gradients).collect())
    }
}

/// The output of the layer at `path`.
pub(crate) fn watched<T: Element>(context: &Context<T>, path: &str) -> Result<Var<T>, ExplainError> {
    let Some(map) = context.activation(path) else { return Err(ExplainError::NoLayer { path: path.into() }) };
    if map.shape().len() != 4 {
        return Err(ExplainError::NotAMap { path: path.into(), shape: map.shape().to_vec() });
    }
    Ok(map.clone())
}

/// The weighted sum of the map's channels, `[N, h, w, 1]`.
fn weighed<T: Element>(map: &Tensor<T>, gradient: Tensor<T>, kind: Cam) -> Tensor<T> {
    let positive = |g: T| if g > T::ZERO { g } else { T::ZERO };
    let weights = match kind {
        Cam::Grad => gradient.mean_keepdim(&[1, 2]),
        Cam::PlusPlus => {
            let two = T::from_f64(2.0);
            let total = map.sum_keepdim(&[1, 2]);
            let below = gradient.clone().zip(total, move |g, total| g * g * (two + g * total));
            let share = gradient
                .clone()
                .zip(below, |g, below| if below == T::ZERO { T::ZERO } else { g * g / below });
            (share * gradient.map(positive)).sum_keepdim(&[1, 2])
        }
        Cam::Layer => gradient.map(positive),
    };
    (map.clone() * weights).sum_keepdim(&[3])
}
