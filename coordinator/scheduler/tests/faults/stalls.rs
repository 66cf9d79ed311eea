//! Workers that are there and get nowhere.

use std::time::Duration;

use wanfarm_scheduler::Config;
use wanfarm_types::{ItemOutputs, Report, Role, Stage, StepTiming};

use crate::desk::{ALL, Desk, job, tensor, video};

#[test]
fn a_worker_that_beats_and_gets_nowhere_loses_its_item_and_in_the_end_all_work() {
    let mut desk = Desk::new();
    [1, 2].iter().for_each(|&n| desk.boot(n, ALL));
    desk.add(job(1, 0, 1));
    let first = desk.item(1);
    assert_eq!(first.item.stage, Stage::EncodeText);
    // Its speed is unknown: twelve times the shortest patience.
    desk.start(1);
    desk.pass(7_190_000, &[1, 2]);
    assert_eq!(desk.worker(1).running.map(|(attempt, ..)| attempt), Some(first.attempt));
    desk.pass(20_000, &[1, 2]);
    assert!(desk.dropped(first.attempt));
    assert_eq!(desk.item(2).item.stage, Stage::EncodeText, "the item went elsewhere");
    // What it says of it later means nothing.
    let late = ItemOutputs::Text(tensor(77));
    desk.report(1, first.attempt, Report::ItemDone { outputs: late, timing: StepTiming::default() });
    assert_eq!(desk.scheduler.stage(video(1, 0)), Some(Stage::EncodeText));
    desk.complete(1);
}

#[test]
fn patience_follows_the_measured_steps_and_starts_anew_with_each() {
    let mut desk = Desk::with(Config { stall: Duration::from_secs(60), ..Config::default() });
    desk.boot(1, ALL);
    desk.add(job(1, 0, 1));
    desk.until(1, Stage::DenoiseHigh);
    let attempt = desk.start(1);
    for steps_done in 1..3 {
        let checkpoint = Desk::state(video(1, 0), steps_done);
        desk.report(1, attempt, Report::StepDone { checkpoint, seconds: 30.0 });
        // Ten times thirty seconds.
        desk.pass(295_000, &[1]);
        assert_eq!(desk.worker(1).running.map(|(attempt, ..)| attempt), Some(attempt));
    }
    desk.pass(10_000, &[1]);
    assert!(desk.dropped(attempt));
    assert_eq!(desk.item(1).item.steps.first, 2, "nobody else could take it, and its steps are kept");
}

/// As one of which nothing is known: what a worker says of its own speed buys it no more.
#[test]
fn a_worker_that_calls_itself_slow_has_no_more_time_than_a_new_one() {
    let mut desk = Desk::with(Config { stall: Duration::from_secs(60), ..Config::default() });
    desk.boot(1, ALL);
    desk.add(job(1, 0, 1));
    desk.until(1, Stage::DenoiseHigh);
    let attempt = desk.start(1);
    desk.report(1, attempt, Report::StepDone { checkpoint: Desk::state(video(1, 0), 1), seconds: 9e6 });
    desk.pass(12 * 60_000 - 1000, &[1]);
    assert_eq!(desk.worker(1).running.map(|(attempt, ..)| attempt), Some(attempt));
    desk.pass(2000, &[1]);
    assert!(desk.dropped(attempt));
}

#[test]
fn a_queued_item_has_no_deadline_before_its_turn() {
    let mut desk = Desk::with(Config { stall: Duration::from_secs(60), prefetch_steps: 9, ..Config::default() });
    desk.boot(1, &[Role::TextEncoder]);
    desk.boot(2, &[Role::DitHigh]);
    desk.add_encoded(job(1, 0, 2));
    desk.start(2);
    let (next, ..) = desk.worker(2).next.expect("one is queued");
    let attempt = desk.item(2).attempt;
    for steps_done in 1..3 {
        desk.pass(700_000, &[1, 2]);
        let checkpoint = Desk::state(desk.item(2).item.video, steps_done);
        desk.report(2, attempt, Report::StepDone { checkpoint, seconds: 700.0 });
    }
    assert_eq!(desk.worker(2).next.map(|next| next.0), Some(next));
}
