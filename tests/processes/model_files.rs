//! Model files as people have them: what is known to be wrong before the first step is said before it, and what lies
//! beside a model does not matter.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::program::{Ended, Running, Sandbox, binary, demo, repository, says};
use crate::prompts::{copy_model, rewrite};

const ONE: &str = "[job]\nname = \"one\"\nmodel = \"wan-tiny-t2v\"\noutput = \"{index:04}\"\nformats = [\"png\"]\n\
                   [[video]]\nprompt = \"a red circle moving left on a black background\"\nseed = 1\nsteps = 1\nframes = 1\n";

/// A folder of models with a copy of the demo model that was changed.
fn shelf(change: impl FnOnce(&Path)) -> Sandbox {
    let sandbox = Sandbox::new();
    let model = sandbox.path("models/wan-tiny-t2v");
    copy_model(&model);
    change(&model);
    sandbox
}

fn run(sandbox: &Sandbox, manifest: &str) -> Ended {
    sandbox.run(&sandbox.manifest(manifest), &sandbox.path("models")).wait()
}

#[test]
fn parts_of_two_models_are_refused_by_every_command() {
    let sandbox = shelf(|model| {
        let vae = repository().join("tests/golden/data/vae22/official/Wan2.2_VAE.safetensors");
        fs::copy(vae, model.join("vae/diffusion_pytorch_model.safetensors")).expect("copy");
        fs::remove_file(model.join("vae/config.json")).expect("remove");
    });
    let model = sandbox.path("models/wan-tiny-t2v");
    let words = [
        "do not belong together",
        "vae/diffusion_pytorch_model.safetensors makes latents with 48 channels",
        "needs 16",
    ];
    says(&run(&sandbox, ONE).expect(4).stderr, &words);
    assert_eq!(sandbox.files(), [] as [String; 0]);
    says(&Running::start(Command::new(binary()).arg("inspect").arg(&model)).wait().expect(4).stdout, &words);
    let mut doctor = Command::new(binary());
    let doctor = Running::start(doctor.args(["doctor", "--device", "cpu", "--model"]).arg(&model)).wait();
    says(format!("{}{}", doctor.stdout, doctor.stderr), &words);
    let mut worker = Command::new(binary());
    worker.args(["worker", "--role", "dit-high", "--coordinator", "http://127.0.0.1:1", "--models"]);
    worker.arg(sandbox.path("models")).arg("--data").arg(sandbox.path("worker"));
    says(&Running::start(&mut worker).wait().expect(4).stderr, &["do not belong together"]);
}

#[test]
fn experts_of_different_depth_are_refused() {
    let sandbox = shelf(|model| {
        fs::write(model.join("transformer_2/config.json"), "{\"num_heads\": 2}").expect("config");
        rewrite(&model.join("transformer_2/diffusion_pytorch_model.safetensors"), |tensor| {
            if let Some(rest) = tensor.name.strip_prefix("blocks.5.") {
                tensor.name = format!("no.block.{rest}");
            }
        });
    });
    says(&run(&sandbox, ONE).expect(4).stderr, &["6 and 5 blocks", "not the two experts of one model"]);
}

#[test]
fn what_lies_beside_a_model_stops_no_run() {
    let sandbox = shelf(|model| {
        let beside = |name: &str| model.with_file_name(name);
        for folder in ["llm", "flux/transformer", "download/transformer"] {
            fs::create_dir_all(beside(folder)).expect("folder");
        }
        fs::write(beside("llm/model.safetensors"), b"version https://git-lfs.github.com/spec/v1\n").expect("write");
        fs::write(beside("flux/transformer/diffusion_pytorch_model.safetensors"), b"").expect("write");
        let file = "transformer/diffusion_pytorch_model.safetensors";
        let bytes = fs::read(model.join(file)).expect("weights");
        fs::write(beside("download").join(file), &bytes[..bytes.len() - 10]).expect("write");
    });
    let ended = run(&sandbox, ONE).expect(0);
    assert!(!ended.stderr.contains("llm") && !ended.stderr.contains("flux"), "{}", ended.stderr);
}

#[test]
fn a_model_under_another_case_is_told_and_nothing_waits() {
    let sandbox = shelf(|_| ());
    let ended = run(&sandbox, &ONE.replace("wan-tiny-t2v", "Wan-Tiny-T2V")).expect(4);
    says(&ended.stderr, &["wan-tiny-t2v is not Wan-Tiny-T2V", "write model = \"wan-tiny-t2v\""]);
}

#[test]
fn a_name_is_the_same_however_its_accents_are_put_together() {
    let sandbox = shelf(|model| fs::rename(model, model.with_file_name("cafe\u{301}")).expect("rename"));
    run(&sandbox, &ONE.replace("wan-tiny-t2v", "caf\u{e9}")).expect(0);
    assert!(sandbox.output().join("0000.json").is_file());
}

#[test]
fn a_model_in_place_of_its_parent_is_told_once() {
    let told = "this is a model itself; give the folder it lies in";
    let sandbox = Sandbox::new();
    let ended = sandbox.run(&sandbox.manifest(ONE), &demo().join("wan-tiny-t2v")).wait().expect(4);
    assert_eq!(ended.stderr.matches(told).count(), 1, "{}", ended.stderr);
    assert!(ended.stderr.len() < 300, "{}", ended.stderr);
}
