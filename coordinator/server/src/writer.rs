//! Writes finished videos and reports beside the driver, and tells it how that ended. Encoding is blocking work and stays
//! off the async threads.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::task::JoinHandle;
use uuid::Uuid;
use wanfarm_durable::place::Stage;
use wanfarm_media::Frames;
use wanfarm_proto::tensors::PullError;
use wanfarm_types::{Failure, FailureKind};

use crate::artifacts::Artifacts;
use crate::disk_space;
use crate::event::{Event, Staged};
use crate::limits::VIDEOS_WRITTEN;
use crate::obstacle::Obstacle;
use crate::outputs::{Files, Kept, ReportError, Stands, Stills, Task, Volume, WriteError, keep, page, write_report};
use crate::preview::Fits;
use crate::requests::Report;
use crate::source::{Reader, Source};

/// Writes outputs and reports to the driver.
#[derive(Debug)]
pub struct OutputWriter {
    volume: Volume,
    stage: Arc<Stage>,
    reader: Reader,
    events: mpsc::Sender<Event>,
    slots: Arc<Semaphore>,
    /// What written videos teach.
    lessons: Lessons,
    stills: Stills,
}

/// Where states of videos are, and what is learnt from them.
#[derive(Debug, Clone)]
pub struct Lessons {
    pub(crate) artifacts: Artifacts,
    pub(crate) fits: Fits,
}

impl Lessons {
    /// The latents of a video, if they are still to be learnt from and here.
    async fn latents(&self, task: &Task) -> Option<Bytes> {
        let shape = task.latents_shape?;
        let bytes = shape.iter().try_fold(4u64, |product, &side| product.checked_mul(side as u64))?;
        if self.fits.wants(&task.spec.model) { self.artifacts.whole(&task.latents, bytes).await } else { None }
    }
}

impl OutputWriter {
    /// A writer of jobs that go to `root`, for the coordinator of this id.
    pub fn new(root: PathBuf, id: Uuid, reader: Reader, events: mpsc::Sender<Event>, lessons: Lessons) -> Self {
        let (volume, stage) = (Volume::new(root), Arc::new(Stage::new(id)));
        let (slots, stills) = (Arc::new(Semaphore::new(VIDEOS_WRITTEN)), Stills::default());
        Self { volume, stage, reader, events, slots, lessons, stills }
    }

    /// Stills of what it has written.
    pub(crate) fn stills(&self) -> &Stills {
        &self.stills
    }

    /// Where the files of new jobs go.
    pub fn root(&self) -> &Path {
        self.volume.folder()
    }

    /// An output directory, of now or of older jobs.
    pub fn volume(&self, folder: &Path) -> Volume {
        if folder == self.root() { self.volume.clone() } else { Volume::new(folder.to_owned()) }
    }

    /// From now on the folder's volume has to be mounted there, or may be any with `None`.
    pub fn expect_volume(&mut self, mount: Option<PathBuf>) {
        self.volume.expect(mount);
    }

    /// Tries the folder out, elsewhere, and after it was full or blocked whether that is over. Gives where its volume is
    /// mounted, or what stands in the way. May take for ever.
    pub fn try_out(&self, after: Option<Obstacle>) -> JoinHandle<Result<PathBuf, Obstacle>> {
        let volume = self.volume.clone();
        tokio::task::spawn_blocking(move || match after {
            // A quota does not show as a lack of room: there only trying tells.
            Some(Obstacle::Full { path, bytes }) if disk_space::available(&path).is_some_and(|free| free < bytes) => {
                Err(Obstacle::Full { path, bytes })
            }
            _ => volume.try_out(),
        })
    }

