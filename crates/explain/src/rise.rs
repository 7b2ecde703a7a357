//! RISE: the mean of random masks, weighed by what the network still sees through each.

use cerberus_tensor::random::stream;
use cerberus_tensor::resize::{Interpolation, resize};
use cerberus_tensor::{Element, Tensor};
use rand::RngExt;

use crate::baseline::Baseline;
use crate::error::ExplainError;
use crate::explainer::{Attribution, Explainer, Pictures};
use crate::smooth::some;

/// The options of [`Explainer::rise`].
#[derive(Clone, Debug)]
pub struct Rise<T: Element = f32> {
    /// The number of masks.
    pub masks: usize,
    /// Rows and columns of the grid of cells that a mask is enlarged from.
    pub cells: [usize; 2],
    /// The probability that a cell is open.
    pub open: f64,
    /// What is seen through a closed cell.
    pub baseline: Baseline<T>,
    /// The seed of the masks, which are the same for each picture.
    pub seed: u64,
}

impl<T: Element> Default for Rise<T> {
    /// 4000 masks of 7 × 7 cells, half of them open, in front of zeros, as in the paper.
    fn default() -> Self {
        Self { masks: 4000, cells: [7; 2], open: 0.5, baseline: Baseline::Zero, seed: 0 }
    }
}

impl<T: Element> Rise<T> {
    /// Mask number `index` for pictures of `size` rows and columns, with values from 0 to 1: cells, open or
    /// closed, are enlarged bilinearly to one cell more than the picture, and the picture's size is cut out at
    /// a random place (section 3.2 of the paper).
    pub fn mask(&self, index: usize, [h, w]: [usize; 2]) -> Vec<T> {
        let mut random = stream(self.seed, "rise", 0, index as u64);
        let [rows, columns] = self.cells;
        let cells = Tensor::from_fn(&[1, rows, columns, 1], |_| {
            if random.random::<f64>() < self.open { T::ONE } else { T::ZERO }
        });
        let cell = [h.div_ceil(rows), w.div_ceil(columns)];
        let large = resize(&cells, [(rows + 1) * cell[0], (columns + 1) * cell[1]], Interpolation::Bilinear);
        let start = cell.map(|side| random.random_range(0..side));
        large.narrow(1, start[0], h).narrow(2, start[1], w).to_vec()
    }
}

impl<T: Element> Explainer<'_, T> {
    /// `1 / (p n) Σ f(masked x) M` over `n` random masks `M` with mean `p`, `[N, H, W, 1]` (Petsiuk, Das and
    /// Saenko, "RISE", 2018, equation 6). One forward pass per mask, shared by all answers. What is the same
    /// for all masks, such as an answer's bias, appears as a constant plus noise that falls with the root of
    /// the number of masks.
    ///
    /// # Errors
    /// If there are no masks or cells, the probability is not between 0 and 1, or the baseline does not fit.
    pub fn rise(&self, x: &Tensor<T>, options: &Rise<T>) -> Result<Vec<Attribution<T>>, ExplainError> {
        some(options.masks)?;
        if options.cells.contains(&0) || !(options.open > 0.0 && options.open <= 1.0) {
            return Err(ExplainError::Option(format!(
                "masks of {:?} cells, open with a probability of {}, are impossible; take at least one cell and a \
                 probability above 0, at most 1",
                options.cells, options.open
            )));
        }
        let baseline = options.baseline.of(x)?;
        let (pictures, cover) = (Pictures::of(x), Pictures::of(&baseline));
        let &[h, w, c] = &pictures.shape[..] else { unreachable!("pictures have three dimensions") };
        let masks = options.masks;
        let mut sums: Vec<Vec<Vec<f64>>> = Vec::new();
        self.answers_at(
            &pictures.shape,
            pictures.count * masks,
            &mut |i, into| {
                let mask = options.mask(i % masks, [h, w]);
                let ends = pictures.one(i / masks).iter().zip(cover.one(i / masks));
                for (place, (p, (&x, &b))) in into.iter_mut().zip(ends).enumerate() {
                    *p = b + mask[place / c] * (x - b);
                }
            },
            &mut |i, answers| {
                let mask = options.mask(i % masks, [h, w]);
                sums.resize(answers.len(), vec![vec![0.0; h * w]; pictures.count]);
                for (sums, value) in sums.iter_mut().zip(answers) {
                    let sum = sums[i / masks].iter_mut().zip(&mask);
                    sum.for_each(|(sum, m)| *sum += value * m.as_f64());
                }
            },
        );
        let share = 1.0 / (options.open * masks as f64);
        let map = |sums: Vec<Vec<f64>>| {
            let values = sums.concat().into_iter().map(|sum| T::from_f64(sum * share)).collect();
            Attribution::of(Tensor::from_vec(values, &[x.shape()[0], h, w, 1]))
        };
        Ok(sums.into_iter().map(map).collect())
    }
}
