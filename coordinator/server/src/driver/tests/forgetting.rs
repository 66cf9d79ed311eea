//! What is forgotten, by people and by itself, and what stays.

use wanfarm_client::WorkerVerb;

use super::*;
use crate::store::JobEnd;

/// A driver that is asked directly, and its rows.
struct Direct {
    driver: Driver,
    rows: MemoryStore,
    _events: mpsc::Sender<Event>,
    _dir: tempfile::TempDir,
}

impl Direct {
    fn new() -> Self {
        Self::on(MemoryStore::default())
    }

    fn on(rows: MemoryStore) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (events, driver) = driver(Box::new(rows.clone()), dir.path());
        Self { driver: driver.unwrap(), rows, _events: events, _dir: dir }
    }

    async fn ask<T>(&mut self, request: impl FnOnce(oneshot::Sender<T>) -> Request) -> T {
        let (reply, mut answer) = oneshot::channel();
        self.driver.on_request(request(reply));
        self.driver.settle().await.unwrap();
        answer.try_recv().unwrap()
    }

    async fn submit(&mut self, submission: Submission) -> Result<Queued, RequestError> {
        let submitted = self.ask(|reply| submitting(submission, Places::default(), reply)).await?;
        Ok(Queued { job: submitted.job.unwrap(), already: submitted.already })
    }

    async fn steer(&mut self, job: JobId, verb: JobVerb) -> Result<(), RequestError> {
        self.ask(|reply| Request::ControlJob { job, video: None, verb, by: "a test".into(), reply }).await
    }

    async fn steer_worker(&mut self, worker: WorkerId, verb: WorkerVerb) -> Result<(), RequestError> {
        self.ask(|reply| Request::ControlWorker { worker, verb, by: "a test".into(), reply }).await
    }

    async fn forget_worker(&mut self, worker: WorkerId) -> Result<(), RequestError> {
        self.steer_worker(worker, WorkerVerb::Forget).await
    }

    async fn event(&mut self, event: Event) {
        self.driver.on_event(event);
        self.driver.settle().await.unwrap();
    }

    async fn attach(&mut self, (attached, messages): (Attached, Messages)) -> Messages {
        self.event(Event::Attached(Box::new(attached))).await;
        messages
    }

    async fn keep_up(&mut self) {
        self.driver.upkeep = Upkeep::new(Some(Duration::from_secs(30 * 86_400)));
        self.driver.upkeep.next = Instant::now();
        self.age(3601);
        self.driver.keep_up();
        self.driver.settle().await.unwrap();
    }

    /// All files were asked about so many seconds earlier.
    fn age(&mut self, seconds: u64) {
        self.driver.uploads.asked.values_mut().for_each(|at| *at -= Duration::from_secs(seconds));
    }

    /// The scheduler knows it.
    fn is_planned(&self, job: JobId) -> bool {
        self.driver.registry.jobs.get(job).is_some_and(|job| job.phase().is_some())
    }

    fn state(&self, job: JobId) -> Option<JobState> {
        self.driver.registry.jobs.get(job).map(|job| job.state())
    }

    /// Kinds of the rows that speak of something.
    fn has(&mut self, is: impl Fn(&Row) -> bool) -> bool {
        self.rows.load().unwrap().rows.iter().any(is)
    }
}

/// A job that was queued.
#[derive(Debug)]
struct Queued {
    job: JobId,
    already: bool,
}

const FORGET: JobVerb = JobVerb::Forget { cancel: false };
const CANCEL_AND_FORGET: JobVerb = JobVerb::Forget { cancel: true };

fn is_of_job(row: &Row) -> bool {
    matches!(row, Row::Job(_) | Row::Resolved { .. } | Row::Reported { .. })
        || matches!(row, Row::Scheduler(Change::JobAdded(_) | Change::AttemptIssued { .. } | Change::JobPhase { .. }))
}

