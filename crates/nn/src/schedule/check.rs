//! Schedules from outside: whether their numbers make sense.

use super::Schedule;

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
    /// The schedule itself, if its numbers make sense.
    ///
    /// # Errors
    /// Names the first field that is negative, not finite or out of its range.
    pub fn check(self) -> Result<Self, ScheduleError> {
        let rule = |valid: bool, field, value: f64, rule| {
            if valid { Ok(()) } else { Err(ScheduleError { field, value: value.to_string(), rule }) }
        };
        let number = |field, value: f64| {
            rule(value.is_finite() && value >= 0.0, field, value, "finite and at least 0")
        };
        let count = |field, value: usize| rule(value > 0, field, value as f64, "at least 1");
        match self {
            Self::Constant { rate: value } => number("rate", value)?,
            Self::WarmupCosine { peak, floor, warmup_steps, total_steps } => {
                number("peak", peak)?;
                number("floor", floor)?;
                let fits = warmup_steps <= total_steps;
                rule(fits, "warmup_steps", warmup_steps as f64, "at most total_steps")?;
            }
            Self::OneCycle { peak, total_steps, pct_start, div_factor, final_div_factor } => {
                number("peak", peak)?;
                rule(total_steps > 0, "total_steps", total_steps as f64, "at least 1")?;
                rule((0.0..=1.0).contains(&pct_start), "pct_start", pct_start, "from 0 to 1")?;
                for (field, value) in [("div_factor", div_factor), ("final_div_factor", final_div_factor)] {
                    rule(value.is_finite() && value > 0.0, field, value, "finite and above 0")?;
                }
            }
            Self::Step { rate: first, step_size, gamma } => {
                number("rate", first)?;
                count("step_size", step_size)?;
                number("gamma", gamma)?;
            }
            Self::MultiStep { rate: first, ref milestones, gamma } => {
                number("rate", first)?;
                number("gamma", gamma)?;
                if !milestones.is_sorted() {
                    let value: Vec<String> = milestones.iter().map(usize::to_string).collect();
                    let rule = "steps in increasing order";
                    return Err(ScheduleError { field: "milestones", value: value.join(", "), rule });
                }
            }
            Self::Exponential { rate: first, gamma } => {
                number("rate", first)?;
                number("gamma", gamma)?;
            }
            Self::CosineRestarts { peak, floor, period, period_factor } => {
                number("peak", peak)?;
                number("floor", floor)?;
                count("period", period)?;
                count("period_factor", period_factor)?;
            }
            Self::Polynomial { peak, floor, total_steps, power } => {
                number("peak", peak)?;
                number("floor", floor)?;
                count("total_steps", total_steps)?;
                number("power", power)?;
            }
            Self::Warmup { warmup_steps, then } => return Ok(then.check()?.after_warmup(warmup_steps)),
        }
        Ok(self)
    }
}
