//! Denormal numbers, too small for the normal form, and their cost.
//!
//! Below 1.2e-38 an `f32` loses digits step by step until it is zero. CPUs
//! compute with such denormal numbers in microcode, a hundred times slower, and
//! training produces them: when a gradient has become zero, the optimiser's
//! running mean of it decays through them for hundreds of steps. Nothing in a
//! network depends on them, so the computing threads treat them as zero, as the
//! frameworks do on request.

#![allow(unsafe_code)]

/// Makes the calling thread read and write denormal numbers as zero, for as long
/// as it lives. [`parallel::pool`](crate::parallel::pool) does so on each of its
/// threads. On CPUs other than x86-64 and AArch64 it does nothing.
///
/// Only results below the smallest normal number change, to zero. They are then
/// the same on every thread that has called this, and may differ from those of
/// one that has not.
pub fn flush_denormals() {
    #[cfg(target_arch = "x86_64")]
    {
        /// Results, and inputs: "flush to zero" and "denormals are zero" in MXCSR.
        const FLUSH: u32 = 1 << 15 | 1 << 6;
        let mut control: u32 = 0;
        // SAFETY: reads and writes this thread's floating-point control word; a
        // word of memory is the only operand. The changed bits neither trap nor
        // affect the rounding of normal numbers; a constant that the compiler
        // computes may still be denormal, and is then read as zero.
        unsafe {
            std::arch::asm!("stmxcsr [{}]", in(reg) &raw mut control, options(nostack));
            control |= FLUSH;
            std::arch::asm!("ldmxcsr [{}]", in(reg) &raw const control, options(nostack));
        }
    }
    #[cfg(target_arch = "aarch64")]
    {
        /// "Flush to zero" in FPCR.
        const FLUSH: u64 = 1 << 24;
        let mut control: u64;
        // SAFETY: as above; the control register is this thread's own.
        unsafe {
            std::arch::asm!("mrs {}, fpcr", out(reg) control, options(nostack, nomem));
            control |= FLUSH;
            std::arch::asm!("msr fpcr, {}", in(reg) control, options(nostack, nomem));
        }
    }
}

/// Whether the calling thread treats denormal numbers as zero.
pub fn denormals_are_flushed() -> bool {
    std::hint::black_box(f32::MIN_POSITIVE) * std::hint::black_box(0.5) == 0.0
}

#[cfg(test)]
mod tests {
    #[test]
    #[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
    fn a_pool_computes_with_zeros_instead_of_denormals_and_other_threads_do_not() {
        let smallest = std::hint::black_box(f32::MIN_POSITIVE);
        let half = || std::hint::black_box(smallest) * std::hint::black_box(0.5f32);
        let pool = crate::parallel::pool(2).unwrap();
        assert!(pool.install(|| half() == 0.0 && half() + half() == 0.0));
        assert!(half() > 0.0);
    }
}
