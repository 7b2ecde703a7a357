//! Digits seen and heard: what each input is worth alone, what every fusion makes of both, and what a missing one costs.
//!
//! `cargo run --release --example senses -- --data digits:IDX_FOLDER,WAV_FOLDER --seeds 5`
//!
//! No speaker of the test part is heard in training: every speaker is left out once, with every seed. The pictures are
//! [obscured](cerberus::data::Obscured), the same for all. Each finished run appends one row to `rows.csv` in the folder;
//! runs that have one are skipped. At the end `table.md` holds the means with 95 % intervals over speakers.

#[path = "../common/mod.rs"]
mod common;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use cerberus::data::{self, AUDIO, CLASS, Dataset, IMAGE, Sounds, Split, Without};
use cerberus::metrics::Estimate;
use cerberus::multitask::senses::{EncoderConfig, Fusion, FusionConfig};
use cerberus::nn::files::write_atomically;
use cerberus::train::{EpochRow, Observer, StepReport, TrainConfig, TrainError, evaluate, load_model};
use cerberus_cli::say;
use clap::Parser;

/// Compare single inputs, fusions, and what a missing input costs.
#[derive(Parser)]
#[command(name = "senses")]
struct Options {
    /// Digits seen and heard: digits:IDX_FOLDER,WAV_FOLDER
    #[arg(long, value_name = "NAME")]
    data: String,
    /// Speakers to leave out, separated by commas [default: all]
    #[arg(long, value_delimiter = ',')]
    speakers: Vec<String>,
    /// Seeds 1 to N
    #[arg(long, default_value_t = 5)]
    seeds: u64,
    /// What to compare, separated by commas: image, audio, or a fusion, then what is added to it: +dropout, +auxiliary
    #[arg(
        long,
        value_delimiter = ',',
        default_value = "image,audio,concat,gated,film,attention,late,late-weighted,gated+dropout+auxiliary,\
                         late+dropout+auxiliary"
    )]
    variants: Vec<String>,
    /// Epochs of every run
    #[arg(long, default_value_t = 16)]
    epochs: usize,
    /// The trunk of the pictures
    #[arg(long, default_value = "16/32,32/64,64")]
    trunk: String,
    /// The channels of the sounds' log-mel encoder, a convolution for each stage
    #[arg(long, value_delimiter = '/', default_value = "16/32/64/64")]
    sound: Vec<usize>,
    /// Samples in a step
    #[arg(long, default_value_t = 16)]
    batch: usize,
    /// The largest learning rate
    #[arg(long, default_value_t = 0.005)]
    learning_rate: f64,
    /// The rate of modality dropout of the variants that have it
    #[arg(long, default_value_t = 0.6)]
    dropout: f64,
    /// The weight of each input's auxiliary task in the variants that have them
    #[arg(long, default_value_t = 1.0)]
    auxiliary: f64,
    /// Threads to compute on [default: all cores]
    #[arg(long)]
    threads: Option<usize>,
    /// Folder for the rows, the runs and the table
    #[arg(long, default_value = "senses")]
    out: PathBuf,
}

/// A finished run: its accuracy with all it was trained on, without the picture, and without the sound.
struct Row {
    variant: String,
    speaker: String,
    seed: u64,
    figures: [Option<f64>; 3],
}

const HEADER: &str = "variant,speaker,seed,all,without_image,without_audio\n";

fn main() -> ExitCode {
    let options = Options::parse();
    common::run_on(options.threads, || run(&options))
}

fn run(options: &Options) -> Result<(), TrainError> {
    let speakers = speakers(options)?;
    common::make_folder(&options.out)?;
    let path = options.out.join("rows.csv");
    let mut rows = read(&path)?;
    // Seed by seed, so that a part of the plan is fair to all variants.
    for seed in 1..=options.seeds {
        for speaker in &speakers {
            for variant in &options.variants {
                let done = |row: &Row| row.variant == *variant && row.speaker == *speaker && row.seed == seed;
                if rows.iter().any(done) {
                    continue;
                }
                let row = one(options, variant, speaker, seed)?;
                say!("{}", line(&row).trim_end());
                rows.push(row);
                let text: String = rows.iter().map(line).collect();
                write_atomically(&path, format!("{HEADER}{text}").as_bytes())?;
            }
        }
    }
    let table = table(options, &rows);
    say!("{table}");
    Ok(write_atomically(&options.out.join("table.md"), table.as_bytes())?)
}

