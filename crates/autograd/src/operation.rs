//! The interface of an operation: a forward rule, a backward rule, and what to
//! keep between the two.
//!
//! One operation, one file in `ops/`, always in this order: a struct with the
//! arguments (and what the forward kernel leaves for the backward one), its
//! [`Operation`] implementation, its [`Proof`](crate::Proof), and a method on
//! [`Var`].
//!
//! The backward rule may be written twice: on tensors ([`Operation::backward`]),
//! where kernels fuse and overwrite, and on variables
//! ([`Operation::backward_graph`]), where it is itself a computation that can be
//! differentiated. One of the two is enough: without the first, the second
//! serves both; without the second, gradients of gradients are refused.

use std::any::Any;
use std::marker::PhantomData;
use std::sync::Arc;

use cerberus_tensor::{Element, PerElement, Shape, Tensor, product};

use crate::Var;

/// A differentiable operation with any number of inputs and one output.
///
/// It is [`Any`], so that a program that reads a [`Trace`](crate::Trace) can tell which operation it is. A pass may go on
/// on another thread, so it can be sent there.
pub trait Operation<T: Element>: Any + Send + Sync {
    /// The operation's name, as messages and the gradient check print it.
    fn name(&self) -> &'static str;

    /// Which values the backward rule reads. All others may be freed.
    fn saves(&self) -> Saves;

    /// Computes the output. The inputs come by value: one without another owner
    /// may be overwritten. Extras for the backward rule stay in `self`.
    fn forward(&mut self, inputs: Inputs<T>) -> Tensor<T>;

    /// Given `dy`, the gradient of the output, the gradient of every input for
    /// which `wants` is true (`None` for the others).
    ///
    /// An input that was broadcast may get a gradient of the broadcast shape:
    /// the engine sums it back and adds up the contributions of all uses.
    fn backward(&self, saved: Saved<T>, dy: Tensor<T>, wants: &[bool]) -> Vec<Option<Gradient<T>>> {
        let answers = self.backward_graph(saved.into_constants(), Var::constant(dy), wants);
        let answers = answers.unwrap_or_else(|| panic!("{}: no backward rule is written", self.name()));
        answers.into_iter().map(|answer| answer.map(|dx| dx.into_value().into())).collect()
    }

    /// [`backward`](Self::backward) in differentiable operations, for gradients
    /// of gradients; `None` if the operation does not offer them.
    fn backward_graph(
        &self,
        _saved: SavedVars<T>,
        _dy: Var<T>,
        _wants: &[bool],
    ) -> Option<Vec<Option<Var<T>>>> {
        None
    }
}

/// An operation of this crate. Its rules are compiled in this crate, for `f32`
/// always and for `f64` if the suite needs it; generic functions would be
/// compiled again in every crate that calls them. The list in `ops/mod.rs`
/// implements this.
pub(crate) trait Precompiled: Operation<f64> + Sized {
    fn single(self) -> Box<dyn Operation<f32>>;

    /// A provided method, so the crates that use it compile it.
    fn double(self) -> Box<dyn Operation<f64>> {
        Box::new(self)
    }
}

/// Boxes the operation for the element type `T`.
pub(crate) struct Boxed<O>(pub O);

impl<O: Precompiled> PerElement for Boxed<O> {
    type Output<T: Element> = Box<dyn Operation<T>>;

    fn single(self) -> Box<dyn Operation<f32>> {
        self.0.single()
    }

    fn double(self) -> Box<dyn Operation<f64>> {
        self.0.double()
    }
}

/// What a node keeps from the forward pass for the backward pass.
#[derive(Clone, Copy, Debug)]
pub struct Saves {
    /// Positions of the inputs that are kept.
    pub inputs: &'static [usize],
    /// Whether the output is kept.
    pub output: bool,
}

impl Saves {
    /// Neither inputs nor output.
    pub const NOTHING: Self = Self { inputs: &[], output: false };
    /// The output alone.
    pub const OUTPUT: Self = Self { inputs: &[], output: true };

