//! The form of the tensors that a video is passed on in: how many there are at a stage, of which shape and type. It follows
//! from the video's settings and the model's geometry, so that whoever is told of a tensor knows before a byte moves whether
//! it can be one. Deliberately not here: values.

use wanfarm_types::{
    CacheSettings, Checkpoint, DType, Geometry, ItemOutputs, ModelInfo, TensorRef, VaeKind, VideoSpec,
};

use crate::history_len;

/// Tokens of a text; rows of a context.
const MAX_TOKENS: u64 = 512;
/// Columns of a context; the largest text encoder has 4096.
const MAX_COLUMNS: u64 = 1 << 16;
/// Channels of the mask that stands before an image's own.
const MASK_CHANNELS: u64 = 4;

/// A tensor, or a number of them, that cannot be what it is passed on as.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Misfit(String);

/// What an item of this video made.
///
/// # Errors
/// It is not the result of such an item.
pub fn check_outputs(spec: &VideoSpec, info: &ModelInfo, outputs: &ItemOutputs) -> Result<(), Misfit> {
    match outputs {
        ItemOutputs::Text(context) => check_context(context),
        ItemOutputs::Image(encoded) => check_encoded(spec, info, true, encoded),
        ItemOutputs::Checkpoint(state) => check_state(spec, &info.geometry, state),
        ItemOutputs::Frames(frames) => {
            let shape = [spec.frames, spec.height, spec.width, 3].map(u64::from);
            let fits = frames.dtype == DType::U8 && frames.shape == shape;
            fits.then_some(()).ok_or_else(|| {
                Misfit(format!("{:?} of {:?} as frames, which are {shape:?} of U8", frames.shape, frames.dtype))
            })
        }
    }
}

/// An encoded text.
///
/// # Errors
/// It has no or too many rows or columns, or is of another type.
pub fn check_context(text: &TensorRef) -> Result<(), Misfit> {
    let fits = text.dtype == DType::F32
        && matches!(text.shape[..], [rows, columns] if (1..=MAX_TOKENS).contains(&rows) && (1..=MAX_COLUMNS).contains(&columns));
    fits.then_some(()).ok_or_else(|| {
        Misfit(format!(
            "{:?} of {:?} is no text context; those are [tokens ≤ {MAX_TOKENS}, columns] of F32",
            text.shape, text.dtype
        ))
    })
}

/// What known frames and a clip became when they were encoded: channels for the whole video, or its first latent frames; and the
/// latents of the clip, which only the first step reads (`from_the_start`).
///
/// # Errors
/// Another number of tensors, or other ones.
pub fn check_encoded(
    spec: &VideoSpec,
    info: &ModelInfo,
    from_the_start: bool,
    encoded: &[TensorRef],
) -> Result<(), Misfit> {
    let latents = latents(spec, &info.geometry);
    let [channels, frames, height, width] = latents;
    let [_, known, ..] = info.geometry.latent_shape(spec.width, spec.height, spec.overlap);
    let shape = match info.vae {
        VaeKind::Wan21 => [MASK_CHANNELS + channels, frames, height, width],
        VaeKind::Wan22 => [channels, known as u64, height, width],
    };
    let image = spec.image.map(|_| ("encoded first frame", shape));
    let clip = spec.video.filter(|_| from_the_start).map(|_| ("latents of the clip", latents));
    let wanted: Vec<_> = image.into_iter().chain(clip).collect();
    if encoded.len() != wanted.len() {
        let what = wanted.first().map_or("encoded first frame", |(what, _)| what);
        return Err(Misfit(format!("{} tensors as {what} where there must be {}", encoded.len(), wanted.len())));
    }
    encoded.iter().zip(wanted).try_for_each(|(one, (what, shape))| check(std::slice::from_ref(one), 1, &shape, what))
}

