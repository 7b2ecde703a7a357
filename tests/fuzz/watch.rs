//! What one input may cost: time, and memory as the system counts it.
//!
//! A reader that never ends cannot be stopped from within its process, so a separate thread ends the process and prints
//! where the input is. Memory is the peak of the resident set, which Linux counts and can reset; on other systems it is
//! not checked.

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The longest that one input may take.
pub const SLOWEST: Duration = Duration::from_secs(10);
/// The most that one input may add to the resident set: pictures of [`MOST_PIXELS`](cerberus::data::MOST_PIXELS) take
/// up to 512 MB on their way to RGB.
pub const LARGEST: usize = 640 << 20;
/// How long an input may run before the process is ended.
const GIVEN_UP: Duration = Duration::from_secs(60);

/// The input that is read, and since when.
static CURRENT: Mutex<Option<(Instant, PathBuf)>> = Mutex::new(None);

/// Notes which input is being read; `None` if none is.
pub fn reading(input: Option<PathBuf>) {
    *CURRENT.lock().unwrap_or_else(PoisonError::into_inner) = input.map(|path| (Instant::now(), path));
}

/// Ends the process when an input does not end.
pub fn start() {
    std::thread::spawn(|| {
        loop {
            std::thread::sleep(Duration::from_secs(1));
            let current = CURRENT.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some((since, path)) = &*current
                && since.elapsed() > GIVEN_UP
            {
                eprintln!("{} is read for more than {GIVEN_UP:?}", path.display());
                std::process::exit(101);
            }
        }
    });
}

/// Resets the peak of the resident set to its current size; `false` if the system cannot do that.
pub fn forget_peak() -> bool {
    std::fs::write("/proc/self/clear_refs", "5").is_ok()
}

/// The peak of the resident set in bytes since [`forget_peak`], if the system reports it.
pub fn peak() -> Option<usize> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.split_whitespace().next()?.parse::<usize>().ok().map(|kilobytes| kilobytes << 10)
}
