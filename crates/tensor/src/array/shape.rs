//! Shapes and strides: at most six dimensions, kept inline.
//!
//! A shape travels with every tensor and every node of a tape, so it lives in
//! a small array and never on the heap.

use std::fmt;
use std::ops::Deref;

/// The largest number of dimensions a tensor can have.
pub const MAX_RANK: usize = 6;

/// The most elements a tensor can have: as many numbers of eight bytes as memory can address.
pub const MAX_ELEMENTS: usize = isize::MAX as usize / 8;

/// The product of extents, for sizes that are computed rather than given.
///
/// # Panics
/// If it exceeds [`MAX_ELEMENTS`], extents of 0 counted as 1: strides are products
/// of extents too, and must not wrap around even where there is no element.
/// The message starts with `operation`.
#[track_caller]
pub fn product_of(operation: &str, extents: &[usize]) -> usize {
    if bounded_product(extents).is_none() {
        too_large(operation, extents);
    }
    extents.iter().product()
}

/// The sum of extents, for example of an image and its padding.
///
/// # Panics
/// If it exceeds [`MAX_ELEMENTS`]; the message starts with `operation`.
#[track_caller]
pub fn sum_of(operation: &str, extents: &[usize]) -> usize {
    let sum = extents.iter().try_fold(0usize, |sum, &extent| sum.checked_add(extent));
    match sum.filter(|&sum| sum <= MAX_ELEMENTS) {
        Some(sum) => sum,
        None => panic!("{operation}: the sum of {extents:?} is more elements than memory can address"),
    }
}

/// The product of the extents, those of 0 counted as 1, if a tensor can have as many elements.
fn bounded_product(extents: &[usize]) -> Option<usize> {
    let product = extents.iter().try_fold(1usize, |product, &extent| product.checked_mul(extent.max(1)))?;
    (product <= MAX_ELEMENTS).then_some(product)
}

#[cold]
#[track_caller]
fn too_large(operation: &str, extents: &[usize]) -> ! {
    panic!("{operation}: {extents:?} has more elements than memory can address (at most {MAX_ELEMENTS})")
}

/// The extent of every dimension, outermost first; rank 0 is a single number.
///
/// The product of the extents is at most [`MAX_ELEMENTS`], those of 0 counted as 1, so
/// that no count of elements and no stride can wrap around.
///
/// Dereferences to a slice: `shape.len()` is the rank, `shape[0]` the first extent.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Shape {
    dims: [usize; MAX_RANK],
    rank: u8,
}

impl Shape {
    /// The shape with these extents.
    ///
    /// # Panics
    /// If there are more than [`MAX_RANK`] of them, or more elements than [`MAX_ELEMENTS`].
    #[track_caller]
    pub fn new(dims: &[usize]) -> Self {
        if bounded_product(dims).is_none() {
            too_large("shape", dims);
        }
        assert!(
            dims.len() <= MAX_RANK,
            "shape {dims:?} has {} dimensions; at most {MAX_RANK} are supported",
            dims.len()
        );
        let mut inline = [0; MAX_RANK];
        inline[..dims.len()].copy_from_slice(dims);
        Self { dims: inline, rank: dims.len() as u8 }
    }

    /// How many elements a tensor of this shape has (1 for rank 0).
    pub fn elements(&self) -> usize {
        self.iter().product()
    }

    /// Row-major strides, in elements.
    pub(crate) fn strides(&self) -> Strides {
        let mut steps = [0; MAX_RANK];
        let mut step = 1;
        for axis in (0..self.len()).rev() {
            steps[axis] = step;
            step *= self[axis];
        }
        Strides { steps, rank: self.rank }
    }

    /// The shape both operands are stretched to, by NumPy's rule: aligned from
    /// the last dimension, equal extents or one of them 1. `None` if they clash.
    ///
    /// # Panics
    /// If the common shape has more than [`MAX_ELEMENTS`].
    #[track_caller]
    pub fn broadcast(&self, other: &Shape) -> Option<Shape> {
        let rank = self.len().max(other.len());
        let mut out = Shape { dims: [0; MAX_RANK], rank: rank as u8 };
        let aligned =
            |shape: &Shape, axis: usize| (axis + shape.len()).checked_sub(rank).map_or(1, |axis| shape[axis]);
        for axis in 0..rank {
            out.dims[axis] = match (aligned(self, axis), aligned(other, axis)) {
                (a, b) if a == b => a,
                (1, b) => b,
                (a, 1) => a,
                _ => return None,
            };
        }
        if bounded_product(&out).is_none() {
            too_large("broadcast", &out);
        }
        Some(out)
    }

    /// This shape with dimension `axis` set to `extent`.
    ///
    /// # Panics
    /// If there is no such axis, or the shape then has more than [`MAX_ELEMENTS`].
    #[track_caller]
    pub fn with(mut self, axis: usize, extent: usize) -> Shape {
        assert!(axis < self.len(), "axis {axis} of shape {self:?}, which has {} dimensions", self.len());
        self.dims[axis] = extent;
        if bounded_product(&self).is_none() {
            too_large("shape", &self);
        }
        self
    }
}

/// The distance in elements between neighbours along each dimension.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Strides {
    steps: [usize; MAX_RANK],
    rank: u8,
}

impl Strides {
    /// `step(axis)` for each of `rank` dimensions.
    pub fn from_fn(rank: usize, step: impl Fn(usize) -> usize) -> Self {
        let steps = std::array::from_fn(|axis| if axis < rank { step(axis) } else { 0 });
        Self { steps, rank: rank as u8 }
    }
}

impl Deref for Strides {
    type Target = [usize];
    #[inline]
    fn deref(&self) -> &[usize] {
        &self.steps[..usize::from(self.rank)]
    }
}

impl fmt::Debug for Strides {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&**self, f)
    }
}

impl Deref for Shape {
    type Target = [usize];
    #[inline]
    fn deref(&self) -> &[usize] {
        &self.dims[..usize::from(self.rank)]
    }
}

impl fmt::Debug for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&**self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn broadcasting_aligns_from_the_last_dimension() {
        let shape = |dims: &[usize]| Shape::new(dims);
        assert_eq!(shape(&[4, 1, 3]).broadcast(&shape(&[2, 1])), Some(shape(&[4, 2, 3])));
        assert_eq!(shape(&[]).broadcast(&shape(&[5])), Some(shape(&[5])));
        assert_eq!(shape(&[0, 3]).broadcast(&shape(&[1, 3])), Some(shape(&[0, 3])));
        assert_eq!(shape(&[2, 3]).broadcast(&shape(&[2])), None);
    }
}
