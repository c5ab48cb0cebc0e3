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

/// A container's network mode, and what lightship adds to it.
pub struct Way {
    /// Of the container, and of the runtime that is registered for it.
    pub name: &'static str,
    /// What the report calls it.
    pub title: &'static str,
    /// Shares the host's network.
    pub host: bool,
    /// docker-proxy listens on the host, instead of a rule of the packet filter for everybody.
    pub userland_proxy: bool,
    /// What is added to a port to get that of the host; where a container binds it, below the ports that the kernel chooses.
    pub shift: u16,
    /// The other arguments of the runtime.
    arguments: &'static [&'static str],
}

const OFF: &[&str] = &["--net-counters=off", "--net-diagnose=off"];

/// All of them; the others are compared with the first.
pub const WAYS: [Way; 6] = [
    Way::host("host", "host", 0, OFF),
    Way::host("publish", "host, publish", 8_000, OFF),
    Way::host("counters", "host, publish, counters", 16_000, &["--net-diagnose=off"]),
    Way::host("diagnosis", "host, publish, counters, diagnosis", 24_000, &[]),
    Way::bridge("bridge", "bridge -p, no userland proxy", 40_000, false),
    Way::bridge("proxy", "bridge -p, userland proxy", 50_000, true),
];

impl Way {
    const fn host(name: &'static str, title: &'static str, shift: u16, arguments: &'static [&'static str]) -> Self {
        Self { name, title, host: true, userland_proxy: false, shift, arguments }
    }

    const fn bridge(name: &'static str, title: &'static str, shift: u16, userland_proxy: bool) -> Self {
        Self { name, title, host: false, userland_proxy, shift, arguments: &[] }
    }

    /// The arguments of the runtime, as daemon.json has them.
    pub fn runtime_arguments(&self) -> Vec<String> {
        let mut arguments: Vec<String> = self.arguments.iter().map(|&argument| argument.to_owned()).collect();
        if self.host && self.shift > 0 {
            // The measured calls are of both protocols.
            arguments.push(format!("--net-publish={},{}/udp", self.published().join(","), self.mapping(CALLS)));
        }
        arguments
    }

    /// The options of `docker run`.
    pub fn options(&self) -> Vec<String> {
        if self.host {
            return ["--network", "host"].map(str::to_owned).to_vec();
        }
        self.published().into_iter().flat_map(|mapping| ["-p".to_owned(), format!("127.0.0.1:{mapping}")]).collect()
    }

    fn published(&self) -> Vec<String> {
        PORTS.map(|port| self.mapping(port)).to_vec()
    }

    fn mapping(&self, port: u16) -> String {
        format!("{}:{port}", port + self.shift)
    }
}
