//! The tensors of the fourteen published files, by name and shape, are recognised and found complete, in every layout.
//!
//! Each is inspected as a file of its true size that takes no room on disk and of which only the header is read.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod mlx;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use wanfarm_model::ops::device::DeviceKind;
use wanfarm_tools::inspect::{Inspection, Questions, State, inspect};
use wanfarm_tools::known::{KnownModel, known};
use wanfarm_types::Role;

type Shapes = BTreeMap<String, Vec<usize>>;

macro_rules! header {
    ($name:literal) => {
        ($name, include_str!(concat!("../../weights/tests/data/", $name, ".json")))
    };
}

const HEADERS: [(&str, &str); 14] = [
    header!("dit-t2v-A14B"),
    header!("diffusers-dit-t2v-A14B"),
    header!("dit-i2v-A14B"),
    header!("diffusers-dit-i2v-A14B"),
    header!("dit-ti2v-5B"),
    header!("diffusers-dit-ti2v-5B"),
    header!("dit-t2v-1.3B"),
    header!("diffusers-dit-t2v-1.3B"),
    header!("umt5-xxl-encoder"),
    header!("diffusers-umt5-xxl"),
    header!("vae-2.1"),
    header!("diffusers-vae-2.1"),
    header!("vae-2.2"),
    header!("diffusers-vae-2.2"),
];

/// Name → shape of every tensor; a transformer's blocks are written once, with `*` for their number.
fn shapes(name: &str) -> Shapes {
    let (_, text) = HEADERS.iter().find(|(other, _)| *other == name).unwrap();
    let value: Value = serde_json::from_str(text).unwrap();
    let Some(layers) = value.get("layers").and_then(Value::as_u64) else {
        return serde_json::from_value(value).unwrap();
    };
    let shapes: Shapes = serde_json::from_value(value["tensors"].clone()).unwrap();
    let count = |name: &str| if name.contains('*') { layers } else { 1 };
    let each = shapes
        .iter()
        .flat_map(|(name, shape)| (0..count(name)).map(move |i| (name.replace('*', &i.to_string()), shape.clone())));
    each.collect()
}

/// A safetensors file of bf16 tensors with these shapes: its header, then a hole.
fn write(path: &Path, shapes: &Shapes) {
    write_as(path, shapes, "BF16", 2);
}

/// The same of numbers of so many bytes.
fn write_as(path: &Path, shapes: &Shapes, dtype: &str, bytes: usize) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let mut end = 0;
    let mut entries = BTreeMap::new();
    for (name, shape) in shapes {
        let start = end;
        end += bytes * shape.iter().product::<usize>();
        entries.insert(name, json!({"dtype": dtype, "shape": shape, "data_offsets": [start, end]}));
    }
    let header = serde_json::to_vec(&entries).unwrap();
    let mut file = File::create(path).unwrap();
    file.write_all(&(header.len() as u64).to_le_bytes()).unwrap();
    file.write_all(&header).unwrap();
    file.set_len((8 + header.len() + end) as u64).unwrap();
}

/// One that can be read; of a smaller vocabulary than the headers have.
fn tokenizer() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/demo/wan-tiny-t2v/tokenizer/tokenizer.json")
}

fn look(path: &Path, device: DeviceKind) -> Inspection {
    inspect(path, Questions { device, digests: false }).unwrap()
}

#[test]
fn every_published_file_is_recognised_and_complete() {
    let dir = tempfile::tempdir().unwrap();
    let (dit, umt5, vae) = (14_288_491_584, 5_680_910_336, 126_892_531);
    let expected = |name: &str| match name {
        "dit-t2v-A14B" => (Role::DitHigh, Some("t2v-a14b"), 1095, dit),
        "dit-i2v-A14B" => (Role::DitHigh, Some("i2v-a14b"), 1095, 14_288_901_184),
        "dit-ti2v-5B" => (Role::Dit, Some("ti2v-5b"), 825, 4_999_787_712),
        "dit-t2v-1.3B" => (Role::Dit, Some("t2v-1.3b"), 825, 1_418_996_800),
        "umt5-xxl-encoder" | "umt5-xxl" => (Role::TextEncoder, None, 242, umt5),
        "vae-2.1" => (Role::Vae, None, 194, vae),
        "vae-2.2" => (Role::Vae, None, 196, 704_688_668),
        other => panic!("{other}"),
    };
    for (name, _) in HEADERS {
        let (role, preset, tensors, parameters) = expected(name.strip_prefix("diffusers-").unwrap_or(name));
        let expert = if role == Role::DitHigh { "high_noise-" } else { "" };
        let path = dir.path().join(format!("{expert}{name}.safetensors"));
        write(&path, &shapes(name));
        let report = look(&path, DeviceKind::Cpu);
        assert_eq!(report.layout, "single-file");
        assert_eq!(report.model.as_ref().map(|model| model.preset.as_str()), preset, "{name}");
        let found = report.roles.iter().find(|found| found.role == role).unwrap();
        assert_eq!((found.state, &found.fault), (State::Usable, &None), "{name}");
        println!("{name}: {role}, {} tensors, {} parameters", found.tensors, found.parameters);
        assert_eq!((found.tensors, found.parameters), (tensors, parameters), "{name}");
    }
}

