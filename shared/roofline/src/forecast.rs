//! How long a chip should take: for each dispatch the longer of arithmetic and memory, and its launch.

use wanfarm_types::{Expert, ModelInfo, Stage, VaeKind};

use crate::chip::Chip;
use crate::dit::Pass;
use crate::ledger::{Dispatch, Elements, Kernels, Kind, Ledger};
use crate::vae::Way;
use crate::{umt5, vae};

/// Share of the products' rate that fused attention reaches: 88 to 97 % at 4,096 keys and more
/// (raullenchai/Rapid-MLX#258).
const ATTENTION: f64 = 0.92;
/// The same with neural accelerators. Assumed.
const ACCELERATED_ATTENTION: f64 = 0.75;
/// Seconds that a dispatch takes beside its work. Assumed.
const LAUNCH: f64 = 10e-6;
/// Seconds to wait for an idle GPU. Assumed; Apple's tuning hints say up to 2.5 ms.
const WAIT: f64 = 300e-6;
/// 10⁹ bytes a second that one thread of the processor converts or copies. Assumed.
const HOST_GB_S: f64 = 10.;
/// Tokens of a prompt: about a hundred words.
pub const PROMPT: u64 = 128;

/// What multiplies matrices.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Units {
    /// Simdgroup kernels, on the ALUs of every generation.
    Simdgroup,
    /// The neural accelerators, where the chip has them.
    Accelerators,
}

/// What to expect of a chip.
#[derive(Debug, Clone, Copy)]
pub struct Forecast {
    /// The chip.
    pub chip: Chip,
    /// What multiplies on it.
    pub units: Units,
    /// Whose dispatches it runs.
    pub kernels: Kernels,
}

impl Forecast {
    /// Of this program as it is.
    pub fn of(chip: Chip) -> Self {
        Self { chip, units: Units::Simdgroup, kernels: Kernels::Current }
    }

    /// 10¹² operations a second of products.
    fn tflops(&self, elements: Elements) -> f64 {
        let accelerated = self.chip.accelerated_tflops.filter(|_| self.is_accelerated(elements));
        accelerated.unwrap_or(self.chip.product_tflops)
    }

    /// The accelerators multiply halves; f32 would lose digits there.
    fn is_accelerated(&self, elements: Elements) -> bool {
        let wanted = self.units == Units::Accelerators && elements == Elements::Bf16;
        wanted && self.chip.accelerated_tflops.is_some()
    }

    /// Seconds for dispatches of one kind.
    fn dispatch(&self, dispatch: &Dispatch) -> f64 {
        let count = dispatch.count as f64;
        let memory = dispatch.bytes() / (self.chip.reached_gb_s() * 1e9);
        let at = |tflops: f64| (dispatch.flops / (tflops * 1e12)).max(memory) + count * LAUNCH;
        match dispatch.kind {
            Kind::Product(elements) => at(self.tflops(elements)),
            Kind::Attention(elements) => {
                let share = if self.is_accelerated(elements) { ACCELERATED_ATTENTION } else { ATTENTION };
                at(self.tflops(elements) * share)
            }
            Kind::Pass => memory + count * LAUNCH,
            Kind::Host => dispatch.bytes() / (HOST_GB_S * 1e9),
            Kind::Wait => count * WAIT,
        }
    }

    /// Seconds for all of a ledger, one dispatch after the other.
    pub fn seconds(&self, ledger: &Ledger) -> f64 {
        ledger.0.iter().map(|dispatch| self.dispatch(dispatch)).sum()
    }

    /// Seconds of one forward pass.
    pub fn forward(&self, pass: &Pass<'_>) -> f64 {
        self.seconds(&pass.forward(self.kernels))
    }

    /// Seconds of a video through the autoencoder of a model; latents by frames, height and width.
    pub fn autoencoder(&self, kind: VaeKind, way: Way, latents: [u64; 3]) -> f64 {
        self.seconds(&vae::video(kind, way, latents, self.kernels))
    }

    /// Seconds of a prompt of [`PROMPT`] tokens through the text encoder.
    pub fn text(&self) -> f64 {
        self.seconds(&umt5::encode(PROMPT, self.kernels))
    }

