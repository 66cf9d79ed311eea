//! Workers that hold what they are told to: what is loaded when, and what goes for it.

use std::time::Duration;

use wanfarm_scheduler::{Assignment, Config, Input};
use wanfarm_types::{FailureKind, LoadProgress, ModelRole, Report, Role, Stage};

use crate::desk::{Desk, job, video, worker};

/// Runs everything that worker 1 is given, and tells the stages, and what stays in memory for each.
fn stages(desk: &mut Desk) -> Vec<(Stage, Vec<Role>)> {
    let mut stages = Vec::new();
    while let Some(Assignment { item, keep, .. }) = desk.try_item(1) {
        stages.push((item.stage, keep.into_iter().map(|role| role.role).collect()));
        desk.finish(1);
    }
    stages
}

fn load(read: u64) -> Report {
    Report::Loading(LoadProgress { read, of: 60, seconds: 1.0 })
}

#[test]
fn a_machine_with_room_for_one_role_does_all_of_it_before_the_next() {
    use Stage::{Decode, DenoiseHigh, DenoiseLow, EncodeText};
    let mut desk = Desk::new();
    desk.boot_elastic(1, 68);
    desk.add(job(1, 0, 3));
    let stages = stages(&mut desk);
    let expected = [EncodeText, DenoiseHigh, DenoiseLow, Decode]
        .map(|stage| [(stage, Vec::new()), (stage, Vec::new()), (stage, Vec::new())]);
    assert_eq!(stages, expected.concat());
    desk.complete(1);
}

#[test]
fn nothing_is_let_go_for_what_waits_while_more_of_the_same_is_about_to_come() {
    let mut desk = Desk::new();
    desk.boot_elastic(1, 88);
    desk.add(job(1, 0, 2));
    // With room for the text encoder beside an expert, the first video is denoised before the second text is encoded.
    let mut loads = 0;
    let mut held = None;
    while let Some(Assignment { item, .. }) = desk.try_item(1) {
        if item.stage.role() != Role::TextEncoder {
            loads += usize::from(held.replace(item.stage.role()) != Some(item.stage.role()));
        }
        desk.finish(1);
    }
    assert_eq!(loads, 3, "one for each expert, one for the autoencoder");
    desk.complete(1);
}

#[test]
fn what_there_is_room_for_stays() {
    let mut desk = Desk::new();
    desk.boot_elastic(1, 95);
    desk.add(job(1, 0, 1));
    let stages = stages(&mut desk);
    let (text, high, low) = (Role::TextEncoder, Role::DitHigh, Role::DitLow);
    let expected = [
        (Stage::EncodeText, vec![]),
        (Stage::DenoiseHigh, vec![text]),
        (Stage::DenoiseLow, vec![text]),
        (Stage::Decode, vec![text, low]),
    ];
    assert_eq!(stages, expected);
    let memory = desk.worker(1).memory.unwrap();
    assert_eq!((memory.budget_bytes, memory.weights_bytes, memory.loading), (95, 85, None));
    assert!(!memory.loaded.iter().any(|held| held.role == high), "{:?}", memory.loaded);
}

#[test]
fn a_more_important_job_takes_the_memory_at_the_next_step() {
    let mut desk = Desk::new();
    desk.boot_elastic(1, 68);
    desk.add(job(1, 0, 2));
    desk.until(1, Stage::DenoiseHigh);
    let attempt = desk.start(1);
    desk.report(1, attempt, load(60));
    desk.add(job(2, 5, 1));
    assert!(desk.stopped(attempt));
    desk.step(1, 1);
    desk.done(1, 1);
    let important = std::iter::from_fn(|| {
        let item = desk.try_item(1)?.item;
        desk.finish(1);
        Some((item.video.job.0, item.stage))
    });
    let important: Vec<_> = important.take(4).collect();
    let stages = [Stage::EncodeText, Stage::DenoiseHigh, Stage::DenoiseLow, Stage::Decode];
    assert_eq!(important, stages.map(|stage| (2, stage)));
    assert_eq!(desk.item(1).item.video.job.0, 1);
}

#[test]
fn of_two_machines_each_holds_an_expert_and_neither_lets_go_of_the_last_one() {
    let mut desk = Desk::new();
    [1, 2].iter().for_each(|&n| desk.boot_elastic(n, 68));
    desk.add(job(1, 0, 12));
    desk.play_text(1);
    desk.finish(2);
    let mut loads = 0;
    let mut held = [None, None];
    for round in 0..1_000 {
        let n = 1 + round % 2;
        let Some(item) = desk.try_item(n) else { continue };
        let role = item.item.stage.role();
        loads += usize::from(held[n as usize - 1].replace(role) != Some(role));
        desk.finish(n);
    }
    desk.complete(1);
    assert!(loads <= 10, "{loads} loads");
}

