//! The boundary between the worker and the networks: what an item looks like when it reaches the device, what comes
//! out of it, and how the two talk meanwhile. Everything beyond this boundary can be tested without a model.

use bytes::Bytes;
use wanfarm_types::{
    Checkpoint, DType, Digest, Failure, ItemOutputs, LoadProgress, ModelRole, TensorRef, VideoSpec, WorkItem,
};

/// Computes items, one at a time, on the device thread.
pub(crate) trait RoleRunner {
    /// Runs an item whose form has been checked and whose inputs are at hand.
    fn run(&mut self, item: &PreparedItem, control: &mut dyn Control) -> Result<Output, Failure>;

    /// Another role's item runs: what is at hand for the next one of this role, and can be made again, goes.
    fn rest(&mut self) {}
}

/// Takes news of weights that are being loaded.
pub(crate) type Loading = Box<dyn Fn(LoadProgress) + Send>;

/// The running item's connection to the rest of the worker. Nothing here waits for a network.
pub(crate) trait Control {
    /// A denoising step has run, and the transformer's blocks in it so many times; this is the state after it.
    fn step_done(&mut self, state: &State, forward_passes: u32);
    /// A text has been read, and has so many tokens.
    fn text_read(&mut self, tokens: u32);
    /// Where to report that weights are being loaded, from whatever thread.
    fn loading(&mut self) -> Loading;
    /// Weights have been loaded: the time until now is not of the item.
    fn loaded(&mut self);
    /// True when no further step should be begun.
    fn should_stop_after_step(&self) -> bool;
    /// True when the item is cancelled.
    fn abandoned(&self) -> bool;
}

/// An item with its inputs.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct PreparedItem {
    pub(crate) item: WorkItem,
    pub(crate) spec: VideoSpec,
    /// What to encode, for `encode_text`.
    pub(crate) text: String,
    /// Text contexts: prompt, then negative prompt.
    pub(crate) contexts: Vec<HostTensor>,
    pub(crate) image: Vec<HostTensor>,
    pub(crate) state: Option<State>,
    /// Roles that stay in memory beside the item's own, where that is limited.
    pub(crate) keep: Vec<ModelRole>,
}

/// What came out of an item, by digest, and the tensors of these digests.
pub(crate) type Output = (ItemOutputs, Vec<HostTensor>);

/// A [`Checkpoint`] with its bytes.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct State {
    pub(crate) steps_done: u32,
    pub(crate) tensors: Vec<HostTensor>,
}

impl State {
    pub(crate) fn checkpoint(&self) -> Checkpoint {
        Checkpoint { steps_done: self.steps_done, tensors: refs(&self.tensors) }
    }

    pub(crate) fn into_output(self) -> Output {
        (ItemOutputs::Checkpoint(self.checkpoint()), self.tensors)
    }
}

/// A tensor in memory, with its name. Clones share the bytes.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct HostTensor {
    pub(crate) name: TensorRef,
    pub(crate) bytes: Bytes,
}

impl HostTensor {
    /// Names the bytes of a dense, row-major, little-endian tensor.
    pub(crate) fn new(dtype: DType, shape: &[usize], bytes: impl Into<Bytes>) -> Self {
        let bytes = bytes.into();
        let digest = Digest(*blake3::hash(&bytes).as_bytes());
        let shape = shape.iter().map(|&dim| dim as u64).collect();
        Self { name: TensorRef { digest, dtype, shape }, bytes }
    }

    pub(crate) fn from_f32(shape: &[usize], values: &[f32]) -> Self {
        let bytes: Vec<[u8; 4]> = values.iter().map(|value| value.to_le_bytes()).collect();
        Self::new(DType::F32, shape, bytes.into_flattened())
    }

    /// Its values, if it is of f32.
    pub(crate) fn to_f32(&self) -> Vec<f32> {
        let (values, _) = self.bytes.as_chunks::<4>();
        values.iter().map(|&value| f32::from_le_bytes(value)).collect()
    }

    pub(crate) fn shape(&self) -> Vec<usize> {
        self.name.shape.iter().map(|&dim| dim as usize).collect()
    }
}

/// The failure of an item that stopped because it was cancelled; never reported.
pub(crate) fn abandoned() -> Failure {
    Failure::transient("abandoned")
}

pub(crate) fn refs(tensors: &[HostTensor]) -> Vec<TensorRef> {
    tensors.iter().map(|tensor| tensor.name.clone()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_pass_through_bytes_unchanged() {
        let values = [1.5, -0.0, f32::MIN_POSITIVE, f32::INFINITY];
        let tensor = HostTensor::from_f32(&[2, 2], &values);
        assert_eq!(tensor.name.byte_len(), Some(16));
        assert_eq!(tensor.bytes[..4], [0, 0, 0xc0, 0x3f]);
        assert_eq!(tensor.to_f32().map_bits(), values.map(f32::to_bits));
        assert_eq!(tensor.name.digest.0, *blake3::hash(&tensor.bytes).as_bytes());
    }

    trait Bits {
        fn map_bits(&self) -> Vec<u32>;
    }
    impl Bits for Vec<f32> {
        fn map_bits(&self) -> Vec<u32> {
            self.iter().map(|value| value.to_bits()).collect()
        }
    }
}