fn speakers(options: &Options) -> Result<Vec<String>, TrainError> {
    if !options.speakers.is_empty() {
        return Ok(options.speakers.clone());
    }
    let folders = options.data.strip_prefix("digits:").and_then(|folders| folders.split_once(','));
    let Some((_, recordings)) = folders else {
        return Err(TrainError::Option(format!(
            "--data {:?} must be digits:IDX_FOLDER,WAV_FOLDER",
            options.data
        )));
    };
    Ok(Sounds::groups(Path::new(recordings))?)
}

fn one(options: &Options, variant: &str, speaker: &str, seed: u64) -> Result<Row, TrainError> {
    let name = format!("{},{speaker}", options.data);
    let open = |config: &TrainConfig| -> Result<Arc<dyn Dataset>, TrainError> {
        config.prepare_data(data::open(&config.data, config.seed)?)
    };
    let info = data::open(&name, seed)?.info().clone();
    let mut config = TrainConfig::for_data(&name, &info);
    config.set_heads(&[format!("classify:classify@{CLASS}")], &info)?;
    let mut added: Vec<&str> = variant.split('+').collect();
    let fusion = added.remove(0);
    if let Some(unknown) = added.iter().find(|added| !["dropout", "auxiliary"].contains(added)) {
        let problem = format!("--variants: {unknown:?} of {variant:?} must be dropout or auxiliary");
        return Err(TrainError::Option(problem));
    }
    let dropout = if added.contains(&"dropout") { options.dropout } else { 0.0 };
    let both = [IMAGE, AUDIO];
    let inputs =
        if both.contains(&variant) { vec![variant.to_string()] } else { both.map(String::from).into() };
    config.model.set_inputs(&inputs, &info).map_err(TrainError::Option)?;
    config.model.set_trunk(&options.trunk).map_err(TrainError::Option)?;
    for input in &mut config.model.inputs {
        if let EncoderConfig::LogMel { stages, .. } = &mut input.encoder {
            *stages = options.sound.iter().map(|&channels| vec![channels]).collect();
        }
    }
    if inputs.len() > 1 {
        let kind = Fusion::by_name(fusion).map_err(TrainError::Option)?;
        config.model.fusion = FusionConfig { kind, modality_dropout: dropout, ..FusionConfig::default() };
    }
    if added.contains(&"auxiliary") {
        config.model.add_auxiliary(options.auxiliary);
    }
    (config.seed, config.epochs) = (seed, options.epochs);
    (config.batch, config.learning_rate) = (options.batch, options.learning_rate);
    let folder = options.out.join("runs").join(format!("{variant}-{speaker}-{seed}"));
    common::finish_run(config, &folder, &open, &mut Quiet)?;
    let (config, model) = load_model(&folder.join("checkpoints/best.safetensors"))?;
    let dataset = open(&config)?;
    let accuracy = |dataset: &Arc<dyn Dataset>| -> Result<Option<f64>, TrainError> {
        let figures = evaluate(&model, dataset, Split::Test, None, &mut |_| {})?;
        Ok(figures.first().and_then(|task| task.metrics.first()).and_then(|(_, value)| *value))
    };
    let mut figures = [accuracy(&dataset)?, None, None];
    if inputs.len() > 1 {
        for (figure, name) in figures[1..].iter_mut().zip(both) {
            let without: Arc<dyn Dataset> = Arc::new(Without::new(Arc::clone(&dataset), &[name.to_string()]));
            *figure = accuracy(&without)?;
        }
    }
    Ok(Row { variant: variant.into(), speaker: speaker.into(), seed, figures })
}

