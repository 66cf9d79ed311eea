//! The real binary in a directory of its own: started, read, killed, and never left behind.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::judge::Clip;

/// Longer than anything here takes on a busy machine; a test that reaches it has hung.
const TIMEOUT: Duration = Duration::from_secs(600);

/// The repository.
pub(crate) fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("a package of the repository").to_owned()
}

/// The demo model's folder of models.
pub(crate) fn demo() -> PathBuf {
    repository().join("deploy/demo")
}

/// The `coordinator` binary, of the profile and with the features that these tests were built with.
pub(crate) fn binary() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_coordinator"))
}

/// The beginning of a manifest whose videos take 20 steps each and are written as PNG frames.
pub(crate) const NIGHT: &str = r#"
[job]
name = "night"
model = "wan-tiny-t2v"
output = "{index:04}"
formats = ["png"]

[defaults]
width = 64
height = 64
frames = 17
steps = 20
shift = 5.0
guidance = 5.0
negative = ""
"#;

/// A temporary directory with a place for everything a run touches.
pub(crate) struct Sandbox {
    dir: tempfile::TempDir,
}

impl Sandbox {
    pub(crate) fn new() -> Self {
        Self { dir: tempfile::tempdir().expect("temporary directory") }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn output(&self) -> PathBuf {
        self.path("output")
    }

    /// Writes a manifest.
    pub(crate) fn manifest(&self, text: &str) -> PathBuf {
        let path = self.path("manifest.toml");
        std::fs::write(&path, text).expect("manifest");
        path
    }

    /// `coordinator run MANIFEST` with everything inside this directory.
    pub(crate) fn run(&self, manifest: &Path, models: &Path) -> Running {
        let mut coordinator = Command::new(binary());
        coordinator.arg("run");
        self.run_by(coordinator, manifest, models)
    }

    /// As [`Self::run`], by a command that starts the coordinator and has said `run`, perhaps with options.
    pub(crate) fn run_by(&self, mut command: Command, manifest: &Path, models: &Path) -> Running {
        command.arg(manifest).arg("--models").arg(models);
        command.arg("--output").arg(self.output()).arg("--data").arg(self.path("data"));
        Running::start(&mut command)
    }

    /// A sandbox in which the demo model has rendered this manifest undisturbed.
    pub(crate) fn rendered(manifest: &str) -> Self {
        let sandbox = Self::new();
        sandbox.run(&sandbox.manifest(manifest), &demo()).wait().expect(0);
        sandbox
    }

    /// What must not depend on what died or on how many threads computed: final latents and every output file's digest.
    pub(crate) fn bytes(&self, stems: &[&str]) -> Vec<(Value, Value)> {
        let sidecars = stems.iter().map(|stem| self.sidecar(stem));
        sidecars.map(|sidecar| (sidecar["latents_blake3"].clone(), sidecar["outputs"].clone())).collect()
    }

    /// Where the database is: `serve` has its own folder, `run` one below it for each manifest.
    pub(crate) fn data(&self) -> PathBuf {
        let below = std::fs::read_dir(self.path("data")).into_iter().flatten().flatten().map(|entry| entry.path());
        let mut holding = below.filter(|path| path.join("coordinator.sqlite").is_file());
        holding.next().unwrap_or_else(|| self.path("data"))
    }

    /// A file of the artifact directory: a checkpoint has become durable, so denoising is under way.
    pub(crate) fn first_artifact(&self) -> PathBuf {
        eventually("a checkpoint is durable", || {
            let shelves = std::fs::read_dir(self.data().join("artifacts")).ok()?.flatten();
            shelves
                .filter_map(|shelf| std::fs::read_dir(shelf.path()).ok()?.flatten().next())
                .map(|entry| entry.path())
                .next()
        })
    }

    /// How many files the artifact directory has.
    pub(crate) fn artifacts(&self) -> usize {
        let shelves = std::fs::read_dir(self.data().join("artifacts")).into_iter().flatten().flatten();
        shelves.map(|shelf| std::fs::read_dir(shelf.path()).into_iter().flatten().count()).sum()
    }

    /// Steps that were computed for a video, as its sidecar tells.
    pub(crate) fn steps(&self, stem: &str) -> u64 {
        let steps = |attempt: &Value| match (attempt["first_step"].as_u64(), attempt["last_step"].as_u64()) {
            (Some(first), Some(last)) => last + 1 - first,
            _ => 0,
        };
        self.sidecar(stem)["attempts"].as_array().expect("attempts").iter().map(steps).sum()
    }

    /// The sidecar of an output, or a report.
    pub(crate) fn sidecar(&self, stem: &str) -> Value {
        let path = self.output().join(format!("{stem}.json"));
        let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        serde_json::from_str(&text).expect("sidecar is JSON")
    }

    /// The PNG frames of an output.
    pub(crate) fn clip(&self, stem: &str) -> Clip {
        let mut files: Vec<_> = std::fs::read_dir(self.output().join(stem))
            .expect("frames")
            .map(|entry| entry.expect("entry").path())
            .collect();
        files.sort();
        let mut clip = Clip { shape: [files.len(), 0, 0], rgb: Vec::new() };
        for file in files {
            let frame =
                wanfarm_image::load_image("frame", &std::fs::read(&file).expect("frame")).expect("frame decodes");
            clip.shape = [clip.shape[0], frame.height(), frame.width()];
            clip.rgb.extend_from_slice(frame.data());
        }
        clip
    }

    /// Every file below the output directory, relative to it.
    pub(crate) fn files(&self) -> Vec<String> {
        files_below(&self.output())
    }
}

/// Every file below a directory, relative to it.
pub(crate) fn files_below(root: &Path) -> Vec<String> {
    fn walk(dir: &Path, root: &Path, found: &mut Vec<String>) {
        for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                walk(&path, root, found);
            } else {
                found.push(path.strip_prefix(root).expect("below").display().to_string());
            }
        }
    }
    let mut found = Vec::new();
    walk(root, root, &mut found);
    found.sort();
    found
}

