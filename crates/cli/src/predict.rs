//! Runs a trained model on pictures: prints one JSON line per picture, and with
//! `--out` writes the same as files, with a picture of the predictions, and all
//! predictions together in COCO's annotation format.
//!
//! For a model of several inputs, `--image`, `--audio` and `--video` give those of one sample, any of which may be left
//! out; `--video` also goes through a clip frame by frame with a model of single pictures.
//!
//! `cargo run --release --example predict -- --model runs/train-1/checkpoints/best.safetensors photo.jpg`

use crate::found::{COLUMNS, Coco, rows, to_json};
use crate::look::{Seen, look_at};
use crate::pictures::{for_each, inputs, output_names};
use crate::say;
use crate::senses::{Files, Senses, name_of};
use crate::shell::write_json;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use cerberus::data::Image;
use cerberus::draw::{colour_mask, comfortable_scale, encode_mask, encode_png, overlay, to_rgb};
use cerberus::multitask::{HeadConfig, MultiTaskModel, Prediction};
use cerberus::nn::files::write_atomically;
use cerberus::train::{TrainConfig, annotate, drawn_names, load_model};
use clap::Parser;

/// Classify, detect and segment pictures with a trained model.
#[derive(Parser)]
#[command(name = "predict")]
struct Options {
    /// A checkpoint written by the train example
    #[arg(long, value_name = "FILE")]
    model: PathBuf,
    /// Folder for predictions.json (all pictures as a COCO data set), results.json (COCO's results format),
    /// predictions.csv (a row for each prediction), and every picture's NAME.json, NAME.png (with the predictions
    /// drawn), NAME.mask.png (class ids) and NAME.colours.png (the mask in colours); made if missing [default: no
    /// files, only JSON on standard output]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Objects less certain than this are left out
    #[arg(long, default_value_t = 0.3)]
    threshold: f32,
    /// Print no JSON
    #[arg(long, short)]
    quiet: bool,
    /// One sample instead of pictures: its picture, for a model of several inputs
    #[arg(long, value_name = "FILE")]
    image: Option<PathBuf>,
    /// One sample: its sound, a WAV file
    #[arg(long, value_name = "FILE")]
    audio: Option<PathBuf>,
    /// One sample: its clip, a folder of frames, an animated GIF or a Y4M file. Every frame is looked at, also by a model
    /// of single pictures; --out also gets NAME.frames/, a picture of each frame's predictions, and NAME.gif
    #[arg(long, value_name = "CLIP")]
    video: Option<PathBuf>,
    /// Pictures, folders of pictures, or patterns such as 'photos/*.jpg'
    #[arg(required_unless_present_any = ["image", "audio", "video"], conflicts_with_all = ["image", "audio", "video"], value_name = "IMAGE")]
    images: Vec<PathBuf>,
}

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Predicts with a trained model on pictures; see the top of this file.
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

/// Processes every picture and returns how many there were and how many failed.
fn run(options: &Options) -> Result<[usize; 2], Failure> {
    if !(0.0..=1.0).contains(&options.threshold) {
        return Err(format!("--threshold is {}; give a number from 0 to 1", options.threshold).into());
    }
    let (config, model) = load_model(&options.model)?;
    let senses = Senses { config: &config, model: &model, threshold: options.threshold };
    let files =
        Files { image: options.image.clone(), audio: options.audio.clone(), video: options.video.clone() };
    if !files.is_empty() {
        if let Some(out) = &options.out {
            crate::shell::make_folder(out)?;
        }
        let name = name_of(&files);
        let told = senses.look(&files, options.out.as_deref().map(|out| (out, name.as_str())))?;
        if !options.quiet {
            say!("{told}");
        }
        return Ok([1, 0]);
    }
    if config.model.has_senses() {
        return several(options, &senses);
    }
    let images = inputs(&options.images)?;
    if let Some(out) = &options.out {
        crate::shell::make_folder(out)?;
    }
    let heads = &config.model.heads;
    let names = match &options.out {
        Some(out) => output_names(&images, out, &endings(heads), &TOGETHER),
        None => vec![String::new(); images.len()],
    };
    let mut all = All { coco: Coco::new(heads), rows: csv::Writer::from_writer(Vec::new()) };
    all.rows.write_record(COLUMNS)?;
    let failed = for_each(images.len(), |index| {
        let line = predict(options, (&config, &model), &mut all, &images[index], &names[index])?;
        Ok::<_, Failure>((!options.quiet).then_some(line))
    });
    if let Some(out) = &options.out {
        let write = |name: &str, text: String| write_atomically(&out.join(name), text.as_bytes());
        write(TOGETHER[0], serde_json::to_string(&all.coco.to_json())? + "\n")?;
        write(TOGETHER[1], serde_json::to_string(&all.coco.results())? + "\n")?;
        write(TOGETHER[2], String::from_utf8(all.rows.into_inner()?)?)?;
    }
    Ok([images.len(), failed])
}

