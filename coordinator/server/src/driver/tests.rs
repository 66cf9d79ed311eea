//! A coordinator without sockets, and what its loop is held to.

mod clock;
mod commits;
mod forgetting;
mod names;
mod outputs;
mod restart;
mod results;
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
use wanfarm_types::fixtures::{self, info, request};
use wanfarm_types::{
    About, CoordinatorMessage, DType, Experts, Failure, Footprint, FrameOf, Hello, ImageSource, Incarnation, JobState,
    ModelFile, Report, Role, ServedModel, ServedRole, Stage, TensorRef, WorkerId, WorkerMessage,
};

use super::*;
use crate::artifacts::Artifacts;
use crate::dialler::Dialler;
use crate::event::Attached;
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
        access: Default::default(),
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
        let request = submitting(submission, places, reply);
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

/// A request to queue this, of which nothing else is said.
fn submitting(
    submission: Submission,
    places: Places,
    reply: oneshot::Sender<Result<Submitted, RequestError>>,
) -> Request {
    let (asked, by) = (submission.digest(), "a test".into());
    Request::Submit { submission, about: About::default(), asked, unfit: None, places, by, reply }
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
    let hello = Hello { name: "mac".into(), host: "mac.local".into(), models: vec![served()], ..fixtures::hello(1, 2) };
    (Attached { build: "1.2.3".into(), ..Attached::of(hello, outbox) }, messages)
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
    ServedModel { roles: info.roles().into_iter().map(served).collect(), info, beside: Vec::new() }
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
