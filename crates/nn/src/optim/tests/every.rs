//! What holds for every optimiser and every wrapper around one.

use super::*;

pub(super) type Maker = fn() -> Box<dyn Optimizer<f64> + Send>;

const RMS: RmsPropOptions = RmsPropOptions {
    learning_rate: 0.01,
    alpha: 0.9,
    eps: 1e-8,
    momentum: 0.0,
    centered: false,
    weight_decay: 0.1,
    decay_all: true,
};

fn muon() -> Muon<f64> {
    Muon::new(MuonOptions { adam: AdamOptions { decay_all: true, ..ADAM }, ..Default::default() })
}

fn groups() -> Box<dyn Optimizer<f64> + Send> {
    let bias = ParameterGroup { rate_factor: 0.5, ..ParameterGroup::new("bias") };
    let make = |group: Option<&ParameterGroup>| -> Box<dyn Optimizer<f64> + Send> {
        match group {
            Some(_) => Box::new(Adam::new(AdamOptions { decay_all: true, ..ADAM })),
            None => Box::new(muon()),
        }
    };
    Box::new(ParameterGroups::new(&pair(), &[bias], make).unwrap())
}

/// Every optimiser with state, by name, with options that let everything decay.
pub(super) const ALL: [(&str, Maker); 14] = [
    ("sgd", || {
        let decay = SgdOptions { weight_decay: 0.1, decay_all: true, ..Default::default() };
        Box::new(Sgd::new(SgdOptions { momentum: 0.9, ..decay }))
    }),
    ("adam", || Box::new(Adam::new(AdamOptions { decay_all: true, ..ADAM }))),
    ("adamw", || Box::new(AdamW::new(AdamOptions { decay_all: true, ..ADAM }))),
    ("adagrad", || {
        let options = AdagradOptions { rate_decay: 0.01, initial_sum: 0.1, ..Default::default() };
        Box::new(Adagrad::new(AdagradOptions { weight_decay: 0.1, decay_all: true, ..options }))
    }),
    ("rmsprop", || Box::new(RmsProp::new(RMS))),
    ("rmsprop with momentum", || Box::new(RmsProp::new(RmsPropOptions { momentum: 0.9, ..RMS }))),
    ("rmsprop, centred", || Box::new(RmsProp::new(RmsPropOptions { centered: true, ..RMS }))),
    ("rmsprop with both", || Box::new(RmsProp::new(RmsPropOptions { momentum: 0.9, centered: true, ..RMS }))),
    ("adadelta", || {
        Box::new(Adadelta::new(AdadeltaOptions { weight_decay: 0.1, decay_all: true, ..Default::default() }))
    }),
    ("lion", || {
        Box::new(Lion::new(LionOptions { weight_decay: 0.1, decay_all: true, ..Default::default() }))
    }),
    ("lamb", || {
        let options = LambOptions { weight_decay: 0.1, decay_all: true, ..Default::default() };
        Box::new(Lamb::new(LambOptions { scale_all: true, ..options }))
    }),
    ("muon", || Box::new(muon())),
    ("lookahead", || {
        // Its second period ends in the step after a state is saved.
        Box::new(Lookahead::new(AdamW::new(ADAM), LookaheadOptions { period: 3, alpha: 0.4 }))
    }),
    ("groups", groups),
];

/// The same values, with nothing shared.
fn copy(model: &Pair<f64>) -> Pair<f64> {
    Pair {
        weight: Parameter::new(Tensor::from_vec(model.weight.value.to_vec(), &[2, 1])),
        bias: Parameter::new(Tensor::from_vec(model.bias.value.to_vec(), &[1])),
    }
}

pub(super) fn bits(state: &[(String, Tensor<f64>)]) -> Vec<(String, Vec<u64>)> {
    state
        .iter()
        .map(|(name, tensor)| (name.clone(), tensor.to_vec().into_iter().map(f64::to_bits).collect()))
        .collect()
}

#[test]
fn a_saved_and_loaded_state_continues_bit_for_bit() {
    for (name, make) in ALL {
        let (mut straight, mut model) = (make(), pair());
        for index in 0..5 {
            step(&mut *straight, &mut model, GRADIENTS[index % 3]);
        }
        let saved = straight.state();
        let before = bits(&saved);
        let mut again = copy(&model);
        let mut resumed = make();
        resumed.load_state(&again, saved.clone()).unwrap();
        for index in 5..8 {
            step(&mut *straight, &mut model, GRADIENTS[index % 3]);
            step(&mut *resumed, &mut again, GRADIENTS[index % 3]);
        }
        assert_eq!(values(&model), values(&again), "{name}");
        assert_eq!(bits(&straight.state()), bits(&resumed.state()), "{name}");
        assert_eq!(straight.steps(), resumed.steps(), "{name}");
        // The snapshot did not move with the optimiser it came from.
        assert_eq!(bits(&saved), before, "{name}");
        assert_ne!(bits(&straight.state()), before, "{name}");
    }
}

