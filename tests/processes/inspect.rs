//! `coordinator inspect`: what a model is, what it needs, what is missing for which task; for people and for programs.

use std::path::Path;
use std::process::Command;

use safetensors::Dtype;
use serde_json::Value;

use crate::first_frame::image_model;
use crate::known_frame::either_model;
use crate::program::{Ended, Running, Sandbox, binary, demo, says};
use crate::prompts::{copy_model, rewrite};

const TRANSFORMER: &str = "transformer/diffusion_pytorch_model.safetensors";

fn inspect(path: &Path, options: &[&str]) -> Ended {
    Running::start(Command::new(binary()).arg("inspect").arg(path).args(options)).wait()
}

fn json(path: &Path, options: &[&str]) -> Value {
    let ended = inspect(path, &[options, &["--json"]].concat());
    serde_json::from_str(&ended.stdout).unwrap_or_else(|error| panic!("{error}: {}\n{}", ended.stdout, ended.stderr))
}

fn role<'a>(report: &'a Value, name: &str) -> &'a Value {
    let roles = report["roles"].as_array().expect("roles");
    roles.iter().find(|role| role["role"] == name).unwrap_or_else(|| panic!("no {name} in {roles:?}"))
}

fn tasks(report: &Value) -> Vec<(&str, usize)> {
    let tasks = report["tasks"].as_array().expect("tasks").iter();
    tasks.map(|task| (task["task"].as_str().expect("name"), task["missing"].as_array().expect("roles").len())).collect()
}

#[test]
fn a_whole_model_is_told_to_people() {
    let told = inspect(&demo().join("wan-tiny-t2v"), &[]).expect(0).stdout;
    says(
        &told,
        &[
            "wan-tiny-t2v (custom, VAE Wan21, diffusers layout)",
            "64x64, 17 frames at 8 fps, 20 steps",
            "text-encoder",
            "dit-high           1.79 M parameters",
            "dit-low            1.79 M parameters",
            "transformer_2/diffusion_pytorch_model.safetensors",
            "memory on cpu: weights 6.8 MiB",
            "text-to-video: everything is here",
        ],
    );
    assert!(!told.contains("blake3"), "files are hashed on request only:\n{told}");
}

#[test]
fn a_whole_model_is_told_to_programs() {
    let model = demo().join("wan-tiny-t2v");
    let report = json(&model, &["--device", "cpu"]);
    assert_eq!((&report["layout"], &report["device"]), (&"diffusers".into(), &"cpu".into()));
    assert_eq!(tasks(&report), [("text-to-video", 0)]);
    let roles: Vec<&Value> = report["roles"].as_array().expect("roles").iter().map(|role| &role["role"]).collect();
    assert_eq!(roles, ["text-encoder", "dit-high", "dit-low", "vae"]);
    let high = role(&report, "dit-high");
    assert_eq!((&high["state"], &high["fault"]), (&"usable".into(), &Value::Null));
    assert_eq!(high["parameters"], high["dtypes"]["bf16"]["elements"]);
    let file = model.join(TRANSFORMER);
    let bytes = std::fs::metadata(&file).expect("weights").len();
    assert_eq!(high["files"][0], Value::from(vec![file.display().to_string().into(), Value::from(bytes)]));
    assert_eq!(high["digests"], Value::Array(vec![]));
    // In f32 on a CPU, as stored on a GPU.
    let weights = |report: &Value| role(report, "dit-high")["memory"]["weights"].as_u64().expect("bytes");
    let there = json(&model, &["--device", "metal"]);
    assert_eq!(there["device"], "metal");
    assert!(weights(&report) > weights(&there) && weights(&there) > bytes / 2, "{there:#}");
}

