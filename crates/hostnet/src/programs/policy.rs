//! Allow lists: what a container may bind, and what it may connect and send to. Anything else fails with EPERM.
//!
//! The lists are about ports and addresses as the container names them, before anything is translated; where an image's environment moves
//! them, about what becomes of them as well.

use std::net::IpAddr;
use sys::bpf::{Assembler, AssemblyError, Field, If, Instruction, Label, Register};

use super::Host;
use super::search;
use super::socket::{self, CONTEXT, PORT, SCRATCH, SocketProgram, TCP, UDP, concerns};
use crate::rules::{AllowedBind, AllowedConnect, Network, PortRange, Protocol, merged};

/// socket(2) under a list: of other protocols the kernel does not ask the lists (UDP-Lite and SCTP at connect(2), raw sockets at all),
/// so there are sockets of TCP and UDP only, and those of ping (icmp(7), `ping_group_range`).
pub(super) fn check_kind(host: Host) -> Result<Vec<Instruction>, AssemblyError> {
    /// `struct bpf_sock`
    const TYPE: Field = Field::word(8);
    const PROTOCOL: Field = Field::word(12);
    const MPTCP: u32 = 262;
    const ICMP: u32 = 1;
    const ICMPV6: u32 = 58;
    /// SOCK_RAW (socket(2))
    const RAW: u32 = 3;
    let mut asm = Assembler::default();
    let (pass, deny) = (asm.label(), asm.label());
    asm.copy(CONTEXT, Register::R1);
    socket::leave_other_namespaces(&mut asm, host, pass);
    asm.load_field(Register::R2, CONTEXT, TYPE);
    // One of ICMP could send packets of any protocol (IP_HDRINCL, raw(7)).
    asm.jump_if(Register::R2, If::Equal, RAW, deny);
    asm.load_field(SCRATCH, CONTEXT, PROTOCOL);
    for protocol in [TCP, UDP, MPTCP, ICMP, ICMPV6] {
        asm.jump_if(SCRATCH, If::Equal, protocol, pass);
    }
    asm.place(deny);
    asm.answer(0);
    asm.place(pass);
    asm.answer(1);
    asm.finish()
}

/// Goes on if the port may be bound. Port 0, "any free one", always may: resolvers bind it before they ask.
pub(super) fn check_bind(program: &mut SocketProgram, allowed: &[AllowedBind]) {
    let granted = program.asm.label();
    program.asm.jump_if(PORT, If::Equal, 0, granted);
    let ports =
        |protocol| allowed.iter().filter(|rule| concerns(rule.protocol, protocol)).map(|rule| rule.ports).collect();
    check_ports(program, ports(Protocol::Tcp), ports(Protocol::Udp), granted, program.deny);
    program.asm.place(granted);
}

/// Goes on if the address and the port may be reached.
pub(super) fn check_connect(program: &mut SocketProgram, allowed: &[AllowedConnect]) {
    let (v6, granted) = (program.asm.label(), program.asm.label());
    let mut networks: Vec<Option<Network>> = Vec::new();
    for rule in allowed {
        if !networks.contains(&rule.network) {
            networks.push(rule.network);
        }
    }
    program.load_address(v6);
    check_networks(program, allowed, networks.iter().filter(|network| !is_v6(**network)), granted);
    program.asm.place(v6);
    check_networks(program, allowed, networks.iter().filter(|network| !is_v4(**network)), granted);
    program.asm.place(granted);
}

fn is_v4(network: Option<Network>) -> bool {
    network.is_some_and(|network| network.address.is_ipv4())
}

fn is_v6(network: Option<Network>) -> bool {
    network.is_some_and(|network| network.address.is_ipv6())
}

fn check_networks<'a>(
    program: &mut SocketProgram,
    allowed: &[AllowedConnect],
    networks: impl Iterator<Item = &'a Option<Network>>,
    granted: Label,
) {
    for network in networks {
        let next = program.asm.label();
        match network.map(|network| (network.address, network.prefix)) {
            None => {}
            Some((IpAddr::V4(address), prefix)) => program.unless_v4(address, prefix, next),
            Some((IpAddr::V6(address), prefix)) => program.unless_v6(address, prefix, next),
        }
        let ports = |protocol| {
            let rules = allowed.iter().filter(|rule| rule.network == *network && concerns(rule.protocol, protocol));
            rules.map(|rule| rule.ports).collect()
        };
        check_ports(program, ports(Protocol::Tcp), ports(Protocol::Udp), granted, next);
        program.asm.place(next);
    }
    program.asm.jump(program.deny);
}

/// Goes to `granted` if the port is in the list of its protocol, else to `refused`.
fn check_ports(
    program: &mut SocketProgram,
    tcp_ports: Vec<PortRange>,
    udp_ports: Vec<PortRange>,
    granted: Label,
    refused: Label,
) {
    let find = |program: &mut SocketProgram, ports: Vec<PortRange>| {
        let ranges: Vec<_> = merged(ports.into_iter()).into_iter().map(|range| (range, granted)).collect();
        search::find(&mut program.asm, PORT, &ranges, refused);
    };
    if tcp_ports == udp_ports {
        return find(program, tcp_ports);
    }
    let (tcp, udp) = (program.asm.label(), program.asm.label());
    program.by_protocol(tcp, udp, refused);
    program.asm.place(tcp);
    find(program, tcp_ports);
    program.asm.place(udp);
    find(program, udp_ports);
}
