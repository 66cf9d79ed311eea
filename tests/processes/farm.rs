//! A farm of processes that come and go, each always at the same address.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rand::Rng;
use rand::rngs::SmallRng;
use wanfarm_proto::v1::farm_client::FarmClient;
use wanfarm_proto::v1::{self, JobState};

#[cfg(target_os = "linux")]
use crate::disk::SmallDisk;
use crate::program::{Ended, Running, Sandbox, binary, demo, eventually, signal_process};

const ANY_PORT: &str = "127.0.0.1:0";
pub(crate) const ROLES: [&str; 4] = ["text-encoder", "dit-high", "dit-low", "vae"];

/// The farm. Its processes are killed when it goes out of scope.
pub(crate) struct Farm {
    serve: Vec<String>,
    address: String,
    coordinator: Child,
    workers: Vec<Worker>,
    /// How far each stage of each video was when a worker last died on it.
    deaths: BTreeMap<(u64, u32, i32), u32>,
}

/// A worker and how it is started.
struct Worker {
    name: String,
    arguments: Vec<String>,
    /// Where it logs, if it does.
    log: Option<PathBuf>,
    process: Child,
}

impl Farm {
    /// A coordinator whose data and outputs lie on this disk, and its workers.
    #[cfg(target_os = "linux")]
    pub(crate) fn on(disk: &SmallDisk, place: &Path, sandbox: &Sandbox) -> Self {
        let mut farm = Self::without_workers_on(disk, place);
        farm.start_workers(sandbox);
        farm
    }

    #[cfg(target_os = "linux")]
    pub(crate) fn without_workers_on(disk: &SmallDisk, place: &Path) -> Self {
        let mut command = disk.command();
        command.arg(binary());
        Self::launch(command, place, ANY_PORT, &[])
    }

    fn launch(command: Command, place: &Path, listen: &str, options: &[&str]) -> Self {
        let (mut serve, address) = serve(place, listen);
        serve.extend(options.iter().map(|&option| option.to_owned()));
        Self { coordinator: start(command, &serve), serve, address, workers: Vec::new(), deaths: BTreeMap::new() }
    }

    pub(crate) fn without_workers(sandbox: &Sandbox) -> Self {
        Self::serving(sandbox, &[])
    }

    /// A coordinator that listens there, and no workers.
    pub(crate) fn at(sandbox: &Sandbox, listen: &str) -> Self {
        Self::launch(Command::new(binary()), &sandbox.path(""), listen, &[])
    }

    /// A coordinator with these options, and no workers.
    pub(crate) fn serving(sandbox: &Sandbox, options: &[&str]) -> Self {
        Self::launch(Command::new(binary()), &sandbox.path(""), ANY_PORT, options)
    }

    pub(crate) fn start(sandbox: &Sandbox) -> Self {
        let mut farm = Self::without_workers(sandbox);
        farm.start_workers(sandbox);
        farm
    }

    fn start_workers(&mut self, sandbox: &Sandbox) {
        ROLES.iter().for_each(|role| self.start_worker(sandbox, role, role, &[]));
    }

    /// Starts one more worker, with a folder of its own.
    pub(crate) fn start_worker(&mut self, sandbox: &Sandbox, name: &str, role: &str, options: &[&str]) {
        self.start_worker_by(sandbox, name, &demo(), &[&["--role", role], options].concat(), None);
    }

    /// Starts a worker that is told nothing but how much memory it has.
    pub(crate) fn start_elastic(&mut self, sandbox: &Sandbox, name: &str, models: &Path, memory: u64) {
        self.start_worker_by(sandbox, name, models, &["--memory", &memory.to_string()], None);
    }

    /// As [`Self::start_worker`], of which what it logs is told.
    pub(crate) fn start_talker(&mut self, sandbox: &Sandbox, name: &str, role: &str) {
        self.start_worker_by(sandbox, name, &demo(), &["--role", role], Some(sandbox.path(&format!("{name}.log"))));
    }

    /// Kills a worker for good.
    pub(crate) fn end_worker(&mut self, name: &str) {
        let worker = self.workers.iter_mut().find(|worker| worker.name == name).expect("a worker");
        worker.process.kill().expect("kill");
        worker.process.wait().expect("wait");
    }

    fn start_worker_by(
        &mut self,
        sandbox: &Sandbox,
        name: &str,
        models: &Path,
        options: &[&str],
        log: Option<PathBuf>,
    ) {
        let paths = [models.display().to_string(), sandbox.path(name).display().to_string()];
        let common = ["worker", "--coordinator", &self.address, "--name", name, "--threads", "1"];
        let own = ["--models", &paths[0], "--data", &paths[1]];
        let arguments = common.iter().chain(&own).chain(options);
        let arguments: Vec<String> = arguments.map(|&argument| argument.to_owned()).collect();
        let process = start_worker(&arguments, log.as_deref());
        self.workers.push(Worker { name: name.to_owned(), process, arguments, log });
    }

