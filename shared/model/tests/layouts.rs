//! ComfyUI's and MLX's files of a model compute what the model's own files do, bit for bit. The files are made here, of
//! the demo's weights: renamed, turned round, never recomputed.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod mlx;

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use candle_core::{DType, Device, Tensor};
use wanfarm_model::dit::{Timesteps, WanModel};
use wanfarm_model::files::{self, ModelFolder};
use wanfarm_model::inspect::{Questions, State, inspect};
use wanfarm_model::ops::device::DeviceKind;
use wanfarm_model::umt5::Umt5;
use wanfarm_model::vae::WanVae;
use wanfarm_model::{ModelError, Weights};
use wanfarm_types::Role;

const ROLES: [Role; 4] = [Role::TextEncoder, Role::DitHigh, Role::DitLow, Role::Vae];

fn demo() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/demo/wan-tiny-t2v")
}

/// The demo's tensors of a role, each as `convert` stores it.
fn save(role: Role, path: &Path, convert: impl Fn(&str, Tensor) -> (String, Tensor)) {
    let weights = files::open(&demo()).unwrap().weights(role).unwrap();
    let tensor = |name: &str| convert(name, weights.tensor(name, None, &Device::Cpu).unwrap());
    let tensors: HashMap<String, Tensor> = weights.names().map(tensor).collect();
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    candle_core::safetensors::save(&tensors, path).unwrap();
}

/// ComfyUI's files: one expert with ComfyUI's prefix, the other without.
fn comfy(folder: &Path) {
    let models = folder.join("diffusion_models");
    let prefixed = |name: &str, tensor| (format!("model.diffusion_model.{name}"), tensor);
    save(Role::DitHigh, &models.join("wan2.2_t2v_high_noise_tiny_fp16.safetensors"), prefixed);
    save(Role::DitLow, &models.join("wan2.2_t2v_low_noise_tiny_fp16.safetensors"), |name, t| (name.to_owned(), t));
    save(Role::Vae, &folder.join("vae/wan_2.1_vae.safetensors"), |name, t| (name.to_owned(), t));
    save(Role::TextEncoder, &folder.join("text_encoders/umt5_tiny.safetensors"), |name, t| (name.to_owned(), t));
    fs::copy(demo().join("transformer/config.json"), models.join("config.json")).unwrap();
    fs::copy(demo().join("vae/config.json"), folder.join("vae/config.json")).unwrap();
    fs::copy(demo().join("tokenizer/tokenizer.json"), folder.join("text_encoders/tokenizer.json")).unwrap();
}

/// What mlx-video's converter writes.
fn to_mlx(name: &str, tensor: Tensor) -> (String, Tensor) {
    let tensor = match tensor.rank() {
        _ if name == "patch_embedding.weight" => tensor.flatten_from(1).unwrap(),
        5 if name.ends_with(".weight") => tensor.permute((0, 2, 3, 4, 1)).unwrap(),
        4 if name.ends_with(".weight") => tensor.permute((0, 2, 3, 1)).unwrap(),
        _ => tensor,
    };
    (mlx::rename(name), tensor.contiguous().unwrap())
}

/// The names its converter gives to a Wan2.2 autoencoder, whose norms it makes rows.
fn to_mlx_22(name: &str, tensor: Tensor) -> (String, Tensor) {
    let (mut name, mut tensor) = to_mlx(name, tensor);
    if name.ends_with(".gamma") {
        tensor = tensor.flatten_all().unwrap();
    }
    for (from, to) in [
        (".residual.", ".residual.layer_"),
        (".head.", ".head.layer_"),
        (".resample.1.", ".resample_"),
        (".to_qkv.", ".to_qkv_"),
        (".proj.", ".proj_"),
    ] {
        name = name.replace(from, to);
    }
    (name, tensor)
}

fn mlx(folder: &Path) {
    save(Role::DitHigh, &folder.join("high_noise_model.safetensors"), to_mlx);
    save(Role::DitLow, &folder.join("low_noise_model.safetensors"), to_mlx);
    save(Role::Vae, &folder.join("vae.safetensors"), to_mlx);
    save(Role::TextEncoder, &folder.join("t5_encoder.safetensors"), to_mlx);
    fs::copy(demo().join("transformer/config.json"), folder.join("config.json")).unwrap();
    fs::copy(demo().join("tokenizer/tokenizer.json"), folder.join("tokenizer.json")).unwrap();
}

/// Numbers without a pattern, the same at every run.
fn noise(shape: &[usize]) -> Tensor {
    let count = shape.iter().product::<usize>() as u32;
    let values: Vec<f32> = (0..count).map(|i| (i.wrapping_mul(2_654_435_761) >> 8) as f32 / 8388608. - 1.).collect();
    Tensor::from_vec(values, shape, &Device::Cpu).unwrap()
}

fn bits(tensor: &Tensor) -> Vec<u32> {
    tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap().into_iter().map(f32::to_bits).collect()
}

