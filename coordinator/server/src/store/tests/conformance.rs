//! What every engine must do. Another engine adds a line to each test: a function that opens it anew, as after a
//! restart, on what it has kept.

use wanfarm_scheduler::{ArtifactId, Change, JobPhase, VideoPhase};
use wanfarm_types::{AttemptId, JobId, VideoId};

use super::memory::MemoryStore;
use super::sample::{batch, digest, durable, farm, issued, job, kept, planned, resolved, rng};
use crate::store::{EventRow, Row, Store};
use crate::times::Moment;

/// The whole suite. `new` makes a place to keep rows in, and says how to open a store there, again and again.
pub(super) fn conforms<S: Store, O: FnMut() -> S>(mut new: impl FnMut() -> O) {
    an_empty_store_counts_from_one(&mut new()());
    a_batch_that_fails_in_the_middle_leaves_nothing(&mut new()());
    a_row_replaces_the_one_with_its_key(&mut new()());
    a_forgotten_job_leaves_its_numbers_behind(new());
    no_two_jobs_have_one_key(&mut new()());
    a_job_without_a_plan_can_wait_again(&mut new()());
    events_are_counted_on_and_are_no_rows(new());
    for seed in 0..16 {
        any_batches_are_kept_as_the_reference_keeps_them(new(), seed);
    }
}

fn video(index: u32) -> VideoId {
    VideoId { job: JobId(1), index }
}

fn state(index: u32, state: VideoPhase) -> Row {
    Row::Scheduler(Change::VideoPhase { video: video(index), state })
}

fn events_are_counted_on_and_are_no_rows<S: Store>(mut open: impl FnMut() -> S) {
    let event = |id| Row::Event(EventRow { id, ..EventRow::default() });
    let mut store = open();
    assert_eq!(store.load().unwrap().next_event, 1);
    store.commit(&[event(1), job(1, "a", 1), event(2)]).unwrap();
    assert!(store.commit(&[job(2, "b", 1), event(2)]).is_err(), "each has a number of its own");
    let forgotten = Row::Scheduler(Change::JobForgotten(JobId(1)));
    store.commit(&[forgotten, event(3)]).unwrap();
    let loaded = open().load().unwrap();
    assert_eq!((loaded.rows.len(), loaded.next_event), (0, 4));
}

fn an_empty_store_counts_from_one(store: &mut impl Store) {
    let empty = store.load().unwrap();
    assert_eq!((empty.rows.len(), empty.next_attempt, empty.next_job), (0, AttemptId(1), JobId(1)));
    store.commit(&[]).unwrap();
}

fn a_batch_that_fails_in_the_middle_leaves_nothing(store: &mut impl Store) {
    store.commit(&[job(1, "a", 3), resolved(1, 3), planned(1, 3)]).unwrap();
    let before = store.load().unwrap();
    let good = || vec![state(0, VideoPhase::Done), issued(1, video(1)), durable(ArtifactId::Image(video(0)), 1)];
    let bad = [
        state(2, VideoPhase::Done),
        issued(2, video(2)),
        durable(ArtifactId::Checkpoint { video: video(9), steps_done: 1 }, 1),
        Row::Begun { attempt: AttemptId(5), at: Moment::default(), waited: 1.0 },
        Row::Ended { job: JobId(2), end: None },
        Row::Suspended { job: JobId(2), reason: None },
        Row::Outputs { video: video(3), written: [].into(), verdict: String::new(), seconds: 0.0, frames: [].into() },
        planned(2, 2),
        resolved(2, 2),
        planned(1, 4),
        job(1, "b", 1),
    ];
    for bad in bad {
        let rows: Vec<Row> = good().into_iter().chain([bad]).chain(good()).collect();
        assert!(store.commit(&rows).is_err(), "{rows:?}");
        assert_eq!(store.load().unwrap(), before);
    }
    // Nothing of a refused batch stands in the way of a good one.
    store.commit(&good()).unwrap();
    assert_eq!(store.load().unwrap().rows.len(), before.rows.len() + 3);
}

