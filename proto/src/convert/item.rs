//! Work items, tensors by reference, checkpoints, failures and timings.
//!
//! Where a tensor lies is known to whoever sends the message, not to the domain type; `TensorRef::locations`
//! is therefore filled in and read by [`with_locations`](v1::TensorRef::with_locations) and its field.

use wanfarm_types as domain;

use super::enums::FromWireNumber;
use super::{WireError, bounds, each, ids, required};
use crate::v1;

impl v1::TensorRef {
    /// The same tensor with the addresses to read it from, best first.
    #[must_use]
    pub fn with_locations(mut self, locations: Vec<String>) -> Self {
        self.locations = locations;
        self
    }
}

impl From<domain::TensorRef> for v1::TensorRef {
    fn from(tensor: domain::TensorRef) -> Self {
        Self {
            digest: tensor.digest.0.to_vec(),
            data_type: v1::DataType::from(tensor.dtype).into(),
            byte_length: tensor.byte_len().unwrap_or(u64::MAX),
            shape: tensor.shape,
            locations: Vec::new(),
        }
    }
}

impl TryFrom<v1::TensorRef> for domain::TensorRef {
    type Error = WireError;

    fn try_from(wire: v1::TensorRef) -> Result<Self, WireError> {
        let tensor = Self {
            digest: ids::digest("tensor digest", &wire.digest)?,
            dtype: domain::DType::from_wire_number(wire.data_type)?,
            shape: wire.shape,
        };
        if tensor.shape.len() > 8 {
            return Err(WireError::unknown("tensor shape", format!("of rank {}", tensor.shape.len())));
        }
        if tensor.byte_len() != Some(wire.byte_length) {
            return Err(WireError::unknown(
                "tensor byte_length",
                format!("{} for shape {:?} of {:?}", wire.byte_length, tensor.shape, tensor.dtype),
            ));
        }
        Ok(tensor)
    }
}

impl From<domain::StepRange> for v1::StepRange {
    fn from(range: domain::StepRange) -> Self {
        Self { first: range.first, end: range.end }
    }
}

impl TryFrom<v1::StepRange> for domain::StepRange {
    type Error = WireError;

    fn try_from(wire: v1::StepRange) -> Result<Self, WireError> {
        if wire.first > wire.end {
            return Err(WireError::unknown("steps", format!("{}..{}", wire.first, wire.end)));
        }
        Ok(Self { first: wire.first, end: wire.end })
    }
}

impl From<domain::WorkItem> for v1::WorkItem {
    fn from(item: domain::WorkItem) -> Self {
        Self {
            video: Some(item.video.into()),
            stage: v1::Stage::from(item.stage).into(),
            steps: Some(item.steps.into()),
        }
    }
}

impl TryFrom<v1::WorkItem> for domain::WorkItem {
    type Error = WireError;

    fn try_from(wire: v1::WorkItem) -> Result<Self, WireError> {
        Ok(Self {
            video: required("video", wire.video)?,
            stage: domain::Stage::from_wire_number(wire.stage)?,
            steps: required("steps", wire.steps)?,
        })
    }
}

impl From<domain::Checkpoint> for v1::Checkpoint {
    fn from(checkpoint: domain::Checkpoint) -> Self {
        Self { steps_done: checkpoint.steps_done, tensors: checkpoint.tensors.into_iter().map(Into::into).collect() }
    }
}

impl TryFrom<v1::Checkpoint> for domain::Checkpoint {
    type Error = WireError;

    fn try_from(wire: v1::Checkpoint) -> Result<Self, WireError> {
        Ok(Self { steps_done: wire.steps_done, tensors: each(wire.tensors)? })
    }
}

impl From<domain::Failure> for v1::Failure {
    fn from(failure: domain::Failure) -> Self {
        Self { kind: v1::FailureKind::from(failure.kind).into(), message: failure.message }
    }
}

impl TryFrom<v1::Failure> for domain::Failure {
    type Error = WireError;

    fn try_from(wire: v1::Failure) -> Result<Self, WireError> {
        let kind = domain::FailureKind::from_wire_number(wire.kind)?;
        Ok(Self { kind, message: bounds::reason(wire.message) })
    }
}

impl From<domain::StepTiming> for v1::StepTiming {
    fn from(timing: domain::StepTiming) -> Self {
        Self {
            seconds: timing.seconds,
            step_seconds: timing.step_seconds,
            evaluations: timing.evaluations,
            text_tokens: timing.text_tokens,
            input_wait_seconds: timing.input_wait_seconds,
        }
    }
}

impl From<v1::StepTiming> for domain::StepTiming {
    fn from(mut wire: v1::StepTiming) -> Self {
        wire.step_seconds.truncate(bounds::STEPS as usize);
        wire.evaluations.truncate(bounds::STEPS as usize);
        Self {
            seconds: wire.seconds,
            step_seconds: wire.step_seconds,
            evaluations: wire.evaluations,
            text_tokens: wire.text_tokens,
            input_wait_seconds: wire.input_wait_seconds,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tensor_whose_length_does_not_fit_its_shape_is_refused() {
        let tensor =
            domain::TensorRef { digest: domain::Digest([1; 32]), dtype: domain::DType::F32, shape: vec![2, 3] };
        let good = v1::TensorRef::from(tensor.clone());
        assert_eq!(domain::TensorRef::try_from(good.clone()), Ok(tensor));
        for wire in [
            v1::TensorRef { byte_length: 23, ..good.clone() },
            v1::TensorRef { shape: vec![u64::MAX, u64::MAX], ..good.clone() },
            v1::TensorRef { digest: vec![0; 31], ..good.clone() },
            v1::TensorRef { data_type: 99, ..good },
        ] {
            assert!(domain::TensorRef::try_from(wire).is_err());
        }
    }
}
