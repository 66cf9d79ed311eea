//! Workers that come back, and processes that have one id.

use super::*;
use tokio::sync::mpsc;
use uuid::Uuid;
use wanfarm_types::{Hello, fixtures};

const WORKER: WorkerId = WorkerId(Uuid::from_u128(7));

fn boot(n: u128) -> Incarnation {
    Incarnation(Uuid::from_u128(n))
}

type Wire = mpsc::Receiver<CoordinatorMessage>;

/// A hello, if it is not turned away; dropping the wire is the end of the connection.
fn hello(sessions: &mut Sessions, incarnation: Incarnation) -> Option<Wire> {
    if sessions.twin(WORKER, incarnation).is_some() {
        return None;
    }
    let (outbox, wire) = mpsc::channel(1);
    let hello = Hello { name: format!("boot {incarnation}"), ..fixtures::hello(7, incarnation.0.as_u128()) };
    let attached = Attached::of(hello, outbox);
    sessions.insert(WORKER, Session::open(attached, Vec::new()).1, Moment::default());
    Some(wire)
}

fn sessions() -> Sessions {
    Sessions::new(Pace::of_lease(Duration::from_secs(30)))
}

#[test]
fn reconnects_and_restarts_are_no_twins() {
    let mut sessions = sessions();
    for n in [1, 1, 2, 2, 3, 4, 4] {
        // The connection before may linger, or be closed.
        let wire = hello(&mut sessions, boot(n)).unwrap();
        if n % 2 == 0 {
            drop(wire);
        }
    }
    sessions.close(WORKER);
    assert!(hello(&mut sessions, boot(5)).is_some());
}

#[test]
fn a_replaced_boot_that_speaks_again_is_a_twin_of_the_one_attached() {
    let mut sessions = sessions();
    let _first = hello(&mut sessions, boot(1)).unwrap();
    let second = hello(&mut sessions, boot(2)).unwrap();
    assert_eq!(sessions.twin(WORKER, boot(1)), Some(&*format!("boot {}", boot(2))));
    assert!(hello(&mut sessions, boot(2)).is_some(), "the one attached may always come back");
    // While the other is away nothing proves that it lives; when it comes back it is the twin.
    drop(second);
    sessions.close(WORKER);
    let _first = hello(&mut sessions, boot(1)).unwrap();
    assert!(sessions.twin(WORKER, boot(2)).is_some());
    assert!(sessions.twin(WorkerId(Uuid::from_u128(8)), boot(2)).is_none(), "with an id of its own it is nobody's");
}

#[test]
fn only_so_many_boots_are_remembered() {
    let mut sessions = sessions();
    let wires: Vec<_> = (0..100).map(|n| hello(&mut sessions, boot(n)).unwrap()).collect();
    assert_eq!(sessions.sessions[&WORKER].before.len(), BOOTS);
    assert!(sessions.twin(WORKER, boot(98)).is_some() && sessions.twin(WORKER, boot(1)).is_none());
    drop(wires);
}
