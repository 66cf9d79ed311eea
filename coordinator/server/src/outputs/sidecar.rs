//! The sidecar: everything about one finished video, beside its files.

use serde::{Deserialize, Serialize};
use wanfarm_types::{Digest, Excerpt, ModelFile, Stage, VideoSpec};

use crate::attempt::AttemptRecord;

/// `<output>.json`.
#[derive(Debug, Serialize)]
pub(crate) struct Sidecar<'a> {
    /// Every resolved setting.
    pub spec: &'a VideoSpec,
    /// The video that its first frame is of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub started_from: Option<&'a Origin>,
    /// The video that its last frame is of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub led_to: Option<&'a Origin>,
    /// The video that it is made from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub made_from: Option<&'a Origin>,
    /// The model it was rendered with.
    pub model: ModelRecord<'a>,
    /// Versions that decide the bytes.
    pub versions: Versions,
    /// The attempts, with the time each stage waited.
    pub attempts: &'a [AttemptRecord],
    /// Remarks though nothing failed.
    pub notes: &'a [String],
    /// Forward passes computed and saved by the step cache.
    pub passes: &'a [StagePasses],
    /// The quality gate's verdict and figures.
    pub quality: &'a wanfarm_media::Quality,
    /// The files.
    pub outputs: &'a [OutputRecord],
    /// Files that were asked for and cannot be made of these frames, each with the reason.
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    pub unwritten: &'a [String],
    /// Digest of the final latents, f32 little endian.
    pub latents_blake3: Digest,
}

/// Where a picture or a clip that a video was rendered from is from: another one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Origin {
    /// The other video, by its place in the manifest.
    pub video: u32,
    /// What the manifest calls it.
    pub name: Option<String>,
    /// Where its files went.
    pub output: String,
    /// Which of its frames.
    #[serde(flatten)]
    pub excerpt: Excerpt,
}

/// Passes of the transformer in a stage.
#[derive(Debug, PartialEq, Serialize)]
pub(crate) struct StagePasses {
    pub stage: Stage,
    /// Passes that ran the blocks, those again that were run again.
    pub computed: u64,
    /// Passes that the step cache stood in for.
    pub skipped: u64,
}

impl StagePasses {
    /// Of every stage that denoises, in order.
    pub(crate) fn of(spec: &VideoSpec, attempts: &[AttemptRecord]) -> Vec<Self> {
        let mut passes: Vec<Self> = Vec::new();
        for attempt in attempts {
            let Some(expert) = attempt.stage.expert() else { continue };
            let (computed, skipped) = attempt.passes(spec.guidance.passes(expert));
            match passes.iter_mut().find(|known| known.stage == attempt.stage) {
                Some(known) => (known.computed, known.skipped) = (known.computed + computed, known.skipped + skipped),
                None => passes.push(Self { stage: attempt.stage, computed, skipped }),
            }
        }
        passes
    }
}

/// A model by name and content.
#[derive(Debug, Serialize)]
pub(crate) struct ModelRecord<'a> {
    pub name: &'a str,
    pub files: &'a [ModelFile],
}

/// Versions that decide the bytes.
#[derive(Debug, Serialize)]
pub(crate) struct Versions {
    pub wanfarm: &'static str,
    /// The control plane.
    pub protocol: u32,
}

/// One file or folder.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct OutputRecord {
    /// Path relative to the output directory, with `/`.
    pub path: String,
    /// Its size; of a folder, the sum over its files.
    pub bytes: u64,
    /// Digest of its content; of a folder, over its files in order of name.
    pub blake3: Digest,
    /// How it differs from other videos' files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

impl Versions {
    pub(crate) fn current() -> Self {
        Self { wanfarm: env!("CARGO_PKG_VERSION"), protocol: wanfarm_proto::PROTOCOL }
    }
}
