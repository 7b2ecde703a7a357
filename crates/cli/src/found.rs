//! Predictions for pictures, in the formats of other programs: JSON, COCO's formats, and rows of a table.

use std::path::Path;

use cerberus::data::{ClassId, Image};
use cerberus::metrics::argmax;
use cerberus::multitask::{HeadConfig, Prediction};
use serde_json::{Map, Value, json};

/// The columns of [`rows`].
pub(crate) const COLUMNS: [&str; 9] = ["image", "task", "name", "value", "x1", "y1", "x2", "y2", "pixels"];

/// The predictions for a picture as rows of a table: the class with its probability, each object with its score and box
/// in pixels of the file, each class of a mask with its share and its pixels, each number with its name.
pub(crate) fn rows(
    path: &Path,
    picture: &Image,
    predictions: &[(&HeadConfig, &Prediction)],
) -> Vec<[String; 9]> {
    let image = path.display().to_string();
    let row = |head: &HeadConfig, name: &str, value: f64| {
        let mut row: [String; 9] = Default::default();
        (row[0], row[1], row[2], row[3]) =
            (image.clone(), head.name.clone(), name.into(), format!("{value:.6}"));
        row
    };
    let mut rows = Vec::new();
    for (head, prediction) in predictions {
        let names = &head.classes;
        match prediction {
            Prediction::Classes(probabilities) => {
                rows.extend(
                    argmax(probabilities).map(|best| row(head, &names[best], f64::from(probabilities[best]))),
                );
            }
            Prediction::ClassSet(values) | Prediction::Values(values) => {
                rows.extend(names.iter().zip(values).map(|(name, &value)| row(head, name, f64::from(value))));
            }
            Prediction::Objects(objects) => rows.extend(objects.iter().map(|object| {
                let mut row = row(head, &names[object.class], f64::from(object.score));
                for (cell, side) in row[4..8].iter_mut().zip(object.bbox) {
                    *cell = format!("{side:.2}");
                }
                row
            })),
            Prediction::Mask(classes) => {
                let whole = (picture.height * picture.width) as f64;
                let shares = shares_of_pixels(classes, names.len());
                for (name, &share) in names.iter().zip(&shares[1..]).filter(|(_, share)| **share > 0.0) {
                    let mut row = row(head, name, share);
                    row[8] = format!("{:.0}", share * whole);
                    rows.push(row);
                }
            }
            Prediction::ValueMap(values) => {
                let mean =
                    values.iter().map(|&value| f64::from(value)).sum::<f64>() / values.len().max(1) as f64;
                rows.push(row(head, "mean", mean));
            }
        }
    }
    rows
}

/// The shares of a mask's pixels that are background and each of its classes.
fn shares_of_pixels(mask: &[ClassId], classes: usize) -> Vec<f64> {
    let mut counts = vec![0_usize; classes + 1];
    for &class in mask {
        if let Some(count) = counts.get_mut(usize::from(class)) {
            *count += 1;
        }
    }
    counts.into_iter().map(|count| count as f64 / mask.len().max(1) as f64).collect()
}

/// The predictions for a picture, task by task.
pub(crate) fn to_json(path: &Path, picture: &Image, predictions: &[(&HeadConfig, &Prediction)]) -> Value {
    let mut found = json!({
        "image": path.display().to_string(),
        "width": picture.width,
        "height": picture.height,
    });
    for (head, prediction) in predictions {
        let names = &head.classes;
        let by_name = |values: &[f32]| -> Map<String, Value> {
            names.iter().zip(values).map(|(name, &value)| (name.clone(), json!(value))).collect()
        };
        found[&head.name] = match prediction {
            Prediction::Classes(probabilities) => {
                let best = argmax(probabilities).unwrap_or(0);
                json!({"class": names[best], "probability": probabilities[best], "all": by_name(probabilities)})
            }
            Prediction::ClassSet(values) | Prediction::Values(values) => Value::Object(by_name(values)),
            Prediction::Objects(objects) => {
                let objects = objects.iter().map(|object| {
                    let [x1, y1, x2, y2] = object.bbox;
                    json!({"class": names[object.class], "score": object.score, "box": [x1, y1, x2, y2]})
                });
                objects.collect()
            }
            Prediction::Mask(classes) => {
                let all = std::iter::once("background").chain(names.iter().map(String::as_str));
                let shares: Map<String, Value> = all
                    .zip(shares_of_pixels(classes, names.len()))
                    .filter(|(_, share)| *share > 0.0)
                    .map(|(name, share)| (name.to_string(), json!(share)))
                    .collect();
                json!({"share_of_pixels": shares})
            }
            Prediction::ValueMap(values) => {
                let sum: f32 = values.iter().sum();
                json!({"mean": sum / values.len().max(1) as f32})
            }
        };
    }
    found
}

