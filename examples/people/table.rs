//! Means over people with intervals, the worst tenth, the share who are worse off, and curves.

use std::fmt::Write;

use cerberus::metrics::Estimate;
use cerberus_cli::chart::{Series, lines};

use crate::study::{CHANGES, COUNTS, Row, Study};

/// Everything that is told of a study.
pub struct Tables<'a> {
    study: &'a Study,
}

/// The way that others are compared with.
const ALONE: &str = "base alone";

impl<'a> Tables<'a> {
    pub fn of(study: &'a Study) -> Self {
        Self { study }
    }

    fn rows(&self, way: &str, shown: usize) -> Vec<&Row> {
        self.study.rows.iter().filter(|row| row.way == way && row.shown == shown).collect()
    }

    /// The ways in the order in which they were measured.
    fn ways(&self) -> Vec<&str> {
        let mut ways: Vec<&str> = Vec::new();
        for row in &self.study.rows {
            if !ways.contains(&row.way.as_str()) {
                ways.push(&row.way);
            }
        }
        ways
    }

    /// The tables of `docs/results.md`.
    pub fn markdown(&self) -> String {
        let mut text = String::from(
            "| pictures | way | own classes | base's classes | change of those | all pictures | worst tenth | worse off |\n\
             |---|---|---|---|---|---|---|---|\n",
        );
        let alone = self.rows(ALONE, 0);
        for shown in std::iter::once(0).chain(COUNTS) {
            for way in self.ways() {
                let rows = self.rows(way, shown);
                if rows.is_empty() {
                    continue;
                }
                let of = |value: fn(&Row) -> f64| {
                    Estimate::of(&rows.iter().map(|row| value(row)).collect::<Vec<_>>()).percent()
                };
                let pairs = || rows.iter().zip(&alone);
                let change =
                    Estimate::of(&pairs().map(|(row, alone)| row.known - alone.known).collect::<Vec<_>>());
                let mut gains: Vec<f64> = pairs().map(|(row, alone)| row.all - alone.all).collect();
                gains.sort_by(f64::total_cmp);
                let tenth = &gains[..gains.len().div_ceil(10)];
                let worst = tenth.iter().sum::<f64>() / tenth.len() as f64;
                let worse = gains.iter().filter(|gain| **gain < 0.0).count() as f64 / gains.len() as f64;
                let _ = writeln!(
                    text,
                    "| {shown} | {way} | {} | {} | {} | {} | {:+.1} | {:.0} % |",
                    of(|row| row.own),
                    of(|row| row.known),
                    change.percent(),
                    of(|row| row.all),
                    100.0 * worst,
                    100.0 * worse
                );
            }
        }
        let heads = &self.study.heads;
        let names: Vec<&str> = heads[0][0].iter().map(|(name, _)| name.as_str()).collect();
        let columns: Vec<String> = names.iter().map(|name| format!("{name} | gain")).collect();
        let _ = write!(text, "\n| | {} |\n|---|{}\n", columns.join(" | "), "---|".repeat(2 * names.len()));
        for (change, name) in CHANGES.iter().enumerate() {
            let cell = |head: &&str| {
                let value = |person: &[Vec<(String, f64)>], change: usize| {
                    person[change].iter().find(|(name, _)| name == head).map_or(f64::NAN, |(_, value)| *value)
                };
                let values: Vec<f64> = heads.iter().map(|person| value(person, change)).collect();
                let gains: Vec<f64> =
                    heads.iter().map(|person| value(person, change) - value(person, 0)).collect();
                format!("{} | {}", Estimate::of(&values).percent(), Estimate::of(&gains).percent())
            };
            let _ = writeln!(text, "| {name} | {} |", names.iter().map(cell).collect::<Vec<_>>().join(" | "));
        }
        text += "\n| called unknown, of pictures of | share |\n|---|---|\n";
        for (place, name) in ["a class that nobody taught", "the base's classes", "the class that was taught"]
            .iter()
            .enumerate()
        {
            let values: Vec<f64> = self.study.unknown.iter().map(|shares| shares[place]).collect();
            let _ = writeln!(text, "| {name} | {} |", Estimate::of(&values).percent());
        }
        text += &self.shares();
        text
    }

    /// What all people share and what is personal: how much of each there is, and what it is worth with five pictures
    /// of each class.
    fn shares(&self) -> String {
        const SHOWN: usize = 5;
        let [base, style, picture] = self.study.sizes();
        let pictures = 2 * SHOWN * picture;
        let mut text = String::from(
            "\n| | numbers | KiB | own classes | base's classes | all pictures |\n|---|---|---|---|---|---|\n",
        );
        let parts = [
            ("shared: the base", base, ALONE, 0),
            ("personal: style", style, "style, base alone", 0),
            ("personal: ten pictures of two classes", pictures, "chosen", SHOWN),
            ("personal: both", style + pictures, "style, chosen", SHOWN),
        ];
        for (name, numbers, way, shown) in parts {
            let rows = self.rows(way, shown);
            let of = |value: fn(&Row) -> f64| {
                Estimate::of(&rows.iter().map(|row| value(row)).collect::<Vec<_>>()).percent()
            };
            let kib = (numbers * size_of::<f32>()) as f64 / 1024.0;
            let figures = [of(|row| row.own), of(|row| row.known), of(|row| row.all)].join(" | ");
            let _ = writeln!(text, "| {name} | {numbers} | {kib:.1} | {figures} |");
        }
        text
    }

    /// Accuracy on the person's classes against the number of pictures.
    pub fn curves(&self) -> String {
        let series =
            self.ways().into_iter().filter(|way| !way.starts_with("style") && *way != ALONE).map(|way| {
                let point = |shown: usize| {
                    let rows = self.rows(way, shown);
                    let mean = rows.iter().map(|row| row.own).sum::<f64>() / rows.len().max(1) as f64;
                    [shown as f64, mean]
                };
                Series::new(way, COUNTS.into_iter().map(point).collect())
            });
        lines("Accuracy on the person's classes", ["pictures of each class", ""], &series.collect::<Vec<_>>())
    }
}
