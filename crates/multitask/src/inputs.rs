//! What a model sees of a batch: an image of each sample, or several inputs by name, each with the samples that have it.

use cerberus_autograd::Var;
use cerberus_data::{Batch, IMAGE};
use cerberus_tensor::linear_map::LinearMap;
use cerberus_tensor::{Element, Tensor};

/// An input of a batch.
#[derive(Clone)]
pub struct Given<T: Element = f32> {
    /// `[P, ..]`: an entry for each sample that has the input.
    pub values: Var<T>,
    /// The places of those samples in the batch, in rising order.
    pub places: Vec<usize>,
}

/// The inputs of a batch by name. Images `[N, H, W, C]` convert into it, and so does a [`Batch`].
#[derive(Clone)]
pub struct Inputs<T: Element = f32> {
    len: usize,
    named: Vec<(String, Given<T>)>,
}

impl<T: Element> Inputs<T> {
    /// No input yet of `len` samples.
    pub fn new(len: usize) -> Self {
        Self { len, named: Vec::new() }
    }

    /// With the input `name`, or another in its place.
    ///
    /// # Panics
    /// If there is not one place for each entry of the values, the places do not rise, or one is not in the batch.
    #[track_caller]
    pub fn with(mut self, name: &str, values: Var<T>, places: Vec<usize>) -> Self {
        assert!(
            values.shape().first() == Some(&places.len())
                && places.is_sorted_by(|a, b| a < b)
                && places.last().is_none_or(|&last| last < self.len),
            "Inputs: {name} has values {:?} at places {places:?} of a batch of {}",
            values.shape(),
            self.len
        );
        self.named.retain(|(known, _)| known != name);
        if !places.is_empty() {
            self.named.push((name.into(), Given { values, places }));
        }
        self
    }

    /// How many samples there are.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is no sample.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The input of this name; `None` if no sample has it.
    pub fn get(&self, name: &str) -> Option<&Given<T>> {
        self.named.iter().find(|(known, _)| known == name).map(|(_, given)| given)
    }

    /// The images of all samples.
    ///
    /// # Panics
    /// If a sample has none.
    #[track_caller]
    pub fn into_images(mut self) -> Var<T> {
        let place = self.named.iter().position(|(name, _)| name == IMAGE);
        let Some((_, images)) = place.map(|place| self.named.swap_remove(place)) else {
            panic!("the trunk takes an image of every sample, and none has one")
        };
        let (found, all) = (images.places.len(), self.len);
        assert!(found == all, "the trunk takes an image of every sample, and {found} of {all} have one");
        images.values
    }
}

impl<T: Element> From<Var<T>> for Inputs<T> {
    /// Images `[N, H, W, C]`, one for each sample.
    fn from(images: Var<T>) -> Self {
        let len = images.shape().first().copied().unwrap_or(0);
        Self { len, named: vec![(IMAGE.into(), Given { values: images, places: (0..len).collect() })] }
    }
}

impl<T: Element> From<Tensor<T>> for Inputs<T> {
    fn from(images: Tensor<T>) -> Self {
        Var::constant(images).into()
    }
}

impl<T: Element> From<&Batch> for Inputs<T> {
    fn from(batch: &Batch) -> Self {
        let mut inputs = Self::new(batch.len());
        for name in std::iter::once(IMAGE).chain(batch.inputs.keys().map(String::as_str)) {
            if let Some(found) = batch.input(name) {
                inputs = inputs.with(name, Var::constant(found.values.cast()), found.places);
            }
        }
        inputs
    }
}

/// Values `[P, ..]` of the samples at `places` as `[len, ..]`, with zeros for the others.
pub(crate) fn spread<T: Element>(values: Var<T>, places: &[usize], len: usize) -> Var<T> {
    if places.len() == len {
        return values;
    }
    let source = |place| places.binary_search(&place).ok();
    let map = LinearMap::select(places.len(), (0..len).map(source));
    values.linear_map("spread", map, 0..1, &[len])
}
