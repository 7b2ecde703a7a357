//! Images `[N, H, W, C]`: windows, pooling, resizing, and the sparse linear maps behind
//! most operations that move pixels.

pub mod linear_map;
pub mod pooling;
pub mod resize;
pub mod windows;
