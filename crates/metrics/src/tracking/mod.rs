//! Links the boxes of a film from frame to frame: each gets the number of its track.
//!
//! As in SORT (Bewley et al., "Simple Online and Realtime Tracking", 2016): every track guesses where its box is now,
//! and the boxes of the frame are assigned to tracks so that the sum of the overlaps (IoU) is the largest possible.
//! A box that is left begins a track, and a track that is left waits a few frames before it ends. Only boxes of one
//! class are linked. The guess is simpler than SORT's Kalman filter: the last box, moved on at the track's mean speed.

mod assignment;

use crate::boxes::{BBox, iou};

pub use assignment::assign;

/// The share of the newest change in a track's speed; the rest is the speed before.
const NEWEST: f32 = 0.5;

/// How boxes are linked.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TrackerOptions {
    /// The least overlap (IoU, above 0) of a box with the place where a track expects it.
    pub least_iou: f64,
    /// The number of frames for which a track without a box waits.
    pub patience: usize,
}

impl Default for TrackerOptions {
    /// An overlap of 0.3, as in SORT, and 3 frames.
    fn default() -> Self {
        TrackerOptions { least_iou: 0.3, patience: 3 }
    }
}

/// Links boxes; it is told one frame after the other.
///
/// ```
/// use cerberus_metrics::tracking::{Tracker, TrackerOptions};
/// let mut tracker = Tracker::new(TrackerOptions::default());
/// assert_eq!(tracker.update(&[[0.0, 0.0, 8.0, 8.0], [20.0, 0.0, 28.0, 8.0]], &[1, 1]), [0, 1]);
/// // The detector names them in another order, and finds something new.
/// let boxes = [[18.0, 1.0, 26.0, 9.0], [2.0, 1.0, 10.0, 9.0], [40.0, 0.0, 48.0, 8.0]];
/// assert_eq!(tracker.update(&boxes, &[1, 1, 1]), [1, 0, 2]);
/// ```
#[derive(Clone, Debug)]
pub struct Tracker {
    options: TrackerOptions,
    /// In the order of their numbers.
    tracks: Vec<Track>,
    /// The number of the next track.
    next: usize,
}

#[derive(Clone, Debug)]
struct Track {
    number: usize,
    class: usize,
    bbox: BBox,
    /// How each coordinate changes from frame to frame; `None` after the first frame.
    speed: Option<BBox>,
    /// Frames since the last box.
    missed: usize,
}

impl Track {
    /// Where the box is expected in the frame after `missed` frames without one.
    fn expected(&self) -> BBox {
        let frames = (self.missed + 1) as f32;
        let speed = self.speed.unwrap_or([0.0; 4]);
        [0, 1, 2, 3].map(|side| self.bbox[side] + speed[side] * frames)
    }

    fn goes_on(&mut self, bbox: BBox) {
        let frames = (self.missed + 1) as f32;
        let change = [0, 1, 2, 3].map(|side| (bbox[side] - self.bbox[side]) / frames);
        self.speed = Some(match self.speed {
            Some(speed) => [0, 1, 2, 3].map(|side| speed[side] + NEWEST * (change[side] - speed[side])),
            None => change,
        });
        (self.bbox, self.missed) = (bbox, 0);
    }
}

impl Tracker {
    /// A tracker before the first frame.
    pub fn new(options: TrackerOptions) -> Tracker {
        Tracker { options, tracks: Vec::new(), next: 0 }
    }

    /// Links the boxes of the next frame, with their classes; returns the number of each box's track, in the order of
    /// the boxes. Tracks are numbered from 0 in the order in which they begin, and no number is used twice.
    ///
    /// Boxes should be those that are shown, after non-maximum suppression: each is linked or begins a track. A box
    /// with a coordinate that is NaN overlaps with nothing.
    ///
    /// # Panics
    /// When there are not as many classes as boxes.
    #[track_caller]
    pub fn update(&mut self, boxes: &[BBox], classes: &[usize]) -> Vec<usize> {
        assert!(
            boxes.len() == classes.len(),
            "Tracker::update: {} boxes but {} classes; there must be one class per box",
            boxes.len(),
            classes.len()
        );
        // Without a link there is nothing to gain, so the cheapest assignment has the largest sum of overlaps.
        let expected: Vec<BBox> = self.tracks.iter().map(Track::expected).collect();
        let mut cost = Vec::with_capacity(boxes.len() * expected.len()); // [boxes, tracks]
        for (bbox, &class) in boxes.iter().zip(classes) {
            cost.extend(self.tracks.iter().zip(&expected).map(|(track, expected)| {
                let overlap = if track.class == class { iou(bbox, expected) } else { 0.0 };
                if overlap >= self.options.least_iou { -overlap } else { 0.0 }
            }));
        }
        let tracks = expected.len();
        let mut linked = vec![false; tracks];
        let mut numbers = Vec::with_capacity(boxes.len());
        for (place, assigned) in assign(&cost, boxes.len(), tracks).into_iter().enumerate() {
            match assigned.filter(|&track| cost[place * tracks + track] < 0.0) {
                Some(track) => {
                    self.tracks[track].goes_on(boxes[place]);
                    linked[track] = true;
                    numbers.push(self.tracks[track].number);
                }
                None => {
                    let (number, class, bbox) = (self.next, classes[place], boxes[place]);
                    self.tracks.push(Track { number, class, bbox, speed: None, missed: 0 });
                    self.next += 1;
                    numbers.push(number);
                }
            }
        }
        let (missing, patience) = (self.tracks.iter_mut().zip(linked), self.options.patience);
        missing.for_each(|(track, linked)| track.missed += usize::from(!linked));
        self.tracks.retain(|track| track.missed <= patience);
        numbers
    }

