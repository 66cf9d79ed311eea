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
use wanfarm_proto::MAX_MESSAGE_BYTES;
use wanfarm_proto::tensors::{TensorSource, mark, service};
use wanfarm_proto::v1::{self, dispatch_client::DispatchClient};
use wanfarm_sampling::history_len;
use wanfarm_types::{
    Assignment, AttemptId, Checkpoint, CoordinatorMessage, DType, Defaults, Digest, Experts, Footprint, Hello,
    Incarnation, ItemOutputs, ModelFile, ModelInfo, Report, Role, ServedModel, ServedRole, Stage, StepTiming,
    TensorRef, WorkerId, WorkerMessage,
};

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
    fn make(&self, name: &str, dtype: DType, shape: &[u64]) -> TensorRef {
        let mut bytes = vec![0; (shape.iter().product::<u64>() * dtype.size()) as usize];
        blake3::Hasher::new().update(name.as_bytes()).finalize_xof().fill(&mut bytes);
        let digest = Digest(*blake3::hash(&bytes).as_bytes());
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        held.entry(digest).or_insert((bytes.into(), 0)).1 += 1;
        TensorRef { digest, dtype, shape: shape.to_vec() }
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
    let tensors = listener.local_addr()?.to_string();
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
    words: mpsc::Sender<v1::Frame>,
    pace: Duration,
    held: Held,
    /// Given and not begun.
    waiting: VecDeque<Assignment>,
    running: Option<Running>,
    /// What it holds for each attempt.
    results: BTreeMap<AttemptId, Vec<Digest>>,
}