fn a_row_replaces_the_one_with_its_key(store: &mut impl Store) {
    store.commit(&[job(1, "", 3), resolved(1, 3), planned(1, 3)]).unwrap();
    let artifact = ArtifactId::Checkpoint { video: video(1), steps_done: 4 };
    store.commit(&[state(1, VideoPhase::Done), durable(artifact, 1)]).unwrap();
    store.commit(&[durable(artifact, 2), state(1, VideoPhase::Open)]).unwrap();
    let rows = store.load().unwrap().rows;
    assert_eq!(rows.len(), 5);
    assert!(rows.contains(&durable(artifact, 2)) && rows.contains(&state(1, VideoPhase::Open)));
    store.commit(&[Row::Scheduler(Change::ArtifactForgotten(artifact))]).unwrap();
    store.commit(&[Row::Scheduler(Change::ArtifactForgotten(artifact))]).unwrap();
    assert_eq!(store.load().unwrap().rows.len(), 4);
    // Of a text there is one row: of what is read, or of what is kept for others.
    let text = ArtifactId::Text(wanfarm_scheduler::TextKey(digest(1)));
    for (row, other) in [(kept(1, 5), durable(text, 5)), (durable(text, 6), kept(1, 5)), (kept(1, 7), durable(text, 6))]
    {
        store.commit(std::slice::from_ref(&row)).unwrap();
        let rows = store.load().unwrap().rows;
        assert!(rows.len() == 5 && rows.contains(&row) && !rows.contains(&other));
    }
    store.commit(&[Row::Scheduler(Change::ArtifactForgotten(text))]).unwrap();
    assert_eq!(store.load().unwrap().rows.len(), 4);
}

fn a_forgotten_job_leaves_its_numbers_behind<S: Store>(mut open: impl FnMut() -> S) {
    let mut store = open();
    let checkpoint = ArtifactId::Checkpoint { video: video(0), steps_done: 1 };
    let text = ArtifactId::Text(wanfarm_scheduler::TextKey(digest(1)));
    store.commit(&[job(1, "a", 3), resolved(1, 3), planned(1, 3), issued(41, video(0))]).unwrap();
    store.commit(&[durable(checkpoint, 1), durable(text, 1), state(0, VideoPhase::Done)]).unwrap();
    store.commit(&[Row::Scheduler(Change::JobForgotten(JobId(1)))]).unwrap();
    drop(store);
    let left = open().load().unwrap();
    assert_eq!(left.rows, [durable(text, 1)]);
    assert_eq!((left.next_attempt, left.next_job), (AttemptId(42), JobId(2)));
}

fn no_two_jobs_have_one_key(store: &mut impl Store) {
    store.commit(&[job(1, "a", 1), job(2, "", 1), job(3, "", 1)]).unwrap();
    assert!(store.commit(&[job(4, "a", 1)]).is_err());
    store.commit(&[Row::Scheduler(Change::JobForgotten(JobId(1))), job(4, "a", 1)]).unwrap();
}

fn a_job_without_a_plan_can_wait_again(store: &mut impl Store) {
    store.commit(&[job(1, "a", 2)]).unwrap();
    let before = store.load().unwrap();
    let refused = Row::Resolved { job: JobId(1), videos: vec![Err("too wide".to_owned()), Err("too high".to_owned())] };
    let ended = Row::Scheduler(Change::JobPhase { job: JobId(1), state: JobPhase::Finished });
    store.commit(&[refused, ended, Row::Reported { job: JobId(1), at: Some(7.0) }]).unwrap();
    store.commit(&[Row::Requeued(JobId(1))]).unwrap();
    assert_eq!(store.load().unwrap(), before);
    store.commit(&[resolved(1, 2), planned(1, 2)]).unwrap();
    assert!(store.commit(&[Row::Requeued(JobId(1))]).is_err());
}

fn any_batches_are_kept_as_the_reference_keeps_them<S: Store>(mut open: impl FnMut() -> S, seed: u64) {
    let (mut rng, mut reference) = (rng(seed), MemoryStore::default());
    let mut store = open();
    store.commit(&farm()).unwrap();
    reference.commit(&farm()).unwrap();
    let mut committed = 0;
    for number in 0..60 {
        let rows = batch(&mut rng);
        let expected = reference.commit(&rows).is_ok();
        let result = store.commit(&rows);
        assert_eq!(result.is_ok(), expected, "seed {seed}, batch {number}: {result:?}\n{rows:?}");
        committed += u32::from(expected);
        if number % 20 == 7 {
            drop(store);
            store = open();
        }
        if number % 5 == 4 {
            let (mut kept, mut wanted) = (store.load().unwrap(), reference.load().unwrap());
            // Parents come first; among the rows of one job the order is an engine's own.
            check_order(&kept.rows);
            kept.rows.sort_by_cached_key(|row| format!("{row:?}"));
            wanted.rows.sort_by_cached_key(|row| format!("{row:?}"));
            assert_eq!(kept, wanted, "seed {seed}, after batch {number}");
        }
    }
    assert!((15..60).contains(&committed), "the batches of seed {seed} are no test");
}

/// An order in which the rows can be committed is one in which the reference takes them.
fn check_order(rows: &[Row]) {
    MemoryStore::default().commit(rows).unwrap();
}
