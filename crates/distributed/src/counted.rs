//! A group that counts what it sends.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::group::{Bytes, Group, Next, Pending, Received};

/// A rank of another group that counts the bytes it sends to others.
pub struct Counted {
    group: Arc<dyn Group>,
    sent: Arc<AtomicUsize>,
}

impl Counted {
    /// Counts from now on.
    pub fn new(group: Arc<dyn Group>) -> Self {
        Self { group, sent: Arc::default() }
    }

    /// The bytes sent since the last call.
    pub fn take(&self) -> usize {
        self.sent.swap(0, Ordering::Relaxed)
    }
}

/// The bytes of those parts that go to others.
pub fn bytes_to_others(parts: &[Bytes], own: usize) -> usize {
    parts.iter().enumerate().filter(|(rank, _)| *rank != own).map(|(_, part)| part.len()).sum()
}

impl Group for Counted {
    fn rank(&self) -> usize {
        self.group.rank()
    }

    fn size(&self) -> usize {
        self.group.size()
    }

    fn exchange(&self, parts: Vec<Bytes>) -> Pending {
        self.sent.fetch_add(bytes_to_others(&parts, self.rank()), Ordering::Relaxed);
        self.group.exchange(parts)
    }

    fn exchange_twice(&self, parts: Vec<Bytes>, next: Next) -> Pending {
        self.sent.fetch_add(bytes_to_others(&parts, self.rank()), Ordering::Relaxed);
        let (sent, rank) = (Arc::clone(&self.sent), self.rank());
        let counted = move |received: Received| {
            let parts = next(received);
            sent.fetch_add(bytes_to_others(&parts, rank), Ordering::Relaxed);
            parts
        };
        self.group.exchange_twice(parts, Box::new(counted))
    }

    fn abort(&self, code: i32) -> ! {
        self.group.abort(code)
    }
}