#[test]
fn weights_that_cannot_be_loaded_cost_the_video_nothing_and_are_tried_again_later() {
    let mut desk = Desk::with(Config { load_pause: Duration::from_secs(10), ..Config::default() });
    desk.boot_elastic(1, 68);
    desk.add(job(1, 0, 1));
    for pause in [10_000, 20_000, 40_000, 80_000] {
        desk.until(1, Stage::DenoiseHigh);
        desk.fail(1, FailureKind::NotLoaded);
        assert!(desk.try_item(1).is_none(), "given to it at once");
        assert_eq!((desk.scheduler.strikes(video(1, 0)), desk.worker(1).set_aside), (Some(0), None));
        assert_eq!(desk.worker(1).unloadable, [ModelRole { model: "a14b".into(), role: Role::DitHigh }]);
        desk.pass(pause - 5_000, &[1]);
        assert!(desk.try_item(1).is_none());
        desk.pass(10_000, &[1]);
    }
    let attempt = desk.start(1);
    desk.report(1, attempt, load(60));
    assert_eq!(desk.worker(1).unloadable, []);
    desk.fail_once_more_and_enable();
}

impl Desk {
    /// An operator may ask for another try at once.
    fn fail_once_more_and_enable(&mut self) {
        let attempt = self.item(1).attempt;
        self.report(1, attempt, Report::Failed(crate::desk::failure(FailureKind::NotLoaded)));
        assert!(self.try_item(1).is_none());
        self.input(Input::WorkerEnabled(worker(1)));
        assert_eq!(self.item(1).item.stage, Stage::DenoiseHigh);
        self.complete(1);
    }
}

#[test]
fn loading_is_a_sign_of_life_as_long_as_it_comes_further() {
    let mut desk = Desk::with(Config { stall: Duration::from_secs(60), ..Config::default() });
    desk.boot_elastic(1, 68);
    desk.add(job(1, 0, 1));
    desk.until(1, Stage::DenoiseHigh);
    let attempt = desk.start(1);
    for read in 1..5 {
        desk.pass(700_000, &[1]);
        desk.report(1, attempt, load(read));
        let loading = desk.worker(1).memory.unwrap().loading.unwrap();
        assert_eq!((loading.role.role, loading.progress.read, loading.progress.of), (Role::DitHigh, read, 60));
    }
    desk.pass(700_000, &[1]);
    // The same again is no news.
    desk.report(1, attempt, load(4));
    assert!(!desk.dropped(attempt));
    desk.pass(30_000, &[1]);
    assert!(desk.dropped(attempt));
}

#[test]
fn what_has_no_room_anywhere_is_told_and_taken_up_when_a_larger_machine_comes() {
    let mut desk = Desk::new();
    desk.boot_elastic(1, 64);
    desk.add(job(1, 0, 1));
    desk.finish(1);
    assert!(desk.try_item(1).is_none());
    let no_room = desk.scheduler.no_room(video(1, 0).job).unwrap();
    assert_eq!((no_room.role, no_room.needs, no_room.has), (Role::DitHigh, 65, 64));
    desk.boot_elastic(2, 65);
    assert_eq!(desk.scheduler.no_room(video(1, 0).job), None);
    assert_eq!(desk.item(2).item.stage, Stage::DenoiseHigh);
}

#[test]
fn a_worker_that_attaches_again_keeps_what_it_has_begun() {
    let mut desk = Desk::new();
    desk.boot_elastic(1, 95);
    desk.add(job(1, 0, 1));
    let high = desk.until(1, Stage::DenoiseHigh);
    desk.start(1);
    desk.lost(1);
    desk.hello_elastic(1, 95, &[high.attempt], &[Role::TextEncoder, Role::DitHigh]);
    assert_eq!(desk.worker(1).memory.unwrap().weights_bytes, 80);
    desk.restart();
    desk.hello_elastic(1, 95, &[high.attempt], &[Role::TextEncoder, Role::DitHigh]);
    assert_eq!(desk.worker(1).memory.unwrap().weights_bytes, 60, "what else stays with it is not in the rows");
    desk.steps(1, 1..=3);
    desk.done(1, 3);
    assert!(desk.worker(1).running.is_some());
}
