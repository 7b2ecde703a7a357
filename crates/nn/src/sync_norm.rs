//! Batch norms that use the statistics of the whole batch where it is cut into shards, each a pass of its own.
//!
//! Forward, a norm joins the shards' counts, means and squared deviations along the tree over the shards (Chan, Golub and
//! LeVeque, 1979); backward, their `Σ dy` and `Σ dy x̂`. Outputs, gradients and running statistics are then those of a
//! pass over the whole batch, up to rounding, and have the same bits for any number of processes. A shard that does not
//! come to a norm, as it has no label of the task or no samples, counts as none there.
//!
//! It costs: an exchange for each norm in each direction, of `2C + 1` and `2C` numbers of 8 bytes to every process; a
//! thread for each of a process's shards; and the gradients of all its shards at the same time, since they leave after
//! the backward pass.

use std::collections::HashMap;
use std::sync::Arc;

use cerberus_autograd::ParamId;
use cerberus_autograd::ops::Peers;
use cerberus_distributed::{Meeting, Pair, Shards};
use cerberus_tensor::Element;

use crate::module::{Module, ModuleTensor};

/// The passes over this process's shards, which meet at each batch norm. Clones are the same.
#[derive(Clone)]
pub struct SyncNorm {
    meeting: Arc<Meeting>,
    /// The place of each parameter in the model, in order of declaration.
    places: Arc<HashMap<ParamId, u32>>,
}

/// Which way passes go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// From the input to the losses.
    Forward,
    /// Back.
    Backward,
}

impl SyncNorm {
    /// For passes over a model whose parts run in the order in which it declares them, as far as shards may skip parts.
    pub fn new<T: Element>(model: &dyn Module<T>, shards: &Shards) -> Self {
        let mut places = HashMap::new();
        model.visit("", &mut |_, entry| {
            if let ModuleTensor::Parameter(parameter) = entry {
                let next = places.len() as u32;
                places.insert(parameter.id(), next);
            }
        });
        Self { meeting: Arc::new(Meeting::new(shards.clone())), places: Arc::new(places) }
    }

    /// Runs a pass over each of this process's shards, one at a time, each until it must wait for the others. A forward
    /// pass gives its context what it gets ([`Context::join`](crate::Context::join)); a backward pass, or a call of it
    /// for one of several tasks, has it already.
    ///
    /// # Panics
    /// If a pass does, or unless there is one for each of this process's shards.
    #[track_caller]
    pub fn run<P: Send, R: Send>(
        &self,
        own: Vec<P>,
        way: Way,
        pass: impl Fn(P, Arc<dyn Peers>) -> R + Sync,
    ) -> Vec<R> {
        self.meeting.run(own, way == Way::Backward, |seat, own| {
            pass(own, Arc::new(Seat { of: self.clone(), seat }) as Arc<dyn Peers>)
        })
    }
}

/// One of the passes.
struct Seat {
    of: SyncNorm,
    seat: usize,
}

