//! ComfyUI's and MLX's files of a model compute what the model's own files do, bit for bit. The files are made here, of
//! the demo's weights: renamed, turned round, never recomputed.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod mlx;

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use candle_core::{DType, Device, Tensor};
use wanfarm_model::Weights;
use wanfarm_model::dit::{Timesteps, WanModel};
use wanfarm_model::folder::{self, ModelFolder};
use wanfarm_model::ops::device::DeviceKind;
use wanfarm_model::umt5::Umt5;
use wanfarm_model::vae::WanVae;
use wanfarm_tools::inspect::{Questions, State, inspect};
use wanfarm_types::Role;
use wanfarm_weights::FileError;

const ROLES: [Role; 4] = [Role::TextEncoder, Role::DitHigh, Role::DitLow, Role::Vae];

fn demo() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/demo/wan-tiny-t2v")
}

/// The demo's tensors of a role, each as `convert` stores it.
fn save(role: Role, path: &Path, convert: impl Fn(&str, Tensor) -> (String, Tensor)) {
    let weights = folder::open(&demo()).unwrap().weights(role).unwrap();
    let tensor = |name: &str| convert(name, weights.tensor(name, None, &Device::Cpu).unwrap());
    let tensors: HashMap<String, Tensor> = weights.files().names().map(tensor).collect();
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
    let config = folder::open(&demo()).unwrap().vae_config(weights).unwrap();
    let vae = WanVae::load(config, weights, &Device::Cpu).unwrap();
    bits(&vae.decoder().push(&noise(&[16, 4, 4])).unwrap()[0])
}

#[test]
fn comfy_and_mlx_folders_compute_what_the_original_does() {
    let original = folder::open(&demo()).unwrap();
    let (wanted, frame) = (forward(&original), decode(&original.weights(Role::Vae).unwrap()));
    for layout in ["comfy", "mlx"] {
        let dir = tempfile::tempdir().unwrap();
        if layout == "comfy" {
            comfy(dir.path())
        } else {
            mlx(dir.path())
        }
        let folder = folder::open(dir.path()).unwrap();
        assert_eq!(folder.roles(), ROLES, "{layout}");
        ROLES.iter().for_each(|&role| folder.check(role).unwrap());
        assert!(forward(&folder) == wanted, "{layout}: other numbers");
        let vae = folder.weights(Role::Vae).unwrap();
        assert_eq!(vae.files().is_channels_last(), layout == "mlx");
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
    let original = folder::open(&demo()).unwrap().weights(Role::Vae).unwrap();
    assert!(decode(&Weights::open(&[path]).unwrap()) == decode(&original));
}

#[test]
fn what_is_ambiguous_encoded_or_elsewhere_is_said() {
    let dir = tempfile::tempdir().unwrap();
    comfy(dir.path());
    let models = dir.path().join("diffusion_models");
    let second = models.join("other_high_noise.safetensors");
    fs::copy(models.join("wan2.2_t2v_low_noise_tiny_fp16.safetensors"), &second).unwrap();
    let error = folder::open(dir.path()).unwrap_err().to_string();
    assert!(error.contains("more than one of other_high_noise.safetensors, wan2.2_t2v_high"), "{error}");
    fs::remove_file(&second).unwrap();

    let quantised = dir.path().join("vae/wan_2.1_vae.safetensors");
    let one = Tensor::ones(1, DType::F32, &Device::Cpu).unwrap();
    candle_core::safetensors::save(&HashMap::from([("decoder.conv1.absmax".to_owned(), one)]), &quantised).unwrap();
    fs::remove_file(dir.path().join("text_encoders/tokenizer.json")).unwrap();
    let report = inspect(dir.path(), Questions { device: DeviceKind::Cpu, digests: false }).unwrap();
    let states: Vec<State> = report.roles.iter().map(|role| role.state).collect();
    assert_eq!(states, [State::Missing, State::Usable, State::Usable, State::Damaged], "{report}");
    assert!(
        report.roles[3].fault.as_ref().unwrap().contains("weights of four bits (decoder.conv1.absmax)"),
        "{report}"
    );
    assert!(!report.is_usable());

    fs::remove_dir_all(dir.path().join("vae")).unwrap();
    fs::remove_dir_all(&models).unwrap();
    fs::copy(demo().join("tokenizer/tokenizer.json"), dir.path().join("tokenizer.json")).unwrap();
    let report = inspect(dir.path(), Questions { device: DeviceKind::Cpu, digests: false }).unwrap();
    assert!(report.model.is_none() && report.is_usable(), "a text encoder is one without its model: {report}");
    let error = folder::open(dir.path()).unwrap_err();
    assert!(matches!(error, FileError::NotAModel { .. }), "{error}");
}

/// A folder of ComfyUI's layout that something was done to, opened; with all networks looked at.
fn changed(change: impl FnOnce(&Path)) -> Result<ModelFolder, String> {
    let dir = tempfile::tempdir().unwrap();
    comfy(dir.path());
    change(dir.path());
    let folder = folder::open(dir.path()).map_err(|error| error.to_string())?;
    for role in ROLES {
        folder.check(role).map_err(|error| error.to_string())?;
    }
    Ok(folder)
}

const HIGH: &str = "diffusion_models/wan2.2_t2v_high_noise_tiny_fp16.safetensors";
const LOW: &str = "diffusion_models/wan2.2_t2v_low_noise_tiny_fp16.safetensors";
const VAE: &str = "vae/wan_2.1_vae.safetensors";

fn rename(folder: &Path, from: &str, to: &str) {
    fs::create_dir_all(folder.join(to).parent().unwrap()).unwrap();
    fs::rename(folder.join(from), folder.join(to)).unwrap();
}

fn put(path: PathBuf, bytes: &[u8]) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, bytes).unwrap();
}

