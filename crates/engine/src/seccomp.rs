//! The compiled filter of a profile, from the cache in the state root where the same profile was compiled before.

use confine::seccomp::{Cache, Filter, native};
use spec::{Linux, Refusal};

use crate::{Error, Runtime};

/// The cache's folder in the state root. No container can have this id.
const CACHE: &str = "@seccomp";

impl Runtime {
    /// The filter of `linux.seccomp`, or none without a profile. A profile that is in the cache is not even parsed.
    pub(crate) fn filter(&self, linux: &Linux) -> Result<Option<Filter>, Error> {
        let Some(text) = linux.seccomp.as_ref().map(|profile| profile.get()) else { return Ok(None) };
        let problem = "system calls of this processor are not known to lightship";
        let native =
            native().ok_or_else(|| Refusal::new("/linux/seccomp", problem, "run without a seccomp profile"))?;
        let cache = Cache::open(&self.root.join(CACHE));
        if let Some(filter) = cache.as_ref().ok().and_then(|cache| cache.find(text, native)) {
            return Ok(Some(filter));
        }
        let Some(profile) = linux.seccomp_profile().map_err(Refusal::from)? else { return Ok(None) };
        profile.validate()?;
        let filter = Filter::compile(&profile, native)?;
        // The container does not need it kept: a full disk or a foreign folder costs the next one some time.
        if let Err(error) = cache.and_then(|cache| cache.keep(text, native, &filter)) {
            log::debug!("the compiled seccomp filter is not kept: {error}");
        }
        Ok(Some(filter))
    }
}