#[tokio::test]
async fn a_job_that_goes_on_is_forgotten_only_when_it_is_cancelled_with_it() {
    let mut desk = Direct::new();
    let job = desk.submit(submission("a")).await.unwrap().job;
    let mut messages = desk.attach(attached()).await;
    assigned(&mut messages).await;
    assert_eq!(desk.steer(job, FORGET).await, Err(RequestError::NotEnded(job)));
    desk.steer(job, CANCEL_AND_FORGET).await.unwrap();
    assert_eq!(desk.state(job), None);
    assert!(!desk.has(is_of_job) && desk.driver.registry.ledger.is_idle());
    assert!(!desk.driver.scheduler.job_ids().any(|known| known == job));
    // What tasks still say of it is no row.
    let video = VideoId { job, index: 0 };
    let (recorded, told) = oneshot::channel();
    let staged = Staged { written: Vec::new(), verdict: "ok".into(), seconds: 1.0, frames: Vec::new(), recorded };
    desk.event(Event::Staged { video, staged: Box::new(staged) }).await;
    assert!(told.await.is_err(), "its files would be put in their places");
    desk.event(Event::Written { video, result: Ok(()) }).await;
    desk.event(Event::Reported(job, Ok(()))).await;
    assert!(!desk.has(is_of_job));
    // Its key is free, its number is not given again.
    let again = desk.submit(submission("a")).await.unwrap();
    assert_eq!((again.job, again.already), (JobId(2), false));
    assert_eq!(desk.steer(job, FORGET).await, Err(RequestError::NoSuchJob(job)));
}

#[tokio::test]
async fn jobs_of_which_nothing_was_planned_can_be_forgotten_as_well() {
    let mut desk = Direct::new();
    let waits = desk.submit(submission("a")).await.unwrap().job;
    assert_eq!(desk.steer(waits, FORGET).await, Err(RequestError::NotEnded(waits)));
    desk.steer(waits, CANCEL_AND_FORGET).await.unwrap();
    let cancelled = desk.submit(submission("b")).await.unwrap().job;
    desk.steer(cancelled, JobVerb::Cancel).await.unwrap();
    desk.steer(cancelled, FORGET).await.unwrap();
    assert_eq!((desk.state(waits), desk.state(cancelled), desk.has(is_of_job)), (None, None, false));
}

#[tokio::test]
async fn one_key_is_one_submission() {
    let mut desk = Direct::new();
    let first = desk.submit(submission("a")).await.unwrap();
    let again = desk.submit(submission("a")).await.unwrap();
    assert_eq!((again.job, first.already, again.already), (first.job, false, true));
    let mut other = submission("a");
    other.videos[0].seed += 1;
    let refused = desk.submit(other).await.unwrap_err();
    assert!(matches!(&refused, RequestError::KeyTaken { job, .. } if job == &first.job), "{refused}");
    // The same after a restart.
    let mut desk = Direct::on(desk.rows.clone());
    assert!(desk.submit(submission("a")).await.unwrap().already);
}

#[tokio::test]
async fn a_job_cancelled_before_its_model_was_known_waits_again_when_it_is_retried() {
    let mut desk = Direct::new();
    let job = desk.submit(submission("a")).await.unwrap().job;
    desk.steer(job, JobVerb::Cancel).await.unwrap();
    desk.event(Event::Reported(job, Ok(()))).await;
    assert_eq!(desk.state(job), Some(JobState::Cancelled));
    let one = desk
        .ask(|reply| Request::ControlJob { job, video: Some(0), verb: JobVerb::Retry, by: "a test".into(), reply })
        .await;
    assert!(matches!(one, Err(RequestError::NotPlanned(_))), "{one:?}");
    desk.steer(job, JobVerb::Retry).await.unwrap();
    assert_eq!((desk.state(job), desk.is_planned(job)), (Some(JobState::Active), false));
    let mut desk = Direct::on(desk.rows.clone());
    assert_eq!((desk.state(job), desk.is_planned(job)), (Some(JobState::Active), false));
    let mut messages = desk.attach(attached()).await;
    assigned(&mut messages).await;
    assert_eq!(desk.steer(job, JobVerb::Retry).await, Err(RequestError::NothingToRetry(job)));
}

#[tokio::test]
async fn the_first_forecast_of_a_job_stays_and_is_in_its_report() {
    let mut desk = Direct::new();
    let job = desk.submit(submission("a")).await.unwrap().job;
    for seconds in [600.0, 50.0] {
        desk.ask(|reply| Request::Forecast { job, seconds, reply }).await;
    }
    let gone = JobId(job.0 + 1);
    desk.ask(|reply| Request::Forecast { job: gone, seconds: 1.0, reply }).await;
    let report = desk.ask(|reply| Request::Report { job, reply }).await.unwrap().report;
    assert_eq!(report.forecast.unwrap().seconds, 600.0);
    assert!(desk.has(|row| matches!(row, Row::Forecast { job: of, seconds: 600.0, .. } if *of == job)));
    assert!(!desk.has(|row| matches!(row, Row::Forecast { job, .. } if *job == gone)));
}

