//! JPEG artefacts: blocks, and rings around edges.

use image::codecs::jpeg::JpegEncoder;
use image::{ExtendedColorType, ImageFormat};

use crate::Image;

use super::operation::{Kind, Operation};

/// Encoded as JPEG of quality 30 to 95 and decoded again (Wang et al., "Real-ESRGAN", 2021, section 4.1).
pub(super) const ARTEFACTS: Operation = Operation {
    name: "jpeg",
    what: "written as JPEG of quality 30 to 95 and read again; pictures of 1 or 3 channels only",
    kind: Kind::Pixels,
    partners: 0,
    probability: 0.5,
    floats: false,
    apply: |canvas, draw| {
        let worst = (95.0 - 65.0 * draw.strength).max(5.0);
        let quality = draw.within(worst..=95.0).round() as u8;
        if canvas.bytes().is_some() {
            let image = &mut canvas.rendered().image;
            if let Some(changed) = through_jpeg(image, quality) {
                *image = changed;
            }
        }
    },
};

/// `None` for a picture that JPEG cannot hold: another number of channels, or sides of more than 65,535 pixels.
fn through_jpeg(image: &Image, quality: u8) -> Option<Image> {
    let colour = match image.channels {
        1 => ExtendedColorType::L8,
        3 => ExtendedColorType::Rgb8,
        _ => return None,
    };
    let (width, height) = (u16::try_from(image.width).ok()?, u16::try_from(image.height).ok()?);
    let mut file = Vec::new();
    let mut encoder = JpegEncoder::new_with_quality(&mut file, quality);
    encoder.encode(&image.pixels, width.into(), height.into(), colour).ok()?;
    let read = image::load_from_memory_with_format(&file, ImageFormat::Jpeg).ok()?;
    let values = if image.channels == 1 { read.into_luma8().into_raw() } else { read.into_rgb8().into_raw() };
    (values.len() == image.pixels.len()).then(|| Image { pixels: values.into(), ..*image })
}
