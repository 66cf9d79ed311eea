//! Videos with LoRA files of their own, one after the other on one worker, against the numbers of golden case
//! `e2e_distill4`.

use std::fs;

use wanfarm_types::{Digest, Expert, LoraRef};

use super::*;

const FILES: [(&str, Expert, f64); 2] =
    [("lora_high_noise_model.safetensors", Expert::High, 1.0), ("lora_low_noise_model.safetensors", Expert::Low, 0.8)];

/// The experts of the case, without anything to adapt them in their folder, and its LoRA files.
fn bench() -> Bench {
    let models = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink(golden("e2e_t2v_a14b/official_repo"), models.path().join("cat")).unwrap();
    fs::create_dir(models.path().join("loras")).unwrap();
    for (name, _, _) in FILES {
        fs::copy(golden("e2e_distill4").join(name), models.path().join("loras").join(name)).unwrap();
    }
    Bench::serving(models)
}

fn loras() -> Vec<LoraRef> {
    let reference = |(name, expert, strength): (&str, Expert, f64)| {
        let bytes = fs::read(golden("e2e_distill4").join(name)).unwrap();
        LoraRef {
            name: name.to_owned(),
            blake3: Digest(*blake3::hash(&bytes).as_bytes()),
            bytes: bytes.len() as u64,
            strength,
            expert: Some(expert),
        }
    };
    FILES.map(reference).to_vec()
}

/// The item of a four-step render from the case's noise.
fn item_of(stage: Stage, steps: std::ops::Range<u32>, state: State, loras: Vec<LoraRef>) -> PreparedItem {
    let truth = truth("e2e_distill4");
    let context = HostTensor::from_f32(truth["context"].dims(), &values(&truth["context"]).unwrap());
    let mut item = PreparedItem { contexts: vec![context], state: Some(state), ..item(stage, "", steps) };
    item.spec.solver = SolverKind::Lightning;
    (item.spec.steps, item.spec.shift) = (4, 5.0);
    item.spec.guidance = Guidance { high: 1.0, low: 1.0 };
    (item.spec.height, item.spec.width, item.spec.loras) = (32, 48, loras);
    item
}

fn noise() -> State {
    let noise = &truth("e2e_distill4")["noise"];
    State { steps_done: 0, tensors: vec![HostTensor::from_f32(noise.dims(), &values(noise).unwrap())] }
}

#[test]
fn a_distilled_video_as_published_and_none_of_it_in_the_next() {
    let mut bench = bench();
    let high = |loras| item_of(Stage::DenoiseHigh, 0..2, noise(), loras);
    let plain = bench.run(&high(Vec::new()));
    for _ in 0..2 {
        let mut observer = Observer::default();
        bench.roles.run(&high(loras()), &mut observer).unwrap();
        let boundary = observer.states[1].clone();
        bench.roles.run(&item_of(Stage::DenoiseLow, 2..4, boundary, loras()), &mut observer).unwrap();
        for (index, state) in observer.states.iter().enumerate() {
            let want = truth("e2e_distill4")["latents.after_step"].get(index).unwrap();
            let distance = distance(&state.tensors[0].to_f32(), &want);
            assert!(distance < 1e-5, "step {index}: {distance}");
        }
        // The next video has none, and the same bytes as before.
        assert!(bench.run(&high(Vec::new())) == plain);
    }
    let weaker = loras().into_iter().map(|lora| LoraRef { strength: 0.5 * lora.strength, ..lora }).collect();
    assert!(bench.run(&high(weaker)) != bench.run(&high(loras())));
}

/// The same experts in a folder of which the LoRA files are part.
fn distilled() -> tempfile::TempDir {
    let models = tempfile::tempdir().unwrap();
    let model = models.path().join("cat");
    fs::create_dir(&model).unwrap();
    for entry in fs::read_dir(golden("e2e_t2v_a14b/official_repo")).unwrap() {
        let entry = entry.unwrap();
        std::os::unix::fs::symlink(entry.path(), model.join(entry.file_name())).unwrap();
    }
    let mut entries = Vec::new();
    for (name, expert, strength) in FILES {
        fs::copy(golden("e2e_distill4").join(name), model.join(name)).unwrap();
        entries.push(serde_json::json!({ "path": name, "strength": strength, "expert": expert }));
    }
    fs::write(model.join("loras.json"), serde_json::json!({ "loras": entries }).to_string()).unwrap();
    models
}

#[test]
fn a_model_of_which_they_are_part_renders_as_published_and_is_another_model() {
    let models = distilled();
    let (data, folders) = (tempfile::tempdir().unwrap(), [models.path().to_owned()]);
    let catalog =
        Catalog::discover(&folders, Wish { roles: &[Role::DitHigh, Role::DitLow], ..WISH }, data.path()).unwrap();
    let served = catalog.served().remove(0);
    assert_eq!(served.info.loras.len(), 2);
    for (role, own) in [(Role::DitHigh, FILES[0].0), (Role::DitLow, FILES[1].0)] {
        let files = &served.roles.iter().find(|served| served.role == role).unwrap().files;
        let is_there = |name: &str| files.iter().any(|file| file.path == name);
        assert!(is_there("loras.json") && is_there(own), "{files:?}");
        assert_eq!(FILES.iter().filter(|(name, _, _)| is_there(name)).count(), 1, "the other expert's are not its own");
    }

    let mut bench = Bench::serving(models);
    let mut observer = Observer::default();
    bench.roles.run(&item_of(Stage::DenoiseHigh, 0..2, noise(), Vec::new()), &mut observer).unwrap();
    let boundary = observer.states[1].clone();
    bench.roles.run(&item_of(Stage::DenoiseLow, 2..4, boundary, Vec::new()), &mut observer).unwrap();
    let beside = {
        let (mut bench, mut observer) = (self::bench(), Observer::default());
        bench.roles.run(&item_of(Stage::DenoiseHigh, 0..2, noise(), loras()), &mut observer).unwrap();
        observer.states
    };
    for (index, state) in observer.states.iter().enumerate() {
        let got = state.tensors[0].to_f32();
        let want = truth("e2e_distill4")["latents.after_step"].get(index).unwrap();
        assert!(distance(&got, &want) < 1e-5, "step {index}: {}", distance(&got, &want));
        // Merged and beside are one function, and not the same rounding.
        if let Some(beside) = beside.get(index) {
            let beside = &beside.tensors[0];
            let beside = Tensor::from_vec(beside.to_f32(), beside.shape(), &Device::Cpu).unwrap();
            assert!(distance(&got, &beside) < 1e-5);
        }
    }
    assert!(beside[0] != observer.states[0], "which is why it is not a worker's choice");
}

#[test]
fn a_file_that_is_not_the_one_named_is_not_used() {
    let mut bench = bench();
    let mut refused = |change: &dyn Fn(&mut LoraRef)| {
        let mut loras = loras();
        loras.iter_mut().for_each(change);
        let item = item_of(Stage::DenoiseHigh, 0..2, noise(), loras);
        bench.roles.run(&item, &mut Observer::default()).unwrap_err()
    };
    let failure = refused(&|lora| lora.name = "other.safetensors".to_owned());
    assert_eq!(failure.kind, FailureKind::Transient, "another worker may hold it");
    assert!(failure.message.contains("there is no LoRA file other.safetensors"), "{failure}");
    let failure = refused(&|lora| lora.blake3 = Digest([1; 32]));
    assert!(failure.message.contains("there is no LoRA file lora_high"), "{failure}");
    assert!(refused(&|lora| lora.name = "../secret".to_owned()).message.contains("not named by a file name"));
}
