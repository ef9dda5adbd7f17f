//! The allocator's heaps: memory that was given up and is not given back to the kernel.
//!
//! Each thread's heap has an end, which glibc gives back as soon as twice the largest block is free there. A broker
//! that receives batches of 1 MiB gave back and took 2 MiB again and again, and the kernel clears each page anew.

#![allow(unsafe_code, reason = "mallopt is the C library's")]

/// The free end of a heap that is kept. The broker's `limits::SHARD_BYTES` counts on it.
#[cfg(target_env = "gnu")]
const FREE_END_BYTES_MAX: libc::c_int = 16 << 20;
/// A block as long as this comes from the kernel by itself, and goes back to it.
#[cfg(target_env = "gnu")]
const MAPPED_BYTES_MIN: libc::c_int = 8 << 20;

/// Keeps the free ends of this process's heaps from now on. Other allocators have their own ways.
pub(crate) fn keep_free_ends() {
    #[cfg(target_env = "gnu")]
    for (parameter, bytes) in
        [(libc::M_TRIM_THRESHOLD, FREE_END_BYTES_MAX), (libc::M_MMAP_THRESHOLD, MAPPED_BYTES_MIN)]
    {
        // SAFETY: a call that takes two numbers, and the allocator's own lock.
        let known = unsafe { libc::mallopt(parameter, bytes) };
        assert_eq!(known, 1, "mallopt({parameter}, {bytes})");
    }
}

#[cfg(all(test, target_env = "gnu"))]
mod tests {
    use std::mem::MaybeUninit;

    use super::*;

    /// Pages that the kernel had to bring for this thread.
    fn faults() -> i64 {
        let mut usage = MaybeUninit::<libc::rusage>::uninit();
        // SAFETY: the kernel writes a whole `rusage`, where it has room for one.
        let asked = unsafe { libc::getrusage(libc::RUSAGE_THREAD, usage.as_mut_ptr()) };
        assert_eq!(asked, 0);
        // SAFETY: the call succeeded, so it is written.
        unsafe { usage.assume_init() }.ru_minflt
    }

    #[test]
    fn memory_that_comes_and_goes_is_brought_once() {
        keep_free_ends();
        // A thread has a heap of its own, as an executor has.
        let worked = std::thread::spawn(|| {
            let receive = || drop([(); 6].map(|()| std::hint::black_box(vec![1_u8; 1 << 20])));
            receive();
            let before = faults();
            (0..20).for_each(|_| receive());
            faults() - before
        });
        let pages_in_all = 20 * 6 * (1 << 20) / 4096;
        assert!(worked.join().unwrap() < pages_in_all / 100);
    }
}
