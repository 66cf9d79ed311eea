//! One finished video: frames fetched, checked, written in every format, and told in a sidecar.
//!
//! Runs beside the driver; encoding is blocking work and stays off the async threads.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinHandle;
use wanfarm_media::{ContactSheet, Frames, MediaError};
use wanfarm_proto::tensors::{PullError, Puller};
use wanfarm_types::{Digest, Failure, FailureKind, Format, ModelFile, TensorRef, VideoId, VideoSpec};

use super::place::{self, PlaceError, Placing};
use super::sidecar::{ModelRecord, OutputRecord, Sidecar, StagePasses, Versions};
use super::volume::Volume;
use crate::driver::Event;
use crate::farm::report_view;
use crate::ledger::AttemptRecord;
use crate::manifest;
use crate::obstacle::Obstacle;
use crate::requests::JobReport;
use crate::room;

/// Before a report that could not be written is tried again.
const PAUSE: Duration = Duration::from_secs(1);
/// Videos written at the same time; each holds its frames in memory.
const AT_ONCE: usize = 2;

/// Writes outputs and reports to the driver.
#[derive(Debug)]
pub struct Outputs {
    volume: Volume,
    puller: Puller,
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
    pub source: String,
    /// Digest of the final latents.
    pub latents: Digest,
}

/// What was written.
#[derive(Debug)]
pub struct Finished {
    /// Files and folders in their places.
    pub files: Vec<PathBuf>,
    /// The quality gate's verdict.
    pub verdict: String,
    /// Seconds that workers have spent on the video.
    pub seconds: f64,
}

/// Why a video was not written.
#[derive(Debug)]
pub enum Unwritten {
    /// Nothing is wrong with the video: it is written when this is gone.
    Held(Obstacle),
    /// Something is wrong with it.
    Failed(Failure),
}

impl From<Failure> for Unwritten {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl Outputs {
    /// A writer into `root`.
    pub fn new(root: PathBuf, puller: Puller, events: mpsc::Sender<Event>) -> Self {
        let volume = Volume::new(root);
        Self { volume, puller, events, slots: Arc::new(Semaphore::new(AT_ONCE)) }
    }

