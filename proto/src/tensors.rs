//! The tensor service: serving tensors by digest, and reading them from their holders.
//!
//! A reader trusts nothing: the length is known before the first byte, memory grows only with what arrives,
//! and bytes whose digest differs are thrown away and the next location is tried.

mod pulling;

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use futures::{FutureExt, Stream, StreamExt};
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Response, Status};
use wanfarm_types::{DType, Digest, Incarnation, TensorRef};

use crate::Location;
use crate::dial::Way;
use crate::v1::tensors_client::TensorsClient;
use crate::v1::tensors_server::{Tensors, TensorsServer};
use crate::v1::{Chunk, ReadRequest};
use pulling::{LocationError, length_of};

pub use pulling::{PullError, Pulling};

/// Bytes per message. Large enough that per-message cost vanishes, and small enough that a chunk is still in the
/// processor's cache when it is copied the next time: of 64 KiB, 256 KiB and 1 MiB the fastest over loopback.
pub const CHUNK_BYTES: usize = 256 << 10;

/// No tensor that belongs here is larger: 720p frames of a 4,097-frame video are 11 GiB.
pub const MAX_TENSOR_BYTES: u64 = 16 << 30;

/// How long a location may take to accept a connection: not long, for there is another way to a tensor.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a location may take to answer, and to send the next chunk.
const READ_TIMEOUT: Duration = Duration::from_secs(20);

/// How long an unreachable location is skipped, where there is another.
const SKIP_TIME: Duration = Duration::from_secs(60);

/// A connection on which nothing is heard for this long, and then no answer for as long again, is cut.
const KEEP_ALIVE: Duration = Duration::from_secs(10);

/// Connections kept open at once; a farm has at most a few hundred machines.
const MAX_CHANNELS: usize = 512;

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

/// The bytes of a tensor, in chunks.
pub type Chunks = BoxStream<'static, Result<Bytes, Status>>;

/// Something that serves tensors in chunks. Everything that holds them in memory does.
pub trait ChunkSource: Send + Sync + 'static {
    /// The bytes of a tensor from `offset` on; an error says why not, `not_found` that it is not held.
    fn chunks(&self, digest: Digest, offset: u64) -> BoxFuture<'static, Result<Chunks, Status>>;
}

/// That a tensor is not here.
pub fn not_held(digest: &Digest) -> Status {
    Status::not_found(format!("no tensor {digest} is held here"))
}

/// That a tensor has no such place.
pub fn beyond(digest: &Digest, offset: u64, length: u64) -> Status {
    Status::out_of_range(format!("offset {offset} is beyond the {length} bytes of {digest}"))
}

impl<S: TensorSource + Clone> ChunkSource for S {
    fn chunks(&self, digest: Digest, offset: u64) -> BoxFuture<'static, Result<Chunks, Status>> {
        let source = self.clone();
        let find = async move {
            let found = tokio::task::spawn_blocking(move || source.tensor(&digest)).await;
            let bytes = found.map_err(|error| Status::internal(error.to_string()))?;
            let bytes = bytes.ok_or_else(|| not_held(&digest))?;
            let start = usize::try_from(offset).ok().filter(|&start| start <= bytes.len());
            let mut rest = bytes.slice(start.ok_or_else(|| beyond(&digest, offset, bytes.len() as u64))?..);
            let chunks =
                std::iter::from_fn(move || (!rest.is_empty()).then(|| Ok(rest.split_to(CHUNK_BYTES.min(rest.len())))));
            Ok(futures::stream::iter(chunks).boxed())
        };
        find.boxed()
    }
}

/// The gRPC service over a source.
pub fn service<S: ChunkSource>(source: S) -> TensorsServer<impl Tensors> {
    TensorsServer::new(Service { source })
}

struct Service<S> {
    source: S,
}

#[tonic::async_trait]
impl<S: ChunkSource> Tensors for Service<S> {
    type ReadStream = Pin<Box<dyn Stream<Item = Result<Chunk, Status>> + Send>>;

    async fn read(&self, request: Request<ReadRequest>) -> Result<Response<Self::ReadStream>, Status> {
        let ReadRequest { digest, offset } = request.into_inner();
        let digest = crate::convert::digest_field(&digest)?;
        let chunks = self.source.chunks(digest, offset).await?;
        Ok(Response::new(Box::pin(chunks.map(|chunk| chunk.map(|data| Chunk { data })))))
    }
}

/// What the tensor service of one boot of a worker holds from the start: a peer that can read it has reached that process,
/// and no other.
pub fn mark(incarnation: Incarnation) -> (TensorRef, Bytes) {
    let bytes = Bytes::copy_from_slice(incarnation.0.as_bytes());
    let digest = Digest(*blake3::hash(&bytes).as_bytes());
    (TensorRef { digest, dtype: DType::U8, shape: vec![bytes.len() as u64] }, bytes)
}

