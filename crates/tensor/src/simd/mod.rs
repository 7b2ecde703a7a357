//! Vectors of numbers, one type per instruction set, behind one trait.
//!
//! A hot kernel is written once, generic over [`Lanes`], as an
//! `#[inline(always)]` body. [`per_isa!`] wraps it in one function per
//! instruction set; the inlined body takes on that function's
//! `#[target_feature]`. Tables of function pointers then pick the set at run
//! time (see `kernels.rs`).

#![allow(unsafe_code)]

pub mod denormals;
pub mod isa;
pub(crate) mod loops;
pub(crate) mod pages;

#[cfg(target_arch = "x86_64")]
use std::arch::x86_64::*;

use crate::Element;
use crate::array::scalar::{CEILING, Rectifier};

/// The widest vector of any instruction set, in elements.
pub(crate) const MOST_LANES: usize = 16;

/// A vector register of `LEN` numbers.
///
/// # Safety
/// `load` and `store` touch `LEN` consecutive elements; every method needs the
/// CPU features of its type and is only called inside wrappers that enable them.
pub(crate) trait Lanes: Copy {
    type Scalar: Element;
    const LEN: usize;
    unsafe fn splat(value: Self::Scalar) -> Self;
    unsafe fn load(from: *const Self::Scalar) -> Self;
    unsafe fn store(self, to: *mut Self::Scalar);
    /// `self * b + c`.
    unsafe fn mul_add(self, b: Self, c: Self) -> Self;
    unsafe fn add(self, b: Self) -> Self;
    unsafe fn sub(self, b: Self) -> Self;
    unsafe fn mul(self, b: Self) -> Self;
    /// Zero where negative; NaN stays.
    unsafe fn relu(self) -> Self;
    /// The smaller of each element and `most`; NaN stays.
    unsafe fn at_most(self, most: Self) -> Self;
    /// Prefetches the cache line at `place`; any address is allowed.
    unsafe fn prefetch(place: *const Self::Scalar);
    /// The same, into the second-level cache.
    unsafe fn prefetch_far(place: *const Self::Scalar);
    /// The same as `prefetch` for a line that will be written.
    unsafe fn prefetch_to_write(place: *mut Self::Scalar);

    /// Loads `count <= LEN` elements and zeros after them.
    ///
    /// # Safety
    /// `count` elements must be readable.
    #[inline(always)]
    unsafe fn load_part(from: *const Self::Scalar, count: usize) -> Self {
        let mut lanes = [Self::Scalar::ZERO; MOST_LANES];
        // SAFETY: the caller's promise; `lanes` holds the widest vector.
        unsafe {
            std::ptr::copy_nonoverlapping(from, lanes.as_mut_ptr(), count);
            Self::load(lanes.as_ptr())
        }
    }

    /// Stores the first `count <= LEN` elements.
    ///
    /// # Safety
    /// `count` elements must be writable.
    #[inline(always)]
    unsafe fn store_part(self, to: *mut Self::Scalar, count: usize) {
        let mut lanes = [Self::Scalar::ZERO; MOST_LANES];
        // SAFETY: the caller's promise; `lanes` holds the widest vector.
        unsafe {
            self.store(lanes.as_mut_ptr());
            std::ptr::copy_nonoverlapping(lanes.as_ptr(), to, count);
        }
    }
}

