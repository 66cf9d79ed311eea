//! The settings of a video's step cache. Whether they can be followed is for whoever follows them to check.

use wanfarm_types as domain;

use super::enums::FromWireNumber;
use super::{WireError, finite};
use crate::v1;
use v1::step_cache::Strategy;

/// Absent where there is none.
pub fn to_wire(cache: domain::CacheSettings) -> Option<v1::StepCache> {
    let strategy = match cache {
        domain::CacheSettings::None => return None,
        domain::CacheSettings::Magcache(cache) => {
            let (curve, ratios) = curve(cache.curve);
            Strategy::Magcache(v1::MagCache {
                curve: curve.into(),
                ratios: ratios.into_flattened(),
                threshold: cache.threshold,
                max_skip: cache.max_skip,
                retention: cache.retention,
                zones: v1::Retention::from(cache.zones).into(),
                joint: cache.joint,
            })
        }
        domain::CacheSettings::Teacache(cache) => Strategy::Teacache(v1::TeaCache {
            model: v1::TeaModel::from(cache.model).into(),
            threshold: cache.threshold,
            projected: cache.projected,
        }),
        domain::CacheSettings::CfgCache(domain::CfgCache { interval, start, end, alpha }) => {
            Strategy::CfgCache(v1::CfgCache { interval, start, end, alpha })
        }
        domain::CacheSettings::Sencache(domain::SenCache { tolerance, max_skip, start, end }) => {
            Strategy::Sencache(v1::SenCache { tolerance, max_skip, start, end })
        }
    };
    Some(v1::StepCache { strategy: Some(strategy) })
}

/// No step cache where it is absent.
///
/// # Errors
/// A kind or a value that this version does not know.
pub fn from_wire(wire: Option<v1::StepCache>) -> Result<domain::CacheSettings, WireError> {
    let Some(wire) = wire else { return Ok(domain::CacheSettings::None) };
    Ok(match wire.strategy.ok_or(WireError::Missing("strategy"))? {
        Strategy::Magcache(cache) => {
            let (ratios, rest) = cache.ratios.as_chunks::<2>();
            let odd = || WireError::unknown("ratios", format!("an odd number of {}", cache.ratios.len()));
            domain::CacheSettings::Magcache(domain::MagCache {
                curve: match v1::MagCurve::try_from(cache.curve) {
                    Ok(v1::MagCurve::Own) if rest.is_empty() => domain::MagCurve::Own(ratios.to_vec()),
                    Ok(v1::MagCurve::Own) => return Err(odd()),
                    _ => published(cache.curve)?,
                },
                threshold: finite("threshold", cache.threshold)?,
                max_skip: cache.max_skip,
                retention: finite("retention", cache.retention)?,
                zones: domain::Retention::from_wire_number(cache.zones)?,
                joint: cache.joint,
            })
        }
        Strategy::Teacache(cache) => domain::CacheSettings::Teacache(domain::TeaCache {
            model: domain::TeaModel::from_wire_number(cache.model)?,
            threshold: finite("threshold", cache.threshold)?,
            projected: cache.projected,
        }),
        Strategy::CfgCache(cache) => domain::CacheSettings::CfgCache(domain::CfgCache {
            interval: cache.interval,
            start: finite("start", cache.start)?,
            end: finite("end", cache.end)?,
            alpha: finite("alpha", cache.alpha)?,
        }),
        Strategy::Sencache(cache) => domain::CacheSettings::Sencache(domain::SenCache {
            tolerance: finite("tolerance", cache.tolerance)?,
            max_skip: cache.max_skip,
            start: finite("start", cache.start)?,
            end: finite("end", cache.end)?,
        }),
    })
}

pub(super) fn published(curve: i32) -> Result<domain::MagCurve, WireError> {
    match v1::MagCurve::try_from(curve) {
        Ok(v1::MagCurve::T2vA14b) => Ok(domain::MagCurve::T2vA14b),
        Ok(v1::MagCurve::I2vA14b) => Ok(domain::MagCurve::I2vA14b),
        Ok(v1::MagCurve::Ti2v5bText) => Ok(domain::MagCurve::Ti2v5bText),
        Ok(v1::MagCurve::Ti2v5bImage) => Ok(domain::MagCurve::Ti2v5bImage),
        Ok(v1::MagCurve::Own | v1::MagCurve::Unspecified) | Err(_) => Err(WireError::unknown("curve", curve)),
    }
}

pub(super) fn curve(curve: domain::MagCurve) -> (v1::MagCurve, Vec<[f64; 2]>) {
    match curve {
        domain::MagCurve::T2vA14b => (v1::MagCurve::T2vA14b, Vec::new()),
        domain::MagCurve::I2vA14b => (v1::MagCurve::I2vA14b, Vec::new()),
        domain::MagCurve::Ti2v5bText => (v1::MagCurve::Ti2v5bText, Vec::new()),
        domain::MagCurve::Ti2v5bImage => (v1::MagCurve::Ti2v5bImage, Vec::new()),
        domain::MagCurve::Own(ratios) => (v1::MagCurve::Own, ratios),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::{CacheSettings, MagCache, MagCurve, TeaCache, TeaModel};

    #[test]
    fn every_cache_crosses_the_wire_unchanged() {
        let curves = [
            MagCurve::T2vA14b,
            MagCurve::I2vA14b,
            MagCurve::Ti2v5bText,
            MagCurve::Ti2v5bImage,
            MagCurve::Own(vec![[0.5, 0.25], [1.0, 2.0]]),
        ];
        let mut caches: Vec<_> = curves.map(|curve| CacheSettings::Magcache(MagCache::published(curve))).to_vec();
        for model in [TeaModel::T2v1_3b, TeaModel::T2v14b, TeaModel::I2v480p, TeaModel::I2v720p, TeaModel::Linear] {
            caches.push(CacheSettings::Teacache(TeaCache { model, threshold: 0.2, projected: true }));
        }
        caches.push(CacheSettings::CfgCache(domain::CfgCache::default()));
        caches.push(CacheSettings::Sencache(domain::SenCache::default()));
        caches.push(CacheSettings::None);
        for cache in caches {
            assert_eq!(from_wire(to_wire(cache.clone())), Ok(cache));
        }
    }

    #[test]
    fn adapters_cross_the_wire_unchanged() {
        for expert in [None, Some(domain::Expert::High), Some(domain::Expert::Low), Some(domain::Expert::Single)] {
            let blake3 = domain::Digest([7; 32]);
            let lora = domain::LoraRef { name: "a.safetensors".to_owned(), blake3, bytes: 9, strength: -0.5, expert };
            assert_eq!(domain::LoraRef::try_from(v1::LoraRef::from(lora.clone())), Ok(lora));
        }
    }

    #[test]
    fn what_means_nothing_is_refused() {
        assert_eq!(from_wire(Some(v1::StepCache { strategy: None })), Err(WireError::Missing("strategy")));
        let odd = v1::MagCache { curve: v1::MagCurve::Own.into(), ratios: vec![1.0; 3], ..Default::default() };
        let wire = |cache| Some(v1::StepCache { strategy: Some(Strategy::Magcache(cache)) });
        assert!(from_wire(wire(odd)).unwrap_err().to_string().contains("odd number of 3"));
        assert!(from_wire(wire(v1::MagCache { curve: 77, ..Default::default() })).is_err());
    }
}
