//! Workers of unequal speed: who is chosen, who had better wait, and which videos move.

use wanfarm_scheduler::{Action, Config, Input, Instant, Scheduler};
use wanfarm_types::{AttemptId, Checkpoint, ItemOutputs, Report, Role, Stage, StepRange, StepTiming};

use crate::desk::{Desk, job, video};

const HIGH: &[Role] = &[Role::DitHigh];

/// Worker 1 encodes; workers `dits` hold the high expert and have been measured: each took so many seconds a step.
fn measured(dits: &[(u64, f64)]) -> Desk {
    let mut desk = Desk::with(Config { queue_per_worker: 100, ..Config::default() });
    desk.boot(1, &[Role::TextEncoder]);
    dits.iter().for_each(|&(n, _)| desk.boot(n, HIGH));
    desk.add_encoded(long(1, dits.len() as u32, 3));
    for &(n, seconds) in dits {
        finish(&mut desk, n, seconds);
    }
    desk
}

/// A job whose videos have `steps` steps on the high expert and one on the low one, which nobody holds.
fn long(id: u64, videos: u32, steps: u32) -> wanfarm_scheduler::JobPlan {
    let mut plan = job(id, 0, videos);
    for video in &mut plan.videos {
        video.stages[0].1 = StepRange { first: 0, end: steps };
        video.stages[1].1 = StepRange { first: steps, end: steps + 1 };
    }
    plan
}

fn step(desk: &mut Desk, n: u64, seconds: f64) {
    let item = desk.item(n);
    let reached = desk.worker(n).running.map_or(0, |(.., reached)| reached);
    let checkpoint = Desk::state(item.item.video, reached + 1);
    desk.now += (seconds * 1e3) as u64;
    desk.report(n, item.attempt, Report::StepDone { checkpoint, seconds });
}

fn finish(desk: &mut Desk, n: u64, seconds: f64) {
    let item = desk.item(n);
    let left = item.item.steps.first..item.item.steps.end;
    left.clone().for_each(|_| step(desk, n, seconds));
    let step_seconds = vec![seconds; left.len()];
    let timing = StepTiming { seconds: step_seconds.iter().sum(), step_seconds, ..StepTiming::default() };
    let outputs = ItemOutputs::Checkpoint(Desk::state(item.item.video, item.item.steps.end));
    desk.report(n, item.attempt, Report::ItemDone { outputs, timing });
}

/// The worker was asked to stop, and does after its step.
fn stop(desk: &mut Desk, n: u64, seconds: f64) -> Checkpoint {
    let item = desk.item(n);
    step(desk, n, seconds);
    let reached = desk.worker(n).running.map_or(0, |(.., reached)| reached);
    let state = Desk::state(item.item.video, reached);
    let outputs = ItemOutputs::Checkpoint(state.clone());
    desk.report(n, item.attempt, Report::ItemDone { outputs, timing: StepTiming::default() });
    state
}

#[test]
fn the_faster_of_two_idle_workers_is_chosen() {
    let mut desk = measured(&[(2, 40.0), (3, 10.0), (4, 20.0)]);
    desk.add_encoded(long(2, 1, 30));
    assert_eq!(desk.item(3).item.video, video(2, 0));
}

#[test]
fn a_worker_never_measured_is_taken_for_an_average_one() {
    let mut desk = measured(&[(2, 40.0), (3, 10.0)]);
    desk.boot(4, HIGH);
    desk.add_encoded(long(2, 2, 30));
    assert!(desk.try_item(3).is_some() && desk.try_item(4).is_some());
    assert!(desk.try_item(2).is_none_or(|item| item.item.video.job.0 != 2), "the slow one is left");
}

#[test]
fn speeds_are_known_again_after_a_restart() {
    let mut desk = measured(&[(2, 40.0), (3, 10.0)]);
    desk.restart();
    desk.given.clear();
    [2, 3].iter().for_each(|&n| desk.hello(n, HIGH, &[]));
    desk.hello(1, &[Role::TextEncoder], &[]);
    let pace = |desk: &Desk, n| desk.worker(n).pace.into_iter().map(|(.., seconds)| seconds).collect::<Vec<_>>();
    assert_eq!((pace(&desk, 2), pace(&desk, 3)), (vec![40.0], vec![10.0]));
    desk.add_encoded(long(2, 1, 30));
    assert_eq!(desk.item(3).item.video, video(2, 0));
}