/// A safetensors file of one tensor.
fn one(path: PathBuf, name: &str, shape: &[usize]) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let tensor = Tensor::zeros(shape, DType::F32, &Device::Cpu).unwrap();
    candle_core::safetensors::save(&HashMap::from([(name.to_owned(), tensor)]), path).unwrap();
}

/// Something done to a folder.
type Change = Box<dyn Fn(&Path)>;

#[test]
fn files_are_found_as_people_have_them() {
    let apple_double = [&b"\0\x05\x16\x07\0\x02\0\0Mac OS X        "[..], &[0; 4080]].concat();
    let changes: Vec<(&str, Change)> = vec![
        (
            "companions that macOS writes",
            Box::new(move |folder| {
                for name in
                    ["diffusion_models/._a_high_noise.safetensors", "text_encoders/._b.safetensors", "vae/._c.gguf"]
                {
                    put(folder.join(name), &apple_double);
                }
                put(folder.join("vae/.DS_Store"), b"\0\0\0\x01Bud1");
            }),
        ),
        (
            "Kijai's names",
            Box::new(|folder| {
                rename(folder, HIGH, "diffusion_models/Wan2_2-T2V-A14B-HIGH_fp8_e4m3fn_scaled_KJ.safetensors");
                rename(folder, LOW, "diffusion_models/Wan2_2-T2V-A14B-LOW_fp8_e4m3fn_scaled_KJ.safetensors");
            }),
        ),
        (
            "told by their folders",
            Box::new(|folder| {
                rename(folder, HIGH, "diffusion_models/WanVideo/2_2/high/wan.safetensors");
                rename(folder, LOW, "diffusion_models/WanVideo/2_2/low/wan.safetensors");
            }),
        ),
        ("a VAE called .pth", Box::new(|folder| rename(folder, VAE, "vae/Wan2.1_VAE.pth"))),
        (
            "the repository of the split files",
            Box::new(|folder| {
                for name in ["diffusion_models", "text_encoders", "vae"] {
                    rename(folder, name, &format!("split_files/{name}"));
                }
            }),
        ),
        (
            "networks of other programs beside them",
            Box::new(|folder| {
                one(folder.join("vae/ae.safetensors"), "decoder.conv_in.weight", &[8, 4, 3, 3]);
                one(folder.join("text_encoders/clip_l.safetensors"), "text_model.final_layer_norm.weight", &[8]);
                one(folder.join("diffusion_models/flux.safetensors"), "img_in.weight", &[8, 8]);
            }),
        ),
    ];
    for (what, change) in changes {
        let folder = changed(|folder| change(folder)).unwrap_or_else(|error| panic!("{what}: {error}"));
        assert_eq!(folder.roles(), ROLES, "{what}");
    }
}