/// What mlx-video's converter makes of official tensors.
fn mlx(shapes: &Shapes) -> Shapes {
    let convert = |(name, shape): (&String, &Vec<usize>)| {
        let mut shape = shape.clone();
        if name == "patch_embedding.weight" {
            shape = vec![shape[0], shape[1..].iter().product()];
        } else if name.ends_with(".weight") && shape.len() >= 4 {
            shape[1..].rotate_left(1);
        }
        (mlx::rename(name), shape)
    };
    shapes.iter().map(convert).collect()
}

#[test]
fn published_models_are_recognised_in_comfy_and_mlx_folders() {
    let dir = tempfile::tempdir().unwrap();
    let prefixed: Shapes = shapes("dit-i2v-A14B")
        .into_iter()
        .map(|(name, shape)| (format!("model.diffusion_model.{name}"), shape))
        .collect();
    let comfy = dir.path().join("any-name");
    let models = comfy.join("diffusion_models");
    write(&models.join("wan2.2_i2v_high_noise_14B_fp16.safetensors"), &prefixed);
    write(&models.join("wan2.2_i2v_low_noise_14B_fp16.safetensors"), &shapes("dit-i2v-A14B"));
    write(&comfy.join("vae/wan_2.1_vae.safetensors"), &shapes("vae-2.1"));
    let mut text = shapes("diffusers-umt5-xxl");
    text.insert("spiece_model".to_owned(), vec![4_548_313]);
    write(&comfy.join("text_encoders/umt5_xxl_fp16.safetensors"), &text);
    let report = look(&comfy, DeviceKind::Cuda);
    assert_eq!((report.layout, report.model.as_ref().unwrap().preset.as_str()), ("comfy", "i2v-a14b"));
    let states: Vec<State> = report.roles.iter().map(|role| role.state).collect();
    assert_eq!(states, [State::Missing, State::Usable, State::Usable, State::Usable], "{report}");
    assert!(report.roles[0].fault.as_ref().unwrap().contains("tokenizer.json of google/umt5-xxl"), "{report}");
    assert!(report.is_usable(), "what is missing is not damaged");
    assert_eq!(report.tasks.len(), 1, "it needs an image");
    assert_eq!(
        (report.tasks[0].task, report.tasks[0].missing.as_slice()),
        ("image-to-video", &[Role::TextEncoder][..])
    );
    let memory = report.roles[1].memory.unwrap();
    assert!((28.0e9..30.0e9).contains(&(memory.weights as f64)), "two bytes a parameter: {}", memory.weights);
    fs::copy(tokenizer(), comfy.join("text_encoders/tokenizer.json")).unwrap();
    let report = look(&comfy, DeviceKind::Cpu);
    assert!(report.tasks[0].missing.is_empty(), "{report}");
    let memory = report.roles[1].memory.unwrap();
    assert!((57.0e9..58.0e9).contains(&(memory.weights as f64)), "four on the CPU: {}", memory.weights);

    let folder = dir.path().join("other-name");
    let transformer = mlx(&shapes("dit-t2v-A14B"));
    write(&folder.join("high_noise_model.safetensors"), &transformer);
    write(&folder.join("low_noise_model.safetensors"), &transformer);
    write(&folder.join("vae.safetensors"), &mlx(&shapes("vae-2.1")));
    write(&folder.join("t5_encoder.safetensors"), &mlx(&shapes("umt5-xxl-encoder")));
    fs::write(folder.join("config.json"), r#"{"dim": 5120, "num_heads": 40, "num_layers": 40}"#).unwrap();
    fs::copy(tokenizer(), folder.join("tokenizer.json")).unwrap();
    let report = look(&folder, DeviceKind::Metal);
    assert_eq!((report.layout, report.model.as_ref().unwrap().preset.as_str()), ("mlx", "t2v-a14b"));
    assert!(report.roles.iter().all(|role| role.state == State::Usable), "{report}");
    assert!(report.roles[3].notes[0].contains("channels last"), "{report}");
    assert!(report.roles[..3].iter().all(|role| role.notes.is_empty()), "{report}");
}

/// A GGUF file of these shapes: matrices in Q8_0, all else in f32; its directory, then a hole.
fn write_q8(path: &Path, shapes: &Shapes) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let (mut directory, mut end) = (Vec::new(), 0);
    for (name, shape) in shapes {
        let elements: u64 = shape.iter().map(|&dim| dim as u64).product();
        let (kind, bytes) = if shape.len() == 2 { (8_u32, elements / 32 * 34) } else { (0, elements * 4) };
        directory.extend((name.len() as u64).to_le_bytes());
        directory.extend(name.as_bytes());
        directory.extend((shape.len() as u32).to_le_bytes());
        directory.extend(shape.iter().rev().flat_map(|&dim| (dim as u64).to_le_bytes()));
        directory.extend(kind.to_le_bytes());
        directory.extend(u64::to_le_bytes(end));
        end += bytes.div_ceil(32) * 32;
    }
    let mut file = b"GGUF".to_vec();
    file.extend(3_u32.to_le_bytes());
    file.extend((shapes.len() as u64).to_le_bytes());
    file.extend(0_u64.to_le_bytes());
    file.extend(directory);
    let start = (file.len() as u64).div_ceil(32) * 32;
    fs::write(path, file).unwrap();
    File::options().write(true).open(path).unwrap().set_len(start + end).unwrap();
}

