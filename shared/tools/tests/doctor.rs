//! The demo model whole and broken, examined: what each planted fault is reported as.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use candle_core::{DType, Device, Tensor};
use wanfarm_model::ops::device::DeviceKind;
use wanfarm_tools::doctor::{Examination, Finding, Outcome, Rendered, Section};

const STEM: &str = "diffusion_pytorch_model.safetensors";

fn demo() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/demo/wan-tiny-t2v")
}

/// A copy of the demo model that may be broken.
fn copy() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for entry in fs::read_dir(demo()).unwrap() {
        let entry = entry.unwrap();
        let to = dir.path().join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            fs::create_dir(&to).unwrap();
            for file in fs::read_dir(entry.path()).unwrap() {
                let file = file.unwrap();
                fs::copy(file.path(), to.join(file.file_name())).unwrap();
            }
        } else {
            fs::copy(entry.path(), to).unwrap();
        }
    }
    dir
}

/// Changes the tensors of a part's file.
fn change(folder: &Path, part: &str, change: impl FnOnce(&mut HashMap<String, Tensor>)) {
    let file = folder.join(part).join(STEM);
    let mut tensors = candle_core::safetensors::load(&file, &Device::Cpu).unwrap();
    change(&mut tensors);
    // Not in place: the file may be mapped.
    fs::remove_file(&file).unwrap();
    candle_core::safetensors::save(&tensors, file).unwrap();
}

/// Operations are the device's, not the model's: where the model is broken, they are examined at this length.
const LENGTH: usize = 1024;

fn examine(folder: &Path, length: Option<usize>) -> (Vec<Finding>, Option<Rendered>) {
    let mut findings = Vec::new();
    let examination = Examination { model: folder, device: DeviceKind::Cpu, bf16: false, length, budget: None };
    let rendered = examination.run(&mut |finding| findings.push(finding)).unwrap();
    (findings, rendered)
}

/// Names of the checks that failed.
fn failed(folder: &Path) -> Vec<String> {
    let (findings, _) = examine(folder, Some(LENGTH));
    let failed = findings.into_iter().filter(|finding| finding.outcome == Outcome::Fail);
    failed.inspect(|finding| assert!(!finding.remark.is_empty())).map(|finding| finding.name.into_owned()).collect()
}

/// Breaks a copy of the demo model, for which these checks have to fail.
#[track_caller]
fn caught(break_it: impl FnOnce(&Path), checks: &[&str]) {
    let model = copy();
    break_it(model.path());
    let failed = failed(model.path());
    for check in checks {
        assert!(failed.iter().any(|name| name == check), "{check} passes: {failed:?}");
    }
}

fn zero(tensors: &mut HashMap<String, Tensor>, which: impl Fn(&str) -> bool) {
    let names: Vec<String> = tensors.keys().filter(|name| which(name)).cloned().collect();
    assert!(!names.is_empty());
    tensors
        .extend(names.into_iter().map(|name| (name.clone(), tensors[&name].zeros_like().unwrap())).collect::<Vec<_>>());
}

#[test]
fn a_whole_model_passes_everything() {
    let (findings, rendered) = examine(&demo(), None);
    for finding in &findings {
        assert_eq!(finding.outcome, Outcome::Pass, "{finding:?}");
    }
    let sections = [Section::Files, Section::Operations, Section::Autoencoder, Section::Transformers, Section::Render];
    let mut order: Vec<Section> = findings.iter().map(|finding| finding.section).collect();
    order.dedup();
    assert_eq!(order, sections);
    let rendered = rendered.unwrap();
    assert_eq!((rendered.frames, rendered.height, rendered.width), (17, 64, 64));
    assert_eq!(rendered.rgb.len(), 17 * 64 * 64 * 3);
}

#[test]
fn every_bad_tensor_is_named_and_the_rest_is_still_examined() {
    let model = copy();
    change(model.path(), "transformer", |tensors| {
        tensors.remove("proj_out.bias").unwrap();
        tensors.insert("surplus".to_owned(), Tensor::zeros(3, candle_core::DType::F32, &Device::Cpu).unwrap());
    });
    let (findings, rendered) = examine(model.path(), Some(LENGTH));
    let high = findings.iter().find(|finding| finding.name == "dit-high").unwrap();
    assert_eq!((high.section, high.outcome), (Section::Files, Outcome::Fail));
    assert!(high.remark.contains("head.head.bias") && high.remark.contains("surplus"), "{}", high.remark);
    let outcome = |section| findings.iter().filter(|f| f.section == section).map(|f| f.outcome).collect::<Vec<_>>();
    assert!(outcome(Section::Autoencoder).iter().all(|outcome| *outcome == Outcome::Pass));
    assert_eq!(outcome(Section::Render), [Outcome::Skipped]);
    assert!(rendered.is_none());

    let (findings, _) = examine(&model.path().join("tokenizer"), Some(LENGTH));
    assert_eq!((findings[0].section, findings[0].outcome), (Section::Files, Outcome::Fail));
    assert!(findings.iter().any(|f| f.section == Section::Operations), "the device can be examined without a model");
}

