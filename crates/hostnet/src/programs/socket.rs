//! What the programs on system calls of sockets have in common: the context, the guard, addresses.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use sys::bpf::{Assembler, AssemblyError, Field, Helper, If, Instruction, KernelTypes, Label, Register, Width};

use super::Host;
use crate::rules::Protocol;

/// Where the context is kept.
pub(super) const CONTEXT: Register = Register::R6;
/// The port in question, in the host's order.
pub(super) const PORT: Register = Register::R7;
/// An IPv4 address in the host's order, once [`SocketProgram::load_address`] has found one.
pub(super) const ADDRESS: Register = Register::R8;
/// The low byte of the protocol's number: that of MPTCP, 262, is TCP's.
pub(super) const PROTOCOL: Register = Register::R9;
/// Lost at every call.
pub(super) const SCRATCH: Register = Register::R1;
/// The end of the stack.
pub(super) const STACK: Register = Register::R10;

pub(super) const TCP: u32 = 6;
pub(super) const UDP: u32 = 17;

/// The third word of an IPv6 address that stands for an IPv4 one, in the network's order.
const MAPPED: u32 = 0xffff_u32.to_be();
/// The error for an address that the container does not have (errno(3), EADDRNOTAVAIL).
const EADDRNOTAVAIL: i32 = 99;

/// The context, `struct bpf_sock_addr`: addresses and port in the network's order.
pub(super) mod field {
    use super::Field;
    pub(super) const IP4: Field = Field::word(4);
    pub(super) const PORT: Field = Field::word(24);
    pub(super) const PROTOCOL: Field = Field::word(36);
    pub(in crate::programs) const SOCKET: Field = Field::double(64);

    /// One of the four words of the IPv6 address.
    pub(super) const fn ip6(word: usize) -> Field {
        Field::word(8 + 4 * word as i16)
    }

    /// One of its two halves (Linux 5.3).
    pub(super) const fn ip6_half(half: usize) -> Field {
        Field::double(8 + 8 * half as i16)
    }
}

/// Of which kind the socket is, which decides how the context has its address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Family {
    V4,
    /// Its addresses may be IPv4 ones all the same: `::ffff:a.b.c.d`.
    V6,
}

/// Which way a port is translated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Direction {
    /// From the container's view to the host's.
    ToHost,
    /// And back.
    ToContainer,
}

/// Where the container finds itself.
pub(super) struct Here {
    /// Beside loopback.
    pub(super) addresses: Vec<IpAddr>,
    /// The rest of 127.0.0.0/8 is the host's: it may have a resolver at 127.0.0.53.
    pub(super) at_localhost_alone: bool,
}

impl Here {
    /// And at this address as well.
    pub(super) fn and(&self, address: IpAddr) -> Here {
        Here { addresses: self.addresses.iter().copied().chain([address]).collect(), ..*self }
    }
}

/// A program on a system call with an address, in the making.
pub(super) struct SocketProgram {
    pub(super) asm: Assembler,
    pub(super) family: Family,
    /// Lets the call be as it is.
    pub(super) pass: Label,
    /// The call fails with EPERM.
    pub(super) deny: Label,
    /// The call fails with EADDRNOTAVAIL.
    pub(super) no_such_address: Label,
    /// The hook is of UDP alone.
    udp_only: bool,
    /// What the guard has still to compare with.
    pub(super) unguarded: Option<Host>,
}

impl SocketProgram {
    /// Begins with port and protocol in their registers.
    pub(super) fn new(family: Family, host: Host, udp_only: bool) -> SocketProgram {
        let mut asm = Assembler::default();
        let (pass, deny, no_such_address) = (asm.label(), asm.label(), asm.label());
        asm.copy(CONTEXT, Register::R1);
        if udp_only {
            asm.set(PROTOCOL, UDP as i32);
        } else {
            asm.load_field(PROTOCOL, CONTEXT, field::PROTOCOL);
            // Not a comparison with MPTCP's number: the verifier would follow all that comes after it twice.
            asm.and(PROTOCOL, 0xff);
        }
        let unguarded = Some(host);
        let mut program = SocketProgram { asm, family, pass, deny, no_such_address, udp_only, unguarded };
        program.load_port();
        program
    }

    /// The guard, before anything is changed or refused: a socket of another network namespace than the host's is let pass. Each
    /// later part may ask for it again, as all of them come after the first one.
    pub(super) fn guard(&mut self) {
        let Some(host) = self.unguarded.take() else { return };
        let Some(types) = host.types else {
            self.asm.copy(Register::R1, CONTEXT);
            return leave_other_namespaces(&mut self.asm, host, self.pass);
        };
        self.asm.load_field(Register::R1, CONTEXT, field::SOCKET);
        cast(&mut self.asm, types);
        self.asm.load(Width::Double, Register::R0, Register::R0, types.net);
        self.asm.load(Width::Double, Register::R0, Register::R0, types.cookie);
        unless_host(&mut self.asm, host, self.pass);
    }

