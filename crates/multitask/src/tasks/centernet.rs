//! "Objects as Points" as published (Zhou, Wang and Krähenbühl, 2019): a heat map
//! of centres, and at each centre the box's size and the offset of its centre.
//!
//! Three branches on the merged map, each a 3x3 convolution with ReLU and a 1x1:
//! heat (a logit per class), size (width and height in cells) and offset (the part
//! of the centre that rounding to a cell drops). Targets: a Gaussian at each
//! centre with `sigma = (2r + 1) / 6`, where boxes moved by up to the radius `r`
//! still overlap the true one by 0.3 ([`gaussian_radius`]); size and offset only
//! at the centre's cell. Loss: focal loss of the heat map + 0.1 L1 of the sizes +
//! L1 of the offsets, both over 2N.
//!
//! `detect` learns faster: its boxes have many positions to learn from.

use cerberus_autograd::Var;
use cerberus_data::{Batch, LabelKind, Object};
use cerberus_nn::losses::{gaussian_focal, l1};
use cerberus_nn::{Context, Conv2d, Init, Layer, module};
use cerberus_tensor::conv::Conv2dSpec;
use cerberus_tensor::{Element, Tensor};

use super::scores::ObjectScores;
use super::decoding::PEAKS;
use super::shared::{MOST, heat_peaks, judged_heat, outputs, present};
use super::{Candidates, Decoding, Prediction, HeadKind, Metric, HeadOutput, Task};
use cerberus_metrics::boxes;
use crate::head_config::HeadConfig;
use crate::features::{FeatureInfo, Features};

/// Channels of the branches.
const WIDTH: usize = 64;
/// The overlap with the true box that boxes within the radius still have.
const OVERLAP: f64 = 0.3;
/// Initial probability of an object at a position.
const PRIOR: f64 = 0.1;
/// Weight of the size loss.
const SIZE_WEIGHT: f64 = 0.1;

/// Detection by centres.
pub struct CenterNet<T: Element = f32> {
    heat: Conv2d<T>,
    heat_output: Conv2d<T>,
    size: Conv2d<T>,
    size_output: Conv2d<T>,
    offset: Conv2d<T>,
    offset_output: Conv2d<T>,
    config: HeadConfig,
    stride: usize,
    image: [usize; 2],
}

module!(CenterNet { heat, heat_output, size, size_output, offset, offset_output } without { config, stride, image });

pub(super) fn kind<T: Element>() -> HeadKind<T> {
    HeadKind {
        name: "centernet",
        label: LabelKind::Objects,
        weight: 1.0,
        build: |info, head, init| Box::new(CenterNet::new(info, head, init)),
    }
}

impl<T: Element> CenterNet<T> {
    /// A head on the merged map.
    pub fn new(info: &FeatureInfo, head: &HeadConfig, init: &mut Init) -> Self {
        let one = Conv2dSpec::default();
        let mut branch = || Conv2d::new(info.main().channels, WIDTH, 3, init).same().with_relu();
        let (heat, size, offset) = (branch(), branch(), branch());
        let mut output = |channels: usize| Conv2d::with_spec(WIDTH, channels, 1, one, init).with_weight_std(0.001, init);
        Self {
            heat_output: output(head.outputs()).with_bias((PRIOR / (1.0 - PRIOR)).ln()),
            size_output: output(2),
            offset_output: output(2),
            heat,
            size,
            offset,
            config: head.clone(),
            stride: info.main().stride,
            image: info.image,
        }
    }

    fn grid(&self) -> [usize; 2] {
        self.image.map(|side| side.div_ceil(self.stride))
    }
}

impl<T: Element> Task<T> for CenterNet<T> {
    fn config(&self) -> &HeadConfig {
        &self.config
    }

    fn labelled(&self, batch: &Batch) -> Vec<usize> {
        present(&batch.objects_of(&self.config.label))
    }

