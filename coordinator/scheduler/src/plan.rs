//! A job as the scheduler sees it: which stages each video passes and which texts it reads.
//! Deliberately without prompts, seeds and settings; those travel beside the scheduler.

use serde::{Deserialize, Serialize};
use wanfarm_types::{Digest, ItemSize, JobId, Stage, StepRange, in_order};

/// A text to encode, named by the digest of (model, text). Videos with equal keys share one `encode_text` item.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TextKey(pub Digest);

/// Tokens the transformer attends over: videos of one class take the same time per step on one worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SizeClass(pub u64);

/// A submitted job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobPlan {
    /// Id of the job.
    pub id: JobId,
    /// Higher goes first.
    pub priority: i32,
    /// The model, by the name workers serve it under.
    pub model: String,
    /// The first, the last and the middle video go before the others, so that people can judge the job early.
    #[serde(default)]
    pub early_look: bool,
    /// Video `i` is `VideoId { job: id, index: i }`.
    pub videos: Vec<VideoPlan>,
}

/// One video of a job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VideoPlan {
    /// Texts its denoising reads, in the order of [`wanfarm_types::ItemInputs::text`]:
    /// prompt, then negative prompt if the guidance uses one.
    pub texts: Vec<TextKey>,
    /// True when a first frame must be encoded before denoising.
    pub has_image: bool,
    /// Denoising stages in order. The ranges are not empty, start at 0 and touch:
    /// `[(DenoiseHigh, 0..26), (DenoiseLow, 26..40)]`, `[(Denoise, 0..50)]`.
    pub stages: Vec<(Stage, StepRange)>,
    /// Its size, for measured speeds.
    pub size: SizeClass,
    /// The same of what is encoded for it, where that is less than the video: a first frame alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encode: Option<SizeClass>,
    /// The same of decoding it, where that is less than by the model's own autoencoder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decode: Option<SizeClass>,
    /// Tokens of one frame of its latents, for memory.
    #[serde(default)]
    pub frame: u64,
    /// Tokens of which a step cache keeps what the blocks added in one pass while another is computed, for memory.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub kept: u64,
    /// How much of itself each step computes, in per cent, where a step cache leaves something out; `None` where only
    /// the computation tells. Empty: every step computes everything.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub work: Vec<Option<u8>>,
    /// Videos of the job, by their place in it, that must be done before more of this one is computed than its texts: it
    /// starts from frames of theirs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub after: Vec<u32>,
    /// What people call it, where others come after it: when they have to be given up, it is named as the cause.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
}

/// A plan that no farm could carry out. It is refused whole.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// A video reads no text, or more than prompt and negative prompt.
    #[error("video {index} reads {texts} texts; it must read one (prompt) or two (prompt, negative)")]
    Texts {
        /// Index of the video in the job.
        index: u32,
        /// How many it lists.
        texts: usize,
    },
    /// The stages of a video are not a chain of denoising ranges from step 0.
    #[error("video {index}: stage {stage} with steps {first}..{end} does not go on from step {expected}")]
    Stages {
        /// Index of the video in the job.
        index: u32,
        /// The offending stage.
        stage: Stage,
        /// Its first step.
        first: u32,
        /// One past its last step.
        end: u32,
        /// Where it should start.
        expected: u32,
    },
    /// A video without steps.
    #[error("video {index} has no denoising steps")]
    NoSteps {
        /// Index of the video in the job.
        index: u32,
    },
    /// A video waits for one that is not there.
    #[error("video {index} comes after video {after}, which the job does not have")]
    After {
        /// Index of the video in the job.
        index: u32,
        /// Index of the other.
        after: u32,
    },
    /// A video waits for itself, directly or through others.
    #[error("video {index} comes after itself")]
    Circle {
        /// Index of the video in the job.
        index: u32,
    },
    /// More videos than a `VideoId` can number.
    #[error("a job holds at most {} videos", u32::MAX)]
    TooManyVideos,
}

/// Plans of videos without a step cache stay as they have always been written.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl JobPlan {
    /// Refuses what could never finish.
    ///
    /// # Errors
    /// The first fault found; the manifest reader reports all faults before this.
    pub fn check(&self) -> Result<(), PlanError> {
        for (index, video) in self.videos.iter().enumerate() {
            let index = u32::try_from(index).map_err(|_| PlanError::TooManyVideos)?;
            video.check(index)?;
        }
        self.check_order()
    }

    /// For each video those that it comes after.
    pub(crate) fn after(&self) -> Vec<Vec<u32>> {
        self.videos.iter().map(|video| video.after.clone()).collect()
    }

    /// Refuses videos that could never be begun.
    fn check_order(&self) -> Result<(), PlanError> {
        for (index, video) in (0u32..).zip(&self.videos) {
            if let Some(&after) = video.after.iter().find(|after| **after as usize >= self.videos.len()) {
                return Err(PlanError::After { index, after });
            }
        }
        in_order(&self.after()).map(drop).map_err(|circle| PlanError::Circle { index: circle[0] })
    }
}

impl VideoPlan {
    /// Its size at a stage, for measured speeds. Texts have none.
    pub fn size_of(&self, stage: Stage) -> SizeClass {
        match stage {
            Stage::EncodeText => SizeClass(0),
            Stage::EncodeImage => self.encode.unwrap_or(self.size),
            Stage::Decode => self.decode.unwrap_or(self.size),
            Stage::DenoiseHigh | Stage::DenoiseLow | Stage::Denoise => self.size,
        }
    }

