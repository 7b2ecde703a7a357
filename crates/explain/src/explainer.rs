//! What is explained, and how it is run: in batches that fit into memory, with gradients where a method needs them.
//!
//! A method asks for the answers or the gradients at many points: the steps of a path, noisy copies, masked
//! copies. [`Explainer`] makes the points a batch at a time and runs each batch once for all answers. The
//! backward pass carries one gradient per answer through the tape, so heads share the forward pass of their
//! trunk.

use cerberus_autograd::{Gradient, Tape, Var, grad_each};
use cerberus_nn::Context;
use cerberus_tensor::concat::concat;
use cerberus_tensor::{Element, Tensor};

use crate::error::ExplainError;

/// A function from pictures to numbers, by differentiable operations.
///
/// Closures are: `|x: Var<f64>, context: &mut Context<f64>| vec![network.forward(x, context).narrow(1, 2, 1)]`
/// explains one logit.
pub trait Explained<T: Element = f32> {
    /// For pictures `x: [N, H, W, C]`, one or several answers of `N` numbers each, in any shape: of every picture, one.
    /// Pictures must not influence each other, as in any network in evaluation.
    fn outputs(&self, x: Var<T>, context: &mut Context<T>) -> Vec<Var<T>>;
}

impl<T: Element, F: Fn(Var<T>, &mut Context<T>) -> Vec<Var<T>>> Explained<T> for F {
    fn outputs(&self, x: Var<T>, context: &mut Context<T>) -> Vec<Var<T>> {
        self(x, context)
    }
}

/// What a method found for one answer.
#[derive(Clone, Debug)]
pub struct Attribution<T: Element = f32> {
    /// How much each part of the input matters: of the input's shape `[N, H, W, C]`, or a map `[N, h, w, 1]` (class
    /// activation maps have their layer's size).
    pub values: Tensor<T>,
    /// For methods that explain the difference to a baseline: for each picture the sum of `values` less that
    /// difference, which would be 0 if the explanation were complete.
    pub gap: Option<Vec<f64>>,
}

impl<T: Element> Attribution<T> {
    /// Without a promise of completeness.
    pub(crate) fn of(values: Tensor<T>) -> Self {
        Self { values, gap: None }
    }

    /// A map for each picture: the sum over channels, `[N, H, W, 1]`.
    pub fn map(&self) -> Tensor<T> {
        self.values.sum_keepdim(&[3])
    }
}

/// Runs methods on what is to be explained; see the crate's documentation.
pub struct Explainer<'a, T: Element = f32> {
    model: &'a dyn Explained<T>,
    memory: usize,
}

impl<'a, T: Element> Explainer<'a, T> {
    /// Of this function, with up to 256 MiB for the values of a batch.
    pub fn new(model: &'a dyn Explained<T>) -> Self {
        Self { model, memory: 256 << 20 }
    }

    /// With batches whose values take up to so many bytes, but of at least one picture. This changes the speed,
    /// and results only by rounding.
    pub fn with_memory(self, bytes: usize) -> Self {
        Self { memory: bytes, ..self }
    }

