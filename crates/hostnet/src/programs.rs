//! The programs of a container: one for each hook, put together from the concerns that are in force.
//!
//! A socket of another network namespace than the host's (Docker in Docker) is left alone: the guard. With the kernel's types the
//! namespace is read from the socket. Without them the kernel is asked, which is the dearest part of most programs: so the guard comes as
//! late as it can, and the diagnosis asks only when it has something to tell.

mod address;
mod attempts;
mod auto;
mod counters;
mod guard;
mod policy;
mod publish;
mod search;
mod socket;

use std::io;
use std::net::IpAddr;
use std::os::fd::AsFd;

use sys::bpf::{self, Assembler, AssemblyError, Hook, If, Instruction, KernelTypes, Map, Register};

pub use attempts::{Attempt, Attempts};
pub use auto::{Moved, moved_port};
pub use counters::{Counters, Traffic};

use crate::plan::NetPlan;
use crate::rules::Protocol;
use socket::{CONTEXT, Family, Here, PORT, SocketProgram};

/// A program for a hook, or for several of one type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program {
    /// Where it is attached; it is loaded for the first one.
    pub hooks: &'static [Hook],
    /// The name that `bpftool prog` shows.
    pub name: &'static str,
    /// Its instructions.
    pub code: Vec<Instruction>,
}

/// What programs have to know of the host.
#[derive(Clone, Copy, Debug)]
pub struct Host {
    /// The cookie of its network namespace.
    pub netns: u64,
    /// The kernel's types, so that programs need not call it.
    pub types: Option<KernelTypes>,
}

/// The maps that the programs of one container share.
#[derive(Debug, Default)]
pub struct Maps {
    /// What was sent and received.
    pub counters: Option<Map>,
    /// Where `publish=auto` has put ports.
    pub moved: Option<Moved>,
    /// What the diagnosis is told.
    pub attempts: Option<Attempts>,
}

impl Maps {
    /// Makes the maps that a plan needs.
    ///
    /// # Errors
    /// Those of bpf(2).
    pub fn create(plan: &NetPlan) -> io::Result<Maps> {
        Ok(Maps {
            counters: plan.counters.then(counters::map).transpose()?,
            moved: plan.publish.auto.then(Moved::create).transpose()?,
            attempts: plan.diagnose.then(Attempts::create).transpose()?,
        })
    }
}

/// The programs of a plan.
///
/// # Errors
/// Too many rules.
pub fn generate(plan: &NetPlan, maps: &Maps, host: Host) -> Result<Vec<Program>, AssemblyError> {
    let mut programs = Vec::new();
    let mut add = |hooks, name, code: Result<Vec<Instruction>, AssemblyError>| {
        programs.push(Program { hooks, name, code: code? });
        Ok(())
    };
    let socket = |family| SocketProgram::new(family, host, false);
    let udp_socket = |family| SocketProgram::new(family, host, true);
    if plan.allow_bind.is_some() || plan.allow_connect.is_some() {
        add(&[Hook::SockCreate], "ls_socket", policy::check_kind(host))?;
    }
    if governs_bind(plan) || plan.diagnose {
        add(&[Hook::Bind4], "ls_bind4", bind(plan, maps, host, socket(Family::V4)))?;
        add(&[Hook::Bind6], "ls_bind6", bind(plan, maps, host, socket(Family::V6)))?;
    }
    if publishes(plan) || plan.address.is_some() || plan.allow_connect.is_some() {
        add(&[Hook::Connect4], "ls_connect4", connect(plan, maps, socket(Family::V4), true))?;
        add(&[Hook::Connect6], "ls_connect6", connect(plan, maps, socket(Family::V6), true))?;
    }
    // These hooks are of UDP alone.
    if publishes_udp(plan) || plan.address.is_some() || plan.allow_connect.is_some() {
        add(&[Hook::SendMsg4], "ls_sendmsg4", connect(plan, maps, udp_socket(Family::V4), false))?;
        add(&[Hook::SendMsg6], "ls_sendmsg6", connect(plan, maps, udp_socket(Family::V6), false))?;
    }
    if publishes(plan) {
        // These run a few times in a connection at most. A program that uses types takes longer to load, and they would have to run
        // hundreds of times to make up for it.
        let socket = |family| SocketProgram::new(family, Host { types: None, ..host }, false);
        add(&[Hook::GetSockName4], "ls_sockname4", show_own(plan, maps, socket(Family::V4)))?;
        add(&[Hook::GetSockName6], "ls_sockname6", show_own(plan, maps, socket(Family::V6)))?;
        add(&[Hook::GetPeerName4], "ls_peername4", show_other(plan, maps, socket(Family::V4)))?;
        add(&[Hook::GetPeerName6], "ls_peername6", show_other(plan, maps, socket(Family::V6)))?;
    }
    if publishes_udp(plan) {
        add(&[Hook::RecvMsg4], "ls_recvmsg4", show_other(plan, maps, udp_socket(Family::V4)))?;
        add(&[Hook::RecvMsg6], "ls_recvmsg6", show_other(plan, maps, udp_socket(Family::V6)))?;
    }
    // With the types a socket's port is seen as it is closed.
    if maps.moved.is_some() || maps.attempts.is_some() && host.types.is_none() {
        add(&[Hook::PostBind4], "ls_bound4", bound(maps, host))?;
        add(&[Hook::PostBind6], "ls_bound6", bound(maps, host))?;
    }
    if let Some(maps) = &maps.attempts {
        add(&[Hook::SockRelease], "ls_closed", closed(maps, host))?;
    }
    if let Some(map) = &maps.counters {
        add(&[Hook::Ingress, Hook::Egress], "ls_traffic", counters::program(map))?;
    }
    if plan.guard {
        add(&[Hook::Sysctl], "ls_guard", guard::program())?;
    }
    Ok(programs)
}

