//! Several machines, as network namespaces: for that a test has to be root, and says loudly that it was skipped if not.

use std::process::{Child, Command, Stdio};

use crate::chaos::{STEMS, manifest, undisturbed};
use crate::program::{Running, Sandbox, binary, demo, eventually};

/// Two machines with a cable between them: 10.213.7.1 and 10.213.7.2.
struct Machines {
    names: [String; 2],
    processes: Vec<Child>,
}

fn ip(arguments: &[&str]) -> bool {
    let status = Command::new("ip").args(arguments).stderr(Stdio::null()).status();
    status.is_ok_and(|status| status.success())
}

impl Machines {
    fn cabled() -> Option<Self> {
        let names = ["a", "b"].map(|name| format!("wanfarm-{}-{name}", std::process::id()));
        let machines = Self { names: names.clone(), processes: Vec::new() };
        let [a, b] = [&names[0], &names[1]];
        let made = ip(&["netns", "add", a])
            && ip(&["netns", "add", b])
            && ip(&["-n", a, "link", "add", "e0", "type", "veth", "peer", "name", "e0", "netns", b])
            && [(a, "10.213.7.1/24"), (b, "10.213.7.2/24")].into_iter().all(|(name, address)| {
                ip(&["-n", name, "addr", "add", address, "dev", "e0"])
                    && ip(&["-n", name, "link", "set", "e0", "up"])
                    && ip(&["-n", name, "link", "set", "lo", "up"])
            });
        made.then_some(machines)
    }

    fn on(&self, machine: usize) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.names[machine]]).arg(binary());
        command.env("WANFARM_LOG", "off").stdin(Stdio::null()).stdout(Stdio::null());
        command
    }

    fn start(&mut self, mut command: Command) {
        self.processes.push(command.spawn().expect("a process"));
    }

    fn start_worker(&mut self, machine: usize, sandbox: &Sandbox, coordinator: &str, role: &str, options: &[&str]) {
        let mut worker = self.on(machine);
        worker.args(["worker", "--coordinator", coordinator, "--role", role, "--name", role, "--threads", "1"]);
        worker.env("WANFARM_MEMBERSHIP", sandbox.path(&format!("member-{machine}")));
        worker.arg("--models").arg(demo()).arg("--data").arg(sandbox.path(role)).args(options);
        self.start(worker);
    }
}

impl Drop for Machines {
    fn drop(&mut self) {
        for process in &mut self.processes {
            let _ = process.kill();
            let _ = process.wait();
        }
        for name in &self.names {
            ip(&["netns", "del", name]);
        }
    }
}

#[test]
fn workers_beside_the_coordinator_and_workers_for_their_own_machine_serve_a_farm_of_several() {
    let Some(mut machines) = Machines::cabled() else {
        eprintln!("SKIPPED: network namespaces cannot be made here; run the tests as root, with iproute2");
        return;
    };
    let sandbox = Sandbox::new();
    let mut serve = machines.on(0);
    serve.args(["serve", "--listen", "[::]:7700", "--host", "10.213.7.1", "--data"]).arg(sandbox.path("data"));
    serve.arg("--output").arg(sandbox.output()).env("WANFARM_MEMBERSHIP", sandbox.path("member-0"));
    machines.start(serve);
    let on = |machines: &Machines, machine: usize, arguments: &[&str]| {
        let mut client = machines.on(machine);
        client.args(arguments).env("WANFARM_MEMBERSHIP", sandbox.path(&format!("member-{machine}")));
        Running::start(&mut client).wait()
    };
    let ask = |machines: &Machines, arguments: &[&str]| on(machines, 1, arguments);
    let line = eventually("whoever has started it is an operator", || {
        let granted = on(&machines, 0, &["access", "grant", "worker,submitter"]);
        granted.stdout.starts_with("wanfarm://").then(|| granted.stdout.trim().to_owned())
    });
    let before = ask(&machines, &["status", "--coordinator", "10.213.7.1"]).expect(2);
    assert!(before.stderr.contains("has joined no farm"), "{}", before.stderr);
    ask(&machines, &["status", "--coordinator", "10.213.7.1", "--insecure"]).expect(2);
    ask(&machines, &["join", &line]).expect(0);
    let (beside, across) = ("https://127.0.0.1:7700", "https://10.213.7.1:7700");
    machines.start_worker(0, &sandbox, beside, "text-encoder", &[]);
    machines.start_worker(0, &sandbox, beside, "vae", &["--listen", "127.0.0.1:0"]);
    machines.start_worker(1, &sandbox, across, "dit-high", &[]);
    machines.start_worker(1, &sandbox, across, "dit-low", &["--listen", "127.0.0.1:0"]);
    eventually("all workers are there", || {
        let listed = ask(&machines, &["workers", "--json"]);
        (listed.stdout.matches("\"state\": \"idle\"").count() == 4).then_some(())
    });
    let manifest = manifest(&sandbox);
    ask(&machines, &["submit", "--follow", &manifest.display().to_string()]).expect(0);
    assert_eq!(sandbox.bytes(&STEMS), undisturbed());
    let report = ask(&machines, &["report", "1", "--json"]).expect(0).stdout;
    let report: serde_json::Value = serde_json::from_str(&report).expect("JSON");
    let failed: u64 = report["workers"].as_array().expect("workers").iter().filter_map(|w| w["failed"].as_u64()).sum();
    assert_eq!(failed, 0, "{report}");
    // The coordinator comes back under another port, which nobody is told but by itself.
    let mut coordinator = machines.processes.remove(0);
    coordinator.kill().expect("kill");
    coordinator.wait().expect("wait");
    let mut serve = machines.on(0);
    serve.args(["serve", "--listen", "[::]:7800", "--host", "10.213.7.1", "--data"]).arg(sandbox.path("data"));
    serve.arg("--output").arg(sandbox.output()).env("WANFARM_MEMBERSHIP", sandbox.path("member-0"));
    machines.start(serve);
    eventually("members find it", || (on(&machines, 1, &["status"]).code() == Some(0)).then_some(()));
    eventually("workers find it", || {
        let listed = on(&machines, 1, &["workers", "--json"]);
        (listed.stdout.matches("\"state\": \"idle\"").count() == 4).then_some(())
    });
}
