//! Tables: text is aligned left, numbers right, and a long table scrolls.

use std::fmt::Write;

use crate::escape::escape;

/// A table that is being built.
#[derive(Clone, Debug, Default)]
pub struct Table {
    header: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// An empty table with these columns.
    pub fn new(header: &[&str]) -> Table {
        Table { header: header.iter().map(|cell| cell.to_string()).collect(), rows: Vec::new() }
    }

    /// Returns the table with one more row; missing cells are empty.
    pub fn row(mut self, cells: impl IntoIterator<Item = String>) -> Table {
        self.push(cells);
        self
    }

    /// Adds a row.
    pub fn push(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().collect());
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    pub(crate) fn html(&self) -> String {
        let mut html = String::from("<div class=\"scroll\"><table>\n<thead><tr>");
        // A column is numeric if all of its cells are numbers.
        let is_number = |text: &str| {
            text.is_empty() || text == "-" || text.trim_end_matches('%').trim().parse::<f64>().is_ok()
        };
        let numbers: Vec<bool> = (0..self.header.len())
            .map(|column| self.rows.iter().all(|row| row.get(column).is_none_or(|cell| is_number(cell))))
            .collect();
        let class = |column: usize| if numbers[column] { " class=\"number\"" } else { "" };
        for (column, name) in self.header.iter().enumerate() {
            let _ = write!(html, "<th{}>{}</th>", class(column), escape(name));
        }
        html += "</tr></thead>\n<tbody>\n";
        for row in &self.rows {
            html += "<tr>";
            for column in 0..self.header.len() {
                let cell = row.get(column).map_or("", String::as_str);
                let _ = write!(html, "<td{}>{}</td>", class(column), escape(cell));
            }
            html += "</tr>\n";
        }
        html + "</tbody></table></div>\n"
    }
}
