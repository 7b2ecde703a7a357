//! How a head's raw outputs become predictions, in words and numbers: for programs
//! that run the network elsewhere and cannot call [`Task::decode`](super::Task::decode).

/// What a head's raw outputs are, and the steps from them to predictions.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Decoding {
    /// The outputs, in the order of [`HeadOutput::maps`](super::HeadOutput::maps).
    pub outputs: Vec<OutputInfo>,
    /// The steps, a sentence each; they call outputs and numbers by their names.
    pub steps: Vec<String>,
    /// The numbers in the steps, by name.
    pub numbers: Vec<(&'static str, f64)>,
}

/// One raw output of a head.
#[derive(Clone, Debug, PartialEq)]
pub struct OutputInfo {
    /// Its name, such as `logits`.
    pub name: String,
    /// What its channels hold.
    pub holds: String,
    /// Pixels of the image between two neighbouring positions, for maps.
    pub stride: Option<usize>,
}

/// What the steps call the position of a cell.
pub(super) const POSITION: &str =
    "a position of column x and row y, counted from 0, is the pixel ((x + 0.5) stride, (y + 0.5) stride)";

/// How peaks of a heat map are found.
pub(super) const PEAKS: &str = "a peak is a place whose logit in heat is the largest of its class among the 3x3 positions \
     around it; its score is the sigmoid of the logit; keep the most best ones of all classes together";

/// What is done with boxes that overlap.
pub(super) const SUPPRESSION: &str = "from the best score down, drop a box whose intersection over union with a better \
     box of its class is above same; keep the most best ones";

impl Decoding {
    /// Outputs as name, what it holds, and stride.
    pub fn of(outputs: &[(&str, &str, Option<usize>)], steps: &[&str]) -> Self {
        let output = |&(name, holds, stride): &(&str, &str, Option<usize>)| OutputInfo {
            name: name.into(),
            holds: holds.into(),
            stride,
        };
        Self {
            outputs: outputs.iter().map(output).collect(),
            steps: steps.iter().map(|step| step.to_string()).collect(),
            numbers: Vec::new(),
        }
    }

    /// With numbers that the steps name.
    pub fn with_numbers(self, numbers: &[(&'static str, f64)]) -> Self {
        Self { numbers: numbers.to_vec(), ..self }
    }

    /// Of a logit for each of classes that exclude each other.
    pub(super) fn one_class() -> Self {
        Self::of(
            &[("logits", "a logit for each class", None)],
            &["the softmax of logits over the classes is the probability of each class"],
        )
    }

    /// Of a logit for the background and each class at every pixel.
    pub(super) fn mask() -> Self {
        Self::of(
            &[("logits", "at each pixel a logit for the background and for each class", Some(1))],
            &[
                "the class of a pixel is the channel with the largest logit; channel 0 is the background, channel i + 1 \
               is class i",
            ],
        )
    }
}