    fn forward(&self, features: &Features<T>, context: &mut Context<T>) -> HeadOutput<T> {
        let x = features.main().clone();
        let mut branch = |x: Var<T>, first: &Conv2d<T>, last: &Conv2d<T>| {
            let x = first.forward(x, context);
            last.forward(x, context)
        };
        let heat = branch(x.clone(), &self.heat, &self.heat_output);
        let size = branch(x.clone(), &self.size, &self.size_output);
        let offset = branch(x, &self.offset, &self.offset_output);
        HeadOutput { maps: vec![heat, size, offset] }
    }

    fn loss(&self, output: HeadOutput<T>, batch: &Batch) -> Var<T> {
        let [heat, size, offset] = outputs(output);
        let [rows, columns] = self.grid();
        let (classes, stride) = (self.config.outputs(), self.stride as f64);
        let images: Vec<&[Object]> = batch.objects_of(&self.config.label).into_iter().flatten().collect();
        let cells = images.len() * rows * columns;
        let mut target = vec![0.0; cells * classes];
        let (mut sizes, mut offsets, mut at) = (vec![0.0; cells * 2], vec![0.0; cells * 2], vec![0.0; cells]);
        for (image, object) in images.iter().enumerate().flat_map(|(i, all)| all.iter().map(move |o| (i, o))) {
            let [x1, y1, x2, y2] = object.bbox.map(|side| f64::from(side) / stride);
            let map = image * rows * columns;
            if object.crowd {
                // Ignored: a target so close to one has almost no weight in the loss.
                for cell in 0..rows * columns {
                    let (y, x) = ((cell / columns) as f64 + 0.5, (cell % columns) as f64 + 0.5);
                    let heat = &mut target[(map + cell) * classes + object.class];
                    if (x1..x2).contains(&x) && (y1..y2).contains(&y) {
                        *heat = f64::max(*heat, 0.999);
                    }
                }
                continue;
            }
            let (x, y) = ((x1 + x2) / 2.0, (y1 + y2) / 2.0);
            let (column, row) = ((x as usize).min(columns - 1), (y as usize).min(rows - 1));
            let radius = gaussian_radius(y2 - y1, x2 - x1, OVERLAP).max(0.0) as usize;
            let heat = |row: usize, column: usize| (map + row * columns + column) * classes + object.class;
            add_gaussian([rows, columns], [row, column], radius, |row, column, value| {
                let place = &mut target[heat(row, column)];
                *place = f64::max(*place, value);
            });
            let cell = map + row * columns + column;
            at[cell] = 1.0;
            sizes[2 * cell..2 * cell + 2].copy_from_slice(&[x2 - x1, y2 - y1]);
            offsets[2 * cell..2 * cell + 2].copy_from_slice(&[x - column as f64, y - row as f64]);
        }
        let shape = [images.len(), rows, columns];
        let tensor = |values: Vec<f64>, last: usize| {
            let values = values.into_iter().map(T::from_f64).collect();
            Tensor::from_vec(values, &[shape[0], shape[1], shape[2], last])
        };
        let count = at.iter().sum::<f64>().max(1.0);
        let at = tensor(at, 1);
        let target = tensor(target, classes);
        let heat = judged_heat(heat, &target, batch, &self.config);
        let heat = gaussian_focal(heat, target, Some(count));
        let size = l1(size, tensor(sizes, 2), Some(at.clone()), 2.0 * count);
        let offset = l1(offset, tensor(offsets, 2), Some(at), 2.0 * count);
        heat + size.scale(SIZE_WEIGHT) + offset
    }

