//! The library on bare metal: it builds only without std and without a heap.
//!
//! A static library is linked whole. If anything below brought in `std`, its panic handler would
//! collide with the one here; if anything brought in `alloc`, the allocator would be missing.
//! Either way this package does not build, and the gate is red.

#![no_std]

use core::panic::PanicInfo;

use ringmail::config::Config;
use ringmail::link::Link;

/// Uses the library as firmware would: a link and a configuration, all on the stack.
///
/// Returns how many octets the link would take.
#[unsafe(no_mangle)]
pub extern "C" fn ringmail_on_bare_metal() -> usize {
    let mut link = Link::new();
    let config = Config::new();
    link.feed(b"NOOP\r\n");
    link.put(config.hostname.as_bytes());
    link.room()
}

#[panic_handler]
fn halt(_: &PanicInfo<'_>) -> ! {
    loop {
        core::hint::spin_loop();
    }
}
