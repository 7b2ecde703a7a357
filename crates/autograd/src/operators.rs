//! Arithmetic on variables as it is written on paper.
//!
//! `a + b`, `a - b`, `a * b` and `a / b` take variables, references to them,
//! tensors (which count as constants) and numbers, on either side. A variable
//! given by value is dropped by the operation, which may then overwrite its
//! memory; one given by reference is kept. All forms record the operations of
//! [`ops`](crate::ops); numbers record [`Affine`](crate::ops::Affine) where they
//! can.

use std::ops::{Add, Div, Mul, Neg, Sub};

use cerberus_tensor::{Element, Tensor};

use crate::Var;

impl<T: Element> From<Tensor<T>> for Var<T> {
    /// A constant.
    fn from(value: Tensor<T>) -> Self {
        Self::constant(value)
    }
}

impl<T: Element> From<&Tensor<T>> for Var<T> {
    /// A constant that shares the tensor's memory.
    fn from(value: &Tensor<T>) -> Self {
        Self::constant(value.clone())
    }
}

impl<T: Element> From<&Var<T>> for Var<T> {
    /// The same variable.
    fn from(variable: &Var<T>) -> Self {
        variable.clone()
    }
}

/// One operator between everything that can become a variable.
macro_rules! operator {
    ($trait:ident, $method:ident, $($left:ty, $right:ty);* $(;)?) => {
        $(impl<T: Element> $trait<$right> for $left {
            type Output = Var<T>;

            #[track_caller]
            fn $method(self, other: $right) -> Var<T> {
                $trait::$method(Var::from(self), Var::from(other))
            }
        })*
    };
}

/// One operator with a number on its right and one with a number on its left.
macro_rules! number {
    ($trait:ident, $method:ident, |$x:ident, $number:ident| $right:expr, $left:expr) => {
        number!(@ $trait, $method, Var<T>, |$x, $number| $right, $left);
        number!(@ $trait, $method, &Var<T>, |$x, $number| $right, $left);
    };
    (@ $trait:ident, $method:ident, $var:ty, |$x:ident, $number:ident| $right:expr, $left:expr) => {
        impl<T: Element> $trait<f64> for $var {
            type Output = Var<T>;

            #[track_caller]
            fn $method(self, $number: f64) -> Var<T> {
                let $x = Var::from(self);
                $right
            }
        }

        impl<T: Element> $trait<$var> for f64 {
            type Output = Var<T>;

            #[track_caller]
            fn $method(self, other: $var) -> Var<T> {
                let ($x, $number) = (Var::from(other), self);
                $left
            }
        }
    };
}

macro_rules! operators {
    ($($trait:ident, $method:ident, |$x:ident, $number:ident| $right:expr, $left:expr;)*) => {
        $(
            operator!($trait, $method,
                Var<T>, &Var<T>; &Var<T>, Var<T>; &Var<T>, &Var<T>;
                Var<T>, Tensor<T>; Var<T>, &Tensor<T>; &Var<T>, Tensor<T>; &Var<T>, &Tensor<T>;
                Tensor<T>, Var<T>; Tensor<T>, &Var<T>; &Tensor<T>, Var<T>; &Tensor<T>, &Var<T>;
            );
            number!($trait, $method, |$x, $number| $right, $left);
        )*
    };
}

operators! {
    Add, add, |x, c| x.affine(1.0, c), x.affine(1.0, c);
    Sub, sub, |x, c| x.affine(1.0, -c), x.affine(-1.0, c);
    Mul, mul, |x, c| x.affine(c, 0.0), x.affine(c, 0.0);
    Div, div, |x, c| x / Tensor::scalar(T::from_f64(c)), Tensor::scalar(T::from_f64(c)) / x;
}

impl<T: Element> Neg for &Var<T> {
    type Output = Var<T>;

    fn neg(self) -> Var<T> {
        -self.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Tape, grad};

    /// Value and gradient of `f` at 2.
    fn at_two(f: impl Fn(&Var<f64>) -> Var<f64>) -> [f64; 2] {
        let x = Tape::new().leaf(Tensor::scalar(2.0));
        let y = f(&x);
        [y.value().item(), grad(&[&y], &[&x])[0].item()]
    }

    #[test]
    fn numbers_tensors_and_references_stand_on_either_side_of_every_operator() {
        let three = Tensor::scalar(3.0);
        assert_eq!(at_two(|x| x + 3.0), [5.0, 1.0]);
        assert_eq!(at_two(|x| 3.0 + x), [5.0, 1.0]);
        assert_eq!(at_two(|x| x - 3.0), [-1.0, 1.0]);
        assert_eq!(at_two(|x| 3.0 - x), [1.0, -1.0]);
        assert_eq!(at_two(|x| x * 3.0), [6.0, 3.0]);
        assert_eq!(at_two(|x| 3.0 * x.clone()), [6.0, 3.0]);
        assert_eq!(at_two(|x| x / 4.0), [0.5, 0.25]);
        assert_eq!(at_two(|x| 3.0 / x), [1.5, -0.75]);
        assert_eq!(at_two(|x| x + &three), [5.0, 1.0]);
        assert_eq!(at_two(|x| &three - x), [1.0, -1.0]);
        assert_eq!(at_two(|x| three.clone() * x.clone()), [6.0, 3.0]);
        assert_eq!(at_two(|x| x.clone() / three.clone()), [2.0 / 3.0, 1.0 / 3.0]);
        assert_eq!(at_two(|x| x * x), [4.0, 4.0]);
        assert_eq!(at_two(|x| -x - x.clone()), [-4.0, -2.0]);
    }
}
