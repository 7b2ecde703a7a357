//! The worst mistakes of a task as pictures, with the truth beside the prediction; [`judge`](super::judge) finds them.

use cerberus_data::{Batch, Sample, Split};
use cerberus_draw::{Annotated, DrawnBox, comfortable_scale, encode_jpeg, overlay, side_by_side};
use cerberus_multitask::config::HeadConfig;
use cerberus_multitask::tasks::Prediction;
use cerberus_report::Page;

use super::RunView;
use super::pass::{Mistake, TaskPass};
use crate::report::{SHOWN, annotate};
use crate::shown::picture_of;

/// The worst mistakes as pictures; a sample that can no longer be read is left out.
pub(super) fn pictures(
    page: &mut Page,
    run: &RunView,
    split: Split,
    head: &HeadConfig,
    seen: Option<&TaskPass>,
) {
    let names = sample_names(run, split);
    let picture = |mistake: &Mistake| {
        let sample = run.dataset.sample(split, 0, mistake.index).ok()?;
        let name =
            names.get(mistake.index).map_or(format!("{split} {}", mistake.index), |name| name.to_string());
        Some((drawn(head, sample, mistake)?, format!("{name}: {}", mistake.told)))
    };
    let pictures: Vec<(Vec<u8>, String)> =
        seen.iter().flat_map(|seen| &seen.worst).filter_map(picture).collect();
    if !pictures.is_empty() {
        page.heading(&format!("{}: the worst mistakes", head.name));
        let draws = |mistake: &Mistake| is_drawn(&mistake.prediction);
        if seen.is_some_and(|seen| seen.worst.iter().any(draws)) {
            page.wide_pictures(&pictures);
        } else {
            page.pictures(&pictures);
        }
    }
}

/// The names of a part's samples by index; empty unless the accounts of the data name every one.
fn sample_names<'a>(run: &RunView<'a>, split: Split) -> Vec<&'a str> {
    let pictures = run.dataset.info().accounts.iter().flat_map(|account| &account.pictures);
    let of_part = pictures.filter(|picture| picture.part == split.name());
    let names: Vec<&str> = of_part.map(|picture| picture.name.as_str()).collect();
    if names.len() == run.dataset.len(split) { names } else { Vec::new() }
}

/// Whether a prediction can be drawn into the picture.
fn is_drawn(prediction: &Prediction) -> bool {
    matches!(prediction, Prediction::Objects(_) | Prediction::Mask(_))
}

/// Input, truth and prediction side by side, for this task only; just the picture if its caption says everything.
fn drawn(head: &HeadConfig, sample: Sample, mistake: &Mistake) -> Option<Vec<u8>> {
    let size = [sample.image.height, sample.image.width];
    let picture = picture_of(&sample);
    let scale = comfortable_scale(picture.width(), picture.height());
    if !is_drawn(&mistake.prediction) {
        return encode_jpeg(&overlay(&picture, &Annotated::default(), &[], scale)).ok();
    }
    let batch = Batch::assemble(&[sample], vec![mistake.index]).ok()?;
    let label = &head.label;
    let mask = batch.masks_of(label)[0].map(|mask| (mask.height, mask.width, mask.classes.clone()));
    let boxes = batch.objects_of(label)[0].unwrap_or_default().iter().filter(|object| !object.crowd);
    let truth = Annotated {
        mask,
        boxes: boxes.map(|object| DrawnBox { class: object.class, bbox: object.bbox, score: None }).collect(),
        ..Annotated::default()
    };
    let predicted = match &mistake.prediction {
        // A user's own head may give fewer or more pixels than the picture has.
        Prediction::Mask(found) if found.len() != size[0] * size[1] => Annotated::default(),
        prediction => annotate(&[(head, prediction)], size, None, SHOWN),
    };
    encode_jpeg(&side_by_side(&picture, &truth, &predicted, &head.classes, scale)).ok()
}
