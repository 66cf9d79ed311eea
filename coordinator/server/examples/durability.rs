//! What durability costs on this disk: latent checkpoints from a worker into the artifact directory, rows into the
//! database, and beside each what the disk and BLAKE3 alone could do.
//!
//!     cargo run --release -p wanfarm-server --example durability [DIRECTORY]

#![expect(clippy::disallowed_methods, reason = "waiting for the disk is what it measures")]

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::transport::Endpoint;
use wanfarm_proto::tensors::{TensorSource, service};
use wanfarm_proto::v1::ReadRequest;
use wanfarm_proto::v1::tensors_client::TensorsClient;
use wanfarm_scheduler::{ArtifactId, Change, TextKey};
use wanfarm_server::artifacts::Artifacts;
use wanfarm_server::copies::Copies;
use wanfarm_server::event::{Copied, Event};
use wanfarm_server::source::{Reader, Source};
use wanfarm_server::store::{DataDirectory, Row, SqliteStore, Store};
use wanfarm_types::{DType, Digest, TensorRef, WorkerId};

type Failure = Box<dyn std::error::Error>;

/// The state of a 720p A14B video after a step: latents and three tensors of history, f32 `[16, 21, 90, 160]`.
const SHAPE: [u64; 4] = [16, 21, 90, 160];
const TENSORS: usize = 4;
/// Checkpoints measured.
const CHECKPOINTS: usize = 20;

/// What a worker holds.
#[derive(Clone)]
struct Held(Arc<BTreeMap<Digest, Bytes>>);

impl TensorSource for Held {
    fn tensor(&self, digest: &Digest) -> Option<Bytes> {
        self.0.get(digest).cloned()
    }
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let place = std::env::args().nth(1).unwrap_or_else(|| ".".to_owned());
    let dir = tempfile::tempdir_in(&place)?;
    let (held, checkpoints) = states();
    let bytes: u64 = checkpoints.iter().flatten().filter_map(TensorRef::byte_len).sum();
    println!("{} checkpoints of {:.0} MB in {place}", checkpoints.len(), bytes as f64 / 1e6 / CHECKPOINTS as f64);

    let seconds = hash(&held)?;
    println!("  BLAKE3, 2 threads         {:5.2} GB/s", bytes as f64 / 1e9 / seconds);
    let seconds = copy_in_memory(&held);
    println!("  memory copy               {:5.2} GB/s", bytes as f64 / 1e9 / seconds);
    let seconds = stream(&held).await?;
    println!("  gRPC stream alone         {:5.2} GB/s, loopback, no digest, no disk", bytes as f64 / 1e9 / seconds);
    let seconds = write(dir.path(), &held)?;
    println!("  write and fsync alone     {:5.2} GB/s", bytes as f64 / 1e9 / seconds);
    for at_once in [1, 4] {
        let seconds = copy(&dir.path().join(format!("artifacts {at_once}")), &held, &checkpoints, at_once).await?;
        let rate = bytes as f64 / 1e9 / seconds;
        println!("  worker to disk, {at_once} at once {rate:7.2} GB/s, loopback, digest and fsync included");
    }
    commits(dir.path())
}

/// Tensors that differ, as latents do, without drawing a gigabyte of random numbers.
fn states() -> (Held, Vec<Vec<TensorRef>>) {
    let length = SHAPE.iter().product::<u64>() as usize * 4;
    let base: Vec<u8> = (0..length as u32 / 4).flat_map(|i| i.wrapping_mul(0x9e37_79b9).to_le_bytes()).collect();
    let mut held = BTreeMap::new();
    let mut tensor = |number: usize| {
        let mut bytes = base.clone();
        bytes[..8].copy_from_slice(&(number as u64).to_le_bytes());
        let digest = Digest(*blake3::hash(&bytes).as_bytes());
        held.insert(digest, Bytes::from(bytes));
        TensorRef { digest, dtype: DType::F32, shape: SHAPE.to_vec() }
    };
    let checkpoints =
        (0..CHECKPOINTS).map(|step| (0..TENSORS).map(|index| tensor(step * TENSORS + index)).collect()).collect();
    (Held(Arc::new(held)), checkpoints)
}

fn hash(held: &Held) -> Result<f64, Failure> {
    let pool = rayon_pool()?;
    let started = Instant::now();
    for (digest, bytes) in held.0.iter() {
        let found = pool.install(|| *blake3::Hasher::new().update_rayon(bytes).finalize().as_bytes());
        assert_eq!(found, digest.0);
    }
    Ok(started.elapsed().as_secs_f64())
}

fn rayon_pool() -> Result<rayon::ThreadPool, rayon::ThreadPoolBuildError> {
    rayon::ThreadPoolBuilder::new().num_threads(2).build()
}

