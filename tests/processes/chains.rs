//! Videos that start from frames of others, through processes: whatever dies between the links and in the middle of them,
//! and wherever the coordinator is started again, every byte is that of an undisturbed run.

use std::path::{Path, PathBuf};
use std::process::Command;

use rand::rngs::SmallRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use serde_json::json;
use wanfarm_media::Clip;

use crate::farm::Farm;
use crate::first_frame::{image_model, picture};
use crate::known_frame::either_model;
use crate::program::{Sandbox, binary, eventually, says};

const HEAD: &str = "[job]\nname = \"film\"\nmodel = \"tiny\"\noutput = \"{name}\"\nformats = [\"png\", \"mp4\"]\n[defaults]\n\
    prompt = \"a small film\"\nwidth = 96\nheight = 64\nframes = 5\nsteps = 6\nshift = 5.0\nguidance = 4.0\n\
    negative = \"blurred\"\nseed = 9\n";

/// The last link stands first.
const CHAIN: &str = "[[video]]\nname = \"shot-3\"\nimage = { from = \"shot-2\", frame = 1 }\n\
    [[video]]\nname = \"shot-1\"\n[[video]]\nname = \"shot-2\"\nimage = { from = \"shot-1\" }\n";

/// The same, with a film of it.
fn film() -> String {
    CHAIN.replace("[[video]]\nname = \"shot-3\"\n", "[[video]]\nname = \"shot-3\"\njoin = \"films/{job}.mp4\"\n")
}

const STEMS: [&str; 3] = ["shot-1", "shot-2", "shot-3"];
const WORKERS: [&str; 2] = ["mac-1", "mac-2"];
/// More than all of the model takes.
const MEMORY: u64 = 4 << 30;

fn sandbox(videos: &str) -> (Sandbox, PathBuf) {
    let sandbox = Sandbox::new();
    either_model(&sandbox.path("models/tiny"));
    let manifest = sandbox.manifest(&[HEAD, videos].concat());
    (sandbox, manifest)
}

fn undisturbed(videos: &str) -> Sandbox {
    let (sandbox, manifest) = sandbox(videos);
    sandbox.run(&manifest, &sandbox.path("models")).wait().expect(0);
    sandbox
}

fn digest(path: &Path) -> String {
    blake3::hash(&std::fs::read(path).expect("a file")).to_hex().to_string()
}

#[test]
fn a_follower_starts_from_the_very_frame_that_was_written() {
    let whole = undisturbed(CHAIN);
    for (stem, start, frame, place) in [("shot-2", "shot-1", 4, 1), ("shot-3", "shot-2", 1, 2)] {
        let file = whole.output().join(start).join(format!("{frame:05}.png"));
        let sidecar = whole.sidecar(stem);
        assert_eq!(sidecar["spec"]["image"], digest(&file).as_str());
        let from = json!({ "video": place, "name": start, "output": start, "frame": frame });
        assert_eq!(sidecar["started_from"], from);
        // A person who gives that file gets that video.
        let (given, manifest) = sandbox(&format!("[[video]]\nname = \"{stem}\"\nimage = \"start.png\"\n"));
        std::fs::copy(&file, given.path("start.png")).expect("copy");
        given.run(&manifest, &given.path("models")).wait().expect(0);
        assert_eq!(given.bytes(&[stem]), whole.bytes(&[stem]));
    }
    assert!(whole.sidecar("shot-1").get("started_from").is_none());
    let bytes = whole.bytes(&STEMS);
    assert!(bytes[0] != bytes[1] && bytes[1] != bytes[2], "each is a video of its own");
}

#[test]
fn a_follower_carries_on_from_the_very_frames_that_were_written() {
    let videos = "[[video]]\nname = \"one\"\nframes = 9\n\
        [[video]]\nname = \"two\"\nframes = 9\nimage = { from = \"one\" }\noverlap = 5\njoin = \"film.mp4\"\n";
    let whole = undisturbed(videos);
    let sidecar = whole.sidecar("two");
    let from = json!({ "video": 0, "name": "one", "output": "one", "clip": { "first": 4, "frames": 5 } });
    assert_eq!((&sidecar["started_from"], &sidecar["spec"]["overlap"]), (&from, &5.into()));
    let [one, two] = ["one", "two"].map(|stem| shown(&whole.output().join(format!("{stem}.mp4"))));
    assert!(shown(&whole.output().join("film.mp4")) == [&one[..4], &two[..]].concat(), "it shows other pictures");

    // A person who gives those frames, or more of them, gets that video.
    let alone = "[[video]]\nname = \"two\"\nframes = 9\nimage = \"before\"\noverlap = 5\n";
    for first in [4, 2] {
        let (given, manifest) = sandbox(alone);
        std::fs::create_dir(given.path("before")).expect("folder");
        for frame in first..9 {
            let name = format!("{frame:05}.png");
            std::fs::copy(whole.output().join("one").join(&name), given.path("before").join(&name)).expect("copy");
        }
        given.run(&manifest, &given.path("models")).wait().expect(0);
        let theirs = given.sidecar("two");
        assert_eq!(theirs["spec"]["image"] == sidecar["spec"]["image"], first == 4);
        assert_eq!(theirs["latents_blake3"], sidecar["latents_blake3"], "from frame {first} on");
    }
}

