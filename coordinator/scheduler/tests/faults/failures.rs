//! Items that fail, and results that are not to be trusted.

use wanfarm_scheduler::{Action, ArtifactId, AttemptEnd, Change, Input, JobPhase, VideoPhase};
use wanfarm_types::{FailureKind, ItemOutputs, JobId, Report, Role, Stage, StepTiming};

use crate::desk::{ALL, Desk, checkpoint_of, failure, job, tensor, video, worker};

#[test]
fn transient_failure_is_retried_on_another_worker() {
    let mut desk = Desk::rendering(job(1, 0, 1), &[ALL]);
    desk.until(1, Stage::DenoiseHigh);
    desk.fail(1, FailureKind::Transient);
    assert_eq!(desk.item(1).item.stage, Stage::DenoiseHigh, "there is no other worker");
    desk.boot(2, ALL);
    desk.fail(1, FailureKind::Transient);
    assert!(desk.try_item(1).is_none());
    desk.fail(2, FailureKind::Transient);
    assert!(matches!(desk.states(1)[..], [VideoPhase::Failed(_)]), "three tries, and nobody left to ask");
}

#[test]
fn video_waits_for_a_busy_worker_rather_than_go_back_to_one_it_failed_on() {
    let mut desk = Desk::rendering(job(1, 0, 2), &[&[Role::TextEncoder], &[Role::DitHigh]]);
    desk.play_text(1);
    desk.start(2);
    desk.boot(3, &[Role::DitHigh]);
    assert_eq!(desk.item(3).item.video, video(1, 1));
    desk.fail(3, FailureKind::Transient);
    assert!(desk.try_item(3).is_none());
    desk.finish(2);
    assert_eq!(desk.item(2).item.video, video(1, 1));
}

#[test]
fn deterministic_failure_is_not_retried_and_blames_no_worker() {
    let mut desk = Desk::rendering(job(1, 0, 5), &[ALL]);
    for _ in 0..4 {
        desk.until(1, Stage::DenoiseHigh);
        desk.fail(1, FailureKind::Deterministic);
    }
    assert!(desk.worker(1).set_aside.is_none());
    desk.play();
    let states = desk.states(1);
    assert_eq!(states.iter().filter(|state| **state == VideoPhase::Done).count(), 1);
    assert!(desk.rows.iter().any(|row| matches!(row, Change::JobPhase { state: JobPhase::Finished, .. })));
}

#[test]
fn not_finite_is_tried_once_more_elsewhere() {
    let mut desk = Desk::rendering(job(1, 0, 1), &[ALL]);
    desk.until(1, Stage::DenoiseHigh);
    desk.boot(2, ALL);
    desk.fail(1, FailureKind::NotFinite);
    assert!(desk.try_item(1).is_none());
    desk.fail(2, FailureKind::NotFinite);
    assert_eq!(desk.states(1), [VideoPhase::Failed(failure(FailureKind::NotFinite))]);
}

#[test]
fn worker_that_fails_three_different_videos_in_a_row_is_set_aside_until_enabled() {
    let mut desk = Desk::new();
    desk.boot(2, ALL);
    desk.add(job(1, 0, 4));
    desk.start(2);
    desk.boot(1, ALL);
    for _ in 0..3 {
        desk.fail(1, FailureKind::Transient);
    }
    assert!(desk.said(|action| matches!(action, Action::SetAside { worker: w, .. } if *w == worker(1))));
    assert!(desk.try_item(1).is_none());
    desk.input(Input::WorkerEnabled(worker(1)));
    desk.complete(1);
}

#[test]
fn success_between_failures_keeps_the_worker() {
    let mut desk = Desk::rendering(job(1, 0, 4), &[ALL]);
    for index in 0..4 {
        assert_eq!(desk.until(1, Stage::EncodeText).item.video, video(1, index));
        desk.fail(1, FailureKind::Transient);
        desk.finish(1);
    }
    assert!(desk.worker(1).set_aside.is_none());
}

#[test]
fn lost_inputs_go_back_to_the_durable_checkpoint() {
    let mut desk = Desk::rendering(job(1, 0, 1), &[&[Role::TextEncoder, Role::DitHigh]]);
    desk.finish(1);
    desk.start(1);
    desk.steps(1, 1..=2);
    desk.store = false;
    desk.step(1, 3);
    desk.done(1, 3);
    desk.boot(2, &[Role::DitLow]);
    let item = desk.item(2);
    assert_eq!(item.item.steps.first, 3);
    desk.report(2, item.attempt, Report::Failed(failure(FailureKind::InputsLost)));
    desk.input(Input::CopyFailed(checkpoint_of(video(1, 0), 3)));
    let item = desk.item(1);
    assert_eq!((item.item.stage, item.item.steps.first), (Stage::DenoiseHigh, 2));
    assert_eq!(desk.states(1), [VideoPhase::Open]);
    desk.store = true;
    desk.boot(3, &[Role::Vae]);
    desk.complete(1);
}

