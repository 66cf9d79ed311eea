//! The files of one video: made in every format, and told in a sidecar; whole under hidden names, then put in their places.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use wanfarm_durable::place::{self, PlaceError, Placing, Stage};
use wanfarm_media::{ContactSheet, Frames, MediaError};
use wanfarm_types::{Digest, Excerpt, Failure, FailureKind, Format, ModelFile, TensorRef, VideoId, VideoSpec};

use super::film::{self, Film};
use super::look;
use super::record::{self, Content, Print, Standing, Written, measure};
use super::sidecar::{ModelRecord, Origin, OutputRecord, Sidecar, StagePasses, Versions};
use super::volume::Volume;
use crate::attempt::AttemptRecord;
use crate::obstacle::Obstacle;

/// Everything needed to write one video.
#[derive(Debug)]
pub struct Task {
    /// Its place in the plan.
    pub video: VideoId,
    pub spec: VideoSpec,
    /// Files of its model.
    pub model_files: Vec<ModelFile>,
    pub attempts: Vec<AttemptRecord>,
    /// Remarks.
    pub notes: Vec<String>,
    /// Its frames, u8 `[F, H, W, 3]`.
    pub frames: TensorRef,
    /// Digest of the final latents.
    pub latents: Digest,
    /// Their shape, if its model is known.
    pub latents_shape: Option<[usize; 4]>,
    /// The output directory of its job.
    pub volume: Volume,
    /// Whether it may replace files of others.
    pub overwrite: bool,
    /// Files that an earlier try may have put in place.
    pub written: Arc<[Written]>,
    /// Its frames that others start from, each as a file.
    pub kept: BTreeSet<Excerpt>,
    /// The film that it ends.
    pub film: Option<Film>,
    /// Where its first frame, its last and its clip are from, as far as they are of other videos.
    pub origins: [Option<Origin>; 3],
}

/// Why a video was not written.
#[derive(Debug)]
pub enum WriteError {
    /// An obstacle: the video is written when this is gone.
    Held(Obstacle),
    /// The frames are with a worker that cannot be heard at present: nobody's fault.
    Unread(String),
    /// Something is wrong with it.
    Failed(Failure),
}

impl From<Failure> for WriteError {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

/// Says of an error whose fault it is: the video's, or that of the volume it is written to.
struct Faults<'a> {
    volume: &'a Volume,
    frames: u64,
}

impl Faults<'_> {
    fn placement(&self, error: PlaceError) -> WriteError {
        self.of(&error, error.is_transient(), error.to_string())
    }

    /// Of a file that people know by its place, whatever it is called while it is being written.
    fn media(&self, error: MediaError, placing: &Placing) -> WriteError {
        let staged = placing.staged().display().to_string();
        let message = error.to_string().replace(&staged, &placing.target().display().to_string());
        if error.is_transient() {
            return self.of(&error, true, message);
        }
        Failure::deterministic(message).into()
    }

    fn of(&self, error: &(dyn std::error::Error + 'static), transient: bool, message: String) -> WriteError {
        if let Some(obstacle) = self.volume.obstacle(error, self.frames.saturating_mul(2)) {
            return WriteError::Held(obstacle);
        }
        let kind = if transient { FailureKind::Transient } else { FailureKind::Deterministic };
        Failure { kind, message }.into()
    }
}

/// The files of a video, whole, under hidden names beside their places.
pub(crate) struct Files {
    /// The sidecar last: where it stands, the video is complete.
    staged: Vec<(Placing, Written)>,
    /// Which files could not be made of these frames, and why.
    lacking: Option<String>,
    /// The quality gate's verdict.
    pub verdict: String,
    /// Bytes of its frames.
    frames: u64,
}

