//! The data of a run: opened as its configuration says, if required with labels
//! removed or classes drawn more evenly, and counted for the methods against
//! class imbalance.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use cerberus_data::augment::Augmented;
use cerberus_data::{
    Batch, DataError, Dataset, DatasetInfo, Fit, LabelInfo, LabelKind, MissingLabels, Mixture, PhotoOptions,
    Resampled, Sampling, Split, open_photos,
};
use cerberus_nn::losses::class_weights;

use crate::config::{SamplerChoice, TrainConfig};
use crate::error::TrainError;
use cerberus_multitask::config::{HeadConfig, find_kind};

/// The most training samples that are read to count classes.
const COUNTED: usize = 4000;

/// The methods against class imbalance within a head.
pub const IMBALANCE_METHODS: [&str; 5] = ["inverse", "effective", "enet", "focal", "logit"];

/// Opens the data set of this name, or the mixture of several.
///
/// The classes of a label are those of all sets by their names, in the order in which they appear. Photographs with
/// another list are converted to it, and each of their samples says which of its classes are
/// [annotated](cerberus_data::annotated_key). For other data, another list is an error from the mixture.
///
/// # Errors
/// Those of [`cerberus_data::open_photos`] and [`Mixture::new`].
pub fn open_mixed(
    names: &[String],
    temperature: f64,
    seed: u64,
    photos: &PhotoOptions,
) -> Result<Arc<dyn Dataset>, DataError> {
    let mut parts: Vec<Arc<dyn Dataset>> = Vec::with_capacity(names.len());
    for name in names {
        parts.push(open_photos(name, seed, photos)?);
    }
    let labels = joined(&parts);
    for (part, name) in parts.iter_mut().zip(names) {
        let classes = other_lists(&labels, part.info());
        if !classes.is_empty() {
            *part = open_photos(name, seed, &PhotoOptions { classes, ..photos.clone() })?;
        }
    }
    if parts.len() == 1 && temperature > 0.0 {
        return Ok(parts.remove(0));
    }
    Ok(Arc::new(Mixture::new(parts, temperature, 1, seed)?))
}

/// The labels of all sets; a label has the classes of all sets that have it by name.
fn joined(parts: &[Arc<dyn Dataset>]) -> Vec<LabelInfo> {
    let mut labels: Vec<LabelInfo> = Vec::new();
    for own in parts.iter().flat_map(|part| &part.info().labels).filter(|label| has_classes(label.kind)) {
        let Some(known) = labels.iter_mut().find(|known| known.name == own.name) else {
            labels.push(own.clone());
            continue;
        };
        let mut names: BTreeSet<String> = known.classes.iter().cloned().collect();
        known.classes.extend(own.classes.iter().filter(|name| names.insert((*name).clone())).cloned());
    }
    labels
}

/// The class lists in `labels` that differ from those of `info`'s labels of the same name and kind.
fn other_lists(labels: &[LabelInfo], info: &DatasetInfo) -> BTreeMap<String, Vec<String>> {
    let list = |own: &LabelInfo| {
        let known = labels.iter().find(|known| known.name == own.name && known.kind == own.kind)?;
        (known.classes != own.classes).then(|| (own.name.clone(), known.classes.clone()))
    };
    info.labels.iter().filter_map(list).collect()
}

/// Numbers have names, but no classes.
fn has_classes(kind: LabelKind) -> bool {
    !matches!(kind, LabelKind::Values | LabelKind::ValueMap)
}

impl TrainConfig {
    /// Opens the data set that the run trains on.
    ///
    /// # Errors
    /// Those of [`open_mixed`] and [`prepare_data`](Self::prepare_data).
    pub fn open_data(&self) -> Result<Arc<dyn Dataset>, TrainError> {
        let photos = self.photos.clone().unwrap_or_default();
        self.prepare_data(open_mixed(&self.data_names(), self.temperature, self.seed, &photos)?)
    }

    /// The data as the run uses them: with labels removed, drawn by classes and augmented, if the configuration says
    /// so.
    ///
    /// # Errors
    /// Those of [`MissingLabels::new`], [`Resampled::new`] and [`Augmented::new`].
    pub fn prepare_data(&self, mut data: Arc<dyn Dataset>) -> Result<Arc<dyn Dataset>, TrainError> {
        if self.missing > 0.0 {
            data = Arc::new(MissingLabels::new(data, self.missing, self.seed)?);
        }
        if let Some(sampler) = &self.sampler {
            let by = if sampler.square_root { Sampling::SquareRoot } else { Sampling::Balanced };
            data = Arc::new(Resampled::new(data, &sampler.label, by, self.seed)?);
        }
        if !self.augment.operations.is_empty() {
            data = Arc::new(Augmented::new(data, &self.augment, self.seed)?);
        }
        Ok(data)
    }

