//! The confusion matrix, and the metrics of segmentation (and of classification) computed from it.
//!
//! One matrix is filled over the whole data set, and the divisions come at the end. Averaging per-image scores instead
//! gives other, usually higher, numbers. `TP_c` is the diagonal; the row sums are `TP_c + FN_c` (the pixels of class
//! c), and the column sums are `TP_c + FP_c` (the pixels predicted as class c):
//!
//! - `IoU_c = TP / (TP + FP + FN)`, `Dice_c = 2 TP / (2 TP + FP + FN)`;
//! - pixel accuracy = trace / total, class accuracy `TP / (TP + FN)`;
//! - frequency weighted IoU = sum over c of (share of the pixels that are of class c) x `IoU_c`
//!   (Long, Shelhamer and Darrell, "Fully Convolutional Networks for Semantic Segmentation", 2015, section 5).
//!
//! A class that does not occur in the ground truth needs a convention, see [`ConfusionMatrix::mean_iou`] and
//! [`ConfusionMatrix::mean_iou_of_present`].

/// The class id of ignored pixels.
pub const IGNORED_CLASS: u16 = u16::MAX;

/// Counts of (true class, predicted class) pairs.
///
/// ```
/// use cerberus_metrics::{ConfusionMatrix, IGNORED_CLASS};
/// let mut matrix = ConfusionMatrix::new(2);
/// matrix.update(&[0, 0, 1, IGNORED_CLASS], &[0, 1, 1, 0]);
/// assert_eq!(matrix.iou_per_class(), [Some(0.5), Some(0.5)]);
/// assert_eq!(matrix.pixel_accuracy(), 2.0 / 3.0);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfusionMatrix {
    classes: usize,
    /// `[classes, classes]`: a row per true class, a column per predicted class.
    counts: Vec<u64>,
}

impl ConfusionMatrix {
    /// An empty matrix of `classes` x `classes`.
    pub fn new(classes: usize) -> Self {
        Self { classes, counts: vec![0; classes * classes] }
    }

    /// Counts the pixels of a mask (or the samples of a batch): `truth[i]` was predicted as `predicted[i]`. Where the
    /// truth is [`IGNORED_CLASS`], nothing is counted.
    ///
    /// # Panics
    /// When the two lengths differ, or a class id is not below the number of classes (the truth may also hold
    /// [`IGNORED_CLASS`]).
    #[track_caller]
    pub fn update(&mut self, truth: &[u16], predicted: &[u16]) {
        assert!(
            truth.len() == predicted.len(),
            "confusion matrix: {} true pixels but {} predicted ones",
            truth.len(),
            predicted.len()
        );
        for (&t, &p) in truth.iter().zip(predicted) {
            if t != IGNORED_CLASS {
                self.record(t.into(), p.into());
            }
        }
    }

    /// Counts one sample of class `truth` predicted as class `predicted`.
    ///
    /// # Panics
    /// When either is not below the number of classes.
    #[inline]
    #[track_caller]
    pub fn record(&mut self, truth: usize, predicted: usize) {
        assert!(
            truth < self.classes && predicted < self.classes,
            "confusion matrix: true class {truth}, predicted class {predicted}, but there are {} classes",
            self.classes
        );
        self.counts[truth * self.classes + predicted] += 1;
    }

    /// Adds the counts of another matrix over the same classes.
    ///
    /// # Panics
    /// When the numbers of classes differ.
    #[track_caller]
    pub fn merge(&mut self, other: &Self) {
        assert!(
            self.classes == other.classes,
            "confusion matrix: cannot merge {} classes with {}",
            self.classes,
            other.classes
        );
        for (a, b) in self.counts.iter_mut().zip(&other.counts) {
            *a += b;
        }
    }

    /// The number of classes.
    pub fn classes(&self) -> usize {
        self.classes
    }

    /// How often class `truth` was predicted as class `predicted`; 0 if either class does not exist.
    pub fn count(&self, truth: usize, predicted: usize) -> u64 {
        let inside = truth < self.classes && predicted < self.classes;
        if inside { self.counts[truth * self.classes + predicted] } else { 0 }
    }

    /// IoU per class; `None` for a class that neither occurs nor is predicted.
    pub fn iou_per_class(&self) -> Vec<Option<f64>> {
        self.per_class(|c| ratio(c.hits, c.truth + c.predicted - c.hits))
    }

    /// Dice coefficient (F1 score) per class; `None` for a class that neither occurs nor is predicted.
    pub fn dice_per_class(&self) -> Vec<Option<f64>> {
        self.per_class(|c| ratio(2 * c.hits, c.truth + c.predicted))
    }

    /// Share of each class's samples that were predicted correctly (recall); `None` for a class that does not occur.
    pub fn accuracy_per_class(&self) -> Vec<Option<f64>> {
        self.per_class(|c| ratio(c.hits, c.truth))
    }

    /// Share of each class's predictions that were right (precision); `None` for a class that was never predicted.
    pub fn precision_per_class(&self) -> Vec<Option<f64>> {
        self.per_class(|c| ratio(c.hits, c.predicted))
    }

