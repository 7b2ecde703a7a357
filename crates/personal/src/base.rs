//! The base: one trained model that serves everybody and is never written.
//!
//! A base describes a picture by its embedding: what the last dense layer of its classifier sees. A base that is a whole
//! published network, or one whose classifier ends in another way, describes it by the classifier's outputs, and one
//! without a classifier by the mean over its deepest map.

use std::path::Path;

use cerberus_autograd::Var;
use cerberus_data::LabelKind;
use cerberus_multitask::config::find_kind;
use cerberus_multitask::{HeadOutput, MultiTaskModel};
use cerberus_nn::{Context, Module};
use cerberus_tensor::Tensor;
use sha2::{Digest, Sha256};

use crate::error::PersonalError;
use crate::heads::Linear;
use crate::matrix::Matrix;

/// A model, the hash by which stores know it, and where its classifier is.
pub struct Base {
    model: MultiTaskModel,
    hash: String,
    name: String,
    /// The index of the task that gives each image a class.
    classifier: Option<usize>,
    rows: Linear,
}

/// What a base says of a batch of images.
pub struct Looked {
    /// For each image its embedding.
    pub embeddings: Vec<Vec<f32>>,
    /// The raw outputs of all tasks.
    pub outputs: Vec<HeadOutput>,
}

/// SHA-256 of a file, as hexadecimal digits.
///
/// # Errors
/// If it cannot be read.
pub fn file_hash(path: &Path) -> Result<String, PersonalError> {
    Ok(bytes_hash(&std::fs::read(path).map_err(PersonalError::io("read", path))?))
}

/// SHA-256 of bytes, as hexadecimal digits.
pub fn bytes_hash(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
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
        let gives_class = |kind: &str| find_kind(kind).is_ok_and(|kind| kind.label == LabelKind::Class);
        let classifier = model.tasks().iter().position(|task| gives_class(&task.config().kind));
        let rows = classifier.map_or_else(Linear::default, |index| output_rows(&model, index));
        Self { model, hash, name: name.into(), classifier, rows }
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

    /// The index of the task that gives each image a class.
    pub fn classifier(&self) -> Option<usize> {
        self.classifier
    }

    /// The label that the classifier learned from, and its classes; none for a base without a classifier.
    pub fn label(&self) -> Option<(&str, &[String])> {
        let config = self.model.tasks()[self.classifier?].config();
        Some((&config.label, &config.classes))
    }

    /// The classes that the base knows.
    pub fn classes(&self) -> &[String] {
        self.label().map_or(&[], |(_, classes)| classes)
    }

    /// The classifier's last layer, which gives its logits from an embedding.
    pub fn rows(&self) -> &Linear {
        &self.rows
    }

    /// All tasks' outputs for images `[N, H, W, C]`, and the images' embeddings; the trunk runs once.
    #[track_caller]
    pub fn look(&self, images: Tensor) -> Looked {
        self.look_within(images, &mut Context::evaluation())
    }

    /// [`look`](Self::look) within a context that is kept for several batches.
    #[track_caller]
    pub fn look_within(&self, images: Tensor, context: &mut Context) -> Looked {
        let features = self.model.features(Var::constant(images), context);
        let outputs: Vec<HeadOutput> =
            self.model.tasks().iter().map(|task| task.forward(&features, context)).collect();
        let own = self.classifier.map(|index| {
            let embedding = self.model.tasks()[index].embedding(&features, context);
            embedding.unwrap_or_else(|| outputs[index].maps[0].clone())
        });
        let embedding = own.unwrap_or_else(|| {
            let deepest = features.stages.last().unwrap_or(features.main()).clone();
            deepest.global_avg_pool()
        });
        let value = embedding.into_value().contiguous();
        let width = value.shape()[1];
        Looked { embeddings: value.data().chunks_exact(width).map(<[f32]>::to_vec).collect(), outputs }
    }

    /// The numbers of an embedding, for images of `size` rows, columns and channels.
    pub fn width(&self, size: [usize; 3]) -> usize {
        match self.rows.weight.columns {
            0 => self.look(Tensor::zeros(&[1, size[0], size[1], size[2]])).embeddings[0].len(),
            width => width,
        }
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
