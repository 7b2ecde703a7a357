//! What was found when data were opened: pictures and labels, what was left out and why, and what looks suspicious.
//!
//! A model trained on misread data is worse than an error. So everything that is skipped or changed becomes a
//! [`Finding`] with its count and the first places where it occurs, and everything that is used is counted by part,
//! label and class. `train` prints the [lines](Account::lines) and writes the whole account to `data.json`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::split::Split;

/// The most places that a [`Finding`] lists.
const NAMED: usize = 5;
/// The most classes that [`Account::lines`] names.
const NAMED_CLASSES: usize = 8;

/// The kind of a [`Finding`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FindingKind {
    /// A picture that is not used.
    LeftOut,
    /// A label, or a file of labels, that is not used.
    LabelLeftOut,
    /// Used, but changed from what the file says.
    Changed,
    /// Used unchanged, but some classes are not annotated.
    NotAnnotated,
    /// Used unchanged, but probably a mistake in the data.
    Suspicious,
}

impl FindingKind {
    fn title(self) -> &'static str {
        match self {
            Self::LeftOut => "left out",
            Self::LabelLeftOut => "labels left out",
            Self::Changed => "changed",
            Self::NotAnnotated => "not annotated",
            Self::Suspicious => "suspicious",
        }
    }
}

/// Something about the data that the user should know, how often it occurs, and where it occurs first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// Its kind.
    pub kind: FindingKind,
    /// A description that follows a count: "boxes without area".
    pub what: String,
    /// How often it occurs.
    pub count: usize,
    /// Where it occurs first: files and lines, at most five.
    pub first: Vec<String>,
    /// The pictures concerned, if it concerns pictures: at most five.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pictures: Vec<PathBuf>,
}

/// Collects findings and counts equal ones together.
#[derive(Clone, Debug, Default)]
pub(crate) struct Findings {
    found: BTreeMap<(FindingKind, String), Finding>,
    /// The picture that is being checked.
    pub picture: Option<PathBuf>,
}

impl Findings {
    /// Counts one more finding of this kind and description.
    pub fn add(&mut self, kind: FindingKind, what: &str, place: impl Display) {
        let finding = self.found.entry((kind, what.to_string())).or_insert_with(|| Finding {
            kind,
            what: what.into(),
            count: 0,
            first: Vec::new(),
            pictures: Vec::new(),
        });
        finding.count += 1;
        if finding.first.len() < NAMED {
            finding.first.push(place.to_string());
        }
        if let Some(picture) = &self.picture
            && finding.pictures.len() < NAMED
            && !finding.pictures.contains(picture)
        {
            finding.pictures.push(picture.clone());
        }
    }

    /// The list, sorted by kind and then by description.
    pub fn list(self) -> Vec<Finding> {
        self.found.into_values().collect()
    }
}

/// How often a class occurs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClassCount {
    /// The class's name.
    pub class: String,
    /// The number of pictures or objects of it; for outlines, the number of outlines.
    pub count: usize,
}

/// The counts of one label in a part of the data.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LabelCount {
    /// The label's name.
    pub label: String,
    /// Pictures that have the label, even an empty one.
    pub pictures: usize,
    /// Pictures whose label is empty: annotated, but without an object. 0 for labels other than objects.
    #[serde(default)]
    pub empty: usize,
    /// How often each class occurs; empty if only the pixels of the masks could tell.
    pub classes: Vec<ClassCount>,
}

/// A part of the data.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartAccount {
    /// `train`, `validation` or `test`.
    pub part: String,
    /// Its pictures.
    pub pictures: usize,
    /// The counts of each label of the data.
    pub labels: Vec<LabelCount>,
}

/// A picture of the data.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Picture {
    /// Its name, which decides its split.
    pub name: String,
    /// The part it is in.
    pub part: String,
    /// Its rows and columns in the file, in the orientation that its annotations use.
    pub size: [usize; 2],
    /// A digest of its name, the part the files put it into, size, length in bytes, and labels.
    pub digest: String,
}

/// Everything known about the data at a path.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// The path, as it was given.
    pub path: String,
    /// The format it was read as.
    pub format: String,
    /// Pictures that were found, used or not.
    pub found: usize,
    /// Pictures that are used.
    pub used: usize,
    /// The parts, training first.
    pub parts: Vec<PartAccount>,
    /// What was left out, changed or is suspicious.
    pub findings: Vec<Finding>,
    /// A digest of names, sizes and labels: different data have a different one.
    pub fingerprint: String,
    /// Every picture that is used, training first.
    pub pictures: Vec<Picture>,
}

impl Account {
    /// The part of this split.
    pub fn part(&self, split: Split) -> Option<&PartAccount> {
        self.parts.iter().find(|part| part.part == split.name())
    }

    /// The pictures of a split that have a label.
    pub fn labelled(&self, split: Split, label: &str) -> usize {
        let counts = self.part(split).into_iter().flat_map(|part| &part.labels);
        counts.filter(|count| count.label == label).map(|count| count.pictures).sum()
    }

