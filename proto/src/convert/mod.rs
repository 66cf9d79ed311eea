//! Domain types to wire types and back. To the wire never fails; from the wire everything is checked.

mod access;
mod cache;
mod enums;
mod history;
mod lenient;
mod log_line;
mod report;
mod request;
mod status;
mod worker_status;

use uuid::Uuid;
use wanfarm_types::{BadMessage, Digest, JobId, VideoId};

use crate::v1;

pub use access::{rights, rights_to_wire};

/// A message from outside that does not mean anything.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// A field that must be there is not.
    #[error("the message lacks {0}")]
    Missing(&'static str),
    /// A field holds a value outside its domain.
    #[error("{field} is {value}, which this version does not know")]
    Unknown {
        /// Field name.
        field: &'static str,
        /// What stood there.
        value: String,
    },
    /// A field holds what cannot be worked with.
    #[error(transparent)]
    Bad(#[from] BadMessage),
    /// A message of the control plane that is none.
    #[error("the message is unreadable: {0}")]
    Unreadable(String),
}

impl WireError {
    pub(crate) fn unknown(field: &'static str, value: impl ToString) -> Self {
        Self::Unknown { field, value: value.to_string() }
    }
}

impl From<WireError> for tonic::Status {
    fn from(error: WireError) -> Self {
        tonic::Status::invalid_argument(error.to_string())
    }
}

/// A number that is one.
pub(crate) fn finite(field: &'static str, value: f64) -> Result<f64, WireError> {
    if value.is_finite() { Ok(value) } else { Err(WireError::unknown(field, value)) }
}

/// A number that is one, or absent.
pub(crate) fn finite_or_absent(field: &'static str, value: Option<f64>) -> Result<Option<f64>, WireError> {
    value.map(|value| finite(field, value)).transpose()
}

/// Converts every element, or names the first that does not mean anything.
pub(crate) fn each<W, D>(wire: Vec<W>) -> Result<Vec<D>, WireError>
where
    D: TryFrom<W, Error = WireError>,
{
    wire.into_iter().map(D::try_from).collect()
}

/// Reads a digest from its 32 bytes.
///
/// # Errors
/// When there are not 32.
pub fn digest_field(bytes: &[u8]) -> Result<Digest, WireError> {
    digest("digest", bytes)
}

fn digest(field: &'static str, bytes: &[u8]) -> Result<Digest, WireError> {
    bytes.try_into().map(Digest).map_err(|_| WireError::unknown(field, format!("{} bytes long", bytes.len())))
}

/// Reads a UUID from its text.
///
/// # Errors
/// When it is none.
pub fn parse_uuid(field: &'static str, text: &str) -> Result<Uuid, WireError> {
    Uuid::parse_str(text).map_err(|_| WireError::unknown(field, format!("{text:?}")))
}

impl From<VideoId> for v1::VideoId {
    fn from(id: VideoId) -> Self {
        Self { job: id.job.0, index: id.index }
    }
}

impl From<v1::VideoId> for VideoId {
    fn from(id: v1::VideoId) -> Self {
        Self { job: JobId(id.job), index: id.index }
    }
}
