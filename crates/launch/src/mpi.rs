//! Processes that MPI connects: the only file that calls it.
//!
//! One thread of each process makes all calls: it starts MPI, takes exchanges from a queue, and ends MPI. Those who
//! compute hand it messages and go on; they wait only for a result that they need. The thread asks for progress instead
//! of blocking and sleeps between, so that a process that waits leaves its core to those that compute.

use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use mpi::Threading;
use mpi::request::{Request, Scope, scope};
use mpi::topology::{Communicator, SimpleCommunicator};
use mpi::traits::{Destination, Source};

use cerberus_distributed::{Buffer, Bytes, Group, Next, Pending, Received, unshared};

use crate::error::LaunchError;

/// How long a message is waited for without sleeping: longer than a bucket takes between processes of a machine.
const AWAKE: Duration = Duration::from_millis(2);
/// How long the thread sleeps between looks after that.
const ASLEEP: Duration = Duration::from_micros(50);

/// Messages up to this length leave at once, into the system's buffers. For longer ones MPI first asks whether they are
/// awaited, and each of its questions waits until the other process's thread has a core: this took as long as to send.
const EAGER: usize = 60 << 10;
/// Parts beyond this length are sent as MPI sends long messages, so that they are not held twice.
const LONG: usize = 16 << 20;

/// What the thread is asked to do: an exchange, and perhaps one after it, or to look whether the run must end.
enum Job {
    Exchange(Vec<Bytes>, Option<Next>, Sender<Received>),
    Look,
}

/// The exit code with which all processes must end; 0 while they need not. Looked at while others are waited for, too,
/// because they may never answer.
static ENDING: AtomicI32 = AtomicI32::new(0);

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

    fn begin(&self, parts: Vec<Bytes>, next: Option<Next>) -> Pending {
        let (reply, received) = channel();
        self.send(Job::Exchange(parts, next, reply));
        Pending::new(move || received.recv().expect("the thread that calls MPI has panicked"))
    }
}

impl Group for Mpi {
    fn rank(&self) -> usize {
        self.rank
    }

    fn size(&self) -> usize {
        self.size
    }

    fn exchange(&self, parts: Vec<Bytes>) -> Pending {
        check(&parts, self.size);
        self.begin(parts, None)
    }

    fn exchange_twice(&self, parts: Vec<Bytes>, next: Next) -> Pending {
        check(&parts, self.size);
        let size = self.size;
        let checked = move |received: Received| {
            let parts = next(received);
            check(&parts, size);
            parts
        };
        self.begin(parts, Some(Box::new(checked)))
    }

    fn abort(&self, code: i32) -> ! {
        ENDING.store(code.max(1), Ordering::Relaxed);
        self.send(Job::Look);
        // MPI ends the process.
        loop {
            std::thread::park();
        }
    }
}

#[track_caller]
fn check(parts: &[Bytes], size: usize) {
    assert!(parts.len() == size, "Group::exchange: {} parts for {size} ranks", parts.len());
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
            Job::Exchange(parts, next, reply) => {
                let received = exchange(&world, parts);
                let received = match next {
                    Some(next) => exchange(&world, next(received)),
                    None => received,
                };
                drop(reply.send(received));
            }
            Job::Look => end_if_asked(),
        }
    }
}

/// Ends all processes if this one [must](ENDING).
fn end_if_asked() {
    match ENDING.load(Ordering::Relaxed) {
        0 => {}
        code => SimpleCommunicator::world().abort(code),
    }
}

/// Sends each rank its part, and receives from one rank after another, beginning with the next one: at any time each
/// has one that sends to it. The length of a part goes before it.
fn exchange(world: &SimpleCommunicator, parts: Vec<Bytes>) -> Received {
    let (rank, size) = (world.rank() as usize, parts.len());
    let mut received: Received = (0..size).map(|_| Vec::new().into()).collect();
    let lengths: Vec<[u8; 8]> = parts.iter().map(|part| (part.len() as u64).to_le_bytes()).collect();
    scope(|scope| {
        let to = |rank: usize| world.process_at_rank(rank as i32);
        let mut sent = Vec::new();
        for rank in (1..size).map(|step| (rank + size - step) % size) {
            sent.push(to(rank).immediate_send(scope, &lengths[rank][..]));
            let pieces = parts[rank].chunks(piece_of(parts[rank].len()));
            sent.extend(pieces.map(|piece| to(rank).immediate_send(scope, piece)));
        }
        for rank in (1..size).map(|step| (rank + step) % size) {
            let mut length = [0; 8];
            mpi::request::scope(|scope| wait(to(rank).immediate_receive_into(scope, &mut length[..])));
            let length = u64::from_le_bytes(length) as usize;
            received[rank] = Buffer::filled_by(length, |_| {});
            mpi::request::scope(|scope| {
                let pieces = received[rank].chunks_mut(piece_of(length));
                let receive = |piece| to(rank).immediate_receive_into(scope, piece);
                pieces.map(receive).collect::<Vec<_>>().into_iter().for_each(wait);
            });
        }
        sent.into_iter().for_each(wait);
    });
    // By itself: where all get the same, it is not copied if the others' are gone.
    let own = parts.into_iter().nth(rank);
    received[rank] = own.map(unshared).expect("a part for each rank");
    received
}

/// The length of the pieces in which a part of this length is sent.
fn piece_of(length: usize) -> usize {
    if length <= LONG { EAGER } else { LONG }
}

/// Waits for the end of a request.
fn wait<'a, D: ?Sized, S: Scope<'a>>(request: Request<'a, D, S>) {
    let mut waiting = Some(request);
    until(|| match waiting.take()?.test() {
        Ok(_) => Some(()),
        Err(unfinished) => {
            waiting = Some(unfinished);
            None
        }
    });
}

/// Asks until there is an answer, without keeping a core busy.
fn until<R>(mut answer: impl FnMut() -> Option<R>) -> R {
    let began = Instant::now();
    loop {
        if let Some(answer) = answer() {
            return answer;
        }
        end_if_asked();
        if began.elapsed() < AWAKE { std::thread::yield_now() } else { std::thread::sleep(ASLEEP) }
    }
}