    /// Kills a worker outright and starts it again.
    ///
    /// Nothing happens, and the answer is false, while what it computes has come no farther than when a worker last died on
    /// it: on a slow machine that would soon be three deaths at one step, which are rightly taken for the video's fault.
    pub(crate) fn kill_worker(&mut self, name: &str) -> bool {
        let line = self.worker_lines().into_iter().find(|line| line.name == name);
        if let Some(item) = line.and_then(|line| line.running) {
            let video = item.video.expect("a video");
            let stage = (video.job, video.index, item.stage);
            if self.deaths.get(&stage).is_some_and(|&before| item.steps_done <= before) {
                return false;
            }
            self.deaths.insert(stage, item.steps_done);
        }
        let worker = self.workers.iter_mut().find(|worker| worker.name == name).expect("a worker");
        worker.process.kill().expect("kill");
        worker.process.wait().expect("wait");
        worker.process = start_worker(&worker.arguments, worker.log.as_deref());
        true
    }

    /// Kills a worker that is loading weights and starts it again. Nothing happens, and the answer is false, while it does
    /// not.
    pub(crate) fn kill_while_loading(&mut self, name: &str) -> bool {
        let is_loading = |farm: &Self| {
            let line = farm.worker_lines().into_iter().find(|line| line.name == name);
            line.and_then(|line| line.memory).is_some_and(|memory| memory.loading.is_some())
        };
        if !is_loading(self) {
            return false;
        }
        // What it has said by now is heard before the second answer: then it stands in the middle of the load.
        self.signal_worker(name, "STOP");
        let is_caught = is_loading(self) && is_loading(self);
        if is_caught {
            let worker = self.workers.iter_mut().find(|worker| worker.name == name).expect("a worker");
            worker.process.kill().expect("kill");
            worker.process.wait().expect("wait");
            worker.process = start_worker(&worker.arguments, worker.log.as_deref());
        } else {
            self.signal_worker(name, "CONT");
        }
        is_caught
    }

    /// Puts a worker to sleep until the coordinator has given it up, and wakes it.
    pub(crate) fn outsleep(&self, name: &str) {
        let worker = self.workers.iter().find(|worker| worker.name == name).expect("a worker");
        signal_process(worker.process.id(), "STOP");
        eventually("the sleeper is given up", || {
            ["lost", "gone"].contains(&self.state_of(name).as_str()).then_some(())
        });
        signal_process(worker.process.id(), "CONT");
    }

    /// Starts a worker that has ended again, as a service manager does.
    pub(crate) fn restart_worker(&mut self, name: &str) {
        let worker = self.workers.iter_mut().find(|worker| worker.name == name).expect("a worker");
        worker.process = start_worker(&worker.arguments, worker.log.as_deref());
    }

    /// Sends a worker a signal.
    pub(crate) fn signal_worker(&self, name: &str, signal: &str) {
        let worker = self.workers.iter().find(|worker| worker.name == name).expect("a worker");
        signal_process(worker.process.id(), signal);
    }

    /// How a worker ended that has ended by itself.
    pub(crate) fn ended(&mut self, name: &str) -> Option<ExitStatus> {
        let worker = self.workers.iter_mut().find(|worker| worker.name == name).expect("a worker");
        worker.process.try_wait().expect("wait")
    }

    /// The worker's state in the coordinator's words; empty while nobody has heard of it.
    pub(crate) fn state_of(&self, name: &str) -> String {
        self.worker_lines()
            .into_iter()
            .find(|worker| worker.name == name)
            .map(|worker| worker.state)
            .unwrap_or_default()
    }

    /// Waits until a worker is in one of these states.
    pub(crate) fn until_state(&self, name: &str, states: &[&str]) -> String {
        eventually(&format!("{name} is {states:?}"), || {
            let state = self.state_of(name);
            states.contains(&state.as_str()).then_some(state)
        })
    }

    pub(crate) fn worker_lines(&self) -> Vec<v1::WorkerStatus> {
        self.ask(|mut client| async move {
            client.list_workers(v1::ListWorkersRequest::default()).await.expect("the list").into_inner().workers
        })
    }

    /// Runs a client's command to its end.
    pub(crate) fn client(&self, arguments: &[&str]) -> Ended {
        self.start_client(arguments).wait()
    }

    /// Starts a client's command.
    pub(crate) fn start_client(&self, arguments: &[&str]) -> Running {
        let mut command = Command::new(binary());
        Running::start(command.args(arguments).env("WANFARM_COORDINATOR", &self.address))
    }

    pub(crate) fn signal_coordinator(&self, signal: &str) {
        signal_process(self.coordinator.id(), signal);
    }

    /// True once every worker is known to the coordinator.
    pub(crate) fn is_complete(&self) -> bool {
        self.workers.iter().all(|worker| !self.state_of(&worker.name).is_empty())
    }

