//! A coordinator that dies and comes back with its rows.

use wanfarm_scheduler::{Action, Input, VideoPhase};
use wanfarm_types::{ItemOutputs, JobId, Report, Role, Stage, StepTiming};

use crate::desk::{ALL, Desk, LEASE, job, video, worker};

#[test]
fn restart_does_not_disturb_a_running_worker() {
    let mut desk = Desk::rendering(job(1, 0, 1), &[ALL]);
    desk.until(1, Stage::DenoiseLow);
    let attempt = desk.start(1);
    desk.step(1, 4);
    desk.restart();
    assert_eq!(desk.scheduler.durable_steps(video(1, 0)), Some(4));
    desk.hello(1, ALL, &[attempt]);
    assert!(desk.log.iter().all(|action| !matches!(action, Action::Assign(_) | Action::Drop { .. })));
    desk.steps(1, 5..=6);
    desk.done(1, 6);
    desk.complete(1);
}

#[test]
fn attempts_that_nobody_claims_after_a_restart_are_given_out_again_without_blame() {
    let mut desk = Desk::rendering(job(1, 0, 1), &[ALL]);
    desk.until(1, Stage::DenoiseHigh);
    let old = desk.start(1);
    desk.steps(1, 1..=2);
    desk.restart();
    desk.given.clear();
    desk.boot(2, ALL);
    assert!(desk.try_item(2).is_none(), "one lease is granted");
    desk.pass(LEASE + 5_000, &[2]);
    let item = desk.item(2);
    assert_eq!(item.item.steps.first, 2);
    assert!(item.attempt > old);
    assert_eq!(desk.scheduler.strikes(video(1, 0)), Some(0));
}

#[test]
fn only_durable_tensors_count_after_a_restart() {
    let mut desk = Desk::rendering(job(1, 0, 1), &[&[Role::TextEncoder, Role::DitHigh]]);
    desk.finish(1);
    desk.start(1);
    desk.step(1, 1);
    desk.store = false;
    desk.steps(1, 2..=3);
    desk.done(1, 3);
    assert_eq!(desk.scheduler.steps_done(video(1, 0)), Some(3));
    desk.restart();
    assert_eq!(desk.scheduler.steps_done(video(1, 0)), Some(1));
    desk.hello(1, &[Role::TextEncoder, Role::DitHigh], &[]);
    assert_eq!(desk.item(1).item.steps.first, 1);
}

#[test]
fn pauses_drains_and_ends_survive_a_restart() {
    let mut desk = Desk::rendering(job(1, 0, 1), &[ALL]);
    desk.play();
    desk.add(job(2, 0, 1));
    desk.input(Input::Pause(JobId(2)));
    desk.input(Input::Drain(worker(1)));
    desk.restart();
    assert_eq!(desk.states(1), [VideoPhase::Done]);
    desk.hello(1, ALL, &[]);
    assert!(desk.worker(1).draining);
    desk.input(Input::WorkerEnabled(worker(1)));
    desk.given.clear();
    assert!(desk.try_item(1).is_none());
    desk.input(Input::Resume(JobId(2)));
    desk.complete(2);
}

#[test]
fn attempt_numbers_grow_across_restarts() {
    let mut desk = Desk::rendering(job(1, 0, 2), &[ALL]);
    let mut last = desk.item(1).attempt;
    for _ in 0..5 {
        desk.restart();
        desk.given.clear();
        desk.boot(1, ALL);
        let attempt = desk.item(1).attempt;
        assert!(attempt > last);
        last = attempt;
    }
}

#[test]
fn rows_from_an_older_backup_give_no_number_twice_to_a_worker_that_has_it() {
    let mut desk = Desk::rendering(job(1, 0, 2), &[ALL]);
    let backup = desk.rows.clone();
    let lost = desk.until(1, Stage::DenoiseHigh).attempt;
    desk.start(1);
    desk.step(1, 1);
    // Everything since the backup is gone, and the worker has gone on computing.
    desk.rows = backup;
    desk.restart();
    desk.given.clear();
    desk.hello(1, ALL, &[lost]);
    assert!(desk.dropped(lost));
    assert!(desk.item(1).attempt > lost);
    // Sent before it heard that nobody wants it.
    let outputs = ItemOutputs::Checkpoint(Desk::state(video(1, 1), 3));
    desk.report(1, lost, Report::ItemDone { outputs, timing: StepTiming::default() });
    desk.complete(1);
}
