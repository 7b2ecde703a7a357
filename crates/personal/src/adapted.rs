//! A person's adapters as a store keeps them: tuned once on labelled pictures, and put on whenever the store is used.
//!
//! Those on maps ([FiLM, residual](crate::adapters)) are a part of the [base](Base::set_map_adapters) as long as they are
//! worn; those in the trunk (norms, LoRA) change its tensors, which [`Bare`] gives back.

use std::collections::BTreeMap;

use cerberus_data::Batch;
use cerberus_multitask::MultiTaskModel;
use cerberus_nn::{Module, join};
use cerberus_tensor::Tensor;
use serde::{Deserialize, Serialize};

use crate::adapters::{MapAdapter, MapAdapters};
use crate::base::Base;
use crate::tune::{self, TuneOptions};

/// What is tuned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AdapterKind {
    /// A scale and a shift for every channel of the maps.
    Film,
    /// A bottleneck of [`WIDTH`] beside every map.
    Residual,
    /// The scale and shift of the trunk's batch norms.
    Norms,
    /// A product of [`RANK`] beside every kernel of the trunk.
    Lora,
}

/// Channels of residual adapters' bottlenecks.
pub const WIDTH: usize = 8;
/// The rank of products beside kernels.
pub const RANK: usize = 2;

impl AdapterKind {
    /// All kinds.
    pub const ALL: [AdapterKind; 4] =
        [AdapterKind::Film, AdapterKind::Residual, AdapterKind::Norms, AdapterKind::Lora];

    /// Its name in files and on command lines.
    pub fn name(self) -> &'static str {
        match self {
            AdapterKind::Film => "film",
            AdapterKind::Residual => "residual",
            AdapterKind::Norms => "norms",
            AdapterKind::Lora => "lora",
        }
    }

    /// The kind of this name.
    ///
    /// # Errors
    /// A sentence that lists the kinds.
    pub fn find(name: &str) -> Result<AdapterKind, String> {
        let known: Vec<&str> = Self::ALL.iter().map(|kind| kind.name()).collect();
        let found = Self::ALL.into_iter().find(|kind| kind.name() == name);
        found.ok_or_else(|| format!("there are no adapters {name:?}; there are {}", known.join(", ")))
    }

    fn on_maps(self) -> Option<MapAdapter> {
        match self {
            AdapterKind::Film => Some(MapAdapter::Film),
            AdapterKind::Residual => Some(MapAdapter::Residual(WIDTH)),
            AdapterKind::Norms | AdapterKind::Lora => None,
        }
    }

    /// How it is tuned. What starts at random moves the maps more in a step than what starts at nothing.
    pub fn options(self) -> TuneOptions {
        let options = TuneOptions::default();
        match self {
            AdapterKind::Film | AdapterKind::Norms => options,
            AdapterKind::Residual | AdapterKind::Lora => TuneOptions { learning_rate: 5e-4, ..options },
        }
    }
}

/// A tensor by its path.
#[derive(Clone, Debug, PartialEq)]
pub struct Numbers {
    /// `stage1.scale`, `trunk.stage1.block1.norm.gamma`, `trunk.stage1.block1.conv.weight.a`.
    pub path: String,
    /// Its shape.
    pub shape: Vec<usize>,
    /// Its values.
    pub values: Vec<f32>,
}

/// Adapters that were tuned.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Adapted {
    /// What was tuned.
    pub kind: AdapterKind,
    /// How many pictures it was tuned on.
    pub pictures: usize,
    /// The adapters' tensors, which are kept with the other numbers.
    #[serde(skip)]
    pub numbers: Vec<Numbers>,
}

/// A model's tensors as they were: shared with it until one of the two is changed.
pub struct Bare(BTreeMap<String, Tensor>);

impl Bare {
    /// Those of a model.
    pub fn of(model: &MultiTaskModel) -> Self {
        Self(model.tensors().into_iter().collect())
    }

    /// Takes everything off that is worn: adapters and style.
    pub fn restore(&self, base: &mut Base) {
        base.set_map_adapters(None);
        self.restore_model(base.model_mut());
    }

    /// Gives the model its tensors.
    pub fn restore_model(&self, model: &mut MultiTaskModel) {
        model.set_tensors(&|path| self.0.get(path).cloned());
    }
}