    /// Mean IoU over the classes that occur **or are predicted** (a union above 0): predicting a class that does not
    /// occur adds a zero to the mean. This is the stricter convention, and the one reported as mIoU. 0 for an empty
    /// matrix.
    pub fn mean_iou(&self) -> f64 {
        mean(self.iou_per_class().into_iter().flatten())
    }

    /// Mean IoU over only the classes that occur in the ground truth. Never below [`Self::mean_iou`], and equal to it
    /// if every predicted class occurs. 0 for an empty matrix.
    pub fn mean_iou_of_present(&self) -> f64 {
        mean(self.per_class(|c| if c.truth > 0 { c.iou() } else { None }).into_iter().flatten())
    }

    /// Mean Dice coefficient over the classes that occur or are predicted; 0 for an empty matrix.
    pub fn mean_dice(&self) -> f64 {
        mean(self.dice_per_class().into_iter().flatten())
    }

    /// Share of all samples that were right; 0 for an empty matrix.
    pub fn pixel_accuracy(&self) -> f64 {
        let hits = (0..self.classes).map(|class| self.count(class, class)).sum();
        ratio(hits, self.total()).unwrap_or(0.0)
    }

    /// Mean of [`Self::accuracy_per_class`] over the classes that occur, also called balanced accuracy; 0 for
    /// an empty matrix.
    pub fn mean_class_accuracy(&self) -> f64 {
        mean(self.accuracy_per_class().into_iter().flatten())
    }

    /// IoU of each class weighted by its share of the ground truth; 0 for an empty matrix.
    pub fn frequency_weighted_iou(&self) -> f64 {
        let weighted = self.per_class(|c| c.iou().map(|iou| c.truth as f64 * iou));
        let total = self.total();
        if total == 0 { 0.0 } else { weighted.into_iter().flatten().sum::<f64>() / total as f64 }
    }

    /// The number of samples counted.
    pub fn total(&self) -> u64 {
        self.counts.iter().sum()
    }

    fn per_class(&self, score: impl Fn(ClassCounts) -> Option<f64>) -> Vec<Option<f64>> {
        (0..self.classes)
            .map(|class| {
                score(ClassCounts {
                    hits: self.count(class, class),
                    truth: (0..self.classes).map(|other| self.count(class, other)).sum(),
                    predicted: (0..self.classes).map(|other| self.count(other, class)).sum(),
                })
            })
            .collect()
    }
}

/// The counts of one class.
struct ClassCounts {
    /// TP
    hits: u64,
    /// TP + FN
    truth: u64,
    /// TP + FP
    predicted: u64,
}

impl ClassCounts {
    fn iou(&self) -> Option<f64> {
        ratio(self.hits, self.truth + self.predicted - self.hits)
    }
}

fn ratio(numerator: u64, denominator: u64) -> Option<f64> {
    (denominator > 0).then(|| numerator as f64 / denominator as f64)
}

fn mean(values: impl Iterator<Item = f64>) -> f64 {
    let (sum, count) = values.fold((0.0, 0_u32), |(sum, count), value| (sum + value, count + 1));
    if count == 0 { 0.0 } else { sum / f64::from(count) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_absent_class_costs_only_the_strict_mean_and_only_when_predicted() {
        let mut matrix = ConfusionMatrix::new(4);
        matrix.update(&[0, 0, 1, 1], &[0, 0, 1, 2]); // class 2 is only predicted, class 3 does not occur
        assert_eq!(matrix.iou_per_class(), [Some(1.0), Some(0.5), Some(0.0), None]);
        assert_eq!(matrix.mean_iou(), 0.5);
        assert_eq!(matrix.mean_iou_of_present(), 0.75);
    }

    #[test]
    fn ignored_pixels_are_not_counted_whatever_is_predicted_there() {
        let mut matrix = ConfusionMatrix::new(2);
        matrix.update(&[IGNORED_CLASS, 1, IGNORED_CLASS], &[0, 1, 200]);
        assert_eq!(matrix.total(), 1);
        assert_eq!(matrix.pixel_accuracy(), 1.0);
    }

    #[test]
    fn an_empty_matrix_scores_zero() {
        let matrix = ConfusionMatrix::new(3);
        assert_eq!(matrix.iou_per_class(), [None; 3]);
        let scores = [
            matrix.mean_iou(),
            matrix.mean_iou_of_present(),
            matrix.mean_dice(),
            matrix.pixel_accuracy(),
            matrix.mean_class_accuracy(),
            matrix.frequency_weighted_iou(),
        ];
        assert_eq!(scores, [0.0; 6]);
    }

    #[test]
    fn merging_equals_counting_together() {
        let (mut a, mut b, mut both) =
            (ConfusionMatrix::new(3), ConfusionMatrix::new(3), ConfusionMatrix::new(3));
        a.update(&[0, 1], &[0, 2]);
        b.update(&[2, 2], &[1, 2]);
        both.update(&[0, 1, 2, 2], &[0, 2, 1, 2]);
        a.merge(&b);
        assert_eq!(a, both);
    }

    #[test]
    #[should_panic(expected = "true class 7")]
    fn a_class_beyond_the_matrix_is_named() {
        ConfusionMatrix::new(3).update(&[7], &[0]);
    }
}