/// Reads tensors, keeping connections open between reads. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct Puller {
    way: Way,
    known: Arc<Mutex<Known>>,
}

#[derive(Debug, Default)]
struct Known {
    channels: BTreeMap<String, Channel>,
    /// Unreachable locations, and when they were tried.
    unreachable: BTreeMap<String, Instant>,
}

impl Puller {
    /// One that dials those who hold them so.
    pub fn new(way: Way) -> Self {
        Self { way, known: Arc::default() }
    }

    /// Reads a tensor from the first location that delivers it whole; length and digest are checked. Locations that
    /// were unreachable lately are skipped; the last is asked in any case.
    ///
    /// # Errors
    /// When no location did, with every reason.
    pub async fn pull(&self, tensor: &TensorRef, locations: &[String]) -> Result<Bytes, PullError> {
        let digest = tensor.digest;
        let length = length_of(tensor)?;
        let (mut tried, mut reached, mut exhausted) = (Vec::new(), true, false);
        for (index, location) in locations.iter().enumerate() {
            if index + 1 < locations.len() && self.is_passed_over(location) {
                continue;
            }
            match self.pull_from(digest, length, location).await {
                Ok(bytes) => {
                    self.lock().unreachable.remove(location);
                    return Ok(bytes);
                }
                Err(error) => {
                    if !error.reached {
                        self.lock().unreachable.insert(location.clone(), Instant::now());
                    }
                    tried.push(format!("{location}: {}", error.why));
                    reached = error.reached;
                    exhausted |= error.exhausted;
                }
            }
        }
        if tried.is_empty() {
            tried.push("no location is known".to_owned());
        }
        Err(PullError::Unavailable { digest, tried, reached, exhausted })
    }

    /// Opens a tensor at one location, to be read in chunks: for those that do not want it in memory whole.
    ///
    /// # Errors
    /// When the location does not have it, or is unreachable.
    pub async fn open(&self, tensor: &TensorRef, location: &str) -> Result<Pulling, PullError> {
        let digest = tensor.digest;
        let length = length_of(tensor)?;
        self.begin(digest, length, location).await.map_err(|error| error.of(digest, location))
    }

    async fn begin(&self, digest: Digest, length: u64, location: &str) -> Result<Pulling, LocationError> {
        let mut client = TensorsClient::new(self.channel(location).map_err(LocationError::refused)?);
        let request = ReadRequest { digest: digest.0.to_vec(), offset: 0 };
        let reply = tokio::time::timeout(READ_TIMEOUT, client.read(request))
            .await
            .map_err(|_| LocationError::unreachable("no answer"))?;
        let chunks = reply?.into_inner().map(|chunk| chunk.map(|chunk| chunk.data)).boxed();
        Ok(Pulling::of(digest, length, location.to_owned(), chunks))
    }

    async fn pull_from(&self, digest: Digest, length: u64, location: &str) -> Result<Bytes, LocationError> {
        self.begin(digest, length, location).await?.collect().await
    }

    fn is_passed_over(&self, location: &str) -> bool {
        self.lock().unreachable.get(location).is_some_and(|since| since.elapsed() < SKIP_TIME)
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The connection to a location; it is made when first used and again after it broke.
    fn channel(&self, location: &str) -> Result<Channel, String> {
        let mut known = self.lock();
        if let Some(channel) = known.channels.get(location) {
            return Ok(channel.clone());
        }
        // What a peer calls an address may be anything: no scheme, no file of this machine.
        let checked: Location = location.parse().map_err(|error| format!("{error}"))?;
        let endpoint =
            Endpoint::from_shared(format!("http://{checked}")).map_err(|error| format!("not an address: {error}"))?;
        let endpoint = endpoint
            .connect_timeout(CONNECT_TIMEOUT)
            .tcp_nodelay(true)
            .http2_keep_alive_interval(KEEP_ALIVE)
            .keep_alive_timeout(KEEP_ALIVE)
            // Latents are tens of megabytes: the default 64 KiB window would make each a series of round trips. More than
            // a fast network has under way only leaves the processor's cache.
            .initial_stream_window_size(4 << 20)
            .initial_connection_window_size(16 << 20)
            // The default of 16 KiB would cut each chunk into sixteen.
            .max_frame_size(CHUNK_BYTES as u32);
        let channel = self.way.connect_lazy(&endpoint);
        if known.channels.len().max(known.unreachable.len()) >= MAX_CHANNELS {
            // Workers come and go under new ports; forgetting an open connection only costs opening it again.
            *known = Known::default();
        }
        known.channels.insert(location.to_owned(), channel.clone());
        Ok(channel)
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
        assert!([23, 24].into_iter().all(|errno| LocationError::from(failed(errno)).exhausted));
        // `ECONNREFUSED`, on Linux and on macOS.
        assert!(![111, 61].into_iter().any(|errno| LocationError::from(failed(errno)).exhausted));
        assert!(!LocationError::from(not_held(&Digest([0; 32]))).exhausted);
    }
}