fn write(dir: &Path, held: &Held) -> Result<f64, Failure> {
    let started = Instant::now();
    for (number, bytes) in held.0.values().enumerate() {
        let mut file = std::fs::File::create(dir.join(number.to_string()))?;
        file.write_all(bytes)?;
        file.sync_all()?;
    }
    let seconds = started.elapsed().as_secs_f64();
    (0..held.0.len()).try_for_each(|number| std::fs::remove_file(dir.join(number.to_string())))?;
    Ok(seconds)
}

fn copy_in_memory(held: &Held) -> f64 {
    let mut target = vec![0; SHAPE.iter().product::<u64>() as usize * 4];
    let started = Instant::now();
    for bytes in held.0.values() {
        target.copy_from_slice(bytes);
        std::hint::black_box(&target);
    }
    started.elapsed().as_secs_f64()
}

/// The tensor service read by nothing but its own client, one tensor after another.
async fn stream(held: &Held) -> Result<f64, Failure> {
    let (url, server) = serve(held).await?;
    // As the product dials it.
    let endpoint = Endpoint::from_shared(url)?.tcp_nodelay(true).initial_stream_window_size(4 << 20);
    let endpoint = endpoint.initial_connection_window_size(16 << 20).max_frame_size(256 << 10);
    let mut client = TensorsClient::new(endpoint.connect().await?);
    let started = Instant::now();
    for (digest, bytes) in held.0.iter() {
        let mut chunks = client.read(ReadRequest { digest: digest.0.to_vec(), offset: 0 }).await?.into_inner();
        let mut arrived = 0;
        while let Some(chunk) = chunks.message().await? {
            arrived += chunk.data.len();
        }
        assert_eq!(arrived, bytes.len());
    }
    server.abort();
    Ok(started.elapsed().as_secs_f64())
}

type Server = tokio::task::JoinHandle<Result<(), tonic::transport::Error>>;

async fn serve(held: &Held) -> Result<(String, Server), Failure> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}", listener.local_addr()?);
    let server = tonic::transport::Server::builder().tcp_nodelay(true).add_service(service(held.clone()));
    Ok((url, tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)))))
}

/// As the coordinator does it: pulled through the tensor service, checked, put into the artifact directory.
async fn copy(dir: &Path, held: &Held, checkpoints: &[Vec<TensorRef>], at_once: usize) -> Result<f64, Failure> {
    let (url, server) = serve(held).await?;
    let (events, mut answers) = mpsc::channel(64);
    let location = Some(url.parse()?);
    let source = Source { location, ..Source::nowhere("held here".to_owned()) };
    let mut copies = Copies::new(Artifacts::open(dir)?, Reader::default(), events);
    let started = Instant::now();
    let mut waiting = checkpoints.iter().enumerate();
    let mut out = 0;
    loop {
        while out < at_once
            && let Some((number, tensors)) = waiting.next()
        {
            let artifact = ArtifactId::Text(TextKey(Digest([number as u8; 32])));
            copies.start(artifact, tensors.clone(), WorkerId(uuid::Uuid::nil()), source.clone());
            out += 1;
        }
        if out == 0 {
            break;
        }
        match answers.recv().await {
            Some(Event::Copied { copied: Copied::Made, .. }) => out -= 1,
            other => return Err(format!("a copy failed: {other:?}").into()),
        }
    }
    let seconds = started.elapsed().as_secs_f64();
    server.abort();
    std::fs::remove_dir_all(dir)?;
    Ok(seconds)
}

/// Rows of checkpoints that become durable, several in one commit as they arrive in one turn of the driver.
fn commits(dir: &Path) -> Result<(), Failure> {
    let directory = DataDirectory::open(&dir.join("data"))?;
    let mut store = SqliteStore::open(&directory)?;
    for events in [1, 10, 100, 1000] {
        let (rounds, mut number) = (if events < 100 { 200 } else { 20 }, 0u64);
        let started = Instant::now();
        for _ in 0..rounds {
            let rows: Vec<Row> = (0..events).flat_map(|_| durable(&mut number)).collect();
            store.commit(&rows)?;
        }
        let seconds = started.elapsed().as_secs_f64();
        println!(
            "  {events:4} events a commit       {:7.0} events/s, {:.1} ms a commit",
            f64::from(rounds * events) / seconds,
            1e3 * seconds / f64::from(rounds)
        );
    }
    Ok(())
}

/// A checkpoint has become durable and the one before it is forgotten.
fn durable(number: &mut u64) -> [Row; 2] {
    let name = |number: u64| {
        let mut digest = [0; 32];
        digest[..8].copy_from_slice(&number.to_le_bytes());
        Digest(digest)
    };
    *number += 1;
    let artifact = |number| ArtifactId::Text(TextKey(name(number)));
    let tensor = |index| TensorRef { digest: name(*number * 4 + index), dtype: DType::F32, shape: SHAPE.to_vec() };
    let tensors = (0..TENSORS as u64).map(tensor).collect();
    [
        Row::Scheduler(Change::ArtifactDurable { artifact: artifact(*number), tensors }),
        Row::Scheduler(Change::ArtifactForgotten(artifact(*number - 1))),
    ]
}
