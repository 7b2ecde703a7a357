//! The mean over all pixels.

use cerberus_tensor::{Element, Shape, Tensor, pooling};

use crate::operation::{Gradient, Inputs, Operation, Saved, SavedVars, Saves, one, one_var};
#[cfg(feature = "proofs")]
use crate::proof::prelude::*;
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

    fn backward_graph(
        &self,
        _saved: SavedVars<T>,
        dy: Var<T>,
        _wants: &[bool],
    ) -> Option<Vec<Option<Var<T>>>> {
        let [n, h, w, c] = [self.shape[0], self.shape[1], self.shape[2], self.shape[3]];
        one_var(dy.scale(1.0 / (h * w) as f64).reshape(&[n, 1, 1, c]).expand(&self.shape))
    }
}

#[cfg(feature = "proofs")]
impl Proof for GlobalAvgPool {
    fn facts() -> Facts {
        Facts::new("global_avg_pool", Group::Vision, "y = mean of x over the pixels", "dx = dy / HW")
            .shapes("x [N, H, W, C], y [N, C]")
            .torch("F.adaptive_avg_pool2d(a, 1)")
            .linear(&[0])
    }

    fn cases() -> Vec<Case> {
        let case = |kind: &str, x| {
            case!(format!("global_avg_pool{kind}"), "a.mean((1, 2))", [x], |x| x.global_avg_pool())
        };
        vec![
            case("", sample(1, &[2, 3, 4, 2])).alike_along(0, &[1, 2]),
            case(": empty batch", sample(1, &[0, 3, 4, 2])),
        ]
    }

    fn error_cases() -> Vec<ErrorCase> {
        vec![ErrorCase::new("global_avg_pool: x [2, 3] must be [N, H, W, C]", || {
            let _ = super::zeros::<f64>(&[2, 3]).global_avg_pool();
        })]
    }

    fn large_cases() -> Vec<Case> {
        vec![case!("global_avg_pool", "a.mean((1, 2))", [sample(1, &[3, 40, 41, 8])], |x| x.global_avg_pool())]
    }
}

impl<T: Element> Var<T> {
    /// The mean over all pixels, `[N, H, W, C]` to `[N, C]`; see [`GlobalAvgPool`].
    ///
    /// # Panics
    /// If this is not of rank 4.
    #[track_caller]
    pub fn global_avg_pool(self) -> Var<T> {
        Var::record(GlobalAvgPool { shape: Shape::new(&[]) }, vec![self])
    }
}