    /// Ends a program that may have changed the context.
    pub(super) fn finish(self) -> Result<Vec<Instruction>, AssemblyError> {
        self.finish_with(1)
    }

    /// Ends a program of bind(2), which may free the caller from the need of CAP_NET_BIND_SERVICE (Linux 5.12).
    pub(super) fn finish_bind(self, low_ports: bool) -> Result<Vec<Instruction>, AssemblyError> {
        const NO_CAPABILITY_NEEDED: i32 = 1 << 1;
        self.finish_with(if low_ports { 1 | NO_CAPABILITY_NEEDED } else { 1 })
    }

    fn finish_with(mut self, answer: i32) -> Result<Vec<Instruction>, AssemblyError> {
        if answer != 1 {
            self.asm.answer(answer);
        }
        self.asm.place(self.pass);
        self.asm.answer(1);
        self.asm.place(self.no_such_address);
        self.asm.set(Register::R1, -EADDRNOTAVAIL);
        self.asm.call(Helper::SetRetval);
        self.asm.place(self.deny);
        self.asm.answer(0);
        self.asm.finish()
    }

    /// Goes on at `tcp` or `udp`, or for any other protocol at `other`.
    pub(super) fn by_protocol(&mut self, tcp: Label, udp: Label, other: Label) {
        if self.udp_only {
            return self.asm.jump(udp);
        }
        for (number, label) in [(TCP, tcp), (UDP, udp)] {
            if label != other {
                self.asm.jump_if(PROTOCOL, If::Equal, number, label);
            }
        }
        self.asm.jump(other);
    }

    /// Puts the port of the call into [`PORT`].
    pub(super) fn load_port(&mut self) {
        self.asm.load_field(PORT, CONTEXT, field::PORT);
        self.asm.swap(PORT, 16);
    }

    /// Makes [`PORT`] the port of the call.
    pub(super) fn store_port(&mut self) {
        self.asm.copy(SCRATCH, PORT);
        self.asm.swap(SCRATCH, 16);
        self.asm.store_field(CONTEXT, field::PORT, SCRATCH);
    }

    /// Loads one of the four words of an IPv6 socket's address, in the network's order.
    pub(super) fn load_ip6(&mut self, to: Register, word: usize) {
        self.asm.load_field(to, CONTEXT, field::ip6(word));
    }

    /// Writes the address of any socket to memory as an IPv6 one, an IPv4 address as IPv6 writes it.
    pub(super) fn write_as_ip6(&mut self, base: Register, at: i16, through: Register) {
        let asm = &mut self.asm;
        match self.family {
            Family::V4 => {
                asm.store_number(Width::Double, base, at, 0);
                asm.store_number(Width::Word, base, at + 8, MAPPED as i32);
                asm.load_field(through, CONTEXT, field::IP4);
                asm.store(Width::Word, base, at + 12, through);
            }
            Family::V6 => {
                for half in 0..2 {
                    asm.load_field(through, CONTEXT, field::ip6_half(half));
                    asm.store(Width::Double, base, at + 8 * half as i16, through);
                }
            }
        }
    }

    /// Puts an IPv4 address, also one of an IPv6 socket, into [`ADDRESS`] and goes on; any other is left to `v6`.
    pub(super) fn load_address(&mut self, v6: Label) {
        let asm = &mut self.asm;
        match self.family {
            Family::V4 => asm.load_field(ADDRESS, CONTEXT, field::IP4),
            Family::V6 => {
                asm.load_field(SCRATCH, CONTEXT, field::ip6(2));
                asm.xor(SCRATCH, MAPPED as i32);
                asm.load_field(Register::R2, CONTEXT, field::ip6_half(0));
                asm.or_register(SCRATCH, Register::R2);
                asm.jump_if_zero(SCRATCH, If::Differs, v6);
                asm.load_field(ADDRESS, CONTEXT, field::ip6(3));
            }
        }
        asm.swap(ADDRESS, 32);
    }

    /// Goes to `other` unless [`ADDRESS`] is in the network.
    pub(super) fn unless_v4(&mut self, address: Ipv4Addr, prefix: u8, other: Label) {
        let mask = u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or_default();
        self.asm.copy(SCRATCH, ADDRESS);
        self.asm.and(SCRATCH, mask);
        self.asm.jump_if(SCRATCH, If::Differs, address.to_bits() & mask, other);
    }

