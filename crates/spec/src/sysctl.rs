//! `linux.sysctl` keys: which file of `/proc/sys` they name and which namespace that file belongs to (sysctl(8)).

use crate::NamespaceType;

/// The parameters of the kernel's IPC namespace below `kernel/` (Linux ipc/ipc_sysctl.c).
const IPC: [&str; 12] = [
    "kernel/auto_msgmni",
    "kernel/msg_next_id",
    "kernel/msgmax",
    "kernel/msgmnb",
    "kernel/msgmni",
    "kernel/sem",
    "kernel/sem_next_id",
    "kernel/shm_next_id",
    "kernel/shm_rmid_forced",
    "kernel/shmall",
    "kernel/shmmax",
    "kernel/shmmni",
];

/// The file below `/proc/sys` that a key names: `net.ipv4.ip_forward` and `net/ipv4/ip_forward` are the same.
///
/// The separator that comes first separates; the other one stands for a dot or a slash inside a name, as in
/// `net.ipv4.conf.eth0/1.forwarding` for the interface `eth0.1`. `None` for a key that could leave `/proc/sys`.
pub fn file(key: &str) -> Option<String> {
    let slashes_separate = key.find(['.', '/']).is_some_and(|at| key.as_bytes().get(at) == Some(&b'/'));
    let swap = |c| match c {
        '.' => '/',
        '/' => '.',
        other => other,
    };
    let file: String = if slashes_separate { key.to_owned() } else { key.chars().map(swap).collect() };
    let inside = file.split('/').all(|name| !matches!(name, "" | "." | ".."));
    inside.then_some(file)
}

/// The namespace that has its own copy of a file below `/proc/sys`; `None` when the whole host shares it.
pub fn namespace(file: &str) -> Option<NamespaceType> {
    match file.split_once('/') {
        Some(("net", _)) => Some(NamespaceType::Network),
        Some(("user", _)) => Some(NamespaceType::User),
        Some(("fs", rest)) if rest.starts_with("mqueue/") => Some(NamespaceType::Ipc),
        Some(("kernel", "hostname" | "domainname")) => Some(NamespaceType::Uts),
        _ if IPC.contains(&file) => Some(NamespaceType::Ipc),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_name_files() {
        for (key, expected) in [
            ("net.ipv4.ip_forward", Some("net/ipv4/ip_forward")),
            ("net/ipv4/ip_forward", Some("net/ipv4/ip_forward")),
            ("net.ipv4.conf.eth0/1.forwarding", Some("net/ipv4/conf/eth0.1/forwarding")),
            ("net/ipv4/conf/eth0.1/forwarding", Some("net/ipv4/conf/eth0.1/forwarding")),
            ("sem", Some("sem")),
            ("", None),
            ("/etc/passwd", None),
            ("net/../kernel/core_pattern", None),
            ("net.//.kernel.core_pattern", None),
            ("net..ipv4", None),
            ("net.ipv4.", None),
        ] {
            assert_eq!(file(key).as_deref(), expected, "{key}");
        }
    }

    #[test]
    fn files_belong_to_namespaces() {
        for (file, expected) in [
            ("net/ipv4/ip_forward", Some(NamespaceType::Network)),
            ("kernel/shmmax", Some(NamespaceType::Ipc)),
            ("kernel/sem", Some(NamespaceType::Ipc)),
            ("fs/mqueue/msg_max", Some(NamespaceType::Ipc)),
            ("kernel/domainname", Some(NamespaceType::Uts)),
            ("kernel/hostname", Some(NamespaceType::Uts)),
            ("user/max_net_namespaces", Some(NamespaceType::User)),
            ("kernel/core_pattern", None),
            ("vm/swappiness", None),
            ("fs/file-max", None),
            ("network/x", None),
        ] {
            assert_eq!(namespace(file), expected, "{file}");
        }
    }
}
