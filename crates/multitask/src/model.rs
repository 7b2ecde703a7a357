//! The model: a trunk, run once, and the heads that use its maps.

use std::marker::PhantomData;

use cerberus_autograd::Var;
use cerberus_data::Batch;
use cerberus_nn::{Context, Init, Module, ModuleTensor, ModuleTensorMut, join};
use cerberus_tensor::{Element, PerElement};

use crate::config::{HeadConfig, ModelConfig, find_kind};
use crate::features::{Features, View, WholeInfo};
use crate::image_trunk::image_trunk;
use crate::inputs::Inputs;
use crate::senses::{OfEach, Senses};
use crate::tasks::{self, HeadOutput, Prediction, Task};
use crate::trunk::Trunk;

/// The trunk that a configuration describes. The layers for `f32` are compiled here;
/// those for `f64`, in the crate that uses them.
fn trunk_of<T: Element>(config: &ModelConfig, init: &mut Init) -> Box<dyn Trunk<T>> {
    struct Described<'a, T>(&'a ModelConfig, &'a mut Init, PhantomData<T>);

    impl<U> PerElement for Described<'_, U> {
        type Output<T: Element> = Box<dyn Trunk<T>>;

        fn single(self) -> Box<dyn Trunk<f32>> {
            single(self.0, self.1)
        }

        fn double(self) -> Box<dyn Trunk<f64>> {
            make(self.0, self.1)
        }
    }

    #[inline(never)]
    fn single(config: &ModelConfig, init: &mut Init) -> Box<dyn Trunk<f32>> {
        make(config, init)
    }

    fn make<T: Element>(config: &ModelConfig, init: &mut Init) -> Box<dyn Trunk<T>> {
        if config.inputs.is_empty() {
            return image_trunk(config, config.image[2], init);
        }
        Box::new(Senses::new(config, init))
    }

    T::choose(Described(config, init, PhantomData::<T>))
}

/// One trunk with any set of tasks.
pub struct MultiTaskModel<T: Element = f32> {
    trunk: Box<dyn Trunk<T>>,
    tasks: Vec<Box<dyn Task<T>>>,
    /// What each task sees.
    views: Vec<View>,
    /// What the trunk makes of whole samples.
    whole: Option<WholeInfo>,
    recomputes: bool,
}

impl<T: Element> MultiTaskModel<T> {
    /// The model that `config` describes, with fresh weights from `seed`.
    ///
    /// # Panics
    /// If the configuration does not pass its [check](ModelConfig::check).
    #[track_caller]
    pub fn new(config: &ModelConfig, seed: u64) -> Self {
        if let Err(problem) = config.check() {
            panic!("MultiTaskModel: {problem}");
        }
        let mut init = Init::new(seed);
        let [height, width, _] = config.image;
        let trunk = trunk_of::<T>(config, &mut init);
        let info = trunk.info([height, width]);
        let kinds = tasks::kinds::<T>();
        let tasks = config.heads.iter().map(|head| {
            let kind = kinds.iter().find(|kind| kind.name == head.kind).expect("a kind that was checked");
            let view = view_of(head, info.whole.as_ref());
            match &info.whole {
                Some(whole) if view == View::Each => {
                    Box::new(OfEach::new(kind.build, &info, whole, head, config.fusion, &mut init))
                }
                _ => (kind.build)(&info.seen(view), head, &mut init),
            }
        });
        let tasks = tasks.collect();
        Self::from_boxed(trunk, tasks)
    }

    /// A model from your own trunk and tasks.
    pub fn from_parts(trunk: impl Trunk<T> + 'static, tasks: Vec<Box<dyn Task<T>>>) -> Self {
        Self::from_boxed(Box::new(trunk), tasks)
    }

    /// [`from_parts`](Self::from_parts) for a trunk that is chosen at run time.
    pub(crate) fn from_boxed(trunk: Box<dyn Trunk<T>>, tasks: Vec<Box<dyn Task<T>>>) -> Self {
        let whole = trunk.info([0, 0]).whole;
        let views = tasks.iter().map(|task| view_of(task.config(), whole.as_ref())).collect();
        Self { trunk, tasks, views, whole, recomputes: false }
    }

