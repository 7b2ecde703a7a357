//! Layers that only move values.

use cerberus_autograd::Var;
use cerberus_tensor::Element;
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