#[test]
fn durable_copies_that_nobody_can_read_are_made_again() {
    let mut desk = Desk::rendering(job(1, 0, 1), &[ALL]);
    desk.until(1, Stage::DenoiseLow);
    for _ in 0..3 {
        let item = desk.item(1);
        assert_eq!((item.item.stage, item.item.steps.first), (Stage::DenoiseLow, 3));
        desk.report(1, item.attempt, Report::Failed(failure(FailureKind::InputsLost)));
        desk.pass(60_000, &[1]);
    }
    assert!(desk.rows.contains(&Change::ArtifactForgotten(checkpoint_of(video(1, 0), 3))));
    assert_eq!(desk.states(1), [VideoPhase::Open]);
    assert!(desk.worker(1).set_aside.is_none(), "the copies are to blame");
    desk.complete(1);
}

#[test]
fn inputs_lost_again_and_again_pause_the_video_and_never_fail_it() {
    let mut desk = Desk::rendering(job(1, 0, 1), &[&[Role::TextEncoder], &[Role::DitHigh, Role::DitLow, Role::Vae]]);
    desk.store = false;
    let mut pauses = Vec::new();
    for _ in 0..20 {
        desk.finish(1);
        let began = desk.now;
        while desk.try_item(2).is_none() {
            assert_eq!(desk.scheduler.resting(JobId(1)).map(|(video, _)| video), Some(video(1, 0)));
            desk.pass(1_000, &[1, 2]);
        }
        pauses.push((desk.now - began) / 1_000);
        let item = desk.item(2);
        let context = item.inputs.text[0].digest;
        assert_eq!(desk.scheduler.holder_of(&context), Some(worker(1)));
        desk.report(2, item.attempt, Report::Failed(failure(FailureKind::InputsLost)));
        assert_eq!(desk.scheduler.holder_of(&context), None);
        desk.input(Input::CopyFailed(ArtifactId::Text(job(1, 0, 1).videos[0].texts[0])));
    }
    assert_eq!(pauses[..9], [0, 0, 2, 4, 8, 16, 32, 64, 128]);
    assert!(pauses[9..].iter().all(|&pause| pause == 128), "{pauses:?}");
    assert_eq!(desk.states(1), [VideoPhase::Open]);
    assert!(desk.worker(1).set_aside.is_none() && desk.worker(2).set_aside.is_none());
    desk.store = true;
    desk.finish(1);
    while desk.try_item(2).is_none() {
        desk.pass(1_000, &[1, 2]);
    }
    desk.complete(1);
}

#[test]
fn a_text_that_its_encoder_does_not_deliver_is_encoded_by_another() {
    let mut desk = Desk::rendering(job(1, 0, 1), &[&[Role::TextEncoder], &[Role::DitHigh, Role::DitLow, Role::Vae]]);
    desk.store = false;
    desk.finish(1);
    desk.boot(3, &[Role::TextEncoder]);
    let attempt = desk.item(2).attempt;
    desk.report(2, attempt, Report::Failed(failure(FailureKind::InputsLost)));
    assert_eq!(desk.item(3).item.stage, Stage::EncodeText);
    assert!(desk.try_item(1).is_none());
}

#[test]
fn inputs_that_went_with_their_holder_are_held_against_nobody() {
    let mut desk = Desk::rendering(job(1, 0, 1), &[&[Role::TextEncoder, Role::DitHigh], &[Role::DitLow]]);
    desk.store = false;
    desk.finish(1);
    desk.start(1);
    desk.step(1, 3);
    desk.done(1, 3);
    let attempt = desk.item(2).attempt;
    desk.boot(1, &[Role::TextEncoder, Role::DitHigh]);
    desk.report(2, attempt, Report::Failed(failure(FailureKind::InputsLost)));
    assert_eq!(desk.scheduler.strikes(video(1, 0)), Some(0));
    desk.store = true;
    desk.boot(3, &[Role::Vae]);
    desk.complete(1);
}

