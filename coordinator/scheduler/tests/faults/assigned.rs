//! Workers that an operator gives work of some roles only.

use wanfarm_scheduler::Input;
use wanfarm_types::{Role, Stage};

use crate::desk::{ALL, Desk, job, video, worker};

fn assign(desk: &mut Desk, n: u64, roles: &[Role]) {
    desk.input(Input::AssignRoles(worker(n), Some(roles.iter().copied().collect())));
}

fn auto(desk: &mut Desk, n: u64) {
    desk.input(Input::AssignRoles(worker(n), None));
}

#[test]
fn a_worker_gets_work_of_its_roles_only_until_it_has_them_all_again() {
    let mut desk = Desk::rendering(job(1, 0, 1), &[ALL]);
    desk.until(1, Stage::DenoiseHigh);
    desk.finish(1);
    assert_eq!(desk.item(1).item.stage, Stage::DenoiseLow);
    assign(&mut desk, 1, &[Role::TextEncoder, Role::DitHigh]);
    // It had begun before it heard of it.
    desk.finish(1);
    assert!(desk.try_item(1).is_none());
    assert_eq!(desk.worker(1).assigned, Some([Role::TextEncoder, Role::DitHigh].into()));
    assert_eq!(desk.scheduler.passed_over(worker(1), "a14b", Role::DitLow), Some("assigned to other roles"));
    assert_eq!(desk.scheduler.passed_over(worker(1), "a14b", Role::DitHigh), None);
    auto(&mut desk, 1);
    desk.complete(1);
}

#[test]
fn what_it_runs_stops_after_its_step_and_goes_on_elsewhere() {
    let mut desk = Desk::rendering(job(1, 0, 1), &[ALL]);
    desk.until(1, Stage::DenoiseHigh);
    desk.boot(2, ALL);
    let attempt = desk.start(1);
    desk.step(1, 1);
    assign(&mut desk, 1, &[Role::Vae]);
    assert!(desk.stopped(attempt));
    desk.step(1, 2);
    desk.done(1, 2);
    assert_eq!(desk.item(2).item.steps.first, 2, "no step is computed again");
}

#[test]
fn one_that_attaches_again_in_its_last_step_may_end_it() {
    let mut desk = Desk::rendering(job(1, 0, 1), &[ALL]);
    desk.until(1, Stage::DenoiseHigh);
    let attempt = desk.start(1);
    assign(&mut desk, 1, &[Role::Vae]);
    desk.lost(1);
    desk.hello(1, ALL, &[attempt]);
    assert!(!desk.dropped(attempt));
    desk.step(1, 1);
    desk.done(1, 1);
    assert_eq!(desk.scheduler.steps_done(video(1, 0)), Some(1));
}

#[test]
fn it_stays_so_over_restarts_of_both_sides() {
    let mut desk = Desk::rendering(job(1, 0, 1), &[&[]]);
    desk.boot(1, ALL);
    desk.finish(1);
    assign(&mut desk, 1, &[Role::TextEncoder]);
    desk.restart();
    desk.boot(1, ALL);
    assert_eq!(desk.worker(1).assigned, Some([Role::TextEncoder].into()));
    assert!(desk.try_item(1).is_none());
    auto(&mut desk, 1);
    desk.restart();
    desk.boot(1, ALL);
    assert_eq!(desk.worker(1).assigned, None);
    desk.complete(1);
}

#[test]
fn what_it_is_not_to_hold_goes_with_its_next_item() {
    let mut desk = Desk::new();
    desk.boot_elastic(1, 95);
    desk.add(job(1, 0, 2));
    desk.until(1, Stage::DenoiseHigh);
    desk.boot_elastic(2, 95);
    assign(&mut desk, 1, &[Role::DitLow, Role::Vae]);
    desk.finish(1);
    while desk.worker(1).running.is_none() {
        desk.finish(2);
    }
    let given = desk.item(1);
    assert_eq!((given.item.stage, given.keep), (Stage::DenoiseLow, Vec::new()), "the text encoder would have room");
}

#[test]
fn weights_that_nobody_is_to_work_with_have_no_say_in_what_a_job_is_rendered_with() {
    let mut desk = Desk::new();
    for n in [1, 2] {
        desk.boot_with(n, ALL, 7);
        assign(&mut desk, n, &[Role::TextEncoder]);
    }
    desk.boot_with(3, &[Role::DitHigh, Role::DitLow, Role::Vae], 8);
    desk.add(job(1, 0, 1));
    desk.finish(1);
    assert_eq!(desk.item(3).item.stage, Stage::DenoiseHigh);
    auto(&mut desk, 1);
    assert!(desk.worker(1).refused.iter().any(|(_, role, _)| *role == Role::DitHigh), "its files are other ones");
    desk.complete(3);
}
