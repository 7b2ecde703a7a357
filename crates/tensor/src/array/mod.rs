//! Arrays: the two element types, shapes, [`Tensor`](crate::Tensor), element-wise
//! functions, reductions and concatenation.

pub mod concat;
pub(crate) mod element;
mod elementwise;
mod fast;
pub(crate) mod reduce;
pub(crate) mod scalar;
pub mod shape;
pub(crate) mod tensor;
