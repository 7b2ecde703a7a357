//! Passes over the shards that meet on the way: what a batch norm needs that uses the statistics of the whole batch.
//!
//! Each of this process's shards has a thread, and one of them runs at a time, the first that can: as much is computed at
//! once as without meetings. Where a pass meets the others, it waits. When none can go on, the thread that ran last joins
//! what they brought, along the tree, with what the other processes' passes brought: one exchange per meeting, by one
//! thread, in the same order in every process.
//!
//! Passes need not meet at the same places, since a shard without labels of a task does not go through its head. Places
//! are numbered in the order in which a pass comes to them (from the last one, on the way back), so that of all places
//! where somebody waits, the first is due: no one who has not come to it still will. Everybody else goes on waiting. A
//! process whose passes are all done takes part in the exchanges until all are.

use std::collections::{HashMap, HashSet};
use std::panic::resume_unwind;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

use cerberus_tensor::parallel::for_other_threads;

use crate::shards::Shards;
use crate::tree::{TreeSum, node_count, sum_of_runs};

/// Joins what two branches of the tree have.
pub type Pair = fn(Vec<f64>, Vec<f64>) -> Vec<f64>;

/// What the main thread of a program has on most systems; other threads would have a quarter.
const STACK: usize = 8 << 20;
/// The place of those who are done: after all others.
const END: u64 = u64::MAX;

/// Where the passes over the shards of a step meet.
pub struct Meeting {
    shards: Shards,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// Of each of this process's shards.
    seats: Vec<Seat>,
    /// The one that runs.
    turn: usize,
    /// The first one that panicked.
    failed: Option<usize>,
    is_backward: bool,
    /// The meetings that were held.
    held: HashSet<u64>,
}

#[derive(Default)]
struct Seat {
    at: At,
    /// How often the pass came to each place.
    visits: HashMap<u32, u64>,
}

#[derive(Default)]
enum At {
    /// It can go on, or begin.
    #[default]
    Ready,
    /// It is at a place with what it brought.
    Waiting(u64, Vec<f64>, Pair),
    /// It can go on with what all have together.
    Told(Vec<f64>),
    Done,
}

impl Meeting {
    /// A meeting of the passes over these shards.
    pub fn new(shards: Shards) -> Self {
        Self { shards, state: Mutex::default(), changed: Condvar::new() }
    }

    /// Runs a pass over each of this process's shards, given its place among them, and returns what each gave. On the way
    /// back, places are come to from the last one. All processes must call this in the same order.
    ///
    /// # Panics
    /// If a pass does, unless there is a pass for each of this process's shards, or if the system refuses a thread.
    #[track_caller]
    pub fn run<P: Send, R: Send>(
        &self,
        own: Vec<P>,
        is_backward: bool,
        pass: impl Fn(usize, P) -> R + Sync,
    ) -> Vec<R> {
        let count = self.shards.own().len();
        assert!(own.len() == count, "Meeting::run: {} passes for {count} shards", own.len());
        let seats = own.iter().map(|_| Seat::default()).collect();
        *self.lock() = State { seats, is_backward, ..State::default() };
        let run = |seat: usize, own: P| {
            let on_panic = OnPanic(self, seat);
            drop(self.wait(self.lock(), seat));
            let result = pass(seat, own);
            let mut state = self.lock();
            state.seats[seat].at = At::Done;
            self.pass_on(&mut state);
            drop((state, on_panic));
            result
        };
        // A single one runs here, where it has the pool of threads that it was called on.
        if count == 1 {
            return own.into_iter().map(|own| run(0, own)).collect();
        }
        let begin = for_other_threads();
        thread::scope(|scope| {
            let start = |(seat, own)| {
                let run = &run;
                let builder = thread::Builder::new().name(format!("shard {seat}")).stack_size(STACK);
                let work = move || {
                    begin();
                    run(seat, own)
                };
                builder.spawn_scoped(scope, work).expect("the system refuses a thread for a shard")
            };
            let threads: Vec<_> = own.into_iter().enumerate().map(start).collect();
            let ends: Vec<thread::Result<R>> = threads.into_iter().map(|thread| thread.join()).collect();
            let failed = self.lock().failed;
            let mut results = Vec::new();
            let mut reason = None;
            for (seat, end) in ends.into_iter().enumerate() {
                match end {
                    Ok(result) => results.push(result),
                    Err(panic) if failed == Some(seat) => reason = Some(panic),
                    // Those who waited for it.
                    Err(_) => {}
                }
            }
            if let Some(panic) = reason {
                resume_unwind(panic);
            }
            results
        })
    }

    /// Joins what the pass over one of this process's shards has at a place with what all others have there.
    ///
    /// # Panics
    /// If another pass has panicked, or if passes come to places in different orders.
    pub fn joined(&self, seat: usize, place: u32, own: Vec<f64>, pair: Pair) -> Vec<f64> {
        let mut state = self.lock();
        let place = if state.is_backward { u32::MAX - 1 - place } else { place };
        let visits = state.seats[seat].visits.entry(place).or_default();
        let at = (u64::from(place) << 32) + *visits;
        *visits += 1;
        state.seats[seat].at = At::Waiting(at, own, pair);
        self.pass_on(&mut state);
        let mut state = self.wait(state, seat);
        match std::mem::take(&mut state.seats[seat].at) {
            At::Told(joined) => joined,
            _ => unreachable!("a pass that waits goes on when it is told"),
        }
    }

