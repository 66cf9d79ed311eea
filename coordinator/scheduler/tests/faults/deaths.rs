//! Workers that die, fall asleep, or lose their connection.

use wanfarm_scheduler::{Action, Input, Session, VideoPhase};
use wanfarm_types::{JobId, Report, Role, Stage, StepRange};

use crate::desk::{ALL, Desk, LEASE, checkpoint_of, job, video, worker};

const DIT: &[Role] = &[Role::DitHigh, Role::DitLow];
const REST: &[Role] = &[Role::TextEncoder, Role::Vae];

/// Worker 1 encodes and decodes, 2 and 3 denoise; worker 2 has just begun the only video.
fn one_video_on_worker_2() -> Desk {
    let mut desk = Desk::rendering(job(1, 0, 1), &[REST, DIT]);
    desk.finish(1);
    desk.boot(3, DIT);
    desk.start(2);
    desk
}

#[test]
fn worker_crash_resumes_from_the_newest_durable_checkpoint() {
    let mut desk = one_video_on_worker_2();
    desk.step(2, 1);
    desk.store = false;
    desk.step(2, 2);
    desk.gone(2, false);
    let item = desk.item(3);
    assert_eq!(item.item.steps, StepRange { first: 1, end: 3 });
    assert_eq!(item.inputs.checkpoint, Some(Desk::state(video(1, 0), 1)));
    assert!(item.holders.iter().all(|(_, holder)| *holder != worker(2)), "the dead hold nothing");
}

#[test]
fn checkpoint_held_by_a_living_worker_counts_when_another_dies() {
    let mut desk = one_video_on_worker_2();
    desk.store = false;
    desk.steps(2, 1..=2);
    let attempt = desk.item(2).attempt;
    desk.input(Input::Pause(JobId(1)));
    assert!(desk.stopped(attempt));
    desk.done(2, 2);
    desk.input(Input::Drain(worker(2)));
    desk.input(Input::Resume(JobId(1)));
    let item = desk.item(3);
    assert_eq!(item.item.steps.first, 2);
    let state = Desk::state(video(1, 0), 2).tensors[0].digest;
    assert!(item.holders.contains(&(state, worker(2))));
    // Worker 3 dies before a step: what worker 2 still holds is the newest state.
    desk.start(3);
    desk.boot(4, DIT);
    desk.gone(3, false);
    assert_eq!(desk.item(4).item.steps.first, 2);
    // Worker 2 goes too, with the only copy: back to the beginning.
    desk.gone(2, true);
    desk.gone(4, false);
    desk.boot(5, DIT);
    assert_eq!(desk.item(5).item.steps.first, 0);
}

#[test]
fn results_that_died_with_their_holder_are_made_again() {
    let mut desk = Desk::rendering(job(1, 0, 1), &[&[Role::TextEncoder]]);
    desk.store = false;
    desk.finish(1);
    desk.gone(1, true);
    desk.boot(2, DIT);
    assert!(desk.try_item(2).is_none(), "the text is lost");
    desk.boot(3, REST);
    assert_eq!(desk.item(3).item.stage, Stage::EncodeText);
    desk.complete(1);
}

#[test]
fn frames_that_died_with_their_holder_are_decoded_again() {
    let mut desk = Desk::rendering(job(1, 0, 1), &[ALL]);
    desk.decode(1);
    assert!(desk.said(|action| matches!(action, Action::WriteOutputs { .. })));
    desk.gone(1, false);
    desk.boot(2, ALL);
    assert_eq!(desk.item(2).item.stage, Stage::Decode);
    // The files were written all the same: then there is nothing left to do.
    desk.input(Input::OutputsWritten(video(1, 0)));
    assert!(desk.is_done(1));
    desk.finish(2);
    assert!(desk.given.values().all(Vec::is_empty));
}

#[test]
fn reconnect_within_the_lease_keeps_the_attempt() {
    let mut desk = one_video_on_worker_2();
    desk.step(2, 1);
    let attempt = desk.item(2).attempt;
    desk.lost(2);
    desk.pass(LEASE - 5_000, &[1, 3]);
    assert!(desk.try_item(3).is_none(), "the lease still runs");
    desk.hello(2, DIT, &[attempt]);
    desk.steps(2, 2..=3);
    desk.done(2, 3);
    assert_eq!(desk.scheduler.steps_done(video(1, 0)), Some(3));
    desk.complete(1);
}

#[test]
fn assignment_lost_with_its_connection_is_given_out_again() {
    let mut desk = Desk::rendering(job(1, 0, 1), &[ALL]);
    let first = desk.item(1).attempt;
    desk.lost(1);
    desk.given.clear();
    desk.hello(1, ALL, &[]);
    let again = desk.item(1);
    assert!(again.attempt > first);
    assert_eq!(desk.scheduler.strikes(video(1, 0)), Some(0), "nobody is to blame");
}

