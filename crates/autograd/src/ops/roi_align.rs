//! Regions of an image at a fixed size (He et al., "Mask R-CNN", 2017).

use cerberus_tensor::Element;
use cerberus_tensor::linear_map::LinearMap;
use cerberus_tensor::shape::product_of;

#[cfg(feature = "proofs")]
use crate::proof::prelude::*;
use crate::tape::Var;

/// Every box is cut into `size` cells and each cell is the mean of `samples x samples`
/// bilinear readings of `x`; `dx` is the adjoint. Positions count from pixel centres
/// (`aligned`); readings more than a pixel outside are 0. No gradient flows to the boxes.
pub struct RoiAlign;

#[cfg(feature = "proofs")]
impl Proof for RoiAlign {
    fn facts() -> Facts {
        Facts::new(
            "roi_align",
            Group::Vision,
            "y[r, cell] = mean of bilinear readings of x in the cell of box r",
            "dx = every dy back to the pixels it was read from",
        )
        .shapes("x [N, H, W, C], boxes R, y [R, PH, PW, C]")
        .torch("torchvision.ops.roi_align(a, boxes, size, 1.0, samples, aligned=True)")
        .linear(&[0])
        .nan("readings outside are 0")
        .never_empty("an image without pixels has no regions")
        .large(&[&[2, 90, 91, 2]])
    }

    fn cases() -> Vec<Case> {
        let region = |image, x1, y1, x2, y2| Region { image, corners: [x1, y1, x2, y2] };
        let regions = move || {
            vec![region(0, 0.6, 0.4, 3.1, 2.7), region(1, -2.5, 1.0, 4.0, 5.5), region(0, 1.0, 1.0, 1.5, 3.0)]
        };
        let torch =
            "roi_align(a, [[0, 0.6, 0.4, 3.1, 2.7], [1, -2.5, 1, 4, 5.5], [0, 1, 1, 1.5, 3]], (2, 3), 2)";
        // Readings a whole pixel outside, at either end, are the last that count.
        let edges = move || vec![region(0, -1.5, 1.0, 0.5, 2.0), region(0, 1.0, 4.0, 2.0, 5.0)];
        let edge = "roi_align(a, [[0, -1.5, 1, 0.5, 2], [0, 1, 4, 2, 5]], (1, 1), 1)";
        let three = "roi_align(a, [[0, -1.5, 1, 0.5, 2], [0, 1, 4, 2, 5]], (2, 1), 3)";
        vec![
            case!("roi_align", torch, [sample(1, &[2, 4, 4, 2])], |x| x.roi_align(&regions(), [2, 3], 2)),
            case!("roi_align: a pixel outside", edge, [sample(1, &[1, 4, 4, 2])], |x| x.roi_align(
                &edges(),
                [1, 1],
                1
            )),
            case!("roi_align: nine readings", three, [sample(1, &[1, 4, 4, 2])], |x| x.roi_align(
                &edges(),
                [2, 1],
                3
            )),
        ]
    }

    fn error_cases() -> Vec<ErrorCase> {
        vec![
            ErrorCase::new("roi_align: a region of image 1 of x [1, 4, 4, 2]", || {
                let region = Region { image: 1, corners: [0.0; 4] };
                let _ = super::zeros::<f64>(&[1, 4, 4, 2]).roi_align(&[region], [2, 2], 2);
            }),
            ErrorCase::new("roi_align: x [4, 4, 2] must be", || {
                let _ = super::zeros::<f64>(&[4, 4, 2]).roi_align(&[], [2, 2], 2);
            }),
            ErrorCase::new("roi_align: size [0, 2] and 2 samples must be at least 1", || {
                let _ = super::zeros::<f64>(&[1, 4, 4, 2]).roi_align(&[], [0, 2], 2);
            }),
        ]
    }
}

/// A box in an image of a batch.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Region {
    /// Which image.
    pub image: usize,
    /// `x1, y1, x2, y2` in pixels.
    pub corners: [f64; 4],
}

impl<T: Element> Var<T> {
    /// The contents of every region at `size` (height, width); see [`RoiAlign`].
    ///
    /// # Panics
    /// If this is not of rank 4, a region's image does not exist, or `size` or
    /// `samples` is 0.
    #[track_caller]
    pub fn roi_align(self, regions: &[Region], size: [usize; 2], samples: usize) -> Var<T> {
        let &[n, h, w, _] = self.shape() else {
            panic!("roi_align: x {:?} must be [N, H, W, C]", self.shape())
        };
        let [ph, pw] = size;
        let fits = ph > 0 && pw > 0 && samples > 0;
        assert!(fits, "roi_align: size {size:?} and {samples} samples must be at least 1");
        product_of("roi_align", &[regions.len(), ph, pw, samples, samples]);
        let row = |region: &Region, cell: usize| {
            let [x1, y1, x2, y2] = region.corners.map(|corner| corner - 0.5);
            let place = |from: f64, to: f64, cell: usize, cells: usize, sample: usize| {
                from + (to - from) / cells as f64 * (cell as f64 + (sample as f64 + 0.5) / samples as f64)
            };
            let mut entries = Vec::new();
            for sample in 0..samples * samples {
                let y = place(y1, y2, cell / pw, ph, sample / samples);
                let x = place(x1, x2, cell % pw, pw, sample % samples);
                for (iy, down) in reading(y, h) {
                    for (ix, across) in reading(x, w) {
                        let pixel = (region.image * h + iy) * w + ix;
                        entries.push((pixel, down * across / (samples * samples) as f64));
                    }
                }
            }
            entries
        };
        for region in regions {
            assert!(
                region.image < n,
                "roi_align: a region of image {} of x {:?}",
                region.image,
                self.shape()
            );
        }
        let rows = regions.iter().flat_map(|region| (0..ph * pw).map(move |cell| row(region, cell)));
        let map = LinearMap::new(n * h * w, rows);
        self.linear_map("roi_align", map, 0..3, &[regions.len(), ph, pw])
    }
}

/// The pixels that a reading at `place` mixes along an axis of `extent` pixels,
/// with their weights; none further than a pixel outside.
fn reading(place: f64, extent: usize) -> Vec<(usize, f64)> {
    if place < -1.0 || place > extent as f64 || extent == 0 {
        return Vec::new();
    }
    let place = place.clamp(0.0, (extent - 1) as f64);
    let from = place as usize;
    let weight = place - from as f64;
    if weight == 0.0 { vec![(from, 1.0)] } else { vec![(from, 1.0 - weight), (from + 1, weight)] }
}
