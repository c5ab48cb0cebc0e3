//! A connection to systemd: over its own socket, where it answers its user without a bus in between (as systemctl(1) does), or
//! over the message bus.

use std::env;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags};
use rustix::io::Errno;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketAddrUnix, SocketFlags, SocketType};

use super::wire::{Kind, Message, Value};
use crate::kernfs::timespec;

const SYSTEMD: &str = "org.freedesktop.systemd1";
const SYSTEMD_PATH: &str = "/org/freedesktop/systemd1";
const MANAGER: &str = "org.freedesktop.systemd1.Manager";
const PROPERTIES: &str = "org.freedesktop.DBus.Properties";
const BUS: &str = "org.freedesktop.DBus";
const BUS_PATH: &str = "/org/freedesktop/DBus";
/// On a bus each signal has to be asked for.
const JOB_REMOVED: &str = "type='signal',interface='org.freedesktop.systemd1.Manager',member='JobRemoved'";

/// How long an answer, or a job, may take. A systemd that reloads a thousand units answers nobody for seconds.
const LIMIT: Duration = Duration::from_secs(30);

/// Why systemd did not do what it was asked.
#[derive(Debug)]
pub(crate) enum Failure {
    /// It refused: name of the error, and its text.
    Refused(String, String),
    /// The conversation itself failed.
    Io(Errno),
    /// Nothing came in time.
    Late,
    /// What came makes no sense.
    Odd(&'static str),
}

impl Failure {
    /// Whether this is systemd's word for that there is no such unit.
    pub(crate) fn is_no_unit(&self) -> bool {
        matches!(self, Failure::Refused(name, _) if name == "org.freedesktop.systemd1.NoSuchUnit")
    }

    /// Whether this is systemd's word for that the unit is there already.
    pub(crate) fn is_unit_exists(&self) -> bool {
        matches!(self, Failure::Refused(name, _) if name == "org.freedesktop.systemd1.UnitExists")
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Failure::Refused(name, text) if text.is_empty() => f.write_str(name),
            Failure::Refused(_, text) => f.write_str(text),
            Failure::Io(errno) => f.write_str(&crate::error::errno_text(*errno)),
            Failure::Late => write!(f, "no answer within {} s", LIMIT.as_secs()),
            Failure::Odd(what) => f.write_str(what),
        }
    }
}

impl From<Errno> for Failure {
    fn from(errno: Errno) -> Self {
        Failure::Io(errno)
    }
}

/// The connection.
#[derive(Debug)]
pub(crate) struct Connection {
    socket: OwnedFd,
    /// What has arrived and is not a whole message yet.
    inbox: Vec<u8>,
    /// Jobs that have ended, with their results: the word may come before the answer to the call that waits for it.
    ended: Vec<(String, String)>,
    serial: u32,
}

impl Connection {
    /// Connects to the system's instance, or to the one of the calling user.
    ///
    /// # Errors
    /// None of the sockets is there; nobody answers.
    pub(crate) fn open(user: bool) -> Result<Connection, Failure> {
        let mut failed = Failure::Io(Errno::NOENT);
        for address in if user { user_addresses() } else { system_addresses() } {
            match Self::at(&address) {
                Ok(connection) => return Ok(connection),
                Err(failure) => failed = failure,
            }
        }
        Err(failed)
    }

    fn at(address: &Address) -> Result<Connection, Failure> {
        let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
        rustix::net::connect(&socket, &address.socket)?;
        let mut connection = Connection { socket, inbox: Vec::new(), ended: Vec::new(), serial: 0 };
        connection.authenticate()?;
        if address.is_bus {
            connection.call(BUS, BUS_PATH, BUS, "Hello", &[])?;
            connection.call(BUS, BUS_PATH, BUS, "AddMatch", &[JOB_REMOVED.into()])?;
        }
        Ok(connection)
    }

    /// SASL EXTERNAL with no identity of its own: the kernel tells the other end who we are, also from inside a user
    /// namespace, where our number of the user is another one (D-Bus specification, "Authentication Protocol").
    ///
    /// `BEGIN` goes out with a line that is answered: sd-bus, at systemd's own socket, loses sight of a message that arrives
    /// together with `BEGIN` until another one comes.
    fn authenticate(&mut self) -> Result<(), Failure> {
        self.send(b"\0AUTH EXTERNAL\r\n")?;
        let answer = self.line()?;
        let is_accepted = if answer == "DATA" {
            self.send(b"DATA\r\nBEGIN\r\n")?;
            self.line()?.starts_with("OK ")
        } else {
            // systemd before 246 asks for no more. Whatever it answers will do.
            self.send(b"NEGOTIATE_UNIX_FD\r\nBEGIN\r\n")?;
            self.line()?;
            answer.starts_with("OK ")
        };
        if is_accepted { Ok(()) } else { Err(Failure::Odd("it does not accept this user")) }
    }

