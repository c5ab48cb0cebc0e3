//! The engine as a library, on plain bundles and real containers: no command line in between, and many threads at once.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::disallowed_methods,
    unreachable_pub,
    reason = "a test that fails may fail anywhere, and its files are its own"
)]

mod bundle;
mod damage;
mod exec;
mod lifecycle;
mod namespaces;
mod threads;
