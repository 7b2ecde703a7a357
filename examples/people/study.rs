//! What each way does for each person: every picture goes through the trunk twice, with the base as it is and with the
//! person's style, and everything else is computed from embeddings.

use std::fmt::Write;

use cerberus::data::{Sample, normalise};
use cerberus::metrics::argmax;
use cerberus::multitask::{MultiTaskModel, Prediction};
use cerberus::personal::adapted::Bare;
use cerberus::personal::adapters::{MapAdapter, MapAdapters};
use cerberus::personal::recogniser::{Shared, Trial, best, choose, trials};
use cerberus::personal::tune::{self, TuneOptions};
use cerberus::personal::{Base, Examples, Recogniser, Style};
use cerberus::prelude::*;
use cerberus::train::TrainError;

use crate::person::{Person, Pictures, Scenes};

/// How many pictures of each class are shown.
pub const COUNTS: [usize; 5] = [1, 2, 5, 10, 20];
/// What is changed in the base: nothing, its statistics, and with them small parts that are tuned on labelled pictures.
pub const CHANGES: [&str; 6] = [
    "the base",
    "style",
    "style, FiLM on the maps",
    "style, residual adapters on the maps",
    "style, scale and shift of norms",
    "style, LoRA of rank 2 on convolutions",
];
/// Pictures that go through the trunk together.
const TOGETHER: usize = 32;

/// What one way did for one person.
pub struct Row {
    pub person: u64,
    pub way: String,
    /// Pictures of each class that were shown.
    pub shown: usize,
    /// Accuracy on the person's classes, on the base's, and on all their pictures.
    pub own: f64,
    pub known: f64,
    pub all: f64,
}

/// A base, and what was measured.
pub struct Study {
    /// The base as it is.
    base: Base,
    /// The same with the style of the person at hand.
    styled: Base,
    shared: Shared,
    /// All people's rows.
    pub rows: Vec<Row>,
    /// For each person and each of [`CHANGES`] the main figure of every head on the base's classes.
    pub heads: Vec<Vec<Vec<(String, f64)>>>,
    /// For each person the share of pictures called unknown: of a class that was not taught, of the base's classes, and
    /// of the class that was taught.
    pub unknown: Vec<[f64; 3]>,
}

/// What a base sees in pictures.
struct View {
    embeddings: Vec<Vec<f32>>,
    /// The base's class of each.
    classes: Vec<usize>,
}

/// What a base sees in all pictures of a person.
struct Seen {
    shown: Vec<View>,
    known: View,
    truth: Vec<usize>,
    own: Vec<View>,
}

impl Study {
    /// `styled` is another copy of the base, to try styles on.
    pub fn new(base: Base, styled: Base, shared: Shared) -> Self {
        Self { base, styled, shared, rows: Vec::new(), heads: Vec::new(), unknown: Vec::new() }
    }

    /// Adds a person.
    pub fn add(&mut self, number: u64, person: &Person, scenes: &Scenes) -> Result<(), TrainError> {
        let pictures = person.pictures(scenes)?;
        let batches: Vec<Tensor> = pictures.unlabelled.chunks(TOGETHER).map(images).collect();
        let original = Style::of(self.base.model());
        let refused = |problem: String| TrainError::Option(problem);
        let style =
            Style::measure(self.styled.model_mut(), &batches).ok_or_else(|| refused("no style".into()))?;
        style.apply(self.styled.model_mut()).map_err(refused)?;
        let mut figures = Vec::new();
        for (base, name) in [(&self.base, ""), (&self.styled, "style, ")] {
            figures.push(figures_of(base.model(), None, &pictures.known)?);
            let seen = Seen::new(base, &pictures);
            self.rows.extend(seen.rows(number, name, &self.shared, &base.image().classes));
            if name.is_empty() {
                self.unknown.push(seen.unknown(&self.shared, &base.image().classes));
            }
        }
        figures.extend(self.tuned(&pictures)?);
        self.heads.push(figures);
        original.apply(self.styled.model_mut()).map_err(refused)
    }

