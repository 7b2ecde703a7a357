//! n-d arrays and CPU kernels. Knows nothing of gradients.
#![deny(unsafe_code)]
mod elementwise;
mod element;
mod matmul;
mod pool;
mod reduce;
mod rows;
mod scalar;
mod shape;
mod tensor;
#[cfg(test)]
mod testing;
pub mod concat;
pub mod conv;
pub mod norm;
pub mod parallel;
pub mod pooling;
pub mod random;
pub mod resize;
pub mod softmax;

pub use element::Element;
pub use shape::{MAX_RANK, Shape};
pub use tensor::Tensor;
pub use scalar::{relu, sigmoid, softplus};
