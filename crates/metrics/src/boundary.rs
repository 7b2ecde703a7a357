//! Boundary F1: whether the outlines of a segmentation are in the right place.
//!
//! For an image and a class, `precision` is the share of predicted boundary pixels that have a true one within a
//! distance, `recall` the share of true ones that have a predicted one, and F1 their harmonic mean. The score of a
//! class is the mean over the images that show it or predict it (Csurka et al., "What is a good evaluation measure for
//! semantic segmentation?", 2013). A pixel is on the boundary of its class if one of its four neighbours in the image
//! is of another class. Ignored pixels belong to no class and make no boundary: predictions on them, and predicted
//! pixels that border only on them, are not scored. If a class is in an image but borders only on ignored pixels (as in
//! trimaps), the image says nothing about its boundary and does not count.

use super::IGNORED_CLASS;

/// Streaming boundary F1; it stores two numbers per class.
#[derive(Clone, Debug, PartialEq)]
pub struct BoundaryF1 {
    /// Offsets of the pixels within the distance.
    disc: Vec<(isize, isize)>,
    sums: Vec<f64>,
    images: Vec<u64>,
}

impl BoundaryF1 {
    /// For `classes` classes; boundaries agree if they are within `distance` pixels (Euclidean).
    pub fn new(classes: usize, distance: f64) -> Self {
        let reach = distance.max(0.0).floor() as isize;
        let inside = |&(y, x): &(isize, isize)| ((y * y + x * x) as f64) <= distance.max(0.0).powi(2);
        let square = (-reach..=reach).flat_map(|y| (-reach..=reach).map(move |x| (y, x)));
        Self { disc: square.filter(inside).collect(), sums: vec![0.0; classes], images: vec![0; classes] }
    }

    /// Counts one image: `truth` and `predicted` hold `height * width` class ids; the truth may also hold
    /// [`IGNORED_CLASS`]. Ids that are not below the number of classes are skipped.
    ///
    /// # Panics
    /// When either does not hold `height * width` pixels.
    #[track_caller]
    pub fn update(&mut self, truth: &[u16], predicted: &[u16], [height, width]: [usize; 2]) {
        assert!(
            truth.len() == height * width && predicted.len() == height * width,
            "boundary F1: {} true and {} predicted pixels for an image of {height}x{width}",
            truth.len(),
            predicted.len()
        );
        // Predictions on pixels without a label are not scored either.
        let judged = |(&t, &p): (&u16, &u16)| if t == IGNORED_CLASS { IGNORED_CLASS } else { p };
        let predicted: Vec<u16> = truth.iter().zip(predicted).map(judged).collect();
        let size = [height, width];
        let (true_edges, predicted_edges) = (edges(truth, size), edges(&predicted, size));
        for class in 0..self.sums.len() {
            let of = |edges: &[u16]| -> Vec<usize> {
                (0..edges.len()).filter(|&i| usize::from(edges[i]) == class).collect()
            };
            let (wanted, found) = (of(&true_edges), of(&predicted_edges));
            // Nothing to compare: there is no boundary at all, or the class is there without a true boundary.
            if wanted.is_empty() && (found.is_empty() || truth.iter().any(|&id| usize::from(id) == class)) {
                continue;
            }
            let near = |from: &[usize], others: &[u16]| {
                let hits = from.iter().filter(|&&place| self.has_near(others, place, class, size)).count();
                if from.is_empty() { 0.0 } else { hits as f64 / from.len() as f64 }
            };
            let (precision, recall) = (near(&found, &true_edges), near(&wanted, &predicted_edges));
            self.images[class] += 1;
            if precision + recall > 0.0 {
                self.sums[class] += 2.0 * precision * recall / (precision + recall);
            }
        }
    }

    /// Whether a boundary pixel of `class` lies within the distance of `place`.
    fn has_near(&self, edges: &[u16], place: usize, class: usize, [height, width]: [usize; 2]) -> bool {
        let (row, column) = (place / width, place % width);
        self.disc.iter().any(|&(y, x)| {
            let at = row.checked_add_signed(y).zip(column.checked_add_signed(x));
            at.is_some_and(|(y, x)| y < height && x < width && usize::from(edges[y * width + x]) == class)
        })
    }

