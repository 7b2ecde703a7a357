//! Processes that MPI connects: the only file that calls it.
//!
//! One thread of each process makes all calls: it starts MPI, takes exchanges from a queue, and ends MPI. Those who
//! compute hand it messages and go on; they wait only for a result that they need. The thread asks for progress instead
//! of blocking and sleeps between, so that a process that waits leaves its core to those that compute.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use mpi::Threading;
use mpi::datatype::{Partition, PartitionMut};
use mpi::request::{Request, Scope, scope};
use mpi::topology::{Communicator, SimpleCommunicator};
use mpi::traits::CommunicatorCollectives;

use crate::error::LaunchError;
use crate::group::{Group, Pending};

/// How long a message is waited for without sleeping: longer than a bucket takes between processes of a machine.
const AWAKE: Duration = Duration::from_millis(2);
/// How long the thread sleeps between looks after that.
const ASLEEP: Duration = Duration::from_micros(50);

enum Job {
    Exchange(Vec<Vec<u8>>, Sender<Vec<Vec<u8>>>),
    Abort(i32),
}

/// A process among those that were started together.
pub(crate) struct Mpi {
    rank: usize,
    size: usize,
    /// Closed when the group is dropped, which ends the thread.
    jobs: Mutex<Option<Sender<Job>>>,
    thread: Option<JoinHandle<()>>,
}

impl Mpi {
    /// Starts MPI.
    pub fn start() -> Result<Self, LaunchError> {
        let (jobs, queue) = channel();
        let (tell, told) = channel();
        let failed = |problem: String| LaunchError::Mpi(problem);
        let thread = std::thread::Builder::new().name("mpi".into()).spawn(move || serve(&queue, &tell));
        let thread = thread.map_err(|error| failed(format!("the system refused a thread ({error})")))?;
        let [rank, size] =
            told.recv().map_err(|_| failed("it does not start, or was started before".into()))?;
        Ok(Self { rank, size, jobs: Mutex::new(Some(jobs)), thread: Some(thread) })
    }

    fn send(&self, job: Job) {
        let jobs = self.jobs.lock().unwrap_or_else(PoisonError::into_inner);
        let queue = jobs.as_ref().expect("the queue is open until the group is dropped");
        queue.send(job).expect("the thread that calls MPI has panicked");
    }
}

impl Group for Mpi {
    fn rank(&self) -> usize {
        self.rank
    }

    fn size(&self) -> usize {
        self.size
    }

    fn exchange(&self, parts: Vec<Vec<u8>>) -> Pending {
        assert!(parts.len() == self.size, "Group::exchange: {} parts for {} ranks", parts.len(), self.size);
        let (reply, received) = channel();
        self.send(Job::Exchange(parts, reply));
        Pending::new(move || received.recv().expect("the thread that calls MPI has panicked"))
    }

    fn abort(&self, code: i32) -> ! {
        self.send(Job::Abort(code));
        // MPI ends the process.
        loop {
            std::thread::park();
        }
    }
}

impl Drop for Mpi {
    fn drop(&mut self) {
        if std::thread::panicking() {
            // The others would wait for ever.
            self.abort(101);
        }
        drop(self.jobs.lock().unwrap_or_else(PoisonError::into_inner).take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// The thread that calls MPI, from its start to its end.
fn serve(queue: &Receiver<Job>, tell: &Sender<[usize; 2]>) {
    let Some((universe, _)) = mpi::initialize_with_threading(Threading::Funneled) else { return };
    let world = universe.world();
    if tell.send([world.rank(), world.size()].map(|number| number as usize)).is_err() {
        return;
    }
    for job in queue {
        match job {
            // Who does not want the result any more has panicked.
            Job::Exchange(parts, reply) => drop(reply.send(exchange(&world, &parts))),
            Job::Abort(code) => world.abort(code),
        }
    }
}

/// Sends each rank its part: first the lengths, then the bytes.
fn exchange(world: &SimpleCommunicator, parts: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let lengths: Vec<i32> = parts.iter().map(|part| count(part.len())).collect();
    let mut theirs = vec![0i32; lengths.len()];
    scope(|scope| wait(world.immediate_all_to_all_into(scope, &lengths[..], &mut theirs[..])));
    let (starts, their_starts) = (starts(&lengths), starts(&theirs));
    // One byte more than there is: MPI refuses two empty buffers, which have the same address.
    let sent = [&parts.concat()[..], &[0]].concat();
    let mut received = vec![0u8; theirs.iter().map(|&length| length as usize).sum::<usize>() + 1];
    {
        let from = Partition::new(&sent[..], &lengths[..], &starts[..]);
        let mut into = PartitionMut::new(&mut received[..], &theirs[..], &their_starts[..]);
        scope(|scope| wait(world.immediate_all_to_all_varcount_into(scope, &from, &mut into)));
    }
    let part = |(&start, &length): (&i32, &i32)| received[start as usize..][..length as usize].to_vec();
    their_starts.iter().zip(&theirs).map(part).collect()
}

/// A number of bytes as MPI counts them.
///
/// # Panics
/// If it is 2 GiB or more.
fn count(bytes: usize) -> i32 {
    i32::try_from(bytes).unwrap_or_else(|_| panic!("a message of {bytes} bytes is too long for MPI"))
}

/// Where each part begins.
fn starts(lengths: &[i32]) -> Vec<i32> {
    let mut next = 0usize;
    let start = |&length: &i32| {
        let start = count(next);
        next += length as usize;
        start
    };
    lengths.iter().map(start).collect()
}

/// Waits without keeping a core busy.
fn wait<'a, D: ?Sized, S: Scope<'a>>(mut request: Request<'a, D, S>) {
    let began = Instant::now();
    while let Err(unfinished) = request.test() {
        request = unfinished;
        if began.elapsed() < AWAKE { std::thread::yield_now() } else { std::thread::sleep(ASLEEP) }
    }
}
