//! `vectors/aggregators.json`: exact answers by an independent implementation
//! (enumeration of active sets, damped Newton), and TorchJD 0.18.0's.

use approx::assert_abs_diff_eq;
use cerberus_tensor::Tensor;
use serde_json::Value;

use super::{assert_direction, combine, dot, norm, numbers, rows};
use crate::on_gramian::*;
use crate::solvers::project_to_simplex;
use crate::strategies::*;
use crate::{Decision, Evidence, Gramian, Strategy, TaskGradients};

fn file() -> Value {
    let text = include_str!("../../../../tests/vectors/aggregators.json");
    serde_json::from_str(text).expect("valid JSON")
}

/// Calls `check(name, J, gramian, case)` for each case.
fn for_each_case(mut check: impl FnMut(&str, &[Vec<f64>], &Gramian, &Value)) {
    let file = file();
    let cases = file["cases"].as_object().expect("cases");
    assert_eq!(cases.len(), 10);
    for (name, case) in cases {
        let j = rows(&case["J"]);
        check(name, &j, &Gramian::of_rows(&j).unwrap(), case);
    }
}

fn mean(tasks: usize) -> Vec<f64> {
    vec![1.0 / tasks as f64; tasks]
}

/// Asserts that the weights give the direction of `case[group][method]`; false if there is none.
#[track_caller]
fn check(j: &[Vec<f64>], found: &[f64], answer: &Value, tolerance: f64, what: &str) -> bool {
    let Some(expected) = answer.get("aggregation").or_else(|| answer.get("aggregation_unrescaled")) else {
        return false;
    };
    assert_direction(&combine(j, found), &numbers(expected), j, tolerance, what);
    true
}

#[test]
fn projections_onto_the_dual_cone_are_the_exact_ones() {
    for_each_case(|name, j, gramian, case| {
        let p = mean(j.len());
        assert!(check(j, &up_grad(gramian, &p), &case["exact"]["UPGrad"], 1e-9, &format!("UPGrad, {name}")));
        let dual = dual_projection(gramian, &p);
        assert!(check(j, &dual, &case["exact"]["DualProj"], 1e-9, &format!("DualProj, {name}")));
        // With a preference, only the library's nearly unregularised answers exist.
        let sum: usize = (1..=j.len()).sum();
        let uneven: Vec<f64> = (1..=j.len()).map(|t| t as f64 / sum as f64).collect();
        let answer = &case["lib"]["UPGrad_pref_1..m_normalised"];
        // Their regulariser leaves a remainder where the exact direction is zero.
        let tolerance = if name.starts_with("edge") { 1e-2 } else { 2e-3 };
        check(j, &up_grad(gramian, &uneven), answer, tolerance, &format!("UPGrad with preference, {name}"));
    });
}

#[test]
fn the_shortest_vector_is_the_exact_one() {
    for_each_case(|name, j, gramian, case| {
        let weights = mgda(gramian);
        assert!((weights.iter().sum::<f64>() - 1.0).abs() < 1e-14 && weights.iter().all(|w| *w >= 0.0));
        assert!(check(j, &weights, &case["exact"]["MGDA"], 1e-9, name));
    });
}

#[test]
fn the_shortest_vector_of_the_library_is_off_by_its_tolerance_and_ours_is_not() {
    let mut worst: f64 = 0.0;
    for_each_case(|_, j, gramian, case| {
        let library = numbers(&case["lib"]["MGDA"]["aggregation"]);
        let d = combine(j, &mgda(gramian));
        worst = worst.max(norm(&library) / norm(&d).max(1e-9) - 1.0);
        // Optimality: no gradient has a smaller projection on d than d itself.
        for g in j {
            assert!(dot(g, &d) >= dot(&d, &d) - 1e-9 * norm(g) * norm(&d).max(1e-9));
        }
    });
    assert!(worst > 1e-6, "longer by {worst:e}");
}

