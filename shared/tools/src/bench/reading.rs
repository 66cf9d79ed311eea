//! How fast files load.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use wanfarm_model::ModelError;
use wanfarm_weights::FileError;

use super::result::{Measured, Recorder, Section, Unit};
use super::stopwatch::{self, Timing};
use super::{Scene, files};

/// Share of the time: of a temporary file, and of a model's files.
const SHARE: f64 = 0.03;
/// Bytes that are read at once.
const PART: usize = 8 << 20;
/// Bytes of the temporary file for each second there is to write and read it, and at most.
const FILE_PER_SECOND: f64 = 64e6;
const MAX_FILE: f64 = 512e6;

/// 10⁹ bytes a second into a temporary file. Reads that file, which the system still has in memory, and the model's, as they
/// are found.
pub(super) fn measure(scene: &Scene, model: Option<&Path>, recorder: &mut Recorder<'_>) -> Option<f64> {
    let name = "temporary file, cached by the system";
    let written = temporary(scene, name, recorder).map_err(|error| recorder.failed(Section::Loading, name, &error));
    if let Some(model) = model
        && let Err(error) = folder(scene, model, recorder)
    {
        recorder.failed(Section::Loading, "model files, as found", &error);
    }
    written.ok()
}

fn temporary(scene: &Scene, name: &str, recorder: &mut Recorder<'_>) -> Result<f64, ModelError> {
    let share = scene.limits.share(SHARE);
    let size = (FILE_PER_SECOND * share.as_secs_f64()).clamp(PART as f64, MAX_FILE) as usize;
    let mut file = tempfile::NamedTempFile::new().map_err(|error| failed(&std::env::temp_dir(), error))?;
    let path = file.path().to_owned();
    let pattern = files::pattern();
    let begun = Instant::now();
    for _ in 0..size / pattern.len() {
        file.write_all(&pattern).map_err(|error| failed(&path, error))?;
    }
    file.flush().map_err(|error| failed(&path, error))?;
    let size = (size / pattern.len() * pattern.len()) as f64;
    let write = size / 1e9 / begun.elapsed().as_secs_f64().max(1e-6);
    let timing = stopwatch::time(&scene.device, share, || {
        read(&path, Duration::MAX).map(drop).map_err(|error| failed(&path, error))
    })?;
    let (name, section, unit) = (name.to_owned(), Section::Loading, Unit::Gigabytes);
    let measured = Measured { section, name, work: size, unit, peak: None, expected_seconds: None };
    recorder.measured(measured, &timing);
    Ok(write)
}

/// Reads a model's files once: a second time they would come from memory.
fn folder(scene: &Scene, model: &Path, recorder: &mut Recorder<'_>) -> Result<(), ModelError> {
    let share = scene.limits.share(SHARE);
    let begun = Instant::now();
    let mut bytes = 0;
    let mut folders = vec![model.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).map_err(|error| failed(&folder, error))? {
            let entry = entry.map_err(|error| failed(&folder, error))?;
            let path = entry.path();
            // Links to files are common, and followed; links to folders may go in circles.
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                folders.push(path);
            } else if path
                .extension()
                .is_some_and(|end| ["safetensors", "gguf", "pth", "bin"].iter().any(|of| end == *of))
            {
                let left = share.saturating_sub(begun.elapsed());
                bytes += read(&path, left).map_err(|error| failed(&path, error))?;
            }
        }
    }
    let name = "model files, as found".to_owned();
    if bytes == 0 {
        recorder.skipped(Section::Loading, name, format!("there are no weights in {}", model.display()));
        return Ok(());
    }
    let timing = Timing { seconds: begun.elapsed().as_secs_f64().max(1e-9), spread: None, runs: 1 };
    let work = bytes as f64;
    let (section, unit) = (Section::Loading, Unit::Gigabytes);
    recorder.measured(Measured { section, name, work, unit, peak: None, expected_seconds: None }, &timing);
    Ok(())
}

/// Bytes of a file that were read in this time, one part after the other; one part at least.
fn read(path: &Path, time: Duration) -> io::Result<u64> {
    let begun = Instant::now();
    let mut file = File::open(path)?;
    let mut part = vec![0; PART];
    let mut bytes = 0;
    loop {
        let count = file.read(&mut part)?;
        bytes += count as u64;
        if count == 0 || begun.elapsed() >= time {
            return Ok(bytes);
        }
    }
}

fn failed(path: &Path, error: io::Error) -> ModelError {
    FileError::io(path, error).into()
}