/// The state of a video between two steps: its latents, what the solver remembers, what the step cache keeps.
///
/// # Errors
/// Another number of tensors, or other ones.
pub fn check_state(spec: &VideoSpec, geometry: &Geometry, state: &Checkpoint) -> Result<(), Misfit> {
    let latents = latents(spec, geometry);
    let own = 1 + history_len(spec.solver, state.steps_done, spec.steps_run());
    let split = if spec.cache.is_none() { state.tensors.len() } else { own.min(state.tensors.len()) };
    let (of_solver, of_cache) = state.tensors.split_at(split);
    check(of_solver, own, &latents, "latents and solver history")?;
    check_cached(of_cache, &spec.cache, &latents)
}

/// The latents alone, after the last step.
///
/// # Errors
/// Another number of tensors, or other ones.
pub fn check_latents(spec: &VideoSpec, geometry: &Geometry, tensors: &[TensorRef]) -> Result<(), Misfit> {
    check(tensors, 1, &latents(spec, geometry), "latents")
}

fn latents(spec: &VideoSpec, geometry: &Geometry) -> [u64; 4] {
    geometry.latent_shape(spec.width, spec.height, spec.frames).map(|side| side as u64)
}

/// What a step cache keeps depends on weights that are not read yet: here it is bounded, and the cache knows the rest.
fn check_cached(tensors: &[TensorRef], cache: &CacheSettings, latents: &[u64]) -> Result<(), Misfit> {
    let most = match cache {
        CacheSettings::None => 0,
        CacheSettings::CfgCache(_) => 1,
        CacheSettings::Magcache(_) | CacheSettings::Teacache(_) => 2,
        CacheSettings::Sencache(_) => 3,
    };
    let known = |tensor: &&TensorRef| tensor.dtype == DType::F32 && (tensor.shape == latents || tensor.shape == [2]);
    match tensors.iter().find(|tensor| !known(tensor)) {
        Some(tensor) => Err(Misfit(format!("a step cache keeps nothing of the shape {:?}", tensor.shape))),
        None if tensors.len() > most => {
            let (count, name) = (tensors.len(), cache.name());
            Err(Misfit(format!("{count} tensors of the step cache {name}, which keeps {most}")))
        }
        None => Ok(()),
    }
}

