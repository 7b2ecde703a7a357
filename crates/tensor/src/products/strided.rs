//! A matrix in memory.

/// From its first element on, with its row and column strides.
#[doc(hidden)]
pub type Strided<'a, T> = (&'a [T], [usize; 2]);
