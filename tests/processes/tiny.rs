//! Drafts that a tiny autoencoder decodes.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use wanfarm_types::Digest;

use crate::program::{Running, Sandbox, binary, repository, says};
use crate::prompts::copy_model;

fn golden(name: &str) -> PathBuf {
    repository().join("tests/golden/data").join(name)
}

/// A folder of models with the demo model, and a file of a tiny autoencoder in its folder.
fn shelf(tiny: Option<&str>) -> Sandbox {
    let shelf = Sandbox::new();
    let model = shelf.path("wan-tiny-t2v");
    copy_model(&model);
    if let Some(tiny) = tiny.map(golden) {
        let place = model.join("vae_approx");
        fs::create_dir(&place).expect("a folder");
        fs::copy(&tiny, place.join(tiny.file_name().expect("a name"))).expect("a copy");
    }
    shelf
}

fn render(models: &Path, decode: &str) -> (Sandbox, crate::program::Ended) {
    let sandbox = Sandbox::new();
    let manifest = sandbox.manifest(&format!(
        "[job]\nname = 'n'\nmodel = 'wan-tiny-t2v'\noutput = 'draft'\nformats = ['png']\n\
         [defaults]\nwidth = 64\nheight = 32\nframes = 9\nsteps = 4\n{decode}\n\
         [[video]]\nprompt = 'a red circle moving right on a black background'\n"
    ));
    let ended = sandbox.run(&manifest, models).wait();
    (sandbox, ended)
}

#[test]
fn a_draft_is_decoded_by_the_tiny_one_always_the_same_and_the_sidecar_says_so() {
    let shelf = shelf(Some("tiny21/taehv/taew2_1.safetensors"));
    let models = shelf.path("");
    let rendered = |decode: &str| {
        let (sandbox, ended) = render(&models, decode);
        ended.expect(0);
        sandbox
    };
    let [full, tiny, again] = ["", "decode = 'tiny'", "decode = 'tiny'"].map(rendered);
    let file = fs::read(shelf.path("wan-tiny-t2v/vae_approx/taew2_1.safetensors")).expect("the file");
    let digest = Digest(*blake3::hash(&file).as_bytes()).to_string();
    assert_eq!(tiny.sidecar("draft")["spec"]["decode"]["tiny"], digest.as_str());
    assert_eq!(full.sidecar("draft")["spec"].get("decode"), None, "what is not asked for leaves no trace");
    let of = |sandbox: &Sandbox| sandbox.bytes(&["draft"]).remove(0);
    assert_eq!(of(&tiny), of(&again));
    let ((latents, frames), (of_full, full_frames)) = (of(&tiny), of(&full));
    assert_eq!(latents, of_full, "only the decoder is another");
    assert_ne!(frames, full_frames);
    let inspect = Running::start(Command::new(binary()).arg("inspect").arg(shelf.path("wan-tiny-t2v"))).wait();
    says(inspect.expect(0).stdout, &["tiny VAE for decode = \"tiny\": vae_approx/taew2_1.safetensors"]);
}

#[test]
fn a_draft_without_the_file_is_refused_before_anything_is_rendered_with_what_to_do() {
    for (tiny, told) in [
        (None, "wan-tiny-t2v has none"),
        (Some("tiny22/taehv/taew2_2.safetensors"), "taew2_2.safetensors decodes latents with 48 channels"),
    ] {
        let shelf = shelf(tiny);
        let (sandbox, ended) = render(&shelf.path(""), "decode = 'tiny'");
        says(
            ended.expect(2).stderr,
            &["defaults.decode", told, "put taew2_1.safetensors", "vae_approx/ in the folder"],
        );
        assert_eq!(sandbox.files(), [] as [String; 0]);
    }
}
