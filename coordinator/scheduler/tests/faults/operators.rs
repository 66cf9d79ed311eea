//! Pause, cancel, retry, forget.

use wanfarm_scheduler::{Action, Change, Input, Target, VideoPhase};
use wanfarm_types::{JobId, Report, Role, Stage};

use crate::desk::{ALL, Desk, job, video, worker};

#[test]
fn item_not_yet_started_is_revoked_and_stopped_if_it_started_meanwhile() {
    let mut desk = Desk::rendering(job(1, 0, 1), &[ALL]);
    let item = desk.until(1, Stage::DenoiseHigh);
    desk.input(Input::Pause(JobId(1)));
    assert!(desk.said(|action| matches!(action, Action::Revoke { attempt, .. } if *attempt == item.attempt)));
    desk.start(1);
    assert!(desk.stopped(item.attempt));
    desk.step(1, 1);
    desk.done(1, 1);
    assert!(desk.try_item(1).is_none());
    desk.input(Input::Resume(JobId(1)));
    assert_eq!(desk.item(1).item.steps.first, 1);
}

#[test]
fn a_job_that_becomes_more_important_goes_first_also_after_a_restart() {
    let mut desk = Desk::new();
    desk.add(job(1, 50, 3));
    desk.add(job(2, 10, 3));
    desk.input(Input::SetPriority(JobId(2), 90));
    // Nothing changes.
    desk.input(Input::SetPriority(JobId(2), 90));
    let rows: Vec<_> = desk.rows.iter().filter(|row| matches!(row, Change::JobPriority { .. })).collect();
    assert_eq!(rows, [&Change::JobPriority { job: JobId(2), priority: 90 }]);
    desk.restart();
    desk.boot(1, ALL);
    let mut order = Vec::new();
    while let Some(item) = desk.try_item(1) {
        order.push(item.item.video.job.0);
        desk.finish(1);
        let written =
            |action: &Action| if let Action::WriteOutputs { video, .. } = action { Some(*video) } else { None };
        desk.taken(written).into_iter().for_each(|video| desk.input(Input::OutputsWritten(video)));
    }
    assert!(desk.is_done(1) && desk.is_done(2));
    assert!(order.is_sorted_by(|a, b| a >= b), "{order:?}");
}

#[test]
fn what_runs_of_a_less_important_job_makes_room_for_one_that_rises() {
    let mut desk = Desk::new();
    desk.add(job(1, 50, 1));
    desk.boot(1, ALL);
    let item = desk.until(1, Stage::DenoiseHigh);
    desk.start(1);
    desk.add(job(2, 50, 1));
    assert!(!desk.stopped(item.attempt));
    desk.input(Input::SetPriority(JobId(2), 51));
    assert!(desk.stopped(item.attempt), "it stops after its step");
    desk.input(Input::SetPriority(JobId(2), 0));
    desk.complete(1);
    desk.complete(2);
}

#[test]
fn cancel_frees_workers_and_memory_and_retry_goes_on_from_what_is_durable() {
    let mut desk = Desk::rendering(job(1, 0, 2), &[ALL]);
    let item = desk.until(1, Stage::DenoiseHigh);
    desk.start(1);
    desk.steps(1, 1..=2);
    desk.input(Input::Cancel(Target::Video(item.item.video)));
    assert!(desk.stopped(item.attempt));
    desk.log.clear();
    desk.done(1, 3);
    assert!(desk.dropped(item.attempt));
    desk.play();
    assert_eq!(desk.states(1), [VideoPhase::Cancelled, VideoPhase::Done]);
    desk.input(Input::Retry(Target::Video(item.item.video)));
    assert_eq!(desk.scheduler.steps_done(item.item.video), Some(2));
    desk.complete(1);
}

#[test]
fn cancelled_job_is_finished_at_once() {
    let mut desk = Desk::new();
    desk.add(job(1, 0, 3));
    desk.input(Input::Cancel(Target::Job(JobId(1))));
    assert!(desk.said(|action| *action == Action::JobFinished(JobId(1))));
    desk.boot(1, ALL);
    assert!(desk.try_item(1).is_none());
}

#[test]
fn text_is_encoded_once_for_all_its_readers() {
    let mut desk = Desk::new();
    desk.boot(1, &[Role::TextEncoder]);
    for id in [1, 2] {
        let mut plan = job(id, 0, 3);
        let shared = job(1, 0, 1).videos[0].texts[0];
        plan.videos.iter_mut().for_each(|video| video.texts = vec![shared]);
        desk.add(plan);
    }
    desk.finish(1);
    assert!(desk.try_item(1).is_none());
    desk.boot(2, ALL);
    desk.play();
    assert!(desk.is_done(1) && desk.is_done(2));
    let issued = |row: &&Change| matches!(row, Change::AttemptIssued { text: Some(_), .. });
    assert_eq!(desk.rows.iter().filter(issued).count(), 1);
}

