//! A tensor on its way in, and why it did not come. Not where it is looked for.

use bytes::{Bytes, BytesMut};
use futures::StreamExt;
use tonic::Status;
use wanfarm_types::{Digest, TensorRef};

use super::{Chunks, MAX_TENSOR_BYTES, READ_TIMEOUT, is_out_of_descriptors, root_cause};

/// Why a tensor could not be read.
#[derive(Debug, thiserror::Error)]
pub enum PullError {
    /// Every location was tried; each with what it said.
    #[error("tensor {digest} could not be read from any location: {}", tried.join("; "))]
    Unavailable {
        /// Digest of the tensor.
        digest: Digest,
        /// `location: reason`, in the order tried.
        tried: Vec<String>,
        /// True when the last location was reached and does not have it, so that asking it again is pointless.
        reached: bool,
        /// True when this process could not even open a connection, because it may have no more of them.
        exhausted: bool,
    },
    /// The reference itself is not acceptable.
    #[error("tensor {digest} claims {bytes} bytes; at most {MAX_TENSOR_BYTES} are accepted")]
    TooLarge {
        /// Digest of the tensor.
        digest: Digest,
        /// Its claimed length.
        bytes: u64,
    },
}

impl PullError {
    /// The answer of one place to the question for a tensor.
    pub fn of(digest: Digest, location: &str, status: Status) -> Self {
        LocationError::from(status).of(digest, location)
    }

    /// What every place said, without the name of the tensor.
    pub fn reasons(&self) -> String {
        match self {
            Self::Unavailable { tried, .. } => tried.join("; "),
            Self::TooLarge { .. } => self.to_string(),
        }
    }

    /// True when no location has said that it lacks the tensor: it may be read later.
    pub fn is_unreachable(&self) -> bool {
        matches!(self, Self::Unavailable { reached: false, .. })
    }
}

pub(super) fn length_of(tensor: &TensorRef) -> Result<u64, PullError> {
    match tensor.byte_len() {
        Some(bytes) if bytes <= MAX_TENSOR_BYTES => Ok(bytes),
        other => Err(PullError::TooLarge { digest: tensor.digest, bytes: other.unwrap_or(u64::MAX) }),
    }
}

/// A tensor on its way. It is whole, and the one asked for, only when [`Pulling::next`] has returned `None`.
pub struct Pulling {
    digest: Digest,
    length: u64,
    location: String,
    chunks: Chunks,
    hasher: blake3::Hasher,
    arrived: u64,
}

impl Pulling {
    /// A tensor that comes in these chunks, from a place that people know as `location`.
    ///
    /// # Errors
    /// When the tensor claims to be too large.
    pub fn new(tensor: &TensorRef, location: &str, chunks: Chunks) -> Result<Self, PullError> {
        Ok(Self::of(tensor.digest, length_of(tensor)?, location.to_owned(), chunks))
    }

    pub(super) fn of(digest: Digest, length: u64, location: String, chunks: Chunks) -> Self {
        Self { digest, length, location, chunks, hasher: blake3::Hasher::new(), arrived: 0 }
    }

    /// The next bytes; `None` after the last, when length and digest are right.
    ///
    /// # Errors
    /// When the connection breaks, or other bytes come than were asked for.
    pub async fn next(&mut self) -> Result<Option<Bytes>, PullError> {
        self.step().await.map_err(|error| error.of(self.digest, &self.location))
    }

    /// All bytes.
    ///
    /// # Errors
    /// As for [`Pulling::next`].
    pub async fn whole(self) -> Result<Bytes, PullError> {
        let (digest, location) = (self.digest, self.location.clone());
        self.collect().await.map_err(|error| error.of(digest, &location))
    }

    pub(super) async fn collect(mut self) -> Result<Bytes, LocationError> {
        // Reserve no more than one generous block at a time: the sender decides how much really comes.
        let mut bytes = BytesMut::with_capacity(self.length.min(64 << 20) as usize);
        while let Some(chunk) = self.step().await? {
            bytes.extend_from_slice(&chunk);
        }
        Ok(bytes.freeze())
    }

    async fn step(&mut self) -> Result<Option<Bytes>, LocationError> {
        let Self { length, arrived, .. } = *self;
        let next = tokio::time::timeout(READ_TIMEOUT, self.chunks.next()).await;
        let stalled = |_| LocationError::unreachable(format!("stalled after {arrived} of {length} bytes"));
        let Some(chunk) = next.map_err(stalled)?.transpose()? else { return self.end().map(|()| None) };
        self.arrived += chunk.len() as u64;
        if self.arrived > length {
            return Err(LocationError::refused(format!("sent more than the {length} bytes announced")));
        }
        self.hasher.update(&chunk);
        Ok(Some(chunk))
    }

    fn end(&self) -> Result<(), LocationError> {
        if self.arrived != self.length {
            return Err(LocationError::refused(format!("ended after {} of {} bytes", self.arrived, self.length)));
        }
        let got = Digest(*self.hasher.finalize().as_bytes());
        if got != self.digest {
            return Err(LocationError::refused(format!("delivered other bytes: their digest is {got}")));
        }
        Ok(())
    }
}

impl std::fmt::Debug for Pulling {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { digest, length, location, arrived, .. } = self;
        write!(f, "{arrived} of {length} bytes of {digest} from {location}")
    }
}

/// Why one location did not deliver.
pub(super) struct LocationError {
    /// False when it may well have the tensor and only could not be heard.
    pub(super) reached: bool,
    pub(super) exhausted: bool,
    pub(super) why: String,
}

impl LocationError {
    pub(super) fn refused(why: impl Into<String>) -> Self {
        Self { reached: true, exhausted: false, why: why.into() }
    }

    pub(super) fn unreachable(why: impl Into<String>) -> Self {
        Self { reached: false, exhausted: false, why: why.into() }
    }

    /// As the error of the only location that was tried.
    pub(super) fn of(self, digest: Digest, location: &str) -> PullError {
        let tried = vec![format!("{location}: {}", self.why)];
        PullError::Unavailable { digest, tried, reached: self.reached, exhausted: self.exhausted }
    }
}

impl From<Status> for LocationError {
    fn from(status: Status) -> Self {
        use std::error::Error;
        use tonic::Code;
        // What a server says, as opposed to what a broken connection turns into.
        let said = [Code::NotFound, Code::OutOfRange, Code::InvalidArgument, Code::Unimplemented];
        let why = match status.source() {
            Some(source) => format!("{}: {}", status.message(), root_cause(source)),
            None => status.message().to_owned(),
        };
        Self { reached: said.contains(&status.code()), exhausted: is_out_of_descriptors(&status), why }
    }
}