    pub(crate) fn start_coordinator(&mut self) {
        self.coordinator = start(Command::new(binary()), &self.serve);
    }

    /// Starts the coordinator, which has ended, on another data directory.
    pub(crate) fn start_coordinator_on(&mut self, data: &Path) {
        let place = self.serve.iter().position(|argument| argument == "--data").expect("an option");
        self.serve[place + 1] = data.display().to_string();
        self.start_coordinator();
    }

    pub(crate) fn kill_coordinator(&mut self) {
        self.coordinator.kill().expect("kill");
        self.coordinator.wait().expect("wait");
    }

    /// Where the coordinator listens.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    pub(crate) fn coordinator(&self) -> u32 {
        self.coordinator.id()
    }

    /// Asks the coordinator to stop, as an operating system does, and holds it to the five seconds it has.
    pub(crate) fn terminate_coordinator(&mut self) {
        let asked = Instant::now();
        signal_process(self.coordinator.id(), "TERM");
        let status = eventually("the coordinator stops", || self.coordinator.try_wait().expect("wait"));
        assert!(status.success(), "{status}");
        assert!(asked.elapsed() < Duration::from_secs(5), "it took {:?}", asked.elapsed());
    }

    pub(crate) fn submit(&self, manifest: &Path) -> String {
        self.submitted(manifest, &[])
    }

    pub(crate) fn submit_with_key(&self, manifest: &Path, key: &str) -> String {
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
    pub(crate) fn ends_within(&self, milliseconds: u64) -> bool {
        let until = Instant::now() + Duration::from_millis(milliseconds);
        loop {
            let ended = [JobState::Done, JobState::Failed].map(i32::from);
            if self.jobs().iter().all(|job| ended.contains(&job.state)) {
                return true;
            }
            if Instant::now() >= until {
                return false;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Lets the farm work until a moment drawn at random, or until every job has ended: then the answer is false.
    ///
    /// The moment lies at most `longest` milliseconds and a handful of steps away, so that no machine is so fast that the
    /// jobs have ended before their first one.
    pub(crate) fn works_until_a_moment(&self, rng: &mut SmallRng, longest: u64) -> bool {
        let until = Instant::now() + Duration::from_millis(rng.random_range(20..longest));
        let mut changes = rng.random_range(1..8);
        let mut seen = None;
        while changes > 0 && Instant::now() < until {
            if self.ends_within(0) {
                return false;
            }
            let running = |line: v1::WorkerStatus| line.running.map(|item| (item.video, item.stage, item.steps_done));
            let now = Some(self.worker_lines().into_iter().map(running).collect::<Vec<_>>());
            changes -= u32::from(now != seen);
            seen = now;
            std::thread::sleep(Duration::from_millis(5));
        }
        !self.ends_within(0)
    }

    /// What the oldest job waits for.
    pub(crate) fn waiting_for(&self) -> String {
        let job = self.jobs().first().expect("a job").job;
        self.ask(|mut client| async move {
            let mut updates = client.watch(v1::WatchRequest { job }).await.expect("the job").into_inner();
            updates.message().await.expect("news").expect("news").job.expect("its line").waiting_for
        })
    }

    fn jobs(&self) -> Vec<v1::JobSummary> {
        self.ask(|mut client| async move {
            client.list_jobs(v1::ListJobsRequest::default()).await.expect("the list").into_inner().jobs
        })
    }

    fn ask<T, F: Future<Output = T>>(&self, question: impl FnOnce(FarmClient<tonic::transport::Channel>) -> F) -> T {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            question(FarmClient::connect(self.address.clone()).await.expect("the coordinator answers")).await
        })
    }

    /// Waits until every job has ended, and ends every process.
    pub(crate) fn finish(self) {
        eventually("the job ends", || self.ends_within(100).then_some(()));
        self.stop();
    }

    /// Ends every process.
    pub(crate) fn stop(mut self) {
        self.end();
    }

    fn end(&mut self) {
        let workers = self.workers.iter_mut().map(|worker| &mut worker.process);
        for process in workers.chain([&mut self.coordinator]) {
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
fn serve(place: &Path, listen: &str) -> (Vec<String>, String) {
    // Free now, and nobody else asks for it while the test lasts.
    let address = TcpListener::bind(listen).and_then(|listener| listener.local_addr()).expect("a free port");
    let place = |name| place.join(name).display().to_string();
    let serve = ["serve", "--listen", &address.to_string(), "--data", &place("data"), "--output", &place("output")];
    (serve.map(str::to_owned).to_vec(), format!("http://{address}"))
}

fn start_worker(arguments: &[String], log: Option<&Path>) -> Child {
    let mut worker = Command::new(binary());
    worker.args(arguments).env("WANFARM_LOG", "off").stdin(Stdio::null()).stdout(Stdio::null());
    if let Some(log) = log {
        worker.env("WANFARM_LOG", "info").env("WANFARM_LOG_FILE", log);
    }
    worker.spawn().expect("a worker")
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
