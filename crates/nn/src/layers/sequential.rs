//! Layers one after another.

use cerberus_autograd::Var;
use cerberus_tensor::Element;

use super::{Layer, joint};
use crate::context::Context;
use crate::module::{Module, ModuleTensor, ModuleTensorMut, join};

/// Applies its layers in order; [`add`](Self::add) gives each its name.
#[derive(Default)]
pub struct Sequential<T: Element = f32> {
    layers: Vec<(String, Box<dyn Layer<T>>)>,
}

impl<T: Element> Sequential<T> {
    /// No layers: the identity.
    pub fn new() -> Self {
        Self { layers: Vec::new() }
    }

    /// With one more layer at the end, whose parameters get paths that start with `name`.
    ///
    /// # Panics
    /// If the name is taken: two parameters would share a path.
    #[track_caller]
    pub fn add(mut self, name: &str, layer: impl Layer<T> + 'static) -> Self {
        assert!(
            self.layers.iter().all(|(taken, _)| taken != name),
            "Sequential: there already is a layer {name:?}"
        );
        self.layers.push((name.to_string(), Box::new(layer)));
        self
    }
}

impl<T: Element> Sequential<T> {
    /// Runs the layers from the one called `name` to the last, given that layer's input.
    ///
    /// # Panics
    /// If there is no such layer.
    #[track_caller]
    pub fn forward_from(&self, name: &str, x: Var<T>, context: &mut Context<T>) -> Var<T> {
        let Some(start) = self.layers.iter().position(|(found, _)| found == name) else {
            let names: Vec<&str> = self.layers.iter().map(|(name, _)| name.as_str()).collect();
            panic!("Sequential: there is no layer {name:?}; there are {}", names.join(", "));
        };
        run(&self.layers[start..], x, context)
    }
}

impl<T: Element> Module<T> for Sequential<T> {
    fn visit<'a>(&'a self, path: &str, f: &mut dyn FnMut(String, ModuleTensor<'a, T>)) {
        for (name, layer) in &self.layers {
            layer.visit(&join(path, name), f);
        }
    }

    fn visit_mut<'a>(&'a mut self, path: &str, f: &mut dyn FnMut(String, ModuleTensorMut<'a, T>)) {
        for (name, layer) in &mut self.layers {
            layer.visit_mut(&join(path, name), f);
        }
    }
}

impl<T: Element> Layer<T> for Sequential<T> {
    #[track_caller]
    fn forward(&self, x: Var<T>, context: &mut Context<T>) -> Var<T> {
        run(&self.layers, x, context)
    }
}

#[track_caller]
fn run<T: Element>(
    mut layers: &[(String, Box<dyn Layer<T>>)],
    mut x: Var<T>,
    context: &mut Context<T>,
) -> Var<T> {
    while !layers.is_empty() {
        let (y, used) = joint::first(layers, x, context);
        (x, layers) = (y, &layers[used..]);
    }
    x
}
