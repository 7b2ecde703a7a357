//! The optimiser and the learning-rate schedule of a run, as they are written in its configuration.

use cerberus_nn::optim::{Adam, AdamOptions, AdamW, Optimizer, Sgd, SgdOptions};
use cerberus_nn::schedule::Schedule;
use serde::{Deserialize, Deserializer, Serialize};

/// The rule that turns gradients into steps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OptimizerKind {
    /// [`AdamW`].
    #[default]
    AdamW,
    /// [`Adam`], whose weight decay is part of the gradient.
    Adam,
    /// [`Sgd`].
    Sgd,
}

/// The optimiser and its options; those of another kind are ignored.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct OptimizerConfig {
    /// Its kind.
    pub kind: OptimizerKind,
    /// For SGD: how much of the last direction is kept; 0.9 by default.
    pub momentum: f64,
    /// For SGD: whether to look ahead along the new direction.
    pub nesterov: bool,
    /// For Adam and AdamW: how much of the mean gradient is kept.
    pub beta1: f64,
    /// For Adam and AdamW: how much of the mean square is kept.
    pub beta2: f64,
    /// For Adam and AdamW: added to the root of the mean square.
    pub eps: f64,
    /// Whether biases and the scales and shifts of norms decay too.
    pub decay_all: bool,
}

impl Default for OptimizerConfig {
    fn default() -> Self {
        let AdamOptions { beta1, beta2, eps, decay_all, .. } = AdamOptions::default();
        Self { kind: OptimizerKind::AdamW, momentum: 0.9, nesterov: false, beta1, beta2, eps, decay_all }
    }
}

impl OptimizerConfig {
    /// Whether the numbers are in their ranges.
    ///
    /// # Errors
    /// A sentence that names the first number out of its range.
    pub fn check(&self) -> Result<(), String> {
        let below_one = [("momentum", self.momentum), ("beta1", self.beta1), ("beta2", self.beta2)];
        if let Some((name, value)) = below_one.into_iter().find(|(_, value)| !(0.0..1.0).contains(value)) {
            return Err(format!("the optimiser's {name} is {value}; it must be from 0 to below 1"));
        }
        if !(f64::MIN_POSITIVE..=1.0).contains(&self.eps) {
            return Err(format!("the optimiser's eps is {}; it must be above 0 and at most 1", self.eps));
        }
        if self.nesterov && self.momentum == 0.0 {
            return Err("nesterov looks ahead along the momentum, which is 0; give a momentum".into());
        }
        Ok(())
    }

    /// The optimiser before its first step.
    pub(crate) fn build(&self, weight_decay: f64) -> Box<dyn Optimizer + Send> {
        let Self { kind, momentum, nesterov, beta1, beta2, eps, decay_all } = *self;
        let adam = AdamOptions { beta1, beta2, eps, weight_decay, decay_all, ..AdamOptions::default() };
        match kind {
            OptimizerKind::AdamW => AdamW::boxed(adam),
            OptimizerKind::Adam => Box::new(Adam::new(adam)),
            OptimizerKind::Sgd => Box::new(Sgd::new(SgdOptions {
                momentum,
                nesterov,
                weight_decay,
                decay_all,
                ..SgdOptions::default()
            })),
        }
    }
}

/// How the learning rate changes over a run, whatever its length.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum ScheduleConfig {
    /// Half a cosine up and half a cosine down ([`Schedule::OneCycle`]).
    OneCycle {
        /// The share of the steps that climb.
        #[serde(default = "climb")]
        pct_start: f64,
        /// The highest rate divided by the first.
        #[serde(default = "first")]
        div_factor: f64,
        /// The first rate divided by the last.
        #[serde(default = "last")]
        final_div_factor: f64,
    },
    /// A straight climb, then half a cosine down ([`Schedule::WarmupCosine`]).
    WarmupCosine {
        /// The share of the steps that climb.
        #[serde(default = "warmup")]
        warmup: f64,
        /// The lowest rate divided by the highest.
        #[serde(default)]
        floor: f64,
    },
    /// The same rate throughout.
    Constant,
}

fn climb() -> f64 {
    0.2
}

fn first() -> f64 {
    20.0
}

fn last() -> f64 {
    1e3
}

fn warmup() -> f64 {
    0.05
}

