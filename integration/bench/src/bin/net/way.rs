//! The ways to a server in a container that are compared.

/// The port of our own server, as the container sees it.
pub const ECHO: u16 = 7;
/// A port that the measured calls use; nobody listens on it.
pub const CALLS: u16 = 7000;
/// The port of nginx.
pub const NGINX: u16 = 80;
/// The port of redis.
pub const REDIS: u16 = 6379;
/// The port of iperf3.
pub const IPERF: u16 = 5201;

const PORTS: [u16; 5] = [ECHO, CALLS, NGINX, REDIS, IPERF];

/// A container's network mode with what lightship adds to it, and from where a client reaches it.
pub struct Way {
    /// Of the container, and of the runtime that is registered for it.
    pub name: &'static str,
    /// What the report calls it.
    pub title: &'static str,
    /// The container's network, as `docker run --network` has it.
    pub network: &'static str,
    /// That of the client's container; without one the client is a process of the host, and ports are published.
    pub client: Option<&'static str>,
    /// The container is on another host than the client.
    pub remote: bool,
    /// docker-proxy listens on the host, instead of a rule of the packet filter for everybody.
    pub userland_proxy: bool,
    /// What is added to a port to get that of the host; where a container binds it, below the ports that the kernel chooses.
    pub shift: u16,
    /// The other arguments of the runtime.
    arguments: &'static [&'static str],
}

const OFF: &[&str] = &["--net-counters=off", "--net-diagnose=off"];

/// All of them; the others are compared with the first.
pub const WAYS: [Way; 11] = [
    Way::host("host", "host", 0, OFF),
    Way::host("publish", "host, publish", 8_000, OFF),
    Way::host("counters", "host, publish, counters", 16_000, &["--net-diagnose=off"]),
    Way::host("diagnosis", "host, publish, counters, diagnosis", 24_000, &[]),
    Way::bridge("bridge", "bridge -p, no userland proxy", 40_000, false),
    Way::bridge("proxy", "bridge -p, userland proxy", 50_000, true),
    Way::between("shared", "container:X", "bridge", "container:shared"),
    Way::between("user", "user-defined bridge", USER_BRIDGE, USER_BRIDGE),
    Way::between("macvlan", "macvlan", MACVLAN, MACVLAN),
    Way { remote: true, ..Way::host("wire", "host, from another host", 0, OFF) },
    Way { remote: true, ..Way::between("overlay", "overlay, from another host", OVERLAY, OVERLAY) },
];

/// A user-defined bridge.
pub const USER_BRIDGE: &str = "user-bridge";
/// A macvlan network.
pub const MACVLAN: &str = "macvlan";
/// A network of the swarm.
pub const OVERLAY: &str = "overlay";

impl Way {
    const fn host(name: &'static str, title: &'static str, shift: u16, arguments: &'static [&'static str]) -> Self {
        let (network, client, remote, userland_proxy) = ("host", None, false, false);
        Self { name, title, network, client, remote, userland_proxy, shift, arguments }
    }

    const fn bridge(name: &'static str, title: &'static str, shift: u16, userland_proxy: bool) -> Self {
        Self { network: "bridge", userland_proxy, ..Self::host(name, title, shift, &[]) }
    }

    const fn between(name: &'static str, title: &'static str, network: &'static str, client: &'static str) -> Self {
        Self { network, client: Some(client), ..Self::host(name, title, 0, &[]) }
    }

    /// In the host's network.
    pub fn is_host(&self) -> bool {
        self.network == "host"
    }

    /// The container and its client are on the same host, and one of its processes is the client.
    fn is_local(&self) -> bool {
        self.client.is_none() && !self.remote
    }

    /// What is asked at a port of the container. What other programs tell is for one host: a round would take minutes.
    pub fn serves(&self, port: u16) -> bool {
        self.is_local() || matches!(port, ECHO | IPERF)
    }

    /// The calls are measured in the container.
    pub fn has_calls(&self) -> bool {
        self.is_local() && self.is_host()
    }

    /// The arguments of the runtime, as daemon.json has them.
    pub fn runtime_arguments(&self) -> Vec<String> {
        let mut arguments: Vec<String> = self.arguments.iter().map(|&argument| argument.to_owned()).collect();
        if self.is_host() && self.shift > 0 {
            // The measured calls are of both protocols.
            arguments.push(format!("--net-publish={},{}/udp", self.published().join(","), self.mapping(CALLS)));
        }
        arguments
    }

    /// The options of `docker run`.
    pub fn options(&self) -> Vec<String> {
        let mut options = ["--network", self.network].map(str::to_owned).to_vec();
        if self.is_local() && !self.is_host() {
            options
                .extend(self.published().into_iter().flat_map(|port| ["-p".to_owned(), format!("127.0.0.1:{port}")]));
        }
        options
    }

    fn published(&self) -> Vec<String> {
        PORTS.map(|port| self.mapping(port)).to_vec()
    }

    fn mapping(&self, port: u16) -> String {
        format!("{}:{port}", port + self.shift)
    }
}
