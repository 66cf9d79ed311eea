//! What watchers are told, and what it costs the loop.

use wanfarm_types::WorkerStatus;

use super::*;

/// A driver with a job of so many videos, and a worker that holds all roles but the VAE.
pub(super) fn without_vae(videos: usize) -> (Driver, Messages, tempfile::TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let (_events, driver) = driver(Box::<MemoryStore>::default(), dir.path());
    let mut driver = driver.unwrap();
    let (mut attached, messages) = attached();
    attached.hello.models[0].roles.retain(|served| served.role != Role::Vae);
    driver.on_attached(attached);
    let mut submission = submission("a");
    submission.videos = vec![submission.videos[0].clone(); videos];
    let job =
        driver.registry.jobs.number(submission, Digest([0; 32]), Moment::default(), "/out".into(), "r.json".into());
    driver.put(Row::Job(job));
    driver.plan(JobId(1));
    (driver, messages, dir)
}

fn changes(driver: &mut Driver, since: u64) -> Changes {
    let (reply, mut answer) = oneshot::channel();
    driver.on_request(Request::Changes { job: JobId(1), since, reply });
    answer.try_recv().unwrap().unwrap()
}

#[tokio::test]
async fn a_missing_worker_is_told_until_it_comes_and_only_while_it_is_needed() {
    let (mut driver, _messages, _dir) = without_vae(3);
    let first = changes(&mut driver, 0);
    assert!(waits_for(&first, "a vae worker"), "{first:?}");
    assert_eq!((first.news.videos.len(), first.news.job.videos), (3, 3));
    let before = driver.version();
    let again = changes(&mut driver, first.version);
    assert!(again.news.videos.is_empty() && again.version == first.version && driver.version() == before);
    assert_eq!(again.news.job.waiting_for, first.news.job.waiting_for);

    let (mut vae, _others) = attached();
    (vae.hello.worker, vae.connection) = (WorkerId(uuid::Uuid::from_u128(9)), 2);
    vae.hello.models[0].roles.retain(|served| served.role == Role::Vae);
    driver.on_attached(vae);
    assert!(driver.version() > before, "watchers look again");
    assert_eq!(changes(&mut driver, first.version).news.job.waiting_for, None);
    driver.on_event(Event::Detached {
        connection: 2,
        worker: WorkerId(uuid::Uuid::from_u128(9)),
        incarnation: Incarnation(uuid::Uuid::from_u128(2)),
    });
    assert!(waits_for(&changes(&mut driver, first.version), "a vae worker"));
}

#[tokio::test]
async fn a_follower_of_a_large_job_is_told_of_what_changed_alone() {
    let (mut driver, _messages, _dir) = without_vae(5_000);
    let mut version = changes(&mut driver, 0).version;
    for index in [7, 4_999, 7] {
        driver.registry.jobs.update(VideoId { job: JobId(1), index }, |status| status.steps_done += 1);
        let news = changes(&mut driver, version);
        assert_eq!(news.news.videos.iter().map(|line| line.index).collect::<Vec<_>>(), [index]);
        version = news.version;
    }
    assert!(changes(&mut driver, version).news.videos.is_empty());
}

/// Says something as the worker that [`attached`] is.
pub(super) fn says(driver: &mut Driver, message: WorkerMessage) {
    let (worker, incarnation) = (WorkerId(uuid::Uuid::from_u128(1)), Incarnation(uuid::Uuid::from_u128(2)));
    driver.on_event(Event::Worker { connection: 1, worker, incarnation, message });
}

/// So many seconds go by.
fn pass(driver: &mut Driver, seconds: u64) {
    driver.started = driver.started.checked_sub(Duration::from_secs(seconds)).unwrap();
}

fn worker_line(driver: &Driver) -> WorkerStatus {
    driver.worker_lines().into_iter().next().unwrap()
}

#[tokio::test]
async fn a_worker_is_told_with_its_program_and_machine_and_how_busy_it_was() {
    let (mut driver, mut messages, _dir) = without_vae(1);
    let line = worker_line(&driver);
    assert_eq!((line.version.as_deref(), line.host.as_deref()), (Some("1.2.3"), Some("mac.local")));
    assert!(line.since.is_some() && line.last_seen == line.since && line.busy.is_none(), "{line:?}");
    pass(&mut driver, 30);
    says(&mut driver, WorkerMessage::Heartbeat);
    assert_eq!(worker_line(&driver).busy, Some(0.0));

    driver.settle().await.unwrap();
    let assigned = std::iter::from_fn(|| messages.try_recv().ok())
        .find_map(|message| if let CoordinatorMessage::Assign(assignment) = message { Some(assignment) } else { None });
    let attempt = assigned.unwrap().attempt;
    says(&mut driver, WorkerMessage::Report(attempt, Report::Started));
    pass(&mut driver, 30);
    says(&mut driver, WorkerMessage::Report(attempt, Report::Failed(Failure::transient("it slipped"))));
    pass(&mut driver, 60);
    says(&mut driver, WorkerMessage::Heartbeat);
    let share = worker_line(&driver).busy.unwrap();
    assert!((share - 0.25).abs() < 0.01, "{share}: it computed for 30 of 120 seconds");

    let incarnation = Incarnation(uuid::Uuid::from_u128(2));
    driver.on_event(Event::Detached { connection: 1, worker: WorkerId(uuid::Uuid::from_u128(1)), incarnation });
    let lost = worker_line(&driver);
    assert_eq!((lost.state.as_str(), lost.busy), ("lost", Some(share)), "as it was when it was seen last");
}

#[tokio::test]
async fn figures_tell_what_waits_and_what_has_ended() {
    let (mut driver, _messages, _dir) = without_vae(3);
    let waiting: Vec<_> = driver.figures().queue.into_iter().filter(|(_, items)| *items > 0).collect();
    assert_eq!(waiting, [(Stage::EncodeText, 1)], "of the two texts the worker has one");
    assert_eq!(driver.figures().busy.into_iter().collect::<Vec<_>>(), [("mac".to_owned(), 0.0)]);
    let (reply, mut answer) = oneshot::channel();
    let (job, by) = (JobId(1), "a test".to_owned());
    driver.on_request(Request::ControlJob { job, video: None, verb: JobVerb::Cancel, by, reply });
    driver.settle().await.unwrap();
    answer.try_recv().unwrap().unwrap();
    assert_eq!(driver.meters.read().videos.into_iter().collect::<Vec<_>>(), [("cancelled", 3)]);
}
