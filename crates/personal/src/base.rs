//! The base: one trained model that serves everybody and is never written.
//!
//! Each of its tasks that gives classes is a [slot](Slot) for a person's own: of the whole image, of objects, of pixels.
//! A base describes a picture by its embedding: what the last dense layer of its classifier sees. A base that is a whole
//! published network, or one whose classifier ends in another way, describes it by the classifier's outputs, and one
//! without a classifier by the mean over its deepest map. It describes an object by the mean of its main map over the box,
//! and a pixel by the main map there.

use std::path::Path;

use cerberus_autograd::Var;
use cerberus_data::{CLASS, LabelKind};
use cerberus_multitask::config::find_kind;
use cerberus_multitask::{Features, HeadOutput, MultiTaskModel};
use cerberus_nn::{Context, Module};
use cerberus_tensor::Tensor;

use crate::adapters::MapAdapters;
use crate::error::PersonalError;
use crate::hash::file_hash;
use crate::heads::Linear;
use crate::matrix::Matrix;

/// A model, the hash by which stores know it, and the tasks that a person's classes can be added to.
pub struct Base {
    model: MultiTaskModel,
    hash: String,
    name: String,
    slots: Vec<Slot>,
    /// Pixels of the image between neighbouring positions of the main map.
    stride: usize,
    /// What lies between the trunk and the heads.
    adapters: Option<MapAdapters>,
}

/// What a class is given to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The whole image.
    Image,
    /// Each object.
    Boxes,
    /// Each pixel.
    Pixels,
}

/// A task that a person's classes can be added to.
#[derive(Clone, Debug)]
pub struct Slot {
    /// The task's name.
    pub task: String,
    /// Its place among the model's tasks; `None` in a base without a classifier for what is told by embeddings alone.
    pub index: Option<usize>,
    /// What its classes are given to.
    pub kind: Kind,
    /// The label that it learned from.
    pub label: String,
    /// The classes that the base knows.
    pub classes: Vec<String>,
    /// The numbers of an embedding.
    pub width: usize,
    /// The task's last layer, which gives its logits from an embedding; without rows if there is no such layer.
    pub rows: Linear,
}

impl Slot {
    /// The classes that the base's knowledge is of: its own, and for pixels the background first.
    pub fn known(&self) -> Vec<String> {
        let background = (self.kind == Kind::Pixels).then(|| BACKGROUND.to_string());
        background.into_iter().chain(self.classes.iter().cloned()).collect()
    }
}

/// Pixels of no class.
pub const BACKGROUND: &str = "background";

/// What a base says of a batch of images.
pub struct Looked {
    /// For each image its embedding.
    pub embeddings: Vec<Vec<f32>>,
    /// The main map, `[N, H / stride, W / stride, C]`.
    pub map: Tensor,
    /// The raw outputs of all tasks.
    pub outputs: Vec<HeadOutput>,
    /// Rows and columns of the images.
    pub size: [usize; 2],
    stride: usize,
}

