//! Memory, for a program that runs for years and is idle nearly always.

use core::ffi::c_void;
use core::hint::black_box;

use nix::libc;
use nix::unistd::{getpid, gettid};

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
        libc::mallopt(libc::M_MMAP_THRESHOLD, LARGE_OCTETS);
    }
}

/// Other libraries do so anyway.
#[cfg(not(target_env = "gnu"))]
pub(super) fn give_back_at_once() {}

/// What glibc takes for large at first, too.
#[cfg(target_env = "gnu")]
const LARGE_OCTETS: i32 = 128 * 1024;

/// Gives back what a start, a call or a visit has left behind, before a long sleep: free pieces of
/// the heap, the part of the stack that was once in use, and our hold on the pages of the program's
/// own file. Those stay in the page cache for as long as nobody needs that memory for more; whoever
/// wakes finds them there, at the cost of some ten page faults.
pub(super) fn give_back() {
    trim_heap();
    if gettid() == getpid() {
        leave_stack();
    }
    leave_program();
}

#[cfg(target_env = "gnu")]
#[allow(unsafe_code, reason = "nobody offers this call in a safe form")]
fn trim_heap() {
    // SAFETY: the allocator gives back pages that hold nothing, under its own lock.
    unsafe {
        libc::malloc_trim(0);
    }
}

#[cfg(not(target_env = "gnu"))]
fn trim_heap() {}

/// The part of the stack that the deepest call so far has used, of the first thread's alone: the
/// stacks of others have neighbours.
fn leave_stack() {
    /// More than the deepest call uses.
    const DEPTH: usize = 512 * 1024;
    /// What the calls from here on use.
    const MARGIN: usize = 16 * 1024;
    let here = black_box(0_u8);
    let here = &raw const here as usize;
    let end = (here - MARGIN) & !(PAGE - 1);
    // What lies below the stack is not mapped, which does not matter.
    leave(end - DEPTH, DEPTH);
}

/// The segments of the program's file that nobody writes to: its code and its constants.
fn leave_program() {
    extern "C" fn each(info: *mut libc::dl_phdr_info, _: usize, _: *mut c_void) -> i32 {
        // SAFETY: the dynamic linker, or the start-up code of a static program, gives a valid pointer
        // that is good for the time of this call, and in it the program headers and their number.
        #[expect(unsafe_code, reason = "nobody offers this call in a safe form")]
        let (base, headers) = unsafe {
            let info = &*info;
            let headers = core::slice::from_raw_parts(info.dlpi_phdr, info.dlpi_phnum.into());
            (info.dlpi_addr, headers)
        };
        for header in headers {
            if header.p_type == libc::PT_LOAD && header.p_flags & libc::PF_W == 0 {
                let start = base + header.p_vaddr;
                let bounds = [start, start + header.p_memsz].map(usize::try_from);
                if let [Ok(start), Ok(end)] = bounds {
                    let start = start & !(PAGE - 1);
                    leave(start, end.next_multiple_of(PAGE) - start);
                }
            }
        }
        // The program is the first; what the libraries have is shared with others.
        1
    }
    // SAFETY: the callback does not unwind, and the data it is given is not looked at.
    #[expect(unsafe_code, reason = "nobody offers this call in a safe form")]
    unsafe {
        libc::dl_iterate_phdr(Some(each), core::ptr::null_mut());
    }
}

/// Lets `octets` from page `start` on go.
fn leave(start: usize, octets: usize) {
    // SAFETY: the callers name two kinds of memory. What is below the stack's end holds nothing. What
    // is mapped from a file, and was never writable, is read from that file again.
    #[expect(unsafe_code, reason = "nobody offers this call in a safe form")]
    unsafe {
        libc::madvise(start as *mut c_void, octets, libc::MADV_DONTNEED);
    }
}

/// Octets of a page. Where they are larger the kernel may refuse, and all stays as it was.
const PAGE: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    /// Deep calls, constants of the program and what lies on the heap, before and after. A test runs
    /// on a thread of its own, whose stack is left alone.
    #[test]
    fn what_is_given_back_comes_again() {
        const WORDS: &str = include_str!("memory.rs");
        let sum = || black_box(WORDS).bytes().map(u64::from).sum::<u64>();
        let before = sum();
        let heap: Vec<Vec<u8>> = (0..100).map(|n| vec![n; 10_000]).collect();
        for _ in 0..3 {
            give_back();
            assert_eq!(sum(), before);
            let whole = |(piece, n): (&Vec<u8>, u8)| piece.iter().all(|octet| *octet == n);
            assert!(heap.iter().zip(0..).all(whole));
        }
    }
}
