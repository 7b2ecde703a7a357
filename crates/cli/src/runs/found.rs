//! Runs as they are found on disk.
//!
//! Only `config.json`, `metrics.csv` and `summary.json` are read, no checkpoint, so that a list of many runs is quick.
//! What cannot be read becomes the run's `problem`, and the rest of the run is shown.

use std::path::{Path, PathBuf};

use cerberus::train::{RunFolder, Summary, TrainConfig, TrainError};

/// The depth below the folder to which runs are searched for.
const DEPTH: usize = 2;

/// The state of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// All epochs are done and scored.
    Finished,
    /// A program trains it now.
    Running,
    /// It was stopped, and can be resumed.
    Interrupted,
    /// Its configuration cannot be read.
    Broken,
}

impl State {
    /// Its name in the list.
    pub fn name(self) -> &'static str {
        match self {
            Self::Finished => "finished",
            Self::Running => "running",
            Self::Interrupted => "interrupted",
            Self::Broken => "broken",
        }
    }
}

/// The main figure of a task.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Figure {
    pub task: String,
    pub name: String,
    pub value: Option<f64>,
    /// The part it was measured on.
    pub part: String,
}

/// A column of `metrics.csv`: its name, and its value after each epoch.
#[derive(Clone, Debug)]
pub(super) struct Column {
    pub name: String,
    /// NaN where it is unknown.
    pub values: Vec<f64>,
}

/// A run.
#[derive(Clone, Debug)]
pub(super) struct Run {
    /// Its path below the folder that was searched.
    pub name: String,
    pub path: PathBuf,
    pub state: State,
    pub data: String,
    pub tasks: Vec<String>,
    pub balance: String,
    /// Epochs done, and epochs in all.
    pub epochs: [usize; 2],
    pub best_epoch: Option<usize>,
    /// For each task that has one.
    pub figures: Vec<Figure>,
    pub images_per_second: Option<f64>,
    pub metrics: Vec<Column>,
    /// What is wrong with its files.
    pub problem: Option<String>,
}

/// The runs in a folder, itself included, and up to two levels below it, in the order of their names.
///
/// # Errors
/// If the folder itself cannot be read.
pub(super) fn find(folder: &Path) -> Result<Vec<Run>, TrainError> {
    let fail = |error| TrainError::Folder {
        path: folder.to_path_buf(),
        problem: format!("cannot look for runs here: {error}; give the folder that runs were written to"),
    };
    std::fs::read_dir(folder).map_err(fail)?;
    let mut places = Vec::new();
    walk(folder, DEPTH, &mut places);
    let mut runs: Vec<Run> = places.iter().map(|place| read(folder, place)).collect();
    runs.sort_by_cached_key(|run| natural(&run.name));
    Ok(runs)
}

/// Collects the folders of runs at and below one; a run's folder is not searched further.
fn walk(folder: &Path, depth: usize, found: &mut Vec<PathBuf>) {
    // A run that was only partly created has its folders, but no configuration yet.
    if folder.join("config.json").is_file() || folder.join("checkpoints").is_dir() {
        return found.push(folder.to_path_buf());
    }
    if depth == 0 {
        return;
    }
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let hidden = |path: &Path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
    for path in entries.filter(|path| path.is_dir() && !hidden(path)) {
        walk(&path, depth - 1, found);
    }
}

/// A name as text and numbers in turn, so that `train-2` comes before `train-10`.
pub(super) fn natural(name: &str) -> Vec<(String, u64)> {
    let mut parts = Vec::new();
    let mut rest = name;
    while !rest.is_empty() {
        let text = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
        let digits = rest[text..].find(|c: char| !c.is_ascii_digit()).map_or(rest.len(), |end| text + end);
        // A number that does not fit counts as the largest.
        parts.push((rest[..text].to_string(), rest[text..digits].parse().unwrap_or(u64::MAX)));
        rest = &rest[digits..];
    }
    parts
}

fn read(root: &Path, path: &Path) -> Run {
    let below = path.strip_prefix(root).unwrap_or(path).display().to_string();
    let own =
        || path.canonicalize().ok().and_then(|path| Some(path.file_name()?.to_string_lossy().into_owned()));
    let name = if below.is_empty() { own().unwrap_or_else(|| path.display().to_string()) } else { below };
    let mut run = Run {
        name,
        path: path.to_path_buf(),
        state: State::Broken,
        data: String::new(),
        tasks: Vec::new(),
        balance: String::new(),
        epochs: [0, 0],
        best_epoch: None,
        figures: Vec::new(),
        images_per_second: None,
        metrics: Vec::new(),
        problem: None,
    };
    let mut problems = Vec::new();
    match parsed::<TrainConfig>(path, "config.json") {
        Ok(Some(config)) => {
            let names = std::iter::once(&config.data).chain(&config.mix);
            run.data = names.map(String::as_str).collect::<Vec<_>>().join("+");
            run.tasks = config.model.heads.iter().map(|head| head.name.clone()).collect();
            run.balance = config.balance.clone();
            run.epochs[1] = config.epochs;
            run.state = State::Interrupted;
        }
        Ok(None) => problems.push("there is no config.json".to_string()),
        Err(problem) => problems.push(problem),
    }
    match columns(&path.join("metrics.csv")) {
        Ok(columns) => run.metrics = columns,
        Err(problem) => problems.push(problem),
    }
    let summary = parsed::<Summary>(path, "summary.json").unwrap_or_else(|problem| {
        problems.push(problem);
        None
    });
    fill(&mut run, summary.as_ref());
    if run.state != State::Broken && RunFolder::is_in_use(path) {
        run.state = State::Running;
    }
    run.problem = (!problems.is_empty()).then(|| problems.join("; "));
    run
}