    /// Seconds of a step, or of an item of a stage without steps, with the model's own guidance; `tokens` as the
    /// transformer counts them, which texts have none of.
    pub fn unit(&self, info: &ModelInfo, stage: Stage, tokens: u64) -> f64 {
        let step = |expert| {
            let transformer = &info.transformer;
            let text = transformer.text_len as u64;
            let pass = Pass { transformer, tokens, text, elements: Elements::Bf16 };
            f64::from(info.defaults.guidance.passes(expert)) * self.forward(&pass)
        };
        match stage {
            Stage::EncodeText => self.text(),
            // All that a first frame of Wan2.2 stands for is itself; in Wan2.1 grey frames follow it.
            Stage::EncodeImage if info.vae == VaeKind::Wan22 => {
                self.latent_frames(info, Way::Encode, tokens).min(self.latent_frame(info, Way::Encode, true))
            }
            Stage::EncodeImage => self.latent_frames(info, Way::Encode, tokens),
            Stage::Decode => self.latent_frames(info, Way::Decode, tokens),
            Stage::DenoiseHigh => step(Expert::High),
            Stage::DenoiseLow => step(Expert::Low),
            Stage::Denoise => step(Expert::Single),
        }
    }

    /// Seconds for all latent frames of so many tokens, as if each had others before it.
    fn latent_frames(&self, info: &ModelInfo, way: Way, tokens: u64) -> f64 {
        let [height, width] = latent_size(info);
        let pixels = tokens as f64 * f64::from(info.geometry.patch * info.geometry.patch);
        pixels / (height * width) as f64 * self.latent_frame(info, way, false)
    }

    /// Seconds for one latent frame of the size that the model renders by default.
    fn latent_frame(&self, info: &ModelInfo, way: Way, is_first: bool) -> f64 {
        self.seconds(&vae::latent_frame(info.vae, way, latent_size(info), is_first, self.kernels))
    }
}

/// Height and width of the model's latents by default.
fn latent_size(info: &ModelInfo) -> [u64; 2] {
    let stride = info.geometry.stride_hw.max(1);
    [info.defaults.height, info.defaults.width].map(|side| u64::from(side / stride).max(1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use wanfarm_types::fixtures::info;
    use wanfarm_types::{Experts, Guidance};

    use wanfarm_types::Transformer;

    fn chip(name: &str) -> Chip {
        *Chip::named(name).unwrap()
    }

    #[test]
    fn a_step_is_as_many_passes_as_its_guidance_needs() {
        let forecast = Forecast::of(chip("Apple M3 Ultra"));
        let info = ModelInfo { transformer: Transformer::T2V_A14B, ..info(Experts::Dual { boundary: 0.875 }) };
        let pass = Pass { transformer: &Transformer::T2V_A14B, tokens: 32_760, text: 512, elements: Elements::Bf16 };
        let forward = forecast.forward(&pass);
        assert_eq!(forecast.unit(&info, Stage::DenoiseHigh, 32_760), 2. * forward);
        // 1.68 PFLOP at 17.4 TFLOP/s are 96 s, and attention is a little slower than products.
        assert!((100. ..112.).contains(&forward), "{forward}");
        let mut alone = info;
        alone.defaults.guidance = Guidance { high: 1., low: 3. };
        assert_eq!(forecast.unit(&alone, Stage::DenoiseHigh, 32_760), forward);
    }

    #[test]
    fn an_item_of_the_autoencoder_is_all_its_frames() {
        let forecast = Forecast::of(chip("Apple M2 Max"));
        let info = info(Experts::Dual { boundary: 0.875 });
        let unit = forecast.unit(&info, Stage::Decode, 75_600);
        let whole = forecast.autoencoder(VaeKind::Wan21, Way::Decode, [21, 90, 160]);
        assert!((unit / whole - 1.).abs() < 0.05 && unit > whole, "{unit} for {whole}");
    }

    #[test]
    fn kernels_and_accelerators_make_it_faster() {
        let pass = Pass { transformer: &Transformer::T2V_A14B, tokens: 32_760, text: 512, elements: Elements::Bf16 };
        let now = Forecast::of(chip("Apple M5 Max"));
        let seconds = |forecast: Forecast| forecast.forward(&pass);
        assert!(seconds(now) < seconds(Forecast { kernels: Kernels::Primitives, ..now }));
        assert!(seconds(Forecast { kernels: Kernels::Floor, ..now }) < seconds(now));
        let accelerated = Forecast { units: Units::Accelerators, ..now };
        assert!(seconds(accelerated) < seconds(now) / 2.);
        // Nothing of the autoencoder is half precision, and older chips have none.
        assert_eq!(
            accelerated.autoencoder(VaeKind::Wan21, Way::Decode, [21, 60, 104]),
            now.autoencoder(VaeKind::Wan21, Way::Decode, [21, 60, 104])
        );
        let older = Forecast::of(chip("Apple M1 Ultra"));
        assert_eq!(seconds(Forecast { units: Units::Accelerators, ..older }), seconds(older));
    }
}
