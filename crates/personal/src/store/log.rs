//! What was shown: steps that can be undone, each with lessons of one class.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::error::PersonalError;
use crate::recogniser::Examples;

/// A picture that was shown.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Shown {
    /// Its file's name, without the folder.
    pub name: String,
    /// The first half of SHA-256 of its file: a picture that is shown again is recognised.
    pub digest: String,
    /// The name of the copy that is kept, if one is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kept: Option<String>,
    /// Its embedding, which is kept with the other numbers.
    #[serde(skip)]
    pub embedding: Vec<f32>,
}

/// Pictures of one class.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Lesson {
    /// The class.
    pub class: String,
    /// The pictures.
    pub pictures: Vec<Shown>,
}

/// What one command taught.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// The command: `teach`, `correct` or `merge`.
    pub what: String,
    /// Seconds since 1970.
    pub when: u64,
    /// What was taught, at least one lesson.
    pub lessons: Vec<Lesson>,
}

/// Everything that was shown, in order.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Log {
    /// The steps.
    pub steps: Vec<Step>,
}

/// The longest name of a class.
const LONGEST: usize = 200;

/// Checks the name of a class.
///
/// # Errors
/// If it is empty, too long, or has characters that are not shown.
pub fn check_class(name: &str) -> Result<(), PersonalError> {
    let bad =
        name.trim() != name || name.is_empty() || name.len() > LONGEST || name.chars().any(char::is_control);
    match bad {
        true => Err(PersonalError::Request(format!(
            "{name:?} cannot be the name of a class; give 1 to {LONGEST} characters without spaces around them"
        ))),
        false => Ok(()),
    }
}

impl Log {
    /// All pictures, in the order in which they were shown.
    pub fn pictures(&self) -> impl Iterator<Item = &Shown> {
        self.steps.iter().flat_map(|step| &step.lessons).flat_map(|lesson| &lesson.pictures)
    }

    pub(super) fn pictures_mut(&mut self) -> impl Iterator<Item = &mut Shown> {
        self.steps.iter_mut().flat_map(|step| &mut step.lessons).flat_map(|lesson| &mut lesson.pictures)
    }

    /// The names of kept copies.
    pub fn kept(&self) -> impl Iterator<Item = String> + '_ {
        self.pictures().filter_map(|picture| picture.kept.clone())
    }

    /// The classes, in the order in which they were first taught.
    pub fn classes(&self) -> Vec<String> {
        let mut classes: Vec<String> = Vec::new();
        for lesson in self.steps.iter().flat_map(|step| &step.lessons) {
            if !classes.contains(&lesson.class) {
                classes.push(lesson.class.clone());
            }
        }
        classes
    }

    /// What is to be learned: every picture once, as what it was shown last. Classes without a picture are left out.
    pub fn examples(&self) -> Examples {
        let mut found: Vec<(&str, &Shown)> = Vec::new();
        let mut places: BTreeMap<&str, usize> = BTreeMap::new();
        for lesson in self.steps.iter().flat_map(|step| &step.lessons) {
            for picture in &lesson.pictures {
                match places.get(picture.digest.as_str()) {
                    Some(&place) => found[place].0 = &lesson.class,
                    None => {
                        places.insert(&picture.digest, found.len());
                        found.push((&lesson.class, picture));
                    }
                }
            }
        }
        let classes: Vec<String> =
            self.classes().into_iter().filter(|class| found.iter().any(|(own, _)| own == class)).collect();
        let label = |class: &str| classes.iter().position(|own| own == class).expect("a class that was kept");
        Examples {
            labels: found.iter().map(|(class, _)| label(class)).collect(),
            embeddings: found.iter().map(|(_, picture)| picture.embedding.clone()).collect(),
            classes,
        }
    }

    /// Adds a step.
    ///
    /// # Errors
    /// If a class cannot have its name.
    pub fn add(&mut self, step: Step) -> Result<(), PersonalError> {
        step.lessons.iter().try_for_each(|lesson| check_class(&lesson.class))?;
        self.steps.push(step);
        Ok(())
    }

    /// Takes back the last `count` steps and returns them, the last one first.
    ///
    /// # Errors
    /// If there are fewer.
    pub fn undo(&mut self, count: usize) -> Result<Vec<Step>, PersonalError> {
        if count > self.steps.len() || count == 0 {
            return Err(PersonalError::Request(format!(
                "{count} steps cannot be undone: there are {}; list shows them",
                self.steps.len()
            )));
        }
        let mut undone = self.steps.split_off(self.steps.len() - count);
        undone.reverse();
        Ok(undone)
    }

    /// Removes everything that was shown of a class, and returns how many pictures that were. Steps that taught nothing
    /// else are gone, too.
    ///
    /// # Errors
    /// If the class was never taught.
    pub fn forget(&mut self, class: &str) -> Result<usize, PersonalError> {
        let before = self.pictures().count();
        if !self.classes().iter().any(|own| own == class) {
            let known = self.classes();
            let known = if known.is_empty() { "none was".into() } else { known.join(", ") + " were" };
            return Err(PersonalError::Request(format!("the class {class:?} was never taught; {known}")));
        }
        for step in &mut self.steps {
            step.lessons.retain(|lesson| lesson.class != class);
        }
        self.steps.retain(|step| !step.lessons.is_empty());
        Ok(before - self.pictures().count())
    }

    /// The lessons of another log that this one does not hold: pictures that are shown here as the same class are left
    /// out.
    pub fn new_lessons(&self, other: &Log) -> Vec<Lesson> {
        let own = self.examples_by_digest();
        let theirs = other.examples();
        let mut seen: BTreeMap<&str, ()> = BTreeMap::new();
        let pictures: Vec<&Shown> =
            other.pictures().filter(|picture| seen.insert(&picture.digest, ()).is_none()).collect();
        let mut lessons: Vec<Lesson> = Vec::new();
        for (class, name) in theirs.classes.iter().enumerate() {
            let mine = pictures.iter().zip(&theirs.labels).filter(|(_, label)| **label == class);
            let new = mine.map(|(picture, _)| (*picture).clone());
            // A copy of the picture is not taken along.
            let new = new.map(|picture| Shown { kept: None, ..picture });
            let new: Vec<Shown> = new.filter(|picture| own.get(&picture.digest) != Some(name)).collect();
            if !new.is_empty() {
                lessons.push(Lesson { class: name.clone(), pictures: new });
            }
        }
        lessons
    }

    fn examples_by_digest(&self) -> BTreeMap<String, String> {
        let lessons = self.steps.iter().flat_map(|step| &step.lessons);
        lessons
            .flat_map(|lesson| {
                lesson.pictures.iter().map(|picture| (picture.digest.clone(), lesson.class.clone()))
            })
            .collect()
    }
}