/// What a player shows.
fn shown(path: &Path) -> Vec<Vec<u8>> {
    let mut clip = Clip::open(path).expect("a clip");
    std::iter::from_fn(|| clip.next_frame().expect("a frame")).map(|frame| frame.data().to_vec()).collect()
}

#[test]
fn a_chain_is_one_film_in_which_nothing_is_shown_twice() {
    let whole = undisturbed(&film());
    let [one, two, three] = STEMS.map(|stem| shown(&whole.output().join(format!("{stem}.mp4"))));
    // The second starts from the last frame of the first, the third from the second's second one.
    let expected = [&one[..4], &two[..1], &three[..]].concat();
    let film = whole.output().join("films/film.mp4");
    assert!(shown(&film) == expected, "it shows other pictures");
    let sidecar = whole.sidecar("shot-3");
    let record = &sidecar["outputs"][2];
    assert_eq!((&record["path"], &record["blake3"]), (&"films/film.mp4".into(), &digest(&film).into()));
    let note = "joined from shot-1.mp4 (its first 4 frames), shot-2.mp4 (its first 1 frames), shot-3.mp4";
    assert_eq!(record["note"], note);

    // A film that is asked for later is made when the last of its videos is made again; the others stand.
    let (sandbox, manifest) = sandbox(CHAIN);
    sandbox.run(&manifest, &sandbox.path("models")).wait().expect(0);
    let attempts = || ["shot-1", "shot-2"].map(|stem| sandbox.sidecar(stem)["attempts"].clone());
    let before = attempts();
    let manifest = sandbox.manifest(&[HEAD, &self::film()].concat());
    sandbox.run(&manifest, &sandbox.path("models")).wait().expect(0);
    assert_eq!(digest(&sandbox.output().join("films/film.mp4")), digest(&film));
    assert_eq!(attempts(), before, "nothing of them was computed again");
}

#[test]
fn a_film_is_not_made_of_files_that_were_changed_and_is_when_they_are_back() {
    let (sandbox, manifest) = sandbox(CHAIN);
    sandbox.run(&manifest, &sandbox.path("models")).wait().expect(0);
    let file = sandbox.output().join("shot-2.mp4");
    let bytes = std::fs::read(&file).expect("a file");
    let manifest = sandbox.manifest(&[HEAD, &film()].concat());
    let put_back = || std::fs::write(&file, &bytes).expect("written");
    std::fs::write(&file, b"something else").expect("written");
    let refused = sandbox.run(&manifest, &sandbox.path("models")).wait();
    assert!(!refused.status.success());
    says(&refused.stderr, &["shot-2.mp4"]);
    assert!(!sandbox.output().join("films/film.mp4").exists());
    put_back();
    sandbox.run(&manifest, &sandbox.path("models")).wait().expect(0);
    assert_eq!(shown(&sandbox.output().join("films/film.mp4")).len(), 10);
}

