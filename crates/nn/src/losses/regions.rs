//! Shared by the losses of overlapping regions, [`dice`](super::dice) and
//! [`tversky`](super::tversky): both are functions of a few sums per class over
//! the pixels of a batch.

use cerberus_tensor::parallel::{PIECE, for_each_rows, map_ranges};
use cerberus_tensor::pool::Buffer;
use cerberus_tensor::{Element, Tensor};

use super::labels::{ClassId, Targets, UNKNOWN};

/// The true classes of all pixels.
pub(super) struct Regions {
    target: Buffer<u32>,
    /// How many pixels each class has.
    pub counts: Vec<usize>,
    shape: Vec<usize>,
}

/// A class's sums over pixels.
#[derive(Clone, Copy, Default)]
pub(super) struct Sums {
    /// The sum of the class's probability over its own pixels.
    pub overlap: f64,
    /// The sum of its probability, or of the square of that, over all pixels.
    pub predicted: f64,
}

impl Regions {
    /// # Panics
    /// If there is not one id for each row of `shape [.., C]`, or an id is outside the classes.
    #[track_caller]
    pub fn new(loss: &str, shape: &[usize], target: &[impl ClassId]) -> Self {
        let targets = Targets::new(loss, shape, target);
        Self { target: targets.ids, counts: targets.counts, shape: shape.to_vec() }
    }

    /// How many classes have pixels, at least 1.
    pub fn present(&self) -> f64 {
        self.counts.iter().filter(|&&count| count > 0).count().max(1) as f64
    }

    /// The sums of every class of `p [.., C]`, over pieces of fixed size in a fixed order.
    pub fn sums<T: Element>(&self, p: &Tensor<T>, squared: bool) -> Vec<Sums> {
        let (p, classes) = (p.contiguous(), self.counts.len());
        let rows = (PIECE / classes.max(1)).max(1);
        let pieces = map_ranges(self.target.len(), rows, |range| {
            let mut sums = vec![Sums::default(); classes];
            let rows = p.data()[range.start * classes..range.end * classes].chunks_exact(classes);
            for (row, &class) in rows.zip(&self.target[range]) {
                if class == UNKNOWN {
                    continue;
                }
                for (sum, &p) in sums.iter_mut().zip(row) {
                    sum.predicted += (if squared { p * p } else { p }).as_f64();
                }
                sums[class as usize].overlap += row[class as usize].as_f64();
            }
            sums
        });
        pieces.into_iter().fold(vec![Sums::default(); classes], |mut total, piece| {
            for (total, piece) in total.iter_mut().zip(piece) {
                total.overlap += piece.overlap;
                total.predicted += piece.predicted;
            }
            total
        })
    }

    /// The gradient `[.., C]` of the probabilities: for each class `slopes` has what its own pixels get and
    /// what every pixel gets, the latter times `p` if that is given. Pixels of unknown class get nothing.
    pub fn gradient<T: Element>(&self, slopes: &[[T; 2]], p: Option<&Tensor<T>>) -> Tensor<T> {
        let everywhere: Vec<T> = slopes.iter().map(|[_, everywhere]| *everywhere).collect();
        let p = p.map(Tensor::contiguous);
        let classes = slopes.len();
        Tensor::filled_by(&self.shape, |dp| {
            for_each_rows(dp, classes, |first, rows| {
                for (place, row) in rows.chunks_exact_mut(classes).enumerate() {
                    let class = self.target[first + place];
                    if class == UNKNOWN {
                        row.fill(T::ZERO);
                        continue;
                    }
                    row.copy_from_slice(&everywhere);
                    if let Some(p) = &p {
                        let p = &p.data()[(first + place) * classes..];
                        row.iter_mut().zip(p).for_each(|(dp, &p)| *dp *= p);
                    }
                    row[class as usize] += slopes[class as usize][0];
                }
            });
        })
    }
}