    /// The score of each class; `None` if its boundary was neither in the truth nor predicted.
    pub fn per_class(&self) -> Vec<Option<f64>> {
        let pairs = self.sums.iter().zip(&self.images);
        pairs.map(|(sum, &images)| (images > 0).then(|| sum / images as f64)).collect()
    }

    /// The mean over the classes that have a score; `None` if none has.
    pub fn mean(&self) -> Option<f64> {
        let scores: Vec<f64> = self.per_class().into_iter().flatten().collect();
        (!scores.is_empty()).then(|| scores.iter().sum::<f64>() / scores.len() as f64)
    }
}

/// The mask with all pixels except boundary pixels set to [`IGNORED_CLASS`].
fn edges(mask: &[u16], [height, width]: [usize; 2]) -> Vec<u16> {
    let differs = |place: usize, other: usize| mask[other] != mask[place] && mask[other] != IGNORED_CLASS;
    (0..mask.len())
        .map(|place| {
            let (row, column) = (place / width, place % width);
            let edge = (row > 0 && differs(place, place - width))
                || (row + 1 < height && differs(place, place + width))
                || (column > 0 && differs(place, place - 1))
                || (column + 1 < width && differs(place, place + 1));
            if edge { mask[place] } else { IGNORED_CLASS }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use approx::assert_abs_diff_eq;

    use super::*;

    /// Left half 0, right half 1, with the border before `column`.
    fn halves(column: usize) -> Vec<u16> {
        (0..8 * 8).map(|place| u16::from(place % 8 >= column)).collect()
    }

    #[test]
    fn a_border_within_the_distance_is_right_and_beyond_it_wrong() {
        let score = |distance: f64, column: usize| {
            let mut boundary = BoundaryF1::new(2, distance);
            boundary.update(&halves(4), &halves(column), [8, 8]);
            boundary.mean().unwrap()
        };
        assert_eq!(score(0.0, 4), 1.0);
        assert_eq!(score(1.0, 5), 1.0);
        assert_eq!(score(0.0, 5), 0.0);
        assert_eq!(score(1.0, 6), 0.0);
    }

    #[test]
    fn a_class_found_nowhere_costs_its_recall_and_ignored_pixels_nothing() {
        let mut boundary = BoundaryF1::new(2, 1.0);
        boundary.update(&halves(4), &[0; 64], [8, 8]);
        assert_eq!(boundary.per_class(), [Some(0.0), Some(0.0)]);
        // The outline between the classes is ignored: nothing can be compared, whatever is predicted.
        let mut trimap = BoundaryF1::new(2, 1.0);
        let truth: Vec<u16> =
            (0..64).map(|p| if p % 8 == 4 { IGNORED_CLASS } else { u16::from(p % 8 > 4) }).collect();
        trimap.update(&truth, &halves(2), [8, 8]);
        assert_eq!((trimap.per_class(), trimap.mean()), (vec![None; 2], None));
        let mut boundary = BoundaryF1::new(3, 1.0);
        boundary.update(&[IGNORED_CLASS; 64], &halves(4), [8, 8]);
        assert_eq!(boundary.per_class(), [None; 3]);
    }

    #[test]
    fn precision_and_recall_are_combined_harmonically_and_images_averaged() {
        // Truth: class 1 fills columns 2 to 5, with two borders; predicted: only the first border.
        let truth: Vec<u16> = (0..64).map(|p| u16::from((2..6).contains(&(p % 8)))).collect();
        let predicted = halves(2);
        let mut boundary = BoundaryF1::new(2, 0.0);
        boundary.update(&truth, &predicted, [8, 8]);
        // Class 1: predicted edge column 2 is true; true edges are columns 2 and 5: P = 1, R = 1/2.
        assert_abs_diff_eq!(boundary.per_class()[1].unwrap(), 2.0 / 3.0, epsilon = 1e-12);
        boundary.update(&truth, &truth, [8, 8]);
        assert_abs_diff_eq!(boundary.per_class()[1].unwrap(), (2.0 / 3.0 + 1.0) / 2.0, epsilon = 1e-12);
    }
}
