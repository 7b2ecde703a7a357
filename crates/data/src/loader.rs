//! Batches of one epoch, made ahead on worker threads.
//!
//! Worker `w` of `W` makes batches `w`, `w + W`, `w + 2W`, ... and passes them through its own
//! bounded queue; the reader takes from the queues in turn. The order is therefore fixed by the
//! plan, whatever the number of workers and their speed, and the workers share no lock.

use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use cerberus_tensor::random::stream;
use rand::RngExt;

use crate::{Batch, DataError, Dataset, Split};

/// Finished batches that may wait in a worker's queue. Two keep the worker busy while the reader is
/// late; more would only use memory.
const AHEAD: usize = 2;

/// Which samples of which split, in which order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EpochPlan {
    /// The split to read.
    pub split: Split,
    /// The epoch; data sets with fresh samples and the shuffle depend on it.
    pub epoch: u64,
    /// Samples per batch; the last batch may hold fewer.
    pub batch_size: usize,
    /// The seed of the shuffle.
    pub seed: u64,
    /// Whether to visit the samples in a random order, a new one in each epoch.
    pub shuffle: bool,
    /// The first batch to deliver, to resume in the middle of an epoch.
    pub start_batch: usize,
    /// At most this many samples: the first ones of the (shuffled) order.
    pub limit: Option<usize>,
    /// Whether to leave out the last batch if it is not full.
    pub drop_last: bool,
    /// Worker threads that make batches; with 0 the reader's own thread makes each batch on
    /// request.
    pub workers: usize,
    /// The places in each batch of the samples to make, for one of several processes that share every batch; all if
    /// absent. A batch that has none of these places is an error.
    pub within: Option<Range<usize>>,
    /// Delivers every so many batches from `start_batch` on: 1 for all, more for one of several processes that take turns.
    pub every: usize,
}

impl EpochPlan {
    /// Epoch 0 of `split` in batches of 64 on one worker, in file order, to the
    /// last sample.
    pub fn new(split: Split) -> EpochPlan {
        EpochPlan {
            split,
            epoch: 0,
            batch_size: 64,
            seed: 0,
            shuffle: false,
            start_batch: 0,
            limit: None,
            drop_last: false,
            workers: 1,
            within: None,
            every: 1,
        }
    }

    /// A training epoch: the training samples in the epoch's own random order, in batches of
    /// `batch_size`.
    pub fn training(epoch: usize, batch_size: usize) -> EpochPlan {
        EpochPlan { epoch: epoch as u64, batch_size, shuffle: true, ..EpochPlan::new(Split::Train) }
    }

    /// The samples of an epoch over `len` of them, in the order of the plan.
    ///
    /// The shuffle is the Fisher-Yates shuffle, drawn from the stream (seed, "shuffle", epoch, 0).
    pub fn order(&self, len: usize) -> Vec<usize> {
        let mut order: Vec<usize> = (0..len).collect();
        if self.shuffle {
            let mut random = stream(self.seed, "shuffle", self.epoch, 0);
            for last in (1..len).rev() {
                order.swap(last, random.random_range(0..=last));
            }
        }
        order.truncate(self.limit.unwrap_or(len));
        order
    }
}

/// An iterator over the batches of one epoch. It ends after an error.
///
/// Dropping it stops the workers, at the latest when they finish their current samples.
pub struct Loader {
    source: Source,
    next: usize,
    every: usize,
    batches: usize,
}

enum Source {
    Here(Job),
    Workers(Workers),
}

impl Loader {
    /// Starts to make the batches of `plan` from `dataset`: a data set, or an `Arc` of one that is
    /// used for many epochs.
    ///
    /// # Errors
    /// [`DataError::Option`] when the batch size or `every` is 0, when `start_batch` lies
    /// past the end of the epoch, or when the system refuses a thread.
    pub fn new(dataset: impl Dataset + 'static, plan: EpochPlan) -> Result<Loader, DataError> {
        Self::of(Arc::new(dataset), plan)
    }

    fn of(dataset: Arc<dyn Dataset>, plan: EpochPlan) -> Result<Loader, DataError> {
        let refuse = |option, value: usize, remedy: String| {
            Err(DataError::Option { option, value: value.to_string(), remedy })
        };
        if plan.batch_size == 0 {
            return refuse("batch size", 0, "give at least 1".into());
        }
        if plan.every == 0 {
            return refuse("every", 0, "give at least 1".into());
        }
        let order = plan.order(dataset.len(plan.split));
        let batches = match plan.drop_last {
            true => order.len() / plan.batch_size,
            false => order.len().div_ceil(plan.batch_size),
        };
        if plan.start_batch > batches {
            let remedy =
                format!("this epoch has {batches} batches; resume with the data and options of the start");
            return refuse("start batch", plan.start_batch, remedy);
        }
        let (next, every) = (plan.start_batch, plan.every);
        let workers = plan.workers.min((batches - next).div_ceil(every));
        let job = Job { dataset, plan, order: order.into(), batches, stop: Arc::default() };
        let source = match workers {
            0 => Source::Here(job),
            _ => Source::Workers(Workers::start(&job, workers)?),
        };
        Ok(Loader { source, next, every, batches })
    }

