//! Bad input gets a clear error and the documented exit code, and leaves nothing behind.

use std::fs::OpenOptions;
use std::path::Path;
use std::process::Command;

#[cfg(target_os = "linux")]
use crate::disk::SmallDisk;
use crate::program::{Ended, Running, Sandbox, binary, demo, says};
#[cfg(target_os = "linux")]
use crate::program::{copy_folder, eventually, files_below};
use crate::prompts::{copy_model, rewrite};

const GOOD: &str = "[job]\nname = \"one\"\nmodel = \"wan-tiny-t2v\"\noutput = \"{index:04}\"\nformats = [\"png\"]\n\
                    [[video]]\nprompt = \"a red circle moving left on a black background\"\nseed = 1\n";

fn run(manifest: &str, models: &Path) -> (Sandbox, Ended) {
    let sandbox = Sandbox::new();
    let ended = sandbox.run(&sandbox.manifest(manifest), models).wait();
    (sandbox, ended)
}

#[track_caller]
fn refused(manifest: &str, code: i32, words: &[&str]) {
    let (sandbox, ended) = run(manifest, &demo());
    let ended = ended.expect(code);
    says(&ended.stderr, words);
    assert_eq!(sandbox.files(), [] as [String; 0]);
}

#[test]
fn every_fault_of_a_manifest_is_named_at_once() {
    let manifest = "[job]\nname = \"bad\"\nmodel = \"wan-tiny-t2v\"\noutput = \"../{index}\"\n\
                    [[video]]\nprompt = \"x\"\nframes = 18\nwidth = 65\ncolour = \"red\"\n";
    refused(manifest, 2, &["frames", "18", "65", "colour", "..", "manifest.toml:7", "manifest.toml:9"]);
}

#[test]
fn a_size_that_a_file_cannot_hold_is_refused_before_anything_is_rendered() {
    let wide = GOOD.replace("seed = 1", "seed = 1\nwidth = 4096\nheight = 16").replace("png", "mp4");
    refused(&wide, 2, &["4096x16", "mp4", "3840x2160", "png"]);
}

#[test]
fn a_missing_manifest_is_a_usage_error() {
    let sandbox = Sandbox::new();
    let ended = sandbox.run(&sandbox.path("nowhere.toml"), &demo()).wait().expect(2);
    assert!(ended.stderr.contains("nowhere.toml"), "{}", ended.stderr);
}

#[test]
fn a_missing_model_folder_is_named() {
    refused(&GOOD.replace("wan-tiny-t2v", "wan-huge"), 4, &["wan-huge", "--models"]);
}

/// A run over a copy of the demo model that `damage` has been done to.
fn damaged(damage: impl FnOnce(&Path)) -> Ended {
    let models = tempfile::tempdir().expect("temporary directory");
    let model = models.path().join("wan-tiny-t2v");
    copy_model(&model);
    damage(&model);
    let (sandbox, ended) = run(GOOD, models.path());
    assert_eq!(sandbox.files(), [] as [String; 0]);
    ended.expect(4)
}

#[test]
fn a_truncated_file_is_named_with_what_is_missing() {
    let ended = damaged(|model| {
        let file = OpenOptions::new().write(true).open(model.join("transformer_2/diffusion_pytorch_model.safetensors"));
        file.expect("weights").set_len(3_000_000).expect("truncate");
    });
    says(&ended.stderr, &["transformer_2", "truncated", "597600"]);
}

#[test]
fn a_missing_file_is_named() {
    let ended =
        damaged(|model| std::fs::remove_file(model.join("vae/diffusion_pytorch_model.safetensors")).expect("remove"));
    assert!(ended.stderr.contains("vae"), "{}", ended.stderr);
}

