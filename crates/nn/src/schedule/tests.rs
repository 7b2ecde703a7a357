//! The schedules at their corners; `tests/parity/optimisers.rs` compares whole runs with PyTorch.

use approx::assert_abs_diff_eq;
use proptest::prelude::*;

use std::f64::consts::PI;

use super::*;

#[test]
fn warm_up_meets_the_cosine_and_the_floor_is_kept() {
    let s = Schedule::WarmupCosine { peak: 1.0, floor: 0.1, warmup_steps: 4, total_steps: 24 };
    assert_eq!([0, 1, 2, 3, 4].map(|step| s.rate(step)), [0.25, 0.5, 0.75, 1.0, 1.0]);
    assert_abs_diff_eq!(s.rate(14), 0.55, epsilon = 1e-12);
    assert!((s.rate(24) - 0.1).abs() < 1e-12 && s.rate(1000) == s.rate(24));
}

#[test]
fn one_cycle_equals_the_cosine_formula_at_its_corners_and_between() {
    let s = Schedule::one_cycle(0.1, 100);
    assert_abs_diff_eq!(s.rate(0), 0.004, epsilon = 1e-15);
    assert_abs_diff_eq!(s.rate(29), 0.1, epsilon = 1e-15);
    assert!((s.rate(99) - 0.004 / 1e4).abs() < 1e-15 && s.rate(500) == s.rate(99));
    // Seven parts in 29 of the way up, half of the way down.
    let up = 0.1 + (0.004 - 0.1) / 2.0 * (1.0 + (PI * 7.0 / 29.0).cos());
    assert_abs_diff_eq!(s.rate(7), up, epsilon = 1e-15);
    assert_abs_diff_eq!(s.rate(64), (0.1 + 0.004 / 1e4) / 2.0, epsilon = 1e-15);
}

#[test]
fn no_step_of_an_odd_schedule_is_undefined() {
    for total_steps in 0..5 {
        for pct_start in [0.0, 0.3, 0.5, 1.0] {
            let one = Schedule::OneCycle {
                peak: 1.0,
                total_steps,
                pct_start,
                div_factor: 10.0,
                final_div_factor: 10.0,
            };
            let warm =
                Schedule::WarmupCosine { peak: 1.0, floor: 0.0, warmup_steps: total_steps, total_steps };
            assert!((0..8).all(|step| one.rate(step).is_finite() && warm.rate(step).is_finite()));
        }
    }
}

