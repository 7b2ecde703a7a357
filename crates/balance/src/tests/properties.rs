//! What the strategies promise, on thousands of random Jacobians: of one to eight
//! tasks in one to twelve dimensions (so often dependent rows), scaled as a whole by
//! 1e-15 to 1e15 and by row over a ratio of up to 1e6.

use proptest::prelude::*;

use super::{combine, dot, norm};
use crate::Gramian;
use crate::on_gramian::*;

/// A direction shorter than this share of the longest weighted row is zero.
const ZERO: f64 = 1e-9;

#[derive(Debug, Clone)]
struct Case {
    j: Vec<Vec<f64>>,
    /// The same without the common scale.
    unscaled: Vec<Vec<f64>>,
    scale: f64,
    preference: Vec<f64>,
}

fn cases() -> impl Strategy<Value = Case> {
    let shape = (1usize..9, 1usize..13);
    (
        shape,
        prop::collection::vec(-1.0f64..1.0, 96),
        prop::collection::vec(0.0f64..1.0, 16),
        -15i32..16,
        0.0f64..6.0,
    )
        .prop_map(|((tasks, size), values, chances, exponent, spread)| {
            let scale = 10f64.powi(exponent);
            let row = |t: usize| -> Vec<f64> {
                // Now and then a copy of the first row, its opposite, or zero.
                let (source, factor) = match chances[8 + t] {
                    x if x < 0.04 => (0, 1.0),
                    x if x < 0.08 => (0, -0.5),
                    x if x < 0.1 => (t, 0.0),
                    _ => (t, 1.0),
                };
                let length = 10f64.powf(-spread * chances[t]) * factor;
                values[source * 12..source * 12 + size].iter().map(|x| x * length).collect()
            };
            let unscaled: Vec<Vec<f64>> = (0..tasks).map(row).collect();
            let j = unscaled.iter().map(|row| row.iter().map(|x| x * scale).collect()).collect();
            let sum: f64 = (0..tasks).map(|t| 0.05 + chances[15 - t]).sum();
            let preference = (0..tasks).map(|t| (0.05 + chances[15 - t]) / sum).collect();
            Case { j, unscaled, scale, preference }
        })
}

type Rule = fn(&Gramian, &[f64]) -> Vec<f64>;

/// Those that promise not to hurt any task.
const NON_CONFLICTING: [(&str, Rule); 4] = [
    ("UPGrad", up_grad),
    ("DualProj", dual_projection),
    ("MGDA", |g, _| mgda(g)),
    ("CAGrad, c = 1", |g, p| ca_grad(g, p, 1.0, Rescale::None)),
];

const ALL: [(&str, Rule); 11] = [
    ("UPGrad", up_grad),
    ("DualProj", dual_projection),
    ("MGDA", |g, _| mgda(g)),
    ("CAGrad", |g, p| ca_grad(g, p, 0.4, Rescale::None)),
    ("Nash", |g, p| fair_grad(g, p, 1.0)),
    ("FairGrad", |g, p| fair_grad(g, p, 2.0)),
    ("Aligned", |g, p| aligned(g, p, AlignedScale::Min)),
    ("IMTL-G", |g, _| imtl_g(g)),
    ("ConFIG", con_fig),
    ("PCGrad", |g, p| pc_grad(g, p, &ascending(g.tasks()))),
    ("GradVac", |g, p| {
        let mut vaccine = Vaccine { rate: 0.5, expected: vec![0.0; g.tasks() * g.tasks()] };
        grad_vac(g, p, &ascending(g.tasks()), &mut vaccine)
    }),
];

fn ascending(tasks: usize) -> Orders {
    Orders((0..tasks).map(|t| (0..tasks).filter(|&j| j != t).collect()).collect())
}

