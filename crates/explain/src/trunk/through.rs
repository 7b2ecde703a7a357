//! What channels of a trunk's stages are worth through all layers that come after them.

use cerberus_autograd::Var;
use cerberus_multitask::MultiTaskModel;
use cerberus_nn::Context;
use cerberus_tensor::concat::concat;
use cerberus_tensor::{Element, Tensor};

use super::reliance::{Ablation, Reliance, reliance};
use crate::error::ExplainError;
use crate::explainer::{Explained, Explainer};
use crate::heads::{HeadTargets, Target};

/// Copies of the picture in a batch, each without another channel.
const COPIES: usize = 64;

/// For each map of the trunk its name, and the reliance on it of each of the targets, given with their tasks' places in
/// the model, for one picture `[1, H, W, C]`: as [`reliance`], but with all that reaches the answer through deeper
/// stages and the neck. One pass of trunk and heads per channel, in batches.
///
/// The maps of a transformer are read by heads alone, so nothing deeper is in their figures.
///
/// # Errors
/// If a map cannot be watched.
///
/// # Panics
/// If there is not one picture, the model has no task at a place, or a head is of another kind than its target.
#[track_caller]
pub fn reliance_through<T: Element>(
    model: &MultiTaskModel<T>,
    picture: &Tensor<T>,
    targets: &[(usize, Target)],
    ablation: Ablation,
) -> Result<Vec<(String, Vec<Reliance>)>, ExplainError> {
    let rank = picture.rank();
    assert!(
        rank == 4 && picture.shape()[0] == 1,
        "reliance_through: {:?} is not one picture",
        picture.shape()
    );
    let explained = HeadTargets::new(model, targets.to_vec());
    let explainer = Explainer::new(&explained);
    let plain: Vec<f64> = explainer.answers(picture).into_iter().map(|answer| answer[0]).collect();
    let stages = model.trunk().stages().into_iter().enumerate();
    let mut found = Vec::new();
    for (stage, info) in stages {
        let (map, gradients) = explainer.layer_gradients(picture, &format!("trunk.{}", info.name))?;
        let slopes = |gradient: Tensor<T>| {
            let sums = (gradient * map.clone()).sum_keepdim(&[1, 2]).to_vec();
            sums.into_iter().map(|sum| sum.as_f64().abs()).collect()
        };
        let changes = without_channels(&explained, picture, (stage, info.channels), &plain, ablation);
        let both = gradients.into_iter().zip(changes);
        let reliances = both.map(|(gradient, ablation)| Reliance { gradient: slopes(gradient), ablation });
        found.push((info.name, reliances.collect()));
    }
    // Only heads come after the joined map.
    if model.trunk().neck().is_some() {
        found.extend(reliance(model, picture, targets, ablation).pop());
    }
    Ok(found)
}

/// For each answer the size of its change without each of the channels of a stage, which has so many.
fn without_channels<T: Element>(
    explained: &HeadTargets<'_, T>,
    picture: &Tensor<T>,
    (stage, channels): (usize, usize),
    plain: &[f64],
    ablation: Ablation,
) -> Vec<Vec<f64>> {
    let mut changes = vec![Vec::with_capacity(channels); plain.len()];
    for first in (0..channels).step_by(COPIES) {
        let copies = concat(&vec![picture.clone(); COPIES.min(channels - first)], 0);
        let mut context = Context::evaluation();
        context.change_stages(
            move |index, map| {
                if index == stage { without(&map, first, ablation) } else { map }
            },
        );
        let answers = explained.outputs(Var::constant(copies), &mut context);
        for ((changes, plain), answer) in changes.iter_mut().zip(plain).zip(answers) {
            changes.extend(answer.value().to_vec().iter().map(|value| (value.as_f64() - plain).abs()));
        }
    }
    changes
}

/// The map, whose copy `i` lacks channel `first + i`.
fn without<T: Element>(map: &Var<T>, first: usize, ablation: Ablation) -> Var<T> {
    let means = map.value().mean_keepdim(&[1, 2]).to_vec();
    let mut values = map.value().to_vec();
    let &[_, height, width, channels] = map.shape() else { unreachable!("a trunk's map is of rank 4") };
    let size = height * width * channels;
    for (copy, values) in values.chunks_mut(size.max(1)).enumerate() {
        let channel = first + copy;
        let fill = if ablation == Ablation::Mean { means[copy * channels + channel] } else { T::ZERO };
        values.iter_mut().skip(channel).step_by(channels).for_each(|value| *value = fill);
    }
    Var::constant(Tensor::from_vec(values, map.shape()))
}
