//! Workers with other weights under the same model name.

use wanfarm_scheduler::{Action, Input, Refusal, Session, Target};
use wanfarm_types::{JobId, Role, Stage};

use crate::desk::{ALL, Desk, job, tensor, worker};

const LOW: &[Role] = &[Role::DitLow];

fn refused(desk: &mut Desk) -> Vec<u64> {
    desk.taken(|action| match action {
        Action::RefuseWorker { worker, .. } => Some(worker.0.as_u128() as u64),
        _ => None,
    })
}

#[test]
fn other_weights_are_refused_by_name_until_the_job_is_over() {
    let mut desk = Desk::new();
    desk.boot(1, ALL);
    desk.input(Input::JobAdded(job(1, 0, 1)));
    desk.until(1, Stage::Decode);
    desk.boot(9, &[]);
    desk.hello_with(9, &[Role::DitLow], &[], 7);
    let refusals = desk.taken(|action| match action {
        Action::RefuseWorker { worker: w, refusal: Refusal::OtherWeights { role, got, .. }, .. } => {
            Some((*w, *role, *got))
        }
        _ => None,
    });
    assert_eq!(refusals, [(worker(9), Role::DitLow, tensor(7).digest)]);
    desk.input(Input::Cancel(Target::Job(JobId(1))));
    desk.hello_with(9, &[Role::DitLow], &[], 7);
    assert!(!desk.said(|action| matches!(action, Action::RefuseWorker { .. })));
}

#[test]
fn what_most_workers_have_is_decided_before_anything_is_rendered() {
    let mut desk = Desk::new();
    desk.boot(1, &[Role::TextEncoder, Role::DitHigh, Role::Vae]);
    for (n, weights) in [(2, 7), (3, 8), (4, 8)] {
        desk.boot(n, &[]);
        desk.hello_with(n, LOW, &[], weights);
    }
    desk.input(Input::JobAdded(job(1, 0, 1)));
    assert_eq!(refused(&mut desk), [2], "although it came first, and could have been the first to finish");
    let view = desk.worker(2);
    assert_eq!(view.session, Session::Gone);
    assert!(
        view.refused.is_some_and(|why| why.contains("dit-low") && why.contains(&tensor(7).digest.short().to_string()))
    );
    // The same files as the others, and it is welcome.
    desk.boot(2, &[]);
    desk.hello_with(2, LOW, &[], 8);
    assert!(refused(&mut desk).is_empty());
    assert_eq!(desk.worker(2).refused, None);
    desk.play();
    assert!(desk.is_done(1));
}

#[test]
fn of_as_many_the_same_are_chosen_whoever_came_first() {
    for order in [[2, 3], [3, 2]] {
        let mut desk = Desk::new();
        for n in order {
            desk.boot(n, &[]);
            desk.hello_with(n, LOW, &[], n);
        }
        desk.input(Input::JobAdded(job(1, 0, 1)));
        assert_eq!(refused(&mut desk), [3]);
    }
}

#[test]
fn the_first_to_serve_a_role_decides_and_may_be_replaced_until_it_has_rendered() {
    let mut desk = Desk::new();
    desk.boot(1, &[Role::TextEncoder, Role::DitHigh, Role::Vae]);
    desk.input(Input::JobAdded(job(1, 0, 1)));
    desk.boot(2, &[]);
    desk.hello_with(2, LOW, &[], 7);
    desk.boot(3, &[]);
    desk.hello_with(3, LOW, &[], 8);
    assert_eq!(refused(&mut desk), [3]);
    // Its files are replaced before it has made anything, and nobody else has the old ones.
    desk.boot(2, &[]);
    desk.hello_with(2, LOW, &[], 8);
    assert!(refused(&mut desk).is_empty());
    desk.boot(3, &[]);
    desk.hello_with(3, LOW, &[], 8);
    assert!(refused(&mut desk).is_empty());
    while desk.try_item(1).is_some() {
        desk.finish(1);
    }
    let n = if desk.try_item(2).is_some() { 2 } else { 3 };
    desk.finish(n);
    [2, 3].iter().for_each(|&n| desk.gone(n, true));
    desk.boot(4, &[]);
    desk.hello_with(4, LOW, &[], 7);
    assert_eq!(refused(&mut desk), [4], "there is a picture made with the others");
}
