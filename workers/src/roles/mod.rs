//! The networks a worker holds, behind one interface.

mod denoise;
mod loading;
mod resident;
#[cfg(test)]
mod tests;
mod text;
mod vae;

pub(crate) use resident::Roles;

use candle_core::{DType, Tensor};
use wanfarm_model::ModelError;
use wanfarm_sampling::Spread;
use wanfarm_sampling::values::are_sound;
use wanfarm_types::{Failure, FailureKind};
use wanfarm_weights::FileError;

use crate::runner::PreparedItem;

/// What a fault of a network means for the item: would every worker meet it? The video is not named, so that of many
/// videos with one fault the fault is reported once.
fn explain(item: &PreparedItem, error: ModelError) -> Failure {
    let PreparedItem { item, spec, .. } = item;
    let what = item.stage;
    match &error {
        ModelError::Input { .. } | ModelError::Image(_) | ModelError::File(FileError::Unsupported { .. }) => {
            Failure::deterministic(format!("{what}: {error}"))
        }
        error if is_short_of_memory(error) => Failure::deterministic(format!(
            "{what}: out of memory at {}x{} with {} frames; render it smaller or shorter, or on a larger device ({error})",
            spec.width, spec.height, spec.frames
        )),
        _ => Failure::transient(format!("{what}: {error}")),
    }
}

fn is_short_of_memory(error: &ModelError) -> bool {
    matches!(error, ModelError::Candle(cause) if is_out_of_memory(&cause.to_string()))
}

/// CUDA, cuBLAS and Metal each have their own words for it, and candle passes them on as text.
fn is_out_of_memory(message: &str) -> bool {
    let message = message.to_lowercase();
    let signs = ["out of memory", "out_of_memory", "outofmemory", "insufficient memory", "alloc_failed"];
    signs.iter().any(|sign| message.contains(sign)) || message.contains("failed to create metal resource: buffer")
}

/// Refuses what nothing can be computed with, such as NaN, in what a network made.
fn finite(values: &[f32], what: impl FnOnce() -> String) -> Result<(), Failure> {
    if are_sound(values) {
        return Ok(());
    }
    let kind = if values.iter().all(|value| value.is_finite()) { "beyond all bounds" } else { "not finite" };
    let message = format!("{} are {kind}: {}", what(), Spread::of(values));
    Err(Failure { kind: FailureKind::NotFinite, message })
}

/// Reads a tensor back from its device.
fn values(tensor: &Tensor) -> Result<Vec<f32>, ModelError> {
    tensor.device().synchronize()?;
    Ok(tensor.to_dtype(DType::F32)?.flatten_all()?.to_vec1()?)
}

#[cfg(test)]
mod faults {
    use super::*;
    use crate::tests::fixtures::prepared;

    #[test]
    fn faults_of_the_input_and_of_memory_are_not_tried_again() {
        let candle = |message: &str| ModelError::Candle(candle_core::Error::Msg(message.to_owned()));
        for (error, kind) in [
            (ModelError::input("latents", "are odd"), FailureKind::Deterministic),
            (candle("DriverError(CUDA_ERROR_OUT_OF_MEMORY, \"out of memory\")"), FailureKind::Deterministic),
            (
                candle("Insufficient Memory (00000008:kIOGPUCommandBufferCallbackErrorOutOfMemory)"),
                FailureKind::Deterministic,
            ),
            (candle("Caused GPU Timeout Error"), FailureKind::Transient),
            (FileError::corrupt("a.safetensors", "it changed").into(), FailureKind::Transient),
        ] {
            let failure = explain(&prepared(), error);
            assert_eq!(failure.kind, kind, "{failure}");
            assert!(failure.message.starts_with("denoise: "), "{failure}");
        }
        let message = explain(&prepared(), candle("out of memory")).message;
        assert!(message.contains("64x64 with 1 frames"), "{message}");
    }

    #[test]
    fn what_is_not_finite_is_named() {
        assert!(finite(&[0.0, 1.0], || unreachable!()).is_ok());
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let failure = finite(&[0.0, bad, 2.0], || "the latents after step 3".to_owned()).unwrap_err();
            assert_eq!(failure.kind, FailureKind::NotFinite);
            assert!(failure.message.contains("step 3") && failure.message.contains("1 not finite"), "{failure}");
        }
        let failure = finite(&[0.0, 1e30], || "the latents".to_owned()).unwrap_err();
        assert!(failure.message.starts_with("the latents are beyond all bounds"), "{failure}");
    }
}