#[test]
fn the_conflict_averse_step_is_the_exact_one() {
    for_each_case(|name, j, gramian, case| {
        for c in [0.2, 0.5, 1.0] {
            let weights = ca_grad(gramian, &mean(j.len()), c, Rescale::None);
            let answer =
                &case["exact"][format!("CAGrad_c{}", if c == 1.0 { "1".into() } else { c.to_string() })];
            assert!(check(j, &weights, answer, 1e-9, &format!("{name}, c = {c}")));
        }
    });
}

#[test]
fn fair_gains_are_the_exact_ones_wherever_they_exist() {
    let mut solved = 0;
    for_each_case(|name, j, gramian, case| {
        for (key, alpha) in
            [("Nash_Ga=1/a (=FairGrad alpha 1)", 1.0), ("FairGrad_alpha2", 2.0), ("FairGrad_alpha0.5", 0.5)]
        {
            let weights = fair_grad(gramian, &vec![1.0; j.len()], alpha);
            if check(j, &weights, &case["exact"][key], 1e-9, &format!("{name}, {key}")) {
                solved += 1;
                for (t, w) in weights.iter().enumerate() {
                    let gain: f64 = (0..j.len()).map(|k| gramian.product(t, k) * weights[k]).sum();
                    assert!((gain * w.powf(1.0 / alpha) - 1.0).abs() < 1e-9, "{name}, {key}");
                }
            } else {
                assert!(name.starts_with("edge"));
            }
        }
    });
    assert_eq!(solved, 7 * 3);
}

#[test]
fn nash_of_the_library_keeps_equal_weights_where_the_sum_conflicts_and_ours_does_not() {
    let file = file();
    let case = &file["cases"]["edge_dup_rows_3x4"];
    let j = rows(&case["J"]);
    let library = &case["lib"]["NashMTL_maxnorm0_iters100"];
    assert_eq!(numbers(&library["weights"]), [1.0; 3]);
    assert!(library["min_row_dot"].as_f64().unwrap() < 0.0, "the library's direction hurts a task");
    let d = combine(&j, &fair_grad(&Gramian::of_rows(&j).unwrap(), &[1.0; 3], 1.0));
    assert!(j.iter().all(|g| dot(g, &d) > 0.0));
    assert_abs_diff_eq!(norm(&d), 3f64.sqrt(), epsilon = 1e-12);
}

#[test]
fn the_librarys_regularised_projection_still_conflicts_at_uneven_scales_and_ours_does_not() {
    // The regulariser is a ten-thousandth of the trace.
    let regularised = |j: &[Vec<f64>]| {
        let gramian = Gramian::of_rows(j).unwrap();
        let trace: f64 = gramian.norms().iter().map(|norm| norm * norm).sum();
        let entry = |i: usize, k: usize| gramian.product(i, k) / trace + if i == k { 1e-4 } else { 0.0 };
        let products: Vec<f64> = (0..4).map(|k| entry(k / 2, k % 2)).collect();
        up_grad(&Gramian::new(&products, 2).unwrap(), &[0.5, 0.5])
    };
    let j = [vec![100.0, 0.0], vec![-0.9, 0.5]];
    let theirs = combine(&j, &regularised(&j));
    assert!(dot(&j[1], &theirs) < -1e-6 * norm(&j[1]) * norm(&theirs));
    let ours = combine(&j, &up_grad(&Gramian::of_rows(&j).unwrap(), &[0.5, 0.5]));
    assert!(j.iter().all(|g| dot(g, &ours) >= -1e-12 * norm(g) * norm(&ours)));
}

#[test]
fn equal_angles_aligned_components_and_config_equal_the_librarys() {
    for_each_case(|name, j, gramian, case| {
        let lib = &case["lib"];
        let p = mean(j.len());
        let what = |method: &str| format!("{method}, {name}");
        assert!(check(j, &imtl_g(gramian), &lib["IMTLG"], 1e-9, &what("IMTL-G")));
        assert!(check(j, &con_fig(gramian, &p), &lib["ConFIG"], 1e-9, &what("ConFIG")));
        for (key, scale) in [
            ("AlignedMTL_min", AlignedScale::Min),
            ("AlignedMTL_median", AlignedScale::Median),
            ("AlignedMTL_rmse", AlignedScale::Rmse),
        ] {
            assert!(check(j, &aligned(gramian, &p, scale), &lib[key], 1e-9, &what(key)));
        }
    });
}