struct Quiet;

impl Observer for Quiet {
    fn step(&mut self, _: &StepReport) {}
    fn evaluating(&mut self, _: Split, _: usize, _: usize) {}
    fn epoch(&mut self, _: &EpochRow) {}
}

fn line(row: &Row) -> String {
    let figure = |value: &Option<f64>| value.map_or(String::new(), |value| format!("{value:.4}"));
    let figures: Vec<String> = row.figures.iter().map(figure).collect();
    format!("{},{},{},{}\n", row.variant, row.speaker, row.seed, figures.join(","))
}

fn read(path: &Path) -> Result<Vec<Row>, TrainError> {
    let Ok(text) = std::fs::read_to_string(path) else { return Ok(Vec::new()) };
    let row = |(number, line): (usize, &str)| {
        let cells: Vec<&str> = line.split(',').collect();
        let [variant, speaker, seed, figures @ ..] = &cells[..] else { return Err(number) };
        let seed = seed.parse().map_err(|_| number)?;
        let figures: [Option<f64>; 3] =
            std::array::from_fn(|place| figures.get(place).and_then(|cell| cell.parse().ok()));
        Ok(Row { variant: variant.to_string(), speaker: speaker.to_string(), seed, figures })
    };
    let rows = text.lines().enumerate().skip(1).map(row).collect::<Result<_, usize>>();
    rows.map_err(|line| TrainError::Folder {
        path: path.to_path_buf(),
        problem: format!("line {} is no row of this program; choose another --out", line + 1),
    })
}

/// Means in percent with 95 % intervals over speakers, whose seeds are averaged first: what is asked is how well a speaker
/// is understood who was not heard before. In brackets the difference to the model of the one input that is left, with
/// its own interval; where both are there, to that of the better one.
fn table(options: &Options, rows: &[Row]) -> String {
    let singles = [IMAGE, AUDIO].map(|name| of_speakers(rows, name, 0));
    let [image, audio] = &singles;
    let better = if mean(image) > mean(audio) { image } else { audio };
    let mut text = String::from(
        "| inputs | test accuracy, % | without the picture | without the sound |\n|---|---|---|---|\n",
    );
    for variant in &options.variants {
        let is_single = [IMAGE, AUDIO].contains(&variant.as_str());
        let cell = |place: usize, alone: &BTreeMap<&str, f64>| {
            let values = of_speakers(rows, variant, place);
            if values.is_empty() {
                return "–".to_string();
            }
            let all: Vec<f64> = values.values().copied().collect();
            let own = Estimate::of(&all).percent();
            let differences: Vec<f64> =
                values.iter().filter_map(|(speaker, value)| Some(value - alone.get(speaker)?)).collect();
            if is_single || differences.is_empty() {
                return own;
            }
            format!("{own} ({}{})", sign(&differences), Estimate::of(&differences).percent())
        };
        text += &format!("| {variant} | {} | {} | {} |\n", cell(0, better), cell(1, audio), cell(2, image));
    }
    text
}

/// A plus before a mean that is positive; a minus is written anyway.
fn sign(values: &[f64]) -> &'static str {
    if values.iter().sum::<f64>() > 0.0 { "+" } else { "" }
}

fn mean(values: &BTreeMap<&str, f64>) -> f64 {
    values.values().sum::<f64>() / values.len().max(1) as f64
}

/// One of a variant's figures for each speaker, the mean of the seeds.
fn of_speakers<'a>(rows: &'a [Row], variant: &str, place: usize) -> BTreeMap<&'a str, f64> {
    let mut found: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
    for row in rows.iter().filter(|row| row.variant == variant) {
        found.entry(&row.speaker).or_default().extend(row.figures[place]);
    }
    found.retain(|_, values| !values.is_empty());
    found
        .into_iter()
        .map(|(speaker, values)| (speaker, values.iter().sum::<f64>() / values.len() as f64))
        .collect()
}
