//! Runs a trained model on pictures: one JSON line per picture on standard
//! output, and with `--out` the same as files, with a picture of what was found.
//!
//! `cargo run --release --example predict -- --model runs/train-1/checkpoints/best.safetensors photo.jpg`

mod common;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use cerberus::data::{self, Image};
use cerberus::multitask::draw::{comfortable_scale, encode_mask, encode_png, overlay, to_rgb};
use cerberus::multitask::trainer::{TrainConfig, annotate, load_model};
use cerberus::multitask::{Answer, MultiTaskModel};
use cerberus::nn::files::write_atomically;
use clap::Parser;
use serde_json::{Value, json};

/// Classify, detect and segment pictures with a trained model.
#[derive(Parser)]
#[command(name = "predict")]
struct Options {
    /// A checkpoint written by the train example
    #[arg(long, value_name = "FILE")]
    model: PathBuf,
    /// Folder for every picture's NAME.json, NAME.png (what was found, drawn) and NAME.mask.png (class ids); made if
    /// missing [default: no files, JSON on standard output alone]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Objects less certain than this are left out
    #[arg(long, default_value_t = 0.3)]
    threshold: f32,
    /// PNG or JPEG files
    #[arg(required = true, value_name = "IMAGE")]
    images: Vec<PathBuf>,
}

type Failure = Box<dyn std::error::Error>;

fn main() -> ExitCode {
    let options = Options::parse();
    match run(&options) {
        Ok(0) => ExitCode::SUCCESS,
        Ok(failed) => {
            eprintln!("error: {failed} of {} pictures could not be done", options.images.len());
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Does every picture and returns how many failed.
fn run(options: &Options) -> Result<usize, Failure> {
    let (config, model) = load_model(&options.model)?;
    if let Some(out) = &options.out {
        std::fs::create_dir_all(out)
            .map_err(|e| format!("{}: cannot make the folder: {e}; choose another --out", out.display()))?;
    }
    let names = output_names(&options.images);
    let mut failed = 0;
    for (path, name) in options.images.iter().zip(names) {
        // One broken picture should not cost the others.
        if let Err(error) = predict(options, &config, &model, path, &name) {
            eprintln!("error: {error}");
            failed += 1;
        }
    }
    Ok(failed)
}

/// The pictures' names without folder and ending, told apart by a number where they repeat.
fn output_names(images: &[PathBuf]) -> Vec<String> {
    let mut names: Vec<String> = Vec::with_capacity(images.len());
    for path in images {
        let stem = path.file_stem().map_or("image".into(), |stem| stem.to_string_lossy().into_owned());
        let numbered = (2..).map(|n| format!("{stem}-{n}"));
        let free = std::iter::once(stem.clone()).chain(numbered).find(|name| !names.contains(name));
        names.push(free.expect("there are numbers enough"));
    }
    names
}

fn predict(
    options: &Options,
    config: &TrainConfig,
    model: &MultiTaskModel,
    path: &Path,
    name: &str,
) -> Result<(), Failure> {
    let picture = Image::read(path)?;
    let [height, width, _] = config.model.image;
    let small = picture.resized(height, width);
    let answers: Vec<Answer> =
        model.predict(data::normalise(&[&small])).into_iter().filter_map(|mut batch| batch.pop()).collect();
    let scale = [picture.width as f32 / width as f32, picture.height as f32 / height as f32];
    let answers: Vec<Answer> =
        answers.into_iter().map(|answer| enlarge(answer, scale, options.threshold)).collect();
    let found = to_json(path, &picture, config, &answers, [height, width]);
    say!("{found}");
    if let Some(out) = &options.out {
        let text = serde_json::to_string_pretty(&found)? + "\n";
        write_atomically(&out.join(format!("{name}.json")), text.as_bytes())?;
        let answers: Vec<&Answer> = answers.iter().collect();
        for answer in &answers {
            if let Answer::Mask(classes) = answer {
                let size = [picture.height as u32, picture.width as u32];
                let mask = encode_mask(classes, [height, width], size)?;
                write_atomically(&out.join(format!("{name}.mask.png")), &mask)?;
            }
        }
        let annotated = annotate(&answers, height, width, &config.model.classes, None);
        let rgb = to_rgb(&picture);
        let scale = comfortable_scale(rgb.width(), rgb.height());
        let drawn = overlay(&rgb, &annotated, &config.model.classes, scale);
        write_atomically(&out.join(format!("{name}.png")), &encode_png(&drawn)?)?;
    }
    Ok(())
}

/// Boxes in the pixels of the picture as it was given; uncertain ones left out.
fn enlarge(answer: Answer, [x, y]: [f32; 2], threshold: f32) -> Answer {
    let Answer::Objects(mut found) = answer else { return answer };
    found.retain(|object| object.score >= threshold);
    for object in &mut found {
        let [x1, y1, x2, y2] = object.bbox;
        object.bbox = [x1 * x, y1 * y, x2 * x, y2 * y];
    }
    Answer::Objects(found)
}

fn to_json(
    path: &Path,
    picture: &Image,
    config: &TrainConfig,
    answers: &[Answer],
    [height, width]: [usize; 2],
) -> Value {
    let names = &config.model.classes;
    let mut found = json!({
        "image": path.display().to_string(),
        "width": picture.width,
        "height": picture.height,
    });
    for answer in answers {
        match answer {
            Answer::Classes(probabilities) => {
                let best = (0..names.len()).max_by(|&a, &b| probabilities[a].total_cmp(&probabilities[b]));
                let best = best.unwrap_or(0);
                let all: serde_json::Map<String, Value> =
                    names.iter().zip(probabilities).map(|(name, &p)| (name.clone(), json!(p))).collect();
                found["classify"] =
                    json!({"class": names[best], "probability": probabilities[best], "all": all});
            }
            Answer::Objects(objects) => {
                let objects = objects.iter().map(|object| {
                    let [x1, y1, x2, y2] = object.bbox;
                    json!({"class": names[object.class], "score": object.score, "box": [x1, y1, x2, y2]})
                });
                found["detect"] = objects.collect();
            }
            Answer::Mask(classes) => {
                let share = |class: usize| {
                    let pixels = classes.iter().filter(|&&found| usize::from(found) == class).count();
                    pixels as f64 / (height * width) as f64
                };
                let shares: serde_json::Map<String, Value> = (0..=names.len())
                    .filter(|&class| share(class) > 0.0)
                    .map(|class| {
                        let name = if class == 0 { "background" } else { &names[class - 1] };
                        (name.to_string(), json!(share(class)))
                    })
                    .collect();
                found["segment"] = json!({"share_of_pixels": shares});
            }
        }
    }
    found
}
