//! Where the parts of a model lie in its folder: arranged in a known way, or as files of one network each; which model
//! they make, their shapes tell.

use std::path::{Path, PathBuf};

use wanfarm_weights::FileError;

use super::arranged::{arranged, is_text_encoder, is_vae, official};
use super::loose;
use super::loras::FixedLoras;
use super::parts::Parts;
use super::tiny;

/// Recognises the layout of a folder.
///
/// # Errors
/// There is no model, or its files are incomplete or ambiguous.
pub fn detect(folder: &Path) -> Result<Parts, FileError> {
    if folder.is_file() {
        return loose::single_file(folder);
    }
    std::fs::read_dir(folder).map_err(|e| FileError::io(folder, e))?;
    let layout = match arranged(folder)? {
        Some(layout) => layout,
        None if only_official(folder)? => official(folder)?,
        None => loose::files(folder)?,
    };
    if layout.parts.values().all(|part| part.weights.is_empty()) {
        let why = "it is no diffusers folder (model_index.json, transformer/, vae/, text_encoder/), no official one \
                   (high_noise_model/ and low_noise_model/, or diffusion_pytorch_model*.safetensors; \
                   models_t5_umt5-xxl-enc-bf16.pth; Wan2.1_VAE.pth or Wan2.2_VAE.pth), none of ComfyUI \
                   (diffusion_models/, text_encoders/, vae/), none converted to MLX (high_noise_model.safetensors \
                   and low_noise_model.safetensors, or model.safetensors; t5_encoder.safetensors; vae.safetensors) \
                   and none with files of Wan's networks under other names";
        return Err(FileError::NotAModel { folder: folder.to_owned(), why: why.to_owned() });
    }
    let loras = FixedLoras::read(folder, layout.parts.keys().copied())?;
    Ok(Parts { loras, ..layout })
}

/// Whether all weights in a folder without transformers are as the authors have them, however few.
fn only_official(folder: &Path) -> Result<bool, FileError> {
    let is_official = |path: &PathBuf| path.parent() == Some(folder) && (is_text_encoder(path) || is_vae(path));
    Ok(loose::scattered(folder)?.iter().all(|path| is_official(path) || tiny::is_tiny(path)))
}