    /// How photographs are resized to the model's images.
    pub fn fit(&self) -> Fit {
        self.photos.as_ref().map_or(Fit::default(), |photos| photos.fit)
    }

    /// Opens other data to score the model on: all photographs are used, resized like those it was trained on, with the
    /// classes it was trained with; classes that the data lack do not count as errors.
    ///
    /// # Errors
    /// Those of [`cerberus_data::open_photos`].
    pub fn open_other(&self, data: &str) -> Result<Arc<dyn Dataset>, TrainError> {
        let heads = self.model.heads.iter();
        let photos = PhotoOptions {
            size: [self.model.image[0], self.model.image[1]],
            fit: self.fit(),
            hold_back: 1.0,
            classes: heads.map(|head| (head.label.clone(), head.classes.clone())).collect(),
            map: self.photos.as_ref().map_or_else(BTreeMap::new, |photos| photos.map.clone()),
            ..PhotoOptions::default()
        };
        Ok(open_photos(data, self.seed, &photos)?)
    }

    /// Draws training samples by classes: `LABEL=balanced` or `LABEL=square_root`.
    ///
    /// # Errors
    /// [`TrainError::Option`] for another choice; the label is checked when the data are opened.
    pub fn set_sampler(&mut self, choice: &str) -> Result<(), TrainError> {
        let (label, way) = choice.split_once('=').unwrap_or((choice, ""));
        let square_root = match way {
            "balanced" => false,
            "square_root" => true,
            _ => {
                let problem = format!("the sampler {choice:?} must be LABEL=balanced or LABEL=square_root");
                return Err(TrainError::Option(problem));
            }
        };
        self.sampler = Some(SamplerChoice { label: label.into(), square_root });
        Ok(())
    }

    /// Sets a method against a head's class imbalance, `HEAD=METHOD` with one of [`IMBALANCE_METHODS`], from the
    /// classes of `dataset`'s first few thousand training samples: weights by inverse frequency, by effective number
    /// (0.999) or by ENet's logarithm; the focal loss with exponent 2; logits adjusted by the classes' shares.
    ///
    /// # Errors
    /// [`TrainError::Option`] for an unknown head or method, a method that the head's loss cannot use (detection and
    /// regression can use none), or data without a class to count; and those of reading the samples.
    pub fn set_imbalance(&mut self, choice: &str, dataset: &dyn Dataset) -> Result<(), TrainError> {
        let (name, method) = choice.split_once('=').unwrap_or((choice, ""));
        let names: Vec<&str> = self.model.heads.iter().map(|head| head.name.as_str()).collect();
        let names = names.join(", ");
        let Some(head) = self.model.heads.iter_mut().find(|head| head.name == name) else {
            return Err(TrainError::Option(format!(
                "there is no task {name:?} to treat; there are: {names}"
            )));
        };
        if !IMBALANCE_METHODS.contains(&method) {
            let known = IMBALANCE_METHODS.join(", ");
            return Err(TrainError::Option(format!(
                "there is no method {method:?} against imbalance; there are: {known}"
            )));
        }
        let possible = methods_for(head)?;
        if !possible.contains(&method) {
            return Err(TrainError::Option(match possible {
                [] => format!(
                    "the task {name} has no method against imbalance: its loss has no weight per class; \
                     choose one that classifies or segments, or draw samples by a label's classes (--sampler)"
                ),
                _ => format!("the task {name} has no use for {method:?}; it has for {}", possible.join(", ")),
            }));
        }
        if method == "focal" {
            head.options.focal = Some(2.0);
            return Ok(());
        }
        let counts = class_counts(head, dataset)?;
        match method {
            "inverse" => head.options.class_weights = Some(class_weights::inverse_frequency(&counts)),
            "effective" => head.options.class_weights = Some(class_weights::effective_number(&counts, 0.999)),
            "enet" => head.options.class_weights = Some(class_weights::enet(&counts)),
            _ => head.options.logit_adjustment = Some(class_weights::logit_adjustment(&counts, 1.0)),
        }
        Ok(())
    }
}

