//! Outputs that are written slowly, or never: frames must not pile up, and nothing else may wait for them.

use wanfarm_scheduler::{Config, Input};
use wanfarm_types::{JobId, Role, Stage, VideoId};

use crate::desk::{Desk, job, written};

/// Everybody works until nothing moves; nothing is written.
fn work(desk: &mut Desk, workers: &[u64]) {
    while let Some(&n) = workers.iter().find(|&&n| desk.try_item(n).is_some()) {
        desk.finish(n);
    }
}

fn to_write(desk: &mut Desk) -> Vec<VideoId> {
    desk.taken(written)
}

fn decoding(desk: &Desk, n: u64) -> usize {
    desk.given.get(&n).map_or(0, |given| given.iter().filter(|item| item.item.stage == Stage::Decode).count())
}

fn farm(config: Config) -> Desk {
    let mut desk = Desk::with(config);
    desk.boot(1, &[Role::TextEncoder, Role::DitHigh, Role::DitLow]);
    desk.boot(2, &[Role::Vae]);
    desk
}

#[test]
fn a_writer_that_never_answers_stops_decoding_and_nothing_else() {
    let mut desk = farm(Config { unwritten_videos: 3, ..Config::default() });
    desk.add(job(1, 0, 8));
    work(&mut desk, &[1, 2]);
    let waiting = to_write(&mut desk);
    assert_eq!(waiting.len(), 3, "as many as a worker may hold");
    assert!(desk.worker(2).running.is_none());
    // Texts and steps of all the others went on.
    let left: Vec<_> =
        (0..8).map(|index| VideoId { job: JobId(1), index }).filter(|id| !waiting.contains(id)).collect();
    assert!(left.iter().all(|id| desk.scheduler.stage(*id) == Some(Stage::Decode)));
    // Each one that is written makes room for one.
    desk.input(Input::OutputsWritten(waiting[0]));
    assert_eq!(decoding(&desk, 2), 1);
    desk.finish(2);
    assert_eq!(decoding(&desk, 2), 0);
    for video in waiting {
        desk.input(Input::OutputsWritten(video));
    }
    desk.complete(1);
}

#[test]
fn what_is_being_decoded_counts_as_frames_to_come() {
    let mut desk = farm(Config { unwritten_videos: 1, ..Config::default() });
    desk.add(job(1, 0, 3));
    work(&mut desk, &[1]);
    desk.start(2);
    assert!(desk.worker(2).next.is_none(), "no second one is queued behind the one that fills it");
    desk.done(2, 0);
    assert!(desk.try_item(2).is_none());
}

#[test]
fn large_frames_fill_a_worker_before_many_do() {
    // Frames have four bytes here.
    let mut desk = farm(Config { unwritten_videos: 9, unwritten_bytes: 8, ..Config::default() });
    desk.add(job(1, 0, 5));
    work(&mut desk, &[1, 2]);
    assert_eq!(to_write(&mut desk).len(), 2);
    // However small the bound, one at a time gets through.
    let mut desk = farm(Config { unwritten_bytes: 0, ..Config::default() });
    desk.add(job(1, 0, 3));
    desk.complete(1);
}

#[test]
fn a_full_worker_does_what_else_it_can_and_another_one_decodes() {
    let mut desk = Desk::with(Config { unwritten_videos: 1, ..Config::default() });
    desk.boot(1, &[Role::TextEncoder, Role::DitHigh, Role::DitLow, Role::Vae]);
    desk.add(job(1, 0, 4));
    work(&mut desk, &[1]);
    let waiting = to_write(&mut desk);
    assert_eq!(waiting.len(), 1);
    let mut others = (0..4).map(|index| VideoId { job: JobId(1), index }).filter(|id| *id != waiting[0]);
    assert!(others.all(|id| desk.scheduler.stage(id) == Some(Stage::Decode)), "it denoised all of them");
    desk.boot(2, &[Role::Vae]);
    assert_eq!(desk.item(2).item.stage, Stage::Decode);
}

#[test]
fn frames_of_a_paused_job_hold_up_no_other_job() {
    let mut desk = farm(Config { unwritten_videos: 2, ..Config::default() });
    desk.add(job(1, 0, 2));
    work(&mut desk, &[1, 2]);
    let waiting = to_write(&mut desk);
    desk.add(job(2, 0, 1));
    work(&mut desk, &[1, 2]);
    assert!(to_write(&mut desk).is_empty(), "the worker is full");
    desk.input(Input::Pause(JobId(1)));
    work(&mut desk, &[1, 2]);
    assert_eq!(to_write(&mut desk), [VideoId { job: JobId(2), index: 0 }]);
    desk.input(Input::OutputsWritten(VideoId { job: JobId(2), index: 0 }));
    desk.input(Input::Resume(JobId(1)));
    waiting.into_iter().for_each(|video| desk.input(Input::OutputsWritten(video)));
    desk.play();
    assert!(desk.is_done(1) && desk.is_done(2));
}

#[test]
fn frames_that_die_with_their_worker_fill_it_no_longer() {
    let mut desk = farm(Config { unwritten_videos: 1, ..Config::default() });
    desk.add(job(1, 0, 2));
    work(&mut desk, &[1, 2]);
    desk.boot(2, &[Role::Vae]);
    assert_eq!(desk.item(2).item.stage, Stage::Decode);
    desk.complete(1);
}
