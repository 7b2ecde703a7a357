//! A batch cut into shards, who has which, and the sum over all of them.
//!
//! The sum is a reduce-scatter and an all-gather: every process cuts its partial sums into as many pieces as there are
//! processes and sends piece `r` to rank `r`, which adds what it receives along the tree and sends the result to all.
//! Whatever the number of processes, each sends and receives about twice the length of the sum.

use std::ops::Range;
use std::sync::Arc;

use cerberus_tensor::Element;
use cerberus_tensor::parallel::for_each_piece;
use half::bf16;
use serde::{Deserialize, Serialize};

use crate::group::{Alone, Group, Pending};
use crate::tree::{TreeSum, node_count, sum_of_runs};

/// Elements that are exchanged at a time: while others are on the way, those that have arrived are added.
const BUCKET: usize = 1 << 20;

/// The form of numbers in messages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Message {
    /// As they are.
    #[default]
    Exact,
    /// Every leaf, and every sum in the tree, is rounded to 16 bits of which 8 are the exponent: half the bytes, and
    /// still the same bits for any number of processes.
    Bf16,
}

impl std::str::FromStr for Message {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        match name {
            "exact" => Ok(Self::Exact),
            "bf16" => Ok(Self::Bf16),
            _ => Err(format!("messages cannot be {name:?}; choose exact or bf16")),
        }
    }
}

/// A step's batch cut into shards that the processes of a group share out.
#[derive(Clone)]
pub struct Shards {
    group: Arc<dyn Group>,
    count: usize,
}

impl Default for Shards {
    fn default() -> Self {
        Self::whole()
    }
}

impl Shards {
    /// A single shard, in a single process.
    pub fn whole() -> Self {
        Self { group: Arc::new(Alone), count: 1 }
    }

    /// `count` shards for the processes of `group`, each of which gets a run of about equally many.
    ///
    /// # Errors
    /// If there are fewer shards than processes.
    pub fn new(group: Arc<dyn Group>, count: usize) -> Result<Self, String> {
        let size = group.size();
        if count < size.max(1) {
            return Err(format!(
                "{size} processes cannot share {count} shards; give --shards {size} or more, or start fewer processes"
            ));
        }
        Ok(Self { group, count })
    }

    /// The number of shards.
    pub fn count(&self) -> usize {
        self.count
    }

    /// The processes.
    pub fn group(&self) -> &dyn Group {
        &*self.group
    }

    /// Whether the batch is not cut: everything is then done as without shards.
    pub fn is_whole(&self) -> bool {
        self.count == 1
    }

    /// The shards of a rank.
    pub fn of_rank(&self, rank: usize) -> Range<usize> {
        let size = self.group.size();
        rank * self.count / size..(rank + 1) * self.count / size
    }

    /// The shards of this process.
    pub fn own(&self) -> Range<usize> {
        self.of_rank(self.group.rank())
    }

    /// The rank that has a shard.
    pub fn owner(&self, shard: usize) -> usize {
        (0..self.group.size()).find(|&rank| self.of_rank(rank).contains(&shard)).unwrap_or(0)
    }

    /// The places of a shard's samples in a batch of `batch`.
    pub fn samples(&self, shard: usize, batch: usize) -> Range<usize> {
        shard * batch / self.count..(shard + 1) * batch / self.count
    }

    /// The places of this process's samples in a batch of `batch`.
    pub fn own_samples(&self, batch: usize) -> Range<usize> {
        let own = self.own();
        self.samples(own.start, batch).start..self.samples(own.end - 1, batch).end
    }

    /// What every shard has, from what each of this process's shards has.
    ///
    /// # Panics
    /// Unless there are bytes for each of this process's shards.
    #[track_caller]
    pub fn gather(&self, own: Vec<Vec<u8>>) -> Vec<Vec<u8>> {
        assert!(own.len() == self.own().len(), "Shards::gather: {} for {:?}", own.len(), self.own());
        if self.group.size() == 1 {
            return own;
        }
        // Each with its length before it.
        let framed = own.iter().flat_map(|bytes| [&(bytes.len() as u64).to_le_bytes(), &bytes[..]].concat());
        let all = self.group.gather(framed.collect()).wait();
        let mut found = Vec::with_capacity(self.count);
        for bytes in &all {
            let mut rest = &bytes[..];
            while let Some((length, after)) = rest.split_first_chunk::<8>() {
                let (bytes, after) = after.split_at(u64::from_le_bytes(*length) as usize);
                found.push(bytes.to_vec());
                rest = after;
            }
        }
        found
    }