impl Default for ScheduleConfig {
    fn default() -> Self {
        Self::OneCycle { pct_start: climb(), div_factor: first(), final_div_factor: last() }
    }
}

impl ScheduleConfig {
    /// The names of the kinds.
    pub const NAMES: [&'static str; 3] = ["one_cycle", "warmup_cosine", "constant"];

    /// The schedule of this name with its usual numbers.
    ///
    /// # Errors
    /// A sentence that lists the existing names.
    pub fn by_name(name: &str) -> Result<Self, String> {
        match name {
            "one_cycle" => Ok(Self::default()),
            "warmup_cosine" => Ok(Self::WarmupCosine { warmup: warmup(), floor: 0.0 }),
            "constant" => Ok(Self::Constant),
            _ => Err(format!("there is no schedule {name:?}; there are: {}", Self::NAMES.join(", "))),
        }
    }

    /// The rate at each of `steps` steps, at most `peak`.
    pub fn over(&self, peak: f64, steps: usize) -> Schedule {
        // In so few steps, a climb and a descent would hardly leave the lowest rate.
        if steps < FEWEST_STEPS {
            return Schedule::Constant { rate: peak };
        }
        match *self {
            Self::Constant => Schedule::Constant { rate: peak },
            Self::OneCycle { pct_start, div_factor, final_div_factor } => {
                Schedule::OneCycle { peak, total_steps: steps, pct_start, div_factor, final_div_factor }
            }
            Self::WarmupCosine { warmup, floor } => Schedule::WarmupCosine {
                peak,
                floor: peak * floor,
                warmup_steps: (steps as f64 * warmup).round() as usize,
                total_steps: steps,
            },
        }
    }

    /// Whether the numbers are in their ranges.
    ///
    /// # Errors
    /// A sentence that names the first number out of its range.
    pub fn check(&self) -> Result<(), String> {
        if let Self::WarmupCosine { warmup, floor } = *self {
            let shares = [("warmup", warmup), ("floor", floor)];
            if let Some((name, value)) = shares.into_iter().find(|(_, value)| !(0.0..=1.0).contains(value)) {
                return Err(format!("the schedule's {name} is {value}; it must be from 0 to 1"));
            }
        }
        self.over(1.0, 1000).check().map(drop).map_err(|error| error.to_string())
    }
}

/// With fewer steps, a schedule is constant.
const FEWEST_STEPS: usize = 8;

/// A schedule, or the setting that earlier configurations had in its place: whether the rate is constant.
pub(crate) fn schedule_or_constant<'de, D: Deserializer<'de>>(from: D) -> Result<ScheduleConfig, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Either {
        Constant(bool),
        Schedule(ScheduleConfig),
    }
    Ok(match Either::deserialize(from)? {
        Either::Constant(true) => ScheduleConfig::Constant,
        Either::Constant(false) => ScheduleConfig::default(),
        Either::Schedule(schedule) => schedule,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_schedule_is_known_by_its_name_and_comes_back_from_text() {
        for name in ScheduleConfig::NAMES {
            let schedule = ScheduleConfig::by_name(name).unwrap();
            schedule.check().unwrap();
            let text = serde_json::to_string(&schedule).unwrap();
            assert!(text.contains(name), "{text}");
            assert_eq!(serde_json::from_str::<ScheduleConfig>(&text).unwrap(), schedule);
            let rates: Vec<f64> = (0..100).map(|step| schedule.over(0.1, 100).rate(step)).collect();
            assert!(rates.iter().all(|rate| (0.0..=0.1 + 1e-12).contains(rate)), "{name}");
        }
        assert!(ScheduleConfig::by_name("step").unwrap_err().contains("one_cycle, warmup_cosine, constant"));
    }

    #[test]
    fn numbers_out_of_range_are_named() {
        for wrong in [-0.1, 1.5, f64::NAN] {
            let told = ScheduleConfig::WarmupCosine { warmup: wrong, floor: 0.0 }.check().unwrap_err();
            assert!(told.contains("warmup"), "{told}");
            let told = OptimizerConfig { momentum: wrong, ..Default::default() }.check().unwrap_err();
            assert!(told.contains("momentum"), "{told}");
        }
        let told =
            OptimizerConfig { momentum: 0.0, nesterov: true, ..Default::default() }.check().unwrap_err();
        assert!(told.contains("nesterov"), "{told}");
    }
}
