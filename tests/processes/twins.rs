//! Two machines with one worker id, because a data folder was copied to where even host name and path are the same: one
//! of them takes a new id, once, and both work.

use std::collections::BTreeSet;
use std::fs;

use crate::chaos::{STEMS, WORKERS, manifest, undisturbed};
use crate::farm::Farm;
use crate::program::{Sandbox, eventually};

#[test]
fn two_live_workers_of_one_copied_folder_are_told_apart_and_both_work() {
    let sandbox = Sandbox::new();
    let mut farm = Farm::without_workers(&sandbox);
    for (name, role) in WORKERS.into_iter().filter(|(name, _)| *name != "high-2") {
        farm.start_worker(&sandbox, name, role, &[]);
    }
    eventually("all workers are there", || farm.is_complete().then_some(()));
    // The id, drawn at the place where it is found: what a container of the same image finds.
    let [id, twin] = ["high-1", "high-2"].map(|name| sandbox.path(name).join("worker-id"));
    let text = fs::read_to_string(&id).expect("the id");
    fs::create_dir(sandbox.path("high-2")).expect("a folder");
    fs::write(&twin, text.replace("/high-1", "/high-2")).expect("the copy");
    let shared = text.lines().next().expect("the id").to_owned();

    farm.submit(&manifest(&sandbox));
    farm.until_state("high-1", &["busy"]);
    farm.start_worker(&sandbox, "high-2", "dit-high", &[]);
    // Of one list: between two, one of them takes the other's place.
    let both = |farm: &Farm| {
        let lines = farm.worker_lines();
        let works = |name| lines.iter().any(|line| line.name == name && ["idle", "busy"].contains(&&*line.state));
        ["high-1", "high-2"].map(works)
    };
    eventually("both are attached", || (both(&farm) == [true, true]).then_some(()));
    let ids =
        |farm: &Farm| -> BTreeSet<String> { farm.worker_lines().into_iter().map(|line| line.worker_id).collect() };
    let attached = ids(&farm);
    assert_eq!(attached.len(), WORKERS.len(), "one new id");
    eventually("the job ends", || farm.ends_within(100).then_some(()));
    assert_eq!((ids(&farm), both(&farm)), (attached, [true, true]), "it has come to rest");
    farm.stop();
    let now =
        [id, twin].map(|path| fs::read_to_string(path).expect("the id").lines().next().expect("the id").to_owned());
    assert_eq!(now.iter().filter(|id| **id == shared).count(), 1, "{now:?}: one keeps it, for its next boots too");
    assert_eq!(sandbox.bytes(&STEMS), undisturbed());
}
