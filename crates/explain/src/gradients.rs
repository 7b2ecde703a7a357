//! Methods that take one gradient: saliency and input × gradient.

use cerberus_tensor::{Element, Tensor};

use crate::explainer::{Attribution, Explainer, Pictures, Sums};

impl<T: Element> Explainer<'_, T> {
    /// The gradient of every answer, `df/dx`, of the input's shape, for every answer.
    pub fn gradients(&self, x: &Tensor<T>) -> Vec<Attribution<T>> {
        let pictures = Pictures::of(x);
        let mut sums = Sums::new(pictures.count, x.len() / pictures.count.max(1));
        self.gradients_at(
            &pictures.shape,
            pictures.count,
            &mut |i, into| into.copy_from_slice(pictures.one(i)),
            &mut |i, answer, gradient| sums.add(answer, i, T::ONE, gradient),
        );
        sums.into_tensors(&pictures.shape).into_iter().map(Attribution::of).collect()
    }

    /// The size of the gradient, `|df/dx|` (Simonyan, Vedaldi and Zisserman, "Deep Inside Convolutional
    /// Networks", 2014, section 3): which pixels a small change would matter at. One forward and one backward
    /// pass.
    pub fn saliency(&self, x: &Tensor<T>) -> Vec<Attribution<T>> {
        let size = |found: Attribution<T>| Attribution::of(found.values.map(|v| v.abs()));
        self.gradients(x).into_iter().map(size).collect()
    }

    /// `x df/dx` (Shrikumar et al., "Not Just a Black Box", 2016): how much each pixel contributes to a
    /// function that is linear near `x`. Its sum is the answer itself for networks of convolutions, dense
    /// layers, ReLUs and max pooling without any bias. One forward and one backward pass.
    pub fn input_x_gradient(&self, x: &Tensor<T>) -> Vec<Attribution<T>> {
        let product = |found: Attribution<T>| Attribution::of(found.values * x.clone());
        self.gradients(x).into_iter().map(product).collect()
    }
}
