//! What the kernel tells of its own types (BTF, Documentation/bpf/btf.rst): the few facts that programs need to read a socket's
//! network namespace and port without a call. And the one type that it is told, as some maps need one: a number.

use std::io;
use std::os::fd::OwnedFd;

use super::bpf_fd;

const BTF_LOAD: libc::c_int = 18;

/// Numbers that differ from one kernel to the next: ids of types, and offsets in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KernelTypes {
    /// The function `bpf_rdonly_cast` (Linux 6.2), which the verifier turns into a move.
    pub cast: u32,
    /// `struct sock`
    pub sock: u32,
    /// The network namespace in `struct sock`.
    pub net: i16,
    /// The port in `struct sock`, 2 bytes in the host's order, 0 as long as it is not bound.
    pub port: i16,
    /// `struct socket` in `struct sock`: with MPTCP, that of the program's socket and of its subflows.
    pub socket: i16,
    /// The cookie in `struct net`, 8 bytes.
    pub cookie: i16,
}

impl KernelTypes {
    /// Where the kernel has its own types.
    pub const FILE: &str = "/sys/kernel/btf/vmlinux";

    /// Those of this kernel, in some milliseconds; `None` if it does not tell them, or one of them is not there.
    #[must_use]
    pub fn read() -> Option<KernelTypes> {
        KernelTypes::parse(&std::fs::read(KernelTypes::FILE).ok()?)
    }

    fn parse(bytes: &[u8]) -> Option<KernelTypes> {
        let types = Types::parse(bytes)?;
        let sock = types.find(STRUCT, "sock")?;
        let in_sock = |path: &[&str]| i16::try_from(types.offset(sock, path)?).ok();
        let net = types.find(STRUCT, "net")?;
        Some(KernelTypes {
            cast: types.find(FUNC, "bpf_rdonly_cast")?,
            sock,
            net: in_sock(&["__sk_common", "skc_net", "net"])?,
            port: in_sock(&["__sk_common", "skc_num"])?,
            socket: in_sock(&["sk_socket"])?,
            cookie: types.offset(net, &["net_cookie"])?.try_into().ok()?,
        })
    }
}

#[repr(C)]
#[derive(Default)]
struct LoadArgs {
    types: u64,
    log: u64,
    size: u32,
    log_size: u32,
    log_level: u32,
    // No padding: what that holds is not defined, and an older kernel refuses all but zeros.
    _rest: u32,
}

/// Tells the kernel of a type with the id 1, a number of 4 bytes (Linux 4.18).
///
/// # Errors
/// Those of bpf(2): `EPERM` without CAP_BPF.
pub(super) fn load_number() -> io::Result<OwnedFd> {
    const VERSION: u8 = 1;
    // `struct btf_header`, after magic number, version and flags: its size; where the types are and their size; the same of the names.
    const HEADER: [u32; 5] = [24, 0, 16, 16, 1];
    // `struct btf_type`: its name, its kind, its size; and how many bits of it count.
    const NUMBER: [u32; 4] = [0, INT << 24, 4, 32];
    // The empty name, which must be there.
    const NAMES: [u8; 1] = [0];
    let [low, high] = MAGIC.to_ne_bytes();
    let words = [HEADER.as_slice(), &NUMBER].concat().into_iter().flat_map(u32::to_ne_bytes);
    let types: Vec<u8> = [low, high, VERSION, 0].into_iter().chain(words).chain(NAMES).collect();
    let mut args = LoadArgs { types: types.as_ptr() as u64, size: types.len() as u32, ..LoadArgs::default() };
    // SAFETY: the attributes are those of BPF_BTF_LOAD; `types`, of the size given, is only read and outlives the call.
    unsafe { bpf_fd(BTF_LOAD, &mut args) }
}

const MAGIC: u16 = 0xeb9f;
const INT: u32 = 1;
const STRUCT: u32 = 4;
const UNION: u32 = 5;
const FUNC: u32 = 12;
/// What a type begins with, and a member of a struct: its name, and two words more.
const RECORD: usize = 12;
/// Types that stand for another one: typedef, volatile, const, restrict, type tag.
const SYNONYMS: [u32; 5] = [8, 9, 10, 11, 18];
/// Deeper than any struct of the kernel is nested: nothing stops foreign bytes from nesting one in itself.
const DEEPEST: usize = 16;

