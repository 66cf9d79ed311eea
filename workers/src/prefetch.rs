//! Inputs of the next item, fetched while the device computes: from this worker's own memory, else straight from the
//! producer, else from the next place that has them. Not when to fetch (`assignments`).

use std::sync::Arc;

use futures::future::try_join_all;
use wanfarm_proto::tensors::{Puller, TensorSource};
use wanfarm_types::{Failure, TensorRef};

use crate::assignments::{Assignment, inputs_lost};
use crate::runner::{HostTensor, PreparedItem, State};
use crate::tensors::TensorStore;

/// Reads inputs.
#[derive(Debug, Clone)]
pub(crate) struct Prefetch {
    own: Arc<TensorStore>,
    puller: Puller,
}

impl Prefetch {
    pub(crate) fn new(own: Arc<TensorStore>) -> Self {
        Self { own, puller: Puller::default() }
    }

    /// All inputs of an assignment, or the failure to get one of them. `last` is where to look when no location that
    /// came with a tensor delivers it: the coordinator.
    pub(crate) async fn fetch(&self, assignment: &Assignment, last: String) -> Result<PreparedItem, Failure> {
        let inputs = &assignment.inputs;
        let of_checkpoint = inputs.checkpoint.iter().flat_map(|checkpoint| &checkpoint.tensors);
        let names = inputs.text.iter().chain(&inputs.image).chain(of_checkpoint);
        let places = assignment.locations.iter().map(Vec::as_slice).chain(std::iter::repeat(&[][..]));
        let tensors = try_join_all(names.zip(places).map(|(name, places)| self.tensor(name, places, &last))).await?;
        let mut tensors = tensors.into_iter();
        let mut take = |count: usize| tensors.by_ref().take(count).collect::<Vec<_>>();
        let contexts = take(inputs.text.len());
        let image = take(inputs.image.len());
        let state = inputs
            .checkpoint
            .as_ref()
            .map(|checkpoint| State { steps_done: checkpoint.steps_done, tensors: take(checkpoint.tensors.len()) });
        let Assignment { item, spec, text, .. } = assignment.clone();
        Ok(PreparedItem { item, spec, text, contexts, image, state })
    }

    async fn tensor(&self, name: &TensorRef, places: &[String], last: &str) -> Result<HostTensor, Failure> {
        if let Some(bytes) = self.own.tensor(&name.digest) {
            // One digest, one sequence of bytes; but another shape may be claimed for it.
            if name.byte_len() == Some(bytes.len() as u64) {
                return Ok(HostTensor { name: name.clone(), bytes });
            }
        }
        let mut places: Vec<String> = places.iter().filter(|place| !place.is_empty()).cloned().collect();
        if !places.iter().any(|place| place.trim_end_matches('/') == last.trim_end_matches('/')) {
            places.push(last.to_owned());
        }
        let bytes = self.puller.pull(name, &places).await.map_err(|error| inputs_lost(error.to_string()))?;
        Ok(HostTensor { name: name.clone(), bytes })
    }
}
