//! A learning rate that falls when a metric stops getting better.

use serde::{Deserialize, Serialize};

use super::ScheduleError;

/// Whether a metric is better when it is smaller or larger.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PlateauMode {
    /// Smaller is better, as for a loss.
    #[default]
    Min,
    /// Larger is better, as for an accuracy.
    Max,
}

/// What [`PlateauOptions::threshold`] is measured in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ThresholdMode {
    /// In parts of the best metric.
    #[default]
    Relative,
    /// In the metric's own unit.
    Absolute,
}

/// The options of [`ReduceOnPlateau`]; the defaults are PyTorch's.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PlateauOptions {
    /// Which metrics are better; smaller ones by default.
    pub mode: PlateauMode,
    /// The factor from one rate to the next; 0.1 by default.
    pub factor: f64,
    /// Metrics in a row that may be no better than the best one; one more lowers the rate. 10 by default.
    pub patience: usize,
    /// How much better a metric must be to count; 1e-4 by default.
    pub threshold: f64,
    /// What the threshold is measured in; parts of the best metric by default.
    pub threshold_mode: ThresholdMode,
    /// Metrics after a fall that are not counted; 0 by default.
    pub cooldown: usize,
    /// The lowest rate; 0 by default.
    pub min_rate: f64,
    /// The smallest change of the rate that is made; 1e-8 by default.
    pub eps: f64,
}

impl Default for PlateauOptions {
    fn default() -> Self {
        Self {
            mode: PlateauMode::Min,
            factor: 0.1,
            patience: 10,
            threshold: 1e-4,
            threshold_mode: ThresholdMode::Relative,
            cooldown: 0,
            min_rate: 0.0,
            eps: 1e-8,
        }
    }
}

impl PlateauOptions {
    /// The options themselves, if their numbers make sense.
    ///
    /// # Errors
    /// Names the first field that is negative, not finite or out of its range.
    pub fn check(self) -> Result<Self, ScheduleError> {
        let refuse = |field, value: f64, rule| Err(ScheduleError { field, value: value.to_string(), rule });
        if !(0.0..1.0).contains(&self.factor) {
            return refuse("factor", self.factor, "at least 0 and below 1");
        }
        for (field, value) in [("threshold", self.threshold), ("min_rate", self.min_rate), ("eps", self.eps)]
        {
            if !(value.is_finite() && value >= 0.0) {
                return refuse(field, value, "finite and at least 0");
            }
        }
        Ok(self)
    }
}

/// A learning rate that is multiplied by a factor when a metric, usually the loss on validation data, has not become
/// better for a while. Like `torch.optim.lr_scheduler.ReduceLROnPlateau`.
///
/// Unlike a [`Schedule`](super::Schedule) it depends on what was observed. It is its own state: save it as it is
/// (with serde) and go on with the copy.
///
/// ```
/// use cerberus_nn::schedule::{PlateauOptions, ReduceOnPlateau};
/// let options = PlateauOptions { patience: 1, factor: 0.5, ..PlateauOptions::default() };
/// let mut rate = ReduceOnPlateau::new(0.1, options)?;
/// assert_eq!([3.0, 2.0, 2.0, 2.0].map(|loss| rate.observe(loss)), [0.1, 0.1, 0.1, 0.05]);
/// # Ok::<(), cerberus_nn::schedule::ScheduleError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ReduceOnPlateau {
    options: PlateauOptions,
    rate: f64,
    /// None before the first metric that is a number.
    best: Option<f64>,
    /// Metrics in a row that were no better.
    bad: usize,
    /// Metrics still to come that are not counted.
    cooling: usize,
}

impl ReduceOnPlateau {
    /// A rate before the first observation.
    ///
    /// # Errors
    /// For a rate that is negative or not finite, and as [`PlateauOptions::check`].
    pub fn new(rate: f64, options: PlateauOptions) -> Result<Self, ScheduleError> {
        if !(rate.is_finite() && rate >= 0.0) {
            let rule = "finite and at least 0";
            return Err(ScheduleError { field: "rate", value: rate.to_string(), rule });
        }
        Ok(Self { options: options.check()?, rate, best: None, bad: 0, cooling: 0 })
    }

    /// The learning rate now.
    pub fn rate(&self) -> f64 {
        self.rate
    }

    /// Takes the metric of an epoch into account; returns the learning rate from now on. NaN is never better.
    pub fn observe(&mut self, metric: f64) -> f64 {
        let PlateauOptions { factor, patience, cooldown, min_rate, eps, .. } = self.options;
        if self.is_better(metric) {
            self.best = Some(metric);
            self.bad = 0;
        } else {
            self.bad += 1;
        }
        if self.cooling > 0 {
            self.cooling -= 1;
            self.bad = 0;
        }
        if self.bad > patience {
            let lower = (self.rate * factor).max(min_rate);
            if self.rate - lower > eps {
                self.rate = lower;
            }
            self.cooling = cooldown;
            self.bad = 0;
        }
        self.rate
    }

    fn is_better(&self, metric: f64) -> bool {
        let PlateauOptions { mode, threshold, threshold_mode, .. } = self.options;
        let Some(best) = self.best else { return !metric.is_nan() };
        match (mode, threshold_mode) {
            (PlateauMode::Min, ThresholdMode::Relative) => metric < best * (1.0 - threshold),
            (PlateauMode::Min, ThresholdMode::Absolute) => metric < best - threshold,
            (PlateauMode::Max, ThresholdMode::Relative) => metric > best * (1.0 + threshold),
            (PlateauMode::Max, ThresholdMode::Absolute) => metric > best + threshold,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_that_was_saved_goes_on_alike() {
        let options = PlateauOptions { patience: 1, cooldown: 2, ..PlateauOptions::default() };
        for seen in 0..12 {
            let mut straight = ReduceOnPlateau::new(0.1, options).unwrap();
            let metric = |index: usize| (index as f64 * 0.7).sin();
            for index in 0..seen {
                straight.observe(metric(index));
            }
            let text = serde_json::to_string(&straight).unwrap();
            let mut resumed: ReduceOnPlateau = serde_json::from_str(&text).unwrap();
            for index in seen..20 {
                assert_eq!(straight.observe(metric(index)), resumed.observe(metric(index)));
            }
            assert!(straight.rate() < 0.1);
        }
    }

    #[test]
    fn a_metric_that_is_not_a_number_is_never_better_and_never_the_best() {
        let options = PlateauOptions { patience: 1, factor: 0.5, ..PlateauOptions::default() };
        let mut rate = ReduceOnPlateau::new(1.0, options).unwrap();
        assert_eq!([f64::NAN, f64::NAN, 3.0, 2.0].map(|metric| rate.observe(metric)), [1.0, 0.5, 0.5, 0.5]);
    }

    #[test]
    fn a_bad_number_is_named() {
        let refused = |options: PlateauOptions, expected: &str| {
            let message = ReduceOnPlateau::new(0.1, options).unwrap_err().to_string();
            assert!(message.contains(expected), "{message}");
        };
        refused(
            PlateauOptions { factor: 1.0, ..Default::default() },
            "factor is 1; it must be at least 0 and below 1",
        );
        refused(PlateauOptions { threshold: f64::NAN, ..Default::default() }, "threshold is NaN");
        refused(PlateauOptions { min_rate: -1.0, ..Default::default() }, "min_rate is -1");
        let message = ReduceOnPlateau::new(f64::INFINITY, PlateauOptions::default()).unwrap_err().to_string();
        assert!(message.contains("rate is inf"), "{message}");
    }
}
