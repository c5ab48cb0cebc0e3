//! Confinement to one address: what the container binds everywhere is bound there alone, and `localhost` leads there.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use sys::bpf::{If, Label};

use super::socket::{ADDRESS, SocketProgram};
use crate::rules::Addresses;

/// bind(2): all addresses and `localhost` become the container's own, as [`redirect_connect`] has them; its own stay; others it does
/// not have. Without an IPv6 address of its own its IPv6 sockets serve the IPv4 one.
pub(super) fn confine_bind(program: &mut SocketProgram, addresses: &Addresses) {
    let (v6, done, replace) = (program.asm.label(), program.asm.label(), program.asm.label());
    program.load_address(v6);
    match addresses.v4 {
        None => program.asm.jump(program.no_such_address),
        Some(own) => {
            program.asm.jump_if(ADDRESS, If::Equal, own.to_bits(), done);
            program.asm.jump_if(ADDRESS, If::Equal, Ipv4Addr::UNSPECIFIED.to_bits(), replace);
            program.asm.jump_if(ADDRESS, If::Differs, Ipv4Addr::LOCALHOST.to_bits(), program.no_such_address);
            program.asm.place(replace);
            program.store_address(IpAddr::V4(own), done);
        }
    }
    program.asm.place(v6);
    let other = program.asm.label();
    unless_here(program, other);
    if let Some(own) = for_ipv6(addresses) {
        program.store_address(own, done);
    }
    program.asm.place(other);
    match addresses.v6 {
        None => program.asm.jump(program.no_such_address),
        Some(own) => program.unless_v6(own, 128, program.no_such_address),
    }
    program.asm.place(done);
}

/// connect(2) and sendto(2): this machine is the container's own address. With `may_map` an IPv6 socket may be led to an IPv4
/// one, which the kernel does not do for sendto(2).
pub(super) fn redirect_connect(program: &mut SocketProgram, addresses: &Addresses, may_map: bool) {
    let (v6, done, replace) = (program.asm.label(), program.asm.label(), program.asm.label());
    program.load_address(v6);
    if let Some(own) = addresses.v4 {
        program.asm.jump_if(ADDRESS, If::Equal, Ipv4Addr::UNSPECIFIED.to_bits(), replace);
        program.asm.jump_if(ADDRESS, If::Differs, Ipv4Addr::LOCALHOST.to_bits(), done);
        program.asm.place(replace);
        program.store_address(IpAddr::V4(own), done);
    }
    program.asm.jump(done);
    program.asm.place(v6);
    if let Some(own) = for_ipv6(addresses).filter(|own| may_map || own.is_ipv6()) {
        unless_here(program, done);
        program.store_address(own, done);
    }
    program.asm.place(done);
}

/// Goes to `other` unless the address is `::` or `::1`.
fn unless_here(program: &mut SocketProgram, other: Label) {
    let (not_any, here) = (program.asm.label(), program.asm.label());
    program.unless_v6(Ipv6Addr::UNSPECIFIED, 128, not_any);
    program.asm.jump(here);
    program.asm.place(not_any);
    program.unless_v6(Ipv6Addr::LOCALHOST, 128, other);
    program.asm.place(here);
}

fn for_ipv6(addresses: &Addresses) -> Option<IpAddr> {
    addresses.v6.map(IpAddr::V6).or_else(|| addresses.v4.map(IpAddr::V4))
}
