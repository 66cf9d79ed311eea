//! Networks that are whole and do not belong together are refused by everything that opens the model; those that do are not.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use candle_core::{DType, Device, Tensor};
use wanfarm_model::ops::device::DeviceKind;
use wanfarm_model::{folder, umt5};
use wanfarm_tools::inspect::{Inspection, Questions, inspect};
use wanfarm_types::fixtures::TINY;
use wanfarm_types::{Role, Transformer};
use wanfarm_weights::{FileError, Param, transformer};

const TEXTS: umt5::Config =
    umt5::Config { vocab_size: 4, dim: 6, dim_attn: 4, dim_ffn: 4, num_heads: 2, num_layers: 1 };
const FILE: &str = "diffusion_pytorch_model.safetensors";

fn save(path: PathBuf, tensors: Vec<Param>) {
    let ones = |shape: Vec<usize>| Tensor::ones(shape, DType::F32, &Device::Cpu).unwrap();
    let tensors: HashMap<String, Tensor> = tensors.into_iter().map(|p| (p.name, ones(p.shape))).collect();
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    candle_core::safetensors::save(&tensors, path).unwrap();
}

/// A model of the authors' layout: two experts, a text encoder, and an autoencoder of Wan2.1 or Wan2.2.
fn model(dir: &Path, [high, low]: [Transformer; 2], texts: umt5::Config, vae: &str) -> PathBuf {
    let folder = dir.join("tiny");
    for (expert, config) in [("high_noise_model", high), ("low_noise_model", low)] {
        save(folder.join(expert).join(FILE), transformer::parameters(&config));
        fs::write(folder.join(expert).join("config.json"), format!("{{\"num_heads\": {}}}", config.num_heads)).unwrap();
    }
    save(folder.join("models_t5_umt5-xxl-enc-bf16.safetensors"), texts.parameters());
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden/data");
    let (of, name) = if vae == "2.1" { ("vae21", "Wan2.1_VAE") } else { ("vae22", "Wan2.2_VAE") };
    let name = format!("{name}.safetensors");
    fs::copy(golden.join(of).join("official").join(&name), folder.join(&name)).unwrap();
    folder
}

fn look(folder: &Path) -> Inspection {
    inspect(folder, Questions { device: DeviceKind::Cpu, digests: false }).unwrap()
}

#[track_caller]
fn refused(folder: &Path, says: &[&str]) {
    let error = folder::open(folder).unwrap_err();
    assert!(matches!(error, FileError::Mixed { .. }), "{error}");
    let (error, report) = (error.to_string(), look(folder));
    assert!(!report.is_usable() && report.fault.as_ref() == Some(&error), "{report}");
    let report = report.to_string();
    for word in says {
        assert!(error.contains(word) && report.contains(word), "{error}\n{report}\ndoes not say: {word}");
    }
    assert!(!report.contains("everything is here"), "{report}");
}

#[test]
fn what_belongs_together_is_a_model() {
    let dir = tempfile::tempdir().unwrap();
    let folder = model(dir.path(), [TINY, TINY], TEXTS, "2.1");
    let opened = folder::open(&folder).unwrap();
    [Role::DitHigh, Role::DitLow, Role::Vae].iter().for_each(|&role| opened.check(role).unwrap());
    assert_eq!(look(&folder).fault, None);
    // What is on other machines is nobody's fault.
    fs::remove_file(folder.join("low_noise_model").join(FILE)).unwrap();
    assert_eq!(folder::open(&folder).unwrap().roles(), [Role::TextEncoder, Role::DitHigh, Role::Vae]);
}

#[test]
fn the_autoencoder_of_the_other_family_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let folder = model(dir.path(), [TINY, TINY], TEXTS, "2.2");
    refused(
        &folder,
        &["Wan2.2_VAE.safetensors makes latents with 48 channels", "high_noise_model", "needs 16", "VAE of Wan2.1"],
    );
}

