//! Nights in which something keeps going wrong, one kind of thing a night: after each of them the job has ended, and
//! final latents and every output file are those of an undisturbed run, byte for byte.
//!
//! What goes wrong when, and to whom, is drawn from a seed. `cargo test --workspace --test processes -- chaos
//! --nocapture` prints the table of faults.

mod proxy;

use std::path::PathBuf;
use std::time::Duration;

use rand::rngs::SmallRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use serde_json::Value;

use crate::farm::Farm;
use crate::program::{NIGHT, Sandbox, eventually};
use proxy::Proxy;

const VIDEOS: &str = r#"
[[video]]
prompt = "a {colour} circle moving {direction} on a black background"
sweep = { colour = ["red", "blue"], direction = ["left", "up"] }
"#;

pub(crate) const STEMS: [&str; 4] = ["0000", "0001", "0002", "0003"];
const STEPS: u64 = 20;
const LEASE: Duration = Duration::from_secs(2);
/// Two of each expert, so that one can go on.
pub(crate) const WORKERS: [(&str, &str); 6] = [
    ("text", "text-encoder"),
    ("high-1", "dit-high"),
    ("high-2", "dit-high"),
    ("low-1", "dit-low"),
    ("low-2", "dit-low"),
    ("vae", "vae"),
];

#[derive(Debug, Clone, Copy)]
enum Fault {
    /// `kill -9` of a worker, which is then started again.
    WorkerKilled,
    /// A worker sleeps until its lease has run out, and wakes.
    WorkerAsleep,
    /// `kill -9` of the coordinator, which is then started again.
    CoordinatorKilled,
    /// The coordinator sleeps for more than a lease, and wakes. Nobody was silent but itself.
    CoordinatorAsleep,
    /// Connections to a worker's tensors break off in the middle of the bytes.
    TensorsCut,
}

pub(crate) fn manifest(sandbox: &Sandbox) -> PathBuf {
    sandbox.manifest(&[NIGHT, VIDEOS].concat())
}

/// A night of at most so many faults: the sandbox it left behind, and how many there were.
fn night(fault: Fault, most: u32, seed: u64) -> (Sandbox, u32) {
    let sandbox = Sandbox::new();
    let mut farm = Farm::serving(&sandbox, &["--lease", &LEASE.as_secs().to_string()]);
    let mut rng = SmallRng::seed_from_u64(seed);
    let mut proxies = Vec::new();
    for (name, role) in WORKERS {
        if matches!(fault, Fault::TensorsCut) {
            let proxy = Proxy::start(most, rng.random());
            let [listen, advertise] = [proxy.worker, proxy.address].map(|address| address.to_string());
            farm.start_worker(&sandbox, name, role, &["--listen", &listen, "--advertise", &advertise]);
            proxies.push(proxy);
        } else {
            farm.start_worker(&sandbox, name, role, &[]);
        }
    }
    eventually("all workers are there", || farm.is_complete().then_some(()));
    farm.submit(&manifest(&sandbox));
    let mut faults = 0;
    if proxies.is_empty() {
        // The moments are part of the fault; nothing waits for them.
        while faults < most && farm.works_until_a_moment(&mut rng, 400) {
            let (worker, _) = WORKERS.choose(&mut rng).expect("workers");
            match fault {
                Fault::WorkerKilled if !farm.kill_worker(worker) => continue,
                Fault::WorkerKilled => {}
                Fault::WorkerAsleep => farm.outsleep(worker),
                Fault::CoordinatorKilled => {
                    farm.kill_coordinator();
                    farm.start_coordinator();
                }
                Fault::CoordinatorAsleep => {
                    farm.signal_coordinator("STOP");
                    // Time is what this fault consists of.
                    std::thread::sleep(LEASE * rng.random_range(20..40) / 10);
                    farm.signal_coordinator("CONT");
                }
                Fault::TensorsCut => {}
            }
            faults += 1;
        }
    }
    farm.finish();
    (sandbox, faults + proxies.iter().map(Proxy::cuts).sum::<u32>())
}

/// Steps computed beyond one time each.
pub(crate) fn recomputed(sandbox: &Sandbox) -> u64 {
    STEMS.map(|stem| sandbox.steps(stem)).iter().sum::<u64>() - STEPS * STEMS.len() as u64
}

/// The bytes of a run in which nothing goes wrong.
pub(crate) fn undisturbed() -> Vec<(Value, Value)> {
    Sandbox::rendered(&[NIGHT, VIDEOS].concat()).bytes(&STEMS)
}

#[test]
fn chaos_costs_no_video_and_no_byte() {
    let expected = undisturbed();
    let nights = [
        (Fault::WorkerKilled, 8),
        (Fault::WorkerAsleep, 3),
        (Fault::CoordinatorKilled, 8),
        (Fault::CoordinatorAsleep, 3),
        (Fault::TensorsCut, 4),
    ];
    println!("{:<20} {:>6} {:>16}   bytes", "fault", "count", "steps again");
    for (fault, most) in nights {
        let seed = 1;
        let (sandbox, faults) = night(fault, most, seed);
        assert_eq!(sandbox.bytes(&STEMS), expected, "{fault:?}, seed {seed}");
        let again = recomputed(&sandbox);
        println!("{:<20} {faults:>6} {again:>9} of {:<3}   equal", format!("{fault:?}"), STEPS * STEMS.len() as u64);
        assert!(faults > 0, "{fault:?} never happened");
        assert!(again == 0 || !matches!(fault, Fault::CoordinatorAsleep), "no worker was silent, {again} steps again");
    }
}
