//! What can be known before the first step is said before it: of LoRA files, tokenizers and texts.

use std::path::Path;
use std::process::Command;

use safetensors::Dtype;
use safetensors::tensor::TensorView;
use serde_json::Value;

use crate::farm::Farm;
use crate::program::{Ended, Running, Sandbox, binary, demo, eventually};
use crate::prompts::copy_model;

const HEAD: &str = "[job]\nname = 'known'\nmodel = 'wan-tiny-t2v'\noutput = '{index}'\nformats = ['png']\n\
    [defaults]\nprompt = 'a red circle moving left on a black background'\nsteps = 1\nwidth = 64\nheight = 64\n\
    frames = 5\n";

/// A LoRA file with a pair of matrices of rank one for each of these modules of a model of so many channels.
fn lora(at: &Path, channels: usize, modules: &[&str]) {
    let values = vec![0; 4 * channels];
    let key = |module: &str, matrix: &str| format!("{module}.{matrix}.weight");
    let pairs = modules.iter().flat_map(|module| {
        [(key(module, "lora_down"), vec![1, channels]), (key(module, "lora_up"), vec![channels, 1])]
    });
    let views = pairs.map(|(name, shape)| (name, TensorView::new(Dtype::F32, shape, &values).expect("a tensor")));
    std::fs::write(at, safetensors::serialize(views, None).expect("safetensors")).expect("the file");
}

fn inspect(path: &Path) -> Ended {
    Running::start(Command::new(binary()).arg("inspect").arg(path)).wait()
}

#[test]
fn a_lora_of_another_model_is_refused_by_its_name_before_anything_runs() {
    let sandbox = Sandbox::new();
    lora(&sandbox.path("good.safetensors"), 128, &["lora_unet__blocks_0_self_attn_q"]);
    lora(&sandbox.path("bad.safetensors"), 256, &["blocks.0.self_attn.q"]);
    let videos = "[[video]]\nloras = ['good.safetensors', 'bad.safetensors']\nsweep = { seed = [1, 2, 3, 4, 5, 6] }\n";
    let manifest = sandbox.manifest(&format!("{HEAD}{videos}"));
    let ended = sandbox.run(&manifest, &demo()).wait().expect(2);
    assert_eq!(ended.stderr.matches("bad.safetensors").count(), 2, "its name, and the line:\n{}", ended.stderr);
    assert!(ended.stderr.contains("[256, 256] in it, [128, 128] in the model"), "{}", ended.stderr);
    assert_eq!(sandbox.files(), [] as [String; 0]);
}

#[test]
fn a_coordinator_that_knows_the_model_tells_it_to_clients_that_submit() {
    let sandbox = Sandbox::new();
    let farm = Farm::start(&sandbox);
    eventually("every worker is there", || farm.is_complete().then_some(()));
    lora(&sandbox.path("bad.safetensors"), 256, &["blocks.0.self_attn.q"]);
    lora(&sandbox.path("i2v.safetensors"), 128, &["blocks.0.self_attn.q", "blocks.0.cross_attn.k_img"]);
    for dry in [&["--dry-run"][..], &[]] {
        let manifest = sandbox.manifest(&format!("{HEAD}[[video]]\nloras = ['bad.safetensors']\n"));
        let submit =
            |manifest: &Path| farm.client(&[&["submit", manifest.to_str().expect("a path")][..], dry].concat());
        let refused = submit(&manifest).expect(2);
        assert!(refused.stderr.contains("cannot use the LoRA `bad.safetensors`"), "{}", refused.stderr);
        let manifest = sandbox.manifest(&format!("{HEAD}[[video]]\nloras = ['i2v.safetensors']\n"));
        let taken = submit(&manifest).expect(0);
        let told = format!("{}{}", taken.stdout, taken.stderr);
        assert!(told.contains("note: the LoRA i2v.safetensors: 1 of its 2 changes are left out"), "{told}");
    }
}

#[test]
fn a_lora_file_is_told_in_figures() {
    let sandbox = Sandbox::new();
    let file = sandbox.path("style_high_noise.safetensors");
    lora(&file, 5120, &["blocks.0.self_attn.q", "blocks.39.cross_attn.k_img"]);
    let told = inspect(&file).expect(0).stdout;
    for words in [
        "a LoRA file, for the expert: high",
        "2 pairs of matrices of rank 1, times 1.000",
        "5120 channels and at least 40 blocks",
        "of the published models: t2v-a14b, i2v-a14b",
        "1 changes are for image parts",
    ] {
        assert!(told.contains(words), "nothing about {words:?} in:\n{told}");
    }
    let bytes = std::fs::read(&file).expect("bytes");
    std::fs::write(&file, &bytes[..bytes.len() - 100]).expect("cut");
    let cut = inspect(&file).expect(4).stderr;
    assert!(cut.contains("style_high_noise.safetensors") && cut.contains("100 of"), "{cut}");
}

