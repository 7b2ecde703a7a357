//! The sum over all shards, sent while its operands are computed.
//!
//! It is a reduce-scatter and an all-gather: every process cuts its partial sums into as many pieces as there are
//! processes and sends piece `r` to rank `r`, which adds what it receives along the tree and sends the result to all.
//! Whatever the number of processes, each sends and receives about twice the length of the sum.
//!
//! Where only the owner of a number needs its sum, the second half is left out, and pieces are cut by [`Parts`].
//!
//! This is done in buckets. A bucket leaves as soon as this process's last shard has filled it and those before it have
//! left: all processes send in the same order, whatever the order in which gradients are complete. Who computes waits
//! for a bucket only when many are on the way; what is received is added and sent on by the thread that exchanges.

use std::ops::Range;
use std::sync::Arc;

use cerberus_tensor::Element;
use cerberus_tensor::parallel::for_each_piece;
use cerberus_tensor::pool::Buffer;

use crate::group::{Pending, Received, to_all};
use crate::message::{AHEAD, BUCKET, Message, decoded, encoded, rounded, rounded_one};
use crate::parts::Parts;
use crate::shards::Shards;
use crate::tree::{TreeSum, node_count, sum_of_runs};

/// A sum of vectors over all shards.
pub struct Sum<'a, T: Element> {
    shards: &'a Shards,
    message: Message,
    len: usize,
    /// Who needs which numbers; all processes all of them if there is nothing.
    owners: Option<&'a Parts>,
    buckets: Vec<Bucket<T>>,
    /// Buckets that have been sent.
    sent: usize,
}

/// A part of the vectors.
struct Bucket<T: Element> {
    range: Range<usize>,
    /// Over this process's shards.
    partial: TreeSum<Buffer<T>>,
    leaves: usize,
    /// The sum's pieces on their way from all who have added one; or this process's pieces of all partial sums, if only
    /// the owners need it.
    received: Option<Pending>,
}

impl<'a, T: Element> Sum<'a, T> {
    /// A sum of vectors of this length, with nothing added yet.
    pub fn new(shards: &'a Shards, len: usize, message: Message) -> Self {
        Self::whole_or_not(shards, len, message, None)
    }

    /// A sum of which each process gets [its own numbers](Self::finish_own) only: about half of the bytes.
    pub fn to_owners(shards: &'a Shards, owners: &'a Parts, message: Message) -> Self {
        Self::whole_or_not(shards, owners.len(), message, Some(owners))
    }

    fn whole_or_not(shards: &'a Shards, len: usize, message: Message, owners: Option<&'a Parts>) -> Self {
        // Alone, nothing is sent.
        let size = if shards.group().size() == 1 { len.max(1) } else { BUCKET };
        let bucket = |start: usize| Bucket {
            range: start..(start + size).min(len),
            partial: TreeSum::from(shards.own().start),
            leaves: 0,
            received: None,
        };
        Self { shards, message, len, owners, buckets: (0..len).step_by(size).map(bucket).collect(), sent: 0 }
    }

    /// Adds the vector of the next of this process's shards.
    ///
    /// # Panics
    /// If it has another length, or there is no such shard.
    #[track_caller]
    pub fn push(&mut self, leaf: Vec<T>) {
        assert!(leaf.len() == self.len, "Sum: a vector of {} values, not {}", leaf.len(), self.len);
        if self.buckets.len() == 1 {
            self.push_part(0, leaf.into());
            return;
        }
        for bucket in 0..self.buckets.len() {
            let part = Buffer::copy_of(&leaf[self.buckets[bucket].range.clone()]);
            self.push_part(bucket, part);
        }
    }

    /// The vector of the next of this process's shards, to be filled part by part.
    pub fn leaf(&mut self) -> Leaf<'_, 'a, T> {
        let part = |bucket: &Bucket<T>| Part { values: None, set: Vec::new(), missing: bucket.range.len() };
        let parts = self.buckets.iter().map(part).collect();
        Leaf { sum: self, parts }
    }

