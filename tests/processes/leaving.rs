//! Workers are drained in the middle of a job: they finish what they have, leave, and no step is computed again.

use crate::chaos::{STEMS, WORKERS, manifest, recomputed, undisturbed};
use crate::farm::Farm;
use crate::program::{Sandbox, eventually};

#[test]
fn a_drained_worker_leaves_and_no_step_is_computed_again() {
    let sandbox = Sandbox::new();
    let mut farm = Farm::without_workers(&sandbox);
    for (name, role) in WORKERS {
        farm.start_worker(&sandbox, name, role, &[]);
    }
    eventually("all workers are there", || farm.is_complete().then_some(()));
    farm.submit(&manifest(&sandbox));
    let drained = ["high-1", "low-1"];
    for name in drained {
        farm.until_state(name, &["busy"]);
        farm.client(&["workers", "drain", name]).expect(0);
        let status = eventually("it leaves", || farm.ended(name));
        assert_eq!(status.code(), Some(0));
        farm.until_state(name, &["left (drained)"]);
        // Started again, it stays and is given nothing.
        farm.restart_worker(name);
        farm.until_state(name, &["drained"]);
    }
    eventually("the job ends", || farm.ends_within(100).then_some(()));
    for name in drained {
        assert_eq!((farm.state_of(name).as_str(), farm.ended(name)), ("drained", None));
        farm.client(&["workers", "enable", name]).expect(0);
        farm.until_state(name, &["idle"]);
    }
    farm.stop();
    assert_eq!(sandbox.bytes(&STEMS), undisturbed());
    assert_eq!(recomputed(&sandbox), 0);
}
