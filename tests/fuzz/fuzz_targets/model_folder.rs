//! Folders of models: which network is which, what model they make, and what it takes. An input is files, of each the place of
//! its name in the list below and its content; a header of safetensors gets its data here.
#![no_main]

use std::fs;

use candle_core::DType;
use libfuzzer_sys::fuzz_target;
use wanfarm_fuzz::{header, parts, scratch, seeds};
use wanfarm_model::folder;
use wanfarm_model::ops::device::DeviceKind;
use wanfarm_types::ModelInfo;

const NAMES: [&str; 36] = [
    "config.json",
    "model_index.json",
    "demo_settings.json",
    "loras.json",
    "mag_ratios.json",
    "tokenizer.json",
    "scheduler/scheduler_config.json",
    "transformer/config.json",
    "transformer/diffusion_pytorch_model.safetensors",
    "transformer/diffusion_pytorch_model.safetensors.index.json",
    "transformer/diffusion_pytorch_model-00001-of-00002.safetensors",
    "transformer_2/config.json",
    "transformer_2/diffusion_pytorch_model.safetensors",
    "vae/config.json",
    "vae/diffusion_pytorch_model.safetensors",
    "text_encoder/config.json",
    "text_encoder/model.safetensors",
    "tokenizer/tokenizer.json",
    "high_noise_model/config.json",
    "high_noise_model/diffusion_pytorch_model.safetensors",
    "low_noise_model/config.json",
    "low_noise_model/diffusion_pytorch_model.safetensors",
    "Wan2.1_VAE.pth",
    "models_t5_umt5-xxl-enc-bf16.pth",
    "diffusion_models/wan2.2_high_noise.safetensors",
    "diffusion_models/wan2.2_low_noise.gguf",
    "text_encoders/umt5_xxl.safetensors",
    "vae/wan_2.1_vae.safetensors",
    "high_noise_model.safetensors",
    "model.safetensors",
    "t5_encoder.safetensors",
    "vae.safetensors",
    "taew2_1.safetensors",
    "any name.safetensors",
    "loras/a.safetensors",
    "diffusion_pytorch_model.safetensors",
];

fuzz_target!(init: begin(), |data: &[u8]| {
    let model = scratch::empty("model");
    for (name, content) in parts::of(data) {
        let name = NAMES[usize::from(name) % NAMES.len()];
        let path = model.join(name);
        fs::create_dir_all(path.parent().unwrap_or(&model)).expect("room for a folder");
        let is_header = content.starts_with(b"{") && !name.ends_with(".json");
        let content = if is_header { header::file(content, 0) } else { content.to_vec() };
        fs::write(path, content).expect("room for a file");
    }
    let _ = folder::is_model(&model);
    let Ok(opened) = folder::open(&model) else { return };
    let info = opened.info();
    assert_eq!(info.check(), Ok(()), "a worker could not announce it: {info:?}");
    let json = serde_json::to_string(info).expect("it is JSON on the wire");
    assert_eq!(&serde_json::from_str::<ModelInfo>(&json).expect("it is read again"), info);
    for role in opened.roles() {
        assert!(info.roles().contains(&role) && opened.files(role).iter().all(|file| file.starts_with(&model)));
        let whole = opened.check(role);
        let taken = [DeviceKind::Cpu, DeviceKind::Metal].map(|device| opened.footprint(role, device, DType::F32));
        if whole.is_ok() {
            assert!(taken.iter().all(Result::is_ok), "{role:?} {taken:?}");
        }
        let Ok(weights) = opened.weights(role) else { continue };
        let _ = (opened.dit_config(role, &weights), opened.vae_config(&weights));
    }
});

/// Rules of a tokenizer that contradict themselves make its library panic, which the model's loader catches: so a panic by
/// itself is no fault here.
fn begin() {
    seeds::write(seeds);
    let _ = std::panic::take_hook();
}

