//! One base and a hundred simulated people on fashion scenes: what teaching it two classes of their own gains, with 1 to
//! 20 pictures and in every way; and what their style alone gains, without a label.
//!
//! `cargo run --release --example people`
//!
//! The base is the default model, trained without two classes of garments. Each person has a style (colours, light, noise,
//! blur), their own mix of the base's classes, and those two classes as their own. `docs/results.md` tells the protocol.
//! With `--further` the base is first trained on twenty other people, in one of the ways of [`further`].
//! Figures are of people, not of pictures: means over people with 95 % intervals, the worst tenth, the share who are worse
//! off. `rows.csv` has a row for each person, way and number of pictures; `table.md` and `curves.svg` sum them up.

#[path = "../common/mod.rs"]
mod common;
mod further;
mod parts;
mod person;
mod photos;
mod study;
mod table;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use cerberus::data::FashionScenes;
use cerberus::multitask::MultiTaskModel;
use cerberus::nn::files::write_atomically;
use cerberus::personal::adapted::Bare;
use cerberus::personal::recogniser::Shared;
use cerberus::personal::{Base, Knowledge, Slot};
use cerberus::prelude::*;
use cerberus::train::{EpochRow, Observer, StepReport, TrainConfig, TrainError, load_model};
use cerberus_cli::say;
use clap::Parser;

use further::Further;
use person::{Person, Scenes};
use study::Study;

/// Measure what personal classes and styles are worth.
#[derive(Parser)]
#[command(name = "people")]
struct Options {
    /// Teach this base a class of real photographs instead (five draws of five photographs each, 30 of each class scored)
    #[arg(long, value_name = "FILE", requires_all = ["photos", "class"])]
    base: Option<PathBuf>,
    /// The photographs with the class
    #[arg(long, value_name = "PATH", requires = "base")]
    photos: Option<String>,
    /// The class
    #[arg(long, value_name = "NAME", requires = "base")]
    class: Option<String>,
    /// Teach the heads that detect and segment instead, from labelled scenes
    #[arg(long)]
    parts: bool,
    /// How many people
    #[arg(long, default_value_t = 100)]
    people: u64,
    /// Chooses the base's weights and everything about the people
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Train the base further on twenty other people first
    #[arg(long, conflicts_with_all = ["base", "parts"])]
    further: Option<Further>,
    /// Steps of that
    #[arg(long, default_value_t = 600, requires = "further")]
    further_steps: usize,
    /// Epochs of the base's training
    #[arg(long, default_value_t = 12)]
    epochs: usize,
    /// At most this many samples of each split for the base, for a quick look
    #[arg(long, value_name = "N")]
    samples: Option<usize>,
    /// Threads to compute on [default: all cores]
    #[arg(long)]
    threads: Option<usize>,
    /// Folder for the base, the rows, the table and the curves
    #[arg(long, value_name = "DIR", default_value = "people")]
    out: PathBuf,
}

/// The base never saw trousers and bags.
const KEPT: [usize; 8] = [0, 2, 3, 4, 5, 6, 7, 9];
/// Scenes that the base's knowledge is measured on.
const MEASURED: usize = 2000;

fn main() -> ExitCode {
    let options = Options::parse();
    common::run_on(options.threads, || run(&options))
}

fn run(options: &Options) -> Result<(), TrainError> {
    if let (Some(base), Some(data), Some(class)) = (&options.base, &options.photos, &options.class) {
        return photos::run(&photos::Asked { base, data, class, seed: options.seed });
    }
    if options.people < 2 {
        return Err(TrainError::Option("--people must be at least 2: figures are of people".into()));
    }
    let (config, path) = base(options)?;
    let (base, styled) = bases(options, &path)?;
    let mut known = knowledge(&config, &base)?;
    let scenes = Scenes::new(FashionScenes::embedded(options.seed), &KEPT)?;
    if options.parts {
        let shared =
            |slot: &Slot| (slot.task.clone(), Shared::new(slot.rows.clone(), known.remove(&slot.task)));
        let shared: BTreeMap<String, Shared> = base.slots().iter().map(shared).collect();
        let mut base = base;
        let table = parts::run(&mut base, &shared, &scenes, (options.seed, options.people))?;
        say!("{table}");
        return Ok(write_atomically(&options.out.join("parts.md"), table.as_bytes())?);
    }
    let image = base.image();
    let shared = Shared::new(image.rows.clone(), known.remove(&image.task));
    let mut study = Study::new(base, styled, shared);
    for number in 0..options.people {
        let person = Person::new(options.seed, number);
        study.add(number, &person, &scenes)?;
        eprintln!("person {} of {}", number + 1, options.people);
    }
    let table = table::Tables::of(&study);
    say!("{}", table.markdown());
    let ending = options.further.map_or_else(String::new, |kind| format!("-{}", kind.name()));
    let write = |name: &str, text: String| write_atomically(&options.out.join(name), text.as_bytes());
    write(&format!("rows{ending}.csv"), study.csv())?;
    write(&format!("table{ending}.md"), table.markdown())?;
    write(&format!("curves{ending}.svg"), table.curves())?;
    Ok(())
}

/// The base, trained further if asked for, and another copy of it.
fn bases(options: &Options, path: &Path) -> Result<(Base, Base), TrainError> {
    let open = || load_model(path).map(|(_, model)| model);
    let base =
        |model: MultiTaskModel| Base::new(model, path).map_err(|error| TrainError::Option(error.to_string()));
    let (plain, mut copy) = (base(open()?)?, open()?);
    let Some(kind) = options.further else { return Ok((plain, base(copy)?)) };
    let width = plain.image().width;
    let model = further::train((open()?, width), kind, options.seed, options.further_steps)?;
    Bare::of(&model).restore_model(&mut copy);
    let hash = format!("{}, trained further", kind.name());
    Ok((Base::with_hash(model, "further", hash.clone()), Base::with_hash(copy, "further", hash)))
}

/// Trains the base, unless its run is in the folder already; returns its file.
fn base(options: &Options) -> Result<(TrainConfig, PathBuf), TrainError> {
    let open = |config: &TrainConfig| -> Result<Arc<dyn Dataset>, TrainError> {
        Ok(Arc::new(FashionScenes::embedded(config.seed).with_classes(&KEPT)?))
    };
    let data = FashionScenes::embedded(options.seed).with_classes(&KEPT)?;
    let mut config = TrainConfig::for_data("fashion-scenes", data.info());
    (config.seed, config.epochs, config.samples) = (options.seed, options.epochs, options.samples);
    let folder = options.out.join("base");
    common::make_folder(&options.out)?;
    common::finish_run(config.clone(), &folder, &open, &mut Told)?;
    Ok((config, folder.join("checkpoints/best.safetensors")))
}

/// What the base knows of its own classes, from training scenes.
fn knowledge(config: &TrainConfig, base: &Base) -> Result<BTreeMap<String, Knowledge>, TrainError> {
    let data: Arc<dyn Dataset> = Arc::new(FashionScenes::embedded(config.seed).with_classes(&KEPT)?);
    let count = config.samples.map_or(MEASURED, |samples| samples.min(MEASURED));
    cerberus_cli::personal::measured(base, &data, [Split::Train, Split::Validation], count)
}

/// Prints a line per epoch.
struct Told;

impl Observer for Told {
    fn step(&mut self, _report: &StepReport) {}

    fn evaluating(&mut self, _split: Split, _images: usize, _of: usize) {}

    fn epoch(&mut self, row: &EpochRow) {
        eprintln!("the base: epoch {} done", row.epoch);
    }
}
