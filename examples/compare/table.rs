//! The rows summed up: per strategy each metric, Δm and cost.

use cerberus::metrics::Estimate;

use super::rows::Rows;
use super::statistics::{DeltaM, hypervolume};

/// One strategy's line.
pub struct Line {
    pub strategy: String,
    pub seeds: usize,
    /// In the order of [`Table::metrics`]; `None` for a task it was not trained on.
    pub metrics: Vec<Option<Estimate>>,
    /// Δm by task, flat and main, the conventions of LibMTL, CAGrad and Vandenhende.
    pub delta: Option<[Estimate; 3]>,
    /// Δm by task against equal weights instead of single tasks.
    pub over_equal: Option<Estimate>,
    pub images_per_second: Estimate,
    pub seconds: Estimate,
    /// The most bytes in tensors at once, in MiB.
    pub memory: f64,
}

impl Line {
    /// Δm against single-task training in the three conventions, and against equal
    /// weights.
    fn gains(&self) -> [Option<Estimate>; 4] {
        let single = |index: usize| self.delta.map(|delta| delta[index]);
        [single(0), single(1), single(2), self.over_equal]
    }
}

/// With its sign: a gain or a loss.
fn signed(Estimate { mean, half }: Estimate) -> String {
    if half.is_finite() { format!("{mean:+.2} ±{half:.2}") } else { format!("{mean:+.2}") }
}

/// All lines.
pub struct Table {
    /// `task.metric`, a task's main metric first.
    pub metrics: Vec<String>,
    pub lines: Vec<Line>,
    /// The hypervolume of the strategies' mean main metrics, if there are two tasks.
    pub hypervolume: Option<f64>,
}

/// A task's main metric comes before the others.
fn rank(metric: &str) -> (String, usize) {
    let (task, name) = metric.split_once('.').unwrap_or((metric, ""));
    let mains = ["accuracy", "map", "miou"];
    (task.to_string(), usize::from(!mains.contains(&name)))
}

impl Table {
    pub fn of(rows: &Rows) -> Self {
        let mut metrics: Vec<String> = rows.all.iter().flat_map(|row| row.metrics.keys().cloned()).collect();
        metrics.sort_by_key(|metric| (rank(metric), metric.clone()));
        metrics.dedup();
        let lines: Vec<Line> = rows.strategies().iter().map(|name| line(rows, &metrics, name)).collect();
        let tasks = mains(&metrics);
        let points: Vec<[f64; 2]> = lines
            .iter()
            .filter_map(|line| match tasks[..] {
                [a, b] => Some([line.metrics[a]?.mean, line.metrics[b]?.mean]),
                _ => None,
            })
            .collect();
        let hypervolume = (tasks.len() == 2).then(|| hypervolume(&points));
        Self { metrics, lines, hypervolume }
    }

    /// For a terminal.
    pub fn text(&self) -> Vec<String> {
        let mut header = format!("{:<18} {:>5}", "strategy", "seeds");
        for metric in &self.metrics {
            header += &format!(" {metric:>22}");
        }
        header += &format!(" {:>18} {:>18} {:>18}", "Δm by task (+)", "Δm flat (-)", "Δm main (+)");
        header += &format!(" {:>18} {:>10} {:>8} {:>7}", "over equal (+)", "images/s", "seconds", "MiB");
        let mut all = vec![header];
        for line in &self.lines {
            let mut text = format!("{:<18} {:>5}", line.strategy, line.seeds);
            for metric in &line.metrics {
                text += &format!(" {:>22}", metric.map_or(String::new(), |m| m.to_string()));
            }
            for gain in line.gains() {
                text += &format!(" {:>18}", gain.map_or(String::new(), signed));
            }
            text += &format!(
                " {:>10.0} {:>8.0} {:>7.0}",
                line.images_per_second.mean, line.seconds.mean, line.memory
            );
            all.push(text);
        }
        all.extend(self.hypervolume.map(|volume| format!("hypervolume of the main metrics: {volume:.4}")));
        all
    }

