//! Figures of faithfulness where the right answer is known.

mod heads_of;
mod networks;

use cerberus_autograd::Var;
use cerberus_explain::faithfulness::{
    Curve, CurveOptions, Randomised, SensitivityMax, Subsets, points_inside, spearman,
};
use cerberus_explain::{Attribution, Baseline, Explainer, HeadTargets, IntegratedGradients, Target};
use cerberus_multitask::{ModelConfig, MultiTaskModel};
use cerberus_nn::{Context, Module};
use cerberus_tensor::Tensor;
use heads_of::head;
use networks::{Kind, Network, difference, pictures};
use proptest::prelude::*;

const BOTH: [usize; 2] = [0, 1];

/// The sum of four numbers, each times its weight.
fn weighed(x: Var<f64>, _: &mut Context<f64>) -> Vec<Var<f64>> {
    let n = x.shape()[0];
    let weights = Tensor::from_vec(vec![4.0, 1.0, 3.0, 2.0], &[4, 1]);
    vec![x.reshape(&[n, 4]).matmul(Var::constant(weights))]
}

#[test]
fn the_curves_of_a_sum_are_the_sums_of_its_largest_terms() {
    let x = Tensor::full(1.0, &[1, 2, 2, 1]);
    let map = Tensor::from_vec(vec![4.0, 1.0, 3.0, 2.0], &[1, 2, 2, 1]);
    let options = CurveOptions { steps: 4, deleted: Baseline::Zero, hidden: Baseline::Zero };
    let explainer = Explainer::new(&weighed);
    let found = explainer.curves(&x, std::slice::from_ref(&map), &options).unwrap().remove(0).remove(0);
    assert_eq!(found.deletion, Curve(vec![10.0, 6.0, 3.0, 1.0, 0.0]));
    assert_eq!(found.insertion, Curve(vec![0.0, 4.0, 7.0, 9.0, 10.0]));
    assert_eq!(found.deletion.area(), 3.75);
    // The worst order is the other way round.
    let worst = explainer.curves(&x, &[map.map(|v| -v)], &options).unwrap().remove(0).remove(0);
    assert_eq!(worst.deletion, Curve(vec![10.0, 9.0, 7.0, 4.0, 0.0]));
    assert!(worst.insertion.area() < found.insertion.area());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(8))]

    #[test]
    fn curves_begin_and_end_at_the_picture_and_its_baseline_and_a_batch_equals_its_pictures(
        seed in 0u64..1000,
        kind in prop_oneof![Just(Kind::Relu), Just(Kind::Smooth)],
    ) {
        let network = Network::new(kind, seed);
        let model = network.answers(&BOTH);
        let explainer = Explainer::new(&model);
        let x = pictures(2, seed);
        let hidden = Baseline::Blur { sigma: 2.0 };
        let options = CurveOptions { steps: 5, deleted: Baseline::Mean, hidden: hidden.clone() };
        let maps: Vec<Tensor<f64>> = explainer.input_x_gradient(&x).iter().map(Attribution::map).collect();
        let found = explainer.curves(&x, &maps, &options).unwrap();
        let ends = [&x, &Baseline::Mean.of(&x).unwrap(), &hidden.of(&x).unwrap()].map(|x| explainer.answers(x));
        for answer in 0..5 {
            for picture in 0..2 {
                let curves = &found[answer][picture];
                let [whole, deleted, hidden] = [0, 1, 2].map(|i: usize| ends[i][answer][picture]);
                let (Curve(down), Curve(up)) = (&curves.deletion, &curves.insertion);
                prop_assert_eq!([down.len(), up.len()], [6, 6]);
                for (end, expected) in [(down[0], whole), (down[5], deleted), (up[0], hidden), (up[5], whole)] {
                    prop_assert!((end - expected).abs() < 1e-9);
                }
            }
        }
        let second: Vec<Tensor<f64>> = maps.iter().map(|map| map.narrow(0, 1, 1)).collect();
        let alone = explainer.curves(&x.narrow(0, 1, 1).contiguous(), &second, &options).unwrap();
        for (both, alone) in found.iter().zip(&alone) {
            let [a, b] = [&both[1], &alone[0]].map(|curves| Tensor::from_vec(curves.deletion.0.clone(), &[6]));
            prop_assert!(difference(&a, &b) < 1e-9);
        }
    }

    #[test]
    fn the_terms_of_a_linear_network_tell_what_any_set_of_pixels_is_worth(seed in 0u64..1000) {
        let network = Network::new(Kind::Linear, seed);
        let model = network.answers(&BOTH);
        let (explainer, x) = (Explainer::new(&model), pictures(2, seed));
        let options = Subsets { count: 20, share: 0.2, baseline: Baseline::Zero, seed };
        let drops = explainer.subset_drops(&x, &options).unwrap();
        for (answer, found) in explainer.input_x_gradient(&x).iter().enumerate() {
            for picture in 0..2 {
                let map = found.map().narrow(0, picture, 1).to_vec();
                let right = drops.correlation(answer, picture, &map).unwrap();
                prop_assert!((right - 1.0).abs() < 1e-9, "{}", right);
                let opposite: Vec<f64> = map.iter().map(|v| 3.0 - 2.0 * v).collect();
                prop_assert!((drops.correlation(answer, picture, &opposite).unwrap() + 1.0).abs() < 1e-9);
                let unrelated: Vec<f64> = (0..map.len()).map(|i| (i as f64 * 1.7).sin()).collect();
                prop_assert!(drops.correlation(answer, picture, &unrelated).unwrap() < 0.95);
                prop_assert_eq!(drops.correlation(answer, picture, &vec![2.0; map.len()]), None);
            }
        }
    }

    #[test]
    fn the_gradient_of_a_linear_network_stays_and_input_x_gradient_changes_as_the_input(seed in 0u64..1000) {
        let network = Network::new(Kind::Linear, seed);
        let model = network.answers(&BOTH);
        let (explainer, x) = (Explainer::new(&model), pictures(2, seed));
        let options = SensitivityMax { radius: 0.1, samples: 3, seed };
        let still = explainer.sensitivity_max(&x, options, |e, x| Ok(e.gradients(x))).unwrap();
        prop_assert!(still.iter().flatten().all(|&most| most < 1e-9));
        let moved = explainer.sensitivity_max(&x, options, |e, x| Ok(e.input_x_gradient(x))).unwrap();
        prop_assert!(moved.iter().flatten().all(|&most| most > 1e-4), "{:?}", moved);
        let wider = SensitivityMax { radius: 0.2, ..options };
        let wider = explainer.sensitivity_max(&x, wider, |e, x| Ok(e.input_x_gradient(x))).unwrap();
        for (a, b) in moved.iter().flatten().zip(wider.iter().flatten()) {
            prop_assert!((2.0 * a - b).abs() < 1e-6 * b, "of a linear function: {} and {}", a, b);
        }
    }
}

