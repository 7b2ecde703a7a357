//! Joining the vectors of several inputs, any of which may be missing.
//!
//! Every fusion is a function of one sample: what it makes of a sample does not depend on the batch, nor on which
//! inputs the others have.

use cerberus_autograd::Var;
use cerberus_nn::{Context, Init, Layer, LayerNorm, Linear, Module, Parameter, module};
use cerberus_tensor::{Element, Tensor};

use crate::sense_config::{Fusion, FusionConfig};

/// The score of what must not be chosen. Finite, so that a sample without any input stays a number.
const EXCLUDED: f64 = -1e30;

/// What is joined: the inputs of a batch.
#[derive(Clone, Copy)]
pub(super) struct Joined<'a, T: Element> {
    /// Each input's vectors `[N, D]`, 0 where it is missing.
    pub vectors: &'a [Var<T>],
    /// Each input's maps `[N, h, w, C]` if the fusion [asks](Fuse::asks_maps) for them; `None` for one that no sample has.
    pub maps: &'a [Option<Var<T>>],
    /// For each input, whether each sample has it.
    pub present: &'a [Vec<bool>],
}

/// Joins the inputs of every sample.
pub(super) trait Fuse<T: Element>: Module<T> + Send + Sync {
    /// Whether it uses the inputs' maps beside their vectors.
    fn asks_maps(&self) -> bool {
        false
    }

    /// One vector of each sample, `[N, D]`.
    fn join(&self, inputs: Joined<T>, context: &mut Context<T>) -> Var<T>;
}

/// The fusion that `config` describes of inputs whose maps have these channels; none for late fusions.
pub(super) fn build<T: Element>(
    config: FusionConfig,
    channels: &[usize],
    init: &mut Init,
) -> Option<Box<dyn Fuse<T>>> {
    let (count, width) = (channels.len(), config.width);
    match config.kind {
        Fusion::Concat => Some(Box::new(Concat::new(count, width, init))),
        Fusion::Gated => Some(Box::new(Gated::new(count, width, init))),
        Fusion::Film => Some(Box::new(Film::new(count, width, init))),
        Fusion::Attention => Some(Box::new(CrossAttention::new(channels, width, init))),
        Fusion::Late | Fusion::LateWeighted => None,
    }
}

/// 1 where an input is there and 0 where it is missing, `[N, 1]`.
pub(super) fn mask<T: Element>(present: &[bool]) -> Tensor<T> {
    let values = present.iter().map(|&here| if here { T::ONE } else { T::ZERO }).collect();
    Tensor::from_vec(values, &[present.len(), 1])
}

/// The vectors `[N, D]` of an input, with the learned one where it is missing.
fn completed<T: Element>(
    vector: Var<T>,
    missing: &Parameter<T>,
    present: &[bool],
    context: &mut Context<T>,
) -> Var<T> {
    let absent: Vec<bool> = present.iter().map(|here| !here).collect();
    vector + context.parameter(missing) * Var::constant(mask(&absent))
}

/// A learned vector for a missing input.
fn stand_in<T: Element>(width: usize) -> Parameter<T> {
    Parameter::new(Tensor::zeros(&[1, width]))
}

/// See [`Fusion::Concat`].
struct Concat<T: Element> {
    missing: Vec<Parameter<T>>,
    dense: Linear<T>,
}

module!(Concat { missing, dense });

impl<T: Element> Concat<T> {
    fn new(count: usize, width: usize, init: &mut Init) -> Self {
        let missing = (0..count).map(|_| stand_in(width)).collect();
        Self { missing, dense: Linear::new(count * width, width, init) }
    }
}

impl<T: Element> Fuse<T> for Concat<T> {
    fn join(&self, Joined { vectors, present, .. }: Joined<T>, context: &mut Context<T>) -> Var<T> {
        let all = vectors.iter().zip(&self.missing).zip(present);
        let all =
            all.map(|((vector, missing), present)| completed(vector.clone(), missing, present, context));
        let all = Var::concat(all.collect(), 1);
        self.dense.forward(all, context).relu()
    }
}