    /// The inputs at these positions.
    pub const fn inputs(inputs: &'static [usize]) -> Self {
        Self { inputs, output: false }
    }
}

/// The input values of a forward call.
pub struct Inputs<T: Element>(pub(crate) Vec<Tensor<T>>);

impl<T: Element> Inputs<T> {
    /// All of them, as an array: `let [x, weight] = inputs.take();`
    ///
    /// # Panics
    /// If there are not exactly `N`.
    #[track_caller]
    pub fn take<const N: usize>(self) -> [Tensor<T>; N] {
        let found = self.0.len();
        self.0.try_into().unwrap_or_else(|_| panic!("the rule expects {N} inputs and was applied to {found}"))
    }

    /// All of them, for operations with any number of inputs.
    pub fn into_vec(self) -> Vec<Tensor<T>> {
        self.0
    }
}

/// The values a node kept, as its rule declared.
#[derive(Clone)]
pub struct Saved<T: Element, V = Tensor<T>> {
    pub(crate) name: &'static str,
    pub(crate) inputs: Vec<Option<V>>,
    pub(crate) output: Option<V>,
    pub(crate) element: PhantomData<T>,
}

/// The values a node kept, as variables with their places on the tape.
pub type SavedVars<T> = Saved<T, Var<T>>;

impl<T: Element, V> Saved<T, V> {
    /// Input number `index`, moved out: on the last use of a tape the rule owns it alone.
    ///
    /// # Panics
    /// If the rule did not declare that it saves this input.
    #[track_caller]
    pub fn input(&mut self, index: usize) -> V {
        let value = self.inputs.get_mut(index).and_then(Option::take);
        value.unwrap_or_else(|| panic!("{}: the rule reads input {index} but does not save it", self.name))
    }

    /// The output, moved out.
    ///
    /// # Panics
    /// If the rule did not declare that it saves its output.
    #[track_caller]
    pub fn output(&mut self) -> V {
        self.output
            .take()
            .unwrap_or_else(|| panic!("{}: the rule reads its output but does not save it", self.name))
    }
}

/// A value that a node keeps, or how to compute it again.
#[derive(Clone)]
pub(crate) enum SavedValue<T: Element> {
    Value(Tensor<T>),
    Recompute(Recompute<T>),
}

impl<T: Element> SavedValue<T> {
    /// The value, computed again if it was not kept.
    pub(crate) fn value(self) -> Tensor<T> {
        match self {
            Self::Value(value) => value,
            Self::Recompute(recompute) => recompute(),
        }
    }
}

/// Computes a value again that was not kept.
pub(crate) type Recompute<T> = Arc<dyn Fn() -> Tensor<T> + Send + Sync>;

impl<T: Element> Saved<T, SavedValue<T>> {
    /// All values, those that were not kept computed again.
    pub(crate) fn recall(self) -> Saved<T> {
        let recall = |kept: Option<SavedValue<T>>| kept.map(SavedValue::value);
        Saved {
            name: self.name,
            inputs: self.inputs.into_iter().map(recall).collect(),
            output: recall(self.output),
            element: PhantomData,
        }
    }
}

impl<T: Element> Saved<T> {
    fn into_constants(self) -> SavedVars<T> {
        let constant = |value: Option<Tensor<T>>| value.map(Var::constant);
        Saved {
            name: self.name,
            inputs: self.inputs.into_iter().map(constant).collect(),
            output: constant(self.output),
            element: PhantomData,
        }
    }
}

/// A gradient in the backward pass.
#[derive(Clone, Debug)]
pub enum Gradient<T: Element> {
    /// The gradient itself.
    Dense(Tensor<T>),
    /// The gradient as an unmultiplied product `left right`, both matrices.
    /// A dense layer's weight gradient is one: an optimiser may apply it
    /// without the product ever being stored.
    Product {
        /// `[M, K]`.
        left: Tensor<T>,
        /// `[K, N]`.
        right: Tensor<T>,
    },
}

