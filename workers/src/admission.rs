//! Whether an assignment can be computed here at all: model, role, size, steps, and the form of every input. Checked
//! before a byte is fetched, so the size of what follows is bounded by the geometry. Bytes and values are not looked at.

use wanfarm_proto::tensors::MAX_TENSOR_BYTES;
use wanfarm_sampling::{Schedule, forms};
use wanfarm_types::{
    Assignment, DType, Decoder, Experts, Failure, Geometry, LoraRef, MAX_CLIP_BYTES, ServedModel, Stage, TinyVae,
};

/// Bytes of an image file; what the coordinator accepts.
const MAX_IMAGE_BYTES: u64 = 32 << 20;
/// LoRA files of a video; more are a mistake.
const MAX_LORAS: usize = 16;

/// Checks an assignment against what is served.
///
/// # Errors
/// A deterministic failure: the assignment contradicts itself or the model, or this worker.
pub(crate) fn check(served: &[ServedModel], assignment: &Assignment) -> Result<(), Failure> {
    let stage = assignment.item.stage;
    let refuse = |why: String| Err(Failure::deterministic(format!("{stage}: {why}")));
    match (faults(served, assignment), lacking(served, assignment)) {
        (None, None) => Ok(()),
        (Some(why), _) => refuse(why),
        (None, Some(why)) => Err(Failure::transient(format!("{stage}: {why}"))),
    }
}

/// What another worker may well have: the tiny autoencoder that a video is decoded with.
fn lacking(served: &[ServedModel], assignment: &Assignment) -> Option<String> {
    let Assignment { item, spec, .. } = assignment;
    let Decoder::Tiny(wanted) = spec.decode else { return None };
    let model = served.iter().find(|served| served.info.name == spec.model)?;
    let why = match &model.info.tiny_vae {
        _ if item.stage != Stage::Decode => return None,
        Some(TinyVae::Here { blake3, .. }) if *blake3 == wanted => return None,
        Some(TinyVae::Here { file, .. }) => format!("{file} is another file"),
        Some(TinyVae::Unfit(why)) => why.clone(),
        None => "there is none".to_owned(),
    };
    let name = TinyVae::wanted(model.info.vae);
    Some(format!(
        "this worker has not the tiny VAE {wanted} of {}: {why}; put the {name} of the other machines into vae_approx/ in the \
         model's folder and start this worker again",
        spec.model
    ))
}

