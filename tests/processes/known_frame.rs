//! Models that take a first frame, through processes: the image decides the video, whatever dies and however many
//! threads compute, and what comes out is what the networks give in one process.

use std::path::Path;
use std::process::Command;

use candle_core::{DType, Device, Tensor};
use serde_json::Value;
use wanfarm_model::conditioning::{Anchors, encode};
use wanfarm_model::folder;
use wanfarm_model::text::Tokenizer;
use wanfarm_sampling::{Schedule, randn};
use wanfarm_tests::files::{Experts, text_encoder, vae};
use wanfarm_tests::render::{Denoiser, flat};
use wanfarm_types::{Guidance, Role, SolverKind};

use crate::first_frame::{image_model, picture};
use crate::program::{Sandbox, binary, copy_folder, eventually, repository, signal_process, workers_of};

const PROMPT: &str = "a small film";
const NEGATIVE: &str = "blurred";
const STEPS: u32 = 6;
const FRAMES: usize = 5;
const SHIFT: f64 = 5.0;
const GUIDANCE: f64 = 4.0;

/// A model that renders from text, or from text and an image: the transformer of one golden case, the autoencoder of a
/// second, the text encoder of a third.
pub(crate) fn either_model(at: &Path) {
    let data = repository().join("tests/golden/data");
    let text = data.join("repo_t2v_from_prompt/official_repo");
    copy_folder(&data.join("e2e_ti2v_i2v/official_repo"), at);
    copy_folder(&data.join("vae22/official"), at);
    copy_folder(&text.join("google"), &at.join("google"));
    let encoder = "models_t5_umt5-xxl-enc-bf16.pth";
    std::fs::copy(text.join(encoder), at.join(encoder)).expect("copy");
}

/// A farm of one machine with a tiny model and two pictures; each of these outputs is one video.
struct Film {
    size: [usize; 2],
    model: fn(&Path),
    outputs: &'static [&'static str],
    role: &'static str,
}

const EITHER: Film = Film { size: [96, 64], model: either_model, outputs: &["left", "right", "text"], role: "dit" };
const IMAGE: Film =
    Film { size: [48, 32], model: image_model, outputs: &["left", "right", "between"], role: "dit-low" };

impl Film {
    fn sandbox(&self) -> Sandbox {
        let sandbox = Sandbox::new();
        (self.model)(&sandbox.path("models/tiny"));
        picture(&sandbox.path("left.png"), true);
        picture(&sandbox.path("right.png"), false);
        let [width, height] = self.size;
        let mut manifest = format!(
            "[job]\nmodel = \"tiny\"\nformats = [\"png\"]\n[defaults]\nwidth = {width}\nheight = {height}\n\
             frames = {FRAMES}\nsteps = {STEPS}\nshift = {SHIFT:?}\nguidance = {GUIDANCE:?}\n\
             negative = \"{NEGATIVE}\"\nseed = 9\n"
        );
        for output in self.outputs {
            manifest += &format!("[[video]]\nprompt = \"{PROMPT}\"\noutput = \"{output}\"\n");
            manifest += &match *output {
                "text" => String::new(),
                "between" => "image = \"left.png\"\nlast_image = \"right.png\"\n".to_owned(),
                side => format!("image = \"{side}.png\"\n"),
            };
        }
        sandbox.manifest(&manifest);
        sandbox
    }

    fn render(&self, threads: &str) -> Sandbox {
        let sandbox = self.sandbox();
        let mut coordinator = Command::new(binary());
        coordinator.args(["run", "--threads", threads]);
        sandbox.run_by(coordinator, &sandbox.path("manifest.toml"), &sandbox.path("models")).wait().expect(0);
        sandbox
    }

    fn bytes(&self, sandbox: &Sandbox) -> Vec<(Value, Value)> {
        sandbox.bytes(self.outputs)
    }

