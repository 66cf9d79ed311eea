//! What happened and what was tried, read beside the writer.

use rusqlite::Connection;
use wanfarm_scheduler::AttemptEnd;
use wanfarm_types::{AttemptId, AttemptLine, AttemptResult, EventKind, Failure, JobId, VideoId};

use super::sample::{ended, issued, job, planned, resolved, worker};
use super::sqlite::{file, open};
use crate::store::{Asked, AskedAttempts, EventRow, MAX_EVENTS, Row, Start, Store};
use crate::times::Moment;

#[test]
fn the_newest_events_are_kept_and_read_beside_the_writer() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(dir.path()).unwrap();
    let history = store.history();
    assert_eq!((history.span().unwrap(), history.read(&asked(0, None, 9)).unwrap().len()), (None, 0));
    let event = |id, job| EventRow {
        id,
        at: 1.5,
        kind: EventKind::VideoFailed,
        job: Some(JobId(job)),
        video: Some(7),
        worker: Some(worker(3)),
        name: Some("it's".into()),
        by: Some("10.0.0.7:4711".into()),
        before: Some("running".into()),
        after: Some("failed".into()),
        detail: Some("NaN — 猫".into()),
    };
    let rows: Vec<Row> = (1..=9).map(|id| Row::Event(event(id, id % 2))).collect();
    store.commit(&rows).unwrap();
    assert_eq!(history.read(&asked(0, None, 1)).unwrap(), [event(1, 1).told()]);
    let ids = |after, job, limit| {
        history.read(&asked(after, job, limit)).unwrap().iter().map(|event| event.id).collect::<Vec<_>>()
    };
    assert_eq!(
        (ids(3, None, 3), ids(0, Some(JobId(0)), 9), ids(9, None, 9)),
        (vec![4, 5, 6], vec![2, 4, 6, 8], vec![])
    );
    assert_eq!(ids(u64::MAX, None, 9), [0; 0]);
    store.commit(&[Row::Event(event(MAX_EVENTS + 5, 1))]).unwrap();
    assert_eq!(history.span().unwrap(), Some((6, MAX_EVENTS + 5)));
    let newest = |asked: Asked| {
        let asked = Asked { limit: 2, ..asked };
        history.read(&asked).unwrap().iter().map(|event| event.id).collect::<Vec<_>>()
    };
    let last = Asked { from: Start::Before(u64::MAX), ..Asked::default() };
    assert_eq!(newest(last.clone()), [MAX_EVENTS + 5, 9]);
    assert_eq!(newest(Asked { from: Start::Before(9), job: Some(JobId(0)), ..last.clone() }), [8, 6]);
    assert_eq!(newest(Asked { from: Start::Before(8), worker: Some(worker(3)), ..last.clone() }), [7, 6]);
    assert_eq!(newest(Asked { worker: Some(worker(4)), ..last.clone() }), [0; 0]);
    let kinds = vec![EventKind::WorkerLost, EventKind::VideoFailed];
    assert_eq!(newest(Asked { from: Start::Before(7), kinds, ..last.clone() }), [6]);
    assert_eq!(newest(Asked { kinds: vec![EventKind::WorkerLost], ..last }), [0; 0]);
    let other = Connection::open(file(&dir)).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    assert_eq!(ids(5, None, 9), [6, 7, 8, 9, MAX_EVENTS + 5], "who writes is in nobody's way");
}

#[test]
fn what_was_tried_is_told_of_the_time_the_job_and_the_worker_that_are_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(dir.path()).unwrap();
    let history = store.history();
    let video = |job, index| VideoId { job: JobId(job), index };
    let begun = |attempt, at| Row::Begun { attempt: AttemptId(attempt), at: Moment { at, elapsed: 0.0 }, waited: 0.5 };
    let failed = AttemptEnd::Failed(Failure::transient("no luck"));
    store
        .commit(&[job(1, "a", 3), resolved(1, 3), planned(1, 3), job(2, "b", 3), resolved(2, 3), planned(2, 3)])
        .unwrap();
    let name = Row::Worker { worker: worker(7), name: "studio".into(), device: "cpu".into(), seen: 0.0 };
    store
        .commit(&[name, issued(1, video(1, 0)), issued(2, video(2, 1)), issued(3, video(2, 0)), issued(4, video(1, 1))])
        .unwrap();
    // The third never begins; the fourth is out.
    store.commit(&[begun(1, 100.0), ended(1, failed), begun(2, 200.0), ended(2, AttemptEnd::Done)]).unwrap();
    store.commit(&[ended(3, AttemptEnd::Revoked)]).unwrap();
    let all = AskedAttempts { limit: 9, ..AskedAttempts::default() };
    let told = history.attempts(&all).unwrap();
    assert_eq!(told.iter().map(|attempt| attempt.id.0).collect::<Vec<_>>(), [1, 2, 4]);
    let AttemptLine { job: of, video: place, name, first_step, last_step, begun, error, result, .. } = told[0].clone();
    // The first video of the manifest was refused, so places in the plan are one less.
    assert_eq!((of, place, name.as_deref(), error.as_deref()), (JobId(1), 1, Some("studio"), Some("no luck")));
    assert_eq!((begun.as_deref(), result), (Some("1970-01-01T00:01:40.000Z"), Some(AttemptResult::Failed)));
    assert!(first_step < last_step && told[1].video == 2);
    assert_eq!((told[2].begun.as_deref(), told[2].seconds, told[2].result), (None, None, None));
    let ids =
        |asked: AskedAttempts| history.attempts(&asked).unwrap().iter().map(|attempt| attempt.id.0).collect::<Vec<_>>();
    assert_eq!(ids(AskedAttempts { after: 1, limit: 1, ..all.clone() }), [2]);
    assert_eq!(ids(AskedAttempts { since: Some(150.0), ..all.clone() }), [2, 4], "what is out is never over");
    assert_eq!(ids(AskedAttempts { since: Some(100.1), until: Some(150.0), ..all.clone() }), [1], "it took longer");
    assert_eq!(ids(AskedAttempts { job: Some(JobId(1)), ..all.clone() }), [1, 4]);
    assert_eq!(ids(AskedAttempts { worker: Some(worker(7)), job: Some(JobId(2)), ..all.clone() }), [2]);
    assert_eq!(ids(AskedAttempts { worker: Some(worker(8)), ..all }), [0; 0]);
}

fn asked(after: u64, job: Option<JobId>, limit: u32) -> Asked {
    Asked { from: Start::After(after), job, limit, ..Asked::default() }
}
