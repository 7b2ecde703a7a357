//! Score-CAM: class activation maps without gradients.

use cerberus_autograd::Var;
use cerberus_nn::Context;
use cerberus_tensor::resize::{Interpolation, resize};
use cerberus_tensor::{Element, Tensor};

use crate::cam::watched;
use crate::error::ExplainError;
use crate::explainer::{Attribution, Explainer, Pictures};

impl<T: Element> Explainer<'_, T> {
    /// `max(Σ_k w_k A_k, 0)` over the channels of the layer at `path`, `[N, h, w, 1]`: each channel, enlarged
    /// to the picture and scaled to 0..1, is a mask of the picture; `w` is the softmax over channels of the
    /// answers for the masked pictures, less the answer for zeros (Wang et al., "Score-CAM", 2020). One forward
    /// pass per channel, shared by all answers.
    ///
    /// # Errors
    /// If no such layer has run, or its output is not a map.
    pub fn score_cam(&self, x: &Tensor<T>, path: &str) -> Result<Vec<Attribution<T>>, ExplainError> {
        let pictures = Pictures::of(x);
        let mut maps: Vec<Vec<Tensor<T>>> = Vec::new();
        for i in 0..pictures.count {
            let found = self.score_cam_of_one(x.narrow(0, i, 1).contiguous(), path)?;
            maps.resize(found.len(), Vec::new());
            maps.iter_mut().zip(found).for_each(|(maps, map)| maps.push(map));
        }
        Ok(maps.iter().map(|maps| Attribution::of(cerberus_tensor::concat::concat(maps, 0))).collect())
    }

    fn score_cam_of_one(&self, x: Tensor<T>, path: &str) -> Result<Vec<Tensor<T>>, ExplainError> {
        let mut context = Context::evaluation();
        context.watch(path);
        let _ = self.model().outputs(Var::constant(x.clone()), &mut context);
        let map: Var<T> = watched(&context, path)?;
        let map = map.into_value();
        let shape = x.shape()[1..].to_vec();
        let (channels, colours) = (map.shape()[3], shape[2]);
        let mut scores: Vec<Vec<f64>> = Vec::new();
        // Picture number `channels` is zeros, with which the others are compared.
        self.answers_at(
            &shape,
            channels + 1,
            &mut |channel, into| {
                if channel == channels {
                    return into.fill(T::ZERO);
                }
                let size = [shape[0], shape[1]];
                let mask = scaled(resize(&map.narrow(3, channel, 1), size, Interpolation::Bilinear));
                for (i, (p, &x)) in into.iter_mut().zip(x.data()).enumerate() {
                    *p = x * mask[i / colours];
                }
            },
            &mut |_, answers| {
                scores.resize(answers.len(), Vec::new());
                scores.iter_mut().zip(answers).for_each(|(list, &answer)| list.push(answer));
            },
        );
        let sum = |scores: Vec<f64>| {
            let gains: Vec<f64> = scores[..channels].iter().map(|score| score - scores[channels]).collect();
            let weights: Vec<T> = softmax(&gains).into_iter().map(T::from_f64).collect();
            let sum = (map.clone() * Tensor::from_vec(weights, &[channels])).sum_keepdim(&[3]);
            sum.map(cerberus_tensor::relu)
        };
        Ok(scores.into_iter().map(sum).collect())
    }
}

/// The values moved and scaled to 0..1; zeros if all are equal.
fn scaled<T: Element>(x: Tensor<T>) -> Vec<T> {
    let mut values = x.to_vec();
    let low = values.iter().copied().fold(T::infinity(), |a, b| if b < a { b } else { a });
    let high = values.iter().copied().fold(T::neg_infinity(), |a, b| if b > a { b } else { a });
    let range = high - low;
    values.iter_mut().for_each(|v| *v = if range > T::ZERO { (*v - low) / range } else { T::ZERO });
    values
}

fn softmax(x: &[f64]) -> Vec<f64> {
    let most = x.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let powers: Vec<f64> = x.iter().map(|v| (v - most).exp()).collect();
    let total: f64 = powers.iter().sum();
    powers.into_iter().map(|p| p / total).collect()
}
