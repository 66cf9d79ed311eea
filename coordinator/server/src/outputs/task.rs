//! One finished video: frames fetched, checked, written in every format, and told in a sidecar.
//!
//! Runs beside the driver; encoding is blocking work and stays off the async threads.

#![expect(clippy::disallowed_methods, reason = "writes on a thread of its own")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::task::JoinHandle;
use uuid::Uuid;
use wanfarm_media::{ContactSheet, Frames, MediaError};
use wanfarm_proto::tensors::PullError;
use wanfarm_types::{Digest, Failure, FailureKind, Format, ModelFile, TensorRef, VideoId, VideoSpec};

use super::look;
use super::record::{self, Content, Print, Standing, Written, print};
use super::report::{self, Unreported};
use super::sidecar::{ModelRecord, OutputRecord, Sidecar, StagePasses, Versions};
use super::volume::Volume;
use crate::driver::Event;
use crate::ledger::AttemptRecord;
use crate::obstacle::Obstacle;
use crate::requests::Report;
use crate::room;
use crate::source::{Reader, Source};
use wanfarm_durable::place::{self, PlaceError, Placing, Stage};

/// Videos written at the same time; each holds its frames in memory.
const AT_ONCE: usize = 2;

/// Writes outputs and reports to the driver.
#[derive(Debug)]
pub struct Outputs {
    volume: Volume,
    stage: Arc<Stage>,
    reader: Reader,
    events: mpsc::Sender<Event>,
    slots: Arc<Semaphore>,
}

/// Everything needed to write one video.
#[derive(Debug)]
pub struct Task {
    /// Its place in the plan.
    pub video: VideoId,
    /// Its settings.
    pub spec: VideoSpec,
    /// Files of its model.
    pub model_files: Vec<ModelFile>,
    /// Who did what.
    pub attempts: Vec<AttemptRecord>,
    /// What people should know of it.
    pub notes: Vec<String>,
    /// Its frames, u8 `[F, H, W, 3]`.
    pub frames: TensorRef,
    /// Where the frames lie.
    pub source: Source,
    /// Digest of the final latents.
    pub latents: Digest,
    /// The output directory of its job.
    pub volume: Volume,
    /// Whether it may replace what is not its own.
    pub overwrite: bool,
    /// What an earlier try may have put in place.
    pub written: Arc<[Written]>,
}

/// A video whose files are whole and wait to be put in their places.
#[derive(Debug)]
pub struct Staged {
    /// Files and folders, the sidecar last.
    pub written: Vec<Written>,
    /// The quality gate's verdict.
    pub verdict: String,
    /// Seconds that workers have spent on the video.
    pub seconds: f64,
    /// Answered when this is recorded; dropped when nobody wants the files any more.
    pub recorded: oneshot::Sender<()>,
}

/// Why a video was not written.
#[derive(Debug)]
pub enum Unwritten {
    /// Nothing is wrong with the video: it is written when this is gone.
    Held(Obstacle),
    /// The frames are with a worker that cannot be heard at present: nobody's fault.
    Unread(String),
    /// Something is wrong with it.
    Failed(Failure),
}

