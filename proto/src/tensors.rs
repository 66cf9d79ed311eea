//! The tensor service: serving tensors by digest, and reading them from whoever has them.
//!
//! A reader trusts nothing: the length is known before the first byte, memory grows only with what arrives,
//! and bytes whose digest differs are thrown away and the next location is tried.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use futures::{FutureExt, Stream, StreamExt};
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Response, Status, Streaming};
use wanfarm_types::{Digest, TensorRef};

use crate::v1::tensors_client::TensorsClient;
use crate::v1::tensors_server::{Tensors, TensorsServer};
use crate::v1::{Chunk, ReadRequest};

/// Bytes per message. Large enough that per-message cost vanishes, and small enough that a piece is still in the
/// processor's cache when it is copied the next time: of 64 KiB, 256 KiB and 1 MiB the fastest over loopback.
pub const PIECE: usize = 256 << 10;

/// No tensor that belongs here is larger: 720p frames of a 4,097-frame video are 11 GiB.
pub const MAX_TENSOR_BYTES: u64 = 16 << 30;

/// How long a location may take to accept a connection, and to send the next chunk.
const PATIENCE: Duration = Duration::from_secs(20);

/// Connections kept open at once; a farm has at most a few hundred machines.
const MOST_CHANNELS: usize = 512;

/// Something that holds tensors by digest.
pub trait TensorSource: Send + Sync + 'static {
    /// The bytes of a tensor, or `None` if this source does not hold it. May block to read a file.
    fn tensor(&self, digest: &Digest) -> Option<Bytes>;
}

impl<S: TensorSource> TensorSource for Arc<S> {
    fn tensor(&self, digest: &Digest) -> Option<Bytes> {
        (**self).tensor(digest)
    }
}

/// The bytes of a tensor, piece by piece.
pub type Pieces = BoxStream<'static, Result<Bytes, Status>>;

/// Something that serves tensors piece by piece. Everything that holds them in memory does.
pub trait PieceSource: Send + Sync + 'static {
    /// The bytes of a tensor from `offset` on; an error says why not, `not_found` that it is not held.
    fn pieces(&self, digest: Digest, offset: u64) -> BoxFuture<'static, Result<Pieces, Status>>;
}

/// That a tensor is not here.
pub fn not_held(digest: &Digest) -> Status {
    Status::not_found(format!("no tensor {digest} is held here"))
}

/// That a tensor has no such place.
pub fn beyond(digest: &Digest, offset: u64, length: u64) -> Status {
    Status::out_of_range(format!("offset {offset} is beyond the {length} bytes of {digest}"))
}

impl<S: TensorSource + Clone> PieceSource for S {
    fn pieces(&self, digest: Digest, offset: u64) -> BoxFuture<'static, Result<Pieces, Status>> {
        let source = self.clone();
        let find = async move {
            let found = tokio::task::spawn_blocking(move || source.tensor(&digest)).await;
            let bytes = found.map_err(|error| Status::internal(error.to_string()))?;
            let bytes = bytes.ok_or_else(|| not_held(&digest))?;
            let start = usize::try_from(offset).ok().filter(|&start| start <= bytes.len());
            let mut rest = bytes.slice(start.ok_or_else(|| beyond(&digest, offset, bytes.len() as u64))?..);
            let pieces =
                std::iter::from_fn(move || (!rest.is_empty()).then(|| Ok(rest.split_to(PIECE.min(rest.len())))));
            Ok(futures::stream::iter(pieces).boxed())
        };
        find.boxed()
    }
}

/// The gRPC service over a source.
pub fn service<S: PieceSource>(source: S) -> TensorsServer<impl Tensors> {
    TensorsServer::new(Service { source })
}

struct Service<S> {
    source: S,
}

#[tonic::async_trait]
impl<S: PieceSource> Tensors for Service<S> {
    type ReadStream = Pin<Box<dyn Stream<Item = Result<Chunk, Status>> + Send>>;

    async fn read(&self, request: Request<ReadRequest>) -> Result<Response<Self::ReadStream>, Status> {
        let ReadRequest { digest, offset } = request.into_inner();
        let digest = crate::convert::digest_field(&digest)?;
        let pieces = self.source.pieces(digest, offset).await?;
        Ok(Response::new(Box::pin(pieces.map(|piece| piece.map(|data| Chunk { data })))))
    }
}

