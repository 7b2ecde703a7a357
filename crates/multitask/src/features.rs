//! The feature maps of a trunk, and their description, from which heads are built.

use cerberus_autograd::Var;
use cerberus_tensor::Element;
use cerberus_tensor::resize::Interpolation;

use crate::head_config::HeadConfig;

/// The description of one of a trunk's maps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MapInfo {
    /// Its name in reports, such as `stage1`.
    pub name: String,
    /// Its channels.
    pub channels: usize,
    /// Pixels of the image between two neighbouring positions.
    pub stride: usize,
}

/// The images' size, and the maps that a head can use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FeatureInfo {
    /// Rows and columns of the images.
    pub image: [usize; 2],
    /// The trunk's stages, shallow to deep.
    pub stages: Vec<MapInfo>,
    /// The map in which the trunk joins several stages, if it makes one.
    pub neck: Option<MapInfo>,
    /// What is made of whole samples, by trunks of several inputs or frames.
    pub whole: Option<WholeInfo>,
}

/// The description of a [`Whole`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WholeInfo {
    /// The map made of all inputs; without one, heads answer from every input by itself.
    pub joined: Option<MapInfo>,
    /// The map of each input by itself, under the input's name; none if there is only one input.
    pub alone: Vec<MapInfo>,
    /// The inputs' names, in order.
    pub inputs: Vec<String>,
    /// Which of them has the maps for heads that find places, if any.
    pub places: Option<usize>,
}

impl FeatureInfo {
    /// The maps that a head with this view gets.
    ///
    /// # Panics
    /// If there is no such view.
    #[track_caller]
    pub(crate) fn seen(&self, view: View) -> Self {
        let Some(whole) = &self.whole else { return self.clone() };
        let map = match view {
            View::Places | View::Each => return self.clone(),
            View::Joined => whole.joined.clone().expect("a trunk that joins its inputs"),
            View::Alone(input) => whole.alone[input].clone(),
        };
        // What several inputs are joined from, and to, has one position.
        let image = if whole.alone.is_empty() { self.image } else { [1, 1] };
        Self { image, stages: vec![map], neck: None, whole: None }
    }

    /// The number of stages.
    pub fn depth(&self) -> usize {
        self.stages.len()
    }

    /// Channels of stage `index`, from 0.
    pub fn channels(&self, index: usize) -> usize {
        self.stages[index].channels
    }

    /// The map for heads that use one: the neck, or the deepest stage of a trunk without one.
    ///
    /// # Panics
    /// If there is no map at all.
    #[track_caller]
    pub fn main(&self) -> &MapInfo {
        self.neck.as_ref().or(self.stages.last()).expect("a trunk makes at least one map")
    }

    /// The deepest stage, from 0, that is finer than [`main`](Self::main); the first if none is.
    pub fn finer_than_main(&self) -> usize {
        let finer = self.stages.iter().filter(|map| map.stride < self.main().stride);
        finer.count().saturating_sub(1)
    }

    /// The stages, from 0, that the head's options name, or `own` if they name none.
    pub fn levels(&self, head: &HeadConfig, own: &[usize]) -> Vec<usize> {
        if head.options.levels.is_empty() {
            return own.to_vec();
        }
        head.options.levels.iter().map(|level| level - 1).collect()
    }
}

/// The trunk's maps of a batch of images, `[N, H / stride, W / stride, channels]` each, sides rounded up: the last row
/// and column may lie partly outside the image, but never wholly.
#[derive(Clone)]
pub struct Features<T: Element = f32> {
    /// One map per stage, shallow to deep.
    pub stages: Vec<Var<T>>,
    /// The map in which the trunk joins several stages, if it makes one.
    pub neck: Option<Var<T>>,
    /// What was made of the whole samples, by trunks of several inputs or frames.
    pub whole: Option<Whole<T>>,
}

/// What a trunk of several inputs or frames made of whole samples, for heads that answer for a sample rather than for
/// places in its image.
#[derive(Clone)]
pub struct Whole<T: Element = f32> {
    /// The map made of all inputs, `[N, h, w, C]`.
    pub joined: Option<Var<T>>,
    /// The map of each input by itself, `[N, 1, 1, C]`: zeros where it is missing. None if there is only one input.
    pub alone: Vec<Var<T>>,
    /// For each input, whether each sample has it.
    pub present: Vec<Vec<bool>>,
    /// The same after modality dropout: what is made of all inputs knows only these.
    pub kept: Vec<Vec<bool>>,
}

/// The maps that a head gets of a trunk of several inputs or frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum View {
    /// Those of the image, or of a clip's last frame.
    Places,
    /// The map made of all inputs.
    Joined,
    /// The map of this input.
    Alone(usize),
    /// Everything: the head joins what it makes of every input.
    Each,
}