    /// What is explained.
    pub(crate) fn model(&self) -> &'a dyn Explained<T> {
        self.model
    }

    /// How many of `count` pictures of this shape `[H, W, C]` a batch may hold: from the values that one picture
    /// leaves on a tape, and as many gradients.
    pub(crate) fn batch(&self, shape: &[usize], count: usize) -> usize {
        if count <= 1 {
            return 1;
        }
        let tape = Tape::new();
        let x = tape.leaf(Tensor::zeros(&[&[1], shape].concat()));
        let _ = self.model.outputs(x, &mut Context::evaluation());
        (self.memory / (2 * tape.elements() * std::mem::size_of::<T>()).max(1)).max(1)
    }

    /// The answers for pictures: one list per answer.
    pub fn answers(&self, x: &Tensor<T>) -> Vec<Vec<f64>> {
        let pictures = Pictures::of(x);
        let mut answers: Vec<Vec<f64>> = Vec::new();
        self.answers_at(
            &pictures.shape,
            pictures.count,
            &mut |i, into| into.copy_from_slice(pictures.one(i)),
            &mut |_, found| {
                answers.resize(found.len(), Vec::new());
                answers.iter_mut().zip(found).for_each(|(list, &value)| list.push(value));
            },
        );
        answers
    }

    /// Calls `visit(i, answers)` for `count` pictures that `make(i, pixels)` writes, a batch at a time and in order.
    pub(crate) fn answers_at(
        &self,
        shape: &[usize],
        count: usize,
        make: &mut dyn FnMut(usize, &mut [T]),
        visit: &mut dyn FnMut(usize, &[f64]),
    ) {
        let (batch, mut context) = (self.batch(shape, count), Context::evaluation());
        for first in (0..count).step_by(batch) {
            let x = pictures(shape, first..(first + batch).min(count), make);
            let here = x.shape()[0];
            let outputs = self.model.outputs(Var::constant(x), &mut context);
            let numbers: Vec<Vec<T>> = outputs.iter().map(|output| numbers(output, here)).collect();
            for i in 0..here {
                let found: Vec<f64> = numbers.iter().map(|list| list[i].as_f64()).collect();
                visit(first + i, &found);
            }
        }
    }

    /// Calls `visit(i, answer, gradient)` with the gradient of each answer for each of `count` pictures that
    /// `make(i, pixels)` writes, a batch at a time.
    pub(crate) fn gradients_at(
        &self,
        shape: &[usize],
        count: usize,
        make: &mut dyn FnMut(usize, &mut [T]),
        visit: &mut dyn FnMut(usize, usize, &[T]),
    ) {
        let batch = self.batch(shape, count);
        for first in (0..count).step_by(batch) {
            let x = pictures(shape, first..(first + batch).min(count), make);
            for (answer, gradient) in self.gradients_of_batch(x).into_iter().enumerate() {
                let pictures = Pictures::of(&gradient);
                (0..pictures.count).for_each(|i| visit(first + i, answer, pictures.one(i)));
            }
        }
    }

    /// The gradient of every answer at these pictures, in one forward and one backward pass.
    fn gradients_of_batch(&self, x: Tensor<T>) -> Vec<Tensor<T>> {
        let count = x.shape()[0];
        let leaf = Tape::new().leaf(x);
        let outputs = self.model.outputs(leaf.clone(), &mut Context::evaluation());
        gradients_of(outputs, &leaf, count, |sums, visit| grad_each(sums, &[&leaf], visit)).0
    }

    /// What `run(first, here)` returns for each batch of `here` of `count` pictures, put together along the pictures:
    /// always as many tensors.
    pub(crate) fn in_batches(
        count: usize,
        batch: usize,
        mut run: impl FnMut(usize, usize) -> Result<Vec<Tensor<T>>, ExplainError>,
    ) -> Result<Vec<Tensor<T>>, ExplainError> {
        let mut all: Vec<Vec<Tensor<T>>> = Vec::new();
        for first in (0..count).step_by(batch) {
            let found = run(first, batch.min(count - first))?;
            all.resize(found.len(), Vec::new());
            all.iter_mut().zip(found).for_each(|(parts, part)| parts.push(part));
        }
        Ok(all.iter().map(|parts| concat(parts, 0)).collect())
    }
}

