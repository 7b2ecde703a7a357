//! Explains a trained model's answers: for each picture, head and method a map of what in the picture the answer rests
//! on, with the figures that tell whether to believe it.
//!
//! `cargo run --release --example explain -- --model runs/train-1/checkpoints/best.safetensors --out explained photo.jpg`
//!
//! With `--faithfulness` the methods are scored over a data set whose objects are known, with `--trunk` it is shown
//! which channels of the trunk the heads rely on.

mod faithful;
mod files;
mod found;
mod objects;
mod page;
mod sheet;
mod study;
mod trunk;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use crate::evaluate::choose_data;
use crate::pictures::{for_each, inputs, output_names};
use crate::shell::make_folder;
use cerberus::data::{Dataset, EpochPlan, Image, Loader, Placement, Split, normalise};
use cerberus::explain::{Baseline, Choices, ExplainError, METHODS, Method};
use cerberus::multitask::MultiTaskModel;
use cerberus::nn::files::write_atomically;
use cerberus::tensor::Tensor;
use cerberus::train::{TrainConfig, TrainError, load_image_model};
use clap::Parser;

use found::{Asked, explanation};

/// Show what in a picture each head's answer rests on.
#[derive(Parser)]
#[command(name = "explain")]
struct Options {
    /// A checkpoint written by the train example; --faithfulness takes several, of runs that differ in
    /// their seed, and --trunk others to compare with
    #[arg(long, value_name = "FILE", required = true)]
    model: Vec<PathBuf>,
    /// Explain this task only [default: all tasks]
    #[arg(long, value_name = "NAME")]
    task: Option<String>,
    /// What of the task's answer is explained: mug, margin, 2:left, dog@10,20 .. (docs/explain.md) [default: what it
    /// predicts]
    #[arg(long, value_name = "WHAT", requires = "task")]
    target: Option<String>,
    /// The methods, with commas between them, or all
    #[arg(
        long,
        value_name = "LIST|all",
        default_value = "grad-cam,integrated-gradients,guided-backprop,occlusion"
    )]
    method: String,
    /// What methods by differences compare with: zero (grey), mean, blur or noise
    #[arg(long, value_name = "NAME", default_value = "zero")]
    baseline: String,
    /// The map that class activation maps show, such as trunk.stage2 [default: the deepest that the answer uses]
    #[arg(long, value_name = "PATH")]
    layer: Option<String>,
    /// Folder for explain.html (a page with all pictures), and every picture's NAME.json, NAME.sheet.png (all
    /// maps), NAME.maps.safetensors and NAME.TASK.METHOD.png; made if missing [default: no files, only JSON on standard
    /// output]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Score the methods over the test part of a data set instead: whether what they say is true
    #[arg(long, conflicts_with_all = ["target", "images"])]
    faithfulness: bool,
    /// Show instead which channels of the trunk the heads rely on, over the test part of a data set, how much they
    /// share, and how alike the trunk's maps are to those of every further --model
    #[arg(long, conflicts_with_all = ["target", "images", "faithfulness"])]
    trunk: bool,
    /// Explain pictures of the test part of a data set instead of files; also the data of --faithfulness and --trunk
    /// [default for those: what the model was trained on]
    #[arg(long, value_name = "NAME|PATH", conflicts_with = "images")]
    data: Option<String>,
    /// The number of pictures of the data set, from the first on [default: 12, with --faithfulness and --trunk 200]
    #[arg(long, value_name = "N")]
    samples: Option<usize>,
    /// Chooses noise and masks
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Threads to compute on [default: all cores]
    #[arg(long)]
    threads: Option<usize>,
    /// Pictures, folders of pictures, or patterns such as 'photos/*.jpg'
    #[arg(required_unless_present_any = ["faithfulness", "trunk", "data"], value_name = "IMAGE")]
    images: Vec<PathBuf>,
}

