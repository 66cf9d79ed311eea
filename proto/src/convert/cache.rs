//! A step cache as a video asks for it. Whether it can be applied is checked where it is applied.

use wanfarm_types as domain;

use super::enums::FromWireNumber;
use super::{WireError, finite_or_absent};
use crate::v1;
use v1::cache_request::Kind;

/// Absent where none is wanted: a request has nothing below it that this would have to switch off.
pub(crate) fn to_wire(cache: domain::CacheRequest) -> Option<v1::CacheRequest> {
    let kind = match cache {
        domain::CacheRequest::None => return None,
        domain::CacheRequest::Magcache(cache) => Kind::Magcache(v1::MagCacheRequest {
            curve: cache.curve.and_then(published).map(Into::into),
            threshold: cache.threshold,
            max_skip: cache.max_skip,
            retention: cache.retention,
            zones: cache.zones.map(|zones| v1::Retention::from(zones).into()),
            joint: cache.joint,
        }),
        domain::CacheRequest::Teacache(cache) => Kind::Teacache(v1::TeaCacheRequest {
            model: cache.model.map(|model| v1::TeaModel::from(model).into()),
            threshold: cache.threshold,
            projected: cache.projected,
        }),
        domain::CacheRequest::CfgCache(domain::CfgCacheRequest { interval, start, end, alpha }) => {
            Kind::CfgCache(v1::CfgCacheRequest { interval, start, end, alpha })
        }
        domain::CacheRequest::Sencache(domain::SenCacheRequest { tolerance, max_skip, start, end }) => {
            Kind::Sencache(v1::SenCacheRequest { tolerance, max_skip, start, end })
        }
    };
    Some(v1::CacheRequest { kind: Some(kind) })
}

pub(crate) fn from_wire(wire: Option<v1::CacheRequest>) -> Result<Option<domain::CacheRequest>, WireError> {
    let Some(wire) = wire else { return Ok(None) };
    Ok(Some(match wire.kind.ok_or(WireError::Missing("kind"))? {
        Kind::Magcache(cache) => domain::CacheRequest::Magcache(domain::MagCacheRequest {
            curve: cache.curve.map(curve).transpose()?,
            threshold: finite_or_absent("threshold", cache.threshold)?,
            max_skip: cache.max_skip,
            retention: finite_or_absent("retention", cache.retention)?,
            zones: cache.zones.map(domain::Retention::from_wire_number).transpose()?,
            joint: cache.joint,
        }),
        Kind::Teacache(cache) => domain::CacheRequest::Teacache(domain::TeaCacheRequest {
            model: cache.model.map(domain::TeaModel::from_wire_number).transpose()?,
            threshold: finite_or_absent("threshold", cache.threshold)?,
            projected: cache.projected,
        }),
        Kind::CfgCache(cache) => domain::CacheRequest::CfgCache(domain::CfgCacheRequest {
            interval: cache.interval,
            start: finite_or_absent("start", cache.start)?,
            end: finite_or_absent("end", cache.end)?,
            alpha: finite_or_absent("alpha", cache.alpha)?,
        }),
        Kind::Sencache(cache) => domain::CacheRequest::Sencache(domain::SenCacheRequest {
            tolerance: finite_or_absent("tolerance", cache.tolerance)?,
            max_skip: cache.max_skip,
            start: finite_or_absent("start", cache.start)?,
            end: finite_or_absent("end", cache.end)?,
        }),
    }))
}

/// A calibrated curve is the model's, not a video's.
fn published(curve: domain::MagCurve) -> Option<v1::MagCurve> {
    match curve {
        domain::MagCurve::T2vA14b => Some(v1::MagCurve::T2vA14b),
        domain::MagCurve::I2vA14b => Some(v1::MagCurve::I2vA14b),
        domain::MagCurve::Ti2v5bText => Some(v1::MagCurve::Ti2v5bText),
        domain::MagCurve::Ti2v5bImage => Some(v1::MagCurve::Ti2v5bImage),
        domain::MagCurve::Own(_) => None,
    }
}

fn curve(number: i32) -> Result<domain::MagCurve, WireError> {
    match v1::MagCurve::try_from(number) {
        Ok(v1::MagCurve::T2vA14b) => Ok(domain::MagCurve::T2vA14b),
        Ok(v1::MagCurve::I2vA14b) => Ok(domain::MagCurve::I2vA14b),
        Ok(v1::MagCurve::Ti2v5bText) => Ok(domain::MagCurve::Ti2v5bText),
        Ok(v1::MagCurve::Ti2v5bImage) => Ok(domain::MagCurve::Ti2v5bImage),
        Ok(v1::MagCurve::Unspecified) | Err(_) => Err(WireError::unknown("curve", number)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::{CacheRequest, MagCacheRequest, MagCurve, Retention, TeaCacheRequest, TeaModel};

    #[test]
    fn every_request_crosses_the_wire_unchanged() {
        let said = CacheRequest::Magcache(MagCacheRequest {
            curve: Some(MagCurve::I2vA14b),
            threshold: Some(0.06),
            max_skip: Some(3),
            retention: Some(0.0),
            zones: Some(Retention::FirstPhase),
            joint: Some(false),
        });
        let tea = TeaCacheRequest { model: Some(TeaModel::Linear), threshold: Some(0.1), projected: Some(true) };
        for request in [
            said,
            CacheRequest::Magcache(MagCacheRequest::default()),
            CacheRequest::Teacache(tea),
            CacheRequest::Teacache(TeaCacheRequest::default()),
            CacheRequest::CfgCache(domain::CfgCacheRequest { interval: Some(2), ..Default::default() }),
            CacheRequest::Sencache(domain::SenCacheRequest { tolerance: Some(0.5), ..Default::default() }),
        ] {
            assert_eq!(from_wire(to_wire(request.clone())), Ok(Some(request)));
        }
        assert_eq!(from_wire(to_wire(CacheRequest::None)), Ok(None));
    }

    #[test]
    fn what_means_nothing_is_refused() {
        assert_eq!(from_wire(Some(v1::CacheRequest { kind: None })), Err(WireError::Missing("kind")));
        let unknown = v1::MagCacheRequest { curve: Some(77), ..Default::default() };
        assert!(from_wire(Some(v1::CacheRequest { kind: Some(Kind::Magcache(unknown)) })).is_err());
    }
}