/// The [`IMBALANCE_METHODS`] that a head's loss can use.
fn methods_for(head: &HeadConfig) -> Result<&'static [&'static str], TrainError> {
    Ok(match find_kind(&head.kind).map_err(TrainError::Option)?.label {
        LabelKind::Class | LabelKind::Mask => &IMBALANCE_METHODS,
        // The classes are independent: there are no logits to shift against each other.
        LabelKind::Classes => &IMBALANCE_METHODS[..4],
        LabelKind::Objects | LabelKind::Values | LabelKind::ValueMap => &[],
    })
}

/// How often each class of a head's label occurs: images, or pixels of masks with background first.
fn class_counts(head: &HeadConfig, dataset: &dyn Dataset) -> Result<Vec<f64>, TrainError> {
    let masks = dataset.info().label(&head.label).map(|label| label.kind) == Some(LabelKind::Mask);
    let mut counts = vec![0.0; head.outputs() + usize::from(masks)];
    let mut labelled = false;
    for index in 0..dataset.len(Split::Train).min(COUNTED) {
        let sample = dataset.sample(Split::Train, 0, index)?;
        let batch = Batch::assemble(&[sample], vec![index])?;
        let classes = batch.classes_of(&head.label).into_iter().flatten();
        let sets = batch.class_sets_of(&head.label);
        let sets = sets.into_iter().flatten().flat_map(|set| (0..set.len()).filter(|&class| set[class]));
        let pixels = batch.masks_of(&head.label);
        let pixels =
            pixels.into_iter().flatten().flat_map(|mask| mask.classes.iter().map(|&id| usize::from(id)));
        for class in classes.chain(sets).chain(pixels) {
            // Pixels that are not judged have an id beyond the classes.
            if let Some(count) = counts.get_mut(class) {
                *count += 1.0;
                labelled = true;
            }
        }
    }
    if !labelled {
        let problem = format!(
            "none of the first {COUNTED} training samples has a class of the task {} to count",
            head.name
        );
        return Err(TrainError::Option(problem));
    }
    Ok(counts)
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::atomic::AtomicBool;

    use cerberus_data::Image;

    use super::*;

    #[test]
    fn mixed_data_have_all_samples_and_a_temperature_out_of_range_is_refused() {
        let open = |names: &[&str], temperature: f64| {
            let names: Vec<String> = names.iter().map(|name| name.to_string()).collect();
            open_mixed(&names, temperature, 1, &PhotoOptions::default())
        };
        let both = ["fashion-scenes", "fashion-scenes-long-tail"];
        let mixed = open(&both, 1.0).unwrap();
        assert_eq!((mixed.len(Split::Train), mixed.len(Split::Test)), (9000 + 2230, 4000));
        assert_eq!(open(&both[..1], 1.0).unwrap().len(Split::Train), 9000);
        for temperature in [0.0, -1.0, f64::NAN] {
            assert!(open(&both, temperature).is_err() && open(&both[..1], temperature).is_err());
        }
    }

    /// Two photographs in YOLO's layout; every one shows an object of class 0.
    fn yolo(folder: &Path, names: &[&str]) -> String {
        for part in ["images", "labels"] {
            std::fs::create_dir_all(folder.join(part)).unwrap();
        }
        let picture =
            Image { height: 8, width: 8, channels: 3, pixels: vec![90; 192].into() }.to_png().unwrap();
        for name in ["a", "b"] {
            std::fs::write(folder.join(format!("images/{name}.png")), &picture).unwrap();
            std::fs::write(folder.join(format!("labels/{name}.txt")), "0 0.5 0.5 0.5 0.5\n").unwrap();
        }
        let yaml = format!("path: .\ntrain: images\nval: images\nnames: [{}]\n", names.join(", "));
        std::fs::write(folder.join("data.yaml"), yaml).unwrap();
        folder.display().to_string()
    }

    struct Nobody;

    impl crate::Observer for Nobody {
        fn step(&mut self, _: &crate::StepReport) {}
        fn evaluating(&mut self, _: Split, _: usize, _: usize) {}
        fn epoch(&mut self, _: &crate::EpochRow) {}
    }

    fn photos() -> PhotoOptions {
        PhotoOptions { size: [32, 32], repeats: 1, ..PhotoOptions::default() }
    }

    fn open(names: &[&String]) -> Result<Arc<dyn Dataset>, DataError> {
        open_mixed(&names.iter().map(|name| name.to_string()).collect::<Vec<_>>(), 1.0, 1, &photos())
    }

    #[test]
    fn mixed_photographs_have_the_classes_of_all_by_name_and_say_which_of_them_they_annotate() {
        let folder = tempfile::tempdir().unwrap();
        let first = yolo(&folder.path().join("first"), &["cat", "dog"]);
        let second = yolo(&folder.path().join("second"), &["horse", "cat"]);
        let mixed = open(&[&first, &second]).unwrap();
        assert_eq!(mixed.info().label("objects").unwrap().classes, ["cat", "dog", "horse"]);
        let seen: BTreeSet<(usize, Vec<bool>)> = (0..40)
            .map(|epoch| mixed.sample(Split::Train, epoch, 0).unwrap())
            .map(|sample| {
                let batch = Batch::assemble(std::slice::from_ref(&sample), vec![0]).unwrap();
                let annotated = batch.annotated_of("objects")[0].unwrap().to_vec();
                assert_eq!(batch.annotated_of("present")[0].unwrap(), annotated);
                (sample.objects.unwrap()[0].class, annotated)
            })
            .collect();
        let expected = [(0, vec![true, true, false]), (2, vec![true, false, true])];
        assert_eq!(seen, BTreeSet::from(expected), "cats of the first set, horses of the second");
        let told = |account: usize| mixed.info().accounts[account].lines().join("\n");
        assert!(
            told(0).contains("not annotated: 1 classes") && told(0).contains("horse of objects"),
            "{}",
            told(0)
        );
        assert!(told(1).contains("dog of objects") && told(1).contains("never occur (cat)"), "{}", told(1));
        // If both have the same classes, nothing is recorded.
        let alike = open(&[&first, &first]).unwrap().sample(Split::Train, 0, 0).unwrap();
        assert!(!alike.more.contains_key(&cerberus_data::annotated_key("objects")));
    }

    #[test]
    fn data_that_are_no_photographs_are_not_brought_to_the_classes_of_others() {
        let folder = tempfile::tempdir().unwrap();
        let set = yolo(&folder.path().join("set"), &["cat"]);
        let photos = PhotoOptions { size: [64, 64], ..photos() };
        let names = ["fashion-scenes".to_string(), set];
        let message = open_mixed(&names, 1.0, 1, &photos).err().unwrap().to_string();
        assert!(message.contains("fashion-scenes") && message.contains("cat"), "{message}");
    }

    #[test]
    fn an_epoch_of_two_sets_with_other_classes_trains_and_each_can_be_scored() {
        let folder = tempfile::tempdir().unwrap();
        let first = yolo(&folder.path().join("first"), &["cat", "dog"]);
        let second = yolo(&folder.path().join("second"), &["horse", "cat"]);
        let data = open(&[&first, &second]).unwrap();
        let mut config = TrainConfig::for_data(&first, data.info());
        config.mix = vec![second.clone()];
        config.photos = Some(photos());
        config.model.stages = vec![vec![4], vec![4], vec![8], vec![8]];
        (config.epochs, config.batch) = (1, 2);
        let run = tempfile::tempdir().unwrap();
        let mut trainer = crate::Trainer::start(config.clone(), data, run.path()).unwrap();
        let outcome = trainer.run(&mut Nobody, &AtomicBool::new(false)).unwrap();
        assert!(matches!(outcome, crate::Outcome::Finished(_)));
        for (set, missing) in [(&first, "horse"), (&second, "dog")] {
            let other = config.open_other(set).unwrap();
            config.check_to_score(other.info()).unwrap();
            assert_eq!(other.info().label("objects").unwrap().classes, ["cat", "dog", "horse"]);
            assert!(other.info().accounts[0].lines().join("\n").contains(missing));
            let figures = crate::evaluate(trainer.model(), &other, Split::Test, None, &mut |_| {}).unwrap();
            assert!(figures.iter().any(|task| task.metrics[0].1.is_some()), "{figures:?}");
        }
    }

    #[test]
    fn a_method_that_a_task_has_no_use_for_is_refused() {
        let data = cerberus_data::open("fashion-scenes-long-tail", 1).unwrap();
        let mut config = TrainConfig::for_data("fashion-scenes-long-tail", data.info());
        for way in IMBALANCE_METHODS {
            let message = config.set_imbalance(&format!("detect={way}"), &*data).unwrap_err().to_string();
            assert!(message.contains("no weight per class") && message.contains("--sampler"), "{message}");
        }
        let before = config.model.heads.iter().find(|head| head.name == "detect").unwrap().options.clone();
        assert_eq!(before, cerberus_multitask::config::HeadOptions::default());
        for way in IMBALANCE_METHODS {
            config.set_imbalance(&format!("classify={way}"), &*data).unwrap();
        }
        let options = &config.model.heads.iter().find(|head| head.name == "classify").unwrap().options;
        assert!(
            options.focal.is_some() && options.class_weights.is_some() && options.logit_adjustment.is_some()
        );
    }
}
