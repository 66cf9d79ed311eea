//! What is rendered, and by whom: sizes, speeds and times, all fixed by numbers alone.

use uuid::Uuid;
use wanfarm_scheduler::{JobPlan, SizeClass, TextKey, VideoPlan};
use wanfarm_types::{Digest, JobId, Role, Stage, StepRange, VideoId, WorkerId};

const JOBS: u32 = 10;

pub(crate) struct Batch {
    pub(crate) videos: u32,
    pub(crate) workers: Vec<Machine>,
    /// Steps of each video, and how many of them the high expert runs.
    pub(crate) steps: u32,
    pub(crate) high: u32,
}

pub(crate) struct Machine {
    pub(crate) id: WorkerId,
    pub(crate) roles: Vec<Role>,
    /// Of the fastest there may be: from 0.25 to 1.
    pub(crate) speed: f64,
}

impl Batch {
    /// Of forty workers eight encode and decode, twenty hold the high expert and twelve the low one: the high
    /// expert, which runs 26 of 40 steps, is what the others wait for. The seed changes the speeds.
    pub(crate) fn new(videos: u32, workers: u32, steps: u32, seed: u32) -> Self {
        let machine = |number: u32| Machine {
            id: WorkerId(Uuid::from_u128(u128::from(number) + 1)),
            roles: match number % 40 {
                0..8 => vec![Role::TextEncoder, Role::Vae],
                8..28 => vec![Role::DitHigh],
                _ => vec![Role::DitLow],
            },
            speed: 0.25 + 0.75 * fraction(u64::from(seed) << 32 | u64::from(number)),
        };
        let workers = (0..workers).map(machine).collect();
        Self { videos: videos / JOBS * JOBS, workers, steps, high: steps * 26 / 40 }
    }

    pub(crate) fn jobs(&self) -> impl Iterator<Item = JobPlan> {
        let each = self.videos / JOBS;
        (0..JOBS).map(move |job| {
            let video = |index: u32| VideoPlan {
                texts: vec![key(job * each + index), key(u32::MAX)],
                has_image: index % 2 == 1,
                stages: vec![
                    (Stage::DenoiseHigh, StepRange { first: 0, end: self.high }),
                    (Stage::DenoiseLow, StepRange { first: self.high, end: self.steps }),
                ],
                size: SizeClass(75_600),
                frame: 3_600,
                work: Vec::new(),
            };
            JobPlan {
                id: JobId(u64::from(job) + 1),
                priority: (job % 3) as i32,
                model: "a14b".into(),
                early_look: job % 2 == 0,
                videos: (0..each).map(video).collect(),
            }
        })
    }

    /// Seconds that a video needs in a stage on the fastest worker.
    pub(crate) fn whole(&self, stage: Stage, video: VideoId) -> f64 {
        let times = match stage {
            Stage::EncodeImage => video.index % 2,
            Stage::DenoiseHigh => self.high,
            Stage::DenoiseLow => self.steps - self.high,
            Stage::Denoise => 0,
            Stage::EncodeText | Stage::Decode => 1,
        };
        seconds(stage) * f64::from(times)
    }

    /// Every video there is.
    pub(crate) fn ids(&self) -> impl Iterator<Item = VideoId> {
        let each = self.videos / JOBS;
        (0..self.videos).map(move |n| VideoId { job: JobId(u64::from(n / each) + 1), index: n % each })
    }
}

/// Seconds of a step, or of an item without steps, on the fastest worker.
pub(crate) fn seconds(stage: Stage) -> f64 {
    match stage {
        Stage::EncodeText => 2.0,
        Stage::EncodeImage => 4.0,
        Stage::Decode => 60.0,
        Stage::DenoiseHigh | Stage::DenoiseLow | Stage::Denoise => 20.0,
    }
}

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
