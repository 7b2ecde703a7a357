//! Pixels as a network takes them.

use cerberus_tensor::Tensor;

use crate::{Image, Pixels};

/// What [`normalise`] subtracts from pixels between 0 and 1, and what it divides them by.
pub const PIXEL_MEAN: f32 = 0.5;
/// See [`PIXEL_MEAN`].
pub const PIXEL_STD: f32 = 0.25;

/// Images of one size as `[N, H, W, C]`: each value `v` becomes `(v / 255 - 0.5) / 0.25`, so black is -2, white is 2,
/// and the standard deviation is close to one. The input of a trained network must be made the same way. Float images
/// are taken unchanged.
///
/// # Panics
/// When the images differ in size, or one does not hold as many values as its size says.
#[track_caller]
pub fn normalise(images: &[&Image]) -> Tensor<f32> {
    let (height, width, channels) = images.first().map_or((0, 0, 0), |image| size(image));
    let values = height * width * channels;
    let scale: [f32; 256] = std::array::from_fn(|value| (value as f32 / 255.0 - PIXEL_MEAN) / PIXEL_STD);
    let mut data = Vec::with_capacity(images.len() * values);
    for image in images {
        assert!(
            size(image) == (height, width, channels) && image.pixels.len() == values,
            "normalise: an image is {:?} (height, width, channels) with {} values, the first one {:?} with \
             {values}; all images of a batch have one size",
            size(image),
            image.pixels.len(),
            (height, width, channels),
        );
        match &image.pixels {
            Pixels::Bytes(bytes) => data.extend(bytes.iter().map(|&value| scale[usize::from(value)])),
            Pixels::Floats(floats) => data.extend(floats),
        }
    }
    Tensor::from_vec(data, &[images.len(), height, width, channels])
}

/// Rows, columns and channels.
pub(crate) fn size(image: &Image) -> (usize, usize, usize) {
    (image.height, image.width, image.channels)
}
