//! The data of a run: opened as its configuration says, with labels taken away
//! or classes drawn more evenly where that was asked for, and counted for the
//! remedies against imbalance.

use std::sync::Arc;

use cerberus_data::{
    Batch, DataError, Dataset, LabelKind, MissingLabels, Mixture, PhotoOptions, Resampled, Sampling, Split,
    open_photos,
};
use cerberus_nn::losses::class_weights;
use serde::{Deserialize, Serialize};

use super::{TrainConfig, TrainError};
use crate::config::HeadConfig;

/// Training samples looked at to count classes.
const COUNTED: usize = 4000;

/// The ways against imbalance within a head.
pub const REMEDIES: [&str; 5] = ["inverse", "effective", "enet", "focal", "logit"];

/// Training samples drawn by the classes of a label.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SamplerChoice {
    /// The label.
    pub label: String,
    /// By the square root of the classes' frequencies instead of evenly.
    pub square_root: bool,
}

/// Opens the data set that runs with these names, or the mixture of several.
///
/// # Errors
/// Those of [`cerberus_data::open_photos`] and [`Mixture::new`].
pub fn open_mixed(
    names: &[String],
    temperature: f64,
    seed: u64,
    photos: &PhotoOptions,
) -> Result<Arc<dyn Dataset>, DataError> {
    let parts: Result<Vec<_>, _> = names.iter().map(|name| open_photos(name, seed, photos)).collect();
    let mut parts = parts?;
    if parts.len() == 1 && temperature > 0.0 {
        return Ok(parts.remove(0));
    }
    Ok(Arc::new(Mixture::new(parts, temperature, 1, seed)?))
}

impl TrainConfig {
    /// Opens the data set that the run trains on.
    ///
    /// # Errors
    /// Those of [`open_mixed`], [`MissingLabels::new`] and [`Resampled::new`].
    pub fn open_data(&self) -> Result<Arc<dyn Dataset>, TrainError> {
        let photos = self.photos.clone().unwrap_or_default();
        let names: Vec<String> = std::iter::once(&self.data).chain(&self.mix).cloned().collect();
        let mut data = open_mixed(&names, self.temperature, self.seed, &photos)?;
        if self.missing > 0.0 {
            data = Arc::new(MissingLabels::new(data, self.missing, self.seed)?);
        }
        if let Some(sampler) = &self.sampler {
            let by = if sampler.square_root { Sampling::SquareRoot } else { Sampling::Balanced };
            data = Arc::new(Resampled::new(data, &sampler.label, by, self.seed)?);
        }
        Ok(data)
    }

    /// Opens other data to score the model on: of photographs all of them, under the classes it was trained with.
    ///
    /// # Errors
    /// Those of [`cerberus_data::open_photos`].
    pub fn open_other(&self, data: &str) -> Result<Arc<dyn Dataset>, TrainError> {
        let heads = self.model.heads.iter();
        let photos = PhotoOptions {
            size: self.model.image[0],
            hold_back: 1.0,
            classes: heads.map(|head| (head.label.clone(), head.classes.clone())).collect(),
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

    /// Treats a head's class imbalance, `HEAD=WAY` with one of [`REMEDIES`], from the classes of `dataset`'s first few
    /// thousand training samples: weights by inverse frequency, by effective number (0.999) or by ENet's logarithm;
    /// the focal loss with exponent 2; logits adjusted by the classes' shares.
    ///
    /// # Errors
    /// [`TrainError::Option`] for a head or way there is none of, or a head without classes to count; and those of
    /// reading the samples.
    pub fn set_remedy(&mut self, choice: &str, dataset: &dyn Dataset) -> Result<(), TrainError> {
        let (name, way) = choice.split_once('=').unwrap_or((choice, ""));
        let names: Vec<&str> = self.model.heads.iter().map(|head| head.name.as_str()).collect();
        let names = names.join(", ");
        let Some(head) = self.model.heads.iter_mut().find(|head| head.name == name) else {
            return Err(TrainError::Option(format!(
                "there is no task {name:?} to treat; there are: {names}"
            )));
        };
        if !REMEDIES.contains(&way) {
            let known = REMEDIES.join(", ");
            return Err(TrainError::Option(format!(
                "there is no way {way:?} against imbalance; those known are {known}"
            )));
        }
        let options = head.options.clone();
        if way == "focal" {
            head.options.focal = Some(2.0);
            return Ok(());
        }
        let counts = class_counts(head, dataset)?;
        head.options = options;
        match way {
            "inverse" => head.options.class_weights = Some(class_weights::inverse_frequency(&counts)),
            "effective" => head.options.class_weights = Some(class_weights::effective_number(&counts, 0.999)),
            "enet" => head.options.class_weights = Some(class_weights::enet(&counts)),
            _ => head.options.logit_adjustment = Some(class_weights::logit_adjustment(&counts, 1.0)),
        }
        Ok(())
    }
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
        let problem =
            format!("the task {} has no classes to count; treat one that classifies or segments", head.name);
        return Err(TrainError::Option(problem));
    }
    Ok(counts)
}

#[cfg(test)]
mod tests {
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
}