impl Options {
    /// The tasks that are explained, of a model that has the one that was asked for.
    fn tasks(&self, model: &MultiTaskModel) -> Vec<String> {
        self.task.as_ref().map_or_else(|| model.task_names(), |task| vec![task.clone()])
    }
}

/// Pictures of a data set that are explained, unless others are asked for.
const SHOWN: usize = 12;
/// Pictures of a data set that methods are scored on, unless others are asked for.
const SCORED: usize = 200;
/// Training pictures that expected gradients start from.
const REFERENCES: usize = 32;

/// Explains a model; see the top of this file.
pub fn main() -> ExitCode {
    let options = Options::parse();
    crate::shell::run_on(options.threads, || run(&options))
}

fn run(options: &Options) -> Result<(), TrainError> {
    let methods = methods(&options.method)?;
    Baseline::<f32>::find(&options.baseline, options.seed).map_err(refused)?;
    let models: Vec<(TrainConfig, MultiTaskModel)> =
        options.model.iter().map(|path| load_image_model(path)).collect::<Result<_, _>>()?;
    for (path, (_, model)) in options.model.iter().zip(&models) {
        if let Some(task) = options.task.as_ref().filter(|task| !model.task_names().contains(task)) {
            return Err(TrainError::Option(format!(
                "{} has no task {task:?}; it has {}",
                path.display(),
                model.task_names().join(", ")
            )));
        }
    }
    if options.faithfulness {
        return faithful::run(options, &methods, &models);
    }
    if options.trunk {
        return trunk::run(options, &models);
    }
    match &models[..] {
        [(config, model)] => pictures(options, &methods, config, model),
        _ => Err(TrainError::Option("pictures are explained for one --model".into())),
    }
}

/// What is explained: files, or pictures of a data set by the name of their part and their number.
enum Source {
    Files(Vec<PathBuf>),
    Data { data: Arc<dyn Dataset>, split: Split, names: Vec<PathBuf> },
}

impl Source {
    fn of(options: &Options, config: &TrainConfig) -> Result<Self, TrainError> {
        if options.data.is_none() {
            return Ok(Self::Files(inputs(&options.images)?));
        }
        let (data, split) = open(options, config)?;
        let count = data.len(split).min(options.samples.unwrap_or(SHOWN));
        let names = (0..count).map(|index| format!("{split}_{index:03}").into()).collect();
        Ok(Self::Data { data, split, names })
    }

    fn names(&self) -> &[PathBuf] {
        match self {
            Self::Files(names) | Self::Data { names, .. } => names,
        }
    }

    /// A picture as the model sees it.
    fn picture(&self, index: usize, config: &TrainConfig) -> Result<Image, TrainError> {
        match self {
            Self::Files(paths) => {
                let picture = Image::read(&paths[index])?;
                let [height, width, _] = config.model.image;
                let size = [picture.height, picture.width];
                Ok(Placement::new(config.fit(), size, [height, width]).place(&picture))
            }
            Self::Data { data, split, .. } => Ok(data.sample(*split, 0, index)?.image),
        }
    }
}

