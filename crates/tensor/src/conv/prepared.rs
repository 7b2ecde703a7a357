//! Weights that are packed once and used for many forward passes.
//!
//! A forward pass first packs the weights into the order that its kernel reads.
//! In training they change with every step, so every pass packs them; when a
//! model only predicts, packing once is enough for all images.

use std::sync::OnceLock;

use super::implicit::Packed;
use super::{Conv2dSpec, Epilogue, Geometry, depthwise, implicit, winograd};
use crate::{Element, Tensor};

/// The weights of one convolution, packed in the order that its passes need. It
/// keeps the tensor, so nothing can change the values in the meantime.
pub struct PreparedConv2d<T: Element> {
    weight: Tensor<T>,
    spec: Conv2dSpec,
    packed: OnceLock<Packed<T>>,
    transformed: OnceLock<winograd::Weights<T>>,
}

impl<T: Element> PreparedConv2d<T> {
    /// Nothing is packed before the first pass. `weight [KH, KW, Cin/groups, Cout]`.
    pub fn new(weight: &Tensor<T>, spec: Conv2dSpec) -> Self {
        let weight = weight.contiguous();
        Self { weight, spec, packed: OnceLock::new(), transformed: OnceLock::new() }
    }

    /// The same as [`conv2d`](super::conv2d) with these weights.
    ///
    /// # Panics
    /// If the shapes do not fit each other; the message says which rule is broken.
    #[track_caller]
    pub fn forward(&self, x: &Tensor<T>, epilogue: &Epilogue<T>) -> Tensor<T> {
        let g = Geometry::new("conv2d", x.shape(), self.weight.shape(), &self.spec);
        if g.has_no_channels() || depthwise::supports(&g) {
            return super::conv2d(x, &self.weight, &self.spec, epilogue);
        }
        let (set, weight) = (T::kernels(), self.weight.data());
        if super::winograd_enabled() && winograd::supports_prepared(&g) {
            let transform = || winograd::Weights::new(set, weight, g.cin, g.cout);
            return winograd::forward(&g, x, self.transformed.get_or_init(transform), epilogue);
        }
        let pack = || Packed::new(set, weight, g.cout, g.spec.groups);
        implicit::forward(&g, x, self.packed.get_or_init(pack), epilogue)
    }
}
