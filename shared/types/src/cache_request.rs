//! A step cache as a manifest asks for it, and the settings that this comes to for a model.
//!
//! Not here: what the settings mean (`cache`), nor how a manifest spells them.

use serde::{Deserialize, Serialize};

use crate::{
    BadCache, CacheSettings, CfgCache, Guidance, MagCache, MagCurve, ModelInfo, Retention, SenCache, SolverKind,
    TeaCache, TeaModel,
};

/// The kind of a step cache, and whatever of its settings was said; the rest is as published for the model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum CacheRequest {
    /// None, whatever else is said elsewhere.
    None,
    /// MagCache.
    Magcache(MagCacheRequest),
    /// TeaCache.
    Teacache(TeaCacheRequest),
    /// The CFG cache.
    CfgCache(CfgCacheRequest),
    /// SenCache.
    Sencache(SenCacheRequest),
}

/// What may be said of [`MagCache`].
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct MagCacheRequest {
    /// A published curve, for a model that has none of its own.
    pub curve: Option<MagCurve>,
    /// As in [`MagCache`].
    pub threshold: Option<f64>,
    /// As in [`MagCache`].
    pub max_skip: Option<u32>,
    /// As in [`MagCache`].
    pub retention: Option<f64>,
    /// As in [`MagCache`].
    pub zones: Option<Retention>,
    /// As in [`MagCache`].
    pub joint: Option<bool>,
}

/// What may be said of [`TeaCache`].
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct TeaCacheRequest {
    /// As in [`TeaCache`].
    pub model: Option<TeaModel>,
    /// As in [`TeaCache`].
    pub threshold: Option<f64>,
    /// As in [`TeaCache`].
    pub projected: Option<bool>,
}

/// What may be said of [`CfgCache`].
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct CfgCacheRequest {
    /// As in [`CfgCache`].
    pub interval: Option<u32>,
    /// As in [`CfgCache`].
    pub start: Option<f64>,
    /// As in [`CfgCache`].
    pub end: Option<f64>,
    /// As in [`CfgCache`].
    pub alpha: Option<f64>,
}

/// What may be said of [`SenCache`].
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct SenCacheRequest {
    /// As in [`SenCache`].
    pub tolerance: Option<f64>,
    /// As in [`SenCache`].
    pub max_skip: Option<u32>,
    /// As in [`SenCache`].
    pub start: Option<f64>,
    /// As in [`SenCache`].
    pub end: Option<f64>,
}

/// What a step cache depends on besides its own settings.
#[derive(Debug, Clone, Copy)]
pub struct CacheContext<'a> {
    /// The model to be used.
    pub info: &'a ModelInfo,
    /// Whether the video starts from an image.
    pub has_image: bool,
    /// Whether the video is made from a clip, by the last steps of a schedule.
    pub has_clip: bool,
    /// Sampling method.
    pub solver: SolverKind,
    /// Guidance scales.
    pub guidance: Guidance,
}

/// A step cache that this video cannot have.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum CacheError {
    /// MagCache without a curve.
    #[error(
        "no MagCache curve of {model} ({preset}) is published, and none was calibrated; run `coordinator calibrate`, \
         name the curve of the model it was made from, or take another cache"
    )]
    NoCurve {
        /// Name of the model.
        model: String,
        /// What it was recognised as.
        preset: String,
    },
    /// TeaCache without a polynomial.
    #[error(
        "no TeaCache polynomial of {model} ({preset}) is published; name one as model, or \"linear\" and a threshold, \
         or take another cache"
    )]
    NoPolynomial {
        /// Name of the model.
        model: String,
        /// What it was recognised as.
        preset: String,
    },
    /// TeaCache by the change itself, for which no threshold is published.
    #[error("the linear TeaCache has no published threshold; name one")]
    NoThreshold,
    /// Nothing is ever skipped.
    #[error("the step cache would end before it starts: start = {start}, end = {end}")]
    Never {
        /// As a part of the schedule.
        start: f64,
        /// As a part of the schedule.
        end: f64,
    },
    /// A distilled schedule.
    #[error("the few steps of solver = \"{0}\" differ too much for a step cache; remove one of the two")]
    Distilled(&'static str),
    /// A part of a schedule.
    #[error(
        "step caches are measured on whole schedules, of which a video from a clip runs a part; remove one of the two"
    )]
    Part,
    /// The CFG cache without guidance.
    #[error(
        "cfg-cache skips the pass without the prompt, which guidance 1 does not run; raise it, or remove the cache"
    )]
    NoGuidance,
    /// A value that no render can follow.
    #[error(transparent)]
    Bad(#[from] BadCache),
}

