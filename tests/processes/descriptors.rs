//! A coordinator that may open no more files and connections: it says so and waits; nothing is lost, and no processor
//! is kept busy.

use std::process::Command;
use std::time::Duration;

use wanfarm_proto::v1;
use wanfarm_proto::v1::farm_client::FarmClient;

use crate::chaos::{STEMS, manifest, undisturbed};
use crate::farm::Farm;
use crate::program::{Sandbox, eventually};

/// How long it is watched while it waits.
const WATCHED: Duration = Duration::from_secs(3);

/// Changes how many files a process may have open; those that are stay so.
fn allow(pid: u32, files: &str) {
    let set = Command::new("prlimit").args(["--pid", &pid.to_string(), &format!("--nofile={files}:")]).status();
    assert!(set.expect("prlimit runs").success());
}

/// Seconds of processor time that a process has used.
fn processor_seconds(pid: u32) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("a process");
    let fields: Vec<&str> = stat.rsplit(')').next().expect("fields").split_whitespace().collect();
    // User's and system's, in hundredths on every Linux.
    [11, 12].iter().map(|&field: &usize| fields[field].parse::<f64>().expect("a number")).sum::<f64>() / 100.0
}

#[test]
fn without_descriptors_a_coordinator_waits_and_goes_on_when_there_are_some() {
    let sandbox = Sandbox::new();
    let farm = Farm::start(&sandbox);
    let coordinator = farm.coordinator();
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    // Connected before: nobody can connect later.
    let mut client = runtime.block_on(FarmClient::connect(farm.address().to_owned())).expect("the coordinator answers");
    let mut line = || {
        let listed = runtime.block_on(client.list_jobs(v1::ListJobsRequest::default())).expect("the list").into_inner();
        listed.jobs.into_iter().next().expect("a job")
    };
    farm.submit(&manifest(&sandbox));
    sandbox.first_artifact();
    allow(coordinator, "4");
    let comes_meanwhile = farm.start_client(&["status", "--json"]);
    eventually("it says what it waits for", || line().waiting_for.contains("a free file descriptor").then_some(()));
    let before = processor_seconds(coordinator);
    std::thread::sleep(WATCHED);
    let busy = processor_seconds(coordinator) - before;
    println!("{busy} s of the processor in {WATCHED:?} of waiting");
    assert!(busy < WATCHED.as_secs_f64() / 4.0, "it kept a processor busy for {busy} s");
    let job = line();
    assert_eq!((job.failed, job.state()), (0, v1::JobState::Paused), "{job:?}");

    allow(coordinator, "1024");
    eventually("the job ends", || (line().state() == v1::JobState::Done).then_some(()));
    comes_meanwhile.wait().expect(0);
    assert_eq!(sandbox.bytes(&STEMS), undisturbed());
    farm.stop();
}
