//! Memory and threads: reused buffers, work split by its size, and rows of channels in
//! a form that suits inner loops.

pub mod parallel;
pub mod pool;
pub(crate) mod rows;
