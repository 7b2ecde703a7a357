//! Buffers that are reused instead of being given back to the system.
//!
//! A training step allocates the same sizes over and over. Fresh memory is
//! slow: the system hands out pages that fault on first touch (2.5 GB/s
//! measured, against 10 GB/s for pages touched before). A dropped buffer is
//! therefore kept, sorted by size class, and the next request of that class
//! takes it as it is; a large request is content with a larger buffer before it
//! asks the system. Its old contents are initialised numbers, so handing them
//! out is safe; a buffer that is taken must be overwritten. Buffers that lie
//! idle go back to the system when they are many.

use std::ops::{Deref, DerefMut};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::simd::pages::prefer_huge;

/// Buffers smaller than this come from the allocator, which is fast for them.
const SMALLEST_POOLED: usize = 1024;
/// Numbers from which a buffer is large: it may serve for a smaller one, and is
/// given back to the system when too many are free.
const LARGE: usize = 1 << 18;
/// A large request takes a free buffer of up to four times its size. What that
/// wastes is less than what separate buffers for every size would hold.
const CLASSES_ABOVE: usize = 8;
/// How many times the most memory ever in use the buffers in use and the free
/// ones may hold together. Steps that repeat hardly ever reach it.
const SPACIOUS: f64 = 1.5;
/// Bytes of a cache line, the unit in which memory is moved.
const CACHE_LINE: usize = 64;
/// Four classes to every power of two: at most a fifth of a buffer is unused.
const CLASSES: usize = 4 * 48;

/// Bytes in tensors now, and the most there have been since the last reset.
static LIVE: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

/// Bytes that tensors (and buffers kernels work in) hold now; free buffers kept
/// for later do not count.
pub fn live_bytes() -> usize {
    LIVE.load(Ordering::Relaxed)
}

/// The most [`live_bytes`] since this was last called.
pub fn take_peak_bytes() -> usize {
    PEAK.swap(live_bytes(), Ordering::Relaxed)
}

/// Free buffers of one type of number, by size class.
#[doc(hidden)]
pub struct Pool<T> {
    free: [Mutex<Vec<Vec<T>>>; CLASSES],
    /// Numbers in free buffers, in those in use, and the most in use so far.
    idle: AtomicUsize,
    used: AtomicUsize,
    most_used: AtomicUsize,
}

/// A plain number that buffers can hold: the elements of tensors, and bytes.
pub trait Pooled: Copy + Default + Send + Sync + 'static {
    /// Where free buffers of this type are kept.
    #[doc(hidden)]
    fn pool() -> &'static Pool<Self>;
}

macro_rules! pooled {
    ($($type:ident),*) => {
        $(impl Pooled for $type {
            fn pool() -> &'static Pool<Self> {
                static POOL: Pool<$type> = Pool::new();
                &POOL
            }
        })*
    };
}

pooled!(f32, f64, u8, u32);

impl<T: Pooled> Pool<T> {
    const fn new() -> Self {
        Self {
            free: [const { Mutex::new(Vec::new()) }; CLASSES],
            idle: AtomicUsize::new(0),
            used: AtomicUsize::new(0),
            most_used: AtomicUsize::new(0),
        }
    }

    /// Elements beyond a class's size, so that the first cache line can be left out.
    const MARGIN: usize = CACHE_LINE / size_of::<T>();

    fn take(&self, len: usize) -> Vec<T> {
        let (class, size) = size_class(len);
        let above = if size >= LARGE { CLASSES_ABOVE } else { 0 };
        let reused = (class..=class + above).find_map(|class| self.take_free(class));
        let used = self.used.fetch_add(size, Ordering::Relaxed) + size;
        self.most_used.fetch_max(used, Ordering::Relaxed);
        let values = reused.unwrap_or_else(|| {
            self.make_room();
            let mut values = vec![T::default(); size + Self::MARGIN];
            prefer_huge(&mut values);
            values
        });
        // What a larger buffer has to spare is in use too.
        self.used.fetch_add(values.len() - Self::MARGIN - size, Ordering::Relaxed);
        values
    }

    fn give(&self, values: Vec<T>) {
        let (class, size) = size_class(values.len() - Self::MARGIN);
        self.used.fetch_sub(size, Ordering::Relaxed);
        self.idle.fetch_add(size, Ordering::Relaxed);
        self.lock(class).push(values);
    }

