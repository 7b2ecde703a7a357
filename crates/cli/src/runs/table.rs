//! The list as a table: its columns, its order, its lines.

use std::cmp::Ordering;

use cerberus::train::TrainError;

use super::found::{Run, natural};

/// The content of a cell, by which it is also sorted.
#[derive(Clone, Debug, PartialEq)]
enum Cell {
    Text(String),
    Number(f64, String),
    /// Comes last, whichever way a column is sorted.
    Unknown,
}

impl Cell {
    fn number(value: Option<f64>, shown: impl Fn(f64) -> String) -> Cell {
        value
            .filter(|value| value.is_finite())
            .map_or(Cell::Unknown, |value| Cell::Number(value, shown(value)))
    }

    fn shown(&self) -> &str {
        match self {
            Cell::Text(text) | Cell::Number(_, text) => text,
            Cell::Unknown => "-",
        }
    }
}

/// The columns before and after those of the tasks.
const BEFORE: [&str; 7] = ["name", "state", "data", "tasks", "balance", "epochs", "best"];
const AFTER: &str = "images/s";
/// Only if a run has one.
const PROBLEM: &str = "problem";

/// The columns for some runs.
pub(super) struct Listing {
    tasks: Vec<String>,
    has_problem: bool,
}

impl Listing {
    /// The columns for these runs: one for each task that any of them has.
    pub fn of(runs: &[Run]) -> Listing {
        let mut tasks: Vec<String> = Vec::new();
        for task in runs.iter().flat_map(|run| &run.tasks) {
            if !tasks.contains(task) {
                tasks.push(task.clone());
            }
        }
        Listing { tasks, has_problem: runs.iter().any(|run| run.problem.is_some()) }
    }

    /// The columns' names.
    pub fn header(&self) -> Vec<&str> {
        let tasks = self.tasks.iter().map(String::as_str);
        let problem = self.has_problem.then_some(PROBLEM);
        BEFORE.into_iter().chain(tasks).chain([AFTER]).chain(problem).collect()
    }

    /// A run's cells as they are shown.
    pub fn row(&self, run: &Run) -> Vec<String> {
        self.cells(run).iter().map(|cell| cell.shown().to_string()).collect()
    }

    fn cells(&self, run: &Run) -> Vec<Cell> {
        let text = |text: &str| if text.is_empty() { Cell::Unknown } else { Cell::Text(text.to_string()) };
        let [done, epochs] = run.epochs;
        let mut cells = vec![
            text(&run.name),
            text(run.state.name()),
            text(&run.data),
            text(&run.tasks.join(",")),
            text(&run.balance),
            Cell::Number(done as f64, format!("{done}/{epochs}")),
            Cell::number(run.best_epoch.map(|epoch| epoch as f64), |epoch| epoch.to_string()),
        ];
        cells.extend(self.tasks.iter().map(|task| {
            let figure = run.figures.iter().find(|figure| figure.task == *task);
            let name = figure.map_or("", |figure| figure.name.as_str());
            Cell::number(figure.and_then(|figure| figure.value), |value| format!("{name} {value:.4}"))
        }));
        cells.push(Cell::number(run.images_per_second, |speed| format!("{speed:.0}")));
        if self.has_problem {
            cells.push(text(run.problem.as_deref().unwrap_or_default()));
        }
        cells
    }

    /// Sorts runs by a column.
    ///
    /// # Errors
    /// [`TrainError::Option`] if there is no such column; the message lists the existing
    /// ones.
    pub fn sort(&self, runs: &mut [Run], column: &str, descending: bool) -> Result<(), TrainError> {
        let header = self.header();
        let Some(place) = header.iter().position(|name| *name == column) else {
            let header = header.join(", ");
            return Err(TrainError::Option(format!(
                "there is no column {column:?} to sort by; there are {header}"
            )));
        };
        let direction = |order: Ordering| if descending { order.reverse() } else { order };
        runs.sort_by(|a, b| match (&self.cells(a)[place], &self.cells(b)[place]) {
            (Cell::Unknown, Cell::Unknown) => Ordering::Equal,
            (Cell::Unknown, _) => Ordering::Greater,
            (_, Cell::Unknown) => Ordering::Less,
            (Cell::Number(a, _), Cell::Number(b, _)) => direction(a.total_cmp(b)),
            (a, b) => direction(natural(a.shown()).cmp(&natural(b.shown()))),
        });
        Ok(())
    }

    /// The table, with aligned columns.
    pub fn lines(&self, runs: &[Run]) -> Vec<String> {
        let header = self.header().iter().map(|name| name.to_string()).collect();
        let rows: Vec<Vec<String>> =
            std::iter::once(header).chain(runs.iter().map(|run| self.row(run))).collect();
        let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
        let widths: Vec<usize> = (0..rows[0].len()).map(width).collect();
        let line = |row: &Vec<String>| {
            let cells = row.iter().zip(&widths).map(|(cell, &width)| format!("{cell:<width$}"));
            // A name may hold any character, but a row must stay on one line.
            let line = cells.collect::<Vec<_>>().join("  ");
            line.trim_end().replace(char::is_control, "\u{fffd}")
        };
        rows.iter().map(line).collect()
    }
}