#[test]
fn files_are_hashed_on_request() {
    let model = demo().join("wan-tiny-t2v");
    let digests = role(&json(&model, &["--digests"]), "dit-high")["digests"].clone();
    let weights = std::fs::read(model.join(TRANSFORMER)).expect("weights");
    let of_weights = digests.as_array().expect("digests").iter().find(|file| file["path"] == TRANSFORMER);
    assert_eq!(of_weights.expect("the weights")["blake3"], blake3::hash(&weights).to_hex().as_str());
    let told = inspect(&model, &["--digests"]).expect(0).stdout;
    assert!(told.contains(&format!("blake3 {}", blake3::hash(&weights).to_hex())), "{told}");
}

#[test]
fn each_model_says_what_it_is_for_and_what_is_missing_for_that() {
    let sandbox = Sandbox::new();
    let (image, either) = (sandbox.path("image"), sandbox.path("either"));
    image_model(&image);
    either_model(&either);
    assert_eq!(tasks(&json(&image, &[])), [("image-to-video", 0)]);
    let report = json(&either, &[]);
    assert_eq!(tasks(&report), [("text-to-video", 0), ("image-to-video", 0)]);
    assert_eq!((&report["layout"], &report["model"]["vae"]), (&"official".into(), &"2.2".into()));

    // A part that is not here is no fault: other machines may have it.
    std::fs::remove_file(either.join("Wan2.2_VAE.safetensors")).expect("remove");
    let ended = inspect(&either, &[]).expect(0);
    says(&ended.stdout, &["text-to-video: needs vae, not usable here", "image-to-video: needs vae, not usable here"]);
    assert_eq!(role(&json(&either, &[]), "vae")["state"], "missing");
}

#[test]
fn everything_wrong_with_a_file_is_named_at_once() {
    let sandbox = Sandbox::new();
    let model = sandbox.path("wan-tiny-t2v");
    copy_model(&model);
    rewrite(&model.join(TRANSFORMER), |tensor| match &*tensor.name {
        "blocks.0.attn1.to_q.bias" => tensor.name = "blocks.0.attn1.to_q.bais".to_owned(),
        "blocks.3.ffn.net.2.bias" => tensor.shape = vec![2, 64],
        "blocks.1.attn1.to_k.bias" => tensor.dtype = Dtype::I16,
        _ => {}
    });
    let ended = inspect(&model, &[]).expect(4);
    let report = json(&model, &[]);
    let high = role(&report, "dit-high");
    assert_eq!(high["state"], "damaged");
    assert_eq!(high["memory"], Value::Null);
    for told in [ended.stdout.as_str(), high["fault"].as_str().expect("a fault")] {
        says(
            told,
            &[
                "1 missing: blocks.0.self_attn.q.bias",
                "1 unexpected: blocks.0.self_attn.q.bais (in the file: blocks.0.attn1.to_q.bais)",
                "1 of another shape: blocks.3.ffn.2.bias",
                "1 of an unusable element type: blocks.1.self_attn.k.bias",
            ],
        );
    }
    assert_eq!(role(&report, "dit-low")["state"], "usable", "the rest is looked at all the same");
    assert_eq!(tasks(&report), [("text-to-video", 1)]);
}

#[test]
fn what_is_no_model_is_bad_model_files_and_what_is_no_option_is_usage() {
    let sandbox = Sandbox::new();
    let ended = inspect(&sandbox.path("nowhere"), &[]).expect(4);
    assert!(ended.stderr.contains("nowhere"), "{}", ended.stderr);
    std::fs::create_dir(sandbox.path("empty")).expect("folder");
    assert!(inspect(&sandbox.path("empty"), &[]).expect(4).stderr.contains("no model here"));
    inspect(&demo().join("wan-tiny-t2v"), &["--device", "abacus"]).expect(2);
    Running::start(Command::new(binary()).arg("inspect")).wait().expect(2);
}

#[test]
fn one_file_is_told_alone() {
    let report = json(&demo().join("wan-tiny-t2v").join(TRANSFORMER), &[]);
    assert_eq!(report["layout"], "single-file");
    let usable = report["roles"].as_array().expect("roles").iter().filter(|role| role["state"] == "usable");
    assert_eq!(usable.count(), 1, "{report:#}");
}
