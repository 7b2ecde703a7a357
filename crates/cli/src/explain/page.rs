//! `explain.html`: rows are heads, columns methods.

use std::path::Path;

use cerberus::draw::{HeatScale, RgbImage, comfortable_scale, encode_png, overlay as drawn, to_rgb};
use cerberus::multitask::{HeadConfig, Prediction};
use cerberus_report::chart::{Series, lines};
use cerberus_report::{Cell, Page};

use super::files::overlay;
use super::found::{Answer, Asked, Explanation, Map};
use super::sheet::{THRESHOLD, prediction};

/// The size of a legend.
const LEGEND: (u32, u32) = (160, 8);

/// A picture's part of the page.
pub(super) struct Section {
    title: String,
    /// The columns' names.
    header: Vec<String>,
    rows: Vec<Vec<Cell>>,
    notes: Vec<String>,
}

/// The part of a picture.
pub(super) fn section(path: &Path, found: &Explanation, heads: &[HeadConfig]) -> Section {
    let methods = found.answers.first().map_or(&[][..], |answer| &answer.methods);
    let header = ["head", "answer"].into_iter().chain(methods.iter().map(|(name, _)| name.as_str()));
    let row = |answer: &Answer| {
        let cells = answer.methods.iter().map(|(_, map)| match map {
            Ok(map) => explained(found, map),
            Err(error) => Cell { lines: vec![format!("Not possible: {error}.")], ..Cell::default() },
        });
        [named(answer), answered(found, answer, heads)].into_iter().chain(cells).collect()
    };
    Section {
        title: path.display().to_string(),
        header: header.map(String::from).collect(),
        rows: found.answers.iter().map(row).collect(),
        notes: found
            .without
            .iter()
            .map(|(task, reason)| format!("{task} is not explained: {reason}."))
            .collect(),
    }
}

/// The whole page.
pub(super) fn page(model: &Path, asked: &Asked, sections: Vec<Section>) -> String {
    let mut page = Page::new("What the answers rest on");
    page.text(&format!("Model: {}. Pictures are shown as the model sees them.", model.display()));
    page.text(
        "Colours: from violet (nothing) over green to yellow (most) where a map is never negative; otherwise red speaks for \
         the answer and blue against it, white is nothing. The numbers under a map are the ends of its scale.",
    );
    page.text(&format!(
        "Each chart shows the answer while pixels go (deletion) or come back (insertion), those first that the map calls the \
         most important: a map is faithful if the first curve falls and the second rises at once. Methods by differences \
         compare with the baseline {}.",
        asked.baseline
    ));
    for section in sections {
        page.section(&section.title);
        section.notes.iter().for_each(|note| page.text(note));
        let header: Vec<&str> = section.header.iter().map(String::as_str).collect();
        page.picture_table(&header, &section.rows);
    }
    page.finish()
}

fn named(answer: &Answer) -> Cell {
    Cell {
        lines: vec![
            answer.task.clone(),
            format!("{}: {}", answer.target, short(answer.value)),
            format!("class activation maps of {}", answer.layer),
        ],
        ..Cell::default()
    }
}

/// The picture with the head's prediction.
fn answered(found: &Explanation, answer: &Answer, heads: &[HeadConfig]) -> Cell {
    let rgb = to_rgb(&found.picture);
    let scale = comfortable_scale(rgb.width(), rgb.height());
    let own = heads.iter().zip(&found.predictions).find(|(head, _)| head.name == answer.task);
    let (annotated, names) = prediction(found, answer, heads);
    let lines = own.map(|(head, prediction)| said(head, prediction));
    Cell {
        pictures: file(
            &drawn(&rgb, &annotated, &names, scale),
            &format!("the prediction of {}", answer.task),
        ),
        lines: lines.into_iter().collect(),
        ..Cell::default()
    }
}

/// The prediction in a line.
fn said(head: &HeadConfig, prediction: &Prediction) -> String {
    match prediction {
        Prediction::Objects(found) => {
            format!("{} objects above {THRESHOLD}", found.iter().filter(|o| o.score >= THRESHOLD).count())
        }
        Prediction::Values(values) => {
            let pairs = head.classes.iter().zip(values).map(|(name, value)| format!("{name} {value:.3}"));
            pairs.collect::<Vec<_>>().join(", ")
        }
        Prediction::ClassSet(shares) => {
            let sure = head.classes.iter().zip(shares).filter(|(_, share)| **share >= 0.5);
            sure.map(|(name, share)| format!("{name} {share:.2}")).collect::<Vec<_>>().join(", ")
        }
        Prediction::Classes(_) | Prediction::Mask(_) | Prediction::ValueMap(_) => String::new(),
    }
}

/// A map with its scale, figures and curves.
fn explained(found: &Explanation, map: &Map) -> Cell {
    let (overlay, scale) = overlay(found, map);
    let mut pictures = file(&overlay, "the map over the picture");
    pictures.extend(file(&scale.legend(LEGEND.0, LEGEND.1), "the colours of the map"));
    let mut text = vec![ends(&scale)];
    if map.values.iter().all(|&value| value == 0.0) {
        text.push(
            "Nothing: by this method no pixel changes the answer. A saturated score has no slope.".into(),
        );
    }
    text.push(format!("sum {}", short(map.sum)));
    text.extend(map.gap.map(|gap| format!("gap to the difference {}", short(gap))));
    text.push(format!(
        "area: deletion {}, insertion {}",
        short(map.curves.deletion.area()),
        short(map.curves.insertion.area())
    ));
    let series = |name: &str, values: &[f64]| {
        let last = (values.len() - 1) as f64;
        let points = values.iter().enumerate().map(|(i, &value)| [100.0 * i as f64 / last, value]);
        Series::new(name, points.collect())
    };
    let curves = [series("deletion", &map.curves.deletion.0), series("insertion", &map.curves.insertion.0)];
    let charts = vec![lines("", ["% of pixels", "answer"], &curves)];
    Cell { pictures, lines: text, charts }
}

fn ends(scale: &HeatScale) -> String {
    format!("{} to {}", short(f64::from(scale.low)), short(f64::from(scale.high)))
}

fn file(picture: &RgbImage, caption: &str) -> Vec<(Vec<u8>, String)> {
    encode_png(picture).into_iter().map(|file| (file, caption.to_string())).collect()
}

/// A number with three digits that count.
fn short(value: f64) -> String {
    let size = value.abs();
    if size == 0.0 {
        "0".into()
    } else if (0.001..1e5).contains(&size) {
        let digits = (2 - size.max(1e-3).log10().floor() as i32).clamp(0, 5) as usize;
        format!("{value:.digits$}")
    } else {
        format!("{value:.2e}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_three_digits_that_count() {
        let cases =
            [(0.0, "0"), (1.23456, "1.23"), (-0.0123456, "-0.0123"), (1234.5, "1234"), (4e-9, "4.00e-9")];
        for (value, text) in cases {
            assert_eq!(short(value), text);
        }
    }
}