/// Why a tensor could not be read.
#[derive(Debug, thiserror::Error)]
pub enum PullError {
    /// Every location was tried; each with what it said.
    #[error("tensor {digest} could not be read from any location: {}", tried.join("; "))]
    Nowhere {
        /// Which tensor.
        digest: Digest,
        /// `location: reason`, in the order tried.
        tried: Vec<String>,
        /// True when the last location was reached and does not have it, so that asking it again is pointless.
        answered: bool,
        /// True when this process could not even open a connection, because it may have no more of them.
        exhausted: bool,
    },
    /// The reference itself is not acceptable.
    #[error("tensor {digest} claims {bytes} bytes; at most {MAX_TENSOR_BYTES} are accepted")]
    TooLarge {
        /// Which tensor.
        digest: Digest,
        /// Its claimed length.
        bytes: u64,
    },
}

/// Reads tensors, keeping connections open between reads. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct Puller {
    channels: Arc<Mutex<BTreeMap<String, Channel>>>,
}

impl Puller {
    /// Reads a tensor from the first location that delivers it whole; length and digest are checked.
    ///
    /// # Errors
    /// When no location did, with every reason.
    pub async fn pull(&self, tensor: &TensorRef, locations: &[String]) -> Result<Bytes, PullError> {
        let digest = tensor.digest;
        let length = length_of(tensor)?;
        let (mut tried, mut answered, mut exhausted) = (Vec::new(), true, false);
        for location in locations {
            match self.pull_from(digest, length, location).await {
                Ok(bytes) => return Ok(bytes),
                Err(miss) => {
                    tried.push(format!("{location}: {}", miss.why));
                    answered = miss.answered;
                    exhausted |= miss.exhausted;
                }
            }
        }
        if tried.is_empty() {
            tried.push("no location is known".to_owned());
        }
        Err(PullError::Nowhere { digest, tried, answered, exhausted })
    }

    /// Opens a tensor at one location, to be read piece by piece: for those that do not want it in memory whole.
    ///
    /// # Errors
    /// When the location does not have it, or is not to be had.
    pub async fn open(&self, tensor: &TensorRef, location: &str) -> Result<Pulling, PullError> {
        let digest = tensor.digest;
        let length = length_of(tensor)?;
        self.begin(digest, length, location).await.map_err(|miss| miss.of(digest, location))
    }

    async fn begin(&self, digest: Digest, length: u64, location: &str) -> Result<Pulling, Miss> {
        let mut client = TensorsClient::new(self.channel(location).map_err(Miss::answered)?);
        let request = ReadRequest { digest: digest.0.to_vec(), offset: 0 };
        let reply =
            tokio::time::timeout(PATIENCE, client.read(request)).await.map_err(|_| Miss::silent("no answer"))?;
        let stream = reply?.into_inner();
        let location = location.to_owned();
        Ok(Pulling { digest, length, location, stream, hasher: blake3::Hasher::new(), arrived: 0 })
    }

    async fn pull_from(&self, digest: Digest, length: u64, location: &str) -> Result<Bytes, Miss> {
        let mut pulling = self.begin(digest, length, location).await?;
        // Reserve no more than one generous block at a time: the sender decides how much really comes.
        let mut bytes = BytesMut::with_capacity(length.min(64 << 20) as usize);
        while let Some(piece) = pulling.step().await? {
            bytes.extend_from_slice(&piece);
        }
        Ok(bytes.freeze())
    }

    /// The connection to a location; it is made when first used and again after it broke.
    fn channel(&self, location: &str) -> Result<Channel, String> {
        let mut channels = self.channels.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(channel) = channels.get(location) {
            return Ok(channel.clone());
        }
        let endpoint =
            Endpoint::from_shared(location.to_owned()).map_err(|error| format!("not an address: {error}"))?;
        let channel = endpoint
            .connect_timeout(PATIENCE)
            .tcp_nodelay(true)
            // Latents are tens of megabytes: the default 64 KiB window would make each a series of round trips. More than
            // a fast network has under way only leaves the processor's cache.
            .initial_stream_window_size(4 << 20)
            .initial_connection_window_size(16 << 20)
            // The default of 16 KiB would cut each piece into sixteen.
            .max_frame_size(PIECE as u32)
            .connect_lazy();
        if channels.len() >= MOST_CHANNELS {
            // Workers come and go under new ports; forgetting an open connection only costs opening it again.
            channels.clear();
        }
        channels.insert(location.to_owned(), channel.clone());
        Ok(channel)
    }
}

