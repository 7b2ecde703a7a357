//! Many people served by one process from one copy of a base: simulated people teach it from embedded scenes, some of them
//! in a style of their own; their stores are written, read by one process, and asked. Prints one line of JSON: the bytes of
//! a store, the memory of a person, and answers per second beside those of the base alone.
//!
//! `cargo run --release --example serve -- --people 1000`

#[path = "common/mod.rs"]
mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use cerberus::data::{Fit, Image, Placement, normalise, open};
use cerberus::multitask::{ModelConfig, MultiTaskModel};
use cerberus::nn::Context;
use cerberus::personal::hash::bytes_hash;
use cerberus::personal::knowledge::Part;
use cerberus::personal::recogniser::{Shared, choose};
use cerberus::personal::store::{Learned, Lesson};
use cerberus::personal::{Base, Knowledge, Log, People, PersonalError, Shown, Step, Store, Style};
use cerberus::prelude::*;
use cerberus::tensor::random::{Stream, stream};
use cerberus::train::{TrainError, load_image_model, peak_rss_mb};
use cerberus_cli::say;
use clap::Parser;
use rand::RngExt;
use serde_json::json;

/// Measure what many people cost who share a base.
#[derive(Parser)]
#[command(name = "serve")]
struct Options {
    /// The base [default: the default model, untrained, which takes the same time]
    #[arg(long, value_name = "FILE")]
    model: Option<PathBuf>,
    /// How many people
    #[arg(long, default_value_t = 1000)]
    people: usize,
    /// Every so many people, one has a style
    #[arg(long, default_value_t = 10)]
    style_every: usize,
    /// Pictures that are asked about together
    #[arg(long, default_value_t = 32)]
    batch: usize,
    /// Measure for so long
    #[arg(long, default_value_t = 15.0)]
    seconds: f64,
    /// Chooses the people and what is asked
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Threads to compute on [default: all cores]
    #[arg(long)]
    threads: Option<usize>,
}

/// Scenes that people photograph.
const SCENES: usize = 256;
/// Pictures that each person shows of each of two classes, and without labels to tell a style.
const SHOWN: usize = 5;

fn main() -> ExitCode {
    let options = Options::parse();
    common::run_on(options.threads, || run(&options))
}

fn run(options: &Options) -> Result<(), TrainError> {
    if options.people == 0 || options.batch == 0 || options.style_every == 0 {
        return Err(TrainError::Option("--people, --batch and --style-every must be at least 1".into()));
    }
    let refused = |error: PersonalError| TrainError::Option(error.to_string());
    let scenes = open("fashion-scenes", options.seed)?;
    let (config, mut base) = match &options.model {
        Some(path) => {
            let (config, model) = load_image_model(path)?;
            (config.model, Base::new(model, path).map_err(refused)?)
        }
        None => {
            let config = ModelConfig::for_data(scenes.info());
            let model = MultiTaskModel::new(&config, options.seed);
            (config, Base::with_hash(model, "untrained", "none".into()))
        }
    };
    let task = base.image().task.clone();
    let known = match &options.model {
        Some(path) => {
            let tasks = BTreeSet::from([task.clone()]);
            Knowledge::load(&Knowledge::path(path), &base, &tasks, Part::All).map_err(refused)?.remove(&task)
        }
        None => None,
    };
    let shared = Shared::new(base.image().rows.clone(), known);
    let size = [config.image[0], config.image[1]];
    let pictures: Vec<Image> = (0..SCENES)
        .map(|index| {
            let picture = scenes.sample(Split::Test, 0, index % scenes.len(Split::Test))?.image.to_picture();
            Ok(Placement::new(Fit::Stretch, [picture.height, picture.width], size).place(&picture))
        })
        .collect::<Result<_, TrainError>>()?;
    let folder = tempfile::tempdir()
        .map_err(|error| TrainError::Option(format!("no temporary folder can be made: {error}")))?;
    let place = |person: usize| folder.path().join(person.to_string());
    let mut disk = 0;
    let plain = Style::of(base.model());
    for person in 0..options.people {
        let log = taught(options, &mut base, &plain, &pictures, person)?;
        let mut learned = Learned::default();
        if let Some(found) = choose(&shared, &base.image().classes, &log.examples(&task)) {
            learned.recognisers.insert(task.clone(), found);
            let hash = shared.knowledge.as_ref().map_or_else(String::new, |known| known.hash.clone());
            learned.knowledge.insert(task.clone(), hash);
        }
        let mut store = Store::write(&place(person), &base, true).map_err(refused)?;
        store.save(log, learned).map_err(refused)?;
        disk += store.size();
    }
    let mut people = People::new(base, shared);
    let (before, clock) = (peak_rss_mb(), Instant::now());
    for person in 0..options.people {
        people.load(&person.to_string(), &place(person)).map_err(refused)?;
    }
    let (loading, after) = (clock.elapsed().as_secs_f64(), peak_rss_mb());
    let names: Vec<String> = (0..options.people).map(|person| person.to_string()).collect();
    let held: usize = names.iter().filter_map(|name| people.person(name)).map(|person| person.bytes()).sum();
    let [styled, plain]: [Vec<&str>; 2] = [true, false].map(|wanted| {
        let of = |name: &&String| people.person(name).is_some_and(|own| own.style.is_some() == wanted);
        names.iter().filter(of).map(String::as_str).collect()
    });
    let all: Vec<&str> = names.iter().map(String::as_str).collect();
    let kinds = [
        Kind { name: "base_alone", names: &all, batch: options.batch, answer: base_alone },
        Kind { name: "base_alone_one_by_one", names: &all, batch: 1, answer: base_alone },
        Kind { name: "without_style", names: &plain, batch: options.batch, answer: asked },
        Kind { name: "with_style", names: &styled, batch: options.batch, answer: asked },
        Kind { name: "all", names: &all, batch: options.batch, answer: asked },
    ];
    let rates = rates(options, &kinds, &mut people, &pictures);
    let each = options.people as f64;
    say!(
        "{}",
        json!({
            "base": people.base().name(),
            "people": options.people,
            "with_style": styled.len(),
            "batch": options.batch,
            "bytes_of_a_store": disk as f64 / each,
            "bytes_of_a_person": held as f64 / each,
            "peak_mb_of_all_people": after.zip(before).map(|(after, before)| after - before),
            "loaded_per_second": each / loading,
            "answers_per_second": rates,
        })
    );
    Ok(())
}

