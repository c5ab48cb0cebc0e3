//! A scene: one test, as a function over the stage that one `main` has set.

use std::process::ExitCode;
use std::sync::{Arc, OnceLock};

use libtest_mimic::{Arguments, Completion, Trial};

use crate::cgroup;
use crate::ground::Ground;
use crate::runtime::Runtime;

/// One test of a file of scenes.
pub struct Scene<S> {
    name: String,
    play: fn(&S),
    beyond_peers: Option<&'static str>,
    cannot_here: Option<String>,
}

impl<S: Send + Sync + 'static> Scene<S> {
    /// A scene called `name` ("file::function").
    pub fn new(name: &str, play: fn(&S)) -> Self {
        // "docker::host_network::answers" or "bundle::..": the test binary's own name says nothing new.
        let name = name.split_once("::").map_or(name, |(_, rest)| rest);
        Scene { name: name.to_owned(), play, beyond_peers: None, cannot_here: None }
    }

    /// runc or crun do not do this; counted as ignored for them.
    pub fn peer_cannot(mut self, reason: &'static str) -> Self {
        self.beyond_peers = Some(reason);
        self
    }

    /// As [`Scene::peer_cannot`], on a machine where `condition` holds.
    pub fn peer_cannot_if(self, condition: bool, reason: &'static str) -> Self {
        if condition { self.peer_cannot(reason) } else { self }
    }

    /// The scene cannot be played where `condition` holds, by any runtime.
    pub fn skip_if(mut self, condition: bool, reason: &'static str) -> Self {
        if condition {
            self.cannot_here = Some(reason.to_owned());
        }
        self
    }

    /// The scene takes more than some seconds: it is played only with `LONG=1`.
    pub fn long(self) -> Self {
        let long = std::env::var_os("LONG").is_some_and(|value| value == "1");
        self.skip_if(!long, "only with LONG=1")
    }

    /// The scene puts programs on a cgroup, which takes the unified hierarchy.
    pub fn needs_unified(self) -> Self {
        self.skip_if(!cgroup::has_unified(), "no cgroup2 hierarchy is mounted")
    }

    /// The scene sets or reads what only these cgroup controllers have.
    pub fn needs_controllers(mut self, names: &[&str]) -> Self {
        if let Some(name) = names.iter().find(|name| !cgroup::has_controller(name)) {
            self.cannot_here = Some(format!("no cgroup hierarchy has the controller {name}"));
        }
        self
    }

    fn on(self, runtime: &Runtime, stage: &Arc<OnceLock<S>>) -> Trial {
        let skip = match (self.cannot_here, self.beyond_peers) {
            (Some(reason), _) => Some(format!("not on this machine: {reason}")),
            (None, Some(reason)) if runtime.is_peer() => Some(format!("peer cannot: {reason}")),
            _ => None,
        };
        let (play, stage) = (self.play, stage.clone());
        Trial::ignorable_test(self.name, move || match skip {
            Some(reason) => Ok(Completion::ignored_with(reason)),
            None => {
                play(stage.get().ok_or("the stage was not set")?);
                Ok(Completion::Completed)
            }
        })
    }
}

/// Plays the scenes that the command line asks for, as any Rust test program does.
///
/// `set` sets the stage, once, before the first scene; `explain` adds what is known when a scene failed. Everything on
/// the ground is removed afterwards.
pub fn play<S: Send + Sync + 'static>(
    scenes: Vec<Scene<S>>,
    set: impl FnOnce(Arc<Ground>, Runtime) -> S,
    explain: impl FnOnce(&S),
) -> ExitCode {
    Ground::guard_if_asked();
    let arguments = Arguments::from_args();
    let runtime = Runtime::under_test();
    let stage = Arc::new(OnceLock::new());
    let trials = scenes.into_iter().map(|scene| scene.on(&runtime, &stage)).collect();
    if arguments.list {
        return libtest_mimic::run(&arguments, trials).exit_code();
    }
    let ground = Arc::new(Ground::take());
    println!("runtime: {}", runtime.path.display());
    let stage = stage.get_or_init(|| set(ground.clone(), runtime));
    let conclusion = libtest_mimic::run(&arguments, trials);
    if conclusion.has_failed() {
        explain(stage);
    }
    ground.leave();
    conclusion.exit_code()
}

/// The scene made from a function of the calling file, named after both.
#[macro_export]
macro_rules! scene {
    ($function:ident) => {
        $crate::scene::Scene::new(concat!(module_path!(), "::", stringify!($function)), $function)
    };
}
