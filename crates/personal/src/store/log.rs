//! What was shown: steps that can be undone, each with lessons of one class.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::adapted::Adapted;
use crate::error::PersonalError;
use crate::recogniser::Examples;
use crate::style::Style;

/// A picture that was shown.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Shown {
    /// Its file's name, without the folder.
    pub name: String,
    /// The first half of SHA-256 of its file, and which object or pixel in it: what is shown again is recognised.
    pub digest: String,
    /// The name of the copy that is kept, if one is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kept: Option<String>,
    /// Its embedding, which is kept with the other numbers.
    #[serde(skip)]
    pub embedding: Vec<f32>,
}

/// Pictures of one class, or objects or pixels in them, for one task.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Lesson {
    /// The task.
    pub task: String,
    /// The class.
    pub class: String,
    /// The pictures.
    pub pictures: Vec<Shown>,
}

/// What one command taught.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// The command: `teach`, `correct`, `adapt` or `merge`.
    pub what: String,
    /// Seconds since 1970.
    pub when: u64,
    /// What was taught.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lessons: Vec<Lesson>,
    /// The style that was measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub style: Option<Style>,
    /// The adapters that were tuned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub adapters: Option<Adapted>,
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

    /// The pictures of a task's lessons, in the order in which they were shown.
    pub fn pictures_of(&self, task: &str) -> impl Iterator<Item = &Shown> {
        self.lessons_of(task).flat_map(|lesson| &lesson.pictures)
    }

    pub(super) fn pictures_of_mut(&mut self, task: &str) -> impl Iterator<Item = &mut Shown> {
        let lessons = self.steps.iter_mut().flat_map(|step| &mut step.lessons);
        lessons.filter(move |lesson| lesson.task == task).flat_map(|lesson| &mut lesson.pictures)
    }

    fn lessons_of(&self, task: &str) -> impl Iterator<Item = &Lesson> {
        self.steps.iter().flat_map(|step| &step.lessons).filter(move |lesson| lesson.task == task)
    }

    /// The tasks that something was taught for, in the order of their names.
    pub fn tasks(&self) -> BTreeSet<String> {
        self.steps.iter().flat_map(|step| &step.lessons).map(|lesson| lesson.task.clone()).collect()
    }

    /// The person's style, if it was measured. What was taught later was seen in it.
    pub fn style(&self) -> Option<&Style> {
        self.steps.iter().filter_map(|step| step.style.as_ref()).next_back()
    }

    /// The person's adapters, if some were tuned. They were tuned in the style, and what was taught was seen through them.
    pub fn adapters(&self) -> Option<&Adapted> {
        self.steps.iter().find_map(|step| step.adapters.as_ref())
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

    /// What is to be learned for a task: everything that was shown once, as what it was shown last.
    pub fn examples(&self, task: &str) -> Examples {
        let mut found: Vec<(&str, &Shown)> = Vec::new();
        let mut places: BTreeMap<&str, usize> = BTreeMap::new();
        for lesson in self.lessons_of(task) {
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
        let shown = |class: &String| found.iter().any(|(own, _)| own == class);
        let classes: Vec<String> = self.classes().into_iter().filter(shown).collect();
        let labels = found.iter().filter_map(|(class, _)| classes.iter().position(|own| own == class));
        Examples {
            labels: labels.collect(),
            embeddings: found.iter().map(|(_, picture)| picture.embedding.clone()).collect(),
            classes,
        }
    }

    /// Checks that a style can be measured, or adapters tuned: before both adapters and what is taught, which depend on it.
    ///
    /// # Errors
    /// If it is too late.
    pub fn check_adapt(&self) -> Result<(), PersonalError> {
        if self.pictures().next().is_some() {
            return Err(PersonalError::Request(
                "the store holds classes that were seen without this style or these adapters, and their pictures are not \
                 kept; adapt before you teach: undo or forget what was taught, or begin another store with --user"
                    .into(),
            ));
        }
        match self.adapters() {
            Some(own) => Err(PersonalError::Request(format!(
                "the store holds {} adapters, which fit the style that they were tuned in; undo them first",
                own.kind.name()
            ))),
            None => Ok(()),
        }
    }

    /// Adds a step.
    ///
    /// # Errors
    /// If a class cannot have its name, or a style or adapters come too late.
    pub fn add(&mut self, step: Step) -> Result<(), PersonalError> {
        step.lessons.iter().try_for_each(|lesson| check_class(&lesson.class))?;
        if step.style.is_some() || step.adapters.is_some() {
            self.check_adapt()?;
        }
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
        self.steps.retain(|step| !step.lessons.is_empty() || step.style.is_some() || step.adapters.is_some());
        Ok(before - self.pictures().count())
    }

    /// The lessons of another log that this one does not hold: what is shown here as the same class is left out. Copies
    /// of pictures are not taken along.
    ///
    /// # Errors
    /// If the other log was seen in another style or with other adapters: its embeddings cannot be compared with these.
    pub fn new_lessons(&self, other: &Log) -> Result<Vec<Lesson>, PersonalError> {
        let same = self.style() == other.style() && self.adapters() == other.adapters();
        if !(same || self.steps.is_empty() || other.steps.is_empty()) {
            return Err(PersonalError::Request(
                "the two stores were taught in different styles or with different adapters, or one with none, so that they \
                 cannot be merged; teach the pictures again"
                    .into(),
            ));
        }
        let mut lessons: Vec<Lesson> = Vec::new();
        for task in other.tasks() {
            let own = self.shown_as(&task);
            let theirs = other.shown_as(&task);
            let mut left: BTreeMap<&str, &Shown> =
                other.pictures_of(&task).map(|picture| (picture.digest.as_str(), picture)).collect();
            for class in other.classes() {
                let mut pictures = Vec::new();
                for picture in other.pictures_of(&task) {
                    let new = theirs[&picture.digest] == class && own.get(&picture.digest) != Some(&class);
                    if new && left.remove(picture.digest.as_str()).is_some() {
                        pictures.push(Shown { kept: None, ..picture.clone() });
                    }
                }
                if !pictures.is_empty() {
                    lessons.push(Lesson { task: task.clone(), class, pictures });
                }
            }
        }
        Ok(lessons)
    }

    /// What everything was shown as last.
    fn shown_as(&self, task: &str) -> BTreeMap<String, String> {
        let pairs = |lesson: &Lesson| -> Vec<(String, String)> {
            lesson.pictures.iter().map(|picture| (picture.digest.clone(), lesson.class.clone())).collect()
        };
        self.lessons_of(task).flat_map(pairs).collect()
    }
}