    fn decode(&self, output: &HeadOutput<T>) -> Vec<Prediction> {
        let stride = self.stride as f64;
        let [size, offset] = [1, 2].map(|kind| output.maps[kind].value().contiguous());
        let [rows, columns] = self.grid();
        heat_peaks(output.maps[0].value(), |image, cell| {
            let place = 2 * (image * rows * columns + cell);
            let of = |map: &Tensor<T>, side: usize| map.data()[place + side].as_f64();
            let x = (cell % columns) as f64 + of(&offset, 0);
            let y = (cell / columns) as f64 + of(&offset, 1);
            let (w, h) = (of(&size, 0).max(0.0) / 2.0, of(&size, 1).max(0.0) / 2.0);
            let bbox = [x - w, y - h, x + w, y + h].map(|side| (side * stride) as f32);
            boxes::clip_to_image(&bbox, self.image[1] as f32, self.image[0] as f32)
        })
    }

    fn candidates(&self, output: &HeadOutput<T>) -> Option<Candidates<T>> {
        let [rows, columns] = self.grid();
        let [heat, size, offset] = outputs(output.clone());
        let (n, places, stride) = (heat.shape()[0], rows * columns, self.stride as f64);
        let corners = Tensor::from_fn(&[rows, columns, 2], |i| {
            let cell = i / 2;
            T::from_f64(if i % 2 == 0 { cell % columns } else { cell / columns } as f64)
        });
        let centre = offset + Var::constant(corners);
        let half = size.relu().scale(0.5);
        let boxes = Var::concat(vec![centre.clone() - half.clone(), centre + half], 3).scale(stride);
        let scores = heat.sigmoid().reshape(&[n, places, self.config.outputs()]);
        Some(Candidates { scores, boxes: boxes.reshape(&[n, places, 4]) })
    }

    fn decoding(&self) -> Decoding {
        let maps = [
            ("heat", "at each position a logit for each class", Some(self.stride)),
            ("size", "at each position the width and the height, in strides", Some(self.stride)),
            ("offset", "at each position the centre's distance from the cell's corner, x and y, in strides", Some(self.stride)),
        ];
        let steps = [
            PEAKS,
            "the centre of a peak in column x and row y, counted from 0, is ((x + offset x) stride, (y + offset y) stride) \
             in pixels of the network's image",
            "the box has stride times the size around the centre, a negative size counting as 0, and is clipped to the \
             image",
        ];
        Decoding::of(&maps, &steps).with_numbers(&[("most", MOST as f64)])
    }

    fn metric(&self) -> Box<dyn Metric> {
        Box::new(ObjectScores::new(&self.config))
    }
}

/// The largest distance by which the corners of a box of `height` x `width` may be
/// moved so that the moved box overlaps it by at least `overlap`, in the worst of
/// three cases: one corner in and one out, both in, both out (Law and Deng,
/// "CornerNet", 2018, with the roots of the quadratics corrected).
pub fn gaussian_radius(height: f64, width: f64, overlap: f64) -> f64 {
    let (sum, area) = (height + width, height * width);
    let shifted = (sum - (sum * sum - 4.0 * area * (1.0 - overlap) / (1.0 + overlap)).max(0.0).sqrt()) / 2.0;
    let inside = (2.0 * sum - (4.0 * sum * sum - 16.0 * (1.0 - overlap) * area).max(0.0).sqrt()) / 8.0;
    let b = -2.0 * overlap * sum;
    let outside = (b + (b * b - 16.0 * overlap * (overlap - 1.0) * area).max(0.0).sqrt()) / (8.0 * overlap);
    shifted.min(inside).min(outside)
}

/// Calls `put(row, column, value)` for the cells of a Gaussian of this radius around `centre`.
pub(crate) fn add_gaussian(
    [rows, columns]: [usize; 2],
    [row, column]: [usize; 2],
    radius: usize,
    mut put: impl FnMut(usize, usize, f64),
) {
    let sigma = (2 * radius + 1) as f64 / 6.0;
    for y in row.saturating_sub(radius)..(row + radius + 1).min(rows) {
        for x in column.saturating_sub(radius)..(column + radius + 1).min(columns) {
            let square = (y.abs_diff(row).pow(2) + x.abs_diff(column).pow(2)) as f64;
            put(y, x, (-square / (2.0 * sigma * sigma)).exp());
        }
    }
}
