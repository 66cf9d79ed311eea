//! Following a job to its end: the coordinator's updates become progress on the terminal and a summary.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Instant;

use tonic::Streaming;
use wanfarm_proto::v1;
use wanfarm_types::{JobId, Stage, VideoId};

use crate::client::ClientError;
use crate::progress::{self, Progress, Summary, VideoOutcome, VideoProgress, VideoState};

/// What a followed job came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Outcome {
    /// Videos without files in place: failed or cancelled.
    pub(super) failed: usize,
}

/// Shows progress until the job has ended, then prints where everything is.
pub(super) async fn follow(mut updates: Streaming<v1::JobUpdate>, output: &Path) -> Result<Outcome, ClientError> {
    let started = Instant::now();
    let mut videos: BTreeMap<u32, v1::VideoStatus> = BTreeMap::new();
    let mut job = v1::JobSummary::default();
    let mut shown: Option<Progress> = None;
    let mut hint = String::new();
    while let Some(update) = updates.message().await? {
        job = update.job.unwrap_or(job);
        let progress = shown.get_or_insert_with(|| Progress::new(job.videos as usize, Instant::now()));
        let events: Vec<VideoProgress> = update.videos.iter().map(|video| event(job.job, video)).collect();
        videos.extend(update.videos.into_iter().map(|video| (video.index, video)));
        progress.update(Instant::now(), &events);
        if job.waiting_for != hint {
            hint.clone_from(&job.waiting_for);
            if !hint.is_empty() {
                progress.say(&format!("waiting for {hint}"));
            }
        }
    }
    if let Some(progress) = shown {
        progress.finish();
    }
    if job.state != i32::from(v1::JobState::Done) {
        return Err(ClientError::Broken("it ended before the job did".to_owned()));
    }
    let summary = Summary {
        job: JobId(job.job),
        name: job.name,
        wall: started.elapsed(),
        output_dir: output.to_owned(),
        videos: videos.into_values().map(|video| outcome(job.job, video)).collect(),
    };
    print!("{summary}");
    Ok(Outcome { failed: summary.videos.len() - summary.done() })
}

fn event(job: u64, video: &v1::VideoStatus) -> VideoProgress {
    VideoProgress {
        id: VideoId { job: JobId(job), index: video.index },
        label: video.label.clone(),
        // An unknown stage of a newer coordinator is shown as none.
        stage: v1::Stage::try_from(video.stage).ok().and_then(|stage| Stage::try_from(stage).ok()),
        step: video.steps_done,
        steps: video.steps,
        seconds_per_step: (video.seconds_per_step > 0.0).then_some(video.seconds_per_step),
        state: match v1::VideoState::try_from(video.state) {
            Ok(v1::VideoState::Running) => VideoState::Running,
            Ok(v1::VideoState::Writing) => VideoState::Writing,
            Ok(v1::VideoState::Done) => VideoState::Done,
            Ok(v1::VideoState::Failed) => VideoState::Failed(video.error.clone()),
            Ok(v1::VideoState::Cancelled) => VideoState::Cancelled,
            Ok(v1::VideoState::Waiting | v1::VideoState::Unspecified) | Err(_) => VideoState::Waiting,
        },
    }
}

fn outcome(job: u64, video: v1::VideoStatus) -> VideoOutcome {
    use progress::Outcome;
    VideoOutcome {
        id: VideoId { job: JobId(job), index: video.index },
        outcome: match v1::VideoState::try_from(video.state) {
            Ok(v1::VideoState::Done) => {
                Outcome::Done { seconds: video.seconds, passed: video.verdict == "ok", verdict: video.verdict }
            }
            Ok(v1::VideoState::Cancelled) => Outcome::Cancelled,
            _ => Outcome::Failed(video.error),
        },
        output: video.output,
    }
}
