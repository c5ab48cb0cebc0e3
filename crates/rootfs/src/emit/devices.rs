//! Device nodes, the links of `/dev`, and the console.

use std::path::Path;

use program::{Op, ProgramBuilder, Resolve, Slot};

use super::{ConsolePlan, Emitter, FOLDER, O_NOCTTY, O_RDWR, clone_of, open_tree, text};
use crate::plan::{Node, PROC_SUPER_MAGIC};

/// statfs(2)
const DEVPTS_SUPER_MAGIC: u32 = 0x1cd1;

/// Names in `/dev` and what they link to (runtime-linux.md; `ptmx` by devpts(5), `core` by custom).
const LINKS: [(&str, &str); 6] = [
    ("fd", "/proc/self/fd"),
    ("stdin", "/proc/self/fd/0"),
    ("stdout", "/proc/self/fd/1"),
    ("stderr", "/proc/self/fd/2"),
    ("core", "/proc/kcore"),
    ("ptmx", "pts/ptmx"),
];

impl Emitter<'_> {
    /// Makes the device nodes and the links of `/dev`.
    pub fn devices(&mut self, b: &mut ProgramBuilder) {
        let open = self.dev.take();
        let dev = self.plan.devices.own_dev.then(|| open.unwrap_or_else(|| self.open_dev(b)));
        for node in &self.plan.devices.nodes {
            b.place(&node.place);
            // By a name in the opened folder, most nodes are one system call.
            match (dev, node.target.strip_prefix("dev")) {
                (Some(dev), Ok(name)) => make(node, dev, name, b),
                _ => make(node, self.root, &node.target, b),
            }
        }
        let Some(dev) = dev else { return };
        b.place("links in /dev");
        for (name, target) in LINKS {
            let (path, target) = (b.text(name), b.text(target));
            b.push(Op::Symlink { root: dev, path, target });
        }
        b.push(Op::Close { fd: dev });
    }

    /// Through no link, or the nodes would be made in whatever folder the image chooses, a volume for instance.
    fn open_dev(&self, b: &mut ProgramBuilder) -> Slot {
        b.place("/dev");
        let (out, path) = (b.slot(), b.text("dev"));
        let (root, resolve, mode) = (self.root, Resolve::NoLinks, FOLDER);
        b.push(Op::MountPoint { root, resolve, like: root, out, mode, avoid: 0, path });
        out
    }

    /// Makes a pseudo-terminal in the container's devpts and mounts its end on `/dev/console`. Returns the slots of the
    /// multiplexer, which goes to the caller of the runtime, and of the terminal, which becomes the process's.
    pub fn console(&self, terminal: ConsolePlan, b: &mut ProgramBuilder) -> (Slot, Slot) {
        b.place("process.terminal (it needs a mount of type devpts at /dev/pts)");
        let (master, path) = (b.slot(), b.text("dev/pts/ptmx"));
        let (resolve, flags) = (Resolve::NoLinks, O_RDWR | O_NOCTTY);
        b.push(Op::Open { dir: self.root, resolve, out: master, flags, magic: DEVPTS_SUPER_MAGIC, path });
        let peer = b.slot();
        b.push(Op::OpenPty { master, peer, rows: terminal.rows, columns: terminal.columns });
        if terminal.uid != 0 {
            // The group stays devpts's own.
            b.push(Op::Chown { fd: peer, uid: terminal.uid, gid: u32::MAX });
        }
        b.place("/dev/console");
        let tree = clone_of(peer, b);
        // No link either: it could have the terminal cover a file of procfs (CVE-2025-52565).
        let (out, path) = (b.slot(), b.text("dev/console"));
        let (root, resolve, mode) = (self.root, Resolve::NoLinks, FOLDER);
        b.push(Op::MountPoint { root, resolve, like: tree, out, mode, avoid: 0, path });
        b.push(Op::MoveMount { from: tree, to: out, keep: 0 });
        (master, peer)
    }
}

fn make(node: &Node, root: Slot, path: &Path, b: &mut ProgramBuilder) {
    if !node.bind {
        let path = text(path, b);
        b.push(Op::MakeNode { root, path, mode: node.mode, uid: node.uid, gid: node.gid, dev: node.dev });
        return;
    }
    let tree = open_tree(&Path::new("/").join(&node.target), false, b);
    // The host may have another device of that name, which nobody has asked for.
    b.push(Op::CheckDevice { fd: tree, mode: node.mode, dev: node.dev });
    let (out, path) = (b.slot(), text(path, b));
    let (resolve, mode, avoid) = (Resolve::InRoot, FOLDER, PROC_SUPER_MAGIC);
    b.push(Op::MountPoint { root, resolve, like: tree, out, mode, avoid, path });
    b.push(Op::MoveMount { from: tree, to: out, keep: 0 });
}
