//! A video from its prompt to its frames through the roles of a worker, against the numbers of the official code
//! (golden case `repo_t2v_from_prompt`), and what interruptions do to it.

mod clip;
mod first_frame;
mod lora;
mod residency;
mod tiny;

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use candle_core::{DType, Device, Tensor};
use wanfarm_model::ops::device::DeviceKind;
use wanfarm_sampling::history_len;
use wanfarm_types::{
    CacheSettings, CfgCache, FailureKind, Guidance, LoadProgress, MagCache, MagCurve, Nag, Role, SenCache, SolverKind,
    Stage, StepRange, TeaCache, TeaModel, VideoSpec,
};

use super::{Roles, values};
use crate::device::Resident;
use crate::models::{Catalog, Wish};
use crate::runner::{Control, HostTensor, Loading, Output, PreparedItem, RoleRunner, State};
use crate::tests::fixtures::{self, golden};

const PROMPT: &str = "  Ａ cat &amp;amp; a “dog”　walk —  on the grass，realistic\n style。 ";
const STEPS: u32 = 6;
/// Of the schedule of 6 steps with shift 12, at boundary 0.875.
const HIGH_STEPS: u32 = 4;

const WISH: Wish<'_> = Wish { only: &[], roles: &Role::ALL, device: DeviceKind::Cpu, dtype: DType::F32 };

/// A worker's device thread without the thread.
struct Bench {
    roles: Roles,
    _folders: [tempfile::TempDir; 2],
}

/// Collects what a running item reports, and interrupts it.
#[derive(Default)]
struct Observer {
    states: Vec<State>,
    forward_passes: Vec<u32>,
    text_tokens: u32,
    loads: Arc<Mutex<Vec<LoadProgress>>>,
    stop_after: Option<usize>,
    abandon_after: Option<usize>,
}

impl Control for Observer {
    fn step_done(&mut self, state: &State, forward_passes: u32) {
        self.forward_passes.push(forward_passes);
        self.states.push(state.clone());
    }

    fn text_read(&mut self, tokens: u32) {
        self.text_tokens = tokens;
    }

    fn loading(&mut self) -> Loading {
        let loads = self.loads.clone();
        Box::new(move |progress| loads.lock().unwrap().push(progress))
    }

    fn loaded(&mut self) {}

    fn should_stop_after_step(&self) -> bool {
        self.stop_after.is_some_and(|steps| self.states.len() >= steps)
    }

    fn abandoned(&self) -> bool {
        self.abandon_after.is_some_and(|steps| self.states.len() >= steps)
    }
}

impl Bench {
    fn new() -> Self {
        let models = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink(golden("repo_t2v_from_prompt/official_repo"), models.path().join("cat")).unwrap();
        Self::serving(models)
    }

    fn serving(models: tempfile::TempDir) -> Self {
        Self::holding(models, false)
    }

    fn holding(models: tempfile::TempDir, elastic: bool) -> Self {
        let data = tempfile::tempdir().unwrap();
        let catalog = Catalog::discover(&[models.path().to_owned()], WISH, data.path()).unwrap();
        let roles = Roles::open(Arc::new(catalog), DeviceKind::Cpu, DType::F32, elastic, Resident::default()).unwrap();
        Self { roles, _folders: [models, data] }
    }

    fn run(&mut self, item: &PreparedItem) -> Output {
        self.roles.run(item, &mut Observer::default()).unwrap()
    }

    fn encode(&mut self, text: &str) -> HostTensor {
        self.run(&item(Stage::EncodeText, text, 0..0)).1.remove(0)
    }

    fn contexts(&mut self) -> Vec<HostTensor> {
        vec![self.encode(PROMPT), self.encode(wanfarm_model::folder::NEGATIVE_PROMPT)]
    }
}

fn spec() -> VideoSpec {
    VideoSpec {
        model: "cat".to_owned(),
        width: 48,
        height: 32,
        frames: 5,
        steps: STEPS,
        shift: 12.0,
        seed: 980,
        solver: SolverKind::UniPc,
        guidance: Guidance { high: 4.0, low: 3.0 },
        ..fixtures::spec()
    }
}