/// Explains every picture.
fn pictures(
    options: &Options,
    methods: &[String],
    config: &TrainConfig,
    model: &MultiTaskModel,
) -> Result<(), TrainError> {
    let source = Source::of(options, config)?;
    let images = source.names();
    if let Some(out) = &options.out {
        make_folder(out)?;
    }
    let endings = files::endings(&model.task_names(), methods);
    let names = match &options.out {
        Some(out) => output_names(images, out, &endings, &[files::PAGE]),
        None => vec![String::new(); images.len()],
    };
    let choices = choices(options, methods, config);
    let tasks = options.tasks(model);
    let (target, layer, baseline) =
        (options.target.clone(), options.layer.clone(), options.baseline.as_str());
    let asked = Asked { tasks, target, methods, layer, baseline, choices };
    let mut sections = Vec::new();
    let failed = for_each(images.len(), |index| {
        let path = &images[index];
        let picture = source.picture(index, config)?;
        let x = normalise(&[&picture]);
        let found = explanation(model, picture, &x, &asked)
            .map_err(|error| TrainError::Folder { path: path.clone(), problem: error.to_string() })?;
        let json = files::json(path, &found);
        if let Some(out) = &options.out {
            files::write(out, &names[index], &found, &json, &config.model.heads)?;
            sections.push(page::section(path, &found, &config.model.heads));
        }
        Ok::<_, TrainError>(Some(json.to_string()))
    });
    if let Some(out) = &options.out {
        let html = page::page(&options.model[0], &asked, sections);
        write_atomically(&out.join(files::PAGE), html.as_bytes())?;
    }
    match failed {
        0 => Ok(()),
        failed => {
            let pictures = format!("{failed} of {} pictures could not be explained", images.len());
            Err(TrainError::Folder { path: options.model[0].clone(), problem: pictures })
        }
    }
}

/// The data and the part that was kept from training.
fn open(options: &Options, config: &TrainConfig) -> Result<(Arc<dyn Dataset>, Split), TrainError> {
    let chosen = choose_data(config, options.data.as_deref(), false, false)?;
    config.check_to_score(chosen.dataset.info())?;
    if options.samples == Some(0) {
        return Err(TrainError::Option("--samples must be at least 1".into()));
    }
    if chosen.changed {
        eprintln!(
            "note: {} is not what it was when the model was trained on it, so the model may have seen these pictures",
            chosen.name
        );
    }
    let kept = chosen.split.ok_or_else(|| {
        TrainError::Option(format!(
            "{} has no pictures kept from training; give others with --data",
            chosen.name
        ))
    })?;
    Ok((chosen.dataset, kept))
}

/// The names in the option, each once.
fn methods(list: &str) -> Result<Vec<String>, TrainError> {
    if list == "all" {
        return Ok(METHODS.map(String::from).into());
    }
    let mut names: Vec<String> = Vec::new();
    for name in list.split(',').map(str::trim).filter(|name| !name.is_empty()) {
        if !METHODS.contains(&name) {
            let known = METHODS.join(", ");
            return Err(TrainError::Option(format!(
                "--method: there is no method {name:?}; there are {known}"
            )));
        }
        if !names.iter().any(|other| other == name) {
            names.push(name.into());
        }
    }
    match names.len() {
        0 => Err(TrainError::Option(format!("--method names no method; there are {}", METHODS.join(", ")))),
        _ => Ok(names),
    }
}

/// What the methods need to know besides the layer.
fn choices(options: &Options, methods: &[String], config: &TrainConfig) -> Choices {
    let baseline = Baseline::find(&options.baseline, options.seed).unwrap_or_default();
    let wanted = methods.iter().any(|method| method == "expected-gradients");
    let references = if wanted { references(config) } else { None };
    if wanted && references.is_none() {
        eprintln!(
            "note: the training data cannot be read, so expected gradients start from the baseline {} alone",
            options.baseline
        );
    }
    Choices { baseline, layer: String::new(), references, seed: options.seed }
}

/// The first training pictures.
fn references(config: &TrainConfig) -> Option<Tensor> {
    let data: Arc<dyn Dataset> = config.open_data().ok()?;
    let plan = EpochPlan { batch_size: REFERENCES, limit: Some(REFERENCES), ..EpochPlan::new(Split::Train) };
    let batch = Loader::new(data, plan).ok()?.next()?.ok()?;
    (batch.images.shape()[1..] == config.model.image).then_some(batch.images)
}

/// The method of this name with its usual options; the names were checked.
fn method(name: &str, choices: &Choices, layer: &str, x: &Tensor) -> Result<Method, ExplainError> {
    Method::find(name, &Choices { layer: layer.into(), ..choices.clone() }, x)
}

fn refused(error: ExplainError) -> TrainError {
    TrainError::Option(error.to_string())
}