impl<T: Element> Gradient<T> {
    /// The gradient as one tensor, multiplied out if it was a product.
    pub fn into_dense(self) -> Tensor<T> {
        match self {
            Self::Dense(gradient) => gradient,
            Self::Product { left, right } => left.matmul(&right),
        }
    }

    /// The shape of the gradient itself.
    pub fn shape(&self) -> Shape {
        match self {
            Self::Dense(gradient) => gradient.dims(),
            Self::Product { left, right } => Shape::new(&[left.shape()[0], right.shape()[1]]),
        }
    }

    /// A product only if its factors are smaller than the product itself: there
    /// is no point in keeping two long factors of a small matrix.
    pub fn in_smaller_form(self) -> Self {
        match self {
            Self::Product { left, right }
                if left.len() + right.len() >= left.shape()[0] * right.shape()[1] =>
            {
                Self::Dense(left.matmul(&right))
            }
            other => other,
        }
    }

    /// The sum of the squares of all elements. That of a product is computed
    /// from its factors: `sum (L R)² = sum (Lᵀ L) (R Rᵀ)`, element by element.
    pub fn squared_norm(&self) -> f64 {
        match self {
            Self::Dense(gradient) => gradient.squared_norm(),
            Self::Product { left, right } => {
                let (inner, outer) = (product::dense(&left.t(), left, None), right.matmul(&right.t()));
                // Rounding may take a sum of squares below zero.
                (inner * outer).cast::<f64>().sum_all().item().max(0.0)
            }
        }
    }

    /// The sum of the products of its elements with those of `other`, of the same shape.
    /// For two products it is computed from their factors:
    /// `sum (L R)(M S) = sum (Lᵀ M) (R Sᵀ)`, element by element.
    pub fn dot(&self, other: &Self) -> f64 {
        match (self, other) {
            (Self::Product { left, right }, Self::Product { left: left2, right: right2 }) => {
                let (inner, outer) = (product::dense(&left.t(), left2, None), right.matmul(&right2.t()));
                (inner * outer).cast::<f64>().sum_all().item()
            }
            _ => {
                let (a, b) = (self.clone().into_dense(), other.clone().into_dense());
                (a.cast::<f64>() * b.cast::<f64>()).sum_all().item()
            }
        }
    }

    /// `alpha` times the gradient; of a product, the smaller factor is scaled.
    pub fn scale(self, alpha: T) -> Self {
        match self {
            Self::Dense(gradient) => Self::Dense(gradient.scale(alpha)),
            Self::Product { left, right } if left.len() < right.len() => {
                Self::Product { left: left.scale(alpha), right }
            }
            Self::Product { left, right } => Self::Product { left, right: right.scale(alpha) },
        }
    }
}

impl<T: Element> From<Tensor<T>> for Gradient<T> {
    fn from(gradient: Tensor<T>) -> Self {
        Self::Dense(gradient)
    }
}

/// The result of a backward rule with one input.
pub fn one<T: Element>(gradient: Tensor<T>) -> Vec<Option<Gradient<T>>> {
    vec![Some(gradient.into())]
}

/// The result of a backward rule with two inputs, each computed only if wanted.
pub fn two<T: Element>(
    wants: &[bool],
    first: impl FnOnce() -> Tensor<T>,
    second: impl FnOnce() -> Tensor<T>,
) -> Vec<Option<Gradient<T>>> {
    vec![wants[0].then(|| first().into()), wants[1].then(|| second().into())]
}

/// The result of a differentiable backward rule with one input.
pub fn one_var<T: Element>(gradient: Var<T>) -> Option<Vec<Option<Var<T>>>> {
    Some(vec![Some(gradient)])
}

/// The result of a differentiable backward rule with two inputs, each computed only if wanted.
pub fn two_vars<T: Element>(
    wants: &[bool],
    first: impl FnOnce() -> Var<T>,
    second: impl FnOnce() -> Var<T>,
) -> Option<Vec<Option<Var<T>>>> {
    Some(vec![wants[0].then(first), wants[1].then(second)])
}