#[test]
fn steps_that_a_step_cache_leaves_out_say_nothing_of_a_worker_s_speed() {
    let mut desk = Desk::with(Config::default());
    desk.boot(1, &[Role::TextEncoder]);
    desk.boot(2, HIGH);
    let mut plan = long(1, 1, 6);
    // The third is left to the computation.
    plan.videos[0].work = vec![Some(100), Some(0), None, Some(50), Some(0), Some(100), Some(100)];
    desk.add_encoded(plan);
    for seconds in [40.0, 1.0, 2.0, 20.0, 1.0, 40.0] {
        step(&mut desk, 2, seconds);
    }
    let pace = |desk: &Desk| desk.worker(2).pace.into_iter().map(|(.., seconds)| seconds).collect::<Vec<_>>();
    assert_eq!(pace(&desk), [40.0]);
    let item = desk.item(2);
    let timing = StepTiming { step_seconds: vec![40.0, 1.0, 2.0, 20.0, 1.0, 40.0], ..StepTiming::default() };
    let outputs = ItemOutputs::Checkpoint(Desk::state(item.item.video, 6));
    desk.report(2, item.attempt, Report::ItemDone { outputs, timing });
    desk.restart();
    desk.given.clear();
    desk.hello(2, HIGH, &[]);
    assert_eq!(pace(&desk), [40.0], "nor after a restart");
}

#[test]
fn the_last_video_moves_to_an_idle_faster_worker_and_loses_no_step() {
    let mut desk = measured(&[(2, 40.0)]);
    desk.add_encoded(long(2, 1, 30));
    let attempt = desk.start(2);
    step(&mut desk, 2, 40.0);
    assert!(!desk.stopped(attempt));
    // A worker appears that was fast once; nothing else is left to do.
    desk.boot(3, HIGH);
    desk.add_encoded(long(3, 1, 3));
    finish(&mut desk, 3, 10.0);
    assert!(desk.stopped(attempt), "{:?}", desk.log);
    stop(&mut desk, 2, 40.0);
    let moved = desk.item(3);
    assert_eq!((moved.item.video, moved.item.steps.first), (video(2, 0), 2));
    assert!(desk.try_item(2).is_none());
    // It never goes back, however long it takes.
    desk.log.clear();
    desk.start(3);
    (2..29).for_each(|_| step(&mut desk, 3, 10.0));
    assert!(!desk.stopped(moved.attempt));
}

#[test]
fn nothing_moves_for_a_gain_smaller_than_the_cost() {
    let mut desk = measured(&[(2, 4.0), (3, 1.0)]);
    // Two steps after the present one, three seconds gained on each: six, and five is the margin.
    for (steps, moves) in [(3, true), (2, false)] {
        desk.log.clear();
        let id = 10 + u64::from(steps);
        desk.input(Input::Drain(crate::desk::worker(3)));
        desk.add_encoded(long(id, 1, steps));
        let attempt = desk.start(2);
        desk.input(Input::WorkerEnabled(crate::desk::worker(3)));
        assert_eq!(desk.stopped(attempt), moves, "{steps} steps");
        if moves {
            stop(&mut desk, 2, 4.0);
            finish(&mut desk, 3, 1.0);
        }
    }
}

#[test]
fn nothing_moves_while_there_is_plenty() {
    let mut desk = measured(&[(2, 40.0), (3, 10.0)]);
    desk.add(long(2, 40, 30));
    // One text only: the other videos are still to come.
    desk.finish(1);
    assert_eq!(desk.item(3).item.video, video(2, 0));
    desk.finish(1);
    let attempt = desk.start(2);
    finish(&mut desk, 3, 10.0);
    assert!(!desk.stopped(attempt), "worker 3 is idle, but will not be for long");
}

