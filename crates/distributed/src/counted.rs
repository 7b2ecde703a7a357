//! A group that counts what it sends.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::group::{Bytes, Group, Pending};

/// A rank of another group that counts the bytes it sends to others.
pub struct Counted {
    group: Arc<dyn Group>,
    sent: AtomicUsize,
}

impl Counted {
    /// Counts from now on.
    pub fn new(group: Arc<dyn Group>) -> Self {
        Self { group, sent: AtomicUsize::new(0) }
    }

    /// The bytes sent since the last call.
    pub fn take(&self) -> usize {
        self.sent.swap(0, Ordering::Relaxed)
    }
}

impl Group for Counted {
    fn rank(&self) -> usize {
        self.group.rank()
    }

    fn size(&self) -> usize {
        self.group.size()
    }

    fn exchange(&self, parts: Vec<Bytes>) -> Pending {
        let others = parts.iter().enumerate().filter(|(rank, _)| *rank != self.rank());
        self.sent.fetch_add(others.map(|(_, part)| part.len()).sum(), Ordering::Relaxed);
        self.group.exchange(parts)
    }

    fn abort(&self, code: i32) -> ! {
        self.group.abort(code)
    }
}
