//! Many people, one process, one copy of the base: their pictures go through the trunk together, and each is answered by
//! the recogniser of the person whose it is.
//!
//! A person in memory is a [`Recogniser`], a few kilobytes, and for some a [`Style`], which are the statistics of the base's
//! norms, and [adapters](Adapted). From the first norm on people of different styles have nothing in common that could be
//! computed once, so pictures are grouped: those of all who have neither together, and those of each person who has one. To
//! put a style on takes as long as copying its numbers.

use std::collections::BTreeMap;
use std::path::Path;

use cerberus_nn::Context;
use cerberus_tensor::Tensor;
use cerberus_tensor::concat::concat;

use crate::adapted::{Adapted, Bare};
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
    /// The base as it is in nobody's style.
    bare: Bare,
}

/// What a process keeps of a person.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Person {
    /// Their classes, if they taught any.
    pub recogniser: Option<Recogniser>,
    /// Their style, if it was measured.
    pub style: Option<Style>,
    /// Their adapters, if some were tuned.
    pub adapters: Option<Adapted>,
}

impl Person {
    /// Whether the base must be changed for them.
    fn wears(&self) -> bool {
        self.style.is_some() || self.adapters.is_some()
    }

    /// Puts on what they wear.
    fn dress(&self, base: &mut Base) -> Result<(), String> {
        if let Some(style) = &self.style {
            style.apply(base.model_mut())?;
        }
        self.adapters.as_ref().map_or(Ok(()), |own| own.apply(base))
    }

    /// The bytes of the numbers and names, without what the allocator adds.
    pub fn bytes(&self) -> usize {
        let recogniser = self.recogniser.as_ref().map_or(0, |own| {
            let numbers = own.centre.len() + own.head.weight.data.len() + own.head.bias.len();
            numbers * size_of::<f64>() + own.classes.iter().map(String::len).sum::<usize>()
        });
        let statistics = self.style.iter().flat_map(|style| &style.statistics);
        let style = statistics.map(|(path, values)| path.len() + values.len() * size_of::<f32>());
        let adapters = self.adapters.iter().flat_map(|own| &own.numbers);
        let adapters =
            adapters.map(|own| size_of_val(own) + own.path.len() + own.values.len() * size_of::<f32>());
        size_of::<Self>() + recogniser + style.sum::<usize>() + adapters.sum::<usize>()
    }
}

impl From<Recogniser> for Person {
    fn from(recogniser: Recogniser) -> Self {
        Self { recogniser: Some(recogniser), ..Self::default() }
    }
}

/// What the person's classes say of a picture, if they taught any.
pub type Answer = Option<Recognised>;

impl People {
    /// Nobody yet. `shared` is what the base's classifier [compares with](Shared).
    pub fn new(base: Base, shared: Shared) -> Self {
        let bare = Bare::of(base.model());
        Self { base, shared, own: BTreeMap::new(), bare }
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
    /// If their style or their adapters are not of this base.
    pub fn add(&mut self, name: &str, person: impl Into<Person>) -> Result<(), PersonalError> {
        let person = person.into();
        let fits = person.dress(&mut self.base);
        if person.wears() {
            self.bare.restore(&mut self.base);
        }
        fits.map_err(PersonalError::Request)?;
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
        let (style, adapters) = (store.log.style().cloned(), store.log.adapters().cloned());
        self.add(name, Person { recogniser, style, adapters })
    }

    /// Answers for pictures `[N, H, W, C]`, each of the person named: `None` for one who taught nothing or is not known.
    /// Every answer has the bits that it would have alone. The trunk runs once for all people without style and
    /// adapters, and once for each person with them.
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
        // By the name of whoever wears something; first, under no name, all others.
        let mut groups: BTreeMap<Option<&str>, Vec<usize>> = BTreeMap::new();
        for (place, name) in names.iter().enumerate() {
            let Some(person) = self.own.get(*name).filter(|person| person.recogniser.is_some()) else {
                continue;
            };
            groups.entry(person.wears().then_some(*name)).or_default().push(place);
        }
        let mut answers: Vec<Answer> = vec![None; names.len()];
        for (dressed, places) in groups {
            let batch = match places.len() == names.len() {
                true => images.clone(),
                false => {
                    let rows: Vec<Tensor> = places.iter().map(|&place| images.narrow(0, place, 1)).collect();
                    concat(&rows, 0)
                }
            };
            if let Some(name) = dressed {
                self.own[name].dress(&mut self.base).expect("it is tried on when a person is added");
            }
            let embeddings = self.base.embeddings(batch, &mut Context::evaluation());
            if dressed.is_some() {
                self.bare.restore(&mut self.base);
            }
            for (&place, embedding) in places.iter().zip(&embeddings) {
                let own = self.own[names[place]].recogniser.as_ref();
                answers[place] = own.map(|own| own.recognise(&self.shared, embedding));
            }
        }
        answers
    }
}
