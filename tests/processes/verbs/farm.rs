//! A farm of processes on this machine: one coordinator, workers as a test wants them, and clients.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};

use serde_json::Value;

use crate::program::{Ended, Running, Sandbox, binary, demo, eventually};

/// A process that is killed when it goes out of scope; what it logs goes to a file.
pub(super) struct Process(Child);

impl Process {
    /// The exit code of a process that ends by itself.
    pub(super) fn ends(&mut self) -> Option<i32> {
        eventually("the process ends", || self.0.try_wait().expect("wait")).code()
    }

    pub(super) fn is_running(&mut self) -> bool {
        self.0.try_wait().expect("wait").is_none()
    }

    /// Waits until a coordinator says its address.
    fn listens(&mut self) -> (BufReader<ChildStdout>, String) {
        let mut stdout = BufReader::new(self.0.stdout.take().expect("stdout"));
        let mut line = String::new();
        stdout.read_line(&mut line).expect("the address");
        (stdout, line.trim().rsplit(' ').next().expect("the address").to_owned())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A coordinator with everything it touches in one directory.
pub(super) struct Farm {
    pub(super) sandbox: Sandbox,
    pub(super) url: String,
    coordinator: Process,
    // Kept open, or the coordinator could not write to it.
    _stdout: BufReader<ChildStdout>,
}

impl Farm {
    pub(super) fn start() -> Self {
        Self::start_with(&[])
    }

    pub(super) fn start_with(arguments: &[&str]) -> Self {
        let sandbox = Sandbox::new();
        let mut coordinator = start(&sandbox, "127.0.0.1:0", arguments);
        let (stdout, url) = coordinator.listens();
        Self { sandbox, url, coordinator, _stdout: stdout }
    }

    pub(super) fn kill_coordinator(&mut self) {
        self.coordinator.0.kill().expect("kill");
        self.coordinator.0.wait().expect("wait");
    }

    /// On what it had recorded, at the same address.
    pub(super) fn start_coordinator(&mut self) {
        let starting = self.start_coordinator_later();
        self.coordinator_listens(starting);
    }

    /// As [`Self::start_coordinator`], in another folder, with an output directory that is relative to that.
    pub(super) fn start_coordinator_in(&mut self, folder: &Path, output: &str) {
        let mut command = command(&self.sandbox, self.url.trim_start_matches("http://"), Path::new(output), &[]);
        let starting = spawn(command.current_dir(folder), self.sandbox.path("serve.log"));
        self.coordinator_listens(Process(starting));
    }

    /// As [`Self::start_coordinator`], not waiting until it listens.
    pub(super) fn start_coordinator_later(&self) -> Process {
        start(&self.sandbox, self.url.trim_start_matches("http://"), &[])
    }

    /// Waits until a coordinator that was started listens.
    pub(super) fn coordinator_listens(&mut self, mut starting: Process) {
        (self._stdout, _) = starting.listens();
        self.coordinator = starting;
    }

    /// Starts a coordinator that ends by itself.
    pub(super) fn coordinator_ends(&self) -> Ended {
        let address = self.url.trim_start_matches("http://");
        Running::start(&mut command(&self.sandbox, address, &self.sandbox.output(), &[])).wait()
    }

    /// The exit code of the coordinator, which ends by itself.
    pub(super) fn ended(&mut self) -> Option<i32> {
        self.coordinator.ends()
    }

    /// A worker for the demo model.
    pub(super) fn worker(&self, name: &str, roles: &str) -> Process {
        self.worker_of(name, roles, &demo())
    }

    /// A worker for the models in a folder.
    pub(super) fn worker_of(&self, name: &str, roles: &str, models: &Path) -> Process {
        let mut command = Command::new(binary());
        command.args(["worker", "--coordinator", &self.url, "--role", roles, "--name", name, "--threads", "1"]);
        command.arg("--models").arg(models).arg("--data").arg(self.sandbox.path(name));
        Process(spawn(&mut command, self.sandbox.path(&format!("{name}.log"))))
    }

    /// What a worker, or `serve`, has logged since it was last started.
    pub(super) fn log(&self, name: &str) -> String {
        std::fs::read_to_string(self.sandbox.path(&format!("{name}.log"))).expect("log")
    }

    /// A client's command, ended.
    pub(super) fn client(&self, arguments: &[&str]) -> Ended {
        let mut command = Command::new(binary());
        Running::start(command.args(arguments).env("WANFARM_COORDINATOR", &self.url)).wait()
    }

    /// What a client's command prints as JSON.
    pub(super) fn json(&self, arguments: &[&str]) -> Value {
        let ended = self.client(&[arguments, &["--json"]].concat());
        serde_json::from_str(&ended.stdout).unwrap_or_else(|error| panic!("{error}: {}{}", ended.stdout, ended.stderr))
    }

    /// Queues a manifest and returns the job's number.
    pub(super) fn submit(&self, manifest: &str) -> String {
        let path = self.sandbox.manifest(manifest);
        let ended = self.client(&["submit", path.to_str().expect("path")]).expect(0);
        ended.stdout.trim().to_owned()
    }

    /// The line of a job.
    pub(super) fn job(&self, job: &str) -> Value {
        self.json(&["status", job])["job"].clone()
    }

    /// The line of a worker.
    pub(super) fn worker_line(&self, name: &str) -> Option<Value> {
        let workers = self.json(&["workers", "list"]);
        workers["workers"].as_array().expect("a list").iter().find(|worker| worker["name"] == name).cloned()
    }

    /// Waits until a worker is in this state.
    pub(super) fn until_worker(&self, name: &str, state: &str) -> Value {
        eventually(state, || self.worker_line(name).filter(|worker| worker["state"] == state))
    }

    /// Waits until a job waits for something with these words; until it waits for nothing if there are none.
    pub(super) fn until_waiting_for(&self, job: &str, words: &str) -> String {
        eventually(words, || {
            let waiting = self.job(job)["waiting_for"].as_str().unwrap_or_default().to_owned();
            let seen = if words.is_empty() { waiting.is_empty() } else { waiting.contains(words) };
            seen.then_some(waiting)
        })
    }
}

/// How a coordinator is started.
fn command(sandbox: &Sandbox, address: &str, output: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(binary());
    command.args(["serve", "--listen", address]).args(arguments).arg("--data").arg(sandbox.path("data"));
    command.arg("--output").arg(output);
    command
}

/// Starts a coordinator.
fn start(sandbox: &Sandbox, address: &str, arguments: &[&str]) -> Process {
    Process(spawn(&mut command(sandbox, address, &sandbox.output(), arguments), sandbox.path("serve.log")))
}

fn spawn(command: &mut Command, log: PathBuf) -> Child {
    let log = File::create(log).expect("log");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log).spawn().expect("the program starts")
}

/// A small job: quick to render, of as many videos as asked for.
pub(super) fn manifest(name: &str, videos: usize) -> String {
    let mut text = format!(
        "[job]\nname = \"{name}\"\nmodel = \"wan-tiny-t2v\"\noutput = \"{{job}}/{{index:04}}\"\nformats = [\"mp4\", \"png\"]\n\
         [defaults]\nwidth = 32\nheight = 32\nframes = 5\nsteps = 4\nshift = 5.0\nguidance = 5.0\nnegative = \"\"\n"
    );
    for seed in 0..videos {
        text += &format!("[[video]]\nprompt = \"a red circle moving left on a black background\"\nseed = {seed}\n");
    }
    text
}

/// Every role of the demo model.
pub(super) const ROLES: &str = "text-encoder,dit-high,dit-low,vae";
