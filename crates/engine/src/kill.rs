//! `kill`: sends a signal.

use rustix::process::Signal;

use crate::{Error, Runtime};

impl Runtime {
    /// Sends a signal to the container's init, or with `all` to every process, of which some may have outlived init.
    ///
    /// # Errors
    /// No such signal; the container is not running.
    pub fn kill(&self, id: &str, signal: i32, all: bool) -> Result<(), Error> {
        let (_, container) = self.find(id)?;
        let named = Signal::from_named_raw(signal);
        if all {
            let signal = named.ok_or_else(|| Error::Other(format!("kill --all: signal {signal} is not supported")))?;
            return container.signal_all(signal);
        }
        let init = container.init.as_ref().ok_or(Error::NotRunning)?;
        match sys::process::send_signal(std::os::fd::AsFd::as_fd(init), signal) {
            Ok(()) => {}
            Err(error) if error.raw_os_error() == Some(rustix::io::Errno::SRCH.raw_os_error()) => {
                return Err(Error::NotRunning);
            }
            Err(error) => return Err(Error::call("signalling the container's init")(error)),
        }
        // A frozen process of cgroup v1 dies only once it is thawed.
        if named == Some(Signal::KILL) && container.cgroup.is_frozen().unwrap_or(false) {
            container.cgroup.thaw()?;
        }
        Ok(())
    }
}