fn length_of(tensor: &TensorRef) -> Result<u64, PullError> {
    match tensor.byte_len() {
        Some(bytes) if bytes <= MAX_TENSOR_BYTES => Ok(bytes),
        other => Err(PullError::TooLarge { digest: tensor.digest, bytes: other.unwrap_or(u64::MAX) }),
    }
}

/// A tensor on its way. It is whole, and the one asked for, only when [`Pulling::next`] has returned `None`.
#[derive(Debug)]
pub struct Pulling {
    digest: Digest,
    length: u64,
    location: String,
    stream: Streaming<Chunk>,
    hasher: blake3::Hasher,
    arrived: u64,
}

impl Pulling {
    /// The next bytes; `None` after the last, when length and digest are right.
    ///
    /// # Errors
    /// When the connection breaks, or other bytes come than were asked for.
    pub async fn next(&mut self) -> Result<Option<Bytes>, PullError> {
        self.step().await.map_err(|miss| miss.of(self.digest, &self.location))
    }

    async fn step(&mut self) -> Result<Option<Bytes>, Miss> {
        let Self { length, arrived, .. } = *self;
        let next = tokio::time::timeout(PATIENCE, self.stream.message()).await;
        let stalled = |_| Miss::silent(format!("stalled after {arrived} of {length} bytes"));
        let Some(chunk) = next.map_err(stalled)?? else { return self.end().map(|()| None) };
        self.arrived += chunk.data.len() as u64;
        if self.arrived > length {
            return Err(Miss::answered(format!("sent more than the {length} bytes announced")));
        }
        self.hasher.update(&chunk.data);
        Ok(Some(chunk.data))
    }

    fn end(&self) -> Result<(), Miss> {
        if self.arrived != self.length {
            return Err(Miss::answered(format!("ended after {} of {} bytes", self.arrived, self.length)));
        }
        let got = Digest(*self.hasher.finalize().as_bytes());
        if got != self.digest {
            return Err(Miss::answered(format!("delivered other bytes: their digest is {got}")));
        }
        Ok(())
    }
}

/// Why one location did not deliver.
struct Miss {
    /// False when it may well have the tensor and only could not be heard.
    answered: bool,
    exhausted: bool,
    why: String,
}

impl Miss {
    fn answered(why: impl Into<String>) -> Self {
        Self { answered: true, exhausted: false, why: why.into() }
    }

    fn silent(why: impl Into<String>) -> Self {
        Self { answered: false, exhausted: false, why: why.into() }
    }

    /// As the error of the only location that was tried.
    fn of(self, digest: Digest, location: &str) -> PullError {
        let tried = vec![format!("{location}: {}", self.why)];
        PullError::Nowhere { digest, tried, answered: self.answered, exhausted: self.exhausted }
    }
}

impl From<Status> for Miss {
    fn from(status: Status) -> Self {
        use std::error::Error;
        use tonic::Code;
        // What a server says, as opposed to what a broken connection turns into.
        let said = [Code::NotFound, Code::OutOfRange, Code::InvalidArgument, Code::Unimplemented];
        let why = match status.source() {
            Some(source) => format!("{}: {}", status.message(), root_cause(source)),
            None => status.message().to_owned(),
        };
        Self { answered: said.contains(&status.code()), exhausted: is_out_of_descriptors(&status), why }
    }
}

/// True when an error, or one that it stands for, says that this process, or all of them, may open no more files and
/// connections.
pub fn is_out_of_descriptors(error: &(dyn std::error::Error + 'static)) -> bool {
    // `ENFILE` and `EMFILE`, the same on every Unix.
    let says_so = |error: &std::io::Error| matches!(error.raw_os_error(), Some(23 | 24));
    std::iter::successors(Some(error), |error| error.source())
        .any(|error| error.downcast_ref::<std::io::Error>().is_some_and(says_so))
}

/// The innermost reason: transport errors wrap what a person can use.
pub fn root_cause(error: &(dyn std::error::Error + 'static)) -> String {
    let mut cause = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_without_descriptors_is_told_from_a_worker_without_the_tensor() {
        let failed = |errno| Status::from_error(Box::new(std::io::Error::from_raw_os_error(errno)));
        assert!([23, 24].into_iter().all(|errno| Miss::from(failed(errno)).exhausted));
        // `ECONNREFUSED`, on Linux and on macOS.
        assert!(![111, 61].into_iter().any(|errno| Miss::from(failed(errno)).exhausted));
        assert!(!Miss::from(not_held(&Digest([0; 32]))).exhausted);
    }
}
