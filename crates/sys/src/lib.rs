//! Linux as the runtime needs it, typed, beyond what `rustix` covers. The one library crate with `unsafe`; every block says
//! why it is sound.

pub mod allocator;
pub mod arch;
pub mod bpf;
pub mod companion;
pub mod handle;
pub mod idmap;
pub mod memfd;
pub mod netlink;
pub mod process;
pub mod signal;
pub mod socket;
pub mod spawn;
pub mod stdio;
