//! A video as this API tells of it.

use std::fmt;
use std::str::FromStr;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use serde::Serialize;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use utoipa::ToSchema;
use wanfarm_types::{JobId, JobSummary, ModelInfo, VideoRequest, VideoState, VideoStatus};

use crate::input;
use crate::problem::Problem;

/// The name of a video that is a job of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct VideoName(pub(super) JobId);

/// What the number of the job comes after.
const PREFIX: &str = "video_";

impl fmt::Display for VideoName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PREFIX}{}", self.0)
    }
}

impl FromStr for VideoName {
    type Err = ();

    fn from_str(name: &str) -> Result<Self, ()> {
        let number = name.strip_prefix(PREFIX).and_then(|number| number.parse().ok());
        number.map(|number| Self(JobId(number))).ok_or(())
    }
}

impl<S: Send + Sync> FromRequestParts<S> for VideoName {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        input::parameter(parts, state, "video", "name of a video, which is as video_17").await
    }
}

/// A video.
#[derive(Debug, PartialEq, Serialize, ToSchema)]
#[schema(as = OpenAiVideo)]
pub(super) struct Told {
    pub(super) id: String,
    object: &'static str,
    model: String,
    status: Status,
    /// Of its denoising steps, in percent; 100 when it is done.
    progress: u32,
    /// In seconds since 1970.
    created_at: i64,
    /// Likewise, when it has ended.
    completed_at: Option<i64>,
    /// It stays until it is deleted, or for as long as the coordinator keeps jobs.
    expires_at: Option<i64>,
    prompt: String,
    /// Width and height, as `832x480`; empty while the model does not say.
    size: String,
    /// How long it plays, likewise.
    seconds: String,
    seed: u64,
    error: Option<Why>,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = OpenAiVideoStatus)]
enum Status {
    Queued,
    InProgress,
    Completed,
    Failed,
}

#[derive(Debug, PartialEq, Serialize, ToSchema)]
#[schema(as = OpenAiVideoError)]
struct Why {
    code: &'static str,
    message: String,
}

impl Told {
    pub(super) fn new(job: &JobSummary, video: &VideoStatus, asked: &VideoRequest, info: Option<&ModelInfo>) -> Self {
        let usual = info.map(|info| &info.defaults);
        let (status, error) = match video.state {
            VideoState::Running | VideoState::Writing => (Status::InProgress, None),
            VideoState::Done => (Status::Completed, None),
            VideoState::Failed => {
                let message = video.error.clone().unwrap_or_default();
                (Status::Failed, Some(Why { code: "failed", message }))
            }
            VideoState::Cancelled => {
                let message = "somebody has given it up".to_owned();
                (Status::Failed, Some(Why { code: "cancelled", message }))
            }
            VideoState::Waiting | VideoState::Unknown => (Status::Queued, None),
        };
        let steps = u64::from(video.steps_done) * 100 / u64::from(video.steps.max(1));
        let progress = if status == Status::Completed { 100 } else { u32::try_from(steps.min(99)).unwrap_or_default() };
        let or = |asked: Option<u32>, usual: Option<u32>| asked.or(usual);
        let width = or(asked.width, usual.map(|usual| usual.width));
        let height = or(asked.height, usual.map(|usual| usual.height));
        // Of a video with a first frame, sizes that are not said are the picture's.
        let is_known = asked.image.is_none() || asked.width.is_some() && asked.height.is_some();
        let size = width.zip(height).filter(|_| is_known).map(|(width, height)| format!("{width}x{height}"));
        let frames = or(asked.frames, usual.map(|usual| usual.frames));
        let rate = asked.fps.or(usual.map(|usual| usual.fps));
        let seconds = frames.zip(rate).map(|(frames, rate)| {
            let seconds = f64::from(frames) * f64::from(rate.denominator()) / f64::from(rate.numerator());
            format!("{}", (seconds * 100.0).round() / 100.0)
        });
        Self {
            id: VideoName(job.job).to_string(),
            object: "video",
            model: job.model.clone(),
            status,
            progress,
            created_at: unix(job.submitted.as_deref()).unwrap_or_default(),
            completed_at: unix(video.ended.as_deref()),
            expires_at: None,
            prompt: video.prompt.clone(),
            size: size.unwrap_or_default(),
            seconds: seconds.unwrap_or_default(),
            seed: asked.seed,
            error,
        }
    }
}

fn unix(time: Option<&str>) -> Option<i64> {
    Some(OffsetDateTime::parse(time?, &Rfc3339).ok()?.unix_timestamp())
}

#[cfg(test)]
mod tests {
    use super::*;
    use wanfarm_types::fixtures::{info, request};
    use wanfarm_types::{Experts, FrameRate};

    #[test]
    fn a_name_reads_as_it_prints() {
        assert_eq!(VideoName(JobId(17)).to_string().parse(), Ok(VideoName(JobId(17))));
        for bad in ["17", "video_", "video_-1", "video_1x", "video17"] {
            assert!(bad.parse::<VideoName>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_video_is_told_with_what_is_known_of_it() {
        let job = JobSummary {
            job: JobId(3),
            model: "m".into(),
            submitted: Some("2026-11-28T21:04:05.250Z".into()),
            ..JobSummary::default()
        };
        let video = |state| VideoStatus { state, steps_done: 29, steps: 40, ..VideoStatus::default() };
        let asked = VideoRequest {
            width: Some(832),
            height: Some(480),
            frames: Some(81),
            fps: Some(FrameRate::whole(16)),
            ..request()
        };
        let told = |state| Told::new(&job, &video(state), &asked, None);
        let running = told(VideoState::Running);
        assert_eq!((running.status, running.progress, running.created_at), (Status::InProgress, 72, 1_795_899_845));
        assert_eq!((running.size.as_str(), running.seconds.as_str()), ("832x480", "5.06"));
        assert_eq!((told(VideoState::Done).progress, told(VideoState::Waiting).status), (100, Status::Queued));
        assert_eq!(told(VideoState::Cancelled).error.unwrap().code, "cancelled");
        let unsaid = VideoRequest { width: None, height: None, frames: None, fps: None, ..request() };
        let told = Told::new(&job, &video(VideoState::Waiting), &unsaid, None);
        assert_eq!((told.size.as_str(), told.seconds.as_str()), ("", ""));
        let info = info(Experts::Single);
        let usual = &info.defaults;
        let told = Told::new(&job, &video(VideoState::Waiting), &unsaid, Some(&info));
        assert_eq!(told.size, format!("{}x{}", usual.width, usual.height));
    }
}