/// The files of a known model, where its list has them and of their true sizes; and their bytes.
fn publish(model: &KnownModel, folder: &Path) {
    let (kind, dit) = (
        &model.weights[..],
        format!("dit-{}", model.preset.replace("a14b", "A14B").replace("5b", "5B").replace("1.3b", "1.3B")),
    );
    let vae = if model.preset == "ti2v-5b" { "vae-2.2" } else { "vae-2.1" };
    for file in &model.files {
        let path = folder.join(&file.path);
        let name = path.file_name().unwrap().to_str().unwrap();
        match file.path.as_str() {
            path if path.contains("tokenizer.json") || path.starts_with("google/") => {
                let place = folder.join("google/umt5-xxl/tokenizer.json");
                fs::create_dir_all(place.parent().unwrap()).unwrap();
                fs::copy(tokenizer(), place).unwrap();
            }
            "models_t5_umt5-xxl-enc-bf16.pth" => {
                write(&folder.join("models_t5_umt5-xxl-enc-bf16.safetensors"), &shapes("umt5-xxl-encoder"))
            }
            "Wan2.1_VAE.pth" => write_as(&folder.join("Wan2.1_VAE.safetensors"), &shapes(vae), "F32", 4),
            "high_noise_model/*" | "low_noise_model/*" => {
                write_as(&path.with_file_name("diffusion_pytorch_model.safetensors"), &shapes(&dit), "F32", 4);
            }
            "*" => {
                write(&folder.join("models_t5_umt5-xxl-enc-bf16.safetensors"), &shapes("umt5-xxl-encoder"));
                let of = if vae == "vae-2.2" { "Wan2.2_VAE.safetensors" } else { "Wan2.1_VAE.safetensors" };
                write_as(&folder.join(of), &shapes(vae), "F32", 4);
                write_as(&folder.join("diffusion_pytorch_model.safetensors"), &shapes(&dit), "F32", 4);
            }
            _ if name.ends_with(".gguf") && name.contains("umt5") => write_q8(&path, &shapes("umt5-xxl-encoder")),
            _ if name.ends_with(".gguf") => write_q8(&path, &shapes(&dit)),
            _ if name.contains("umt5") => {
                // Published once, where diffusers has it twice.
                let mut text = shapes("diffusers-umt5-xxl");
                text.remove("encoder.embed_tokens.weight");
                write(&path, &text);
            }
            _ if name.to_lowercase().contains("vae") => write(&path, &shapes(vae)),
            _ => {
                assert_eq!(kind, "f16", "{name}");
                write_as(&path, &shapes(&dit), "F16", 2);
            }
        }
    }
}

/// Apparent bytes of all weights below a folder.
fn bytes(folder: &Path) -> u64 {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.map(|path| if path.is_dir() { bytes(&path) } else { fs::metadata(path).unwrap().len() }).sum()
}

#[test]
fn every_known_model_is_recognised_where_its_files_lie_and_takes_what_the_list_says() {
    let mut wrong = Vec::new();
    for model in known(None).unwrap() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join(&model.name);
        publish(&model, &folder);
        let report = look(&folder, DeviceKind::Metal);
        assert_eq!(report.model.as_ref().unwrap().preset.as_str(), model.preset, "{report}");
        assert!(report.roles.iter().all(|role| role.state == State::Usable), "{}: {report}", model.name);
        let memory = report.roles.iter().filter_map(|role| role.memory);
        let of: Vec<u64> = memory.map(|memory| memory.weights + memory.activations.unwrap()).collect();
        let gigabytes = |bytes: u64| (bytes as f64 / 1e8).round() / 10.;
        let counted =
            (gigabytes(bytes(&folder)), gigabytes(of.iter().copied().max().unwrap()), gigabytes(of.iter().sum()));
        println!("{}: download = {}, largest = {}, together = {}", model.name, counted.0, counted.1, counted.2);
        let is_near = |a: f64, b: f64| (a - b).abs() <= 0.02 * b;
        if !(is_near(model.download, counted.0) && (model.largest, model.together) == (counted.1, counted.2)) {
            wrong.push(model.name);
        }
    }
    assert!(wrong.is_empty(), "the list is wrong of {wrong:?}; see above");
}
