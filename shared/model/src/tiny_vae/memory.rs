//! What a tiny decoder takes of memory: its weights, and for a video one past frame of each block and what is alive while a
//! frame goes through the layers.

use wanfarm_types::Footprint;
use wanfarm_weights::kernels::PATCH;

use super::config::{BLOCKS, LEVELS, TinyConfig};

/// Bytes of an f32.
const F32: usize = 4;
/// Frames of its size that a block has alive: what it was given, a result, and that without what is below zero, twice.
const OF_A_BLOCK: usize = 4;

impl TinyConfig {
    /// What it takes.
    ///
    /// # Units
    /// Bytes.
    pub fn footprint(&self) -> Footprint {
        let [_, p, q] = PATCH;
        let (mut kept, mut waiting, mut peak) = (0, 0, 0);
        let mut area = 1;
        for (width, growth) in self.widths.iter().zip(self.growth) {
            let frame = width * area;
            kept += BLOCKS * frame;
            peak = peak.max(waiting + OF_A_BLOCK * frame);
            // The frames that one becomes, all of them at once.
            waiting += growth * frame;
            area *= 4;
        }
        // The full size, that without what is below zero, twice, and the pixels, twice.
        peak = peak.max(waiting + area * (3 * self.widths[LEVELS] + 2 * 3 * self.patch * self.patch));
        let numbers: usize = self.parameters().iter().map(|param| param.shape.iter().product::<usize>()).sum();
        // Frames that are done are held as bytes until all are.
        let frames = 3 * self.stride_t() * self.stride_hw() * self.stride_hw();
        Footprint {
            weights: (F32 * numbers) as u64,
            per_token: (p * q * frames) as u64,
            per_frame_token: (p * q * F32 * (kept + peak)) as u64,
            ..Footprint::default()
        }
    }
}
