//! The loop against stores that are slow, full or broken, and clocks that jump.

mod clock;
mod forgetting;
mod names;
mod watching;

use std::path::PathBuf;
use std::sync::mpsc as gate;
use std::time::Duration;

use tokio::sync::{broadcast, oneshot};
use tokio::task::JoinHandle;
use wanfarm_client::{JobVerb, Submitted};
use wanfarm_manifest::first_frame::Image;
use wanfarm_manifest::{Submission, Taken};
use wanfarm_proto::tensors::Puller;
use wanfarm_scheduler::Config;
use wanfarm_types::fixtures::{info, request};
use wanfarm_types::{
    About, DType, Experts, Footprint, Hello, JobState, ModelFile, Role, ServedModel, ServedRole, TensorRef,
};

use super::*;
use crate::address::{Address, Ends};
use crate::artifacts::Artifacts;
use crate::dialler::Dialler;
use crate::jobs::Jobs;
use crate::outputs::Volume;
use crate::preview::Fits;
use crate::requests::{Changes, Places, Request, RequestError};
use crate::sessions::Pace;
use crate::source::Reader;
use crate::store::tests::{MemoryStore, Verdict};
use crate::store::{JobRow, Loaded};
use crate::writer::Lessons;

/// A store that asks before each commit what is to become of it.
struct Asking {
    rows: MemoryStore,
    asks: gate::Sender<Vec<Row>>,
    verdicts: gate::Receiver<Verdict>,
}

impl Store for Asking {
    fn commit(&mut self, rows: &[Row]) -> Result<(), StoreError> {
        // What is told of rows follows from them.
        let asked: Vec<Row> = rows.iter().filter(|row| !matches!(row, Row::Event(_))).cloned().collect();
        if asked.is_empty() {
            return self.rows.commit(rows);
        }
        // A test that has ended lets everything pass.
        let _ = self.asks.send(asked);
        let path = PathBuf::from("rows");
        match self.verdicts.recv().unwrap_or(Verdict::Write) {
            Verdict::Write => self.rows.commit(rows),
            Verdict::Full => Err(StoreError::Full { path }),
            Verdict::Locked => Err(StoreError::Locked { path }),
            Verdict::Fail => Err(StoreError::Failed { verb: "write to", path, why: "it burns".into() }),
        }
    }

    fn load(&mut self) -> Result<Loaded, StoreError> {
        self.rows.load()
    }
}

/// A coordinator without sockets.
struct Desk {
    events: mpsc::Sender<Event>,
    driver: JoinHandle<Result<(), StoreError>>,
    rows: MemoryStore,
    asks: gate::Receiver<Vec<Row>>,
    verdicts: gate::Sender<Verdict>,
    dir: tempfile::TempDir,
}

fn driver(store: Box<dyn Store>, dir: &std::path::Path) -> (mpsc::Sender<Event>, Result<Driver, RestoreError>) {
    let artifacts = Artifacts::open(&dir.join("artifacts")).unwrap();
    let (events, inbox) = mpsc::channel(64);
    let parts = Parts {
        outputs: OutputWriter::new(
            dir.join("output"),
            uuid::Uuid::nil(),
            Reader::default(),
            events.clone(),
            Lessons { artifacts: artifacts.clone(), fits: Fits::default() },
        ),
        copies: Copies::new(artifacts, Reader::default(), events.clone()),
        sessions: Sessions::new(Pace::of_lease(Duration::from_secs(30))),
        dialler: Dialler::new(Puller::default(), events.clone()),
        events: inbox,
        news: watch::channel(0).0,
        told: broadcast::Sender::new(16),
        meters: Default::default(),
        retention: None,
    };
    (events, Driver::restore(store, Config::default(), &Default::default(), parts))
}

impl Desk {
    fn new() -> Self {
        Self::expecting(None)
    }

    /// Whose outputs have to lie on the volume mounted there.
    fn expecting(volume: Option<PathBuf>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (rows, (asked, asks), (verdicts, given)) = (MemoryStore::default(), gate::channel(), gate::channel());
        // Known, so that its row is in no batch that a test looks at.
        let folder = dir.path().join("output");
        let mount = Volume::new(folder.clone()).try_out().unwrap();
        rows.clone().commit(&[Row::Mount { folder, mount }]).unwrap();
        let store = Asking { rows: rows.clone(), asks: asked, verdicts: given };
        let (events, driver) = driver(Box::new(store), dir.path());
        let mut driver = driver.unwrap();
        driver.outputs.expect_volume(volume);
        Self { events, driver: tokio::spawn(driver.run()), rows, asks, verdicts, dir }
    }