impl From<Failure> for Unwritten {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl Outputs {
    /// A writer of jobs that go to `root`, for the coordinator of this id.
    pub fn new(root: PathBuf, id: Uuid, reader: Reader, events: mpsc::Sender<Event>) -> Self {
        let (volume, stage) = (Volume::new(root), Arc::new(Stage::new(id)));
        Self { volume, stage, reader, events, slots: Arc::new(Semaphore::new(AT_ONCE)) }
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
            Some(Obstacle::Full { path, bytes }) if room::free(&path).is_some_and(|free| free < bytes) => {
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
    pub fn write(&self, task: Task) {
        let (stage, reader) = (self.stage.clone(), self.reader.clone());
        let (events, slots) = (self.events.clone(), self.slots.clone());
        tokio::spawn(async move {
            let video = task.video;
            let result = match slots.acquire().await {
                Ok(_slot) => write_video(task, stage, &reader, events.clone()).await,
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
        let (stage, events) = (self.stage.clone(), self.events.clone());
        let is_of_now = volume.folder() == self.root();
        tokio::task::spawn_blocking(move || {
            let written = report::write(&volume, &stage, &place, &report);
            let written =
                written.map_err(|error| if is_of_now { error } else { Unreported::Failed(error.to_string()) });
            if let Err(error) = &written {
                tracing::error!(job = %id, %error, "the report could not be written");
            }
            let _ = events.blocking_send(Event::Reported(id, written));
        });
    }
}

async fn write_video(
    task: Task,
    stage: Arc<Stage>,
    reader: &Reader,
    events: mpsc::Sender<Event>,
) -> Result<(), Unwritten> {
    let frames = reader.read(&task.frames, &task.source).await.map_err(|error| match error {
        PullError::Nowhere { exhausted: true, .. } => Unwritten::Held(Obstacle::NoDescriptors),
        error if error.is_silence() => {
            Unwritten::Unread(format!("{}, which cannot be heard: {}", task.source.name, error.reasons()))
        }
        error => Failure { kind: FailureKind::InputsLost, message: error.to_string() }.into(),
    })?;
    let job = move || {
        let files = Files::stage(&task, &stage, &frames)?;
        drop(frames);
        files.announce(&task, &events)?;
        files.put(&task)
    };
    let written = tokio::task::spawn_blocking(job).await;
    written.map_err(|panic| Failure::deterministic(format!("writing the files failed: {panic}")))?
}

/// Says of an error whose fault it is: the video's, or that of the volume it is written to.
struct Faults<'a> {
    volume: &'a Volume,
    frames: u64,
}

impl Faults<'_> {
    fn placement(&self, error: PlaceError) -> Unwritten {
        self.of(&error, error.is_transient(), error.to_string())
    }

    /// Of a file that people know by its place, whatever it is called while it is being written.
    fn media(&self, error: MediaError, placing: &Placing) -> Unwritten {
        let staged = placing.staged().display().to_string();
        let message = error.to_string().replace(&staged, &placing.target().display().to_string());
        if error.is_transient() {
            return self.of(&error, true, message);
        }
        Failure::deterministic(message).into()
    }

    fn of(&self, error: &(dyn std::error::Error + 'static), transient: bool, message: String) -> Unwritten {
        if let Some(obstacle) = self.volume.obstacle(error, self.frames.saturating_mul(2)) {
            return Unwritten::Held(obstacle);
        }
        let kind = if transient { FailureKind::Transient } else { FailureKind::Deterministic };
        Failure { kind, message }.into()
    }
}

/// The files of a video, whole, under hidden names beside their places.
struct Files {
    /// The sidecar last: where it stands, the video is complete.
    staged: Vec<(Placing, Written)>,
    /// Which files could not be made of these frames, and why.
    lacking: Option<String>,
    verdict: String,
    /// Bytes of its frames.
    frames: u64,
}

impl Files {
    fn stage(task: &Task, stage: &Stage, bytes: &Bytes) -> Result<Self, Unwritten> {
        let [count, height, width, 3] = task.frames.shape[..] else {
            let message = format!("frames have shape {:?}, not [F, H, W, 3]", task.frames.shape);
            return Err(Failure::deterministic(message).into());
        };
        let (root, faults) = (task.volume.folder(), Faults { volume: &task.volume, frames: bytes.len() as u64 });
        let frames = Frames::new(bytes, count as usize, height as usize, width as usize)
            .map_err(|error| Failure::deterministic(error.to_string()))?;
        let quality = wanfarm_media::assess(&frames);
        let (mut staged, mut outputs, mut unwritten) = (Vec::new(), Vec::new(), Vec::new());
        for &format in &task.spec.formats {
            match stage_format(task, stage, &frames, format, &faults) {
                Ok((placing, written, output)) => {
                    outputs.push(output);
                    staged.push((placing, written));
                }
                // No other try can help it; the other files are whole all the same.
                Err(Unwritten::Failed(failure)) if failure.kind == FailureKind::Deterministic => {
                    unwritten.push(failure.message);
                }
                Err(other) => return Err(other),
            }
        }
        if outputs.is_empty() {
            return Err(Failure::deterministic(unwritten.join("; ")).into());
        }
        let sidecar = Sidecar {
            spec: &task.spec,
            model: ModelRecord { name: &task.spec.model, files: &task.model_files },
            versions: Versions::current(),
            attempts: &task.attempts,
            notes: &task.notes,
            passes: &StagePasses::of(&task.spec, &task.attempts),
            quality: &quality,
            outputs: &outputs,
            unwritten: &unwritten,
            latents_blake3: task.latents,
        };
        let json = serde_json::to_vec_pretty(&sidecar).map_err(|error| Failure::deterministic(error.to_string()))?;
        let path = wanfarm_manifest::sidecar_of(&task.spec.output);
        task.volume.check().map_err(Unwritten::Held)?;
        let placing = stage.begin(&root.join(&path)).map_err(|error| faults.placement(error))?;
        place::write(&placing, &json).map_err(|error| faults.placement(error))?;
        let print = Print { bytes: json.len() as u64, blake3: Digest(*blake3::hash(&json).as_bytes()) };
        staged.push((placing, Written { path, content: Content::File(print) }));
        let there: Vec<&str> = outputs.iter().map(|output| output.path.as_str()).collect();
        let lacking = (!unwritten.is_empty())
            .then(|| format!("{}; its other files are there: {}", unwritten.join("; "), there.join(", ")));
        Ok(Self { staged, lacking, verdict: quality.verdict.to_string(), frames: bytes.len() as u64 })
    }

    /// Waits until it is on the books what is about to be put in place.
    fn announce(&self, task: &Task, events: &mpsc::Sender<Event>) -> Result<(), Unwritten> {
        let (recorded, told) = oneshot::channel();
        let staged = Staged {
            written: self.staged.iter().map(|(_, written)| written.clone()).collect(),
            verdict: self.verdict.clone(),
            seconds: task.attempts.iter().map(|attempt| attempt.seconds).sum(),
            recorded,
        };
        let event = Event::Staged { video: task.video, staged: Box::new(staged) };
        let unwanted = || Failure::transient("nobody wants the files any more");
        events.blocking_send(event).map_err(|_| unwanted())?;
        Ok(told.blocking_recv().map_err(|_| unwanted())?)
    }

    /// Puts the files in their places, if nothing is in the way of any of them.
    fn put(self, task: &Task) -> Result<(), Unwritten> {
        let faults = Faults { volume: &task.volume, frames: self.frames };
        let mut placed = Vec::new();
        for (placing, written) in self.staged {
            let known = task.written.iter().filter(|known| known.path == written.path).chain([&written]);
            let stands = record::standing(placing.target(), &known.collect::<Vec<_>>());
            let stands = stands.map_err(|error| {
                faults.of(&error, true, format!("cannot look at {}: {error}", placing.target().display()))
            })?;
            if stands == Standing::Other
                && let Some(what) = look::in_the_way(placing.target(), task.overwrite)
            {
                return Err(blocked(placing.target(), what).into());
            }
            placed.push((placing, stands));
        }
        for (placing, stands) in placed {
            task.volume.check().map_err(Unwritten::Held)?;
            let target = placing.target().to_owned();
            let put = if stands == Standing::Nothing { placing.finish() } else { placing.replace() };
            put.map_err(|error| match look::in_the_way(&target, false) {
                // It came between the look and now.
                Some(what) if error.is_taken() => blocked(&target, what).into(),
                _ => faults.placement(error),
            })?;
        }
        self.lacking.map_or(Ok(()), |lacking| Err(Failure::deterministic(lacking).into()))
    }
}

/// Writes one of a video's files, or its folder of frames, under a hidden name.
fn stage_format(
    task: &Task,
    stage: &Stage,
    frames: &Frames<'_>,
    format: Format,
    faults: &Faults<'_>,
) -> Result<(Placing, Written, OutputRecord), Unwritten> {
    let (path, rate) = (wanfarm_manifest::path_of(&task.spec.output, format), task.spec.fps);
    faults.volume.check().map_err(Unwritten::Held)?;
    let placing = stage.begin(&faults.volume.folder().join(&path)).map_err(|error| faults.placement(error))?;
    let plain = |()| None;
    let note = match format {
        Format::Mp4 => wanfarm_media::write_mp4(frames, rate, placing.staged()).map(coarser),
        Format::Png => wanfarm_media::write_png_folder(frames, placing.staged()).map(plain),
        Format::Gif => wanfarm_media::write_gif(frames, rate, placing.staged()).map(plain),
        Format::Contact => wanfarm_media::write_contact(frames, ContactSheet::default(), placing.staged()).map(plain),
    };
    let note = note.map_err(|error| faults.media(error, &placing))?;
    let (bytes, blake3, content) = measure(placing.staged())
        .map_err(|error| faults.of(&error, true, format!("cannot read {path} back: {error}")))?;
    Ok((placing, Written { path: path.clone(), content }, OutputRecord { path, bytes, blake3, note }))
}

/// What a sidecar says of a video that fits its encoder only with less quality than others have.
fn coarser(quantiser: u8) -> Option<String> {
    let usual = wanfarm_media::QUANTISER;
    (quantiser > usual)
        .then(|| format!("noise beyond what the encoder takes: quantiser {quantiser} instead of {usual}"))
}

fn blocked(target: &Path, what: &str) -> Failure {
    Failure::deterministic(format!(
        "{} is in the way: {what} that this video did not write; move it away and retry: the video is written from what \
         is kept of it, without rendering it again",
        target.display()
    ))
}

/// Size and digest of a file, or of all files of a folder in order of name; and those of each.
pub(super) fn measure(path: &Path) -> std::io::Result<(u64, Digest, Content)> {
    if !path.is_dir() {
        let whole = print(path)?;
        return Ok((whole.bytes, whole.blake3, Content::File(whole)));
    }
    let mut files: Vec<PathBuf> = fs::read_dir(path)?.map(|entry| Ok(entry?.path())).collect::<std::io::Result<_>>()?;
    files.sort();
    let (mut all, mut frames) = (blake3::Hasher::new(), Vec::new());
    for file in files {
        let bytes = fs::read(&file)?;
        all.update(&bytes);
        frames.push(Print { bytes: bytes.len() as u64, blake3: Digest(*blake3::hash(&bytes).as_bytes()) });
    }
    Ok((all.count(), Digest(*all.finalize().as_bytes()), Content::Frames(frames)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use wanfarm_types::fixtures::{card, request};
    use wanfarm_types::{Experts, JobId, VideoRequest};

    /// Writes a clip of two frames of this size, whose bytes are those of `byte`.
    fn write(root: &Path, [width, height]: [u32; 2], byte: impl Fn(usize) -> u8) -> Result<(), Unwritten> {
        let open = VideoRequest { formats: vec![Format::Mp4, Format::Gif], ..request() };
        let spec = VideoSpec { width, height, ..open.resolve(&card(Experts::Single)).unwrap() };
        let shape = [2, height.into(), width.into(), 3];
        let bytes: Vec<u8> = (0..shape.iter().product::<u64>() as usize).map(byte).collect();
        let frames = TensorRef { digest: Digest([0; 32]), dtype: wanfarm_types::DType::U8, shape: shape.to_vec() };
        let task = Task {
            video: VideoId { job: JobId(1), index: 0 },
            spec,
            model_files: Vec::new(),
            attempts: Vec::new(),
            frames,
            source: crate::source::Source::nowhere(String::new()),
            notes: Vec::new(),
            latents: Digest([0; 32]),
            volume: Volume::new(root.to_owned()),
            overwrite: true,
            written: [].into(),
        };
        Files::stage(&task, &Stage::new(Uuid::nil()), &bytes.into())?.put(&task)
    }

    fn sidecar(root: &Path) -> serde_json::Value {
        serde_json::from_slice(&std::fs::read(root.join("cat.json")).unwrap()).unwrap()
    }

    #[test]
    fn a_file_that_cannot_be_written_leaves_the_others_and_the_sidecar() {
        let root = tempfile::tempdir().unwrap();
        let written = write(root.path(), [18, 15], |_| 9);
        let Err(Unwritten::Failed(failure)) = written else { panic!("{written:?}") };
        assert_eq!(failure.kind, FailureKind::Deterministic);
        assert!(failure.message.contains("cat.mp4") && failure.message.contains("cat.gif"), "{}", failure.message);
        assert!(root.path().join("cat.gif").is_file() && !root.path().join("cat.mp4").exists());
        let sidecar = sidecar(root.path());
        assert_eq!(sidecar["outputs"].as_array().unwrap().len(), 1);
        assert_eq!(sidecar["outputs"][0]["path"], "cat.gif");
        assert!(sidecar["unwritten"][0].as_str().unwrap().contains("even width and height"), "{sidecar}");
    }

    #[test]
    fn noise_is_written_and_its_sidecar_tells_that_it_is_coarser() {
        let root = tempfile::tempdir().unwrap();
        let noise = |index: usize| blake3::hash(&index.to_le_bytes()).as_bytes()[0];
        write(root.path(), [64, 64], noise).unwrap();
        let noisy = sidecar(root.path());
        assert!(noisy["outputs"][0]["note"].as_str().unwrap().contains("instead of 14"), "{noisy}");
        write(root.path(), [64, 64], |_| 9).unwrap();
        let plain = sidecar(root.path());
        assert!(plain["outputs"][0].get("note").is_none() && plain.get("unwritten").is_none(), "{plain}");
    }
}
