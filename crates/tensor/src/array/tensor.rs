//! [`Tensor`]: an n-d array as a shape, strides and an offset into a shared,
//! reference-counted buffer.
//!
//! Views (reshape, permute, narrow, broadcast) share the buffer and cost
//! nothing. A shared buffer is never written: an operation that takes its tensor
//! by value overwrites it when it is the only owner and writes to a new one
//! otherwise, so no operation changes the values of another tensor.

use std::fmt;
use std::sync::Arc;

use crate::parallel::{for_each_piece, for_each_rows};
use crate::pool::Buffer;
use crate::shape::{MAX_RANK, Strides};
use crate::{Element, Shape};

/// An n-dimensional array of `f32` or `f64`; cheap to clone (the buffer is shared).
///
/// ```
/// use cerberus_tensor::Tensor;
/// let x = Tensor::from_vec(vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0], &[2, 3]);
/// let y = x.permute(&[1, 0]); // a view: no number moves
/// assert_eq!(y.shape(), [3, 2]);
/// assert_eq!(y.to_vec(), [1.0, 4.0, 2.0, 5.0, 3.0, 6.0]);
/// ```
#[derive(Clone)]
pub struct Tensor<T: Element = f32> {
    buffer: Arc<Buffer<T>>,
    shape: Shape,
    strides: Strides,
    offset: usize,
}

/// Where a row begins in the buffer, and its place along each of the dimensions before it.
struct Row {
    start: usize,
    index: [usize; MAX_RANK],
}

impl Row {
    /// Moves to the next row of dimensions of this shape.
    #[inline]
    fn advance(&mut self, shape: &[usize], strides: &[usize]) {
        for axis in (0..shape.len()).rev() {
            self.index[axis] += 1;
            self.start += strides[axis];
            if self.index[axis] < shape[axis] {
                return;
            }
            self.start -= strides[axis] * shape[axis];
            self.index[axis] = 0;
        }
    }
}

impl<T: Element> Tensor<T> {
    pub(crate) fn from_buffer(buffer: Buffer<T>, shape: Shape) -> Self {
        debug_assert_eq!(buffer.len(), shape.elements());
        Self { buffer: Arc::new(buffer), shape, strides: shape.strides(), offset: 0 }
    }

    /// A tensor of `shape` whose row-major elements are `data`.
    ///
    /// # Panics
    /// If `data` does not have exactly as many elements as the shape.
    #[track_caller]
    pub fn from_vec(data: Vec<T>, shape: &[usize]) -> Self {
        let shape = Shape::new(shape);
        assert_eq!(
            data.len(),
            shape.elements(),
            "from_vec: {} values do not fill shape {shape:?}",
            data.len()
        );
        Self::from_buffer(data.into(), shape)
    }

    /// A tensor filled with `value`.
    pub fn full(value: T, shape: &[usize]) -> Self {
        let shape = Shape::new(shape);
        let mut buffer = Buffer::unspecified(shape.elements());
        for_each_piece(&mut buffer, |_, piece| piece.fill(value));
        Self::from_buffer(buffer, shape)
    }

    /// A tensor of zeros.
    pub fn zeros(shape: &[usize]) -> Self {
        Self::full(T::ZERO, shape)
    }

    /// A tensor of ones.
    pub fn ones(shape: &[usize]) -> Self {
        Self::full(T::ONE, shape)
    }

    /// A tensor of rank 0.
    pub fn scalar(value: T) -> Self {
        Self::full(value, &[])
    }

    /// A tensor whose row-major element `i` is `f(i)`.
    pub fn from_fn(shape: &[usize], mut f: impl FnMut(usize) -> T) -> Self {
        let shape = Shape::new(shape);
        let mut buffer = Buffer::unspecified(shape.elements());
        buffer.iter_mut().enumerate().for_each(|(i, value)| *value = f(i));
        Self::from_buffer(buffer, shape)
    }

    /// Builds a tensor by letting `fill` overwrite every element of a buffer
    /// whose contents are unspecified when it starts.
    pub fn filled_by(shape: &[usize], fill: impl FnOnce(&mut [T])) -> Self {
        let shape = Shape::new(shape);
        let mut buffer = Buffer::unspecified(shape.elements());
        fill(&mut buffer);
        Self::from_buffer(buffer, shape)
    }

    /// The extents, outermost first.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// The shape as a value.
    pub fn dims(&self) -> Shape {
        self.shape
    }

    /// Distance in elements between neighbours along each dimension; 0 where broadcast.
    pub fn strides(&self) -> &[usize] {
        &self.strides
    }

