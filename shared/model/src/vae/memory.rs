//! What a video takes of memory on its way through an autoencoder, beside the weights: the past frames that convolutions
//! keep, and what is alive while a frame goes through the layers. It walks the blueprint as `network` does.

use wanfarm_types::Footprint;
use wanfarm_weights::kernels::PATCH;

use super::blueprint::{Mode, Named, Spec, decoder, encoder};
use super::config::VaeConfig;
use crate::ops::attention::QUERIES;
use crate::ops::bands::tile_elements;
use crate::ops::device::DeviceKind;

/// Bytes of an f32.
const F32: usize = 4;
/// Past frames that a convolution keeps.
const PAST: usize = 2;
/// Tensors of a tile's size while one is computed.
const OF_A_TILE: usize = 6;

/// An item's part of the footprint: that of decoding or of encoding, whichever is larger.
pub(crate) fn item(config: &VaeConfig, device: DeviceKind) -> Footprint {
    let [_, p, q] = PATCH;
    let side = config.stride_hw() / config.patch();
    let work = Walk::through(&decoder(config), 1).max(Walk::through(&encoder(config), side * side));
    // Frames that are done are held as bytes until all are.
    let frames = 3 * config.stride_t() * config.stride_hw() * config.stride_hw();
    let tile = if device == DeviceKind::Cuda { F32 * OF_A_TILE * tile_elements(false) } else { 0 };
    Footprint {
        item: tile as u64,
        per_token: (p * q * frames) as u64,
        per_frame_token: (p * q * F32 * work) as u64,
        ..Footprint::default()
    }
}

/// Numbers in memory, per latent pixel.
struct Walk {
    /// Pixels of the frame at hand, per latent pixel.
    area: usize,
    /// Kept from frame to frame.
    kept: usize,
    /// Of frames that wait for the one at hand.
    waiting: usize,
    /// The most that was alive beside what is kept.
    peak: usize,
}

impl Walk {
    /// All that these layers need of frames with so many pixels per latent pixel.
    fn through(layers: &[Named], area: usize) -> usize {
        let mut walk = Self { area, kept: 0, waiting: 0, peak: 0 };
        walk.run(layers);
        walk.kept + walk.peak
    }

    fn alive(&mut self, numbers: usize) {
        self.peak = self.peak.max(self.waiting + numbers);
    }

    /// Returns how many frames one becomes, and the numbers of each.
    fn run(&mut self, layers: &[Named]) -> (usize, usize) {
        let (mut count, mut size) = (1, 0);
        for layer in layers {
            let (frames, output) = self.push(&layer.spec);
            (count, size) = (count * frames, output);
            self.waiting += (frames - 1) * output;
        }
        (count, size)
    }

    fn push(&mut self, spec: &Spec) -> (usize, usize) {
        let area = self.area;
        match *spec {
            Spec::Linear { input, output } => {
                self.alive(area * (input + 2 * output));
                (1, area * output)
            }
            Spec::Conv { input, output } => {
                self.kept += PAST * area * input;
                self.alive(area * (input + output));
                (1, area * output)
            }
            // The frame, the first convolution's result, what the second reads of it, and its result.
            Spec::Residual { input, output } => {
                self.kept += PAST * area * (input + output);
                self.alive(area * (input + 2 * output + input.max(output)));
                (1, area * output)
            }
            Spec::Head { input, output } => {
                self.kept += PAST * area * input;
                self.alive(area * (2 * input + output));
                (1, area * output)
            }
            // The frame, queries, keys and values twice, and the result; then two of scores.
            Spec::Attention { dim } => {
                self.alive(area * (8 * dim + 2 * QUERIES));
                (1, area * dim)
            }
            Spec::Resample { input, output, mode } => self.resample(input, output, mode),
            Spec::Group { ref layers, shortcut } => {
                let before = self.waiting;
                if let Some(shortcut) = shortcut {
                    let scale = shortcut.factor_s * shortcut.factor_s;
                    let (result, count) = if shortcut.up {
                        (area * scale * shortcut.output, shortcut.factor_t)
                    } else {
                        (area / scale * shortcut.output, 1)
                    };
                    // Every duplicate at once, one of them cut out and turned round.
                    let frame = area * shortcut.input;
                    let made = if shortcut.up { (2 * count + 1) * result } else { 3 * shortcut.factor_t * frame };
                    self.alive(frame + made);
                    self.waiting += count * result;
                }
                let (count, size) = self.run(layers);
                self.alive(count * size + if shortcut.is_some() { size } else { 0 });
                self.waiting = before;
                (count, size)
            }
        }
    }

    fn resample(&mut self, input: usize, output: usize, mode: Mode) -> (usize, usize) {
        let area = self.area;
        let frames = if mode == Mode::Upsample3d { 2 } else { 1 };
        self.area = match mode {
            Mode::Upsample2d | Mode::Upsample3d => 4 * area,
            Mode::Downsample2d | Mode::Downsample3d => area / 4,
        };
        let (before, after) = (area * input, self.area * output);
        match mode {
            // The doubled frame, and its halves.
            Mode::Upsample3d => {
                self.kept += PAST * before;
                self.alive(5 * before);
            }
            Mode::Downsample3d => self.kept += PAST * after,
            Mode::Upsample2d | Mode::Downsample2d => {}
        }
        self.alive(frames * (before + after));
        (frames, after)
    }
}
