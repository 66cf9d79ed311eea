//! Drained workers finish, have their results copied, leave, and stay away from work until they are enabled.

use wanfarm_scheduler::{Action, Config, Input};
use wanfarm_types::{FailureKind, Stage};

use crate::desk::{ALL, Desk, checkpoint_of, failure, job, video, worker};

fn drain(desk: &mut Desk, n: u64) {
    desk.input(Input::Drain(worker(n)));
}

/// How often worker `n` was told to leave since the log was last taken.
fn told(desk: &mut Desk, n: u64) -> usize {
    let leave = |action: &Action| matches!(action, Action::Leave { worker: w, .. } if *w == worker(n)).then_some(());
    desk.taken(leave).len()
}

#[test]
fn drained_worker_finishes_its_steps_and_leaves_and_another_goes_on_from_there() {
    let mut desk = Desk::rendering(job(1, 0, 1), &[ALL]);
    desk.until(1, Stage::DenoiseHigh);
    desk.boot(2, ALL);
    desk.start(1);
    desk.step(1, 1);
    drain(&mut desk, 1);
    assert!(!desk.said(|action| matches!(action, Action::StopAfterStep { .. })), "it finishes what it has");
    desk.steps(1, 2..=3);
    assert_eq!(told(&mut desk, 1), 0);
    desk.done(1, 3);
    assert_eq!(told(&mut desk, 1), 1);
    assert_eq!(desk.item(2).item.steps.first, 3, "no step is computed again");
    desk.gone(1, true);
    desk.complete(1);
    assert!(desk.given.get(&1).is_none_or(Vec::is_empty));
}

#[test]
fn drained_worker_stays_until_what_only_it_has_is_durable() {
    let mut desk = Desk::rendering(job(1, 0, 1), &[ALL]);
    desk.store = false;
    desk.until(1, Stage::DenoiseLow);
    drain(&mut desk, 1);
    desk.finish(1);
    assert_eq!(told(&mut desk, 1), 0, "neither text nor state is durable");
    let text = wanfarm_scheduler::ArtifactId::Text(job(1, 0, 1).videos[0].texts[0]);
    desk.input(Input::Durable(text));
    // The copy of the first step was under way; the newest is asked for after it.
    desk.input(Input::Durable(checkpoint_of(video(1, 0), 1)));
    desk.input(Input::CopyFailed(checkpoint_of(video(1, 0), 6)));
    assert_eq!(told(&mut desk, 1), 0);
    desk.pass(5_000, &[1]);
    desk.input(Input::Durable(checkpoint_of(video(1, 0), 6)));
    assert_eq!(told(&mut desk, 1), 1);
}

#[test]
fn drained_worker_keeps_frames_until_they_are_written_but_not_for_ever() {
    for written in [true, false] {
        let mut desk = Desk::with(Config { lease: std::time::Duration::from_secs(3600), ..Config::default() });
        desk.boot(1, ALL);
        desk.add(job(1, 0, 1));
        desk.until(1, Stage::Decode);
        drain(&mut desk, 1);
        desk.finish(1);
        desk.input(Input::OutputsHeld(video(1, 0)));
        desk.pass(500_000, &[1]);
        assert_eq!(told(&mut desk, 1), 0);
        if written {
            desk.pass(5_000, &[1]);
            desk.input(Input::OutputsWritten(video(1, 0)));
        } else {
            desk.input(Input::OutputsFailed { video: video(1, 0), failure: failure(FailureKind::Transient) });
            desk.pass(200_000, &[1]);
        }
        assert_eq!(told(&mut desk, 1), 1);
        assert_eq!(desk.is_done(1), written);
    }
}

#[test]
fn idle_worker_leaves_at_once_and_its_next_boot_stays_until_it_is_enabled() {
    let mut desk = Desk::new();
    desk.boot(1, ALL);
    drain(&mut desk, 1);
    assert_eq!(told(&mut desk, 1), 1);
    desk.gone(1, true);
    desk.boot(1, ALL);
    desk.add(job(1, 0, 1));
    desk.lost(1);
    desk.hello(1, ALL, &[]);
    assert!(desk.try_item(1).is_none() && told(&mut desk, 1) == 0, "shown as drained, and no loop of starts");
    desk.input(Input::WorkerEnabled(worker(1)));
    desk.complete(1);
    drain(&mut desk, 1);
    assert_eq!(told(&mut desk, 1), 1, "this boot was there when it was drained again");
}

#[test]
fn a_boot_that_stays_is_sent_away_by_a_second_drain() {
    let mut desk = Desk::new();
    desk.boot(1, ALL);
    drain(&mut desk, 1);
    desk.gone(1, true);
    desk.boot(1, ALL);
    told(&mut desk, 1);
    drain(&mut desk, 1);
    assert_eq!(told(&mut desk, 1), 1);
}

#[test]
fn the_word_to_leave_is_said_again_on_the_next_connection() {
    let mut desk = Desk::new();
    desk.boot(1, ALL);
    drain(&mut desk, 1);
    desk.lost(1);
    assert_eq!(told(&mut desk, 1), 1);
    desk.hello(1, ALL, &[]);
    assert_eq!(told(&mut desk, 1), 1);
    desk.lost(1);
    desk.input(Input::WorkerEnabled(worker(1)));
    desk.hello(1, ALL, &[]);
    assert_eq!(told(&mut desk, 1), 0);
}

#[test]
fn a_restart_of_the_coordinator_forgets_neither_the_drain_nor_the_item() {
    let mut desk = Desk::rendering(job(1, 0, 1), &[ALL]);
    let attempt = desk.until(1, Stage::DenoiseHigh).attempt;
    desk.start(1);
    desk.step(1, 1);
    drain(&mut desk, 1);
    desk.restart();
    desk.hello(1, ALL, &[attempt]);
    assert_eq!(told(&mut desk, 1), 0);
    desk.steps(1, 2..=3);
    desk.done(1, 3);
    assert_eq!(told(&mut desk, 1), 1);
}