#[test]
fn expired_lease_requeues_and_the_late_result_is_refused() {
    let mut desk = one_video_on_worker_2();
    desk.step(2, 1);
    let late = desk.item(2);
    desk.pass(LEASE + 5_000, &[1, 3]);
    assert!(desk.said(|action| matches!(action, Action::Disconnect { worker: w, .. } if *w == worker(2))));
    assert_eq!(desk.item(3).item.steps.first, 1);
    // The sleeper wakes and talks on its old connection: it has to say hello first.
    desk.log.clear();
    desk.report(2, late.attempt, Report::Started);
    assert!(desk.said(|action| matches!(action, Action::Disconnect { worker: w, .. } if *w == worker(2))));
    desk.hello(2, DIT, &[late.attempt]);
    assert!(desk.dropped(late.attempt));
    desk.given.insert(2, vec![late]);
    desk.step(2, 3);
    assert_eq!(desk.scheduler.steps_done(video(1, 0)), Some(1), "the fence holds");
    desk.given.remove(&2);
    desk.complete(1);
}

#[test]
fn reboot_under_the_same_identity_ends_the_old_attempts_at_once() {
    let mut desk = one_video_on_worker_2();
    desk.step(2, 2);
    let old = desk.item(2).attempt;
    desk.boot(2, DIT);
    assert_eq!(desk.worker(2).session, Session::Connected);
    let both = [desk.try_item(2), desk.try_item(3)];
    let item = both.into_iter().flatten().next().expect("given out again");
    assert!(item.attempt > old);
    assert_eq!(item.item.steps.first, 2);
}

#[test]
fn poison_video_is_stopped_after_three_workers_and_the_job_goes_on() {
    let mut desk = Desk::rendering(job(1, 0, 2), &[REST]);
    desk.finish(1);
    for n in 2..5 {
        desk.boot(n, DIT);
        assert_eq!(desk.item(n).item.video, video(1, 0));
        desk.start(n);
        desk.gone(n, false);
    }
    assert!(matches!(desk.states(1)[..], [VideoPhase::Failed(_), VideoPhase::Open]));
    desk.boot(5, DIT);
    desk.play();
    assert_eq!(desk.states(1)[1], VideoPhase::Done);
}

#[test]
fn progress_between_deaths_wipes_the_strikes() {
    let mut desk = Desk::rendering(job(1, 0, 1), &[REST]);
    desk.finish(1);
    for steps_done in 1..=3 {
        for _ in 0..2 {
            desk.boot(2, DIT);
            desk.start(2);
            desk.gone(2, false);
        }
        desk.boot(2, DIT);
        desk.start(2);
        desk.step(2, steps_done);
        assert_eq!(desk.scheduler.strikes(video(1, 0)), Some(0));
        desk.gone(2, true);
    }
    assert_eq!(desk.states(1), [VideoPhase::Open]);
}

#[test]
fn recomputing_lost_steps_is_no_progress() {
    let mut desk = one_video_on_worker_2();
    desk.gone(3, true);
    desk.store = false;
    for n in [2, 4, 5] {
        if n > 2 {
            desk.boot(n, DIT);
            assert_eq!(desk.item(n).item.steps.first, 0);
            desk.start(n);
        }
        desk.step(n, 1);
        desk.gone(n, false);
        desk.input(Input::CopyFailed(checkpoint_of(video(1, 0), 1)));
    }
    // Each death came right after a step, but it was always the same step.
    assert!(matches!(desk.states(1)[..], [VideoPhase::Failed(_)]));
}

#[test]
fn sleeping_coordinator_breaks_no_lease() {
    let mut desk = one_video_on_worker_2();
    desk.now += 3_600_000;
    desk.scheduler.handle_timeout(wanfarm_scheduler::Instant(desk.now));
    assert_eq!(desk.worker(2).session, Session::Connected);
    desk.pass(LEASE + 5_000, &[1, 3]);
    assert_eq!(desk.worker(2).session, Session::Gone, "but silence after that counts");
}

#[test]
fn crash_loop_without_a_result_sets_the_worker_aside() {
    let mut desk = Desk::rendering(job(1, 0, 4), &[REST]);
    desk.boot(3, DIT);
    desk.play_text(1);
    for _ in 0..3 {
        desk.boot(2, &[Role::DitHigh]);
        desk.start(2);
        desk.gone(2, false);
    }
    desk.boot(2, &[Role::DitHigh]);
    assert!(desk.worker(2).set_aside.is_some());
    assert!(desk.try_item(2).is_none());
}

#[test]
fn silence_counts_against_the_video_it_befell() {
    let mut desk = Desk::rendering(job(1, 0, 1), &[REST]);
    desk.finish(1);
    for n in 2..5 {
        desk.boot(n, DIT);
        desk.start(n);
        desk.pass(LEASE + 5_000, &[1]);
    }
    assert!(matches!(desk.states(1)[..], [VideoPhase::Failed(_)]));
    assert!((2..5).all(|n| desk.worker(n).set_aside.is_none()), "a sleeper is no bad worker");
}

#[test]
fn stop_swallowed_by_a_broken_connection_is_said_again() {
    let mut desk = one_video_on_worker_2();
    let attempt = desk.item(2).attempt;
    desk.lost(2);
    desk.input(Input::Pause(JobId(1)));
    let is_stop = |action: &Action| matches!(action, Action::StopAfterStep { attempt: a, .. } if *a == attempt);
    assert!(!desk.said(is_stop), "nobody listens");
    desk.hello(2, DIT, &[attempt]);
    assert!(desk.said(is_stop));
}
