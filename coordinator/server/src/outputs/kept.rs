//! Frames of a finished video that other videos start from, or all of them as a clip: kept as files among the artifacts, so that
//! what starts from one reads it as it would a file that people gave. Deliberately not here: for how long.

use std::io::{self, Cursor};
use std::path::Path;

use bytes::Bytes;
use wanfarm_image::pack_all;
use wanfarm_manifest::first_frame::{Image, NoImage};
use wanfarm_media::Frames;
use wanfarm_types::{Digest, Failure, frame_name};

use super::task::{Task, WriteError};
use crate::artifacts::Artifacts;
use crate::disk_space::RESERVE;
use crate::obstacle::Obstacle;

/// Frames by number, or all of them (`None`), and what is known of the file that each is kept as.
pub(crate) type Kept = Vec<(Option<u32>, Image)>;

/// Keeps the frames of a video that others start from, as its png files are. On return they survive a
/// power cut.
pub(crate) async fn keep(task: &Task, bytes: &Bytes, artifacts: &Artifacts) -> Result<Kept, WriteError> {
    if task.kept.is_empty() {
        return Ok(Vec::new());
    }
    let (numbers, shape, bytes) = (task.kept.clone(), task.frames.shape.clone(), bytes.clone());
    let output = task.volume.folder().join(&task.spec.output);
    let again = wanfarm_manifest::again(&task.spec);
    let made = tokio::task::spawn_blocking(move || {
        let made = numbers.into_iter().map(|number| Ok((number, file(&bytes, &shape, &again, number, &output)?)));
        made.collect::<Result<Vec<_>, Failure>>()
    });
    let made = made.await.map_err(|panic| Failure::deterministic(format!("keeping a frame failed: {panic}")))??;
    let mut kept = Vec::with_capacity(made.len());
    for (number, file) in made {
        let image = look(number, &file).map_err(|why| {
            let what = number.map_or_else(|| "the video".to_owned(), |number| format!("frame {number}"));
            Failure::deterministic(format!("{what} cannot be what another one is rendered from: {why}"))
        })?;
        let full = || Obstacle::Full { path: artifacts.root().to_owned(), bytes: image.bytes.saturating_add(RESERVE) };
        artifacts.check_room(image.bytes).await.map_err(|_| WriteError::Held(full()))?;
        artifacts.put(&image.digest, file).await.map_err(|error| match error.is_full() {
            true => WriteError::Held(full()),
            false => Failure::transient(error.to_string()).into(),
        })?;
        kept.push((number, image));
    }
    Ok(kept)
}

fn look(number: Option<u32>, file: &Bytes) -> Result<Image, NoImage> {
    match number {
        Some(_) => Image::read(file),
        None => {
            let digest = Digest(*blake3::hash(file).as_bytes());
            Image::read_clip(&mut Cursor::new(file.clone()), file.len() as u64, digest)
        }
    }
}

fn file(bytes: &Bytes, shape: &[u64], remark: &str, number: Option<u32>, output: &Path) -> Result<Bytes, Failure> {
    let wrong = |why: String| Failure::deterministic(why);
    let [count, height, width, 3] = *shape else {
        return Err(wrong(format!("frames have shape {shape:?}, not [F, H, W, 3]")));
    };
    let frames = Frames::new(bytes, count as usize, height as usize, width as usize);
    let frames = frames.map_err(|error| wrong(error.to_string()))?.with_remark(remark);
    let one = |number: usize| wanfarm_media::png(&frames, number, output);
    let file = match number {
        Some(number) => one(number as usize).map_err(|error| error.to_string()),
        None => {
            let named =
                (0..count as usize).map(|number| Ok((frame_name(number), one(number).map_err(io::Error::other)?)));
            let mut packed = Vec::new();
            pack_all(named, &mut packed).map(|()| packed).map_err(|error| error.to_string())
        }
    };
    let what = number.map_or_else(|| "its frames".to_owned(), |number| format!("frame {number}"));
    file.map(Bytes::from).map_err(|why| wrong(format!("{what}: {why}")))
}