fn publishes(plan: &NetPlan) -> bool {
    plan.publish.auto || !plan.publish.rules.is_empty()
}

/// Whether bind(2) is changed or refused.
fn governs_bind(plan: &NetPlan) -> bool {
    publishes(plan) || plan.address.is_some() || plan.allow_bind.is_some() || plan.low_ports
}

fn publishes_udp(plan: &NetPlan) -> bool {
    plan.publish.auto || plan.publish.rules.iter().any(|rule| rule.protocol == Protocol::Udp)
}

/// bind(2): what the container may not have is refused as it asks for it, before anything is moved.
fn bind(
    plan: &NetPlan,
    maps: &Maps,
    host: Host,
    mut program: SocketProgram,
) -> Result<Vec<Instruction>, AssemblyError> {
    if plan.address.is_none() && maps.moved.is_none() {
        // "Any free one": nobody has it, and it is nobody's.
        program.asm.jump_if(PORT, If::Equal, 0, program.pass);
    }
    if governs_bind(plan) {
        program.guard();
    }
    if let Some(moved) = &maps.moved {
        auto::own(&mut program, moved);
    }
    if maps.attempts.is_some() {
        attempts::keep_port(&mut program);
    }
    if let Some(allowed) = &plan.allow_bind {
        policy::check_bind(&mut program, allowed);
    }
    if let Some(addresses) = &plan.address {
        address::confine_bind(&mut program, addresses);
    }
    publish::bind(&mut program, &plan.publish, maps.moved.as_ref());
    if let Some(maps) = &maps.attempts {
        attempts::attempt(&mut program, maps, host, plan.address.is_some() || plan.publish.auto);
    }
    program.finish_bind(plan.low_ports)
}

/// After bind(2), when the socket has its port.
fn bound(maps: &Maps, host: Host) -> Result<Vec<Instruction>, AssemblyError> {
    let mut asm = Assembler::default();
    let refused = asm.label();
    asm.copy(CONTEXT, Register::R1);
    if let Some(moved) = &maps.moved {
        auto::learn(&mut asm, moved, refused);
    }
    if let Some(maps) = maps.attempts.as_ref().filter(|_| host.types.is_none()) {
        attempts::bound(&mut asm, maps);
    }
    asm.answer(1);
    asm.place(refused);
    asm.answer(0);
    asm.finish()
}

/// As a socket is closed.
fn closed(maps: &Attempts, host: Host) -> Result<Vec<Instruction>, AssemblyError> {
    let mut asm = Assembler::default();
    asm.copy(CONTEXT, Register::R1);
    attempts::closed(&mut asm, maps, host);
    asm.answer(1);
    asm.finish()
}

/// connect(2) and sendto(2): to itself the container goes where the host has put it.
fn connect(
    plan: &NetPlan,
    maps: &Maps,
    mut program: SocketProgram,
    may_map: bool,
) -> Result<Vec<Instruction>, AssemblyError> {
    if plan.allow_connect.is_some() || plan.address.is_some() {
        program.guard();
    }
    if let Some(allowed) = &plan.allow_connect {
        policy::check_connect(&mut program, allowed);
    }
    if publishes(plan) {
        publish::connect(&mut program, &plan.publish, maps.moved.as_ref(), &here(plan), may_map);
    }
    if let Some(addresses) = &plan.address {
        address::redirect_connect(&mut program, addresses, may_map);
    }
    if let Some(allowed) = plan.allow_connect.as_ref().filter(|_| plan.list_holds_where_moved) {
        program.load_port();
        policy::check_connect(&mut program, allowed);
    }
    program.finish()
}

/// getsockname(2): the container's own port, as it knows it.
fn show_own(plan: &NetPlan, maps: &Maps, mut program: SocketProgram) -> Result<Vec<Instruction>, AssemblyError> {
    publish::own_side(&mut program, &plan.publish, maps.moved.as_ref());
    program.finish()
}

/// getpeername(2), accept(2) and recvfrom(2): if the other side is the container itself, its port as the container knows it.
fn show_other(plan: &NetPlan, maps: &Maps, mut program: SocketProgram) -> Result<Vec<Instruction>, AssemblyError> {
    publish::other_side(&mut program, &plan.publish, maps.moved.as_ref(), &here(plan));
    program.finish()
}

/// Whatever the port: a rule's address is its own port's. With `address`, of the IPv4 loopback addresses only 127.0.0.1 leads to the container.
fn here(plan: &NetPlan) -> Here {
    let confined = plan.address.iter().flat_map(|a| [a.v4.map(IpAddr::V4), a.v6.map(IpAddr::V6)]).flatten();
    Here { addresses: confined.collect(), at_localhost_alone: plan.address.is_some() }
}

/// The map with this name of the programs at a hook of a cgroup v2 directory. Nothing is pinned: the programs are found by their
/// cgroup, and the map by its program.
fn find_map(hook: Hook, cgroup: impl AsFd, name: &str) -> io::Result<Option<Map>> {
    for program in bpf::attached(hook, cgroup)? {
        for map in bpf::maps_of(bpf::program_by_id(program)?)? {
            let map = Map::by_id(map)?;
            if map.name() == name.as_bytes() {
                return Ok(Some(map));
            }
        }
    }
    Ok(None)
}
