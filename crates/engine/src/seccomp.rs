//! The compiled filter of a profile.

use confine::seccomp::{Filter, native};
use spec::{Linux, Refusal};

use crate::Error;

/// The filter of `linux.seccomp`, or none without a profile.
pub(crate) fn filter(linux: &Linux) -> Result<Option<Filter>, Error> {
    let Some(profile) = linux.seccomp_profile().map_err(Refusal::from)? else { return Ok(None) };
    let problem = "system calls of this processor are not known to lightship";
    let native = native().ok_or_else(|| Refusal::new("/linux/seccomp", problem, "run without a seccomp profile"))?;
    Ok(Some(Filter::compile(&profile, native)?))
}
