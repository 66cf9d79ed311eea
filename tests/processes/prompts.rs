//! Prompts in, pixels out: do the videos show what was asked for? And do the usual wiring mistakes show?

use std::fmt::Write;
use std::path::Path;

use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};

use crate::judge::Seen;
use crate::program::{Sandbox, copy_folder, demo};

/// Plain prompts over neutral backgrounds: what the demo model is known to follow.
const SHAPES: [&str; 3] = ["circle", "square", "triangle"];
const COLOURS: [&str; 6] = ["red", "green", "blue", "yellow", "purple", "orange"];
const BACKGROUNDS: [&str; 3] = ["black", "white", "gray"];
const MOTIONS: [&str; 4] = ["left", "right", "up", "down"];

/// Every colour, background and direction in `count` prompts, none together more often than the numbers force.
fn cases(count: usize) -> Vec<(String, Seen)> {
    let case = |i: usize| {
        let (colour, background) = (COLOURS[i % 6], BACKGROUNDS[(i / 2) % 3]);
        let (motion, shape) = (MOTIONS[(i + i / 4) % 4], SHAPES[(i / 3) % 3]);
        let article = if colour == "orange" { "an" } else { "a" };
        let prompt = format!("{article} {colour} {shape} moving {motion} on a {background} background");
        (prompt, Seen { colour, background, motion })
    };
    (0..count).map(case).collect()
}

/// Renders the prompts and returns the share whose colour, background and direction are all right.
fn adherence(models: &Path, count: usize) -> f64 {
    let mut manifest = String::from(
        "[job]\nname = \"prompts\"\nmodel = \"wan-tiny-t2v\"\noutput = \"{index:04}\"\nformats = [\"png\"]\n\
         [defaults]\nwidth = 64\nheight = 64\nframes = 17\nsteps = 20\nshift = 5.0\nguidance = 5.0\nnegative = \"\"\n",
    );
    let cases = cases(count);
    for (index, (prompt, _)) in cases.iter().enumerate() {
        write!(manifest, "[[video]]\nprompt = \"{prompt}\"\nseed = {}\n", 1000 + index).expect("text");
    }
    let sandbox = Sandbox::new();
    sandbox.run(&sandbox.manifest(&manifest), models).wait().expect(0);
    let mut right = 0;
    for (index, (prompt, wanted)) in cases.iter().enumerate() {
        let seen = sandbox.clip(&format!("{index:04}")).judge();
        if seen == *wanted {
            right += 1;
        } else {
            println!("  {prompt}: seen {seen:?}");
        }
    }
    f64::from(right) / count as f64
}

const MIN_SHARE: f64 = 0.9;

#[test]
fn videos_show_what_the_prompts_say() {
    let share = adherence(&demo(), 24);
    println!("adherence: {:.0} %", share * 100.0);
    assert!(share >= MIN_SHARE, "{share}");
}

#[test]
fn swapped_experts_are_noticed() {
    let models = tempfile::tempdir().expect("temporary directory");
    let model = models.path().join("wan-tiny-t2v");
    copy_model(&model);
    std::fs::rename(model.join("transformer"), model.join("other")).expect("rename");
    std::fs::rename(model.join("transformer_2"), model.join("transformer")).expect("rename");
    std::fs::rename(model.join("other"), model.join("transformer_2")).expect("rename");
    let share = adherence(models.path(), 8);
    println!("adherence with swapped experts: {:.0} %", share * 100.0);
    assert!(share < MIN_SHARE, "{share}");
}

#[test]
fn zeroed_text_embeddings_are_noticed() {
    let models = tempfile::tempdir().expect("temporary directory");
    let model = models.path().join("wan-tiny-t2v");
    copy_model(&model);
    // The encoder's last operation multiplies by this weight: with zeros, every text becomes zero.
    zero_tensor(&model.join("text_encoder/model.safetensors"), "encoder.final_layer_norm.weight");
    let share = adherence(models.path(), 8);
    println!("adherence with zeroed text embeddings: {:.0} %", share * 100.0);
    assert!(share < MIN_SHARE, "{share}");
}

/// Copies the demo model.
pub(crate) fn copy_model(to: &Path) {
    copy_folder(&demo().join("wan-tiny-t2v"), to);
}

fn zero_tensor(file: &Path, zeroed: &str) {
    let bytes = std::fs::read(file).expect("weights");
    let tensors = SafeTensors::deserialize(&bytes).expect("safetensors");
    let zeros = vec![0u8; tensors.tensor(zeroed).expect("the tensor is there").data().len()];
    let view = |(name, view): (String, TensorView<'_>)| {
        let data = if name == zeroed { zeros.clone() } else { view.data().to_vec() };
        (name, (view.dtype(), view.shape().to_vec(), data))
    };
    write(file, tensors.tensors().into_iter().map(view).collect());
}

/// What a file says of one of its tensors.
pub(crate) struct Header {
    pub(crate) name: String,
    pub(crate) dtype: Dtype,
    pub(crate) shape: Vec<usize>,
}

/// Has a file say something else of its tensors. The bytes stay, so a type has to be as wide as the one before.
pub(crate) fn rewrite(file: &Path, change: impl Fn(&mut Header)) {
    let bytes = std::fs::read(file).expect("weights");
    let tensors = SafeTensors::deserialize(&bytes).expect("safetensors");
    let view = |(name, view): (String, TensorView<'_>)| {
        let mut header = Header { name, dtype: view.dtype(), shape: view.shape().to_vec() };
        change(&mut header);
        (header.name, (header.dtype, header.shape, view.data().to_vec()))
    };
    write(file, tensors.tensors().into_iter().map(view).collect());
}

/// Element type, shape and bytes.
type Stored = (Dtype, Vec<usize>, Vec<u8>);

fn write(file: &Path, tensors: Vec<(String, Stored)>) {
    let views = tensors.iter().map(|(name, (dtype, shape, data))| {
        (name, TensorView::new(*dtype, shape.clone(), data).expect("shape and bytes agree"))
    });
    let bytes = safetensors::serialize(views, None).expect("serialize");
    std::fs::write(file, bytes).expect("write");
}
