//! Layers that only move values.

use cerberus_autograd::Var;
use cerberus_autograd::ops::PadMode;
use cerberus_tensor::Element;
use cerberus_tensor::conv::Padding;
use cerberus_tensor::resize::Interpolation;
use std::marker::PhantomData;

use super::Layer;
use super::macros::plain;
use crate::context::Context;

plain! {
    /// Joins all dimensions but the first into one, in H, W, C order for images.
    Flatten
}

impl<T: Element> Layer<T> for Flatten<T> {
    fn forward(&self, x: Var<T>, _context: &mut Context<T>) -> Var<T> {
        let n = x.shape()[0];
        let features = x.shape()[1..].iter().product();
        x.reshape(&[n, features])
    }
}

plain! {
    /// Another shape for each sample, `[N, ..]` to `[N, shape..]`, in row-major order: Keras' `Reshape`, PyTorch's
    /// `Unflatten`. The forward pass panics if the numbers of values differ.
    Reshape { shape: Vec<usize> }
}

impl<T: Element> Reshape<T> {
    /// To samples of this shape.
    pub fn new(shape: &[usize]) -> Self {
        Self { shape: shape.to_vec(), element: PhantomData }
    }
}

impl<T: Element> Layer<T> for Reshape<T> {
    #[track_caller]
    fn forward(&self, x: Var<T>, _context: &mut Context<T>) -> Var<T> {
        let fits = x
            .shape()
            .split_first()
            .is_some_and(|(_, rest)| rest.iter().product::<usize>() == self.shape.iter().product::<usize>());
        assert!(fits, "Reshape: samples of x {:?} do not have the values of {:?}", x.shape(), self.shape);
        let shape = [&x.shape()[..1], &self.shape].concat();
        x.reshape(&shape)
    }
}

plain! {
    /// Rows and columns around images, `[N, H, W, C]` to `[N, top + H + bottom, left + W + right, C]`; PyTorch's
    /// `ZeroPad2d`, `ReflectionPad2d`, `ReplicationPad2d` and `CircularPad2d`. The forward pass panics if `x` has
    /// another rank, or is too small to be mirrored, repeated or continued.
    Pad2d { padding: Padding, mode: Around }
}

/// What stands around an image.
#[derive(Clone, Copy, Debug)]
enum Around {
    Mode(PadMode),
    Circular,
}

impl<T: Element> Pad2d<T> {
    /// Zeros.
    pub fn zeros(padding: Padding) -> Self {
        Self { padding, mode: Around::Mode(PadMode::Constant(0.0)), element: PhantomData }
    }

    /// The image mirrored about its edge, which is not repeated.
    pub fn reflect(padding: Padding) -> Self {
        Self { padding, mode: Around::Mode(PadMode::Reflect), element: PhantomData }
    }

    /// The edge, repeated.
    pub fn replicate(padding: Padding) -> Self {
        Self { padding, mode: Around::Mode(PadMode::Replicate), element: PhantomData }
    }

    /// The image itself again, as if it were the surface of a ring in both directions: a panorama, say, or a map.
    pub fn circular(padding: Padding) -> Self {
        Self { padding, mode: Around::Circular, element: PhantomData }
    }
}

impl<T: Element> Layer<T> for Pad2d<T> {
    #[track_caller]
    fn forward(&self, x: Var<T>, _context: &mut Context<T>) -> Var<T> {
        assert!(x.shape().len() == 4, "Pad2d: x {:?} must be [N, H, W, C]", x.shape());
        let Padding { top, bottom, left, right } = self.padding;
        match self.mode {
            Around::Mode(mode) => x.pad(&[(0, 0), (top, bottom), (left, right), (0, 0)], mode),
            Around::Circular => continued(continued(x, 1, [top, bottom]), 2, [left, right]),
        }
    }
}

/// `x` with its last positions along `axis` before it and its first ones after it.
#[track_caller]
fn continued<T: Element>(x: Var<T>, axis: usize, [before, after]: [usize; 2]) -> Var<T> {
    let extent = x.shape()[axis];
    assert!(
        before <= extent && after <= extent,
        "Pad2d: {before} and {after} positions before and after axis {axis} of x {:?}, which has only {extent}",
        x.shape()
    );
    let parts = vec![x.clone().narrow(axis, extent - before, before), x.clone(), x.narrow(axis, 0, after)];
    Var::concat(parts, axis)
}

plain! {
    /// Enlarges images by a whole number or to a size, `[N, H, W, C]` to `[N, OH, OW, C]`; see [`Var::resize`]
    /// for the positions that are read. The forward pass panics if `x` has another rank.
    Upsample { target: Target, method: Method }
}