    /// Notes classes that do not occur in the training part although another part or the list of classes has them.
    /// `annotated` says for which classes of a label this can be told: for all of them if it does not contain the
    /// label.
    pub(crate) fn missing_classes(&self, annotated: &BTreeMap<String, Vec<bool>>, findings: &mut Findings) {
        let Some(train) = self.part(Split::Train).filter(|part| part.pictures > 0) else { return };
        // The labels of one set share their classes: each class is reported once.
        let mut told = BTreeSet::new();
        let told_of = |label: &'_ LabelCount, class: usize| {
            annotated.get(&label.label).is_none_or(|known| known[class])
        };
        let classes = train.labels.iter().flat_map(|label| {
            label
                .classes
                .iter()
                .enumerate()
                .filter(|(class, _)| told_of(label, *class))
                .map(|(_, class)| class)
        });
        for class in classes {
            if class.count == 0 && told.insert(&class.class) {
                let never = self.parts.iter().flat_map(|part| &part.labels).flat_map(|label| &label.classes);
                let elsewhere = never.filter(|other| other.class == class.class).any(|other| other.count > 0);
                let what = if elsewhere {
                    "classes that occur, but not in training"
                } else {
                    "classes that never occur"
                };
                findings.add(FindingKind::Suspicious, what, &class.class);
            }
        }
    }

    /// The difference between the pictures of an earlier account and these, in a sentence; `None` if there is none.
    pub fn changes_since(&self, before: &Account) -> Option<String> {
        if self.fingerprint == before.fingerprint {
            return None;
        }
        let by_name = |account: &'_ Account| -> BTreeMap<(String, String), String> {
            let entry = |p: &Picture| ((p.part.clone(), p.name.clone()), p.digest.clone());
            account.pictures.iter().map(entry).collect()
        };
        let (old, new) = (by_name(before), by_name(self));
        let told = |count: usize, what: &str, names: Vec<&(String, String)>| {
            let names: Vec<String> =
                names.iter().take(NAMED).map(|(part, name)| format!("{name} in {part}")).collect();
            (count > 0).then(|| {
                format!("{count} {what} ({}{})", names.join(", "), if count > NAMED { ", .." } else { "" })
            })
        };
        let added: Vec<_> = new.keys().filter(|key| !old.contains_key(*key)).collect();
        let gone: Vec<_> = old.keys().filter(|key| !new.contains_key(*key)).collect();
        let other: Vec<_> = new
            .iter()
            .filter(|(key, digest)| old.get(*key).is_some_and(|was| was != *digest))
            .map(|(key, _)| key)
            .collect();
        let parts = [
            told(added.len(), "pictures are new", added),
            told(gone.len(), "are gone", gone),
            told(other.len(), "have other labels, sizes or contents", other),
        ];
        let parts: Vec<String> = parts.into_iter().flatten().collect();
        Some(if parts.is_empty() { "the pictures are in another order".into() } else { parts.join(", ") })
    }

    /// The account in a few lines for a person to read.
    pub fn lines(&self) -> Vec<String> {
        let mut lines = vec![format!(
            "{}: {} {} found, {} used, read as {}",
            self.path,
            self.found,
            pictures(self.found),
            self.used,
            self.format
        )];
        for part in self.parts.iter().filter(|part| part.pictures > 0) {
            let label = |count: &LabelCount| {
                let objects = count.classes.iter().map(|c| c.count).sum::<usize>();
                let mut more = Vec::new();
                if !count.classes.is_empty() && objects != count.pictures {
                    more.push(objects.to_string());
                }
                if count.empty > 0 {
                    more.push(format!("{} without objects", count.empty));
                }
                let more = if more.is_empty() { String::new() } else { format!(" ({})", more.join(", ")) };
                format!("{} {}{more}", count.label, count.pictures)
            };
            let labels: Vec<String> = part.labels.iter().map(label).collect();
            let labels = if labels.is_empty() { "no label".to_string() } else { labels.join(", ") };
            let pictures = pictures(part.pictures);
            lines.push(format!("  {:<10} {:>6} {pictures}, labelled: {labels}", part.part, part.pictures));
        }
        lines.extend(self.classes_line());
        for finding in &self.findings {
            let more = if finding.count > finding.first.len() { ", .." } else { "" };
            lines.push(format!(
                "  {}: {} {} ({}{more})",
                finding.kind.title(),
                finding.count,
                finding.what,
                finding.first.join(", ")
            ));
        }
        lines
    }

    /// The classes of the training part's first label that has classes.
    fn classes_line(&self) -> Option<String> {
        let count = self.part(Split::Train)?.labels.iter().find(|count| !count.classes.is_empty())?;
        let shown = count.classes.iter().take(NAMED_CLASSES);
        let shown: Vec<String> = shown.map(|class| format!("{} {}", class.class, class.count)).collect();
        let rest = count.classes.len().saturating_sub(NAMED_CLASSES);
        let rest = if rest > 0 { format!(", and {rest} more classes") } else { String::new() };
        Some(format!("  classes of {}: {}{rest}", count.label, shown.join(", ")))
    }
}

fn pictures(count: usize) -> &'static str {
    if count == 1 { "picture" } else { "pictures" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn findings_are_counted_and_the_first_of_them_named() {
        let mut findings = Findings::default();
        for line in 1..9 {
            findings.add(FindingKind::LabelLeftOut, "boxes without area", format!("line {line}"));
        }
        findings.add(FindingKind::LeftOut, "pictures that are broken", "a.jpg");
        let list = findings.list();
        assert_eq!(list[0].what, "pictures that are broken");
        assert_eq!((list[1].count, list[1].first.len()), (8, 5));
        let account = Account { findings: list, ..Account::default() };
        let lines = account.lines();
        assert!(lines[2].contains("labels left out: 8 boxes without area (line 1,"), "{lines:?}");
        assert!(lines[2].ends_with(", ..)") && !lines[1].contains(".."), "{lines:?}");
    }
}
