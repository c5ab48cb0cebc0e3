//! The device allow-list: rules in order, for v1's controller or as a program for the unified hierarchy.
//!
//! Every access starts out denied. Then come the configuration's rules, then the devices that every container has
//! (config-linux.md, Default Devices) and leave to make nodes of any device, which alone opens none.
//!
//! The program decides by access bit: the last rule that speaks of a bit wins. v1 keeps a list of exceptions instead,
//! where a denied device is only taken off the list; the two differ where a single device is denied that a wildcard
//! allows, which v1 cannot express.

use std::os::fd::OwnedFd;
use std::path::Path;

use spec::{DeviceRule, DeviceRuleType, Refusal};

use crate::error::Error;
use crate::limits::Write;

const READ: u8 = 2;
const WRITE: u8 = 4;
const MKNOD: u8 = 1;
const ALL: u8 = READ | WRITE | MKNOD;

/// Character or block: the numbers are the kernel's (`BPF_DEVCG_DEV_*`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `BPF_DEVCG_DEV_BLOCK`
    Block = 1,
    /// `BPF_DEVCG_DEV_CHAR`
    Char = 2,
}

/// A rule as both versions take it: one kind of device, wildcards resolved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Allow or deny.
    pub allow: bool,
    /// Both kinds if absent.
    pub kind: Option<Kind>,
    /// Any if absent.
    pub major: Option<u32>,
    /// Any if absent.
    pub minor: Option<u32>,
    /// `BPF_DEVCG_ACC_*` bits: mknod 1, read 2, write 4.
    pub access: u8,
    /// JSON pointer of the rule, or of the list for a default one.
    pub pointer: String,
}

/// One step of the filter program, with registers as in BPF's calling convention.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Instruction {
    /// (written below)
    Exit,
}

/// Reads the rules of a configuration and adds the defaults.
pub(crate) fn rules(_rules: &[DeviceRule], _pointer: &str) -> Result<Vec<Rule>, Refusal> {
    let _ = (ALL, DeviceRuleType::All);
    Ok(Vec::new())
}

pub(crate) fn v1_writes(_rules: &[Rule], _dir: usize) -> Vec<Write> {
    Vec::new()
}

pub(crate) fn filter(_rules: &[Rule]) -> Option<Vec<Instruction>> {
    None
}

pub(crate) fn attach(_program: &[Instruction], _cgroup: &OwnedFd, _path: &Path) -> Result<(), Error> {
    Ok(())
}
