//! Products of matrices.
//!
//! - [`matmul`]: two matrices, shared among the threads;
//! - [`gemm`]: the product on one thread, by the tile of the convolutions or by
//!   `matrixmultiply`, and that of many rows on all threads;
//! - [`batched`]: many matrices at once;
//! - [`product`]: dense layers and products that are kept as two factors;
//! - [`strided`]: a matrix in memory, the type of the arguments of [`gemm`].

pub(crate) mod batched;
pub(crate) mod gemm;
pub(crate) mod matmul;
pub mod product;
pub(crate) mod strided;