#[tokio::test]
async fn a_job_whose_videos_were_all_refused_says_so_when_it_is_retried() {
    let mut desk = Direct::new();
    let mut wide = submission("a");
    wide.videos[0].width = Some(65);
    let job = desk.submit(wide).await.unwrap().job;
    let _messages = desk.attach(attached()).await;
    for _ in 0..2 {
        desk.event(Event::Reported(job, Ok(()))).await;
        assert_eq!(desk.state(job), Some(JobState::Failed));
        assert_eq!(desk.steer(job, JobVerb::Retry).await, Err(RequestError::RefusedAgain(job)));
    }
}

#[tokio::test]
async fn jobs_that_ended_long_ago_are_forgotten_and_others_stay() {
    let rows = {
        let mut rows = MemoryStore::default();
        let mut jobs = Jobs::new(JobId(1));
        // The farm has been there for forty days; the time of day is always now.
        let moment = |days: f64| Moment { at: wall_clock(), elapsed: days * 86_400.0 };
        for (number, end) in [(1, Some(5.0)), (2, None), (3, Some(39.0)), (4, Some(40.0))] {
            let job = jobs.number(
                submission(&number.to_string()),
                Digest([0; 32]),
                moment(1.0),
                "/out".into(),
                format!("{number}.report.json"),
            );
            jobs.add(&job);
            let (job, state) = (job.id, [Row::Job(job)]);
            rows.commit(&state).unwrap();
            if let Some(days) = end {
                let over = Row::Scheduler(Change::JobPhase { job, state: JobPhase::Finished });
                let end = JobEnd { at: moment(days), totals: Default::default() };
                let end = Row::Ended { job, end: Some(Box::new(end)) };
                rows.commit(&[over, end, Row::Reported { job, at: Some(1.0) }]).unwrap();
            }
        }
        rows
    };
    let mut desk = Direct::on(rows);
    desk.keep_up().await;
    assert_eq!([1, 2, 3, 4].map(|job| desk.state(JobId(job)).is_some()), [false, true, true, true]);
    assert!(!desk.has(|row| matches!(row, Row::Job(job) if job.id == JobId(1))));
}

#[tokio::test]
async fn a_file_that_no_job_names_goes_after_a_while_and_one_that_is_named_stays() {
    let mut desk = Direct::new();
    let image = |n| Image { digest: Digest([n; 32]), bytes: 1, width: 8, height: 8, clip: None };
    for n in [1, 2, 3] {
        assert!(desk.ask(|reply| Request::ImageStored { image: image(n), reply }).await);
    }
    assert!(desk.ask(|reply| Request::LoraStored { lora: Digest([9; 32]), reply }).await);
    let mut named = submission("a");
    named.videos[0].image = Some(ImageSource::File(image(1).digest));
    let job = desk.submit(named).await.unwrap().job;
    desk.age(3000);
    // A client that is about to name it asks.
    let asked = vec![image(2).digest, Digest([8; 32])];
    let missing = desk.ask(|reply| Request::MissingFiles { files: asked, reply }).await;
    assert_eq!(missing, [Digest([8; 32])]);
    let here = |desk: &Direct| [1, 2, 3, 9].map(|n| desk.driver.copies.holds(&Digest([n; 32])));
    desk.age(700);
    desk.driver.drop_uploads();
    desk.driver.settle().await.unwrap();
    assert_eq!(here(&desk), [true, true, false, false]);
    assert!(!desk.has(|row| *row == Row::Image(image(3))) && desk.has(|row| *row == Row::Image(image(2))));
    // With its job it stays for a while, so that the same manifest can be submitted again.
    desk.steer(job, CANCEL_AND_FORGET).await.unwrap();
    assert!(here(&desk)[0]);
    desk.keep_up().await;
    assert_eq!(here(&desk), [false; 4]);
    assert!(!desk.has(|row| matches!(row, Row::Image(_))));
}