/// The demo with its blocks' matrices in fp8, each with a scale, which `wrong` multiplies.
fn fp8(wrong: impl Fn(&str, &str) -> f64) -> tempfile::TempDir {
    let model = copy();
    for part in ["transformer", "transformer_2"] {
        change(model.path(), part, |tensors| {
            let is_matrix = |name: &String| name.starts_with("blocks.") && tensors[name].rank() == 2;
            let names: Vec<String> = tensors.keys().filter(|name| is_matrix(name)).cloned().collect();
            for name in names {
                let matrix = tensors[&name].to_dtype(DType::F32).unwrap();
                let most = matrix.abs().unwrap().max_all().unwrap().to_scalar::<f32>().unwrap();
                let scale = f64::from(most) / 448.;
                tensors.insert(name.clone(), (matrix / scale).unwrap().to_dtype(DType::F8E4M3).unwrap());
                let scale = Tensor::new((scale * wrong(part, &name)) as f32, &Device::Cpu).unwrap();
                tensors.insert(name.replace(".weight", ".scale_weight"), scale);
            }
        });
    }
    model
}

#[test]
fn a_compact_model_passes_and_says_what_it_is_and_wrong_scales_are_caught() {
    let (findings, rendered) = examine(fp8(|_, _| 1.).path(), Some(LENGTH));
    assert!(findings.iter().all(|finding| finding.outcome == Outcome::Pass), "{findings:?}");
    assert!(rendered.is_some());
    for name in ["dit-high: f8_e4m3 levels", "dit-low: f8_e4m3 evenness", "dit-low: f8_e4m3 product"] {
        assert!(findings.iter().any(|finding| finding.name == name), "nothing about {name}: {findings:?}");
    }
    let one = |part: &str, name: &str| {
        if part == "transformer_2" && name.starts_with("blocks.3.attn2.to_v.") { 20. } else { 1. }
    };
    assert!(failed(fp8(one).path()).contains(&"dit-low: f8_e4m3 evenness".to_owned()));
    let all = failed(fp8(|_, _| 448.).path());
    assert!(all.contains(&"dit-high: f8_e4m3 levels".to_owned()), "{all:?}");
}

#[test]
fn a_zeroed_encoder_is_caught() {
    let zero = |tensors: &mut _| zero(tensors, |name| name.starts_with("encoder."));
    caught(|model| change(model, "vae", zero), &["spread of the latents", "round trip"]);
}

#[test]
fn time_halved_at_the_wrong_levels_is_caught() {
    let halve = |tensors: &mut HashMap<String, Tensor>| {
        // From the lowest level to the highest, cut to its width: a file that the loader has no objection to.
        for (from, to, width, outputs) in [
            ("encoder.down_blocks.5", "encoder.down_blocks.1", 16, 16),
            ("decoder.up_blocks.0.upsamplers.0", "decoder.up_blocks.2.upsamplers.0", 32, 64),
        ] {
            let weight = tensors.remove(&format!("{from}.time_conv.weight")).unwrap();
            let bias = tensors.remove(&format!("{from}.time_conv.bias")).unwrap();
            let weight = weight.narrow(0, 0, outputs).unwrap().narrow(1, 0, width).unwrap().contiguous().unwrap();
            tensors.insert(format!("{to}.time_conv.weight"), weight);
            tensors.insert(format!("{to}.time_conv.bias"), bias.narrow(0, 0, outputs).unwrap());
        }
    };
    caught(|model| change(model, "vae", halve), &["order of resampling", "round trip"]);
}

#[test]
fn swapped_experts_are_caught() {
    let swap = |model: &Path| {
        for (from, to) in [("transformer", "other"), ("transformer_2", "transformer"), ("other", "transformer_2")] {
            fs::rename(model.join(from), model.join(to)).unwrap();
        }
    };
    caught(swap, &["experts at high noise", "experts at low noise"]);
}

#[test]
fn one_expert_twice_is_caught() {
    let copy = |model: &Path| {
        fs::copy(model.join("transformer").join(STEM), model.join("transformer_2").join(STEM)).unwrap();
    };
    caught(copy, &["two experts", "text embeddings"]);
}

#[test]
fn a_shared_text_embedding_is_caught() {
    let model = copy();
    let high = candle_core::safetensors::load(demo().join("transformer").join(STEM), &Device::Cpu).unwrap();
    change(model.path(), "transformer_2", |tensors| {
        let shared = high.into_iter().filter(|(name, _)| name.contains("text_embedder"));
        tensors.extend(shared);
    });
    assert_eq!(failed(model.path()), ["text embeddings"]);
}

/// Both transformers with these tensors zeroed.
fn zero_both(model: &Path, which: impl Fn(&str) -> bool) {
    for part in ["transformer", "transformer_2"] {
        change(model, part, |tensors| zero(tensors, &which));
    }
}

#[test]
fn a_zeroed_text_embedding_is_caught() {
    let checks = ["dit-high: answer to the text", "dit-low: answer to the text", "text embeddings"];
    caught(|model| zero_both(model, |name| name.contains("text_embedder")), &checks);
}

#[test]
fn transformers_that_leave_the_noise_alone_are_caught() {
    let zero = |model: &Path| zero_both(model, |name| name.starts_with("proj_out."));
    caught(zero, &["dit-high: prediction", "dit-low: prediction"]);
}

#[test]
fn latents_that_overflow_are_caught() {
    let overflow = |tensors: &mut HashMap<String, Tensor>| {
        let bias = tensors.get_mut("proj_out.bias").unwrap();
        *bias = (bias.clone() * f64::NAN).unwrap();
    };
    let checks = ["dit-low: prediction", "latents of every step", "decoding"];
    caught(|model| change(model, "transformer_2", overflow), &checks);
}
