//! Element-wise functions of one tensor, or of two with broadcasting.
//!
//! Both take their tensors by value and write into the first one whose buffer
//! is not shared, so a chain of operations on a fresh value uses one buffer.
//!
//! Hundreds of functions are applied by this code, and each needs its own
//! compiled loop. Only one or two loops over a block in place are therefore
//! compiled for each; everything around them (which buffer is written,
//! broadcasting, threads) is compiled once. If the result needs a new buffer,
//! each block is first copied there: the copy stays in the first-level cache.

use std::ops::{Add, Div, Mul, Neg, Sub};

use crate::parallel::{for_each_piece, for_each_rows};
use crate::simd::loops::{self, Loop};
use crate::{Element, Tensor};

/// Elements that are copied and then changed at a time: 4 KiB of `f32`.
const BLOCK: usize = 1024;

/// A function of two numbers as loops over two blocks of equal length.
trait Combine<T>: Sync {
    /// `a[i] = f(a[i], b[i])`.
    fn to_first(&self, a: &mut [T], b: &[T]);
    /// `b[i] = f(a[i], b[i])`.
    fn to_second(&self, a: &[T], b: &mut [T]);
}

impl<T: Copy, F: Fn(T, T) -> T + Sync> Combine<T> for F {
    fn to_first(&self, a: &mut [T], b: &[T]) {
        a.iter_mut().zip(b).for_each(|(a, &b)| *a = self(*a, b));
    }

    fn to_second(&self, a: &[T], b: &mut [T]) {
        b.iter_mut().zip(a).for_each(|(b, &a)| *b = self(a, *b));
    }
}

/// A function of many operations, whose loops are compiled for every instruction set.
struct Heavy<F>(F);

impl<T: Element, F: Fn(T, T) -> T + Sync> Combine<T> for Heavy<F> {
    fn to_first(&self, a: &mut [T], b: &[T]) {
        loops::run(T::kernels().isa, Zip(a, b, |a, b| self.0(a, b)));
    }

    fn to_second(&self, a: &[T], b: &mut [T]) {
        loops::run(T::kernels().isa, Zip(b, a, |b, a| self.0(a, b)));
    }
}

/// `x = f(x)` in a block.
struct Map<'a, T, F>(&'a mut [T], F);

impl<T: Element, F: Fn(T) -> T> Loop for Map<'_, T, F> {
    #[inline(always)]
    fn run(self) {
        let Self(block, f) = self;
        block.iter_mut().for_each(|x| *x = f(*x));
    }
}

/// `a = f(a, b)` in two blocks.
struct Zip<'a, T, F>(&'a mut [T], &'a [T], F);

impl<T: Element, F: Fn(T, T) -> T> Loop for Zip<'_, T, F> {
    #[inline(always)]
    fn run(self) {
        let Self(a, b, f) = self;
        a.iter_mut().zip(b).for_each(|(a, &b)| *a = f(*a, b));
    }
}

/// `y[i] = f(a[i], b[i])` for every element of `y`.
fn combine_into<T: Copy>(y: &mut [T], a: &[T], b: &[T], f: &dyn Combine<T>) {
    for ((y, a), b) in y.chunks_mut(BLOCK).zip(a.chunks(BLOCK)).zip(b.chunks(BLOCK)) {
        y.copy_from_slice(&a[..y.len()]);
        f.to_first(y, &b[..y.len()]);
    }
}

impl<T: Element> Tensor<T> {
    /// `y[i] = f(x[i])`, in place when `self` is the only owner.
    pub fn map(self, f: impl Fn(T) -> T + Sync) -> Tensor<T> {
        self.map_blocks(&|block| block.iter_mut().for_each(|x| *x = f(*x)))
    }

    /// [`map`](Self::map) for a function of many operations without branches, such as a sigmoid: its loop is compiled
    /// for every instruction set, and takes their room in the program. The bits are the same with each of them.
    pub fn map_heavy(self, f: impl Fn(T) -> T + Sync) -> Tensor<T> {
        self.map_blocks(&|block| loops::run(T::kernels().isa, Map(block, &f)))
    }