    /// A free buffer of this class.
    fn take_free(&self, class: usize) -> Option<Vec<T>> {
        let values = self.lock(class).pop()?;
        self.idle.fetch_sub(values.len() - Self::MARGIN, Ordering::Relaxed);
        Some(values)
    }

    /// Gives large free buffers back to the system, the largest first, until the rest is not more than it should be.
    fn make_room(&self) {
        let limit = (SPACIOUS * self.most_used.load(Ordering::Relaxed) as f64) as usize;
        let is_full = || self.used.load(Ordering::Relaxed) + self.idle.load(Ordering::Relaxed) > limit;
        let large = (size_class(LARGE).0..CLASSES).rev();
        for class in large {
            while is_full() && self.take_free(class).is_some() {}
        }
    }

    fn lock(&self, class: usize) -> std::sync::MutexGuard<'_, Vec<Vec<T>>> {
        // A panic elsewhere cannot leave a list of free buffers half changed.
        self.free[class].lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

/// The class that holds `len` elements, and the size of its buffers.
fn size_class(len: usize) -> (usize, usize) {
    let len = len.max(4);
    let power = len.ilog2() as usize;
    let quarter = 1usize << (power - 2);
    let steps = (len - (1 << power)).div_ceil(quarter);
    (4 * power + steps, (1 << power) + steps * quarter)
}

/// A run of numbers from the pool, given back when dropped.
pub struct Buffer<T: Pooled> {
    values: Vec<T>,
    /// Where in `values` the numbers start: at the beginning of a cache line.
    start: usize,
    len: usize,
    /// Whether it came from the pool. One that was made outside is not kept: a
    /// stream of them would make the pool grow without end.
    pooled: bool,
}

impl<T: Pooled> Buffer<T> {
    /// `len` numbers of unspecified value, for a caller that overwrites them all.
    pub(crate) fn unspecified(len: usize) -> Self {
        let pooled = len >= SMALLEST_POOLED;
        if !pooled {
            return Self::counted(vec![T::default(); len], 0, len, false);
        }
        let values = T::pool().take(len);
        // Vectors that straddle two cache lines take twice as long to load.
        let start = values.as_ptr().align_offset(CACHE_LINE);
        Self::counted(values, start, len, true)
    }

    fn counted(values: Vec<T>, start: usize, len: usize, pooled: bool) -> Self {
        let live = LIVE.fetch_add(size_of_val(&values[..]), Ordering::Relaxed) + size_of_val(&values[..]);
        PEAK.fetch_max(live, Ordering::Relaxed);
        Self { values, start, len, pooled }
    }

    /// `len` numbers that `fill` sets: those that it gets have any value.
    pub fn filled_by(len: usize, fill: impl FnOnce(&mut [T])) -> Self {
        let mut buffer = Self::unspecified(len);
        fill(&mut buffer);
        buffer
    }

    /// `len` times `value`.
    pub fn filled(len: usize, value: T) -> Self {
        let mut buffer = Self::unspecified(len);
        buffer.fill(value);
        buffer
    }

    /// A copy of `values`.
    pub fn copy_of(values: &[T]) -> Self {
        let mut buffer = Self::unspecified(values.len());
        buffer.copy_from_slice(values);
        buffer
    }
}

impl<T: Pooled> From<Vec<T>> for Buffer<T> {
    fn from(values: Vec<T>) -> Self {
        let len = values.len();
        Self::counted(values, 0, len, false)
    }
}

impl<T: Pooled> Deref for Buffer<T> {
    type Target = [T];
    fn deref(&self) -> &[T] {
        &self.values[self.start..self.start + self.len]
    }
}

impl<T: Pooled> DerefMut for Buffer<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        &mut self.values[self.start..self.start + self.len]
    }
}

impl<T: Pooled> Drop for Buffer<T> {
    fn drop(&mut self) {
        let values = std::mem::take(&mut self.values);
        LIVE.fetch_sub(size_of_val(&values[..]), Ordering::Relaxed);
        if self.pooled {
            T::pool().give(values);
        }
    }
}

