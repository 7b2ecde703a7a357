//! Images `[N, H, W, C]`: windows over them, other sizes, and the sparse linear maps that
//! most ways of moving pixels are.

pub mod linear_map;
pub mod pooling;
pub mod resize;
pub mod windows;