    /// [`map`](Self::map) by a function that changes a block of numbers in place.
    fn map_blocks(mut self, f: &(dyn Fn(&mut [T]) + Sync)) -> Tensor<T> {
        if let Some(data) = self.unique_data_mut() {
            for_each_piece(data, |_, piece| f(piece));
            return self;
        }
        let source = self.contiguous();
        let x = source.data();
        Tensor::filled_by(self.shape(), |y| {
            for_each_piece(y, |start, piece| {
                for (y, x) in piece.chunks_mut(BLOCK).zip(x[start..].chunks(BLOCK)) {
                    y.copy_from_slice(&x[..y.len()]);
                    f(y);
                }
            });
        })
    }

    /// `y[i] = f(a[i], b[i])` with both stretched to a common shape, in place
    /// when `self` or `other` is the only owner of a buffer of that shape.
    ///
    /// # Panics
    /// If the shapes do not broadcast; the message names both.
    #[track_caller]
    pub fn zip(self, other: Tensor<T>, f: impl Fn(T, T) -> T + Sync) -> Tensor<T> {
        self.zip_blocks(other, &f)
    }

    /// [`zip`](Self::zip) for a function of many operations; see [`map_heavy`](Self::map_heavy).
    ///
    /// # Panics
    /// If the shapes do not broadcast; the message names both.
    #[track_caller]
    pub fn zip_heavy(self, other: Tensor<T>, f: impl Fn(T, T) -> T + Sync) -> Tensor<T> {
        self.zip_blocks(other, &Heavy(f))
    }

    /// [`zip`](Self::zip) by a function that combines blocks.
    #[track_caller]
    fn zip_blocks(mut self, mut other: Tensor<T>, f: &dyn Combine<T>) -> Tensor<T> {
        let Some(shape) = self.dims().broadcast(&other.dims()) else {
            panic!(
                "shapes {:?} and {:?} do not broadcast: aligned from the last dimension, extents must be equal or 1",
                self.shape(),
                other.shape()
            );
        };
        if self.dims() != shape {
            self = self.broadcast_to(&shape).contiguous();
        } else if other.len() < self.len()
            && let Some(row) = repeated_row(&other, &shape)
        {
            return self.zip_row(&row, f);
        }
        other = other.broadcast_to(&shape).contiguous();
        if let Some(a) = self.unique_data_mut() {
            let b = other.data();
            for_each_piece(a, |start, piece| f.to_first(piece, &b[start..][..piece.len()]));
            return self;
        }
        let source = self.contiguous();
        let a = source.data();
        if let Some(b) = other.unique_data_mut() {
            for_each_piece(b, |start, piece| {
                f.to_second(&a[start..][..piece.len()], piece);
            });
            return other;
        }
        let b = other.data();
        Tensor::filled_by(&shape, |y| {
            for_each_piece(y, |start, piece| combine_into(piece, &a[start..], &b[start..], f));
        })
    }

    /// Combines every row of `self` with the same `row`, without materialising it.
    fn zip_row(mut self, row: &[T], f: &dyn Combine<T>) -> Tensor<T> {
        // Several short rows are combined at a time, if there are several.
        let rows = row.repeat((BLOCK / row.len()).clamp(1, self.len() / row.len()));
        if let Some(data) = self.unique_data_mut() {
            for_each_rows(data, row.len(), |_, piece| {
                piece.chunks_mut(rows.len()).for_each(|a| f.to_first(a, &rows[..a.len()]));
            });
            return self;
        }
        let source = self.contiguous();
        let a = source.data();
        Tensor::filled_by(self.shape(), |y| {
            for_each_rows(y, row.len(), |first, piece| {
                let sources = a[first * row.len()..].chunks(rows.len());
                piece.chunks_mut(rows.len()).zip(sources).for_each(|(y, a)| combine_into(y, a, &rows, f));
            });
        })
    }

    /// `alpha x`.
    pub fn scale(self, alpha: T) -> Tensor<T> {
        self.map(|x| alpha * x)
    }

    /// `self += alpha other`, for equal shapes, copying first if `self` is shared.
    ///
    /// # Panics
    /// If the shapes differ.
    #[track_caller]
    pub fn add_scaled(&mut self, alpha: T, other: &Tensor<T>) {
        assert_eq!(self.shape(), other.shape(), "add_scaled: shapes must be equal");
        let other = other.contiguous();
        let b = other.data();
        for_each_piece(self.data_mut(), |start, piece| {
            piece.iter_mut().zip(&b[start..]).for_each(|(a, &b)| *a += alpha * b);
        });
    }
}