    /// The number of dimensions.
    pub fn rank(&self) -> usize {
        self.shape.len()
    }

    /// The number of elements.
    pub fn len(&self) -> usize {
        self.shape.elements()
    }

    /// Whether there are no elements.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The extents as an array, for destructuring: `let [n, h, w, c] = x.extents();`
    ///
    /// # Panics
    /// If the rank is not `R`.
    #[track_caller]
    pub fn extents<const R: usize>(&self) -> [usize; R] {
        self.shape()
            .try_into()
            .unwrap_or_else(|_| panic!("expected {R} dimensions, found shape {:?}", self.shape))
    }

    /// Whether the elements lie in row-major order without gaps.
    pub fn is_contiguous(&self) -> bool {
        let expected = self.shape.strides();
        self.is_empty()
            || (0..self.rank()).all(|axis| self.shape[axis] == 1 || self.strides[axis] == expected[axis])
    }

    /// The elements in row-major order, if they lie in memory in that order.
    pub fn as_slice(&self) -> Option<&[T]> {
        self.is_contiguous().then(|| &self.buffer[self.offset..self.offset + self.len()])
    }

    /// The elements in row-major order.
    ///
    /// # Panics
    /// If the tensor is a view that is not contiguous; see [`contiguous`](Self::contiguous).
    #[track_caller]
    pub fn data(&self) -> &[T] {
        self.as_slice().unwrap_or_else(|| {
            panic!(
                "data: shape {:?} with strides {:?} is not contiguous; call contiguous() first",
                self.shape, self.strides
            )
        })
    }

    /// The buffer from the first element on; strides count from there.
    pub(crate) fn origin(&self) -> &[T] {
        if self.is_empty() { &[] } else { &self.buffer[self.offset..] }
    }

    /// The elements for writing, if this tensor alone owns them and they are contiguous.
    pub fn unique_data_mut(&mut self) -> Option<&mut [T]> {
        if !self.is_contiguous() {
            return None;
        }
        let range = self.offset..self.offset + self.len();
        Arc::get_mut(&mut self.buffer).map(|buffer| &mut buffer[range])
    }

    /// The elements for writing; copies them first if they are shared or not contiguous.
    pub fn data_mut(&mut self) -> &mut [T] {
        if self.unique_data_mut().is_none() {
            *self = self.copied();
        }
        self.unique_data_mut().expect("a fresh copy has one owner")
    }

    /// The elements in row-major order, as a vector.
    pub fn to_vec(&self) -> Vec<T> {
        self.contiguous().data().to_vec()
    }

    /// The only element.
    ///
    /// # Panics
    /// If there is not exactly one.
    #[track_caller]
    pub fn item(&self) -> T {
        assert_eq!(self.len(), 1, "item: shape {:?} does not hold exactly one element", self.shape);
        self.buffer[self.offset]
    }

    /// The element at `index`.
    ///
    /// # Panics
    /// If the index has another rank or lies outside the shape.
    #[track_caller]
    pub fn at(&self, index: &[usize]) -> T {
        assert!(
            index.len() == self.rank() && index.iter().zip(&*self.shape).all(|(i, extent)| i < extent),
            "at: index {index:?} is outside shape {:?}",
            self.shape
        );
        let place: usize = index.iter().zip(&*self.strides).map(|(i, stride)| i * stride).sum();
        self.buffer[self.offset + place]
    }

    /// The same elements in row-major order: this tensor if they already are, otherwise a
    /// copy.
    pub fn contiguous(&self) -> Tensor<T> {
        if self.is_contiguous() { self.clone() } else { self.copied() }
    }

    fn copied(&self) -> Tensor<T> {
        let mut out = Buffer::unspecified(self.len());
        if let Some(data) = self.as_slice() {
            for_each_rows(&mut out, 1, |start, piece| {
                piece.copy_from_slice(&data[start..start + piece.len()])
            });
        } else {
            // The last dimensions that lie together in memory are copied as one row.
            let mut row = 1;
            let mut outer = self.rank();
            while outer > 0 && (self.strides[outer - 1] == row || self.shape[outer - 1] == 1) {
                outer -= 1;
                row *= self.shape[outer];
            }
            let mut step = 1;
            if row == 1 && outer > 0 {
                // No two values lie together: the last dimension is gone through in steps.
                outer -= 1;
                (row, step) = (self.shape[outer], self.strides[outer]);
            }
            for_each_rows(&mut out, row, |first, rows| {
                let mut place = self.row(first, outer);
                for row in rows.chunks_exact_mut(row) {
                    if step == 1 {
                        row.copy_from_slice(&self.buffer[place.start..place.start + row.len()]);
                    } else {
                        let places = (0..row.len()).map(|index| place.start + index * step);
                        row.iter_mut().zip(places).for_each(|(value, place)| *value = self.buffer[place]);
                    }
                    place.advance(&self.shape[..outer], &self.strides[..outer]);
                }
            });
        }
        Self::from_buffer(out, self.shape)
    }

