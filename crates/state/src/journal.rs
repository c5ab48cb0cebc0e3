//! The undo journal: what a half-made container has taken, so that `delete --force` can give it back.
//!
//! A line is written before the acquisition it describes. A runtime that is killed between the two leaves a line
//! about something that does not exist, which undoing must tolerate; it never leaves something without a line. The
//! exception is [`Undo::Process`], whose pid the kernel chooses: the new process must wait for a word of its
//! parent, and end when the parent does.

use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// One acquisition, and so one thing to undo.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Undo {
    /// A cgroup, as the cgroups crate describes it; opaque here, like [`crate::Record::cgroup`]. Kill what is in it, and
    /// remove it.
    Cgroup(crate::Part),
    /// A mount in the host's mount namespace: unmount it.
    Mount {
        /// Absolute path of the mount point.
        path: PathBuf,
        /// The id of the mount that the path led to before (statx(2), stx_mnt_id): while it still does, there is nothing to
        /// undo.
        over: u64,
    },
    /// A process: kill it, if [`crate::InitProcess::alive`] says that it still is that process.
    Process(crate::InitProcess),
    /// A folder outside the container's directory, with nothing in it but what the kernel puts there: rmdir(2).
    Folder {
        /// Absolute path of the folder.
        path: PathBuf,
    },
    /// A file outside the container's directory: unlink it.
    File {
        /// Absolute path of the file.
        path: PathBuf,
    },
}

/// The lines of a journal that is about to be undone, the last first. A line that is not understood (of a newer
/// version) becomes the reason why, and does not stop the others. A last line without its end is left out: the
/// write did not return, so the acquisition had not begun.
pub(crate) fn in_reverse(journal: &[u8]) -> Vec<Result<Undo, String>> {
    let mut lines: Vec<&[u8]> = journal.split(|&byte| byte == b'\n').collect();
    lines.pop();
    let undo = |(index, line): (usize, &[u8])| {
        serde_json::from_slice(line).map_err(|error| format!("line {}: {error}", index + 1))
    };
    lines.into_iter().enumerate().map(undo).rev().collect()
}

/// The lines that [`in_reverse`] reads back.
pub(crate) fn lines(undos: &[Undo]) -> serde_json::Result<Vec<u8>> {
    let mut lines = Vec::with_capacity(128 * undos.len());
    for undo in undos {
        serde_json::to_writer(&mut lines, undo)?;
        lines.push(b'\n');
    }
    Ok(lines)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::InitProcess;

    fn two() -> [Undo; 2] {
        [
            Undo::Cgroup(crate::Part::of(&"/sys/fs/cgroup/x").unwrap()),
            Undo::Process(InitProcess { pid: 7, start_time: 9 }),
        ]
    }

    #[test]
    fn the_last_acquisition_comes_first() {
        let [cgroup, process] = two();
        let journal = lines(&two()).unwrap();
        assert_eq!(in_reverse(&journal), [Ok(process), Ok(cgroup)]);
        assert!(in_reverse(b"").is_empty());
    }

    #[test]
    fn a_torn_last_line_is_left_out_at_every_length() {
        let journal = lines(&two()).unwrap();
        for length in 0..journal.len() {
            let whole = journal[..length].iter().filter(|&&byte| byte == b'\n').count();
            let undos = in_reverse(&journal[..length]);
            assert_eq!(undos.len(), whole);
            assert!(undos.iter().all(Result::is_ok));
        }
    }

    #[test]
    fn an_unknown_line_does_not_hide_the_others() {
        let mut journal = lines(&two()).unwrap();
        journal.extend(b"{\"teleporter\":{\"path\":\"/x\"}}\n\xff\xfe\n");
        journal.extend(lines(&two()[..1]).unwrap());
        let undos = in_reverse(&journal);
        assert_eq!(undos.iter().map(Result::is_ok).collect::<Vec<_>>(), [true, false, false, true, true]);
        assert!(undos[2].as_ref().unwrap_err().contains("line 3"), "{undos:?}");
    }
}
