//! Workers whose tensors nobody can read at the address they give: behind a firewall, a wrong `--advertise`, on an
//! interface of their own. It costs speed, and neither a video nor a byte.

#[cfg(target_os = "linux")]
mod machines;

use std::net::TcpListener;

use crate::chaos::{STEMS, WORKERS, manifest, recomputed, undisturbed};
use crate::farm::Farm;
use crate::program::{Sandbox, eventually};

/// An address at which nobody answers.
fn closed_port() -> String {
    TcpListener::bind("127.0.0.1:0").and_then(|port| port.local_addr()).expect("a port").to_string()
}

/// Renders with workers that each have these options, and sees that all is as if nothing was wrong.
fn renders(farm: &mut Farm, sandbox: &Sandbox, options: impl Fn(&str) -> Vec<String>) {
    for (name, role) in WORKERS {
        let options = options(name);
        farm.start_worker(sandbox, name, role, &options.iter().map(String::as_str).collect::<Vec<_>>());
    }
    eventually("all workers are there", || farm.is_complete().then_some(()));
    farm.submit(&manifest(sandbox));
    eventually("the job ends", || farm.ends_within(100).then_some(()));
    assert_eq!(sandbox.bytes(&STEMS), undisturbed());
    assert_eq!(recomputed(sandbox), 0, "nothing was lost on the way");
}

#[test]
fn workers_that_nobody_can_reach_render_the_same_bytes_and_are_shown() {
    let sandbox = Sandbox::new();
    let mut farm = Farm::without_workers(&sandbox);
    let hidden = ["text", "high-1", "low-1", "vae"];
    let address = closed_port();
    renders(&mut farm, &sandbox, |name| match hidden.contains(&name) {
        true => vec!["--advertise".to_owned(), address.clone()],
        false => Vec::new(),
    });
    eventually("every address was tried", || {
        farm.worker_lines().iter().all(|worker| worker.reachable.is_some()).then_some(())
    });
    for worker in farm.worker_lines() {
        let is_hidden = hidden.contains(&&*worker.name);
        assert_eq!(worker.reachable, Some(!is_hidden), "{}", worker.name);
        if is_hidden {
            let told = format!("cannot reach it at {address}");
            assert!(worker.detail.contains(&told) && worker.detail.contains("--advertise"), "{}", worker.detail);
        }
    }
    let listed = farm.client(&["workers"]).expect(0).stdout;
    assert_eq!(listed.matches("open the port or give --advertise").count(), hidden.len(), "{listed}");
    farm.stop();
}

#[test]
fn a_coordinator_and_workers_on_ipv6_alone_render() {
    if TcpListener::bind("[::1]:0").is_err() {
        eprintln!("SKIPPED: this machine has no IPv6");
        return;
    }
    let sandbox = Sandbox::new();
    let mut farm = Farm::at(&sandbox, "[::1]:0");
    renders(&mut farm, &sandbox, |_| Vec::new());
    let lines = farm.worker_lines();
    assert!(lines.iter().all(|worker| worker.address.starts_with("[::1]:")), "{lines:?}");
    assert!(lines.iter().all(|worker| worker.reachable == Some(true)), "{lines:?}");
    farm.stop();
}
