//! Many people, one process, one copy of the base: their pictures go through the trunk together, and each is answered by
//! the recogniser of the person whose it is.
//!
//! A person in memory is a [`Recogniser`], a few kilobytes, and for some a [`Style`], which are the statistics of the base's
//! norms. From the first norm on people of different styles have nothing in common that could be computed once, so pictures
//! are grouped by style: all those without one together, and those of each person with one. To put a style on takes as long
//! as copying its numbers.

use std::collections::BTreeMap;
use std::path::Path;

use cerberus_nn::Context;
use cerberus_tensor::Tensor;
use cerberus_tensor::concat::concat;

use crate::base::Base;
use crate::error::PersonalError;
use crate::recogniser::{Recognised, Recogniser, Shared};
use crate::store::Store;
use crate::style::Style;

/// The people that a base serves.
pub struct People {
    base: Base,
    shared: Shared,
    own: BTreeMap<String, Person>,
    /// The base's own statistics.
    plain: Style,
}

/// What a process keeps of a person.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Person {
    /// Their classes, if they taught any.
    pub recogniser: Option<Recogniser>,
    /// Their style, if it was measured.
    pub style: Option<Style>,
}

impl Person {
    /// The bytes of the numbers and names, without what the allocator adds.
    pub fn bytes(&self) -> usize {
        let recogniser = self.recogniser.as_ref().map_or(0, |own| {
            let numbers = own.centre.len() + own.head.weight.data.len() + own.head.bias.len();
            numbers * size_of::<f64>() + own.classes.iter().map(String::len).sum::<usize>()
        });
        let statistics = self.style.iter().flat_map(|style| &style.statistics);
        let style = statistics.map(|(path, values)| path.len() + values.len() * size_of::<f32>());
        size_of::<Self>() + recogniser + style.sum::<usize>()
    }
}

impl From<Recogniser> for Person {
    fn from(recogniser: Recogniser) -> Self {
        Self { recogniser: Some(recogniser), style: None }
    }
}

/// What the person's classes say of a picture, if they taught any.
pub type Answer = Option<Recognised>;

impl People {
    /// Nobody yet. `shared` is what the base's classifier [compares with](Shared).
    pub fn new(base: Base, shared: Shared) -> Self {
        let plain = Style::of(base.model());
        Self { base, shared, own: BTreeMap::new(), plain }
    }

    /// The base, in nobody's style.
    pub fn base(&self) -> &Base {
        &self.base
    }

    /// How many people there are.
    pub fn len(&self) -> usize {
        self.own.len()
    }

    /// Whether there is nobody.
    pub fn is_empty(&self) -> bool {
        self.own.is_empty()
    }

    /// What is kept of a person.
    pub fn person(&self, name: &str) -> Option<&Person> {
        self.own.get(name)
    }

    /// Adds a person, or replaces what they taught.
    ///
    /// # Errors
    /// If their style is not one of this base.
    pub fn add(&mut self, name: &str, person: impl Into<Person>) -> Result<(), PersonalError> {
        let person = person.into();
        if let Some(style) = &person.style {
            style.apply(self.base.model_mut()).map_err(PersonalError::Request)?;
            self.undress();
        }
        self.own.insert(name.into(), person);
        Ok(())
    }

    /// Adds a person from their store. The store is not locked any more afterwards.
    ///
    /// # Errors
    /// If it cannot be read, or was taught beside another base.
    pub fn load(&mut self, name: &str, folder: &Path) -> Result<(), PersonalError> {
        let store = Store::read(folder, &self.base)?;
        let recogniser = store.learned.recognisers.get(&self.base.image().task).cloned();
        self.add(name, Person { recogniser, style: store.log.style().cloned() })
    }

    /// Answers for pictures `[N, H, W, C]`, each of the person named: `None` for one who taught nothing or is not known.
    /// Every answer has the bits that it would have alone. The trunk runs once for all people without a style, and once for
    /// each person with one.
    ///
    /// # Panics
    /// Unless there is a name for each picture.
    #[track_caller]
    pub fn answers(&mut self, names: &[&str], images: Tensor) -> Vec<Answer> {
        assert!(
            names.len() == images.shape()[0],
            "People: {} names for images {:?}",
            names.len(),
            images.shape()
        );
        // By the name of whoever has a style; first, under no name, all others.
        let mut groups: BTreeMap<Option<&str>, Vec<usize>> = BTreeMap::new();
        for (place, name) in names.iter().enumerate() {
            let Some(person) = self.own.get(*name).filter(|person| person.recogniser.is_some()) else {
                continue;
            };
            groups.entry(person.style.as_ref().map(|_| *name)).or_default().push(place);
        }
        let mut answers: Vec<Answer> = vec![None; names.len()];
        for (styled, places) in groups {
            let batch = match places.len() == names.len() {
                true => images.clone(),
                false => {
                    let rows: Vec<Tensor> = places.iter().map(|&place| images.narrow(0, place, 1)).collect();
                    concat(&rows, 0)
                }
            };
            let style = styled.and_then(|name| self.own[name].style.as_ref());
            if let Some(style) = style {
                style.apply(self.base.model_mut()).expect("styles are tried when a person is added");
            }
            let embeddings = self.base.embeddings(batch, &mut Context::evaluation());
            if style.is_some() {
                self.undress();
            }
            for (&place, embedding) in places.iter().zip(&embeddings) {
                let own = self.own[names[place]].recogniser.as_ref();
                answers[place] = own.map(|own| own.recognise(&self.shared, embedding));
            }
        }
        answers
    }

    /// Takes a style off.
    fn undress(&mut self) {
        self.plain.apply(self.base.model_mut()).expect("the base has its own norms");
    }
}
