//! Step caches: which work of a denoising step may be replaced by what an earlier step computed. At most one at a time.
//!
//! Not here: the rules by which steps are skipped (`wanfarm_sampling::cache`).

use serde::{Deserialize, Serialize};

/// The step cache of a video, with its settings.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum CacheSettings {
    /// Every step computes everything.
    #[default]
    None,
    /// MagCache: the blocks are skipped where a published curve says that their effect hardly changes.
    Magcache(MagCache),
    /// TeaCache: the blocks are skipped while the timestep's embedding hardly changes.
    Teacache(TeaCache),
    /// CFG cache: the pass without the prompt is skipped, and its difference to the other kept.
    CfgCache(CfgCache),
    /// SenCache: the velocity is kept while latents and time hardly change.
    Sencache(SenCache),
}

impl CacheSettings {
    /// Its name in manifests.
    pub const fn name(&self) -> &'static str {
        match self {
            CacheSettings::None => "none",
            CacheSettings::Magcache(_) => "magcache",
            CacheSettings::Teacache(_) => "teacache",
            CacheSettings::CfgCache(_) => "cfg-cache",
            CacheSettings::Sencache(_) => "sencache",
        }
    }

    /// Whether there is none.
    pub fn is_none(&self) -> bool {
        *self == CacheSettings::None
    }

    /// Whether the settings are some that a render can follow.
    ///
    /// # Errors
    /// The first that is not.
    pub fn check(&self) -> Result<(), BadCache> {
        let within = |setting: &'static str, value: f64, most: f64| {
            // NaN is within nothing.
            if (0.0..=most).contains(&value) {
                Ok(())
            } else {
                Err(BadCache { cache: self.name(), setting, value, most })
            }
        };
        match self {
            CacheSettings::None => Ok(()),
            CacheSettings::Magcache(MagCache { threshold, retention, curve, .. }) => {
                within("threshold", *threshold, MAX_SUM)?;
                within("retention", *retention, 1.0)?;
                let own = if let MagCurve::Own(ratios) = curve { ratios.as_slice() } else { &[] };
                within("number of ratios", own.len() as f64, MAX_RATIOS)?;
                own.iter().flatten().try_for_each(|ratio| within("ratio", *ratio, MAX_SUM))
            }
            CacheSettings::Teacache(TeaCache { threshold, .. }) => within("threshold", *threshold, MAX_SUM),
            CacheSettings::CfgCache(CfgCache { start, end, alpha, .. }) => {
                within("start", *start, 1.0)?;
                within("end", *end, 1.0)?;
                within("alpha", *alpha, MAX_SUM)
            }
            CacheSettings::Sencache(SenCache { tolerance, start, end, .. }) => {
                within("tolerance", *tolerance, MAX_SUM)?;
                within("start", *start, 1.0)?;
                within("end", *end, 1.0)
            }
        }
    }
}

/// Beyond this, thresholds and ratios mean nothing.
const MAX_SUM: f64 = 1000.0;
/// As many as a schedule may have steps.
const MAX_RATIOS: f64 = 1000.0;

/// A setting that no render can follow.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{setting} = {value} of the step cache {cache} is not between 0 and {most}")]
pub struct BadCache {
    cache: &'static str,
    setting: &'static str,
    value: f64,
    most: f64,
}

/// How the magnitude of the blocks' effect changes from step to step: by model, as published, or a user's own.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
pub enum MagCurve {
    /// T2V-A14B: 40 steps over both experts.
    #[serde(rename = "t2v-a14b")]
    T2vA14b,
    /// I2V-A14B: 40 steps over both experts.
    #[serde(rename = "i2v-a14b")]
    I2vA14b,
    /// TI2V-5B without a first frame: 50 steps.
    #[serde(rename = "ti2v-5b-t2v")]
    Ti2v5bText,
    /// TI2V-5B with a first frame: 50 steps.
    #[serde(rename = "ti2v-5b-i2v")]
    Ti2v5bImage,
    /// Calibrated: for each step but the first, the ratio with the prompt and that without.
    Own(Vec<[f64; 2]>),
}

impl MagCurve {
    /// The published ones, with their names in manifests.
    pub const PUBLISHED: [(&'static str, MagCurve); 4] = [
        ("t2v-a14b", MagCurve::T2vA14b),
        ("i2v-a14b", MagCurve::I2vA14b),
        ("ti2v-5b-t2v", MagCurve::Ti2v5bText),
        ("ti2v-5b-i2v", MagCurve::Ti2v5bImage),
    ];

    /// Its name in manifests; a user's own has none there.
    pub fn name(&self) -> &'static str {
        Self::PUBLISHED.iter().find(|(_, curve)| curve == self).map_or("calibrated", |(name, _)| name)
    }
}