/// See [`Fusion::Gated`].
struct Gated<T: Element> {
    values: Vec<Linear<T>>,
    gates: Vec<Linear<T>>,
}

module!(Gated { values, gates });

impl<T: Element> Gated<T> {
    fn new(count: usize, width: usize, init: &mut Init) -> Self {
        let values = (0..count).map(|_| Linear::new(width, width, init)).collect();
        let gates = (0..count).map(|_| Linear::new(count * width, width, init)).collect();
        Self { values, gates }
    }
}

impl<T: Element> Fuse<T> for Gated<T> {
    fn join(&self, Joined { vectors, present, .. }: Joined<T>, context: &mut Context<T>) -> Var<T> {
        let all = Var::concat(vectors.to_vec(), 1);
        let scores = self.gates.iter().zip(present).map(|(gate, present)| {
            let absent: Vec<bool> = present.iter().map(|here| !here).collect();
            // A missing input's score is far below the others', whatever the layer says.
            gate.forward(all.clone(), context) + Var::constant(mask(&absent)).scale(EXCLUDED)
        });
        let weights = Var::stack(scores.collect(), 0).softmax(0);
        let values = vectors.iter().zip(&self.values).zip(present).map(|((vector, layer), present)| {
            layer.forward(vector.clone(), context).tanh() * Var::constant(mask(present))
        });
        (weights * Var::stack(values.collect(), 0)).sum(&[0])
    }
}

/// See [`Fusion::Film`].
struct Film<T: Element> {
    missing: Parameter<T>,
    scales: Vec<Linear<T>>,
    shifts: Vec<Linear<T>>,
    dense: Linear<T>,
}

module!(Film { missing, scales, shifts, dense });

impl<T: Element> Film<T> {
    fn new(count: usize, width: usize, init: &mut Init) -> Self {
        let mut layers = || (1..count).map(|_| Linear::new(width, width, init)).collect();
        let (scales, shifts) = (layers(), layers());
        Self { missing: stand_in(width), scales, shifts, dense: Linear::new(width, width, init) }
    }
}

impl<T: Element> Fuse<T> for Film<T> {
    fn join(&self, Joined { vectors, present, .. }: Joined<T>, context: &mut Context<T>) -> Var<T> {
        let first = completed(vectors[0].clone(), &self.missing, &present[0], context);
        let mut y = first.clone();
        let others = vectors[1..].iter().zip(&present[1..]);
        for ((vector, present), (scale, shift)) in others.zip(self.scales.iter().zip(&self.shifts)) {
            let here = Var::constant(mask(present));
            let scale = scale.forward(vector.clone(), context) * here.clone();
            y = y + first.clone() * scale + shift.forward(vector.clone(), context) * here;
        }
        self.dense.forward(y.relu(), context).relu()
    }
}

/// The most rows and columns of a map that are asked; larger ones are averaged.
const ASKED: usize = 4;
/// The attention's heads.
const HEADS: usize = 4;

/// See [`Fusion::Attention`].
struct CrossAttention<T: Element> {
    query: Linear<T>,
    keys: Vec<Linear<T>>,
    values: Vec<Linear<T>>,
    projection: Linear<T>,
    norm: LayerNorm<T>,
    dense: Linear<T>,
    heads: usize,
}

module!(CrossAttention { query, keys, values, projection, norm, dense } without { heads });

impl<T: Element> CrossAttention<T> {
    fn new(channels: &[usize], width: usize, init: &mut Init) -> Self {
        let mut layers = || channels.iter().map(|&channels| Linear::new(channels, width, init)).collect();
        let (keys, values) = (layers(), layers());
        let mut square = || Linear::new(width, width, init);
        let (query, projection, dense) = (square(), square(), square());
        let heads = if width.is_multiple_of(HEADS) { HEADS } else { 1 };
        Self { query, keys, values, projection, norm: LayerNorm::new(width), dense, heads }
    }