fn faults(served: &[ServedModel], assignment: &Assignment) -> Option<String> {
    if let Err(error) = assignment.check() {
        return Some(error.to_string());
    }
    let Assignment { item, spec, .. } = assignment;
    let Some(model) = served.iter().find(|served| served.info.name == spec.model) else {
        return Some(format!("this worker does not serve the model {}", spec.model));
    };
    let role = item.stage.role();
    if !model.roles.iter().any(|served| served.role == role) {
        return Some(format!("this worker does not serve {role} of {}", spec.model));
    }
    let geometry = &model.info.geometry;
    let wrong = geometry.check(spec.width, spec.height, spec.frames);
    if !wrong.is_empty() {
        return Some(wrong.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "));
    }
    match spec.image {
        Some(_) if !model.info.takes_image => {
            return Some(format!("the model {} renders from text only; leave the image out", spec.model));
        }
        None if model.info.needs_image => {
            return Some(format!("the model {} renders from a first frame; give the video an image", spec.model));
        }
        None if spec.last_image.is_some() => {
            return Some("the video has a last frame and no first; give it an image as well".to_owned());
        }
        _ if spec.last_image.is_some() && !model.info.takes_last_image() => {
            return Some(format!("the model {} takes no last frame; leave last_image out", spec.model));
        }
        _ => {}
    }
    if let Some(fault) = spec.overlap_fault(geometry) {
        return Some(fault.to_string());
    }
    let latents = geometry.latent_shape(spec.width, spec.height, spec.frames).map(|dim| dim as u64);
    let frames = [spec.frames, spec.height, spec.width, 3].map(u64::from);
    let bytes = latents.iter().product::<u64>().saturating_mul(4).max(frames.iter().product());
    if bytes > MAX_TENSOR_BYTES {
        return Some(format!("its latents or frames take {bytes} bytes; at most {MAX_TENSOR_BYTES} are moved at once"));
    }
    match item.stage {
        Stage::EncodeText => None,
        Stage::EncodeImage => files(assignment),
        Stage::DenoiseHigh | Stage::DenoiseLow | Stage::Denoise => steps(assignment, model.info.experts)
            .or_else(|| spec.cache.check().err().map(|error| error.to_string()))
            .or_else(|| spec.nag.and_then(|nag| nag.check().err()).map(|error| error.to_string()))
            .or_else(|| loras(&spec.loras))
            .or_else(|| contexts(assignment))
            .or_else(|| {
                let checked = forms::check_encoded(spec, &model.info, item.steps.first == 0, &assignment.inputs.image);
                checked.err().map(|misfit| misfit.to_string())
            })
            .or_else(|| state(assignment, geometry)),
        Stage::Decode => match &assignment.inputs.checkpoint {
            None => Some("there are no latents to decode".to_owned()),
            Some(checkpoint) if checkpoint.steps_done != spec.steps_run() => Some(format!(
                "the state after {} of {} steps is not to be decoded",
                checkpoint.steps_done,
                spec.steps_run()
            )),
            Some(checkpoint) => {
                forms::check_latents(spec, geometry, &checkpoint.tensors).err().map(|misfit| misfit.to_string())
            }
        },
    }
}

/// The range must be that of the expert, on the video's schedule.
fn steps(assignment: &Assignment, experts: Experts) -> Option<String> {
    let Assignment { item, spec, .. } = assignment;
    let schedule = match Schedule::of(spec) {
        Ok(schedule) => schedule,
        Err(error) => return Some(error.to_string()),
    };
    let Some(of_expert) = item.stage.expert().and_then(|expert| schedule.steps_of(expert, experts)) else {
        return Some(format!("the model {} has no such stage", spec.model));
    };
    let (first, end) = (item.steps.first, item.steps.end);
    let inside = first < end && of_expert.contains(&first) && end <= of_expert.end;
    (!inside).then(|| format!("steps {first}..{end} are not among its steps {}..{}", of_expert.start, of_expert.end))
}

fn contexts(assignment: &Assignment) -> Option<String> {
    let expert = assignment.item.stage.expert()?;
    let scale = assignment.spec.guidance.of(expert);
    if !scale.is_finite() {
        return Some(format!("the guidance {scale} is no number to scale with"));
    }
    let needed = if assignment.spec.has_negative(expert) { 2 } else { 1 };
    let texts = &assignment.inputs.text;
    if texts.len() < needed || texts.len() > 2 {
        let nag = if assignment.spec.nag.is_some() { " with nag" } else { "" };
        return Some(format!("{} text contexts where guidance {scale}{nag} needs {needed}", texts.len()));
    }
    texts.iter().find_map(|text| forms::check_context(text).err()).map(|misfit| misfit.to_string())
}

fn files(assignment: &Assignment) -> Option<String> {
    let spec = &assignment.spec;
    // Several frames come as a clip.
    let first = if spec.overlap > 1 { ("clip to carry on from", MAX_CLIP_BYTES) } else { ("image", MAX_IMAGE_BYTES) };
    let images = spec.image.map(|_| first).into_iter().chain(spec.last_image.map(|_| ("image", MAX_IMAGE_BYTES)));
    let wanted: Vec<_> = images.chain(spec.video.map(|_| ("clip", MAX_CLIP_BYTES))).collect();
    if wanted.is_empty() {
        return Some("the video has no image and no clip to encode".to_owned());
    }
    let files = &assignment.inputs.image;
    if files.len() != wanted.len() {
        let what = if spec.video.is_some() { "files" } else { "image files" };
        return Some(format!("{} {what} where there must be {}", files.len(), wanted.len()));
    }
    files.iter().zip(wanted).find_map(|(file, (what, most))| {
        let fits = file.dtype == DType::U8 && matches!(file.shape[..], [bytes] if (1..=most).contains(&bytes));
        let why =
            || format!("{:?} of {:?} is no {what} file; those are [bytes ≤ {most}] of U8", file.shape, file.dtype);
        (!fits).then(why)
    })
}

/// The state must be the one before the first step.
fn state(assignment: &Assignment, geometry: &Geometry) -> Option<String> {
    let Assignment { item, spec, inputs, .. } = assignment;
    let first = item.steps.first;
    match &inputs.checkpoint {
        None if first == 0 => None,
        None => Some(format!("there is no state to start step {first} from")),
        Some(checkpoint) if checkpoint.steps_done != first => {
            Some(format!("the state after {} steps is not where step {first} starts", checkpoint.steps_done))
        }
        Some(checkpoint) => forms::check_state(spec, geometry, checkpoint).err().map(|misfit| misfit.to_string()),
    }
}

fn loras(loras: &[LoraRef]) -> Option<String> {
    if loras.len() > MAX_LORAS {
        return Some(format!("{} LoRA files; at most {MAX_LORAS} are added", loras.len()));
    }
    let wrong = loras.iter().find(|lora| !lora.strength.is_finite())?;
    Some(format!("the strength {} of the LoRA {} is no number to scale with", wrong.strength, wrong.name))
}

#[cfg(test)]
mod tests {
    use wanfarm_types::{
        CacheSettings, Checkpoint, Digest, FailureKind, Guidance, ImageSource, MagCache, MagCurve, Nag, Role, SenCache,
        SolverKind, StepRange, TensorRef, VaeKind,
    };

    use super::*;
    use crate::tests::fixtures::{self, assignment, served};

    fn dual() -> Vec<ServedModel> {
        let mut model = served();
        model.info.experts = Experts::Dual { boundary: 0.875 };
        model.roles = [Role::DitHigh, Role::DitLow].map(fixtures::role).to_vec();
        vec![model]
    }

    fn tensor(shape: &[u64]) -> TensorRef {
        TensorRef { digest: Digest([7; 32]), dtype: DType::F32, shape: shape.to_vec() }
    }

    fn checkpoint(steps_done: u32, count: usize) -> Option<Checkpoint> {
        Some(Checkpoint { steps_done, tensors: vec![tensor(&[16, 1, 8, 8]); count] })
    }

    fn refused(served: &[ServedModel], change: impl FnOnce(&mut Assignment)) -> String {
        let mut assignment = assignment(1);
        assert_eq!(check(&[self::served()], &assignment), Ok(()));
        change(&mut assignment);
        let failure = check(served, &assignment).unwrap_err();
        assert_eq!(failure.kind, FailureKind::Deterministic);
        failure.message
    }

    #[test]
    fn model_role_and_size() {
        let single = [served()];
        assert!(refused(&single, |a| a.spec.model = "other".into()).contains("does not serve the model other"));
        assert!(refused(&single, |a| a.item.stage = Stage::Decode).contains("does not serve vae"));
        assert!(refused(&single, |a| a.spec.width = 65).contains("width = 65"));
        assert!(refused(&dual(), |_| ()).contains("does not serve dit of"));
    }

    /// A model that takes a first frame, or needs one, and an assignment of one of its videos that has one.
    fn with_image(needed: bool) -> (Vec<ServedModel>, Assignment) {
        let (mut model, mut assignment) = (served(), assignment(1));
        (model.info.takes_image, model.info.needs_image) = (true, needed);
        model.roles.push(fixtures::role(Role::Vae));
        assignment.spec.image = Some(ImageSource::File(Digest([3; 32])));
        assignment.inputs.image = vec![tensor(&[20, 1, 8, 8])];
        (vec![model], assignment)
    }

    #[test]
    fn an_image_is_for_models_that_take_one_and_there_for_those_that_need_it() {
        assert!(
            refused(&[served()], |a| a.spec.image = Some(ImageSource::File(Digest([3; 32]))))
                .contains("from text only")
        );
        let (needing, _) = with_image(true);
        assert!(refused(&needing, |_| ()).contains("give the video an image"));
        let (mut taking, mut good) = with_image(false);
        assert_eq!(check(&taking, &assignment(1)), Ok(()));
        assert_eq!(check(&taking, &good), Ok(()));
        let last = Some(ImageSource::File(Digest([4; 32])));
        assert!(refused(&taking, |a| a.spec.last_image = last).contains("a last frame and no first"));
        good.spec.last_image = last;
        assert_eq!(check(&taking, &good), Ok(()));
        taking[0].info.vae = VaeKind::Wan22;
        assert!(check(&taking, &good).unwrap_err().message.contains("takes no last frame"));
    }

    #[test]
    fn an_encoded_image_has_the_form_of_its_model() {
        let (mut served, good) = with_image(true);
        let message = |served: &[ServedModel], change: fn(&mut Assignment)| {
            let mut bad = good.clone();
            change(&mut bad);
            check(served, &bad).unwrap_err().message
        };
        assert!(message(&served, |a| a.inputs.image.clear()).contains("0 tensors as encoded first frame"));
        assert!(message(&served, |a| a.inputs.image.push(tensor(&[20, 1, 8, 8]))).contains("2 tensors"));
        assert!(message(&served, |a| a.inputs.image[0].dtype = DType::U8).contains("U8"));
        assert!(message(&served, |a| a.inputs.image = vec![tensor(&[16, 1, 8, 8])]).contains("[16, 1, 8, 8]"));
        served[0].info.vae = VaeKind::Wan22;
        assert!(message(&served, |_| ()).contains("which are [16, 1, 8, 8]"));
        // Without an image the video has none to condition on.
        (served[0].info.needs_image, served[0].info.vae) = (false, VaeKind::Wan21);
        assert!(message(&served, |a| a.spec.image = None).contains("1 tensors"));
    }

    #[test]
    fn an_image_file_is_one_row_of_bytes() {
        let (served, mut good) = with_image(true);
        good.item.stage = Stage::EncodeImage;
        good.inputs.image = vec![TensorRef { dtype: DType::U8, ..tensor(&[1 << 20]) }];
        assert_eq!(check(&served, &good), Ok(()));
        let message = |change: fn(&mut Assignment)| {
            let mut bad = good.clone();
            change(&mut bad);
            check(&served, &bad).unwrap_err().message
        };
        assert!(message(|a| a.inputs.image.clear()).contains("0 image files"));
        assert!(message(|a| a.inputs.image.push(tensor(&[4]))).contains("2 image files"));
        assert!(
            message(|a| a.spec.last_image = Some(ImageSource::File(Digest([4; 32]))))
                .contains("1 image files where there must be 2")
        );
        assert!(message(|a| a.inputs.image[0].dtype = DType::F32).contains("F32"));
        assert!(message(|a| a.inputs.image[0].shape = vec![0]).contains("[0]"));
        assert!(message(|a| a.inputs.image[0].shape = vec![(32 << 20) + 1]).contains("no image file"));
        assert!(message(|a| a.inputs.image[0].shape = vec![8, 8, 3]).contains("[8, 8, 3]"));
    }

    #[test]
    fn steps_must_be_those_of_the_expert() {
        let single = [served()];
        assert!(refused(&single, |a| a.item.steps = StepRange { first: 0, end: 5 }).contains("0..5"));
        assert!(refused(&single, |a| a.item.steps = StepRange { first: 2, end: 2 }).contains("2..2"));
        assert!(refused(&single, |a| a.spec.steps = 0).contains("steps = 0"));
        assert!(refused(&single, |a| a.spec.shift = f64::NAN).contains("shift"));
        // T2V-A14B: 26 of 40 steps are the high expert's.
        let range = |stage, first, end| {
            let mut a = assignment(1);
            a.item.stage = stage;
            a.item.steps = StepRange { first, end };
            (a.spec.steps, a.spec.shift) = (40, 12.0);
            a.inputs.checkpoint = if first == 0 { None } else { checkpoint(first, 4) };
            check(&dual(), &a)
        };
        assert_eq!(range(Stage::DenoiseHigh, 0, 26), Ok(()));
        assert_eq!(range(Stage::DenoiseLow, 26, 40), Ok(()));
        assert!(range(Stage::DenoiseHigh, 25, 27).is_err());
        assert!(range(Stage::DenoiseLow, 25, 40).is_err());
        assert!(range(Stage::DenoiseLow, 26, 41).is_err());
    }

    #[test]
    fn a_step_cache_has_its_settings_and_keeps_no_more_than_it_may() {
        let single = [served()];
        let with = |cache: CacheSettings, extra: &[&[u64]]| {
            let mut a = assignment(1);
            a.spec.cache = cache;
            a.item.steps = StepRange { first: 2, end: 4 };
            a.inputs.checkpoint = checkpoint(2, 4);
            let kept = extra.iter().map(|shape| tensor(shape));
            a.inputs.checkpoint.iter_mut().for_each(|state| state.tensors.extend(kept.clone()));
            check(&single, &a).map_err(|failure| failure.message)
        };
        let (magcache, latents) =
            (|| CacheSettings::Magcache(MagCache::published(MagCurve::T2vA14b)), &[16, 1, 8, 8][..]);
        assert_eq!(with(magcache(), &[]), Ok(()));
        assert_eq!(with(magcache(), &[latents, latents]), Ok(()));
        assert!(with(magcache(), &[latents; 3]).unwrap_err().contains("which keeps 2"));
        assert!(with(magcache(), &[&[16, 1, 8, 9]]).unwrap_err().contains("[16, 1, 8, 9]"));
        assert!(with(CacheSettings::None, &[latents]).unwrap_err().contains("5 tensors"));
        assert_eq!(with(CacheSettings::Sencache(SenCache::default()), &[latents, latents, &[2]]), Ok(()));
        let impossible = MagCache { retention: 2.0, ..MagCache::published(MagCurve::T2vA14b) };
        assert!(with(CacheSettings::Magcache(impossible), &[]).unwrap_err().contains("retention = 2"));
    }

    #[test]
    fn the_state_must_be_the_one_before_the_first_step() {
        let single = [served()];
        let from = |steps_done: u32, count: usize| {
            move |a: &mut Assignment| {
                a.spec.solver = SolverKind::UniPc;
                a.item.steps = StepRange { first: 2, end: 4 };
                a.inputs.checkpoint = checkpoint(steps_done, count);
            }
        };
        let mut good = assignment(1);
        from(2, 4)(&mut good);
        assert_eq!(check(&single, &good), Ok(()));
        assert!(refused(&single, from(1, 4)).contains("not where step 2 starts"));
        assert!(refused(&single, from(2, 3)).contains("3 tensors"));
        assert!(refused(&single, |a| a.item.steps = StepRange { first: 2, end: 4 }).contains("no state"));
        let lie = |a: &mut Assignment| {
            from(2, 4)(a);
            a.inputs.checkpoint.as_mut().unwrap().tensors[3].shape = vec![16, 1, 8, 9];
        };
        assert!(refused(&single, lie).contains("[16, 1, 8, 9]"));
    }

    #[test]
    fn guidance_decides_how_many_contexts_there_are() {
        let single = [served()];
        let one = |scale: f64| {
            move |a: &mut Assignment| {
                a.spec.guidance = Guidance { high: 9.0, low: scale };
                a.inputs.text.truncate(1);
            }
        };
        let mut good = assignment(1);
        one(1.0)(&mut good);
        assert_eq!(check(&single, &good), Ok(()));
        assert!(refused(&single, one(3.0)).contains("1 text contexts where guidance 3 needs 2"));
        let nag = |a: &mut Assignment| {
            one(1.0)(a);
            a.spec.nag = Some(Nag::default());
        };
        assert!(refused(&single, nag).contains("1 text contexts where guidance 1 with nag needs 2"));
        let endless = |a: &mut Assignment| a.spec.nag = Some(Nag { scale: f64::INFINITY, ..Nag::default() });
        assert!(refused(&single, endless).contains("scale = inf of nag"));
        assert!(refused(&single, |a| a.spec.guidance.low = f64::INFINITY).contains("guidance"));
        assert!(refused(&single, |a| a.inputs.text[1].shape = vec![513, 8]).contains("[513, 8]"));
        assert!(refused(&single, |a| a.inputs.text[0].dtype = DType::U8).contains("U8"));
    }

    #[test]
    fn only_finished_latents_are_decoded() {
        let mut vae = served();
        vae.roles = vec![fixtures::role(Role::Vae)];
        let decode = |inputs: Option<Checkpoint>| {
            let mut a = assignment(1);
            a.item.stage = Stage::Decode;
            a.inputs.checkpoint = inputs;
            check(std::slice::from_ref(&vae), &a)
        };
        assert_eq!(decode(checkpoint(4, 1)), Ok(()));
        assert!(decode(checkpoint(4, 2)).is_err());
        assert!(decode(checkpoint(3, 1)).is_err());
        assert!(decode(None).is_err());
    }

    #[test]
    fn a_tiny_autoencoder_that_is_not_here_is_left_to_other_workers() {
        let mut vae = served();
        vae.roles = vec![fixtures::role(Role::Vae)];
        let mut a = assignment(1);
        a.item.stage = Stage::Decode;
        a.inputs.checkpoint = checkpoint(4, 1);
        a.spec.decode = Decoder::Tiny(Digest([7; 32]));
        for (tiny, says) in [
            (None, "there is none"),
            (Some(TinyVae::Unfit("x has 48 channels".into())), "x has 48 channels"),
            (Some(TinyVae::Here { file: "y".into(), blake3: Digest([8; 32]) }), "y is another file"),
        ] {
            vae.info.tiny_vae = tiny;
            let failure = check(std::slice::from_ref(&vae), &a).unwrap_err();
            assert_eq!(failure.kind, FailureKind::Transient);
            assert!(failure.message.contains(says) && failure.message.contains("taew2_1"), "{failure}");
        }
        vae.info.tiny_vae = Some(TinyVae::Here { file: "y".into(), blake3: Digest([7; 32]) });
        assert_eq!(check(&[vae], &a), Ok(()));
    }
}
