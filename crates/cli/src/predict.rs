//! Runs a trained model on pictures: one JSON line per picture on standard
//! output, and with `--out` the same as files, with a picture of what was found
//! and everything together as COCO writes annotations.
//!
//! `cargo run --release --example predict -- --model runs/train-1/checkpoints/best.safetensors photo.jpg`

use crate::look::{Seen, look_at};
use crate::say;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use cerberus::data::{self, ClassId, Image};
use cerberus::draw::{comfortable_scale, encode_mask, encode_png, overlay, to_rgb};
use cerberus::multitask::{HeadConfig, MultiTaskModel, Prediction};
use cerberus::nn::files::write_atomically;
use cerberus::train::{TrainConfig, annotate, drawn_names, load_model};
use clap::Parser;
use serde_json::{Map, Value, json};

/// Classify, detect and segment pictures with a trained model.
#[derive(Parser)]
#[command(name = "predict")]
struct Options {
    /// A checkpoint written by the train example
    #[arg(long, value_name = "FILE")]
    model: PathBuf,
    /// Folder for predictions.json (COCO's format, all pictures) and every picture's NAME.json, NAME.png (what was found,
    /// drawn) and NAME.mask.png (class ids); made if missing [default: no files, JSON on standard output alone]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Objects less certain than this are left out
    #[arg(long, default_value_t = 0.3)]
    threshold: f32,
    /// Pictures, folders of pictures, or patterns such as 'photos/*.jpg'
    #[arg(required = true, value_name = "IMAGE")]
    images: Vec<PathBuf>,
}

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Tells what a trained model finds in pictures; see the top of this file.
pub fn main() -> ExitCode {
    let options = Options::parse();
    let result = crate::shell::thread_pool(None).map_err(Failure::from);
    match result.and_then(|pool| pool.install(|| run(&options))) {
        Ok([_, 0]) => ExitCode::SUCCESS,
        Ok([all, failed]) => {
            eprintln!("error: {failed} of {all} pictures could not be done");
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Does every picture and returns how many there were and how many failed.
fn run(options: &Options) -> Result<[usize; 2], Failure> {
    if !(0.0..=1.0).contains(&options.threshold) {
        return Err(format!("--threshold is {}; give a number from 0 to 1", options.threshold).into());
    }
    let (config, model) = load_model(&options.model)?;
    let images = inputs(&options.images)?;
    if let Some(out) = &options.out {
        std::fs::create_dir_all(out)
            .map_err(|e| format!("{}: cannot make the folder: {e}; choose another --out", out.display()))?;
    }
    let heads = &config.model.heads;
    let names = match &options.out {
        Some(out) => output_names(&images, out, heads),
        None => vec![String::new(); images.len()],
    };
    let mut failed = 0;
    let mut coco = Coco::new(heads);
    for (path, name) in images.iter().zip(names) {
        // One broken picture should not cost the others.
        if let Err(error) = predict(options, (&config, &model), &mut coco, path, &name) {
            eprintln!("error: {error}");
            failed += 1;
        }
    }
    if let Some(out) = &options.out {
        let text = serde_json::to_string(&coco.to_json())? + "\n";
        write_atomically(&out.join(TOGETHER), text.as_bytes())?;
    }
    Ok([images.len(), failed])
}

/// The pictures that were asked for: files as they are, of folders and patterns what is there, each once.
fn inputs(given: &[PathBuf]) -> Result<Vec<PathBuf>, Failure> {
    let mut images: Vec<PathBuf> = Vec::with_capacity(given.len());
    for path in given {
        let text = path.to_string_lossy();
        if path.is_dir() {
            let found = data::pictures_in(path)?;
            if found.is_empty() {
                return Err(format!(
                    "{text}: there is no picture in this folder; give files, folders or patterns"
                )
                .into());
            }
            images.extend(found);
        } else if !path.exists() && text.contains(['*', '?', '[']) {
            let found = glob::glob(&text).map_err(|error| format!("{text}: not a pattern: {error}"))?;
            let before = images.len();
            images.extend(found.flatten().filter(|path| path.is_file()));
            if images.len() == before {
                return Err(format!("{text}: no file fits this pattern").into());
            }
        } else {
            images.push(path.clone());
        }
    }
    let mut seen = BTreeSet::new();
    images.retain(|path| seen.insert(path.clone()));
    Ok(images)
}

/// The file with everything that was found.
const TOGETHER: &str = "predictions.json";

/// What follows a picture's name in the names of its files.
fn endings(heads: &[HeadConfig]) -> Vec<String> {
    let masks = heads.iter().filter(|head| head.finds_masks());
    // The first mask has the plain name.
    let masks = masks.enumerate().map(|(place, head)| match place {
        0 => "mask.png".to_string(),
        _ => format!("{}.mask.png", head.name),
    });
    ["json", "png"].into_iter().map(String::from).chain(masks).collect()
}

/// The pictures' names without folder and ending; told apart by a number where a file of one would be that of another, or
/// one of the given pictures.
fn output_names(images: &[PathBuf], out: &Path, heads: &[HeadConfig]) -> Vec<String> {
    // Some systems take names that differ in capitals for the same.
    let folded = |path: &Path| path.to_string_lossy().to_lowercase();
    let place = |path: &Path| folded(&std::fs::canonicalize(path).unwrap_or_else(|_| path.into()));
    let folder = std::fs::canonicalize(out).unwrap_or_else(|_| out.into());
    let mut taken: BTreeSet<String> = images.iter().map(|path| place(path)).collect();
    taken.insert(folded(&folder.join(TOGETHER)));
    let endings = endings(heads);
    let mut names = Vec::with_capacity(images.len());
    for path in images {
        let stem = path.file_stem().map_or("image".into(), |stem| stem.to_string_lossy().into_owned());
        let files = |name: &str| -> Vec<String> {
            endings.iter().map(|ending| folded(&folder.join(format!("{name}.{ending}")))).collect()
        };
        let numbered = (2..).map(|n| format!("{stem}-{n}"));
        let free = std::iter::once(stem.clone())
            .chain(numbered)
            .find(|name| files(name).iter().all(|file| !taken.contains(file)));
        let name = free.expect("there are numbers enough");
        taken.extend(files(&name));
        names.push(name);
    }
    names
}

fn predict(
    options: &Options,
    (config, model): (&TrainConfig, &MultiTaskModel),
    coco: &mut Coco,
    path: &Path,
    name: &str,
) -> Result<(), Failure> {
    let picture = Image::read(path)?;
    let Seen { predictions, size } = look_at(config, model, &picture, options.threshold);
    let heads = &config.model.heads;
    let predictions: Vec<(&HeadConfig, &Prediction)> = heads.iter().zip(&predictions).collect();
    let mut found = to_json(path, &picture, &predictions);
    coco.add(&mut found, &predictions, size);
    say!("{found}");
    if let Some(out) = &options.out {
        let text = serde_json::to_string_pretty(&found)? + "\n";
        write_atomically(&out.join(format!("{name}.json")), text.as_bytes())?;
        let masks = predictions.iter().filter_map(|(_, prediction)| match prediction {
            Prediction::Mask(classes) => Some(classes),
            _ => None,
        });
        for (classes, ending) in masks.zip(endings(heads).into_iter().skip(2)) {
            let mask = encode_mask(classes, size, [picture.height as u32, picture.width as u32])?;
            write_atomically(&out.join(format!("{name}.{ending}")), &mask)?;
        }
        // Uncertain objects are left out already.
        let annotated = annotate(&predictions, size, None, 0.0);
        let rgb = to_rgb(&picture);
        let scale = comfortable_scale(rgb.width(), rgb.height());
        let names = drawn_names(&heads.iter().collect::<Vec<_>>());
        let drawn = overlay(&rgb, &annotated, &names, scale);
        write_atomically(&out.join(format!("{name}.png")), &encode_png(&drawn)?)?;
    }
    Ok(())
}

fn to_json(path: &Path, picture: &Image, predictions: &[(&HeadConfig, &Prediction)]) -> Value {
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
                let best = (0..names.len()).max_by(|&a, &b| probabilities[a].total_cmp(&probabilities[b]));
                let best = best.unwrap_or(0);
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
                let share = |class: usize| {
                    let pixels = classes.iter().filter(|&&found| usize::from(found) == class).count();
                    pixels as f64 / classes.len() as f64
                };
                let shares: Map<String, Value> = (0..=names.len())
                    .filter(|&class| share(class) > 0.0)
                    .map(|class| {
                        let name = if class == 0 { "background" } else { &names[class - 1] };
                        (name.to_string(), json!(share(class)))
                    })
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

/// What was found in all pictures, as COCO writes annotations: boxes with their
/// scores, and masks as uncompressed run lengths, column by column.
#[derive(Default)]
struct Coco {
    images: Vec<Value>,
    categories: Vec<String>,
    annotations: Vec<Value>,
}

impl Coco {
    /// The categories of every head that finds things, each name once.
    fn new(heads: &[HeadConfig]) -> Self {
        let mut coco = Self::default();
        for name in heads.iter().flat_map(|head| &head.classes) {
            if !coco.categories.contains(name) {
                coco.categories.push(name.clone());
            }
        }
        coco
    }

    /// Adds a picture, and to what is said of it the part of COCO's file that is about it.
    fn add(&mut self, found: &mut Value, predictions: &[(&HeadConfig, &Prediction)], mask: [usize; 2]) {
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
                    let best = (0..probabilities.len())
                        .max_by(|&a, &b| probabilities[a].total_cmp(&probabilities[b]));
                    let best = best.unwrap_or(0);
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

    fn categories(&self) -> Value {
        let named = self.categories.iter().enumerate();
        named.map(|(place, name)| json!({"id": place + 1, "name": name})).collect()
    }

    fn to_json(&self) -> Value {
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
