//! Parameters, buffers, and the trees they form.
//!
//! A model is a struct of layers of parameters. [`Module`] walks such a tree in
//! declaration order and gives every leaf its path (`trunk.stage1.conv.weight`):
//! optimisers and checkpoints see nothing else of a model. The
//! [`module!`](crate::module!) macro implements the walk by destructuring the
//! struct, so a field that is forgotten does not compile.

use cerberus_autograd::ParamId;
use cerberus_tensor::{Element, Tensor};

/// A tensor that training changes.
#[derive(Debug)]
pub struct Parameter<T: Element = f32> {
    id: ParamId,
    /// The current value.
    pub value: Tensor<T>,
    trainable: bool,
}

impl<T: Element> Parameter<T> {
    /// A parameter that starts as `value`.
    pub fn new(value: Tensor<T>) -> Self {
        Self { id: ParamId::fresh(), value, trainable: true }
    }

    /// Whether training changes it: true until it is [frozen](Module::freeze).
    pub fn is_trainable(&self) -> bool {
        self.trainable
    }

    /// Freezes the parameter, or lets training change it again.
    pub fn set_trainable(&mut self, trainable: bool) {
        self.trainable = trainable;
    }

    /// The id by which gradients and optimiser state refer to this parameter, in this run.
    pub fn id(&self) -> ParamId {
        self.id
    }
}

impl<T: Element> Clone for Parameter<T> {
    /// An independent parameter: the same value, a new id.
    fn clone(&self) -> Self {
        Self { trainable: self.trainable, ..Self::new(self.value.clone()) }
    }
}

/// A tensor that belongs to a model but is not trained by gradients, such as a
/// running mean.
#[derive(Debug)]
pub struct Buffer<T: Element = f32> {
    id: ParamId,
    /// The current value.
    pub value: Tensor<T>,
}

impl<T: Element> Buffer<T> {
    /// A buffer that starts as `value`.
    pub fn new(value: Tensor<T>) -> Self {
        Self { id: ParamId::fresh(), value }
    }

    /// The id by which recorded updates refer to this buffer, in this run.
    pub fn id(&self) -> ParamId {
        self.id
    }
}

impl<T: Element> Clone for Buffer<T> {
    fn clone(&self) -> Self {
        Self::new(self.value.clone())
    }
}

/// A leaf of a module tree.
pub enum ModuleTensor<'a, T: Element> {
    /// Trained by gradients.
    Parameter(&'a Parameter<T>),
    /// Updated by layers.
    Buffer(&'a Buffer<T>),
}

/// A mutable leaf of a module tree.
pub enum ModuleTensorMut<'a, T: Element> {
    /// Trained by gradients.
    Parameter(&'a mut Parameter<T>),
    /// Updated by layers.
    Buffer(&'a mut Buffer<T>),
}

impl<'a, T: Element> ModuleTensor<'a, T> {
    /// The value of the parameter or buffer.
    pub fn value(&self) -> &'a Tensor<T> {
        match self {
            Self::Parameter(parameter) => &parameter.value,
            Self::Buffer(buffer) => &buffer.value,
        }
    }
}

impl<T: Element> ModuleTensorMut<'_, T> {
    /// The value of the parameter or buffer.
    pub fn value_mut(&mut self) -> &mut Tensor<T> {
        match self {
            Self::Parameter(parameter) => &mut parameter.value,
            Self::Buffer(buffer) => &mut buffer.value,
        }
    }
}

/// Something that holds parameters and buffers, directly or in its parts.
pub trait Module<T: Element = f32> {
    /// Calls `f(path, leaf)` for every leaf in declaration order; paths start with `path`.
    fn visit<'a>(&'a self, path: &str, f: &mut dyn FnMut(String, ModuleTensor<'a, T>));

    /// Like [`visit`](Self::visit), with leaves that can be changed.
    fn visit_mut<'a>(&'a mut self, path: &str, f: &mut dyn FnMut(String, ModuleTensorMut<'a, T>));

    /// All parameters with their paths, in declaration order.
    fn parameters(&self) -> Vec<(String, &Parameter<T>)> {
        let mut all = Vec::new();
        self.visit("", &mut |path, entry| {
            if let ModuleTensor::Parameter(parameter) = entry {
                all.push((path, parameter));
            }
        });
        all
    }

    /// All parameters with their paths, mutable.
    fn parameters_mut(&mut self) -> Vec<(String, &mut Parameter<T>)> {
        let mut all = Vec::new();
        self.visit_mut("", &mut |path, entry| {
            if let ModuleTensorMut::Parameter(parameter) = entry {
                all.push((path, parameter));
            }
        });
        all
    }

    /// The values of all parameters and buffers with their paths, in declaration order.
    fn tensors(&self) -> Vec<(String, Tensor<T>)> {
        let mut all = Vec::new();
        self.visit("", &mut |path, entry| {
            let value = match entry {
                ModuleTensor::Parameter(parameter) => &parameter.value,
                ModuleTensor::Buffer(buffer) => &buffer.value,
            };
            all.push((path, value.clone()));
        });
        all
    }

    /// Gives every parameter and buffer the value that `value` has for its path; the others stay as they are. Shapes are
    /// not compared.
    fn set_tensors(&mut self, value: &dyn Fn(&str) -> Option<Tensor<T>>) {
        self.visit_mut("", &mut |path, mut entry| {
            if let Some(value) = value(&path) {
                *entry.value_mut() = value;
            }
        });
    }

    /// Freezes all parameters whose paths start with `path` (`trunk`, or
    /// `trunk.stage1`; everything for the empty one): they get no gradient, and
    /// steps leave them as they are. Running statistics of batch norms are
    /// buffers and still follow the batches.
    ///
    /// # Panics
    /// If no parameter has such a path; the message lists the paths that exist.
    #[track_caller]
    fn freeze(&mut self, path: &str) {
        set_trainable(&mut self.parameters_mut(), path, false);
    }

    /// Undoes [`freeze`](Self::freeze) for the parameters whose paths start with `path`.
    ///
    /// # Panics
    /// If no parameter has such a path; the message lists the paths that exist.
    #[track_caller]
    fn unfreeze(&mut self, path: &str) {
        set_trainable(&mut self.parameters_mut(), path, true);
    }

    /// Number of values in all parameters.
    fn parameter_count(&self) -> usize {
        self.parameters().iter().map(|(_, parameter)| parameter.value.len()).sum()
    }
}

#[track_caller]
fn set_trainable<T: Element>(parameters: &mut [(String, &mut Parameter<T>)], path: &str, trainable: bool) {
    let under = |name: &str| {
        path.is_empty()
            || name.strip_prefix(path).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    };
    let mut found = false;
    for (_, parameter) in parameters.iter_mut().filter(|(name, _)| under(name)) {
        parameter.trainable = trainable;
        found = true;
    }
    if !found {
        let names: Vec<&str> = parameters.iter().map(|(name, _)| name.as_str()).collect();
        panic!("there is no parameter at or under {path:?}; there are {}", names.join(", "));
    }
}

/// `path.name`, or `name` at the root.
pub fn join(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_string() } else { format!("{path}.{name}") }
}

impl<T: Element> Module<T> for Parameter<T> {
    fn visit<'a>(&'a self, path: &str, f: &mut dyn FnMut(String, ModuleTensor<'a, T>)) {
        f(path.to_string(), ModuleTensor::Parameter(self));
    }