    async fn submit(&self, key: &str) -> oneshot::Receiver<Result<Submitted, RequestError>> {
        self.submit_as(submission(key), Places::default()).await
    }

    async fn submit_as(
        &self,
        submission: Submission,
        places: Places,
    ) -> oneshot::Receiver<Result<Submitted, RequestError>> {
        let (reply, answer) = oneshot::channel();
        let asked = submission.digest();
        let request = Request::Submit {
            submission,
            about: About::default(),
            asked,
            unfit: None,
            places,
            by: "a test".into(),
            reply,
        };
        self.events.send(Event::Request(request)).await.unwrap();
        answer
    }

    async fn attach(&self) -> Messages {
        let (attached, messages) = attached();
        self.events.send(Event::Attached(Box::new(attached))).await.unwrap();
        messages
    }

    /// Queues a job, every batch being written.
    async fn queue(&self, key: &str) -> JobId {
        self.submit(key).await.await.unwrap().unwrap().job.unwrap()
    }

    async fn changes(&self, job: JobId) -> Changes {
        changes(&self.events, job).await
    }

    async fn state(&self, job: JobId) -> JobState {
        self.changes(job).await.news.job.state
    }

    async fn until_it_goes_on(&self, job: JobId) {
        while self.state(job).await == JobState::Paused {
            tokio::task::yield_now().await;
        }
    }

    /// The outputs of a job's first video find no room.
    async fn fill_disk(&self, job: JobId) {
        let full = Obstacle::Full { path: self.dir.path().to_owned(), bytes: 1 };
        let result = Err(WriteError::Held(full));
        self.events.send(Event::Written { video: VideoId { job, index: 0 }, result }).await.unwrap();
    }

    fn write_all(&self) {
        (0..100).for_each(|_| self.verdict(Verdict::Write));
    }

    /// Waits until a batch is to be written.
    async fn asked(&mut self) -> Vec<Row> {
        loop {
            if let Ok(rows) = self.asks.try_recv() {
                return rows;
            }
            tokio::task::yield_now().await;
        }
    }

    fn verdict(&self, verdict: Verdict) {
        self.verdicts.send(verdict).unwrap();
    }

    async fn stop(self) -> Result<(), StoreError> {
        self.events.send(Event::Stop).await.unwrap();
        drop(self.verdicts);
        self.driver.await.unwrap()
    }
}

async fn changes(events: &mpsc::Sender<Event>, job: JobId) -> Changes {
    let (reply, answer) = oneshot::channel();
    events.send(Event::Request(Request::Changes { job, since: 0, reply })).await.unwrap();
    answer.await.unwrap().unwrap()
}

async fn control(events: &mpsc::Sender<Event>, job: JobId, verb: JobVerb) {
    let (reply, answer) = oneshot::channel();
    events
        .send(Event::Request(Request::ControlJob { job, video: None, verb, by: "a test".into(), reply }))
        .await
        .unwrap();
    answer.await.unwrap().unwrap();
}

type Messages = mpsc::Receiver<CoordinatorMessage>;

fn attached() -> (Attached, Messages) {
    let (outbox, messages) = mpsc::channel(64);
    let hello = Hello {
        worker: WorkerId(uuid::Uuid::from_u128(1)),
        incarnation: Incarnation(uuid::Uuid::from_u128(2)),
        name: "mac".into(),
        device: "cpu".into(),
        memory_bytes: 0,
        budget_bytes: None,
        loaded: Vec::new(),
        tensor_url: String::new(),
        models: vec![served()],
        running: Vec::new(),
        holding: Vec::new(),
    };
    (Attached { connection: 1, hello, address: Address::Unknown, ends: Ends::default(), outbox }, messages)
}

fn taken_in(job: u64) -> Submitted {
    Submitted { job: Some(JobId(job)), already: false, renamed: 0, left_out: 0 }
}

/// A job whose name among the outputs is its key.
fn submission(key: &str) -> Submission {
    crate::jobs::tests::submission(key, vec![wanfarm_types::VideoRequest { output: key.into(), ..request() }])
}