    /// The heads' figures with each kind of adapter, tuned on the person's labelled pictures in their style.
    fn tuned(&mut self, pictures: &Pictures) -> Result<Vec<Vec<(String, f64)>>, TrainError> {
        let batch = Batch::assemble(&pictures.tuned, (0..pictures.tuned.len()).collect())?;
        let options = TuneOptions::default();
        // What starts at random moves the maps more in a step than what starts at nothing.
        let gently = TuneOptions { learning_rate: 5e-4, ..options };
        let unlabelled = || TrainError::Option("the pictures have no label for the base".into());
        let mut figures = Vec::new();
        let model = self.styled.model();
        let maps = tune::features(model, &batch);
        for (kind, options) in [(MapAdapter::Film, &options), (MapAdapter::Residual(8), &gently)] {
            let adapters = tune::tune_maps(model, kind, &maps, &batch, options).ok_or_else(unlabelled)?;
            figures.push(figures_of(model, Some(&adapters), &pictures.known)?);
        }
        let before = Bare::of(model);
        let model = self.styled.model_mut();
        tune::tune_norms(model, &batch, &options).ok_or_else(unlabelled)?;
        figures.push(figures_of(model, None, &pictures.known)?);
        before.restore_model(model);
        tune::tune_kernels(model, 2, &batch, &gently).ok_or_else(unlabelled)?;
        figures.push(figures_of(model, None, &pictures.known)?);
        before.restore_model(model);
        Ok(figures)
    }

    /// How many numbers the base has, a style, and what is kept of one picture.
    pub fn sizes(&self) -> [usize; 3] {
        let mut base = 0;
        self.base.model().visit("", &mut |_, entry| base += entry.value().len());
        let style = Style::of(self.base.model()).statistics.iter().map(|(_, values)| values.len()).sum();
        [base, style, self.base.image().width]
    }

    /// A row for each person, way and number of pictures.
    pub fn csv(&self) -> String {
        let mut text = String::from("person,way,shown,own,known,all\n");
        for row in &self.rows {
            let Row { person, way, shown, own, known, all } = row;
            let _ = writeln!(text, "{person},\"{way}\",{shown},{own:.4},{known:.4},{all:.4}");
        }
        text
    }
}

fn images(samples: &[Sample]) -> Tensor {
    normalise(&samples.iter().map(|sample| &sample.image).collect::<Vec<_>>())
}

/// The main figure of every head.
fn figures_of(
    model: &MultiTaskModel,
    adapters: Option<&MapAdapters>,
    samples: &[Sample],
) -> Result<Vec<(String, f64)>, TrainError> {
    let mut metrics: Vec<_> = model.tasks().iter().map(|task| task.metric()).collect();
    for samples in samples.chunks(TOGETHER) {
        let batch = Batch::assemble(samples, (0..samples.len()).collect())?;
        let mut context = Context::evaluation();
        let mut features = model.features(Var::constant(batch.images.clone()), &mut context);
        if let Some(adapters) = adapters {
            features = adapters.apply(features, &mut context);
        }
        for (metric, task) in metrics.iter_mut().zip(model.tasks()) {
            metric.update(&task.decode(&task.forward(&features, &mut context)), &batch);
        }
    }
    let figures = model.tasks().iter().zip(&metrics).filter_map(|(task, metric)| {
        let (name, value) = *metric.values().first()?;
        Some((format!("{}: {name}", task.name()), value?))
    });
    Ok(figures.collect())
}

impl View {
    fn new(base: &Base, samples: &[Sample]) -> Self {
        let mut view = Self { embeddings: Vec::new(), classes: Vec::new() };
        let index = base.classifier().expect("the base classifies");
        for samples in samples.chunks(TOGETHER) {
            let looked = base.look(images(samples));
            let classes = base.model().tasks()[index].decode(&looked.outputs[index]);
            view.classes.extend(classes.iter().filter_map(|prediction| match prediction {
                Prediction::Classes(chances) => argmax(chances),
                _ => None,
            }));
            view.embeddings.extend(looked.embeddings);
        }
        view
    }
}

/// The share of `values` that are true.
fn share(values: impl Iterator<Item = bool>) -> f64 {
    let (right, all) = values.fold((0_u32, 0_u32), |(right, all), value| (right + u32::from(value), all + 1));
    f64::from(right) / f64::from(all.max(1_u32))
}

