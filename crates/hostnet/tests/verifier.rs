//! The kernel's verifier takes every program that can be generated. Needs root; where bpf(2) cannot be used it says so and passes.
#![allow(clippy::unwrap_used, clippy::print_stderr, clippy::panic)]

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use hostnet::NetPlan;
use hostnet::programs::{Host, Maps, Program, generate};
use hostnet::rules::{Addresses, AllowedBind, AllowedConnect, Network, PortRange, Protocol, Publish, Published};
use sys::bpf::{self, KernelTypes};

/// Loads all programs of a plan, as they are without the kernel's types and with them, and returns how many there are without.
fn accept(what: &str, plan: &NetPlan) -> usize {
    let maps = match Maps::create(plan) {
        Ok(maps) => maps,
        Err(error) => {
            eprintln!("skipped: no map can be made here: {error}");
            return 0;
        }
    };
    let types = KernelTypes::read();
    if types.is_none() {
        eprintln!("skipped: this kernel does not tell the types that programs need");
    }
    let load = |types| load_all(what, &generate(plan, &maps, Host { types, ..HOST }).unwrap());
    types.into_iter().for_each(|types| _ = load(Some(types)));
    load(None)
}

fn load_all(what: &str, programs: &[Program]) -> usize {
    for program in programs {
        let hook = program.hooks[0];
        if let Err(error) = bpf::load(hook, program.name, &program.code) {
            let log = bpf::verifier_log(hook, &program.code);
            let end = log.len().saturating_sub(3000);
            panic!("{what}: {} of {} instructions: {error}\n{}", hook.name(), program.code.len(), &log[end..]);
        }
    }
    eprintln!("{what}: {} instructions", programs.iter().map(|program| program.code.len()).sum::<usize>());
    programs.len()
}

const HOST: Host = Host { netns: 1, types: None };

const SIZES: [u16; 4] = [0, 1, 32, 1000];

fn single(port: u16) -> PortRange {
    PortRange { first: port, last: port }
}

/// An address of a kind of its own for each number.
fn address(number: u16) -> IpAddr {
    match number % 2 {
        0 => Ipv4Addr::new(10, 1, (number >> 8) as u8, number as u8).into(),
        _ => Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, number).into(),
    }
}

fn published(number: u16, address: Option<IpAddr>) -> Published {
    let protocol = if number.is_multiple_of(3) { Protocol::Udp } else { Protocol::Tcp };
    let at = |base: u16| PortRange { first: base + 3 * number, last: base + 3 * number + number % 2 };
    Published { address, host: at(20_000), inside: at(1_000), protocol }
}

#[test]
fn publish() {
    for size in SIZES {
        let rules = |address: fn(u16) -> Option<IpAddr>| (0..size).map(|n| published(n, address(n))).collect();
        let plan = |rules, auto| NetPlan { publish: Publish { rules, auto }, ..NetPlan::default() };
        accept(&format!("publish {size}"), &plan(rules(|_| None), false));
        accept(&format!("publish {size} and auto"), &plan(rules(|_| None), true));
        accept(&format!("publish {size} at addresses"), &plan(rules(|n| Some(address(n % 8))), false));
        let rules = rules(|_| Some(Ipv4Addr::LOCALHOST.into())).into_iter();
        let twins = rules.flat_map(|rule| [rule, Published { address: Some(Ipv6Addr::LOCALHOST.into()), ..rule }]);
        accept(&format!("publish {size} at an address of each family"), &plan(twins.collect(), true));
    }
}

#[test]
fn allow_bind() {
    for size in SIZES {
        for protocol in [None, Some(Protocol::Tcp)] {
            let rules = (0..size).map(|n| AllowedBind { ports: single(1 + 7 * n), protocol }).collect();
            let plan = NetPlan { allow_bind: Some(rules), ..NetPlan::default() };
            // One for socket(2), and two for bind(2).
            let count = accept(&format!("allow-bind {size}"), &plan);
            assert!([0, 3].contains(&count), "{count}");
        }
    }
}