#[test]
fn wrong_tensors_are_all_named() {
    let ended = damaged(|model| {
        rewrite(&model.join("transformer/diffusion_pytorch_model.safetensors"), |tensor| match &*tensor.name {
            "blocks.0.attn1.to_q.bias" => tensor.name = "blocks.0.attn1.to_q.bais".to_owned(),
            "blocks.3.ffn.net.2.bias" => tensor.shape = vec![2, 64],
            _ => {}
        });
    });
    says(
        &ended.stderr,
        &["transformer", "missing: blocks.0.self_attn.q.bias", "unexpected", "bais", "blocks.3.ffn.2.bias", "[2, 64]"],
    );
}

#[test]
fn nobody_to_submit_to_is_exit_code_3() {
    let sandbox = Sandbox::new();
    let manifest = sandbox.manifest(GOOD);
    let mut command = Command::new(binary());
    // Port 1 is reserved; nothing of ours or anybody's listens there.
    command.arg("submit").arg(&manifest).args(["--coordinator", "http://127.0.0.1:1"]);
    let ended = Running::start(&mut command).wait().expect(3);
    assert!(ended.stderr.contains("127.0.0.1:1"), "{}", ended.stderr);
}

#[test]
fn wrong_usage_is_exit_code_2() {
    Running::start(Command::new(binary()).args(["worker", "--role", "painter"])).wait().expect(2);
    Running::start(Command::new(binary()).arg("frobnicate")).wait().expect(2);
}

/// Larger than this is only the film of the next test: what comes of a single step is hardly compressed.
#[cfg(unix)]
const LARGEST_FILE_KIB: u32 = 512;

/// The system lets every write beyond a size fail, as a full disk does: this needs no disk of its own.
#[test]
#[cfg(unix)]
fn a_write_that_fails_halfway_fails_the_video_with_its_name_and_leaves_nothing_half_written() {
    let sandbox = Sandbox::new();
    let film = "seed = 1\nsteps = 1\nframes = 65\nwidth = 192\nheight = 192";
    let manifest = sandbox.manifest(&GOOD.replace("seed = 1", film).replace("\"png\"", "\"gif\""));
    let mut limited = Command::new("sh");
    // In units of 512 bytes. Without the trap, the signal that comes with it would end the process.
    let script = format!("trap '' XFSZ; ulimit -f {}; exec \"$0\" run \"$@\"", 2 * LARGEST_FILE_KIB);
    limited.args(["-c", &script]).arg(binary());
    let ended = sandbox.run_by(limited, &manifest, &demo()).wait().expect(1);
    assert!(
        ended.stdout.contains("0000.gif") && ended.stdout.contains("too large"),
        "{}\n{}",
        ended.stdout,
        ended.stderr
    );
    assert_eq!(sandbox.files(), ["report.html", "report.json"]);
}

#[test]
#[cfg(target_os = "linux")]
fn a_run_whose_output_disk_is_full_says_so_and_goes_on_when_there_is_room() {
    let text = GOOD.replace("\"png\"", "\"png\", \"mp4\"");
    let undisturbed = Sandbox::rendered(&text);

    let sandbox = Sandbox::new();
    let Some(disk) = SmallDisk::mount(&sandbox.output(), 20) else { return };
    let mut logged = disk.command();
    let said = sandbox.path("said");
    logged.args(["sh", "-c", &format!("exec \"$0\" run \"$@\" 2>{}", said.display())]).arg(binary());
    let running = sandbox.run_by(logged, &sandbox.manifest(&text), &demo());
    eventually("it says what it waits for", || {
        std::fs::read_to_string(&said).ok()?.contains("which is full").then_some(())
    });
    assert_eq!(files_below(&disk.inside(&sandbox.output())), [""; 0], "nothing is half written");
    disk.grow(16 << 10);
    running.wait().expect(0);
    copy_folder(&disk.inside(&sandbox.output()), &sandbox.output());
    assert!(sandbox.files().contains(&"0000.mp4".to_owned()), "{:?}", sandbox.files());
    assert_eq!(sandbox.bytes(&["0000"]), undisturbed.bytes(&["0000"]), "latents and files");
}