#[test]
fn files_in_one_folder_under_any_name_are_told_by_their_tensors() {
    let folder = changed(|folder| {
        rename(folder, HIGH, "a_HN.safetensors");
        rename(folder, LOW, "a_LN.safetensors");
        rename(folder, VAE, "vae.safetensors");
        rename(folder, "text_encoders/umt5_tiny.safetensors", "umt5.safetensors");
        rename(folder, "text_encoders/tokenizer.json", "tokenizer.json");
        rename(folder, "diffusion_models/config.json", "config.json");
        ["diffusion_models", "text_encoders"].iter().for_each(|name| fs::remove_dir(folder.join(name)).unwrap());
        fs::remove_dir_all(folder.join("vae")).unwrap();
        one(folder.join("loras/style.safetensors"), "blocks.0.lora_A.weight", &[2, 2]);
    });
    assert_eq!(folder.unwrap().roles(), ROLES);
}

#[test]
fn what_is_there_is_never_to_be_downloaded() {
    let refused = |change: &dyn Fn(&Path)| changed(|folder| change(folder)).unwrap_err();
    let error = refused(&|folder| rename(folder, VAE, "vae/wan_2.1_vae.bin"));
    assert!(error.contains("give it that name") && error.contains("vae/wan_2.1_vae.bin"), "{error}");
    assert!(!error.contains("download"), "{error}");
    let error = refused(&|folder| fs::remove_dir_all(folder.join("vae")).unwrap());
    assert!(error.contains("there is no vae/wan*.safetensors") && error.contains("download it"), "{error}");
    #[cfg(unix)]
    {
        let error = refused(&|folder| {
            fs::remove_file(folder.join(VAE)).unwrap();
            std::os::unix::fs::symlink("../../blobs/0a1b", folder.join(VAE)).unwrap();
        });
        assert!(error.contains("wan_2.1_vae.safetensors leads to a file that is not there"), "{error}");
    }
    let error = refused(&|folder| rename(folder, LOW, "diffusion_models/wan_lowvram.safetensors"));
    assert!(error.contains("wan_lowvram.safetensors") && error.contains("rename them to …high_noise…"), "{error}");
}

#[test]
fn what_stands_before_all_names_is_taken_off() {
    for (role, prefix) in [
        (Role::DitHigh, "diffusion_model."),
        (Role::DitHigh, "model."),
        (Role::Vae, "model."),
        (Role::Vae, "vae."),
        (Role::Vae, "first_stage_model."),
        (Role::TextEncoder, "text_encoder."),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("high_noise.safetensors");
        save(role, &path, |name, tensor| (format!("{prefix}{name}"), tensor));
        let (got, want) = (
            Weights::open(std::slice::from_ref(&path)).unwrap(),
            folder::open(&demo()).unwrap().weights(role).unwrap(),
        );
        assert!(got.files().names().eq(want.files().names()), "{prefix}");
        let report = inspect(&path, Questions { device: DeviceKind::Cpu, digests: false }).unwrap();
        assert!(report.roles.iter().any(|found| found.role == role), "{report}");
    }
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("all.safetensors");
    let zeros = |name: &str| (name.to_owned(), Tensor::zeros(1, DType::F32, &Device::Cpu).unwrap());
    let names = ["model.diffusion_model.head.head.bias", "first_stage_model.conv1.bias", "text_encoders.umt5xxl.a"];
    candle_core::safetensors::save(&names.iter().map(|name| zeros(name)).collect::<HashMap<_, _>>(), &path).unwrap();
    let error = Weights::open(&[path]).unwrap_err().to_string();
    assert!(
        error.contains("all.safetensors, an all-in-one checkpoint (a text encoder, a transformer, an autoencoder"),
        "{error}"
    );
}

#[test]
fn a_folded_patch_embedding_computes_the_same() {
    let dir = tempfile::tempdir().unwrap();
    comfy(dir.path());
    save(Role::DitHigh, &dir.path().join(HIGH), |name, tensor| match name {
        "patch_embedding.weight" => (name.to_owned(), tensor.reshape((128 * 16, 1, 2, 2)).unwrap()),
        _ => (name.to_owned(), tensor),
    });
    let (folder, original) = (folder::open(dir.path()).unwrap(), folder::open(&demo()).unwrap());
    folder.check(Role::DitHigh).unwrap();
    assert!(forward(&folder) == forward(&original), "other numbers");
}

#[test]
fn a_file_that_is_no_autoencoder_is_named() {
    let error = changed(|folder| one(folder.join(VAE), "decoder.1.weight", &[8, 3, 3, 3])).unwrap_err();
    assert!(error.contains("wan_2.1_vae.safetensors") && error.contains("this is no Wan autoencoder"), "{error}");
}
