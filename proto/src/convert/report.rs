//! What came of a job.

use wanfarm_types as domain;

use super::lenient::{all, known, positive, share, shared, some};
use super::worker_status::weights;
use crate::v1;

impl From<domain::JobReport> for v1::GetReportReply {
    fn from(report: domain::JobReport) -> Self {
        Self {
            job: Some(report.job.into()),
            output_dir: report.output_dir,
            wall_seconds: report.wall_seconds,
            render_seconds: report.render_seconds.unwrap_or(0.0),
            bottleneck: report.bottleneck.unwrap_or_default(),
            stages: all(report.stages),
            roles: all(report.roles),
            workers: all(report.workers),
            videos: shared(report.videos),
            machines: all(report.machines),
            lost: all(report.lost),
            forecast: report
                .forecast
                .map(|told| v1::Forecast { at: told.at.unwrap_or_default(), seconds: told.seconds }),
            next_page_token: String::new(),
        }
    }
}

impl From<v1::GetReportReply> for domain::JobReport {
    fn from(wire: v1::GetReportReply) -> Self {
        Self {
            job: wire.job.unwrap_or_default().into(),
            output_dir: wire.output_dir,
            wall_seconds: wire.wall_seconds,
            render_seconds: positive(wire.render_seconds),
            bottleneck: some(wire.bottleneck),
            stages: all(wire.stages),
            roles: all(wire.roles),
            workers: all(wire.workers),
            videos: share(wire.videos),
            machines: all(wire.machines),
            lost: all(wire.lost),
            forecast: wire.forecast.map(|told| domain::Forecast { at: some(told.at), seconds: told.seconds }),
        }
    }
}

impl From<domain::EffortLine> for v1::Effort {
    fn from(line: domain::EffortLine) -> Self {
        let domain::EffortLine { name, workers, busy, effort } = line;
        Self {
            name,
            workers,
            busy,
            attempts: effort.attempts,
            failed: effort.failed,
            steps: effort.steps,
            seconds: effort.seconds,
            queue_seconds: effort.queue_seconds,
            input_wait_seconds: effort.input_wait_seconds,
            loads: effort.loads,
            load_seconds: effort.load_seconds,
            forward_passes: effort.forward_passes,
            skipped: effort.skipped,
        }
    }
}

impl From<v1::Effort> for domain::EffortLine {
    fn from(wire: v1::Effort) -> Self {
        let effort = domain::Effort {
            attempts: wire.attempts,
            failed: wire.failed,
            steps: wire.steps,
            seconds: wire.seconds,
            queue_seconds: wire.queue_seconds,
            input_wait_seconds: wire.input_wait_seconds,
            loads: wire.loads,
            load_seconds: wire.load_seconds,
            forward_passes: wire.forward_passes,
            skipped: wire.skipped,
        };
        Self { name: wire.name, workers: wire.workers, busy: wire.busy, effort }
    }
}

impl From<domain::Machine> for v1::Machine {
    fn from(machine: domain::Machine) -> Self {
        let domain::Machine { name, device, memory_bytes, weights } = machine;
        Self { name, device, memory_bytes: memory_bytes.unwrap_or(0), weights: all(weights) }
    }
}

impl From<v1::Machine> for domain::Machine {
    fn from(wire: v1::Machine) -> Self {
        let memory_bytes = Some(wire.memory_bytes).filter(|bytes| *bytes > 0);
        Self { name: wire.name, device: wire.device, memory_bytes, weights: weights(wire.weights) }
    }
}

impl From<domain::LostFile> for v1::OutputFile {
    fn from(lost: domain::LostFile) -> Self {
        let state = v1::FileState::from(lost.state).into();
        let replaced_by = lost.replaced_by.map_or(0, |job| job.0);
        Self { video: lost.video, path: lost.path, state, replaced_by, ..Self::default() }
    }
}

impl From<v1::OutputFile> for domain::LostFile {
    fn from(wire: v1::OutputFile) -> Self {
        let replaced_by = Some(domain::JobId(wire.replaced_by)).filter(|job| job.0 != 0);
        let state = known(wire.state).unwrap_or(domain::FileState::Unknown);
        Self { video: wire.video, path: wire.path, state, replaced_by }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::convert::status::tests::{job, video};
    use std::sync::Arc;

    #[test]
    fn a_report_crosses_the_wire_unchanged() {
        let weights = vec![domain::StoredWeights {
            model: "m".into(),
            role: domain::Role::Vae,
            encoding: "bf16".into(),
            bytes: 7,
        }];
        let effort = domain::Effort { attempts: 4, failed: 1, steps: 9, seconds: 0.1, ..domain::Effort::default() };
        let line = |name: &str| domain::EffortLine::new(name.into(), 2, effort, Some(3.0));
        let machine = domain::Machine { name: "mac".into(), device: "cpu".into(), memory_bytes: None, weights };
        let lost = |state, replaced_by| domain::LostFile { video: 1, path: "a.mp4".into(), state, replaced_by };
        let report = domain::JobReport {
            job: job(),
            output_dir: "/out".into(),
            wall_seconds: 5.5,
            render_seconds: Some(3.0),
            bottleneck: Some("vae".into()),
            stages: vec![line("decode")],
            roles: vec![line("vae")],
            workers: vec![line("mac")],
            videos: vec![Arc::new(video())],
            machines: vec![machine],
            lost: vec![
                lost(domain::FileState::Missing, None),
                lost(domain::FileState::Replaced, Some(domain::JobId(4))),
            ],
            forecast: Some(domain::Forecast { at: Some("2026-11-28T21:04:05.250Z".into()), seconds: 7.5 }),
        };
        assert_eq!(domain::JobReport::from(v1::GetReportReply::from(report.clone())), report);
    }

    #[test]
    fn what_is_not_known_is_absent_and_what_is_new_is_unknown() {
        let nothing = domain::JobReport::from(v1::GetReportReply::default());
        assert_eq!((nothing.bottleneck, nothing.render_seconds), (None, None));
        let lost = domain::LostFile::from(v1::OutputFile { state: 99, ..v1::OutputFile::default() });
        assert_eq!((lost.state, lost.replaced_by), (domain::FileState::Unknown, None));
    }
}
