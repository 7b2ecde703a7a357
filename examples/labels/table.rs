//! Means over the seeds, a line per way and a column per figure.

use cerberus::metrics::Estimate;

use super::rows::Rows;

/// The table of all rows.
pub struct Table {
    columns: Vec<String>,
    lines: Vec<(String, Vec<Option<Estimate>>)>,
}

impl Table {
    /// The ways in the order given, without those that have no row.
    pub fn of(rows: &Rows, ways: &[&str]) -> Self {
        let mut columns: Vec<String> = Vec::new();
        for name in rows.all.iter().flat_map(|row| row.metrics.keys()) {
            if !columns.contains(name) {
                columns.push(name.clone());
            }
        }
        let estimate = |way: &str, column: &str| {
            let values: Vec<f64> = rows.values(way, column).into_values().collect();
            (!values.is_empty()).then(|| Estimate::of(&values))
        };
        let line = |way: &&str| {
            let cells = columns.iter().map(|column| estimate(way, column)).collect();
            rows.all.iter().any(|row| row.strategy == *way).then(|| (way.to_string(), cells))
        };
        let lines = ways.iter().filter_map(line).collect();
        Self { columns, lines }
    }

    /// A mean and half an interval per column.
    pub fn csv(&self) -> String {
        let mut text = String::from("way");
        self.columns.iter().for_each(|column| text += &format!(",{column},{column} ±"));
        for (way, cells) in &self.lines {
            text += &format!("\n{way}");
            for cell in cells {
                text += &cell.map_or(",,".into(), |e| format!(",{:.6},{:.6}", e.mean, e.half));
            }
        }
        text + "\n"
    }

    /// In percent, as a table of a document.
    pub fn markdown(&self) -> String {
        let mut text =
            format!("| | {} |\n|---|{}\n", self.columns.join(" | "), "---|".repeat(self.columns.len()));
        for (way, cells) in &self.lines {
            let cells: Vec<String> =
                cells.iter().map(|cell| cell.map_or(String::new(), |e| e.percent())).collect();
            text += &format!("| {way} | {} |\n", cells.join(" | "));
        }
        text
    }
}
