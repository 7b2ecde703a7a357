//! A batch cut into shards, and who has which.

use std::ops::Range;
use std::sync::Arc;

use crate::group::{Alone, Group};

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
}