    /// What input `asking` gets from the places of the others, `[N, D]`.
    fn asked(
        &self,
        vector: &Var<T>,
        asking: usize,
        tokens: &[Option<Var<T>>],
        present: &[Vec<bool>],
        context: &mut Context<T>,
    ) -> Option<Var<T>> {
        let (n, width) = (vector.shape()[0], vector.shape()[1]);
        let d = width / self.heads;
        let split = |x: Var<T>| {
            let len = x.shape()[1];
            let x = x.reshape(&[n, len, self.heads, d]).permute(&[0, 2, 1, 3]);
            x.reshape(&[n * self.heads, len, d])
        };
        let (mut keys, mut values, mut allowed) = (Vec::new(), Vec::new(), Vec::new());
        for (other, tokens) in tokens.iter().enumerate().filter(|(other, _)| *other != asking) {
            let Some(tokens) = tokens else { continue };
            keys.push(self.keys[other].forward(tokens.clone(), context));
            values.push(self.values[other].forward(tokens.clone(), context));
            allowed.push((tokens.shape()[1], &present[other]));
        }
        if keys.is_empty() {
            return None;
        }
        let query = self.query.forward(vector.clone(), context).scale(1.0 / (d as f64).sqrt());
        let query = split(query.reshape(&[n, 1, width]));
        let (keys, values) = (split(Var::concat(keys, 1)), split(Var::concat(values, 1)));
        let score = |here: bool| if here { T::ZERO } else { T::from_f64(EXCLUDED) };
        let row = |sample: usize| {
            allowed.iter().flat_map(move |(len, present)| std::iter::repeat_n(score(present[sample]), *len))
        };
        let excluded: Vec<T> =
            (0..n).flat_map(|sample| (0..self.heads).flat_map(move |_| row(sample))).collect();
        let len = excluded.len() / (n * self.heads).max(1);
        let excluded = Var::constant(Tensor::from_vec(excluded, &[n * self.heads, 1, len]));
        let weights = (query.matmul(keys.permute(&[0, 2, 1])) + excluded).softmax(2);
        let found = weights.matmul(values).reshape(&[n, width]);
        // A sample without any of the others has learned nothing from them.
        let any: Vec<bool> =
            (0..n).map(|sample| allowed.iter().any(|(_, present)| present[sample])).collect();
        Some(self.projection.forward(found, context) * Var::constant(mask(&any)))
    }
}

impl<T: Element> Fuse<T> for CrossAttention<T> {
    fn asks_maps(&self) -> bool {
        true
    }

    fn join(&self, Joined { vectors, maps, present }: Joined<T>, context: &mut Context<T>) -> Var<T> {
        let tokens = |map: &Option<Var<T>>| {
            let map = map.clone()?;
            let &[n, height, width, channels] = map.shape() else { unreachable!("maps have rank 4") };
            let [rows, columns] = [height, width].map(|side| side.min(ASKED));
            let map = if [rows, columns] == [height, width] {
                map
            } else {
                map.adaptive_avg_pool(&[rows, columns])
            };
            Some(map.reshape(&[n, rows * columns, channels]))
        };
        let tokens: Vec<Option<Var<T>>> = maps.iter().map(tokens).collect();
        let mut sum: Option<Var<T>> = None;
        for (input, vector) in vectors.iter().enumerate() {
            let answer = self.asked(vector, input, &tokens, present, context);
            let own = answer.map_or(vector.clone(), |answer| vector.clone() + answer);
            let own = own * Var::constant(mask(&present[input]));
            sum = Some(match sum {
                Some(sum) => sum + own,
                None => own,
            });
        }
        let count = |sample: usize| present.iter().filter(|present| present[sample]).count().max(1);
        let samples = present[0].len();
        let shares = (0..samples).map(|sample| T::from_f64(1.0 / count(sample) as f64)).collect();
        let mean = sum.expect("several inputs") * Var::constant(Tensor::from_vec(shares, &[samples, 1]));
        let normed = self.norm.forward(mean, context);
        self.dense.forward(normed, context).relu()
    }
}