    /// Where files go.
    pub fn root(&self) -> &Path {
        self.volume.folder()
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

    /// Starts writing a video; [`Event::Written`] tells how it ended.
    pub fn write(&self, task: Task) {
        let (volume, puller) = (self.volume.clone(), self.puller.clone());
        let (events, slots) = (self.events.clone(), self.slots.clone());
        tokio::spawn(async move {
            let video = task.video;
            let result = match slots.acquire().await {
                Ok(_slot) => write_video(task, volume, &puller).await.map(Box::new),
                Err(closed) => Err(Failure::transient(closed.to_string()).into()),
            };
            // A driver that is gone does not need the answer.
            let _ = events.send(Event::Written { video, result }).await;
        });
    }

    /// Writes the report of a job that has ended, again for a moment where it fails; [`Event::Reported`] tells when it
    /// is there, or why it cannot be.
    pub fn report(&self, job: JobReport) {
        let (id, volume, events) = (job.job.job, self.volume.clone(), self.events.clone());
        tokio::task::spawn_blocking(move || {
            let path = volume.folder().join(manifest::REPORT);
            let written = serde_json::to_vec_pretty(&report_view(job, volume.folder()))
                .map_err(|error| error.to_string())
                .and_then(|json| volume.check().map(|_| json).map_err(|obstacle| format!("waits for {obstacle}")))
                .and_then(|json| write_patiently(&path, &json).map_err(|error| error.to_string()));
            if let Err(error) = &written {
                tracing::error!(job = %id, %error, "the report could not be written");
            }
            let _ = events.blocking_send(Event::Reported(id, written));
        });
    }
}

/// Writes a file whole; what may pass gets two more tries.
fn write_patiently(path: &Path, bytes: &[u8]) -> Result<(), PlaceError> {
    for _ in 0..2 {
        match place::write(path, bytes) {
            Err(error) if error.is_transient() => std::thread::sleep(PAUSE),
            written => return written,
        }
    }
    place::write(path, bytes)
}

async fn write_video(task: Task, volume: Volume, puller: &Puller) -> Result<Finished, Unwritten> {
    let pulled = puller.pull(&task.frames, std::slice::from_ref(&task.source)).await;
    let frames = pulled.map_err(|error| match error {
        PullError::Nowhere { exhausted: true, .. } => Unwritten::Held(Obstacle::NoDescriptors),
        error => Failure { kind: FailureKind::InputsLost, message: error.to_string() }.into(),
    })?;
    tokio::task::spawn_blocking(move || write_files(&task, &volume, &frames))
        .await
        .map_err(|panic| Failure::deterministic(format!("writing the files failed: {panic}")))?
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

    /// Of a file that people know as `target`, whatever it is called while it is being written.
    fn media(&self, error: MediaError, placing: &Placing, target: &Path) -> Unwritten {
        let staged = placing.staged().display().to_string();
        let message = error.to_string().replace(&staged, &target.display().to_string());
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

fn write_files(task: &Task, volume: &Volume, bytes: &Bytes) -> Result<Finished, Unwritten> {
    let [count, height, width, 3] = task.frames.shape[..] else {
        let message = format!("frames have shape {:?}, not [F, H, W, 3]", task.frames.shape);
        return Err(Failure::deterministic(message).into());
    };
    let (root, faults) = (volume.folder(), Faults { volume, frames: bytes.len() as u64 });
    let placement = |error| faults.placement(error);
    let frames = Frames::new(bytes, count as usize, height as usize, width as usize)
        .map_err(|error| Failure::deterministic(error.to_string()))?;
    let quality = wanfarm_media::assess(&frames);
    let (mut outputs, mut unwritten) = (Vec::new(), Vec::new());
    for &format in &task.spec.formats {
        match write_format(task, &frames, format, &faults) {
            Ok(output) => outputs.push(output),
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
    let sidecar_path = root.join(manifest::sidecar_of(&task.spec.output));
    volume.check().map_err(Unwritten::Held)?;
    // Last: where the sidecar stands, the video is complete.
    place::write(&sidecar_path, &json).map_err(placement)?;
    if !unwritten.is_empty() {
        let there: Vec<&str> = outputs.iter().map(|output| output.path.as_str()).collect();
        let message = format!("{}; its other files are there: {}", unwritten.join("; "), there.join(", "));
        return Err(Failure::deterministic(message).into());
    }
    let mut files: Vec<PathBuf> = outputs.iter().map(|output| root.join(&output.path)).collect();
    files.push(sidecar_path);
    let seconds = task.attempts.iter().map(|attempt| attempt.seconds).sum();
    Ok(Finished { files, verdict: quality.verdict.to_string(), seconds })
}

/// Writes one of a video's files, or its folder of frames, and puts it into its place.
fn write_format(
    task: &Task,
    frames: &Frames<'_>,
    format: Format,
    faults: &Faults<'_>,
) -> Result<OutputRecord, Unwritten> {
    let (path, rate) = (manifest::path_of(&task.spec.output, format), task.spec.fps);
    let target = faults.volume.folder().join(&path);
    faults.volume.check().map_err(Unwritten::Held)?;
    let placing = Placing::begin(&target).map_err(|error| faults.placement(error))?;
    let plain = |()| None;
    let note = match format {
        Format::Mp4 => wanfarm_media::write_mp4(frames, rate, placing.staged()).map(coarser),
        Format::Png => wanfarm_media::write_png_folder(frames, placing.staged()).map(plain),
        Format::Gif => wanfarm_media::write_gif(frames, rate, placing.staged()).map(plain),
        Format::Contact => wanfarm_media::write_contact(frames, ContactSheet::default(), placing.staged()).map(plain),
    };
    let note = note.map_err(|error| faults.media(error, &placing, &target))?;
    let (bytes, blake3) = measure(placing.staged())
        .map_err(|error| faults.of(&error, true, format!("cannot read {path} back: {error}")))?;
    placing.finish().map_err(|error| faults.placement(error))?;
    Ok(OutputRecord { path, bytes, blake3, note })
}

/// What a sidecar says of a video that fits its encoder only with less quality than others have.
fn coarser(quantiser: u8) -> Option<String> {
    let usual = wanfarm_media::QUANTISER;
    (quantiser > usual)
        .then(|| format!("noise beyond what the encoder takes: quantiser {quantiser} instead of {usual}"))
}

/// Size and digest of a file, or of all files of a folder in order of name.
fn measure(path: &Path) -> std::io::Result<(u64, Digest)> {
    let mut files = vec![path.to_owned()];
    if path.is_dir() {
        files = std::fs::read_dir(path)?.map(|entry| Ok(entry?.path())).collect::<std::io::Result<_>>()?;
        files.sort();
    }
    let (mut bytes, mut hasher) = (0, blake3::Hasher::new());
    for file in files {
        bytes += std::fs::metadata(&file)?.len();
        hasher.update_mmap(&file)?;
    }
    Ok((bytes, Digest(*hasher.finalize().as_bytes())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::tests::{card, request};
    use wanfarm_types::{Experts, JobId, VideoRequest};

    /// Writes a clip of two frames of this size, whose bytes are those of `byte`.
    fn write(root: &Path, [width, height]: [u32; 2], byte: impl Fn(usize) -> u8) -> Result<Finished, Unwritten> {
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
            source: String::new(),
            notes: Vec::new(),
            latents: Digest([0; 32]),
        };
        write_files(&task, &Volume::new(root.to_owned()), &bytes.into())
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
