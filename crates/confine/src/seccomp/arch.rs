//! What the generator needs to know of an architecture: AUDIT_ARCH token, word size, byte order, table column.

use spec::seccomp::Arch;

use super::syscalls::Column;

/// The ABI facts of an architecture.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Abi {
    /// `seccomp_data.arch`: the ELF machine number with the `__AUDIT_ARCH_*` bits (linux/audit.h). x32 has x86_64's.
    pub(super) token: u32,
    /// Arguments are compared as 64-bit values. x32's and n32's are not, as in libseccomp.
    pub(super) wide: bool,
    /// The kernel also has socketcall(2) and ipc(2), through which the socket and System V IPC calls can be made.
    pub(super) multiplexed: bool,
    pub(super) column: Column,
}

/// `__AUDIT_ARCH_LE`, `__AUDIT_ARCH_64BIT` and `__AUDIT_ARCH_CONVENTION_MIPS64_N32` of linux/audit.h.
const LE: u32 = 0x4000_0000;
const WIDE: u32 = 0x8000_0000;
const N32: u32 = 0x2000_0000;

const NARROW: bool = false;
const MULTIPLEXED: bool = true;
const DIRECT: bool = false;

/// The ABI of an architecture. The numbers are ELF machine numbers (linux/elf-em.h).
#[rustfmt::skip]
pub(super) fn abi(arch: Arch) -> Abi {
    let (token, wide, multiplexed, column) = match arch {
        Arch::X86         => (3 | LE,          NARROW, MULTIPLEXED, Column::X86),
        Arch::X86_64      => (62 | LE | WIDE,  true,   DIRECT,      Column::X86_64),
        Arch::X32         => (62 | LE | WIDE,  NARROW, DIRECT,      Column::X32),
        Arch::Arm         => (40 | LE,         NARROW, DIRECT,      Column::Arm),
        Arch::Aarch64     => (183 | LE | WIDE, true,   DIRECT,      Column::Aarch64),
        Arch::Mips        => (8,               NARROW, MULTIPLEXED, Column::Mips),
        Arch::Mipsel      => (8 | LE,          NARROW, MULTIPLEXED, Column::Mips),
        Arch::Mips64      => (8 | WIDE,        true,   DIRECT,      Column::Mips64),
        Arch::Mipsel64    => (8 | LE | WIDE,   true,   DIRECT,      Column::Mips64),
        Arch::Mips64N32   => (8 | WIDE | N32,  NARROW, DIRECT,      Column::Mips64n32),
        Arch::Mipsel64N32 => (8 | LE | WIDE | N32, NARROW, DIRECT,  Column::Mips64n32),
        Arch::Ppc         => (20,              NARROW, MULTIPLEXED, Column::Ppc),
        Arch::Ppc64       => (21 | WIDE,       true,   MULTIPLEXED, Column::Ppc64),
        Arch::Ppc64Le     => (21 | LE | WIDE,  true,   MULTIPLEXED, Column::Ppc64),
        Arch::S390        => (22,              NARROW, MULTIPLEXED, Column::S390),
        Arch::S390x       => (22 | WIDE,       true,   MULTIPLEXED, Column::S390x),
        Arch::Parisc      => (15,              NARROW, DIRECT,      Column::Parisc),
        Arch::Parisc64    => (15 | WIDE,       true,   DIRECT,      Column::Parisc64),
        Arch::Riscv64     => (243 | LE | WIDE, true,   DIRECT,      Column::Riscv64),
        Arch::Loongarch64 => (258 | LE | WIDE, true,   DIRECT,      Column::Loongarch64),
        Arch::M68k        => (4,               NARROW, MULTIPLEXED, Column::M68k),
        Arch::Sh          => (42 | LE,         NARROW, MULTIPLEXED, Column::Sh),
        Arch::Sheb        => (42,              NARROW, MULTIPLEXED, Column::Sh),
    };
    Abi { token, wide, multiplexed, column }
}

impl Abi {
    /// Byte offsets in `seccomp_data` (linux/seccomp.h) of the low and the high half of an argument: the six arguments
    /// are 64-bit words of the machine's byte order, from byte 16.
    pub(super) fn argument(self, index: u32) -> (u32, u32) {
        let first = 16 + 8 * index;
        if self.token & LE != 0 { (first, first + 4) } else { (first + 4, first) }
    }
}

/// The architecture this program was compiled for, if seccomp has a name for it.
pub fn native() -> Option<Arch> {
    let is_native = |arch: &&Arch| {
        let abi = abi(**arch);
        abi.token == sys::arch::AUDIT_ARCH && abi.wide == (sys::arch::AUDIT_ARCH & WIDE != 0)
    };
    Arch::ALL.iter().find(is_native).copied()
}