fn sorted_orders(tasks: usize, descending: bool) -> Orders {
    let order = |t: usize| {
        let mut others: Vec<usize> = (0..tasks).filter(|&j| j != t).collect();
        if descending {
            others.reverse();
        }
        others
    };
    Orders((0..tasks).map(order).collect())
}

#[test]
fn gradient_surgery_equals_the_librarys_in_both_orders() {
    for_each_case(|name, j, gramian, case| {
        let ones = vec![1.0; j.len()];
        for (suffix, descending) in [("asc", false), ("desc", true)] {
            let orders = sorted_orders(j.len(), descending);
            let what = format!("{name}, {suffix}");
            let answer = |method: &str| &case["lib"][format!("{method}_{suffix}")];
            assert!(check(j, &pc_grad(gramian, &ones, &orders), answer("PCGrad"), 1e-9, &what));
            let mut vaccine = Vaccine { rate: 0.5, expected: vec![0.0; j.len() * j.len()] };
            let first = grad_vac(gramian, &ones, &orders, &mut vaccine);
            assert!(check(j, &first, answer("GradVac_step1"), 1e-6, &what));
            let second = grad_vac(gramian, &ones, &orders, &mut vaccine);
            assert!(check(j, &second, answer("GradVac_step2_same_J"), 1e-6, &what));
            let expected = rows(&answer("GradVac_step2_same_J")["phi_after"]).concat();
            assert!(vaccine.expected.iter().zip(expected).all(|(f, e)| (f - e).abs() < 1e-6), "{what}");
        }
    });
}

#[test]
fn surgery_on_two_tasks_is_the_projection_with_weights_of_one() {
    for_each_case(|name, j, gramian, _| {
        if j.len() == 2 {
            let pair = combine(j, &pc_grad(gramian, &[1.0; 2], &sorted_orders(2, false)));
            assert_direction(&combine(j, &up_grad(gramian, &[1.0; 2])), &pair, j, 1e-9, name);
        }
    });
}

#[test]
fn krum_and_the_trimmed_mean_equal_the_documented_examples() {
    let j = [[1., 1., 1.], [1., 0., 1.], [75., -666., 23.], [1., 2., 3.], [2., 0., 1.]].map(Vec::from);
    assert_eq!(krum(&Gramian::of_rows(&j).unwrap(), 1, 4), [0.25, 0.25, 0.0, 0.25, 0.25]);
    let j = [vec![1e11, 3.0], vec![1.0, -1e11], vec![-1e10, 1e10], vec![2.0, 2.0]];
    let mean = trimmed_mean(&TaskGradients::<f64>::of_numbers(&j), 1);
    assert_eq!(mean[0].to_vec(), [1.5, 2.5]);
    for_each_case(|name, j, _, case| {
        if let Some(answer) = case["lib"].get("TrimmedMean_1") {
            let found = trimmed_mean(&TaskGradients::<f64>::of_numbers(j), 1);
            assert_direction(&found[0].to_vec(), &numbers(&answer["aggregation"]), j, 1e-12, name);
        }
    });
}

#[test]
fn dropped_signs_equal_the_librarys_for_given_chances() {
    for_each_case(|name, j, _, case| {
        for key in ["GradDrop_given_U", "GradDrop_leak_given_U"] {
            let answer = &case["lib"][key];
            let chances = numbers(&answer["U"]);
            let leaks = answer.get("leak").map_or(Vec::new(), numbers);
            let (found, shares) = grad_drop(&TaskGradients::<f64>::of_numbers(j), |k| chances[k], &leaks);
            assert_direction(
                &found[0].to_vec(),
                &numbers(&answer["aggregation"]),
                j,
                1e-9,
                &format!("{name}, {key}"),
            );
            assert!(shares.iter().all(|share| (0.0..=1.0).contains(share)));
        }
    });
}