#[test]
fn a_chain_whose_workers_and_coordinator_die_again_and_again_keeps_every_byte() {
    let expected = undisturbed(&film()).bytes(&STEMS);
    let (sandbox, manifest) = sandbox(&film());
    let mut farm = Farm::serving(&sandbox, &["--lease", "2"]);
    WORKERS.iter().for_each(|name| farm.start_elastic(&sandbox, name, &sandbox.path("models"), MEMORY));
    eventually("all workers are there", || farm.is_complete().then_some(()));
    farm.submit(&manifest);
    let (mut rng, mut kills) = (SmallRng::seed_from_u64(1), 0);
    // The moments are the fault; nothing waits for them.
    while kills < 8 && farm.works_until_a_moment(&mut rng, 600) {
        if rng.random_ratio(1, 3) {
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
fn a_video_leads_from_one_to_another_and_is_rendered_after_both() {
    // A model that takes a last frame, and needs a first one.
    let films = |videos: &str| {
        let sandbox = Sandbox::new();
        image_model(&sandbox.path("models/tiny"));
        picture(&sandbox.path("left.png"), true);
        picture(&sandbox.path("right.png"), false);
        let manifest = sandbox.manifest(&[HEAD, videos].concat());
        (sandbox, manifest)
    };
    let (whole, manifest) = films(
        "[[video]]\nname = \"between\"\nimage = { from = \"shot-1\" }\nlast_image = { from = \"shot-2\", frame = 0 }\n\
         [[video]]\nname = \"shot-1\"\nimage = \"left.png\"\n[[video]]\nname = \"shot-2\"\nimage = \"right.png\"\n",
    );
    whole.run(&manifest, &whole.path("models")).wait().expect(0);
    let sidecar = whole.sidecar("between");
    let from = |video, name: &str, frame| json!({ "video": video, "name": name, "output": name, "frame": frame });
    assert_eq!((&sidecar["started_from"], &sidecar["led_to"]), (&from(1, "shot-1", 4), &from(2, "shot-2", 0)));
    let file = |stem: &str, frame: u32| whole.output().join(stem).join(format!("{frame:05}.png"));
    assert_eq!(sidecar["spec"]["last_image"], digest(&file("shot-2", 0)).as_str());
    // A person who gives those files gets that video.
    let alone = "[[video]]\nname = \"between\"\nimage = \"start.png\"\nlast_image = \"end.png\"\n";
    for (videos, same) in [(alone, true), (&alone.replace("last_image = \"end.png\"\n", ""), false)] {
        let (given, manifest) = films(videos);
        for (stem, frame, name) in [("shot-1", 4, "start.png"), ("shot-2", 0, "end.png")] {
            std::fs::copy(file(stem, frame), given.path(name)).expect("copy");
        }
        given.run(&manifest, &given.path("models")).wait().expect(0);
        assert_eq!(given.bytes(&["between"]) == whole.bytes(&["between"]), same, "{videos}");
    }
}

#[test]
fn a_coordinator_that_starts_again_between_two_links_goes_on_with_the_next() {
    let expected = undisturbed(&film()).bytes(&STEMS);
    let (sandbox, manifest) = sandbox(&film());
    let mut farm = Farm::serving(&sandbox, &[]);
    farm.start_elastic(&sandbox, WORKERS[0], &sandbox.path("models"), MEMORY);
    eventually("the worker is there", || farm.is_complete().then_some(()));
    farm.submit(&manifest);
    for stem in &STEMS[..2] {
        let sidecar = sandbox.output().join(format!("{stem}.json"));
        eventually("a link is written", || sidecar.is_file().then_some(()));
        farm.kill_coordinator();
        farm.start_coordinator();
    }
    farm.finish();
    assert_eq!(sandbox.bytes(&STEMS), expected);
}

#[test]
fn people_are_told_what_a_video_waits_for() {
    let (sandbox, manifest) = sandbox(&film());
    let farm = Farm::without_workers(&sandbox);
    let manifest = manifest.to_str().expect("a path");
    let models = sandbox.path("models");
    let dry = farm.client(&["submit", manifest, "--dry-run", "--models", models.to_str().expect("a path")]).expect(0);
    says(&dry.stdout, &["one after the other: shot-1 → shot-2 → shot-3"]);
    let job = farm.submit(Path::new(manifest));
    let told = farm.client(&["status", job.trim()]).expect(0).stdout;
    says(&told, &["waiting for shot-1", "waiting for shot-2"]);
    let json = farm.client(&["status", job.trim(), "--json"]).expect(0).stdout;
    let json: serde_json::Value = serde_json::from_str(&json).expect("JSON");
    let told: Vec<_> =
        (0..3).map(|place| (&json["videos"][place]["name"], &json["videos"][place]["waiting_for"])).collect();
    assert_eq!(told[0], (&"shot-3".into(), &"shot-2".into()));
    assert_eq!(told[1], (&"shot-1".into(), &serde_json::Value::Null));
    farm.stop();
}

#[test]
fn a_run_renders_anew_what_is_changed_and_what_starts_from_it() {
    let whole = undisturbed(&film());
    let attempts = |stem: &str| whole.sidecar(stem)["attempts"].clone();
    let before = STEMS.map(attempts);
    let changed = film().replace("name = \"shot-2\"\n", "name = \"shot-2\"\nseed = 10\n");
    let manifest = whole.manifest(&[HEAD, &changed].concat());
    let refused = whole.run(&manifest, &whole.path("models")).wait();
    says(&refused.stderr, &["shot-2"]);
    let mut run = Command::new(binary());
    run.args(["run", "--overwrite"]);
    whole.run_by(run, &manifest, &whole.path("models")).wait().expect(0);
    let after = STEMS.map(attempts);
    assert_eq!(after[0], before[0], "what nothing was changed of stays");
    assert!(after[1] != before[1] && after[2] != before[2], "what starts from another frame is another video");
}