/// The longest of the rows times their weights: the scale of rounding errors.
fn reach(j: &[Vec<f64>], weights: &[f64]) -> f64 {
    j.iter().zip(weights).map(|(row, w)| norm(row) * w.abs()).fold(0.0, f64::max)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    #[test]
    fn weights_are_finite_at_any_scale(case in cases()) {
        let gramian = Gramian::of_rows(&case.j).unwrap();
        for (name, rule) in ALL {
            let weights = rule(&gramian, &case.preference);
            prop_assert!(weights.iter().all(|w| w.is_finite()), "{name}: {weights:?}");
        }
    }

    #[test]
    fn no_task_is_hurt_where_that_is_promised(case in cases()) {
        let gramian = Gramian::of_rows(&case.j).unwrap();
        for (name, rule) in NON_CONFLICTING {
            let weights = rule(&gramian, &case.preference);
            let d = combine(&case.j, &weights);
            if norm(&d) <= ZERO * reach(&case.j, &weights) {
                continue;
            }
            for g in &case.j {
                let gain = dot(g, &d);
                prop_assert!(gain >= -1e-9 * norm(g) * norm(&d), "{name}: {:e}", gain / norm(g) / norm(&d));
            }
        }
    }

    #[test]
    fn the_duality_gap_of_the_shortest_vector_vanishes(case in cases()) {
        let weights = mgda(&Gramian::of_rows(&case.j).unwrap());
        prop_assert!((weights.iter().sum::<f64>() - 1.0).abs() < 1e-12 && weights.iter().all(|w| *w >= 0.0));
        let d = combine(&case.j, &weights);
        if norm(&d) <= ZERO * reach(&case.j, &weights) {
            return Ok(());
        }
        // |d|² − min g·d is zero at the optimum, and an upper bound of the error elsewhere.
        for g in &case.j {
            prop_assert!(dot(&d, &d) - dot(g, &d) <= 1e-9 * norm(g) * norm(&d));
        }
    }

    #[test]
    fn the_projection_of_the_mean_satisfies_its_optimality_conditions(case in cases()) {
        let weights = dual_projection(&Gramian::of_rows(&case.j).unwrap(), &case.preference);
        let d = combine(&case.j, &weights);
        let reach = reach(&case.j, &weights);
        for ((w, p), g) in weights.iter().zip(&case.preference).zip(&case.j) {
            prop_assert!(w - p >= -1e-12 * p, "w >= p");
            let slack = (w - p) * norm(g);
            prop_assert!(slack * (dot(g, &d) / norm(g).max(f64::MIN_POSITIVE)).abs() <= 1e-9 * reach * reach);
        }
    }

    #[test]
    fn the_conflict_averse_step_is_optimal(case in cases()) {
        let gramian = Gramian::of_rows(&case.j).unwrap();
        let c = 0.4;
        let weights = ca_grad(&gramian, &case.preference, c, Rescale::None);
        let mean = combine(&case.j, &case.preference);
        let radius = c * norm(&mean);
        if weights.iter().all(|w| *w == 0.0) || radius <= ZERO * reach(&case.j, &case.preference) {
            return Ok(());
        }
        let d = combine(&case.j, &weights);
        let lift: Vec<f64> = weights.iter().zip(&case.preference).map(|(w, p)| w - p).collect();
        // The gap between min g·d and the upper bound that the multipliers prove.
        let sum: f64 = lift.iter().sum();
        prop_assert!(lift.iter().all(|y| *y >= -1e-12 * sum.abs()));
        let multipliers: Vec<f64> = lift.iter().map(|y| y / sum).collect();
        let pull = combine(&case.j, &multipliers);
        let bound = dot(&pull, &mean) + radius * norm(&pull);
        let worst = case.j.iter().map(|g| dot(g, &d)).fold(f64::INFINITY, f64::min);
        let off: Vec<f64> = d.iter().zip(&mean).map(|(d, mean)| d - mean).collect();
        // If rows cancel, the Gramian, made of squares, gives the length only to this precision.
        let weighted = reach(&case.j, &case.preference).max(reach(&case.j, &weights));
        let known = 1e-15 * weighted * weighted / radius;
        let allowed = 1e-9 * (radius + ZERO * weighted) + known;
        prop_assert!((norm(&off) - radius).abs() <= allowed, "off by {:e}", norm(&off) / radius - 1.0);
        // Of a small angle between nearly opposite rows the Gramian has only the last digits, and
        // weights many times as long as the direction multiply the missing ones.
        let longest = case.j.iter().map(|g| norm(g)).fold(0.0, f64::max);
        let angle = if well_conditioned(&case.unscaled) { 0.0 } else { 1e-12 * longest * weighted };
        let pulled = reach(&case.j, &multipliers);
        let unit = pulled * (norm(&mean) + radius);
        let allowed = tolerance(&case.unscaled) * unit + pulled * known + angle;
        prop_assert!(bound - worst <= allowed, "gap {:e} of {:e}", (bound - worst) / unit, allowed / unit);
    }

    #[test]
    fn fair_gains_are_in_the_stated_proportion(case in cases(), alpha in prop::sample::select(vec![0.5, 1.0, 2.0])) {
        let gramian = Gramian::of_rows(&case.unscaled).unwrap();
        let weights = fair_grad(&gramian, &case.preference, alpha);
        if weights.iter().all(|w| *w == 0.0) {
            return Ok(());
        }
        for (t, w) in weights.iter().enumerate() {
            if gramian.norms()[t] == 0.0 {
                prop_assert_eq!(*w, 0.0);
                continue;
            }
            let gain: f64 = (0..weights.len()).map(|k| gramian.product(t, k) * weights[k]).sum();
            let size: f64 = (0..weights.len()).map(|k| (gramian.product(t, k) * weights[k]).abs()).sum();
            let due = case.preference[t] * w.powf(-1.0 / alpha);
            prop_assert!((gain - due).abs() <= 1e-9 * (due + 1e-3 * size), "{gain:e} is due {due:e}");
        }
        if alpha == 1.0 {
            let d = combine(&case.unscaled, &weights);
            let total: f64 = (0..weights.len()).filter(|&t| weights[t] > 0.0).map(|t| case.preference[t]).sum();
            prop_assert!((dot(&d, &d) - total).abs() <= 10.0 * tolerance(&case.unscaled) * total, "|d|² is {}", dot(&d, &d));
        }
    }

    #[test]
    fn the_order_of_the_tasks_does_not_matter(case in cases()) {
        let gramian = Gramian::of_rows(&case.j).unwrap();
        let turned = |x: &[f64]| -> Vec<f64> { x.iter().rev().copied().collect() };
        let rows: Vec<Vec<f64>> = case.j.iter().rev().cloned().collect();
        let backwards = Gramian::of_rows(&rows).unwrap();
        for (name, rule) in &ALL[..9] {
            // With dependent rows, whether a solution exists is a matter of rounding.
            if case.j.len() >= case.j[0].len() && matches!(*name, "Nash" | "FairGrad" | "CAGrad" | "Aligned" | "ConFIG" | "IMTL-G") {
                continue;
            }
            let there = rule(&gramian, &case.preference);
            let back = turned(&rule(&backwards, &turned(&case.preference)));
            let (d, e) = (combine(&case.j, &there), combine(&case.j, &back));
            let off = norm(&d.iter().zip(&e).map(|(a, b)| a - b).collect::<Vec<_>>());
            // Copied or opposite rows are exceptions for the same reason.
            if well_conditioned(&case.unscaled) {
                prop_assert!(off <= 1e-9 * norm(&d) + 1e-12 * reach(&case.j, &there), "{name}: {:e}", off / norm(&d));
            }
        }
    }

    #[test]
    fn the_common_scale_only_scales_the_direction(case in cases()) {
        let plain = Gramian::of_rows(&case.unscaled).unwrap();
        let scaled = Gramian::of_rows(&case.j).unwrap();
        for (name, rule) in &ALL {
            if !well_conditioned(&case.unscaled) {
                continue;
            }
            // The direction scales with the first power of the gradients, except for bargaining.
            let power = match *name { "Nash" => 0.0, "FairGrad" => -1.0 / 3.0, _ => 1.0 };
            let d = combine(&case.unscaled, &rule(&plain, &case.preference));
            let e = combine(&case.j, &rule(&scaled, &case.preference));
            let factor = case.scale.powf(power);
            let off = norm(&d.iter().zip(&e).map(|(a, b)| a * factor - b).collect::<Vec<_>>());
            prop_assert!(off <= 1e-9 * norm(&e), "{name}: {:e}", off / norm(&e));
        }
    }

    #[test]
    fn scaling_one_task_scales_its_share_of_the_projections(case in cases(), factor in 0.01f64..100.0) {
        // UPGrad is linear in the scale of each row.
        let stretched: Vec<Vec<f64>> = case.j.iter().enumerate()
            .map(|(t, row)| row.iter().map(|x| if t == 0 { x * factor } else { *x }).collect())
            .collect();
        let at = |j: &[Vec<f64>], p: &[f64]| combine(j, &up_grad(&Gramian::of_rows(j).unwrap(), p));
        let mut p = case.preference.clone();
        let found = at(&stretched, &p);
        p[0] *= factor;
        let expected = at(&case.j, &p);
        let off = norm(&found.iter().zip(&expected).map(|(a, b)| a - b).collect::<Vec<_>>());
        let longest = case.j.iter().zip(&p).map(|(row, p)| p * norm(row)).fold(0.0, f64::max);
        let tolerance = tolerance(&case.unscaled);
        prop_assert!(off <= tolerance * norm(&expected) + 0.1 * tolerance * longest, "off by {:e}", off / longest);
    }
}