impl<T: Element> Features<T> {
    /// The stages' maps, and the one in which several are joined.
    pub fn new(stages: Vec<Var<T>>, neck: Option<Var<T>>) -> Self {
        Self { stages, neck, whole: None }
    }

    /// Every map, to be replaced: the stages', the neck, the whole sample's, each input's.
    pub(crate) fn maps_mut(&mut self) -> impl Iterator<Item = &mut Var<T>> {
        let whole = self.whole.iter_mut().flat_map(|whole| whole.joined.iter_mut().chain(&mut whole.alone));
        self.stages.iter_mut().chain(&mut self.neck).chain(whole)
    }

    /// The maps that a head with this view gets.
    ///
    /// # Panics
    /// If there is no such view.
    #[track_caller]
    pub(crate) fn seen(&self, view: View) -> Self {
        let Some(whole) = &self.whole else { return self.clone() };
        match view {
            View::Places | View::Each => self.clone(),
            View::Joined => {
                Self::new(vec![whole.joined.clone().expect("a trunk that joins its inputs")], None)
            }
            View::Alone(input) => Self::new(vec![whole.alone[input].clone()], None),
        }
    }

    /// The map for heads that use one: the neck, or the deepest stage of a trunk without one.
    ///
    /// # Panics
    /// If there is no map at all.
    #[track_caller]
    pub fn main(&self) -> &Var<T> {
        self.neck.as_ref().or(self.stages.last()).expect("a trunk makes at least one map")
    }

    /// The maps without the positions that lie outside images of `image` rows and columns, given the
    /// [`Trunk`](crate::Trunk)'s descriptions of the maps.
    pub(crate) fn cut_to(self, image: [usize; 2], stages: &[MapInfo], neck: Option<&MapInfo>) -> Self {
        let cut = |map: Var<T>, info: &MapInfo| crop(map, image.map(|side| side.div_ceil(info.stride)));
        let neck = self.neck.zip(neck).map(|(map, info)| cut(map, info));
        let stages = self.stages.into_iter().zip(stages).map(|(map, info)| cut(map, info)).collect();
        Self { stages, neck, whole: self.whole }
    }

    /// The features of these images of the batch.
    pub fn select(&self, places: &[usize]) -> Self {
        let some = |map: &Var<T>| select(map.clone(), places);
        let those = |has: &Vec<bool>| places.iter().map(|&place| has[place]).collect();
        let whole = self.whole.as_ref().map(|whole| Whole {
            joined: whole.joined.as_ref().map(some),
            alone: whole.alone.iter().map(some).collect(),
            present: whole.present.iter().map(those).collect(),
            kept: whole.kept.iter().map(those).collect(),
        });
        Self { stages: self.stages.iter().map(some).collect(), neck: self.neck.as_ref().map(some), whole }
    }
}

/// The first rows and columns of `x: [N, rows, columns, C]`, as many as `size` says; `x` itself if it has no more.
#[track_caller]
pub(crate) fn crop<T: Element>(x: Var<T>, size: [usize; 2]) -> Var<T> {
    let cut =
        |x: Var<T>, axis: usize, len: usize| if x.shape()[axis] == len { x } else { x.narrow(axis, 0, len) };
    cut(cut(x, 1, size[0]), 2, size[1])
}

/// A map whose positions are `from` pixels apart, as one of `size` rows and columns whose positions are `to` pixels
/// apart.
///
/// The map may reach beyond the image; it is resized as a whole, so that positions stay where they are, and then cut.
/// Maps of images whose sides are multiples of `from` are only resized.
#[track_caller]
pub(crate) fn resampled<T: Element>(
    x: Var<T>,
    [from, to]: [usize; 2],
    size: [usize; 2],
    interpolation: Interpolation,
) -> Var<T> {
    // A trunk without padding has too few positions to cover the image: they are spread over it.
    let whole = [1, 2].map(|axis| (x.shape()[axis] * from).div_ceil(to).max(size[axis - 1]));
    crop(x.resize(whole, interpolation), size)
}

/// More runs than this are gathered entry by entry: the backward pass of each would
/// go over all of `x`.
const MANY_RUNS: usize = 8;

/// The entries with these indices along the first dimension, in rising order:
/// a few runs of neighbours are taken in one piece each.
pub(crate) fn select<T: Element>(x: Var<T>, places: &[usize]) -> Var<T> {
    if places.len() == x.shape()[0] {
        return x;
    }
    let runs = places.chunk_by(|a, b| a + 1 == *b);
    if runs.clone().nth(MANY_RUNS).is_some() {
        return x.index_select(0, places);
    }
    let parts = runs.map(|run| x.clone().narrow(0, run[0], run.len()));
    Var::concat(parts.collect(), 0)
}
