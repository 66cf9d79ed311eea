//! The tiny autoencoder that lies with a model: a file of weights beside its autoencoder, in its folder, in `vae_approx/` there,
//! where ComfyUI keeps such, or in `vae_approx/` beside the model, for all models. It is known by its tensors; of several
//! that fit, the first.
//!
//! It is no file of a role: with it or without it finals are the same, so a video names the one that decodes it by the digest of
//! its bytes.

use std::path::{Path, PathBuf};

use wanfarm_types::{Role, TinyVae, VaeKind};
use wanfarm_weights::{FileError, WeightFiles, digest_files, listing};

use super::info::geometry;
use super::parts::{Arrangement, Parts};
use crate::tiny_vae::TinyConfig;

/// Where ComfyUI keeps small networks; in a folder of models it is no model.
pub const FOLDER: &str = "vae_approx";
/// What the names of such files have in them.
const NAME: &str = "taew";
/// What those of another maker have, which were trained on latents as the large autoencoder has them. Nothing else tells.
///
/// Source: ModelTC/LightX2V `lightx2v/models/video_encoders/hf/wan/vae_tiny.py` `need_scaled`.
const RAW: &str = "lighttae";
/// Larger files are other networks.
const MAX_BYTES: u64 = 256 << 20;

/// A file that decodes a model's latents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TinyFile {
    /// The file.
    pub path: PathBuf,
    /// Whether it takes latents as the large autoencoder has them, and not normalised.
    pub raw: bool,
}

/// What lies with a model whose parts these are: the file that decodes, and what others are told; nothing, if nothing is
/// there.
///
/// # Errors
/// The file that fits cannot be read.
pub(super) fn find(parts: &Parts, wanted: VaeKind) -> Result<(Option<TinyFile>, Option<TinyVae>), FileError> {
    let mut unfit = None;
    for path in candidates(parts) {
        match look(&path, wanted) {
            Ok(false) => {}
            Ok(true) => {
                let raw = listing::name(&path).to_lowercase().contains(RAW);
                let shelf = shelf(&parts.folder);
                let base = if path.starts_with(&parts.folder) { &parts.folder } else { &shelf };
                let file = digest_files(base, std::slice::from_ref(&path))?.pop();
                let here = file.map(|file| TinyVae::Here { file: file.path, blake3: file.blake3 });
                return Ok((Some(TinyFile { path, raw }), here));
            }
            Err(why) => unfit = unfit.or_else(|| Some(TinyVae::unfit(why))),
        }
    }
    Ok((None, unfit))
}

/// Files that could be it, the nearest first.
fn candidates(parts: &Parts) -> Vec<PathBuf> {
    if parts.arrangement == Arrangement::SingleFile {
        return Vec::new();
    }
    let folder = &parts.folder;
    let used: Vec<&PathBuf> = parts.parts.values().flat_map(|part| &part.weights).collect();
    let vae = parts.parts.get(&Role::Vae).and_then(|part| part.weights.first()?.parent());
    let mut places: Vec<PathBuf> = vae.map(Path::to_owned).into_iter().collect();
    places.extend([folder.clone(), folder.join(FOLDER), folder.join("split_files").join(FOLDER)]);
    places.push(shelf(folder).join(FOLDER));
    let mut found: Vec<PathBuf> = Vec::new();
    for path in places.iter().flat_map(|place| listing::weights(place, 0).unwrap_or_default()) {
        let small = std::fs::metadata(&path).is_ok_and(|metadata| metadata.len() <= MAX_BYTES);
        if small && !used.contains(&&path) && !found.contains(&path) {
            found.push(path);
        }
    }
    found
}

/// Where the folder of a model lies.
fn shelf(folder: &Path) -> PathBuf {
    let absolute = std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned());
    absolute.parent().unwrap_or(&absolute).to_owned()
}

/// Whether a file decodes such latents; false for other networks.
///
/// # Errors
/// It was made for this and does not: why.
fn look(path: &Path, wanted: VaeKind) -> Result<bool, String> {
    let meant = listing::name(path).to_lowercase().contains(NAME);
    let weights = match WeightFiles::open(std::slice::from_ref(&path.to_owned())) {
        Ok(weights) => weights,
        Err(fault) if meant => return Err(fault.to_string()),
        Err(_) => return Ok(false),
    };
    if !TinyConfig::is_tiny(&weights) {
        let why = "its tensors are not those of a tiny VAE that is read here; larger ones, called super, are not";
        return if meant { Err(format!("{}: {why}", path.display())) } else { Ok(false) };
    }
    let config = TinyConfig::from_weights(&weights).map_err(|fault| fault.to_string())?;
    let geometry = geometry(wanted);
    let sizes = [
        ("channels", config.z, geometry.latent_channels as usize),
        ("pixels to a latent pixel, along a side,", config.stride_hw(), geometry.stride_hw as usize),
        ("frames to a latent frame", config.stride_t(), geometry.stride_t as usize),
    ];
    match sizes.into_iter().find(|(_, has, needs)| has != needs) {
        None => Ok(true),
        Some((what, has, needs)) => Err(format!(
            "{} decodes latents with {has} {what} and this model's have {needs}; use {}",
            path.display(),
            TinyVae::wanted(wanted)
        )),
    }
}

