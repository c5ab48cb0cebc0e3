//! Signals as people and engines write them: `9`, `KILL`, `SIGKILL`, `RTMIN+3`.

/// Linux's names in order of number, from 1 (signal(7), the numbers of x86 and Arm).
const NAMES: [&str; 31] = [
    "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1", "SEGV", "USR2", "PIPE", "ALRM", "TERM",
    "STKFLT", "CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG", "XCPU", "XFSZ", "VTALRM", "PROF", "WINCH", "IO",
    "PWR", "SYS",
];
/// Second names some programs use.
const ALIASES: [(&str, i32); 3] = [("IOT", 6), ("CLD", 17), ("POLL", 29)];
/// The C library keeps 32 and 33 for itself, so what programs call SIGRTMIN is 34.
const RTMIN: i32 = 34;
const RTMAX: i32 = 64;

/// The number of the signal called `text`; `None` when there is no such signal. 0 asks whether the process exists.
#[must_use]
pub fn parse(text: &str) -> Option<i32> {
    if let Ok(number) = text.parse() {
        return (0..=RTMAX).contains(&number).then_some(number);
    }
    let upper = text.to_ascii_uppercase();
    let name = upper.strip_prefix("SIG").unwrap_or(&upper);
    if let Some(index) = NAMES.iter().position(|known| *known == name) {
        return i32::try_from(index + 1).ok();
    }
    ALIASES.iter().find(|(alias, _)| *alias == name).map(|(_, number)| *number).or_else(|| realtime(name))
}

fn realtime(name: &str) -> Option<i32> {
    let offset = |text: &str, sign: char| match text.strip_prefix(sign) {
        Some(digits) if digits.starts_with(|c: char| c.is_ascii_digit()) => digits.parse().ok(),
        Some(_) => None,
        None => text.is_empty().then_some(0),
    };
    let number = match (name.strip_prefix("RTMIN"), name.strip_prefix("RTMAX")) {
        (Some(rest), _) => RTMIN.checked_add(offset(rest, '+')?)?,
        (_, Some(rest)) => RTMAX.checked_sub(offset(rest, '-')?)?,
        _ => return None,
    };
    (RTMIN..=RTMAX).contains(&number).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling() {
        for (text, expected) in [
            ("9", Some(9)),
            ("0", Some(0)),
            ("37", Some(37)),
            ("KILL", Some(9)),
            ("SIGKILL", Some(9)),
            ("sigterm", Some(15)),
            ("SYS", Some(31)),
            ("POLL", Some(29)),
            ("RTMIN", Some(34)),
            ("SIGRTMIN+3", Some(37)),
            ("RTMAX-1", Some(63)),
            ("RTMAX", Some(64)),
            ("RTMIN+31", None),
            ("RTMIN+-1", None),
            ("RTMIN3", None),
            ("RTMIN+99999999999", None),
            ("65", None),
            ("-1", None),
            ("", None),
            ("SIG", None),
            ("TREM", None),
        ] {
            assert_eq!(parse(text), expected, "{text:?}");
        }
    }
}
