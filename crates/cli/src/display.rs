//! What `train` shows while it runs: a progress bar and a table on a terminal, plain lines elsewhere, or nothing.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use cerberus::data::Split;
use cerberus::train::{EpochRow, Observer, StepReport, Trainer};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::say;

/// A figure with four decimals, a dash where it is unknown.
pub(crate) fn figure(value: Option<f64>) -> String {
    value.map_or("-".into(), |value| format!("{value:.4}"))
}

/// A progress bar and a table on a terminal, plain lines elsewhere.
pub(crate) struct Display {
    tasks: Vec<String>,
    bar: ProgressBar,
    terminal: bool,
    header_due: bool,
    last_line: Instant,
    evaluated: usize,
    quiet: bool,
}

impl Display {
    pub(crate) fn new(trainer: &Trainer, quiet: bool) -> Self {
        // A terminal that cannot move its cursor gets plain lines, as a file does.
        let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        let terminal = std::io::stdout().is_terminal() && !quiet && !dumb;
        let target = if terminal { ProgressDrawTarget::stdout() } else { ProgressDrawTarget::hidden() };
        let bar = ProgressBar::with_draw_target(Some(0), target);
        let style = ProgressStyle::with_template("{prefix} {bar:20} {percent:>3}%  {wide_msg}");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        let tasks = trainer.model().task_names();
        let last_line = Instant::now();
        Self { tasks, bar, terminal, header_due: true, last_line, evaluated: 0, quiet }
    }

    fn say(&self, line: String) {
        if self.quiet {
            return;
        }
        if self.terminal {
            self.bar.suspend(|| say!("{line}"));
        } else {
            say!("{line}");
        }
    }

    pub(crate) fn finish(&self) {
        self.bar.finish_and_clear();
    }
}

impl Observer for Display {
    fn step(&mut self, report: &StepReport) {
        let losses: Vec<String> =
            self.tasks.iter().zip(&report.losses).map(|(task, loss)| format!("{task} {loss:.3}")).collect();
        let [epoch, epochs] = report.epoch;
        let images = report.images_per_second;
        let left = format!("{:?}", Duration::from_secs(report.seconds_left.ceil() as u64));
        self.evaluated = 0;
        if self.terminal {
            self.bar.set_length(report.step[1]);
            self.bar.set_position(report.step[0]);
            self.bar.set_prefix(format!("epoch {epoch}/{epochs}"));
            self.bar.set_message(format!("{}  {images:.0} images/s  {left} left", losses.join("  ")));
        } else if !self.quiet && self.last_line.elapsed() >= Duration::from_secs(10) {
            self.last_line = Instant::now();
            let [batch, batches] = report.batch;
            let losses = losses.join(" ");
            say!("epoch {epoch}/{epochs} step {batch}/{batches} {losses} images/s {images:.0} left {left}");
        }
    }

    fn evaluating(&mut self, split: Split, images: usize, of: usize) {
        self.evaluated += images;
        if self.terminal {
            self.bar.set_message(format!("{split}: {} of {of} scored", self.evaluated));
        }
    }

    fn epoch(&mut self, row: &EpochRow) {
        let header = header(&self.tasks, row);
        let too_narrow = columns().filter(|&columns| self.terminal && columns < header.chars().count() + 2);
        if let Some(columns) = too_narrow {
            wrapped(&facts(&self.tasks, row), columns).into_iter().for_each(|line| self.say(line));
            return;
        }
        if std::mem::take(&mut self.header_due) {
            self.say(header);
        }
        self.say(cells(row));
    }
}

/// The width of the terminal in characters, if it is known.
fn columns() -> Option<usize> {
    console::Term::stdout().size_checked().map(|(_, columns)| usize::from(columns))
}

/// The names of the table's columns.
fn header(tasks: &[String], row: &EpochRow) -> String {
    let mut header = format!("{:>5}", "epoch");
    for task in tasks {
        header += &format!(" {:>9}", format!("{}.", &task[..task.len().min(8)]));
    }
    for (name, _) in row.validation.iter().flat_map(|task| &task.metrics) {
        header += &format!(" {name:>14}");
    }
    header + &format!(" {:>7} {:>9} {:>6}", "score", "images/s", "time")
}

/// An epoch as a row of the table.
fn cells(row: &EpochRow) -> String {
    let mut line = format!("{:>5}", row.epoch);
    for loss in &row.losses {
        line += &format!(" {loss:>9.4}");
    }
    for (_, value) in row.validation.iter().flat_map(|task| &task.metrics) {
        line += &format!(" {:>14}", figure(*value));
    }
    let best = if row.is_best { " *" } else { "" };
    line + &format!(" {:>7} {:>9.0} {:>5.0}s{best}", figure(row.score), row.images_per_second, row.seconds)
}

/// The same for a terminal that is too narrow for a table: each figure with its name.
fn facts(tasks: &[String], row: &EpochRow) -> Vec<String> {
    let best = if row.is_best { " *" } else { "" };
    let mut facts = vec![format!("epoch {}:", row.epoch), format!("score {}{best}", figure(row.score))];
    facts.extend(tasks.iter().zip(&row.losses).map(|(task, loss)| format!("{task} loss {loss:.4}")));
    for task in &row.validation {
        facts.extend(task.metrics.iter().map(|(name, value)| format!("{name} {}", figure(*value))));
    }
    facts.push(format!("{:.0}s", row.seconds));
    facts
}

/// Facts in lines of at most `columns` characters, unless one fact is longer; further lines are indented.
fn wrapped(facts: &[String], columns: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for fact in facts {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 2 + fact.chars().count() <= columns => {
                *line += "  ";
                *line += fact;
            }
            Some(_) => lines.push(format!("  {fact}")),
            None => lines.push(fact.clone()),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_for_a_narrow_terminal_fit_it_and_leave_nothing_out() {
        let facts: Vec<String> = (0..12).map(|number| format!("metric{number} 0.{number:04}")).collect();
        for columns in [24, 40, 80] {
            let lines = wrapped(&facts, columns);
            assert!(lines.iter().all(|line| line.chars().count() <= columns), "{lines:?}");
            let all = lines.join(" ");
            assert!(facts.iter().all(|fact| all.contains(fact)));
        }
    }
}