/// The text of three ids, and what each expert makes of noise.
fn forward(folder: &ModelFolder) -> Vec<Vec<u32>> {
    let encoder = Umt5::load(folder.weights(Role::TextEncoder).unwrap(), &Device::Cpu).unwrap();
    let text = encoder.encode(&[7, 42, 1]).unwrap();
    let mut results = vec![bits(&text)];
    for role in [Role::DitHigh, Role::DitLow] {
        let weights = folder.weights(role).unwrap();
        let cfg = folder.dit_config(role, &weights).unwrap();
        let network = WanModel::load(cfg, &weights, DType::F32, &Device::Cpu).unwrap();
        let context = network.embed_text(&text).unwrap();
        let x = noise(&[16, 2, 4, 4]);
        results.push(bits(&network.forward(&x, Timesteps::Scalar(500.), &context).unwrap()));
    }
    results
}

fn decode(weights: &Weights) -> Vec<u32> {
    let config = files::open(&demo()).unwrap().vae_config(weights).unwrap();
    let vae = WanVae::load(config, weights, &Device::Cpu).unwrap();
    bits(&vae.decoder().push(&noise(&[16, 4, 4])).unwrap()[0])
}

#[test]
fn comfy_and_mlx_folders_compute_what_the_original_does() {
    let original = files::open(&demo()).unwrap();
    let (wanted, frame) = (forward(&original), decode(&original.weights(Role::Vae).unwrap()));
    for layout in ["comfy", "mlx"] {
        let dir = tempfile::tempdir().unwrap();
        if layout == "comfy" {
            comfy(dir.path())
        } else {
            mlx(dir.path())
        }
        let folder = files::open(dir.path()).unwrap();
        assert_eq!(folder.roles(), ROLES, "{layout}");
        ROLES.iter().for_each(|&role| folder.check(role).unwrap());
        assert!(forward(&folder) == wanted, "{layout}: other numbers");
        let vae = folder.weights(Role::Vae).unwrap();
        assert_eq!(vae.is_channels_last(), layout == "mlx");
        assert!(decode(&vae) == frame, "{layout}: another frame");
        let report = inspect(dir.path(), Questions { device: DeviceKind::Cpu, digests: true }).unwrap();
        assert_eq!(report.layout, layout);
        assert!(report.is_usable() && report.roles.iter().all(|role| role.digests.len() == role.files.len()));
        assert!(report.to_string().contains("text-to-video: everything is here"), "{report}");
    }
}

#[test]
fn the_names_mlx_gives_to_wan22_are_understood() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("vae.safetensors");
    save(Role::Vae, &path, to_mlx_22);
    let original = files::open(&demo()).unwrap().weights(Role::Vae).unwrap();
    assert!(decode(&Weights::open(&[path]).unwrap()) == decode(&original));
}

#[test]
fn what_is_ambiguous_encoded_or_elsewhere_is_said() {
    let dir = tempfile::tempdir().unwrap();
    comfy(dir.path());
    let models = dir.path().join("diffusion_models");
    let second = models.join("other_high_noise.safetensors");
    fs::copy(models.join("wan2.2_t2v_low_noise_tiny_fp16.safetensors"), &second).unwrap();
    let error = files::open(dir.path()).unwrap_err().to_string();
    assert!(error.contains("more than one of other_high_noise.safetensors, wan2.2_t2v_high"), "{error}");
    fs::remove_file(&second).unwrap();

    let quantised = dir.path().join("vae/wan_2.1_vae.safetensors");
    let one = Tensor::ones(1, DType::F32, &Device::Cpu).unwrap();
    candle_core::safetensors::save(&HashMap::from([("decoder.conv1.scales".to_owned(), one)]), &quantised).unwrap();
    fs::remove_file(dir.path().join("text_encoders/tokenizer.json")).unwrap();
    let report = inspect(dir.path(), Questions { device: DeviceKind::Cpu, digests: false }).unwrap();
    let states: Vec<State> = report.roles.iter().map(|role| role.state).collect();
    assert_eq!(states, [State::Missing, State::Usable, State::Usable, State::Damaged], "{report}");
    assert!(
        report.roles[3].fault.as_ref().unwrap().contains("weights quantised by MLX (decoder.conv1.scales)"),
        "{report}"
    );
    assert!(!report.is_usable());

    fs::remove_dir_all(dir.path().join("vae")).unwrap();
    fs::remove_dir_all(&models).unwrap();
    fs::copy(demo().join("tokenizer/tokenizer.json"), dir.path().join("tokenizer.json")).unwrap();
    let report = inspect(dir.path(), Questions { device: DeviceKind::Cpu, digests: false }).unwrap();
    assert!(report.model.is_none() && report.is_usable(), "a text encoder is one without its model: {report}");
    let error = files::open(dir.path()).unwrap_err();
    assert!(matches!(error, ModelError::NotAModel { .. }), "{error}");
}
