//! What an undisturbed render would give: every tensor is a digest of what it was made from, so that any result made
//! from wrong, stale or missing inputs differs from the reference. Devices of different kinds round differently: the same
//! result of another kind is another tensor that means the same.

use wanfarm_scheduler::{JobPlan, SizeClass, TextKey, VideoPlan};
use wanfarm_types::{Checkpoint, DType, Digest, JobId, Stage, StepRange, TensorRef, VideoId};

/// Mixes numbers into a digest (FNV-1a); good enough to tell results apart.
pub(crate) fn digest(parts: &[u64]) -> Digest {
    let mut state = 0xcbf2_9ce4_8422_2325_u64;
    for byte in parts.iter().flat_map(|part| part.to_le_bytes()) {
        state = (state ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    }
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&state.to_le_bytes());
    Digest(bytes)
}

pub(crate) fn tensor(parts: &[u64]) -> TensorRef {
    TensorRef { digest: digest(parts), dtype: DType::F32, shape: vec![1] }
}

fn number(tensor: &TensorRef) -> u64 {
    u64::from_le_bytes(tensor.digest.0[..8].try_into().expect("eight bytes"))
}

/// The tensor as a device of this kind would make it.
pub(crate) fn rounded(mut tensor: TensorRef, kind: u8) -> TensorRef {
    tensor.digest.0[8] = kind;
    tensor
}

/// The tensor with numbers in it that nothing can be computed with, if so.
pub(crate) fn ruined(mut tensor: TensorRef, ruins: bool) -> TensorRef {
    tensor.digest.0[9] = ruins.into();
    tensor
}

/// True when something can be computed with what the tensor of this digest holds.
pub(crate) fn is_sound(digest: &Digest) -> bool {
    digest.0[9] == 0
}

/// True for tensors that differ in rounding only.
pub(crate) fn is_about(a: &TensorRef, b: &TensorRef) -> bool {
    number(a) == number(b)
}

pub(crate) fn text(key: TextKey) -> TensorRef {
    tensor(&[1, u64::from_le_bytes(key.0.0[..8].try_into().expect("eight bytes"))])
}

/// A first frame, encoded: a file of the manifest, or a frame of each of these videos.
pub(crate) fn image(video: VideoId, starts: &[TensorRef]) -> Vec<TensorRef> {
    let mut parts = vec![2, video.job.0, u64::from(video.index)];
    parts.extend(starts.iter().map(number));
    vec![tensor(&parts)]
}

/// The frames that a video starts from: those of the videos that it comes after.
pub(crate) fn starts(video: VideoId, job: &JobPlan) -> Vec<TensorRef> {
    job.videos[video.index as usize].after.iter().map(|&index| render(VideoId { index, ..video }, job)).collect()
}

/// One step on from `from`, given text and image.
pub(crate) fn step(video: VideoId, from: Option<&Checkpoint>, text: &[TensorRef], image: &[TensorRef]) -> Checkpoint {
    let steps_done = from.map_or(0, |from| from.steps_done) + 1;
    let mut parts = vec![3, video.job.0, u64::from(video.index), u64::from(steps_done)];
    parts.extend(from.iter().flat_map(|from| from.tensors.iter().map(number)));
    parts.extend(text.iter().chain(image).map(number));
    let latents = tensor(&parts);
    parts[0] = 4;
    Checkpoint { steps_done, tensors: vec![latents, tensor(&parts)] }
}

pub(crate) fn frames(state: &Checkpoint) -> TensorRef {
    let mut parts = vec![5];
    parts.extend(state.tensors.iter().map(number));
    tensor(&parts)
}

/// The frames of an undisturbed render.
pub(crate) fn render(id: VideoId, job: &JobPlan) -> TensorRef {
    let plan = &job.videos[id.index as usize];
    let texts: Vec<TensorRef> = plan.texts.iter().map(|&key| text(key)).collect();
    let image = if plan.has_image { image(id, &starts(id, job)) } else { Vec::new() };
    let mut state = None;
    for _ in 0..plan.total_steps() {
        state = Some(step(id, state.as_ref(), &texts, &image));
    }
    frames(&state.expect("a plan has steps"))
}

/// Tokens of a video; a step takes as long as it has tokens.
pub(crate) fn size(index: u32) -> u64 {
    if index % 4 == 3 { 2048 } else { 1024 }
}

/// Tokens of a video that a step cache keeps something of.
pub(crate) fn kept(index: u32) -> u64 {
    if index % 7 == 5 { size(index) } else { 0 }
}

/// Lets each of these videos but the first start from a frame of the one before it in this list.
pub(crate) fn chain(job: &mut JobPlan, videos: &[u32]) {
    for link in videos.windows(2) {
        job.videos[link[0] as usize].name = format!("shot-{}", link[0]);
        let follower = &mut job.videos[link[1] as usize];
        (follower.after, follower.has_image) = (vec![link[0]], true);
    }
}

/// A job of a two-expert model with `videos` videos that share a negative prompt and some of their prompts.
pub(crate) fn job(id: u64, priority: i32, model: &str, videos: u32, high: u32, total: u32) -> JobPlan {
    let key = |n: u64| TextKey(digest(&[model.len() as u64, n]));
    let range = |stage, first, end| (stage, StepRange { first, end });
    let video = |index: u32| VideoPlan {
        texts: if index % 5 == 4 { vec![key(100)] } else { vec![key(u64::from(index) / 2), key(999)] },
        has_image: index % 3 == 1,
        stages: match (model, high) {
            ("single", _) => vec![range(Stage::Denoise, 0, total)],
            (_, 0) => vec![range(Stage::DenoiseLow, 0, total)],
            _ => vec![range(Stage::DenoiseHigh, 0, high), range(Stage::DenoiseLow, high, total)],
        },
        size: SizeClass(size(index)),
        encode: None,
        decode: None,
        frame: size(index) / 4,
        kept: kept(index),
        work: Vec::new(),
        after: Vec::new(),
        name: String::new(),
    };
    JobPlan {
        id: JobId(id),
        priority,
        model: model.into(),
        early_look: false,
        videos: (0..videos).map(video).collect(),
    }
}
