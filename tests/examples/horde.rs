//! Pretended workers for a real coordinator: they attach, take items, let time pass, report, and serve tensors of the
//! right form. What a coordinator costs with a thousand of them is measured without a thousand machines.
//!
//!     cargo run --release -p wanfarm-tests --example horde -- COORDINATOR_URL WORKERS MILLISECONDS_PER_STEP
//!
//! Four in ten hold each expert of a model named `horde`, one in ten encodes text and one in ten decodes; the slowest is
//! four times as slow as the fastest. Runs until it is killed, or until a coordinator refuses it or goes away.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tonic::transport::{Endpoint, Server};
use wanfarm_proto::tensors::{TensorSource, mark, service};
use wanfarm_proto::v1::coordinator_message::Body as Order;
use wanfarm_proto::v1::worker_message::Body as Word;
use wanfarm_proto::v1::{self, dispatch_client::DispatchClient};
use wanfarm_proto::{MAX_MESSAGE_BYTES, PROTOCOL};
use wanfarm_types::{Digest, Incarnation};

/// What all of them hold, and for how many of their results.
#[derive(Clone, Default)]
struct Held(Arc<Mutex<HashMap<Digest, (Bytes, usize)>>>);

impl TensorSource for Held {
    fn tensor(&self, digest: &Digest) -> Option<Bytes> {
        Some(self.0.lock().unwrap_or_else(PoisonError::into_inner).get(digest)?.0.clone())
    }
}

impl Held {
    /// A tensor whose bytes follow from `name`.
    fn make(&self, name: &str, kind: v1::DataType, shape: &[u64]) -> (Digest, v1::TensorRef) {
        let width = if kind == v1::DataType::U8 { 1 } else { 4 };
        let mut bytes = vec![0; shape.iter().product::<u64>() as usize * width];
        blake3::Hasher::new().update(name.as_bytes()).finalize_xof().fill(&mut bytes);
        let digest = Digest(*blake3::hash(&bytes).as_bytes());
        let tensor = v1::TensorRef {
            digest: digest.0.to_vec(),
            data_type: kind.into(),
            shape: shape.to_vec(),
            byte_length: bytes.len() as u64,
            locations: Vec::new(),
        };
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        held.entry(digest).or_insert((bytes.into(), 0)).1 += 1;
        (digest, tensor)
    }

    /// What the coordinator reads to know that it has reached this worker.
    fn show(&self, incarnation: Incarnation) {
        let (name, bytes) = mark(incarnation);
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(name.digest, (bytes, 1));
    }

    fn free(&self, digests: Vec<Digest>) {
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for digest in digests {
            if let Some((_, users)) = held.get_mut(&digest) {
                *users -= 1;
                if *users == 0 {
                    held.remove(&digest);
                }
            }
        }
    }
}

#[tokio::main]
async fn main() -> Result<()> {
    let mut args = std::env::args().skip(1);
    let (Some(url), Some(workers), Some(pace)) = (args.next(), args.next(), args.next()) else {
        bail!("usage: horde COORDINATOR_URL WORKERS MILLISECONDS_PER_STEP");
    };
    let (workers, pace): (u64, u64) = (workers.parse()?, pace.parse()?);
    let held = Held::default();
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let tensors = format!("http://{}", listener.local_addr()?);
    let server = Server::builder().add_service(service(held.clone()));
    tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
    let mut all = JoinSet::new();
    for number in 0..workers {
        let pace = Duration::from_millis(pace * (100 + 300 * number / workers) / 100);
        all.spawn(Worker::attach(url.clone(), number, pace, tensors.clone(), held.clone()));
    }
    while let Some(ended) = all.join_next().await {
        ended??;
    }
    Ok(())
}

struct Worker {
    words: mpsc::Sender<v1::WorkerMessage>,
    pace: Duration,
    held: Held,
    /// Given and not begun.
    waiting: VecDeque<v1::Assign>,
    running: Option<Running>,
    /// What it holds for each attempt.
    results: BTreeMap<u64, Vec<Digest>>,
}

struct Running {
    assign: v1::Assign,
    reached: u32,
    /// When its next step, or all of it, is done.
    ready: Instant,
    stopping: bool,
}

impl Worker {
    async fn attach(url: String, number: u64, pace: Duration, tensors: String, held: Held) -> Result<()> {
        let channel = Endpoint::from_shared(url)?.tcp_nodelay(true).connect().await.context("the coordinator")?;
        let mut client = DispatchClient::new(channel).max_decoding_message_size(MAX_MESSAGE_BYTES);
        let (words, outgoing) = mpsc::channel(64);
        let mut worker = Self { words, pace, held, waiting: VecDeque::new(), running: None, results: BTreeMap::new() };
        let hello = hello(number, tensors);
        worker.held.show(Incarnation(hello.incarnation.parse()?));
        worker.say(Word::Hello(hello)).await?;
        let mut orders = client.attach(ReceiverStream::new(outgoing)).await?.into_inner();
        let mut beat = tokio::time::interval(Duration::from_secs(5));
        loop {
            // Far away when nothing runs.
            let ready = worker.running.as_ref().map_or(Instant::now() + Duration::from_secs(3600), |item| item.ready);
            tokio::select! {
                order = orders.message() => match order?.and_then(|message| message.body) {
                    Some(order) => worker.heed(order).await?,
                    None => bail!("the coordinator closed the connection"),
                },
                _ = beat.tick() => worker.say(Word::Heartbeat(v1::Heartbeat {})).await?,
                () = tokio::time::sleep_until(ready) => worker.advance().await?,
            }
        }
    }

    async fn say(&self, word: Word) -> Result<()> {
        Ok(self.words.send(v1::WorkerMessage { body: Some(word) }).await?)
    }

