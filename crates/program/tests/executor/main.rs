//! Init at work: every operation that can fail says which it is, which call it was and why; gates, start and hooks; and what
//! is left of the caller in the program that is executed.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::disallowed_methods,
    unreachable_pub,
    reason = "a test that fails may fail anywhere, and its files are its own"
)]

mod failures;
mod gates;
mod hooks;
mod image;
mod inheritance;
mod init;
mod moments;
mod programs;
