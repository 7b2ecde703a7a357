//! n-d arrays and CPU kernels. Knows nothing of gradients.
//!
//! - [`Tensor`], [`Shape`], [`Element`]: arrays (`array/`), with [`mod@concat`] and reductions;
//! - [`conv`]: two-dimensional convolution, in five implementations;
//! - [`product`]: products of matrices (`products/`);
//! - [`pixels`], [`pooling`], [`resize`], [`windows`], [`linear_map`]: images (`images/`);
//! - [`norm`], [`softmax`]: normalisation and distributions over channels;
//! - [`pool`], [`parallel`]: reused memory, and work split by its size (`memory/`);
//! - [`random`], [`machine`]: named streams of random numbers, and the measured peak
//!   performance of the CPU.
#![deny(unsafe_code)]
mod array;
pub mod attention;
pub mod conv;
mod eigen;
mod images;
#[cfg(test)]
mod limits;
pub mod machine;
mod memory;
pub mod norm;
mod products;
pub mod random;
mod simd;
pub mod softmax;
#[cfg(test)]
mod testing;

pub use array::element::{Element, PerElement};
pub use array::scalar::{Rectifier, erf, relu, sigmoid, softplus};
pub use array::shape::{MAX_ELEMENTS, MAX_RANK, Shape};
pub use array::tensor::Tensor;
pub use array::{concat, shape};
pub use eigen::symmetric_eigen;
pub use images::{linear_map, pixels, pooling, resize, windows};
pub use memory::{parallel, pool};
pub use products::product;
pub use simd::denormals::{denormals_are_flushed, flush_denormals};
pub use simd::isa::{Isa, IsaError};
