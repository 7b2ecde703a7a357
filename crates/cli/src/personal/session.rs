//! The base that a command works with, and pictures as it sees them.

use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use cerberus::data::{Image, Placement, normalise};
use cerberus::nn::Context;
use cerberus::personal::recogniser::{Shared, choose};
use cerberus::personal::{Base, Knowledge, Log, Recogniser, Store};
use cerberus::train::{TrainConfig, load_model};

use super::failure::Failure;

/// Pictures that go through the trunk together.
const TOGETHER: usize = 16;

/// The base, what it knows, and the person's folder.
pub(super) struct Session {
    pub config: TrainConfig,
    pub base: Base,
    pub shared: Shared,
    /// The numbers of an embedding.
    pub width: usize,
    model: PathBuf,
    user: Option<PathBuf>,
}

impl Session {
    pub fn start(model: &Path, user: Option<&Path>) -> Result<Self, Failure> {
        let (config, network) = load_model(model)?;
        let base = Base::new(network, model)?;
        let knowledge = Knowledge::load(&Knowledge::path(model), &base)?;
        let shared = Shared::new(base.rows().clone(), knowledge);
        let width = base.width(config.model.image);
        Ok(Self { config, base, shared, width, model: model.into(), user: user.map(Path::to_path_buf) })
    }

    /// The file with what the base knows.
    pub fn knowledge_path(&self) -> PathBuf {
        Knowledge::path(&self.model)
    }

    /// Tells knowledge from other knowledge.
    pub fn knowledge_hash(&self) -> &str {
        self.shared.knowledge.as_ref().map_or("", |known| &known.hash)
    }

    fn user(&self) -> Result<&Path, Failure> {
        self.user
            .as_deref()
            .ok_or_else(|| Failure::usage("whose? give the folder of a store with --user DIR"))
    }

    pub fn read(&self) -> Result<Store, Failure> {
        Ok(Store::read(self.user()?, &self.base, self.width)?)
    }

    /// `begin`: makes an empty store if there is none.
    pub fn write(&self, begin: bool) -> Result<Store, Failure> {
        Ok(Store::write(self.user()?, &self.base, self.width, begin)?)
    }

    /// A picture as the base's input.
    pub fn place(&self, picture: &Image) -> (Image, Placement) {
        let [height, width, _] = self.config.model.image;
        let placement = Placement::new(self.config.fit(), [picture.height, picture.width], [height, width]);
        (placement.place(picture), placement)
    }

    /// The embeddings of pictures.
    pub fn embeddings(&self, pictures: &[Image]) -> Vec<Vec<f32>> {
        let mut context = Context::evaluation();
        let mut all = Vec::with_capacity(pictures.len());
        for group in pictures.chunks(TOGETHER) {
            let placed: Vec<Image> = group.iter().map(|picture| self.place(picture).0).collect();
            let images = normalise(&placed.iter().collect::<Vec<_>>());
            all.extend(self.base.look_within(images, &mut context).embeddings);
        }
        all
    }

    /// What is learned from a log; `None` if it has no picture.
    pub fn learn(&self, log: &Log) -> Option<Recogniser> {
        choose(&self.shared, self.base.classes(), &log.examples())
    }

    /// A store's recogniser: the saved one, or, if the base was prepared since, what is learned now.
    pub fn recogniser(&self, store: &Store) -> Option<Recogniser> {
        let learned = store.learned.as_ref()?;
        if learned.knowledge == self.knowledge_hash() {
            return learned.recogniser.clone();
        }
        self.learn(&store.log)
    }
}

/// Seconds since 1970; those in `SOURCE_DATE_EPOCH`, by which builds are made reproducible, if that is set.
pub(super) fn now() -> u64 {
    let set = std::env::var("SOURCE_DATE_EPOCH").ok().and_then(|text| text.parse().ok());
    set.unwrap_or_else(|| SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()))
}