    /// As [`Self::try_out`]; [`Event::TriedOut`] tells how it went.
    pub fn tell_of_trial(&self, after: Option<Obstacle>) {
        let (trial, events) = (self.try_out(after), self.events.clone());
        tokio::spawn(async move {
            let tried = trial.await.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()));
            let _ = events.send(Event::TriedOut(tried)).await;
        });
    }

    /// Clears from these folders what was being written when the coordinator was killed.
    pub fn clear(&self, folders: BTreeSet<PathBuf>) {
        let stage = self.stage.clone();
        tokio::task::spawn_blocking(move || folders.iter().for_each(|folder| stage.clear(folder)));
    }

    /// Starts writing a video; [`Event::Staged`] tells when its files are whole, [`Event::Written`] how it ended.
    pub fn write(&self, task: Task, source: Source) {
        let (stage, reader) = (self.stage.clone(), self.reader.clone());
        let (events, slots) = (self.events.clone(), self.slots.clone());
        let (lessons, stills) = (self.lessons.clone(), self.stills.clone());
        tokio::spawn(async move {
            let video = task.video;
            let result = match slots.acquire().await {
                Ok(_slot) => write_video(task, &source, stage, &reader, events.clone(), lessons, stills).await,
                Err(closed) => Err(Failure::transient(closed.to_string()).into()),
            };
            // A driver that is gone does not need the answer.
            let _ = events.send(Event::Written { video, result }).await;
        });
    }

    /// Writes the report of a job that has ended, again for a moment where it fails; [`Event::Reported`] tells when it
    /// is there, or why it is not. Only for the folder of new jobs is anything waited for.
    pub fn report(&self, report: Report) {
        let Report { report, place, files } = report;
        let (id, volume) = (report.job.job, self.volume(&files.root));
        let (stage, events, stills) = (self.stage.clone(), self.events.clone(), self.stills.clone());
        let is_of_now = volume.folder() == self.root();
        tokio::task::spawn_blocking(move || {
            let page = page(&report, &files, &stills.of_job(&files, &|| ()), Stands::At(&place));
            let written = write_report(&volume, &stage, &files.root.join(&place), &report, &page);
            let written =
                written.map_err(|error| if is_of_now { error } else { ReportError::Failed(error.to_string()) });
            if let Err(error) = &written {
                tracing::error!(job = %id, %error, "the report could not be written");
            }
            let _ = events.blocking_send(Event::Reported(id, written));
        });
    }
}

async fn write_video(
    task: Task,
    source: &Source,
    stage: Arc<Stage>,
    reader: &Reader,
    events: mpsc::Sender<Event>,
    lessons: Lessons,
    stills: Stills,
) -> Result<(), WriteError> {
    let frames = reader.read(&task.frames, source).await.map_err(|error| match error {
        PullError::Unavailable { exhausted: true, .. } => WriteError::Held(Obstacle::NoDescriptors),
        error if error.is_unreachable() => {
            WriteError::Unread(format!("{}, which cannot be heard: {}", source.name, error.reasons()))
        }
        error => Failure { kind: FailureKind::InputsLost, message: error.to_string() }.into(),
    })?;
    let kept = keep(&task, &frames, &lessons.artifacts).await?;
    let latents = lessons.latents(&task).await;
    let job = move || {
        let files = Files::stage(&task, &stage, &frames)?;
        if let [count, height, width, 3] = task.frames.shape[..]
            && let Ok(frames) = Frames::new(&frames, count as usize, height as usize, width as usize)
            && let Some((latents, shape)) = latents.zip(task.latents_shape)
        {
            lessons.fits.learn(&task.spec.model, &latents, shape, &frames);
        }
        drop(frames);
        announce(&files, &task, kept, &events)?;
        let written = files.written();
        files.put(&task)?;
        // Now, so that the report of a thousand videos has them all when it is written.
        stills.of(task.volume.folder(), &written);
        Ok(())
    };
    let written = tokio::task::spawn_blocking(job).await;
    written.map_err(|panic| Failure::deterministic(format!("writing the files failed: {panic}")))?
}

/// Waits until the files about to be put in place are recorded.
fn announce(files: &Files, task: &Task, frames: Kept, events: &mpsc::Sender<Event>) -> Result<(), WriteError> {
    let (recorded, told) = oneshot::channel();
    let staged = Staged {
        written: files.written(),
        verdict: files.verdict.clone(),
        seconds: task.attempts.iter().map(|attempt| attempt.timing.seconds).sum(),
        frames,
        recorded,
    };
    let event = Event::Staged { video: task.video, staged: Box::new(staged) };
    let unwanted = || Failure::transient("nobody wants the files any more");
    events.blocking_send(event).map_err(|_| unwanted())?;
    Ok(told.blocking_recv().map_err(|_| unwanted())?)
}