impl Base {
    /// A base of a model that was loaded from the file at `path`.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn new(model: MultiTaskModel, path: &Path) -> Result<Self, PersonalError> {
        let name = path.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
        Ok(Self::with_hash(model, &name, file_hash(path)?))
    }

    /// A base of this name and hash.
    pub fn with_hash(model: MultiTaskModel, name: &str, hash: String) -> Self {
        let map = model.trunk().neck().or(model.trunk().stages().pop());
        let (stride, channels) = map.map_or((1, 0), |map| (map.stride, map.channels));
        let deepest = model.trunk().stages().pop().map_or(0, |map| map.channels);
        let mut slots: Vec<Slot> = Vec::new();
        for (index, task) in model.tasks().iter().enumerate() {
            let config = task.config();
            let Some(kind) = kind_of(&config.kind) else { continue };
            if slots.iter().any(|slot| slot.kind == kind) {
                continue;
            }
            let rows = if kind == Kind::Image { output_rows(&model, index) } else { Linear::default() };
            let width = if kind == Kind::Image { rows.weight.columns } else { channels };
            let (task, label, classes) = (config.name.clone(), config.label.clone(), config.classes.clone());
            slots.push(Slot { task, index: Some(index), kind, label, classes, width, rows });
        }
        if !slots.iter().any(|slot| slot.kind == Kind::Image) {
            let (task, label) = ("classify".to_string(), CLASS.to_string());
            let rows = Linear { weight: Matrix::zeros(0, deepest), bias: Vec::new() };
            slots.push(Slot {
                task,
                index: None,
                kind: Kind::Image,
                label,
                classes: Vec::new(),
                width: deepest,
                rows,
            });
        }
        Self { model, hash, name: name.into(), slots, stride, adapters: None }
    }

    /// The hash by which stores know the base.
    pub fn hash(&self) -> &str {
        &self.hash
    }

    /// The name of the base's file.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The model.
    pub fn model(&self) -> &MultiTaskModel {
        &self.model
    }

    /// The model, to give it a [style](crate::Style); its file stays as it is.
    pub fn model_mut(&mut self) -> &mut MultiTaskModel {
        &mut self.model
    }

    /// Lets the heads see the trunk's maps through these adapters from now on, or as they are.
    pub fn set_map_adapters(&mut self, adapters: Option<MapAdapters>) {
        self.adapters = adapters;
    }

    /// The tasks that a person's classes can be added to: at most one of each kind, and always one for the whole image.
    pub fn slots(&self) -> &[Slot] {
        &self.slots
    }

    /// The slot of this kind.
    pub fn slot(&self, kind: Kind) -> Option<&Slot> {
        self.slots.iter().find(|slot| slot.kind == kind)
    }

    /// The slot for the whole image.
    pub fn image(&self) -> &Slot {
        self.slot(Kind::Image).expect("every base has one")
    }

    /// The index of the task that gives each image a class.
    pub fn classifier(&self) -> Option<usize> {
        self.image().index
    }

    /// All tasks' outputs for images `[N, H, W, C]`, and the images' embeddings; the trunk runs once.
    #[track_caller]
    pub fn look(&self, images: Tensor) -> Looked {
        self.look_within(images, &mut Context::evaluation())
    }

    /// [`look`](Self::look) within a context that is kept for several batches.
    #[track_caller]
    pub fn look_within(&self, images: Tensor, context: &mut Context) -> Looked {
        let size = [images.shape()[1], images.shape()[2]];
        let features = self.features(images, context);
        let (outputs, mut embeddings): (Vec<HeadOutput>, Vec<Option<Var>>) =
            self.model.tasks().iter().map(|task| task.forward_with_embedding(&features, context)).unzip();
        let own = self
            .classifier()
            .map(|index| embeddings[index].take().unwrap_or_else(|| outputs[index].maps[0].clone()));
        let embeddings = embeddings_of(&features, own);
        let map = features.main().value().contiguous();
        Looked { embeddings, map, outputs, size, stride: self.stride }
    }

    /// The maps of images as the heads see them.
    fn features(&self, images: Tensor, context: &mut Context) -> Features {
        let features = self.model.features(Var::constant(images), context);
        match &self.adapters {
            Some(adapters) => adapters.apply(features, context),
            None => features,
        }
    }

    /// The embeddings of images `[N, H, W, C]` alone; no other head is run.
    #[track_caller]
    pub fn embeddings(&self, images: Tensor, context: &mut Context) -> Vec<Vec<f32>> {
        let features = self.features(images, context);
        let own = self.classifier().map(|index| {
            let (output, embedding) = self.model.tasks()[index].forward_with_embedding(&features, context);
            embedding.unwrap_or_else(|| output.maps[0].clone())
        });
        embeddings_of(&features, own)
    }
}

/// The rows of what the classifier sees, or, in a base without one, of the mean over the deepest map.
fn embeddings_of(features: &Features, own: Option<Var>) -> Vec<Vec<f32>> {
    let embedding = own.unwrap_or_else(|| {
        let deepest = features.stages.last().unwrap_or(features.main()).clone();
        deepest.global_avg_pool()
    });
    let value = embedding.into_value().contiguous();
    let width = value.shape()[1];
    value.data().chunks_exact(width).map(<[f32]>::to_vec).collect()
}

impl Looked {
    /// Rows and columns of the main map.
    pub fn cells(&self) -> [usize; 2] {
        [self.map.shape()[1], self.map.shape()[2]]
    }

