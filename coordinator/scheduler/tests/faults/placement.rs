//! Who gets what: priority, fair share, queues, prefetch.

use wanfarm_scheduler::{Action, Config, Input};
use wanfarm_types::{JobId, Report, Role, Stage};

use crate::desk::{ALL, Desk, job};

#[test]
fn important_job_preempts_at_a_step_boundary_and_no_step_is_lost() {
    let mut desk = Desk::new();
    desk.boot(1, &[Role::TextEncoder, Role::Vae]);
    desk.boot(2, &[Role::DitHigh, Role::DitLow]);
    let mut long = job(1, 0, 1);
    long.videos[0].stages[0].1.end = 20;
    long.videos[0].stages[1].1 = wanfarm_types::StepRange { first: 20, end: 40 };
    desk.add(long);
    desk.finish(1);
    let attempt = desk.start(2);
    desk.step(2, 1);
    desk.add(job(2, 5, 1));
    desk.finish(1);
    assert!(desk.stopped(attempt));
    desk.step(2, 2);
    desk.done(2, 2);
    assert_eq!(desk.item(2).item.video.job, JobId(2));
    while desk.item(2).item.video.job == JobId(2) {
        desk.finish(2);
    }
    assert_eq!(desk.item(2).item.steps.first, 2);
}

#[test]
fn worker_about_to_finish_is_not_stopped_but_gets_the_important_item_next() {
    let mut desk = Desk::rendering(job(1, 0, 1), &[&[Role::TextEncoder], &[Role::DitHigh]]);
    desk.finish(1);
    desk.start(2);
    desk.step(2, 1);
    desk.add(job(2, 5, 1));
    desk.finish(1);
    assert!(!desk.said(|action| matches!(action, Action::StopAfterStep { .. })));
    let next = desk.given[&2][1].clone();
    assert!(next.prefetch && next.item.video.job == JobId(2));
}

#[test]
fn next_item_is_fetched_near_the_end_and_only_when_nobody_is_idle() {
    let mut desk = Desk::new();
    desk.boot(1, &[Role::TextEncoder]);
    desk.boot(2, &[Role::DitHigh]);
    let mut plan = job(1, 0, 2);
    plan.videos[0].stages[0].1.end = 5;
    plan.videos[0].stages[1].1.first = 5;
    desk.add_encoded(plan);
    desk.start(2);
    desk.steps(2, 1..=2);
    assert!(desk.worker(2).next.is_none());
    desk.step(2, 3);
    assert!(desk.worker(2).next.is_some());
}

#[test]
fn idle_worker_takes_back_a_queued_item() {
    let mut desk = Desk::rendering(job(1, 0, 2), &[&[Role::TextEncoder], &[Role::DitHigh]]);
    desk.play_text(1);
    desk.start(2);
    desk.step(2, 1);
    let queued = desk.given[&2][1].clone();
    assert!(queued.prefetch);
    desk.boot(3, &[Role::DitHigh]);
    assert!(desk.said(|action| matches!(action, Action::Revoke { attempt, .. } if *attempt == queued.attempt)));
    desk.report(2, queued.attempt, Report::Revoked);
    assert_eq!(desk.item(3).item.video, queued.item.video);
    assert_eq!(desk.scheduler.strikes(queued.item.video), Some(0));
}

#[test]
fn queued_item_that_started_meanwhile_stays_where_it_is() {
    let mut desk = Desk::rendering(job(1, 0, 2), &[&[Role::TextEncoder], &[Role::DitHigh]]);
    desk.play_text(1);
    desk.start(2);
    desk.step(2, 1);
    desk.boot(3, &[Role::DitHigh]);
    desk.finish(2);
    desk.log.clear();
    desk.start(2);
    assert!(desk.log.is_empty(), "no stop, no second copy: {:?}", desk.log);
    // It is an item like any other now: something more important stops it.
    desk.gone(3, true);
    desk.add_encoded(job(2, 5, 1));
    let stopped = |action: &Action| matches!(action, Action::StopAfterStep { .. });
    assert!(desk.said(stopped), "{:?}", desk.log);
    desk.step(2, 1);
    desk.done(2, 1);
    assert_eq!(desk.item(2).item.video.job, JobId(2));
}

#[test]
fn new_videos_wait_while_the_low_expert_is_behind() {
    let mut desk = Desk::with(Config { queue_per_worker: 2, ..Config::default() });
    desk.boot(1, &[Role::TextEncoder]);
    desk.boot(2, &[Role::DitHigh]);
    desk.boot(3, &[Role::DitLow]);
    desk.add(job(1, 0, 9));
    let mut high = 0;
    loop {
        desk.play_text(1);
        if desk.try_item(2).is_none() {
            break;
        }
        desk.finish(2);
        high += 1;
    }
    // One is with the low expert, which never answers; two wait for it, and one more had been begun or queued.
    assert!((3..=4).contains(&high), "{high} videos begun");
    desk.finish(3);
    desk.finish(3);
    assert!(desk.try_item(2).is_some());
}

