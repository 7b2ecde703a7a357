//! The table of hot kernels of one instruction set, and the choice between them.

use super::depthwise::{DepthwiseTable, depthwise_table};
use super::tile::{TileSet, tile_kernel, tile_table};
use super::winograd::kernel::{WinogradTable, winograd_table};
use crate::simd::isa::Isa;
use crate::simd::{Lanes, Portable};

#[cfg(target_arch = "x86_64")]
use std::arch::x86_64::{__m256, __m512};
#[cfg(all(target_arch = "x86_64", feature = "f64-simd"))]
use std::arch::x86_64::{__m256d, __m512d};

/// The hot kernels of one instruction set for one element type.
pub struct Kernels<T: 'static> {
    /// The instruction set they are compiled for.
    pub isa: Isa,
    /// Elements per vector.
    pub(crate) lanes: usize,
    pub(crate) tiles: TileSet<T>,
    pub(crate) winograd: WinogradTable<T>,
    pub(crate) depthwise: DepthwiseTable<T>,
}

macro_rules! table {
    ($isa:ident, $set:expr, $vector:ty, $rows:tt) => {
        Kernels {
            isa: $set,
            lanes: <$vector>::LEN,
            tiles: TileSet { lanes: <$vector>::LEN, rows: $rows, table: tile_table!($isa, $vector, $rows) },
            winograd: winograd_table!($isa, $vector),
            depthwise: depthwise_table!($isa, $vector),
        }
    };
}

macro_rules! element {
    ($scalar:ident, $wide:ty, $narrow:ty, $simd:meta) => {
        /// The kernels of `isa`.
        ///
        /// # Panics
        /// If this CPU lacks it: its kernels must never be reached then.
        pub(crate) fn $scalar(isa: Isa) -> Kernels<$scalar> {
            assert!(isa.is_available(), "the CPU lacks {}", isa.name());
            match isa {
                #[cfg(all(target_arch = "x86_64", $simd))]
                Isa::Avx512 => table!(avx512, isa, $wide, 12),
                #[cfg(all(target_arch = "x86_64", $simd))]
                Isa::Avx2 => table!(avx2, isa, $narrow, 6),
                _ => table!(portable, Isa::Portable, Portable<$scalar>, 6),
            }
        }
    };
}

element!(f32, __m512, __m256, all());
// Training runs in `f32`; `f64` is for checks. Its kernels would take a third
// of this crate's build time, so programs get the portable ones.
element!(f64, __m512d, __m256d, feature = "f64-simd");

/// The kernels of every instruction set of this CPU, for tests.
#[cfg(test)]
pub(crate) fn available<T: crate::Element>() -> Vec<Kernels<T>> {
    Isa::ALL.into_iter().filter(|isa| isa.is_available()).map(T::kernels_for).collect()
}