    /// Goes to `other` unless the context's address is in the network. The difference is compared with 0 at once: each jump costs the
    /// verifier as much as ten other instructions.
    pub(super) fn unless_v6(&mut self, address: Ipv6Addr, prefix: u8, other: Label) {
        const DIFFERENCE: Register = SCRATCH;
        let bits = address.to_bits();
        for (half, address) in [(bits >> 64) as u64, bits as u64].into_iter().enumerate() {
            let prefix = u32::from(prefix).saturating_sub(64 * half as u32).min(64);
            if prefix == 0 {
                break;
            }
            let to = if half == 0 { DIFFERENCE } else { Register::R2 };
            self.asm.load_field(to, CONTEXT, field::ip6_half(half));
            let ignored = 64 - prefix;
            let known = if ignored == 0 { address.to_be() } else { address >> ignored };
            if ignored > 0 {
                self.asm.swap(to, 64);
                self.asm.shift_right(to, ignored as i32);
            }
            if known != 0 {
                self.asm.set_wide(Register::R3, known);
                self.asm.xor_register(to, Register::R3);
            }
            if half == 1 {
                self.asm.or_register(DIFFERENCE, to);
            }
        }
        if prefix > 0 {
            self.asm.jump_if_zero(DIFFERENCE, If::Differs, other);
        }
    }

    /// Goes on if the address is the container's loopback, all addresses, which as a destination means the same, or one of its own;
    /// else to `other`.
    pub(super) fn unless_here(&mut self, own: &Here, other: Label) {
        let (v6, here) = (self.asm.label(), self.asm.label());
        self.load_address(v6);
        // 0 for loopback and for 0.0.0.0, so that there is one jump.
        self.asm.copy(SCRATCH, ADDRESS);
        if own.at_localhost_alone {
            self.asm.xor(SCRATCH, Ipv4Addr::LOCALHOST.to_bits() as i32);
        } else {
            self.asm.shift_right(SCRATCH, 24);
            self.asm.xor(SCRATCH, 127);
        }
        self.asm.multiply_register(SCRATCH, ADDRESS);
        self.asm.jump_if_zero(SCRATCH, If::Equal, here);
        for address in &own.addresses {
            if let IpAddr::V4(address) = address {
                self.asm.jump_if(ADDRESS, If::Equal, address.to_bits(), here);
            }
        }
        self.asm.jump(other);
        self.asm.place(v6);
        let v6 =
            own.addresses.iter().filter_map(|own| if let IpAddr::V6(own) = own { Some((*own, 128)) } else { None });
        // `::` and `::1`
        for (address, prefix) in std::iter::once((Ipv6Addr::UNSPECIFIED, 127)).chain(v6) {
            let next = self.asm.label();
            self.unless_v6(address, prefix, next);
            self.asm.jump(here);
            self.asm.place(next);
        }
        self.asm.jump(other);
        self.asm.place(here);
    }

    /// An IPv6 address that stands for no IPv4 one is not to be had (EADDRNOTAVAIL).
    pub(super) fn refuse_ipv6(&mut self) {
        let (v6, v4) = (self.asm.label(), self.asm.label());
        self.load_address(v6);
        self.asm.jump(v4);
        self.asm.place(v6);
        self.asm.jump(self.no_such_address);
        self.asm.place(v4);
    }

    /// Makes `address` the address of the call and goes on at `then`. An IPv4 socket cannot have an IPv6 one: the call fails.
    pub(super) fn store_address(&mut self, address: IpAddr, then: Label) {
        match (self.family, address) {
            (Family::V4, IpAddr::V4(address)) => {
                self.asm.set(SCRATCH, i32::from_ne_bytes(address.octets()));
                self.asm.store_field(CONTEXT, field::IP4, SCRATCH);
            }
            (Family::V4, IpAddr::V6(_)) => self.asm.jump(self.no_such_address),
            (Family::V6, IpAddr::V4(address)) => self.store_v6(address.to_ipv6_mapped()),
            (Family::V6, IpAddr::V6(address)) => self.store_v6(address),
        }
        self.asm.jump(then);
    }

    fn store_v6(&mut self, address: Ipv6Addr) {
        let bits = address.to_bits();
        for (half, bits) in [(bits >> 64) as u64, bits as u64].into_iter().enumerate() {
            self.asm.set_wide(SCRATCH, bits.to_be());
            self.asm.store_field(CONTEXT, field::ip6_half(half), SCRATCH);
        }
    }
}

/// Goes to `pass` if the socket is of another network namespace. The context is in R1 still.
pub(super) fn leave_other_namespaces(asm: &mut Assembler, host: Host, pass: Label) {
    asm.call(Helper::NetnsCookie);
    unless_host(asm, host, pass);
}

/// Goes to `pass` unless the cookie in R0 is that of the host's network namespace.
fn unless_host(asm: &mut Assembler, host: Host, pass: Label) {
    asm.set_wide(Register::R1, host.netns);
    asm.jump_if_register(Register::R0, If::Differs, Register::R1, pass);
}

/// Makes R0 point to the `struct sock` of the socket in R1. What is loaded from there can be anything, as the verifier sees it.
pub(super) fn cast(asm: &mut Assembler, types: KernelTypes) {
    asm.set(Register::R2, types.sock as i32);
    asm.call_kernel(types.cast);
}

/// Whether a rule that may name a protocol is about this one.
pub(super) fn concerns(named: Option<Protocol>, protocol: Protocol) -> bool {
    named.is_none_or(|named| named == protocol)
}
