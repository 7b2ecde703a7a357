//! Training the base further on other people than those it is tried on, so that it adapts well to new ones.

use cerberus::data::{DataError, FashionScenes, Sample};
use cerberus::multitask::MultiTaskModel;
use cerberus::prelude::*;
use cerberus::tensor::random::{Stream, stream};
use cerberus::train::TrainError;
use clap::ValueEnum;
use rand::RngExt;

use crate::KEPT;
use crate::person::{Person, Scenes};

/// What the base is trained for, beside its tasks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Further {
    /// Nothing: more steps on the scenes that it was trained on.
    Plain,
    /// Nothing, on scenes in the styles of twenty people.
    Styled,
    /// Prototypes of a few pictures in one person's style tell others in it apart (Snell, Swersky and Zemel, 2017), by
    /// the cosine, as a person's own classes are told.
    Episodes,
    /// Each of twenty people has a head of their own, which learns from their pictures alone.
    Heads,
}

/// The people that the base is trained further on: their number, and the first one's. Those who are tried come before.
const TRAINERS: u64 = 20;
const FIRST: u64 = 1_000_000;
/// Pictures of a step, and people who have taken them together.
const TOGETHER: usize = 32;
const AT_ONCE: usize = 4;
/// Of an episode: classes, and pictures of each that make the prototype and that are told apart.
const WAYS: usize = 5;
const SUPPORT: usize = 2;
const QUERIES: usize = 4;
/// What cosines are multiplied by to be logits (Gidaris and Komodakis, 2018, learn it from 10 on).
const SHARPNESS: f64 = 10.0;
const LEARNING_RATE: f64 = 3e-4;

impl Further {
    /// The name of the option's value.
    pub fn name(self) -> String {
        self.to_possible_value().map_or_else(String::new, |value| value.get_name().to_string())
    }
}

/// The base, and the heads of people in training.
struct WithHeads<T: Element = f32> {
    model: MultiTaskModel<T>,
    heads: Vec<Linear<T>>,
}

cerberus::nn::module!(WithHeads { model, heads });

/// Pictures of one step, with labels by the base's numbers.
struct Pictures {
    samples: Vec<Sample>,
    /// Whose pictures they are, an equal share of each, one person's after the other's.
    people: Vec<usize>,
}

/// Trains a model whose classifier sees `width` numbers of each image for `steps` steps.
///
/// # Errors
/// If the loss is no longer finite.
pub fn train(
    (model, width): (MultiTaskModel, usize),
    kind: Further,
    seed: u64,
    steps: usize,
) -> Result<MultiTaskModel, TrainError> {
    let scenes = Scenes::new(
        FashionScenes::embedded(seed).with_classes(&KEPT)?,
        &(0..KEPT.len()).collect::<Vec<_>>(),
    )?;
    let trainers: Vec<Person> = (0..TRAINERS).map(|number| Person::new(seed, FIRST + number)).collect();
    let classifier = model.tasks().iter().position(|task| task.config().kind == "classify");
    let classifier = classifier.ok_or_else(|| TrainError::Option("the base does not classify".into()))?;
    let weights: Vec<f64> = model.tasks().iter().map(|task| task.config().weight).collect();
    let mut init = Init::new(seed);
    let heads = match kind {
        Further::Heads => trainers.iter().map(|_| Linear::new(width, KEPT.len(), &mut init)).collect(),
        _ => Vec::new(),
    };
    let mut all = WithHeads { model, heads };
    let mut optimizer = AdamW::new(AdamOptions { learning_rate: LEARNING_RATE, ..AdamOptions::default() });
    for number in 0..steps {
        let mut random = stream(seed, "further", 0, number as u64);
        let pictures = pictures(kind, &scenes, &trainers, number as u64, &mut random)?;
        let batch = Batch::assemble(&pictures.samples, (0..pictures.samples.len()).collect())?;
        let loss = step(&mut all, &mut optimizer, |all, context| {
            let features = all.model.features(Var::constant(batch.images.clone()), context);
            let losses = all.model.losses(&features, &batch, context).into_iter().zip(&weights);
            let own = losses.filter_map(|(loss, &weight)| Some(loss?.scale(weight)));
            let tasks = own.reduce(|a, b| a + b).expect("scenes have all labels");
            let mut embedding = || all.model.tasks()[classifier].forward_with_embedding(&features, context).1;
            match kind {
                Further::Plain | Further::Styled => tasks,
                Further::Episodes => tasks + episode(embedding().expect("a dense last layer")),
                Further::Heads => {
                    let embedding = embedding().expect("a dense last layer");
                    tasks + of_heads(&all.heads, embedding, &pictures, context)
                }
            }
        });
        if !loss.is_finite() {
            return Err(TrainError::Option(format!("the loss of further step {number} is {loss}")));
        }
        if (number + 1) % 50 == 0 {
            eprintln!("further training ({}): step {} of {steps}, loss {loss:.3}", kind.name(), number + 1);
        }
    }
    Ok(all.model)
}

