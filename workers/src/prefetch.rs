//! Inputs of the next item, fetched while the device computes: from this worker's own memory, else straight from the
//! producer, else from the coordinator's durable copy; and the LoRA files it needs. Not when to fetch (`assignments`).

use std::sync::Arc;
use std::time::Duration;

use futures::future::try_join_all;
use tracing::debug;
use wanfarm_proto::tensors::{PullError, Puller, TensorSource};
use wanfarm_sampling::values::Examination;
use wanfarm_types::{Assignment, Failure, LoraRef, TensorRef};

use crate::assignments::inputs_lost;
use crate::loras::{LoraMissing, Loras};
use crate::runner::{HostTensor, PreparedItem, State};
use crate::tensors::TensorStore;

/// Pause before a coordinator that could not be reached is asked again.
const RETRY_DELAY: Duration = Duration::from_secs(1);

/// Reads inputs.
#[derive(Debug, Clone)]
pub(crate) struct Prefetch {
    own: Arc<TensorStore>,
    loras: Arc<Loras>,
    puller: Puller,
}

impl Prefetch {
    /// Reads from others by this.
    pub(crate) fn new(own: Arc<TensorStore>, loras: Arc<Loras>, puller: Puller) -> Self {
        Self { own, loras, puller }
    }

    /// All inputs of an assignment, or the failure to get one of them. `coordinator` is asked when no location that
    /// came with a tensor delivers it, and only its word counts: while it cannot be reached, nothing is known to be
    /// lost, and the fetch goes on until it is cancelled.
    pub(crate) async fn fetch(&self, assignment: &Assignment, coordinator: String) -> Result<PreparedItem, Failure> {
        let inputs = &assignment.inputs;
        let places = |name: &TensorRef| assignment.locations.get(&name.digest).map_or(&[][..], Vec::as_slice);
        let tensors = try_join_all(inputs.tensors().map(|name| self.tensor(name, places(name), &coordinator))).await?;
        let examined = tokio::task::spawn_blocking(move || examine(tensors)).await;
        let tensors = examined.map_err(|broken| Failure::transient(format!("looking at the inputs: {broken}")))??;
        if let Some(expert) = assignment.item.stage.expert() {
            for lora in assignment.spec.loras.iter().filter(|lora| lora.is_for(expert)) {
                self.lora(lora, &coordinator).await?;
            }
        }
        let mut tensors = tensors.into_iter();
        let mut take = |count: usize| tensors.by_ref().take(count).collect::<Vec<_>>();
        let contexts = take(inputs.text.len());
        let image = take(inputs.image.len());
        let state = inputs
            .checkpoint
            .as_ref()
            .map(|checkpoint| State { steps_done: checkpoint.steps_done, tensors: take(checkpoint.tensors.len()) });
        let Assignment { item, spec, text, keep, .. } = assignment.clone();
        Ok(PreparedItem { item, spec, text, contexts, image, state, keep })
    }

    /// Sees to it that a LoRA file is on this machine.
    async fn lora(&self, lora: &LoraRef, coordinator: &str) -> Result<(), Failure> {
        let (loras, wanted) = (self.loras.clone(), lora.clone());
        let found = tokio::task::spawn_blocking(move || loras.find(&wanted)).await;
        let found = found.map_err(|error| Failure::transient(error.to_string()))?;
        if found.map_err(Failure::deterministic)?.is_some() {
            return Ok(());
        }
        loop {
            match self.loras.fetch(lora, &self.puller, coordinator).await {
                Ok(()) => return Ok(()),
                Err(LoraMissing::Unreachable(error)) => debug!("{error}; asking again"),
                // Another worker may have it.
                Err(missing) => return Err(Failure::transient(missing.to_string())),
            }
            tokio::time::sleep(RETRY_DELAY).await;
        }
    }

    async fn tensor(&self, name: &TensorRef, places: &[String], coordinator: &str) -> Result<HostTensor, Failure> {
        if let Some(bytes) = self.own.tensor(&name.digest) {
            // One digest, one sequence of bytes; but another shape may be claimed for it.
            if name.byte_len() == Some(bytes.len() as u64) {
                return Ok(HostTensor { name: name.clone(), bytes });
            }
        }
        let mut places: Vec<String> = places.iter().filter(|place| !place.is_empty()).cloned().collect();
        places.retain(|place| place.trim_end_matches('/') != coordinator.trim_end_matches('/'));
        places.push(coordinator.to_owned());
        loop {
            match self.puller.pull(name, &places).await {
                Ok(bytes) => return Ok(HostTensor { name: name.clone(), bytes }),
                Err(error @ PullError::Unavailable { reached: false, .. }) => debug!("{error}; asking again"),
                Err(error) => return Err(inputs_lost(error.to_string())),
            }
            tokio::time::sleep(RETRY_DELAY).await;
        }
    }
}

/// Inputs that nothing can be computed with are the fault of whoever made them. For this worker they are as good as lost.
fn examine(tensors: Vec<HostTensor>) -> Result<Vec<HostTensor>, Failure> {
    for HostTensor { name, bytes } in &tensors {
        Examination::of(name.dtype).read(bytes).map_err(|unsound| {
            inputs_lost(format!(
                "the input {} is of no use to anybody: {unsound}; it has to be made again",
                name.digest
            ))
        })?;
    }
    Ok(tensors)
}