impl CacheRequest {
    /// Its name in manifests.
    pub const fn name(&self) -> &'static str {
        match self {
            CacheRequest::None => "none",
            CacheRequest::Magcache(_) => "magcache",
            CacheRequest::Teacache(_) => "teacache",
            CacheRequest::CfgCache(_) => "cfg-cache",
            CacheRequest::Sencache(_) => "sencache",
        }
    }

    /// What speaks against it before the model is known.
    pub fn contradicts(&self, solver: Option<SolverKind>, guidance: Option<Guidance>) -> Option<CacheError> {
        match self {
            CacheRequest::None => None,
            _ if solver.is_some_and(|solver| solver.few_steps().is_some()) => {
                solver.map(|solver| CacheError::Distilled(solver.name()))
            }
            // Only the low-noise expert, or the only one, skips anything.
            CacheRequest::CfgCache(_) => guidance.filter(|g| g.low == 1.0).map(|_| CacheError::NoGuidance),
            _ => None,
        }
    }

    /// Whether what was said can be followed at all.
    ///
    /// # Errors
    /// The first setting that is out of its bounds.
    pub fn check(&self) -> Result<(), BadCache> {
        // What was not said stands at 0, which is within all bounds.
        let said = |value: Option<f64>| value.unwrap_or(0.0);
        match self {
            CacheRequest::None => CacheSettings::None,
            CacheRequest::Magcache(request) => CacheSettings::Magcache(MagCache {
                threshold: said(request.threshold),
                retention: said(request.retention),
                ..MagCache::published(request.curve.clone().unwrap_or(MagCurve::T2vA14b))
            }),
            CacheRequest::Teacache(request) => CacheSettings::Teacache(TeaCache {
                model: TeaModel::Linear,
                threshold: said(request.threshold),
                projected: false,
            }),
            CacheRequest::CfgCache(request) => CacheSettings::CfgCache(CfgCache {
                interval: 1,
                start: said(request.start),
                end: said(request.end),
                alpha: said(request.alpha),
            }),
            CacheRequest::Sencache(request) => CacheSettings::Sencache(SenCache {
                tolerance: said(request.tolerance),
                max_skip: 1,
                start: said(request.start),
                end: said(request.end),
            }),
        }
        .check()
    }

    /// Fills in what was not said, and checks that it makes sense for this video.
    ///
    /// # Errors
    /// The first thing that does not.
    pub fn resolve(&self, context: &CacheContext<'_>) -> Result<CacheSettings, CacheError> {
        if let Some(error) = self.contradicts(Some(context.solver), Some(context.guidance)) {
            return Err(error);
        }
        if context.has_clip && *self != Self::None {
            return Err(CacheError::Part);
        }
        let settings = match self {
            CacheRequest::None => return Ok(CacheSettings::None),
            CacheRequest::Magcache(request) => CacheSettings::Magcache(request.resolve(context)?),
            CacheRequest::Teacache(request) => CacheSettings::Teacache(request.resolve(context)?),
            CacheRequest::CfgCache(request) => {
                let usual = CfgCache::default();
                let (start, end) = in_order(request.start.unwrap_or(usual.start), request.end.unwrap_or(usual.end))?;
                let interval = request.interval.unwrap_or(usual.interval);
                CacheSettings::CfgCache(CfgCache { interval, start, end, alpha: request.alpha.unwrap_or(usual.alpha) })
            }
            CacheRequest::Sencache(request) => {
                let usual = SenCache::default();
                let (start, end) = in_order(request.start.unwrap_or(usual.start), request.end.unwrap_or(usual.end))?;
                let tolerance = request.tolerance.unwrap_or(usual.tolerance);
                CacheSettings::Sencache(SenCache {
                    tolerance,
                    max_skip: request.max_skip.unwrap_or(usual.max_skip),
                    start,
                    end,
                })
            }
        };
        settings.check()?;
        Ok(settings)
    }
}

