//! Paths inside the container's root: cleaned, relative to the root, unable to leave it by `..`.

use std::path::{Component, Path, PathBuf};

/// The path below the root that a path of the configuration means; `..` stops at the root, and the root itself is empty.
///
/// Links are not looked at: that is done when the path is used, inside the root.
pub(crate) fn inside(path: &Path) -> PathBuf {
    let mut clean = PathBuf::new();
    for component in path.components() {
        match component {
            Component::Normal(name) => clean.push(name),
            Component::ParentDir => {
                clean.pop();
            }
            Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
        }
    }
    clean
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dots_cannot_leave_the_root() {
        for (given, clean) in [
            ("/", ""),
            ("/data", "data"),
            ("data//x/", "data/x"),
            ("/../../etc/passwd", "etc/passwd"),
            ("/a/../../b/./c", "b/c"),
            ("..", ""),
        ] {
            assert_eq!(inside(Path::new(given)), Path::new(clean), "{given}");
        }
    }
}
