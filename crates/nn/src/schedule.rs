//! Learning-rate schedules: pure functions of the step.
//!
//! A schedule has no state, so resuming a run needs only the number of steps so
//! far, and a loop is enough to plot one.

mod check;
mod plateau;

use std::f64::consts::PI;

use serde::{Deserialize, Serialize};

pub use check::ScheduleError;
pub use plateau::{PlateauMode, PlateauOptions, ReduceOnPlateau, ThresholdMode};

/// A learning rate for every step; steps count from 0.
///
/// ```
/// use cerberus_nn::Schedule;
/// let schedule = Schedule::WarmupCosine { peak: 0.1, floor: 0.0, warmup_steps: 10, total_steps: 110 };
/// assert_eq!(schedule.rate(0), 0.01);
/// assert_eq!(schedule.rate(9), 0.1);
/// assert!((schedule.rate(60) - 0.05).abs() < 1e-12); // half-way down
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Schedule {
    /// The same rate throughout.
    Constant {
        /// The rate.
        rate: f64,
    },
    /// A straight climb to the peak over the first steps, `peak (step + 1) /
    /// warmup_steps`, then half a cosine to the floor, which is reached at step
    /// `total_steps` and kept (Loshchilov and Hutter, 2017, equation 5, without restarts).
    WarmupCosine {
        /// The highest rate.
        peak: f64,
        /// The lowest rate after the climb.
        floor: f64,
        /// Steps of the climb; may be 0.
        warmup_steps: usize,
        /// Steps of the whole run.
        total_steps: usize,
    },
    /// Half a cosine up, half a cosine down (Smith and Topin, 2019), as
    /// `torch.optim.lr_scheduler.OneCycleLR` with two phases: from `peak /
    /// div_factor` to the peak at step `pct_start total_steps - 1`, then to `peak /
    /// div_factor / final_div_factor` at step `total_steps - 1`, which is kept.
    OneCycle {
        /// The highest rate.
        peak: f64,
        /// Steps of the whole run.
        total_steps: usize,
        /// The part of the steps that climb; PyTorch's default is 0.3.
        #[serde(default = "default_pct_start")]
        pct_start: f64,
        /// The peak divided by the first rate; PyTorch's default is 25.
        #[serde(default = "default_div_factor")]
        div_factor: f64,
        /// The first rate divided by the last; PyTorch's default is 1e4.
        #[serde(default = "default_final_div_factor")]
        final_div_factor: f64,
    },
    /// `rate gammaⁿ` after `n` times `step_size` steps, as `torch.optim.lr_scheduler.StepLR`.
    Step {
        /// The first rate.
        rate: f64,
        /// Steps with the same rate.
        step_size: usize,
        /// The factor from one rate to the next.
        gamma: f64,
    },
    /// `rate gammaⁿ` from the `n`-th milestone on, as `torch.optim.lr_scheduler.MultiStepLR`.
    MultiStep {
        /// The first rate.
        rate: f64,
        /// The steps at which the rate falls, in order.
        milestones: Vec<usize>,
        /// The factor from one rate to the next.
        gamma: f64,
    },
    /// `rate gammaˢᵗᵉᵖ`, as `torch.optim.lr_scheduler.ExponentialLR`.
    Exponential {
        /// The first rate.
        rate: f64,
        /// The factor from one step to the next.
        gamma: f64,
    },
    /// Half cosines from the peak towards the floor, each followed by a jump back to the peak (Loshchilov and Hutter,
    /// 2017, equation 5), as `torch.optim.lr_scheduler.CosineAnnealingWarmRestarts`.
    CosineRestarts {
        /// The highest rate.
        peak: f64,
        /// The rate that a cycle would reach at its end; 0 by default.
        #[serde(default)]
        floor: f64,
        /// Steps of the first cycle.
        period: usize,
        /// The length of a cycle over that of the one before; 1 by default.
        #[serde(default = "default_period_factor")]
        period_factor: usize,
    },
    /// `floor + (peak - floor) (1 - step / total_steps)^power`; the floor is kept. With a floor of 0 as
    /// `torch.optim.lr_scheduler.PolynomialLR`.
    Polynomial {
        /// The first rate.
        peak: f64,
        /// The last rate; 0 by default.
        #[serde(default)]
        floor: f64,
        /// Steps until the floor is reached.
        total_steps: usize,
        /// The power; 1, the default, is a straight line.
        #[serde(default = "default_power")]
        power: f64,
    },
    /// A straight climb to the first rate of another schedule, `then.rate(0) (step + 1) / warmup_steps`, and then that
    /// schedule (Goyal et al., "Accurate, large minibatch SGD", 2017, section 2.2).
    Warmup {
        /// Steps of the climb; may be 0.
        warmup_steps: usize,
        /// The schedule that begins after them.
        then: Box<Schedule>,
    },
}

