//! The optimisers against numbers worked out by PyTorch's rules in plain arithmetic.

use cerberus_autograd::{Gradient, Var, backward};

use super::*;
use crate::context::Context;
use crate::module::{ModuleTensor, Parameter};

mod every;
mod shared;

struct Pair<T: Element> {
    weight: Parameter<T>,
    bias: Parameter<T>,
}
crate::module!(Pair { weight, bias });

fn pair() -> Pair<f64> {
    Pair {
        weight: Parameter::new(Tensor::from_vec(vec![0.5, -1.25], &[2, 1])),
        bias: Parameter::new(Tensor::from_vec(vec![0.75], &[1])),
    }
}

/// The gradients of three steps: of the weight, and of the bias.
const GRADIENTS: [([f64; 2], f64); 3] = [([0.3, -0.2], 0.1), ([-0.4, 0.05], 0.25), ([0.7, -0.6], -0.35)];

/// Gradients of exactly these values: those of `sum(gradient * parameter)`.
fn gradients_of(terms: &[(&Parameter<f64>, &[f64])]) -> Gradients<f64> {
    let mut context = Context::training(0, 0);
    let losses = terms.iter().map(|(parameter, gradient)| {
        let gradient = Tensor::from_vec(gradient.to_vec(), parameter.value.shape());
        (context.parameter(parameter) * Var::constant(gradient)).sum_all()
    });
    backward(losses.reduce(|a, b| a + b).unwrap())
}

fn step(optimizer: &mut dyn Optimizer<f64>, model: &mut Pair<f64>, (weight, bias): ([f64; 2], f64)) {
    let gradients = gradients_of(&[(&model.weight, &weight), (&model.bias, &[bias])]);
    optimizer.set_learning_rate(0.1);
    optimizer.step(model, &gradients);
}

fn values(model: &Pair<f64>) -> Vec<f64> {
    model.tensors().iter().flat_map(|(_, tensor)| tensor.to_vec()).collect()
}

fn assert_three_steps_end_at(mut optimizer: impl Optimizer<f64>, expected: [f64; 3]) {
    let mut model = pair();
    GRADIENTS.iter().for_each(|&gradient| step(&mut optimizer, &mut model, gradient));
    for (found, expected) in values(&model).iter().zip(expected) {
        assert!((found - expected).abs() < 1e-14, "{:?}, expected {expected}", values(&model));
    }
}

const ADAM: AdamOptions = AdamOptions {
    learning_rate: 0.1,
    beta1: 0.9,
    beta2: 0.99,
    eps: 1e-3,
    weight_decay: 0.1,
    decay_all: false,
};

#[test]
fn sgd_takes_the_steps_of_the_reference() {
    let plain = SgdOptions { weight_decay: 0.1, ..Default::default() };
    assert_three_steps_end_at(Sgd::new(plain), [0.4253465, -1.13822175, 0.75]);
    let momentum = SgdOptions { momentum: 0.9, ..plain };
    assert_three_steps_end_at(Sgd::new(momentum), [0.3976265, -1.07648175, 0.7104]);
    let nesterov = SgdOptions { nesterov: true, decay_all: true, ..momentum };
    assert_three_steps_end_at(Sgd::new(nesterov), [0.3343017935, -0.98375280825, 0.65695589675]);
}

#[test]
fn adam_and_adamw_take_the_steps_of_the_reference() {
    let adam = Adam::new(AdamOptions { decay_all: true, ..ADAM });
    assert_three_steps_end_at(adam, [0.3571485806115178, -0.9864219741336702, 0.5356334274670311]);
    assert_three_steps_end_at(
        AdamW::new(ADAM),
        [0.36344486699070166, -0.9973498008943269, 0.5639873937487911],
    );
}

#[test]
fn state_that_only_decays_ends_at_zero_and_is_never_subnormal() {
    let mut model = Pair {
        weight: Parameter::new(Tensor::<f32>::ones(&[2, 1])),
        bias: Parameter::new(Tensor::ones(&[1])),
    };
    let sgd = SgdOptions { momentum: 0.5, ..Default::default() };
    let adam = AdamOptions { beta1: 0.5, beta2: 0.5, ..Default::default() };
    let rms = RmsPropOptions { momentum: 0.5, alpha: 0.5, centered: true, ..Default::default() };
    let optimizers: [Box<dyn Optimizer<f32>>; 6] = [
        Box::new(Sgd::new(sgd)),
        Box::new(Adam::new(adam)),
        Box::new(RmsProp::new(rms)),
        Box::new(Adadelta::new(AdadeltaOptions { rho: 0.5, ..Default::default() })),
        Box::new(Lion::new(LionOptions { beta2: 0.5, ..Default::default() })),
        Box::new(Lamb::new(LambOptions { beta1: 0.5, beta2: 0.5, ..Default::default() })),
    ];
    for mut optimizer in optimizers {
        for step in 0..200 {
            let mut context = Context::training(0, step);
            let factor = [1.0, 1e-15, 0.0][step.min(2) as usize];
            let loss = (context.parameter(&model.weight).sum_all()
                + context.parameter(&model.bias).sum_all())
            .scale(factor);
            let gradients = backward(loss);
            drop(context);
            optimizer.set_learning_rate(0.1);
            optimizer.step(&mut model, &gradients);
            let state = optimizer.state();
            let subnormal = state.iter().find(|(_, tensor)| tensor.to_vec().iter().any(|x| x.is_subnormal()));
            assert!(subnormal.is_none(), "{subnormal:?}");
        }
        let moments = optimizer.state().into_iter().filter(|(name, _)| !name.contains("step"));
        assert!(moments.flat_map(|(_, tensor)| tensor.to_vec()).all(|x| x == 0.0));
    }
}

