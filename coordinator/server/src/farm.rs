//! What clients ask of a coordinator, and the driver answers: in domain types in `asking`, by HTTP as by gRPC; in wire types in
//! `rpc`.

mod access;
mod again;
mod archive;
mod asking;
mod files;
pub(crate) mod forecasts;
mod granting;
mod history;
mod judging;
mod known;
mod looking;
mod manifests;
mod models;
mod paging;
mod pipe;
mod places;
mod posters;
mod reports;
mod rpc;
mod sending;
#[cfg(test)]
mod tests;
mod uploads;
mod watching;
mod webhooks;
mod wire;
mod worker_log;

use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{Semaphore, mpsc, oneshot, watch};
use tonic::Status;

use crate::artifacts::Artifacts;
pub use crate::driver::Told;
use crate::event::Event;
use crate::limits::{FILES_ARRIVING, SUBMISSIONS_CHECKED, WATCHERS};
pub use crate::logs::Follower;
use crate::logs::SharedLogs;
use crate::meters::Meters;
use crate::models::ModelStore;
use crate::outputs::{Posters, Stills};
pub use crate::preview::Preview;
use crate::preview::Shows;
use crate::requests::Request;
pub use crate::requests::{AboutChange, Figures, News};
pub use again::Seeds;
pub use archive::Archive;
use archive::Archives;
pub use asking::{Changing, FinishedFile};
pub use files::OutputLine;
pub(crate) use granting::AccessService;
pub use history::Heard;
pub(crate) use history::History;
pub use known::{Fresh, Known};
use looking::{Looking, Seen};
pub use manifests::{Checked, Refused};
pub use paging::page_after;
pub use posters::Poster;
use sending::Sending;

/// More images, or LoRA files, than any job may have.
const MAX_IMAGES: usize = 100_000;
/// Lines and chunks that may wait for a client that reads slowly.
const AHEAD: usize = 2;

/// What clients ask of a coordinator: a gRPC service, and a handle for services of other protocols.
#[derive(Debug, Clone)]
pub struct FarmService {
    events: mpsc::Sender<Event>,
    news: watch::Receiver<u64>,
    artifacts: Artifacts,
    /// Where the files of new jobs go.
    output: Arc<PathBuf>,
    /// Whether reports go to `report.json`, each in the place of the last.
    last_report: bool,
    /// Limits concurrent checks of submissions.
    checking: Arc<Semaphore>,
    /// Limits concurrent looks at an output folder.
    looking: Looking,
    /// Limits concurrent makings of reports' pages, which take longer.
    drawing: Looking,
    archives: Archives,
    sending: Sending,
    stills: Stills,
    posters: Posters,
    /// Limits concurrent makings of posters.
    showing: Looking,
    aside: Aside,
    shows: Shows,
    /// Limits those who watch the farm as a whole.
    watching: Arc<Semaphore>,
    /// Limits files on their way in.
    arriving: Arc<Semaphore>,
}

/// What is told without asking the driver.
#[derive(Debug, Clone)]
pub(crate) struct Aside {
    /// What happened.
    pub(crate) history: History,
    /// What was counted.
    pub(crate) meters: Meters,
    /// What workers log.
    pub(crate) logs: SharedLogs,
    /// What is handed on.
    pub(crate) models: ModelStore,
}

impl FarmService {
    /// A service that asks the driver, looks at `news` for when to ask again, puts images where `shows` finds states of videos, and looks at
    /// what stands in `output`. With `last_report`, reports go to `report.json`, each in the place of the last.
    pub(crate) fn new(
        events: mpsc::Sender<Event>,
        news: watch::Receiver<u64>,
        (shows, stills): (Shows, Stills),
        output: PathBuf,
        last_report: bool,
        aside: Aside,
    ) -> Self {
        let checking = Arc::new(Semaphore::new(SUBMISSIONS_CHECKED));
        let (looking, drawing) = (Looking::new(), Looking::one_by_one());
        let watching = Arc::new(Semaphore::new(WATCHERS));
        let (output, artifacts) = (Arc::new(output), shows.artifacts().clone());
        Self {
            events,
            news,
            artifacts,
            output,
            last_report,
            checking,
            looking,
            drawing,
            archives: Archives::new(),
            sending: Sending::new(),
            stills,
            posters: Posters::default(),
            showing: Looking::new().reading(),
            aside,
            shows,
            watching,
            arriving: Arc::new(Semaphore::new(FILES_ARRIVING)),
        }
    }

    async fn ask<T>(&self, request: impl FnOnce(oneshot::Sender<T>) -> Request) -> Result<T, Status> {
        let (reply, answer) = oneshot::channel();
        match self.events.try_send(Event::Request(request(reply))) {
            Ok(()) => {}
            Err(TrySendError::Closed(_)) => return Err(stopping()),
            Err(TrySendError::Full(event)) => {
                // Places in the queue are given to those who wait for one, in turn. A stream that nobody reads is not polled, and would
                // keep the place that it was given: a task of its own is polled always.
                let events = self.events.clone();
                tokio::spawn(async move { drop(events.send(event).await) });
            }
        }
        answer.await.map_err(|_| stopping())
    }
}

fn stopping() -> Status {
    Status::unavailable("the coordinator is shutting down")
}

async fn on_a_thread<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Status> {
    tokio::task::spawn_blocking(work).await.map_err(|error| Status::internal(error.to_string()))
}
