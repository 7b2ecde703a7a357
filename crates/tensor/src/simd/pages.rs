//! Huge pages: fewer translations of addresses.
//!
//! Before it can read memory, a CPU has to translate the address, and remembers a few thousand pages of 4 KiB: 8 MB or so.
//! Kernels that stream over the values of a training step touch hundreds of megabytes. Linux can use pages of 2 MiB; most
//! systems do so only for memory that asks for it.

/// Asks the system to keep these numbers, which nothing has touched yet, in huge pages. It may refuse; that changes
/// speed and nothing else.
#[cfg(target_os = "linux")]
pub(crate) fn prefer_huge<T: Copy>(values: &mut [T]) {
    const PAGE: usize = 2 << 20;
    let range = values.as_mut_ptr_range();
    let (start, end) = (range.start as usize, range.end as usize);
    let (start, end) = (start.next_multiple_of(PAGE), end / PAGE * PAGE);
    if start < end {
        // SAFETY: whole pages inside `values`, which is borrowed exclusively. The advice changes neither the numbers in
        // them nor who may use them.
        unsafe { libc::madvise(start as *mut libc::c_void, end - start, libc::MADV_HUGEPAGE) };
    }
}

/// Other systems choose the size of pages themselves.
#[cfg(not(target_os = "linux"))]
pub(crate) fn prefer_huge<T: Copy>(_: &mut [T]) {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_what_they_were() {
        for len in [0, 1, 5_000, 1 << 20, 3_000_001] {
            let mut values: Vec<f32> = (0..len).map(|i| i as f32).collect();
            prefer_huge(&mut values[len / 3..]);
            assert!(values.iter().enumerate().all(|(i, &value)| value == i as f32), "{len} numbers");
        }
    }
}