/// The first job of a farm, whose outputs go to this folder, as it is recorded.
fn job_row(submission: Submission, submitted: Moment, output: PathBuf) -> JobRow {
    Jobs::new(JobId(1)).number(submission, Digest([0; 32]), submitted, output, "n.report.json".into())
}

/// The rows of a job that ended just before a restart, without a report.
fn unreported(dir: &tempfile::TempDir) -> MemoryStore {
    let mut rows = MemoryStore::default();
    let job = job_row(submission("a"), Moment::default(), dir.path().join("output"));
    let finished = Change::JobPhase { job: JobId(1), state: JobPhase::Finished };
    rows.commit(&[Row::Job(job), Row::Scheduler(finished)]).unwrap();
    rows
}

fn served() -> ServedModel {
    let info = info(Experts::Single);
    let files = |role: Role| vec![ModelFile { path: role.name().into(), blake3: Digest([1; 32]) }];
    let served = |role| ServedRole {
        role,
        files: files(role),
        encoding: "f32".into(),
        bytes: 1,
        footprint: Footprint::default(),
    };
    ServedModel { roles: info.roles().into_iter().map(served).collect(), info }
}

fn waits_for(changes: &Changes, what: &str) -> bool {
    changes.news.job.waiting_for.as_ref().is_some_and(|words| words.contains(what))
}

fn is_assignment(message: CoordinatorMessage) -> bool {
    matches!(message, CoordinatorMessage::Assign(_))
}

/// The next assignment among the messages.
async fn assigned(messages: &mut Messages) {
    while !is_assignment(messages.recv().await.expect("the connection stays")) {}
}

#[tokio::test]
async fn nothing_leaves_before_it_is_recorded() {
    let mut desk = Desk::new();
    let mut job = desk.submit("a").await;
    assert!(matches!(desk.asked().await[..], [Row::Job(_)]));
    assert!(job.try_recv().is_err(), "a client was told the number of a job that is not recorded");
    desk.verdict(Verdict::Write);
    assert_eq!(job.await.unwrap(), Ok(taken_in(1)));

    let mut messages = desk.attach().await;
    let rows = desk.asked().await;
    let issued = |row: &Row| matches!(row, Row::Scheduler(Change::AttemptIssued { .. }));
    assert!(rows.iter().any(issued), "{rows:?}");
    while let Ok(message) = messages.try_recv() {
        assert!(!is_assignment(message), "an attempt left before it was recorded");
    }
    desk.verdict(Verdict::Write);
    assigned(&mut messages).await;
    desk.stop().await.unwrap();
}

#[tokio::test]
async fn what_arrives_while_a_batch_is_written_makes_one_batch() {
    let mut desk = Desk::new();
    let first = desk.submit("a").await;
    desk.asked().await;
    let mut others = Vec::new();
    for key in ["b", "c", "d"] {
        others.push(desk.submit(key).await);
    }
    desk.verdict(Verdict::Write);
    assert_eq!(desk.asked().await.len(), 3);
    desk.verdict(Verdict::Write);
    assert_eq!(first.await.unwrap(), Ok(taken_in(1)));
    for (number, job) in (2..).zip(others) {
        assert_eq!(job.await.unwrap(), Ok(taken_in(number)));
    }
    desk.stop().await.unwrap();
}

#[tokio::test]
async fn a_store_that_takes_no_rows_holds_everything_says_so_and_goes_on_by_itself() {
    for (verdict, word) in [(Verdict::Full, "room"), (Verdict::Locked, "locked")] {
        let mut desk = Desk::new();
        let mut job = desk.submit("a").await;
        desk.asked().await;
        desk.verdict(verdict);
        // Questions are answered; nothing new is taken in.
        let refused = desk.submit("b").await.await.unwrap().unwrap_err();
        assert!(matches!(&refused, RequestError::Full(why) if why.contains("rows")), "{refused}");
        assert!(waits_for(&desk.changes(JobId(1)).await, word));
        assert!(job.try_recv().is_err());
        // The same rows again, after a pause.
        assert!(matches!(desk.asked().await[..], [Row::Job(_)]));
        desk.verdict(Verdict::Write);
        assert_eq!(job.await.unwrap(), Ok(taken_in(1)));
        assert!(!waits_for(&desk.changes(JobId(1)).await, word));
        desk.stop().await.unwrap();
    }
}