    async fn heed(&mut self, order: Order) -> Result<()> {
        match order {
            Order::Refused(v1::Refused { reason, .. }) => bail!("refused: {reason}"),
            Order::Assign(assign) => self.waiting.push_back(assign),
            Order::Revoke(v1::Revoke { attempt }) => {
                let before = self.waiting.len();
                self.waiting.retain(|assign| assign.attempt != attempt);
                if self.waiting.len() < before {
                    self.say(Word::Revoked(v1::Revoked { attempt })).await?;
                }
            }
            Order::StopAfterStep(v1::StopAfterStep { attempt }) => {
                if let Some(item) = self.running.as_mut().filter(|item| item.assign.attempt == attempt) {
                    item.stopping = true;
                }
            }
            Order::Drop(v1::Drop { attempt }) => {
                self.waiting.retain(|assign| assign.attempt != attempt);
                self.running.take_if(|item| item.assign.attempt == attempt);
                self.held.free(self.results.remove(&attempt).unwrap_or_default());
            }
            _ => {}
        }
        self.begin().await
    }

    async fn begin(&mut self) -> Result<()> {
        if self.running.is_none()
            && let Some(assign) = self.waiting.pop_front()
        {
            let attempt = assign.attempt;
            let reached = item(&assign)?.1.first;
            self.running = Some(Running { assign, reached, ready: Instant::now() + self.pace, stopping: false });
            self.say(Word::Started(v1::Started { attempt })).await?;
        }
        Ok(())
    }

    /// A step, or an item that has none, is done.
    async fn advance(&mut self) -> Result<()> {
        let Some(mut running) = self.running.take() else { return Ok(()) };
        let attempt = running.assign.attempt;
        let (stage, steps) = item(&running.assign)?;
        let seconds = self.pace.as_secs_f64();
        let timing = Some(v1::StepTiming { seconds, ..Default::default() });
        if matches!(stage, v1::Stage::EncodeText | v1::Stage::EncodeImage | v1::Stage::Decode) {
            let (kind, shape) = match stage {
                v1::Stage::Decode => (v1::DataType::U8, vec![17, 64, 64, 3]),
                _ => (v1::DataType::F32, vec![8, 64]),
            };
            let tensors = vec![self.make(attempt, 0, kind, &shape)];
            self.say(Word::ItemDone(v1::ItemDone { attempt, tensors, checkpoint: None, timing })).await?;
            return self.begin().await;
        }
        running.reached += 1;
        let latents = |worker: &mut Self, index| {
            worker.make(attempt, u64::from(running.reached) * 2 + index, v1::DataType::F32, &[16, 5, 8, 8])
        };
        let tensors = vec![latents(self, 0), latents(self, 1)];
        let checkpoint = Some(v1::Checkpoint { steps_done: running.reached, tensors });
        if running.reached == steps.end || running.stopping {
            let done = v1::ItemDone { attempt, tensors: Vec::new(), checkpoint, timing };
            self.say(Word::ItemDone(done)).await?;
            return self.begin().await;
        }
        self.say(Word::StepDone(v1::StepDone { attempt, checkpoint, seconds })).await?;
        running.ready += self.pace;
        self.running = Some(running);
        Ok(())
    }

    /// A result of an attempt. Of its states only the last two are kept: the one before may be on its way.
    fn make(&mut self, attempt: u64, number: u64, kind: v1::DataType, shape: &[u64]) -> v1::TensorRef {
        let (digest, tensor) = self.held.make(&format!("{attempt}/{number}"), kind, shape);
        let mine = self.results.entry(attempt).or_default();
        mine.push(digest);
        let stale = mine.len().saturating_sub(4);
        self.held.free(mine.drain(..stale).collect());
        tensor
    }
}

fn item(assign: &v1::Assign) -> Result<(v1::Stage, v1::StepRange)> {
    let item = assign.item.as_ref().context("an assignment without an item")?;
    Ok((item.stage(), item.steps.context("an item without steps")?))
}

fn hello(number: u64, tensor_url: String) -> v1::Hello {
    let role = match number % 10 {
        0..4 => v1::Role::DitHigh,
        4..8 => v1::Role::DitLow,
        8 => v1::Role::TextEncoder,
        _ => v1::Role::Vae,
    };
    let card = v1::ModelCard {
        name: "horde".to_owned(),
        preset: "t2v-A14B".to_owned(),
        boundary: Some(0.875),
        transformer: Some(v1::Transformer { dim: 5120, num_layers: 40, ..Default::default() }),
        vae: v1::VaeKind::Wan21.into(),
        geometry: Some(v1::Geometry { latent_channels: 16, stride_t: 4, stride_hw: 8, patch: 2 }),
        defaults: Some(v1::Defaults {
            width: 64,
            height: 64,
            frames: 17,
            fps: Some(v1::FrameRate { numerator: 8, denominator: 1 }),
            steps: 40,
            shift: 12.0,
            solver: v1::SolverKind::Unipc.into(),
            guidance: Some(v1::Guidance { high: 4.0, low: 3.0 }),
            negative: String::new(),
        }),
        ..Default::default()
    };
    let files = vec![v1::ModelFile { path: "weights".to_owned(), blake3: vec![role as u8; 32] }];
    v1::Hello {
        protocol: PROTOCOL,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        worker_id: format!("00000000-0000-4000-8000-{number:012x}"),
        incarnation: format!("00000000-0000-4000-9000-{number:012x}"),
        name: format!("horde-{number:04}"),
        roles: vec![role.into()],
        models: vec![v1::ServedModel {
            card: Some(card),
            roles: vec![v1::ServedRole { role: role.into(), files, ..Default::default() }],
        }],
        device: "pretended".to_owned(),
        memory_bytes: 64 << 30,
        tensor_url,
        ..Default::default()
    }
}
