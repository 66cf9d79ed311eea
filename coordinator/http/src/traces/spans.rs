//! A video that has ended as OpenTelemetry has it: a span of all of it, and below it one for each try. Pure.

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use wanfarm_types::{AttemptLine, AttemptResult, JobSummary, VideoState, VideoStatus};

/// Letters of a text in a span.
const MAX_TEXT: usize = 1000;

/// A video that has ended, and what was done for it.
pub(super) struct Rendered<'r> {
    pub(super) job: &'r JobSummary,
    pub(super) video: &'r VideoStatus,
    pub(super) attempts: &'r [AttemptLine],
    /// When it ended, if its line does not say.
    pub(super) ended: Option<&'r str>,
}

impl Rendered<'_> {
    /// Its trace; nothing where no time is known. Made again it has the same ids.
    pub(super) fn trace(&self) -> Option<ExportTraceServiceRequest> {
        let ended = self.video.ended.as_deref().or(self.ended);
        let end = nanoseconds(ended?)?;
        let key = format!("{}/{} {}", self.job.job, self.video.index, ended?);
        let [trace_id, root] = [id::<16>(&key).to_vec(), id::<8>(&key).to_vec()];
        let of_attempt = |attempt: &AttemptLine| span_of(attempt, &trace_id, &root);
        let mut spans: Vec<Span> = self.attempts.iter().filter_map(of_attempt).collect();
        let begun = self.video.started.as_deref().and_then(nanoseconds);
        let begun = spans.iter().map(|span| span.start_time_unix_nano).chain(begun).min().unwrap_or(end);
        let error = match self.video.state {
            VideoState::Failed => Some(self.video.error.clone().unwrap_or_default()),
            _ => None,
        };
        let attributes = vec![
            number("wanfarm.job", self.job.job.0),
            text("wanfarm.job.name", &self.job.name),
            number("wanfarm.video", self.video.index.into()),
            text("wanfarm.model", &self.job.model),
            text("wanfarm.state", self.video.state.name()),
            text("wanfarm.prompt", &self.video.prompt),
            text("wanfarm.output", &self.video.output),
        ];
        let verdict = self.video.verdict.as_deref().map(|verdict| text("wanfarm.verdict", verdict));
        spans.insert(
            0,
            Span {
                trace_id,
                span_id: root,
                name: "video".to_owned(),
                kind: SpanKind::Internal.into(),
                start_time_unix_nano: begun.min(end),
                end_time_unix_nano: end,
                attributes: attributes.into_iter().chain(verdict).collect(),
                status: Some(status(error)),
                ..Span::default()
            },
        );
        let scope = InstrumentationScope {
            name: "wanfarm".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            ..InstrumentationScope::default()
        };
        let attributes = vec![text("service.name", "wanfarm"), text("service.version", env!("CARGO_PKG_VERSION"))];
        let resource = Resource { attributes, ..Resource::default() };
        let scope_spans = vec![ScopeSpans { scope: Some(scope), spans, schema_url: String::new() }];
        let spans = ResourceSpans { resource: Some(resource), scope_spans, schema_url: String::new() };
        Some(ExportTraceServiceRequest { resource_spans: vec![spans] })
    }
}

/// The span of a try whose times are known.
fn span_of(attempt: &AttemptLine, trace_id: &[u8], parent: &[u8]) -> Option<Span> {
    let (begun, seconds) = (nanoseconds(attempt.begun.as_deref()?)?, attempt.seconds?);
    let taken = (seconds.max(0.0) * 1e9) as u64;
    let mut attributes = vec![
        number("wanfarm.attempt", attempt.id.0),
        text("wanfarm.worker", attempt.name.as_deref().unwrap_or_default()),
        text("wanfarm.worker.id", &attempt.worker.to_string()),
    ];
    let steps = [("wanfarm.step.first", attempt.first_step), ("wanfarm.step.last", attempt.last_step)];
    attributes.extend(steps.into_iter().filter_map(|(name, step)| Some(number(name, step?.into()))));
    let waits = [
        ("wanfarm.queue_seconds", attempt.queue_seconds),
        ("wanfarm.input_wait_seconds", attempt.input_wait_seconds),
        ("wanfarm.load_seconds", attempt.load_seconds),
    ];
    attributes.extend(waits.into_iter().filter_map(|(name, seconds)| Some(duration(name, seconds?))));
    let error = match attempt.result? {
        AttemptResult::Done | AttemptResult::Unknown => None,
        AttemptResult::Failed => Some(attempt.error.clone().unwrap_or_default()),
        AttemptResult::Revoked => Some("its work was taken back".to_owned()),
        AttemptResult::Lost => Some("its worker was lost".to_owned()),
    };
    Some(Span {
        trace_id: trace_id.to_vec(),
        span_id: id::<8>(&format!("attempt {}", attempt.id)).to_vec(),
        parent_span_id: parent.to_vec(),
        name: attempt.stage.name().to_owned(),
        kind: SpanKind::Internal.into(),
        start_time_unix_nano: begun,
        end_time_unix_nano: begun.saturating_add(taken),
        attributes,
        status: Some(status(error)),
        ..Span::default()
    })
}

