//! Properties that hold for every network of a kind: exact answers of linear networks, completeness, independence of
//! other heads and of the batch. The networks are random and small.

mod networks;

use cerberus_explain::{
    Attribution, Averaging, Baseline, Choices, ExpectedGradients, Explainer, IntegratedGradients, METHODS,
    Method, Occlusion, Quadrature, Rise, SmoothGrad,
};
use cerberus_tensor::Tensor;
use networks::{Kind, Network, difference, pictures};
use proptest::prelude::*;

const BOTH: [usize; 2] = [0, 1];

/// All methods, with few samples.
fn methods(x: &Tensor<f64>) -> Vec<Method<f64>> {
    let choices = Choices {
        baseline: Baseline::Blur { sigma: 1.0 },
        layer: "conv2".into(),
        references: Some(pictures(3, 99)),
        seed: 5,
    };
    let fewer = |method: Method<f64>| match method {
        Method::SmoothGrad(options) => Method::SmoothGrad(SmoothGrad { samples: 3, ..options }),
        Method::ExpectedGradients(options) => {
            Method::ExpectedGradients(ExpectedGradients { samples: 4, ..options })
        }
        Method::IntegratedGradients(options) => {
            Method::IntegratedGradients(IntegratedGradients { steps: 4, ..options })
        }
        Method::Occlusion(options) => {
            Method::Occlusion(Occlusion { window: [3, 4], stride: [2, 3], ..options })
        }
        Method::Rise(options) => Method::Rise(Rise { masks: 6, cells: [3, 2], ..options }),
        method => method,
    };
    Method::all(&choices, x).unwrap().into_iter().map(fewer).collect()
}

/// The gradient of each answer of a linear network, from its answers for unit pictures: `[1, 6, 8, 2]`.
fn weights(explainer: &Explainer<f64>) -> Vec<Tensor<f64>> {
    let units = Tensor::from_fn(&[97, 6, 8, 2], |i| f64::from(u8::from(i / 96 == i % 96)));
    let of = |answers: Vec<f64>| {
        let slopes = answers[..96].iter().map(|answer| answer - answers[96]).collect();
        Tensor::from_vec(slopes, &[1, 6, 8, 2])
    };
    explainer.answers(&units).into_iter().map(of).collect()
}

fn assert_all_near(name: &str, found: &[Attribution<f64>], expected: impl Fn(usize) -> Tensor<f64>) {
    for (answer, found) in found.iter().enumerate() {
        let far = difference(&found.values, &expected(answer));
        assert!(far < 1e-9, "{name}, answer {answer}: {far}");
    }
}

