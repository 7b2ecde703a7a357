//! Writes a small folder of labelled pictures like a user's own, to try the chapter "Train on your own images"
//! without any.
//!
//! `cargo run --release --example make_photos -- --out photos` writes `photos/images/*.png`, `photos/masks/*.png` and
//! `photos/photos.csv` with a row per object: fashion scenes, three times enlarged.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use cerberus::data::{CLASS, Dataset, FashionScenes, Image, OBJECTS, Sample, Split};
use cerberus::draw::encode_mask;
use cerberus::nn::files::write_atomically;
use cerberus_cli::say;
use clap::Parser;

/// Write a small folder of labelled pictures to train on.
#[derive(Parser)]
#[command(name = "make_photos")]
struct Options {
    /// Pictures; each fifth is for testing
    #[arg(long, default_value_t = 300)]
    pictures: usize,
    /// The folder; it must not exist yet
    #[arg(long, default_value = "photos")]
    out: PathBuf,
}

type Failure = Box<dyn std::error::Error>;

/// How many times the scenes of 64x64 pixels are enlarged.
const ENLARGED: usize = 3;

fn main() -> ExitCode {
    match run(&Options::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> Result<(), Failure> {
    let Options { pictures, out } = options;
    let scenes = FashionScenes::embedded(1);
    if !(5..=scenes.len(Split::Train)).contains(pictures) {
        return Err(format!("--pictures {pictures}: give 5 to {}", scenes.len(Split::Train)).into());
    }
    if out.exists() {
        return Err(format!("{} is there already; choose another --out", out.display()).into());
    }
    for part in ["images", "masks"] {
        std::fs::create_dir_all(out.join(part))?;
    }
    let mut table = String::from("image,split,class:main,mask,class,xmin,ymin,xmax,ymax\n");
    for index in 0..*pictures {
        let part = if index % 5 == 4 { "test" } else { "train" };
        let sample = scenes.sample(Split::Train, 0, index)?;
        picture(out, index, &sample)?;
        let name =
            |label: &str, class: usize| scenes.info().label(label).map_or("", |label| &label.classes[class]);
        let main = sample.class.map_or("", |class| name(CLASS, class));
        for object in sample.objects.iter().flatten() {
            let [x1, y1, x2, y2] = object.bbox.map(|side| side * ENLARGED as f32);
            let class = name(OBJECTS, object.class);
            writeln!(table, "{index:04}.png,{part},{main},{index:04}.png,{class},{x1},{y1},{x2},{y2}")?;
        }
    }
    let classes = scenes.info().label(OBJECTS).map_or(&[][..], |label| &label.classes);
    write_atomically(&out.join("masks/classes.txt"), (classes.join("\n") + "\n").as_bytes())?;
    write_atomically(&out.join("photos.csv"), table.as_bytes())?;
    say!("{pictures} pictures with classes, boxes and masks in {}", out.display());
    Ok(())
}

/// Writes a sample's picture and mask.
fn picture(out: &Path, index: usize, sample: &Sample) -> Result<(), Failure> {
    let Image { height, width, .. } = sample.image;
    let size = [height, width].map(|side| side * ENLARGED);
    let png = sample.image.resized(size[0], size[1]).to_png()?;
    write_atomically(&out.join(format!("images/{index:04}.png")), &png)?;
    if let Some(mask) = &sample.mask {
        let png = encode_mask(&mask.classes, [mask.height, mask.width], size.map(|side| side as u32))?;
        write_atomically(&out.join(format!("masks/{index:04}.png")), &png)?;
    }
    Ok(())
}