    /// The shared trunk.
    pub fn trunk(&self) -> &dyn Trunk<T> {
        &*self.trunk
    }

    /// The shared trunk, to change its weights.
    pub fn trunk_mut(&mut self) -> &mut dyn Trunk<T> {
        &mut *self.trunk
    }

    /// The tasks, in order.
    pub fn tasks(&self) -> &[Box<dyn Task<T>>] {
        &self.tasks
    }

    /// The tasks' names, in order.
    pub fn task_names(&self) -> Vec<String> {
        self.tasks.iter().map(|task| task.name().to_string()).collect()
    }

    /// Whether steps to come [recompute](Context::recompute) the values in the blocks of the trunk. That saves no memory
    /// where the tape is kept for the gradients of single tasks with respect to the trunk's parameters.
    pub fn recompute(&mut self, recomputes: bool) {
        self.recomputes = recomputes;
    }

    /// The trunk's features of images `[N, H, W, C]`, or of several [inputs](Inputs), which a batch converts into. Its
    /// maps can be [watched](Context::watch) as `trunk.` and their names, such as `trunk.stage1`.
    #[track_caller]
    pub fn features(&self, inputs: impl Into<Inputs<T>>, context: &mut Context<T>) -> Features<T> {
        if self.recomputes {
            context.recompute(true);
        }
        let features = self.trunk.encode(inputs.into(), context);
        if context.is_watching() {
            for (info, map) in self.trunk.stages().iter().zip(&features.stages) {
                context.note(&join("trunk", &info.name), map);
            }
            if let (Some(info), Some(map)) = (self.trunk.neck(), &features.neck) {
                context.note(&join("trunk", &info.name), map);
            }
        }
        features
    }

    /// Every task's raw outputs for images `[N, H, W, C]`, or for several [inputs](Inputs); the trunk runs once.
    #[track_caller]
    pub fn forward(&self, inputs: impl Into<Inputs<T>>, context: &mut Context<T>) -> Vec<HeadOutput<T>> {
        let features = self.features(inputs, context);
        (0..self.tasks.len()).map(|task| self.head(task, &features, context)).collect()
    }

    /// The raw outputs of the task at this place for the trunk's features.
    #[track_caller]
    pub fn head(&self, task: usize, features: &Features<T>, context: &mut Context<T>) -> HeadOutput<T> {
        self.tasks[task].forward(&features.seen(self.views[task]), context)
    }

    /// The places in the batch of the samples that have what the task at this place needs: for places in the image,
    /// the image or the clip; for one input, that input; otherwise any.
    pub fn answerable(&self, task: usize, batch: &Batch) -> Vec<usize> {
        let Some(whole) = &self.whole else { return (0..batch.len()).collect() };
        let present: Vec<Vec<bool>> = whole.inputs.iter().map(|name| batch.present(name)).collect();
        (0..batch.len()).filter(|&sample| self.sees(task, |input| present[input][sample])).collect()
    }

    /// Whether a sample has what the task at this place needs, given whether it has each input.
    fn sees(&self, task: usize, has: impl Fn(usize) -> bool) -> bool {
        let Some(whole) = &self.whole else { return true };
        match self.views[task] {
            View::Places => whole.places.is_none_or(has),
            View::Alone(input) => has(input),
            View::Joined | View::Each => (0..whole.inputs.len()).any(has),
        }
    }

    /// The names of the model's inputs; none for a model of images alone.
    pub(crate) fn input_names(&self) -> &[String] {
        self.whole.as_ref().map_or(&[], |whole| &whole.inputs)
    }

    /// The only input that the task at this place answers from, if its options name one.
    pub(crate) fn input_of(&self, task: usize) -> Option<&str> {
        match (self.views[task], &self.whole) {
            (View::Alone(input), Some(whole)) => Some(&whole.inputs[input]),
            _ => None,
        }
    }