    /// Row number `row`, counting the first `outer` dimensions.
    fn row(&self, mut row: usize, outer: usize) -> Row {
        let mut place = Row { start: self.offset, index: [0; MAX_RANK] };
        for axis in (0..outer).rev() {
            place.index[axis] = row % self.shape[axis];
            place.start += place.index[axis] * self.strides[axis];
            row /= self.shape[axis];
        }
        place
    }

    /// The same elements under another shape; a view when contiguous, otherwise a copy.
    ///
    /// # Panics
    /// If the number of elements differs.
    #[track_caller]
    pub fn reshape(&self, shape: &[usize]) -> Tensor<T> {
        let shape = Shape::new(shape);
        assert_eq!(
            self.len(),
            shape.elements(),
            "reshape: {:?} does not have the elements of {shape:?}",
            self.shape
        );
        let source = self.contiguous();
        Self { shape, strides: shape.strides(), ..source }
    }

    /// A view with the dimensions in another order: dimension `i` of the result
    /// is dimension `order[i]` of this.
    ///
    /// # Panics
    /// If `order` is not a permutation of the dimensions.
    #[track_caller]
    pub fn permute(&self, order: &[usize]) -> Tensor<T> {
        let mut seen = [false; crate::MAX_RANK];
        let valid = order.len() == self.rank()
            && order.iter().all(|&axis| axis < self.rank() && !std::mem::replace(&mut seen[axis], true));
        assert!(valid, "permute: {order:?} is not an order of the dimensions of {:?}", self.shape);
        let shape = Shape::new(&order.iter().map(|&axis| self.shape[axis]).collect::<Vec<_>>());
        let strides = Strides::from_fn(order.len(), |axis| self.strides[order[axis]]);
        Self { shape, strides, ..self.clone() }
    }

    /// A view of `len` positions from `start` on along `axis`.
    ///
    /// # Panics
    /// If the range reaches outside the dimension.
    #[track_caller]
    pub fn narrow(&self, axis: usize, start: usize, len: usize) -> Tensor<T> {
        assert!(
            axis < self.rank() && start.checked_add(len).is_some_and(|end| end <= self.shape[axis]),
            "narrow: {len} positions from {start} on along axis {axis} are outside shape {:?}",
            self.shape
        );
        // An empty view keeps the old offset: the new one could lie outside the buffer.
        let offset = self.offset + if len == 0 || self.is_empty() { 0 } else { start * self.strides[axis] };
        Self { shape: self.shape.with(axis, len), offset, ..self.clone() }
    }

    /// A view stretched to `shape` by the rule of [`Shape::broadcast`].
    ///
    /// # Panics
    /// If this shape does not broadcast to `shape`.
    #[track_caller]
    pub fn broadcast_to(&self, shape: &[usize]) -> Tensor<T> {
        let target = Shape::new(shape);
        assert!(
            self.shape.broadcast(&target) == Some(target),
            "broadcast_to: {:?} does not stretch to {target:?}",
            self.shape
        );
        let stride = |axis: usize| {
            let source = (axis + self.rank()).checked_sub(target.len()).filter(|&axis| self.shape[axis] != 1);
            source.map_or(0, |axis| self.strides[axis])
        };
        let strides = Strides::from_fn(target.len(), stride);
        Self { shape: target, strides, ..self.clone() }
    }

    /// Whether this tensor alone owns its buffer.
    pub fn is_unique(&self) -> bool {
        Arc::strong_count(&self.buffer) == 1
    }

    /// Converts every element to another element type.
    pub fn cast<U: Element>(&self) -> Tensor<U> {
        let source = self.contiguous();
        let data = source.data();
        Tensor::from_fn(&self.shape, |i| U::from_f64(data[i].as_f64()))
    }

    /// Whether every element is a finite number.
    pub fn all_finite(&self) -> bool {
        self.contiguous().data().iter().all(|value| value.is_finite())
    }
}

impl<T: Element> fmt::Debug for Tensor<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: usize = 16;
        let values = self.to_vec();
        write!(f, "Tensor<{}>{:?} ", T::NAME, self.shape)?;
        f.debug_list().entries(values.iter().take(SHOWN)).finish()?;
        if values.len() > SHOWN { write!(f, " and {} more", values.len() - SHOWN) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests;
