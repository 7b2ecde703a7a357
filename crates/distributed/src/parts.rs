//! Who has which numbers of a vector that processes share out.
//!
//! A vector that all hold, or that all sum, may be cut so that each process cares for a part of it: it alone needs what
//! is summed there, and tells all what it makes of it.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

use cerberus_tensor::Element;
use cerberus_tensor::pool::Buffer;

use crate::group::{Group, Pending, to_all};
use crate::message::{AHEAD, BUCKET, Message, decoded, encoded};

/// A vector cut into runs, each of which belongs to a rank.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Parts {
    /// Where each run ends and the next one begins, and whose it is.
    runs: Vec<(usize, usize)>,
}

impl Parts {
    /// From the length and the rank of each run, one after another.
    pub fn new(runs: impl IntoIterator<Item = (usize, usize)>) -> Self {
        let mut parts = Self::default();
        for (len, rank) in runs.into_iter().filter(|(len, _)| *len > 0) {
            let end = parts.len() + len;
            match parts.runs.last_mut() {
                Some(last) if last.1 == rank => last.0 = end,
                _ => parts.runs.push((end, rank)),
            }
        }
        parts
    }

    /// The length of the vector.
    pub fn len(&self) -> usize {
        self.runs.last().map_or(0, |(end, _)| *end)
    }

    /// Whether the vector has no numbers.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What of a range belongs to whom, in order.
    pub fn within(&self, range: Range<usize>) -> impl Iterator<Item = (Range<usize>, usize)> {
        let first = self.runs.partition_point(|(end, _)| *end <= range.start);
        let ends = self.runs[first..].iter();
        ends.scan(range.start, move |next, (end, rank)| {
            let run = *next..(*end).min(range.end);
            *next = run.end;
            (!run.is_empty()).then_some((run, *rank))
        })
    }

    /// What of a range belongs to a rank.
    pub(crate) fn of(&self, rank: usize, range: Range<usize>) -> impl Iterator<Item = Range<usize>> {
        self.within(range).filter(move |(_, owner)| *owner == rank).map(|(run, _)| run)
    }

    /// How many numbers belong to a rank.
    pub fn len_of(&self, rank: usize) -> usize {
        self.of(rank, 0..self.len()).map(|run| run.len()).sum()
    }

    /// Sends this process's numbers, which may be in several slices, to all. `take` gets those of the whole vector,
    /// some at a time, from the first to the last.
    ///
    /// # Panics
    /// If `own` are not the numbers of this process's runs.
    #[track_caller]
    pub fn gather<T: Element>(&self, group: &dyn Group, own: &[&[T]], mut take: impl FnMut(&[T])) {
        self.exchange(group, own, None, &mut take);
    }

    /// Sends each rank those of this process's numbers that are its own by another cut of the same vector, and returns
    /// what this process has by that one.
    ///
    /// # Panics
    /// If `own` are not the numbers of this process's runs, or the other cut is of a vector of another length.
    #[track_caller]
    pub fn hand_over<T: Element>(&self, group: &dyn Group, own: &[&[T]], to: &Self) -> Vec<T> {
        assert!(self.len() == to.len(), "Parts: vectors of {} and {} numbers", self.len(), to.len());
        let mut found = Vec::with_capacity(to.len_of(group.rank()));
        self.exchange(group, own, Some(to), &mut |some| found.extend_from_slice(some));
        found
    }

    /// Sends this process's numbers, some at a time: all to all ranks, or each to the rank that has it by the other
    /// cut.
    #[track_caller]
    fn exchange<T: Element>(
        &self,
        group: &dyn Group,
        own: &[&[T]],
        to: Option<&Self>,
        take: &mut impl FnMut(&[T]),
    ) {
        let (here, size, len) = (group.rank(), group.size(), self.len());
        let (has, given) = (self.len_of(here), own.iter().map(|own| own.len()).sum::<usize>());
        assert!(has == given, "Parts: {given} numbers where rank {here} has {has}");
        let mut finish = |(bucket, pending): (Range<usize>, Pending)| {
            let received: Vec<Buffer<T>> =
                pending.wait().iter().map(|bytes| decoded(bytes, Message::Exact)).collect();
            let mut rest: Vec<&[T]> = received.iter().map(|numbers| &numbers[..]).collect();
            for (run, rank) in self.within(bucket) {
                let count = to.map_or(run.len(), |to| to.of(here, run).map(|range| range.len()).sum());
                let (some, after) = rest[rank].split_at(count);
                take(some);
                rest[rank] = after;
            }
        };
        let mut under_way = VecDeque::new();
        let mut own = Row { slices: own.iter(), rest: &[] };
        for start in (0..len).step_by(BUCKET) {
            let bucket = start..(start + BUCKET).min(len);
            // For each rank, or once for all.
            let mut messages = vec![Vec::new(); if to.is_some() { size } else { 1 }];
            for run in self.of(here, bucket.clone()) {
                match to {
                    None => own.take(run.len(), &mut messages[0]),
                    Some(to) => {
                        to.within(run).for_each(|(range, rank)| own.take(range.len(), &mut messages[rank]));
                    }
                }
            }
            let message = |slices: &Vec<&[T]>| encoded(slices.iter().copied(), Message::Exact);
            let pending = group.exchange(match to {
                None => to_all(message(&messages[0]), size),
                Some(_) => messages.iter().map(message).map(Arc::new).collect(),
            });
            under_way.push_back((bucket, pending));
            if under_way.len() > AHEAD {
                under_way.pop_front().into_iter().for_each(&mut finish);
            }
        }
        under_way.into_iter().for_each(finish);
    }
}

/// Numbers in several slices, taken from the first to the last.
struct Row<'a, T> {
    slices: std::slice::Iter<'a, &'a [T]>,
    rest: &'a [T],
}

impl<'a, T: Element> Row<'a, T> {
    /// Adds the next numbers to a message.
    fn take(&mut self, mut count: usize, message: &mut Vec<&'a [T]>) {
        while count > 0 {
            while self.rest.is_empty() {
                self.rest = self.slices.next().expect("as many numbers as were counted");
            }
            let (now, after) = self.rest.split_at(count.min(self.rest.len()));
            message.push(now);
            (self.rest, count) = (after, count - now.len());
        }
    }
}
