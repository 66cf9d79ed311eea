//! Previews for those who ask: of each video at most one in a while, few at a time, from the newest state that is here.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::Semaphore;
use tokio::time::Instant;
use wanfarm_sampling::estimate_at;
use wanfarm_types::{Digest, FrameRate, JobId, SolverKind};

use super::clip::clip;
use super::fit::Latents;
use super::{Fits, floats};
use crate::artifacts::Artifacts;

/// How long a preview stands for its video, however far that comes.
const AT_MOST_EVERY: Duration = Duration::from_secs(2);
/// How long one is remembered that nobody asks for any more.
const REMEMBERED: Duration = Duration::from_secs(60);
/// Previews made at a time.
const AT_ONCE: usize = 2;
/// Previews remembered.
const MOST: usize = 512;

/// A video as it looks by now.
#[derive(Debug, Clone)]
pub struct Preview {
    /// A small GIF.
    pub gif: Bytes,
    /// Of what it was made.
    pub digest: Digest,
}

/// The newest state of a video that is here.
#[derive(Debug)]
pub struct Shown {
    pub(crate) model: String,
    pub(crate) solver: SolverKind,
    /// Of its latents: channels, frames, height, width.
    pub(crate) shape: [usize; 4],
    pub(crate) frames: u32,
    pub(crate) fps: FrameRate,
    /// The sample, then what the solver remembers.
    pub(crate) tensors: Vec<Digest>,
}

impl Shown {
    /// The latents that show most: what the solver expects of the last step, where it remembers that, else the sample.
    fn latents(&self) -> Option<Digest> {
        let history = self.tensors.len().saturating_sub(1);
        let place = estimate_at(self.solver, history).map_or(0, |place| place + 1);
        self.tensors.get(place).copied()
    }
}

/// When the newest preview of each video was made.
type Made = BTreeMap<(JobId, u32), (Instant, Preview)>;

/// Makes previews.
#[derive(Debug, Clone)]
pub(crate) struct Shows {
    fits: Fits,
    artifacts: Artifacts,
    turns: Arc<Semaphore>,
    made: Arc<Mutex<Made>>,
}

impl Shows {
    pub(crate) fn new(fits: Fits, artifacts: Artifacts) -> Self {
        Self { fits, artifacts, turns: Arc::new(Semaphore::new(AT_ONCE)), made: Arc::default() }
    }

    /// Where the states of videos are.
    pub(crate) fn artifacts(&self) -> &Artifacts {
        &self.artifacts
    }

    /// The preview made of a video a moment ago.
    pub(crate) fn recent(&self, video: (JobId, u32)) -> Option<Preview> {
        let made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        made.get(&video).filter(|(at, _)| at.elapsed() < AT_MOST_EVERY).map(|(_, preview)| preview.clone())
    }

    /// The preview of a video in this state; `None` where nothing is known of its model yet, or the state is gone already.
    pub(crate) async fn make(&self, video: (JobId, u32), shown: Shown) -> Option<Preview> {
        let digest = shown.latents()?;
        let _turn = self.turns.acquire().await.ok()?;
        // Somebody else may have asked for the same.
        if let Some(preview) = self.recent(video) {
            return Some(preview);
        }
        let map = self.fits.map(&shown.model).filter(|map| map.channels() == shown.shape[0])?;
        let bytes = shown.shape.iter().try_fold(4u64, |product, &side| product.checked_mul(side as u64))?;
        let latents = self.artifacts.whole(&digest, bytes).await?;
        let seconds = f64::from(shown.frames) / shown.fps.per_second();
        let gif = tokio::task::spawn_blocking(move || {
            let values = floats(&latents);
            clip(Latents::new(&values, shown.shape)?, &map, seconds).ok()
        });
        let preview = Preview { gif: gif.await.ok()??.into(), digest };
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        made.retain(|_, (at, _)| at.elapsed() < REMEMBERED);
        if made.len() < MOST {
            made.insert(video, (Instant::now(), preview.clone()));
        }
        Some(preview)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_solver_expects_shows_more_than_the_noisy_sample() {
        let tensors: Vec<Digest> = (0..4).map(|n| Digest([n; 32])).collect();
        for (solver, length, newest) in [
            (SolverKind::UniPc, 4, 2),
            (SolverKind::UniPc, 3, 2),
            (SolverKind::UniPc, 1, 0),
            (SolverKind::DpmPlusPlus, 2, 1),
            (SolverKind::Euler, 1, 0),
            (SolverKind::Lightning, 1, 0),
        ] {
            let (shape, fps) = ([1; 4], FrameRate::whole(8));
            let shown =
                Shown { model: String::new(), solver, shape, frames: 1, fps, tensors: tensors[..length].to_vec() };
            assert_eq!(shown.latents(), Some(Digest([newest; 32])), "{solver:?} with {length} tensors");
        }
    }
}
