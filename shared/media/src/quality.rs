//! The quality gate: does a rendered clip look like a picture at all? It catches what broken weights, swapped experts
//! or a schedule cut short produce; it does not judge beauty or adherence to the prompt.
//!
//! The limits lie between renders of a small trained model and the same model broken on purpose (pure noise through
//! the VAE, experts exchanged, latents left at three quarters of their noise). Of twenty photographs and textures,
//! still, panned over and scaled, none is called bad.

use serde::{Deserialize, Serialize};

use crate::Frames;
use crate::grid;
use crate::statistics::Statistics;

/// How much trust a clip deserves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Nothing stands out.
    Ok,
    /// Unusual, but some prompts ask for it. Look at it.
    Suspect,
    /// Not a picture anyone asked for.
    Bad,
}

impl std::fmt::Display for Verdict {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Verdict::Ok => "ok",
            Verdict::Suspect => "suspect",
            Verdict::Bad => "bad",
        })
    }
}

/// A clip's verdict and the figures behind it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Quality {
    /// The worst of all checks.
    pub verdict: Verdict,
    /// One sentence for each check that is not ok.
    pub reasons: Vec<String>,
    /// Is there anything in the frames?
    pub flat: Flat,
    /// Is it noise?
    pub noise: Noise,
    /// Does the pixel or the latent grid show through?
    pub checkerboard: Checkerboard,
    /// Does anything move?
    pub frozen: Frozen,
    /// Is it all black or white?
    pub exposure: Exposure,
}

/// Contrast within frames.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Flat {
    /// Verdict of this check.
    pub verdict: Verdict,
    /// Standard deviation within frames, in levels of 255, of the channel where it is largest.
    pub contrast: f64,
}

/// Traces of undenoised latents.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Noise {
    /// Verdict of this check.
    pub verdict: Verdict,
    /// Squared difference of neighbouring pixels over twice the variance: 1 for white noise, below 0.3 for pictures.
    pub roughness: f64,
    /// Correlation of neighbouring 16-pixel blocks: near 0 for noise of any VAE; absent below 32 pixels a side.
    pub block_correlation: Option<f64>,
    /// How evenly structure covers the frame, from 0 to 1.
    pub coverage: f64,
    /// Correlation of frames one latent frame apart; absent for a single frame.
    pub persistence: Option<f64>,
    /// Share of the variance that is grey: 1/3 for independent channels, 1 without colour.
    pub greyness: f64,
}

/// Waves locked to the pixel grid.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Checkerboard {
    /// Verdict of this check.
    pub verdict: Verdict,
    /// Amplitude of the strongest pattern of 2 pixels, in levels; absent where the frame is too small.
    pub amplitude_2px: Option<f64>,
    /// How far it stands out of the frequencies around it.
    pub prominence_2px: Option<f64>,
    /// Amplitude of the strongest pattern of 8 pixels, in levels; absent where the frame is too small.
    pub amplitude_8px: Option<f64>,
    /// How far it stands out of the frequencies around it.
    pub prominence_8px: Option<f64>,
}

/// Change from frame to frame.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Frozen {
    /// Of this check; never worse than suspect, for some prompts ask for stillness.
    pub verdict: Verdict,
    /// Mean absolute difference of consecutive frames, in levels; absent for a single frame.
    pub motion: Option<f64>,
}

/// Pixels at the ends of the scale.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Exposure {
    /// Verdict of this check.
    pub verdict: Verdict,
    /// Share of pixels with all channels at most 4.
    pub black: f64,
    /// Share of pixels with all channels at least 251.
    pub white: f64,
}

/// Measures and judges a clip.
pub fn assess(frames: &Frames<'_>) -> Quality {
    let statistics = Statistics::of(frames);
    let mut reasons = Vec::new();
    let mut judge = |verdict: Verdict, reason: String| {
        if verdict > Verdict::Ok {
            reasons.push(reason);
        }
        verdict
    };

    let contrast = statistics.contrast;
    let flat = Flat {
        verdict: judge(
            worst(contrast < 1.5, contrast < 3.0),
            format!("flat: the frames are nearly one colour (contrast {contrast:.2} levels)"),
        ),
        contrast,
    };
    let noise = judge_noise(&statistics, &mut judge);
    let checkerboard = judge_checkerboard(&statistics, frames, &mut judge);
    let frozen = Frozen {
        verdict: judge(
            worst(false, statistics.motion.is_some_and(|motion| motion < 0.02)),
            "frozen: no frame differs from the one before".into(),
        ),
        motion: statistics.motion,
    };
    let Statistics { black, white, .. } = statistics;
    let exposure = Exposure {
        verdict: judge(
            worst(false, black.max(white) > 0.98),
            format!("exposure: {:.1} % of all pixels are black, {:.1} % white", black * 100.0, white * 100.0),
        ),
        black,
        white,
    };
    let verdict = [flat.verdict, noise.verdict, checkerboard.verdict, frozen.verdict, exposure.verdict]
        .into_iter()
        .fold(Verdict::Ok, Verdict::max);
    Quality { verdict, reasons, flat, noise, checkerboard, frozen, exposure }
}

fn worst(bad: bool, suspect: bool) -> Verdict {
    match (bad, suspect) {
        (true, _) => Verdict::Bad,
        (false, true) => Verdict::Suspect,
        (false, false) => Verdict::Ok,
    }
}

fn judge_noise(statistics: &Statistics, judge: &mut impl FnMut(Verdict, String) -> Verdict) -> Noise {
    let &Statistics { roughness, block_correlation, coverage, persistence, greyness, .. } = statistics;
    // Structure everywhere, unrelated to the blocks beside it and to itself a latent frame later. A pan over gravel
    // is all of that too, but grey; noise latents decode to patches of every colour.
    let shapeless = block_correlation.is_some_and(|correlation| correlation < 0.45)
        && coverage > 0.35
        && persistence.is_none_or(|correlation| correlation < 0.3);
    let visible = statistics.contrast >= 3.0;
    let verdict = worst(visible && (roughness > 0.5 || shapeless && greyness < 0.9), visible && shapeless);
    let reason = format!(
        "noise: neighbouring blocks and later frames have little in common (roughness {roughness:.2}, blocks {:.2}, \
         coverage {coverage:.2}, persistence {:.2})",
        block_correlation.unwrap_or(0.0),
        persistence.unwrap_or(0.0),
    );
    Noise { verdict: judge(verdict, reason), roughness, block_correlation, coverage, persistence, greyness }
}

fn judge_checkerboard(
    statistics: &Statistics,
    frames: &Frames<'_>,
    judge: &mut impl FnMut(Verdict, String) -> Verdict,
) -> Checkerboard {
    let [two, eight] =
        [2, 8].map(|period| grid::pattern(&statistics.mean_picture, frames.width(), frames.height(), period));
    let mut verdict = Verdict::Ok;
    for (period, pattern) in [(2, two), (8, eight)] {
        let Some(grid::Pattern { amplitude, prominence }) = pattern else { continue };
        let own = worst(amplitude > 1.5 && prominence > 8.0, amplitude > 0.75 && prominence > 3.0);
        let reason = format!(
            "checkerboard: a pattern of {period} pixels, {amplitude:.1} levels strong and {prominence:.0} times its surroundings"
        );
        verdict = verdict.max(judge(own, reason));
    }
    Checkerboard {
        verdict,
        amplitude_2px: two.map(|pattern| pattern.amplitude),
        prominence_2px: two.map(|pattern| pattern.prominence),
        amplitude_8px: eight.map(|pattern| pattern.amplitude),
        prominence_8px: eight.map(|pattern| pattern.prominence),
    }
}