#[test]
fn a_gradient_in_two_factors_takes_the_step_of_their_product() {
    // More than one piece of rows, and a bias that is never a product.
    let (rows, columns) = (3000, 40);
    let noise = |shape: &[usize], phase: f64| Tensor::from_fn(shape, |i| (i as f64 * 0.7 + phase).sin());
    let x = noise(&[2, rows], 0.1);
    let run = |factored: bool| {
        let mut layer = crate::Linear::new(rows, columns, &mut crate::Init::new(1));
        let mut adam = Adam::new(ADAM);
        for step in 0..2 {
            let mut context = Context::training(0, step);
            let parameters = layer.parameters();
            let [weight, bias] = [parameters[0].1, parameters[1].1].map(|p| context.parameter(p));
            let x = Var::constant(x.clone());
            // The same function: a weight used twice has no factors.
            let y = if factored {
                x.linear(weight, bias)
            } else {
                let half = weight.scale(0.5);
                x.matmul(half.clone() + half) + bias
            };
            let mut gradients = backward((y.square()).sum_all());
            let id = layer.parameters()[0].1.id();
            assert_eq!(matches!(gradients.factored(id), Some(Gradient::Product { .. })), factored);
            gradients.clip_global_norm(3.0);
            drop(context);
            adam.set_learning_rate(0.1);
            adam.step(&mut layer, &gradients);
        }
        layer.tensors().into_iter().flat_map(|(_, tensor)| tensor.to_vec()).collect::<Vec<f64>>()
    };
    let (product, dense) = (run(true), run(false));
    assert!(product.iter().zip(&dense).all(|(a, b)| (a - b).abs() < 1e-9));
    let bits = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| run(true).into_iter().map(f64::to_bits).collect::<Vec<u64>>())
    };
    let one = bits(1);
    assert!([2, 3, 8].into_iter().all(|threads| bits(threads) == one));
}

#[test]
fn state_is_named_by_optimiser_quantity_and_path_in_declaration_order() {
    let (mut adam, mut model) = (Adam::new(ADAM), pair());
    assert!(Optimizer::<f64>::state(&adam).is_empty());
    step(&mut adam, &mut model, GRADIENTS[0]);
    let names: Vec<String> = adam.state().into_iter().map(|(name, _)| name).collect();
    let expected = ["step.weight", "m.weight", "v.weight", "step.bias", "m.bias", "v.bias"];
    assert_eq!(names, expected.map(|name| format!("adam.{name}")));
}

#[test]
fn a_parameter_without_gradient_is_left_alone_with_its_state() {
    let (mut adam, mut model) = (AdamW::new(AdamOptions { decay_all: true, ..ADAM }), pair());
    let gradients = gradients_of(&[(&model.weight, &[1.0, 1.0])]);
    adam.set_learning_rate(0.1);
    adam.step(&mut model, &gradients);
    assert_eq!(model.bias.value.to_vec(), [0.75]);
    assert!(adam.state().iter().all(|(name, _)| !name.ends_with("bias")));
    // Its first gradient is its first step, whatever the others have seen.
    let gradients = gradients_of(&[(&model.bias, &[1.0])]);
    adam.set_learning_rate(0.1);
    adam.step(&mut model, &gradients);
    let state = adam.state();
    let steps =
        |path: &str| state.iter().find(|(name, _)| name == &format!("adamw.step.{path}")).unwrap().1.item();
    assert_eq!((steps("weight"), steps("bias")), (1.0, 1.0));
}

#[test]
fn a_step_over_many_pieces_treats_every_value_alike() {
    struct Large<T: Element> {
        weight: Parameter<T>,
    }
    crate::module!(Large { weight });
    let len = 50_001;
    let mut model = Large { weight: Parameter::new(Tensor::<f64>::ones(&[len])) };
    let gradients = gradients_of(&[(&model.weight, &vec![0.5; len])]);
    Adam::new(ADAM).step(&mut model, &gradients);
    let value = model.weight.value.at(&[0]);
    assert!(value < 1.0 && model.weight.value.to_vec().iter().all(|&w| w == value));
}

#[test]
fn state_of_another_optimiser_or_model_is_an_error_that_names_the_tensor() {
    let (mut adam, mut model) = (Adam::new(ADAM), pair());
    step(&mut adam, &mut model, GRADIENTS[0]);
    let refused = |state: Vec<(String, Tensor<f64>)>, expected: &str| {
        let message = Adam::new(ADAM).load_state(&model, state).unwrap_err().to_string();
        assert!(message.contains(expected), "{message}");
    };
    let changed = |place: usize, name: &str, tensor: Tensor<f64>| {
        let mut state = adam.state();
        state[place] = (name.to_string(), tensor);
        state
    };
    let zeros = |shape: &[usize]| Tensor::zeros(shape);
    refused(changed(1, "adamw.m.weight", zeros(&[2, 1])), "\"adam.m.weight\" is missing");
    refused(changed(1, "adam.m.weight", zeros(&[3, 1])), "has shape [3, 1] where [2, 1] is needed");
    refused(changed(0, "adam.step.weight", Tensor::scalar(0.5)), "is 0.5, not a count of steps");
    let mut state = adam.state();
    state.push(("adam.m.other".to_string(), zeros(&[1])));
    refused(state, "\"adam.m.other\" belongs to no parameter of this model");
}

#[test]
#[should_panic(expected = "the values of weight are shared with another tensor")]
fn a_shared_parameter_is_a_panic_that_names_it() {
    let mut model = pair();
    let mut held = Vec::new();
    model.visit("", &mut |_, entry| {
        if let ModuleTensor::Parameter(parameter) = entry {
            held.push(parameter.value.clone());
        }
    });
    step(&mut Sgd::new(SgdOptions::default()), &mut model, GRADIENTS[0]);
}