    fn visit_mut<'a>(&'a mut self, path: &str, f: &mut dyn FnMut(String, ModuleTensorMut<'a, T>)) {
        f(path.to_string(), ModuleTensorMut::Parameter(self));
    }
}

impl<T: Element> Module<T> for Buffer<T> {
    fn visit<'a>(&'a self, path: &str, f: &mut dyn FnMut(String, ModuleTensor<'a, T>)) {
        f(path.to_string(), ModuleTensor::Buffer(self));
    }

    fn visit_mut<'a>(&'a mut self, path: &str, f: &mut dyn FnMut(String, ModuleTensorMut<'a, T>)) {
        f(path.to_string(), ModuleTensorMut::Buffer(self));
    }
}

impl<T: Element, M: Module<T>> Module<T> for Vec<M> {
    fn visit<'a>(&'a self, path: &str, f: &mut dyn FnMut(String, ModuleTensor<'a, T>)) {
        for (index, module) in self.iter().enumerate() {
            module.visit(&join(path, &index.to_string()), f);
        }
    }

    fn visit_mut<'a>(&'a mut self, path: &str, f: &mut dyn FnMut(String, ModuleTensorMut<'a, T>)) {
        for (index, module) in self.iter_mut().enumerate() {
            module.visit_mut(&join(path, &index.to_string()), f);
        }
    }
}

impl<T: Element, M: Module<T>> Module<T> for Option<M> {
    fn visit<'a>(&'a self, path: &str, f: &mut dyn FnMut(String, ModuleTensor<'a, T>)) {
        if let Some(module) = self {
            module.visit(path, f);
        }
    }

    fn visit_mut<'a>(&'a mut self, path: &str, f: &mut dyn FnMut(String, ModuleTensorMut<'a, T>)) {
        if let Some(module) = self {
            module.visit_mut(path, f);
        }
    }
}

impl<T: Element, M: Module<T> + ?Sized> Module<T> for Box<M> {
    fn visit<'a>(&'a self, path: &str, f: &mut dyn FnMut(String, ModuleTensor<'a, T>)) {
        (**self).visit(path, f);
    }

    fn visit_mut<'a>(&'a mut self, path: &str, f: &mut dyn FnMut(String, ModuleTensorMut<'a, T>)) {
        (**self).visit_mut(path, f);
    }
}

/// Implements [`Module`] for a struct generic over its element type: list the
/// parts in order and, after `without`, the fields that hold no parameters.
///
/// ```
/// use cerberus_nn::{Linear, Parameter, module};
/// use cerberus_tensor::Element;
///
/// struct Scaled<T: Element> {
///     inner: Linear<T>,
///     gain: Parameter<T>,
///     name: String,
/// }
/// module!(Scaled { inner, gain } without { name });
/// ```
///
/// A field that is in neither list is a compile error.
#[macro_export]
macro_rules! module {
    ($type:ident { $($part:ident),* $(,)? } $(without { $($plain:ident),* $(,)? })?) => {
        impl<T: $crate::Element> $crate::Module<T> for $type<T> {
            #[allow(unused_variables)] // A module without parts uses neither.
            fn visit<'a>(&'a self, path: &str, f: &mut dyn FnMut(String, $crate::ModuleTensor<'a, T>)) {
                let Self { $($part,)* $($($plain: _,)*)? } = self;
                $($crate::Module::<T>::visit($part, &$crate::join(path, stringify!($part)), f);)*
            }

            #[allow(unused_variables)]
            fn visit_mut<'a>(&'a mut self, path: &str, f: &mut dyn FnMut(String, $crate::ModuleTensorMut<'a, T>)) {
                let Self { $($part,)* $($($plain: _,)*)? } = self;
                $($crate::Module::<T>::visit_mut($part, &$crate::join(path, stringify!($part)), f);)*
            }
        }
    };
}