    /// The position of the main map that covers this row and column of the image.
    pub fn cell(&self, row: f32, column: f32) -> [usize; 2] {
        let [rows, columns] = self.cells();
        let place =
            |pixel: f32, cells: usize| ((pixel.max(0.0) / self.stride as f32) as usize).min(cells - 1);
        [place(row, rows), place(column, columns)]
    }

    /// The main map at a position.
    fn at(&self, image: usize, [row, column]: [usize; 2]) -> &[f32] {
        let [_, rows, columns, width] = std::array::from_fn(|axis| self.map.shape()[axis]);
        let start = ((image * rows + row) * columns + column) * width;
        &self.map.data()[start..start + width]
    }

    /// The embedding of a pixel: the mean of the main map over the position and its neighbours, which is less noisy than
    /// the position alone.
    pub fn of_pixel(&self, image: usize, [row, column]: [usize; 2]) -> Vec<f32> {
        let [rows, columns] = self.cells();
        let near = |place: usize, count: usize| place.saturating_sub(1)..(place + 2).min(count);
        let (mut sum, mut count) = (vec![0.0_f32; self.map.shape()[3]], 0);
        for row in near(row, rows) {
            for column in near(column, columns) {
                sum.iter_mut().zip(self.at(image, [row, column])).for_each(|(sum, value)| *sum += value);
                count += 1;
            }
        }
        sum.into_iter().map(|sum| sum / count as f32).collect()
    }

    /// The embedding of an object: the mean of the main map over the positions whose centres its box holds, `x1, y1, x2,
    /// y2` in pixels of the image; of a box that holds none, the map at its centre.
    pub fn of_box(&self, image: usize, [x1, y1, x2, y2]: [f32; 4]) -> Vec<f32> {
        let width = self.map.shape()[3];
        let centre = |cell: usize| (cell as f32 + 0.5) * self.stride as f32;
        let [rows, columns] = self.cells();
        let (mut sum, mut count) = (vec![0.0_f32; width], 0);
        for row in (0..rows).filter(|&row| (y1..=y2).contains(&centre(row))) {
            for column in (0..columns).filter(|&column| (x1..=x2).contains(&centre(column))) {
                sum.iter_mut().zip(self.at(image, [row, column])).for_each(|(sum, value)| *sum += value);
                count += 1;
            }
        }
        if count == 0 {
            return self.at(image, self.cell(0.5 * (y1 + y2), 0.5 * (x1 + x2))).to_vec();
        }
        sum.into_iter().map(|sum| sum / count as f32).collect()
    }
}

/// What the classes of a kind of head are given to, if it has classes that exclude each other.
fn kind_of(kind: &str) -> Option<Kind> {
    match find_kind(kind).ok()?.label {
        LabelKind::Class => Some(Kind::Image),
        LabelKind::Objects => Some(Kind::Boxes),
        LabelKind::Mask => Some(Kind::Pixels),
        LabelKind::Classes | LabelKind::Values | LabelKind::ValueMap => None,
    }
}

/// The last dense layer of a classifier, or, for one whose outputs are its embedding, the layer that changes nothing.
fn output_rows(model: &MultiTaskModel, index: usize) -> Linear {
    let task = &model.tasks()[index];
    let (mut weight, mut bias) = (None, None);
    task.visit("", &mut |path, entry| match path.as_str() {
        "output.weight" => weight = Some(entry.value().clone()),
        "output.bias" => bias = Some(entry.value().clone()),
        _ => {}
    });
    let classes = task.config().classes.len();
    match (weight, bias) {
        (Some(weight), Some(bias)) if weight.shape().len() == 2 => {
            let [width, outputs] = [weight.shape()[0], weight.shape()[1]];
            let values = weight.contiguous();
            let at = |row: usize, column: usize| f64::from(values.data()[column * outputs + row]);
            let data = (0..outputs).flat_map(|row| (0..width).map(move |column| at(row, column))).collect();
            Linear {
                weight: Matrix { rows: outputs, columns: width, data },
                bias: bias.to_vec().into_iter().map(f64::from).collect(),
            }
        }
        _ => {
            let mut weight = Matrix::zeros(classes, classes);
            (0..classes).for_each(|class| weight.data[class * classes + class] = 1.0);
            Linear { weight, bias: vec![0.0; classes] }
        }
    }
}
