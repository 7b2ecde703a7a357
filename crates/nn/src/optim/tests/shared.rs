//! Optimisers that processes, here threads, share: the bits of one process, and a part of its state each.

use std::sync::Arc;
use std::thread;

use cerberus_distributed::{Alone, Group, thread_groups};
use cerberus_tensor::parallel::PIECE;

use super::every::{ALL, Maker, bits};
use super::*;

/// A weight of four pieces, of which the last is smaller.
fn large() -> Pair<f64> {
    let weight = Tensor::from_fn(&[600, 90], |i| (i as f64 * 0.7).sin());
    Pair { weight: Parameter::new(weight), bias: Parameter::new(Tensor::ones(&[90])) }
}

const NUMBERS: usize = 600 * 90 + 90;

/// Every third step is one of the weight alone.
fn gradients(model: &Pair<f64>, step: usize) -> Gradients<f64> {
    let of = |parameter: &Parameter<f64>| {
        let shape = parameter.value.shape();
        (parameter.id(), Tensor::from_fn(shape, |i| ((i + 31 * step) as f64 * 1.3).cos()))
    };
    let bias = (step % 3 != 2).then(|| of(&model.bias));
    [of(&model.weight)].into_iter().chain(bias).collect()
}

type State = Vec<(String, Tensor<f64>)>;

/// Values and state after steps from one state on; of a group, as every rank has them.
fn run(make: Maker, group: &Arc<dyn Group>, from: Option<&(Vec<f64>, State)>, steps: usize) -> Ran {
    let mut model = large();
    let mut optimizer = Shared::new(make(), Arc::clone(group));
    let mut done = 0;
    if let Some((values, state)) = from {
        let (weight, bias) = values.split_at(NUMBERS - 90);
        model.weight.value = Tensor::from_vec(weight.to_vec(), &[600, 90]);
        model.bias.value = Tensor::from_vec(bias.to_vec(), &[90]);
        optimizer.load_state(&model, state.clone()).unwrap();
        done = optimizer.steps() as usize;
    }
    for step in done..done + steps {
        optimizer.set_learning_rate(0.1 / (step + 1) as f64);
        let all = gradients(&model, step);
        optimizer.step(&mut model, &all);
    }
    let held = optimizer.own_state().iter().map(|(_, tensor)| tensor.len()).filter(|len| *len > 1).sum();
    Ran { values: values(&model), state: optimizer.state(), held, steps: optimizer.steps() }
}

struct Ran {
    values: Vec<f64>,
    state: State,
    /// Numbers of the state in this process, but for counts of steps.
    held: usize,
    steps: u64,
}

fn on_each(size: usize, work: impl Fn(Arc<dyn Group>) -> Ran + Sync) -> Vec<Ran> {
    thread::scope(|scope| {
        let ranks = thread_groups(size).into_iter().map(|group| scope.spawn(|| work(group)));
        let ranks: Vec<_> = ranks.collect();
        ranks.into_iter().map(|rank| rank.join().unwrap()).collect()
    })
}

#[test]
fn every_optimiser_is_the_same_when_it_is_shared_and_its_state_is_divided() {
    let plain: (&str, Maker) = ("sgd without momentum", || Box::new(Sgd::new(SgdOptions::default())));
    for (name, make) in ALL.into_iter().chain([plain]) {
        let alone: Arc<dyn Group> = Arc::new(Alone);
        let half = run(make, &alone, None, 4);
        let whole = run(make, &alone, None, 7);
        let half = (half.values, half.state);
        for size in [2, 3] {
            let ranks = on_each(size, |group| run(make, &group, Some(&half), 3));
            let fresh = on_each(size, |group| run(make, &group, None, 7));
            for ran in ranks.iter().chain(&fresh) {
                assert!(ran.values == whole.values, "{name}: values in {size} processes");
                assert_eq!(ran.steps, 7, "{name}");
            }
            for ranks in [ranks, fresh] {
                let held: Vec<usize> = ranks.iter().map(|ran| ran.held).collect();
                let mut states = ranks.into_iter().map(|ran| ran.state);
                assert!(
                    bits(&states.next().unwrap()) == bits(&whole.state),
                    "{name}: the state in {size} processes"
                );
                assert!(states.all(|state| state.is_empty()), "{name}");
                let all: usize =
                    whole.state.iter().map(|(_, tensor)| tensor.len()).filter(|len| *len > 1).sum();
                assert_eq!(held.iter().sum::<usize>(), all, "{name}");
                // A quantity at a time, nobody has more than a piece above their share; whole tensors are another
                // matter.
                let quantities = all.div_ceil(NUMBERS);
                let most = quantities * (NUMBERS / size + PIECE);
                let is_cut = make().reach() == Reach::Value;
                assert!(!is_cut || held.iter().all(|held| *held <= most), "{name}: {held:?} of {all}");
            }
        }
    }
}

