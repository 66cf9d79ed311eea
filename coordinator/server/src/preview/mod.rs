//! What videos look like while they are rendered: their latents, as far as they have come, through a linear map to colours.
//!
//! Nothing of it costs a worker anything: states are copied here after each step anyway, and the map of a model is fitted here
//! to the videos that were decoded, so that it suits any autoencoder. Until the first video of a model is done there is none.
//! Nothing is kept but the sums of the fits.

mod clip;
mod fit;
mod show;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use wanfarm_media::Frames;

pub use show::Preview;
pub(crate) use show::Shown;
pub(crate) use show::Shows;

use fit::{ColourMap, Fit, Latents};

/// Videos that a fit takes in: then it knows what there is to know.
const ENOUGH: u32 = 16;
/// Models that are known at a time.
const MODELS: usize = 64;

/// The fits of all models.
#[derive(Debug, Clone, Default)]
pub(crate) struct Fits(Arc<Mutex<BTreeMap<String, Fit>>>);

impl Fits {
    /// Whether videos of this model still teach something.
    pub(crate) fn wants(&self, model: &str) -> bool {
        let fits = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        fits.get(model).map_or(fits.len() < MODELS, |fit| fit.videos < ENOUGH)
    }

    /// Takes in a video whose latents, `[channels, frames, height, width]` in f32, were decoded to these frames.
    pub(crate) fn learn(&self, model: &str, latents: &Bytes, shape: [usize; 4], frames: &Frames<'_>) {
        let values = floats(latents);
        let Some(latents) = Latents::new(&values, shape) else { return };
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner).get(model).cloned();
        let mut fit = known.unwrap_or_else(|| Fit::new(shape[0]));
        fit.learn(latents, frames);
        if let Some(map) = fit.map() {
            tracing::debug!(model, videos = fit.videos, off = map.off, "previews fitted, off by so many levels of 255");
        }
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(model.to_owned(), fit);
    }

    fn map(&self, model: &str) -> Option<ColourMap> {
        let fit = self.0.lock().unwrap_or_else(PoisonError::into_inner).get(model)?.clone();
        fit.map()
    }
}

/// Tensors are stored as little-endian f32.
fn floats(bytes: &Bytes) -> Vec<f32> {
    bytes.chunks_exact(4).map(|four| f32::from_le_bytes([four[0], four[1], four[2], four[3]])).collect()
}