/// One step of a strategy on given rows.
fn decide(strategy: &mut dyn Strategy<f64>, j: &[Vec<f64>], losses: &[f64]) -> (Vec<f64>, Vec<f64>) {
    let gradients = TaskGradients::<f64>::of_numbers(j);
    let gramian = gradients.gramian().unwrap();
    let three = [gradients.clone(), gradients.clone(), gradients];
    let tasks: Vec<usize> = (0..j.len()).collect();
    let evidence = Evidence {
        tasks: &tasks,
        losses,
        preference: &mean(j.len()),
        gradients: &three,
        gramian: Some(&gramian),
        lookahead: None,
        seed: [0, 0],
    };
    let Decision { weights, direction, .. } = strategy.decide(&evidence).unwrap();
    let direction = direction.map_or_else(|| combine(j, &weights), |parts| Tensor::to_vec(&parts[0]));
    (weights, direction)
}

fn scaled(j: &[Vec<f64>], factors: impl Fn(usize) -> f64) -> Vec<Vec<f64>> {
    j.iter().enumerate().map(|(t, row)| row.iter().map(|x| x * factors(t)).collect()).collect()
}

fn assert_near(found: &[f64], expected: &[f64], tolerance: f64, what: &str) {
    assert_eq!(found.len(), expected.len(), "{what}");
    for (f, e) in found.iter().zip(expected) {
        assert!((f - e).abs() <= tolerance * e.abs().max(1.0), "{what}: {found:?} but {expected:?}");
    }
}

#[test]
fn strategies_that_remember_equal_the_librarys_over_several_calls() {
    for_each_case(|name, j, _, case| {
        let losses = vec![1.0; j.len()];
        let lib = &case["lib"];
        let mut excess = ExcessMtl::new(j.len(), 0.1);
        for (step, factor) in
            lib["ExcessMTL_step0.1_3calls"]["steps"].as_array().unwrap().iter().zip([1.0, 0.8, 0.6])
        {
            let j = scaled(j, |_| factor);
            let (weights, direction) = decide(&mut excess, &j, &losses);
            assert_near(&weights, &numbers(&step["weights"]), 1e-6, &format!("ExcessMTL, {name}"));
            assert_direction(&direction, &numbers(&step["aggregation"]), &j, 1e-6, name);
        }
        let mut pcd = Pcd::new(j.len(), 0.02, 0.999);
        for (answer, factor) in rows(&lib["PCD_tau0.02_2calls"]["aggregations"]).iter().zip([1.0, 1.5]) {
            let j = scaled(j, |_| factor);
            let (_, direction) = decide(&mut pcd, &j, &losses);
            assert_direction(&direction, answer, &j, 1e-6, &format!("PCD, {name}"));
        }
        let mut modo = MoDo::new(j.len(), 0.1, 0.1);
        for answer in rows(&lib["MoDo_g0.1_r0.1_3calls"]["weights"]) {
            assert_near(&decide(&mut modo, j, &losses).0, &answer, 1e-9, &format!("MoDo, {name}"));
        }
        let mut sdm = SdmGrad::new(j.len());
        for answer in rows(&lib["SDMGrad_2calls"]["weights"]) {
            assert_near(&decide(&mut sdm, j, &losses).0, &answer, 1e-6, &format!("SDMGrad, {name}"));
        }
    });
}