impl Seen {
    fn new(base: &Base, pictures: &Pictures) -> Self {
        let views = |all: &[Vec<Sample>]| all.iter().map(|samples| View::new(base, samples)).collect();
        Self {
            shown: views(&pictures.shown),
            known: View::new(base, &pictures.known),
            truth: pictures.known.iter().filter_map(|sample| sample.class).collect(),
            own: views(&pictures.own),
        }
    }

    /// The first `count` pictures of the first `classes` of the person's classes.
    fn examples(&self, count: usize, classes: usize) -> Examples {
        let shown = &self.shown[..classes];
        Examples {
            classes: (0..classes).map(|class| format!("own {class}")).collect(),
            embeddings: shown.iter().flat_map(|view| view.embeddings[..count].to_vec()).collect(),
            labels: (0..classes).flat_map(|class| std::iter::repeat_n(class, count)).collect(),
        }
    }

    /// What every way does with every number of pictures.
    fn rows(&self, person: u64, prefix: &str, shared: &Shared, classes: &[String]) -> Vec<Row> {
        let mut rows = vec![self.row(person, format!("{prefix}base alone"), 0, |_, _, base| Err(base))];
        for shown in COUNTS {
            let examples = self.examples(shown, self.shown.len());
            let stand_in = self.stand_ins(shown);
            let nearest = |_: usize, _: &View, base: usize| {
                stand_in.iter().position(|&class| class == base).ok_or(base)
            };
            rows.push(self.row(person, format!("{prefix}nearest base class"), shown, nearest));
            let tried = trials(shared, classes, &examples);
            let named = |trial: &Trial| (trial.recogniser.way.name(), trial.recogniser.clone());
            let ways: Vec<(&str, Recogniser)> = tried.iter().map(named).collect();
            let chosen = best(tried).map(|trial| ("chosen", trial.recogniser));
            for (name, found) in ways.into_iter().chain(chosen) {
                let answer = |place: usize, view: &View, base: usize| {
                    let said = found.recognise(shared, &view.embeddings[place]);
                    let most = said.margin > found.threshold;
                    if most { Ok(said.nearest) } else { Err(base) }
                };
                rows.push(self.row(person, format!("{prefix}{name}"), shown, answer));
            }
        }
        rows
    }

    /// For each of the person's classes the one of the base's that it gives their pictures most.
    fn stand_ins(&self, shown: usize) -> Vec<usize> {
        let most = |view: &View| {
            let said = &view.classes[..shown];
            let count = |class: usize| said.iter().filter(|&&other| other == class).count();
            said.iter().copied().max_by_key(|&class| (count(class), std::cmp::Reverse(class))).unwrap_or(0)
        };
        self.shown.iter().map(most).collect()
    }

    /// `answer(place, view, base)` is one of the person's classes, or the base's answer as an error.
    fn row(
        &self,
        person: u64,
        way: String,
        shown: usize,
        answer: impl Fn(usize, &View, usize) -> Result<usize, usize>,
    ) -> Row {
        let answers = |view: &View| -> Vec<Result<usize, usize>> {
            view.classes.iter().enumerate().map(|(place, &base)| answer(place, view, base)).collect()
        };
        let known: Vec<bool> =
            answers(&self.known).iter().zip(&self.truth).map(|(a, &truth)| *a == Err(truth)).collect();
        let own: Vec<bool> = self
            .own
            .iter()
            .enumerate()
            .flat_map(|(class, view)| answers(view).into_iter().map(move |a| a == Ok(class)))
            .collect();
        let all = share(known.iter().chain(&own).copied());
        Row { person, way, shown, own: share(own.into_iter()), known: share(known.into_iter()), all }
    }

    /// With one class taught from five pictures: what is called unknown.
    fn unknown(&self, shared: &Shared, classes: &[String]) -> [f64; 3] {
        let Some(found) = choose(shared, classes, &self.examples(5, 1)) else { return [f64::NAN; 3] };
        let called = |found: &Recogniser, view: &View| {
            share(view.embeddings.iter().map(|embedding| found.recognise(shared, embedding).unknown))
        };
        [called(&found, &self.own[1]), called(&found, &self.known), called(&found, &self.own[0])]
    }
}
