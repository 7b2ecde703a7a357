//! Occlusion: what is lost when a window of the picture is covered.

use cerberus_tensor::{Element, Tensor};

use crate::baseline::Baseline;
use crate::error::ExplainError;
use crate::explainer::{Attribution, Explainer, Pictures};

/// The options of [`Explainer::occlusion`].
#[derive(Clone, Debug)]
pub struct Occlusion<T: Element = f32> {
    /// Rows and columns of the window.
    pub window: [usize; 2],
    /// Rows and columns between two windows; at most the window's, so that every pixel is covered.
    pub stride: [usize; 2],
    /// What is seen in the window.
    pub baseline: Baseline<T>,
}

impl<T: Element> Default for Occlusion<T> {
    /// 8 × 8 pixels of zeros, 4 pixels apart.
    fn default() -> Self {
        Self { window: [8; 2], stride: [4; 2], baseline: Baseline::Zero }
    }
}

impl<T: Element> Explainer<'_, T> {
    /// `f(x) - f(x with a window covered)`, at each pixel the mean over the windows that cover it, `[N, H, W,
    /// 1]` (Zeiler and Fergus, 2014, section 4.2). Windows start at multiples of the stride; the last of a row
    /// or column may reach beyond the picture, as in captum. One forward pass per window, shared by all
    /// answers.
    ///
    /// # Errors
    /// If the window or the stride is 0, or the stride larger than the window, or the baseline does not fit.
    pub fn occlusion(
        &self,
        x: &Tensor<T>,
        options: &Occlusion<T>,
    ) -> Result<Vec<Attribution<T>>, ExplainError> {
        let Occlusion { window, stride, baseline } = options;
        if (0..2).any(|axis| stride[axis] == 0 || stride[axis] > window[axis]) {
            return Err(ExplainError::Option(format!(
                "windows of {window:?} pixels {stride:?} apart leave pixels uncovered; the stride must be at least 1 and \
                 at most the window"
            )));
        }
        let baseline = baseline.of(x)?;
        let (pictures, cover) = (Pictures::of(x), Pictures::of(&baseline));
        let &[h, w, c] = &pictures.shape[..] else { unreachable!("pictures have three dimensions") };
        let starts = |axis: usize, extent: usize| -> Vec<usize> {
            let last = extent.saturating_sub(window[axis]).div_ceil(stride[axis]);
            (0..=last).map(|i| i * stride[axis]).collect()
        };
        let (down, across) = (starts(0, h), starts(1, w));
        let windows: Vec<[std::ops::Range<usize>; 2]> = down
            .iter()
            .flat_map(|&y| {
                across.iter().map(move |&x| [y..(y + window[0]).min(h), x..(x + window[1]).min(w)])
            })
            .collect();
        let mut covered = vec![0usize; h * w];
        for [rows, columns] in &windows {
            rows.clone().for_each(|y| columns.clone().for_each(|x| covered[y * w + x] += 1));
        }
        let whole = self.answers(x);
        let mut sums = vec![vec![vec![0.0; h * w]; pictures.count]; whole.len()];
        self.answers_at(
            &pictures.shape,
            pictures.count * windows.len(),
            &mut |i, into| {
                let (picture, [rows, columns]) = (i / windows.len(), &windows[i % windows.len()]);
                into.copy_from_slice(pictures.one(picture));
                for y in rows.clone() {
                    let row = (y * w + columns.start) * c..(y * w + columns.end) * c;
                    into[row.clone()].copy_from_slice(&cover.one(picture)[row]);
                }
            },
            &mut |i, answers| {
                let (picture, [rows, columns]) = (i / windows.len(), &windows[i % windows.len()]);
                for (answer, value) in answers.iter().enumerate() {
                    let loss = whole[answer][picture] - value;
                    for y in rows.clone() {
                        columns.clone().for_each(|x| sums[answer][picture][y * w + x] += loss);
                    }
                }
            },
        );
        let map = |pictures: Vec<Vec<f64>>| {
            let mean = |(sum, &count): (f64, &usize)| T::from_f64(sum / count as f64);
            let values = pictures.into_iter().flat_map(|sums| sums.into_iter().zip(&covered).map(mean));
            Attribution::of(Tensor::from_vec(values.collect(), &[x.shape()[0], h, w, 1]))
        };
        Ok(sums.into_iter().map(map).collect())
    }
}
