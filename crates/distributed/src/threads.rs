//! Ranks that are threads of one process: what several processes do, in a test that needs no MPI.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};

use cerberus_tensor::pool::Buffer;

use crate::group::{Bytes, Group, Pending, unshared};

/// A rank that is a thread.
struct Thread {
    rank: usize,
    /// To each rank.
    senders: Mutex<Vec<Sender<Buffer<u8>>>>,
    /// From each rank.
    receivers: Arc<Mutex<Vec<Receiver<Buffer<u8>>>>>,
    size: usize,
}

/// The ranks of a group of `size`, each to be used by a thread of its own.
pub fn thread_groups(size: usize) -> Vec<Arc<dyn Group>> {
    let mut senders: Vec<Vec<Sender<Buffer<u8>>>> = (0..size).map(|_| Vec::new()).collect();
    let mut receivers: Vec<Vec<Receiver<Buffer<u8>>>> = (0..size).map(|_| Vec::new()).collect();
    for receivers in &mut receivers {
        for senders in &mut senders {
            let (sender, receiver) = channel();
            senders.push(sender);
            receivers.push(receiver);
        }
    }
    let ends = senders.into_iter().zip(receivers).enumerate();
    let group = |(rank, (senders, receivers))| {
        let (senders, receivers) = (Mutex::new(senders), Arc::new(Mutex::new(receivers)));
        Arc::new(Thread { rank, senders, receivers, size }) as Arc<dyn Group>
    };
    ends.map(group).collect()
}

impl Group for Thread {
    fn rank(&self) -> usize {
        self.rank
    }

    fn size(&self) -> usize {
        self.size
    }

    fn exchange(&self, parts: Vec<Bytes>) -> Pending {
        assert!(parts.len() == self.size, "Group::exchange: {} parts for {} ranks", parts.len(), self.size);
        let senders = self.senders.lock().unwrap_or_else(PoisonError::into_inner);
        for (sender, part) in senders.iter().zip(parts) {
            // A thread that is gone has panicked, and waiting for it will panic.
            let _ = sender.send(unshared(part));
        }
        let receivers = Arc::clone(&self.receivers);
        Pending::new(move || {
            let receivers = receivers.lock().unwrap_or_else(PoisonError::into_inner);
            receivers.iter().map(|receiver| receiver.recv().expect("a rank's thread has panicked")).collect()
        })
    }

    fn abort(&self, code: i32) -> ! {
        panic!("rank {} ends the group with code {code}", self.rank)
    }
}
