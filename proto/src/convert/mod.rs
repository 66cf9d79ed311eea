//! Domain types to wire types and back. To the wire never fails; from the wire everything is checked.

mod bounds;
mod cache;
mod cache_request;
mod enums;
mod ids;
mod item;
mod model;
mod spec;

pub use bounds::{check_hello, check_label};
pub use cache::{from_wire as cache_field, to_wire as wire_cache};
pub use ids::{attempt_ids, parse_uuid};

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
    #[error("{field} {why}")]
    Unusable {
        /// Field name.
        field: &'static str,
        /// What is wrong with it.
        why: String,
    },
}

impl WireError {
    /// A message that must not come here.
    pub fn unknown_message(value: impl ToString) -> Self {
        Self::unknown("message", value)
    }

    pub(crate) fn unusable(field: &'static str, why: String) -> Self {
        Self::Unusable { field, why }
    }

    pub(crate) fn unknown(field: &'static str, value: impl ToString) -> Self {
        Self::Unknown { field, value: value.to_string() }
    }
}

impl From<WireError> for tonic::Status {
    fn from(error: WireError) -> Self {
        tonic::Status::invalid_argument(error.to_string())
    }
}

/// Takes a required sub-message out of its `Option`.
pub(crate) fn required<W, D>(field: &'static str, wire: Option<W>) -> Result<D, WireError>
where
    D: TryFrom<W, Error = WireError>,
{
    D::try_from(wire.ok_or(WireError::Missing(field))?)
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
pub fn digest_field(bytes: &[u8]) -> Result<wanfarm_types::Digest, WireError> {
    ids::digest("digest", bytes)
}
