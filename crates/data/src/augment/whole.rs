//! Labels of a whole picture that is mixed from several: each class has a share.

use std::collections::{BTreeMap, BTreeSet};

use crate::dataset::{CLASS, is_annotated_key};
use crate::sample::largest_share;
use crate::{Label, Sample};

/// Labels of a whole picture by name; `None` if a part does not have the label.
pub(super) struct Whole {
    class: Option<usize>,
    labels: BTreeMap<String, Option<Label>>,
}

impl Whole {
    /// Labels of samples with these shares of the picture, which sum to 1.
    ///
    /// Classes become shares, sets of classes their union, numbers their weighted mean. A class counts as annotated if
    /// all samples annotate it.
    pub fn of(parts: &[(&Sample, f32)]) -> Whole {
        let parts: Vec<(&Sample, f32)> = parts.iter().copied().filter(|part| part.1 > 0.0).collect();
        let names: BTreeSet<&String> = parts
            .iter()
            .flat_map(|(sample, _)| &sample.more)
            .filter(|(name, label)| {
                name.as_str() != CLASS && !is_annotated_key(name) && is_of_the_whole(label)
            })
            .map(|(name, _)| name)
            .collect();
        let mut labels: BTreeMap<String, Option<Label>> =
            names.into_iter().map(|name| (name.clone(), mixed(name, &parts))).collect();
        let samples: Vec<&Sample> = parts.iter().map(|(sample, _)| *sample).collect();
        labels.extend(annotated(&samples).into_iter().map(|(name, label)| (name, Some(label))));
        let class_shares = parts.iter().try_fold(Vec::new(), |mut sum, (sample, share)| {
            let own = match sample.more.get(CLASS) {
                Some(Label::Shares(own)) => own.clone(),
                _ => one_class(sample.class?),
            };
            add(&mut sum, &own, *share);
            Some(sum)
        });
        let class = class_shares.as_deref().and_then(largest_share);
        let shares = class_shares.filter(|shares| shares.iter().filter(|&&share| share > 0.0).count() > 1);
        labels.insert(CLASS.into(), shares.map(Label::Shares));
        Whole { class, labels }
    }

    /// Writes the labels into the sample that shows the picture.
    pub fn label(self, sample: &mut Sample) {
        sample.class = self.class;
        for (name, label) in self.labels {
            match label {
                Some(label) => sample.more.insert(name, label),
                None => sample.more.remove(&name),
            };
        }
    }
}

/// The classes that all samples annotate, by annotation key. If one sample does not annotate a class, nobody knows
/// whether that sample shows it.
pub(super) fn annotated(samples: &[&Sample]) -> BTreeMap<String, Label> {
    let mut common: BTreeMap<String, Label> = BTreeMap::new();
    for (name, label) in samples.iter().flat_map(|sample| &sample.more) {
        let Label::Classes(own) = label else { continue };
        if !is_annotated_key(name) {
            continue;
        }
        match common.get_mut(name) {
            Some(Label::Classes(known)) => known.iter_mut().zip(own).for_each(|(known, own)| *known &= own),
            _ => drop(common.insert(name.clone(), label.clone())),
        }
    }
    common
}

fn is_of_the_whole(label: &Label) -> bool {
    matches!(label, Label::Class(_) | Label::Shares(_) | Label::Classes(_) | Label::Values(_))
}

/// A label mixed from all parts; `None` if a part lacks it or the kinds differ.
fn mixed(name: &str, parts: &[(&Sample, f32)]) -> Option<Label> {
    let mut sum: Option<Label> = None;
    for (sample, share) in parts {
        let own = match sample.more.get(name)? {
            Label::Class(class) => Label::Shares(one_class(*class)),
            other => other.clone(),
        };
        sum = Some(match (sum, own) {
            (None, Label::Shares(own)) => Label::Shares(own.iter().map(|value| share * value).collect()),
            (None, Label::Values(own)) => Label::Values(own.iter().map(|value| share * value).collect()),
            (None, own) => own,
            (Some(Label::Shares(mut sum)), Label::Shares(own)) => {
                add(&mut sum, &own, *share);
                Label::Shares(sum)
            }
            (Some(Label::Values(sum)), Label::Values(own)) if sum.len() == own.len() => {
                Label::Values(sum.iter().zip(&own).map(|(sum, own)| sum + share * own).collect())
            }
            (Some(Label::Classes(sum)), Label::Classes(own)) if sum.len() == own.len() => {
                Label::Classes(sum.iter().zip(&own).map(|(a, b)| a | b).collect())
            }
            _ => return None,
        });
    }
    match sum {
        Some(Label::Shares(shares)) if shares.iter().filter(|&&share| share > 0.0).count() == 1 => {
            largest_share(&shares).map(Label::Class)
        }
        other => other,
    }
}

fn one_class(class: usize) -> Vec<f32> {
    let mut shares = vec![0.0; class];
    shares.push(1.0);
    shares
}

fn add(sum: &mut Vec<f32>, own: &[f32], share: f32) {
    sum.resize(sum.len().max(own.len()), 0.0);
    sum.iter_mut().zip(own).for_each(|(sum, own)| *sum += share * own);
}