impl Adapted {
    /// Tunes adapters of a kind on a batch that is labelled by the base's numbers. The base is changed meanwhile, and is then
    /// what it was. `None` if no label is of a task of the base, or if the numbers are not finite.
    ///
    /// A function of the batch and of the base as it is, a style included; it must wear no adapters.
    pub fn tune(base: &mut Base, kind: AdapterKind, batch: &Batch) -> Option<Self> {
        let bare = Bare::of(base.model());
        let options = kind.options();
        let tensors = match (kind, kind.on_maps()) {
            (_, Some(on_maps)) => {
                let maps = tune::features(base.model(), batch);
                tune::tune_maps(base.model(), on_maps, &maps, batch, &options).map(|own| own.tensors())
            }
            (AdapterKind::Norms, None) => tune::tune_norms(base.model_mut(), batch, &options),
            (_, None) => tune::tune_kernels(base.model_mut(), RANK, batch, &options).map(|factors| {
                let named = |(path, own): &(String, crate::adapters::LowRank)| {
                    own.tensors()
                        .into_iter()
                        .map(|(name, value)| (join(path, &name), value))
                        .collect::<Vec<_>>()
                };
                factors.iter().flat_map(named).collect()
            }),
        };
        bare.restore(base);
        let numbers: Vec<Numbers> = tensors?
            .into_iter()
            .map(|(path, value)| Numbers { path, shape: value.shape().to_vec(), values: value.to_vec() })
            .collect();
        let finite = numbers.iter().all(|own| own.values.iter().all(|value| value.is_finite()));
        (finite && !numbers.is_empty()).then(|| Self { kind, pictures: batch.images.shape()[0], numbers })
    }

    /// Puts the adapters on a base that wears none.
    ///
    /// # Errors
    /// A sentence if they are of another base; it is then unchanged.
    pub fn apply(&self, base: &mut Base) -> Result<(), String> {
        let own: BTreeMap<&str, Tensor> = self.tensors()?;
        match self.kind.on_maps() {
            Some(kind) => {
                let trunk = base.model().trunk();
                let mut adapters = MapAdapters::new(kind, &trunk.stages(), trunk.neck().as_ref(), 0);
                let values = replaced(&adapters.tensors(), &own)?;
                adapters.set_tensors(&|path| values.get(path).cloned());
                base.set_map_adapters(Some(adapters));
            }
            None => {
                let plain: Vec<(String, Tensor)> = base.model().tensors();
                let values = match self.kind {
                    AdapterKind::Lora => with_products(&plain, &own)?,
                    _ => {
                        let norms = plain.into_iter().filter(|(path, _)| tune::is_norm(path));
                        replaced(&norms.collect::<Vec<_>>(), &own)?
                    }
                };
                base.model_mut().set_tensors(&|path| values.get(path).cloned());
            }
        }
        Ok(())
    }

    fn tensors(&self) -> Result<BTreeMap<&str, Tensor>, String> {
        let tensor = |own: &'_ Numbers| -> Result<Tensor, String> {
            match own.shape.iter().product::<usize>() == own.values.len() {
                true => Ok(Tensor::from_vec(own.values.clone(), &own.shape)),
                false => Err(format!("{:?} has not the numbers of its shape", own.path)),
            }
        };
        self.numbers.iter().map(|own| Ok((own.path.as_str(), tensor(own)?))).collect()
    }
}

/// The values of these paths; an error unless there is one for each, of its shape, and no other.
fn replaced(
    before: &[(String, Tensor)],
    own: &BTreeMap<&str, Tensor>,
) -> Result<BTreeMap<String, Tensor>, String> {
    let mut values = BTreeMap::new();
    for (path, before) in before {
        let value = own.get(path.as_str()).filter(|value| value.shape() == before.shape());
        let value = value.ok_or_else(|| format!("the adapters have no {path:?} of this base's shape"))?;
        values.insert(path.clone(), value.clone());
    }
    match own.keys().find(|path| !values.contains_key(**path)) {
        Some(path) => Err(format!("this base has no {path:?}")),
        None => Ok(values),
    }
}

/// Kernels with the products of these factors added.
fn with_products(
    plain: &[(String, Tensor)],
    own: &BTreeMap<&str, Tensor>,
) -> Result<BTreeMap<String, Tensor>, String> {
    let plain: BTreeMap<&str, &Tensor> = plain.iter().map(|(path, value)| (path.as_str(), value)).collect();
    let mut values = BTreeMap::new();
    for (path, a) in own.iter().filter_map(|(path, a)| Some((path.strip_suffix(".a")?, a))) {
        let kernel = plain.get(path).copied();
        let b = own.get(join(path, "b").as_str());
        let fitting = kernel.zip(b).filter(|(kernel, b)| match (a.shape(), b.shape(), kernel.shape()) {
            ([rows, rank], [same, columns], [spread @ .., last]) => {
                rank == same && columns == last && *rows == spread.iter().product::<usize>()
            }
            _ => false,
        });
        let (kernel, b) = fitting.ok_or_else(|| format!("this base has no kernel {path:?} of that size"))?;
        let product = a.matmul(b).reshape(kernel.shape());
        values.insert(path.to_string(), kernel.clone() + product);
    }
    match values.len() * 2 == own.len() {
        true => Ok(values),
        false => Err("the adapters have factors without a partner".into()),
    }
}
