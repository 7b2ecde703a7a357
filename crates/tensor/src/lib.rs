//! n-d arrays and CPU kernels. Knows nothing of gradients.
#![deny(unsafe_code)]
mod batched;
pub mod concat;
pub mod conv;
mod element;
mod elementwise;
mod gemm;
#[cfg(test)]
mod limits;
pub mod linear_map;
pub mod machine;
mod matmul;
pub mod norm;
pub mod parallel;
pub mod pool;
pub mod pooling;
pub mod product;
pub mod random;
mod reduce;
pub mod resize;
mod rows;
mod scalar;
pub mod shape;
mod simd;
pub mod softmax;
mod tensor;
#[cfg(test)]
mod testing;
pub mod windows;

pub use element::{Element, PerElement};
pub use scalar::{erf, relu, sigmoid, softplus};
pub use shape::{MAX_ELEMENTS, MAX_RANK, Shape};
pub use simd::denormals::flush_denormals;
pub use simd::isa::{Isa, IsaError};
pub use tensor::Tensor;
