//! Class activation maps that captum's numbers do not cover, against their formulas in plain loops; and what they are for
//! a network of which they are known.

use cerberus_autograd::Var;
use cerberus_explain::{Cam, Explainer};
use cerberus_nn::{Context, Conv2d, GlobalAvgPool, Init, Layer, Linear, Module, Sequential};
use cerberus_tensor::Tensor;
use cerberus_tensor::resize::{Interpolation, resize};

const CHANNELS: usize = 3;

/// A map of 4 x 5 places of half the picture's size, called `map`.
fn trunk() -> Sequential<f64> {
    Sequential::new().add("map", Conv2d::new(2, CHANNELS, 2, &mut Init::new(4)).stride(2))
}

fn picture() -> Tensor<f64> {
    Tensor::from_fn(&[2, 8, 10, 2], |i| (i as f64 * 0.77).sin() + 0.3 * (i as f64 * 0.05).cos())
}

/// The slope and the curvature of the answer at every place of the map.
fn shape_of_answer() -> [Tensor<f64>; 2] {
    [0.0, 1.0].map(|shift| Tensor::from_fn(&[4, 5, CHANNELS], |i| ((i as f64 + shift) * 1.9 + shift).sin()))
}

/// `Σ u A + v A² / 2` over the map: its gradient is `u + v A`.
fn quadratic(x: Var<f64>, context: &mut Context<f64>) -> Vec<Var<f64>> {
    let map = trunk().forward(x, context);
    let [u, v] = shape_of_answer().map(Var::constant);
    vec![(map.clone() * u + map.square() * v.scale(0.5)).sum(&[1, 2, 3])]
}

/// The map and the gradient of the quadratic answer, place by place: `[N][place][channel]`.
fn map_and_gradient() -> (Tensor<f64>, Tensor<f64>) {
    let map = cerberus_nn::predict(&trunk(), picture());
    let [u, v] = shape_of_answer();
    (map.clone(), map * v + u)
}

fn assert_same(found: &Tensor<f64>, expected: impl Fn(usize, usize) -> f64) {
    assert_eq!(found.shape(), [2, 4, 5, 1]);
    for (i, value) in found.to_vec().into_iter().enumerate() {
        let expected = expected(i / 20, i % 20);
        assert!(
            (value - expected).abs() < 1e-10,
            "picture {}, place {}: {value}, not {expected}",
            i / 20,
            i % 20
        );
    }
}

#[test]
fn grad_cam_plus_plus_and_layer_cam_follow_their_formulas() {
    let explainer = Explainer::new(&quadratic);
    let (map, gradient) = map_and_gradient();
    let at = |x: &Tensor<f64>, picture: usize, place: usize, k: usize| {
        x.data()[(picture * 20 + place) * CHANNELS + k]
    };
    let plus_plus = |picture: usize, place: usize| {
        let weight = |k: usize| {
            let total: f64 = (0..20).map(|p| at(&map, picture, p, k)).sum();
            let share = |p: usize| {
                let g = at(&gradient, picture, p, k);
                g.powi(2) / (2.0 * g.powi(2) + total * g.powi(3)) * g.max(0.0)
            };
            (0..20).map(share).sum::<f64>()
        };
        (0..CHANNELS).map(|k| weight(k) * at(&map, picture, place, k)).sum::<f64>()
    };
    let layer = |picture: usize, place: usize| {
        (0..CHANNELS)
            .map(|k| at(&gradient, picture, place, k).max(0.0) * at(&map, picture, place, k))
            .sum::<f64>()
    };
    let (own, gradients) = explainer.with_memory(1).layer_gradients(&picture(), "map").unwrap();
    for (found, expected) in [(own, &map), (gradients[0].clone(), &gradient)] {
        assert!(found.to_vec().iter().zip(expected.data()).all(|(a, b)| (a - b).abs() < 1e-12));
    }
    let explainer = Explainer::new(&quadratic);
    let found = |kind, relu| explainer.cam(&picture(), "map", kind, relu).unwrap()[0].values.clone();
    assert_same(&found(Cam::PlusPlus, false), plus_plus);
    assert_same(&found(Cam::PlusPlus, true), |picture, place| plus_plus(picture, place).max(0.0));
    assert_same(&found(Cam::Layer, false), layer);
    assert_same(&found(Cam::Layer, true), |picture, place| layer(picture, place).max(0.0));
}

#[test]
fn score_cam_weighs_channels_by_the_answers_for_what_they_let_through() {
    let explainer = Explainer::new(&quadratic);
    let found = explainer.score_cam(&picture(), "map").unwrap()[0].values.clone();
    let map = cerberus_nn::predict(&trunk(), picture());
    let weights = [0, 1].map(|one| {
        let x = picture().narrow(0, one, 1).contiguous();
        let zero = explainer.answers(&Tensor::zeros(x.shape()))[0][0];
        let gain = |k: usize| {
            let mask = map.narrow(0, one, 1).narrow(3, k, 1).contiguous();
            let mask = resize(&mask, [8, 10], Interpolation::Bilinear);
            let values = mask.to_vec();
            let (low, high) = values.iter().fold((f64::MAX, f64::MIN), |(a, b), v| (a.min(*v), b.max(*v)));
            explainer.answers(&(x.clone() * mask.map(|v| (v - low) / (high - low))))[0][0] - zero
        };
        let powers: Vec<f64> = (0..CHANNELS).map(|k| gain(k).exp()).collect();
        powers.iter().map(|p| p / powers.iter().sum::<f64>()).collect::<Vec<f64>>()
    });
    assert_same(&found, |picture, place| {
        let channel = |k: usize| weights[picture][k] * map.data()[(picture * 20 + place) * CHANNELS + k];
        (0..CHANNELS).map(channel).sum::<f64>().max(0.0)
    });
}

#[test]
fn grad_cam_of_a_mean_and_a_dense_layer_is_the_map_weighed_by_the_dense_layer() {
    // The case from which class activation maps come (Zhou et al., 2016): the gradient of a mean is 1 / places.
    let head = Linear::new(CHANNELS, 2, &mut Init::new(6));
    let network = trunk();
    let model = |x: Var<f64>, context: &mut Context<f64>| {
        let means = GlobalAvgPool::default().forward(network.forward(x, context), context);
        let logits = head.forward(means, context);
        vec![logits.clone().narrow(1, 0, 1), logits.narrow(1, 1, 1)]
    };
    let map = cerberus_nn::predict(&network, picture());
    let weight = head.parameters()[0].1.value.clone();
    for kind in [Cam::Grad, Cam::Layer] {
        for (class, found) in
            Explainer::new(&model).cam(&picture(), "map", kind, false).unwrap().iter().enumerate()
        {
            assert_same(&found.values, |picture, place| {
                let channel = |k: usize| {
                    let w = weight.at(&[k, class]);
                    let w = if kind == Cam::Layer { w.max(0.0) } else { w };
                    w / 20.0 * map.data()[(picture * 20 + place) * CHANNELS + k]
                };
                (0..CHANNELS).map(channel).sum::<f64>()
            });
            assert_eq!(found.resized([8, 10]).shape(), [2, 8, 10, 1]);
        }
    }
}