fn check(tensors: &[TensorRef], count: usize, shape: &[u64], what: &str) -> Result<(), Misfit> {
    if tensors.len() != count {
        return Err(Misfit(format!("{} tensors as {what} where there must be {count}", tensors.len())));
    }
    match tensors.iter().find(|tensor| tensor.dtype != DType::F32 || tensor.shape != shape) {
        Some(tensor) => {
            Err(Misfit(format!("{:?} of {:?} as {what}, which are {shape:?} of F32", tensor.shape, tensor.dtype)))
        }
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wanfarm_types::fixtures::{info, request};
    use wanfarm_types::{CfgCache, ClipSource, Digest, Experts, ImageSource, SolverKind};

    fn tensor(dtype: DType, shape: &[u64]) -> TensorRef {
        TensorRef { digest: Digest([7; 32]), dtype, shape: shape.to_vec() }
    }

    /// A video of 64 by 32 pixels and 9 frames: latents of 16 channels, 3 frames, 4 rows and 8 columns.
    fn video() -> (VideoSpec, ModelInfo) {
        let info = info(Experts::Single);
        let spec = VideoSpec { width: 64, height: 32, frames: 9, steps: 8, ..request().resolve(&info).unwrap() };
        (VideoSpec { solver: SolverKind::UniPc, ..spec }, info)
    }

    const LATENTS: [u64; 4] = [16, 3, 4, 8];

    fn told(spec: &VideoSpec, info: &ModelInfo, outputs: ItemOutputs) -> String {
        check_outputs(spec, info, &outputs).map_or_else(|misfit| misfit.to_string(), |()| String::new())
    }

    #[test]
    fn a_state_has_what_its_solver_remembers() {
        let (spec, info) = video();
        let state = |steps_done, count| Checkpoint { steps_done, tensors: vec![tensor(DType::F32, &LATENTS); count] };
        let told = |state| told(&spec, &info, ItemOutputs::Checkpoint(state));
        for steps_done in 1..=8 {
            let count = 1 + history_len(spec.solver, steps_done, 8);
            assert_eq!(told(state(steps_done, count)), "", "after step {steps_done}");
            for wrong in [0, count - 1, count + 1] {
                assert!(told(state(steps_done, wrong)).contains("where there must be"), "{wrong} of {count}");
            }
        }
        for wrong in [tensor(DType::U8, &LATENTS), tensor(DType::F32, &[16, 3, 8, 4]), tensor(DType::F32, &[])] {
            let mut state = state(8, 1 + history_len(spec.solver, 8, 8));
            state.tensors[0] = wrong;
            assert!(told(state).contains("which are [16, 3, 4, 8] of F32"));
        }
    }

    #[test]
    fn a_step_cache_keeps_no_more_than_it_has() {
        let (spec, info) = video();
        let spec = VideoSpec { cache: CacheSettings::CfgCache(CfgCache::default()), solver: SolverKind::Euler, ..spec };
        let state = |tensors| Checkpoint { steps_done: 3, tensors };
        let own = 1 + history_len(spec.solver, 3, 8);
        let with = |shapes: &[&[u64]]| {
            let cached = shapes.iter().map(|shape| tensor(DType::F32, shape));
            let own = vec![tensor(DType::F32, &LATENTS); own];
            told(&spec, &info, ItemOutputs::Checkpoint(state(own.into_iter().chain(cached).collect())))
        };
        assert_eq!([with(&[]), with(&[&LATENTS])], ["", ""]);
        assert!(with(&[&LATENTS, &LATENTS]).contains("which keeps 1"));
        assert!(with(&[&[1 << 40]]).contains("keeps nothing of the shape"));
    }

    #[test]
    fn what_is_encoded_is_of_the_video() {
        let (plain, wan21) = video();
        let wan22 = ModelInfo { vae: VaeKind::Wan22, ..wan21.clone() };
        let image = VideoSpec { image: Some(ImageSource::File(Digest([1; 32]))), ..plain.clone() };
        let five = VideoSpec { overlap: 5, ..image.clone() };
        let both = VideoSpec { video: Some(ClipSource::File(Digest([2; 32]))), ..image.clone() };
        let made =
            |shapes: &[[u64; 4]]| ItemOutputs::Image(shapes.iter().map(|shape| tensor(DType::F32, shape)).collect());
        let (y, known, two) = ([20, 3, 4, 8], [16, 1, 4, 8], [16, 2, 4, 8]);
        assert_eq!(told(&image, &wan21, made(&[y])), "");
        assert_eq!(told(&image, &wan22, made(&[known])), "");
        assert_eq!(told(&five, &wan22, made(&[two])), "");
        assert_eq!(told(&both, &wan22, made(&[known, LATENTS])), "");
        for (spec, info, wrong) in [
            (&image, &wan21, made(&[known])),
            (&image, &wan22, made(&[two])),
            (&image, &wan22, made(&[known, LATENTS])),
            (&both, &wan22, made(&[known])),
            (&plain, &wan21, made(&[y])),
        ] {
            assert_ne!(told(spec, info, wrong), "");
        }
    }

    #[test]
    fn texts_and_frames_have_their_form() {
        let (spec, info) = video();
        let text = |shape: &[u64]| told(&spec, &info, ItemOutputs::Text(tensor(DType::F32, shape)));
        assert_eq!([text(&[1, 1]), text(&[512, 4096])], ["", ""]);
        for wrong in [&[513, 4096][..], &[0, 4096], &[7, 0], &[7, 1 << 17], &[7], &[1, 7, 7]] {
            assert!(text(wrong).contains("no text context"), "{wrong:?}");
        }
        let frames = |dtype, shape: &[u64]| told(&spec, &info, ItemOutputs::Frames(tensor(dtype, shape)));
        assert_eq!(frames(DType::U8, &[9, 32, 64, 3]), "");
        assert!(frames(DType::U8, &[3, 1 << 20, 512, 3]).contains("which are [9, 32, 64, 3] of U8"));
        assert!(frames(DType::F32, &[9, 32, 64, 3]).contains("of U8"));
    }
}