#[test]
fn experts_of_two_models_are_refused() {
    for (low, says) in [
        (Transformer { in_dim: 36, ..TINY }, &["16 and 36 input channels", "image-to-video"][..]),
        (Transformer { num_layers: 1, ..TINY }, &["2 and 1 blocks"]),
        (Transformer { ffn_dim: 16, ..TINY }, &["12 and 16 channels inside"]),
        (Transformer { dim: 16, num_heads: 4, ..TINY }, &["8 and 16 channels of a token", "2 and 4 attention heads"]),
        (Transformer { text_dim: 8, ..TINY }, &["6 and 8 features of a text row"]),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let folder = model(dir.path(), [TINY, low], TEXTS, "2.1");
        refused(
            &folder,
            &[&["high_noise_model/", "low_noise_model/", "not the two experts of one model"], says].concat(),
        );
    }
}

#[test]
fn a_text_encoder_of_another_width_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let folder = model(dir.path(), [TINY, TINY], umt5::Config { dim: 10, ..TEXTS }, "2.1");
    refused(&folder, &["models_t5_umt5-xxl-enc-bf16.safetensors makes text rows of 10 features", "needs 6"]);
}

#[test]
fn a_machine_that_holds_a_part_checks_what_it_has_with_the_config_of_what_it_has_not() {
    let dir = tempfile::tempdir().unwrap();
    let folder = model(dir.path(), [TINY, TINY], TEXTS, "2.2");
    let config = |channels: usize| {
        format!(
            r#"{{"num_heads": 2, "dim": 8, "in_dim": {channels}, "out_dim": {channels}, "num_layers": 2, "ffn_dim": 12}}"#
        )
    };
    for expert in ["high_noise_model", "low_noise_model"].map(|expert| folder.join(expert)) {
        fs::remove_file(expert.join(FILE)).unwrap();
        fs::write(expert.join("config.json"), config(48)).unwrap();
    }
    assert_eq!(folder::open(&folder).unwrap().roles(), [Role::TextEncoder, Role::Vae], "its text_dim is not said");
    fs::write(folder.join("high_noise_model/config.json"), config(16)).unwrap();
    refused(&folder, &["48 channels", "high_noise_model/config.json needs 16", "16 and 48 input channels"]);
}

#[test]
fn another_patch_size_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let folder = model(dir.path(), [TINY, TINY], TEXTS, "2.1");
    let mut tensors = transformer::parameters(&TINY);
    tensors.iter_mut().find(|p| p.name == "patch_embedding.weight").unwrap().shape = vec![8, 16, 1, 4, 4];
    save(folder.join("low_noise_model").join(FILE), tensors);
    let error = folder::open(&folder).unwrap().check(Role::DitLow).unwrap_err().to_string();
    assert!(error.contains("patch_embedding.weight is [8, 16, 1, 4, 4], not [8, 16, 1, 2, 2]"), "{error}");
}

#[test]
fn of_the_statistics_of_latents_both_are_needed_and_as_many_as_channels() {
    let dir = tempfile::tempdir().unwrap();
    let transformer = |folder: &Path| save(folder.join("transformer").join(FILE), transformer::parameters(&TINY));
    let folder = dir.path().join("tiny");
    transformer(&folder);
    fs::write(folder.join("transformer/config.json"), r#"{"num_heads": 2}"#).unwrap();
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden/data/vae21/official");
    fs::create_dir(folder.join("vae")).unwrap();
    fs::copy(golden.join("Wan2.1_VAE.safetensors"), folder.join("vae").join(FILE)).unwrap();
    let config = |text: &str| {
        fs::write(folder.join("vae/config.json"), text).unwrap();
        let model = folder::open(&folder).unwrap();
        let weights = model.weights(Role::Vae).unwrap();
        model.vae_config(&weights).map(|_| ()).map_err(|error| error.to_string())
    };
    let ones = |count: usize| vec!["1.0"; count].join(",");
    assert_eq!(config("{}"), Ok(()), "the published ones");
    assert_eq!(config(&format!(r#"{{"latents_mean": [{0}], "latents_std": [{0}]}}"#, ones(16))), Ok(()));
    let error = config(&format!(r#"{{"latents_mean": [{}]}}"#, ones(16))).unwrap_err();
    assert!(error.contains("vae/config.json") && error.contains("only one is there"), "{error}");
    let error = config(&format!(r#"{{"latents_mean": [{0}], "latents_std": [{0}]}}"#, ones(48))).unwrap_err();
    assert!(error.contains("vae/config.json") && error.contains("48 numbers in latents_mean"), "{error}");
    assert!(error.contains("16 latent channels"), "{error}");
}
