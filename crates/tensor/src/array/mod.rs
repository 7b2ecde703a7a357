//! Arrays: the two element types, shapes, [`Tensor`](crate::Tensor), and what is done
//! to one element, one row or one dimension after the other.

pub mod concat;
pub(crate) mod element;
mod elementwise;
pub(crate) mod reduce;
pub(crate) mod scalar;
pub mod shape;
pub(crate) mod tensor;
