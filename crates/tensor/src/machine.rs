//! The peak performance of this machine, measured: multiply-adds per second,
//! and bytes per second from memory and caches. Benchmarks print their figures
//! beside these, because "150 GFLOP/s" says little and "80 % of the peak" says
//! a lot.
//!
//! The peaks in data sheets do not help: clock rates depend on the instructions
//! and the load, and virtual machines share a CPU. So a peak is the best of
//! several short runs of a loop that does nothing else, shortly before or after
//! the measurement it is compared with.
//!
//! The arithmetic: a fused multiply-add takes about 4 cycles and two can start in
//! each, so 8 independent sums must be in progress to keep the units busy; there
//! are 12, which fit the 16 registers of AVX2. The factors are hidden from the
//! compiler, which could otherwise compute the result in advance, and the sums
//! converge to a fixed point, so that they neither overflow nor become denormal.
#![allow(unsafe_code)] // Calls functions of one instruction set, after checking that the CPU has it.

use std::hint::black_box;
use std::sync::Barrier;
use std::time::Instant;

use crate::Isa;

/// Sums in progress at a time.
const CHAINS: usize = 12;
/// Runs per measurement; the best one counts.
const RUNS: usize = 7;

impl Isa {
    /// Numbers in a vector.
    fn lanes(self) -> usize {
        match self {
            Isa::Avx512 => 16,
            Isa::Avx2 => 8,
            Isa::Portable => PORTABLE,
        }
    }

    /// `rounds` multiply-adds of every chain.
    fn multiply_add(self, rounds: usize) {
        let (factor, term) = (black_box(0.5), black_box(0.75));
        let sum = match self {
            // SAFETY: `multiply_add_peak` has checked that the CPU has these features.
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 => unsafe { avx512(rounds, factor, term) },
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => unsafe { avx2(rounds, factor, term) },
            _ => portable(rounds, factor, term),
        };
        black_box(sum);
    }
}

/// The peak rate of f32 multiply-adds of `threads` threads together, in GFLOP/s
/// (a multiply-add counts as two), with one instruction set.
///
/// # Panics
/// If the CPU does not have it, or `threads` is 0.
#[track_caller]
pub fn multiply_add_peak(isa: Isa, threads: usize) -> f64 {
    assert!(isa.is_available(), "multiply_add_peak: this CPU has no {}", isa.name());
    // About 10 ms on a fast core.
    const ROUNDS: usize = 2_000_000;
    let flops = 2.0 * (CHAINS * isa.lanes() * ROUNDS * threads) as f64;
    flops / fastest(threads, |_| move || isa.multiply_add(ROUNDS)) / 1e9
}

/// What [`bandwidth`] does with memory, after McCalpin's STREAM benchmark.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Traffic {
    /// `sum += a[i]`: 4 bytes a number.
    Read,
    /// `a[i] = b[i]`: 8 bytes; fetching `a` before it is overwritten is not counted.
    Copy,
    /// `a[i] = b[i] + s c[i]`: 12 bytes, counted in the same way.
    Triad,
}

/// The peak rate at which `threads` threads together move data, in GB/s. Each has
/// arrays of its own of `bytes` bytes, which were touched before.
///
/// # Panics
/// If `threads` is 0, or the arrays have less than 256 bytes.
#[track_caller]
pub fn bandwidth(traffic: Traffic, bytes: usize, threads: usize) -> f64 {
    assert!(bytes >= 256, "bandwidth: arrays of {bytes} bytes are too small to be measured");
    let len = bytes / size_of::<f32>();
    // Enough passes over small arrays for the clock to measure them.
    let passes = (64_usize << 20).div_ceil(bytes);
    let arrays = match traffic {
        Traffic::Read => 1,
        Traffic::Copy => 2,
        Traffic::Triad => 3,
    };
    let moved = (4 * len * arrays * passes * threads) as f64;
    let seconds = fastest(threads, |_| {
        let mut a = vec![1.0; len];
        let b = vec![2.0; if arrays > 1 { len } else { 0 }];
        let c = vec![3.0; if arrays > 2 { len } else { 0 }];
        move || {
            for _ in 0..passes {
                pass(traffic, &mut a, &b, &c);
            }
        }
    });
    moved / seconds / 1e9
}

fn pass(traffic: Traffic, a: &mut [f32], b: &[f32], c: &[f32]) {
    match traffic {
        Traffic::Read => {
            // Many sums: with a single one, each addition would wait for the one before.
            let mut sums = [0.0; 64];
            for part in a.chunks_exact(64) {
                sums.iter_mut().zip(part).for_each(|(sum, a)| *sum += a);
            }
            black_box(sums);
        }
        Traffic::Copy => a.copy_from_slice(b),
        Traffic::Triad => {
            let s = black_box(0.5);
            a.iter_mut().zip(b.iter().zip(c)).for_each(|(a, (b, c))| *a = b + s * c);
        }
    }
    black_box(a);
}

