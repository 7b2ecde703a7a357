//! Targets from text, by what the head has predicted.

use cerberus_multitask::{HeadOutput, Prediction, Task};
use cerberus_tensor::Element;

use super::boxes::place_of;
use super::target::{Side, Target};
use crate::error::ExplainError;

impl Target {
    /// The target that `text` means, given a head's outputs for one picture of `size` rows and columns:
    ///
    /// | head | text | target |
    /// |---|---|---|
    /// | one class | (nothing) | the logit of the predicted class |
    /// | | `mug`, `2` | the logit of a class, by its name, or else by its number, from 0 |
    /// | | `margin`, `margin:mug` | the logit of the predicted class, or of `mug`, less that of the best other class |
    /// | several classes | (nothing), `mug`, `2` | the logit of the surest class, or of the one named |
    /// | numbers | (nothing), `age`, `1` | the first number, or the one named |
    /// | objects | (nothing), `2` | the score of the best detection, or of the second best: counted from 1 |
    /// | | `2:left` | a side of its box: `left`, `top`, `right`, `bottom` |
    /// | a class per pixel | (nothing) | the mean logit of the most frequent predicted class but the background, where it is predicted |
    /// | | `dog`, `dog@predicted` | the mean logit of a class where it is predicted; `background` is one |
    /// | | `dog@10,20`, `dog@10,20,50,60` | its logit at x 10, y 20, or its mean in the box x1, y1, x2, y2 |
    /// | a number per pixel | (nothing) | the mean over the picture |
    /// | | `10,20`, `10,20,50,60` | at a pixel, or the mean in a box; an `@` before it is allowed |
    ///
    /// # Errors
    /// If the head has no such target; the message says which it has.
    pub fn find<T: Element>(
        task: &dyn Task<T>,
        output: &HeadOutput<T>,
        size: [usize; 2],
        text: &str,
    ) -> Result<Self, ExplainError> {
        let Some(prediction) = task.decode(output).into_iter().next() else {
            return Err(ExplainError::Target(format!("the task {:?} predicts nothing", task.name())));
        };
        let text = text.trim();
        let head = Head { name: task.name(), classes: &task.config().classes, text };
        match prediction {
            Prediction::Classes(shares) => head.class(&shares),
            Prediction::ClassSet(shares) => match text {
                "" => Ok(Self::Logit { class: largest(&shares, None).unwrap_or(0) }),
                name => Ok(Self::Logit { class: head.by_name(name)? }),
            },
            Prediction::Values(_) => match text {
                "" => Ok(Self::Number { index: 0 }),
                name => Ok(Self::Number { index: head.by_name(name)? }),
            },
            Prediction::Objects(found) => {
                let (number, side) = head.object(found.len())?;
                let detection = &found[number];
                let place = place_of(task, output, detection, size).ok_or_else(|| {
                    head.refusal("its detector does not say which boxes it could have found")
                })?;
                Ok(match side {
                    Some(side) => Self::Side { place, side },
                    None => Self::Score { place, class: detection.class },
                })
            }
            Prediction::Mask(classes) => {
                let classes: Vec<usize> = classes.into_iter().map(usize::from).collect();
                head.region(&classes, size)
            }
            Prediction::ValueMap(_) => {
                let place = text.strip_prefix('@').unwrap_or(text);
                let pixels = if place.is_empty() {
                    (0..size[0] * size[1]).collect()
                } else {
                    head.pixels(place, size)?
                };
                Ok(Self::Depth { pixels })
            }
        }
    }
}

/// The index of the largest value, without one of them.
fn largest(values: &[f32], without: Option<usize>) -> Option<usize> {
    let places = (0..values.len()).filter(|&i| Some(i) != without);
    // Of equal values the first, as in predictions.
    places.rev().max_by(|&a, &b| values[a].total_cmp(&values[b]))
}

/// A head and the text that names one of its targets.
struct Head<'a> {
    name: &'a str,
    classes: &'a [String],
    text: &'a str,
}