/// The predictions for all pictures in COCO's annotation format: boxes with their
/// scores, masks as uncompressed run lengths, column by column, and an image's
/// class as a box around it.
#[derive(Default)]
pub(crate) struct Coco {
    images: Vec<Value>,
    categories: Vec<String>,
    annotations: Vec<Value>,
}

impl Coco {
    /// The categories are the class names of all heads, each name once.
    pub(crate) fn new(heads: &[HeadConfig]) -> Self {
        let mut coco = Self::default();
        for name in heads.iter().flat_map(|head| &head.classes) {
            if !coco.categories.contains(name) {
                coco.categories.push(name.clone());
            }
        }
        coco
    }

    /// Adds a picture, and adds its part of COCO's file to `found`.
    pub(crate) fn add(
        &mut self,
        found: &mut Value,
        predictions: &[(&HeadConfig, &Prediction)],
        mask: [usize; 2],
    ) {
        let (image, first) = (self.images.len() + 1, self.annotations.len());
        let [width, height] = ["width", "height"].map(|side| found[side].as_u64().unwrap_or(0) as usize);
        self.images.push(json!({"id": image, "file_name": found["image"], "width": width, "height": height}));
        for (head, prediction) in predictions {
            match prediction {
                Prediction::Objects(objects) => {
                    for object in objects {
                        let [x1, y1, x2, y2] = object.bbox;
                        let bbox = json!([x1, y1, x2 - x1, y2 - y1]);
                        let area = (x2 - x1) * (y2 - y1);
                        let own = json!({"bbox": bbox, "area": area, "score": object.score});
                        self.annotate(image, head, object.class, own);
                    }
                }
                Prediction::Mask(classes) => {
                    for class in 0..head.classes.len() {
                        if let Some(own) = run_lengths(classes, mask, [height, width], class as ClassId + 1) {
                            self.annotate(image, head, class, own);
                        }
                    }
                }
                Prediction::Classes(probabilities) => {
                    let best = argmax(probabilities).unwrap_or(0);
                    let whole = json!({"bbox": [0, 0, width, height], "score": probabilities[best]});
                    self.annotate(image, head, best, whole);
                }
                Prediction::ClassSet(_) | Prediction::Values(_) | Prediction::ValueMap(_) => {}
            }
        }
        found["images"] = json!([self.images[image - 1]]);
        found["categories"] = self.categories();
        found["annotations"] = json!(self.annotations[first..]);
    }

    fn annotate(&mut self, image: usize, head: &HeadConfig, class: usize, mut own: Value) {
        let name = &head.classes[class];
        let category = self.categories.iter().position(|known| known == name).map_or(0, |place| place + 1);
        own["id"] = json!(self.annotations.len() + 1);
        own["image_id"] = json!(image);
        own["category_id"] = json!(category);
        own["iscrowd"] = json!(0);
        own["head"] = json!(head.name);
        self.annotations.push(own);
    }

    /// The objects and masks in the results format of COCO's evaluation: a list, for other programs to score.
    pub(crate) fn results(&self) -> Value {
        let result = |own: &Value| {
            let mut result = Map::new();
            for key in ["image_id", "category_id", "bbox", "score", "segmentation"] {
                if let Some(value) = own.get(key) {
                    result.insert(key.into(), value.clone());
                }
            }
            // A mask has no score.
            result.entry("score").or_insert(json!(1.0));
            Value::Object(result)
        };
        self.annotations.iter().map(result).collect()
    }

    fn categories(&self) -> Value {
        let named = self.categories.iter().enumerate();
        named.map(|(place, name)| json!({"id": place + 1, "name": name})).collect()
    }

    pub(crate) fn to_json(&self) -> Value {
        json!({"images": self.images, "categories": self.categories(), "annotations": self.annotations})
    }
}

/// The pixels of one class of a mask, enlarged to the picture, as run lengths with box and area.
pub(crate) fn run_lengths(
    mask: &[ClassId],
    [rows, columns]: [usize; 2],
    [height, width]: [usize; 2],
    class: ClassId,
) -> Option<Value> {
    let (mut counts, mut inside, mut area) = (vec![0_usize], false, 0);
    let mut bounds = [width, height, 0, 0];
    for x in 0..width {
        for y in 0..height {
            let hit = mask[y * rows / height * columns + x * columns / width] == class;
            if hit != inside {
                counts.push(0);
                inside = hit;
            }
            if let Some(last) = counts.last_mut() {
                *last += 1;
            }
            if hit {
                area += 1;
                bounds = [bounds[0].min(x), bounds[1].min(y), bounds[2].max(x + 1), bounds[3].max(y + 1)];
            }
        }
    }
    let [x1, y1, x2, y2] = bounds;
    (area > 0).then(|| {
        json!({
            "segmentation": {"counts": counts, "size": [height, width]},
            "bbox": [x1, y1, x2 - x1, y2 - y1],
            "area": area,
        })
    })
}
