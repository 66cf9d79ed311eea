//! Networks on compact weights compute what they compute on the same weights decoded by the formats' reference
//! implementations (`data/compact/make.py`), and little else than on the weights before they were made compact.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod numbers;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use candle_core::{DType, Device, Tensor};
use numbers::{apart, golden, open, stored, values, velocity};
use wanfarm_model::Weights;
use wanfarm_model::dit::{Timesteps, WanModel};
use wanfarm_model::folder;
use wanfarm_model::lora::{Adapters, Lora};
use wanfarm_model::ops::device::DeviceKind;
use wanfarm_model::umt5::Umt5;
use wanfarm_tools::inspect::{Questions, State, inspect};
use wanfarm_types::{Expert, Role};
use wanfarm_weights::ConfigFile;
use wanfarm_weights::transformer::{parameters, sizes};

fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/compact").join(name)
}

#[test]
fn a_compact_dit_computes_what_its_decoded_weights_do() {
    let truth = stored(&golden().join("io.safetensors"), "out.base").get(0).unwrap();
    for (compact, decoded, lost) in [
        ("dit-q8_0.gguf", "dit-q8_0", 1e-3..2e-2),
        ("dit-q4_0.gguf", "dit-q4_0", 2e-2..4e-1),
        ("dit-fp8-scaled-stored.safetensors", "dit-fp8-scaled", 5e-3..1e-1),
        ("dit-fp8-plain-stored.safetensors", "dit-fp8-plain", 5e-3..2e-1),
    ] {
        let (compact, decoded) = (open(data(compact)), open(data(&format!("{decoded}.safetensors"))));
        for name in decoded.files().names() {
            let tensor = |weights: &Weights| weights.tensor(name, Some(DType::F32), &Device::Cpu).unwrap();
            assert_eq!(values(&tensor(&compact)), values(&tensor(&decoded)), "{name} is decoded otherwise");
        }
        let (got, want) = (velocity(&compact), velocity(&decoded));
        assert!(apart(&got, &want) < 1e-6, "{}", apart(&got, &want));
        let rounding = apart(&got, &truth);
        assert!(lost.contains(&rounding), "{}: {rounding} from the network before", compact.files().place());
    }
}

#[test]
fn adapters_stand_beside_compact_matrices() {
    let lora = |file: &str| {
        let config = ConfigFile::read(&golden().join("official/config.json")).unwrap();
        let config = sizes(open(data("dit-q8_0.gguf")).files(), &config).unwrap();
        Arc::new(
            Lora::open(&golden().join(format!("lora_{file}.safetensors")), &parameters(&config), Expert::Single)
                .unwrap(),
        )
    };
    // Two at a time: one with differences of every kind, one of another rank.
    let adapters = Adapters::new(vec![(lora("lightx2v"), 0.6), (lora("original_AB_partial"), -0.8)]);
    let velocities = |path: PathBuf| {
        let mut weights = open(path);
        let base = velocity(&weights);
        weights.adapt(adapters.clone());
        (base, velocity(&weights))
    };
    for (compact, decoded) in [("dit-q8_0.gguf", "dit-q8_0"), ("dit-fp8-scaled-stored.safetensors", "dit-fp8-scaled")] {
        let (base, got) = velocities(data(compact));
        let (_, want) = velocities(data(&format!("{decoded}.safetensors")));
        assert!(apart(&got, &want) < 5e-6, "{compact}: {}", apart(&got, &want));
        assert!(apart(&base, &want) > 0.1, "{compact}: the adapters change the network");
    }
}

