//! The mean over all pixels.

use cerberus_tensor::{Element, Shape, Tensor, pooling};

use crate::gradcheck::{Case, sample};
use crate::operation::{Gradient, Inputs, Operation, Saved, Saves, one};
use crate::tape::Var;

/// `y [N, C]` is the mean over the pixels of `x [N, H, W, C]`; `dx = dy / HW` at every pixel.
pub struct GlobalAvgPool {
    shape: Shape,
}

impl<T: Element> Operation<T> for GlobalAvgPool {
    fn name(&self) -> &'static str {
        "global_avg_pool"
    }

    fn saves(&self) -> Saves {
        Saves::NOTHING
    }

    fn forward(&mut self, inputs: Inputs<T>) -> Tensor<T> {
        let [x] = inputs.take();
        self.shape = x.dims();
        pooling::global_avg_pool(&x)
    }

    fn backward(&self, _saved: Saved<T>, dy: Tensor<T>, _wants: &[bool]) -> Vec<Option<Gradient<T>>> {
        one(pooling::global_avg_pool_backward(&dy, &self.shape))
    }

    fn cases() -> Vec<Case> {
        vec![Case::unary("global_avg_pool", sample(1, &[2, 3, 4, 2]), Var::global_avg_pool)]
    }
}

impl<T: Element> Var<T> {
    /// The mean over all pixels, `[N, H, W, C]` to `[N, C]`; see [`GlobalAvgPool`].
    ///
    /// # Panics
    /// If this is not of rank 4.
    #[track_caller]
    pub fn global_avg_pool(self) -> Var<T> {
        Var::apply(GlobalAvgPool { shape: Shape::new(&[]) }, vec![self])
    }
}