#[test]
fn the_last_short_item_waits_for_a_faster_worker_that_is_nearly_done() {
    let mut desk = measured(&[(2, 100.0), (3, 10.0)]);
    desk.add_encoded(long(2, 1, 3));
    desk.start(3);
    desk.add_encoded(long(3, 1, 3));
    // Worker 3 ends in thirty seconds; worker 2 would not have one step behind it by then.
    assert!(desk.try_item(2).is_none());
    // But when worker 3 is lost, there is nothing to wait for.
    desk.gone(3, true);
    assert!(desk.try_item(2).is_some());
}

#[test]
fn an_important_item_never_waits_where_something_less_important_runs() {
    let mut desk = measured(&[(2, 100.0), (3, 10.0)]);
    desk.add_encoded(long(2, 1, 3));
    desk.start(3);
    let mut urgent = long(3, 1, 3);
    urgent.priority = 5;
    desk.add_encoded(urgent);
    assert!(desk.worker(2).running.is_some() || desk.worker(3).next.is_some());
}

#[test]
fn ten_thousand_videos_are_restored_at_once() {
    let mut scheduler = Scheduler::new(Config::default(), AttemptId(1));
    scheduler.handle(Instant(0), Input::JobAdded(job(1, 0, 10_000)));
    let rows = std::iter::from_fn(|| scheduler.poll_action()).filter_map(|action| match action {
        Action::Commit(rows) => Some(rows),
        _ => None,
    });
    let restored = Scheduler::restore(Config::default(), Instant(0), AttemptId(1), rows.flatten()).unwrap();
    assert_eq!(restored.ready(Stage::EncodeText), 10_000);
    let mut videos = restored.phases(wanfarm_types::JobId(1));
    assert!(videos.all(|(video, _)| restored.stage(video) == Some(Stage::EncodeText)));
}

#[test]
fn a_worker_never_measured_is_tried_while_there_is_plenty() {
    let mut desk = measured(&[(2, 40.0), (3, 10.0)]);
    desk.add(long(2, 40, 30));
    desk.finish(1);
    assert_eq!(desk.item(3).item.video, video(2, 0));
    desk.finish(1);
    assert!(desk.try_item(2).is_some());
    // All are busy; then two fall idle at once, and the next video goes to the one nobody knows.
    desk.input(Input::Drain(crate::desk::worker(2)));
    desk.boot(4, HIGH);
    assert!(desk.try_item(4).is_none());
    finish(&mut desk, 3, 10.0);
    desk.finish(1);
    assert_eq!(desk.item(4).item.video, video(2, 2));
}

#[test]
fn the_last_decodes_wait_for_the_fast_worker() {
    let mut desk = Desk::new();
    desk.boot(1, &[Role::TextEncoder, Role::DitHigh, Role::DitLow]);
    [(2, 100.0), (3, 10.0)].iter().for_each(|&(n, _)| desk.boot(n, &[Role::Vae]));
    let decode = |desk: &mut Desk, n, seconds: f64| {
        let item = desk.item(n);
        desk.report(n, item.attempt, Report::Started);
        desk.now += (seconds * 1e3) as u64;
        let timing = StepTiming { seconds, ..StepTiming::default() };
        let outputs = ItemOutputs::Frames(crate::desk::tensor(item.attempt.0));
        desk.report(n, item.attempt, Report::ItemDone { outputs, timing });
    };
    desk.add(job(1, 0, 2));
    while desk.try_item(1).is_some() {
        desk.finish(1);
    }
    decode(&mut desk, 2, 100.0);
    decode(&mut desk, 3, 10.0);
    // Worker 3 would end all three before worker 2 ended one.
    desk.add(job(2, 0, 3));
    while desk.try_item(1).is_some() {
        desk.finish(1);
    }
    assert!(desk.try_item(2).is_none());
    for _ in 0..3 {
        decode(&mut desk, 3, 10.0);
    }
    assert!(desk.try_item(2).is_none() && desk.try_item(3).is_none());
}