/// The gradient of every answer with respect to `wrt`, zeros for an answer that depends on nothing that is recorded, and
/// what `walk` returns. It is given the sums of the other answers over the `count` pictures and where their gradients
/// go, as [`grad_each`] takes them.
pub(crate) fn gradients_of<T: Element, R>(
    outputs: Vec<Var<T>>,
    wrt: &Var<T>,
    count: usize,
    walk: impl FnOnce(&[&Var<T>], &mut dyn FnMut(usize, Vec<Option<Gradient<T>>>)) -> R,
) -> (Vec<Tensor<T>>, R) {
    let mut gradients = vec![Tensor::zeros(wrt.shape()); outputs.len()];
    let (mut places, mut sums) = (Vec::new(), Vec::new());
    for (place, output) in outputs.into_iter().enumerate() {
        assert_numbers(&output, count);
        if output.is_recorded() {
            places.push(place);
            sums.push(output.sum_all());
        }
    }
    let sums: Vec<&Var<T>> = sums.iter().collect();
    let result = walk(&sums, &mut |_, found| {
        for (&place, gradient) in places.iter().zip(found) {
            if let Some(gradient) = gradient {
                gradients[place] = gradient.into_dense();
            }
        }
    });
    (gradients, result)
}

/// # Panics
/// If an answer is not one number per picture.
fn assert_numbers<T: Element>(output: &Var<T>, count: usize) {
    assert!(
        output.value().len() == count,
        "Explained::outputs: an answer has shape {:?} for {count} pictures; it must be one number for each",
        output.shape()
    );
}

fn numbers<T: Element>(output: &Var<T>, count: usize) -> Vec<T> {
    assert_numbers(output, count);
    output.value().to_vec()
}

/// The pictures of a range, `[N, H, W, C]`.
fn pictures<T: Element>(
    shape: &[usize],
    range: std::ops::Range<usize>,
    make: &mut dyn FnMut(usize, &mut [T]),
) -> Tensor<T> {
    let one: usize = shape.iter().product();
    let mut pixels = vec![T::ZERO; range.len() * one];
    for (place, i) in range.clone().enumerate() {
        make(i, &mut pixels[place * one..(place + 1) * one]);
    }
    Tensor::from_vec(pixels, &[&[range.len()], shape].concat())
}

/// Pictures `[N, H, W, C]`, one after another.
pub(crate) struct Pictures<T: Element> {
    all: Tensor<T>,
    /// `[H, W, C]`.
    pub shape: Vec<usize>,
    /// How many there are.
    pub count: usize,
    one: usize,
}

impl<T: Element> Pictures<T> {
    /// # Panics
    /// If `x` is not of rank 4.
    #[track_caller]
    pub fn of(x: &Tensor<T>) -> Self {
        assert!(x.rank() == 4, "pictures are [N, H, W, C], found {:?}", x.shape());
        let shape = x.shape()[1..].to_vec();
        let one = shape.iter().product();
        Self { all: x.contiguous(), count: x.shape()[0], shape, one }
    }

    /// The pixels of picture `i`.
    pub fn one(&self, i: usize) -> &[T] {
        &self.all.data()[i * self.one..(i + 1) * self.one]
    }
}

/// Sums for every answer and picture, as large as the input; made when the first answer comes.
pub(crate) struct Sums<T> {
    /// Answer, picture, pixel.
    pub all: Vec<Vec<Vec<T>>>,
    count: usize,
    size: usize,
}

impl<T: Element> Sums<T> {
    pub fn new(count: usize, size: usize) -> Self {
        Self { all: Vec::new(), count, size }
    }

    /// The sum of one answer and picture, and how many answers there are is found on the way.
    pub fn of(&mut self, answer: usize, picture: usize) -> &mut Vec<T> {
        while self.all.len() <= answer {
            self.all.push(vec![vec![T::ZERO; self.size]; self.count]);
        }
        &mut self.all[answer][picture]
    }

    /// Adds `weight values` to one.
    pub fn add(&mut self, answer: usize, picture: usize, weight: T, values: &[T]) {
        self.of(answer, picture).iter_mut().zip(values).for_each(|(sum, &value)| *sum += weight * value);
    }

    /// As tensors `[N, shape..]`, one per answer.
    pub fn into_tensors(self, shape: &[usize]) -> Vec<Tensor<T>> {
        let shape = [&[self.count], shape].concat();
        self.all.into_iter().map(|all| Tensor::from_vec(all.concat(), &shape)).collect()
    }
}
