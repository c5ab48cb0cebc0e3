//! Which of the standard descriptors the caller left closed.
//!
//! std opens /dev/null in their place before `main`, so that no file of ours becomes somebody's stdio. After that a standard
//! output that was closed looks like one that is thrown away, and what was not printed like a success.

use std::sync::atomic::{AtomicU8, Ordering};

/// Bit n for descriptor n.
static CLOSED: AtomicU8 = AtomicU8::new(0);

/// Called by the C library before `main`, and so before std's start.
#[used]
#[unsafe(link_section = ".init_array")]
static LOOK: extern "C" fn() = look;

extern "C" fn look() {
    let mut polled = [0, 1, 2].map(|fd| libc::pollfd { fd, events: 0, revents: 0 });
    // SAFETY: three struct pollfd; a descriptor that is not open is what the call is to tell.
    unsafe { libc::poll(polled.as_mut_ptr(), 3, 0) };
    for closed in polled.iter().filter(|polled| polled.revents & libc::POLLNVAL != 0) {
        CLOSED.fetch_or(1 << closed.fd, Ordering::Relaxed);
    }
}

/// Whether standard output was closed when this process started.
pub fn output_was_closed() -> bool {
    CLOSED.load(Ordering::Relaxed) & (1 << 1) != 0
}
