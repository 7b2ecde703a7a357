//! The sum over all shards, sent while its operands are computed.
//!
//! It is a reduce-scatter and an all-gather: every process cuts its partial sums into as many pieces as there are
//! processes and sends piece `r` to rank `r`, which adds what it receives along the tree and sends the result to all.
//! Whatever the number of processes, each sends and receives about twice the length of the sum.
//!
//! This is done in buckets. A bucket leaves as soon as this process's last shard has filled it and those before it have
//! left, and its result is asked for a few buckets later: all processes send in the same order, whatever the order in
//! which gradients are complete.

use std::ops::Range;

use cerberus_tensor::Element;
use cerberus_tensor::parallel::for_each_piece;

use crate::group::Pending;
use crate::message::{Message, decoded, encoded, rounded};
use crate::shards::Shards;
use crate::tree::{TreeSum, node_count, sum_of_runs};

/// Numbers that are exchanged at a time: few enough to be on the way while the next ones are computed, and enough for
/// the time of a message to be that of its bytes.
const BUCKET: usize = 1 << 19;
/// Buckets that are on the way before the first of them is waited for.
const AHEAD: usize = 2;

/// A sum of vectors over all shards.
pub struct Sum<'a, T: Element> {
    shards: &'a Shards,
    message: Message,
    len: usize,
    buckets: Vec<Bucket<T>>,
    /// Buckets that have been sent, and those whose pieces have been added.
    sent: usize,
    added: usize,
}

/// A part of the vectors.
struct Bucket<T: Element> {
    range: Range<usize>,
    /// Over this process's shards.
    partial: TreeSum<Vec<T>>,
    leaves: usize,
    scattered: Option<Pending>,
    gathered: Option<Pending>,
}

impl<'a, T: Element> Sum<'a, T> {
    /// A sum of vectors of this length, with nothing added yet.
    pub fn new(shards: &'a Shards, len: usize, message: Message) -> Self {
        // Alone, nothing is sent.
        let size = if shards.group().size() == 1 { len.max(1) } else { BUCKET };
        let bucket = |start: usize| Bucket {
            range: start..(start + size).min(len),
            partial: TreeSum::from(shards.own().start),
            leaves: 0,
            scattered: None,
            gathered: None,
        };
        Self {
            shards,
            message,
            len,
            buckets: (0..len).step_by(size).map(bucket).collect(),
            sent: 0,
            added: 0,
        }
    }

    /// Adds the vector of the next of this process's shards.
    ///
    /// # Panics
    /// If it has another length, or there is no such shard.
    #[track_caller]
    pub fn push(&mut self, leaf: Vec<T>) {
        assert!(leaf.len() == self.len, "Sum: a vector of {} values, not {}", leaf.len(), self.len);
        if self.buckets.len() == 1 {
            self.push_part(0, leaf);
            return;
        }
        for bucket in 0..self.buckets.len() {
            let part = leaf[self.buckets[bucket].range.clone()].to_vec();
            self.push_part(bucket, part);
        }
    }

    /// The vector of the next of this process's shards, to be filled part by part.
    pub fn leaf(&mut self) -> Leaf<'_, 'a, T> {
        let missing = self.buckets.iter().map(|bucket| bucket.range.len()).collect();
        let values = vec![T::ZERO; self.len];
        Leaf { sum: self, values, missing }
    }

    #[track_caller]
    fn push_part(&mut self, index: usize, values: Vec<T>) {
        let (own, is_whole, message) = (self.shards.own().len(), self.shards.is_whole(), self.message);
        let bucket = &mut self.buckets[index];
        assert!(bucket.leaves < own, "Sum: more vectors than the {own} shards of this process");
        bucket.leaves += 1;
        // What is not cut is not rounded either.
        let values = if is_whole { values } else { rounded(values, message) };
        bucket.partial.push(values, |a, b| rounded(added(a, b), message));
        if self.shards.group().size() > 1 {
            self.advance();
        }
    }

    /// Sends what is due, and adds what must have arrived by now.
    fn advance(&mut self) {
        let own = self.shards.own().len();
        while self.sent < self.buckets.len() && self.buckets[self.sent].leaves == own {
            self.scatter(self.sent);
            self.sent += 1;
            if self.sent > AHEAD {
                self.gather(self.added);
            }
        }
    }

