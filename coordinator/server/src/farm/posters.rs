//! What finished videos look like: their first frame, of the file that shows most of them.

use bytes::Bytes;
use wanfarm_types::{Digest, JobId};

use super::FarmService;
use super::asking::Answer;
use super::wire::refusal;
use crate::outputs::shown;
use crate::requests::Request;

/// The first frame of a video.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Poster {
    /// No file shows it, or it is not done.
    Nothing,
    /// The asker has it, of the file of this digest.
    Known(Digest),
    /// As a JPEG, of the file of this digest.
    Jpeg(Digest, Bytes),
    /// Its file does not hold any more what was written.
    Lost,
}

impl FarmService {
    /// The first frame of a finished video, unless the asker `has` the one of that file.
    ///
    /// # Errors
    /// When there is no such video, or its folder does not answer.
    pub async fn poster(&self, job: JobId, video: u32, has: impl FnOnce(&Digest) -> bool) -> Answer<Poster> {
        let asked = Some(video);
        let files = self.ask(|reply| Request::Files { job, video: asked, reply }).await?.map_err(refusal)?;
        let mut those = files.videos.iter().filter(|one| one.replaced_by.is_none());
        let Some((path, print)) = those.find_map(|one| shown(&one.written)) else { return Ok(Poster::Nothing) };
        if has(&print.blake3) {
            return Ok(Poster::Known(print.blake3));
        }
        let (file, posters) = (files.root.join(path), self.posters.clone());
        let made = self.showing.at(&files.root, move |_| posters.of(&file, &print)).await?;
        Ok(made.map_or(Poster::Lost, |jpeg| Poster::Jpeg(print.blake3, jpeg)))
    }
}