#[test]
fn a_damaged_tokenizer_is_a_bad_model_file() {
    let models = tempfile::tempdir().expect("temporary directory");
    let model = models.path().join("wan-tiny-t2v");
    copy_model(&model);
    let file = model.join("tokenizer/tokenizer.json");
    let whole = std::fs::read_to_string(&file).expect("tokenizer");
    let pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 16837417\n";
    let cut = &whole[..whole.len() / 2];
    for damaged in ["", pointer, "<!DOCTYPE html>", cut, &whole.replace("</s>", "</t>")] {
        std::fs::write(&file, damaged).expect("damage");
        let sandbox = Sandbox::new();
        let manifest = sandbox.manifest(&format!("{HEAD}[[video]]\n"));
        let run = sandbox.run(&manifest, models.path()).wait().expect(4);
        assert!(run.stderr.contains("tokenizer.json"), "{}", run.stderr);
        assert!(!run.stderr.contains("panicked"), "{}", run.stderr);
        let told = inspect(&model).expect(4);
        assert!(told.stdout.contains("tokenizer.json"), "{}", told.stdout);
        assert_eq!(sandbox.files(), [] as [String; 0]);
    }
    // What only turns ids back into text is nobody's business here.
    let decoder = whole.replace("\"decoder\":", "\"decoder\": {\"type\": \"No\"}, \"was\":");
    assert_ne!(decoder, whole);
    std::fs::write(&file, decoder).expect("damage");
    inspect(&model).expect(0);
}

#[test]
fn a_lora_that_is_part_of_a_model_is_held_against_it_by_inspect_and_run() {
    let models = tempfile::tempdir().expect("temporary directory");
    let model = models.path().join("wan-tiny-t2v");
    copy_model(&model);
    std::fs::write(model.join("loras.json"), r#"{ "loras": [{ "path": "fixed.safetensors" }] }"#).expect("the list");
    lora(&model.join("fixed.safetensors"), 256, &["blocks.0.self_attn.q"]);
    let sandbox = Sandbox::new();
    let manifest = sandbox.manifest(&format!("{HEAD}[[video]]\n"));
    let run = sandbox.run(&manifest, models.path()).wait().expect(4);
    let told = inspect(&model).expect(4);
    for said in [&run.stderr, &told.stdout] {
        assert!(said.contains("fixed.safetensors: it was made for another model"), "{said}");
    }
    lora(&model.join("fixed.safetensors"), 128, &["blocks.0.self_attn.q", "blocks.0.cross_attn.v_img"]);
    let told = inspect(&model).expect(0).stdout;
    assert!(told.contains("fixed.safetensors: 1 of its 2 changes are left out"), "{told}");
}

#[test]
fn of_a_long_prompt_it_is_told_how_much_is_left_out() {
    let sandbox = Sandbox::new();
    let long = format!("a red circle moving left {}", "moving left ".repeat(300));
    let manifest = format!("{HEAD}[[video]]\nprompt = '{long}'\nsweep = {{ seed = [1, 2] }}\n[[video]]\n");
    let ended = sandbox.run(&sandbox.manifest(&manifest), &demo()).wait().expect(0);
    let note = "the prompt has 606 tokens, the model reads 512: the last 94 are left out";
    assert!(ended.stderr.contains(&format!("note: {note}")), "before it begins:\n{}", ended.stderr);
    assert!(ended.stdout.contains(&format!("2x  {note}")), "and at the end:\n{}", ended.stdout);
    let json = |name: &str| -> Value {
        let text = std::fs::read_to_string(sandbox.output().join(name)).expect(name);
        serde_json::from_str(&text).expect("JSON")
    };
    let starts = |value: &Value| value[0].as_str().is_some_and(|said| said.starts_with(note));
    assert!(starts(&json("0.json")["notes"]) && starts(&json("1.json")["notes"]));
    assert_eq!(json("2.json")["notes"], serde_json::json!([]));
    let videos = &json("report.json")["videos"];
    assert!(starts(&videos[0]["notes"]), "{videos}");
    let encoded = json("0.json")["attempts"][0]["text_tokens"].clone();
    assert_eq!(encoded, 606);
}