#[test]
fn a_parameter_without_gradient_is_left_alone_with_its_state() {
    for (name, make) in ALL {
        let (mut optimizer, mut model) = (make(), pair());
        let of_bias = |state: Vec<(String, Tensor<f64>)>| -> Vec<_> {
            bits(&state).into_iter().filter(|(name, _)| name.ends_with("bias")).collect()
        };
        let only_weight = |model: &mut Pair<f64>, optimizer: &mut dyn Optimizer<f64>| {
            let gradients = gradients_of(&[(&model.weight, &[1.0, -2.0])]);
            optimizer.set_learning_rate(0.1);
            optimizer.step(model, &gradients);
        };
        only_weight(&mut model, &mut *optimizer);
        assert!(of_bias(optimizer.state()).is_empty(), "{name}");
        assert_eq!(model.bias.value.to_vec(), [0.75], "{name}");
        step(&mut *optimizer, &mut model, GRADIENTS[0]);
        let (value, state) = (model.bias.value.to_vec(), of_bias(optimizer.state()));
        assert!(!state.is_empty() && value != [0.75], "{name}");
        let weight = model.weight.value.to_vec();
        (0..3).for_each(|_| only_weight(&mut model, &mut *optimizer));
        assert_eq!((model.bias.value.to_vec(), of_bias(optimizer.state())), (value, state), "{name}");
        assert_ne!(model.weight.value.to_vec(), weight, "{name}");
    }
}

#[test]
fn a_state_that_does_not_fit_is_refused_and_changes_nothing() {
    for (name, make) in ALL {
        let (mut optimizer, mut model) = (make(), pair());
        step(&mut *optimizer, &mut model, GRADIENTS[0]);
        let before = bits(&optimizer.state());
        for index in 0..before.len() {
            let mut renamed = optimizer.state();
            renamed[index].0 += "er";
            assert!(optimizer.load_state(&model, renamed).is_err(), "{name}: {}", before[index].0);
            let mut reshaped = optimizer.state();
            reshaped[index].1 = Tensor::zeros(&[7]);
            let message = optimizer.load_state(&model, reshaped).unwrap_err().to_string();
            assert!(message.contains(&before[index].0), "{name}: {message}");
            assert_eq!(bits(&optimizer.state()), before, "{name}");
        }
    }
}

#[test]
fn no_step_depends_on_the_number_of_threads() {
    // More than one piece, and a gradient in two factors.
    let run = |make: Maker| {
        let mut layer = crate::Linear::<f64>::new(600, 90, &mut crate::Init::new(1));
        let mut model = Pair {
            weight: Parameter::new(layer.parameters_mut()[0].1.value.clone()),
            bias: Parameter::new(Tensor::ones(&[90])),
        };
        drop(layer);
        let mut optimizer = make();
        optimizer.set_learning_rate(0.01);
        for index in 0..4 {
            let mut context = Context::training(0, index);
            let [weight, bias] = [&model.weight, &model.bias].map(|p| context.parameter(p));
            let x = Tensor::from_fn(&[2, 600], |i| ((i as f64 + index as f64) * 0.7).sin());
            let gradients = backward(Var::constant(x).linear(weight, bias).square().sum_all());
            drop(context);
            optimizer.step(&mut model, &gradients);
        }
        values(&model).into_iter().map(f64::to_bits).collect::<Vec<u64>>()
    };
    for (name, make) in ALL {
        let on = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| run(make))
        };
        let one = on(1);
        assert!([2, 5].into_iter().all(|threads| on(threads) == one), "{name}");
    }
}

/// Where 800 steps at a rate that falls to 0 lead on `(w - 2)² / 2` of every value.
fn end_of_the_way(optimizer: &mut dyn Optimizer<f64>, rate: f64) -> Vec<f64> {
    let mut model = pair();
    for index in 0..800 {
        let slope = |p: &Parameter<f64>| p.value.to_vec().iter().map(|w| w - 2.0).collect::<Vec<_>>();
        let (weight, bias) = (slope(&model.weight), slope(&model.bias));
        let gradients = gradients_of(&[(&model.weight, &weight), (&model.bias, &bias)]);
        optimizer.set_learning_rate(rate * (1.0 - index as f64 / 800.0));
        optimizer.step(&mut model, &gradients);
    }
    values(&model)
}