#[tokio::test]
async fn a_worker_is_forgotten_when_it_is_gone_and_named_as_long_as_a_job_tells_of_it() {
    let mut desk = Direct::new();
    let job = desk.submit(submission("a")).await.unwrap().job;
    let (attached, mut messages) = attached();
    let (worker, incarnation, connection) = (attached.hello.worker, attached.hello.incarnation, attached.connection);
    desk.event(Event::Attached(Box::new(attached))).await;
    assigned(&mut messages).await;
    let lives = desk.forget_worker(worker).await;
    assert!(matches!(&lives, Err(RequestError::WorkerLives { state: "busy", .. })), "{lives:?}");
    let message = WorkerMessage::Goodbye { reason: "shutting down".into() };
    desk.event(Event::Worker { connection, worker, incarnation, message }).await;
    desk.forget_worker(worker).await.unwrap();
    assert_eq!(desk.forget_worker(worker).await, Err(RequestError::NoSuchWorker(worker)));
    let is_worker = |row: &Row| matches!(row, Row::Worker { .. } | Row::Scheduler(Change::WorkerState { .. }));
    assert!(desk.has(|row| matches!(row, Row::Worker { .. })), "an attempt of the job names it");
    assert!(!desk.has(|row| matches!(row, Row::Scheduler(Change::WorkerState { .. }))));
    desk.steer(job, CANCEL_AND_FORGET).await.unwrap();
    // Long away.
    let old = Row::Worker { worker, name: "mac".into(), device: "cpu".into(), seen: -40.0 * 86_400.0 };
    desk.driver.put(old);
    desk.keep_up().await;
    assert!(!desk.has(is_worker));
    assert!(!desk.has(|row| matches!(row, Row::Model(_))), "nobody serves or names it any more");
}

#[tokio::test]
async fn what_is_said_of_a_worker_stays_until_it_is_taken_back_or_forgotten() {
    let mut desk = Direct::new();
    let (attached, _messages) = attached();
    let (worker, incarnation, connection) = (attached.hello.worker, attached.hello.incarnation, attached.connection);
    let note = |text: &str| WorkerVerb::Note(Some(text.into()));
    let unknown = desk.steer_worker(worker, note("who?")).await;
    assert_eq!(unknown, Err(RequestError::NoSuchWorker(worker)));
    desk.event(Event::Attached(Box::new(attached))).await;
    let told = |desk: &Direct| desk.driver.worker_lines()[0].note.clone();
    let kept = |row: &Row| matches!(row, Row::WorkerNote { .. });
    desk.steer_worker(worker, note("fan is loud")).await.unwrap();
    assert_eq!(told(&desk).as_deref(), Some("fan is loud"));
    assert!(desk.has(kept));
    let long = desk.steer_worker(worker, note(&"x".repeat(4001))).await;
    assert!(matches!(&long, Err(RequestError::About(_))), "{long:?}");
    assert_eq!(told(&desk).as_deref(), Some("fan is loud"), "it stays");
    desk.steer_worker(worker, note("")).await.unwrap();
    assert_eq!((told(&desk), desk.has(kept)), (None, false), "an empty one is none");

    desk.steer_worker(worker, note("fan is gone")).await.unwrap();
    let message = WorkerMessage::Goodbye { reason: "shutting down".into() };
    desk.event(Event::Worker { connection, worker, incarnation, message }).await;
    // However long it is away: somebody has said something of it.
    desk.keep_up().await;
    assert_eq!(told(&desk).as_deref(), Some("fan is gone"));
    desk.forget_worker(worker).await.unwrap();
    assert!(!desk.has(kept), "nothing of it is kept");
}

#[tokio::test]
async fn a_worker_with_one_model_of_another_kind_goes_on_with_its_others() {
    let mut desk = Direct::new();
    let _first = desk.attach(attached()).await;
    let (mut second, mut messages) = attached();
    let other = |experts, name: &str| {
        let info = wanfarm_types::ModelInfo { name: name.into(), ..info(experts) };
        ServedModel { info, ..served() }
    };
    let wrong = || other(Experts::Dual { boundary: 0.5 }, "m");
    (second.hello.worker, second.connection) = (WorkerId(uuid::Uuid::from_u128(7)), 2);
    second.hello.models = vec![wrong(), other(Experts::Single, "n")];
    let worker = second.hello.worker;
    desk.event(Event::Attached(Box::new(second))).await;
    let welcome = messages.recv().await.unwrap();
    assert!(matches!(welcome, CoordinatorMessage::Welcome { .. }), "{welcome:?}");
    let lines = desk.driver.worker_lines();
    let line = lines.iter().find(|line| line.id == worker).unwrap();
    assert_eq!(line.models, ["n"]);
    assert!(line.detail.as_ref().unwrap().contains("model m"), "{line:?}");

    let (mut third, mut messages) = attached();
    third.hello.worker = WorkerId(uuid::Uuid::from_u128(8));
    third.hello.models = vec![wrong()];
    desk.event(Event::Attached(Box::new(third))).await;
    let refused = messages.recv().await.unwrap();
    assert!(matches!(refused, CoordinatorMessage::Refused { .. }), "{refused:?}");
}