    /// A panic elsewhere is told by `failed`.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns when it is this shard's turn.
    fn wait<'a>(&self, state: MutexGuard<'a, State>, seat: usize) -> MutexGuard<'a, State> {
        let waits = |state: &mut State| state.failed.is_none() && state.turn != seat;
        let state = self.changed.wait_while(state, waits).unwrap_or_else(PoisonError::into_inner);
        assert!(state.failed.is_none_or(|failed| failed == seat), "the pass over another shard has panicked");
        state
    }

    /// Lets the first pass go on that can; if none can, holds a meeting before.
    fn pass_on(&self, state: &mut State) {
        let can = |seats: &[Seat]| seats.iter().position(|seat| matches!(seat.at, At::Ready | At::Told(_)));
        let mut next = can(&state.seats);
        while next.is_none() && self.hold(state) {
            next = can(&state.seats);
        }
        if let Some(next) = next {
            state.turn = next;
            self.changed.notify_all();
        }
    }

    /// Holds the meeting that is due; false if all passes are done.
    fn hold(&self, state: &mut State) -> bool {
        let place = |seat: &Seat| match seat.at {
            At::Waiting(at, ..) => at,
            _ => END,
        };
        let here = state.seats.iter().map(place).min().unwrap_or(END);
        let (mut partial, mut pair) = (TreeSum::from(self.shards.own().start), None);
        for seat in &mut state.seats {
            let brought = match &mut seat.at {
                At::Waiting(at, own, how) if *at == here => {
                    pair = Some(*how);
                    Some(std::mem::take(own))
                }
                _ => None,
            };
            partial.push(brought, |a, b| both(a, b, pair));
        }
        let group = self.shards.group();
        let joined = if group.size() == 1 {
            partial.finish(|a, b| both(a, b, pair)).flatten()
        } else {
            // Until it is due; others have the same nodes to offer again.
            let frame = frame(here, partial.nodes());
            let received = loop {
                let received = group.gather(frame.clone()).wait();
                let due = received.iter().map(|bytes| place_of(bytes)).min().unwrap_or(END);
                if due == here {
                    break received;
                }
                self.assert_new(state, due);
            };
            let nodes = received.iter().enumerate().flat_map(|(rank, bytes)| {
                let count = node_count(self.shards.of_rank(rank));
                if place_of(bytes) == here { nodes_of(bytes) } else { vec![None; count] }
            });
            let runs = (0..group.size()).map(|rank| self.shards.of_rank(rank));
            sum_of_runs(runs, nodes, |a, b| both(a, b, pair)).flatten()
        };
        if here == END {
            return false;
        }
        self.assert_new(state, here);
        let joined = joined.expect("somebody waits there");
        for seat in &mut state.seats {
            if matches!(seat.at, At::Waiting(at, ..) if at == here) {
                seat.at = At::Told(joined.clone());
            }
        }
        true
    }

    fn assert_new(&self, state: &mut State, due: u64) {
        assert!(
            state.held.insert(due),
            "the passes over the shards come to the places where they meet in different orders: place {} is due twice",
            due >> 32
        );
    }
}

/// Tells the others of a panic.
struct OnPanic<'a>(&'a Meeting, usize);

impl Drop for OnPanic<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.lock().failed.get_or_insert(self.1);
            self.0.changed.notify_all();
        }
    }
}

/// What two branches have together; one may have nothing.
fn both(a: Option<Vec<f64>>, b: Option<Vec<f64>>, pair: Option<Pair>) -> Option<Vec<f64>> {
    match (a, b) {
        (Some(a), Some(b)) => Some(pair.expect("who brings something says how to join it")(a, b)),
        (a, b) => a.or(b),
    }
}

/// A place, and the nodes of a process there: each its length and its numbers, or [`END`] for nothing.
fn frame<'a>(place: u64, nodes: impl Iterator<Item = &'a Option<Vec<f64>>>) -> Vec<u8> {
    let mut bytes = place.to_le_bytes().to_vec();
    for node in nodes {
        let Some(numbers) = node else {
            bytes.extend(END.to_le_bytes());
            continue;
        };
        bytes.extend((numbers.len() as u64).to_le_bytes());
        bytes.extend(numbers.iter().flat_map(|x| x.to_le_bytes()));
    }
    bytes
}

fn place_of(frame: &[u8]) -> u64 {
    frame.first_chunk().map_or(END, |bytes| u64::from_le_bytes(*bytes))
}

fn nodes_of(frame: &[u8]) -> Vec<Option<Vec<f64>>> {
    let mut words = frame.as_chunks::<8>().0.iter().skip(1);
    let mut nodes = Vec::new();
    while let Some(&length) = words.next() {
        nodes.push(match u64::from_le_bytes(length) {
            END => None,
            length => Some(words.by_ref().take(length as usize).map(|&x| f64::from_le_bytes(x)).collect()),
        });
    }
    nodes
}
