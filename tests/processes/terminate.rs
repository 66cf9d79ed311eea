//! SIGTERM at any moment, to every kind of process: each ends within the five seconds it promises, leaves no half of a
//! file, and a worker's item goes to another at once, not when its lease has run out.

use std::net::TcpListener;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::farm::Farm;
use crate::program::{NIGHT, Running, Sandbox, alive, binary, demo, eventually, workers_of};

/// What the product promises.
const PROMISE: Duration = Duration::from_secs(5);

/// Large enough that steps and decoding take their time.
const SLOW: &str = r#"
[[video]]
prompt = "a red circle moving left on a black background"
sweep = { seed = [1, 2, 3] }
width = 192
height = 192
"#;

/// Sends SIGTERM and holds the process to the promise; its exit code, if it ended by itself.
fn terminate(process: Running) -> Option<i32> {
    let asked = Instant::now();
    process.signal("TERM");
    let ended = process.wait();
    assert!(asked.elapsed() < PROMISE, "it took {:?}: {}", asked.elapsed(), ended.stderr);
    ended.code()
}

fn no_half_files(sandbox: &Sandbox) {
    let half: Vec<String> = sandbox.files().into_iter().filter(|file| file.contains(".partial")).collect();
    assert!(half.is_empty(), "{half:?}");
}

#[test]
fn a_worker_in_the_middle_of_an_item_says_goodbye_and_another_goes_on_at_once() {
    let sandbox = Sandbox::new();
    // A lease that no test outlives: only a goodbye can end it.
    let mut farm = Farm::serving(&sandbox, &["--lease", "3600"]);
    let roles = ["text-encoder", "dit-high", "dit-low", "vae"];
    for role in roles {
        farm.start_worker(&sandbox, role, role, &[]);
    }
    eventually("all workers are there", || farm.is_complete().then_some(()));
    farm.submit(&sandbox.manifest(&[NIGHT, SLOW].concat()));
    for role in &roles[1..] {
        farm.until_state(role, &["busy"]);
        let asked = Instant::now();
        farm.signal_worker(role, "TERM");
        let status = eventually("the worker ends", || farm.ended(role));
        assert!(asked.elapsed() < PROMISE, "{role} took {:?}", asked.elapsed());
        assert_eq!(status.code(), Some(0), "{role}");
        assert_eq!(farm.state_of(role), "gone", "it has said goodbye");
        // Busy again although the lease of the one before has an hour to go.
        farm.restart_worker(role);
        farm.until_state(role, &["busy"]);
    }
    farm.terminate_coordinator();
    // With nobody there to hear it.
    for role in roles {
        let asked = Instant::now();
        farm.signal_worker(role, "TERM");
        let status = eventually("the worker ends", || farm.ended(role));
        assert!(asked.elapsed() < PROMISE && status.code() == Some(0), "{role}: {status}, {:?}", asked.elapsed());
    }
    no_half_files(&sandbox);
}

#[test]
fn a_worker_ends_while_it_dials_while_it_starts_and_while_the_coordinator_does_not_answer() {
    let sandbox = Sandbox::new();
    // Bound and never served: connections are accepted by the system and nothing comes of them.
    let mute = TcpListener::bind("127.0.0.1:0").expect("a port");
    let absent = TcpListener::bind("127.0.0.1:0").and_then(|port| port.local_addr()).expect("a port");
    for address in [absent, mute.local_addr().expect("its address")] {
        for (index, milliseconds) in [0u64, 5, 20, 80, 320, 1280].into_iter().enumerate() {
            let mut worker = Command::new(binary());
            worker.args(["worker", "--role", "text-encoder,dit-high,dit-low,vae", "--threads", "1", "--models"]);
            worker.arg(demo()).args(["--coordinator", &format!("http://{address}"), "--data"]);
            worker.arg(sandbox.path(&format!("{index}")));
            let worker = Running::start(&mut worker);
            // The moment is the fault; nothing waits for it.
            std::thread::sleep(Duration::from_millis(milliseconds));
            // Before it can hear of it, the system ends it.
            assert!(matches!(terminate(worker), Some(0) | None), "after {milliseconds} ms");
        }
    }
}

#[test]
fn a_run_in_the_middle_of_steps_and_decoding_ends_with_its_workers() {
    for stage in ["dit-high", "vae"] {
        let sandbox = Sandbox::new();
        let run = sandbox.run(&sandbox.manifest(&[NIGHT, SLOW].concat()), &demo());
        sandbox.first_artifact();
        if stage == "vae" {
            // The first frames are being decoded once two videos are under way in the low expert.
            eventually("steps of the last video", || (sandbox.artifacts() > 4).then_some(()));
        }
        let workers: Vec<u32> = ["text-encoder", "dit-high", "dit-low", "vae"]
            .iter()
            .flat_map(|role| workers_of(run.pid(), role))
            .collect();
        assert_eq!(terminate(run), Some(130));
        assert!(workers.into_iter().all(|worker| !alive(worker)), "an orphan");
        no_half_files(&sandbox);
    }
}

#[test]
fn clients_end_and_a_download_leaves_no_half_of_a_file() {
    let sandbox = Sandbox::new();
    let mut farm = Farm::start(&sandbox);
    let manifest = sandbox.manifest(&[NIGHT, SLOW].concat());
    let follow = farm.start_client(&["submit", "--follow", &manifest.display().to_string()]);
    eventually("the job is there", || farm.client(&["status", "night"]).status.success().then_some(()));
    let watch = farm.start_client(&["status", "night", "--watch"]);
    for client in [watch, follow] {
        // By the signal itself when it had not begun to follow.
        assert!(matches!(terminate(client), None | Some(130)), "nothing of it has to be tidied up");
    }
    eventually("the job ends", || farm.ends_within(100).then_some(()));
    // The coordinator stops in the middle of it: the download waits for the rest of a file.
    let target = sandbox.path("renders");
    for round in 0..8u64 {
        let _ = std::fs::remove_dir_all(&target);
        let download = farm.start_client(&["download", "night", &target.display().to_string()]);
        std::thread::sleep(Duration::from_millis(round * 7));
        farm.signal_coordinator("STOP");
        let code = terminate(download);
        farm.signal_coordinator("CONT");
        assert!(matches!(code, Some(0 | 130) | None), "{code:?}");
        if code.is_some() {
            let mut half = Command::new("find");
            let half = half.arg(&target).args(["-name", ".*.partial"]).stderr(Stdio::null()).output().expect("find");
            assert!(half.stdout.is_empty(), "{}", String::from_utf8_lossy(&half.stdout));
        }
    }
    farm.client(&["download", "night", &target.display().to_string()]).expect(0);
    farm.terminate_coordinator();
}