macro_rules! vector {
    ($vector:ident, $scalar:ident, $len:literal, $splat:ident, $load:ident, $store:ident, $fma:ident,
     $add:ident, $sub:ident, $mul:ident, $max:ident, $min:ident) => {
        #[cfg(target_arch = "x86_64")]
        impl Lanes for $vector {
            type Scalar = $scalar;
            const LEN: usize = $len;
            #[inline(always)]
            unsafe fn splat(value: $scalar) -> Self {
                // SAFETY: the trait's contract: the CPU has this type's features.
                unsafe { $splat(value) }
            }
            #[inline(always)]
            unsafe fn load(from: *const $scalar) -> Self {
                // SAFETY: as above, and `LEN` elements are readable.
                unsafe { $load(from) }
            }
            #[inline(always)]
            unsafe fn store(self, to: *mut $scalar) {
                // SAFETY: as above, and `LEN` elements are writable.
                unsafe { $store(to, self) }
            }
            #[inline(always)]
            unsafe fn mul_add(self, b: Self, c: Self) -> Self {
                // SAFETY: as for `splat`.
                unsafe { $fma(self, b, c) }
            }
            #[inline(always)]
            unsafe fn add(self, b: Self) -> Self {
                // SAFETY: as for `splat`.
                unsafe { $add(self, b) }
            }
            #[inline(always)]
            unsafe fn sub(self, b: Self) -> Self {
                // SAFETY: as for `splat`.
                unsafe { $sub(self, b) }
            }
            #[inline(always)]
            unsafe fn mul(self, b: Self) -> Self {
                // SAFETY: as for `splat`.
                unsafe { $mul(self, b) }
            }
            #[inline(always)]
            unsafe fn relu(self) -> Self {
                // SAFETY: as for `splat`. The instruction returns its second
                // operand when one is NaN.
                unsafe { $max($splat(0.0), self) }
            }
            #[inline(always)]
            unsafe fn at_most(self, most: Self) -> Self {
                // SAFETY: as for `relu`.
                unsafe { $min(most, self) }
            }
            #[inline(always)]
            unsafe fn prefetch(place: *const $scalar) {
                // SAFETY: a prefetch reads nothing and never faults.
                unsafe { _mm_prefetch::<_MM_HINT_T0>(place.cast()) }
            }
            #[inline(always)]
            unsafe fn prefetch_far(place: *const $scalar) {
                // SAFETY: as for `prefetch`.
                unsafe { _mm_prefetch::<_MM_HINT_T1>(place.cast()) }
            }
            #[inline(always)]
            unsafe fn prefetch_to_write(place: *mut $scalar) {
                // SAFETY: as for `prefetch`; a CPU without the instruction ignores it.
                unsafe { _mm_prefetch::<_MM_HINT_ET0>(place.cast_const().cast()) }
            }
        }
    };
}

vector!(
    __m512,
    f32,
    16,
    _mm512_set1_ps,
    _mm512_loadu_ps,
    _mm512_storeu_ps,
    _mm512_fmadd_ps,
    _mm512_add_ps,
    _mm512_sub_ps,
    _mm512_mul_ps,
    _mm512_max_ps,
    _mm512_min_ps
);
vector!(
    __m512d,
    f64,
    8,
    _mm512_set1_pd,
    _mm512_loadu_pd,
    _mm512_storeu_pd,
    _mm512_fmadd_pd,
    _mm512_add_pd,
    _mm512_sub_pd,
    _mm512_mul_pd,
    _mm512_max_pd,
    _mm512_min_pd
);
vector!(
    __m256,
    f32,
    8,
    _mm256_set1_ps,
    _mm256_loadu_ps,
    _mm256_storeu_ps,
    _mm256_fmadd_ps,
    _mm256_add_ps,
    _mm256_sub_ps,
    _mm256_mul_ps,
    _mm256_max_ps,
    _mm256_min_ps
);
vector!(
    __m256d,
    f64,
    4,
    _mm256_set1_pd,
    _mm256_loadu_pd,
    _mm256_storeu_pd,
    _mm256_fmadd_pd,
    _mm256_add_pd,
    _mm256_sub_pd,
    _mm256_mul_pd,
    _mm256_max_pd,
    _mm256_min_pd
);

/// Lanes for any CPU, as an array the compiler may vectorise.
#[derive(Clone, Copy)]
pub(crate) struct Portable<T>([T; 4]);

impl<T: Element> Portable<T> {
    #[inline(always)]
    fn zip(self, b: Self, f: impl Fn(T, T) -> T) -> Self {
        let mut out = self;
        for (out, b) in out.0.iter_mut().zip(b.0) {
            *out = f(*out, b);
        }
        out
    }
}

