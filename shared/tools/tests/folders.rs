//! Model folders of every layout, whole and broken, made here of tiny transformers.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::HashMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use candle_core::{DType, Device, Tensor};
use wanfarm_model::dit::WanModel;
use wanfarm_model::folder::{self, NEGATIVE_PROMPT};
use wanfarm_model::ops::device::DeviceKind;
use wanfarm_model::{ModelError, Weights};
use wanfarm_tools::inspect::{self, Questions, State, inspect};
use wanfarm_types::fixtures::TINY;
use wanfarm_types::{Defaults, Experts, FrameRate, Role, SolverKind, Transformer, VaeKind};
use wanfarm_weights::{FileError, transformer};
use zip::CompressionMethod;
use zip::write::{SimpleFileOptions, ZipWriter};

const CFG: Transformer = Transformer { num_layers: 1, ..TINY };
const CONFIG: &str = r#"{"num_heads": 2, "num_layers": 1}"#;
const STEM: &str = "diffusion_pytorch_model.safetensors";

/// The names of diffusers for this transformer's tensors.
fn diffusers_name(official: &str) -> String {
    let mut name = official.to_owned();
    for (from, to) in [
        ("text_embedding.0", "condition_embedder.text_embedder.linear_1"),
        ("text_embedding.2", "condition_embedder.text_embedder.linear_2"),
        ("time_embedding.0", "condition_embedder.time_embedder.linear_1"),
        ("time_embedding.2", "condition_embedder.time_embedder.linear_2"),
        ("time_projection.1", "condition_embedder.time_proj"),
        ("head.head", "proj_out"),
        ("head.modulation", "scale_shift_table"),
        ("0.modulation", "0.scale_shift_table"),
        ("self_attn.norm", "attn1.norm"),
        ("cross_attn.norm", "attn2.norm"),
        ("self_attn.o", "attn1.to_out.0"),
        ("cross_attn.o", "attn2.to_out.0"),
        ("self_attn.", "attn1.to_"),
        ("cross_attn.", "attn2.to_"),
        ("norm3", "norm2"),
        ("ffn.0", "ffn.net.0.proj"),
        ("ffn.2", "ffn.net.2"),
    ] {
        name = name.replace(from, to);
    }
    name
}

fn tensors(rename: impl Fn(&str) -> String) -> HashMap<String, Tensor> {
    let tensor = |shape: Vec<usize>| Tensor::ones(shape, DType::F32, &Device::Cpu).unwrap();
    transformer::parameters(&CFG).into_iter().map(|param| (rename(&param.name), tensor(param.shape))).collect()
}

fn write(path: impl AsRef<Path>, contents: &[u8]) {
    fs::create_dir_all(path.as_ref().parent().unwrap()).unwrap();
    fs::write(path, contents).unwrap();
}

fn write_dit(folder: &Path, rename: impl Fn(&str) -> String) {
    write(folder.join("config.json"), CONFIG.as_bytes());
    candle_core::safetensors::save(&tensors(rename), folder.join(STEM)).unwrap();
}

/// A folder named `tiny` with two experts, the official way.
fn official(dir: &Path) -> PathBuf {
    let folder = dir.join("tiny");
    write_dit(&folder.join("high_noise_model"), str::to_owned);
    write_dit(&folder.join("low_noise_model"), str::to_owned);
    folder
}

