//! Many people, one process, one copy of the base: their pictures go through the trunk together, and each is answered by
//! the recogniser of the person whose it is.
//!
//! A person in memory is a [`Recogniser`], a few kilobytes. People with a [style](crate::Style) see through another trunk;
//! give them a base of their own, or answer them in groups of one style.

use std::collections::BTreeMap;
use std::path::Path;

use cerberus_tensor::Tensor;

use crate::base::Base;
use crate::error::PersonalError;
use crate::recogniser::{Recognised, Recogniser, Shared};
use crate::store::Store;

/// The people that a base serves.
pub struct People {
    base: Base,
    shared: Shared,
    own: BTreeMap<String, Recogniser>,
}

/// An answer: the base's embedding of the picture, and what the person's classes say of it, if they taught any.
pub type Answer = Option<Recognised>;

impl People {
    /// Nobody yet. `shared` is what the base's classifier [compares with](Shared).
    pub fn new(base: Base, shared: Shared) -> Self {
        Self { base, shared, own: BTreeMap::new() }
    }

    /// The base.
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

    /// Adds a person, or replaces what they taught.
    pub fn add(&mut self, name: &str, recogniser: Recogniser) {
        self.own.insert(name.into(), recogniser);
    }

    /// Adds a person from their store. The store is not locked any more afterwards.
    ///
    /// # Errors
    /// If it cannot be read, was taught beside another base, or holds a style.
    pub fn load(&mut self, name: &str, folder: &Path) -> Result<(), PersonalError> {
        let store = Store::read(folder, &self.base)?;
        if store.log.style().is_some() {
            return Err(PersonalError::Request(format!(
                "{} holds a style, which another trunk than the shared one sees through; serve it by itself",
                folder.display()
            )));
        }
        if let Some(found) = store.learned.recognisers.get(&self.base.image().task) {
            self.add(name, found.clone());
        }
        Ok(())
    }

    /// Answers for pictures `[N, H, W, C]`, each of the person named: `None` for one who taught nothing. The trunk runs
    /// once.
    ///
    /// # Panics
    /// Unless there is a name for each picture.
    #[track_caller]
    pub fn answers(&self, names: &[&str], images: Tensor) -> Vec<Answer> {
        assert!(
            names.len() == images.shape()[0],
            "People: {} names for images {:?}",
            names.len(),
            images.shape()
        );
        let looked = self.base.look(images);
        let answer = |(name, embedding): (&&str, &Vec<f32>)| {
            self.own.get(*name).map(|own| own.recognise(&self.shared, embedding))
        };
        names.iter().zip(&looked.embeddings).map(answer).collect()
    }
}