fn item(stage: Stage, text: &str, steps: std::ops::Range<u32>) -> PreparedItem {
    let mut item = PreparedItem { spec: spec(), contexts: Vec::new(), text: text.to_owned(), ..fixtures::prepared() };
    item.item.stage = stage;
    item.item.steps = StepRange { first: steps.start, end: steps.end };
    item
}

fn high(contexts: &[HostTensor]) -> PreparedItem {
    PreparedItem { contexts: contexts.to_vec(), ..item(Stage::DenoiseHigh, "", 0..HIGH_STEPS) }
}

fn low(contexts: &[HostTensor], state: &State) -> PreparedItem {
    let low = item(Stage::DenoiseLow, "", state.steps_done..STEPS);
    PreparedItem { contexts: contexts.to_vec(), state: Some(state.clone()), ..low }
}

fn truth(case: &str) -> HashMap<String, Tensor> {
    candle_core::safetensors::load(golden(case).join("io.safetensors"), &Device::Cpu).unwrap()
}

/// ‖got − want‖ / ‖want‖.
fn distance(got: &[f32], want: &Tensor) -> f64 {
    let want = values(want).unwrap();
    assert_eq!(got.len(), want.len());
    let norm = |values: &mut dyn Iterator<Item = f64>| values.map(|value| value * value).sum::<f64>().sqrt();
    let difference = norm(&mut got.iter().zip(&want).map(|(got, want)| f64::from(got - want)));
    difference / norm(&mut want.iter().map(|want| f64::from(*want)))
}

#[test]
fn from_the_prompt_to_the_frames_as_the_official_code() {
    let (mut bench, truth) = (Bench::new(), truth("repo_t2v_from_prompt"));
    let contexts = bench.contexts();
    for (context, name) in contexts.iter().zip(["prompt.context", "negative.context"]) {
        assert_eq!(context.shape(), truth[name].dims());
        assert!(distance(&context.to_f32(), &truth[name]) < 1e-5, "{name}");
    }
    let mut observer = Observer::default();
    bench.roles.run(&high(&contexts), &mut observer).unwrap();
    let boundary = observer.states[3].clone();
    bench.roles.run(&low(&contexts, &boundary), &mut observer).unwrap();
    assert_eq!(observer.states.len(), 6);
    for (index, state) in observer.states.iter().enumerate() {
        assert_eq!(state.steps_done as usize, index + 1);
        let want = truth["latents.after_step"].get(index).unwrap();
        let distance = distance(&state.tensors[0].to_f32(), &want);
        assert!(distance < 1.3e-5, "step {index}: {distance}");
    }
    let finished = observer.states.pop().unwrap();
    assert_eq!(finished.tensors.len(), 1, "nothing is left to remember");
    let decode = PreparedItem { state: Some(finished), ..item(Stage::Decode, "", 0..0) };
    let frames = bench.run(&decode).1.remove(0);
    assert_eq!(frames.name.shape, [5, 32, 48, 3]);
    let want = truth["frames_u8"].flatten_all().unwrap().to_vec1::<u8>().unwrap();
    let off = frames.bytes.iter().zip(&want).filter(|(got, want)| got != want);
    // Truncation turns a difference in the last bit into a difference of one.
    assert!(off.clone().all(|(got, want)| got.abs_diff(*want) == 1), "frames differ by more than one");
    assert!(off.count() * 1000 < want.len(), "more than one in a thousand differs");
}

#[test]
fn stopped_at_any_step_and_resumed_elsewhere_the_bytes_are_the_same() {
    let mut bench = Bench::new();
    let contexts = bench.contexts();
    let whole = bench.run(&high(&contexts));
    for steps in 1..HIGH_STEPS {
        let mut observer = Observer { stop_after: Some(steps as usize), ..Observer::default() };
        let (_, tensors) = bench.roles.run(&high(&contexts), &mut observer).unwrap();
        assert_eq!(observer.states.len(), steps as usize);
        let mut rest = high(&contexts);
        rest.item.steps.first = steps;
        rest.state = Some(State { steps_done: steps, tensors });
        assert_eq!(Bench::new().run(&rest), whole, "after step {steps}");
    }
}