/// Predicts for pictures with a model of several inputs: each is a sample that has nothing else.
fn several(options: &Options, senses: &Senses) -> Result<[usize; 2], Failure> {
    let images = inputs(&options.images)?;
    if let Some(out) = &options.out {
        crate::shell::make_folder(out)?;
    }
    let endings = ["json", "png"].map(String::from);
    let names = match &options.out {
        Some(out) => output_names(&images, out, &endings, &[]),
        None => vec![String::new(); images.len()],
    };
    let failed = for_each(images.len(), |index| {
        let files = Files { image: Some(images[index].clone()), ..Files::default() };
        let out = options.out.as_deref().map(|out| (out, names[index].as_str()));
        let told = senses.look(&files, out)?;
        Ok::<_, Failure>((!options.quiet).then(|| told.to_string()))
    });
    Ok([images.len(), failed])
}

/// The files with the predictions for all pictures.
const TOGETHER: [&str; 3] = ["predictions.json", "results.json", "predictions.csv"];

/// The predictions for all pictures.
struct All {
    coco: Coco,
    rows: csv::Writer<Vec<u8>>,
}

/// The endings of a picture's output files.
fn endings(heads: &[HeadConfig]) -> Vec<String> {
    let masks = heads.iter().filter(|head| head.finds_masks());
    // The first mask has the plain name.
    let masks = masks.enumerate().flat_map(|(place, head)| {
        let name = if place == 0 { String::new() } else { format!("{}.", head.name) };
        ["mask.png", "colours.png"].map(|ending| format!("{name}{ending}"))
    });
    ["json", "png"].into_iter().map(String::from).chain(masks).collect()
}

fn predict(
    options: &Options,
    (config, model): (&TrainConfig, &MultiTaskModel),
    all: &mut All,
    path: &Path,
    name: &str,
) -> Result<String, Failure> {
    let picture = Image::read(path)?;
    let Seen { predictions, size } = look_at(config, model, &picture, options.threshold);
    let heads = &config.model.heads;
    let predictions: Vec<(&HeadConfig, &Prediction)> = heads.iter().zip(&predictions).collect();
    let mut found = to_json(path, &picture, &predictions);
    all.coco.add(&mut found, &predictions, size);
    for row in rows(path, &picture, &predictions) {
        all.rows.write_record(row)?;
    }
    if let Some(out) = &options.out {
        write_json(&out.join(format!("{name}.json")), &found)?;
        let masks = predictions.iter().filter_map(|(_, prediction)| match prediction {
            Prediction::Mask(classes) => Some(classes),
            _ => None,
        });
        let own = endings(heads);
        for (classes, endings) in masks.zip(own[2..].chunks_exact(2)) {
            let whole = [picture.height, picture.width];
            let mask = encode_mask(classes, size, whole.map(|side| side as u32))?;
            write_atomically(&out.join(format!("{name}.{}", endings[0])), &mask)?;
            let colours = colour_mask(classes, size, whole);
            write_atomically(&out.join(format!("{name}.{}", endings[1])), &encode_png(&colours)?)?;
        }
        // Uncertain objects are left out already.
        let annotated = annotate(&predictions, size, None, 0.0);
        let rgb = to_rgb(&picture);
        let scale = comfortable_scale(rgb.width(), rgb.height());
        let names = drawn_names(&heads.iter().collect::<Vec<_>>());
        let drawn = overlay(&rgb, &annotated, &names, scale);
        write_atomically(&out.join(format!("{name}.png")), &encode_png(&drawn)?)?;
    }
    Ok(found.to_string())
}
