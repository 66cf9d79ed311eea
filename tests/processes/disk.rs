//! A small disk for one test: a memory file system in a mount namespace of its own, so that nothing of it outlives the
//! test and, where the kernel lets users have namespaces, nobody needs to be root.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// Ways to a mount namespace: as any user, as root.
const WAYS: [(&[&str], &[&str]); 2] = [
    (&["--user", "--map-root-user", "--mount"], &["--user", "--preserve-credentials", "--mount"]),
    (&["--mount"], &["--mount"]),
];

/// The disk, and the process that keeps it alive. It goes when this goes out of scope.
pub(crate) struct SmallDisk {
    at: PathBuf,
    keeper: Child,
    way_in: &'static [&'static str],
}

impl SmallDisk {
    /// Mounts it at `at`, seen only by what is started by [`Self::command`]. `None`, said loudly, where this user may
    /// not mount anything.
    pub(crate) fn mount(at: &Path, kilobytes: u32) -> Option<Self> {
        std::fs::create_dir_all(at).expect("a mount point");
        let script = format!("mount -t tmpfs -o size={kilobytes}k none \"$0\" && echo mounted && exec cat");
        for (way, way_in) in WAYS {
            let mut keeper = Command::new("unshare");
            keeper.args(way).args(["sh", "-c", &script]).arg(at);
            let keeper = keeper.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn();
            let Ok(mut keeper) = keeper else { continue };
            let mut line = String::new();
            let said = BufReader::new(keeper.stdout.take().expect("stdout")).read_line(&mut line);
            if said.is_ok() && line.trim() == "mounted" {
                return Some(Self { at: at.to_owned(), keeper, way_in });
            }
            let _ = keeper.kill();
            let _ = keeper.wait();
        }
        // Straight to the stream: what a passing test prints is not shown.
        let test = std::thread::current().name().unwrap_or_default().to_owned();
        let _ = writeln!(std::io::stderr(), "\nNOT RUN: {test}: this user may not mount a small disk\n");
        None
    }

    /// A command that sees the disk; the program and its arguments follow.
    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new("nsenter");
        command.args(["--target", &self.keeper.id().to_string()]).args(self.way_in).arg("--");
        command
    }

    /// Makes it larger.
    pub(crate) fn grow(&self, kilobytes: u32) {
        let mut grow = self.command();
        let grow = grow.args(["mount", "-o", &format!("remount,size={kilobytes}k")]).arg(&self.at);
        assert!(grow.status().expect("mount runs").success());
    }

    /// Takes it away, with everything on it.
    pub(crate) fn unmount(&self) {
        assert!(self.command().arg("umount").arg(&self.at).status().expect("umount runs").success());
    }

    /// Puts an empty one in its place.
    pub(crate) fn mount_again(&self) {
        let mut mount = self.command();
        let mount = mount.args(["mount", "-t", "tmpfs", "-o", "size=64m", "none"]).arg(&self.at);
        assert!(mount.status().expect("mount runs").success());
    }

    /// A path as it is seen with the disk.
    pub(crate) fn inside(&self, path: &Path) -> PathBuf {
        let root = PathBuf::from(format!("/proc/{}/root", self.keeper.id()));
        root.join(path.strip_prefix("/").expect("an absolute path"))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = self.keeper.kill();
        let _ = self.keeper.wait();
    }
}
