//! A farm of processes whose coordinator comes and goes, always at the same address.

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::Path;
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
    pub(super) fn without_workers(sandbox: &Sandbox) -> Self {
        // Free now, and nobody else asks for it while the test lasts.
        let address = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a free port");
        let place = |name| sandbox.path(name).display().to_string();
        let serve = ["serve", "--listen", &address.to_string(), "--data", &place("data"), "--output", &place("output")];
        let serve = serve.map(str::to_owned).to_vec();
        let coordinator = start(&serve);
        Self { serve, address: format!("http://{address}"), coordinator, workers: Vec::new() }
    }

    pub(super) fn start(sandbox: &Sandbox) -> Self {
        let mut farm = Self::without_workers(sandbox);
        farm.workers = ROLES
            .map(|role| {
                let mut worker = Command::new(binary());
                worker.args(["worker", "--coordinator", &farm.address, "--role", role, "--threads", "1", "--models"]);
                worker.arg(demo()).arg("--data").arg(sandbox.path(role));
                worker.env("WANFARM_LOG", "off").stdin(Stdio::null()).stdout(Stdio::null()).spawn().expect("a worker")
            })
            .into();
        farm
    }

    pub(super) fn start_coordinator(&mut self) {
        self.coordinator = start(&self.serve);
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

/// Starts a coordinator and waits until it listens.
fn start(serve: &[String]) -> Child {
    let mut command = Command::new(binary());
    command.args(serve).env("WANFARM_LOG", "error").stdin(Stdio::null()).stdout(Stdio::piped());
    let mut coordinator = command.spawn().expect("the coordinator starts");
    let mut line = String::new();
    let stdout = coordinator.stdout.take().expect("stdout");
    BufReader::new(stdout).read_line(&mut line).expect("the address");
    assert!(line.starts_with("listening on"), "the coordinator did not start: {line:?}");
    coordinator
}
