//! Deletion and insertion: the answer while the pixels that matter most go, or come.

use cerberus_tensor::{Element, Tensor};

use crate::baseline::Baseline;
use crate::error::ExplainError;
use crate::explainer::{Explainer, Pictures};

/// The options of [`Explainer::curves`].
#[derive(Clone, Debug)]
pub struct CurveOptions<T: Element = f32> {
    /// Steps of equally many pixels from none to all.
    pub steps: usize,
    /// What is seen where pixels were deleted.
    pub deleted: Baseline<T>,
    /// What is seen before pixels are inserted.
    pub hidden: Baseline<T>,
}

impl<T: Element> Default for CurveOptions<T> {
    /// 16 steps; deleted pixels are grey, and pixels are inserted into a blurred picture, as in the paper.
    fn default() -> Self {
        Self { steps: 16, deleted: Baseline::Zero, hidden: Baseline::Blur { sigma: 5.0 } }
    }
}

/// An answer while pixels go or come, the most important first: after 0, 1, .. of the steps.
#[derive(Clone, Debug, PartialEq)]
pub struct Curve(pub Vec<f64>);

impl Curve {
    /// The area under the curve by trapezoids, where the axis runs from 0 to 1: a mean answer, in the answer's unit.
    pub fn area(&self) -> f64 {
        let Self(values) = self;
        let ends = (values[0] + values[values.len() - 1]) / 2.0;
        let inner: f64 = values[1..values.len() - 1].iter().sum();
        (ends + inner) / (values.len() - 1) as f64
    }
}

/// Both curves of an answer for a picture.
#[derive(Clone, Debug, PartialEq)]
pub struct Curves {
    /// Pixels go: a small area is good.
    pub deletion: Curve,
    /// Pixels come: a large area is good.
    pub insertion: Curve,
}

impl<T: Element> Explainer<'_, T> {
    /// The deletion and insertion curves of every answer for every picture `[N, H, W, C]`, by its map `[N, H, W, 1]`
    /// (Petsiuk, Das and Saenko, "RISE", 2018, section 4.1): at step `k` of `n` the `k/n` of the pixels with the
    /// largest values of the map have been replaced by the baseline, or brought back. Of equal values the first in the
    /// picture goes first. Twice `steps + 1` forward passes for each answer.
    ///
    /// # Errors
    /// If there are no steps, or a baseline does not fit.
    ///
    /// # Panics
    /// If there is not one map of the pictures' size for each answer.
    #[track_caller]
    pub fn curves(
        &self,
        x: &Tensor<T>,
        maps: &[Tensor<T>],
        options: &CurveOptions<T>,
    ) -> Result<Vec<Vec<Curves>>, ExplainError> {
        if options.steps == 0 {
            return Err(ExplainError::Option("a curve of 0 steps has no area; take at least 1".into()));
        }
        let (pictures, steps) = (Pictures::of(x), options.steps);
        let &[h, w, c] = &pictures.shape[..] else { unreachable!("pictures have three dimensions") };
        for map in maps {
            let expected = [pictures.count, h, w, 1];
            assert!(map.shape() == expected, "curves: a map is {:?}, not {expected:?}", map.shape());
        }
        let ground = [options.deleted.of(x)?, options.hidden.of(x)?].map(|baseline| Pictures::of(&baseline));
        let order: Vec<Vec<usize>> = (0..maps.len() * pictures.count)
            .map(|i| order(Pictures::of(&maps[i / pictures.count]).one(i % pictures.count)))
            .collect();
        // Number i: answer, picture, deletion or insertion, step.
        let part = |i: usize| (i / (2 * (steps + 1)), i / (steps + 1) % 2, i % (steps + 1));
        let mut curves = vec![[vec![0.0; steps + 1], vec![0.0; steps + 1]]; order.len()];
        self.answers_at(
            &pictures.shape,
            order.len() * 2 * (steps + 1),
            &mut |i, into| {
                let (pair, side, step) = part(i);
                let picture = pair % pictures.count;
                let (own, ground) = (pictures.one(picture), ground[side].one(picture));
                let (start, change) = if side == 0 { (own, ground) } else { (ground, own) };
                into.copy_from_slice(start);
                for &pixel in &order[pair][..h * w * step / steps] {
                    into[pixel * c..][..c].copy_from_slice(&change[pixel * c..][..c]);
                }
            },
            &mut |i, answers| {
                let (pair, side, step) = part(i);
                assert!(
                    answers.len() == maps.len(),
                    "curves: {} maps for {} answers",
                    maps.len(),
                    answers.len()
                );
                curves[pair][side][step] = answers[pair / pictures.count];
            },
        );
        let curves = curves
            .into_iter()
            .map(|[deletion, insertion]| Curves { deletion: Curve(deletion), insertion: Curve(insertion) });
        let curves: Vec<Curves> = curves.collect();
        Ok(curves.chunks(pictures.count.max(1)).map(<[Curves]>::to_vec).collect())
    }
}

/// Places from the largest value to the smallest.
fn order<T: Element>(map: &[T]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..map.len()).collect();
    order.sort_by(|&a, &b| map[b].as_f64().total_cmp(&map[a].as_f64()));
    order
}