impl Head<'_> {
    fn refusal(&self, reason: impl std::fmt::Display) -> ExplainError {
        ExplainError::Target(format!("the task {:?} has no target {:?}: {reason}", self.name, self.text))
    }

    fn by_name(&self, name: &str) -> Result<usize, ExplainError> {
        let by_number = || name.parse::<usize>().ok().filter(|&number| number < self.classes.len());
        self.classes.iter().position(|class| class == name).or_else(by_number).ok_or_else(|| {
            self.refusal(format_args!("there is no {name:?}; there are {}", self.classes.join(", ")))
        })
    }

    fn class(&self, shares: &[f32]) -> Result<Target, ExplainError> {
        let best = largest(shares, None).ok_or_else(|| self.refusal("there are no classes"))?;
        // A class of this name comes first.
        if self.text.is_empty()
            || !self.text.starts_with("margin")
            || self.classes.iter().any(|c| c == self.text)
        {
            let class = if self.text.is_empty() { best } else { self.by_name(self.text)? };
            return Ok(Target::Logit { class });
        }
        let class = match self.text.strip_prefix("margin:") {
            Some(name) => self.by_name(name)?,
            None if self.text == "margin" => best,
            None => self.by_name(self.text)?,
        };
        let over = largest(shares, Some(class)).ok_or_else(|| self.refusal("there is no other class"))?;
        Ok(Target::Margin { class, over })
    }

    /// The place of a detection among those found, and a side of its box.
    fn object(&self, found: usize) -> Result<(usize, Option<Side>), ExplainError> {
        let (number, side) = match self.text.split_once(':') {
            Some((number, side)) => (number, Some(side)),
            None => (self.text, None),
        };
        let number = if number.is_empty() { Some(1) } else { number.parse::<usize>().ok() };
        let side = match side {
            None => Some(None),
            Some(name) => Side::ALL.into_iter().find(|side| side.name() == name).map(Some),
        };
        let (Some(number), Some(side)) = (number, side) else {
            return Err(self.refusal(
                "name a detection by its number, counted from 1, and if you like a side of its box: 2 or 2:left (top, \
                 right, bottom)",
            ));
        };
        if number == 0 || number > found {
            return Err(match found {
                0 => self.refusal("nothing was found in the picture"),
                _ => self.refusal(format_args!("there are detections 1 to {found}, most certain first")),
            });
        }
        Ok((number - 1, side))
    }

    /// A class over a region, given the class predicted for each pixel: 0 for the background, `i + 1` for class `i`.
    fn region(&self, predicted: &[usize], size: [usize; 2]) -> Result<Target, ExplainError> {
        let (class, place) = match self.text.split_once('@') {
            Some((class, place)) => (class, place),
            None => (self.text, "predicted"),
        };
        let channel = match class {
            "" => {
                let count = |channel: usize| predicted.iter().filter(|&&c| c == channel).count();
                let counts: Vec<usize> = (0..=self.classes.len()).map(count).collect();
                (1..counts.len()).rev().max_by_key(|&c| counts[c]).filter(|&c| counts[c] > 0).unwrap_or(0)
            }
            "background" => 0,
            name => self.by_name(name)? + 1,
        };
        if place != "predicted" {
            let pixels = self.pixels(place, size)?;
            return Ok(Target::Region { class: channel.checked_sub(1), pixels });
        }
        let pixels: Vec<usize> = (0..predicted.len()).filter(|&i| predicted[i] == channel).collect();
        if pixels.is_empty() {
            return Err(self.refusal(
                "the class is predicted nowhere in the picture; name a pixel or a box, as in dog@10,20",
            ));
        }
        Ok(Target::Region { class: channel.checked_sub(1), pixels })
    }

    /// The pixel `x,y`, or those of the box `x1,y1,x2,y2`, whose ends do not belong to it.
    fn pixels(&self, text: &str, [height, width]: [usize; 2]) -> Result<Vec<usize>, ExplainError> {
        let numbers: Option<Vec<usize>> = text.split(',').map(|number| number.trim().parse().ok()).collect();
        let bounds = match numbers.as_deref() {
            Some(&[x, y]) => Some([x, y, x.saturating_add(1), y.saturating_add(1)]),
            Some(&[x1, y1, x2, y2]) => Some([x1, y1, x2, y2]),
            _ => None,
        };
        let inside = bounds.filter(|&[x1, y1, x2, y2]| x1 < x2 && y1 < y2 && x2 <= width && y2 <= height);
        let Some([x1, y1, x2, y2]) = inside else {
            return Err(self.refusal(format_args!(
                "{text:?} is no place; name a pixel x,y or a box x1,y1,x2,y2 inside the {width} x {height} pixels"
            )));
        };
        Ok((y1..y2).flat_map(|y| (x1..x2).map(move |x| y * width + x)).collect())
    }
}
