//! A farm of processes whose coordinator comes and goes, always at the same address.

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::Path;
#[cfg(target_os = "linux")]
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use wanfarm_proto::v1::farm_client::FarmClient;
use wanfarm_proto::v1::{self, JobState};

use crate::program::{Sandbox, binary, demo, eventually, signal_process};

const ROLES: [&str; 4] = ["text-encoder", "dit-high", "dit-low", "vae"];

/// The farm. Its processes are killed when it goes out of scope.
pub(super) struct Farm {
    serve: Vec<String>,
    address: String,
    coordinator: Child,
    workers: Vec<Child>,
}

impl Farm {
    /// A coordinator whose data and outputs lie on a disk of so many megabytes, mounted for it alone, and its workers.
    /// `None` where this user may not mount anything.
    #[cfg(target_os = "linux")]
    pub(super) fn on_a_disk_of(sandbox: &Sandbox, megabytes: u32) -> Option<Self> {
        let mount = format!("mount -t tmpfs -o size={megabytes}m none \"$0\"");
        let alone = |script: &str| {
            let mut unshare = Command::new("unshare");
            unshare.args(["--user", "--map-root-user", "--mount", "sh", "-c", script]);
            unshare
        };
        std::fs::create_dir(sandbox.path("disk")).expect("a mount point");
        let allowed = alone(&mount).arg(sandbox.path("disk")).stderr(Stdio::null()).status();
        if !allowed.is_ok_and(|status| status.success()) {
            return None;
        }
        let mut command = alone(&format!("{mount} && exec \"$@\""));
        command.arg(sandbox.path("disk")).arg(binary());
        let (serve, address) = serve(&sandbox.path("disk"));
        let mut farm = Self { coordinator: start(command, &serve), serve, address, workers: Vec::new() };
        farm.start_workers(sandbox);
        Some(farm)
    }

    /// A path as the coordinator sees it.
    #[cfg(target_os = "linux")]
    pub(super) fn inside(&self, path: &Path) -> PathBuf {
        let root = PathBuf::from(format!("/proc/{}/root", self.coordinator.id()));
        root.join(path.strip_prefix("/").expect("an absolute path"))
    }

    pub(super) fn without_workers(sandbox: &Sandbox) -> Self {
        let (serve, address) = serve(&sandbox.path(""));
        let coordinator = start(Command::new(binary()), &serve);
        Self { serve, address, coordinator, workers: Vec::new() }
    }

    pub(super) fn start(sandbox: &Sandbox) -> Self {
        let mut farm = Self::without_workers(sandbox);
        farm.start_workers(sandbox);
        farm
    }

    fn start_workers(&mut self, sandbox: &Sandbox) {
        self.workers = ROLES
            .map(|role| {
                let mut worker = Command::new(binary());
                worker.args(["worker", "--coordinator", &self.address, "--role", role, "--threads", "1", "--models"]);
                worker.arg(demo()).arg("--data").arg(sandbox.path(role));
                worker.env("WANFARM_LOG", "off").stdin(Stdio::null()).stdout(Stdio::null()).spawn().expect("a worker")
            })
            .into();
    }

    pub(super) fn start_coordinator(&mut self) {
        self.coordinator = start(Command::new(binary()), &self.serve);
    }

    pub(super) fn kill_coordinator(&mut self) {
        self.coordinator.kill().expect("kill");
        self.coordinator.wait().expect("wait");
    }

    /// Asks the coordinator to stop, as an operating system does, and holds it to the five seconds it has.
    pub(super) fn terminate_coordinator(&mut self) {
        let asked = Instant::now();
        signal_process(self.coordinator.id(), "TERM");
        let status = eventually("the coordinator stops", || self.coordinator.try_wait().expect("wait"));
        assert!(status.success(), "{status}");
        assert!(asked.elapsed() < Duration::from_secs(5), "it took {:?}", asked.elapsed());
    }

    pub(super) fn submit(&self, manifest: &Path) -> String {
        self.submitted(manifest, &[])
    }

    pub(super) fn submit_with_key(&self, manifest: &Path, key: &str) -> String {
        self.submitted(manifest, &["--key", key])
    }

    /// Submits, and returns what the client prints of the job.
    fn submitted(&self, manifest: &Path, options: &[&str]) -> String {
        let mut submit = Command::new(binary());
        submit.args(["submit", "--coordinator", &self.address]).args(options).arg(manifest);
        let output = submit.output().expect("a client");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("text")
    }

    /// True when every job has ended within so many milliseconds.
    pub(super) fn ends_within(&self, milliseconds: u64) -> bool {
        let until = Instant::now() + Duration::from_millis(milliseconds);
        loop {
            if self.jobs().iter().all(|job| job.state == i32::from(JobState::Done)) {
                return true;
            }
            if Instant::now() >= until {
                return false;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// What the oldest job waits for.
    pub(super) fn waiting_for(&self) -> String {
        let job = self.jobs().first().expect("a job").job;
        self.ask(|mut client| async move {
            let mut updates = client.watch(v1::WatchRequest { job }).await.expect("the job").into_inner();
            updates.message().await.expect("news").expect("news").job.expect("its line").waiting_for
        })
    }

    fn jobs(&self) -> Vec<v1::JobSummary> {
        self.ask(|mut client| async move {
            client.list_jobs(v1::ListJobsRequest {}).await.expect("the list").into_inner().jobs
        })
    }

    fn ask<T, F: Future<Output = T>>(&self, question: impl FnOnce(FarmClient<tonic::transport::Channel>) -> F) -> T {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            question(FarmClient::connect(self.address.clone()).await.expect("the coordinator answers")).await
        })
    }

    /// Ends every process.
    pub(super) fn stop(mut self) {
        self.end();
    }

    fn end(&mut self) {
        for process in self.workers.iter_mut().chain([&mut self.coordinator]) {
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

impl Drop for Farm {
    fn drop(&mut self) {
        self.end();
    }
}

/// What a coordinator below `place` is started with, and its address.
fn serve(place: &Path) -> (Vec<String>, String) {
    // Free now, and nobody else asks for it while the test lasts.
    let address = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a free port");
    let place = |name| place.join(name).display().to_string();
    let serve = ["serve", "--listen", &address.to_string(), "--data", &place("data"), "--output", &place("output")];
    (serve.map(str::to_owned).to_vec(), format!("http://{address}"))
}

/// Starts a coordinator and waits until it listens.
fn start(mut command: Command, serve: &[String]) -> Child {
    command.args(serve).env("WANFARM_LOG", "error").stdin(Stdio::null()).stdout(Stdio::piped());
    let mut coordinator = command.spawn().expect("the coordinator starts");
    let mut line = String::new();
    let stdout = coordinator.stdout.take().expect("stdout");
    BufReader::new(stdout).read_line(&mut line).expect("the address");
    assert!(line.starts_with("listening on"), "the coordinator did not start: {line:?}");
    coordinator
}