/// Fills in what metrics and summary hold.
fn fill(run: &mut Run, summary: Option<&Summary>) {
    let values = |name: &str| run.metrics.iter().find(|column| column.name == name).map(|c| &c.values[..]);
    let done = values("epoch").map_or(0, <[f64]>::len);
    let best = values("best").and_then(|best| best.iter().rposition(|&is_best| is_best == 1.0));
    let speed = values("images_per_second").and_then(|speed| speed.last().copied());
    let mut figures = Vec::new();
    for task in &run.tasks {
        let mut mine =
            run.metrics.iter().filter_map(|column| Some((figure_of(&column.name, &run.tasks)?, column)));
        let Some(((_, name), column)) = mine.find(|((of, _), _)| of == task) else { continue };
        let tested = summary.and_then(|summary| *summary.tasks.get(task)?.get(name)?);
        let part = summary.and_then(|summary| summary.scored_on.clone()).unwrap_or("test".into());
        let validated =
            best.and_then(|best| column.values.get(best)).copied().filter(|value| value.is_finite());
        figures.push(Figure {
            task: task.clone(),
            name: name.to_string(),
            value: tested.or(validated),
            part: if tested.is_some() { part } else { "validation".into() },
        });
    }
    let finished = summary.is_some() && done >= run.epochs[1] && run.state != State::Broken;
    run.epochs[0] = done;
    run.best_epoch = best.map(|best| best + 1);
    run.images_per_second = summary.map(|summary| summary.images_per_second).or(speed);
    run.figures = figures;
    if finished {
        run.state = State::Finished;
    }
}

/// The task and the figure of a column `validation_TASK_FIGURE`. If the name of one task begins with that of another,
/// the longer match counts.
pub(super) fn figure_of<'a>(column: &'a str, tasks: &'a [String]) -> Option<(&'a str, &'a str)> {
    let rest = column.strip_prefix("validation_")?;
    let named =
        |task: &'a String| Some((task.as_str(), rest.strip_prefix(task.as_str())?.strip_prefix('_')?));
    tasks.iter().filter_map(named).max_by_key(|(task, _)| task.len())
}

/// A JSON file of the run; `None` if there is none.
fn parsed<V: serde::de::DeserializeOwned>(run: &Path, name: &str) -> Result<Option<V>, String> {
    let text = match std::fs::read_to_string(run.join(name)) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(format!("cannot read {name}: {error}")),
    };
    serde_json::from_str(&text).map(Some).map_err(|error| format!("{name} is not that of a run: {error}"))
}

/// The columns of `metrics.csv`; none if there is no such file.
fn columns(path: &Path) -> Result<Vec<Column>, String> {
    if !path.exists() {
        return Ok(Vec::new());
    }
    let fail = |error: csv::Error| format!("metrics.csv cannot be read: {error}");
    let mut reader = csv::ReaderBuilder::new().from_path(path).map_err(fail)?;
    let header = reader.headers().map_err(fail)?;
    let mut columns: Vec<Column> =
        header.iter().map(|name| Column { name: name.to_string(), values: Vec::new() }).collect();
    for row in reader.records() {
        let row = row.map_err(fail)?;
        for (column, cell) in columns.iter_mut().zip(&row) {
            column.values.push(cell.parse().unwrap_or(f64::NAN));
        }
    }
    Ok(columns)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_in_names_count_as_numbers() {
        let mut names = ["train-10", "train-2", "a/train-1", "train", "7", "train-99999999999999999999999"];
        names.sort_by_cached_key(|name| natural(name));
        assert_eq!(
            names,
            ["7", "a/train-1", "train", "train-2", "train-10", "train-99999999999999999999999"]
        );
    }

    #[test]
    fn a_column_belongs_to_the_task_with_the_longest_name_that_fits() {
        let tasks = ["a".to_string(), "a_b".to_string()];
        assert_eq!(figure_of("validation_a_b_map", &tasks), Some(("a_b", "map")));
        assert_eq!(figure_of("validation_a_map50", &tasks), Some(("a", "map50")));
        assert_eq!(figure_of("train_loss_a", &tasks), None);
        assert_eq!(figure_of("validation_c_map", &tasks), None);
    }
}
