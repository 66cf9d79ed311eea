//! Videos that are made from clips, through processes: what the clip and the strength decide, and that deaths decide nothing.

use std::fs;
use std::path::PathBuf;

use rand::SeedableRng;
use rand::rngs::SmallRng;
use rand::seq::IndexedRandom;

use crate::farm::Farm;
use crate::first_frame::picture;
use crate::judge::Seen;
use crate::known_frame::either_model;
use crate::program::{Sandbox, copy_folder, eventually, repository, says};

const HEAD: &str = "[job]\nname = \"film\"\nmodel = \"tiny\"\noutput = \"{name}\"\nformats = [\"png\"]\n[defaults]\n\
    prompt = \"a small film\"\nwidth = 96\nheight = 64\nframes = 5\nfps = 16\nsteps = 6\nshift = 5.0\nguidance = 4.0\n\
    negative = \"blurred\"\nseed = 9\nstrength = 0.5\n";

/// From an mp4 file whose pictures are not stored in the order they are shown in, from an animation, from a folder, with a
/// first frame, from nothing, and from the first one.
const VIDEOS: &str = "[[video]]\nname = \"film\"\nvideo = \"clip.mp4\"\n\
    [[video]]\nname = \"freer\"\nvideo = \"clip.mp4\"\nstrength = 0.9\n\
    [[video]]\nname = \"animation\"\nvideo = \"clip.gif\"\nfps = 8\nframes = 1\n\
    [[video]]\nname = \"folder\"\nvideo = \"pictures\"\n\
    [[video]]\nname = \"with-image\"\nvideo = \"clip.mp4\"\nimage = \"left.png\"\n\
    [[video]]\nname = \"nothing\"\n\
    [[video]]\nname = \"again\"\nvideo = { from = \"film\" }\nstrength = 0.7\n";
const STEMS: [&str; 7] = ["film", "freer", "animation", "folder", "with-image", "nothing", "again"];
const WORKERS: [&str; 2] = ["mac-1", "mac-2"];
/// More than all of the model takes.
const MEMORY: u64 = 4 << 30;

fn sandbox() -> (Sandbox, PathBuf) {
    let sandbox = Sandbox::new();
    either_model(&sandbox.path("models/tiny"));
    let clips = repository().join("shared/media/tests/clips");
    for (name, to) in [("reordered.mp4", "clip.mp4"), ("moving.gif", "clip.gif"), ("hevc.mp4", "phone.mp4")] {
        fs::copy(clips.join(name), sandbox.path(to)).expect("copy");
    }
    fs::create_dir(sandbox.path("pictures")).expect("a folder");
    for number in 1..=5 {
        let to = sandbox.path(&format!("pictures/{}.png", 7 * number));
        fs::copy(clips.join(format!("reordered-{number:02}.png")), to).expect("copy");
    }
    picture(&sandbox.path("left.png"), true);
    let manifest = sandbox.manifest(&[HEAD, VIDEOS].concat());
    (sandbox, manifest)
}

#[test]
fn clip_and_strength_decide_the_video_and_deaths_decide_nothing() {
    let (whole, manifest) = sandbox();
    whole.run(&manifest, &whole.path("models")).wait().expect(0);
    let expected = whole.bytes(&STEMS);
    for (index, bytes) in expected.iter().enumerate() {
        assert!(!expected[..index].contains(bytes), "{} is another video, too", STEMS[index]);
    }
    // Half of six steps, nine tenths of them, all, and seven tenths.
    let steps = STEMS.map(|stem| whole.steps(stem));
    assert_eq!(steps, [3, 5, 3, 3, 3, 6, 4]);
    let spec = &whole.sidecar("film")["spec"];
    let clip = blake3::hash(&fs::read(whole.path("clip.mp4")).expect("the clip")).to_hex().to_string();
    assert_eq!((&spec["video"], &spec["strength"]), (&clip.as_str().into(), &0.5.into()));

    let (sandbox, manifest) = sandbox();
    let mut farm = Farm::serving(&sandbox, &["--lease", "2"]);
    WORKERS.iter().for_each(|name| farm.start_elastic(&sandbox, name, &sandbox.path("models"), MEMORY));
    eventually("all workers are there", || farm.is_complete().then_some(()));
    farm.submit(&manifest);
    let (mut rng, mut kills) = (SmallRng::seed_from_u64(2), 0);
    // The moments are the fault; nothing waits for them.
    while kills < 6 && farm.works_until_a_moment(&mut rng, 600) {
        if kills == 2 {
            farm.kill_coordinator();
            farm.start_coordinator();
        } else if !farm.kill_worker(WORKERS.choose(&mut rng).expect("workers")) {
            continue;
        }
        kills += 1;
    }
    farm.finish();
    assert!(kills > 0, "nothing ever died");
    assert_eq!(sandbox.bytes(&STEMS), expected, "{kills} kills");
}

#[test]
fn a_video_that_is_made_from_another_is_the_one_that_its_pictures_make() {
    let chain = "[[video]]\nname = \"film\"\n[[video]]\nname = \"again\"\nvideo = { from = \"film\" }\n";
    let (whole, _) = sandbox();
    let manifest = whole.manifest(&[HEAD, chain].concat());
    whole.run(&manifest, &whole.path("models")).wait().expect(0);
    let sidecar = whole.sidecar("again");
    let frames = serde_json::json!({ "first": 0, "frames": 5 });
    let from = serde_json::json!({ "video": 0, "name": "film", "output": "film", "clip": frames });
    assert_eq!(sidecar["made_from"], from);
    // A person who gives these pictures gets that video.
    let (given, _) = sandbox();
    copy_folder(&whole.output().join("film"), &given.path("frames"));
    let alone = "[[video]]\nname = \"again\"\nvideo = \"frames\"\n";
    let manifest = given.manifest(&[HEAD, alone].concat());
    given.run(&manifest, &given.path("models")).wait().expect(0);
    assert_eq!(given.bytes(&["again"]), whole.bytes(&["again"]));
    assert_eq!(given.sidecar("again")["spec"]["video"], sidecar["spec"]["video"]);
}

#[test]
fn a_clip_that_is_not_read_is_refused_before_work_is_spent() {
    let (sandbox, _) = sandbox();
    let manifest = sandbox.manifest(&[HEAD, "[[video]]\nname = \"phone\"\nvideo = \"phone.mp4\"\n"].concat());
    let refused = sandbox.run(&manifest, &sandbox.path("models")).wait().expect(2);
    says(&refused.stderr, &["cannot use the clip", "HEVC", "ffmpeg -i CLIP -c:v libx264", "manifest.toml:"]);
    assert!(sandbox.files().is_empty());
}

#[test]
fn what_the_demo_changes_goes_on_moving_as_it_did() {
    let chain = fs::read_to_string(repository().join("deploy/demo/chain.toml")).expect("the manifest");
    let sandbox = Sandbox::rendered(&chain.replace("\"mp4\", \"contact\"", "\"png\""));
    for (stem, colour, background) in
        [("red-circle", "red", "black"), ("blue-circle", "blue", "black"), ("blue-square", "blue", "white")]
    {
        assert_eq!(sandbox.clip(stem).judge(), Seen { colour, background, motion: "right" }, "{stem}");
    }
}
