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
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let mut end = 0;
    let mut entries = BTreeMap::new();
    for (name, shape) in shapes {
        let start = end;
        end += 2 * shape.iter().product::<usize>();
        entries.insert(name, json!({"dtype": "BF16", "shape": shape, "data_offsets": [start, end]}));
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
