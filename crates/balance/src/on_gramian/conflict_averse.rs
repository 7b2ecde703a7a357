//! The direction near the average that serves the worst-off task best.

use crate::Gramian;
use crate::solvers::{Matrix, dot, nnls, solve_on};

use super::mgda;

/// The divisor of CAGrad's direction; implementations disagree on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rescale {
    /// No divisor, as in the paper.
    None,
    /// `1 + c²`, as in the authors' code.
    OnePlusSquare,
    /// `1 + c`.
    OnePlus,
}

/// CAGrad: `max_d min_t g_t·d` with `|d − g₀| <= c |g₀|` around `g₀ = Jᵀp` (Liu et al.,
/// "Conflict-Averse Gradient Descent", 2021, eq. 3).
///
/// With `d = g₀ + Jᵀy`, `y >= 0`, the worst-off task's gain reaches a level `ν` by the shortest `Jᵀy` with
/// `J Jᵀy >= ν − J g₀`. This is a least-distance problem (Lawson and Hanson, 1974, chapter 23). The length of
/// its solution grows with `ν` along hyperbolas, one per active set; the solver follows them to the level at
/// which the length is `c |g₀|`, and is exact once the active set is right.
///
/// If no direction within the radius has a positive least gain (a zero gradient, or a convex combination of
/// gradients that vanishes, with `c` large enough), the weights are zero. Opposite gradients of equal length
/// give `d = 0`.
pub fn ca_grad(gramian: &Gramian, preference: &[f64], c: f64, rescale: Rescale) -> Vec<f64> {
    let lift = lift(gramian, preference, c);
    let divisor = match rescale {
        Rescale::None => 1.0,
        Rescale::OnePlusSquare => 1.0 + c * c,
        Rescale::OnePlus => 1.0 + c,
    };
    match lift {
        Some(lift) => preference.iter().zip(lift).map(|(p, y)| (p + y) / divisor).collect(),
        None => vec![0.0; preference.len()],
    }
}

/// Levels tried before the search ends at the lower bound; the active set is nearly
/// always right after two or three.
const ROUNDS: usize = 200;

/// The weights `y`, or `None` if the best direction is zero.
fn lift(gramian: &Gramian, preference: &[f64], c: f64) -> Option<Vec<f64>> {
    let radius = c * gramian.length(preference);
    if radius == 0.0 {
        return Some(vec![0.0; preference.len()]);
    }
    let mut climb = Climb::new(gramian, preference, radius);
    // The level without any lift, and the level 0: no task hurt.
    let (mut low, mut high) = (climb.start, f64::INFINITY);
    if low < 0.0 {
        climb.to(0.0);
        if climb.length() < radius { low = 0.0 } else { high = 0.0 }
    }
    if high > 0.0 && stuck(gramian) {
        return None;
    }
    // A task's gain grows by at most |g_t| times the radius.
    let most = climb.gains.iter().zip(gramian.norms()).map(|(gain, norm)| (gain + radius) * norm);
    high = most.fold(high, f64::min);
    climb.to(high);
    for round in 1..=ROUNDS {
        let before = climb.active();
        // The level may alternate between the bounds as the active set changes, so a
        // bound is never tried again and every third level bisects the interval.
        let guess = climb.level_of_radius().filter(|level| round % 3 > 0 && low < *level && *level < high);
        let level = guess.unwrap_or(0.5 * (low + high));
        climb.to(level);
        if guess.is_some() && climb.active() == before {
            break;
        }
        if climb.length() < radius {
            low = level
        } else {
            high = level
        }
        if round == ROUNDS || high - low <= 4.0 * f64::EPSILON * high.abs().max(low.abs()) {
            climb.to(low);
            break;
        }
    }
    let mut lengths = climb.lift;
    // Correct the rounding that the level still has.
    let reached = gramian.cosines().quadratic(&lengths).max(0.0).sqrt();
    if reached > 0.0 && reached.is_finite() {
        lengths.iter_mut().for_each(|y| *y *= radius / reached);
    }
    Some(gramian.weights_of(&lengths))
}

/// Whether some convex combination of the gradients vanishes.
fn stuck(gramian: &Gramian) -> bool {
    if gramian.norms().contains(&0.0) {
        return true;
    }
    let inverse: Vec<f64> = gramian.norms().iter().map(|norm| 1.0 / norm).collect();
    let unit = gramian.scaled(&inverse);
    unit.length(&mgda(&unit)) < 1e-7
}

/// The shortest lift that brings every task's gain to a level.
struct Climb<'a> {
    gramian: &'a Gramian,
    /// 1 / |g_t|, which turns a level of gain into one along the unit gradient.
    inverse: Vec<f64>,
    /// The gains of `g₀` along the unit gradients.
    gains: Vec<f64>,
    /// The gain of the worst-off task without any lift.
    start: f64,
    radius: f64,
    /// The lift, along the unit gradients.
    lift: Vec<f64>,
}

impl<'a> Climb<'a> {
    fn new(gramian: &'a Gramian, preference: &[f64], radius: f64) -> Self {
        let inverse: Vec<f64> =
            gramian.norms().iter().map(|norm| if *norm > 0.0 { 1.0 / norm } else { 0.0 }).collect();
        let gains = gramian.unit_gains(preference);
        let start = gains.iter().zip(gramian.norms()).map(|(g, n)| g * n).fold(f64::INFINITY, f64::min);
        Self { gramian, inverse, gains, start, radius, lift: vec![0.0; preference.len()] }
    }

    /// Computes the lift to a level; infinite if the level is out of reach.
    fn to(&mut self, level: f64) {
        // In units of the radius, so that the wanted length is one.
        let missing: Vec<f64> =
            self.inverse.iter().zip(&self.gains).map(|(i, g)| (level * i - g) / self.radius).collect();
        let c = self.gramian.cosines();
        let h = Matrix::from_fn(missing.len(), |i, j| c.at(i, j) + missing[i] * missing[j]);
        let z = nnls(&h, &missing);
        let rest = 1.0 - dot(&missing, &z);
        let stretch = if rest > 1e-14 { self.radius / rest } else { f64::INFINITY };
        self.lift = z.iter().map(|&z| if z > 0.0 { z * stretch } else { 0.0 }).collect();
    }

    fn length(&self) -> f64 {
        if self.lift.contains(&f64::INFINITY) {
            return f64::INFINITY;
        }
        self.gramian.cosines().quadratic(&self.lift).max(0.0).sqrt()
    }

    fn active(&self) -> Vec<usize> {
        (0..self.lift.len()).filter(|&t| self.lift[t] > 0.0).collect()
    }

    /// The level at which the lift is as long as the radius, if the active set stays as it is.
    fn level_of_radius(&self) -> Option<f64> {
        let active = self.active();
        let up = solve_on(self.gramian.cosines(), &active, &self.inverse)?;
        let down = solve_on(self.gramian.cosines(), &active, &self.gains)?;
        let pick = |values: &[f64]| active.iter().map(|&t| values[t]).collect::<Vec<f64>>();
        let (inverse, gains) = (pick(&self.inverse), pick(&self.gains));
        // |lift|² = ν² α − 2 ν β + γ
        let [alpha, beta, gamma] = [dot(&inverse, &up), dot(&gains, &up), dot(&gains, &down)];
        let inside = beta * beta - alpha * (gamma - self.radius * self.radius);
        (alpha > 0.0 && inside >= 0.0).then(|| (beta + inside.sqrt()) / alpha)
    }
}