    /// How many tracks there are, with those that wait.
    pub fn tracks(&self) -> usize {
        self.tracks.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn square(x: f32, y: f32) -> BBox {
        [x, y, x + 10.0, y + 10.0]
    }

    /// The numbers of the frames' boxes, all of one class.
    fn link(options: TrackerOptions, frames: &[Vec<BBox>]) -> Vec<Vec<usize>> {
        let mut tracker = Tracker::new(options);
        frames.iter().map(|boxes| tracker.update(boxes, &vec![0; boxes.len()])).collect()
    }

    #[test]
    fn boxes_that_cross_keep_their_tracks() {
        // One from the left and one from the right, which meet in the middle; every second frame names them the
        // other way round.
        let frames: Vec<Vec<BBox>> = (0..12)
            .map(|frame| {
                let at = 3.0 * frame as f32;
                let mut boxes = vec![square(at, 0.5 * at), square(33.0 - at, 0.5 * at)];
                if frame % 2 == 1 {
                    boxes.reverse();
                }
                boxes
            })
            .collect();
        for (frame, numbers) in link(TrackerOptions::default(), &frames).iter().enumerate() {
            assert_eq!(numbers[..], if frame % 2 == 1 { [1, 0] } else { [0, 1] }, "frame {frame}");
        }
    }

    #[test]
    fn the_sum_of_overlaps_decides_and_not_the_best_pair_alone() {
        // The first box overlaps most with the second track, but the second box with that track alone.
        let frames = [vec![square(0.0, 0.0), square(6.0, 0.0)], vec![square(4.0, 0.0), square(9.0, 0.0)]];
        assert_eq!(link(TrackerOptions { least_iou: 0.25, patience: 0 }, &frames)[1], [0, 1]);
    }

    #[test]
    fn a_track_waits_for_as_many_frames_as_it_is_told() {
        for patience in [0, 1, 3] {
            for missing in 0..5 {
                // It moves on while nobody sees it.
                let mut frames = vec![vec![square(0.0, 0.0)], vec![square(4.0, 0.0)]];
                frames.extend(vec![vec![]; missing]);
                frames.push(vec![square(4.0 * (missing + 2) as f32, 0.0)]);
                let numbers = link(TrackerOptions { patience, ..TrackerOptions::default() }, &frames);
                let expected = usize::from(missing > patience);
                assert_eq!(numbers.last(), Some(&vec![expected]), "{missing} missing, patience {patience}");
            }
        }
    }

    #[test]
    fn tracks_are_of_one_class_and_ended_ones_are_forgotten() {
        let mut tracker = Tracker::new(TrackerOptions { patience: 1, ..TrackerOptions::default() });
        assert_eq!(tracker.update(&[square(0.0, 0.0)], &[7]), [0]);
        assert_eq!(tracker.update(&[square(0.0, 0.0)], &[8]), [1]);
        assert_eq!(tracker.update(&[square(0.0, 0.0), square(0.0, 0.0)], &[8, 7]), [1, 0]);
        assert_eq!(tracker.tracks(), 2);
        for _ in 0..2 {
            assert_eq!(tracker.update(&[], &[]), [] as [usize; 0]);
        }
        assert_eq!(tracker.tracks(), 0);
        assert_eq!(tracker.update(&[[f32::NAN; 4]; 2], &[1, 1]), [2, 3]);
        assert_eq!(tracker.update(&[[f32::NAN; 4]], &[1]), [4]);
    }

    #[test]
    fn a_box_that_jumps_or_changes_its_size_begins_a_track() {
        let small = [0.0, 0.0, 4.0, 4.0];
        let frames = [vec![square(0.0, 0.0)], vec![square(8.0, 8.0)], vec![small]];
        assert_eq!(link(TrackerOptions::default(), &frames), [[0], [1], [2]]);
    }
}