#[test]
fn allow_connect() {
    for size in SIZES {
        for protocol in [None, Some(Protocol::Udp)] {
            let rule = |n: u16| {
                let prefix = if n.is_multiple_of(5) { 24 } else { 32 * (1 + 3 * u8::from(n % 2 == 1)) };
                AllowedConnect { network: Some(Network { address: address(n), prefix }), ports: single(n), protocol }
            };
            let plan = NetPlan { allow_connect: Some((0..size).map(rule).collect()), ..NetPlan::default() };
            accept(&format!("allow-connect {size}"), &plan);
            let address = Some(Addresses { v4: Some(Ipv4Addr::LOCALHOST), v6: Some(Ipv6Addr::LOCALHOST) });
            accept(&format!("allow-connect {size}, twice"), &NetPlan { list_holds_where_moved: true, address, ..plan });
        }
    }
    let any = AllowedConnect { network: None, ports: PortRange::ALL, protocol: None };
    accept("allow-connect to anywhere", &NetPlan { allow_connect: Some(vec![any]), ..NetPlan::default() });
}

#[test]
fn addresses() {
    let (v4, v6) = (Some(Ipv4Addr::new(127, 0, 0, 4)), Some(Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 4)));
    for addresses in [Addresses { v4, v6: None }, Addresses { v4: None, v6 }, Addresses { v4, v6 }] {
        accept("address", &NetPlan { address: Some(addresses), ..NetPlan::default() });
    }
}

#[test]
fn everything_at_once() {
    let plan = NetPlan {
        publish: Publish { rules: (0..1000).map(|n| published(n, None)).collect(), auto: true },
        address: Some(Addresses { v4: Some(Ipv4Addr::LOCALHOST), v6: Some(Ipv6Addr::LOCALHOST) }),
        allow_bind: Some((0..1000).map(|n| AllowedBind { ports: single(60 * n), protocol: None }).collect()),
        allow_connect: Some(vec![AllowedConnect { network: None, ports: single(80), protocol: Some(Protocol::Tcp) }]),
        list_holds_where_moved: true,
        low_ports: true,
        diagnose: true,
        counters: true,
        guard: true,
        ..NetPlan::default()
    };
    // Thirteen of sockets, two for successful binds, one for closed sockets, the one that counts, and the guard.
    let count = accept("everything", &plan);
    assert!([0, 18].contains(&count), "{count}");
}

#[test]
fn nothing_asks_for_no_program() {
    assert_eq!(accept("nothing", &NetPlan::default()), 0);
}

#[test]
fn packets_are_counted_and_let_through() {
    let plan = NetPlan { counters: true, ..NetPlan::default() };
    let Ok(maps) = Maps::create(&plan) else { return eprintln!("skipped: no map can be made here") };
    let [program] = &generate(&plan, &maps, HOST).unwrap()[..] else { panic!("one program for both ways") };
    let loaded = bpf::load(program.hooks[0], program.name, &program.code).unwrap();
    for _ in 0..3 {
        assert_eq!(bpf::test_run(&loaded, &[0; 114]).unwrap(), 1);
    }
    // The first value is of what is sent, as this packet came by no interface.
    let values = maps.counters.as_ref().unwrap().lookup(&[0; 4]).unwrap().unwrap();
    let sum = |at: usize| -> u64 {
        values.chunks_exact(16).map(|value| u64::from_ne_bytes(value[at..at + 8].try_into().unwrap())).sum()
    };
    // Without the Ethernet header.
    assert_eq!((sum(0), sum(8)), (300, 3));
}

#[test]
fn publish_at_as_many_addresses_as_there_may_be() {
    let rules = (0..1000).map(|n| published(n, Some(address(n % 128)))).collect();
    let plan = NetPlan { publish: Publish { rules, auto: true }, diagnose: true, ..NetPlan::default() };
    accept("publish 1000 at 128 addresses", &plan);
}