/// The row that `other` repeats when it is broadcast to `shape`, as a bias does
/// over a batch of activations. `None` if it does not repeat one row.
fn repeated_row<T: Element>(other: &Tensor<T>, shape: &[usize]) -> Option<Vec<T>> {
    let ones = other.shape().iter().take_while(|&&extent| extent == 1).count();
    let row = &other.shape()[ones..];
    let trailing = shape.len().checked_sub(row.len()).map(|start| &shape[start..]);
    (trailing == Some(row) && !other.is_empty()).then(|| other.to_vec())
}

macro_rules! operator {
    ($trait:ident, $method:ident, $op:tt) => {
        impl<T: Element> $trait for Tensor<T> {
            type Output = Tensor<T>;
            #[track_caller]
            fn $method(self, other: Tensor<T>) -> Tensor<T> {
                self.zip(other, |a, b| a $op b)
            }
        }
        impl<T: Element> $trait<&Tensor<T>> for Tensor<T> {
            type Output = Tensor<T>;
            #[track_caller]
            fn $method(self, other: &Tensor<T>) -> Tensor<T> {
                self.zip(other.clone(), |a, b| a $op b)
            }
        }
        impl<T: Element> $trait<&Tensor<T>> for &Tensor<T> {
            type Output = Tensor<T>;
            #[track_caller]
            fn $method(self, other: &Tensor<T>) -> Tensor<T> {
                self.clone().zip(other.clone(), |a, b| a $op b)
            }
        }
    };
}

operator!(Add, add, +);
operator!(Sub, sub, -);
operator!(Mul, mul, *);
operator!(Div, div, /);

impl<T: Element> Neg for Tensor<T> {
    type Output = Tensor<T>;
    fn neg(self) -> Tensor<T> {
        self.map(|x| -x)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn counting(shape: &[usize]) -> Tensor<f64> {
        Tensor::from_fn(shape, |i| i as f64 + 1.0)
    }

    #[test]
    fn a_value_that_is_not_shared_is_overwritten_in_place() {
        let x = counting(&[100, 100]);
        let address = x.data().as_ptr();
        let y = (x.map(|x| x + 1.0) * counting(&[100])).map(|x| -x);
        assert_eq!(y.data().as_ptr(), address);
        let z = &y + &y;
        assert_ne!(z.data().as_ptr(), address);
    }

    #[test]
    #[should_panic(expected = "shapes [2, 3] and [2] do not broadcast")]
    fn shapes_that_clash_are_both_named() {
        let _ = counting(&[2, 3]) + counting(&[2]);
    }

    proptest! {
        #[test]
        fn zip_equals_the_definition_for_any_broadcast(
            dims in prop::collection::vec(1usize..4, 0..4),
            mask_a in 0u8..16, mask_b in 0u8..16, cut_a in 0usize..4, cut_b in 0usize..4,
        ) {
            let thin = |mask: u8, cut: usize| -> Vec<usize> {
                let full: Vec<usize> = dims.iter().enumerate()
                    .map(|(i, &d)| if mask >> i & 1 == 1 { 1 } else { d }).collect();
                full[cut.min(full.len())..].to_vec()
            };
            let (a, b) = (counting(&thin(mask_a, cut_a)), counting(&thin(mask_b, cut_b)));
            let y = &a - &b;
            let (wide_a, wide_b) = (a.broadcast_to(y.shape()).to_vec(), b.broadcast_to(y.shape()).to_vec());
            let expected: Vec<f64> = wide_a.iter().zip(&wide_b).map(|(a, b)| a - b).collect();
            prop_assert_eq!(y.to_vec(), expected.clone());
            prop_assert_eq!((a.map(|x| x) - b.map(|x| x)).to_vec(), expected);
        }
    }

    #[test]
    fn a_scaled_tensor_is_added_in_every_piece_and_not_to_other_handles() {
        let wave = |phase: f64| Tensor::from_fn(&[3, 20_011], |i| (i as f64 * 0.3 + phase).sin());
        let (x, other) = (wave(0.0), Tensor::from_fn(&[20_011, 3], |i| i as f64).permute(&[1, 0]));
        let mut sum = x.clone();
        sum.add_scaled(-0.5, &other);
        assert_eq!(sum.to_vec(), (&x - &other.scale(0.5)).to_vec());
        assert_eq!(x.to_vec(), wave(0.0).to_vec());
    }
}
