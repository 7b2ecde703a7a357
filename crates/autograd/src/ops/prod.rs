//! Products over chosen dimensions.

use cerberus_tensor::{Element, Tensor};

#[cfg(feature = "proofs")]
use crate::proof::prelude::*;
use crate::tape::Var;

/// `y = Π x` over axes; `dx = dy` times the product of all the others. The two
/// halves of a row are multiplied until one element is left, so zeros need no special
/// case.
pub struct Prod;

#[cfg(feature = "proofs")]
impl Proof for Prod {
    fn facts() -> Facts {
        Facts::new("prod", Group::Reduction, "y = Π x over axes", "dx = dy Π of the others")
            .shapes("any, and distinct axes of it")
            .torch("torch.prod(a, axis)")
            .composed()
            .large(&[&[7, 5001]])
    }

    fn cases() -> Vec<Case> {
        let zeros = Tensor::from_vec(vec![0.0, 2.0, 3.0, 0.0, 0.0, 4.0], &[2, 3]);
        vec![
            case!("prod: all", "a.prod()", [sample(1, &[2, 3])], |x| x.prod(&[0, 1])),
            case!("prod: middle", "a.prod(1, keepdim=True)", [sample(2, &[2, 5, 2])], |x| x
                .prod_keepdim(&[1])),
            case!("prod: with zeros", "a.prod(1)", [zeros], |x| x.prod(&[1])),
            case!("prod: empty batch", "a.prod(1)", [sample(2, &[0, 3])], |x| x.prod(&[1])),
        ]
    }

    fn error_cases() -> Vec<ErrorCase> {
        vec![ErrorCase::new("prod: axes [2] are not distinct dimensions of shape [2, 3]", || {
            let _ = super::zeros::<f64>(&[2, 3]).prod(&[2]);
        })]
    }
}

impl<T: Element> Var<T> {
    /// Product over `axes`, which disappear from the shape; see [`Prod`].
    ///
    /// # Panics
    /// If the axes are not distinct dimensions.
    #[track_caller]
    pub fn prod(self, axes: &[usize]) -> Var<T> {
        self.prod_over(axes, false)
    }

    /// Product over `axes`, which stay in the shape with extent 1; see [`Prod`].
    ///
    /// # Panics
    /// If the axes are not distinct dimensions.
    #[track_caller]
    pub fn prod_keepdim(self, axes: &[usize]) -> Var<T> {
        self.prod_over(axes, true)
    }

    #[track_caller]
    fn prod_over(self, axes: &[usize], keep: bool) -> Var<T> {
        super::assert_axes("prod", axes, self.shape());
        let (lines, shape) = self.reduced_last(axes, keep);
        let [rows, mut count] = lines.value().extents();
        let mut lines = lines;
        if count == 0 {
            return Var::constant(Tensor::ones(&shape));
        }
        while count > 1 {
            let half = count / 2;
            let halves = lines.clone().narrow(1, 0, half) * lines.clone().narrow(1, half, half);
            lines = if count % 2 == 0 {
                halves
            } else {
                Var::concat(vec![halves, lines.narrow(1, count - 1, 1)], 1)
            };
            count = count.div_ceil(2);
        }
        debug_assert_eq!(lines.shape(), [rows, 1]);
        lines.reshape(&shape)
    }

    /// The variable as rows `[kept, reduced]`, and the shape a reduction of the rows has.
    pub(super) fn reduced_last(self, axes: &[usize], keep: bool) -> (Var<T>, Vec<usize>) {
        let rank = self.shape().len();
        let kept: Vec<usize> = (0..rank).filter(|axis| !axes.contains(axis)).collect();
        let extents =
            |axes: &[usize]| -> Vec<usize> { axes.iter().map(|&axis| self.shape()[axis]).collect() };
        let size = |axes: &[usize]| extents(axes).iter().product::<usize>();
        let reduced = |axis: usize| if axes.contains(&axis) { 1 } else { self.shape()[axis] };
        let shape = if keep { (0..rank).map(reduced).collect() } else { extents(&kept) };
        let rows = [size(&kept), size(axes)];
        (self.clone().permute(&[&kept, axes].concat()).reshape(&rows), shape)
    }
}