/// A model folder of one GGUF transformer, with these as part of it.
#[test]
fn adapters_of_the_model_stand_beside_compact_matrices_too() {
    let folder = tempfile::tempdir().unwrap();
    let put = |from: PathBuf, name: &str| std::fs::copy(from, folder.path().join(name)).unwrap();
    put(data("dit-q8_0.gguf"), "dit.gguf");
    put(golden().join("official/config.json"), "config.json");
    let plain = velocity(&folder::open(folder.path()).unwrap().weights(Role::Dit).unwrap());
    put(golden().join("lora_lightx2v.safetensors"), "lora.safetensors");
    std::fs::write(folder.path().join("loras.json"), r#"{"loras": [{"path": "lora.safetensors", "strength": 0.6}]}"#)
        .unwrap();
    let model = folder::open(folder.path()).unwrap();
    assert_eq!(model.info().loras[0].path, "lora.safetensors");
    let config = ConfigFile::read(&golden().join("official/config.json")).unwrap();
    let mut decoded = open(data("dit-q8_0.safetensors"));
    let config = sizes(decoded.files(), &config).unwrap();
    let path = golden().join("lora_lightx2v.safetensors");
    let lora = Arc::new(Lora::open(&path, &parameters(&config), Expert::Single).unwrap());
    decoded.adapt(Adapters::new(vec![(lora, 0.6)]));
    let (got, want) = (velocity(&model.weights(Role::Dit).unwrap()), velocity(&decoded));
    assert!(apart(&got, &want) < 5e-6 && apart(&plain, &want) > 0.1, "{}", apart(&got, &want));
    let questions = Questions { device: DeviceKind::Cpu, digests: false };
    let told = inspect(folder.path(), questions).unwrap().to_string();
    for words in ["part of it: lora.safetensors at strength 0.6, expert each", "q8_0", "beside the compact matrices"] {
        assert!(told.contains(words), "nothing about {words:?} in:\n{told}");
    }
}

#[test]
fn blocks_of_256_are_decoded_as_the_reference_does() {
    let (weights, rows) = (open(data("dit-k.gguf")), data("dit-k-rows.safetensors"));
    let dtypes = weights.files().dtypes();
    assert!(
        ["q4_k", "q5_k", "q6_k", "bf16", "f16", "f32"].iter().all(|dtype| dtypes.contains_key(*dtype)),
        "{dtypes:?}"
    );
    assert_eq!(dtypes["q6_k"].bytes, dtypes["q6_k"].elements / 256 * 210);
    let matrices = weights
        .files()
        .names()
        .filter(|name| name.ends_with(".weight") && weights.files().shape(name).unwrap().len() == 2);
    for name in matrices {
        let count = weights.files().shape(name).unwrap()[0];
        let three = [0, count / 2, count - 1].map(|row| row as u32);
        let want = values(&stored(&rows, name));
        let got = weights.rows(name, &three).unwrap().to_dtype(DType::F32).unwrap();
        assert_eq!(values(&got), want, "{name}");
        let all = weights.tensor(name, Some(DType::F32), &Device::Cpu).unwrap();
        let got = all.index_select(&Tensor::new(&three, &Device::Cpu).unwrap(), 0).unwrap();
        assert_eq!(values(&got), want, "{name} as a whole");
    }
}

#[test]
fn a_dit_in_blocks_of_256_computes_what_its_decoded_weights_do() {
    let compact = open(data("dit-k.gguf"));
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("decoded.safetensors");
    let tensor = |name: &str| (name.to_owned(), compact.tensor(name, Some(DType::F32), &Device::Cpu).unwrap());
    candle_core::safetensors::save(&compact.files().names().map(tensor).collect(), &path).unwrap();
    let config = sizes(compact.files(), &ConfigFile::default()).unwrap();
    assert_eq!((config.dim, config.num_heads, config.text_dim), (256, 2, 256));
    let noise = |shape: &[usize]| {
        let count = shape.iter().product::<usize>() as u32;
        let value = |i: u32| (i.wrapping_mul(2_654_435_761) >> 8) as f32 / 8388608. - 1.;
        Tensor::from_vec((0..count).map(value).collect::<Vec<_>>(), shape, &Device::Cpu).unwrap()
    };
    let run = |weights: &Weights, dtype| {
        let model = WanModel::load(config, weights, dtype, &Device::Cpu).unwrap();
        let text = model.embed_text(&noise(&[7, 256])).unwrap();
        model.forward(&noise(&[16, 2, 6, 4]), Timesteps::Scalar(321.), &text).unwrap()
    };
    let want = run(&open(path), DType::F32);
    assert!(apart(&run(&compact, DType::F32), &want) < 1e-6);
    let narrow = apart(&run(&compact, DType::BF16), &want);
    assert!((1e-4..2e-2).contains(&narrow), "products in bf16 are asked for, and are {narrow} away");
}

#[test]
fn an_encoder_as_llama_cpp_names_it() {
    let encode = |weights| Umt5::load(weights, &Device::Cpu).unwrap().encode(&[5, 699, 17, 33, 1]).unwrap();
    let reference = Weights::open(&[data("umt5-q8_0.safetensors")]).unwrap();
    let (got, want) = (encode(open(data("umt5-q8_0.gguf"))), encode(reference));
    assert!(apart(&got, &want) < 1e-6, "{}", apart(&got, &want));
    let before = golden().join("../umt5/official/models_t5_umt5-xxl-enc.safetensors");
    let rounding = apart(&got, &encode(open(before)));
    assert!((1e-4..2e-2).contains(&rounding), "{rounding}");
}

#[test]
fn a_folder_of_gguf_files_is_a_model() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    for (expert, name) in
        [("HighNoise", "Wan2.2-T2V-HighNoise-Q8_0.gguf"), ("LowNoise", "Wan2.2-T2V-LowNoise-Q4_0.gguf")]
    {
        fs::create_dir(at(expert)).unwrap();
        let file = if expert == "HighNoise" { "dit-q8_0.gguf" } else { "dit-q4_0.gguf" };
        fs::copy(data(file), at(expert).join(name)).unwrap();
    }
    fs::copy(golden().join("official/config.json"), at("config.json")).unwrap();
    let encoder = "models_t5_umt5-xxl-enc-bf16.pth";
    fs::copy(golden().join("../repo_t2v_from_prompt/official_repo").join(encoder), at(encoder)).unwrap();
    let report = inspect(dir.path(), Questions { device: DeviceKind::Cpu, digests: false }).unwrap();
    let states: Vec<_> = report.roles.iter().map(|role| (role.role, role.state)).collect();
    use State::{Missing, Usable};
    let wanted = [(Role::TextEncoder, Missing), (Role::DitHigh, Usable), (Role::DitLow, Usable), (Role::Vae, Missing)];
    assert_eq!((report.layout, states.as_slice()), ("files", wanted.as_slice()), "{report}");
    assert!(report.to_string().contains("tokenizer.json of google/umt5-xxl"), "{report}");
    let [high, low] = [1, 2].map(|i| &report.roles[i]);
    assert_eq!(high.dtypes.keys().map(String::as_str).collect::<Vec<_>>(), ["f32", "q8_0"]);
    // As it is stored, and one matrix decoded.
    let weights = |role: &wanfarm_tools::inspect::RoleInspection| role.memory.unwrap().weights;
    let decoded = 256 * 32 * 4;
    assert_eq!(weights(high), high.dtypes.values().map(|share| share.bytes).sum::<u64>() + decoded);
    assert!(weights(low) < weights(high) && report.to_string().contains(" q4_0"), "{report}");

    fs::copy(data("dit-q8_0.gguf"), at("HighNoise").join("Wan2.2-HighNoise-Q6_K.gguf")).unwrap();
    let error = folder::open(dir.path()).unwrap_err().to_string();
    assert!(error.contains("more than one of HighNoise/Wan2.2-HighNoise-Q6_K.gguf, HighNoise/Wan2.2-T2V-"), "{error}");
}

#[test]
fn factors_that_fit_nothing_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("m.safetensors");
    let ones = |shape: &[usize]| Tensor::ones(shape, DType::F32, &Device::Cpu).unwrap();
    let save = |scale: (&str, &[usize])| {
        let tensors = [("a.weight".to_owned(), ones(&[4, 3])), (scale.0.to_owned(), ones(scale.1))].into();
        candle_core::safetensors::save(&tensors, &path).unwrap();
        Weights::open(std::slice::from_ref(&path))
    };
    for shape in [&[3][..], &[1, 3], &[2, 3]] {
        let error = save(("a.scale_weight", shape)).unwrap_err().to_string();
        let says =
            format!("m.safetensors: a.scale_weight, factors of shape {shape:?} in f32 for a matrix of shape [4, 3],");
        assert!(error.contains(&says), "{error}");
    }
    for shape in [&[][..], &[1], &[4, 1]] {
        assert!(save(("a.scale_weight", shape)).unwrap().files().names().eq(["a.weight"]));
    }
    assert!(save(("a.weight_scale", &[4])).unwrap().files().names().eq(["a.weight"]));
    assert!(save(("b.scale_weight", &[1])).unwrap().files().names().eq(["a.weight", "b.scale_weight"]));
}
