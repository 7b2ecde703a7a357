//! The lines of the tables: which data each trains on, and with which method.

use std::sync::Arc;

use cerberus::data::{self, DataError, DatasetInfo, FashionScenes, MissingLabels, Sample};
use cerberus::prelude::*;
use cerberus::train::{IMBALANCE_METHODS, TrainConfig, TrainError};

/// Labelled scenes that the table of missing labels starts from.
const LABELLED: usize = 3000;
/// The long tail: the classes have from 900 down to 9 training garments.
const TAIL: &str = "fashion-scenes-long-tail:100";

/// A line of a table.
pub struct Way {
    pub name: &'static str,
    data: &'static str,
    epochs: usize,
    /// Values of `--imbalance`.
    methods: Vec<String>,
    /// The value of `--sampler`.
    sampler: Option<&'static str>,
    /// The share of each task's labels that is removed.
    missing: f64,
    /// Every n-th scene of a fixed set is used; `None` for new scenes in every epoch.
    one_in: Option<usize>,
    /// Groups of classes that are averaged separately, by name.
    pub groups: Option<Vec<(&'static str, Vec<usize>)>>,
}

/// Plain training and every method, each for all heads that it applies to.
pub fn long_tail(epochs: usize) -> Vec<Way> {
    let both = |way: &str| vec![format!("classify={way}"), format!("segment={way}")];
    let mut all = vec![("plain", Vec::new(), None)];
    all.extend(IMBALANCE_METHODS.map(|way| (way, both(way), None)));
    all.push(("balanced-sampler", Vec::new(), Some("class=balanced")));
    all.push(("square-root-sampler", Vec::new(), Some("class=square_root")));
    let way = |(name, methods, sampler)| Way {
        name,
        data: TAIL,
        epochs,
        methods,
        sampler,
        missing: 0.0,
        one_in: None,
        groups: Some(groups()),
    };
    all.into_iter().map(way).collect()
}

/// Frequent classes have more than 100 training garments, rare ones fewer than 20 (Liu et al., "Large-Scale
/// Long-Tailed Recognition in an Open World", 2019).
fn groups() -> Vec<(&'static str, Vec<usize>)> {
    let scenes = FashionScenes::embedded(0).with_long_tail(100.0).expect("100 is a ratio");
    let counts = scenes.training_counts();
    let of = |range: std::ops::RangeInclusive<usize>| {
        (0..counts.len()).filter(|&class| range.contains(&counts[class])).collect()
    };
    vec![("frequent", of(101..=usize::MAX)), ("middle", of(20..=100)), ("rare", of(0..=19))]
}

/// All labels, a third of each task's removed, and a third of the scenes. All take as many steps.
pub fn missing(epochs: usize) -> Vec<Way> {
    let way = |name, missing, one_in, epochs| Way {
        name,
        data: "fashion-scenes",
        epochs,
        methods: Vec::new(),
        sampler: None,
        missing,
        one_in: Some(one_in),
        groups: None,
    };
    vec![
        way("all-labels", 0.0, 1, epochs),
        way("a-third-removed", 1.0 / 3.0, 1, epochs),
        way("a-third-alone", 0.0, 3, 3 * epochs),
    ]
}

impl Way {
    /// The run of one seed.
    pub fn config(&self, seed: u64, samples: Option<usize>) -> Result<TrainConfig, TrainError> {
        let dataset = data::open(self.data, seed)?;
        let mut config = TrainConfig::for_data(self.data, dataset.info());
        config.seed = seed;
        config.epochs = self.epochs;
        config.samples = samples;
        config.missing = self.missing;
        for method in &self.methods {
            config.set_imbalance(method, &*dataset)?;
        }
        if let Some(sampler) = self.sampler {
            config.set_sampler(sampler)?;
        }
        Ok(config)
    }

    /// The data of that run.
    pub fn open(&self, config: &TrainConfig) -> Result<Arc<dyn Dataset>, TrainError> {
        let Some(one_in) = self.one_in else { return config.open_data() };
        let scenes = Fixed::new(config.seed, one_in);
        Ok(Arc::new(MissingLabels::new(Arc::new(scenes), config.missing, config.seed)?))
    }
}

/// Training scenes that are the same in every epoch, as in a data set that somebody has labelled.
struct Fixed {
    scenes: FashionScenes,
    /// Training scenes that are used.
    kept: Vec<usize>,
}

impl Fixed {
    /// Every `one_in`-th of the first few thousand scenes; the seed chooses the first.
    fn new(seed: u64, one_in: usize) -> Self {
        let kept = (0..LABELLED).skip(seed as usize % one_in).step_by(one_in).collect();
        Self { scenes: FashionScenes::embedded(seed), kept }
    }
}

impl Dataset for Fixed {
    fn info(&self) -> &DatasetInfo {
        self.scenes.info()
    }

    fn len(&self, split: Split) -> usize {
        if split == Split::Train { self.kept.len() } else { self.scenes.len(split) }
    }

    fn sample(&self, split: Split, epoch: u64, index: usize) -> Result<Sample, DataError> {
        match (split, self.kept.get(index)) {
            (Split::Train, Some(&scene)) => self.scenes.sample(split, 0, scene),
            (Split::Train, None) => {
                let info = self.info();
                let (dataset, len) = (info.name.clone(), self.kept.len());
                Err(DataError::NoSuchSample { dataset, split: split.name(), len, index })
            }
            _ => self.scenes.sample(split, epoch, index),
        }
    }
}
