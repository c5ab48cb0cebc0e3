//! The functions that a container's life executes. `scripts/order` has them linked next to each other.

use std::collections::BTreeSet;
use std::path::Path;
use std::process;

use integration::ground::Ground;

use crate::Result;
use crate::run::wait_until_dead;
use crate::runtime::{Command, Runtime};
use crate::stage::{Network, SLEEP, Stage, TRUE};
use crate::step;

/// The word for it on the command line.
pub const COMMAND: &str = "order";

/// Prints them, one a line, as patterns for a linker script. The program is a lightship with its symbols.
pub fn print(program: &Path) -> Result<()> {
    let ground = Ground::take();
    let executed = Stage::set(&ground).and_then(|stage| life(&stage, &Runtime::new("order", program, stage.folder())));
    ground.leave();
    let executed = executed?;
    for pattern in patterns(&symbols(program)?, &executed) {
        println!("{pattern}");
    }
    Ok(())
}

/// The addresses of what is executed.
fn life(stage: &Stage<'_>, runtime: &Runtime) -> Result<BTreeSet<u64>> {
    let mut executed = BTreeSet::new();
    let log = stage.folder().join("log");
    let mut step = |mut command: Command| -> Result<()> {
        // As an engine has it.
        command.splice(1..1, ["--log".into(), log.clone().into(), "--log-format".into(), "json".into()]);
        executed.extend(step::addresses(&command)?);
        Ok(())
    };
    for network in Network::ALL {
        step(runtime.run(&stage.bundle(network.name(), network, TRUE, None)?))?;
    }
    let bundle = stage.bundle("steps", Network::Host, SLEEP, None)?;
    step(runtime.create(&bundle))?;
    let pid = bundle.pid()?;
    step(runtime.start(&bundle.id))?;
    step(runtime.state(&bundle.id))?;
    step(runtime.exec(&bundle.id, TRUE))?;
    step(runtime.kill(&bundle.id))?;
    wait_until_dead(pid);
    step(runtime.delete(&bundle.id))?;
    Ok(executed)
}

/// What nm(1) prints of each function: address, size, kind and name.
fn symbols(program: &Path) -> Result<String> {
    let output = process::Command::new("nm").args(["--defined-only", "--print-size"]).arg(program).output()?;
    let symbols = String::from_utf8(output.stdout)?;
    if symbols.is_empty() {
        return Err(format!("{} has no symbols: {}", program.display(), String::from_utf8_lossy(&output.stderr)).into());
    }
    Ok(symbols)
}

fn patterns(symbols: &str, executed: &BTreeSet<u64>) -> BTreeSet<String> {
    let function = |line: &str| {
        let [address, size, kind, name] = line.split(' ').collect::<Vec<_>>().try_into().ok()?;
        let (address, size) = (u64::from_str_radix(address, 16).ok()?, u64::from_str_radix(size, 16).ok()?);
        let is_executed = "tTwW".contains(kind) && executed.range(address..address + size).next().is_some();
        is_executed.then(|| pattern(name))
    };
    symbols.lines().filter_map(function).collect()
}

/// The name, without what each compiler makes anew. In the scheme v0 these are the hashes of crates, the references to what came
/// before in the name, which their lengths move, and what is added at the end; in the legacy scheme it is the hash at the end. A `$` would be the linker's.
fn pattern(name: &str) -> String {
    let name = name.replace('$', "?");
    if name.starts_with("_R") {
        let path = name.split('.').next().unwrap_or_default();
        return format!("{}*", without_user(&without_numbers(&without_numbers(path, "Cs", 11), "B", 2)));
    }
    match name.rsplit_once("17h") {
        Some((path, hash)) if path.starts_with("_ZN") && hash.len() == 17 => format!("{path}17h*E"),
        _ => name,
    }
}

/// Without the crate at the end, for which a generic function was made: any of its users may be named there.
fn without_user(pattern: &str) -> &str {
    let is_crate = |name: &str| {
        let digits = name.bytes().take_while(u8::is_ascii_digit).count();
        name[..digits].parse() == Ok(name.len() - digits)
    };
    match pattern.rsplit_once("Cs*_") {
        Some((path, name)) if is_crate(name) => path,
        _ => pattern.strip_suffix("B*_").unwrap_or(pattern),
    }
}

/// Any number for those that follow the mark: so many digits to the base of 62, and `_`.
fn without_numbers(name: &str, mark: &str, digits: usize) -> String {
    let mut parts = name.split(mark);
    let mut pattern = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        pattern += mark;
        pattern += &match part.split_once('_') {
            Some((number, rest))
                if number.len() <= digits && number.bytes().all(|digit| digit.is_ascii_alphanumeric()) =>
            {
                format!("*_{rest}")
            }
            _ => part.to_owned(),
        };
    }
    pattern
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_executed_is_named() {
        let symbols = "\
0000000000000010 0000000000000004 t before
0000000000000014 0000000000000004 T weak_and
0000000000000014 0000000000000004 W strong
0000000000000018 0000000000000004 t after
0000000000000014 0000000000000004 d data
0000000000000014 t unsized";
        assert_eq!(patterns(symbols, &[0x17].into()), ["strong", "weak_and"].map(str::to_owned).into());
    }

    #[test]
    fn patterns_outlive_the_compiler() {
        for (name, expected) in [
            ("__init_libc", "__init_libc"),
            ("_ZN4core3ptr13drop$LT$u8$GT$17h0123456789abcdefE", "_ZN4core3ptr13drop?LT?u8?GT?17h*E"),
            ("_RNvCsaz6eC2DG7lh_7___rustc14___rust_realloc", "_RNvCs*_7___rustc14___rust_realloc*"),
            ("_RNvNtCs1a_3std3csvEB4_Cs2b_3std", "_RNvNtCs*_3std3csvEB*_*"),
            ("_RNvXs_5alloc4growB2q_.12", "_RNvXs_5alloc4grow*"),
            ("_RNvB2q_8BTreeMap3len", "_RNvB*_8BTreeMap3len*"),
        ] {
            assert_eq!(pattern(name), expected);
        }
    }
}