fn assert_complete(found: &[Attribution<f64>], limit: f64) {
    for gap in found.iter().flat_map(|found| found.gap.as_ref().expect("a gap")) {
        assert!(gap.abs() < limit, "{gap}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(8))]

    #[test]
    fn a_linear_network_is_explained_by_its_weights(seed in 0u64..1000) {
        let network = Network::new(Kind::Linear, seed);
        let (model, x, b) = (network.answers(&BOTH), pictures(1, seed), pictures(1, seed + 7));
        let explainer = Explainer::new(&model);
        let w = weights(&explainer);
        let contribution = |answer: usize| w[answer].clone() * (x.clone() - b.clone());
        let baseline = Baseline::Given(b.clone());
        assert_all_near("gradient", &explainer.gradients(&x), |answer| w[answer].clone());
        assert_all_near("saliency", &explainer.saliency(&x), |answer| w[answer].clone().map(f64::abs));
        assert_all_near("input x gradient", &explainer.input_x_gradient(&x), |answer| w[answer].clone() * x.clone());
        for quadrature in [Quadrature::GaussLegendre, Quadrature::Left, Quadrature::Right, Quadrature::Middle] {
            let options = IntegratedGradients { baseline: baseline.clone(), quadrature, steps: 3 };
            let found = explainer.integrated_gradients(&x, &options).unwrap();
            assert_all_near("integrated gradients", &found, contribution);
            assert_complete(&found, 1e-9);
        }
        let found = explainer.deep_lift(&x, &baseline).unwrap();
        assert_all_near("DeepLIFT", &found, contribution);
        assert_complete(&found, 1e-9);
        let options = ExpectedGradients { references: b.clone(), samples: 3, seed };
        let found = explainer.expected_gradients(&x, &options).unwrap();
        assert_all_near("expected gradients", &found, contribution);
        assert_complete(&found, 1e-9);
        for (averaging, power) in [(Averaging::Mean, 1), (Averaging::Square, 2)] {
            let options = SmoothGrad { averaging, samples: 4, ..SmoothGrad::default() };
            let found = explainer.smooth_grad(&x, &options).unwrap();
            assert_all_near("SmoothGrad", &found, |answer| w[answer].clone().map(|w| w.powi(power)));
        }
        let options = SmoothGrad { averaging: Averaging::Variance, samples: 4, ..SmoothGrad::default() };
        let found = explainer.smooth_grad(&x, &options).unwrap();
        assert_all_near("VarGrad", &found, |_| Tensor::zeros(&[1, 6, 8, 2]));
        // Every window of one pixel loses what the pixel contributes.
        let options = Occlusion { window: [1; 2], stride: [1; 2], baseline };
        let found = explainer.occlusion(&x, &options).unwrap();
        assert_all_near("occlusion", &found, |answer| contribution(answer).sum_keepdim(&[3]));
        prop_assert!(explainer.guided_backprop(&x).unwrap_err().to_string().contains("there is none"));
        prop_assert!(explainer.deconvolution(&x).is_err());
    }

    #[test]
    fn differences_to_a_baseline_are_complete(seed in 0u64..1000) {
        let (x, b) = (pictures(2, seed), pictures(2, seed + 7));
        for kind in [Kind::Smooth, Kind::Relu] {
            let network = Network::new(kind, seed);
            let model = network.answers(&BOTH);
            let explainer = Explainer::new(&model);
            let baseline = Baseline::Given(b.clone());
            assert_complete(&explainer.deep_lift(&x, &baseline).unwrap(), 1e-9);
            if kind == Kind::Smooth {
                let options = IntegratedGradients { baseline, ..IntegratedGradients::default() };
                assert_complete(&explainer.integrated_gradients(&x, &options).unwrap(), 1e-8);
            }
        }
    }

    #[test]
    fn input_x_gradient_adds_up_to_the_answer_of_a_network_without_bias(seed in 0u64..1000) {
        let network = Network::new(Kind::ReluWithoutBias, seed);
        let (model, x) = (network.answers(&BOTH), pictures(2, seed));
        let explainer = Explainer::new(&model);
        let answers = explainer.answers(&x);
        for (found, answers) in explainer.input_x_gradient(&x).into_iter().zip(answers) {
            let totals = found.values.sum(&[1, 2, 3]).to_vec();
            for (total, answer) in totals.iter().zip(&answers) {
                prop_assert!((total - answer).abs() < 1e-10, "{total} {answer}");
            }
        }
    }

    #[test]
    fn a_head_is_explained_the_same_beside_another(seed in 0u64..1000) {
        let network = Network::new(Kind::Relu, seed);
        let (together, alone, x) = (network.answers(&BOTH), network.answers(&[1]), pictures(1, seed));
        for method in methods(&x) {
            let together = Explainer::new(&together).explain(&x, &method).unwrap();
            let alone = Explainer::new(&alone).explain(&x, &method).unwrap();
            prop_assert_eq!((together.len(), alone.len()), (5, 3));
            assert_all_near(method.name(), &together[2..], |answer| alone[answer].values.clone());
        }
    }

    #[test]
    fn a_batch_is_explained_as_one_by_one_whatever_fits_into_memory(seed in 0u64..1000) {
        let network = Network::new(Kind::Relu, seed);
        let (model, x) = (network.answers(&BOTH), pictures(3, seed));
        for method in methods(&x) {
            let whole = Explainer::new(&model).explain(&x, &method).unwrap();
            let small = Explainer::new(&model).with_memory(1).explain(&x, &method).unwrap();
            assert_all_near(method.name(), &small, |answer| whole[answer].values.clone());
            for i in 0..3 {
                let one = Explainer::new(&model).explain(&x.narrow(0, i, 1).contiguous(), &method).unwrap();
                assert_all_near(method.name(), &one, |answer| whole[answer].values.narrow(0, i, 1));
                for (one, whole) in one.iter().zip(&whole) {
                    if let (Some(one), Some(whole)) = (&one.gap, &whole.gap) {
                        prop_assert!((one[0] - whole[i]).abs() < 1e-10);
                    }
                }
            }
        }
    }
}

#[test]
fn every_method_is_found_by_its_name_and_another_name_lists_them() {
    let x = pictures(1, 1);
    let names: Vec<&str> = methods(&x).iter().map(Method::name).collect();
    assert_eq!(names, METHODS);
    let choices = Choices { baseline: Baseline::Zero, layer: "conv2".into(), references: None, seed: 0 };
    let error = Method::<f64>::find("magic", &choices, &x).unwrap_err().to_string();
    assert!(error.contains("grad-cam++, layer-cam"), "{error}");
}

#[test]
fn options_and_layers_that_make_no_sense_are_refused() {
    let network = Network::new(Kind::Relu, 1);
    let (model, x) = (network.answers(&BOTH), pictures(1, 1));
    let explainer = Explainer::new(&model);
    let message = |method: Method<f64>| explainer.explain(&x, &method).unwrap_err().to_string();
    let cam = Method::Cam(cerberus_explain::Cam::Grad, "conv9".into());
    assert_eq!(message(cam), "no layer or map \"conv9\" has run on the way to the target");
    assert!(
        message(Method::ScoreCam("flatten".into())).contains("[1, 60]; a class activation map needs a map")
    );
    let occlusion = Occlusion { window: [2, 2], stride: [3, 1], baseline: Baseline::Zero };
    assert!(message(Method::Occlusion(occlusion)).contains("leave pixels uncovered"));
    assert!(message(Method::Rise(Rise { open: 0.0, ..Rise::default() })).contains("probability of 0"));
    assert!(
        message(Method::SmoothGrad(SmoothGrad { samples: 0, ..SmoothGrad::default() }))
            .contains("at least 1")
    );
    let references = Tensor::zeros(&[2, 5, 5, 2]);
    let expected = ExpectedGradients { references, samples: 1, seed: 0 };
    assert!(message(Method::ExpectedGradients(expected)).contains("[2, 5, 5, 2] do not fit"));
}