    #[track_caller]
    fn push_part(&mut self, index: usize, values: Buffer<T>) {
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

    /// Sends what is due.
    fn advance(&mut self) {
        let own = self.shards.own().len();
        while self.sent < self.buckets.len() && self.buckets[self.sent].leaves == own {
            self.send(self.sent);
            self.sent += 1;
            // So that messages do not heap up where the network is slow.
            if let Some(old) = self.sent.checked_sub(AHEAD + 1) {
                let received = &mut self.buckets[old].received;
                *received = received.take().map(Pending::arrived);
            }
        }
    }

    /// The parts of a bucket that a rank adds, as places in the bucket.
    fn pieces(&self, bucket: usize, rank: usize) -> Vec<Range<usize>> {
        let range = self.buckets[bucket].range.clone();
        let (len, size) = (range.len(), self.shards.group().size());
        let place = |run: Range<usize>| run.start - range.start..run.end - range.start;
        let even = rank * len / size..(rank + 1) * len / size;
        self.owners
            .map_or_else(|| Vec::from([even]), |owners| owners.of(rank, range.clone()).map(place).collect())
    }

    /// Sends each rank its pieces of this process's partial sums, and all who need them the sums of what comes back.
    fn send(&mut self, index: usize) {
        let group = self.shards.group();
        let to = |rank| {
            let (pieces, nodes) = (self.pieces(index, rank), self.buckets[index].partial.nodes());
            let slices: Vec<&[T]> =
                nodes.flat_map(|node| pieces.iter().map(|piece| &node[piece.clone()])).collect();
            Arc::new(encoded(slices.into_iter(), self.message))
        };
        let parts = (0..group.size()).map(to).collect();
        let received = if self.owners.is_some() {
            group.exchange(parts)
        } else {
            let (runs, message, size) = (self.runs(), self.message, group.size());
            let next = move |received: Received| {
                let sum = sum_of_pieces::<T>(&received, &runs, message);
                to_all(encoded(std::iter::once(&sum[..]), message), size)
            };
            group.exchange_twice(parts, Box::new(next))
        };
        let bucket = &mut self.buckets[index];
        bucket.received = Some(received);
        // Everything of it is in messages now.
        bucket.partial = TreeSum::from(0);
    }

    /// The shards of each rank.
    fn runs(&self) -> Vec<Range<usize>> {
        (0..self.shards.group().size()).map(|rank| self.shards.of_rank(rank)).collect()
    }

    /// The sum, once every process has added all its vectors.
    ///
    /// # Panics
    /// If this one has not.
    #[track_caller]
    pub fn finish(self) -> Vec<T> {
        let mut all = Vec::with_capacity(self.len);
        self.finish_into(|part| all.extend_from_slice(part));
        all
    }

    /// The sum in parts, from the first number to the last.
    ///
    /// # Panics
    /// As [`finish`](Self::finish).
    #[track_caller]
    pub fn finish_into(self, mut take: impl FnMut(&[T])) {
        self.check_end();
        if self.shards.group().size() == 1 {
            return self.own_sums().for_each(|part| take(&part));
        }
        let message = self.message;
        let gathered = self.buckets.into_iter().map(|bucket| bucket.received.expect("it was sent").wait());
        gathered.flatten().for_each(|bytes| take(&decoded::<T>(&bytes, message)));
    }

    /// This process's numbers of a sum [to owners](Self::to_owners), in parts, from the first to the last.
    ///
    /// # Panics
    /// As [`finish`](Self::finish).
    #[track_caller]
    pub fn finish_own(self, mut take: impl FnMut(Buffer<T>)) {
        self.check_end();
        if self.shards.group().size() == 1 {
            return self.own_sums().for_each(take);
        }
        let (runs, message) = (self.runs(), self.message);
        let received = self.buckets.into_iter().map(|bucket| bucket.received.expect("it was sent").wait());
        received.for_each(|received| take(sum_of_pieces(&received, &runs, message)));
    }

    #[track_caller]
    fn check_end(&self) {
        let own = self.shards.own().len();
        assert!(
            self.buckets.iter().all(|bucket| bucket.leaves == own),
            "Sum: not all of the {own} shards of this process have been added"
        );
    }

    /// The buckets' sums, where this process has all shards.
    fn own_sums(self) -> impl Iterator<Item = Buffer<T>> {
        let message = self.message;
        let sums = self.buckets.into_iter().map(|bucket| bucket.partial);
        sums.filter_map(move |sum| sum.finish(|a, b| rounded(added(a, b), message)))
    }
}

impl Shards {
    /// The sum over all shards of vectors of one length, along the tree; `own` gives those of this process's shards, in
    /// order.
    ///
    /// # Panics
    /// Unless there is a vector for each of this process's shards, and all have one length.
    #[track_caller]
    pub fn sum<T: Element>(&self, own: impl IntoIterator<Item = Vec<T>>, message: Message) -> Vec<T> {
        let mut own = own.into_iter().peekable();
        let len = own.peek().expect("every process has a shard").len();
        let mut sum = Sum::new(self, len, message);
        for leaf in own {
            sum.push(leaf);
        }
        sum.finish()
    }
}

/// A vector on its way into a [`Sum`]: whatever is complete may leave.
pub struct Leaf<'s, 'a, T: Element> {
    sum: &'s mut Sum<'a, T>,
    /// Each bucket's values, until it leaves.
    parts: Vec<Part<T>>,
}

/// A bucket's values of one shard.
struct Part<T: Element> {
    /// Of any value where they are not set yet.
    values: Option<Buffer<T>>,
    /// Which are set.
    set: Vec<Range<usize>>,
    /// How many are to come.
    missing: usize,
}

impl<T: Element> Part<T> {
    /// The values, zeros where none were set.
    fn complete(self, len: usize) -> Buffer<T> {
        let mut values = self.values.unwrap_or_else(|| Buffer::filled(len, T::ZERO));
        let mut set = self.set;
        set.sort_by_key(|range| range.start);
        let mut next = 0;
        for range in set.into_iter().chain(std::iter::once(len..len)) {
            values[next..range.start].fill(T::ZERO);
            next = range.end;
        }
        values
    }
}

impl<T: Element> Leaf<'_, '_, T> {
    /// Sets values from a place on, each once.
    ///
    /// # Panics
    /// If they end past the vector's end, or were set before.
    #[track_caller]
    pub fn put(&mut self, start: usize, values: &[T]) {
        self.fill(start, values.len(), Some(values));
    }