fn config() -> ModelConfig {
    let heads = vec![head("mlp"), head("segment")];
    ModelConfig::with_stages([16, 16, 3], vec![vec![4], vec![6], vec![8]], heads)
}

#[test]
fn layers_are_randomised_from_the_answers_down_until_nothing_is_left_of_the_trained_model() {
    let trained = || MultiTaskModel::<f64>::new(&config(), 1);
    let (reference, fresh) = (trained(), MultiTaskModel::<f64>::new(&config(), 2));
    let tensors = |model: &MultiTaskModel<f64>| {
        let mut all = Vec::new();
        model.visit("", &mut |path, entry| all.push((path, entry.value().to_vec())));
        all
    };
    let (from, to) = (tensors(&reference), tensors(&fresh));
    let mut randomised = Randomised::new(trained(), &fresh);
    let parts = randomised.parts().to_vec();
    assert_eq!(parts.last().unwrap(), "heads");
    assert!(parts.iter().any(|part| part == "trunk.stage1"), "{parts:?}");
    let place = |name: &str| parts.iter().position(|part| part == name);
    assert!(place("trunk.stage1") < place("trunk.stage3"), "{parts:?}");
    let mut replaced = 0;
    while let Some((part, model)) = randomised.next() {
        replaced += 1;
        for ((path, now), (old, new)) in tensors(model).iter().zip(from.iter().zip(&to)) {
            let gone = parts[parts.len() - replaced..]
                .iter()
                .any(|part| path.starts_with(&format!("{part}.")) || path == part);
            assert_eq!(now, if gone { &new.1 } else { &old.1 }, "{path} after {part}");
        }
    }
    assert_eq!(replaced, parts.len());
}

#[test]
fn an_explanation_by_the_network_does_not_survive_randomisation() {
    let trained = || MultiTaskModel::<f64>::new(&config(), 1);
    let fresh = MultiTaskModel::<f64>::new(&config(), 2);
    let x = Tensor::from_fn(&[1, 16, 16, 3], |i| (i as f64 * 0.05).sin() + (i as f64 * 0.31).cos());
    let chosen = vec![(0, Target::Logit { class: 1 })];
    let map_of = |model: &MultiTaskModel<f64>| {
        let targets = HeadTargets::new(model, chosen.clone());
        let options = IntegratedGradients { steps: 8, ..Default::default() };
        Explainer::new(&targets).integrated_gradients(&x, &options).unwrap()[0].map().to_vec()
    };
    let mut randomised = Randomised::new(trained(), &fresh);
    while randomised.parts().len() > 1 {
        randomised.next();
    }
    let (_, model) = randomised.next().unwrap();
    let likeness = spearman(&map_of(&trained()), &map_of(model)).unwrap();
    assert!(likeness.abs() < 0.6, "{likeness}");
}

#[test]
fn impossible_options_are_refused() {
    let explainer = Explainer::new(&weighed);
    let x = Tensor::full(1.0, &[1, 2, 2, 1]);
    let none = CurveOptions { steps: 0, ..CurveOptions::default() };
    assert!(
        explainer.curves(&x, std::slice::from_ref(&x), &none).unwrap_err().to_string().contains("0 steps")
    );
    for (count, share) in [(1, 0.5), (9, 0.0), (9, 1.0), (9, f64::NAN)] {
        let options = Subsets { count, share, ..Subsets::default() };
        assert!(explainer.subset_drops(&x, &options).unwrap_err().to_string().contains("take at least 2"));
    }
    for (samples, radius) in [(0, 0.1), (3, 0.0), (3, f64::INFINITY)] {
        let options = SensitivityMax { samples, radius, seed: 0 };
        assert!(explainer.sensitivity_max(&x, options, |e, x| Ok(e.gradients(x))).is_err());
    }
    assert!(!points_inside(&[0.0f64; 4], &[true; 4], 2, 0));
}
