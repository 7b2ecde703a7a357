//! All strategies by name: they run, remember, and continue from what they remember.

use crate::{
    BalanceError, Decision, EpochFigures, Evidence, Gramian, NAMES, Orders, Strategy, TaskGradients, by_name,
};

/// Runs `steps` of made-up training, from step `from`.
fn drive(strategy: &mut dyn Strategy<f32>, from: u64, steps: u64) -> Vec<Decision> {
    let mut decisions = Vec::new();
    for step in from..from + steps {
        let row = |t: u64| {
            (0..7).map(|k| ((step * 31 + t * 7 + k) as f64 * 1.7).sin() * (1.0 + t as f64)).collect()
        };
        let part =
            |shift: u64| TaskGradients::<f32>::of_numbers(&[row(shift), row(shift + 1), row(shift + 2)]);
        let three = [part(0), part(3), part(6)];
        let losses = [0.0f64, 1.0, 2.0].map(|t| 1.0 + t / (1.0 + step as f64));
        let gramian = three[0].gramian().unwrap();
        let evidence = Evidence {
            tasks: &[0, 1, 2],
            losses: &losses,
            preference: &[0.5, 0.25, 0.25],
            gradients: &three,
            gramian: Some(&gramian),
            lookahead: Some(&[0.1, -0.2, 0.3]),
            seed: [7, step],
        };
        decisions.push(strategy.decide(&evidence).unwrap());
        strategy.after_step(&losses.map(|loss| 0.9 * loss));
        if step % 3 == 2 {
            strategy
                .end_epoch(&EpochFigures { losses: &losses, metrics: &[Some(0.2), Some(0.5), Some(0.7)] });
        }
    }
    decisions
}

fn bits(decisions: &[Decision]) -> Vec<(Vec<u64>, Vec<u32>, Option<String>)> {
    let one = |d: &Decision| {
        let direction =
            d.direction.iter().flatten().flat_map(|part| part.to_vec()).map(f32::to_bits).collect();
        (d.weights.iter().map(|w| w.to_bits()).collect(), direction, d.order.as_ref().map(Orders::to_string))
    };
    decisions.iter().map(one).collect()
}

#[test]
fn every_strategy_continues_from_its_memory_bit_for_bit() {
    let names = NAMES.iter().map(|name| name.to_string());
    for name in names.chain(["smooth-mgda", "smooth-gradvac"].map(String::from)) {
        let fresh = || by_name::<f32>(&name, 3, &[1.0, 1.0, 1.5]).unwrap();
        let mut whole = fresh();
        let expected = drive(&mut *whole, 0, 11);
        assert!(
            expected.iter().all(|d| d.weights.len() == 3 && d.weights.iter().all(|w| w.is_finite())),
            "{name}"
        );
        for cut in [1, 4, 9] {
            let mut first = fresh();
            let mut found = drive(&mut *first, 0, cut);
            let mut second = fresh();
            second.restore(&first.memory()).unwrap();
            found.extend(drive(&mut *second, cut, 11 - cut));
            assert!(bits(&found) == bits(&expected), "{name}, cut after {cut}");
        }
    }
}

#[test]
fn memory_of_another_strategy_is_refused() {
    let memory = by_name::<f32>("uw", 3, &[]).unwrap().memory();
    for name in ["moco", "dwa", "modo", "gradvac"] {
        let error = by_name::<f32>(name, 3, &[]).unwrap().restore(&memory).unwrap_err();
        assert!(matches!(error, BalanceError::Memory(_)), "{name}");
    }
}

#[test]
fn names_that_do_not_exist_or_do_not_fit_are_refused_with_the_remedy() {
    let refuse = |name: &str, tasks: usize| by_name::<f32>(name, tasks, &[]).err().unwrap().to_string();
    assert!(refuse("magic", 3).contains("fixed, equal"));
    assert!(refuse("smooth-uw", 3).contains("smooth-mgda"));
    assert!(refuse("krum", 2).contains("at least 3"));
}

#[test]
fn random_orders_are_recorded_and_depend_on_seed_and_step_alone() {
    let orders = |seed: u64| -> Vec<String> {
        (0..20)
            .map(|step| {
                let gramian = Gramian::of_rows(&[[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]]).unwrap();
                let evidence = Evidence {
                    tasks: &[0, 1, 2],
                    losses: &[1.0; 3],
                    preference: &[1.0 / 3.0; 3],
                    gradients: &[],
                    gramian: Some(&gramian),
                    lookahead: None,
                    seed: [seed, step],
                };
                by_name::<f32>("pcgrad", 3, &[])
                    .unwrap()
                    .decide(&evidence)
                    .unwrap()
                    .order
                    .unwrap()
                    .to_string()
            })
            .collect()
    };
    assert_eq!(orders(1), orders(1));
    assert_ne!(orders(1), orders(2));
    assert!(orders(1).iter().any(|order| *order != orders(1)[0]), "the orders vary from step to step");
}

#[test]
fn losses_that_are_no_numbers_are_refused_by_every_strategy() {
    let gradients = TaskGradients::<f32>::of_numbers(&[vec![1.0], vec![2.0], vec![3.0]]);
    let three = [gradients.clone(), gradients.clone(), gradients];
    let gramian = three[0].gramian().unwrap();
    let evidence = Evidence {
        tasks: &[0, 1, 2],
        losses: &[1.0, f64::NAN, 1.0],
        preference: &[1.0 / 3.0; 3],
        gradients: &three,
        gramian: Some(&gramian),
        lookahead: None,
        seed: [0, 0],
    };
    for name in NAMES {
        let error = by_name::<f32>(name, 3, &[1.0; 3]).unwrap().decide(&evidence).unwrap_err();
        assert_eq!(error, BalanceError::NotFinite { task: 1 }, "{name}");
    }
}

#[test]
fn blocked_products_are_the_plain_sums_for_any_length() {
    for len in [1, 7, 8, 4096, 70_001] {
        let row = |t: usize| (0..len).map(|k| ((k * 37 + t * 11) % 101) as f64 - 50.0).collect::<Vec<f64>>();
        let rows = [row(0), row(1), row(2)];
        let gradients = TaskGradients::<f32>::of_numbers(&rows);
        let products = gradients.cross_products(&gradients.clone());
        let symmetric = gradients.cross_products(&gradients);
        for i in 0..3 {
            for j in 0..3 {
                // Whole numbers: the sums are exact in any order.
                let expected: f64 = rows[i].iter().zip(&rows[j]).map(|(a, b)| a * b).sum();
                assert_eq!(products[i * 3 + j], expected);
                assert_eq!(symmetric[i * 3 + j], expected);
            }
        }
    }
}
