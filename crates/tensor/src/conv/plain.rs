//! Convolution as its definition: nested loops, one multiplication at a time.
//!
//! The code is simple, so that one can see that it is right; the other versions
//! are tested against it.

use super::{Conv2dSpec, Epilogue, Geometry};
use crate::{Element, Tensor};

/// Calls `visit(x index, weight index, y index)` for every product of the convolution.
fn for_each_product(g: &Geometry, mut visit: impl FnMut(usize, usize, usize)) {
    let ([h, w], [oh, ow], [kh, kw]) = (g.input, g.output, g.kernel);
    let (cin_group, cout_group) = (g.cin_group(), g.cout_group());
    for n in 0..g.n {
        for oy in 0..oh {
            for ox in 0..ow {
                for ky in 0..kh {
                    let Some(iy) = g.source(0, oy, ky) else { continue };
                    for kx in 0..kw {
                        let Some(ix) = g.source(1, ox, kx) else { continue };
                        for co in 0..g.cout {
                            for ci in 0..cin_group {
                                let channel = co / cout_group * cin_group + ci;
                                let x = ((n * h + iy) * w + ix) * g.cin + channel;
                                let weight = ((ky * kw + kx) * cin_group + ci) * g.cout + co;
                                let y = ((n * oh + oy) * ow + ox) * g.cout + co;
                                visit(x, weight, y);
                            }
                        }
                    }
                }
            }
        }
    }
}

/// The forward pass; see [`conv2d`](super::conv2d).
#[track_caller]
pub fn conv2d<T: Element>(
    x: &Tensor<T>,
    weight: &Tensor<T>,
    spec: &Conv2dSpec,
    epilogue: &Epilogue<T>,
) -> Tensor<T> {
    let g = Geometry::new("conv2d", x.shape(), weight.shape(), spec);
    let (x, weight) = (x.contiguous(), weight.contiguous());
    let (x, weight) = (x.data(), weight.data());
    let mut y = vec![T::ZERO; g.y_shape().iter().product()];
    for_each_product(&g, |xi, wi, yi| y[yi] += x[xi] * weight[wi]);
    let mut y = Tensor::from_vec(y, &g.y_shape());
    if let Some(bias) = &epilogue.bias {
        y = y + bias;
    }
    epilogue.activated(y)
}

/// `dx[..] += weight * dy` over every product; see [`input_gradient`](super::input_gradient).
#[track_caller]
pub fn input_gradient<T: Element>(
    dy: &Tensor<T>,
    weight: &Tensor<T>,
    x_shape: &[usize],
    spec: &Conv2dSpec,
) -> Tensor<T> {
    let g = Geometry::new("conv2d input gradient", x_shape, weight.shape(), spec);
    g.check_dy("conv2d input gradient", dy.shape());
    let (dy, weight) = (dy.contiguous(), weight.contiguous());
    let (dy, weight) = (dy.data(), weight.data());
    let mut dx = vec![T::ZERO; x_shape.iter().product()];
    for_each_product(&g, |xi, wi, yi| dx[xi] += weight[wi] * dy[yi]);
    Tensor::from_vec(dx, x_shape)
}

/// `dweight[..] += x * dy` over every product; see [`weight_gradient`](super::weight_gradient).
#[track_caller]
pub fn weight_gradient<T: Element>(
    x: &Tensor<T>,
    dy: &Tensor<T>,
    weight_shape: &[usize],
    spec: &Conv2dSpec,
) -> Tensor<T> {
    let g = Geometry::new("conv2d weight gradient", x.shape(), weight_shape, spec);
    g.check_dy("conv2d weight gradient", dy.shape());
    let (x, dy) = (x.contiguous(), dy.contiguous());
    let (x, dy) = (x.data(), dy.data());
    let mut dweight = vec![T::ZERO; weight_shape.iter().product()];
    for_each_product(&g, |xi, wi, yi| dweight[wi] += x[xi] * dy[yi]);
    Tensor::from_vec(dweight, weight_shape)
}
