//! Step caches and LoRA files as manifests ask for them: nothing of one video reaches another, and after a death in
//! mid-denoise the bytes are those of a video that was rendered alone and undisturbed.

use std::path::Path;
use std::process::Command;

use rand::rngs::SmallRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use safetensors::Dtype;
use safetensors::tensor::TensorView;
use serde_json::Value;

use crate::chaos::WORKERS;
use crate::farm::Farm;
use crate::program::{Sandbox, binary, demo, eventually};

const HEAD: &str = r#"
[job]
name = "faster"
model = "wan-tiny-t2v"
formats = ["png"]

[defaults]
prompt = "a red circle moving left on a black background"
seed = 4
width = 64
height = 64
frames = 9
steps = 14
shift = 5.0
guidance = 5.0
negative = ""
"#;

/// What differs from video to video, by output name.
const VIDEOS: [(&str, &str); 10] = [
    ("plain", ""),
    ("magcache", "cache = { kind = 'magcache', curve = 't2v-a14b', threshold = 0.5, retention = 0.1 }"),
    ("joint", "cache = { kind = 'magcache', curve = 't2v-a14b', threshold = 0.5, retention = 0.1, joint = true }"),
    ("teacache", "cache = { kind = 'teacache', model = 'linear', threshold = 0.5 }"),
    ("cfg-cache", "cache = { kind = 'cfg-cache', interval = 3, start = 0, end = 1 }"),
    ("sencache", "cache = { kind = 'sencache', tolerance = 0.5, start = 0.1 }"),
    ("film", "loras = [{ path = 'styles/film.safetensors', strength = 0.7 }]"),
    (
        "both",
        "cache = { kind = 'magcache', curve = 't2v-a14b', threshold = 0.5 }\n\
         loras = ['styles/grain.safetensors', { path = 'styles/film.safetensors', strength = -0.5, expert = 'high' }]",
    ),
    ("off", "loras = [{ path = 'styles/film.safetensors', strength = 0 }]\ncache = 'none'"),
    (
        "lightning",
        "solver = 'lightning'\nsteps = 4\nguidance = 1\nloras = [{ path = 'styles/film.safetensors', expert = 'low' }]",
    ),
];

/// A LoRA file of rank two for some matrices of the demo model's first and last block.
fn lora(at: &Path, seed: u64) {
    let mut rng = SmallRng::seed_from_u64(seed);
    let mut tensors = Vec::new();
    for block in [0, 5] {
        for matrix in ["attn1.to_q", "attn1.to_out.0", "attn2.to_v"] {
            for (name, shape) in [("lora_A", [2, 128]), ("lora_B", [128, 2])] {
                let values: Vec<u8> = (0..256).flat_map(|_| rng.random_range(-0.2f32..0.2).to_le_bytes()).collect();
                tensors.push((format!("transformer.blocks.{block}.{matrix}.{name}.weight"), shape, values));
            }
        }
    }
    let views = tensors
        .iter()
        .map(|(name, shape, values)| (name, TensorView::new(Dtype::F32, shape.to_vec(), values).expect("a tensor")));
    std::fs::write(at, safetensors::serialize(views, None).expect("safetensors")).expect("the file");
}

/// A sandbox with LoRA files and a manifest of these videos.
fn sandbox(videos: &[(&str, &str)]) -> (Sandbox, std::path::PathBuf) {
    let sandbox = Sandbox::new();
    std::fs::create_dir(sandbox.path("styles")).expect("folder");
    lora(&sandbox.path("styles/film.safetensors"), 1);
    lora(&sandbox.path("styles/grain.safetensors"), 2);
    let videos = videos.iter().map(|(name, settings)| format!("\n[[video]]\noutput = '{name}'\n{settings}\n"));
    let head = HEAD.to_owned();
    let manifest = sandbox.manifest(&std::iter::once(head).chain(videos).collect::<String>());
    (sandbox, manifest)
}

fn names() -> Vec<&'static str> {
    VIDEOS.iter().map(|(name, _)| *name).collect()
}

/// Passes by stage that were computed, and those that were skipped.
fn passes(sidecar: &Value) -> Vec<[u64; 2]> {
    let stages = sidecar["passes"].as_array().expect("passes").iter();
    stages.map(|stage| ["computed", "skipped"].map(|key| stage[key].as_u64().expect("a number"))).collect()
}

#[test]
fn whatever_is_on_in_a_video_stays_in_it_and_survives_every_death() {
    let alone: Vec<(Value, Value)> = VIDEOS
        .iter()
        .flat_map(|video| {
            let (sandbox, manifest) = sandbox(std::slice::from_ref(video));
            sandbox.run(&manifest, &demo()).wait().expect(0);
            sandbox.bytes(&[video.0])
        })
        .collect();
    let latents = |name: &str| &alone[names().iter().position(|known| *known == name).expect("a video")].0;
    assert_eq!(latents("plain"), latents("off"), "strength 0 is nothing");
    for name in names().into_iter().filter(|name| !["plain", "off"].contains(name)) {
        assert_ne!(latents("plain"), latents(name), "{name} does something");
    }

    // All of them at once: one worker of each role takes their steps in turn.
    let (together, manifest) = sandbox(&VIDEOS);
    together.run(&manifest, &demo()).wait().expect(0);
    for (name, expected) in names().iter().zip(&alone) {
        assert_eq!(&together.bytes(&[name])[0], expected, "{name}, with the others");
    }
    told(&together);

    // And while workers of the experts die, two of each.
    let (sandbox, manifest) = sandbox(&VIDEOS);
    let mut farm = Farm::without_workers(&sandbox);
    WORKERS.iter().for_each(|(name, role)| farm.start_worker(&sandbox, name, role, &[]));
    eventually("all workers are there", || farm.is_complete().then_some(()));
    farm.submit(&manifest);
    let (mut rng, mut kills) = (SmallRng::seed_from_u64(1), 0);
    // The moments are part of the fault; nothing waits for them.
    while kills < 12 && farm.works_until_a_moment(&mut rng, 600) {
        let worker = ["high-1", "high-2", "low-1", "low-2"].choose(&mut rng).expect("a worker");
        kills += u32::from(farm.kill_worker(worker));
    }
    farm.finish();
    for (name, expected) in names().iter().zip(&alone) {
        assert_eq!(&sandbox.bytes(&[name])[0], expected, "{name}, after {kills} deaths");
    }
    assert!(kills > 2, "the job outran its deaths");
}