#[test]
fn finished_video_leaves_nothing_in_memory_or_store() {
    let mut desk = Desk::rendering(job(1, 0, 1), &[ALL]);
    desk.play_keeping_the_log();
    let acked = desk.log.iter().filter(|action| matches!(action, Action::Ack { .. })).count();
    let dropped = desk.log.iter().filter(|action| matches!(action, Action::Drop { .. })).count();
    assert_eq!((acked, dropped), (4, 4), "text, high, low, frames");
    let durable = desk.rows.iter().filter(|row| matches!(row, Change::ArtifactDurable { .. })).count();
    let forgotten = desk.rows.iter().filter(|row| matches!(row, Change::ArtifactForgotten(_))).count();
    let deleted = desk.log.iter().filter(|action| matches!(action, Action::DeleteDurable(_))).count();
    assert_eq!((durable, forgotten, deleted), (7, 7, 7), "one text, six steps");
    assert_eq!(desk.states(1), [VideoPhase::Done]);
}

#[test]
fn full_disk_counts_no_try_and_writing_goes_on_after_resume() {
    let mut desk = Desk::rendering(job(1, 0, 1), &[ALL]);
    desk.decode(1);
    let writes = |desk: &mut Desk| desk.taken(|action| matches!(action, Action::WriteOutputs { .. }).then_some(()));
    assert_eq!(writes(&mut desk).len(), 1);
    // More often than there are tries, the pause said before and after the answer.
    for round in 0..20 {
        if round % 2 == 0 {
            desk.input(Input::Pause(JobId(1)));
            desk.input(Input::OutputsHeld(video(1, 0)));
        } else {
            desk.input(Input::OutputsHeld(video(1, 0)));
            desk.input(Input::Pause(JobId(1)));
        }
        desk.pass(60_000, &[1]);
        assert_eq!(writes(&mut desk).len(), 0, "a paused job writes nothing");
        desk.input(Input::Resume(JobId(1)));
        assert_eq!(writes(&mut desk).len(), 1);
        assert_eq!(desk.states(1), [VideoPhase::Open]);
    }
    desk.input(Input::OutputsWritten(video(1, 0)));
    assert!(desk.is_done(1));
}

#[test]
fn full_disk_without_a_pause_is_asked_again_after_one() {
    let mut desk = Desk::rendering(job(1, 0, 1), &[ALL]);
    desk.decode(1);
    desk.log.clear();
    desk.input(Input::OutputsHeld(video(1, 0)));
    assert!(desk.log.is_empty());
    desk.pass(5_000, &[1]);
    desk.complete(1);
}

#[test]
fn files_written_while_the_job_is_paused_count() {
    let mut desk = Desk::rendering(job(1, 0, 1), &[ALL]);
    desk.decode(1);
    desk.input(Input::Pause(JobId(1)));
    desk.input(Input::OutputsWritten(video(1, 0)));
    assert!(desk.is_done(1));
    assert!(desk.said(|action| *action == Action::JobFinished(JobId(1))));
}

#[test]
fn forgotten_job_leaves_nothing_and_a_running_one_is_not_forgotten() {
    let mut desk = Desk::rendering(job(1, 0, 2), &[ALL]);
    let item = desk.until(1, Stage::DenoiseHigh);
    desk.start(1);
    desk.step(1, 1);
    desk.input(Input::Forget(JobId(1)));
    assert_eq!(desk.states(1).len(), 2, "it has not finished");
    desk.input(Input::Cancel(Target::Job(JobId(1))));
    desk.input(Input::Forget(JobId(1)));
    assert!(desk.scheduler.job_ids().next().is_none());
    assert!(desk.dropped(item.attempt));
    let durable = desk.rows.iter().filter(|row| matches!(row, Change::ArtifactDurable { .. })).count();
    assert_eq!(durable, desk.rows.iter().filter(|row| matches!(row, Change::ArtifactForgotten(_))).count());
    assert_eq!(desk.rows.last(), Some(&Change::JobForgotten(JobId(1))));
    // Neither a late report nor a retry brings it back, and attempt numbers still grow after a restart.
    desk.given.clear();
    desk.report(1, item.attempt, Report::Started);
    desk.input(Input::Retry(Target::Job(JobId(1))));
    desk.restart();
    assert!(desk.scheduler.job_ids().next().is_none());
    desk.hello(1, ALL, &[]);
    desk.add(job(2, 0, 1));
    assert!(desk.item(1).attempt > item.attempt);
    desk.complete(2);
}

#[test]
fn a_worker_that_is_gone_can_be_forgotten_and_one_that_lives_cannot() {
    let mut desk = Desk::rendering(job(1, 0, 1), &[ALL]);
    desk.until(1, Stage::DenoiseLow);
    desk.boot(2, ALL);
    desk.input(Input::Drain(worker(2)));
    for n in [1, 2] {
        desk.input(Input::ForgetWorker(worker(n)));
        assert!(desk.scheduler.view_worker(worker(n)).is_some());
    }
    desk.gone(2, true);
    desk.input(Input::ForgetWorker(worker(2)));
    assert!(desk.scheduler.view_worker(worker(2)).is_none());
    desk.restart();
    assert!(desk.scheduler.view_worker(worker(2)).is_none());
    desk.boot(2, ALL);
    assert!(!desk.worker(2).draining, "it is new");
}
