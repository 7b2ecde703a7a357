//! What the subject of a clip does, and where that puts it in the frames before the last.

use std::f32::consts::PI;

use cerberus_tensor::random::Stream;
use rand::RngExt;

use crate::scenes::sprite::Pose;

/// The names of the motions, in the order of their classes.
pub const MOTIONS: [&str; 12] = [
    "right",
    "down-right",
    "down",
    "down-left",
    "left",
    "up-left",
    "up",
    "up-right",
    "still",
    "turning",
    "coming",
    "going",
];
/// The first class that is not a direction.
const DIRECTIONS: usize = 8;

/// How far the subject turns from the first frame to the last, in degrees, in either direction.
const TURN: std::ops::RangeInclusive<f32> = 60.0..=150.0;
/// The ratio of the subject's sizes in the first and last frame.
const GROWTH: std::ops::RangeInclusive<f32> = 1.5..=1.8;

/// A motion of the subject.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Motion {
    /// A straight way in one of eight directions: multiples of 45 degrees from the right, clockwise.
    Way(usize),
    /// It stays where it is.
    Still,
    /// It turns around its centre; the angle from the first frame to the last in degrees, clockwise.
    Turning(f32),
    /// It comes nearer and grows; the ratio of the last to the first size.
    Coming(f32),
    /// It goes away and shrinks; the ratio of the first to the last size.
    Going(f32),
}

impl Motion {
    /// One of the [`MOTIONS`], each with the same probability.
    pub(super) fn draw(random: &mut Stream) -> Motion {
        let class = random.random_range(0..MOTIONS.len());
        Motion::of_class(class, random)
    }

    /// A motion of a class, with its strength drawn.
    pub(super) fn of_class(class: usize, random: &mut Stream) -> Motion {
        let turn = random.random_range(TURN) * if random.random() { 1.0 } else { -1.0 };
        let growth = random.random_range(GROWTH);
        match class - class.min(DIRECTIONS) {
            _ if class < DIRECTIONS => Motion::Way(class),
            0 => Motion::Still,
            1 => Motion::Turning(turn),
            2 => Motion::Coming(growth),
            _ => Motion::Going(growth),
        }
    }

    /// The class: an index into [`MOTIONS`].
    pub fn class(&self) -> usize {
        match self {
            Motion::Way(direction) => *direction,
            Motion::Still => DIRECTIONS,
            Motion::Turning(_) => DIRECTIONS + 1,
            Motion::Coming(_) => DIRECTIONS + 2,
            Motion::Going(_) => DIRECTIONS + 3,
        }
    }

    /// The pose before the pose `last`: `back` is the share of the clip in between, 1 for the first frame and 0 for the
    /// last; `travel` is the way from the first frame to the last in pixels, if there is one.
    pub(super) fn before(&self, last: &Pose, back: f32, travel: f32) -> Pose {
        let mut pose = *last;
        match self {
            Motion::Way(direction) => {
                let (down, right) = (*direction as f32 * PI / 4.0).sin_cos();
                pose.centre = [last.centre[0] - right * travel * back, last.centre[1] - down * travel * back];
            }
            Motion::Still => {}
            Motion::Turning(degrees) => pose.angle -= degrees.to_radians() * back,
            Motion::Coming(growth) => pose.side /= growth.powf(back),
            Motion::Going(growth) => pose.side *= growth.powf(back),
        }
        pose
    }
}