/// The types, and where each begins; their ids count from 1.
struct Types<'a> {
    types: &'a [u8],
    names: &'a [u8],
    starts: Vec<usize>,
}

impl<'a> Types<'a> {
    fn parse(bytes: &'a [u8]) -> Option<Types<'a>> {
        let magic = bytes.first_chunk().copied().map(u16::from_ne_bytes);
        let header = word(bytes, 4)? as usize;
        let section = |at: usize| -> Option<&'a [u8]> {
            let start = header.checked_add(word(bytes, at)? as usize)?;
            bytes.get(start..start.checked_add(word(bytes, at + 4)? as usize)?)
        };
        let mut types = Types { types: section(8)?, names: section(16)?, starts: Vec::new() };
        let mut at = 0;
        while at < types.types.len() {
            types.starts.push(at);
            at += types.size(at)?;
        }
        (magic == Some(MAGIC)).then_some(types)
    }

    /// The size of the type at an offset, with what comes behind its head.
    fn size(&self, at: usize) -> Option<usize> {
        let info = word(self.types, at + 4)?;
        let count = info as usize & 0xffff;
        Some(
            RECORD
                + match kind(info) {
                    // Integers, variables, tags of declarations.
                    INT | 14 | 17 => 4,
                    // Pointers, forward declarations, synonyms, functions, floats.
                    2 | 7..=12 | 16 | 18 => 0,
                    // Arrays.
                    3 => 12,
                    // Structs and unions, sections, enums of 64 bits.
                    4 | 5 | 15 | 19 => count * 12,
                    // Enums and prototypes.
                    6 | 13 => count * 8,
                    _ => return None,
                },
        )
    }

    fn find(&self, wanted: u32, name: &str) -> Option<u32> {
        let is_it = |&at: &usize| word(self.types, at + 4).map(kind) == Some(wanted) && self.is_named(at, name);
        Some(self.starts.iter().position(is_it)? as u32 + 1)
    }

    /// Whether the type or member at an offset has a name.
    fn is_named(&self, at: usize, name: &str) -> bool {
        let found = word(self.types, at).and_then(|start| self.names.get(start as usize..));
        found.and_then(|text| text.strip_prefix(name.as_bytes())).is_some_and(|rest| rest.first() == Some(&0))
    }

    /// The offset in bytes of a member, by its name and those of the members that it is in.
    fn offset(&self, structure: u32, path: &[&str]) -> Option<u32> {
        let mut at = (structure, 0);
        for name in path {
            let (id, offset) = self.member(at.0, name, DEEPEST)?;
            at = (id, u32::checked_add(at.1, offset)?);
        }
        at.1.is_multiple_of(8).then_some(at.1 / 8)
    }

    /// The type of a struct's member and its offset in bits. Members of members without a name count as its own.
    fn member(&self, structure: u32, name: &str, depth: usize) -> Option<(u32, u32)> {
        let start = self.resolve(structure)?;
        let info = word(self.types, start + 4)?;
        if ![STRUCT, UNION].contains(&kind(info)) {
            return None;
        }
        (0..info as usize & 0xffff).find_map(|number| {
            let at = start + RECORD * (number + 1);
            let id = word(self.types, at + 4)?;
            // In a struct with bit fields the high byte is a size.
            let offset = word(self.types, at + 8)? & if info >> 31 == 1 { 0x00ff_ffff } else { u32::MAX };
            if self.is_named(at, name) {
                return Some((id, offset));
            }
            let (id, inner) =
                if self.is_named(at, "") { self.member(id, name, depth.checked_sub(1)?)? } else { return None };
            Some((id, offset.checked_add(inner)?))
        })
    }

    /// Where the type with an id begins, or the one that it stands for.
    fn resolve(&self, mut id: u32) -> Option<usize> {
        for _ in 0..DEEPEST {
            let at = *self.starts.get(id.checked_sub(1)? as usize)?;
            if !SYNONYMS.contains(&kind(word(self.types, at + 4)?)) {
                return Some(at);
            }
            id = word(self.types, at + 8)?;
        }
        None
    }
}