    /// The part of a bucket that a rank adds, as places in the bucket.
    fn piece(&self, bucket: usize, rank: usize) -> Range<usize> {
        let (len, size) = (self.buckets[bucket].range.len(), self.shards.group().size());
        rank * len / size..(rank + 1) * len / size
    }

    /// Sends each rank its piece of this process's partial sums.
    fn scatter(&mut self, index: usize) {
        let group = self.shards.group();
        let to = |rank| {
            let piece = self.piece(index, rank);
            let nodes = self.buckets[index].partial.nodes();
            nodes.map(|node| encoded(&node[piece.clone()], self.message)).collect::<Vec<_>>().concat()
        };
        let scattered = group.exchange((0..group.size()).map(to).collect());
        self.buckets[index].scattered = Some(scattered);
    }

    /// Adds this process's piece of all partial sums, and sends it to all.
    fn gather(&mut self, index: usize) {
        let (shards, message) = (self.shards, self.message);
        let received = self.buckets[index].scattered.take().expect("it was sent").wait();
        let runs = || (0..shards.group().size()).map(|rank| shards.of_rank(rank));
        let sum = if self.piece(index, shards.group().rank()).is_empty() {
            // The bucket is too short for every rank to have a piece.
            Vec::new()
        } else {
            let nodes = received.iter().zip(runs()).flat_map(|(bytes, run)| {
                let each = bytes.len() / node_count(run);
                bytes.chunks(each).map(|bytes| decoded::<T>(bytes, message)).collect::<Vec<_>>()
            });
            sum_of_runs(runs(), nodes, |a, b| rounded(added(a, b), message)).expect("there are shards")
        };
        self.buckets[index].gathered = Some(shards.group().gather(encoded(&sum, message)));
        self.added += 1;
    }

    /// The sum, once every process has added all its vectors.
    ///
    /// # Panics
    /// If this one has not.
    #[track_caller]
    pub fn finish(mut self) -> Vec<T> {
        let own = self.shards.own().len();
        assert!(
            self.buckets.iter().all(|bucket| bucket.leaves == own),
            "Sum: not all of the {own} shards of this process have been added"
        );
        if self.shards.group().size() == 1 {
            let message = self.message;
            let only = self.buckets.pop();
            return only
                .and_then(|bucket| bucket.partial.finish(|a, b| rounded(added(a, b), message)))
                .unwrap_or_default();
        }
        while self.added < self.buckets.len() {
            self.gather(self.added);
        }
        let mut all = Vec::with_capacity(self.len);
        for bucket in self.buckets {
            let pieces = bucket.gathered.expect("it was added").wait();
            pieces.iter().for_each(|bytes| all.extend(decoded::<T>(bytes, self.message)));
        }
        all
    }
}

/// A vector on its way into a [`Sum`]: whatever is complete may leave.
pub struct Leaf<'s, 'a, T: Element> {
    sum: &'s mut Sum<'a, T>,
    values: Vec<T>,
    /// How much of each bucket is to come.
    missing: Vec<usize>,
}

impl<T: Element> Leaf<'_, '_, T> {
    /// Sets values from a place on, each once.
    ///
    /// # Panics
    /// If they end past the vector's end, or were set before.
    #[track_caller]
    pub fn put(&mut self, start: usize, values: &[T]) {
        self.values[start..start + values.len()].copy_from_slice(values);
        self.skip(start, values.len());
    }

    /// Leaves values from a place on as they are, zeros.
    ///
    /// # Panics
    /// As [`put`](Self::put).
    #[track_caller]
    pub fn skip(&mut self, start: usize, len: usize) {
        for index in 0..self.missing.len() {
            let range = self.sum.buckets[index].range.clone();
            let inside = range.end.min(start + len).saturating_sub(range.start.max(start));
            assert!(inside <= self.missing[index], "Sum: values from {start} on are set twice");
            self.missing[index] -= inside;
            if inside > 0 && self.missing[index] == 0 {
                self.sum.push_part(index, self.values[range].to_vec());
            }
        }
    }

    /// The rest are zeros.
    pub fn finish(self) {
        for (index, _) in self.missing.iter().enumerate().filter(|(_, missing)| **missing > 0) {
            let range = self.sum.buckets[index].range.clone();
            self.sum.push_part(index, self.values[range].to_vec());
        }
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
