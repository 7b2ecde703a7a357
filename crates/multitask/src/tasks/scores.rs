//! Metrics for each kind of prediction, built from those of [`cerberus_metrics`]: which figures a
//! task reports, and which of them is its main one. Predictions of a class that an image's set does
//! not [annotate](super::annotated) do not count as errors.

use cerberus_data::{Batch, ClassId, IGNORED};

use super::annotated::{among, annotated, has};
use super::{Metric, PrecisionCurve, Prediction};
use crate::head_config::HeadConfig;
use cerberus_metrics::boxes;
use cerberus_metrics::coco::{self, CocoEvaluator};
use cerberus_metrics::{
    AveragePrecision, BoundaryF1, CALIBRATION_BINS, Calibration, ClassSamples, ConfusionMatrix,
    RegressionErrors, TopKAccuracy, argmax,
};

type Figures = Vec<(&'static str, Option<f64>)>;
type ClassFigures = Vec<(&'static str, Vec<Option<f64>>)>;

/// The figures if there were data, else their names with `None`.
fn known<const N: usize>(seen: bool, figures: [(&'static str, f64); N]) -> Figures {
    figures.into_iter().map(|(name, value)| (name, seen.then_some(value))).collect()
}

/// Scores of one class per image: accuracy, and figures that explain it.
pub(super) struct ClassScores {
    label: String,
    top1: TopKAccuracy,
    top5: TopKAccuracy,
    confusion: ConfusionMatrix,
    calibration: Calibration,
    samples: ClassSamples,
}

impl ClassScores {
    pub fn new(head: &HeadConfig) -> Self {
        Self {
            label: head.label.clone(),
            top1: TopKAccuracy::new(1),
            top5: TopKAccuracy::new(5),
            confusion: ConfusionMatrix::new(head.outputs()),
            calibration: Calibration::new(CALIBRATION_BINS),
            samples: ClassSamples::new(head.outputs()),
        }
    }
}

impl Metric for ClassScores {
    fn update(&mut self, predictions: &[Prediction], batch: &Batch) {
        let known = annotated(batch, &self.label, self.confusion.classes());
        for ((prediction, class), known) in predictions.iter().zip(batch.classes_of(&self.label)).zip(known) {
            if let (Prediction::Classes(probabilities), Some(class)) = (prediction, class) {
                let probabilities = &among(probabilities, |other| other == class || has(known, other));
                self.top1.record(probabilities, class);
                self.top5.record(probabilities, class);
                self.confusion.record(class, argmax(probabilities).unwrap_or(0));
                self.samples.record(probabilities, class);
                let probabilities: Vec<f64> = probabilities.iter().map(|&p| p.into()).collect();
                self.calibration.record(&probabilities, class);
            }
        }
    }

    fn values(&self) -> Figures {
        known(self.top1.samples() > 0, [("accuracy", self.top1.value())])
    }

    fn details(&self) -> Figures {
        let figures = [
            ("top5_accuracy", self.top5.value()),
            ("balanced_accuracy", self.confusion.mean_class_accuracy()),
            ("macro_f1", self.confusion.mean_dice()),
            ("nll", self.calibration.negative_log_likelihood()),
            ("brier", self.calibration.brier()),
            ("ece", self.calibration.expected_error()),
            ("mce", self.calibration.maximum_error()),
        ];
        known(self.top1.samples() > 0, figures)
    }

    fn per_class(&self) -> ClassFigures {
        vec![
            ("accuracy", self.confusion.accuracy_per_class()),
            ("precision", self.confusion.precision_per_class()),
            ("f1", self.confusion.dice_per_class()),
        ]
    }

    fn confusion(&self) -> Option<&ConfusionMatrix> {
        Some(&self.confusion)
    }

    fn class_samples(&self) -> Option<&ClassSamples> {
        Some(&self.samples)
    }
}

/// A COCO figure, which is -1 if there was nothing to find.
fn there(value: f64) -> Option<f64> {
    (value >= 0.0).then_some(value)
}

/// Scores of boxes: COCO's, and the IoU of the best box of each object.
pub(super) struct ObjectScores {
    label: String,
    coco: CocoEvaluator,
    overlap: f64,
    objects: u64,
}

impl ObjectScores {
    pub fn new(head: &HeadConfig) -> Self {
        let coco = CocoEvaluator::new(head.outputs());
        Self { label: head.label.clone(), coco, overlap: 0.0, objects: 0 }
    }
}

impl Metric for ObjectScores {
    fn update(&mut self, predictions: &[Prediction], batch: &Batch) {
        let known = annotated(batch, &self.label, self.coco.classes());
        for ((prediction, objects), known) in predictions.iter().zip(batch.objects_of(&self.label)).zip(known)
        {
            let (Prediction::Objects(found), Some(objects)) = (prediction, objects) else { continue };
            let found: Vec<_> = found.iter().filter(|d| has(known, d.class)).collect();
            let truth = objects.iter().map(|o| coco::GroundTruth {
                area: o.area.into(),
                crowd: o.crowd,
                ..coco::GroundTruth::from_corners(o.class, o.bbox)
            });
            let boxes = found.iter().map(|d| coco::Detection::from_corners(d.class, d.bbox, d.score));
            self.coco.add_image(&truth.collect::<Vec<_>>(), &boxes.collect::<Vec<_>>());
            for object in objects.iter().filter(|object| !object.crowd) {
                // With n objects of the class, the best fit among the n most certain boxes of the class.
                let alike =
                    objects.iter().filter(|other| !other.crowd && other.class == object.class).count();
                let candidates = found.iter().filter(|d| d.class == object.class).take(alike);
                self.overlap += candidates.map(|d| boxes::iou(&d.bbox, &object.bbox)).fold(0.0, f64::max);
                self.objects += 1;
            }
        }
    }

    fn values(&self) -> Figures {
        let summary = self.coco.evaluate().summary;
        vec![("map", there(summary.map)), ("map50", there(summary.map50))]
    }

    fn details(&self) -> Figures {
        let s = self.coco.evaluate().summary;
        let mut figures = known(self.objects > 0, [("box_iou", self.overlap / self.objects.max(1) as f64)]);
        let coco = [
            ("ap50", s.map50),
            ("ap75", s.map75),
            ("ap_small", s.map_small),
            ("ap_medium", s.map_medium),
            ("ap_large", s.map_large),
            ("ar1", s.ar1),
            ("ar10", s.ar10),
            ("ar100", s.ar100),
            ("ar_small", s.ar_small),
            ("ar_medium", s.ar_medium),
            ("ar_large", s.ar_large),
        ];
        figures.extend(coco.map(|(name, value)| (name, there(value))));
        figures
    }

    fn per_class(&self) -> ClassFigures {
        let classes = self.coco.evaluate().per_class;
        let of =
            |figure: fn(&coco::ClassAp) -> f64| classes.iter().map(|class| there(figure(class))).collect();
        vec![
            ("ap", of(|c| c.ap)),
            ("ap50", of(|c| c.ap50)),
            ("ap75", of(|c| c.ap75)),
            ("ap_small", of(|c| c.ap_by_size[0])),
            ("ap_medium", of(|c| c.ap_by_size[1])),
            ("ap_large", of(|c| c.ap_by_size[2])),
            ("ar100", of(|c| c.ar100)),
            ("ar_small", of(|c| c.ar_by_size[0])),
            ("ar_medium", of(|c| c.ar_by_size[1])),
            ("ar_large", of(|c| c.ar_by_size[2])),
        ]
    }

    fn curves(&self) -> Vec<PrecisionCurve> {
        let all = (0..self.coco.classes()).flat_map(|class| (0..coco::THRESHOLDS).map(move |t| (class, t)));
        let curve = |(class, threshold): (usize, usize)| {
            let precision = self.coco.precision_curve(class, threshold)?;
            let points = precision.iter().enumerate().map(|(place, &p)| [place as f64 * 0.01, p]).collect();
            Some(PrecisionCurve { class, iou: Some(coco::iou_threshold(threshold)), points })
        };
        all.filter_map(curve).collect()
    }
}

/// Scores of masks: mean IoU over all pixels seen, and other figures of the same pixels.
pub(super) struct MaskScores {
    label: String,
    confusion: ConfusionMatrix,
    boundary: BoundaryF1,
}

impl MaskScores {
    pub fn new(head: &HeadConfig, image: [usize; 2]) -> Self {
        let classes = head.outputs() + 1;
        // Boundaries agree within 0.75 % of the diagonal, the paper's choice, and at least one pixel.
        let diagonal = (image[0] as f64).hypot(image[1] as f64);
        let distance = (0.0075 * diagonal).max(1.0);
        Self {
            label: head.label.clone(),
            confusion: ConfusionMatrix::new(classes),
            boundary: BoundaryF1::new(classes, distance),
        }
    }
}

impl Metric for MaskScores {
    fn update(&mut self, predictions: &[Prediction], batch: &Batch) {
        let known = annotated(batch, &self.label, self.confusion.classes() - 1);
        for ((prediction, mask), known) in predictions.iter().zip(batch.masks_of(&self.label)).zip(known) {
            if let (Prediction::Mask(predicted), Some(mask)) = (prediction, mask) {
                // A background pixel may belong to a class that the set does not annotate.
                let judged = |(&id, &found): (&ClassId, &ClassId)| match usize::from(found).checked_sub(1) {
                    Some(class) if id == 0 && !has(known, class) => IGNORED,
                    _ => id,
                };
                let judged: Option<Vec<ClassId>> =
                    known.map(|_| mask.classes.iter().zip(predicted).map(judged).collect());
                let truth = judged.as_ref().unwrap_or(&mask.classes);
                self.confusion.update(truth, predicted);
                self.boundary.update(truth, predicted, [mask.height, mask.width]);
            }
        }
    }

    fn values(&self) -> Figures {
        let figures =
            [("miou", self.confusion.mean_iou()), ("pixel_accuracy", self.confusion.pixel_accuracy())];
        known(self.confusion.total() > 0, figures)
    }

    fn details(&self) -> Figures {
        let things: Vec<f64> = self.confusion.iou_per_class().into_iter().skip(1).flatten().collect();
        let figures = [
            ("miou_of_present", self.confusion.mean_iou_of_present()),
            ("dice", self.confusion.mean_dice()),
            ("class_accuracy", self.confusion.mean_class_accuracy()),
            ("frequency_weighted_iou", self.confusion.frequency_weighted_iou()),
        ];
        let mut all = known(
            !things.is_empty(),
            [("mask_iou", things.iter().sum::<f64>() / things.len().max(1) as f64)],
        );
        all.extend(known(self.confusion.total() > 0, figures));
        all.push(("boundary_f1", self.boundary.mean()));
        all
    }

    fn per_class(&self) -> ClassFigures {
        // The class names exclude the background, which comes first in the matrix.
        let things = |mut values: Vec<Option<f64>>| values.split_off(1);
        vec![
            ("iou", things(self.confusion.iou_per_class())),
            ("dice", things(self.confusion.dice_per_class())),
            ("accuracy", things(self.confusion.accuracy_per_class())),
        ]
    }

    fn confusion(&self) -> Option<&ConfusionMatrix> {
        Some(&self.confusion)
    }
}

/// Scores of several classes per image: the mean of the classes' average precisions.
pub(super) struct ClassSetScores {
    label: String,
    precision: Vec<AveragePrecision>,
    /// Of each class: true positives, false positives and misses at a probability of a half.
    counts: Vec<[u64; 3]>,
}

impl ClassSetScores {
    pub fn new(head: &HeadConfig) -> Self {
        let classes = head.outputs();
        let precision = vec![AveragePrecision::default(); classes];
        Self { label: head.label.clone(), precision, counts: vec![[0; 3]; classes] }
    }
}

impl Metric for ClassSetScores {
    fn update(&mut self, predictions: &[Prediction], batch: &Batch) {
        let known = annotated(batch, &self.label, self.counts.len());
        for ((prediction, truth), known) in
            predictions.iter().zip(batch.class_sets_of(&self.label)).zip(known)
        {
            let (Prediction::ClassSet(probabilities), Some(truth)) = (prediction, truth) else { continue };
            let classes = self.precision.iter_mut().zip(&mut self.counts);
            let said = probabilities.iter().zip(truth).enumerate();
            for ((precision, counts), (class, (&p, &there))) in classes.zip(said) {
                if !there && !has(known, class) {
                    continue;
                }
                precision.record(p.into(), there);
                match (p >= 0.5, there) {
                    (true, true) => counts[0] += 1,
                    (true, false) => counts[1] += 1,
                    (false, true) => counts[2] += 1,
                    (false, false) => {}
                }
            }
        }
    }

    fn values(&self) -> Figures {
        let values: Vec<f64> = self.precision.iter().filter_map(AveragePrecision::value).collect();
        known(!values.is_empty(), [("mean_ap", values.iter().sum::<f64>() / values.len().max(1) as f64)])
    }

    fn details(&self) -> Figures {
        let f1 = |[right, wrong, missed]: [u64; 3]| match 2 * right + wrong + missed {
            0 => 0.0,
            all => 2.0 * right as f64 / all as f64,
        };
        let total = self.counts.iter().fold([0; 3], |t, c| [t[0] + c[0], t[1] + c[1], t[2] + c[2]]);
        let macro_f1 = self.counts.iter().map(|&c| f1(c)).sum::<f64>() / self.counts.len().max(1) as f64;
        // A class that is neither present nor predicted has F1 0; if all are so, both figures are unknown.
        known(total != [0; 3], [("micro_f1", f1(total)), ("macro_f1", macro_f1)])
    }

    fn per_class(&self) -> ClassFigures {
        vec![("ap", self.precision.iter().map(AveragePrecision::value).collect())]
    }

    fn curves(&self) -> Vec<PrecisionCurve> {
        let curve = |(class, precision): (usize, &AveragePrecision)| {
            let points = precision.curve();
            (!points.is_empty()).then_some(PrecisionCurve { class, iou: None, points })
        };
        self.precision.iter().enumerate().filter_map(curve).collect()
    }
}

/// Scores of numbers, per image or per pixel.
pub(super) struct NumberScores {
    label: String,
    errors: RegressionErrors,
    depth: bool,
}

impl NumberScores {
    pub fn of_images(head: &HeadConfig) -> Self {
        Self { label: head.label.clone(), errors: RegressionErrors::default(), depth: false }
    }

    pub fn of_pixels(head: &HeadConfig) -> Self {
        Self { depth: true, ..Self::of_images(head) }
    }

    /// The shares of predictions near enough to the truth, among positive truths.
    fn within_figures(&self) -> [Option<f64>; 3] {
        self.errors.within().map(|share| (self.errors.positive() > 0).then_some(share))
    }
}

impl Metric for NumberScores {
    fn update(&mut self, predictions: &[Prediction], batch: &Batch) {
        let errors = &mut self.errors;
        for (prediction, truth) in predictions.iter().zip(batch.values_of(&self.label)) {
            if let (Prediction::Values(found), Some(truth)) = (prediction, truth) {
                truth.iter().zip(found).for_each(|(&t, &p)| errors.record(t.into(), p.into()));
            }
        }
        for (prediction, truth) in predictions.iter().zip(batch.value_maps_of(&self.label)) {
            if let (Prediction::ValueMap(found), Some(truth)) = (prediction, truth) {
                truth.values.iter().zip(found).for_each(|(&t, &p)| errors.record_depth(t.into(), p.into()));
            }
        }
    }

    fn values(&self) -> Figures {
        // R2 has no lower bound; negative values count as 0.
        let explained = self.errors.r_squared().map(|r2| r2.max(0.0));
        let within = self.within_figures()[0];
        let main = if self.depth { ("delta1", within) } else { ("r2", explained) };
        let errors = [("mae", self.errors.mean_absolute()), ("rmse", self.errors.root_mean_square())];
        std::iter::once(main).chain(known(self.errors.count() > 0, errors)).collect()
    }

    fn details(&self) -> Figures {
        let [_, delta2, delta3] = self.within_figures();
        let relative =
            [("abs_rel", self.errors.mean_relative()), ("sq_rel", self.errors.mean_squared_relative())];
        let mut figures = known(self.errors.positive() > 0, relative);
        figures.extend([("delta2", delta2), ("delta3", delta3)]);
        figures
    }
}