/// Copies a folder with everything below it. Files that vanish meanwhile are left out.
pub(crate) fn copy_folder(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("a folder");
    for entry in std::fs::read_dir(from).expect("a folder").flatten() {
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        if source.is_dir() {
            copy_folder(&source, &target);
        } else if let Err(error) = std::fs::copy(&source, target) {
            assert!(!source.exists(), "{}: {error}", source.display());
        }
    }
}

/// A process that is killed when it goes out of scope.
pub(crate) struct Running {
    child: Child,
}

/// How a process ended, and what it wrote.
pub(crate) struct Ended {
    pub(crate) status: ExitStatus,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ended {
    pub(crate) fn code(&self) -> Option<i32> {
        self.status.code()
    }

    /// Fails the test, with everything written, unless the code is this one.
    #[track_caller]
    pub(crate) fn expect(self, code: i32) -> Self {
        assert_eq!(self.code(), Some(code), "{}\nstdout:\n{}\nstderr:\n{}", self.status, self.stdout, self.stderr);
        self
    }
}

/// Fails the test, with the whole text, unless all these words are in it.
#[track_caller]
pub(crate) fn says(told: impl AsRef<str>, words: &[&str]) {
    let told = told.as_ref();
    for word in words {
        assert!(told.contains(word), "nothing about {word:?} in:\n{told}");
    }
}

impl Running {
    pub(crate) fn start(command: &mut Command) -> Self {
        let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        Self { child: child.expect("the coordinator starts") }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal by name.
    pub(crate) fn signal(&self, signal: &str) {
        signal_process(self.pid(), signal);
    }

    /// Waits for the end and takes everything written.
    pub(crate) fn wait(mut self) -> Ended {
        // Reading in threads, or a full pipe would stop the process.
        let (stdout, stderr) = (self.child.stdout.take(), self.child.stderr.take());
        let stdout = std::thread::spawn(move || read(stdout));
        let stderr = std::thread::spawn(move || read(stderr));
        let deadline = Instant::now() + TIMEOUT;
        let status = until(deadline, "the process ends", || self.child.try_wait().expect("wait"));
        Ended { status, stdout: stdout.join().expect("stdout"), stderr: stderr.join().expect("stderr") }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn read(pipe: Option<impl std::io::Read>) -> String {
    let mut bytes = Vec::new();
    if let Some(mut pipe) = pipe {
        let _ = pipe.read_to_end(&mut bytes);
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Looks until there is something to see; what it waits for is an event of another process, never a duration.
pub(crate) fn until<T>(deadline: Instant, what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    loop {
        if let Some(seen) = look() {
            return seen;
        }
        assert!(Instant::now() < deadline, "waited in vain until {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// As [`until`], with the usual patience.
pub(crate) fn eventually<T>(what: &str, look: impl FnMut() -> Option<T>) -> T {
    until(Instant::now() + TIMEOUT, what, look)
}

pub(crate) fn signal_process(pid: u32, signal: &str) {
    let status = Command::new("kill").args([&format!("-{signal}"), &pid.to_string()]).status();
    assert!(status.expect("kill runs").success(), "no process {pid} to send {signal}");
}

/// Worker processes started by `parent` with exactly this role, by what they were started as.
pub(crate) fn workers_of(parent: u32, role: &str) -> Vec<u32> {
    let listed = Command::new("ps").args(["-axww", "-o", "pid=,ppid=,command="]).output().expect("ps runs");
    let wanted = format!(" --role {role} ");
    let line = |line: &str| {
        let mut fields = line.split_whitespace();
        let (pid, ppid) = (fields.next()?.parse().ok()?, fields.next()?.parse::<u32>().ok()?);
        (ppid == parent && line.contains(" worker ") && line.contains(&wanted)).then_some(pid)
    };
    String::from_utf8_lossy(&listed.stdout).lines().filter_map(line).collect()
}

/// True while the process runs (and is no zombie).
pub(crate) fn alive(pid: u32) -> bool {
    let listed = Command::new("ps").args(["-o", "stat=", "-p", &pid.to_string()]).output().expect("ps runs");
    let state = String::from_utf8_lossy(&listed.stdout);
    !state.trim().is_empty() && !state.trim_start().starts_with('Z')
}