    /// How many batches the whole epoch has, including those before `start_batch`.
    pub fn batches(&self) -> usize {
        self.batches
    }

    /// The index in its epoch of the next batch.
    pub fn position(&self) -> usize {
        self.next
    }
}

impl Iterator for Loader {
    type Item = Result<Batch, DataError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.next >= self.batches {
            return None;
        }
        let batch = match &mut self.source {
            Source::Here(job) => job.guarded(self.next),
            Source::Workers(workers) => workers.receive(self.next),
        };
        self.next = if batch.is_ok() { self.next + self.every } else { self.batches };
        Some(batch)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (0, Some(self.batches.saturating_sub(self.next).div_ceil(self.every)))
    }
}

/// What a worker needs to make any batch of the epoch.
#[derive(Clone)]
struct Job {
    dataset: Arc<dyn Dataset>,
    plan: EpochPlan,
    order: Arc<[usize]>,
    batches: usize,
    stop: Arc<AtomicBool>,
}

impl Job {
    fn make(&self, batch: usize) -> Result<Batch, DataError> {
        let start = batch * self.plan.batch_size;
        let indices = &self.order[start..self.order.len().min(start + self.plan.batch_size)];
        let indices = match &self.plan.within {
            Some(within) => &indices[within.start.min(indices.len())..within.end.min(indices.len())],
            None => indices,
        };
        let mut samples = Vec::with_capacity(indices.len());
        for &index in indices {
            if self.stop.load(Ordering::Relaxed) {
                // The reader is gone: this batch will not be read.
                return Err(DataError::Worker { batch, message: "stopped".into() });
            }
            samples.push(self.dataset.sample(self.plan.split, self.plan.epoch, index)?);
        }
        Batch::assemble(&samples, indices.to_vec())
    }

    /// Calls `make` and turns a panic of the data set into an error. A panic leaves nothing of this
    /// crate half-changed: samples are made from scratch.
    fn guarded(&self, batch: usize) -> Result<Batch, DataError> {
        catch_unwind(AssertUnwindSafe(|| self.make(batch))).unwrap_or_else(|panic| {
            let text = panic.downcast_ref::<&str>().map(|text| (*text).to_string());
            let message = text.or_else(|| panic.downcast_ref::<String>().cloned());
            Err(DataError::Worker { batch, message: message.unwrap_or_else(|| "it panicked".into()) })
        })
    }

    fn work(&self, first: usize, step: usize, queue: &SyncSender<Result<Batch, DataError>>) {
        for batch in (first..self.batches).step_by(step) {
            let made = self.guarded(batch);
            let failed = made.is_err();
            // Sending fails when the reader is gone: then no work is left.
            if queue.send(made).is_err() || failed {
                return;
            }
        }
    }
}

struct Workers {
    first: usize,
    every: usize,
    // Entry w belongs to worker w.
    queues: Vec<Receiver<Result<Batch, DataError>>>,
    threads: Vec<JoinHandle<()>>,
    stop: Arc<AtomicBool>,
}

impl Workers {
    fn start(job: &Job, count: usize) -> Result<Workers, DataError> {
        let (first, every) = (job.plan.start_batch, job.plan.every);
        let mut workers = Workers { first, every, queues: vec![], threads: vec![], stop: job.stop.clone() };
        for worker in 0..count {
            let (sender, receiver) = sync_channel(AHEAD);
            let job = job.clone();
            let thread = std::thread::Builder::new()
                .name(format!("loader-{worker}"))
                .spawn(move || job.work(first + worker * every, count * every, &sender))
                .map_err(|error| DataError::Option {
                    option: "workers",
                    value: count.to_string(),
                    remedy: format!("the system refused a thread ({error}); give fewer"),
                })?;
            workers.queues.push(receiver);
            workers.threads.push(thread);
        }
        Ok(workers)
    }

    fn receive(&mut self, batch: usize) -> Result<Batch, DataError> {
        let queue = &self.queues[(batch - self.first) / self.every % self.queues.len()];
        let gone = |_| Err(DataError::Worker { batch, message: "its thread ended early".into() });
        queue.recv().unwrap_or_else(gone)
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        // Once the receivers are dropped, a worker that waits for room in its queue wakes up.
        self.queues.clear();
        for thread in self.threads.drain(..) {
            // A panic was already reported as an error of its batch.
            let _ = thread.join();
        }
    }
}
