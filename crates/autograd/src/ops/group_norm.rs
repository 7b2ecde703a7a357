//! Normalisation of groups of channels (Wu and He, 2018).

use cerberus_tensor::Element;

#[cfg(feature = "proofs")]
use crate::proof::prelude::*;
use crate::tape::Var;

/// `y = gamma x̂ + beta`, `x̂` with mean 0 and variance 1 over the pixels and the channels
/// of a group, for every image; gradients as in [`LayerNorm`](super::LayerNorm) over those.
pub struct GroupNorm;

#[cfg(feature = "proofs")]
impl Proof for GroupNorm {
    fn facts() -> Facts {
        Facts::new(
            "group_norm",
            Group::Normalisation,
            "y = gamma (x - mean) / √(variance + eps) + beta over a group of channels of an image",
            "as layer_norm, over the group",
        )
        .shapes("x [N, .., C], gamma [C], beta [C]")
        .torch("F.group_norm(a, groups, b, c)")
        .composed()
        .linear(&[1, 2])
        .large(&[&[5, 31, 33, 4], &[4], &[4]])
    }

    fn cases() -> Vec<Case> {
        let case = |kind: &str, x: &[usize], groups: usize| {
            let c = &x[x.len() - 1..];
            let torch = format!("nhwc(F.group_norm(nchw(a), {groups}, b, c))");
            case!(
                format!("group_norm{kind}"),
                torch,
                [sample(1, x), sample(2, c), sample(3, c)],
                |x, gamma, beta| x.group_norm(groups, gamma, beta, 1e-5)
            )
        };
        vec![
            case("", &[2, 2, 3, 4], 2),
            case(": one group", &[2, 2, 2, 2], 1),
            case(": empty batch", &[0, 2, 2, 4], 2).zero_gradient(1).zero_gradient(2),
        ]
    }

    fn error_cases() -> Vec<ErrorCase> {
        fn misuse(x: &[usize], groups: usize) {
            let _ = super::zeros::<f64>(x).group_norm(groups, super::zeros(&[4]), super::zeros(&[4]), 1e-5);
        }
        vec![
            ErrorCase::new("group_norm: 3 groups of x [1, 2, 2, 4]", || misuse(&[1, 2, 2, 4], 3)),
            ErrorCase::new("group_norm: 0 groups of x [1, 2, 2, 4]", || misuse(&[1, 2, 2, 4], 0)),
            ErrorCase::new("group_norm: 2 groups of x [4]", || misuse(&[4], 2)),
        ]
    }
}

impl<T: Element> Var<T> {
    /// Every group of channels of an image normalised to mean 0 and variance 1,
    /// then scaled and shifted by channel; see [`GroupNorm`].
    ///
    /// # Panics
    /// If `gamma` or `beta` is not `[C]`, or `C` not a multiple of the groups.
    #[track_caller]
    pub fn group_norm(self, groups: usize, gamma: Var<T>, beta: Var<T>, eps: f64) -> Var<T> {
        super::layer_norm::assert_channels("group_norm", self.shape(), &gamma, &beta);
        let shape = self.value().dims();
        let (n, c) = (shape[0], shape[shape.len() - 1]);
        let fits = shape.len() > 1 && groups > 0 && c % groups == 0;
        assert!(
            fits,
            "group_norm: {groups} groups of x {shape:?}: the channels must be a multiple of the groups"
        );
        let pixels: usize = shape[1..shape.len() - 1].iter().product();
        let grouped = self.reshape(&[n, pixels, groups, c / groups]);
        grouped.standardised(&[1, 3], eps).reshape(&shape) * gamma + beta
    }
}