#[test]
fn a_schedule_survives_json_and_a_bad_one_is_named() {
    let s = Schedule::one_cycle(0.002, 1000);
    let text = serde_json::to_string(&s).unwrap();
    assert_eq!(serde_json::from_str::<Schedule>(&text).unwrap().check(), Ok(s.clone()));
    let short: Schedule =
        serde_json::from_str(r#"{"kind":"one_cycle","peak":0.002,"total_steps":1000}"#).unwrap();
    assert_eq!(short, s);
    let bad: Schedule = serde_json::from_str(r#"{"kind":"one_cycle","peak":0.1,"total_steps":0}"#).unwrap();
    assert_eq!(bad.check().unwrap_err().to_string(), "schedule: total_steps is 0; it must be at least 1");
}

#[test]
fn a_step_schedule_falls_at_every_multiple_and_a_multi_step_one_at_its_milestones() {
    let step = Schedule::Step { rate: 1.0, step_size: 3, gamma: 0.5 };
    assert_eq!([0, 2, 3, 5, 6].map(|at| step.rate(at)), [1.0, 1.0, 0.5, 0.5, 0.25]);
    let milestones = Schedule::MultiStep { rate: 1.0, milestones: vec![2, 2, 5], gamma: 0.5 };
    assert_eq!([0, 1, 2, 4, 5, 90].map(|at| milestones.rate(at)), [1.0, 1.0, 0.25, 0.25, 0.125, 0.125]);
}

#[test]
fn a_warm_up_ends_where_the_schedule_after_it_begins() {
    let then = Schedule::Exponential { rate: 0.8, gamma: 0.5 };
    let schedule = then.clone().after_warmup(4);
    assert_eq!([0, 1, 3, 4, 5].map(|at| schedule.rate(at)), [0.2, 0.4, 0.8, 0.8, 0.4]);
    assert_eq!(then.clone().after_warmup(0).rate(1), then.rate(1));
}

#[test]
fn a_restart_begins_at_the_peak_and_later_cycles_are_longer() {
    let schedule = Schedule::CosineRestarts { peak: 1.0, floor: 0.0, period: 4, period_factor: 2 };
    let peaks: Vec<usize> = (0..60).filter(|&at| schedule.rate(at) == 1.0).collect();
    assert_eq!(peaks, [0, 4, 12, 28]);
    assert_abs_diff_eq!(schedule.rate(8), 0.5, epsilon = 1e-15);
}

#[test]
fn a_polynomial_reaches_its_floor_and_keeps_it() {
    let schedule = Schedule::Polynomial { peak: 1.0, floor: 0.2, total_steps: 10, power: 2.0 };
    assert_abs_diff_eq!(schedule.rate(5), 0.2 + 0.8 * 0.25, epsilon = 1e-15);
    assert_eq!((schedule.rate(0), schedule.rate(10), schedule.rate(99)), (1.0, 0.2, 0.2));
}

/// Every kind with numbers that no check would accept, but that are not NaN.
fn odd() -> Vec<Schedule> {
    let mut all = vec![
        Schedule::Step { rate: 1.0, step_size: 0, gamma: 0.5 },
        Schedule::MultiStep { rate: 1.0, milestones: vec![usize::MAX, 0], gamma: 0.5 },
        Schedule::Exponential { rate: 1.0, gamma: 0.0 },
        Schedule::CosineRestarts { peak: 1.0, floor: 0.0, period: 0, period_factor: 0 },
        Schedule::CosineRestarts { peak: 1.0, floor: 0.0, period: 1, period_factor: 1 },
        Schedule::CosineRestarts { peak: 1.0, floor: 0.0, period: usize::MAX, period_factor: 2 },
        Schedule::Polynomial { peak: 1.0, floor: 0.0, total_steps: 0, power: 0.0 },
    ];
    all.extend(all.clone().into_iter().map(|schedule| schedule.after_warmup(3)));
    all
}

#[test]
fn no_step_is_undefined_however_late_and_whatever_the_counts() {
    for schedule in odd() {
        for step in [0, 1, 2, 3, 4, 1_000_000, usize::MAX] {
            assert!(schedule.rate(step).is_finite(), "{schedule:?} at {step}: {}", schedule.rate(step));
        }
    }
}

#[test]
fn every_bad_number_is_named_inside_a_warm_up_too() {
    let refused = |text: &str, expected: &str| {
        let schedule: Schedule = serde_json::from_str(text).unwrap();
        let message = schedule.check().unwrap_err().to_string();
        assert!(message.contains(expected), "{message}");
    };
    refused(
        r#"{"kind":"step","rate":0.1,"step_size":0,"gamma":0.5}"#,
        "step_size is 0; it must be at least 1",
    );
    refused(
        r#"{"kind":"multi_step","rate":0.1,"milestones":[3,2],"gamma":0.5}"#,
        "milestones is 3, 2; it must be",
    );
    refused(r#"{"kind":"exponential","rate":0.1,"gamma":-1}"#, "gamma is -1");
    refused(r#"{"kind":"cosine_restarts","peak":0.1,"period":0}"#, "period is 0");
    refused(r#"{"kind":"cosine_restarts","peak":0.1,"period":5,"period_factor":0}"#, "period_factor is 0");
    refused(r#"{"kind":"polynomial","peak":0.1,"total_steps":5,"power":-2}"#, "power is -2");
    refused(r#"{"kind":"warmup","warmup_steps":5,"then":{"kind":"constant","rate":-2}}"#, "rate is -2");
    assert!(serde_json::from_str::<Schedule>(r#"{"kind":"step","rate":0.1,"size":3,"gamma":1}"#).is_err());
}

/// Any schedule that a check accepts, with its highest rate.
fn valid() -> impl Strategy<Value = (Schedule, f64)> {
    let numbers = (0.0f64..10.0, 0.0f64..=1.0, 1usize..200, 1usize..5, 0usize..50);
    (numbers, 0..8).prop_map(|((peak, part, steps, factor, warmup), kind)| {
        let (rate, gamma, floor, period) = (peak, part, part * peak, steps);
        let schedule = match kind {
            0 => Schedule::Constant { rate },
            1 => Schedule::WarmupCosine { peak, floor, warmup_steps: steps / 2, total_steps: steps },
            2 => Schedule::one_cycle(peak, steps),
            3 => Schedule::Step { rate, step_size: steps, gamma },
            4 => Schedule::MultiStep { rate, milestones: vec![steps / 3, steps], gamma },
            5 => Schedule::Exponential { rate, gamma },
            6 => Schedule::CosineRestarts { peak, floor, period, period_factor: factor },
            _ => Schedule::Polynomial { peak, floor, total_steps: steps, power: 4.0 * part },
        };
        (if warmup % 2 == 0 { schedule } else { schedule.after_warmup(warmup) }, peak)
    })
}

proptest! {
    #[test]
    fn no_rate_is_negative_or_above_the_highest((schedule, highest) in valid(), step in 0usize..1000) {
        let schedule = schedule.check().unwrap();
        let rate = schedule.rate(step);
        prop_assert!((0.0..=highest * (1.0 + 1e-12)).contains(&rate), "{rate} of {schedule:?}");
    }

    #[test]
    fn a_schedule_is_the_same_after_json((schedule, _) in valid()) {
        let text = serde_json::to_string(&schedule).unwrap();
        prop_assert_eq!(serde_json::from_str::<Schedule>(&text).unwrap(), schedule);
    }
}