#[derive(Clone, Copy, Debug)]
enum Target {
    Scale(usize),
    Size([usize; 2]),
}

#[derive(Clone, Copy, Debug)]
enum Method {
    Plain(Interpolation),
    Corners,
}

impl<T: Element> Upsample<T> {
    /// By `scale` in both directions, each pixel a square of equal ones.
    pub fn nearest(scale: usize) -> Self {
        let method = Method::Plain(Interpolation::Nearest);
        Self { target: Target::Scale(scale), method, element: PhantomData }
    }

    /// By `scale` in both directions, bilinearly; pixel centres lie at half-integers, as in PyTorch with
    /// `align_corners=False`.
    pub fn bilinear(scale: usize) -> Self {
        Self { method: Method::Plain(Interpolation::Bilinear), ..Self::nearest(scale) }
    }

    /// By `scale` in both directions, bilinearly with the corner pixels on each other, as in PyTorch with
    /// `align_corners=True`.
    pub fn bilinear_corners(scale: usize) -> Self {
        Self { method: Method::Corners, ..Self::nearest(scale) }
    }

    /// By `scale` in both directions, bicubically; pixel centres lie at half-integers, as in PyTorch with
    /// `align_corners=False`.
    pub fn bicubic(scale: usize) -> Self {
        let method = Method::Plain(Interpolation::Bicubic { corners: false });
        Self { method, ..Self::nearest(scale) }
    }

    /// By `scale` in both directions, bicubically with the corner pixels on each other, as in PyTorch with
    /// `align_corners=True`.
    pub fn bicubic_corners(scale: usize) -> Self {
        let method = Method::Plain(Interpolation::Bicubic { corners: true });
        Self { method, ..Self::nearest(scale) }
    }

    /// To this height and width instead of by a scale.
    pub fn to_size(self, size: [usize; 2]) -> Self {
        Self { target: Target::Size(size), ..self }
    }
}

impl<T: Element> Layer<T> for Upsample<T> {
    #[track_caller]
    fn forward(&self, x: Var<T>, _context: &mut Context<T>) -> Var<T> {
        let &[_, h, w, _] = x.shape() else { panic!("Upsample: x {:?} must be [N, H, W, C]", x.shape()) };
        let size = match self.target {
            Target::Scale(scale) => [h * scale, w * scale],
            Target::Size(size) => size,
        };
        match self.method {
            Method::Plain(interpolation) => x.resize(size, interpolation),
            Method::Corners => x.resize_corners(size),
        }
    }
}

plain! {
    /// Every `r²` channels become a square of `r × r` pixels, `[N, H, W, C r²]` to `[N, H r, W r, C]` (Shi et al.,
    /// 2016, equation 4). The forward pass panics if the channels are not a multiple of `r²`.
    PixelShuffle { r: usize }
}

impl<T: Element> PixelShuffle<T> {
    /// Enlarges by `r` in both directions.
    pub fn new(r: usize) -> Self {
        Self { r, element: PhantomData }
    }
}

impl<T: Element> Layer<T> for PixelShuffle<T> {
    #[track_caller]
    fn forward(&self, x: Var<T>, _context: &mut Context<T>) -> Var<T> {
        x.pixel_shuffle(self.r)
    }
}

plain! {
    /// Every square of `r × r` pixels becomes `r²` channels, `[N, H r, W r, C]` to `[N, H, W, C r²]`: the inverse of
    /// [`PixelShuffle`]. The forward pass panics if `x` has another rank, or height and width are not multiples of `r`.
    PixelUnshuffle { r: usize }
}

impl<T: Element> PixelUnshuffle<T> {
    /// Makes images smaller by `r` in both directions.
    pub fn new(r: usize) -> Self {
        Self { r, element: PhantomData }
    }
}

impl<T: Element> Layer<T> for PixelUnshuffle<T> {
    #[track_caller]
    fn forward(&self, x: Var<T>, _context: &mut Context<T>) -> Var<T> {
        let r = self.r;
        let &[n, h, w, c] = x.shape() else {
            panic!("PixelUnshuffle: x {:?} must be [N, H, W, C]", x.shape())
        };
        assert!(
            r > 0 && h.is_multiple_of(r) && w.is_multiple_of(r),
            "PixelUnshuffle: height and width of x {:?} must be multiples of {r}",
            x.shape()
        );
        let (h, w) = (h / r, w / r);
        // The order of PyTorch: the channels of one channel are next to each other.
        x.reshape(&[n * h, r, w, r, c]).permute(&[0, 2, 4, 1, 3]).reshape(&[n, h, w, c * r * r])
    }
}
