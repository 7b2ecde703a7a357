//! Which channels of a trunk's maps each head relies on.
//!
//! The trunk runs once; its maps are then the input of the heads. What counts is what a head reads from a map itself,
//! not what reaches it through deeper stages: a head that reads only the deepest map has zeros for the others. The
//! slope through the whole trunk is [`Explainer::layer_gradients`](crate::Explainer::layer_gradients).

use cerberus_autograd::{Tape, Var, grad_each};
use cerberus_multitask::{Features, HeadOutput, MultiTaskModel};
use cerberus_nn::Context;
use cerberus_tensor::{Element, Tensor};

use crate::explainer::gradients_of;
use crate::heads::Target;

/// What a channel is set to when it is taken away.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Ablation {
    /// 0.
    Zero,
    /// Its mean over the batch's pictures and places: what it says of no picture in particular.
    #[default]
    Mean,
}

/// How much one answer relies on each channel of one map.
#[derive(Clone, Debug, PartialEq)]
pub struct Reliance {
    /// For each channel the mean over pictures of `|Σ g A|`, the sum over the places of the map `A` with the
    /// gradient `g` of the answer.
    pub gradient: Vec<f64>,
    /// For each channel the mean over pictures of the size of the answer's change when the channel is taken away.
    pub ablation: Vec<f64>,
}

/// What heads answer to a trunk's maps: lists of one number per picture.
pub type Answers<'a, T> = dyn Fn(&[Var<T>], &mut Context<T>) -> Vec<Var<T>> + 'a;

/// The maps of pictures `[N, H, W, C]` by name, shallow to deep, the joined map last if the trunk makes one.
pub fn maps_of<T: Element>(model: &MultiTaskModel<T>, pictures: &Tensor<T>) -> Vec<(String, Tensor<T>)> {
    let features = model.features(Var::constant(pictures.clone()), &mut Context::evaluation());
    let infos = model.trunk().stages().into_iter().chain(model.trunk().neck());
    let maps = features.stages.into_iter().chain(features.neck);
    infos.zip(maps).map(|(info, map)| (info.name, map.into_value().contiguous())).collect()
}

/// For each map of the trunk its name, and the reliance on it of each of the targets, given with their tasks' places in
/// the model, for a batch of pictures `[N, H, W, C]`. One pass of the trunk, and one of the heads per channel.
///
/// # Panics
/// If the model has no task at a place, or a head is of another kind than its target.
#[track_caller]
pub fn reliance<T: Element>(
    model: &MultiTaskModel<T>,
    pictures: &Tensor<T>,
    targets: &[(usize, Target)],
    ablation: Ablation,
) -> Vec<(String, Vec<Reliance>)> {
    let (names, maps): (Vec<String>, Vec<Tensor<T>>) = maps_of(model, pictures).into_iter().unzip();
    let stages = model.trunk().stages().len();
    let answers = |maps: &[Var<T>], context: &mut Context<T>| {
        let features = Features::new(maps[..stages].to_vec(), maps.get(stages).cloned());
        let mut outputs: Vec<Option<HeadOutput<T>>> = vec![None; model.tasks().len()];
        let value = |(place, target): &(usize, Target)| {
            let task = &*model.tasks()[*place];
            let output = outputs[*place].get_or_insert_with(|| model.head(*place, &features, context));
            target.value(task, output)
        };
        targets.iter().map(value).collect()
    };
    names.into_iter().zip(reliance_on(&maps, &answers, ablation)).collect()
}

/// For each of the maps `[N, h, w, c]` the reliance on it of each of the answers, of `N` numbers each, that a function
/// gives for all maps. The other maps stay as they are.
///
/// # Panics
/// If a map is not of rank 4, or an answer is not one number per picture.
#[track_caller]
pub fn reliance_on<T: Element>(
    maps: &[Tensor<T>],
    answers: &Answers<'_, T>,
    ablation: Ablation,
) -> Vec<Vec<Reliance>> {
    let mut context = Context::evaluation();
    let fixed: Vec<Var<T>> = maps.iter().map(|map| Var::constant(map.clone())).collect();
    let numbers = |maps: &[Var<T>], context: &mut Context<T>| -> Vec<Vec<f64>> {
        let list = |answer: &Var<T>| answer.value().to_vec().into_iter().map(T::as_f64).collect();
        answers(maps, context).iter().map(list).collect()
    };
    let plain = numbers(&fixed, &mut context);
    let of_map = |(index, map): (usize, &Tensor<T>)| {
        assert!(map.rank() == 4, "reliance_on: maps are [N, h, w, c], found {:?}", map.shape());
        let (count, channels) = (map.shape()[0], map.shape()[3]);
        let mut changed = fixed.clone();
        let leaf = Tape::new().leaf(map.clone());
        changed[index] = leaf.clone();
        let outputs = answers(&changed, &mut context);
        let (gradients, ()) =
            gradients_of(outputs, &leaf, count, |sums, visit| grad_each(sums, &[&leaf], visit));
        let slope = |gradient: Tensor<T>| {
            let products = (gradient * map.clone()).sum_keepdim(&[1, 2]).to_vec();
            let of =
                |channel: usize| products.iter().skip(channel).step_by(channels).map(|v| v.as_f64().abs());
            (0..channels).map(|channel| of(channel).sum::<f64>() / count as f64).collect()
        };
        let empty = |gradient| Reliance { gradient: slope(gradient), ablation: Vec::new() };
        let mut found: Vec<Reliance> = gradients.into_iter().map(empty).collect();
        let means = map.mean_keepdim(&[0, 1, 2]).to_vec();
        for (channel, mean) in means.into_iter().enumerate() {
            let fill = if ablation == Ablation::Mean { mean } else { T::ZERO };
            let mut values = map.to_vec();
            values.iter_mut().skip(channel).step_by(channels).for_each(|value| *value = fill);
            changed[index] = Var::constant(Tensor::from_vec(values, map.shape()));
            let without = numbers(&changed, &mut context);
            for ((found, plain), without) in found.iter_mut().zip(&plain).zip(without) {
                let change: f64 = plain.iter().zip(without).map(|(a, b)| (a - b).abs()).sum();
                found.ablation.push(change / count as f64);
            }
        }
        found
    };
    maps.iter().enumerate().map(of_map).collect()
}
