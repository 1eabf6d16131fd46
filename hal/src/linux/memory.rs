//! The heap, for a program that runs for years and is idle nearly always.

/// Lets what is large go back to the system as soon as it is free, for all threads.
///
/// glibc learns: once a large piece was freed it keeps those that follow, up to 32 MiB, for the next
/// time. The next time may be in a week.
#[cfg(target_env = "gnu")]
#[allow(unsafe_code, reason = "nobody offers this call in a safe form")]
pub(super) fn give_back_at_once() {
    // SAFETY: it changes figures of the allocator, under its own lock. If it does not, memory is
    // kept, which is no fault.
    unsafe {
        nix::libc::mallopt(nix::libc::M_MMAP_THRESHOLD, LARGE_OCTETS);
    }
}

/// Other libraries do so anyway.
#[cfg(not(target_env = "gnu"))]
pub(super) fn give_back_at_once() {}

/// What glibc takes for large at first, too.
#[cfg(target_env = "gnu")]
const LARGE_OCTETS: i32 = 128 * 1024;
