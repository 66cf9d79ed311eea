//! Keeps a Mac awake while an item is computed, and not a moment longer, by the system's own `caffeinate`. Elsewhere it
//! does nothing: servers do not fall asleep.

use std::process::{Child, Command, Stdio};

use tracing::warn;

/// While it lives, the machine does not fall asleep by itself.
#[derive(Debug)]
pub(crate) struct Awake(Option<Child>);

impl Awake {
    /// Until it is dropped; or until this process ends, however it ends.
    pub(crate) fn while_computing() -> Self {
        if !cfg!(target_os = "macos") {
            return Self(None);
        }
        let mut caffeinate = Command::new("/usr/bin/caffeinate");
        // -i: no idle sleep. -w: it leaves with this process, so that nothing is left behind after a kill.
        Self::hold(caffeinate.args(["-i", "-w", &std::process::id().to_string()]))
    }

    fn hold(command: &mut Command) -> Self {
        let started = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        // A Mac that may fall asleep computes all the same.
        Self(started.inspect_err(|error| warn!(%error, "this Mac may fall asleep while it computes")).ok())
    }
}

impl Drop for Awake {
    fn drop(&mut self) {
        if let Some(child) = &mut self.0 {
            // It may have ended by itself; waiting takes it off the list of processes either way.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(unix)]
    fn what_holds_the_machine_awake_lives_as_long_as_the_computation() {
        let mut awake = Awake::hold(Command::new("sleep").arg("1000"));
        let pid = awake.0.as_ref().unwrap().id().to_string();
        assert!(awake.0.as_mut().unwrap().try_wait().unwrap().is_none());
        drop(awake);
        let listed = Command::new("ps").args(["-o", "pid=", "-p", &pid]).output().unwrap();
        assert!(listed.stdout.is_empty(), "neither running nor left as a zombie");
        assert!(Awake::hold(&mut Command::new("/nowhere/caffeinate")).0.is_none(), "no reason not to compute");
    }
}