    /// The sum over all shards of vectors of one length, along the tree; `own` gives those of this process's shards, in
    /// order.
    ///
    /// # Panics
    /// Unless there is a vector for each of this process's shards, and all have one length.
    #[track_caller]
    pub fn sum<T: Element>(&self, own: impl IntoIterator<Item = Vec<T>>, message: Message) -> Vec<T> {
        let add = |a, b| rounded(added(a, b), message);
        let mut partial = TreeSum::from(self.own().start);
        let mut count = 0;
        for leaf in own {
            // Alone with one shard, nothing is added and nothing is sent.
            partial.push(if self.is_whole() { leaf } else { rounded(leaf, message) }, add);
            count += 1;
        }
        assert!(count == self.own().len(), "Shards::sum: {count} vectors for the shards {:?}", self.own());
        if self.group.size() == 1 {
            return partial.finish(add).expect("there is a shard");
        }
        self.sum_over_ranks(&partial, message)
    }

    /// The sum of all processes' partial sums, bucket by bucket.
    fn sum_over_ranks<T: Element>(&self, partial: &TreeSum<Vec<T>>, message: Message) -> Vec<T> {
        let (size, rank) = (self.group.size(), self.group.rank());
        let len = partial.nodes().next().expect("every process has a shard").len();
        let buckets: Vec<Range<usize>> =
            (0..len).step_by(BUCKET).map(|start| start..(start + BUCKET).min(len)).collect();
        // The part of a bucket that a rank adds.
        let piece = |bucket: &Range<usize>, rank: usize| {
            bucket.start + rank * bucket.len() / size..bucket.start + (rank + 1) * bucket.len() / size
        };
        let scatter = |bucket: &Range<usize>| {
            let to = |rank| {
                let parts = partial.nodes().flat_map(|node| encoded(&node[piece(bucket, rank)], message));
                parts.collect()
            };
            self.group.exchange((0..size).map(to).collect())
        };
        let scattered: Vec<Pending> = buckets.iter().map(scatter).collect();
        let gathered: Vec<Pending> = (buckets.iter().zip(scattered))
            .map(|(bucket, pending)| {
                let received = pending.wait();
                let of_rank = |(rank, bytes): (usize, &Vec<u8>)| {
                    let each = bytes.len() / node_count(self.of_rank(rank));
                    bytes.chunks(each.max(1)).map(|bytes| decoded::<T>(bytes, message)).collect::<Vec<_>>()
                };
                let nodes: Vec<Vec<T>> = received.iter().enumerate().flat_map(of_rank).collect();
                // A bucket may be too short for every rank to have a part of it.
                let sum = if piece(bucket, rank).is_empty() {
                    Vec::new()
                } else {
                    let runs = (0..size).map(|rank| self.of_rank(rank));
                    sum_of_runs(runs, nodes.into_iter(), |a, b| rounded(added(a, b), message))
                        .expect("there are shards")
                };
                self.group.gather(encoded(&sum, message))
            })
            .collect();
        let mut all = Vec::with_capacity(len);
        for pending in gathered {
            pending.wait().iter().for_each(|bytes| all.extend(decoded::<T>(bytes, message)));
        }
        all
    }
}

#[track_caller]
fn added<T: Element>(mut a: Vec<T>, b: Vec<T>) -> Vec<T> {
    assert!(a.len() == b.len(), "Shards::sum: vectors of {} and of {} values", a.len(), b.len());
    for_each_piece(&mut a, |first, piece| {
        piece.iter_mut().zip(&b[first..]).for_each(|(a, b)| *a += *b);
    });
    a
}

fn rounded<T: Element>(mut values: Vec<T>, message: Message) -> Vec<T> {
    if message == Message::Bf16 {
        for_each_piece(&mut values, |_, piece| {
            piece.iter_mut().for_each(|x| *x = T::from_f64(bf16::from_f32(x.as_f64() as f32).into()));
        });
    }
    values
}

fn encoded<T: Element>(values: &[T], message: Message) -> Vec<u8> {
    let each = |x: &T| x.as_f64();
    match message {
        Message::Bf16 => values.iter().flat_map(|x| bf16::from_f64(each(x)).to_le_bytes()).collect(),
        _ if size_of::<T>() == 4 => values.iter().flat_map(|x| (each(x) as f32).to_le_bytes()).collect(),
        _ => values.iter().flat_map(|x| each(x).to_le_bytes()).collect(),
    }
}

fn decoded<T: Element>(bytes: &[u8], message: Message) -> Vec<T> {
    match message {
        Message::Bf16 => {
            bytes.as_chunks::<2>().0.iter().map(|&x| T::from_f64(bf16::from_le_bytes(x).into())).collect()
        }
        _ if size_of::<T>() == 4 => {
            bytes.as_chunks::<4>().0.iter().map(|&x| T::from_f64(f32::from_le_bytes(x).into())).collect()
        }
        _ => bytes.as_chunks::<8>().0.iter().map(|&x| T::from_f64(f64::from_le_bytes(x))).collect(),
    }
}
