//! Videos that start from frames of others.

use wanfarm_scheduler::{Action, Change, Input, JobPhase, JobPlan, Target, VideoPhase};
use wanfarm_types::{Failure, FailureKind, JobId, Role, Stage, VideoId};

use crate::desk::{ALL, Desk, failure, job, video};

/// A job whose videos `links` come one after the other; the others stand alone.
fn chained(videos: u32, links: &[u32]) -> JobPlan {
    let mut plan = job(1, 0, videos);
    for link in links.windows(2) {
        plan.videos[link[0] as usize].name = format!("shot-{}", link[0]);
        let follower = &mut plan.videos[link[1] as usize];
        (follower.after, follower.has_image) = (vec![link[0]], true);
    }
    plan
}

fn failed(message: &str) -> VideoPhase {
    VideoPhase::Failed(Failure::deterministic(message))
}

/// Worker 1 does what it gets until there is nothing, and nothing is written: the videos it worked on, each once.
fn begun(desk: &mut Desk) -> Vec<VideoId> {
    let mut order = Vec::new();
    while let Some(item) = desk.try_item(1) {
        if item.item.stage != Stage::EncodeText && !order.contains(&item.item.video) {
            order.push(item.item.video);
        }
        desk.finish(1);
    }
    order
}

#[test]
fn a_follower_gets_its_text_alone_until_its_parent_is_written() {
    let mut desk =
        Desk::rendering(chained(2, &[0, 1]), &[&[Role::TextEncoder], &[Role::DitHigh, Role::DitLow], &[Role::Vae]]);
    desk.play_text(1);
    assert!(desk.rows.iter().filter(|row| matches!(row, Change::AttemptIssued { text: Some(_), .. })).count() == 2);
    assert!(desk.try_item(3).is_none(), "no image");
    desk.finish(2);
    desk.finish(2);
    assert!(desk.try_item(2).is_none(), "no steps");
    desk.finish(3);
    assert!(desk.try_item(3).is_none(), "frames are not files yet");
    desk.input(Input::OutputsWritten(video(1, 0)));
    assert_eq!((desk.item(3).item.video, desk.item(3).item.stage), (video(1, 1), Stage::EncodeImage));
    desk.complete(1);
}

#[test]
fn other_videos_fill_the_time_and_what_the_most_hangs_on_goes_first() {
    let mut desk = Desk::rendering(chained(5, &[3, 1, 4]), &[ALL]);
    assert_eq!(begun(&mut desk), [3, 0, 2].map(|index| video(1, index)));
    desk.input(Input::OutputsWritten(video(1, 3)));
    assert_eq!(begun(&mut desk), [video(1, 1)]);
    desk.input(Input::OutputsWritten(video(1, 1)));
    desk.complete(1);
}

#[test]
fn an_early_look_at_the_last_link_begins_with_the_first() {
    let mut plan = chained(6, &[2, 5]);
    plan.early_look = true;
    let mut desk = Desk::rendering(plan, &[ALL]);
    assert_eq!(begun(&mut desk), [0, 2, 3, 1, 4].map(|index| video(1, index)));
}

#[test]
fn a_failed_link_fails_whatever_comes_after_it_and_names_the_cause() {
    let mut desk = Desk::rendering(chained(4, &[0, 1, 2]), &[ALL]);
    desk.until(1, Stage::DenoiseHigh);
    desk.fail(1, FailureKind::Deterministic);
    let cause = failed("shot-0 failed: Deterministic");
    let of_link = VideoPhase::Failed(failure(FailureKind::Deterministic));
    assert_eq!(desk.states(1), [of_link.clone(), cause.clone(), cause.clone(), VideoPhase::Open]);
    let told = desk.taken(|action| match action {
        Action::VideoFailed { video, .. } => Some(video.index),
        _ => None,
    });
    assert_eq!(told, [0, 1, 2]);
    desk.play();
    assert_eq!(desk.states(1), [of_link, cause.clone(), cause, VideoPhase::Done]);
    assert!(desk.rows.iter().any(|row| matches!(row, Change::JobPhase { state: JobPhase::Finished, .. })));
}

