//! What CRIU is asked with: the message `criu_opts` of its `images/rpc.proto`, whose field numbers are the values here.

use std::os::fd::RawFd;

use crate::protobuf::Message;

/// Options that are on or off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are those of criu(8)")]
pub enum Flag {
    LeaveRunning = 3,
    ExtUnixSk = 4,
    TcpEstablished = 5,
    EvasiveDevices = 6,
    ShellJob = 7,
    FileLocks = 8,
    /// Tell of the steps: [`crate::Notice`].
    NotifyScripts = 12,
    TrackMem = 15,
    AutoDedup = 16,
    /// The restored process becomes a child of the caller's, not of CRIU's.
    RstSibling = 26,
    LinkRemap = 18,
    TcpSkipInFlight = 46,
    LazyPages = 48,
    /// Hand over the other end of a restored terminal: the notice `orphan-pts-master`.
    OrphanPtsMaster = 50,
}

/// Options with a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are those of criu(8)")]
pub enum Number {
    /// A descriptor of the caller's, which CRIU opens anew through its /proc.
    ImagesDirFd = 1,
    Pid = 2,
    /// 0 (none) to 4 (all).
    LogLevel = 9,
    /// As `ImagesDirFd`; else that is where the log goes.
    WorkDirFd = 17,
    ManageCgroupsMode = 34,
    /// CLONE_NEW* flags.
    EmptyNs = 38,
    /// As `ImagesDirFd`.
    StatusFd = 49,
}

/// Options with a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are those of criu(8)")]
pub enum Text {
    LogFile = 10,
    Root = 13,
    /// Relative to the folder of the images.
    ParentImg = 14,
    /// A resource that is not CRIU's; may be given more than once.
    External = 37,
    FreezeCgroup = 44,
    ConfigFile = 51,
    LsmProfile = 53,
    LsmMountContext = 63,
}

/// What CRIU does about cgroups (criu(8), `--manage-cgroups`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CgroupsMode {
    /// Nothing: restored processes stay where CRIU is.
    Ignore = 0,
    /// Values are restored in cgroups that CRIU has made.
    #[default]
    Soft = 3,
    /// Values are restored always.
    Full = 4,
    /// It is an error if a cgroup is there already.
    Strict = 5,
}

/// The options of one request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options(pub(crate) Message);

impl Options {
    /// Sets an option that is on or off.
    pub fn flag(&mut self, flag: Flag, on: bool) -> &mut Options {
        self.0.number(flag as u32, i64::from(on));
        self
    }

    /// Sets a number.
    pub fn number(&mut self, option: Number, value: i64) -> &mut Options {
        self.0.number(option as u32, value);
        self
    }

    /// Sets or adds a text.
    pub fn text(&mut self, option: Text, value: &[u8]) -> &mut Options {
        self.0.bytes(option as u32, value);
        self
    }

    /// A mount from outside. When dumping, `key` is its mount point and `value` what it is called; when restoring, `key` is what
    /// it was called and `value` its source.
    pub fn external_mount(&mut self, key: &[u8], value: &[u8]) -> &mut Options {
        self.pair(23, key, value)
    }

    /// The cgroup of one controller that takes the place of the dumped one.
    pub fn cgroup_root(&mut self, controller: &[u8], path: &[u8]) -> &mut Options {
        self.pair(25, controller, path)
    }

    /// A namespace to be joined, of criu(8)'s kinds.
    pub fn join_namespace(&mut self, kind: &str, path: &[u8]) -> &mut Options {
        self.pair(39, kind.as_bytes(), path)
    }

    /// A descriptor of CRIU's that takes the place of what was `key`.
    pub fn inherit_fd(&mut self, key: &[u8], fd: RawFd) -> &mut Options {
        let mut message = Message::default();
        message.bytes(1, key).number(2, fd.into());
        self.0.bytes(27, message.as_bytes());
        self
    }

    /// Where memory is sent to.
    pub fn page_server(&mut self, address: &str, port: u16) -> &mut Options {
        let mut message = Message::default();
        message.bytes(1, address.as_bytes()).number(2, port.into());
        self.0.bytes(11, message.as_bytes());
        self
    }

    fn pair(&mut self, field: u32, first: &[u8], second: &[u8]) -> &mut Options {
        let mut message = Message::default();
        message.bytes(1, first).bytes(2, second);
        self.0.bytes(field, message.as_bytes());
        self
    }
}
