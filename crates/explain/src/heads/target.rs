//! One number of a head's answer, as a function of its raw outputs.

use cerberus_autograd::Var;
use cerberus_multitask::{HeadOutput, Task};
use cerberus_tensor::{Element, Tensor};

/// A side of a box.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// x1.
    Left,
    /// y1.
    Top,
    /// x2.
    Right,
    /// y2.
    Bottom,
}

impl Side {
    /// All four, in the order of a box's numbers.
    pub const ALL: [Self; 4] = [Self::Left, Self::Top, Self::Right, Self::Bottom];

    /// Its name.
    pub fn name(self) -> &'static str {
        ["left", "top", "right", "bottom"][self as usize]
    }
}

/// One number of a head's answer to a picture. Channels, places and pixels are fixed, so that it is the same function
/// for every picture.
#[derive(Clone, Debug, PartialEq)]
pub enum Target {
    /// The logit of a class, of a head with one row of logits for a picture.
    Logit {
        /// The class.
        class: usize,
    },
    /// A class's logit less another's.
    Margin {
        /// The class.
        class: usize,
        /// The other one.
        over: usize,
    },
    /// A number of a head for regression.
    Number {
        /// Its place.
        index: usize,
    },
    /// The score of a detection, 0 to 1.
    Score {
        /// The detection's place among the head's [candidates](Task::candidates).
        place: usize,
        /// Its class.
        class: usize,
    },
    /// A side of a detection's box, in pixels.
    Side {
        /// The detection's place among the head's [candidates](Task::candidates).
        place: usize,
        /// The side.
        side: Side,
    },
    /// The mean logit of a class over pixels, of a head with logits for each pixel.
    Region {
        /// The class; `None` is the background.
        class: Option<usize>,
        /// The pixels, counted row by row.
        pixels: Vec<usize>,
    },
    /// The mean number over pixels, of a head with a number for each pixel.
    Depth {
        /// The pixels, counted row by row.
        pixels: Vec<usize>,
    },
}

impl Target {
    /// The target's number for each picture, `[N, 1]`.
    ///
    /// # Panics
    /// If the head is of another kind than the target.
    #[track_caller]
    pub fn value<T: Element>(&self, task: &dyn Task<T>, output: &HeadOutput<T>) -> Var<T> {
        let row = |index: usize| output.maps[0].clone().narrow(1, index, 1);
        let candidates = || task.candidates(output).expect("a target for objects, of a head that finds them");
        let one = |x: Var<T>, place: usize, channel: usize| {
            let n = x.shape()[0];
            x.narrow(1, place, 1).narrow(2, channel, 1).reshape(&[n, 1])
        };
        match self {
            Self::Logit { class } => row(*class),
            Self::Margin { class, over } => row(*class) - row(*over),
            Self::Number { index } => row(*index),
            Self::Score { place, class } => one(candidates().scores, *place, *class),
            Self::Side { place, side } => one(candidates().boxes, *place, *side as usize),
            // Channel 0 is the background.
            Self::Region { class, pixels } => mean(output, class.map_or(0, |class| class + 1), pixels),
            Self::Depth { pixels } => mean(output, 0, pixels),
        }
    }

    /// The target in words, given the names of the head's classes or numbers.
    pub fn describe(&self, classes: &[String]) -> String {
        let name = |class: usize| classes.get(class).cloned().unwrap_or_else(|| class.to_string());
        match self {
            Self::Logit { class } => format!("the logit of {}", name(*class)),
            Self::Margin { class, over } => {
                format!("the logit of {} less that of {}", name(*class), name(*over))
            }
            Self::Number { index } => name(*index),
            Self::Score { class, .. } => format!("the score of a box of {}", name(*class)),
            Self::Side { side, .. } => format!("the {} side of a box", side.name()),
            Self::Region { class, pixels } => {
                let class = class.map_or("the background".into(), name);
                format!("the mean logit of {class} over {}", count(pixels))
            }
            Self::Depth { pixels } => format!("the mean number over {}", count(pixels)),
        }
    }
}

fn count(pixels: &[usize]) -> String {
    if pixels.len() == 1 { "a pixel".into() } else { format!("{} pixels", pixels.len()) }
}

/// The mean of a channel of the head's map `[N, H, W, C]` over pixels, `[N, 1]`.
fn mean<T: Element>(output: &HeadOutput<T>, channel: usize, pixels: &[usize]) -> Var<T> {
    let map = output.maps[0].clone().narrow(3, channel, 1);
    let (n, size) = (map.shape()[0], map.shape()[1] * map.shape()[2]);
    let mut weights = vec![T::ZERO; size];
    pixels.iter().for_each(|&pixel| weights[pixel] = T::from_f64(1.0 / pixels.len() as f64));
    map.reshape(&[n, size]).matmul(Var::constant(Tensor::from_vec(weights, &[size, 1])))
}
