//! The runtime under test, known only by its path.

use std::path::PathBuf;

/// The program the tests exercise.
#[derive(Debug, Clone)]
pub struct Runtime {
    /// Absolute path of the binary.
    pub path: PathBuf,
}

impl Runtime {
    /// The runtime named by the variable `RUNTIME`, or the release build of lightship beside this test's own build.
    pub fn under_test() -> Runtime {
        let path = match std::env::var_os("RUNTIME") {
            Some(path) => PathBuf::from(path),
            None => Self::built(),
        };
        let path = path.canonicalize().unwrap_or_else(|error| {
            panic!("no runtime at {}: {error} (build it: scripts/build, or set RUNTIME)", path.display())
        });
        Runtime { path }
    }

    /// The newest `<target>/<triple>/release/lightship`, found from this test binary in `<target>/<triple>/<profile>/deps/`.
    fn built() -> PathBuf {
        let test = std::env::current_exe().unwrap();
        let triples = std::fs::read_dir(test.ancestors().nth(4).unwrap()).unwrap();
        let built = triples.map(|triple| triple.unwrap().path().join("release/lightship"));
        let newest = built.filter_map(|path| Some((path.metadata().ok()?.modified().ok()?, path))).max();
        newest.map_or_else(|| PathBuf::from("target/release/lightship"), |(_, path)| path)
    }

    /// The file name: `lightship`, `runc`, `crun`.
    pub fn name(&self) -> String {
        self.path.file_name().unwrap().to_string_lossy().into_owned()
    }

    /// Another project's runtime, run to prove the tests: some scenes are known to be beyond it.
    pub fn is_peer(&self) -> bool {
        matches!(self.name().as_str(), "runc" | "crun" | "youki")
    }
}