/// The same, diffusers' way.
fn diffusers(dir: &Path) -> PathBuf {
    let folder = dir.join("tiny");
    write_dit(&folder.join("transformer"), diffusers_name);
    write_dit(&folder.join("transformer_2"), diffusers_name);
    write(folder.join("model_index.json"), br#"{"transformer_2": ["diffusers", "X"], "boundary_ratio": 0.6}"#);
    write(folder.join("scheduler/scheduler_config.json"), br#"{"flow_shift": 3.5}"#);
    folder
}

#[test]
fn both_layouts_give_the_same_tensors() {
    let (a, b) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (a, b) = (folder::open(&official(a.path())).unwrap(), folder::open(&diffusers(b.path())).unwrap());
    for role in [Role::DitHigh, Role::DitLow] {
        inspect::check(&a, &[role]).unwrap();
        inspect::check(&b, &[role]).unwrap();
        let (a, b) = (a.weights(role).unwrap(), b.weights(role).unwrap());
        assert!(a.files().names().eq(b.files().names()));
    }
    assert_eq!(a.roles(), [Role::DitHigh, Role::DitLow]);
    let name = |path: &PathBuf| path.file_name().unwrap().to_string_lossy().into_owned();
    assert_eq!(b.files(Role::DitLow).iter().map(name).collect::<Vec<_>>(), [STEM, "config.json"]);
}

#[test]
fn what_is_not_here_or_not_of_this_model_is_said() {
    let dir = tempfile::tempdir().unwrap();
    let folder = folder::open(&official(dir.path())).unwrap();
    let vae = folder.weights(Role::Vae).unwrap_err().to_string();
    assert!(vae.contains("Wan2.1_VAE.pth") && vae.contains("role vae") && vae.contains("tiny"), "{vae}");
    let dit = folder.weights(Role::Dit).unwrap_err().to_string();
    assert!(dit.contains("dit-high, dit-low"), "{dit}");
    let empty = folder::open(dir.path()).unwrap_err().to_string();
    assert!(empty.contains("model_index.json") && empty.contains("high_noise_model"), "{empty}");
    let nowhere = folder::open(&dir.path().join("nowhere")).unwrap_err();
    assert!(matches!(nowhere, FileError::Io { .. }), "{nowhere}");
}

#[test]
fn one_transformer_at_the_root() {
    let dir = tempfile::tempdir().unwrap();
    write_dit(dir.path(), str::to_owned);
    let folder = folder::open(dir.path()).unwrap();
    assert_eq!(folder.info().experts, Experts::Single);
    assert_eq!(folder.roles(), [Role::Dit]);
}

#[test]
fn a_folder_called_like_a_distilled_model_is_rendered_like_one() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("wan2.2_t2v_tiny_lightx2v_4step");
    std::fs::rename(official(dir.path()), &folder).unwrap();
    let info = folder::open(&folder).unwrap().info().clone();
    let Defaults { solver, steps, shift, guidance, .. } = info.defaults;
    assert_eq!((solver, steps, shift, guidance.high, guidance.low), (SolverKind::Lightning, 4, 5., 1., 1.));
}

#[test]
fn the_card_of_an_unpublished_model_reads_its_folder() {
    let dir = tempfile::tempdir().unwrap();
    let info = folder::open(&official(dir.path())).unwrap().info().clone();
    assert_eq!((info.name.as_str(), info.preset.as_str()), ("tiny", "custom"));
    assert_eq!((info.experts, info.vae), (Experts::Dual { boundary: 0.875 }, VaeKind::Wan21));
    assert_eq!((info.defaults.shift, info.defaults.negative.as_str()), (12., NEGATIVE_PROMPT));

    let dir = tempfile::tempdir().unwrap();
    let folder = diffusers(dir.path());
    let info = folder::open(&folder).unwrap().info().clone();
    assert_eq!((info.experts, info.defaults.shift), (Experts::Dual { boundary: 0.6 }, 3.5));

    let settings = folder.join("demo_settings.json");
    write(
        &settings,
        br#"{"width": 64, "height": 48, "num_frames": 17, "fps": 8, "num_inference_steps": 20,
        "guidance_scale": 5.0, "guidance_scale_2": 2.0, "negative_prompt": ""}"#,
    );
    let defaults = folder::open(&folder).unwrap().info().defaults.clone();
    assert_eq!((defaults.width, defaults.height, defaults.frames, defaults.fps), (64, 48, 17, FrameRate::whole(8)));
    assert_eq!((defaults.steps, defaults.shift, defaults.negative.as_str()), (20, 3.5, ""));
    assert_eq!((defaults.guidance.high, defaults.guidance.low), (5., 2.));

    write(&settings, br#"{"width": 65, "num_frames": 16}"#);
    let error = folder::open(&folder).unwrap_err().to_string();
    assert!(
        error.contains("demo_settings.json") && error.contains("width = 65") && error.contains("frames = 16"),
        "{error}"
    );
    for (fps, said) in
        [("-1", "fps: \"-1\" is no frame rate"), ("241", "fps: 241 frames per second is not in 1 to 240")]
    {
        write(&settings, format!(r#"{{"fps": {fps}}}"#).as_bytes());
        let error = folder::open(&folder).unwrap_err().to_string();
        assert!(error.contains("demo_settings.json") && error.contains(said), "{error}");
    }
    // What no worker could announce.
    let long = format!(r#"{{"negative_prompt": "{}"}}"#, "n".repeat(9000));
    for (text, said) in [(r#"{"num_inference_steps": 1001}"#, "defaults.steps is 1001"), (&*long, "has 9000 bytes")] {
        write(&settings, text.as_bytes());
        let error = folder::open(&folder).unwrap_err().to_string();
        assert!(error.contains("demo_settings.json") && error.contains(said), "{error}");
    }
    write(&settings, br#"{"fps": 23.976}"#);
    let fps = folder::open(&folder).unwrap().info().defaults.fps;
    assert_eq!((fps.numerator(), fps.denominator()), (24_000, 1001));
}

#[test]
fn what_no_worker_could_announce_is_no_model() {
    let dir = tempfile::tempdir().unwrap();
    let folder = diffusers(dir.path());
    for boundary in ["0", "1.0", "1e999"] {
        write(folder.join("model_index.json"), format!(r#"{{"boundary_ratio": {boundary}}}"#).as_bytes());
        let error = folder::open(&folder).unwrap_err().to_string();
        assert!(error.contains("model_index.json"), "{error}");
    }
    write(folder.join("model_index.json"), b"{}");
    let long = dir.path().join("n".repeat(201));
    std::fs::rename(&folder, &long).unwrap();
    let error = folder::open(&long).unwrap_err().to_string();
    assert!(error.contains("model name has 201 bytes"), "{error}");
}

#[test]
fn a_machine_may_hold_a_part_of_a_published_model() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("t2v");
    write(folder.join("vae").join(STEM), b"");
    write(folder.join("scheduler/scheduler_config.json"), br#"{"flow_shift": 3.0}"#);
    write(folder.join("model_index.json"), br#"{"transformer_2": ["diffusers", "WanTransformer3DModel"]}"#);
    let error = folder::open(&folder).unwrap_err().to_string();
    assert!(error.contains("config.json"), "{error}");
    write(
        folder.join("transformer/config.json"),
        br#"{"num_attention_heads": 40, "attention_head_dim": 128, "in_channels": 16, "out_channels": 16,
            "num_layers": 40, "ffn_dim": 13824, "text_dim": 4096}"#,
    );
    let folder = folder::open(&folder).unwrap();
    assert_eq!(folder.info().preset, "t2v-a14b");
    assert_eq!(folder.info().defaults.shift, 12., "the authors' own, whatever a conversion says");
    assert_eq!(folder.roles(), [Role::Vae]);
}

#[test]
fn every_wrong_tensor_is_named_in_one_error() {
    let dir = tempfile::tempdir().unwrap();
    let folder = diffusers(dir.path());
    let mut wrong = tensors(diffusers_name);
    wrong.remove("blocks.0.attn1.to_q.bias");
    wrong.remove("proj_out.bias");
    wrong.insert("blocks.0.attn1.to_x.bias".to_owned(), Tensor::ones(3, DType::F32, &Device::Cpu).unwrap());
    wrong
        .insert("patch_embedding.weight".to_owned(), Tensor::ones((8, 12, 1, 2, 2), DType::F32, &Device::Cpu).unwrap());
    wrong.insert("blocks.0.norm2.weight".to_owned(), Tensor::ones(8, DType::I64, &Device::Cpu).unwrap());
    let low = folder.join("transformer_2").join(STEM);
    candle_core::safetensors::save(&wrong, &low).unwrap();
    let weights = Weights::open(std::slice::from_ref(&low)).unwrap();
    let error = weights.files().check(&transformer::parameters(&CFG)).unwrap_err().to_string();
    for part in [
        low.to_str().unwrap(),
        "2 missing: blocks.0.self_attn.q.bias, head.head.bias",
        "1 unexpected: blocks.0.self_attn.to_x.bias (in the file: blocks.0.attn1.to_x.bias)",
        "patch_embedding.weight is [8, 12, 1, 2, 2], not [8, 16, 1, 2, 2]",
        "blocks.0.norm3.weight (in the file: blocks.0.norm2.weight) is i64",
    ] {
        assert!(error.contains(part), "{error}\ndoes not say: {part}");
    }
    let error = WanModel::load(CFG, &weights, DType::F32, &Device::Cpu).unwrap_err();
    assert!(matches!(error, ModelError::File(FileError::BadTensors(_))), "{error}");
    let report = inspect(&folder, Questions { device: DeviceKind::Cpu, digests: false }).unwrap();
    assert!(!report.is_usable());
    let [text, high, low, vae] = report.roles.as_slice() else { panic!("{report}") };
    assert!(high.fault.is_none() && low.fault.as_ref().is_some_and(|fault| fault.contains("head.head.bias")));
    assert_eq!(
        [text, high, low, vae].map(|role| role.state),
        [State::Missing, State::Usable, State::Damaged, State::Missing]
    );
    assert!([text, vae].iter().all(|role| role.fault.as_ref().is_some_and(|fault| fault.contains("incomplete"))));
}

#[test]
fn a_model_without_its_last_blocks_is_no_smaller_model() {
    let dir = tempfile::tempdir().unwrap();
    let folder = official(dir.path());
    for expert in ["high_noise_model", "low_noise_model"] {
        write(folder.join(expert).join("config.json"), br#"{"num_heads": 2, "num_layers": 3}"#);
    }
    let error = inspect::check(&folder::open(&folder).unwrap(), &[Role::DitLow]).unwrap_err().to_string();
    assert!(error.contains("54 missing: blocks.1.cross_attn.k.bias") && error.ends_with("and 44 more"), "{error}");
}

#[test]
fn truncation_is_told_in_bytes() {
    let dir = tempfile::tempdir().unwrap();
    let folder = official(dir.path());
    let file = folder.join("low_noise_model").join(STEM);
    let whole = fs::read(&file).unwrap();
    write(&file, &whole[..whole.len() - 1234]);
    let error = folder::open(&folder).unwrap().weights(Role::DitLow).unwrap_err().to_string();
    assert!(error.contains(file.to_str().unwrap()) && error.contains("1234 of "), "{error}");
    for length in [3, 8, 100, whole.len() - 1] {
        write(&file, &whole[..length]);
        let error = Weights::open(std::slice::from_ref(&file)).unwrap_err();
        assert!(matches!(error, ModelError::File(FileError::Truncated { .. })), "{length} bytes: {error}");
    }
    let mut longer = whole.clone();
    longer.push(0);
    write(&file, &longer);
    assert!(Weights::open(std::slice::from_ref(&file)).unwrap_err().to_string().contains("1 bytes more"));
    for (start, word) in [
        (&b""[..], "it is empty"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\n", "a pointer of Git LFS"),
        (b"<!DOCTYPE html>\n<html>", "a web page"),
        (b"Entry not found", "a text that begins with \"Entry not found\""),
    ] {
        write(&file, start);
        for name in ["a.safetensors", "a.gguf", "a.pth"] {
            let named = folder.join(name);
            write(&named, start);
            let error = Weights::open(std::slice::from_ref(&named)).unwrap_err().to_string();
            assert!(error.contains(name) && error.contains(word), "{error}");
            fs::remove_file(named).unwrap();
        }
        let config = folder.join("low_noise_model/config.json");
        write(&config, start);
        let error = folder::open(&folder).unwrap_err().to_string();
        assert!(word.contains("Entry") || error.contains("config.json: ") && error.contains(word), "{error}");
        write(&config, CONFIG.as_bytes());
    }
    write(&file, &[0xff; 64]);
    assert!(Weights::open(&[file]).unwrap_err().to_string().contains("no safetensors file"));
}

#[test]
fn hostile_headers_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.safetensors");
    for header in [
        r#"{"a": {"dtype": "F32", "shape": [18446744073709551615, 2], "data_offsets": [0, 8]}}"#,
        r#"{"a": {"dtype": "F32", "shape": [2], "data_offsets": [8, 0]}}"#,
        r#"{"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 4]}}"#,
        r#"{"a": {"dtype": "F32", "shape": [2], "data_offsets": [4, 12]}}"#,
        r#"{"a": {"dtype": "F33", "shape": [2], "data_offsets": [0, 8]}}"#,
        r#"{"a": {"dtype": "F32", "shape": [4294967296, 4294967296, 2, 0], "data_offsets": [0, 0]}}"#,
        r#"{"a": {"dtype": "F32", "shape": [1, 1, 1, 1, 1, 1, 1, 1, 2], "data_offsets": [0, 8]}}"#,
        r#"{"a": []}"#,
        "not json",
    ] {
        let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
        bytes.extend_from_slice(header.as_bytes());
        bytes.extend_from_slice(&[0; 8]);
        write(&path, &bytes);
        let error = Weights::open(std::slice::from_ref(&path)).unwrap_err();
        assert!(matches!(error, ModelError::File(FileError::Corrupt { .. })), "{header}: {error}");
    }
}

/// A `.pth` with the tensor "w" = [[0, 1, 2], [3, 4, 5]] and these strides.
fn pth(path: &Path, method: CompressionMethod, strides: [u8; 2]) {
    let mut pickle = b"\x80\x02}q\x00(X\x01\x00\x00\x00wq\x01ctorch._utils\n_rebuild_tensor_v2\nq\x02((".to_vec();
    pickle.extend(b"X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpuK\x06tQ");
    pickle.extend(b"K\x00K\x02K\x03\x86K");
    pickle.extend([strides[0], b'K', strides[1]]);
    pickle.extend(b"\x86\x89ccollections\nOrderedDict\n)RtRu.");
    let storage: Vec<u8> = (0..6).flat_map(|i| (i as f32).to_le_bytes()).collect();
    let mut zip = ZipWriter::new(fs::File::create(path).unwrap());
    for (name, bytes) in
        [("archive/data.pkl", pickle), ("archive/byteorder", b"little".to_vec()), ("archive/data/0", storage)]
    {
        zip.start_file(name, SimpleFileOptions::default().compression_method(method)).unwrap();
        zip.write_all(&bytes).unwrap();
    }
    zip.finish().unwrap();
}

#[test]
fn pth_files_are_read_in_place() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("w.pth");
    pth(&path, CompressionMethod::Stored, [3, 1]);
    let weights = Weights::open(std::slice::from_ref(&path)).unwrap();
    let w = weights.tensor("w", None, &Device::Cpu).unwrap();
    assert_eq!(w.to_vec2::<f32>().unwrap(), [[0., 1., 2.], [3., 4., 5.]]);

    let whole = fs::read(&path).unwrap();
    for length in 0..whole.len() {
        write(&path, &whole[..length]);
        let error = Weights::open(std::slice::from_ref(&path)).unwrap_err().to_string();
        assert!(error.contains("w.pth"), "{length} bytes: {error}");
    }
    pth(&path, CompressionMethod::Stored, [1, 2]);
    let error = Weights::open(std::slice::from_ref(&path)).unwrap_err().to_string();
    assert!(error.contains("w: shape [2, 3] with strides [1, 2] is not dense"), "{error}");
    write(&path, b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.");
    let error = Weights::open(&[path]).unwrap_err().to_string();
    assert!(error.contains("before 1.6"), "{error}");
}