    /// In percent, as a table of a document.
    pub fn markdown(&self) -> String {
        let head = ["Δm by task", "over equal", "images/s", "MiB"];
        let columns: Vec<&str> = self.metrics.iter().map(String::as_str).chain(head).collect();
        let mut text = format!("| | {} |\n|---|{}\n", columns.join(" | "), "---|".repeat(columns.len()));
        for line in &self.lines {
            let metrics = line.metrics.iter().map(|metric| metric.map_or(String::new(), |e| e.percent()));
            let gains = [line.gains()[0], line.gains()[3]];
            let gains = gains.into_iter().map(|gain| gain.map_or(String::new(), signed));
            let costs = [format!("{:.0}", line.images_per_second.mean), format!("{:.0}", line.memory)];
            let cells: Vec<String> = metrics.chain(gains).chain(costs).collect();
            text += &format!("| `{}` | {} |\n", line.strategy, cells.join(" | "));
        }
        text
    }

    /// For other programs.
    pub fn csv(&self) -> String {
        let mut header = vec!["strategy".to_string(), "seeds".into()];
        for metric in self.metrics.iter().map(String::as_str).chain([
            "delta_m_by_task_positive_better_libmtl",
            "delta_m_flat_negative_better_cagrad",
            "delta_m_main_positive_better_vandenhende",
            "delta_m_by_task_over_equal_positive_better",
            "images_per_second",
            "seconds",
        ]) {
            header.extend([metric.to_string(), format!("{metric}_half_95")]);
        }
        header.push("tensors_mib".into());
        let mut text = header.join(",") + "\n";
        for line in &self.lines {
            let mut cells = vec![line.strategy.clone(), line.seeds.to_string()];
            let costs = [Some(line.images_per_second), Some(line.seconds)];
            for estimate in line.metrics.iter().copied().chain(line.gains()).chain(costs) {
                let number =
                    |value: f64| if value.is_finite() { format!("{value:.6}") } else { String::new() };
                cells.push(estimate.map_or(String::new(), |e| number(e.mean)));
                cells.push(estimate.map_or(String::new(), |e| number(e.half)));
            }
            cells.push(format!("{:.0}", line.memory));
            text += &(cells.join(",") + "\n");
        }
        text
    }
}

/// Places of the tasks' main metrics.
pub fn mains(metrics: &[String]) -> Vec<usize> {
    (0..metrics.len()).filter(|&place| rank(&metrics[place]).1 == 0).collect()
}

fn line(rows: &Rows, metrics: &[String], name: &str) -> Line {
    let own: Vec<_> = rows.all.iter().filter(|row| row.strategy == name).collect();
    let estimate = |metric: &String| {
        let values: Vec<f64> = rows.values(name, metric).into_values().collect();
        (!values.is_empty()).then(|| Estimate::of(&values))
    };
    Line {
        strategy: name.to_string(),
        seeds: own.len(),
        metrics: metrics.iter().map(estimate).collect(),
        delta: delta(rows, metrics, name, |task| format!("single-{task}")),
        over_equal: delta(rows, metrics, name, |_| "equal".into())
            .filter(|_| name != "equal")
            .map(|[by_task, ..]| by_task),
        images_per_second: Estimate::of(&own.iter().map(|row| row.images_per_second).collect::<Vec<_>>()),
        seconds: Estimate::of(&own.iter().map(|row| row.seconds).collect::<Vec<_>>()),
        memory: own.iter().map(|row| row.memory).fold(0.0, f64::max),
    }
}

/// Δm of each seed against the baselines of the same seed, named for each task.
fn delta(
    rows: &Rows,
    metrics: &[String],
    name: &str,
    baseline: impl Fn(&str) -> String,
) -> Option<[Estimate; 3]> {
    if name.starts_with("single-") {
        return None;
    }
    let mut all: [Vec<f64>; 3] = Default::default();
    for row in rows.all.iter().filter(|row| row.strategy == name) {
        let mut tasks: Vec<Vec<(f64, f64)>> = Vec::new();
        let mut last = "";
        for metric in metrics {
            let task = metric.split_once('.')?.0;
            let base = *rows.values(&baseline(task), metric).get(&row.seed)?;
            if task != last {
                tasks.push(Vec::new());
                last = task;
            }
            tasks.last_mut()?.push((*row.metrics.get(metric)?, base));
        }
        let DeltaM { by_task, flat, main } = DeltaM::of(&tasks);
        all.iter_mut().zip([by_task, flat, main]).for_each(|(values, value)| values.push(value));
    }
    Some(all.map(|values| Estimate::of(&values)))
}