/// Whether the unit rows are far from dependent.
fn well_conditioned(j: &[Vec<f64>]) -> bool {
    let gramian = Gramian::of_rows(j).unwrap();
    let values = crate::solvers::eigen(gramian.cosines()).values;
    values.iter().copied().fold(f64::INFINITY, f64::min) > 1e-4
}

/// The error allowed: a Gramian gives an angle between rows only to the square root
/// of its own rounding, so nearly dependent rows keep half of the digits.
fn tolerance(j: &[Vec<f64>]) -> f64 {
    if well_conditioned(j) { 1e-9 } else { 1e-7 }
}

#[test]
fn gradients_that_are_no_numbers_are_refused_by_name() {
    use crate::BalanceError;
    for bad in [f64::NAN, f64::INFINITY] {
        let error = Gramian::of_rows(&[vec![1.0, 2.0], vec![bad, 0.0]]).unwrap_err();
        assert_eq!(error, BalanceError::NotFinite { task: 1 });
    }
}

#[test]
fn zero_duplicate_and_opposite_gradients_do_what_is_documented() {
    let all = |j: &[Vec<f64>]| -> Vec<(&str, Vec<f64>, Vec<f64>)> {
        let gramian = Gramian::of_rows(j).unwrap();
        let p = vec![1.0 / j.len() as f64; j.len()];
        let each = |(name, rule): (&'static str, Rule)| {
            let weights = rule(&gramian, &p);
            let d = combine(j, &weights);
            (name, weights, d)
        };
        ALL.map(each).to_vec()
    };
    // All zero: every direction is zero, and every weight a number.
    for (name, weights, d) in all(&[vec![0.0; 3], vec![0.0; 3]]) {
        assert!(norm(&d) == 0.0 && weights.iter().all(|w| w.is_finite()), "{name}");
    }
    // One zero: MGDA and CAGrad give zero, the others go on without it.
    for (name, weights, d) in all(&[vec![1.0, 2.0], vec![0.0, 0.0]]) {
        let stands = matches!(name, "MGDA" | "CAGrad");
        assert_eq!(norm(&d) == 0.0, stands, "{name}");
        if matches!(name, "UPGrad" | "DualProj" | "PCGrad" | "GradVac") {
            assert_eq!(weights[1], 0.5, "{name}");
        } else if !stands {
            assert_eq!(weights[1], 0.0, "{name}");
        }
    }
    // Opposite: every direction is zero.
    for (name, _, d) in all(&[vec![1.0, 2.0, -1.0], vec![-1.0, -2.0, 1.0]]) {
        assert!(norm(&d) < 1e-12, "{name}: {d:?}");
    }
    // Duplicates: no conflict, so the direction is along the gradient.
    for (name, _, d) in all(&[vec![3.0, 4.0], vec![3.0, 4.0]]) {
        assert!((dot(&d, &[3.0, 4.0]) - 5.0 * norm(&d)).abs() < 1e-9 && norm(&d) > 0.1, "{name}: {d:?}");
    }
}

/// Two active sets between which the level alternated.
#[test]
fn a_level_between_two_active_sets_is_found() {
    let j = vec![
        vec![0.8964167654071717, 0.5788961904839819, -0.5616533879800125, 0.0],
        vec![0.19360153940254543, 0.9058352491901609, 0.0, -0.7495191053149471],
        vec![0.0, 0.0, 0.0, -3.6935988888283507e-5],
        vec![-8.022803810233545e-6, -1.5628491033101583e-5, 9.722536794393923e-6, 3.6689454692002303e-6],
        vec![-2.1022309495606503e-7, -6.891988820503997e-7, 1.0333275935040726e-6, -2.457036975553369e-7],
        vec![-0.0031147569971962863, -0.004304003936660291, 0.0, 0.0026333017728314106],
    ];
    let preference = [0.0222, 0.0222, 0.3689, 0.1831, 0.2190, 0.1846];
    let weights = ca_grad(&Gramian::of_rows(&j).unwrap(), &preference, 1.0, Rescale::None);
    let d = combine(&j, &weights);
    for g in &j {
        assert!(dot(g, &d) > 0.0, "{:e}", dot(g, &d) / norm(g) / norm(&d));
    }
}
