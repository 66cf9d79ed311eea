//! A video that is made from a clip, through the roles of a worker, against the numbers of diffusers (golden case `e2e_v2v`),
//! and what interruptions do to it.

use std::ops::Range;

use wanfarm_image::pack;
use wanfarm_media::{Frames, write_png_folder};
use wanfarm_types::{ClipSource, DType};

use super::first_frame::model;
use super::*;

/// Of the schedule's last 6 steps those of the high-noise expert.
const STAGES: [(Stage, Range<u32>); 2] = [(Stage::DenoiseHigh, 0..2), (Stage::DenoiseLow, 2..6)];

struct Scene {
    bench: Bench,
    truth: HashMap<String, Tensor>,
    spec: VideoSpec,
    /// The clip as a file.
    file: HostTensor,
}

impl Scene {
    fn new() -> Self {
        let truth = truth("e2e_v2v");
        let file = clip(&truth["clip_u8"]);
        let spec = VideoSpec {
            steps: 8,
            shift: 5.0,
            seed: 733,
            width: 48,
            height: 32,
            frames: 9,
            guidance: Guidance { high: 4.0, low: 4.0 },
            video: Some(ClipSource::File(file.name.digest)),
            strength: Some(0.8),
            ..spec()
        };
        let bench = Bench::serving(model("e2e_t2v_a14b", "vae21/official/Wan2.1_VAE.safetensors"));
        Self { bench, truth, spec, file }
    }

    fn item(&self, stage: Stage, steps: Range<u32>, image: &[HostTensor], state: Option<State>) -> PreparedItem {
        let context = |name: &str| HostTensor::from_f32(self.truth[name].dims(), &values(&self.truth[name]).unwrap());
        PreparedItem {
            spec: self.spec.clone(),
            contexts: vec![context("context.cond"), context("context.null")],
            image: image.to_vec(),
            state,
            ..item(stage, "", steps)
        }
    }

    fn encoded(&mut self) -> HostTensor {
        let item = self.item(Stage::EncodeImage, 0..0, std::slice::from_ref(&self.file), None);
        let (_, mut tensors) = self.bench.run(&item);
        assert_eq!(tensors.len(), 1);
        tensors.remove(0)
    }

    /// The state after every step.
    fn states(&mut self, clip: &HostTensor) -> Vec<State> {
        let mut observer = Observer::default();
        for (stage, steps) in STAGES {
            let state = observer.states.last().cloned();
            let clip = if state.is_none() { std::slice::from_ref(clip) } else { &[] };
            let item = self.item(stage, steps, clip, state);
            self.bench.roles.run(&item, &mut observer).unwrap();
        }
        observer.states
    }
}

/// A zip file of the pictures, which loses nothing of them.
pub(super) fn clip(pixels: &Tensor) -> HostTensor {
    let [frames, height, width, _] = pixels.dims() else { panic!("{:?}", pixels.dims()) };
    let bytes = pixels.flatten_all().unwrap().to_vec1::<u8>().unwrap();
    let folder = tempfile::tempdir().unwrap();
    write_png_folder(&Frames::new(&bytes, *frames, *height, *width).unwrap(), folder.path()).unwrap();
    let mut file = Vec::new();
    pack(folder.path(), &mut file).unwrap();
    HostTensor::new(DType::U8, &[file.len()], file)
}

#[test]
fn a_clip_goes_through_the_last_steps_of_the_schedule_as_in_the_reference() {
    let mut scene = Scene::new();
    let clip = scene.encoded();
    assert_eq!((clip.name.dtype, clip.shape()), (DType::F32, vec![16, 3, 4, 6]));
    assert!(distance(&clip.to_f32(), &scene.truth["latents.clip"]) < 1e-5);
    let states = scene.states(&clip);
    assert_eq!(states.len(), 6);
    for (index, state) in states.iter().enumerate() {
        let distance = distance(&state.tensors[0].to_f32(), &scene.truth["latents.after_step"].get(index).unwrap());
        assert!(distance < 1e-5, "step {index}: {distance}");
    }
}

#[test]
fn resumed_after_any_step_the_bytes_are_the_same_and_the_clip_is_not_needed() {
    let mut scene = Scene::new();
    let clip = scene.encoded();
    let states = scene.states(&clip);
    for (stage, steps) in STAGES {
        let last = &states[steps.end as usize - 1];
        for done in steps.start.max(1)..steps.end {
            let state = states[done as usize - 1].clone();
            let rest = scene.item(stage, done..steps.end, &[], Some(state));
            assert_eq!(&scene.bench.run(&rest), &last.clone().into_output(), "{stage} after step {done}");
        }
    }
}

#[test]
fn what_cannot_be_is_refused_with_a_reason() {
    let mut scene = Scene::new();
    let refused = |scene: &mut Scene, item: PreparedItem| {
        let failure = scene.bench.roles.run(&item, &mut Observer::default()).unwrap_err();
        assert_eq!(failure.kind, FailureKind::Deterministic, "{failure}");
        failure.message
    };
    let no_clip = scene.item(Stage::DenoiseHigh, 0..2, &[], None);
    assert!(refused(&mut scene, no_clip).contains("the clip is not there"));
    let text = HostTensor::new(DType::U8, &[4], b"text".to_vec());
    let no_film = scene.item(Stage::EncodeImage, 0..0, &[text], None);
    assert!(refused(&mut scene, no_film).contains("no mp4 file, no GIF and no zip"));
    let none = scene.item(Stage::EncodeImage, 0..0, &[], None);
    assert!(refused(&mut scene, none).contains("there is no file of it"));
    let item = scene.item(Stage::EncodeImage, 0..0, std::slice::from_ref(&scene.file), None);
    let mut observer = Observer { abandon_after: Some(0), ..Observer::default() };
    assert_eq!(scene.bench.roles.run(&item, &mut observer), Err(crate::runner::abandoned()));
}