fn pictures(
    kind: Further,
    scenes: &Scenes,
    trainers: &[Person],
    step: u64,
    random: &mut Stream,
) -> Result<Pictures, DataError> {
    // Scenes that neither the base nor the people who are tried have seen.
    let epoch = 2_000_000 + step;
    if kind == Further::Episodes {
        let person = random.random_range(0..trainers.len());
        let mut classes: Vec<usize> = (0..KEPT.len()).collect();
        (0..WAYS).for_each(|place| classes.swap(place, random.random_range(place..KEPT.len())));
        let each = classes[..WAYS].iter().flat_map(|&class| std::iter::repeat_n(class, SUPPORT + QUERIES));
        let samples = each.map(|class| trainers[person].takes(scenes, class, epoch, random));
        return Ok(Pictures { samples: samples.collect::<Result<_, _>>()?, people: vec![person] });
    }
    let people: Vec<usize> = (0..AT_ONCE).map(|_| random.random_range(0..trainers.len())).collect();
    let mut samples = Vec::new();
    for &person in people.iter().flat_map(|person| std::iter::repeat_n(person, TOGETHER / AT_ONCE)) {
        let class = trainers[person].class(random);
        samples.push(match kind {
            Further::Plain => scenes.seen(class, epoch, random)?,
            _ => trainers[person].takes(scenes, class, epoch, random)?,
        });
    }
    Ok(Pictures { samples, people })
}

/// The loss of an episode, whose pictures are ordered by class: those that are shown before those that are told apart.
fn episode(embedding: Var) -> Var {
    let width = embedding.shape()[1];
    let of_class = embedding.reshape(&[WAYS, SUPPORT + QUERIES, width]);
    let prototypes = unit(of_class.clone().narrow(1, 0, SUPPORT).mean(&[1]));
    let queries = unit(of_class.narrow(1, SUPPORT, QUERIES).reshape(&[WAYS * QUERIES, width]));
    let cosines = queries.matmul(prototypes.permute(&[1, 0]));
    let classes: Vec<usize> = (0..WAYS * QUERIES).map(|query| query / QUERIES).collect();
    cross_entropy(cosines.scale(SHARPNESS), &classes)
}

/// Rows of length 1.
fn unit(rows: Var) -> Var {
    let squares = rows.clone().square().sum_keepdim(&[1]);
    rows * squares.affine(1.0, 1e-12).rsqrt()
}

/// The mean loss of the heads of those whose pictures these are.
fn of_heads(heads: &[Linear], embedding: Var, pictures: &Pictures, context: &mut Context) -> Var {
    let share = pictures.samples.len() / pictures.people.len();
    let losses = pictures.people.iter().enumerate().map(|(place, &person)| {
        let logits = heads[person].forward(embedding.clone().narrow(0, place * share, share), context);
        let samples = &pictures.samples[place * share..(place + 1) * share];
        let classes: Vec<usize> = samples.iter().filter_map(|sample| sample.class).collect();
        cross_entropy(logits, &classes)
    });
    losses.reduce(|a, b| a + b).expect("pictures of somebody").scale(1.0 / pictures.people.len() as f64)
}
