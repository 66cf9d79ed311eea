//! A model, a video and a worker for tests.

use crate::{
    Decode, Defaults, Experts, Format, FrameRate, Geometry, Guidance, Hello, Incarnation, ModelInfo, SolverKind, Swept,
    Transformer, VaeKind, VideoRequest, WorkerId,
};

/// Sizes whose tensors take no time.
pub const TINY: Transformer =
    Transformer { dim: 8, num_heads: 2, num_layers: 2, ffn_dim: 12, freq_dim: 4, text_dim: 6, ..Transformer::T2V_A14B };

/// A model named `m` with the measures of T2V-A14B.
pub fn info(experts: Experts) -> ModelInfo {
    ModelInfo {
        name: "m".into(),
        preset: "t2v-a14b".into(),
        experts,
        transformer: Transformer::T2V_A14B,
        vae: VaeKind::Wan21,
        geometry: Geometry { latent_channels: 16, stride_t: 4, stride_hw: 8, patch: 2 },
        takes_image: false,
        needs_image: false,
        defaults: Defaults {
            width: 1280,
            height: 720,
            frames: 81,
            fps: FrameRate::whole(16),
            steps: 40,
            shift: 12.0,
            solver: SolverKind::UniPc,
            guidance: Guidance { high: 4.0, low: 3.0 },
            negative: "bad".into(),
        },
        mag_curve: None,
        loras: Vec::new(),
        tiny_vae: None,
    }
}

/// A video of a cat that leaves everything to the model.
pub fn request() -> VideoRequest {
    VideoRequest {
        name: None,
        prompt: "a cat".into(),
        negative: None,
        seed: 7,
        width: None,
        height: None,
        frames: None,
        fps: None,
        steps: None,
        shift: None,
        solver: None,
        guidance: None,
        image: None,
        overlap: None,
        last_image: None,
        video: None,
        strength: None,
        join: None,
        nag: None,
        cache: None,
        decode: Decode::Full,
        loras: Vec::new(),
        formats: vec![Format::Mp4],
        output: "cat".into(),
        swept: Swept::default(),
    }
}

/// A worker that serves nothing, of these numbers.
pub fn hello(worker: u128, incarnation: u128) -> Hello {
    Hello {
        worker: WorkerId(uuid::Uuid::from_u128(worker)),
        incarnation: Incarnation(uuid::Uuid::from_u128(incarnation)),
        name: String::new(),
        host: String::new(),
        device: "cpu".into(),
        memory_bytes: 0,
        budget_bytes: None,
        loaded: Vec::new(),
        tensor_address: String::new(),
        models: Vec::new(),
        running: Vec::new(),
        holding: Vec::new(),
    }
}
