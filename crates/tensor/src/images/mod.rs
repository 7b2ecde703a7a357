//! Images `[N, H, W, C]`: windows, pooling, resizing, and the sparse linear maps behind
//! most operations that move pixels; and pictures of bytes, resized.

pub mod linear_map;
pub mod pixels;
pub mod pooling;
pub mod resize;
pub mod windows;