impl MagCacheRequest {
    fn resolve(&self, context: &CacheContext<'_>) -> Result<MagCache, CacheError> {
        let info = context.info;
        let missing = || CacheError::NoCurve { model: info.name.clone(), preset: info.preset.clone() };
        let curve = self.curve.clone().or_else(|| curve_of(info, context.has_image)).ok_or_else(missing)?;
        let usual = MagCache::published(curve);
        Ok(MagCache {
            threshold: self.threshold.unwrap_or(usual.threshold),
            max_skip: self.max_skip.unwrap_or(usual.max_skip),
            retention: self.retention.unwrap_or(usual.retention),
            zones: self.zones.unwrap_or(usual.zones),
            joint: self.joint.unwrap_or(usual.joint),
            curve: usual.curve,
        })
    }
}

/// The curve that belongs to a model: measured with it, before any that is published for its kind.
fn curve_of(info: &ModelInfo, has_image: bool) -> Option<MagCurve> {
    if let Some(own) = &info.mag_curve {
        return Some(MagCurve::Own(own.ratios.clone()));
    }
    match (info.preset.as_str(), has_image) {
        ("t2v-a14b", _) => Some(MagCurve::T2vA14b),
        ("i2v-a14b", _) => Some(MagCurve::I2vA14b),
        ("ti2v-5b", false) => Some(MagCurve::Ti2v5bText),
        ("ti2v-5b", true) => Some(MagCurve::Ti2v5bImage),
        _ => None,
    }
}

impl TeaCacheRequest {
    fn resolve(&self, context: &CacheContext<'_>) -> Result<TeaCache, CacheError> {
        let info = context.info;
        // Those of Wan2.1's larger models are of networks that only look like the experts of Wan2.2.
        let own = (info.preset == "t2v-1.3b").then_some(TeaModel::T2v1_3b);
        let missing = || CacheError::NoPolynomial { model: info.name.clone(), preset: info.preset.clone() };
        let model = self.model.or(own).ok_or_else(missing)?;
        let threshold = self.threshold.or(published_threshold(model)).ok_or(CacheError::NoThreshold)?;
        Ok(TeaCache { model, threshold, projected: self.projected.unwrap_or(false) })
    }
}

/// Those of the published commands.
///
/// Source: ali-vilab/TeaCache `TeaCache4Wan2.1/README.md`.
fn published_threshold(model: TeaModel) -> Option<f64> {
    match model {
        TeaModel::T2v1_3b => Some(0.08),
        TeaModel::T2v14b => Some(0.2),
        TeaModel::I2v480p => Some(0.26),
        TeaModel::I2v720p => Some(0.3),
        TeaModel::Linear => None,
    }
}