/// What a person has taught: two classes, in a style of theirs if it is their turn to have one.
fn taught(
    options: &Options,
    base: &mut Base,
    plain: &Style,
    pictures: &[Image],
    person: usize,
) -> Result<Log, TrainError> {
    let refused = |error: PersonalError| TrainError::Option(error.to_string());
    let mut random = stream(options.seed, "person", 0, person as u64);
    let gains: [f32; 3] = std::array::from_fn(|_| 0.6 + 0.8 * random.random::<f32>());
    let has_style = person % options.style_every == options.style_every - 1;
    let mut log = Log::default();
    let step = |what: &str, lessons: Vec<Lesson>, style: Option<Style>| Step {
        what: what.into(),
        when: 0,
        lessons,
        style,
        ..Step::default()
    };
    let own = |random: &mut Stream| {
        let places: Vec<usize> = (0..SHOWN).map(|_| random.random_range(0..pictures.len())).collect();
        let batch = normalise(&places.iter().map(|&place| &pictures[place]).collect::<Vec<_>>());
        let batch = if has_style { in_light(&batch, gains) } else { batch };
        (places, batch)
    };
    if has_style {
        let style = Style::measure(base.model_mut(), &[own(&mut random).1]).ok_or_else(|| {
            TrainError::Option("this base has no norms whose statistics could be a style".into())
        })?;
        style.apply(base.model_mut()).map_err(TrainError::Option)?;
        log.add(step("adapt", Vec::new(), Some(style))).map_err(refused)?;
    }
    for class in ["mug", "hat"] {
        let (places, batch) = own(&mut random);
        let embeddings = base.embeddings(batch, &mut Context::evaluation());
        let shown = places.iter().zip(embeddings).map(|(place, embedding)| Shown {
            name: format!("{place}.png"),
            digest: bytes_hash(format!("{class} {place}").as_bytes())[..32].into(),
            kept: None,
            embedding,
        });
        let task = base.image().task.clone();
        let lesson = Lesson { task, class: class.into(), pictures: shown.collect() };
        log.add(step("teach", vec![lesson], None)).map_err(refused)?;
    }
    plain.apply(base.model_mut()).map_err(TrainError::Option)?;
    Ok(log)
}

/// A batch `[N, H, W, 3]` in coloured light.
fn in_light(batch: &Tensor, gains: [f32; 3]) -> Tensor {
    let values = batch.to_vec().into_iter().enumerate().map(|(place, value)| value * gains[place % 3]);
    Tensor::from_vec(values.collect(), batch.shape())
}

/// How pictures are answered: by the base alone, or as their person's.
type Answer = fn(&mut People, &[&str], Tensor) -> usize;

fn base_alone(people: &mut People, _: &[&str], images: Tensor) -> usize {
    people.base().embeddings(images, &mut Context::evaluation()).len()
}

fn asked(people: &mut People, names: &[&str], images: Tensor) -> usize {
    people.answers(names, images).len()
}

/// A kind of request.
struct Kind<'a> {
    name: &'static str,
    /// Whose pictures are asked about.
    names: &'a [&'a str],
    batch: usize,
    answer: Answer,
}

/// Answers per second to each kind of request, of people and pictures drawn at random. The kinds take turns, so that what
/// else the machine does slows all of them alike. A kind that nobody asks is left out.
fn rates(
    options: &Options,
    kinds: &[Kind],
    people: &mut People,
    pictures: &[Image],
) -> BTreeMap<&'static str, f64> {
    let mut random = stream(options.seed, "requests", 0, 0);
    let mut sums: BTreeMap<&'static str, (usize, f64)> = BTreeMap::new();
    let start = Instant::now();
    // The first round is not counted.
    for round in 0.. {
        if round > 1 && start.elapsed().as_secs_f64() >= options.seconds {
            break;
        }
        for kind in kinds.iter().filter(|kind| !kind.names.is_empty()) {
            let names: Vec<&str> =
                (0..kind.batch).map(|_| kind.names[random.random_range(0..kind.names.len())]).collect();
            let shown = (0..kind.batch).map(|_| &pictures[random.random_range(0..pictures.len())]);
            let images = normalise(&shown.collect::<Vec<_>>());
            let clock = Instant::now();
            let answered = (kind.answer)(people, &names, images);
            if round > 0 {
                let (count, spent) = sums.entry(kind.name).or_default();
                *count += answered;
                *spent += clock.elapsed().as_secs_f64();
            }
        }
    }
    sums.into_iter().map(|(name, (count, spent))| (name, count as f64 / spent)).collect()
}
