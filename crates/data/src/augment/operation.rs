//! What an operation is: a name, what to expect of it, and a function of a canvas and of what was drawn.

use cerberus_tensor::random::Stream;
use rand::RngExt;
use rand::distr::uniform::{SampleRange, SampleUniform};

use crate::Sample;

use super::canvas::Canvas;

/// What an operation does to a sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Moves the picture and its labels by one homography.
    Geometry,
    /// Changes each pixel by its own value and those of the whole picture.
    Colour,
    /// Changes pixels by what is around them, or by chance, or takes them away.
    Pixels,
    /// Puts other samples of the data set into this one.
    Mixing,
    /// Draws other operations.
    Policy,
}

/// A named way of changing samples.
pub struct Operation {
    /// What a configuration calls it.
    pub name: &'static str,
    /// What it does at strength 1, in words that follow the name.
    pub what: &'static str,
    /// What it does to a sample.
    pub kind: Kind,
    /// How many other samples it needs.
    pub partners: usize,
    /// How likely it is carried out where a configuration does not say.
    pub probability: f64,
    /// Whether it acts on images of floats; if not, it leaves them as they are.
    pub floats: bool,
    pub(super) apply: fn(&mut Canvas, &mut Draw),
}

impl std::fmt::Debug for Operation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Operation").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Operation {
    /// The sample after the operation; `strength` 0 leaves it as it is, 1 is the usual range, 2 the most.
    /// Operations that need [`partners`](Self::partners) leave the sample as it is where these are fewer, or of
    /// another size.
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
        let empty = canvas.frame().contains(&0.0);
        if draw.strength > 0.0 && !empty && draw.partners.len() >= self.partners {
            (self.apply)(canvas, &mut draw);
        }
    }
}

/// What an operation decides by.
pub(crate) struct Draw {
    /// Above 0, at most [`MOST_STRENGTH`].
    pub strength: f64,
    pub random: Stream,
    pub partners: Vec<Sample>,
}

/// The largest strength.
pub const MOST_STRENGTH: f64 = 2.0;

impl Draw {
    /// A number from a range; the range must not be empty.
    pub fn within<N: SampleUniform>(&mut self, range: impl SampleRange<N>) -> N {
        self.random.random_range(range)
    }

    /// A number of at most `reach` times the strength, either way.
    pub fn either_way(&mut self, reach: f64) -> f64 {
        let reach = reach * self.strength;
        self.within(-reach..=reach)
    }

    /// A factor around 1: from `1 - reach` times the strength, at least 0, to `1 + reach` times the strength.
    pub fn factor(&mut self, reach: f64) -> f64 {
        (1.0 + self.either_way(reach)).max(0.0)
    }

    /// True with this probability.
    pub fn chance(&mut self, probability: f64) -> bool {
        self.random.random::<f64>() < probability
    }
}
