//! What the rest of the program sees of other processes: a rank, a size, and one exchange from which everything else
//! is made.

use std::sync::Arc;

use cerberus_tensor::pool::Buffer;

/// A message: its bytes are shared, not copied, where it goes to several ranks.
pub type Bytes = Arc<Buffer<u8>>;

/// What each rank sent, in order of ranks.
pub type Received = Vec<Buffer<u8>>;

/// What is sent next, made of what was received.
pub type Next = Box<dyn FnOnce(Received) -> Vec<Bytes> + Send>;

/// Processes that run the same program and call the same methods in the same order.
///
/// A failure of another process is never returned: the launcher ends the whole run, as nothing could go on.
pub trait Group: Send + Sync {
    /// This process's number, from 0.
    fn rank(&self) -> usize;

    /// The number of processes.
    fn size(&self) -> usize;

    /// Begins to send `parts[r]` to every rank `r`, this one included; [`Pending::wait`] gives what each rank sent here,
    /// in order of ranks. Several exchanges may be under way; they must be waited for in the order they began.
    ///
    /// # Panics
    /// Unless there is a part for each rank.
    #[track_caller]
    fn exchange(&self, parts: Vec<Bytes>) -> Pending;

    /// An [exchange](Self::exchange), and when all of it is here another one of what `next` makes of it; the result is that
    /// of the second one. Where another thread can do so, the caller goes on meanwhile; otherwise it waits here, and
    /// must have waited for all exchanges before. Those that begin later come after both.
    ///
    /// # Panics
    /// Unless there is a part for each rank.
    #[track_caller]
    fn exchange_twice(&self, parts: Vec<Bytes>, next: Next) -> Pending {
        self.exchange(next(self.exchange(parts).wait())).arrived()
    }

    /// Ends this process and all others at once, with an exit code.
    fn abort(&self, code: i32) -> !;

    /// Begins to send `bytes` to all; gives what each rank sent.
    fn gather(&self, bytes: Vec<u8>) -> Pending {
        self.exchange(to_all(bytes.into(), self.size()))
    }

    /// Sends `bytes` to rank 0, which gets those of each rank; the others get empty ones.
    fn gather_at_first(&self, bytes: Vec<u8>) -> Received {
        let mut parts = to_all(Vec::new().into(), self.size());
        parts[0] = Arc::new(bytes.into());
        self.exchange(parts).wait()
    }

    /// The bytes of rank 0; those of others do not count.
    fn broadcast(&self, bytes: Vec<u8>) -> Vec<u8> {
        let bytes = if self.rank() == 0 { bytes } else { Vec::new() };
        self.gather(bytes).wait()[0].to_vec()
    }

    /// Returns when every process has called it.
    fn barrier(&self) {
        self.gather(Vec::new()).wait();
    }

    /// Whether any process says so.
    fn any(&self, here: bool) -> bool {
        // Alone, nothing is sent.
        if self.size() == 1 {
            here
        } else {
            self.gather(vec![here.into()]).wait().iter().any(|said| said[..] == [1])
        }
    }

    /// Whether this is the process that writes files and talks to the user.
    fn is_first(&self) -> bool {
        self.rank() == 0
    }
}

/// The same bytes for each of so many ranks.
pub(crate) fn to_all(bytes: Buffer<u8>, size: usize) -> Vec<Bytes> {
    let bytes = Arc::new(bytes);
    vec![bytes; size]
}

/// A message that is received where it was sent.
pub fn unshared(bytes: Bytes) -> Buffer<u8> {
    Arc::try_unwrap(bytes).unwrap_or_else(|shared| Buffer::copy_of(&shared))
}

/// An exchange that is under way.
pub struct Pending(Box<dyn FnOnce() -> Received + Send>);

impl Pending {
    /// An exchange whose end `wait` waits for.
    pub fn new(wait: impl FnOnce() -> Received + Send + 'static) -> Self {
        Self(Box::new(wait))
    }

    /// The same exchange, once all of it is here.
    pub fn arrived(self) -> Self {
        let received = self.wait();
        Self::new(move || received)
    }

    /// What each rank sent, once all of it is here.
    pub fn wait(self) -> Received {
        (self.0)()
    }
}

/// A group of one process.
#[derive(Clone, Copy, Debug, Default)]
pub struct Alone;

impl Group for Alone {
    fn rank(&self) -> usize {
        0
    }

    fn size(&self) -> usize {
        1
    }

    fn exchange(&self, parts: Vec<Bytes>) -> Pending {
        Pending::new(move || parts.into_iter().map(unshared).collect())
    }

    fn abort(&self, code: i32) -> ! {
        std::process::exit(code)
    }
}