#[test]
fn smoothing_mixes_the_old_weights_with_the_exact_new_ones() {
    for_each_case(|name, j, _, case| {
        let inner = Rule::<f64>::on_gramian(|e| up_grad(e.gramian(), e.preference));
        let mut smooth = Smoothed::new(Box::new(inner), 0.9);
        let last = j.len() as f64 - 1.0;
        let reversed: Vec<Vec<f64>> = j.iter().rev().cloned().collect();
        let calls = [j.to_vec(), scaled(j, |t| 1.0 + t as f64 / last), reversed];
        // The library's inner weights are regularised, and those of dependent rows are not unique.
        let tolerance = if name.starts_with("edge") { 3e-2 } else { 2e-3 };
        for (j, answer) in calls.iter().zip(rows(&case["lib"]["CRMOGM(UPGrad)_a0.9_3calls"]["weights"])) {
            assert_near(&decide(&mut smooth, j, &vec![1.0; j.len()]).0, &answer, tolerance, name);
        }
    });
}

#[test]
fn scalarisations_equal_the_librarys() {
    let file = file();
    let all = &file["scalarizers"];
    let losses = [0.7, 1.9, 0.2];
    let derivative = |key: &str| numbers(&all[key]["dvalue_dlosses"]);
    let third = [1.0 / 3.0; 3];
    assert_near(&geometric_mean(&losses), &derivative("GeometricMean(GLS)"), 1e-9, "GLS");
    let preference = [0.2, 0.3, 0.5];
    assert_near(&cosmos(&losses, &preference, 2.0), &derivative("COSMOS_l2_w[.2,.3,.5]"), 1e-9, "COSMOS");
    assert_near(&smooth_chebyshev(&losses, &third, &[], 1.0), &derivative("STCH_mu1_uniform"), 1e-9, "STCH");
    assert_near(
        &smooth_chebyshev(&losses, &third, &[], 0.01),
        &derivative("STCH_mu0.01_uniform"),
        1e-9,
        "STCH",
    );
    let aimed = smooth_chebyshev(&losses, &preference, &[0.1; 3], 0.5);
    assert_near(&aimed, &derivative("STCH_mu0.5_w[.2,.3,.5]_ref[.1,.1,.1]"), 1e-9, "STCH");
    for (key, form, scales, slope) in [
        ("UW", LearnedForm::Uncertainty, "log_var", "dvalue_dlogvar"),
        ("IMTL-L", LearnedForm::Impartial, "log_scale", "dvalue_dscale"),
    ] {
        let learned = Learned::from_scales(form, numbers(&all[key][scales]), 0.1);
        let (weights, gradient) = learned.weights_and_gradient(&losses);
        assert_near(&gradient, &numbers(&all[key][slope]), 1e-9, key);
        // The weights of the two have log_var and log_scale with opposite signs.
        assert_near(&weights, &derivative(key), 1e-9, key);
    }
    let mut dwa = Dwa::new(2.0);
    for epoch in all["DWA_T2_one_batch_per_epoch"].as_array().unwrap() {
        let losses = numbers(&epoch["losses"]);
        let (weights, _) = decide(&mut dwa, &[vec![1.0], vec![1.0], vec![1.0]], &losses);
        assert_near(&weights, &numbers(&epoch["weights"]), 1e-9, "DWA");
        Strategy::<f64>::end_epoch(&mut dwa, &crate::EpochFigures { losses: &losses, metrics: &[] });
    }
    let mut famo = Famo::new(3, 0.025, 1e-3);
    for step in all["FAMO_lr.025_wd1e-3_3steps"].as_array().unwrap() {
        let (weights, _) = decide(&mut famo, &[vec![1.0], vec![1.0], vec![1.0]], &numbers(&step["losses"]));
        assert_near(&weights, &numbers(&step["dvalue_dlosses"]), 1e-6, "FAMO");
        Strategy::<f64>::after_step(&mut famo, &numbers(&step["after"]));
        assert_near(famo.logits(), &numbers(&step["logits_after_update"]), 1e-6, "FAMO");
    }
}

#[test]
fn the_simplex_projection_is_the_known_one() {
    assert_near(&project_to_simplex(&[0.5, 0.7, 0.1]), &[0.4, 0.6, 0.0], 1e-15, "projection");
    assert_near(&project_to_simplex(&[-5.0, 9.0]), &[0.0, 1.0], 1e-15, "projection");
}
