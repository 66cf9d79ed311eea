//! What is rendered, and by whom: sizes, speeds and times, all fixed by numbers alone.

use uuid::Uuid;
use wanfarm_scheduler::{JobPlan, SizeClass, TextKey, VideoPlan};
use wanfarm_types::{Digest, Footprint, JobId, ModelRole, Role, Stage, StepRange, VideoId, WorkerId};

/// Jobs of a batch.
const JOBS: u32 = 10;

pub(crate) struct Batch {
    pub(crate) plans: Vec<JobPlan>,
    pub(crate) workers: Vec<Machine>,
}

pub(crate) struct Machine {
    pub(crate) id: WorkerId,
    pub(crate) roles: Vec<ModelRole>,
    /// Of the fastest there may be: from 0.25 to 1.
    pub(crate) speed: f64,
    /// Bytes of its memory, where it does not hold all its roles.
    pub(crate) budget: Option<u64>,
}

impl Batch {
    /// Of forty workers eight encode and decode, twenty hold the high expert and twelve the low one: the high
    /// expert, which runs 26 of 40 steps, is what the others wait for. The seed changes the speeds.
    pub(crate) fn new(videos: u32, workers: u32, steps: u32, seed: u32) -> Self {
        let machine = |number: u32| {
            let roles = match number % 40 {
                0..8 => &[Role::TextEncoder, Role::Vae][..],
                8..28 => &[Role::DitHigh],
                _ => &[Role::DitLow],
            };
            let speed = 0.25 + 0.75 * fraction(u64::from(seed) << 32 | u64::from(number));
            Machine {
                id: worker(number),
                roles: roles.iter().map(|&role| of(MODEL, role)).collect(),
                speed,
                budget: None,
            }
        };
        let (each, high) = (videos / JOBS, steps * 26 / 40);
        let plan = |job: u32| {
            let video = |index: u32| VideoPlan {
                has_image: index % 2 == 1,
                ..video(job * each + index, &[(Stage::DenoiseHigh, high), (Stage::DenoiseLow, steps)])
            };
            JobPlan {
                priority: (job % 3) as i32,
                early_look: job.is_multiple_of(2),
                ..plan(job, MODEL, (0..each).map(video))
            }
        };
        Self { plans: (0..JOBS).map(plan).collect(), workers: (0..workers).map(machine).collect() }
    }

    pub(crate) fn videos(&self) -> usize {
        self.plans.iter().map(|plan| plan.videos.len()).sum()
    }

    /// Seconds that a video needs in a stage on the fastest worker.
    pub(crate) fn whole(&self, stage: Stage, video: VideoId) -> f64 {
        let plan = self.plan(video.job);
        let of = &plan.videos[video.index as usize];
        let times = match stage {
            Stage::EncodeImage => u32::from(of.has_image),
            Stage::EncodeText | Stage::Decode => 1,
            _ => of.stages.iter().filter(|(of, _)| *of == stage).map(|(_, steps)| steps.len()).sum(),
        };
        seconds(&plan.model, stage) * f64::from(times)
    }

    pub(crate) fn plan(&self, job: JobId) -> &JobPlan {
        self.plans.iter().find(|plan| plan.id == job).expect("one of the jobs")
    }

    /// Every video there is.
    pub(crate) fn ids(&self) -> impl Iterator<Item = VideoId> {
        let indices = |plan: &JobPlan| (plan.id, 0..plan.videos.len() as u32);
        self.plans.iter().map(indices).flat_map(|(job, indices)| indices.map(move |index| VideoId { job, index }))
    }
}

const MODEL: &str = "a14b";

pub(crate) fn worker(number: u32) -> WorkerId {
    WorkerId(Uuid::from_u128(u128::from(number) + 1))
}

pub(crate) fn of(model: &str, role: Role) -> ModelRole {
    ModelRole { model: model.into(), role }
}

pub(crate) fn plan(job: u32, model: &str, videos: impl Iterator<Item = VideoPlan>) -> JobPlan {
    let id = JobId(u64::from(job) + 1);
    JobPlan { id, priority: 0, model: model.into(), early_look: false, videos: videos.collect() }
}

/// A video with a text of its own and one that all read; each stage with its last step.
pub(crate) fn video(number: u32, stages: &[(Stage, u32)]) -> VideoPlan {
    let mut first = 0;
    let range = |&(stage, end): &(Stage, u32)| (stage, StepRange { first: std::mem::replace(&mut first, end), end });
    VideoPlan {
        texts: vec![key(number), key(u32::MAX)],
        has_image: false,
        stages: stages.iter().map(range).collect(),
        size: SizeClass(75_600),
        encode: None,
        decode: None,
        frame: 3_600,
        kept: 0,
        work: Vec::new(),
        after: Vec::new(),
        name: String::new(),
    }
}

/// Seconds of a step, or of an item without steps, on the fastest worker.
pub(crate) fn seconds(model: &str, stage: Stage) -> f64 {
    match stage {
        Stage::EncodeText => 2.0,
        Stage::EncodeImage => 4.0,
        Stage::Decode => 60.0,
        Stage::DenoiseHigh | Stage::DenoiseLow => 20.0,
        Stage::Denoise if model == "1.3b" => 4.0,
        Stage::Denoise => 20.0,
    }
}

/// Published sizes in bf16, and about 5 GB for an item.
pub(crate) fn footprint(role: &ModelRole) -> Footprint {
    let weights = match role.role {
        Role::TextEncoder => 11,
        Role::DitHigh | Role::DitLow => 28,
        Role::Dit => 3,
        Role::Vae => 1,
    };
    let item = if role.role == Role::TextEncoder { 1 } else { 5 };
    Footprint { weights: weights * GB, item: item * GB, per_token: 0, per_frame_token: 0, per_kept_token: 0 }
}

pub(crate) const GB: u64 = 1_000_000_000;

/// Something between 0 and 1 that looks like chance.
pub(crate) fn fraction(number: u64) -> f64 {
    let mut mixed = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((mixed ^ (mixed >> 31)) >> 11) as f64 / (1u64 << 53) as f64
}

fn key(number: u32) -> TextKey {
    TextKey(Digest(std::array::from_fn(|i| number.to_le_bytes()[i % 4])))
}