#[test]
fn a_step_cache_saves_work_and_survives_interruptions() {
    let mut bench = Bench::new();
    let contexts = bench.contexts();
    let magcache = |joint| {
        let published = MagCache::published(MagCurve::T2vA14b);
        CacheSettings::Magcache(MagCache { threshold: 1.0, retention: 0.0, joint, ..published })
    };
    let caches = [
        magcache(false),
        magcache(true),
        CacheSettings::Teacache(TeaCache { model: TeaModel::Linear, threshold: 3.0, projected: false }),
        CacheSettings::CfgCache(CfgCache { start: 0.0, end: 1.0, interval: 2, alpha: 0.2 }),
        CacheSettings::Sencache(SenCache { tolerance: 10.0, max_skip: 2, start: 0.0, end: 1.0 }),
    ];
    let states = |bench: &mut Bench, cache: &CacheSettings| {
        let with = |mut item: PreparedItem| {
            item.spec.cache = cache.clone();
            item
        };
        let mut observer = Observer::default();
        bench.roles.run(&with(high(&contexts)), &mut observer).unwrap();
        let boundary = observer.states[HIGH_STEPS as usize - 1].clone();
        bench.roles.run(&with(low(&contexts, &boundary)), &mut observer).unwrap();
        observer.states
    };
    let dense = states(&mut bench, &CacheSettings::None);
    for cache in caches {
        let name = cache.name();
        let whole = states(&mut bench, &cache);
        assert!(whole.last() != dense.last(), "{name} does something");
        for state in &whole[..whole.len() - 1] {
            let steps = state.steps_done;
            let mut rest = if steps < HIGH_STEPS { high(&contexts) } else { low(&contexts, state) };
            rest.spec.cache = cache.clone();
            (rest.item.steps.first, rest.state) = (steps, Some(state.clone()));
            let want = &whole[rest.item.steps.end as usize - 1];
            assert!(Bench::new().run(&rest) == want.clone().into_output(), "{name} after step {steps}");
        }
        // What a cache keeps is what it needs: at least once something, and nothing when its expert has done its part.
        let kept = |state: &State| state.tensors.len() - 1 - history_len(SolverKind::UniPc, state.steps_done, STEPS);
        assert!(whole.iter().any(|state| kept(state) > 0), "{name}");
        assert_eq!([HIGH_STEPS, STEPS].map(|steps| kept(&whole[steps as usize - 1])), [0, 0], "{name}");
        // Nothing of it is left for the next video.
        assert!(states(&mut bench, &CacheSettings::None) == dense, "{name} leaks");
    }
}

#[test]
fn a_state_that_a_step_cache_cannot_have_kept_is_refused() {
    let mut bench = Bench::new();
    let contexts = bench.contexts();
    let mut item = high(&contexts);
    let mut observer = Observer { stop_after: Some(1), ..Observer::default() };
    bench.roles.run(&item, &mut observer).unwrap();
    let mut state = observer.states[0].clone();
    state.tensors.push(state.tensors[0].clone());
    (item.item.steps.first, item.state) = (1, Some(state));
    let failure = bench.roles.run(&item, &mut Observer::default()).unwrap_err();
    assert_eq!(failure.kind, FailureKind::Deterministic);
    assert!(failure.message.contains("not what a step cache keeps at 1"), "{failure}");
}

