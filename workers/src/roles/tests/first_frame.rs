//! Videos that start from an image, through the roles of a worker, against the numbers of the official code (golden
//! cases `e2e_i2v_a14b` and `e2e_ti2v_i2v`), or from several frames (`e2e_i2v_overlap`, `e2e_ti2v_overlap`), and what
//! interruptions do to them.

use std::ops::Range;
use std::os::unix::fs::symlink;
use std::path::Path;

use wanfarm_media::{Frames, write_png_folder};
use wanfarm_model::folder;
use wanfarm_types::{DType, ImageSource};

use super::clip::clip;
use super::*;

/// A golden case of a model without a text encoder, and the model's folder for a worker.
struct Scene {
    bench: Bench,
    truth: HashMap<String, Tensor>,
    spec: VideoSpec,
    /// The image as a file.
    file: HostTensor,
    /// Stage and steps of each expert.
    stages: Vec<(Stage, Range<u32>)>,
}

impl Scene {
    /// I2V-A14B: the image as further channels, two experts.
    fn channels() -> Self {
        let spec = VideoSpec {
            steps: 8,
            shift: 5.0,
            seed: 720,
            width: 32,
            height: 32,
            guidance: Guidance { high: 3.0, low: 3.5 },
            ..spec()
        };
        let stages = vec![(Stage::DenoiseHigh, 0..3), (Stage::DenoiseLow, 3..8)];
        Self::new("e2e_i2v_a14b", "vae21/official/Wan2.1_VAE.safetensors", spec, stages)
    }

    /// TI2V-5B: the image as the first latent frame, one expert.
    fn known_frame() -> Self {
        let spec = VideoSpec {
            steps: 7,
            shift: 5.0,
            seed: 740,
            width: 96,
            height: 64,
            frames: 9,
            guidance: Guidance { high: 5.0, low: 5.0 },
            ..spec()
        };
        let stages = vec![(Stage::Denoise, 0..7)];
        Self::new("e2e_ti2v_i2v", "vae22/official/Wan2.2_VAE.safetensors", spec, stages)
    }

    /// The same from five frames of a clip.
    fn carried_on(self, case: &str, seed: u64) -> Self {
        let truth = truth(case);
        let file = clip(&truth["image_u8"]);
        let image = Some(ImageSource::File(file.name.digest));
        let spec = VideoSpec { seed, frames: 13, overlap: 5, image, ..self.spec };
        Self { truth, file, spec, ..self }
    }