impl Peers for Seat {
    fn joined(&self, norm: ParamId, own: Vec<f64>, pair: Pair) -> Vec<f64> {
        let place = self.of.places.get(&norm).expect("the norm is in the model");
        self.of.meeting.joined(self.seat, *place, own, pair)
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use cerberus_autograd::{Var, backward};
    use cerberus_distributed::{Alone, Group, thread_groups};
    use cerberus_tensor::Tensor;
    use proptest::prelude::*;

    use super::*;
    use crate::context::Context;
    use crate::{BatchNorm2d, Init, Layer, Linear, Sequential};

    type Model = Sequential<f64>;

    fn model() -> Model {
        let mut init = Init::new(3);
        Sequential::new()
            .add("norm1", BatchNorm2d::new(3).with_relu())
            .add("dense1", Linear::new(3, 4, &mut init))
            .add("norm2", BatchNorm2d::new(4).recomputed())
            .add("dense2", Linear::new(4, 2, &mut init))
            .add("norm3", BatchNorm2d::new(2).with_relu6())
    }

    /// Outputs, gradients of the parameters, those of the inputs, and running statistics.
    type Found = [Vec<f64>; 4];

    /// Of a part of the batch.
    fn pass(model: &Model, x: &Tensor<f64>, peers: Option<Arc<dyn Peers>>) -> (Var<f64>, Var<f64>, Vec<f64>) {
        let mut context = Context::training(1, 0);
        peers.into_iter().for_each(|peers| context.join(peers));
        let leaf = context.leaf(x.clone());
        let y = model.forward(leaf.clone(), &mut context);
        let running = context.finish().into_iter().flat_map(|(_, value)| value.to_vec()).collect();
        (y, leaf, running)
    }

    /// Not the same for every value, as a sum's would be, and zero for some samples.
    fn loss(y: Var<f64>, first: usize) -> Var<f64> {
        let weights = Tensor::from_fn(y.shape(), |i| ((first + i) as f64 * 0.9).cos());
        (y.square() * weights).sum_all()
    }

    fn gradients_of(model: &Model, y: Var<f64>, leaf: &Var<f64>, first: usize) -> [Vec<f64>; 2] {
        let found = backward(loss(y, first));
        let of = |(_, parameter): (String, &crate::Parameter<f64>)| {
            found.parameter(parameter.id()).unwrap().to_vec()
        };
        [model.parameters().into_iter().flat_map(of).collect(), found.of(leaf).unwrap().to_vec()]
    }

    fn whole(x: &Tensor<f64>) -> Found {
        let model = model();
        let (y, leaf, running) = pass(&model, x, None);
        let outputs = y.value().to_vec();
        let [parameters, inputs] = gradients_of(&model, y, &leaf, 0);
        [outputs, parameters, inputs, running]
    }

    /// Of this process's shards; the parameters' gradients over all.
    fn in_shards(x: &Tensor<f64>, shards: &Shards) -> Found {
        let model = model();
        let sync = SyncNorm::new(&model, shards);
        let places: Vec<_> = shards.own().map(|shard| shards.samples(shard, x.shape()[0])).collect();
        let parts =
            places.iter().map(|places| x.narrow(0, places.start, places.len()).contiguous()).collect();
        let passes = sync.run(parts, Way::Forward, |x: Tensor<f64>, peers| pass(&model, &x, Some(peers)));
        let running = passes.iter().map(|(_, _, running)| running.clone()).next().unwrap();
        let outputs = passes.iter().flat_map(|(y, _, _)| y.value().to_vec()).collect();
        let each = x.shape()[1] * x.shape()[2] * 2;
        let own = passes.into_iter().zip(&places).collect();
        let found = sync.run(own, Way::Backward, |((y, leaf, _), places), _| {
            gradients_of(&model, y, &leaf, places.start * each)
        });
        let sums = shards.sum(found.iter().map(|found| found[0].clone()), Default::default());
        [outputs, sums, found.into_iter().flat_map(|[_, inputs]| inputs).collect(), running]
    }

    fn close(a: &[f64], b: &[f64]) -> bool {
        a.len() == b.len() && a.iter().zip(b).all(|(a, b)| (a - b).abs() <= 1e-10 * a.abs().max(1.0))
    }

    fn input(samples: usize, seed: usize) -> Tensor<f64> {
        Tensor::from_fn(&[samples, 3, 2, 3], |i| ((i * 37 + seed * 101) as f64 * 0.61).sin() * 2.0 + 0.3)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(16))]
        #[test]
        fn shards_that_meet_give_what_the_whole_batch_gives(
            samples in 4usize..9,
            count in 2usize..5,
            seed in 0usize..100,
        ) {
            let x = input(samples, seed);
            let expected = whole(&x);
            let found = in_shards(&x, &Shards::new(Arc::new(Alone), count).unwrap());
            for (found, expected) in found.iter().zip(&expected) {
                prop_assert!(close(found, expected), "{found:?}\n{expected:?}");
            }
        }
    }

    #[test]
    fn processes_that_meet_give_the_same_bits() {
        // One shard of four has no sample.
        for samples in [3, 8] {
            let x = input(samples, 5);
            let run = |group: Arc<dyn Group>| in_shards(&x, &Shards::new(group, 4).unwrap());
            let alone = run(Arc::new(Alone));
            assert!(close(&alone[1], &whole(&x)[1]));
            for size in 2..=4 {
                let all: Vec<Found> = thread::scope(|scope| {
                    let ranks: Vec<_> =
                        thread_groups(size).into_iter().map(|group| scope.spawn(|| run(group))).collect();
                    ranks.into_iter().map(|rank| rank.join().unwrap()).collect()
                });
                for (of, found) in [0, 2].map(|of| (of, all.iter().flat_map(move |found| found[of].clone())))
                {
                    assert!(found.eq(alone[of].iter().copied()), "{of} in {size} processes");
                }
                assert!(all.iter().all(|found| found[1] == alone[1]), "{size}");
                assert!(all.iter().all(|found| found[3] == alone[3]), "{size}");
            }
        }
    }
}
