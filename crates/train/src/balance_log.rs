//! `balance.csv` and `conflicts.csv`: the strategy's weights at every step, and how
//! much the tasks' gradients conflicted.
//!
//! Both are written whole with every checkpoint; a continued run keeps the
//! rows of the steps it does not repeat.

use std::fmt::Write;
use std::path::Path;

use cerberus_nn::files::write_atomically;

use crate::error::TrainError;
use crate::folder::RunFolder;
use cerberus_balance::Orders;
use cerberus_multitask::step::StepResult;

/// The rows so far, each with its step.
pub(super) struct BalanceLog {
    /// The names of the model's tasks; results refer to them by place.
    tasks: Vec<String>,
    weights: Vec<(u64, String)>,
    conflicts: Vec<(u64, String)>,
}

impl BalanceLog {
    /// The rows before `step` of the files in `folder`; none where there is no file.
    pub(super) fn before(folder: &RunFolder, step: u64, tasks: Vec<String>) -> Self {
        let rows = |path: &Path| -> Vec<(u64, String)> {
            let text = std::fs::read_to_string(path).unwrap_or_default();
            let number = |line: &str| line.split(',').next().and_then(|cell| cell.parse::<u64>().ok());
            let numbered = text.lines().filter_map(|line| Some((number(line)?, line.to_string())));
            numbered.filter(|(number, _)| *number < step).collect()
        };
        Self { tasks, weights: rows(&folder.balance()), conflicts: rows(&folder.conflicts()) }
    }

    pub(super) fn push(&mut self, step: u64, result: &StepResult) {
        let mut line = step.to_string();
        for weight in &result.weights {
            let _ = write!(line, ",{weight:.6e}");
        }
        let _ = write!(line, ",{}", result.order.as_ref().map(Orders::to_string).unwrap_or_default());
        self.weights.push((step, line));
        for (scope, found) in &result.conflicts {
            for pair in &found.pairs {
                let [a, b] = pair.tasks.map(|task| &self.tasks[task]);
                let line = format!(
                    "{step},{scope},{a},{b},{:.6},{:.6},{:.6e},{:.6e}",
                    pair.cosine, pair.magnitude_similarity, pair.curvature_bound, found.condition
                );
                self.conflicts.push((step, line));
            }
        }
    }

    pub(super) fn write(&self, folder: &RunFolder) -> Result<(), TrainError> {
        let text = |header: String, rows: &[(u64, String)]| {
            rows.iter().fold(header, |text, (_, line)| text + "\n" + line) + "\n"
        };
        let names: Vec<String> = self.tasks.iter().map(|task| format!("weight_{task}")).collect();
        let header = format!("step,{},order", names.join(","));
        write_atomically(&folder.balance(), text(header, &self.weights).as_bytes())?;
        if !self.conflicts.is_empty() {
            let header = "step,scope,task_a,task_b,cosine,magnitude_similarity,curvature_bound,condition";
            write_atomically(&folder.conflicts(), text(header.into(), &self.conflicts).as_bytes())?;
        }
        Ok(())
    }
}