impl Files {
    /// Writes the files of a video under hidden names. Blocks.
    pub(crate) fn stage(task: &Task, stage: &Stage, bytes: &Bytes) -> Result<Self, WriteError> {
        let [count, height, width, 3] = task.frames.shape[..] else {
            let message = format!("frames have shape {:?}, not [F, H, W, 3]", task.frames.shape);
            return Err(Failure::deterministic(message).into());
        };
        let (root, faults) = (task.volume.folder(), Faults { volume: &task.volume, frames: bytes.len() as u64 });
        let frames = Frames::new(bytes, count as usize, height as usize, width as usize)
            .map_err(|error| Failure::deterministic(error.to_string()))?;
        let again = wanfarm_manifest::again(&task.spec);
        let frames = frames.with_remark(&again);
        let quality = wanfarm_media::assess(&frames);
        let (mut staged, mut outputs, mut unwritten) = (Vec::new(), Vec::new(), Vec::new());
        let mut keep = |made: Result<(Placing, Written, OutputRecord), WriteError>| match made {
            Ok((placing, written, output)) => {
                outputs.push(output);
                staged.push((placing, written));
                Ok(())
            }
            // No other try can help it; the other files are whole all the same.
            Err(WriteError::Failed(failure)) if failure.kind == FailureKind::Deterministic => {
                unwritten.push(failure.message);
                Ok(())
            }
            Err(other) => Err(other),
        };
        // The film is made of the mp4 file, wherever that lies now.
        let mut mp4 = None;
        for &format in &task.spec.formats {
            let made = stage_format(task, stage, &frames, format, &faults);
            if let (Format::Mp4, Ok((placing, ..))) = (format, &made) {
                mp4 = Some(placing.staged().to_owned());
            }
            keep(made)?;
        }
        if let Some(film) = &task.film {
            keep(stage_film(task, stage, film, mp4.as_deref(), &faults))?;
        }
        if outputs.is_empty() {
            return Err(Failure::deterministic(unwritten.join("; ")).into());
        }
        let [started_from, led_to, made_from] = &task.origins;
        let sidecar = Sidecar {
            spec: &task.spec,
            started_from: started_from.as_ref(),
            led_to: led_to.as_ref(),
            made_from: made_from.as_ref(),
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
        task.volume.check().map_err(WriteError::Held)?;
        let placing = stage.begin(&root.join(&path)).map_err(|error| faults.placement(error))?;
        place::write(&placing, &json).map_err(|error| faults.placement(error))?;
        let print = Print { bytes: json.len() as u64, blake3: Digest(*blake3::hash(&json).as_bytes()) };
        staged.push((placing, Written { path, content: Content::File(print) }));
        let there: Vec<&str> = outputs.iter().map(|output| output.path.as_str()).collect();
        let lacking = (!unwritten.is_empty())
            .then(|| format!("{}; its other files are there: {}", unwritten.join("; "), there.join(", ")));
        Ok(Self { staged, lacking, verdict: quality.verdict.to_string(), frames: bytes.len() as u64 })
    }

    /// The files about to be put in place, the sidecar last.
    pub(crate) fn written(&self) -> Vec<Written> {
        self.staged.iter().map(|(_, written)| written.clone()).collect()
    }

    /// Puts the files in their places, if nothing is in the way of any of them.
    pub(crate) fn put(self, task: &Task) -> Result<(), WriteError> {
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
            task.volume.check().map_err(WriteError::Held)?;
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
) -> Result<(Placing, Written, OutputRecord), WriteError> {
    let (path, rate) = (wanfarm_manifest::path_of(&task.spec.output, format), task.spec.fps);
    faults.volume.check().map_err(WriteError::Held)?;
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

/// Writes the film that a video ends under a hidden name. `own`: its own mp4 file.
fn stage_film(
    task: &Task,
    stage: &Stage,
    film: &Film,
    own: Option<&Path>,
    faults: &Faults<'_>,
) -> Result<(Placing, Written, OutputRecord), WriteError> {
    let root = faults.volume.folder();
    faults.volume.check().map_err(WriteError::Held)?;
    let placing = stage.begin(&root.join(&film.path)).map_err(|error| faults.placement(error))?;
    let own =
        own.ok_or_else(|| Failure::deterministic(format!("{}: the video's own mp4 file is missing", film.path)))?;
    film::check(film, root).map_err(Failure::deterministic)?;
    wanfarm_media::write_film(&film.parts(root, own), placing.staged())
        .map_err(|error| faults.media(error, &placing))?;
    let (bytes, blake3, content) = measure(placing.staged())
        .map_err(|error| faults.of(&error, true, format!("cannot read {} back: {error}", film.path)))?;
    let path = film.path.clone();
    let output = OutputRecord { path: path.clone(), bytes, blake3, note: Some(film.told(&task.spec.output)) };
    Ok((placing, Written { path, content }, output))
}

/// The sidecar's note on a video encoded with less quality than others.
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

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;
    use wanfarm_types::fixtures::{info, request};
    use wanfarm_types::{Experts, JobId, VideoRequest};

    /// Writes a clip of two frames of this size, whose bytes are those of `byte`.
    fn write(root: &Path, [width, height]: [u32; 2], byte: impl Fn(usize) -> u8) -> Result<(), WriteError> {
        let open = VideoRequest { formats: vec![Format::Mp4, Format::Gif], ..request() };
        let spec = VideoSpec { width, height, ..open.resolve(&info(Experts::Single)).unwrap() };
        let shape = [2, height.into(), width.into(), 3];
        let bytes: Vec<u8> = (0..shape.iter().product::<u64>() as usize).map(byte).collect();
        let frames = TensorRef { digest: Digest([0; 32]), dtype: wanfarm_types::DType::U8, shape: shape.to_vec() };
        let task = Task {
            latents_shape: None,
            video: VideoId { job: JobId(1), index: 0 },
            spec,
            model_files: Vec::new(),
            attempts: Vec::new(),
            frames,
            notes: Vec::new(),
            latents: Digest([0; 32]),
            volume: Volume::new(root.to_owned()),
            overwrite: true,
            written: [].into(),
            kept: BTreeSet::new(),
            film: None,
            origins: [None, None, None],
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
        let Err(WriteError::Failed(failure)) = written else { panic!("{written:?}") };
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