#[test]
fn at_scale_one_the_negative_prompt_is_not_looked_at() {
    let mut bench = Bench::new();
    let contexts = bench.contexts();
    let mut plain = high(&contexts);
    plain.spec.guidance.high = 1.0;
    let with_both = bench.run(&plain);
    plain.contexts.truncate(1);
    assert_eq!(bench.run(&plain), with_both);
    assert_ne!(bench.run(&high(&contexts)), with_both);
    let mut incomplete = high(&contexts);
    incomplete.contexts.truncate(1);
    let failure = bench.roles.run(&incomplete, &mut Observer::default()).unwrap_err();
    assert_eq!(failure.kind, FailureKind::Deterministic);
}

#[test]
fn with_nag_the_negative_prompt_is_read_in_the_one_pass_and_survives_interruptions() {
    let mut bench = Bench::new();
    let contexts = bench.contexts();
    let avoiding = |contexts: &[HostTensor]| {
        let mut item = high(contexts);
        (item.spec.guidance.high, item.spec.nag) = (1.0, Some(Nag::default()));
        item
    };
    let mut observer = Observer::default();
    let whole = bench.roles.run(&avoiding(&contexts), &mut observer).unwrap();
    assert_eq!(observer.forward_passes, [1; HIGH_STEPS as usize]);
    let mut plain = avoiding(&contexts);
    plain.spec.nag = None;
    assert_ne!(bench.run(&plain), whole);
    let other = [contexts[0].clone(), bench.encode("a red circle")];
    assert_ne!(bench.run(&avoiding(&other)), whole);
    let mut rest = avoiding(&contexts);
    (rest.item.steps.first, rest.state) = (2, Some(observer.states[1].clone()));
    assert_eq!(Bench::new().run(&rest), whole);
    let failure = bench.roles.run(&avoiding(&contexts[..1]), &mut Observer::default()).unwrap_err();
    assert_eq!(failure.kind, FailureKind::Deterministic);
    // With guidance, the pass without the prompt is as it always was, and that with it is not.
    let mut both = high(&contexts);
    both.spec.nag = Some(Nag::default());
    assert!(![whole, bench.run(&high(&contexts))].contains(&bench.run(&both)));
}

#[test]
fn embedded_texts_are_those_of_their_digest() {
    let mut bench = Bench::new();
    let contexts = bench.contexts();
    let first = bench.run(&high(&contexts));
    let other = [bench.encode("a red circle"), contexts[1].clone()];
    assert_ne!(bench.run(&high(&other)), first);
    assert_eq!(bench.run(&high(&contexts)), first);
    let swapped = [contexts[1].clone(), contexts[0].clone()];
    assert_ne!(bench.run(&high(&swapped)), first);
}

#[test]
fn latents_that_are_not_finite_stop_the_video_at_that_step() {
    let mut bench = Bench::new();
    let contexts = bench.contexts();
    let mut observer = Observer { stop_after: Some(2), ..Observer::default() };
    bench.roles.run(&high(&contexts), &mut observer).unwrap();
    let mut state = observer.states.pop().unwrap();
    let mut latents = state.tensors[0].to_f32();
    latents[100] = f32::NAN;
    state.tensors[0] = HostTensor::from_f32(&state.tensors[0].shape(), &latents);
    let mut poisoned = high(&contexts);
    poisoned.item.steps.first = 2;
    poisoned.state = Some(state.clone());
    let mut observer = Observer::default();
    let failure = bench.roles.run(&poisoned, &mut observer).unwrap_err();
    assert_eq!(failure.kind, FailureKind::NotFinite);
    assert!(failure.message.contains("after step 2 of 6"), "{failure}");
    assert!(observer.states.is_empty());

    let decode = PreparedItem { state: Some(state), ..item(Stage::Decode, "", 0..0) };
    let failure = bench.roles.run(&decode, &mut Observer::default()).unwrap_err();
    assert_eq!(failure.kind, FailureKind::NotFinite);
}

#[test]
fn an_abandoned_item_stops_before_its_next_step() {
    let mut bench = Bench::new();
    let contexts = bench.contexts();
    let mut observer = Observer { abandon_after: Some(1), ..Observer::default() };
    assert!(bench.roles.run(&high(&contexts), &mut observer).is_err());
    assert_eq!(observer.states.len(), 1);
}
