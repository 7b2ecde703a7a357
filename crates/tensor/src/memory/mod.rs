//! Memory and who works on it: buffers that are used again, work cut by its size, and
//! rows of channels in the form that inner loops like.

pub mod parallel;
pub mod pool;
pub(crate) mod rows;
