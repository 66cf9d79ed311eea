//! Texts that outlive the videos that read them.

use wanfarm_scheduler::{Action, ArtifactId, Change, Config, JobPlan, TextKey};
use wanfarm_types::{ItemOutputs, JobId, Report, Role, Stage, StepTiming, TEXT_LEN, TensorRef};

use crate::desk::{ALL, Desk, job, tensor};

const BUT_TEXT: &[Role] = &[Role::DitHigh, Role::DitLow, Role::Vae];
const TEXT: &[Role] = &[Role::TextEncoder];

/// Of so many texts of one number each.
fn keeping(texts: u64) -> Desk {
    Desk::with(Config { kept_text_bytes: 4 * texts, ..Config::default() })
}

/// A job that reads the texts of these numbers, one in each video.
fn reading(id: u64, texts: &[u64]) -> JobPlan {
    let mut plan = job(id, 0, texts.len() as u32);
    for (video, text) in plan.videos.iter_mut().zip(texts) {
        video.texts = vec![key(*text)];
    }
    plan
}

fn key(text: u64) -> TextKey {
    TextKey(tensor(text).digest)
}

/// Plays until all of a job is done, and leaves the log.
fn complete(desk: &mut Desk, job: u64) {
    desk.play_keeping_the_log();
    assert!(desk.is_done(job), "{:?}", desk.states(job));
}

fn deleted(desk: &mut Desk) -> Vec<ArtifactId> {
    desk.taken(|action| match action {
        Action::DeleteDurable(artifact @ ArtifactId::Text(_)) => Some(*artifact),
        _ => None,
    })
}

/// Texts of these numbers were read by job 1, and nobody is left who encodes.
fn after_a_night(mut desk: Desk, texts: &[u64]) -> Desk {
    desk.boot(1, ALL);
    desk.add(reading(1, texts));
    complete(&mut desk, 1);
    desk.gone(1, true);
    desk.boot(2, BUT_TEXT);
    desk
}

#[test]
fn a_text_that_was_read_is_read_again_without_an_encoder_and_over_a_restart() {
    for restarts in [false, true] {
        let mut desk = after_a_night(keeping(9), &[5, 5, 6]);
        if restarts {
            desk.restart();
            desk.boot(2, BUT_TEXT);
        }
        desk.add(reading(2, &[6, 5]));
        complete(&mut desk, 2);
        assert!(deleted(&mut desk).is_empty());
        let pin = Change::WeightsPinned { job: JobId(2), role: Role::TextEncoder, weights: Some(tensor(1).digest) };
        assert!(desk.rows.contains(&pin), "it is rendered with the weights that made the texts");
    }
}

#[test]
fn none_is_kept_where_none_may_be() {
    let mut desk = after_a_night(keeping(0), &[5]);
    assert_eq!(deleted(&mut desk), [ArtifactId::Text(key(5))]);
    desk.add(reading(2, &[5]));
    assert!(desk.try_item(2).is_none(), "it has to be encoded");
}

#[test]
fn those_read_longest_ago_go_first_and_those_that_are_read_stay() {
    let mut desk = Desk::with(Config { kept_text_bytes: 8, ..Config::default() });
    desk.boot(1, ALL);
    for (id, texts) in [(1, &[5][..]), (2, &[6]), (3, &[5])] {
        desk.add(reading(id, texts));
        complete(&mut desk, id);
    }
    assert!(deleted(&mut desk).is_empty());
    desk.add(reading(4, &[7]));
    complete(&mut desk, 4);
    assert_eq!(deleted(&mut desk), [ArtifactId::Text(key(6))], "5 was read by a later job");
    desk.restart();
    desk.boot(1, ALL);
    desk.add(reading(5, &[5, 8, 9]));
    complete(&mut desk, 5);
    assert_eq!(deleted(&mut desk)[0], ArtifactId::Text(key(7)), "and a restart forgets none of that");
}

#[test]
fn a_text_of_other_weights_is_encoded_anew() {
    let mut desk = after_a_night(keeping(9), &[5]);
    desk.boot_with(3, TEXT, 7);
    desk.add(reading(2, &[5]));
    assert_eq!(deleted(&mut desk), [ArtifactId::Text(key(5))]);
    assert_eq!(desk.item(3).item.stage, Stage::EncodeText);
    complete(&mut desk, 2);
}

/// Were it not so, a worker with other weights could be refused by a job that cannot go on without it.
#[test]
fn a_job_that_needs_an_encoder_anyway_is_rendered_with_what_that_has() {
    for weights in [1, 7] {
        let mut desk = after_a_night(keeping(9), &[5]);
        desk.add(reading(2, &[5, 6]));
        assert!(desk.try_item(2).is_none(), "nobody knows yet what texts will be encoded with");
        desk.boot_with(3, TEXT, weights);
        assert_eq!(deleted(&mut desk).len(), usize::from(weights != 1));
        complete(&mut desk, 2);
        let encoded = desk.rows.iter().filter(|row| {
            matches!(row, Change::AttemptIssued { item, .. }
                if item.stage == Stage::EncodeText && item.video.job == JobId(2))
        });
        assert_eq!(encoded.count(), if weights == 1 { 1 } else { 2 });
    }
}

#[test]
fn a_text_that_may_be_cut_off_is_not_kept() {
    let mut desk = keeping(1 << 20);
    desk.boot(1, TEXT);
    desk.boot(2, BUT_TEXT);
    desk.add(reading(1, &[5]));
    let attempt = desk.start(1);
    let long = TensorRef { shape: vec![TEXT_LEN as u64, 8], ..tensor(5) };
    let (outputs, timing) = (ItemOutputs::Text(long), StepTiming::default());
    desk.report(1, attempt, Report::ItemDone { outputs, timing });
    complete(&mut desk, 1);
    assert_eq!(deleted(&mut desk), [ArtifactId::Text(key(5))]);
}
