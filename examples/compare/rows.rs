//! `rows.csv`: one line per finished run, appended the moment it is finished. Of several processes that share the runs,
//! each but the first has a file of its own, `rows-RANK.csv`, so that none waits for another or writes between its lines.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};

use cerberus::train::Summary;

/// One finished run.
#[derive(Clone, Debug)]
pub struct Row {
    /// The strategy, or `single-TASK`.
    pub strategy: String,
    pub seed: u64,
    /// By `task.metric`, on the test split with the best model of validation.
    pub metrics: BTreeMap<String, f64>,
    pub images_per_second: f64,
    pub seconds: f64,
    /// The most bytes in tensors and the kernels' buffers at once during the run, in MiB: the process's own peak would
    /// be that of the largest run before it.
    pub memory: f64,
}

impl Row {
    pub fn of(strategy: &str, summary: &Summary, peak_bytes: usize) -> Self {
        let named = summary.tasks.iter().flat_map(|(task, metrics)| {
            metrics.iter().filter_map(move |(name, value)| Some((format!("{task}.{name}"), (*value)?)))
        });
        Self {
            strategy: strategy.to_string(),
            seed: summary.seed,
            metrics: named.collect(),
            images_per_second: summary.images_per_second,
            seconds: summary.wall_seconds,
            memory: peak_bytes as f64 / f64::from(1 << 20),
        }
    }

    /// The line of the file: metrics as `name=value`, because runs differ in their tasks.
    pub fn line(&self) -> String {
        let metrics: Vec<String> =
            self.metrics.iter().map(|(name, value)| format!("{name}={value:.6}")).collect();
        format!(
            "{},{},{:.2},{:.1},{:.1},{}",
            self.strategy,
            self.seed,
            self.images_per_second,
            self.seconds,
            self.memory,
            metrics.join(";")
        )
    }

    fn parse(line: &str) -> Option<Self> {
        let cells: Vec<&str> = line.split(',').collect();
        let [strategy, seed, images_per_second, seconds, memory, metrics] = cells[..] else { return None };
        let metric = |text: &str| {
            let (name, value) = text.split_once('=')?;
            Some((name.to_string(), value.parse::<f64>().ok()?))
        };
        Some(Self {
            strategy: strategy.to_string(),
            seed: seed.parse().ok()?,
            images_per_second: images_per_second.parse().ok()?,
            seconds: seconds.parse().ok()?,
            memory: memory.parse().ok()?,
            metrics: metrics.split(';').map(metric).collect::<Option<_>>()?,
        })
    }
}

/// The rows of a folder.
pub struct Rows {
    path: PathBuf,
    pub all: Vec<Row>,
}

fn rows_of(path: &Path) -> Result<Vec<Row>, String> {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(format!("cannot read {}: {error}", path.display())),
    };
    let row = |(number, line): (usize, &str)| {
        Row::parse(line).ok_or_else(|| {
            let path = path.display();
            format!("{path}, line {}, is not a row of a comparison; remove it and --resume", number + 1)
        })
    };
    text.lines().enumerate().skip(1).map(row).collect()
}

const HEADER: &str = "strategy,seed,images_per_second,seconds,tensors_mib,metrics";

impl Rows {
    /// Those of all processes; empty if there is no file. New ones go to the file of this rank.
    pub fn read(folder: &Path, rank: usize) -> Result<Self, String> {
        let mut all = rows_of(&folder.join("rows.csv"))?;
        let others = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
        let is_rows = |path: &PathBuf| {
            let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            name.starts_with("rows-") && name.ends_with(".csv")
        };
        let mut others: Vec<PathBuf> = others.filter(is_rows).collect();
        others.sort();
        for path in others {
            all.extend(rows_of(&path)?);
        }
        let name = if rank == 0 { "rows.csv".into() } else { format!("rows-{rank}.csv") };
        Ok(Self { path: folder.join(name), all })
    }

    pub fn has(&self, strategy: &str, seed: u64) -> bool {
        self.all.iter().any(|row| row.strategy == strategy && row.seed == seed)
    }

    /// A single write, so that shards of one machine may share the file.
    pub fn append(&mut self, row: Row) -> Result<(), String> {
        let fail = |error: std::io::Error| format!("cannot write {}: {error}", self.path.display());
        if let Some(folder) = self.path.parent() {
            std::fs::create_dir_all(folder).map_err(fail)?;
        }
        let header = if self.path.exists() { String::new() } else { format!("{HEADER}\n") };
        let mut file = OpenOptions::new().create(true).append(true).open(&self.path).map_err(fail)?;
        file.write_all(format!("{header}{}\n", row.line()).as_bytes()).map_err(fail)?;
        self.all.push(row);
        Ok(())
    }

    /// The names in order of appearance.
    pub fn strategies(&self) -> Vec<String> {
        let mut names: Vec<String> = Vec::new();
        for row in &self.all {
            if !names.contains(&row.strategy) {
                names.push(row.strategy.clone());
            }
        }
        names
    }

    /// One strategy's values of a metric, by seed.
    pub fn values(&self, strategy: &str, metric: &str) -> BTreeMap<u64, f64> {
        let of = self.all.iter().filter(|row| row.strategy == strategy);
        of.filter_map(|row| Some((row.seed, *row.metrics.get(metric)?))).collect()
    }
}