    /// How large its items are in memory.
    pub fn item_size(&self) -> ItemSize {
        ItemSize { tokens: self.size.0, frame: self.frame, kept: self.kept }
    }

    /// One past the last step.
    pub fn total_steps(&self) -> u32 {
        self.stages.last().map_or(0, |(_, steps)| steps.end)
    }

    /// What these steps compute, in per cent of one step; those of which only the computation tells count whole.
    pub fn work_of(&self, steps: StepRange) -> u64 {
        let all = 100 * u64::from(steps.end.saturating_sub(steps.first));
        let cached = self.work.get(steps.first as usize..).unwrap_or_default();
        let cached = cached.iter().take(steps.end.saturating_sub(steps.first) as usize);
        all - cached.map(|work| 100 - u64::from(work.unwrap_or(100).min(100))).sum::<u64>()
    }

    /// Whether a step is known to compute everything, so that its time tells the speed of its worker.
    pub fn is_whole(&self, step: u32) -> bool {
        self.work.get(step as usize).is_none_or(|work| *work == Some(100))
    }

    /// The stage that runs step `step`, with its whole range; `None` past the last step.
    pub fn stage_of(&self, step: u32) -> Option<(Stage, StepRange)> {
        self.stages.iter().copied().find(|(_, steps)| step < steps.end)
    }

    fn check(&self, index: u32) -> Result<(), PlanError> {
        if !(1..=2).contains(&self.texts.len()) {
            return Err(PlanError::Texts { index, texts: self.texts.len() });
        }
        let mut expected = 0;
        for &(stage, steps) in &self.stages {
            if steps.first != expected || steps.is_empty() || stage.expert().is_none() {
                return Err(PlanError::Stages { index, stage, first: steps.first, end: steps.end, expected });
            }
            expected = steps.end;
        }
        if expected == 0 { Err(PlanError::NoSteps { index }) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(stages: &[(Stage, u32, u32)]) -> JobPlan {
        let stages = stages.iter().map(|&(stage, first, end)| (stage, StepRange { first, end })).collect();
        let texts = vec![TextKey(Digest([1; 32]))];
        let video = VideoPlan {
            texts,
            has_image: false,
            stages,
            size: SizeClass(64),
            encode: None,
            decode: None,
            frame: 16,
            kept: 0,
            work: Vec::new(),
            after: Vec::new(),
            name: String::new(),
        };
        JobPlan { id: JobId(1), priority: 0, model: "m".into(), early_look: false, videos: vec![video] }
    }

    #[test]
    fn ranges_form_a_chain_from_zero() {
        use Stage::{Decode, DenoiseHigh, DenoiseLow};
        assert!(plan(&[(DenoiseHigh, 0, 26), (DenoiseLow, 26, 40)]).check().is_ok());
        assert!(plan(&[(DenoiseLow, 0, 40)]).check().is_ok());
        assert!(plan(&[]).check().is_err());
        assert!(plan(&[(DenoiseHigh, 1, 26)]).check().is_err());
        assert!(plan(&[(DenoiseHigh, 0, 26), (DenoiseLow, 27, 40)]).check().is_err());
        assert!(plan(&[(DenoiseHigh, 0, 0), (DenoiseLow, 0, 40)]).check().is_err());
        assert!(plan(&[(Decode, 0, 1)]).check().is_err());
    }

    #[test]
    fn no_video_waits_for_itself_or_for_one_that_is_not_there() {
        let mut plan = plan(&[(Stage::Denoise, 0, 4)]);
        plan.videos = vec![plan.videos[0].clone(); 3];
        let mut with = |after: [&[u32]; 3]| {
            plan.videos.iter_mut().zip(after).for_each(|(video, after)| video.after = after.to_vec());
            plan.check()
        };
        assert_eq!(with([&[1, 2], &[2], &[]]), Ok(()));
        assert_eq!(with([&[], &[3], &[]]), Err(PlanError::After { index: 1, after: 3 }));
        assert_eq!(with([&[2], &[0], &[1]]), Err(PlanError::Circle { index: 0 }));
        assert_eq!(with([&[], &[1], &[1]]), Err(PlanError::Circle { index: 1 }));
    }

    #[test]
    fn the_stage_of_a_step() {
        let plan = plan(&[(Stage::DenoiseHigh, 0, 26), (Stage::DenoiseLow, 26, 40)]);
        let stage = |step| plan.videos[0].stage_of(step).map(|(stage, _)| stage);
        assert_eq!(stage(25), Some(Stage::DenoiseHigh));
        assert_eq!(stage(26), Some(Stage::DenoiseLow));
        assert_eq!(stage(40), None);
    }

    #[test]
    fn the_work_of_steps() {
        let mut plan = plan(&[(Stage::Denoise, 0, 5)]).videos.remove(0);
        let range = |first, end| StepRange { first, end };
        assert_eq!((plan.work_of(range(0, 5)), plan.work_of(range(4, 2)), plan.is_whole(4)), (500, 0, true));
        plan.work = vec![Some(100), Some(0), Some(50), None];
        assert_eq!(plan.work_of(range(0, 5)), 350, "what is not known counts whole");
        assert_eq!((plan.work_of(range(1, 3)), plan.work_of(range(4, 9))), (50, 500));
        assert_eq!([0, 1, 2, 3, 4].map(|step| plan.is_whole(step)), [true, false, false, false, true]);
    }
}