/// Sidecars and report tell what was on, and what it saved.
fn told(sandbox: &Sandbox) {
    let of = |name| sandbox.sidecar(name);
    let (plain, film) = (of("plain"), of("film"));
    assert!(plain["spec"].get("cache").is_none() && plain["spec"].get("loras").is_none(), "{plain:#}");
    let dense: u64 = passes(&plain).iter().map(|[computed, skipped]| computed + 100 * skipped).sum();
    assert_eq!(dense, 2 * 14, "two passes a step, none skipped");
    let lora = &film["spec"]["loras"][0];
    let file = std::fs::read(sandbox.path("styles/film.safetensors")).expect("the file");
    assert_eq!(lora["blake3"], blake3::hash(&file).to_hex().to_string());
    assert_eq!((&lora["name"], &lora["strength"]), (&Value::from("film.safetensors"), &Value::from(0.7)));
    for kind in ["magcache", "teacache", "cfg-cache", "sencache"] {
        let sidecar = of(kind);
        assert_eq!(sidecar["spec"]["cache"]["kind"], kind);
        let [computed, skipped] = passes(&sidecar).iter().fold([0, 0], |sum, of| [sum[0] + of[0], sum[1] + of[1]]);
        assert!(skipped > 0 && computed + skipped == dense, "{kind}: {computed} and {skipped}");
    }
    // What was planned is what was computed, pass by pass.
    let expected = planned(&of("magcache"));
    assert_eq!(passes(&of("magcache")).iter().map(|[computed, _]| *computed).collect::<Vec<_>>(), expected);
    assert_eq!(foretold("magcache"), expected.iter().map(|&passes| passes as f64 / 2.0).collect::<Vec<_>>());
    let fast = of("lightning");
    assert_eq!((&fast["spec"]["solver"], passes(&fast)), (&Value::from("lightning"), vec![[2, 0], [2, 0]]));
    let report = sandbox.sidecar("report");
    assert_eq!(report["videos"][1]["cache"]["kind"], "magcache");
    assert_eq!(report["videos"][6]["loras"][0]["name"], "film.safetensors");
    let mut stages = report["stages"].as_array().expect("stages").iter();
    let high = stages.find(|stage| stage["name"] == "denoise_high").expect("denoise_high");
    assert!(high["skipped"].as_u64() > Some(0), "{high:#}");
}

/// The steps' worth of work of each expert that a dry run foretells, without a coordinator.
fn foretold(name: &str) -> Vec<f64> {
    let video = VIDEOS.iter().find(|(known, _)| *known == name).expect("a video");
    let (_sandbox, manifest) = sandbox(std::slice::from_ref(video));
    let mut submit = Command::new(binary());
    submit.args(["submit", "--dry-run", "--json", "--coordinator", "http://127.0.0.1:1", "--models"]);
    let output = submit.arg(demo()).arg(manifest).output().expect("a client");
    let forecast: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let accelerations = forecast["speedups"].as_array().expect("a list");
    assert!(
        accelerations.len() == 1 && accelerations[0].as_str().is_some_and(|line| line.contains(name)),
        "{accelerations:?}"
    );
    let stages = forecast["stages"].as_array().expect("stages").iter();
    let denoising = stages.filter(|line| line["stage"].as_str().is_some_and(|stage| stage.starts_with("denoise")));
    denoising.map(|line| line["work"].as_f64().expect("a number")).collect()
}

/// The passes of each expert that MagCache's plan leaves to be computed.
fn planned(sidecar: &Value) -> Vec<u64> {
    use wanfarm_sampling::Schedule;
    use wanfarm_sampling::cache::{Branch, Phases, mag_plan};
    use wanfarm_types::{CacheSettings, SolverKind};
    let cache: CacheSettings = serde_json::from_value(sidecar["spec"]["cache"].clone()).expect("settings");
    let CacheSettings::Magcache(settings) = cache else { panic!("{cache:?}") };
    // The demo model's boundary is that of T2V-A14B.
    let high = Schedule::new(SolverKind::UniPc, 14, 5.0).expect("a schedule").high_steps(0.875);
    let plan = mag_plan(&settings, Phases { steps: 14, high: Some(high) }, false);
    let computed = |steps: std::ops::Range<u32>| {
        let passes = steps.flat_map(|step| Branch::BOTH.map(|branch| !plan.skips(step, branch)));
        passes.filter(|computed| *computed).count() as u64
    };
    vec![computed(0..high), computed(high..14)]
}