    fn new(case: &str, vae: &str, spec: VideoSpec, stages: Vec<(Stage, Range<u32>)>) -> Self {
        let truth = truth(case);
        let file = png(&truth["image_u8"]);
        let spec = VideoSpec { image: Some(ImageSource::File(file.name.digest)), ..spec };
        Self { bench: Bench::serving(model(case, vae)), truth, spec, file, stages }
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
    fn states(&mut self, image: &HostTensor) -> Vec<State> {
        let mut observer = Observer::default();
        for (stage, steps) in self.stages.clone() {
            let state = observer.states.last().cloned();
            let item = self.item(stage, steps, std::slice::from_ref(image), state);
            self.bench.roles.run(&item, &mut observer).unwrap();
        }
        observer.states
    }

    fn assert_states_are_the_official_ones(&mut self, image: &HostTensor, name: &str) {
        let states = self.states(image);
        assert_eq!(states.len(), self.spec.steps as usize);
        for (index, state) in states.iter().enumerate() {
            let distance = distance(&state.tensors[0].to_f32(), &self.truth[name].get(index).unwrap());
            assert!(distance < 1e-5, "step {index}: {distance}");
        }
    }

    /// From the state after any step, going on leads to the same bytes.
    fn assert_resumes_anywhere(&mut self) {
        let image = self.encoded();
        let states = self.states(&image);
        for (stage, steps) in self.stages.clone() {
            let last = &states[steps.end as usize - 1];
            for done in steps.start.max(1)..steps.end {
                let state = states[done as usize - 1].clone();
                let rest = self.item(stage, done..steps.end, std::slice::from_ref(&image), Some(state));
                assert_eq!(&self.bench.run(&rest), &last.clone().into_output(), "{stage} after step {done}");
            }
        }
    }

    fn refused(&mut self, item: &PreparedItem) -> String {
        let failure = self.bench.roles.run(item, &mut Observer::default()).unwrap_err();
        assert_eq!(failure.kind, FailureKind::Deterministic, "{failure}");
        failure.message
    }
}

/// A folder with one model, `cat`, made of a case's transformers and an autoencoder.
pub(super) fn model(case: &str, vae: &str) -> tempfile::TempDir {
    let models = tempfile::tempdir().unwrap();
    let folder = models.path().join("cat");
    std::fs::create_dir(&folder).unwrap();
    let link = |from: &Path| symlink(from, folder.join(from.file_name().unwrap())).unwrap();
    for entry in std::fs::read_dir(golden(case).join("official_repo")).unwrap() {
        link(&entry.unwrap().path());
    }
    link(&golden(vae));
    models
}

fn png(pixels: &Tensor) -> HostTensor {
    let (height, width, _) = pixels.dims3().unwrap();
    let bytes = pixels.flatten_all().unwrap().to_vec1::<u8>().unwrap();
    let folder = tempfile::tempdir().unwrap();
    write_png_folder(&Frames::new(&bytes, 1, height, width).unwrap(), folder.path()).unwrap();
    let file = std::fs::read(folder.path().join("00000.png")).unwrap();
    HostTensor::new(DType::U8, &[file.len()], file)
}

#[test]
fn channels_condition_both_experts_as_in_the_official_code() {
    let mut scene = Scene::channels();
    let image = scene.encoded();
    assert_eq!((image.name.dtype, image.shape()), (DType::F32, vec![20, 2, 4, 4]));
    assert!(distance(&image.to_f32(), &scene.truth["y"]) < 1e-5);
    scene.assert_states_are_the_official_ones(&image, "latents.after_step");
}

#[test]
fn a_known_frame_is_put_back_after_each_step_as_in_the_official_code() {
    let mut scene = Scene::known_frame();
    let image = scene.encoded();
    assert_eq!((image.name.dtype, image.shape()), (DType::F32, vec![48, 1, 4, 6]));
    scene.assert_states_are_the_official_ones(&image, "latents.after_step_reinjected");
}

#[test]
fn five_known_frames_are_two_latent_frames_whose_mask_is_one() {
    let mut scene = Scene::channels().carried_on("e2e_i2v_overlap", 751);
    let image = scene.encoded();
    assert_eq!(image.shape(), [20, 4, 4, 4]);
    assert!(distance(&image.to_f32(), &scene.truth["y"]) < 1e-5);
    scene.assert_states_are_the_official_ones(&image, "latents.after_step");
}

#[test]
fn five_known_frames_are_two_latent_frames_that_are_put_back() {
    let mut scene = Scene::known_frame().carried_on("e2e_ti2v_overlap", 752);
    let image = scene.encoded();
    assert_eq!(image.shape(), [48, 2, 4, 6]);
    scene.assert_states_are_the_official_ones(&image, "latents.after_step_reinjected");
    scene.assert_resumes_anywhere();
}

#[test]
fn of_a_longer_clip_the_last_frames_are_carried_on_from() {
    let mut scene = Scene::known_frame().carried_on("e2e_ti2v_overlap", 752);
    let whole = scene.encoded();
    let pictures = scene.truth["image_u8"].clone();
    scene.file = clip(&Tensor::cat(&[&pictures.narrow(0, 2, 3).unwrap(), &pictures], 0).unwrap());
    assert_eq!(scene.encoded(), whole);
    scene.file = clip(&pictures.narrow(0, 1, 4).unwrap());
    let item = scene.item(Stage::EncodeImage, 0..0, std::slice::from_ref(&scene.file), None);
    let message = scene.refused(&item);
    assert!(message.contains("the clip it carries on from has 4 frames, not 5"), "{message}");
}

#[test]
fn with_channels_resumed_after_any_step_the_bytes_are_the_same() {
    Scene::channels().assert_resumes_anywhere();
}

#[test]
fn with_a_known_frame_resumed_after_any_step_the_bytes_are_the_same() {
    Scene::known_frame().assert_resumes_anywhere();
}

#[test]
fn the_image_decides_the_video() {
    let mut scene = Scene::known_frame();
    let image = scene.encoded();
    let with = scene.states(&image).pop().unwrap();
    let without = scene.item(Stage::Denoise, 0..7, &[], None);
    let without = scene.bench.run(&without);
    assert_ne!(with.clone().into_output(), without, "a model that takes an image renders without one, too");
    let frame = |latents: &HostTensor| latents.to_f32()[..24].to_vec();
    assert_eq!(frame(&with.tensors[0]), frame(&image), "its first latent frame is the image's");
}

#[test]
fn a_model_that_needs_an_image_says_so() {
    let mut scene = Scene::channels();
    let item = scene.item(Stage::DenoiseHigh, 0..3, &[], None);
    let message = scene.refused(&item);
    assert!(message.starts_with("denoise_high: ") && message.contains("give the video an image"), "{message}");
}

#[test]
fn a_model_that_takes_no_image_says_so() {
    let mut bench = Bench::new();
    let contexts = bench.contexts();
    let with_image = PreparedItem { image: vec![HostTensor::from_f32(&[1], &[0.0])], ..high(&contexts) };
    let failure = bench.roles.run(&with_image, &mut Observer::default()).unwrap_err();
    assert_eq!(failure.kind, FailureKind::Deterministic);
    assert!(failure.message.contains("renders from text only"), "{failure}");
}

#[test]
fn what_is_no_image_is_not_tried_again() {
    let mut scene = Scene::known_frame();
    let bytes = |bytes: &[u8]| HostTensor::new(DType::U8, &[bytes.len()], bytes.to_vec());
    let encode = |scene: &mut Scene, images: &[HostTensor]| {
        let item = scene.item(Stage::EncodeImage, 0..0, images, None);
        scene.refused(&item)
    };
    let message = encode(&mut scene, &[bytes(b"no image at all")]);
    assert!(message.starts_with("encode_image: ") && message.contains("not a PNG"), "{message}");
    let half = bytes(&scene.file.bytes[..scene.file.bytes.len() / 2]);
    assert!(encode(&mut scene, &[half]).contains("broken"));
    assert!(encode(&mut scene, &[]).contains("0 image files"));
}

#[test]
fn an_abandoned_image_is_not_encoded() {
    let scene = &mut Scene::channels();
    let item = scene.item(Stage::EncodeImage, 0..0, std::slice::from_ref(&scene.file), None);
    let mut observer = Observer { abandon_after: Some(0), ..Observer::default() };
    assert_eq!(scene.bench.roles.run(&item, &mut observer), Err(crate::runner::abandoned()));
}

#[test]
fn cards_tell_which_models_take_an_image() {
    let info = |case: &str| folder::open(&golden(case).join("official_repo")).unwrap().info().clone();
    let images = |case: &str| (info(case).takes_image, info(case).needs_image);
    assert_eq!(images("e2e_i2v_a14b"), (true, true));
    assert_eq!(images("e2e_ti2v_i2v"), (true, false));
    assert_eq!(images("e2e_ti2v_t2v"), (true, false));
    assert_eq!(images("e2e_t2v_a14b"), (false, false));
    assert_eq!(images("e2e_t2v_1_3b"), (false, false));
}
