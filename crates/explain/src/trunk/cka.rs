//! Linear centred kernel alignment, streamed over batches.

use cerberus_tensor::{Element, Tensor};

use crate::error::ExplainError;

/// Linear CKA of two maps of the same pictures, `|Y'X|² / (|X'X| |Y'Y|)` in Frobenius norms, with the mean of every
/// channel taken off (Kornblith et al., "Similarity of Neural Network Representations Revisited", 2019, section 3).
/// Every place of every picture is an example, so the maps must have the same rows and columns. The value is 0 to 1, and
/// the same when a map is rotated among its channels, scaled or moved. Independent noise has about
/// `sqrt(dx dy) / n` for `n` examples much more than the `dx` and `dy` channels: with few, the value says little.
///
/// Only sums are kept, in `f64`: memory grows with the channels, not with the pictures.
#[derive(Clone, Debug, Default)]
pub struct Cka {
    count: f64,
    /// Sums of x and of y.
    sums: [Vec<f64>; 2],
    /// Sums of x'x, y'y and x'y, row by row.
    products: [Vec<f64>; 3],
}

impl Cka {
    /// Without any examples.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds the maps `[.., dx]` and `[.., dy]` of one batch.
    ///
    /// # Errors
    /// If they are not of the same batch and size but for the channels, or have other channels than before.
    pub fn add<T: Element>(&mut self, x: &Tensor<T>, y: &Tensor<T>) -> Result<(), ExplainError> {
        let (Some((&dx, places)), Some((&dy, others))) = (x.shape().split_last(), y.shape().split_last())
        else {
            return Err(ExplainError::Option(
                "CKA compares maps with channels; found a single number".into(),
            ));
        };
        let fits = self.count == 0.0 || (self.sums[0].len(), self.sums[1].len()) == (dx, dy);
        if places != others || !fits {
            return Err(ExplainError::Option(format!(
                "CKA compares maps of the same places, with the same channels in every batch; found {:?} and {:?}",
                x.shape(),
                y.shape()
            )));
        }
        if self.count == 0.0 {
            self.sums = [vec![0.0; dx], vec![0.0; dy]];
            self.products = [vec![0.0; dx * dx], vec![0.0; dy * dy], vec![0.0; dx * dy]];
        }
        let [x, y] = [x, y].map(|map| map.to_vec().into_iter().map(T::as_f64).collect::<Vec<f64>>());
        let count: usize = places.iter().product();
        self.count += count as f64;
        for place in 0..count {
            let (x, y) = (&x[place * dx..][..dx], &y[place * dy..][..dy]);
            for (sums, row) in self.sums.iter_mut().zip([x, y]) {
                sums.iter_mut().zip(row).for_each(|(sum, value)| *sum += value);
            }
            for (sums, [a, b]) in self.products.iter_mut().zip([[x, x], [y, y], [x, y]]) {
                for (row, &a) in sums.chunks_exact_mut(b.len().max(1)).zip(a) {
                    row.iter_mut().zip(b).for_each(|(sum, b)| *sum += a * b);
                }
            }
        }
        Ok(())
    }

    /// The value for all that was added; `None` if one of the maps never changes, or nothing was added.
    pub fn value(&self) -> Option<f64> {
        let [x, y] = &self.sums;
        let squared = |products: &[f64], a: &[f64], b: &[f64]| {
            let rows = products.chunks_exact(b.len().max(1)).zip(a);
            let centred =
                rows.flat_map(|(row, a)| row.iter().zip(b).map(move |(p, b)| p - a * b / self.count));
            centred.map(|v| v * v).sum::<f64>()
        };
        let own = squared(&self.products[0], x, x) * squared(&self.products[1], y, y);
        (own > 0.0).then(|| squared(&self.products[2], x, y) / own.sqrt())
    }
}
