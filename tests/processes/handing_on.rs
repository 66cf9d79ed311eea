//! Models go from machine to machine: from a worker that has one, and from the coordinator that was given one.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use crate::access::Guarded;
use crate::program::{Running, Sandbox, binary, demo, eventually, says};

#[test]
fn a_new_machine_gets_its_models_from_the_farm() {
    let sandbox = Sandbox::new();
    let mut farm = Guarded::start(&sandbox);
    let line = farm.line("worker", &["--uses", "2"]);
    for machine in ["old", "new"] {
        farm.asked(machine, &["join", &line, "--name", machine]).expect(0);
    }
    let models = sandbox.path("models").display().to_string();
    let pull = |farm: &Guarded<'_>, name: &str| farm.asked("new", &["models", "pull", name, "--models", &models]);
    says(&pull(&farm, "wan-tiny-t2v").expect(2).stderr, &["there is: nothing"]);
    let mut worker = farm.command("old");
    worker.args(["worker", "--threads", "1", "--models"]).arg(demo()).arg("--data").arg(sandbox.path("old"));
    let worker = worker.spawn().expect("a worker");
    farm.processes.push(worker);
    eventually("its models are known", || {
        farm.asked("new", &["models", "list"]).stdout.contains("wan-tiny-t2v").then_some(())
    });
    says(&pull(&farm, "wan-tinny").expect(2).stderr, &["there is: wan-tiny-t2v"]);
    let pulled = pull(&farm, "wan-tiny-t2v").expect(0);
    says(&pulled.stderr, &["; 0 were here"]);
    // The same model by the same name, which computes.
    let mut render = Command::new(binary());
    render.args(["doctor", "--model"]).arg(sandbox.path("models/wan-tiny-t2v"));
    Running::start(&mut render).wait().expect(0);
    says(&pull(&farm, "wan-tiny-t2v").expect(0).stderr, &["0 files came, 0 bytes"]);
    // What is damaged here comes again, from where it is whole.
    let vae = std::fs::read_dir(sandbox.path("models/wan-tiny-t2v")).expect("a folder").flatten();
    let file = vae.map(|entry| entry.path()).find(|path| path.is_file()).expect("a file");
    let whole = std::fs::read(&file).expect("bytes");
    std::fs::write(&file, &whole[..whole.len() / 2]).expect("half of it");
    says(&pull(&farm, "wan-tiny-t2v").expect(0).stderr, &["1 files came"]);
    assert_eq!(std::fs::read(&file).expect("bytes"), whole);
    // It is not for those who only look on.
    farm.join("artist", "submitter");
    says(&farm.asked("artist", &["models", "list"]).expect(2).stderr, &["needs the right `worker`"]);
}

#[test]
fn a_model_is_given_to_the_coordinator_in_pieces_and_handed_on_without_a_worker() {
    let sandbox = Sandbox::new();
    let mut farm = Guarded::start(&sandbox);
    farm.join("new", "worker");
    farm.join("artist", "submitter");
    let folder = demo().join("wan-tiny-t2v");
    let push = ["models", "push", folder.to_str().expect("a path")];
    says(&farm.asked("artist", &push).expect(2).stderr, &["needs the right `operator`"]);
    let begun = || {
        let files = fs::read_dir(sandbox.path("data/models/files")).into_iter().flatten().flatten();
        files.map(|entry| entry.path()).collect::<Vec<PathBuf>>()
    };
    // The coordinator dies while it is given, and what has come stays.
    let mut pushing = farm.command("operator");
    let mut pushing = pushing.args(push).spawn().expect("push");
    eventually("a file has come", || (!begun().is_empty()).then_some(()));
    farm.stop_coordinator();
    let listen = format!("[::]:{}", farm.address.rsplit(':').next().expect("a port"));
    farm.serve(&listen, &[]);
    assert!(pushing.wait().expect("it ends").success(), "it goes on with the coordinator that has come back");
    says(&farm.asked("operator", &push).expect(0).stderr, &["0 files went, 0 bytes"]);
    let listed = farm.asked("new", &["models", "list"]).expect(0).stdout;
    assert_eq!(listed.matches(" yes ").count(), 4, "each role of it is kept:\n{listed}");

    let models = sandbox.path("models").display().to_string();
    let pull = ["models", "pull", "wan-tiny-t2v", "--models", &models];
    farm.asked("new", &pull).expect(0);
    let mut inspect = Command::new(binary());
    Running::start(inspect.arg("inspect").arg(sandbox.path("models/wan-tiny-t2v"))).wait().expect(0);
    says(&farm.asked("artist", &["models", "prune", "wan-tiny-t2v"]).expect(2).stderr, &["needs the right `operator`"]);
    says(&farm.asked("operator", &["models", "prune", "wan-tiny-t2v"]).expect(0).stderr, &["is forgotten"]);
    assert_eq!(begun(), [] as [PathBuf; 0]);
    says(&farm.asked("operator", &["models", "prune", "wan-tiny-t2v"]).stderr, &["keeps no model wan-tiny-t2v"]);
    says(&farm.asked("new", &pull).expect(2).stderr, &["there is: nothing"]);
}
