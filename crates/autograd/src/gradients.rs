//! The gradients that a backward pass returns, and who may receive them instead.
//!
//! Gradients are values of their own, never stored in parameters. [`Gradients`] collects those of all leaves; a
//! [`GradientSink`] of your own takes each as soon as it is complete.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use cerberus_tensor::{Element, Tensor};

use crate::operation::Gradient;
use crate::tape::{ParamId, Var};

/// The leaf a gradient belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Leaf {
    pub(crate) node: usize,
    /// The parameter's id, if it was recorded as one.
    pub parameter: Option<ParamId>,
}

/// Receives each leaf's gradient as soon as it is complete.
pub trait GradientSink<T: Element> {
    /// Takes the gradient of `leaf`. Called once per leaf that the loss depends
    /// on, in reverse order of recording.
    fn accept(&mut self, leaf: Leaf, gradient: Gradient<T>);
}

/// The gradients of all leaves that a loss depends on.
///
/// Parameters' gradients are kept as they arrive, as two factors or one tensor,
/// whichever is smaller; two factors are multiplied only when the tensor is
/// requested.
#[derive(Clone, Debug)]
pub struct Gradients<T: Element = f32> {
    parameters: BTreeMap<ParamId, Held<T>>,
    leaves: BTreeMap<usize, Tensor<T>>,
}

/// A gradient as it arrived and, after the first request, multiplied out.
#[derive(Clone, Debug)]
struct Held<T: Element> {
    gradient: Gradient<T>,
    product: OnceLock<Tensor<T>>,
}

impl<T: Element> Held<T> {
    fn new(gradient: Gradient<T>) -> Self {
        Self { gradient, product: OnceLock::new() }
    }

    fn dense(&self) -> &Tensor<T> {
        match &self.gradient {
            Gradient::Dense(gradient) => gradient,
            product => self.product.get_or_init(|| product.clone().into_dense()),
        }
    }
}

impl<T: Element> Default for Gradients<T> {
    fn default() -> Self {
        Self { parameters: BTreeMap::new(), leaves: BTreeMap::new() }
    }
}

impl<T: Element> Gradients<T> {
    /// The gradient of a parameter; `None` if the loss does not depend on it.
    /// One that is held as two factors is multiplied out, and kept; see
    /// [`factored`](Self::factored).
    pub fn parameter(&self, id: ParamId) -> Option<&Tensor<T>> {
        self.parameters.get(&id).map(Held::dense)
    }

    /// The gradient of a parameter in the form it is held in.
    pub fn factored(&self, id: ParamId) -> Option<&Gradient<T>> {
        self.parameters.get(&id).map(|held| &held.gradient)
    }

    /// The gradient of a leaf variable; `None` if the loss does not depend on it.
    pub fn of(&self, leaf: &Var<T>) -> Option<&Tensor<T>> {
        let (_, node) = leaf.node()?;
        self.leaves.get(node)
    }

    /// The parameters' gradients in order of their ids.
    pub fn parameters(&self) -> impl Iterator<Item = (ParamId, &Tensor<T>)> {
        self.parameters.iter().map(|(&id, held)| (id, held.dense()))
    }

    /// Square root of the sum of the squares of all parameters' gradients.
    pub fn global_norm(&self) -> T {
        T::from_f64(self.parameters.values().map(|held| held.gradient.squared_norm()).sum::<f64>().sqrt())
    }

    /// Scales all parameters' gradients so that their global norm is at most
    /// `limit` (Pascanu, Mikolov and Bengio, 2013); returns the norm before.
    pub fn clip_global_norm(&mut self, limit: T) -> T {
        let norm = self.global_norm();
        if norm > limit {
            for held in self.parameters.values_mut() {
                let gradient = std::mem::replace(&mut held.gradient, Tensor::scalar(T::ZERO).into());
                *held = Held::new(gradient.scale(limit / norm));
            }
        }
        norm
    }

    /// Limits every value of the parameters' gradients to `-limit` to `limit`; NaN stays NaN.
    ///
    /// # Panics
    /// If the limit is negative or NaN.
    #[track_caller]
    pub fn clip_values(&mut self, limit: T) {
        assert!(limit >= T::ZERO, "clip_values: the limit must be at least 0, found {limit}");
        for held in self.parameters.values_mut() {
            let gradient = std::mem::replace(&mut held.gradient, Tensor::scalar(T::ZERO).into());
            let clipped = gradient.into_dense().map(|x| match x {
                x if x > limit => limit,
                x if x < -limit => -limit,
                x => x,
            });
            *held = Held::new(Gradient::Dense(clipped));
        }
    }

    /// The gradients of the parameters that `keep` names; they share their values with these.
    pub fn select(&self, keep: impl Fn(ParamId) -> bool) -> Self {
        let chosen = self.parameters.iter().filter(|(id, _)| keep(**id));
        Self { parameters: chosen.map(|(&id, held)| (id, held.clone())).collect(), leaves: BTreeMap::new() }
    }
}

/// Parameters' gradients computed elsewhere.
impl<T: Element> FromIterator<(ParamId, Tensor<T>)> for Gradients<T> {
    fn from_iter<I: IntoIterator<Item = (ParamId, Tensor<T>)>>(gradients: I) -> Self {
        let mut all = Self::default();
        all.extend(gradients);
        all
    }
}

/// Parameters' gradients computed elsewhere; one that is there already is replaced.
impl<T: Element> Extend<(ParamId, Tensor<T>)> for Gradients<T> {
    fn extend<I: IntoIterator<Item = (ParamId, Tensor<T>)>>(&mut self, gradients: I) {
        let held = |(id, gradient)| (id, Held::new(Gradient::Dense(gradient)));
        self.parameters.extend(gradients.into_iter().map(held));
    }
}

impl<T: Element> GradientSink<T> for Gradients<T> {
    fn accept(&mut self, leaf: Leaf, gradient: Gradient<T>) {
        match leaf.parameter {
            Some(id) => drop(self.parameters.insert(id, Held::new(gradient.in_smaller_form()))),
            None => drop(self.leaves.insert(leaf.node, gradient.into_dense())),
        }
    }
}
