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
    let mut desk = Desk::rendering(job(1, 0, 1), &[ALL]);
    desk.until(1, Stage::Decode);
    desk.boot_with(9, &[Role::DitLow], 7);
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
        desk.boot_with(n, LOW, weights);
    }
    desk.add(job(1, 0, 1));
    assert_eq!(refused(&mut desk), [2], "although it came first, and could have been the first to finish");
    let view = desk.worker(2);
    assert_eq!(view.session, Session::Gone);
    let [(model, Role::DitLow, why)] = &view.refused[..] else { panic!("{:?}", view.refused) };
    assert!(model == "a14b" && why.contains("dit-low") && why.contains(&tensor(7).digest.short().to_string()), "{why}");
    // The same files as the others, and it is welcome.
    desk.boot_with(2, LOW, 8);
    assert!(refused(&mut desk).is_empty());
    assert_eq!(desk.worker(2).refused, []);
    desk.complete(1);
}

#[test]
fn of_as_many_the_same_those_are_chosen_that_were_there_first() {
    for order in [[2, 3], [3, 2]] {
        let mut desk = Desk::new();
        for n in order {
            desk.boot_with(n, LOW, n);
        }
        // A connection that broke and came back is no later arrival.
        desk.hello_with(order[0], LOW, &[], order[0]);
        desk.add(job(1, 0, 1));
        assert_eq!(refused(&mut desk), [order[1]]);
    }
}

/// A worker with the good weights for everything, and a second one with another file for the last stage before frames.
fn one_and_a_half() -> Desk {
    let mut desk = Desk::new();
    desk.boot_with(1, &[Role::DitLow], 7);
    desk.boot(2, &[]);
    desk.hello_of(2, &[(Role::TextEncoder, 7), (Role::DitHigh, 7), (Role::DitLow, 8), (Role::Vae, 7)], &[]);
    desk
}

#[test]
fn a_worker_with_other_weights_for_one_role_goes_on_with_the_others() {
    let mut desk = one_and_a_half();
    desk.add(job(1, 0, 1));
    assert!(!desk.said(|action| matches!(action, Action::RefuseWorker { .. })), "it is not turned away");
    let roles = desk.taken(|action| match action {
        Action::RefuseRole { worker, refusal: Refusal::OtherWeights { role, .. } } => Some((*worker, *role)),
        _ => None,
    });
    assert_eq!(roles, [(worker(2), Role::DitLow)]);
    let view = desk.worker(2);
    assert_eq!((view.session, view.refused.len(), view.serves.len()), (Session::Connected, 1, 4));
    let mut made = Vec::new();
    while let Some(n) = [1, 2].into_iter().find(|&n| desk.try_item(n).is_some()) {
        made.push((n, desk.item(n).item.stage));
        desk.finish(n);
    }
    assert_eq!(made.len(), 4, "text, two experts, frames: {made:?}");
    desk.complete(1);
    assert!(made.iter().all(|(n, stage)| (*n == 1) == (*stage == Stage::DenoiseLow)), "{made:?}");
    // The job is over: its role is its own again, and the next job may be rendered with either.
    assert_eq!(desk.worker(2).refused, []);
    desk.gone(1, true);
    desk.add(job(2, 0, 1));
    desk.complete(2);
}

#[test]
fn a_role_that_a_worker_loses_in_the_middle_is_taken_from_it() {
    let mut desk = one_and_a_half();
    desk.gone(1, true);
    desk.add(job(1, 0, 1));
    desk.until(2, Stage::DenoiseLow);
    let attempt = desk.start(2);
    // The same process says hello with fewer roles.
    desk.hello_of(2, &[(Role::TextEncoder, 7), (Role::Vae, 7)], &[attempt]);
    assert!(desk.dropped(attempt));
    desk.boot_with(1, LOW, 8);
    assert_eq!(desk.item(1).item.stage, Stage::DenoiseLow);
}

#[test]
fn a_role_that_nothing_was_made_in_is_given_back_when_the_only_one_with_its_weights_leaves() {
    let mut desk = one_and_a_half();
    desk.add(job(1, 0, 1));
    assert_eq!(desk.worker(2).refused.len(), 1);
    desk.gone(1, true);
    assert_eq!(desk.worker(2).refused, []);
    desk.complete(1);
}

#[test]
fn the_first_to_serve_a_role_decides_and_may_be_replaced_until_it_has_rendered() {
    let mut desk = Desk::rendering(job(1, 0, 1), &[&[Role::TextEncoder, Role::DitHigh, Role::Vae]]);
    desk.boot_with(2, LOW, 7);
    desk.boot_with(3, LOW, 8);
    assert_eq!(refused(&mut desk), [3]);
    // Its files are replaced before it has made anything, and nobody else has the old ones.
    desk.boot_with(2, LOW, 8);
    assert!(refused(&mut desk).is_empty());
    desk.boot_with(3, LOW, 8);
    assert!(refused(&mut desk).is_empty());
    while desk.try_item(1).is_some() {
        desk.finish(1);
    }
    let n = if desk.try_item(2).is_some() { 2 } else { 3 };
    desk.finish(n);
    [2, 3].iter().for_each(|&n| desk.gone(n, true));
    desk.boot_with(4, LOW, 7);
    assert_eq!(refused(&mut desk), [4], "there is a picture made with the others");
}
