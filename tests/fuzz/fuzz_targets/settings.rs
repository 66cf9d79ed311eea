//! Settings in finished files, and such files as manifests. The first byte says which kind of file it is.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wanfarm_fuzz::{scratch, seeds};
use wanfarm_manifest::{Manifest, settings_in};
use wanfarm_media::{Frames, png, write_mp4};
use wanfarm_types::FrameRate;

const TEXT: &str = "[job]\nmodel = \"m\"\n\n[[video]]\nprompt = \"a cat\"\nseed = 7\n";

fuzz_target!(init: seeds::write(seeds), |data: &[u8]| {
    let [kind, file @ ..] = data else { return };
    let path = scratch::file(if kind % 2 == 0 { "night.mp4" } else { "night.png" }, file);
    let settings = settings_in(&path);
    if let Ok(text) = &settings {
        assert!(text.len() <= file.len(), "a file holds no longer text than itself");
    }
    match Manifest::read(&path) {
        Ok(manifest) => {
            assert!(settings.is_ok(), "what holds no settings is no manifest");
            assert!(manifest.videos() > 0);
        }
        Err(faults) => assert!(!faults.render(false).is_empty()),
    }
});

fn seeds() -> Vec<Vec<u8>> {
    let pixels = vec![90; 16 * 16 * 3];
    let frames = Frames::new(&pixels, 1, 16, 16).expect("one frame");
    let film = |frames: &Frames<'_>| {
        let path = scratch::folder().join("seed.mp4");
        write_mp4(frames, FrameRate::whole(8), &path).expect("room for a clip");
        std::fs::read(path).expect("it was written")
    };
    let picture = |frames: &Frames<'_>| png(frames, 0, "a.png".as_ref()).expect("a picture");
    let with = frames.with_remark(TEXT);
    vec![
        seeds::behind(0, film(&with)),
        seeds::behind(0, film(&frames)),
        seeds::behind(1, picture(&with)),
        seeds::behind(1, picture(&frames)),
    ]
}