fn seeds() -> Vec<Vec<u8>> {
    let golden = "tests/golden/data";
    let repo = format!("{golden}/repo_t2v_from_prompt/official_repo");
    let (dit, vae, umt5) = (
        header::of_file(seeds::repository(&format!("{repo}/high_noise_model/diffusion_pytorch_model.safetensors"))),
        header::of_file(seeds::repository(&format!("{repo}/Wan2.1_VAE.pth"))),
        header::of_file(seeds::repository(&format!("{repo}/models_t5_umt5-xxl-enc-bf16.pth"))),
    );
    let tiny = header::of_file(seeds::repository(&format!("{golden}/tiny21/taehv/taew2_1.safetensors")));
    let config = seeds::committed(&format!("{repo}/high_noise_model/config.json"));
    let demo = |path: &str| seeds::committed(&format!("deploy/demo/wan-tiny-t2v/{path}"));
    let settings =
        br#"{"width":64,"height":64,"num_frames":17,"fps":8,"num_inference_steps":20,"flow_shift":5.0}"#.to_vec();
    let loras = br#"{"loras":[{"path":"loras/a.safetensors","strength":0.5,"expert":"high"}]}"#.to_vec();
    let index = br#"{"weight_map":{"head.modulation":"diffusion_pytorch_model.safetensors"}}"#.to_vec();
    let curve = br#"{"version":1,"steps":3,"shift":8.0,"solver":"unipc","guidance":{"high":4.0,"low":3.0},"width":64,"height":64,"frames":17,"image":false,"device":"cpu","dtype":"f32","prompts":["a cat"],"files":[],"stages":[{"expert":"high","cond":[0.99,0.98],"uncond":[0.97,0.96]}]}"#.to_vec();
    let of = |files: &[(&str, &[u8])]| {
        let place = |name: &str| NAMES.iter().position(|known| *known == name).expect("it is in the list") as u8;
        parts::joined(&files.iter().map(|(name, content)| (place(name), content.to_vec())).collect::<Vec<_>>())
    };
    vec![
        of(&[
            ("high_noise_model/config.json", &config),
            ("low_noise_model/config.json", &config),
            ("Wan2.1_VAE.pth", &vae),
        ]),
        of(&[
            ("high_noise_model/diffusion_pytorch_model.safetensors", &dit),
            ("high_noise_model/config.json", &config),
        ]),
        of(&[
            ("high_noise_model/diffusion_pytorch_model.safetensors", &dit),
            ("low_noise_model/diffusion_pytorch_model.safetensors", &dit),
            ("low_noise_model/config.json", &config),
            ("high_noise_model/config.json", &config),
            ("demo_settings.json", &settings),
        ]),
        of(&[("models_t5_umt5-xxl-enc-bf16.pth", &umt5), ("high_noise_model/config.json", &config)]),
        of(&[
            ("diffusion_models/wan2.2_high_noise.safetensors", &dit),
            ("diffusion_models/wan2.2_low_noise.gguf", &dit),
            ("config.json", &config),
        ]),
        of(&[
            ("vae.safetensors", &vae),
            ("model.safetensors", &dit),
            ("config.json", &config),
            ("taew2_1.safetensors", &tiny),
        ]),
        of(&[
            ("any name.safetensors", &dit),
            ("config.json", &config),
            ("loras.json", &loras),
            ("loras/a.safetensors", b""),
        ]),
        of(&[
            ("transformer/diffusion_pytorch_model.safetensors", &dit),
            ("transformer/config.json", &config),
            ("model_index.json", &demo("model_index.json")),
            ("scheduler/scheduler_config.json", &demo("scheduler/scheduler_config.json")),
        ]),
        of(&[
            ("transformer/config.json", &demo("transformer/config.json")),
            ("transformer_2/config.json", &demo("transformer_2/config.json")),
            ("model_index.json", &demo("model_index.json")),
            ("demo_settings.json", &demo("demo_settings.json")),
            ("vae/diffusion_pytorch_model.safetensors", &vae),
            ("vae/config.json", &demo("vae/config.json")),
        ]),
        of(&[
            ("transformer/diffusion_pytorch_model.safetensors", &dit),
            ("transformer/diffusion_pytorch_model.safetensors.index.json", &index),
            ("transformer/config.json", &config),
        ]),
        of(&[("diffusion_pytorch_model.safetensors", &dit), ("config.json", &config), ("mag_ratios.json", &curve)]),
    ]
}
