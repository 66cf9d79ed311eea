//! Identifiers and digests.

use uuid::Uuid;
use wanfarm_types as domain;

use super::WireError;
use crate::v1;

impl From<domain::VideoId> for v1::VideoId {
    fn from(id: domain::VideoId) -> Self {
        Self { job: id.job.0, index: id.index }
    }
}

impl TryFrom<v1::VideoId> for domain::VideoId {
    type Error = WireError;

    fn try_from(id: v1::VideoId) -> Result<Self, WireError> {
        Ok(Self { job: domain::JobId(id.job), index: id.index })
    }
}

/// Reads a digest from its 32 bytes.
pub(crate) fn digest(field: &'static str, bytes: &[u8]) -> Result<domain::Digest, WireError> {
    bytes.try_into().map(domain::Digest).map_err(|_| WireError::unknown(field, format!("{} bytes long", bytes.len())))
}

/// Reads a UUID from its text.
pub fn parse_uuid(field: &'static str, text: &str) -> Result<Uuid, WireError> {
    Uuid::parse_str(text).map_err(|_| WireError::unknown(field, format!("{text:?}")))
}

/// Reads a list of attempt numbers.
pub fn attempt_ids(wire: Vec<u64>) -> Vec<domain::AttemptId> {
    wire.into_iter().map(domain::AttemptId).collect()
}