/// Whether a file is a tiny autoencoder, of whatever latents.
pub(super) fn is_tiny(path: &Path) -> bool {
    WeightFiles::open(std::slice::from_ref(&path.to_owned())).is_ok_and(|weights| TinyConfig::is_tiny(&weights))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::super::{detect, open};
    use super::*;

    fn golden(name: &str) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden/data").join(name)
    }

    /// A folder of models with a copy of a golden one in it.
    fn shelf() -> (tempfile::TempDir, PathBuf) {
        fn copy(from: &Path, to: &Path) {
            fs::create_dir_all(to).unwrap();
            for path in listing::entries(from).unwrap() {
                let to = to.join(path.file_name().unwrap());
                if path.is_dir() { copy(&path, &to) } else { fs::copy(&path, &to).map(drop).unwrap() }
            }
        }
        let shelf = tempfile::tempdir().unwrap();
        let model = shelf.path().join("cat");
        copy(&golden("repo_t2v_from_prompt/official_repo"), &model);
        (shelf, model)
    }

    const FITS: &str = "tiny21/taehv/taew2_1.safetensors";
    const OTHER: &str = "tiny22/taehv/taew2_2.safetensors";

    fn put(from: &str, to: &Path) {
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::copy(golden(from), to).unwrap();
    }

    fn found(model: &Path) -> Option<(PathBuf, bool)> {
        let folder = open(model).unwrap();
        let here = matches!(folder.info().tiny_vae, Some(TinyVae::Here { .. }));
        assert_eq!(here, folder.tiny_vae().is_some());
        folder.tiny_vae().map(|file| (file.path.clone(), file.raw))
    }

    #[test]
    fn it_is_found_by_its_tensors_the_nearest_first() {
        let (shelf, model) = shelf();
        assert_eq!(found(&model), None);
        for (place, raw) in [
            (shelf.path().join("vae_approx/LightTAEW2_1.safetensors"), true),
            (model.join("vae_approx/taew2_1.safetensors"), false),
            (model.join("any name.safetensors"), false),
        ] {
            put(FITS, &place);
            // One of the other kind beside it is another model's.
            put(OTHER, &place.with_file_name("aaa.safetensors"));
            assert_eq!(found(&model), Some((place, raw)));
        }
        let Some(TinyVae::Here { file, blake3 }) = open(&model).unwrap().info().tiny_vae.clone() else { panic!() };
        let digest = digest_files(&model, &[golden(FITS)]).unwrap()[0].blake3;
        assert_eq!((file.as_str(), blake3), ("any name.safetensors", digest));
        // It is no file of a role.
        assert_eq!(detect(&model).unwrap().files(Role::Vae), [model.join("Wan2.1_VAE.pth")]);
    }

    #[test]
    fn what_does_not_fit_is_told_with_both_numbers_and_what_to_do() {
        let (_shelf, model) = shelf();
        let told = || match open(&model).unwrap().info().tiny_vae.clone() {
            Some(TinyVae::Unfit(why)) => why,
            other => panic!("{other:?}"),
        };
        let file = model.join("vae_approx/taew2_2.safetensors");
        put(OTHER, &file);
        for part in
            ["vae_approx/taew2_2.safetensors decodes latents with 48 channels", "have 16", "use taew2_1.safetensors"]
        {
            assert!(told().contains(part), "{}", told());
        }
        let bytes = fs::read(golden(FITS)).unwrap();
        fs::write(&file, &bytes[..bytes.len() - 1]).unwrap();
        assert!(told().contains("truncated"), "{}", told());
        fs::copy(golden("vae22/official/Wan2.2_VAE.safetensors"), &file).unwrap();
        assert!(told().contains("not those of a tiny VAE"), "{}", told());
        fs::write(model.join("taew2_1.safetensors"), "").unwrap();
        assert!(told().contains("empty"), "{}", told());
        // However long the names in a file are, others take what is told of it.
        let header = format!("{{\"{}\": 1}}", "\u{1b}[2J".repeat(9000));
        let named = [&(header.len() as u64).to_le_bytes(), header.as_bytes()].concat();
        fs::write(model.join("taew2_1.safetensors"), named).unwrap();
        assert!(!told().contains('\u{1b}'), "{}", told());
        assert_eq!(open(&model).unwrap().info().check(), Ok(()));
    }

    #[test]
    fn its_memory_is_part_of_the_autoencoder_s() {
        use crate::ops::device::DeviceKind;
        use candle_core::DType;
        let (_shelf, model) = shelf();
        let footprint = |role| open(&model).unwrap().footprint(role, DeviceKind::Cpu, DType::F32).unwrap();
        let before = [Role::Vae, Role::DitHigh].map(footprint);
        put(FITS, &model.join("taew2_1.safetensors"));
        let after = [Role::Vae, Role::DitHigh].map(footprint);
        let bytes = fs::metadata(golden(FITS)).unwrap().len();
        let more = after[0].weights - before[0].weights;
        // Stored as f16, held as f32.
        assert!(more > 2 * bytes - 40_000 && more < 2 * bytes, "{more} of {bytes}");
        assert_eq!(after[1], before[1]);
    }

    #[test]
    fn a_machine_that_only_decodes_may_have_one() {
        let shelf = tempfile::tempdir().unwrap();
        let model = shelf.path().join("cat");
        put("repo_t2v_from_prompt/official_repo/Wan2.1_VAE.pth", &model.join("Wan2.1_VAE.pth"));
        put(FITS, &model.join("taew2_1.safetensors"));
        assert_eq!(detect(&model).unwrap().arrangement, Arrangement::Official);
    }
}
