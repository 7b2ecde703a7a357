//! Convolution as a matrix product: every window of the input becomes a row of
//! a patch matrix (Chellapilla, Puri and Simard, "High Performance Convolutional
//! Neural Networks for Document Processing", 2006).
//!
//! `patches [OH*OW, KH*KW*Cin/groups]` times `weight` seen as
//! `[KH*KW*Cin/groups, Cout/groups]` gives the output pixels of one image and
//! group. The gradients are the two other products of the same three matrices;
//! `add_patches` is the adjoint of `patches`.

use super::{Conv2dSpec, Epilogue, Geometry};
use crate::{Element, Tensor, parallel};

/// Copies the windows of image `x: [H, W, Cin]` seen by `group` to rows: `[OH*OW, KH*KW*Cin/groups]`.
///
/// # Panics
/// If `x` is shorter than an image of the geometry.
pub fn patches<T: Element>(g: &Geometry, x: &[T], group: usize) -> Tensor<T> {
    let mut out = vec![T::ZERO; g.output[0] * g.output[1] * depth(g)];
    for_each_run(g, group, |image, patch, len| {
        out[patch..patch + len].copy_from_slice(&x[image..image + len])
    });
    Tensor::from_vec(out, &[g.output[0] * g.output[1], depth(g)])
}

/// Adds the rows of `patches` back onto the windows of `x` they came from.
fn add_patches<T: Element>(g: &Geometry, patches: &Tensor<T>, group: usize, x: &mut [T]) {
    let patches = patches.data();
    for_each_run(g, group, |image, patch, len| {
        for (x, &p) in x[image..image + len].iter_mut().zip(&patches[patch..patch + len]) {
            *x += p;
        }
    });
}

/// Length of a patch: `KH * KW * Cin/groups`.
fn depth(g: &Geometry) -> usize {
    g.kernel[0] * g.kernel[1] * g.cin_group()
}

/// Calls `visit(index in the image, index in the patch matrix, length)` for
/// every run of channels in a window that lies inside the image.
fn for_each_run(g: &Geometry, group: usize, mut visit: impl FnMut(usize, usize, usize)) {
    let cin_group = g.cin_group();
    for oy in 0..g.output[0] {
        for ky in 0..g.kernel[0] {
            let Some(iy) = g.source(0, oy, ky) else { continue };
            for ox in 0..g.output[1] {
                for kx in 0..g.kernel[1] {
                    let Some(ix) = g.source(1, ox, kx) else { continue };
                    let image = (iy * g.input[1] + ix) * g.cin + group * cin_group;
                    let patch = (oy * g.output[1] + ox) * depth(g) + (ky * g.kernel[1] + kx) * cin_group;
                    visit(image, patch, cin_group);
                }
            }
        }
    }
}

/// The weights of one group as a matrix `[KH*KW*Cin/groups, Cout/groups]` (a view).
fn weight_matrix<T: Element>(g: &Geometry, weight: &Tensor<T>, group: usize) -> Tensor<T> {
    weight.reshape(&[depth(g), g.cout]).narrow(1, group * g.cout_group(), g.cout_group())
}

/// The output pixels of one image and group as a matrix `[OH*OW, Cout/groups]` (a view).
fn pixel_matrix<T: Element>(g: &Geometry, y: &Tensor<T>, image: usize, group: usize) -> Tensor<T> {
    y.narrow(0, image, 1).reshape(&[g.output[0] * g.output[1], g.cout]).narrow(
        1,
        group * g.cout_group(),
        g.cout_group(),
    )
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
    let (image, pixels) = (x.len() / g.n.max(1), g.output[0] * g.output[1] * g.cout);
    let y = Tensor::filled_by(&g.y_shape(), |y| {
        let images = y.chunks_mut(pixels.max(1)).zip(x.data().chunks(image.max(1)));
        parallel::for_each(images, |(y, x)| {
            for group in 0..g.spec.groups {
                let product = patches(&g, x, group).matmul(&weight_matrix(&g, &weight, group));
                for (y, row) in y.chunks_exact_mut(g.cout).zip(product.data().chunks_exact(g.cout_group())) {
                    y[group * g.cout_group()..][..g.cout_group()].copy_from_slice(row);
                }
            }
        });
    });
    let y = if let Some(bias) = &epilogue.bias { y + bias } else { y };
    epilogue.activated(y)
}

/// `dpatches = dy weightᵀ`, added back onto the image; see [`input_gradient`](super::input_gradient).
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
    let image = g.input[0] * g.input[1] * g.cin;
    Tensor::filled_by(x_shape, |dx| {
        parallel::for_each(dx.chunks_mut(image.max(1)).enumerate(), |(n, dx)| {
            dx.fill(T::ZERO);
            for group in 0..g.spec.groups {
                let dpatches = pixel_matrix(&g, &dy, n, group).matmul(&weight_matrix(&g, &weight, group).t());
                add_patches(&g, &dpatches, group, dx);
            }
        });
    })
}

/// `dweight = patchesᵀ dy`, summed over images in order; see [`weight_gradient`](super::weight_gradient).
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
    let mut dweight = Tensor::zeros(&[depth(&g), g.cout]);
    let image = g.input[0] * g.input[1] * g.cin;
    for n in 0..g.n {
        let products: Vec<Tensor<T>> = (0..g.spec.groups)
            .map(|group| {
                let patches = patches(&g, &x.data()[n * image..(n + 1) * image], group);
                patches.t().matmul(&pixel_matrix(&g, &dy, n, group))
            })
            .collect();
        let dweight = dweight.data_mut();
        for (group, product) in products.iter().enumerate() {
            for (sum, row) in
                dweight.chunks_exact_mut(g.cout).zip(product.data().chunks_exact(g.cout_group()))
            {
                let sum = &mut sum[group * g.cout_group()..][..g.cout_group()];
                sum.iter_mut().zip(row).for_each(|(sum, &value)| *sum += value);
            }
        }
    }
    dweight.reshape(weight_shape)
}
