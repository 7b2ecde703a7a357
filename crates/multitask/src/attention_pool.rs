//! Attention pooling: the mean of a map's positions, weighted by a softmax over their scores (Ilse, Tomczak and Welling,
//! "Attention-based Deep Multiple Instance Learning", 2018, equation 7, without its hidden layer).

use cerberus_autograd::Var;
use cerberus_nn::{Context, Conv2d, Init, Layer};
use cerberus_tensor::Element;

/// Scores positions with so many channels. At first the scores are nearly equal, and the pooling is a plain mean.
pub(crate) fn scorer<T: Element>(channels: usize, init: &mut Init) -> Conv2d<T> {
    Conv2d::new(channels, 1, 1, init).with_weight_std(0.01, init)
}

/// The map `[N, h, w, C]` pooled with these scores, `[N, C]`; without a scorer, a map of one position as it is.
///
/// # Panics
/// If there is no scorer for several positions.
#[track_caller]
pub(crate) fn attended<T: Element>(
    map: Var<T>,
    scorer: Option<&Conv2d<T>>,
    context: &mut Context<T>,
) -> Var<T> {
    let (n, places, channels) = (map.shape()[0], map.shape()[1] * map.shape()[2], map.shape()[3]);
    let Some(scorer) = scorer else { return map.reshape(&[n, channels]) };
    let scores = scorer.forward(map.clone(), context).reshape(&[n, places]);
    let weights = scores.softmax(1).reshape(&[n, places, 1]);
    (map.reshape(&[n, places, channels]) * weights).sum(&[1])
}
