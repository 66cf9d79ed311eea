//! The reference videos of the demo model, pixel by pixel.
//!
//! `data/reference.safetensors` holds the frames of diffusers' networks with the official grid and solver in f32.

use std::path::{Path, PathBuf};

use safetensors::SafeTensors;

use crate::judge::Clip;
use crate::program::{Sandbox, demo, repository};

fn data() -> PathBuf {
    repository().join("tests/processes/data")
}

fn reference_clips() -> Vec<Clip> {
    let bytes = std::fs::read(data().join("reference.safetensors")).expect("reference data");
    let tensors = SafeTensors::deserialize(&bytes).expect("safetensors");
    let clip = |index: usize| {
        let tensor = tensors.tensor(&format!("{index:04}.frames_u8")).ok()?;
        let shape = tensor.shape();
        Some(Clip { shape: [shape[0], shape[1], shape[2]], rgb: tensor.data().to_vec() })
    };
    (0..).map_while(clip).collect()
}

/// PSNR of every reference video, rendered with the models in this folder.
fn render(models: &Path) -> Vec<f64> {
    let sandbox = Sandbox::new();
    sandbox.run(&data().join("reference.toml"), models).wait().expect(0);
    let clips = reference_clips();
    assert_eq!(clips.len(), 6);
    clips.iter().enumerate().map(|(index, clip)| sandbox.clip(&format!("{index:04}")).psnr(clip)).collect()
}

#[test]
fn the_reference_videos_are_rendered() {
    let psnr = render(&demo());
    println!("PSNR of the reference videos: {psnr:.1?} dB");
    assert!(psnr.iter().all(|&psnr| psnr >= 45.0), "{psnr:?}");
}

#[test]
fn the_low_expert_throughout_is_noticed() {
    let models = tempfile::tempdir().expect("temporary directory");
    let model = models.path().join("wan-tiny-t2v");
    crate::prompts::copy_model(&model);
    std::fs::remove_dir_all(model.join("transformer")).expect("remove the high expert");
    crate::program::copy_folder(&model.join("transformer_2"), &model.join("transformer"));
    let psnr = render(models.path());
    println!("PSNR with the low expert throughout: {psnr:.1?} dB");
    assert!(psnr.iter().any(|&psnr| psnr < 45.0), "not noticed: {psnr:?}");
}