#[tokio::test]
async fn a_broken_store_stops_the_coordinator_with_nothing_acted_on() {
    let mut desk = Desk::new();
    desk.verdict(Verdict::Write);
    desk.submit("a").await.await.unwrap().unwrap();
    desk.asked().await;
    let mut messages = desk.attach().await;
    desk.asked().await;
    desk.verdict(Verdict::Fail);
    let error = desk.driver.await.unwrap().unwrap_err();
    assert!(error.to_string().contains("it burns"), "{error}");
    while let Some(message) = messages.recv().await {
        assert!(!is_assignment(message), "an attempt left that is not recorded");
    }
}

#[tokio::test]
async fn a_job_without_room_for_its_files_is_paused_and_taken_up_again() {
    let desk = Desk::new();
    desk.write_all();
    let job = desk.queue("a").await;
    let _messages = desk.attach().await;
    desk.fill_disk(job).await;
    let changes = desk.changes(job).await;
    assert_eq!(changes.news.job.state, JobState::Paused);
    assert!(waits_for(&changes, "full"), "{changes:?}");
    // There is room, as it finds out by itself.
    desk.until_it_goes_on(job).await;
    assert_eq!(desk.changes(job).await.news.job.waiting_for, None);
    desk.stop().await.unwrap();
}

#[tokio::test]
async fn a_pause_that_people_asked_for_outlasts_a_full_disk() {
    let desk = Desk::new();
    desk.write_all();
    let (job, other) = (desk.queue("a").await, desk.queue("b").await);
    let _messages = desk.attach().await;
    desk.fill_disk(job).await;
    control(&desk.events, job, JobVerb::Pause).await;
    desk.until_it_goes_on(other).await;
    assert_eq!(desk.state(job).await, JobState::Paused);
    desk.stop().await.unwrap();
}

#[tokio::test]
async fn a_restart_finds_jobs_models_workers_and_images_where_they_were() {
    let mut desk = Desk::new();
    desk.write_all();
    let job = desk.queue("a").await;
    let mut messages = desk.attach().await;
    assigned(&mut messages).await;
    let rows = desk.rows.clone();
    desk.asked().await;
    desk.stop().await.unwrap();

    let dir = tempfile::tempdir().unwrap();
    let (_events, restored) = driver(Box::new(rows), dir.path());
    let restored = restored.unwrap();
    assert_eq!(restored.registry.jobs.with_key("a"), Some(job));
    assert_eq!(restored.registry.jobs.get(job).unwrap().state(), JobState::Active);
    assert!(restored.registry.catalog.get("m").is_some(), "the job goes on before a worker announces its model again");
    let worker = WorkerId(uuid::Uuid::from_u128(1));
    let known = restored.registry.ledger.worker(worker).unwrap();
    assert_eq!((known.name.as_str(), known.device.as_str()), ("mac", "cpu"));
    assert_eq!(restored.sessions.name(worker), "mac");
    assert!(!restored.registry.ledger.is_idle());
}

#[tokio::test]
async fn what_nothing_stands_behind_is_cleared_at_the_start() {
    let mut rows = MemoryStore::default();
    let image = |n| Image { digest: Digest([n; 32]), bytes: 1, width: 8, height: 8 };
    let mut job = submission("a");
    job.videos[0].image = Some(image(1).digest);
    let job = job_row(job, Moment::default(), "/out".into());
    let text = |n| ArtifactId::Text(wanfarm_scheduler::TextKey(Digest([n; 32])));
    let durable = |n| {
        let tensors = vec![TensorRef { digest: Digest([n; 32]), dtype: DType::F32, shape: vec![2] }];
        Row::Scheduler(Change::ArtifactDurable { artifact: text(n), tensors })
    };
    let batch = [Row::Image(image(1)), Row::Image(image(2)), Row::Job(job), durable(3), durable(4)];
    rows.commit(&batch).unwrap();
    // The file of the fourth is cut short.
    let present = [(Digest([3; 32]), 8), (Digest([4; 32]), 7)].into();
    let loaded = restore::prune(&mut rows, &present).unwrap();
    assert_eq!(loaded.rows, [batch[0].clone(), batch[2].clone(), batch[3].clone()]);
    assert_eq!(rows.load().unwrap(), loaded);
}

