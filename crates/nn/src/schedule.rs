//! Learning-rate schedules: pure functions of the step.
//!
//! A schedule has no state, so resuming a run needs only the number of steps so
//! far, and a loop is enough to plot one.

use std::f64::consts::PI;

use serde::{Deserialize, Serialize};

/// A learning rate for every step; steps count from 0.
///
/// ```
/// use cerberus_nn::Schedule;
/// let schedule = Schedule::WarmupCosine { peak: 0.1, floor: 0.0, warmup_steps: 10, total_steps: 110 };
/// assert_eq!(schedule.rate(0), 0.01);
/// assert_eq!(schedule.rate(9), 0.1);
/// assert!((schedule.rate(60) - 0.05).abs() < 1e-12); // half-way down
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
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
    /// Half a cosine up, half a cosine down (Smith and Topin, 2018), as
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

/// A schedule from outside has an invalid number.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("schedule: {field} is {value}; it must be {rule}")]
pub struct ScheduleError {
    /// The field's name.
    pub field: &'static str,
    /// What it holds.
    pub value: String,
    /// What it must hold.
    pub rule: &'static str,
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
        }
    }

    /// The schedule itself, if its numbers make sense.
    ///
    /// # Errors
    /// Names the first field that is negative, not finite or out of its range.
    pub fn check(self) -> Result<Self, ScheduleError> {
        let rule = |valid: bool, field, value: f64, rule| {
            if valid { Ok(()) } else { Err(ScheduleError { field, value: value.to_string(), rule }) }
        };
        let rate = |field, value: f64| {
            rule(value.is_finite() && value >= 0.0, field, value, "finite and at least 0")
        };
        match self {
            Self::Constant { rate: value } => rate("rate", value)?,
            Self::WarmupCosine { peak, floor, warmup_steps, total_steps } => {
                rate("peak", peak)?;
                rate("floor", floor)?;
                let fits = warmup_steps <= total_steps;
                rule(fits, "warmup_steps", warmup_steps as f64, "at most total_steps")?;
            }
            Self::OneCycle { peak, total_steps, pct_start, div_factor, final_div_factor } => {
                rate("peak", peak)?;
                rule(total_steps > 0, "total_steps", total_steps as f64, "at least 1")?;
                rule((0.0..=1.0).contains(&pct_start), "pct_start", pct_start, "from 0 to 1")?;
                for (field, value) in [("div_factor", div_factor), ("final_div_factor", final_div_factor)] {
                    rule(value.is_finite() && value > 0.0, field, value, "finite and above 0")?;
                }
            }
        }
        Ok(self)
    }
}

/// From `from` at the start of `span` to `to` at its end (and after it), along half a cosine.
fn half_cosine(from: f64, to: f64, [start, end]: [f64; 2], at: f64) -> f64 {
    let part = if end > start { ((at - start) / (end - start)).clamp(0.0, 1.0) } else { 1.0 };
    to + (from - to) / 2.0 * (1.0 + (PI * part).cos())
}

#[cfg(test)]
mod tests {
    use approx::assert_abs_diff_eq;

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
        assert_eq!(serde_json::from_str::<Schedule>(&text).unwrap().check(), Ok(s));
        let short: Schedule =
            serde_json::from_str(r#"{"kind":"one_cycle","peak":0.002,"total_steps":1000}"#).unwrap();
        assert_eq!(short, s);
        let bad: Schedule =
            serde_json::from_str(r#"{"kind":"one_cycle","peak":0.1,"total_steps":0}"#).unwrap();
        assert_eq!(bad.check().unwrap_err().to_string(), "schedule: total_steps is 0; it must be at least 1");
    }
}
