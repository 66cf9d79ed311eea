//! Frames of a finished video that other videos start from, or all of them as a clip: kept as files among the artifacts, so that
//! what starts from one reads it as it would a file that people gave. Deliberately not here: for how long.

use std::io::{self, Cursor};
use std::path::Path;

use bytes::Bytes;
use wanfarm_image::pack_all;
use wanfarm_manifest::first_frame::{Image, NoImage};
use wanfarm_media::Frames;
use wanfarm_types::{Digest, Excerpt, Failure, frame_name};

use super::task::{Task, WriteError};
use crate::artifacts::Artifacts;
use crate::disk_space::RESERVE;
use crate::obstacle::Obstacle;

/// Excerpts, and what is known of the file that each is kept as.
pub(crate) type Kept = Vec<(Excerpt, Image)>;

/// Keeps the frames of a video that others start from, as its png files are. On return they survive a
/// power cut.
pub(crate) async fn keep(task: &Task, bytes: &Bytes, artifacts: &Artifacts) -> Result<Kept, WriteError> {
    if task.kept.is_empty() {
        return Ok(Vec::new());
    }
    let (excerpts, shape, bytes) = (task.kept.clone(), task.frames.shape.clone(), bytes.clone());
    let output = task.volume.folder().join(&task.spec.output);
    let again = wanfarm_manifest::again(&task.spec);
    let made = tokio::task::spawn_blocking(move || {
        let made = excerpts.into_iter().map(|excerpt| Ok((excerpt, file(&bytes, &shape, &again, excerpt, &output)?)));
        made.collect::<Result<Vec<_>, Failure>>()
    });
    let made = made.await.map_err(|panic| Failure::deterministic(format!("keeping a frame failed: {panic}")))??;
    let mut kept = Vec::with_capacity(made.len());
    for (excerpt, file) in made {
        let image = look(excerpt, &file).map_err(|why| {
            Failure::deterministic(format!("{} cannot be what another one is rendered from: {why}", told(excerpt)))
        })?;
        let full = || Obstacle::Full { path: artifacts.root().to_owned(), bytes: image.bytes.saturating_add(RESERVE) };
        artifacts.check_room(image.bytes).await.map_err(|_| WriteError::Held(full()))?;
        artifacts.put(&image.digest, file).await.map_err(|error| match error.is_full() {
            true => WriteError::Held(full()),
            false => Failure::transient(error.to_string()).into(),
        })?;
        kept.push((excerpt, image));
    }
    Ok(kept)
}

fn told(excerpt: Excerpt) -> String {
    match excerpt {
        Excerpt::Frame(number) => format!("frame {number}"),
        Excerpt::Clip { first, frames } => format!("the clip of {frames} frames from frame {first} on"),
    }
}

fn look(excerpt: Excerpt, file: &Bytes) -> Result<Image, NoImage> {
    match excerpt {
        Excerpt::Frame(_) => Image::read(file),
        Excerpt::Clip { .. } => {
            let digest = Digest(*blake3::hash(file).as_bytes());
            Image::read_clip(&mut Cursor::new(file.clone()), file.len() as u64, digest)
        }
    }
}

fn file(bytes: &Bytes, shape: &[u64], remark: &str, excerpt: Excerpt, output: &Path) -> Result<Bytes, Failure> {
    let wrong = |why: String| Failure::deterministic(why);
    let [count, height, width, 3] = *shape else {
        return Err(wrong(format!("frames have shape {shape:?}, not [F, H, W, 3]")));
    };
    let frames = Frames::new(bytes, count as usize, height as usize, width as usize);
    let frames = frames.map_err(|error| wrong(error.to_string()))?.with_remark(remark);
    let one = |number: usize| wanfarm_media::png(&frames, number, output);
    let file = match excerpt {
        Excerpt::Frame(number) => one(number as usize).map_err(|error| error.to_string()),
        Excerpt::Clip { first, frames } => {
            let numbers = (first..first.saturating_add(frames)).map(|number| number as usize);
            let named = numbers.map(|number| Ok((frame_name(number), one(number).map_err(io::Error::other)?)));
            let mut packed = Vec::new();
            pack_all(named, &mut packed).map(|()| packed).map_err(|error| error.to_string())
        }
    };
    file.map(Bytes::from).map_err(|why| wrong(format!("{}: {why}", told(excerpt))))
}