#[tokio::test]
async fn a_job_that_ended_just_before_a_restart_gets_its_report() {
    let dir = tempfile::tempdir().unwrap();
    let mut rows = unreported(&dir);
    let (events, restored) = driver(Box::new(rows.clone()), dir.path());
    let running = tokio::spawn(restored.unwrap().run());
    let reported = |row: &Row| matches!(row, Row::Reported { at: Some(_), .. });
    while !rows.load().unwrap().rows.iter().any(reported) {
        tokio::task::yield_now().await;
    }
    assert!(dir.path().join("output/n.report.json").is_file());
    events.send(Event::Stop).await.unwrap();
    running.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_report_waits_for_the_volume_of_its_folder() {
    let dir = tempfile::tempdir().unwrap();
    let (events, restored) = driver(Box::new(unreported(&dir)), dir.path());
    let mut restored = restored.unwrap();
    restored.outputs.expect_volume(Some("/renders".into()));
    let running = tokio::spawn(restored.run());
    let changes = || changes(&events, JobId(1));
    let waiting = loop {
        let told = changes().await;
        if told.news.job.waiting_for.is_some() {
            break told;
        }
        tokio::task::yield_now().await;
    };
    assert!(waits_for(&waiting, "the volume /renders, which is not mounted"), "{waiting:?}");
    assert!(!waiting.news.job.state.is_end() && waiting.news.job.unreported.is_none());
    assert!(!dir.path().join("output").exists());
    control(&events, JobId(1), JobVerb::Resume).await;
    while !changes().await.news.job.state.is_end() {
        tokio::task::yield_now().await;
    }
    assert!(dir.path().join("output/n.report.json").is_file() && changes().await.news.job.waiting_for.is_none());
    events.send(Event::Stop).await.unwrap();
    running.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_volume_that_is_gone_is_awaited_and_a_person_may_do_without_it() {
    let desk = Desk::expecting(Some("/renders".into()));
    desk.write_all();
    let _messages = desk.attach().await;
    let job = desk.queue("a").await;
    // It is tried out at once, before anything is rendered.
    let waiting_for = loop {
        let JobSummary { state, waiting_for, .. } = desk.changes(job).await.news.job;
        if state == JobState::Paused {
            break waiting_for.unwrap();
        }
        tokio::task::yield_now().await;
    };
    assert!(waiting_for.contains("/renders") && waiting_for.contains("coordinator resume 1"), "{waiting_for}");
    // Jobs that come meanwhile are held as well.
    let other = desk.queue("b").await;
    assert!(waits_for(&desk.changes(other).await, "coordinator resume 2"));
    control(&desk.events, job, JobVerb::Resume).await;
    desk.until_it_goes_on(other).await;
    assert_eq!(desk.state(job).await, JobState::Active);
    desk.stop().await.unwrap();
}

#[tokio::test]
async fn what_is_wrong_with_the_output_folder_is_told_before_the_start() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("output"), b"a file").unwrap();
    let (_events, refused) = driver(Box::<MemoryStore>::default(), dir.path());
    let refused = refused.unwrap().begin_with_outputs(true, true).await.unwrap_err();
    assert!(matches!(&refused, Obstacle::Refused { .. }), "{refused}");
    std::fs::remove_file(dir.path().join("output")).unwrap();

    // Remembered of an unfinished job: a coordinator that stays up waits for its volume, a run says so and ends.
    let mut rows = MemoryStore::default();
    let job = job_row(submission("a"), Moment::default(), dir.path().join("output"));
    let mount = Row::Mount { folder: dir.path().join("output"), mount: "/renders".into() };
    rows.commit(&[Row::Job(job), mount]).unwrap();
    for stays in [true, false] {
        let (_events, restored) = driver(Box::new(rows.clone()), dir.path());
        let begun = restored.unwrap().begin_with_outputs(stays, true).await;
        assert_eq!(begun.is_ok(), stays, "{begun:?}");
        assert!(!dir.path().join("output").exists());
    }
    // A run that begins anew takes the folder as it is.
    let (_events, restored) = driver(Box::new(rows), dir.path());
    restored.unwrap().begin_with_outputs(false, false).await.unwrap();
}