#[test]
fn what_an_optimiser_needs_of_a_tensor_says_how_it_can_be_shared() {
    let reach = |wanted: &str| ALL.iter().find(|(name, _)| *name == wanted).unwrap().1().reach();
    assert_eq!([reach("adamw"), reach("lookahead"), reach("rmsprop with both")], [Reach::Value; 3]);
    // Groups of which one is Muon's.
    assert_eq!([reach("lamb"), reach("muon"), reach("groups")], [Reach::Tensor; 3]);
    // Shared ones cannot be shared once more.
    let shared = Shared::new(Sgd::<f32>::new(SgdOptions::default()), thread_groups(2).remove(0));
    assert_eq!(shared.reach(), Reach::Model);
}

#[test]
fn the_parameter_of_every_tensor_of_a_state_is_known() {
    for (name, make) in ALL {
        let (mut optimizer, mut model) = (make(), pair());
        step(&mut *optimizer, &mut model, GRADIENTS[0]);
        for (tensor, _) in optimizer.state() {
            let path = optimizer.parameter_of(&tensor);
            let of = ["weight", "bias"].into_iter().find(|path| tensor.ends_with(path));
            assert_eq!(path, of.filter(|_| !tensor.contains(".step.")), "{name}: {tensor}");
        }
        assert_eq!(optimizer.parameter_of("other.m.weight"), None, "{name}");
    }
}

#[test]
fn a_frozen_parameter_is_dealt_when_it_is_to_move_and_keeps_its_owner_when_it_is_not() {
    let steps = |group: Arc<dyn Group>| {
        let mut model = large();
        let mut optimizer = Shared::new(Adam::new(ADAM), group);
        for (step, frozen) in [Some("weight"), None, Some("bias"), Some("weight")].into_iter().enumerate() {
            model.unfreeze("");
            frozen.into_iter().for_each(|path| model.freeze(path));
            let is_trainable = |id| model.parameters().iter().any(|(_, p)| p.id() == id && p.is_trainable());
            let own = gradients(&model, 3 * step).select(is_trainable);
            optimizer.step(&mut model, &own);
        }
        values(&model)
    };
    let alone = steps(Arc::new(Alone));
    let ranks = thread::scope(|scope| {
        let ranks = thread_groups(3).into_iter().map(|group| scope.spawn(|| steps(group)));
        let ranks: Vec<_> = ranks.collect();
        ranks.into_iter().map(|rank| rank.join().unwrap()).collect::<Vec<_>>()
    });
    assert!(ranks.iter().all(|values| *values == alone));
}

#[test]
fn the_state_of_another_model_is_refused_before_it_is_divided() {
    let mut adam = Shared::new(Adam::new(ADAM), thread_groups(2).remove(0));
    let state = vec![("adam.step.weight".to_string(), Tensor::scalar(1.0))];
    let told = adam.load_state(&large(), state).unwrap_err().to_string();
    assert!(told.contains("adam.m.weight") && told.contains("is missing"), "{told}");
    assert!(adam.own_state().is_empty() && adam.steps() == 0);
}

#[test]
#[should_panic(expected = "no processes share this optimiser")]
fn a_part_of_the_gradients_is_refused_by_an_optimiser_that_is_not_shared() {
    let mut model = pair();
    let mut shared = Shared::new(Adam::new(ADAM), thread_groups(2).remove(0));
    let owners = shared.owners(&model).unwrap();
    let own = OwnGradients::of_all(&owners, &gradients(&model, 0));
    Adam::new(ADAM).step_own(&mut model, &own);
}

#[test]
fn a_single_number_and_a_tensor_without_any_are_dealt_too() {
    let run = |group: Arc<dyn Group>, from: Option<(f64, State)>| {
        let [weight, bias] = [&[0, 3][..], &[]].map(|shape| Parameter::new(Tensor::ones(shape)));
        let mut model = Pair { weight, bias };
        let mut optimizer = Shared::new(AdamW::new(ADAM), group);
        if let Some((value, state)) = from {
            model.bias.value = Tensor::scalar(value);
            optimizer.load_state(&model, state).unwrap();
        }
        let all = [&model.weight, &model.bias].map(|p| (p.id(), Tensor::ones(p.value.shape())));
        optimizer.step(&mut model, &all.into_iter().collect());
        (model.bias.value.item(), optimizer.state())
    };
    let once = run(Arc::new(Alone), None);
    assert_eq!(once.1.iter().map(|(_, tensor)| tensor.len()).collect::<Vec<_>>(), [1, 0, 0, 1, 1, 1]);
    let twice = run(Arc::new(Alone), Some(once.clone()));
    thread::scope(|scope| {
        for group in thread_groups(2) {
            let (run, once, twice) = (&run, &once, &twice);
            scope.spawn(move || {
                let is_first = group.is_first();
                for (from, (value, state)) in [(None, once), (Some(once.clone()), twice)] {
                    let found = run(Arc::clone(&group), from);
                    let expected = if is_first { bits(state) } else { Vec::new() };
                    assert_eq!((found.0, bits(&found.1)), (*value, expected));
                }
            });
        }
    });
}