#[test]
fn result_of_the_wrong_kind_is_a_failure_of_the_worker() {
    let mut desk = Desk::rendering(job(1, 0, 1), &[ALL]);
    let attempt = desk.start(1);
    let outputs = ItemOutputs::Frames(tensor(1));
    desk.report(1, attempt, Report::ItemDone { outputs, timing: StepTiming::default() });
    assert!(desk.rows.iter().any(|row| matches!(row, Change::AttemptEnded { end: AttemptEnd::Failed(_), .. })));
    desk.complete(1);
}

#[test]
fn doubled_final_report_is_acknowledged_and_changes_nothing() {
    let mut desk = Desk::rendering(job(1, 0, 1), &[&[Role::TextEncoder]]);
    let attempt = desk.start(1);
    let report = Report::ItemDone { outputs: ItemOutputs::Text(tensor(9)), timing: StepTiming::default() };
    desk.report(1, attempt, report.clone());
    let rows = desk.rows.len();
    desk.log.clear();
    desk.report(1, attempt, report);
    assert_eq!(desk.rows.len(), rows);
    assert!(desk.said(|action| matches!(action, Action::Ack { attempt: a, .. } if *a == attempt)));
}

#[test]
fn failed_writes_are_tried_again_with_growing_pauses() {
    let mut desk = Desk::rendering(job(1, 0, 1), &[ALL]);
    desk.decode(1);
    let mut pauses = Vec::new();
    for _ in 0..5 {
        desk.log.clear();
        let failed = Input::OutputsFailed { video: video(1, 0), failure: failure(FailureKind::Transient) };
        desk.input(failed);
        let begun = desk.now;
        while !desk.said(|action| matches!(action, Action::WriteOutputs { .. })) {
            desk.pass(1_000, &[1]);
        }
        pauses.push((desk.now - begun) / 1_000);
    }
    assert_eq!(pauses, [2, 4, 8, 16, 32]);
    desk.input(Input::OutputsFailed { video: video(1, 0), failure: failure(FailureKind::Transient) });
    assert!(matches!(desk.states(1)[..], [VideoPhase::Failed(_)]));
}

#[test]
fn report_on_the_attempt_of_another_worker_is_refused() {
    let mut desk = Desk::rendering(job(1, 0, 1), &[ALL, ALL]);
    let attempt = desk.start(1);
    desk.log.clear();
    desk.report(2, attempt, Report::Failed(failure(FailureKind::Deterministic)));
    assert_eq!(desk.states(1), [VideoPhase::Open]);
    assert!(desk.said(|action| matches!(action, Action::Drop { worker: w, .. } if *w == worker(2))));
    desk.complete(1);
}

#[test]
fn copy_of_tensors_that_were_replaced_meanwhile_does_not_count() {
    let mut desk = Desk::new();
    desk.store = false;
    desk.boot(1, &[Role::TextEncoder]);
    let plan = job(1, 0, 1);
    let text = ArtifactId::Text(plan.videos[0].texts[0]);
    desk.add(plan);
    desk.finish(1);
    // The holder dies during the copy; the text is encoded anew, on a device that rounds otherwise.
    desk.gone(1, true);
    desk.boot(2, &[Role::TextEncoder]);
    desk.finish(2);
    desk.log.clear();
    desk.input(Input::Durable(text));
    let is_durable = |row: &Change| matches!(row, Change::ArtifactDurable { .. });
    assert!(!desk.rows.iter().any(is_durable), "the store has other tensors than the worker");
    assert!(desk.said(|action| matches!(action, Action::MakeDurable { holder, .. } if *holder == worker(2))));
    desk.input(Input::Durable(text));
    assert!(desk.rows.iter().any(is_durable));
}

#[test]
fn unreadable_frames_are_decoded_again() {
    let mut desk = Desk::rendering(job(1, 0, 1), &[ALL]);
    desk.decode(1);
    desk.input(Input::OutputsFailed { video: video(1, 0), failure: failure(FailureKind::InputsLost) });
    assert_eq!(desk.item(1).item.stage, Stage::Decode);
    desk.log.clear();
    desk.complete(1);
}

#[test]
fn success_in_another_role_does_not_excuse_a_broken_one() {
    let mut desk = Desk::rendering(job(1, 0, 6), &[&[Role::TextEncoder, Role::DitHigh], &[Role::DitHigh]]);
    while desk.worker(1).set_aside.is_none() {
        match desk.item(1).item.stage {
            Stage::EncodeText => desk.finish(1),
            _ => desk.fail(1, FailureKind::Transient),
        }
    }
    let failed = desk.rows.iter().filter(|row| matches!(row, Change::AttemptEnded { end: AttemptEnd::Failed(_), .. }));
    assert_eq!(failed.count(), 3);
}
