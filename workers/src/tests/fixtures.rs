//! One small video of one small model, in all the forms it takes here.

use std::path::PathBuf;

use wanfarm_types::*;

use crate::runner::{HostTensor, PreparedItem, State, refs};

/// A folder of the golden data, small models with random weights.
pub(crate) fn golden(case: &str) -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/golden/data")).join(case)
}

pub(crate) fn role(role: Role) -> ServedRole {
    let file = ModelFile { path: "diffusion_pytorch_model.safetensors".to_owned(), blake3: Digest([9; 32]) };
    ServedRole { role, files: vec![file], encoding: "f32".to_owned(), bytes: 1, footprint: Footprint::default() }
}

pub(crate) fn served() -> ServedModel {
    let info = wanfarm_types::fixtures::info(Experts::Single);
    let defaults = Defaults { width: 64, height: 64, frames: 1, steps: 4, shift: 5.0, ..info.defaults };
    let info = ModelInfo { name: "tiny".to_owned(), preset: "t2v-1.3b".to_owned(), defaults, ..info };
    ServedModel { info, roles: vec![role(Role::Dit)], beside: Vec::new() }
}

pub(crate) fn spec() -> VideoSpec {
    let request = wanfarm_types::fixtures::request();
    VideoRequest { formats: vec![Format::Png], output: "a".to_owned(), ..request }.resolve(&served().info).unwrap()
}

pub(crate) fn item() -> WorkItem {
    let video = VideoId { job: JobId(1), index: 0 };
    WorkItem { video, stage: Stage::Denoise, steps: StepRange { first: 0, end: 2 } }
}

/// Contexts of the prompt and the negative prompt.
pub(crate) fn contexts() -> Vec<HostTensor> {
    vec![HostTensor::from_f32(&[3, 8], &[0.5; 24]), HostTensor::from_f32(&[1, 8], &[-0.5; 8])]
}

/// A state whose values tell after which step it was.
pub(crate) fn state(steps_done: u32) -> State {
    let tensor = |offset: f32| HostTensor::from_f32(&[16, 1, 8, 8], &[steps_done as f32 + offset; 1024]);
    State { steps_done, tensors: [0.0, 0.25, 0.5, 0.75].map(tensor).to_vec() }
}

pub(crate) fn prepared() -> PreparedItem {
    PreparedItem {
        item: item(),
        spec: spec(),
        text: String::new(),
        contexts: contexts(),
        image: Vec::new(),
        state: None,
        keep: Vec::new(),
    }
}

pub(crate) fn assignment(attempt: u64) -> Assignment {
    Assignment {
        attempt: AttemptId(attempt),
        item: item(),
        spec: spec(),
        text: String::new(),
        inputs: ItemInputs { text: refs(&contexts()), image: Vec::new(), checkpoint: None },
        locations: Default::default(),
        keep: Vec::new(),
    }
}