/// The shortest time, in seconds, in which all of `threads` threads do their work
/// once. `prepare` makes a thread's work, which first runs once without being
/// timed.
fn fastest<W: FnMut()>(threads: usize, prepare: impl Fn(usize) -> W + Sync) -> f64 {
    assert!(threads > 0, "a peak needs at least one thread");
    let barrier = Barrier::new(threads);
    let times: Vec<Vec<f64>> = std::thread::scope(|scope| {
        let (barrier, prepare) = (&barrier, &prepare);
        let work = move |thread| {
            let mut work = prepare(thread);
            work();
            let run = |_| {
                barrier.wait();
                let clock = Instant::now();
                work();
                // The run ends when the slowest thread ends.
                barrier.wait();
                clock.elapsed().as_secs_f64()
            };
            (0..RUNS).map(run).collect::<Vec<f64>>()
        };
        let handles: Vec<_> = (0..threads).map(|thread| scope.spawn(move || work(thread))).collect();
        handles.into_iter().map(|handle| handle.join().expect("the loops do not panic")).collect()
    });
    times.into_iter().flatten().fold(f64::INFINITY, f64::min)
}

/// Numbers in a vector of the portable loop.
const PORTABLE: usize = 4;

fn portable(rounds: usize, factor: f32, term: f32) -> f32 {
    // Where the CPU has no fused instruction, `mul_add` would call a library.
    let fused = cfg!(any(target_feature = "fma", target_arch = "aarch64"));
    let mut sums = [[term; PORTABLE]; CHAINS];
    for _ in 0..rounds {
        for sum in &mut sums {
            for lane in sum {
                *lane = if fused { lane.mul_add(factor, term) } else { *lane * factor + term };
            }
        }
    }
    sums.iter().flatten().sum()
}

/// Defines the loop for one kind of vector.
#[cfg(target_arch = "x86_64")]
macro_rules! chains {
    ($name:ident, $features:literal, $set:ident, $multiply_add:ident, $add:ident, $store:ident, $lanes:literal) => {
        #[target_feature(enable = $features)]
        fn $name(rounds: usize, factor: f32, term: f32) -> f32 {
            use std::arch::x86_64::*;
            let (factor, term) = ($set(factor), $set(term));
            let mut sums = [term; CHAINS];
            for _ in 0..rounds {
                for sum in &mut sums {
                    *sum = $multiply_add(*sum, factor, term);
                }
            }
            let total = sums.into_iter().fold($set(0.0), |total, sum| $add(total, sum));
            let mut lanes = [0.0; $lanes];
            // SAFETY: the array is as long as the vector, and an unaligned store may go anywhere.
            unsafe { $store(lanes.as_mut_ptr(), total) };
            lanes.iter().sum()
        }
    };
}

#[cfg(target_arch = "x86_64")]
chains!(avx512, "avx512f", _mm512_set1_ps, _mm512_fmadd_ps, _mm512_add_ps, _mm512_storeu_ps, 16);
#[cfg(target_arch = "x86_64")]
chains!(avx2, "avx2,fma", _mm256_set1_ps, _mm256_fmadd_ps, _mm256_add_ps, _mm256_storeu_ps, 8);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_loop_computes_what_is_counted() {
        // From 0.75, each round halves the distance to the fixed point of 1.5.
        for rounds in [0, 1, 2] {
            let each = [0.75, 1.125, 1.3125][rounds];
            let expected = |lanes: usize| each * (CHAINS * lanes) as f32;
            assert_eq!(portable(rounds, 0.5, 0.75), expected(PORTABLE));
            #[cfg(target_arch = "x86_64")]
            for isa in Isa::ALL.into_iter().filter(|isa| isa.is_available()) {
                let lanes = isa.lanes();
                match isa {
                    // SAFETY: only available instructions are listed.
                    Isa::Avx512 => assert_eq!(unsafe { avx512(rounds, 0.5, 0.75) }, expected(lanes)),
                    // SAFETY: as above.
                    Isa::Avx2 => assert_eq!(unsafe { avx2(rounds, 0.5, 0.75) }, expected(lanes)),
                    Isa::Portable => {}
                }
            }
        }
    }

    #[test]
    fn the_triad_and_the_copy_write_what_they_should() {
        let (mut a, b, c) = (vec![0.0; 100], vec![2.0; 100], vec![3.0; 100]);
        pass(Traffic::Triad, &mut a, &b, &c);
        assert!(a.iter().all(|&a| a == 3.5));
        pass(Traffic::Copy, &mut a, &b, &c);
        assert_eq!(a, b);
    }

    #[test]
    fn what_is_measured_is_a_speed() {
        for isa in Isa::ALL.into_iter().filter(|isa| isa.is_available()) {
            let peak = multiply_add_peak(isa, 2);
            assert!(peak.is_finite() && peak > 0.0, "{}: {peak} GFLOP/s", isa.name());
        }
        for traffic in [Traffic::Read, Traffic::Copy, Traffic::Triad] {
            let speed = bandwidth(traffic, 1 << 20, 2);
            assert!(speed.is_finite() && speed > 0.0, "{speed} GB/s");
        }
    }
}