    /// Every video has its own bytes, and they are the same by one thread and by two, and when the transformer's
    /// process dies in the middle.
    fn assert_bytes_depend_on_the_image_alone(&self) {
        let whole = self.render("1");
        let expected = self.bytes(&whole);
        for (index, bytes) in expected.iter().enumerate() {
            assert!(!expected[..index].contains(bytes), "{} is another video, too", self.outputs[index]);
        }
        assert_eq!(self.bytes(&self.render("2")), expected, "by two threads");

        let sandbox = self.sandbox();
        let running = sandbox.run(&sandbox.path("manifest.toml"), &sandbox.path("models"));
        sandbox.first_artifact();
        let worker = eventually("the worker runs", || workers_of(running.pid(), self.role).first().copied());
        signal_process(worker, "KILL");
        let ended = running.wait().expect(0);
        assert_eq!(self.bytes(&sandbox), expected, "after the death of {}:\n{}", self.role, ended.stderr);
    }
}

#[test]
fn with_the_image_in_the_latents_bytes_depend_on_the_image_alone() {
    EITHER.assert_bytes_depend_on_the_image_alone();
}

#[test]
fn with_the_image_in_further_channels_bytes_depend_on_the_image_alone() {
    IMAGE.assert_bytes_depend_on_the_image_alone();
}

/// The final latents of `output` in this process, and the encoded image.
fn in_one_process(sandbox: &Sandbox, output: &str) -> (Tensor, Option<Tensor>) {
    let folder = sandbox.path("models/tiny");
    let model = folder::open(&folder).expect("model");
    let tokenizer = Tokenizer::load(model.tokenizer()).expect("tokenizer");
    let encoder = text_encoder(model.weights(Role::TextEncoder).expect("weights"), &Device::Cpu).expect("encoder");
    let context = |text: &str| encoder.encode(&tokenizer.encode(text).expect("ids").ids).expect("context");

    let [width, height] = EITHER.size;
    let image = (output != "text").then(|| {
        let bytes = std::fs::read(sandbox.path(&format!("{output}.png"))).expect("image");
        let image = wanfarm_image::load_image(output, &bytes).expect("image");
        let vae = vae(&model.weights(Role::Vae).expect("weights"), &Device::Cpu).expect("autoencoder");
        encode(&vae, Anchors { first: &[image], last: None }, [width, height], FRAMES, || false)
            .expect("encoded")
            .expect("not stopped")
    });
    let shape = model.info().geometry.latent_shape(width as u32, height as u32, FRAMES as u32);
    let noise = Tensor::from_vec(randn(9, shape.iter().product()), &shape, &Device::Cpu).expect("noise");
    let experts = Experts::in_folder(&folder, DType::F32, &Device::Cpu).expect("transformer");
    let schedule = Schedule::new(SolverKind::UniPc, STEPS, SHIFT).expect("schedule");
    let guidance = Guidance { high: GUIDANCE, low: GUIDANCE };
    let denoiser = Denoiser {
        experts: &experts,
        high_steps: 0,
        schedule: &schedule,
        solver: SolverKind::UniPc,
        guidance,
        image: image.as_ref(),
        seed: None,
    };
    let steps = denoiser.run(&noise, &context(PROMPT), &context(NEGATIVE)).expect("steps");
    let latents = &steps.last().expect("a step").latents;
    (Tensor::from_slice(latents, &shape, &Device::Cpu).expect("latents"), image)
}

#[test]
fn processes_give_the_latents_of_one_process_and_these_begin_with_the_image() {
    let sandbox = EITHER.render("1");
    for output in EITHER.outputs {
        let (latents, image) = in_one_process(&sandbox, output);
        let bytes: Vec<u8> = flat(&latents).expect("f32").iter().flat_map(|value| value.to_le_bytes()).collect();
        let digest = blake3::hash(&bytes).to_hex().to_string();
        assert_eq!(sandbox.sidecar(output)["latents_blake3"], digest.as_str(), "{output}");
        if let Some(image) = image {
            let first = latents.narrow(1, 0, 1).expect("a first frame");
            assert_eq!(flat(&first).expect("f32"), flat(&image).expect("f32"), "{output}");
        }
    }
}