fn kind(info: u32) -> u32 {
    info >> 24 & 0x1f
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(*bytes.get(at..)?.first_chunk()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    const POINTER: u32 = 2;
    const TYPEDEF: u32 = 8;
    const WITH_BIT_FIELDS: u32 = 1 << 31;

    /// Types in the making.
    #[derive(Default)]
    struct Made {
        types: Vec<u32>,
        names: Vec<u8>,
    }

    impl Made {
        fn name(&mut self, name: &str) -> u32 {
            let at = self.names.len();
            self.names.extend(name.bytes().chain([0]));
            at as u32
        }

        fn add(&mut self, kind: u32, name: &str, of: u32, members: &[(&str, u32, u32)]) {
            let flag = kind & WITH_BIT_FIELDS;
            let name = self.name(name);
            self.types.extend([name, flag | (kind & 0x1f) << 24 | members.len() as u32, of]);
            for (member, id, bits) in members {
                let name = self.name(member);
                self.types.extend([name, *id, *bits]);
            }
        }

        fn bytes(&self) -> Vec<u8> {
            let types: Vec<u8> = self.types.iter().flat_map(|word| word.to_ne_bytes()).collect();
            let mut bytes = [&MAGIC.to_ne_bytes()[..], &[1, 0]].concat();
            let sizes = [24, 0, types.len() as u32, types.len() as u32, self.names.len() as u32];
            bytes.extend(sizes.iter().flat_map(|word| word.to_ne_bytes()));
            [bytes, types, self.names.clone()].concat()
        }
    }

    fn made() -> Vec<u8> {
        let mut made = Made::default();
        made.add(INT, "int", 4, &[]);
        made.types.push(32);
        made.add(STRUCT, "net", 16, &[("first", 1, 0), ("net_cookie", 1, 64)]);
        made.add(POINTER, "", 2, &[]);
        made.add(STRUCT, "possible_net", 8, &[("net", 3, 0)]);
        made.add(TYPEDEF, "possible_net_t", 4, &[]);
        made.add(UNION, "", 8, &[("skc_hash", 1, 0), ("skc_num", 1, 16)]);
        made.add(
            STRUCT | WITH_BIT_FIELDS,
            "sock_common",
            24,
            &[("", 6, 64), ("bit", 1, 129 | 1 << 24), ("skc_net", 5, 192)],
        );
        made.add(FUNC, "sock", 1, &[]);
        made.add(STRUCT, "sock", 48, &[("__sk_common", 7, 0), ("sk_socket_no", 1, 0), ("sk_socket", 3, 320)]);
        made.add(FUNC, "bpf_rdonly_cast", 1, &[]);
        made.bytes()
    }

    #[test]
    fn members_are_found_through_nested_structs() {
        let expected = KernelTypes { cast: 10, sock: 9, net: 24, port: 10, socket: 40, cookie: 8 };
        assert_eq!(KernelTypes::parse(&made()), Some(expected));
    }

    #[test]
    fn bytes_that_are_cut_off_or_changed_are_no_reason_to_panic() {
        let whole = made();
        for length in 0..whole.len() {
            assert_eq!(KernelTypes::parse(&whole[..length]), None, "{length}");
        }
        for at in 0..whole.len() {
            for byte in [0, 1, 4, 9, 0x7f, 0xff] {
                let mut changed = whole.clone();
                changed[at] = byte;
                let _ = KernelTypes::parse(&changed);
            }
        }
    }

    #[test]
    fn a_struct_in_itself_has_an_end() {
        let mut made = Made::default();
        made.add(STRUCT, "sock", 8, &[("", 1, 8)]);
        made.add(TYPEDEF, "net", 2, &[]);
        let bytes = made.bytes();
        let types = Types::parse(&bytes).unwrap();
        assert_eq!(types.offset(1, &["sk_socket"]), None);
        assert_eq!(types.offset(2, &["net_cookie"]), None);
    }
}