#[test]
fn every_optimiser_finds_the_minimum_of_a_quadratic() {
    let muon = MuonOptions { weight_decay: 0.0, ..Default::default() };
    let centered = RmsPropOptions { centered: true, ..Default::default() };
    let optimizers: [(Box<dyn Optimizer<f64>>, f64); 12] = [
        (Box::new(Sgd::new(SgdOptions::default())), 0.1),
        (Box::new(Sgd::new(SgdOptions { momentum: 0.9, nesterov: true, ..Default::default() })), 0.02),
        (Box::new(Adam::new(AdamOptions::default())), 0.05),
        (Box::new(AdamW::new(AdamOptions::default())), 0.05),
        (Box::new(Adagrad::new(AdagradOptions::default())), 0.5),
        (Box::new(RmsProp::new(RmsPropOptions { momentum: 0.5, ..Default::default() })), 0.02),
        (Box::new(RmsProp::new(RmsPropOptions { eps: 0.1, ..centered })), 0.02),
        (Box::new(Adadelta::new(AdadeltaOptions { eps: 1e-3, ..Default::default() })), 1.0),
        (Box::new(Lion::new(LionOptions::default())), 0.05),
        (Box::new(Lamb::new(LambOptions::default())), 0.05),
        (Box::new(Muon::new(muon)), 0.05),
        (Box::new(Lookahead::new(Sgd::new(SgdOptions::default()), LookaheadOptions::default())), 0.1),
    ];
    for (index, (mut optimizer, rate)) in optimizers.into_iter().enumerate() {
        let end = end_of_the_way(&mut *optimizer, rate);
        assert!(end.iter().all(|w| (w - 2.0).abs() < 2e-3), "{index}: {end:?}");
    }
}

#[test]
fn lion_moves_every_value_by_the_learning_rate_and_none_without_a_slope() {
    let mut model = pair();
    let mut lion = Lion::new(LionOptions::default());
    lion.set_learning_rate(0.25);
    let gradients = gradients_of(&[(&model.weight, &[1e-9, 0.0]), (&model.bias, &[-1e9])]);
    lion.step(&mut model, &gradients);
    assert_eq!(values(&model), [0.25, -1.25, 1.0]);
}

#[test]
fn lamb_moves_a_matrix_by_the_learning_rate_in_parts_of_its_norm() {
    for scale in [1e-3, 1.0, 1e3] {
        let mut model = pair();
        model.weight.value = Tensor::from_vec(vec![3.0 * scale, 4.0 * scale], &[2, 1]);
        let gradients = gradients_of(&[(&model.weight, &[0.7, -0.1])]);
        let mut lamb = Lamb::new(LambOptions::default());
        lamb.set_learning_rate(0.01);
        lamb.step(&mut model, &gradients);
        let [x, y] = [model.weight.value.at(&[0, 0]), model.weight.value.at(&[1, 0])];
        let moved = (x - 3.0 * scale).hypot(y - 4.0 * scale);
        assert!((moved / (0.05 * scale) - 1.0).abs() < 1e-9, "{moved} at {scale}");
    }
}

#[test]
fn a_group_of_everything_takes_the_steps_of_its_optimiser() {
    let (mut plain, mut grouped) = (pair(), pair());
    let mut adam = AdamW::new(ADAM);
    let everything = [ParameterGroup::new("*")];
    let mut group = ParameterGroups::new(&grouped, &everything, |_| Box::new(AdamW::new(ADAM))).unwrap();
    for gradient in GRADIENTS {
        step(&mut adam, &mut plain, gradient);
        step(&mut group, &mut grouped, gradient);
    }
    assert_eq!(values(&plain), values(&grouped));
    assert_eq!((group.steps(), group.learning_rate()), (3, 0.1));
}

#[test]
fn a_value_that_never_had_a_slope_stays_where_it_is_and_is_never_nan() {
    let none = |eps: f64| -> [Box<dyn Optimizer<f64>>; 4] {
        [
            Box::new(Adagrad::new(AdagradOptions { eps, ..Default::default() })),
            Box::new(RmsProp::new(RmsPropOptions { eps, ..Default::default() })),
            Box::new(RmsProp::new(RmsPropOptions {
                eps,
                centered: true,
                momentum: 0.5,
                ..Default::default()
            })),
            Box::new(Lamb::new(LambOptions { eps, ..Default::default() })),
        ]
    };
    for mut optimizer in none(0.0) {
        let mut model = pair();
        for _ in 0..3 {
            step(&mut *optimizer, &mut model, ([0.5, 0.0], 0.0));
        }
        assert_eq!((model.weight.value.at(&[1, 0]), model.bias.value.at(&[0])), (-1.25, 0.75));
        assert!(values(&model).iter().all(|w| w.is_finite()), "{:?}", values(&model));
    }
}
