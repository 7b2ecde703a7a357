//! Loops over plain Rust functions, compiled for every instruction set.
//!
//! A build for any x86-64 has vectors of 128 bits, so a loop that the compiler vectorises runs at a quarter of what
//! the CPU can do. That is lost in the shadow of memory for an addition, but not for a function of many operations,
//! such as an exponential. Products and sums are not fused, so the results have the same bits with every set.

#![allow(unsafe_code)]

use super::isa::Isa;

/// Work that is worth compiling for every instruction set; its `run` must be `#[inline(always)]`, since only what is
/// inlined takes on the features of the caller.
pub(crate) trait Loop {
    /// Does the work.
    fn run(self);
}

/// Runs `work` as compiled for `isa`.
///
/// # Panics
/// If this CPU lacks it.
pub(crate) fn run(isa: Isa, work: impl Loop) {
    assert!(isa.is_available(), "the CPU lacks {}", isa.name());
    match isa {
        // SAFETY: the CPU has the features, as was just asserted.
        #[cfg(target_arch = "x86_64")]
        Isa::Avx512 => unsafe { avx512(work) },
        // SAFETY: as above.
        #[cfg(target_arch = "x86_64")]
        Isa::Avx2 => unsafe { avx2(work) },
        _ => work.run(),
    }
}

/// # Safety
/// The CPU must have AVX-512F.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
unsafe fn avx512(work: impl Loop) {
    work.run();
}

/// # Safety
/// The CPU must have AVX2 and FMA.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
unsafe fn avx2(work: impl Loop) {
    work.run();
}