    /// Leaves values from a place on as they are, zeros.
    ///
    /// # Panics
    /// As [`put`](Self::put).
    #[track_caller]
    pub fn skip(&mut self, start: usize, len: usize) {
        self.fill(start, len, None);
    }

    #[track_caller]
    fn fill(&mut self, start: usize, len: usize, values: Option<&[T]>) {
        let end = start + len;
        assert!(end <= self.sum.len, "Sum: {end} is past the end, {}", self.sum.len);
        for index in 0..self.parts.len() {
            let range = self.sum.buckets[index].range.clone();
            let inside = range.start.max(start)..range.end.min(end);
            if inside.is_empty() {
                continue;
            }
            let part = &mut self.parts[index];
            assert!(inside.len() <= part.missing, "Sum: values from {start} on are set twice");
            let place = inside.start - range.start..inside.end - range.start;
            if let Some(given) = values {
                let all = part.values.get_or_insert_with(|| Buffer::filled_by(range.len(), |_| {}));
                all[place.clone()].copy_from_slice(&given[inside.start - start..inside.end - start]);
                part.set.push(place);
            }
            part.missing -= inside.len();
            if part.missing == 0 {
                let part = std::mem::replace(part, Part { values: None, set: Vec::new(), missing: 0 });
                self.sum.push_part(index, part.complete(range.len()));
            }
        }
    }

    /// The rest are zeros.
    pub fn finish(self) {
        for (index, part) in self.parts.into_iter().enumerate() {
            if part.missing > 0 {
                let len = self.sum.buckets[index].range.len();
                self.sum.push_part(index, part.complete(len));
            }
        }
    }
}

/// The sum along the tree of one rank's pieces, from the bytes of the partial sums of each rank's run of shards; nothing
/// if the bucket is too short for the rank to have a piece. On this thread alone: it may be one that no pool belongs to.
fn sum_of_pieces<T: Element>(received: &[Buffer<u8>], runs: &[Range<usize>], message: Message) -> Buffer<T> {
    let nodes = received.iter().zip(runs).flat_map(|(bytes, run)| {
        let count = node_count(run.clone());
        let each = bytes.len() / count;
        (0..count).map(move |node| decoded::<T>(&bytes[node * each..][..each], message))
    });
    let add = |mut a: Buffer<T>, b: Buffer<T>| {
        a.iter_mut().zip(&b[..]).for_each(|(a, &b)| *a = rounded_one(*a + b, message));
        a
    };
    sum_of_runs(runs.iter().cloned(), nodes, add).expect("there are shards")
}

#[track_caller]
fn added<T: Element>(mut a: Buffer<T>, b: Buffer<T>) -> Buffer<T> {
    assert!(a.len() == b.len(), "Shards::sum: vectors of {} and of {} values", a.len(), b.len());
    for_each_piece(&mut a, |first, piece| {
        piece.iter_mut().zip(&b[first..]).for_each(|(a, b)| *a += *b);
    });
    a
}
