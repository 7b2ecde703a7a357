//! The optimiser and the learning-rate schedule of a run, as they are written in its configuration.

use cerberus_nn::optim::{
    Adadelta, AdadeltaOptions, Adagrad, AdagradOptions, Adam, AdamOptions, AdamW, Lamb, LambOptions, Lion,
    LionOptions, Muon, MuonOptions, MuonScale, Optimizer, RmsProp, RmsPropOptions, Sgd, SgdOptions,
};
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
    /// [`Adagrad`].
    Adagrad,
    /// [`RmsProp`], without momentum.
    RmsProp,
    /// [`Adadelta`], for which a learning rate of 1 is usual.
    Adadelta,
    /// [`Lion`], for which a third to a tenth of AdamW's learning rate is usual.
    Lion,
    /// [`Lamb`].
    Lamb,
    /// [`Muon`], with steps as long as AdamW's, so that the same learning rates suit.
    Muon,
}

impl OptimizerKind {
    /// All kinds by name.
    pub const ALL: [(&'static str, Self); 9] = [
        ("adamw", Self::AdamW),
        ("adam", Self::Adam),
        ("sgd", Self::Sgd),
        ("adagrad", Self::Adagrad),
        ("rmsprop", Self::RmsProp),
        ("adadelta", Self::Adadelta),
        ("lion", Self::Lion),
        ("lamb", Self::Lamb),
        ("muon", Self::Muon),
    ];

    /// The kind of this name.
    ///
    /// # Errors
    /// A sentence that lists the names.
    pub fn by_name(name: &str) -> Result<Self, String> {
        let found = Self::ALL.iter().find(|(known, _)| *known == name).map(|(_, kind)| *kind);
        found.ok_or_else(|| {
            let names: Vec<&str> = Self::ALL.iter().map(|(name, _)| *name).collect();
            format!("there is no optimiser {name:?}; there are: {}", names.join(", "))
        })
    }
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
    /// For Adam, AdamW, LAMB and what of Muon is AdamW: how much of the mean gradient is kept.
    pub beta1: f64,
    /// For the same: how much of the mean square is kept.
    pub beta2: f64,
    /// For the same: added to the root of the mean square.
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
            OptimizerKind::Adagrad => {
                Box::new(Adagrad::new(AdagradOptions { weight_decay, decay_all, ..Default::default() }))
            }
            OptimizerKind::RmsProp => {
                Box::new(RmsProp::new(RmsPropOptions { weight_decay, decay_all, ..Default::default() }))
            }
            OptimizerKind::Adadelta => {
                Box::new(Adadelta::new(AdadeltaOptions { weight_decay, decay_all, ..Default::default() }))
            }
            OptimizerKind::Lion => {
                Box::new(Lion::new(LionOptions { weight_decay, decay_all, ..Default::default() }))
            }
            OptimizerKind::Lamb => {
                let usual = LambOptions::default();
                Box::new(Lamb::new(LambOptions { beta1, beta2, eps, weight_decay, decay_all, ..usual }))
            }
            OptimizerKind::Muon => {
                let scale = MuonScale::MatchRmsAdamw;
                Box::new(Muon::new(MuonOptions { weight_decay, adam, scale, ..Default::default() }))
            }
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
    /// The run in equal parts, each with a lower rate than the one before ([`Schedule::Step`]).
    Step {
        /// The share of the steps that climb.
        #[serde(default)]
        warmup: f64,
        /// How many parts.
        #[serde(default = "parts")]
        parts: usize,
        /// The factor from one rate to the next.
        #[serde(default = "fall")]
        gamma: f64,
    },
    /// The same factor from every step to the next ([`Schedule::Exponential`]).
    Exponential {
        /// The share of the steps that climb.
        #[serde(default)]
        warmup: f64,
        /// The last rate divided by the highest.
        #[serde(default = "lowest")]
        floor: f64,
    },
    /// Half cosines of one length down, each from the highest rate ([`Schedule::CosineRestarts`]).
    CosineRestarts {
        /// The share of the steps that climb.
        #[serde(default)]
        warmup: f64,
        /// How many.
        #[serde(default = "parts")]
        cycles: usize,
        /// The lowest rate divided by the highest.
        #[serde(default)]
        floor: f64,
    },
    /// A power of what is left of the run ([`Schedule::Polynomial`]).
    Polynomial {
        /// The share of the steps that climb.
        #[serde(default)]
        warmup: f64,
        /// The power; 1 is a straight line, 0.9 usual for segmentation.
        #[serde(default = "power")]
        power: f64,
        /// The last rate divided by the highest.
        #[serde(default)]
        floor: f64,
    },
    /// The same rate throughout.
    Constant,
}

fn parts() -> usize {
    3
}

fn fall() -> f64 {
    0.1
}

fn lowest() -> f64 {
    1e-3
}

fn power() -> f64 {
    0.9
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
    pub const NAMES: [&'static str; 7] =
        ["one_cycle", "warmup_cosine", "step", "exponential", "cosine_restarts", "polynomial", "constant"];

    /// The schedule of this name with its usual numbers.
    ///
    /// # Errors
    /// A sentence that lists the existing names.
    pub fn by_name(name: &str) -> Result<Self, String> {
        match name {
            "one_cycle" => Ok(Self::default()),
            "warmup_cosine" => Ok(Self::WarmupCosine { warmup: warmup(), floor: 0.0 }),
            "step" => Ok(Self::Step { warmup: 0.0, parts: parts(), gamma: fall() }),
            "exponential" => Ok(Self::Exponential { warmup: 0.0, floor: lowest() }),
            "cosine_restarts" => Ok(Self::CosineRestarts { warmup: 0.0, cycles: parts(), floor: 0.0 }),
            "polynomial" => Ok(Self::Polynomial { warmup: 0.0, power: power(), floor: 0.0 }),
            "constant" => Ok(Self::Constant),
            _ => Err(format!("there is no schedule {name:?}; there are: {}", Self::NAMES.join(", "))),
        }
    }

    /// Its name.
    pub fn name(&self) -> &'static str {
        match self {
            Self::OneCycle { .. } => "one_cycle",
            Self::WarmupCosine { .. } => "warmup_cosine",
            Self::Step { .. } => "step",
            Self::Exponential { .. } => "exponential",
            Self::CosineRestarts { .. } => "cosine_restarts",
            Self::Polynomial { .. } => "polynomial",
            Self::Constant => "constant",
        }
    }

    /// The share of the steps that climb to the highest rate; `None` for a constant rate, which has no climb.
    pub fn warmup(&self) -> Option<f64> {
        { *self }.warmup_mut().copied()
    }

    /// The same, to be changed.
    pub fn warmup_mut(&mut self) -> Option<&mut f64> {
        match self {
            Self::OneCycle { pct_start: warmup, .. }
            | Self::WarmupCosine { warmup, .. }
            | Self::Step { warmup, .. }
            | Self::Exponential { warmup, .. }
            | Self::CosineRestarts { warmup, .. }
            | Self::Polynomial { warmup, .. } => Some(warmup),
            Self::Constant => None,
        }
    }

    /// The rate at each of `steps` steps, at most `peak`.
    pub fn over(&self, peak: f64, steps: usize) -> Schedule {
        // In so few steps, a climb and a descent would hardly leave the lowest rate.
        if steps < FEWEST_STEPS {
            return Schedule::Constant { rate: peak };
        }
        let warmup_steps = (steps as f64 * self.warmup().unwrap_or(0.0)).round() as usize;
        let left = steps.saturating_sub(warmup_steps).max(1);
        let then = match *self {
            Self::Constant => return Schedule::Constant { rate: peak },
            Self::OneCycle { pct_start, div_factor, final_div_factor } => {
                return Schedule::OneCycle {
                    peak,
                    total_steps: steps,
                    pct_start,
                    div_factor,
                    final_div_factor,
                };
            }
            Self::WarmupCosine { floor, .. } => {
                return Schedule::WarmupCosine {
                    peak,
                    floor: peak * floor,
                    warmup_steps,
                    total_steps: steps,
                };
            }
            Self::Step { parts, gamma, .. } => {
                Schedule::Step { rate: peak, step_size: left.div_ceil(parts.max(1)), gamma }
            }
            Self::Exponential { floor, .. } => {
                let gamma = floor.powf(1.0 / (left - 1).max(1) as f64);
                Schedule::Exponential { rate: peak, gamma }
            }
            Self::CosineRestarts { cycles, floor, .. } => Schedule::CosineRestarts {
                peak,
                floor: peak * floor,
                period: left.div_ceil(cycles.max(1)),
                period_factor: 1,
            },
            Self::Polynomial { power, floor, .. } => {
                Schedule::Polynomial { peak, floor: peak * floor, total_steps: left, power }
            }
        };
        if warmup_steps == 0 { then } else { Schedule::Warmup { warmup_steps, then: Box::new(then) } }
    }

    /// Whether the numbers are in their ranges.
    ///
    /// # Errors
    /// A sentence that names the first number out of its range.
    pub fn check(&self) -> Result<(), String> {
        let (floor, times) = match *self {
            Self::WarmupCosine { floor, .. }
            | Self::Polynomial { floor, .. }
            | Self::Exponential { floor, .. } => (floor, 1),
            Self::CosineRestarts { floor, cycles, .. } => (floor, cycles),
            Self::Step { gamma, parts, .. } => (gamma, parts),
            Self::OneCycle { .. } | Self::Constant => (0.0, 1),
        };
        let shares = [("warmup", self.warmup().unwrap_or(0.0)), ("floor or factor", floor)];
        if let Some((name, value)) = shares.into_iter().find(|(_, value)| !(0.0..=1.0).contains(value)) {
            return Err(format!("the schedule's {name} is {value}; it must be from 0 to 1"));
        }
        if !(1..=1000).contains(&times) {
            return Err(format!("the schedule has {times} parts; it must have 1 to 1000"));
        }
        if matches!(*self, Self::Exponential { floor: 0.0, .. }) {
            return Err("the exponential schedule's floor must be above 0: it is the last rate".into());
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
    use cerberus_nn::{Context, Parameter, step};
    use cerberus_tensor::Tensor;

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
            assert!(rates[99] < 0.02 || name == "constant", "{name} ends at {}", rates[99]);
            assert_eq!(schedule.name(), name);
        }
        assert!(ScheduleConfig::by_name("stairs").unwrap_err().contains("one_cycle, warmup_cosine, step"));
    }

    #[test]
    fn a_climb_comes_before_any_schedule_but_a_constant_one() {
        for name in ScheduleConfig::NAMES.into_iter().filter(|&name| name != "constant") {
            let mut schedule = ScheduleConfig::by_name(name).unwrap();
            *schedule.warmup_mut().unwrap() = 0.25;
            let over = schedule.over(0.1, 100);
            assert!((1..25).all(|step| over.rate(step) > over.rate(step - 1)), "{name}");
            assert!((over.rate(24) - 0.1).abs() < 1e-9 && over.rate(99) < 0.05, "{name}");
        }
    }

    #[test]
    fn every_optimiser_is_known_by_its_name_and_lowers_a_loss() {
        for (name, kind) in OptimizerKind::ALL {
            assert_eq!(OptimizerKind::by_name(name).unwrap(), kind);
            assert_eq!(serde_json::to_value(kind).unwrap(), name);
            let mut optimizer = OptimizerConfig { kind, ..Default::default() }.build(0.01);
            optimizer.set_learning_rate(if kind == OptimizerKind::Adadelta { 1.0 } else { 0.01 });
            let mut model = Parameter::new(Tensor::from_vec(vec![1.0f32, -2.0, 0.5, 3.0], &[2, 2]));
            let losses: Vec<f64> = (0..20)
                .map(|_| {
                    let loss = |model: &Parameter, context: &mut Context| {
                        context.parameter(model).square().sum_all()
                    };
                    step(&mut model, &mut optimizer, loss)
                })
                .collect();
            assert!(losses[19] < losses[0], "{name}: {losses:?}");
        }
        assert!(OptimizerKind::by_name("sgdm").unwrap_err().contains("adamw, adam, sgd, adagrad"));
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