/// Several runs of numbers in one buffer, each from the beginning of a cache
/// line. The sizes of a kernel's work buffers change with every layer; one
/// large request finds a free buffer more often than many small ones.
pub(crate) struct Parts<T: Pooled> {
    buffer: Buffer<T>,
    /// Where each part starts, and how long it is.
    places: Vec<(usize, usize)>,
}

impl<T: Pooled> Parts<T> {
    /// Parts of these lengths, of unspecified values.
    pub(crate) fn unspecified(lengths: impl IntoIterator<Item = usize>) -> Self {
        let mut end = 0;
        let mut place = |len: usize| {
            let start = end;
            end = (end + len).next_multiple_of(CACHE_LINE / size_of::<T>());
            (start, len)
        };
        let places = lengths.into_iter().map(&mut place).collect();
        Self { buffer: Buffer::unspecified(end), places }
    }

    /// How many parts there are.
    pub(crate) fn count(&self) -> usize {
        self.places.len()
    }

    /// One part.
    pub(crate) fn part(&self, index: usize) -> &[T] {
        let (start, len) = self.places[index];
        &self.buffer[start..start + len]
    }

    /// All parts, to be written.
    pub(crate) fn parts_mut(&mut self) -> Vec<&mut [T]> {
        let mut rest = &mut self.buffer[..];
        let mut taken = 0;
        let mut parts = Vec::with_capacity(self.places.len());
        for &(start, len) in &self.places {
            let (part, tail) = rest[start - taken..].split_at_mut(len);
            parts.push(part);
            rest = tail;
            taken = start + len;
        }
        parts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_class_holds_its_length_with_at_most_a_fifth_to_spare() {
        let mut last = (0, 0);
        for len in 4..100_000 {
            let (class, size) = size_class(len);
            assert!(size >= len && size - len <= size / 5 + 1, "{len} in {size}");
            assert_eq!(size_class(size), (class, size), "a class must contain its own size");
            assert!((class, size) >= last);
            last = (class, size);
        }
    }

    #[test]
    fn parts_do_not_overlap() {
        let lengths = [5, 0, 64, 17, 1];
        let mut parts = Parts::<f32>::unspecified(lengths);
        for (index, part) in parts.parts_mut().into_iter().enumerate() {
            assert_eq!(part.len(), lengths[index]);
            part.fill(index as f32);
        }
        for (index, len) in lengths.into_iter().enumerate() {
            assert_eq!(parts.part(index), vec![index as f32; len]);
        }
    }

    #[test]
    fn a_buffer_that_was_given_back_is_used_again() {
        let pool = Pool::<f32>::new();
        let values = pool.take(2 * LARGE);
        let address = values.as_ptr();
        pool.give(values);
        for len in [2 * LARGE, 2 * LARGE - 1, LARGE] {
            let values = pool.take(len);
            assert_eq!(values.as_ptr(), address, "for {len} numbers");
            pool.give(values);
        }
        let small = pool.take(LARGE / 4);
        assert_eq!(
            small.len(),
            LARGE / 4 + Pool::<f32>::MARGIN,
            "a large one does not serve for a small one"
        );
    }

    #[test]
    fn buffers_that_lie_idle_go_back_to_the_system() {
        let pool = Pool::<f32>::new();
        let numbers = |counter: &AtomicUsize| counter.load(Ordering::Relaxed);
        // Each is too large for those before it.
        for step in 1..50 {
            let values = pool.take(step * LARGE);
            let held = numbers(&pool.used) + numbers(&pool.idle);
            let limit = (SPACIOUS * size_class(step * LARGE).1 as f64) as usize;
            assert!(held <= limit, "{held} numbers are held, {limit} would be enough");
            pool.give(values);
        }
        let kept: usize = pool
            .free
            .iter()
            .flat_map(|class| class.lock().unwrap().iter().map(Vec::len).collect::<Vec<_>>())
            .sum();
        assert!(kept >= 49 * LARGE, "the last one is kept");
        assert_eq!(numbers(&pool.used), 0);
    }

    #[test]
    fn a_stream_of_buffers_from_outside_does_not_fill_the_pool() {
        let (class, len) = size_class(3 << 18);
        let free = || u32::pool().lock(class).len();
        let before = free();
        for _ in 0..10 {
            drop(Buffer::from(vec![0u32; len]));
        }
        assert_eq!(free(), before);
    }
}
