//! Steps that processes, here threads, take together, with an optimiser of their own each and with one that they share.

use std::thread;

use cerberus_distributed::{Alone, Counted, Group, thread_groups};

use super::*;
use crate::optim::{
    Accumulated, AdamOptions, AdamW, Lamb, LambOptions, Lookahead, LookaheadOptions, Muon, MuonOptions,
    ParameterGroup, ParameterGroups, Shared,
};
use crate::{BatchNorm1d, Init, Layer, Linear, Sequential};

const SHARDS: usize = 8;
const SAMPLES: usize = 26;

struct Net<T: Element> {
    body: Sequential<T>,
    /// Used by one shard in every second batch.
    tail: Linear<T>,
}
crate::module!(Net { body, tail });

/// A weight of four pieces among smaller tensors.
fn model() -> Net<f32> {
    let mut init = Init::new(3);
    let body = Sequential::new()
        .add("first", Linear::new(5, 170, &mut init))
        .add("norm", BatchNorm1d::new(170).with_relu())
        .add("wide", Linear::new(170, 300, &mut init))
        .add("frozen", Linear::new(300, 20, &mut init))
        .add("last", Linear::new(20, 2, &mut init));
    Net { body, tail: Linear::new(2, 2, &mut init) }
}

type Maker = fn(&Net<f32>) -> Box<dyn Optimizer + Send>;

fn adam(_: &Net<f32>) -> Box<dyn Optimizer + Send> {
    Box::new(AdamW::new(AdamOptions { learning_rate: 0.01, ..AdamOptions::default() }))
}

/// How a run differs from the usual one.
#[derive(Clone, Copy)]
struct Way {
    make: Maker,
    options: StepOptions,
    messages: Message,
    /// Batches for a step of the optimiser.
    batches: usize,
}

const USUAL: Way = Way {
    make: adam,
    options: StepOptions { seed: 5, clip_norm: None, clip_value: None, recompute: false },
    messages: Message::Exact,
    batches: 1,
};

/// The losses and the tensors of four batches, and the bytes that were sent in the last one.
fn run(way: Way, group: Arc<dyn Group>, is_shared: bool) -> (Vec<f64>, Vec<u32>, usize) {
    let counted = Arc::new(Counted::new(group));
    let shards = Shards::new(counted.clone(), SHARDS).unwrap();
    let mut model = model();
    model.freeze("body.frozen");
    let inside = (way.make)(&model);
    let mut optimizer: Box<dyn Optimizer + Send> =
        if is_shared { Box::new(Shared::new(inside, counted.clone())) } else { inside };
    let mut sums = Accumulated::default();
    let mut losses = Vec::new();
    for batch in 0..4 {
        counted.take();
        let x = Tensor::from_fn(&[SAMPLES, 5], |i| ((i + 97 * batch) as f32 * 0.7).sin());
        let loss = |shard: usize, model: &Net<f32>, context: &mut Context| {
            let places = shards.samples(shard, SAMPLES);
            let y = model.body.forward(x.narrow(0, places.start, places.len()).into(), context);
            let y = if batch % 2 == 1 && shard == 6 { model.tail.forward(y, context) } else { y };
            y.square().mean_all()
        };
        let mut through = sums.through(&mut *optimizer, (batch + 1).is_multiple_of(way.batches));
        let over = (&shards, way.messages);
        losses.push(step_over_shards(&mut model, &mut through, way.options, over, loss));
    }
    let values = model.tensors().into_iter().flat_map(|(_, tensor)| tensor.to_vec());
    (losses, values.map(f32::to_bits).collect(), counted.take())
}

fn on_each<R: Send>(size: usize, work: impl Fn(Arc<dyn Group>) -> R + Sync) -> Vec<R> {
    thread::scope(|scope| {
        let ranks: Vec<_> =
            thread_groups(size).into_iter().map(|group| scope.spawn(|| work(group))).collect();
        ranks.into_iter().map(|rank| rank.join().unwrap()).collect()
    })
}

fn assert_same(name: &str, way: Way, sizes: &[usize]) {
    let (losses, values, _) = run(way, Arc::new(Alone), false);
    for &size in sizes {
        for (rank, (found, weights, _)) in
            on_each(size, |group| run(way, group, true)).into_iter().enumerate()
        {
            assert_eq!(found, losses, "{name}: rank {rank} of {size}");
            assert!(weights == values, "{name}: rank {rank} of {size}");
        }
    }
}

#[test]
fn a_shared_optimiser_takes_the_step_of_one_process() {
    assert_same("alone", USUAL, &[2, 3, 4, 8]);
    // Both limits change the gradients.
    let limits = StepOptions { clip_norm: Some(1e-3), clip_value: Some(1e-4), ..USUAL.options };
    let (clipped, plain) = (Way { options: limits, ..USUAL }, run(USUAL, Arc::new(Alone), false));
    assert_ne!(run(clipped, Arc::new(Alone), false).1, plain.1);
    assert_same("clipped", clipped, &[3, 8]);
    assert_same("bf16", Way { messages: Message::Bf16, ..clipped }, &[2, 3]);
    assert_same("accumulated", Way { batches: 2, ..clipped }, &[2, 3]);
}

#[test]
fn so_do_optimisers_that_see_whole_tensors_and_those_around_others() {
    let lamb: Maker = |_| Box::new(Lamb::new(LambOptions::default()));
    let muon: Maker = |_| Box::new(Muon::new(MuonOptions::default()));
    let lookahead: Maker = |_| {
        let inside = AdamW::new(AdamOptions::default());
        Box::new(Lookahead::new(inside, LookaheadOptions { period: 2, alpha: 0.5 }))
    };
    let groups: Maker = |model| {
        let wide = ParameterGroup { rate_factor: 0.1, ..ParameterGroup::new("body.wide") };
        Box::new(ParameterGroups::new(model, &[wide], |_| adam(model)).unwrap())
    };
    let options = StepOptions { clip_norm: Some(1e-3), ..USUAL.options };
    for (name, make) in [("lamb", lamb), ("muon", muon), ("lookahead", lookahead), ("groups", groups)] {
        assert_same(name, Way { make, options, ..USUAL }, &[2, 3]);
    }
}

#[test]
fn a_shared_step_sends_the_gradients_to_their_owners_and_the_weights_to_all() {
    let all = model();
    let parameters = all.parameters().into_iter().filter(|(path, _)| !path.starts_with("body.frozen"));
    let [w, v] = parameters.fold([0, 0], |[numbers, tensors], (_, p)| [numbers + p.value.len(), tensors + 1]);
    let buffers = all.tensors().into_iter().filter(|(path, _)| path.contains("running"));
    let [b, u] = buffers.fold([0, 0], |[numbers, tensors], (_, x)| [numbers + x.len(), tensors + 1]);
    // A piece of each parameter, three more of the large one.
    let pieces = v + 3;
    let clipped = Way { options: StepOptions { clip_norm: Some(1.0), ..USUAL.options }, ..USUAL };
    for (way, each, norms) in
        [(USUAL, 4, 0), (clipped, 4, pieces), (Way { messages: Message::Bf16, ..USUAL }, 2, 0)]
    {
        for size in [2, 4] {
            let sent: usize = on_each(size, |group| run(way, group, true).2).into_iter().sum();
            // Of all processes: the first half of the sum of gradients, which parameters have one, the norms of the
            // pieces, the new weights, the running statistics, the losses.
            let one = each * (w + v) + v + 8 * norms + 4 * w + 2 * 4 * (b + u) + SHARDS * 16;
            assert_eq!(sent, (size - 1) * one, "{size} processes");
        }
    }
}