impl<T: Element> Lanes for Portable<T> {
    type Scalar = T;
    const LEN: usize = 4;
    #[inline(always)]
    unsafe fn splat(value: T) -> Self {
        Self([value; 4])
    }
    #[inline(always)]
    unsafe fn load(from: *const T) -> Self {
        // SAFETY: the caller promises `LEN` readable elements; arrays have no
        // stricter alignment than their elements.
        Self(unsafe { *from.cast() })
    }
    #[inline(always)]
    unsafe fn store(self, to: *mut T) {
        // SAFETY: as for `load`, writable.
        unsafe { *to.cast() = self.0 }
    }
    #[inline(always)]
    unsafe fn mul_add(self, b: Self, c: Self) -> Self {
        // Where the CPU has no fused instruction, `mul_add` would call a library.
        let fused = cfg!(any(target_feature = "fma", target_arch = "aarch64"));
        let mut out = c;
        for (out, (a, b)) in out.0.iter_mut().zip(self.0.into_iter().zip(b.0)) {
            *out = if fused { a.mul_add(b, *out) } else { a * b + *out };
        }
        out
    }
    #[inline(always)]
    unsafe fn add(self, b: Self) -> Self {
        self.zip(b, |a, b| a + b)
    }
    #[inline(always)]
    unsafe fn sub(self, b: Self) -> Self {
        self.zip(b, |a, b| a - b)
    }
    #[inline(always)]
    unsafe fn mul(self, b: Self) -> Self {
        self.zip(b, |a, b| a * b)
    }
    #[inline(always)]
    unsafe fn relu(self) -> Self {
        Self(self.0.map(crate::relu))
    }
    #[inline(always)]
    unsafe fn at_most(self, most: Self) -> Self {
        self.zip(most, |value, most| if value > most { most } else { value })
    }
    #[inline(always)]
    unsafe fn prefetch(_place: *const T) {}
    #[inline(always)]
    unsafe fn prefetch_far(_place: *const T) {}
    #[inline(always)]
    unsafe fn prefetch_to_write(_place: *mut T) {}
}

/// The activation of every element of some vectors. It is chosen once for all of them, so that they stay in registers.
///
/// # Safety
/// As for the methods of [`Lanes`].
#[inline(always)]
pub(crate) unsafe fn rectify<V: Lanes, const W: usize, const N: usize>(
    sums: &mut [[V; W]; N],
    activation: Rectifier,
) {
    // SAFETY: the caller's promise.
    unsafe {
        match activation {
            Rectifier::None => {}
            Rectifier::Relu => {
                for sums in sums {
                    for sum in sums {
                        *sum = sum.relu();
                    }
                }
            }
            Rectifier::Relu6 => {
                let most = V::splat(V::Scalar::from_f64(CEILING));
                for sums in sums {
                    for sum in sums {
                        *sum = sum.relu().at_most(most);
                    }
                }
            }
        }
    }
}

/// Declares `module` with one function per instruction set around the generic
/// `body`, whose first type parameter is the vector.
///
/// `per_isa!(name, body, <const parameters>, (argument: type, ..))`; the
/// argument types may use the scalar type `S`.
macro_rules! per_isa {
    ($module:ident, $body:ident, <$($constant:ident: $kind:ty),*>, ($($argument:ident: $type:ty),* $(,)?)) => {
        pub(crate) mod $module {
            #[allow(unused_imports)] // Which of these a signature needs differs.
            use super::*;
            use crate::simd::Lanes;

            /// # Safety
            /// The CPU must have AVX-512F, and the body's own promise hold.
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx512f")]
            pub(crate) unsafe fn avx512<V: Lanes $(, const $constant: $kind)*>($($argument: $type),*) {
                // SAFETY: the wrapper enables what the body needs; the rest is the caller's promise.
                unsafe { $body::<V $(, $constant)*>($($argument),*) }
            }

            /// # Safety
            /// The CPU must have AVX2 and FMA, and the body's own promise hold.
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2,fma")]
            pub(crate) unsafe fn avx2<V: Lanes $(, const $constant: $kind)*>($($argument: $type),*) {
                // SAFETY: the wrapper enables what the body needs; the rest is the caller's promise.
                unsafe { $body::<V $(, $constant)*>($($argument),*) }
            }

            /// # Safety
            /// The body's own promise must hold.
            pub(crate) unsafe fn portable<V: Lanes $(, const $constant: $kind)*>($($argument: $type),*) {
                // SAFETY: the caller's promise is the body's.
                unsafe { $body::<V $(, $constant)*>($($argument),*) }
            }
        }
    };
}
pub(crate) use per_isa;
