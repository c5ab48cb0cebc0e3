//! Any bytes as config.json: they are planned or refused, on every kind of host.

#![no_main]

#[path = "../../crates/engine/tests/plan/hosts.rs"]
mod hosts;

libfuzzer_sys::fuzz_target!(|config: &[u8]| {
    if let Err(text) = hosts::plan_on(&hosts::hosts(), config) {
        assert!(text.starts_with("config.json: ") && !text.ends_with('.'), "{text:?}");
    }
});
