//! From an image file beside the manifest to frames: a model of the official layout, made of golden parts.

use std::path::Path;

use crate::program::{Sandbox, copy_folder, repository};

/// An image-to-video model: the transformers of one case, the text encoder and the autoencoder of another.
pub(crate) fn image_model(at: &Path) {
    let data = repository().join("tests/golden/data");
    copy_folder(&data.join("repo_t2v_from_prompt/official_repo"), at);
    for expert in ["high_noise_model", "low_noise_model"] {
        std::fs::remove_dir_all(at.join(expert)).expect("remove an expert");
        copy_folder(&data.join("e2e_i2v_a14b/official_repo").join(expert), &at.join(expert));
    }
}

/// A picture that is dark on one side and bright on the other.
pub(crate) fn picture(at: &Path, bright_left: bool) {
    let (width, height) = (48, 32);
    let pixels: Vec<u8> =
        (0..width * height * 3).map(|i| if (i / 3 % width < width / 2) == bright_left { 230 } else { 20 }).collect();
    let frames = wanfarm_media::Frames::new(&pixels, 1, height, width).expect("pixels");
    let folder = at.with_extension("");
    wanfarm_media::write_png_folder(&frames, &folder).expect("png");
    std::fs::rename(folder.join("00000.png"), at).expect("rename");
    std::fs::remove_dir(folder).expect("remove");
}

#[test]
fn videos_start_from_the_images_of_the_manifest() {
    let sandbox = Sandbox::new();
    image_model(&sandbox.path("models/tiny-i2v"));
    std::fs::create_dir(sandbox.path("shots")).expect("folder");
    picture(&sandbox.path("shots/left.png"), true);
    picture(&sandbox.path("shots/right.png"), false);
    std::fs::copy(sandbox.path("shots/left.png"), sandbox.path("twin.png")).expect("copy");
    let film = "[job]\nname = \"frames\"\nmodel = \"tiny-i2v\"\noutput = \"{image}\"\nformats = [\"png\"]\n\
         [defaults]\nwidth = 48\nheight = 32\nframes = 5\nsteps = 3\nguidance = 3.5\nnegative = \"\"\n\
         [[video]]\nprompt = \"a small film\"\nimage = \"shots/*.png\"\n";
    // Within one job the same image would make the same video twice, which is refused.
    for images in ["shots/*.png", "twin.png"] {
        let manifest = sandbox.manifest(&film.replace("shots/*.png", images));
        sandbox.run(&manifest, &sandbox.path("models")).wait().expect(0);
    }

    let [left, right, twin] = ["left", "right", "twin"].map(|name| sandbox.clip(name));
    assert_eq!(left.shape, [5, 32, 48]);
    assert_eq!(left.rgb, twin.rgb, "the same image gives the same video");
    assert_ne!(left.rgb, right.rgb, "another image gives another");
    let sidecars = ["left", "right", "twin"].map(|name| sandbox.sidecar(name));
    let image = |at: usize| sidecars[at]["spec"]["image"].as_str().expect("the image's digest").to_owned();
    assert_eq!(image(0), image(2));
    assert_ne!(image(0), image(1));
    for sidecar in &sidecars {
        let stages = sidecar["attempts"].as_array().expect("attempts").iter().map(|attempt| attempt["stage"].as_str());
        assert!(stages.into_iter().any(|stage| stage == Some("encode_image")), "{sidecar:#}");
    }
}

#[test]
fn an_image_model_without_an_image_is_refused_at_once() {
    let sandbox = Sandbox::new();
    image_model(&sandbox.path("models/tiny-i2v"));
    let manifest = sandbox.manifest("[job]\nmodel = \"tiny-i2v\"\n[[video]]\nprompt = \"a small film\"\n");
    let ended = sandbox.run(&manifest, &sandbox.path("models")).wait().expect(2);
    assert!(ended.stderr.contains("needs a first frame"), "{}", ended.stderr);
    assert_eq!(sandbox.files(), [] as [String; 0]);
}
