//! `vectors/libmtl.json`: what LibMTL's weightings do to the shared gradient.

use approx::assert_abs_diff_eq;
use serde_json::Value;

use super::{assert_direction, combine, numbers, rows};
use crate::on_gramian::*;
use crate::strategies::*;
use crate::{Decision, Evidence, Gramian, Strategy, TaskGradients};

fn for_each_case(mut check: impl FnMut(&[Vec<f64>], &[f64], &Value)) {
    let text = include_str!("../../../../tests/vectors/libmtl.json");
    let file: Value = serde_json::from_str(text).expect("valid JSON");
    for case in file["cases"].as_object().expect("cases").values() {
        check(&rows(&case["J"]), &numbers(&case["L"]), &case["methods"]);
    }
}

fn direction(strategy: &mut dyn Strategy<f64>, j: &[Vec<f64>], losses: &[f64]) -> Vec<f64> {
    let gradients = [TaskGradients::<f64>::of_numbers(j)];
    let gramian = gradients[0].gramian().unwrap();
    let preference = vec![1.0 / j.len() as f64; j.len()];
    let tasks: Vec<usize> = (0..j.len()).collect();
    let evidence = Evidence {
        tasks: &tasks,
        losses,
        preference: &preference,
        gradients: &gradients,
        gramian: Some(&gramian),
        lookahead: None,
        seed: [0, 0],
    };
    let Decision { weights, direction, .. } = strategy.decide(&evidence).unwrap();
    direction.map_or_else(|| combine(j, &weights), |parts| parts[0].to_vec())
}

#[test]
fn shared_gradients_equal_libmtls() {
    for_each_case(|j, losses, methods| {
        let gramian = Gramian::of_rows(j).unwrap();
        let tasks = j.len();
        let mean = vec![1.0 / tasks as f64; tasks];
        let ones = vec![1.0; tasks];
        let check = |key: &str, weights: &[f64], tolerance: f64| {
            let expected = numbers(&methods[key]["shared_grad"]);
            assert_direction(&combine(j, weights), &expected, j, tolerance, key);
        };
        check("EW", &ones, 1e-9);
        check("GLS", &geometric_mean(losses), 1e-9);
        let uncertainty = Learned::new(LearnedForm::Uncertainty, tasks, 0.1).weights_and_gradient(losses);
        check("UW", &uncertainty.0, 1e-9);
        for (slope, expected) in uncertainty.1.iter().zip(numbers(&methods["UW"]["loss_scale_grad"])) {
            assert_abs_diff_eq!(*slope, expected, epsilon = 1e-12);
        }
        for (key, normaliser) in [
            ("MGDA_gn_none", Normaliser::None),
            ("MGDA_gn_l2", Normaliser::Length),
            ("MGDA_gn_loss", Normaliser::Loss),
            ("MGDA_gn_loss+", Normaliser::LossAndLength),
        ] {
            // Their Frank-Wolfe stops at a tolerance; with two tasks it is exact.
            let tolerance = if tasks == 2 { 1e-9 } else { 1e-3 };
            check(key, &mgda_normalised(&gramian, losses, normaliser), tolerance);
        }
        for (key, rescale) in [
            ("CAGrad_c0.5_rescale0", Rescale::None),
            ("CAGrad_c0.5_rescale1", Rescale::OnePlusSquare),
            ("CAGrad_c0.5_rescale2", Rescale::OnePlus),
        ] {
            check(key, &ca_grad(&gramian, &mean, 0.5, rescale), 1e-6);
        }
        check("FairGrad_alpha1", &fair_grad(&gramian, &ones, 1.0), 1e-6);
        let ascending = Orders((0..tasks).map(|t| (0..tasks).filter(|&j| j != t).collect()).collect());
        check("PCGrad_asc_order", &pc_grad(&gramian, &ones, &ascending), 1e-6);
        let mut vaccine = Vaccine { rate: 0.5, expected: vec![0.0; tasks * tasks] };
        check("GradVac_asc_order_step1", &grad_vac(&gramian, &ones, &ascending, &mut vaccine), 1e-6);
        let scales: Vec<f64> =
            numbers(&methods["IMTL(L then G)"]["loss_scale"]).iter().map(|s| s.exp()).collect();
        let inner = imtl_g(&gramian.scaled(&scales));
        let both: Vec<f64> = inner.iter().zip(scales).map(|(w, scale)| w * scale).collect();
        check("IMTL(L then G)", &both, 1e-6);
        let answer = &methods["GradNorm_alpha1.5"];
        let norm = GradNorm::resumed(1.5, 0.1, numbers(&answer["loss_scale"]), numbers(&answer["L0"]));
        let (weights, gradient) = norm.weights_and_gradient(losses, gramian.norms());
        check("GradNorm_alpha1.5", &weights, 1e-9);
        for (slope, expected) in gradient.iter().zip(numbers(&answer["loss_scale_grad"])) {
            assert!((slope - expected).abs() < 1e-9, "{gradient:?}");
        }
        let mut smooth = Stch::new(1.0, 4).with_nadir(&numbers(&methods["STCH_mu1_after_warmup"]["nadir"]));
        let expected = numbers(&methods["STCH_mu1_after_warmup"]["shared_grad"]);
        assert_direction(&direction(&mut smooth, j, losses), &expected, j, 1e-9, "STCH");
    });
}

#[test]
fn shared_gradients_equal_libmtls_over_several_calls() {
    for_each_case(|j, losses, methods| {
        let mut moco = MoCo::new(j.len());
        moco.project = false;
        let mut balanced = DbMtl::new(0.9, 0.0);
        for (call, factor) in [1.0, 1.1, 1.2].into_iter().enumerate() {
            let j: Vec<Vec<f64>> = j.iter().map(|row| row.iter().map(|x| x * factor).collect()).collect();
            let expected = |key: &str| numbers(&methods[key]["calls"][call]["shared_grad"]);
            let found = direction(&mut moco, &j, losses);
            assert_direction(&found, &expected("MoCo_defaults_3calls"), &j, 1e-6, "MoCo");
            let found = direction(&mut balanced, &j, losses);
            assert_direction(&found, &expected("DB_MTL_defaults_3calls"), &j, 1e-6, "DB-MTL");
        }
    });
}

#[test]
fn the_weights_libmtl_logs_for_gls_are_not_those_it_uses_and_ours_are() {
    for_each_case(|j, losses, methods| {
        let expected = numbers(&methods["GLS"]["shared_grad"]);
        let logged = combine(j, &numbers(&methods["GLS"]["returned_weights"]));
        assert!(logged.iter().zip(&expected).any(|(a, b)| (a - b).abs() > 0.1));
        assert_direction(&combine(j, &geometric_mean(losses)), &expected, j, 1e-9, "GLS");
    });
}