#[test]
fn jobs_of_equal_priority_share_a_worker() {
    let mut desk = Desk::rendering(job(1, 0, 4), &[ALL]);
    desk.add(job(2, 0, 4));
    let mut order = Vec::new();
    while let Some(item) = desk.try_item(1) {
        if item.item.stage == Stage::DenoiseHigh {
            order.push(item.item.video.job.0);
        }
        desk.finish(1);
    }
    for pair in order.chunks(2) {
        assert_ne!(pair[0], pair[1], "{order:?}");
    }
}

#[test]
fn worker_with_all_roles_finishes_a_video_before_it_begins_the_next() {
    let mut desk = Desk::rendering(job(1, 0, 3), &[ALL]);
    let mut decoded = Vec::new();
    let mut begun = 0;
    while let Some(item) = desk.try_item(1) {
        match item.item.stage {
            Stage::DenoiseHigh => begun += 1,
            Stage::Decode => decoded.push((item.item.video.index, begun)),
            _ => {}
        }
        desk.finish(1);
    }
    assert_eq!(decoded, [(0, 1), (1, 2), (2, 3)]);
}

#[test]
fn video_stays_where_its_state_lies_when_nothing_else_decides() {
    let mut desk = Desk::new();
    desk.boot(9, &[Role::TextEncoder]);
    desk.boot(5, &[Role::DitHigh, Role::DitLow]);
    desk.add(job(1, 0, 1));
    desk.finish(9);
    desk.boot(1, &[Role::DitLow]);
    desk.boot(8, &[Role::DitLow]);
    desk.finish(5);
    assert_eq!(desk.item(5).item.stage, Stage::DenoiseLow);
}

#[test]
fn one_important_item_stops_one_worker() {
    let mut desk = Desk::with(Config { prefetch_steps: 0, ..Config::default() });
    desk.boot(1, &[Role::TextEncoder]);
    desk.boot(2, &[Role::DitHigh]);
    desk.boot(3, &[Role::DitHigh]);
    desk.add_encoded(job(1, 0, 2));
    desk.start(2);
    desk.start(3);
    desk.add_encoded(job(2, 5, 1));
    let stops = desk.taken(|action| matches!(action, Action::StopAfterStep { .. }).then_some(()));
    assert_eq!(stops.len(), 1);
}

#[test]
fn early_look_takes_first_last_and_middle_before_the_others() {
    let mut desk = Desk::new();
    desk.boot(1, ALL);
    let mut plan = job(1, 0, 7);
    plan.early_look = true;
    desk.add(plan);
    let mut begun = Vec::new();
    while let Some(item) = desk.try_item(1) {
        if item.item.stage == Stage::DenoiseHigh {
            begun.push(item.item.video.index);
        }
        desk.finish(1);
    }
    assert_eq!(begun, [0, 6, 3, 1, 2, 4, 5]);
}

#[test]
fn a_preempted_job_is_not_charged_for_steps_it_did_not_get() {
    let mut desk = Desk::with(Config { queue_per_worker: 100, ..Config::default() });
    desk.boot(1, &[Role::TextEncoder]);
    desk.boot(2, &[Role::DitHigh]);
    // Two jobs of equal priority; the first one's video is stopped after one of many steps by an important one.
    let mut long = job(1, 0, 2);
    for video in &mut long.videos {
        video.stages[0].1.end = 100;
        video.stages[1].1 = wanfarm_types::StepRange { first: 100, end: 101 };
    }
    desk.add_encoded(long);
    let first = desk.start(2);
    desk.add_encoded(job(3, 5, 1));
    assert!(desk.stopped(first));
    desk.step(2, 1);
    desk.done(2, 1);
    assert_eq!(desk.item(2).item.video.job, JobId(3));
    desk.input(Input::Cancel(wanfarm_scheduler::Target::Video(crate::desk::video(1, 0))));
    desk.add_encoded(job(2, 0, 40));
    desk.finish(2);
    // Job 1 has had one step and job 2 none: in turn, and job 1 does not wait until job 2 has had a hundred.
    let mut order = Vec::new();
    for _ in 0..3 {
        order.push(desk.item(2).item.video.job.0);
        desk.finish(2);
        desk.play_text(1);
    }
    assert!(order.contains(&1), "{order:?}");
}
