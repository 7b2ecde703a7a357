//! Shapes and strides: at most six dimensions, kept inline.
//!
//! A shape travels with every tensor and every node of a tape, so it lives in
//! a small array and never on the heap.

use std::fmt;
use std::ops::Deref;

/// The largest number of dimensions a tensor can have.
pub const MAX_RANK: usize = 6;

/// The extent of every dimension, outermost first; rank 0 is a single number.
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
    /// If there are more than [`MAX_RANK`] of them.
    #[track_caller]
    pub fn new(dims: &[usize]) -> Self {
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
    pub fn strides(&self) -> Shape {
        let mut strides = *self;
        let mut step = 1;
        for axis in (0..self.len()).rev() {
            strides.dims[axis] = step;
            step *= self[axis];
        }
        strides
    }

    /// The shape both operands are stretched to, by NumPy's rule: aligned from
    /// the last dimension, equal extents or one of them 1. `None` if they clash.
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
        Some(out)
    }

    /// This shape with dimension `axis` set to `extent`.
    ///
    /// # Panics
    /// If there is no such axis.
    #[track_caller]
    pub fn with(mut self, axis: usize, extent: usize) -> Shape {
        assert!(axis < self.len(), "axis {axis} of shape {self:?}, which has {} dimensions", self.len());
        self.dims[axis] = extent;
        self
    }
}

impl Deref for Shape {
    type Target = [usize];
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
