//! The base that a command works with, and pictures as it sees them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use cerberus::data::{Image, Placement, normalise};
use cerberus::nn::Context;
use cerberus::personal::hash::{Mark, file_hash};
use cerberus::personal::knowledge::Part;
use cerberus::personal::recogniser::{Shared, choose};
use cerberus::personal::store::Learned;
use cerberus::personal::{Base, Knowledge, Log, Store};
use cerberus::tensor::Tensor;
use cerberus::train::{TrainConfig, load_image_model};

use super::failure::Failure;

/// Pictures that go through the trunk together.
const TOGETHER: usize = 16;

/// The base, what it knows, and the person's folder.
pub(super) struct Session {
    pub config: TrainConfig,
    pub base: Base,
    /// What each task compares with.
    pub shared: BTreeMap<String, Shared>,
    /// The base's, if the store does not remember its hash.
    mark: Option<Mark>,
    model: PathBuf,
    user: Option<PathBuf>,
}

impl Session {
    pub fn start(model: &Path, user: Option<&Path>) -> Result<Self, Failure> {
        let mark = Mark::of(model).ok();
        let remembered = mark.as_ref().zip(user).and_then(|(mark, user)| mark.hash_in(user));
        let (loaded, hash) = match remembered.clone() {
            Some(hash) => (load_image_model(model), Ok(hash)),
            // The hash takes as long as reading the model.
            None => rayon::join(|| load_image_model(model), || file_hash(model)),
        };
        let (config, network) = loaded?;
        if mark.is_some() && mark != Mark::of(model).ok() {
            return Err(Failure::usage(format!(
                "{} was changed while it was read; try again",
                model.display()
            )));
        }
        let name = model.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
        let base = Base::with_hash(network, &name, hash?);
        Ok(Self {
            config,
            base,
            shared: BTreeMap::new(),
            mark: mark.filter(|_| remembered.is_none()),
            model: model.into(),
            user: user.map(Path::to_path_buf),
        })
    }

    /// The file with what the base knows.
    pub fn knowledge_path(&self) -> PathBuf {
        Knowledge::path(&self.model)
    }

    /// Reads what the base knows for the task of the whole image and for these tasks.
    fn know(&mut self, mut tasks: BTreeSet<String>, part: Part) -> Result<(), Failure> {
        tasks.insert(self.image_task().to_string());
        let mut known = Knowledge::load(&self.knowledge_path(), &self.base, &tasks, part)?;
        for slot in self.base.slots().iter().filter(|slot| tasks.contains(&slot.task)) {
            let shared = Shared::new(slot.rows.clone(), known.remove(&slot.task));
            self.shared.insert(slot.task.clone(), shared);
        }
        Ok(())
    }

    /// The name of the task that tells what an image shows.
    pub fn image_task(&self) -> &str {
        &self.base.image().task
    }

    /// What the task that tells what an image shows compares with.
    pub fn image_shared(&self) -> &Shared {
        &self.shared[self.image_task()]
    }

    fn user(&self) -> Result<PathBuf, Failure> {
        let user = self.user.clone();
        user.ok_or_else(|| Failure::usage("whose? give the folder of a store with --user DIR"))
    }

    /// The store to be read, with what its log teaches beside what the base knows now; from now on the base sees pictures in
    /// its style.
    pub fn read(&mut self) -> Result<Store, Failure> {
        let mut store = Store::read(&self.user()?, &self.base)?;
        self.open(&store, Part::Answers)?;
        // A task that could learn nothing before is learned now, too.
        let known = |task: &String| store.learned.knowledge.get(task).map_or("", String::as_str);
        if store.log.tasks().iter().any(|task| self.knowledge_hash(task) != known(task)) {
            // The base was prepared since. The next answer need not wait for this again.
            self.know(store.log.tasks(), Part::All)?;
            store.relearn(&self.base, self.learn(&store.log));
        }
        Ok(store)
    }

    /// The store to be changed; from now on the base sees pictures in its style. `begin`: makes an empty one if there is
    /// none.
    pub fn write(&mut self, begin: bool) -> Result<Store, Failure> {
        let store = Store::write(&self.user()?, &self.base, begin)?;
        self.open(&store, Part::All)?;
        Ok(store)
    }

    fn open(&mut self, store: &Store, part: Part) -> Result<(), Failure> {
        if let Some(mark) = self.mark.take() {
            mark.remember_in(store.folder(), self.base.hash(), SystemTime::now());
        }
        self.know(store.log.tasks(), part)?;
        self.wear(store)
    }

    /// Reads what the base knows for all tasks, to teach more than the store holds.
    pub fn know_all(&mut self) -> Result<(), Failure> {
        self.know(self.base.slots().iter().map(|slot| slot.task.clone()).collect(), Part::All)
    }

    fn wear(&mut self, store: &Store) -> Result<(), Failure> {
        if let Some(style) = store.log.style() {
            style.apply(self.base.model_mut()).map_err(Failure::usage)?;
        }
        match store.log.adapters() {
            Some(adapters) => adapters.apply(&mut self.base).map_err(Failure::usage),
            None => Ok(()),
        }
    }

    /// A picture as the base's input.
    pub fn place(&self, picture: &Image) -> (Image, Placement) {
        let [height, width, _] = self.config.model.image;
        let placement = Placement::new(self.config.fit(), [picture.height, picture.width], [height, width]);
        (placement.place(picture), placement)
    }

    /// Pictures as the base's input, in batches.
    pub fn batches(&self, pictures: &[Image]) -> Vec<Tensor> {
        let batch = |group: &[Image]| {
            let placed: Vec<Image> = group.iter().map(|picture| self.place(picture).0).collect();
            normalise(&placed.iter().collect::<Vec<_>>())
        };
        pictures.chunks(TOGETHER).map(batch).collect()
    }

    /// The embeddings of pictures.
    pub fn embeddings(&self, pictures: &[Image]) -> Vec<Vec<f32>> {
        let mut context = Context::evaluation();
        let batches = self.batches(pictures).into_iter();
        batches.flat_map(|batch| self.base.embeddings(batch, &mut context)).collect()
    }

    /// What is learned from a log, for every task that something was taught for.
    pub fn learn(&self, log: &Log) -> Learned {
        let mut learned = Learned::default();
        for (slot, task) in self.base.slots().iter().map(|slot| (slot, &slot.task)) {
            let Some(shared) = self.shared.get(task) else { continue };
            if let Some(found) = choose(shared, &slot.known(), &log.examples(task)) {
                learned.recognisers.insert(task.clone(), found);
                learned.knowledge.insert(task.clone(), self.knowledge_hash(task));
            }
        }
        learned
    }

    /// Tells what a task's knowledge is from other knowledge.
    fn knowledge_hash(&self, task: &str) -> String {
        let known = self.shared.get(task).and_then(|shared| shared.knowledge.as_ref());
        known.map_or_else(String::new, |known| known.hash.clone())
    }
}

/// Seconds since 1970; those in `SOURCE_DATE_EPOCH`, by which builds are made reproducible, if that is set.
pub(super) fn now() -> u64 {
    let set = std::env::var("SOURCE_DATE_EPOCH").ok().and_then(|text| text.parse().ok());
    set.unwrap_or_else(|| SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()))
}
