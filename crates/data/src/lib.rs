//! Images, annotations, data sets and loaders.
//!
//! A [`Sample`] is one image with the labels it has; a [`Dataset`] makes samples as a pure function of (split, epoch,
//! index); a [`Loader`] gathers them into [`Batch`]es on worker threads while the last batch trains. This crate knows
//! nothing of gradients or tasks.
//!
//! Sources: [`FashionMnist`] garments (a part of them embedded in the binary), [`FashionScenes`] made from those
//! garments, which are the default data of the project, [`MultiFashion`] pairs of them, [`Cifar10`], [`IdxClasses`]
//! from files like MNIST's, and [`photos`]: annotated photographs in the layouts of Oxford-IIIT Pet, COCO, YOLO and
//! Pascal VOC, in one folder per class, with masks, or in tables. [`open`] finds the right one from a name or a path.
//! [`MovingScenes`] are moving pictures that are made, [`clips`] reads files of them, and [`InputFiles`] are samples of
//! clips, pictures and recordings.
//! [`augment`] changes training samples at random, together with their labels.
//!
//! ```
//! use cerberus_data::{EpochPlan, Loader, Split, open};
//! let scenes = open("fashion-scenes", 7)?;
//! let plan = EpochPlan { limit: Some(8), batch_size: 4, ..EpochPlan::new(Split::Train) };
//! for batch in Loader::new(scenes, plan)? {
//!     let batch = batch?;
//!     assert_eq!(batch.images.shape(), &[4, 64, 64, 3]);
//! }
//! # Ok::<(), cerberus_data::DataError>(())
//! ```
#![forbid(unsafe_code)]

mod account;
pub mod augment;
mod batch;
mod cifar;
pub mod clips;
mod dataset;
mod error;
mod fashion_mnist;
pub mod idx;
mod idx_classes;
mod image_file;
mod input;
mod input_files;
mod loader;
mod missing;
mod mixture;
pub mod moving;
mod multi_fashion;
mod obscured;
mod open;
mod paired;
pub mod photos;
mod pixels;
mod sample;
mod sampler;
mod scenes;
mod sounds;
mod split;
mod tensors;
mod without;

pub use account::{Account, ClassCount, Finding, FindingKind, LabelCount, PartAccount, Picture};
pub use augment::{AugmentConfig, Augmented, OperationConfig};
pub use batch::Batch;
pub use cifar::Cifar10;
pub use clips::{Clip, ClipOptions, FrameChoice, open_clip};
pub use dataset::{CLASS, Dataset, DatasetInfo, LabelInfo, LabelKind, MASK, OBJECTS, annotated_key};
pub use error::DataError;
pub use fashion_mnist::{FashionMnist, GARMENTS, Garments};
pub use idx_classes::IdxClasses;
pub use image_file::MOST_PIXELS;
pub use input::{AUDIO, IMAGE, Input, InputBatch, InputInfo, InputKind, VIDEO};
pub use input_files::{InputFileOptions, InputFiles};
pub use loader::{EpochPlan, Loader};
pub use missing::MissingLabels;
pub use mixture::Mixture;
pub use moving::{MOTIONS, Motion, MovingScenes};
pub use multi_fashion::MultiFashion;
pub use obscured::Obscured;
pub use open::{open, open_photos};
pub use paired::Paired;
pub use photos::fit::{Fit, MARGIN, Placement};
pub use photos::{PhotoOptions, Photos, pictures_in};
pub use pixels::{PIXEL_MEAN, PIXEL_STD, normalise};
pub use sample::{ClassId, IGNORED, Image, Label, MOST_CLASSES, Mask, Object, Pixels, Sample, ValueMap};
pub use sampler::{Resampled, Sampling};
pub use scenes::{FashionScenes, SCENE_SIZE};
pub use sounds::{Sounds, read_recording};
pub use split::Split;
pub use tensors::{TensorDataset, VALUES};
pub use without::Without;