#[test]
fn a_link_that_is_tried_again_brings_its_followers_back_also_after_a_restart() {
    for again in [Target::Video(video(1, 0)), Target::Video(video(1, 2)), Target::Job(JobId(1))] {
        let mut desk = Desk::rendering(chained(3, &[0, 1, 2]), &[ALL]);
        desk.input(Input::Cancel(Target::Video(video(1, 0))));
        let cause = failed("shot-0 was cancelled");
        assert_eq!(desk.states(1), [VideoPhase::Cancelled, cause.clone(), cause]);
        desk.restart();
        desk.input(Input::Retry(again));
        assert_eq!(desk.states(1), vec![VideoPhase::Open; 3], "{again:?}");
        desk.given.clear();
        desk.boot(1, ALL);
        desk.complete(1);
    }
}

#[test]
fn what_an_operator_gave_up_stays_given_up_when_its_link_is_tried_again() {
    let mut desk = Desk::rendering(chained(3, &[0, 1, 2]), &[ALL]);
    for index in [1, 0] {
        desk.input(Input::Cancel(Target::Video(video(1, index))));
    }
    desk.input(Input::Retry(Target::Video(video(1, 0))));
    let cause = failed("shot-1 was cancelled");
    assert_eq!(desk.states(1), [VideoPhase::Open, VideoPhase::Cancelled, cause.clone()]);
    desk.play();
    assert_eq!(desk.states(1), [VideoPhase::Done, VideoPhase::Cancelled, cause]);
    desk.input(Input::Retry(Target::Job(JobId(1))));
    desk.complete(1);
}

#[test]
fn a_cancelled_job_is_cancelled_from_end_to_end() {
    let mut desk = Desk::rendering(chained(3, &[2, 1, 0]), &[ALL]);
    desk.input(Input::Cancel(Target::Job(JobId(1))));
    assert_eq!(desk.states(1), vec![VideoPhase::Cancelled; 3]);
}

#[test]
fn a_chain_survives_restarts_between_its_links() {
    let mut desk = Desk::rendering(chained(3, &[0, 1, 2]), &[ALL]);
    for index in 0..3 {
        assert_eq!(begun(&mut desk), [video(1, index)]);
        desk.input(Input::OutputsWritten(video(1, index)));
        desk.restart();
        desk.given.clear();
        desk.boot(1, ALL);
    }
    assert!(desk.is_done(1));
}

#[test]
fn rows_that_were_cut_short_leave_no_follower_behind() {
    let mut desk = Desk::rendering(chained(3, &[0, 1, 2]), &[ALL]);
    desk.until(1, Stage::DenoiseHigh);
    desk.fail(1, FailureKind::Deterministic);
    let first = |row: &Change| matches!(row, Change::VideoPhase { video: VideoId { index: 1, .. }, .. });
    let cut = desk.rows.iter().position(first).expect("a follower is failed");
    desk.rows.truncate(cut);
    desk.restart();
    let cause = failed("shot-0 failed: Deterministic");
    assert_eq!(desk.states(1)[1..], [cause.clone(), cause]);
}

#[test]
fn a_paused_chain_waits_and_a_forgotten_one_leaves_nothing() {
    let mut desk = Desk::rendering(chained(2, &[0, 1]), &[ALL]);
    begun(&mut desk);
    desk.input(Input::Pause(JobId(1)));
    desk.input(Input::OutputsWritten(video(1, 0)));
    assert!(desk.try_item(1).is_none());
    desk.input(Input::SetPriority(JobId(1), 9));
    desk.input(Input::Resume(JobId(1)));
    let encoding = desk.item(1);
    assert_eq!(encoding.item.stage, Stage::EncodeImage);
    desk.input(Input::Cancel(Target::Job(JobId(1))));
    desk.input(Input::Forget(JobId(1)));
    assert!(desk.states(1).is_empty() && desk.dropped(encoding.attempt));
}