    /// Every task's loss on a batch's `features`: `None` for a task without
    /// labels in the batch.
    ///
    /// The trunk has seen all images; a head sees only those with its label.
    /// Images without its label therefore cost it nothing and change nothing in
    /// it, batch norm's statistics included.
    #[track_caller]
    pub fn losses(
        &self,
        features: &Features<T>,
        batch: &Batch,
        context: &mut Context<T>,
    ) -> Vec<Option<Var<T>>> {
        let of = |place: usize, context: &mut Context<T>| {
            let task = &*self.tasks[place];
            let seen = features.seen(self.views[place]);
            let labelled = self.labelled(place, features, batch);
            if labelled.is_empty() {
                return None;
            }
            if labelled.len() == batch.len() {
                let output = task.forward(&seen, context);
                return Some(task.loss(output, batch));
            }
            let output = task.forward(&seen.select(&labelled), context);
            Some(task.loss(output, &batch.select(&labelled)))
        };
        (0..self.tasks.len()).map(|place| of(place, context)).collect()
    }

    /// The samples of a batch that the loss of the task at this place is taken over: those with its label and with what
    /// its head needs.
    pub(crate) fn labelled(&self, task: usize, features: &Features<T>, batch: &Batch) -> Vec<usize> {
        let mut labelled = self.tasks[task].labelled(batch);
        if let Some(whole) = &features.whole {
            labelled.retain(|&sample| self.sees(task, |input| whole.present[input][sample]));
        }
        labelled
    }

    /// The sum of the tasks' losses on a batch, each times its weight (in the model's
    /// order): the loss of plain multi-task training. `None` if the batch holds no
    /// label for any task.
    ///
    /// # Panics
    /// If there is not one weight per task.
    #[track_caller]
    pub fn loss(&self, batch: &Batch, weights: &[f64], context: &mut Context<T>) -> Option<Var<T>> {
        assert!(
            weights.len() == self.tasks.len(),
            "MultiTaskModel::loss: {} weights for {} tasks",
            weights.len(),
            self.tasks.len()
        );
        let features = self.features(batch, context);
        let losses = self.losses(&features, batch, context);
        let weighted =
            losses.into_iter().zip(weights).filter_map(|(loss, &weight)| Some(loss?.scale(weight)));
        weighted.reduce(|a, b| a + b)
    }

    /// Every task's predictions for images `[N, H, W, C]`, or for several [inputs](Inputs): one list per task.
    #[track_caller]
    pub fn predict(&self, inputs: impl Into<Inputs<T>>) -> Vec<Vec<Prediction>> {
        let predictions = self.forward(inputs, &mut Context::evaluation());
        self.tasks.iter().zip(&predictions).map(|(task, output)| task.decode(output)).collect()
    }
}

/// What a head sees of a trunk of several inputs or frames; of another trunk, all.
fn view_of(head: &HeadConfig, whole: Option<&WholeInfo>) -> View {
    let Some(whole) = whole else { return View::Places };
    if let Some(input) = &head.options.input {
        return whole.inputs.iter().position(|name| name == input).map_or(View::Joined, View::Alone);
    }
    match find_kind(&head.kind) {
        Ok(kind) if !kind.finds_places() => {
            if whole.joined.is_some() {
                View::Joined
            } else {
                View::Each
            }
        }
        _ => View::Places,
    }
}

/// Paths read `trunk.stage1.block1.conv.weight`, `heads.detect.heat.conv.weight`.
impl<T: Element> Module<T> for MultiTaskModel<T> {
    fn visit<'a>(&'a self, path: &str, f: &mut dyn FnMut(String, ModuleTensor<'a, T>)) {
        let Self { trunk, tasks, views: _, whole: _, recomputes: _ } = self;
        trunk.visit(&join(path, "trunk"), f);
        for task in tasks {
            task.visit(&join(path, &format!("heads.{}", task.name())), f);
        }
    }

    fn visit_mut<'a>(&'a mut self, path: &str, f: &mut dyn FnMut(String, ModuleTensorMut<'a, T>)) {
        let Self { trunk, tasks, views: _, whole: _, recomputes: _ } = self;
        trunk.visit_mut(&join(path, "trunk"), f);
        for task in tasks {
            let name = format!("heads.{}", task.name());
            task.visit_mut(&join(path, &name), f);
        }
    }
}