    fn line(&mut self) -> Result<String, Failure> {
        let deadline = Instant::now() + LIMIT;
        loop {
            if let Some(end) = self.inbox.windows(2).position(|pair| pair == b"\r\n") {
                let line = String::from_utf8_lossy(&self.inbox[..end]).into_owned();
                self.inbox.drain(..end + 2);
                return Ok(line);
            }
            if self.inbox.len() > 4096 {
                return Err(Failure::Odd("it does not speak D-Bus"));
            }
            self.receive(deadline)?;
        }
    }

    /// Calls a method of systemd's manager; the answer is what the method returns.
    pub(crate) fn manager(&mut self, method: &str, arguments: &[Value]) -> Result<Vec<Value>, Failure> {
        self.call(SYSTEMD, SYSTEMD_PATH, MANAGER, method, arguments)
    }

    /// A property of systemd's manager that is a text.
    pub(crate) fn manager_text(&mut self, property: &str) -> Result<String, Failure> {
        let values = self.call(SYSTEMD, SYSTEMD_PATH, PROPERTIES, "Get", &[MANAGER.into(), property.into()])?;
        let text = values.first().and_then(Value::as_text);
        Ok(text.ok_or(Failure::Odd("it tells a property that is no text"))?.to_owned())
    }

    /// Calls a method that makes a job, and waits until the job has ended: `done`, or why not.
    pub(crate) fn job(&mut self, method: &str, arguments: &[Value]) -> Result<String, Failure> {
        let answer = self.manager(method, arguments)?;
        let job = answer.first().and_then(Value::as_text).ok_or(Failure::Odd("it names no job"))?.to_owned();
        let deadline = Instant::now() + LIMIT;
        loop {
            if let Some(at) = self.ended.iter().position(|(ended, _)| *ended == job) {
                return Ok(self.ended.swap_remove(at).1);
            }
            let message = self.message(deadline)?;
            self.note(&message);
        }
    }

    fn call(
        &mut self,
        destination: &str,
        path: &str,
        interface: &str,
        method: &str,
        arguments: &[Value],
    ) -> Result<Vec<Value>, Failure> {
        self.serial += 1;
        let call = Message { serial: self.serial, ..Message::call(destination, path, interface, method, arguments) };
        self.send(&call.to_bytes())?;
        let deadline = Instant::now() + LIMIT;
        loop {
            let message = self.message(deadline)?;
            match message.kind {
                Kind::Return if message.reply_to == self.serial => return Ok(message.values()),
                Kind::Error if message.reply_to == self.serial => {
                    let text = message.values().first().and_then(Value::as_text).unwrap_or_default().to_owned();
                    return Err(Failure::Refused(message.error, text));
                }
                _ => self.note(&message),
            }
        }
    }

    /// Remembers the end of a job; `JobRemoved` has its number, path, unit and result.
    fn note(&mut self, message: &Message) {
        if message.kind != Kind::Signal || message.interface != MANAGER || message.member != "JobRemoved" {
            return;
        }
        if let [_, job, _, result] = message.values().as_slice()
            && let (Some(job), Some(result)) = (job.as_text(), result.as_text())
        {
            self.ended.push((job.to_owned(), result.to_owned()));
        }
    }

    fn message(&mut self, deadline: Instant) -> Result<Message, Failure> {
        loop {
            if let Some(message) = Message::take(&mut self.inbox).map_err(Failure::Odd)? {
                return Ok(message);
            }
            self.receive(deadline)?;
        }
    }