fn in_order(start: f64, end: f64) -> Result<(f64, f64), CacheError> {
    if start > end { Err(CacheError::Never { start, end }) } else { Ok((start, end)) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Experts, OwnCurve};

    fn info(preset: &str) -> ModelInfo {
        let info = crate::fixtures::info(Experts::Dual { boundary: 0.875 });
        ModelInfo { preset: preset.into(), takes_image: true, ..info }
    }

    fn resolved(request: CacheRequest, preset: &str, has_image: bool) -> Result<CacheSettings, CacheError> {
        let guidance = Guidance { high: 4.0, low: 3.0 };
        let context =
            CacheContext { info: &info(preset), has_image, has_clip: false, solver: SolverKind::UniPc, guidance };
        request.resolve(&context)
    }

    #[test]
    fn what_is_not_said_is_as_published_for_the_model() {
        let plain = || CacheRequest::Magcache(MagCacheRequest::default());
        for (preset, has_image, curve) in [
            ("t2v-a14b", false, MagCurve::T2vA14b),
            ("i2v-a14b", true, MagCurve::I2vA14b),
            ("ti2v-5b", false, MagCurve::Ti2v5bText),
            ("ti2v-5b", true, MagCurve::Ti2v5bImage),
        ] {
            let published = CacheSettings::Magcache(MagCache::published(curve));
            assert_eq!(resolved(plain(), preset, has_image), Ok(published), "{preset}");
        }
        let own = MagCacheRequest { threshold: Some(0.1), joint: Some(true), ..MagCacheRequest::default() };
        let Ok(CacheSettings::Magcache(settings)) = resolved(CacheRequest::Magcache(own), "i2v-a14b", true) else {
            panic!()
        };
        assert_eq!((settings.threshold, settings.joint, settings.zones), (0.1, true, Retention::FirstPhase));
        let tea = resolved(CacheRequest::Teacache(TeaCacheRequest::default()), "t2v-1.3b", false);
        let published = TeaCache { model: TeaModel::T2v1_3b, threshold: 0.08, projected: false };
        assert_eq!(tea, Ok(CacheSettings::Teacache(published)));
        let cfg = resolved(CacheRequest::CfgCache(CfgCacheRequest::default()), "custom", false);
        assert_eq!(cfg, Ok(CacheSettings::CfgCache(CfgCache::default())));
        let sen = resolved(CacheRequest::Sencache(SenCacheRequest::default()), "custom", false);
        assert_eq!(sen, Ok(CacheSettings::Sencache(SenCache::default())));
    }

    #[test]
    fn a_measured_curve_goes_before_a_published_one() {
        let ratios = vec![[0.9, 0.8], [0.7, 0.6]];
        let own = OwnCurve { steps: 3, shift: 12.0, solver: SolverKind::UniPc, ratios: ratios.clone() };
        let info = ModelInfo { mag_curve: Some(own), ..info("t2v-a14b") };
        let guidance = Guidance { high: 4.0, low: 3.0 };
        let context =
            CacheContext { info: &info, has_image: false, has_clip: false, solver: SolverKind::UniPc, guidance };
        let published = MagCurve::T2vA14b;
        for (named, want) in [(None, MagCurve::Own(ratios)), (Some(published.clone()), published)] {
            let request = CacheRequest::Magcache(MagCacheRequest { curve: named, ..MagCacheRequest::default() });
            let Ok(CacheSettings::Magcache(settings)) = request.resolve(&context) else { panic!() };
            assert_eq!(settings.curve, want);
        }
    }

    #[test]
    fn a_model_without_a_curve_needs_one_to_be_named() {
        let mag = |curve| CacheRequest::Magcache(MagCacheRequest { curve, ..MagCacheRequest::default() });
        let error = resolved(mag(None), "custom", false).unwrap_err();
        assert!(error.to_string().contains("coordinator calibrate"), "{error}");
        assert!(resolved(mag(Some(MagCurve::T2vA14b)), "custom", false).is_ok());
        let tea = |model| CacheRequest::Teacache(TeaCacheRequest { model, ..TeaCacheRequest::default() });
        assert!(matches!(resolved(tea(None), "t2v-a14b", false), Err(CacheError::NoPolynomial { .. })));
        assert!(resolved(tea(Some(TeaModel::T2v14b)), "t2v-a14b", false).is_ok());
        assert_eq!(resolved(tea(Some(TeaModel::Linear)), "custom", false), Err(CacheError::NoThreshold));
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        let late = CfgCacheRequest { start: Some(0.95), ..CfgCacheRequest::default() };
        let never = resolved(CacheRequest::CfgCache(late), "custom", false);
        assert_eq!(never, Err(CacheError::Never { start: 0.95, end: 0.9 }));
        let huge = SenCacheRequest { tolerance: Some(1e9), ..SenCacheRequest::default() };
        assert!(matches!(resolved(CacheRequest::Sencache(huge), "custom", false), Err(CacheError::Bad(_))));
        let info = info("t2v-a14b");
        let with = |solver, low| CacheContext {
            info: &info,
            has_image: false,
            has_clip: false,
            solver,
            guidance: Guidance { high: 4.0, low },
        };
        let cfg = CacheRequest::CfgCache(CfgCacheRequest::default());
        assert_eq!(cfg.resolve(&with(SolverKind::UniPc, 1.0)), Err(CacheError::NoGuidance));
        let mag = CacheRequest::Magcache(MagCacheRequest::default());
        assert!(mag.resolve(&with(SolverKind::UniPc, 1.0)).is_ok());
        assert_eq!(mag.resolve(&with(SolverKind::Lightning, 1.0)), Err(CacheError::Distilled("lightning")));
        assert_eq!(CacheRequest::None.resolve(&with(SolverKind::Lightning, 1.0)), Ok(CacheSettings::None));
    }
}