fn default_period_factor() -> usize {
    1
}

fn default_power() -> f64 {
    1.0
}

fn default_pct_start() -> f64 {
    0.3
}

fn default_div_factor() -> f64 {
    25.0
}

fn default_final_div_factor() -> f64 {
    1e4
}

impl Schedule {
    /// One cycle with PyTorch's default factors.
    pub fn one_cycle(peak: f64, total_steps: usize) -> Self {
        Self::OneCycle {
            peak,
            total_steps,
            pct_start: default_pct_start(),
            div_factor: default_div_factor(),
            final_div_factor: default_final_div_factor(),
        }
    }

    /// This schedule after a straight climb to its first rate.
    pub fn after_warmup(self, warmup_steps: usize) -> Self {
        Self::Warmup { warmup_steps, then: Box::new(self) }
    }

    /// The learning rate of step number `step`. Never panics, whatever the
    /// fields hold; see [`check`](Self::check).
    pub fn rate(&self, step: usize) -> f64 {
        match *self {
            Self::Constant { rate } => rate,
            Self::WarmupCosine { peak, warmup_steps, .. } if step < warmup_steps => {
                peak * (step as f64 + 1.0) / warmup_steps as f64
            }
            Self::WarmupCosine { peak, floor, warmup_steps, total_steps } => {
                let (start, end) = (warmup_steps as f64, total_steps as f64);
                half_cosine(peak, floor, [start, end], step as f64)
            }
            Self::OneCycle { peak, total_steps, pct_start, div_factor, final_div_factor } => {
                let (first, step) = (peak / div_factor, step as f64);
                let (top, last) = (pct_start * total_steps as f64 - 1.0, total_steps as f64 - 1.0);
                if step <= top {
                    half_cosine(first, peak, [0.0, top], step)
                } else {
                    half_cosine(peak, first / final_div_factor, [top, last], step)
                }
            }
            Self::Step { rate, step_size, gamma } => rate * gamma.powf((step / step_size.max(1)) as f64),
            Self::MultiStep { rate, ref milestones, gamma } => {
                let passed = milestones.iter().filter(|&&milestone| milestone <= step).count();
                rate * gamma.powf(passed as f64)
            }
            Self::Exponential { rate, gamma } => rate * gamma.powf(step as f64),
            Self::CosineRestarts { peak, floor, period, period_factor } => {
                let (at, length) = in_cycle(step, period.max(1), period_factor.max(1));
                half_cosine(peak, floor, [0.0, length as f64], at as f64)
            }
            Self::Polynomial { peak, floor, total_steps, power } => {
                let left = total_steps.saturating_sub(step) as f64 / total_steps.max(1) as f64;
                // 0 to the power 0 would be 1.
                floor + (peak - floor) * if left > 0.0 { left.powf(power) } else { 0.0 }
            }
            Self::Warmup { warmup_steps, ref then } if step < warmup_steps => {
                then.rate(0) * (step as f64 + 1.0) / warmup_steps as f64
            }
            Self::Warmup { warmup_steps, ref then } => then.rate(step - warmup_steps),
        }
    }
}

/// The place of a step in its cycle, and the cycle's length; each cycle is `factor` times as long as the one before.
fn in_cycle(mut step: usize, mut period: usize, factor: usize) -> (usize, usize) {
    if factor == 1 {
        return (step % period, period);
    }
    while step >= period {
        step -= period;
        period = period.saturating_mul(factor);
    }
    (step, period)
}

/// From `from` at the start of `span` to `to` at its end (and after it), along half a cosine.
fn half_cosine(from: f64, to: f64, [start, end]: [f64; 2], at: f64) -> f64 {
    let part = if end > start { ((at - start) / (end - start)).clamp(0.0, 1.0) } else { 1.0 };
    to + (from - to) / 2.0 * (1.0 + (PI * part).cos())
}

#[cfg(test)]
mod tests;
