//! One picture with all maps: a row for each head, its prediction first.

use cerberus::draw::{Annotated, HeatScale, RgbImage, gallery, heat_overlay, strip, to_rgb};
use cerberus::multitask::HeadConfig;
use cerberus::train::{annotate, drawn_names};

use super::found::{Answer, Explanation};

/// Objects less certain than this are not drawn.
pub(super) const THRESHOLD: f32 = 0.3;
/// The longer side of a map on the sheet, at least, in pixels.
const SIDE: u32 = 160;

/// A head's prediction, and the names of the classes in it.
pub(super) fn prediction(
    found: &Explanation,
    answer: &Answer,
    heads: &[HeadConfig],
) -> (Annotated, Vec<String>) {
    let own = heads.iter().zip(&found.predictions).find(|(head, _)| head.name == answer.task);
    own.map_or_else(Default::default, |pair| {
        let size = [found.picture.height, found.picture.width];
        (annotate(&[pair], size, None, THRESHOLD), drawn_names(&[pair.0]))
    })
}

/// The sheet.
pub(super) fn sheet(found: &Explanation, heads: &[HeadConfig]) -> RgbImage {
    let rgb = to_rgb(&found.picture);
    let scale = SIDE.div_ceil(rgb.width().max(rgb.height()).max(1)).max(1);
    let row = |answer: &Answer| {
        let (mut annotated, names) = prediction(found, answer, heads);
        if annotated.title.is_empty() {
            annotated.title.clone_from(&answer.task);
        }
        let mut panels = vec![(rgb.clone(), annotated)];
        for (method, map) in &answer.methods {
            let (drawn, title) = match map {
                Ok(map) => (heat_overlay(&rgb, &map.values, &HeatScale::of(&map.values), 1), method.clone()),
                Err(_) => (RgbImage::new(rgb.width(), rgb.height()), format!("{method}: not possible")),
            };
            panels.push((drawn, Annotated { title, ..Annotated::default() }));
        }
        strip(&panels, &names, scale)
    };
    let rows: Vec<RgbImage> = found.answers.iter().map(row).collect();
    gallery(&rows)
}
