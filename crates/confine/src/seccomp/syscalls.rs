//! System call numbers by name and architecture, and the calls that are reached through socketcall(2) and ipc(2).

mod table;

use spec::seccomp::Arch;

use super::arch::abi;

/// A column of the table: the architectures that differ only in byte order share one.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Column {
    X86_64,
    X86,
    X32,
    Arm,
    Aarch64,
    Mips,
    Mips64,
    Mips64n32,
    Ppc,
    Ppc64,
    S390,
    S390x,
    Parisc,
    Parisc64,
    Riscv64,
    Loongarch64,
    M68k,
    Sh,
}

/// Set in the number of every x32 call (`__X32_SYSCALL_BIT`).
pub(super) const X32_BIT: u32 = 0x4000_0000;

/// The sub-calls of socketcall(2), numbered from 1 (linux/net.h).
const SOCKETCALL: [&str; 20] = [
    "socket",
    "bind",
    "connect",
    "listen",
    "accept",
    "getsockname",
    "getpeername",
    "socketpair",
    "send",
    "recv",
    "sendto",
    "recvfrom",
    "shutdown",
    "setsockopt",
    "getsockopt",
    "sendmsg",
    "recvmsg",
    "accept4",
    "recvmmsg",
    "sendmmsg",
];

/// The sub-calls of ipc(2) (linux/ipc.h).
const IPC: [(&str, u64); 12] = [
    ("semop", 1),
    ("semget", 2),
    ("semctl", 3),
    ("semtimedop", 4),
    ("msgsnd", 11),
    ("msgrcv", 12),
    ("msgget", 13),
    ("msgctl", 14),
    ("shmat", 21),
    ("shmdt", 22),
    ("shmget", 23),
    ("shmctl", 24),
];

/// The number of the call `name`, or nothing where the architecture has none.
pub fn number(arch: Arch, name: &str) -> Option<u32> {
    let row = table::TABLE.binary_search_by_key(&name, |(name, _)| name).ok()?;
    match table::TABLE[row].1[abi(arch).column as usize] {
        u16::MAX => None,
        private if private >= 0xf000 => Some(0x000f_0000 | u32::from(private & 0x0fff)),
        number if arch == Arch::X32 => Some(X32_BIT | u32::from(number)),
        number => Some(u32::from(number)),
    }
}

/// The multiplexing call through which `name` can be made too, and the value of that call's first argument then.
pub(super) fn multiplexed(arch: Arch, name: &str) -> Option<(u32, u64)> {
    if !abi(arch).multiplexed {
        return None;
    }
    if let Some(index) = SOCKETCALL.iter().position(|&sub| sub == name) {
        return Some((number(arch, "socketcall")?, index as u64 + 1));
    }
    let (_, sub) = IPC.iter().find(|(sub, _)| *sub == name)?;
    Some((number(arch, "ipc")?, *sub))
}

/// Whether any architecture has a call of that name.
pub fn is_known(name: &str) -> bool {
    table::TABLE.binary_search_by_key(&name, |(name, _)| name).is_ok()
}

/// Every name of the table, sorted.
pub fn names() -> impl Iterator<Item = &'static str> {
    table::TABLE.iter().map(|(name, _)| *name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_the_kernels() {
        assert_eq!(number(Arch::X86_64, "read"), Some(0));
        assert_eq!(number(Arch::Aarch64, "read"), Some(63));
        assert_eq!(number(Arch::X32, "ioctl"), Some(0x4000_0000 | 514));
        assert_eq!(number(Arch::Arm, "cacheflush"), Some(0x000f_0002));
        assert_eq!(number(Arch::Mipsel64, "read"), Some(5000));
        assert_eq!(number(Arch::Mips, "accept"), Some(4168));
        assert_eq!(number(Arch::S390x, "mseal"), Some(462));
        assert_eq!(number(Arch::Aarch64, "fork"), None);
        assert_eq!(number(Arch::X86_64, "no_such_call"), None);
        assert_eq!(multiplexed(Arch::X86, "socket"), Some((102, 1)));
        assert_eq!(multiplexed(Arch::S390x, "shmctl"), Some((117, 24)));
        assert_eq!(multiplexed(Arch::X86_64, "socket"), None);
    }

    #[test]
    fn the_table_is_sorted() {
        assert!(table::TABLE.is_sorted_by_key(|(name, _)| *name));
        assert_eq!(Column::Sh as usize + 1, table::COLUMNS);
    }
}