fn status(error: Option<String>) -> Status {
    match error {
        None => Status { code: StatusCode::Ok.into(), message: String::new() },
        Some(why) => Status { code: StatusCode::Error.into(), message: why.chars().take(MAX_TEXT).collect() },
    }
}

/// An id that is never all zeros, which would be none.
fn id<const BYTES: usize>(of: &str) -> [u8; BYTES] {
    let mut id = [0; BYTES];
    blake3::Hasher::new_derive_key("wanfarm 2026-11 trace ids").update(of.as_bytes()).finalize_xof().fill(&mut id);
    id[0] |= 1;
    id
}

fn nanoseconds(time: &str) -> Option<u64> {
    u64::try_from(OffsetDateTime::parse(time, &Rfc3339).ok()?.unix_timestamp_nanos()).ok()
}

fn attribute(name: &str, value: Value) -> KeyValue {
    KeyValue { key: name.to_owned(), value: Some(AnyValue { value: Some(value) }), ..KeyValue::default() }
}

fn text(name: &str, value: &str) -> KeyValue {
    attribute(name, Value::StringValue(value.chars().take(MAX_TEXT).collect()))
}

fn number(name: &str, value: u64) -> KeyValue {
    attribute(name, Value::IntValue(i64::try_from(value).unwrap_or(i64::MAX)))
}

fn duration(name: &str, seconds: f64) -> KeyValue {
    attribute(name, Value::DoubleValue(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;
    use wanfarm_types::{AttemptId, JobId, Stage, WorkerId};

    fn attempt(id: u64, begun: &str, seconds: f64, result: AttemptResult) -> AttemptLine {
        AttemptLine {
            id: AttemptId(id),
            job: JobId(3),
            video: 1,
            stage: Stage::DenoiseHigh,
            worker: WorkerId(uuid::Uuid::nil()),
            name: Some("mac".into()),
            first_step: Some(0),
            last_step: Some(4),
            begun: Some(begun.into()),
            seconds: Some(seconds),
            queue_seconds: Some(0.5),
            input_wait_seconds: None,
            load_seconds: None,
            result: Some(result),
            error: None,
        }
    }

    #[test]
    fn a_video_is_one_trace_with_a_span_for_each_try_of_it() {
        let job = JobSummary { job: JobId(3), name: "night".into(), ..JobSummary::default() };
        let video = VideoStatus {
            index: 1,
            state: VideoState::Done,
            started: Some("2026-11-28T21:00:00.000Z".into()),
            ended: Some("2026-11-28T21:01:00.000Z".into()),
            ..VideoStatus::default()
        };
        let attempts = [
            attempt(7, "2026-11-28T21:00:00.500Z", 10.0, AttemptResult::Lost),
            attempt(9, "2026-11-28T21:00:20.000Z", 2.5, AttemptResult::Done),
            // Of one that never began, no time is known.
            AttemptLine { begun: None, ..attempt(10, "", 0.0, AttemptResult::Lost) },
        ];
        let rendered = Rendered { job: &job, video: &video, attempts: &attempts, ended: None };
        let trace = rendered.trace().unwrap();
        assert_eq!(trace, rendered.trace().unwrap(), "the same ids");
        let spans = &trace.resource_spans[0].scope_spans[0].spans;
        assert_eq!(
            spans.iter().map(|span| span.name.as_str()).collect::<Vec<_>>(),
            ["video", "denoise_high", "denoise_high"]
        );
        let [root, lost, done] = &spans[..] else { panic!() };
        assert_eq!(root.end_time_unix_nano - root.start_time_unix_nano, 60_000_000_000);
        assert_eq!(done.end_time_unix_nano - done.start_time_unix_nano, 2_500_000_000);
        for span in [lost, done] {
            assert_eq!((&span.trace_id, &span.parent_span_id), (&root.trace_id, &root.span_id));
            assert!(span.start_time_unix_nano >= root.start_time_unix_nano);
        }
        assert!(lost.span_id != done.span_id && root.parent_span_id.is_empty());
        assert_eq!((root.trace_id.len(), root.span_id.len()), (16, 8));
        let code = |span: &Span| span.status.as_ref().unwrap().code();
        assert_eq!([root, lost, done].map(code), [StatusCode::Ok, StatusCode::Error, StatusCode::Ok]);
    }

    #[test]
    fn a_video_that_never_began_has_its_end_alone() {
        let (job, video) =
            (JobSummary::default(), VideoStatus { state: VideoState::Cancelled, ..VideoStatus::default() });
        let of = |ended| Rendered { job: &job, video: &video, attempts: &[], ended }.trace();
        let trace = of(Some("2026-11-28T21:01:00.000Z")).unwrap();
        let span = &trace.resource_spans[0].scope_spans[0].spans[0];
        assert_eq!(span.start_time_unix_nano, span.end_time_unix_nano);
        assert!(of(None).is_none() && of(Some("soon")).is_none());
    }
}