    fn receive(&mut self, deadline: Instant) -> Result<(), Failure> {
        loop {
            let left = timespec(deadline.saturating_duration_since(Instant::now()));
            let mut watched = [PollFd::new(&self.socket, PollFlags::IN)];
            match rustix::event::poll(&mut watched, Some(&left)) {
                Ok(0) => return Err(Failure::Late),
                Ok(_) => break,
                Err(Errno::INTR) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
        self.inbox.reserve(4096);
        let buffer = rustix::buffer::spare_capacity(&mut self.inbox);
        match rustix::net::recv(&self.socket, buffer, RecvFlags::empty()) {
            Ok((0, _)) => Err(Failure::Odd("it closed the connection")),
            Ok(_) | Err(Errno::INTR) => Ok(()),
            Err(errno) => Err(errno.into()),
        }
    }

    fn send(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        let mut rest = bytes;
        while !rest.is_empty() {
            match rustix::net::send(&self.socket, rest, SendFlags::NOSIGNAL) {
                Ok(sent) => rest = rest.get(sent..).unwrap_or_default(),
                Err(Errno::INTR) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
        Ok(())
    }
}

/// Where systemd is to be reached.
struct Address {
    socket: SocketAddrUnix,
    /// A message bus, and not systemd itself.
    is_bus: bool,
}

/// systemd's own socket, then the bus.
fn system_addresses() -> Vec<Address> {
    let at = |path: &str, is_bus| SocketAddrUnix::new(path).map(|socket| Address { socket, is_bus });
    [at("/run/systemd/private", false), at("/run/dbus/system_bus_socket", true)].into_iter().flatten().collect()
}

fn user_addresses() -> Vec<Address> {
    let runtime_dir = match env::var_os("XDG_RUNTIME_DIR") {
        Some(dir) => PathBuf::from(dir),
        // Where pam_systemd(8) has it.
        None => format!("/run/user/{}", rustix::process::geteuid().as_raw()).into(),
    };
    let session = env::var("DBUS_SESSION_BUS_ADDRESS").unwrap_or_default();
    let own = SocketAddrUnix::new(runtime_dir.join("systemd/private"));
    let own = own.into_iter().map(|socket| Address { socket, is_bus: false });
    let buses = bus_addresses(&session).into_iter().chain(SocketAddrUnix::new(runtime_dir.join("bus")));
    own.chain(buses.map(|socket| Address { socket, is_bus: true })).collect()
}

/// The unix sockets of an address (D-Bus specification, "Server Addresses"): `unix:path=P;unix:abstract=N,guid=…`.
fn bus_addresses(text: &str) -> Vec<SocketAddrUnix> {
    let unix = text.split(';').filter_map(|address| address.strip_prefix("unix:"));
    let pairs = unix.flat_map(|pairs| pairs.split(','));
    let address = |pair: &str| match pair.split_once('=')? {
        ("path", path) => SocketAddrUnix::new(unescape(path)).ok(),
        ("abstract", name) => SocketAddrUnix::new_abstract_name(&unescape(name)).ok(),
        _ => None,
    };
    pairs.filter_map(address).collect()
}

/// An address has `%XX` for what is not a letter or digit.
fn unescape(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let [first, others @ ..] = rest {
        let code = (*first == b'%').then(|| others.get(..2)).flatten();
        let code = code.and_then(|digits| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok());
        bytes.push(code.unwrap_or(*first));
        rest = if code.is_some() { &others[2..] } else { others };
    }
    bytes
}

#[cfg(test)]
#[allow(clippy::disallowed_methods)] // the lints in clippy.toml guard the product; tests start programs
mod tests {
    use std::io::{BufRead, BufReader};
    use std::process::{Child, Command, Stdio};

    use super::*;

    /// A dbus-daemon that ends with the test.
    struct Daemon(Child);

    impl Drop for Daemon {
        fn drop(&mut self) {
            self.0.kill().unwrap();
            self.0.wait().unwrap();
        }
    }

    /// Starts a bus of its own; nothing where there is no dbus-daemon (Debian's package dbus).
    fn daemon() -> Option<(Daemon, Address)> {
        let mut command = Command::new("dbus-daemon");
        command.args(["--session", "--nofork", "--print-address", "--address=unix:dir=/tmp"]).stdout(Stdio::piped());
        let Ok(mut child) = command.spawn() else {
            eprintln!("skipped: there is no dbus-daemon");
            return None;
        };
        let mut address = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut address).unwrap();
        let socket = bus_addresses(address.trim()).swap_remove(0);
        Some((Daemon(child), Address { socket, is_bus: true }))
    }

    #[test]
    fn a_bus_understands_us_and_tells_what_jobs_have_ended() {
        let Some((_daemon, address)) = daemon() else { return };
        let mut connection = Connection::at(&address).unwrap();
        let mut ask = |method: &str| connection.call(BUS, BUS_PATH, BUS, method, &[SYSTEMD.into()]);
        assert_eq!(ask("NameHasOwner").unwrap(), [Value::Bool(false)]);
        let refused = ask("NoSuchMethod").unwrap_err();
        assert!(matches!(&refused, Failure::Refused(name, _) if name.ends_with("UnknownMethod")), "{refused:?}");

        let mut other = Connection::at(&address).unwrap();
        let job = [Value::Uint32(7), Value::Path("/job/7".to_owned()), "a.scope".into(), "done".into()];
        let call = Message::call("", SYSTEMD_PATH, MANAGER, "JobRemoved", &job);
        other.send(&Message { kind: Kind::Signal, serial: 9, ..call }.to_bytes()).unwrap();
        // The bus keeps the order, so when it has answered the one the other has had its signal.
        other.call(BUS, BUS_PATH, BUS, "GetId", &[]).unwrap();
        connection.call(BUS, BUS_PATH, BUS, "GetId", &[]).unwrap();
        assert_eq!(connection.ended, [("/job/7".to_owned(), "done".to_owned())]);
    }

    #[test]
    fn addresses_of_buses_are_read() {
        let found = bus_addresses("unix:path=/run/user/1000/bus,guid=0;tcp:host=x;unix:abstract=/tmp/a%20b");
        assert_eq!(found.len(), 2, "{found:?}");
        assert_eq!(found[0].path().unwrap().to_bytes(), b"/run/user/1000/bus");
        assert_eq!(found[1].abstract_name().unwrap(), b"/tmp/a b");
        assert_eq!(unescape("%zz%"), b"%zz%");
    }
}
