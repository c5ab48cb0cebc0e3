//! The nouns of the black-box tests: a runtime, a Docker daemon of our own, containerd, Kubernetes' interface to it, Podman, BuildKit, images, containers, bundles.
//!
//! The tests know the runtime only as a program with a command line (`RUNTIME=/path`, default: the release build of
//! lightship), so the same tests run against runc and crun, which proves that they ask for what callers expect.
//!
//! Everything a run makes lies in one folder, one cgroup and under one interface prefix ([`ground::Ground`]); a guard process removes
//! it all when the run ends, in whatever way it ends.
#![allow(clippy::disallowed_methods)] // the lints in clippy.toml guard the product; tests start programs and write files

pub mod buildkit;
pub mod bundle;
pub mod cgroup;
pub mod command;
pub mod console;
pub mod container;
pub mod containerd;
pub mod counter;
pub mod cri;
pub mod daemon;
pub mod docker;
pub mod ground;
pub mod host;
pub mod http;
pub mod image;
pub mod leftover;
pub mod network;
pub mod podman;
pub mod runtime;
pub mod scene;
pub mod terminal;
pub mod trace;
pub mod wait;
