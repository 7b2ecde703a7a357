//! The definition of an operation: a name, its properties, and a function of a canvas and of random draws.

use cerberus_tensor::random::Stream;
use rand::RngExt;
use rand::distr::uniform::{SampleRange, SampleUniform};

use crate::Sample;

use super::canvas::Canvas;

/// The kind of change that an operation makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Moves the picture and its labels by one homography.
    Geometry,
    /// Changes each pixel based on its own value and on statistics of the whole picture.
    Colour,
    /// Changes pixels based on their neighbours or at random, or erases them.
    Pixels,
    /// Mixes other samples of the data set into this one.
    Mixing,
    /// Draws and applies other operations.
    Policy,
    /// Changes sounds.
    Sound,
}

/// A named way of changing samples.
pub struct Operation {
    /// Its name in a configuration.
    pub name: &'static str,
    /// Its effect at strength 1, as a text that follows the name.
    pub what: &'static str,
    /// The kind of change it makes.
    pub kind: Kind,
    /// How many other samples it needs.
    pub partners: usize,
    /// The probability of applying it if a configuration does not give one.
    pub probability: f64,
    /// Whether it works on images of floats; if not, it leaves them unchanged.
    pub floats: bool,
    pub(super) apply: fn(&mut Canvas, &mut Draw),
}

impl std::fmt::Debug for Operation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Operation").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Operation {
    /// Applies the operation to the sample; `strength` 0 leaves it unchanged, 1 is the usual range, 2 the maximum.
    /// Operations that need [`partners`](Self::partners) leave the sample unchanged if there are too few of them, or if
    /// they have another size.
    ///
    /// # Panics
    /// When the image or a label of a sample does not hold as many values as its size says.
    #[track_caller]
    pub fn run(&self, sample: Sample, strength: f64, random: Stream, partners: Vec<Sample>) -> Sample {
        let mut canvas = Canvas::new(sample);
        self.act(&mut canvas, Draw { strength, random, partners });
        canvas.finish()
    }

    pub(super) fn act(&self, canvas: &mut Canvas, mut draw: Draw) {
        let empty = self.kind != Kind::Sound && canvas.frame().contains(&0.0);
        if draw.strength > 0.0 && !empty && draw.partners.len() >= self.partners {
            (self.apply)(canvas, &mut draw);
        }
    }
}

/// The inputs of an operation's decisions.
pub(crate) struct Draw {
    /// Above 0 and at most [`MOST_STRENGTH`].
    pub strength: f64,
    pub random: Stream,
    pub partners: Vec<Sample>,
}

/// The largest strength.
pub const MOST_STRENGTH: f64 = 2.0;

impl Draw {
    /// A random number from a range, which must not be empty.
    pub fn within<N: SampleUniform>(&mut self, range: impl SampleRange<N>) -> N {
        self.random.random_range(range)
    }

    /// A random number from minus to plus `reach` times the strength.
    pub fn either_way(&mut self, reach: f64) -> f64 {
        let reach = reach * self.strength;
        self.within(-reach..=reach)
    }

    /// A random factor around 1: from `1 - reach` times the strength, at least 0, to `1 + reach` times the strength.
    pub fn factor(&mut self, reach: f64) -> f64 {
        (1.0 + self.either_way(reach)).max(0.0)
    }

    /// True with this probability.
    pub fn chance(&mut self, probability: f64) -> bool {
        self.random.random::<f64>() < probability
    }
}