struct Running {
    assignment: Assignment,
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
        worker.held.show(hello.incarnation);
        worker.words.send(v1::Frame::of(&hello)).await?;
        let mut orders = client.attach(ReceiverStream::new(outgoing)).await?.into_inner();
        let mut beat = tokio::time::interval(Duration::from_secs(5));
        loop {
            // Far away when nothing runs.
            let ready = worker.running.as_ref().map_or(Instant::now() + Duration::from_secs(3600), |item| item.ready);
            tokio::select! {
                order = orders.message() => match order? {
                    Some(order) => worker.heed(order.read()?).await?,
                    None => bail!("the coordinator closed the connection"),
                },
                _ = beat.tick() => worker.say(WorkerMessage::Heartbeat).await?,
                () = tokio::time::sleep_until(ready) => worker.advance().await?,
            }
        }
    }

    async fn say(&self, word: WorkerMessage) -> Result<()> {
        Ok(self.words.send(v1::Frame::of(&word)).await?)
    }

    async fn report(&self, attempt: AttemptId, report: Report) -> Result<()> {
        self.say(WorkerMessage::Report(attempt, report)).await
    }

    async fn heed(&mut self, order: CoordinatorMessage) -> Result<()> {
        match order {
            CoordinatorMessage::Refused { reason, .. } => bail!("refused: {reason}"),
            CoordinatorMessage::Assign(assignment) => self.waiting.push_back(*assignment),
            CoordinatorMessage::Revoke(attempt) => {
                let before = self.waiting.len();
                self.waiting.retain(|waiting| waiting.attempt != attempt);
                if self.waiting.len() < before {
                    self.report(attempt, Report::Revoked).await?;
                }
            }
            CoordinatorMessage::StopAfterStep(attempt) => {
                if let Some(item) = self.running.as_mut().filter(|item| item.assignment.attempt == attempt) {
                    item.stopping = true;
                }
            }
            CoordinatorMessage::Drop(attempt) => {
                self.waiting.retain(|waiting| waiting.attempt != attempt);
                self.running.take_if(|item| item.assignment.attempt == attempt);
                self.held.free(self.results.remove(&attempt).unwrap_or_default());
            }
            _ => {}
        }
        self.begin().await
    }

    async fn begin(&mut self) -> Result<()> {
        if self.running.is_none()
            && let Some(assignment) = self.waiting.pop_front()
        {
            let (attempt, reached) = (assignment.attempt, assignment.item.steps.first);
            self.running = Some(Running { assignment, reached, ready: Instant::now() + self.pace, stopping: false });
            self.report(attempt, Report::Started).await?;
        }
        Ok(())
    }

    /// A step, or an item that has none, is done.
    async fn advance(&mut self) -> Result<()> {
        let Some(mut running) = self.running.take() else { return Ok(()) };
        let (attempt, item) = (running.assignment.attempt, running.assignment.item);
        let seconds = self.pace.as_secs_f64();
        let timing = StepTiming { seconds, ..StepTiming::default() };
        let outputs = match item.stage {
            Stage::EncodeText => ItemOutputs::Text(self.make(attempt, 0, DType::F32, &[8, 64])),
            Stage::EncodeImage => ItemOutputs::Image(vec![self.make(attempt, 0, DType::F32, &[8, 64])]),
            Stage::Decode => ItemOutputs::Frames(self.make(attempt, 0, DType::U8, &[17, 64, 64, 3])),
            Stage::DenoiseHigh | Stage::DenoiseLow | Stage::Denoise => {
                running.reached += 1;
                let steps_done = running.reached;
                let number = u64::from(steps_done) * 8;
                let spec = &running.assignment.spec;
                let count = 1 + history_len(spec.solver, steps_done, spec.steps_run()) as u64;
                let latents = (0..count).map(|index| self.make(attempt, number + index, DType::F32, &[16, 5, 8, 8]));
                let checkpoint = Checkpoint { steps_done, tensors: latents.collect() };
                if steps_done < item.steps.end && !running.stopping {
                    self.report(attempt, Report::StepDone { checkpoint, seconds }).await?;
                    running.ready += self.pace;
                    self.running = Some(running);
                    return Ok(());
                }
                ItemOutputs::Checkpoint(checkpoint)
            }
        };
        self.report(attempt, Report::ItemDone { outputs, timing }).await?;
        self.begin().await
    }

    /// A result of an attempt. Of its states only the last two are kept: the one before may be on its way.
    fn make(&mut self, attempt: AttemptId, number: u64, dtype: DType, shape: &[u64]) -> TensorRef {
        let tensor = self.held.make(&format!("{attempt}/{number}"), dtype, shape);
        let mine = self.results.entry(attempt).or_default();
        mine.push(tensor.digest);
        let stale = mine.len().saturating_sub(8);
        self.held.free(mine.drain(..stale).collect());
        tensor
    }
}

fn hello(number: u64, tensor_address: String) -> Hello {
    let role = match number % 10 {
        0..4 => Role::DitHigh,
        4..8 => Role::DitLow,
        8 => Role::TextEncoder,
        _ => Role::Vae,
    };
    let info = wanfarm_types::fixtures::info(Experts::Dual { boundary: 0.875 });
    let defaults = Defaults { width: 64, height: 64, frames: 17, ..info.defaults };
    let info = ModelInfo { name: "horde".to_owned(), defaults, ..info };
    let files = vec![ModelFile { path: "weights".to_owned(), blake3: Digest([role as u8; 32]) }];
    let id = |kind: u128| uuid::Uuid::from_u128(kind << 64 | u128::from(number));
    Hello {
        worker: WorkerId(id(1)),
        incarnation: Incarnation(id(2)),
        name: format!("horde-{number:04}"),
        host: format!("host-{:03}", number / 4),
        device: "pretended".to_owned(),
        memory_bytes: 64 << 30,
        budget_bytes: None,
        loaded: Vec::new(),
        tensor_address,
        models: vec![ServedModel {
            info,
            roles: vec![ServedRole {
                role,
                files,
                encoding: "f32".to_owned(),
                bytes: 0,
                footprint: Footprint::default(),
            }],
            beside: Vec::new(),
        }],
        running: Vec::new(),
        holding: Vec::new(),
    }
}