/// Which steps MagCache always computes, counted over the whole schedule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Retention {
    /// The first part of each expert's steps.
    EachPhase,
    /// All steps of the high-noise expert, and the first part of the low-noise one's.
    FirstPhase,
}

/// Settings of MagCache.
///
/// Source: Zehong-Ma/MagCache `MagCache4Wan2.2/magcache_generate.py`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct MagCache {
    /// The curve to follow.
    pub curve: MagCurve,
    /// Errors may add up to less than this.
    pub threshold: f64,
    /// Most steps skipped one after the other.
    pub max_skip: u32,
    /// Which part of the steps is always computed, 0 to 1.
    pub retention: f64,
    /// Of which steps that is a part.
    pub zones: Retention,
    /// Whether both passes of a step are skipped together or each by its own curve.
    pub joint: bool,
}

/// Published polynomials that turn a change of the timestep's embedding into one of the blocks' effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
pub enum TeaModel {
    /// Wan2.1 T2V 1.3B.
    #[serde(rename = "t2v-1.3b")]
    T2v1_3b,
    /// Wan2.1 T2V 14B.
    #[serde(rename = "t2v-14b")]
    T2v14b,
    /// Wan2.1 I2V at 480p.
    #[serde(rename = "i2v-480p")]
    I2v480p,
    /// Wan2.1 I2V at 720p.
    #[serde(rename = "i2v-720p")]
    I2v720p,
    /// The change itself.
    Linear,
}

/// Settings of TeaCache.
///
/// Source: ali-vilab/TeaCache `TeaCache4Wan2.1/teacache_generate.py`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct TeaCache {
    /// The model the polynomial was fitted to.
    pub model: TeaModel,
    /// Changes may add up to less than this.
    pub threshold: f64,
    /// Look at the projected embedding and compute the first five steps, instead of the embedding and the first and
    /// last step (`use_ret_steps`).
    pub projected: bool,
}

/// Settings of the CFG cache.
///
/// Source: FasterCache (Lv et al., ICLR 2025); AI-Hypercomputer/maxdiffusion@7cfb880
/// `pipelines/wan/wan_pipeline_2_2.py`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CfgCache {
    /// Every so many steps both passes are computed.
    pub interval: u32,
    /// From this part of the schedule on passes are skipped, 0 to 1.
    pub start: f64,
    /// Up to this part of the schedule, 0 to 1.
    pub end: f64,
    /// How much of the difference's high frequencies is added to it.
    pub alpha: f64,
}

/// Settings of SenCache.
///
/// Source: Haghighi & Alahi, arXiv:2602.24208; AI-Hypercomputer/maxdiffusion@7cfb880
/// `pipelines/wan/wan_pipeline_2_2.py`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SenCache {
    /// Changes of latents and time may add up to this.
    pub tolerance: f64,
    /// Most steps skipped one after the other.
    pub max_skip: u32,
    /// The first part of the schedule, always computed, 0 to 1.
    pub start: f64,
    /// From this part of the schedule on everything is computed, 0 to 1.
    pub end: f64,
}

impl MagCache {
    /// The published settings for a curve.
    pub fn published(curve: MagCurve) -> Self {
        let (threshold, zones) = match curve {
            MagCurve::I2vA14b => (0.06, Retention::FirstPhase),
            _ => (0.04, Retention::EachPhase),
        };
        Self { curve, threshold, max_skip: 2, retention: 0.2, zones, joint: false }
    }
}

impl Default for CfgCache {
    fn default() -> Self {
        Self { interval: 5, start: 1.0 / 3.0, end: 0.9, alpha: 0.2 }
    }
}

impl Default for SenCache {
    fn default() -> Self {
        Self { tolerance: 0.1, max_skip: 3, start: 0.3, end: 0.9 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn impossible_settings_are_named() {
        for curve in [MagCurve::T2vA14b, MagCurve::Own(vec![[0.9, 0.9]; 3])] {
            assert_eq!(CacheSettings::Magcache(MagCache::published(curve)).check(), Ok(()));
        }
        let retention = MagCache { retention: 1.5, ..MagCache::published(MagCurve::T2vA14b) };
        let message = CacheSettings::Magcache(retention).check().unwrap_err().to_string();
        assert_eq!(message, "retention = 1.5 of the step cache magcache is not between 0 and 1");
        let tolerance = SenCache { tolerance: f64::NAN, ..SenCache::default() };
        assert!(CacheSettings::Sencache(tolerance).check().is_err());
        let ratios = MagCache::published(MagCurve::Own(vec![[f64::INFINITY; 2]]));
        assert!(CacheSettings::Magcache(ratios).check().unwrap_err().to_string().contains("ratio = inf"));
    }
}
