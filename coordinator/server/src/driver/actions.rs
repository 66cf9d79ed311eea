//! Carries out the scheduler's actions once their rows are written.

use wanfarm_scheduler::{Action, Input};
use wanfarm_types::{CoordinatorMessage, Incarnation, WorkerId};

use super::Driver;
use crate::store::Row;

impl Driver {
    pub(super) fn act(&mut self, action: Action) {
        match action {
            // Taken out where the scheduler's actions are collected.
            Action::Commit(_) => {}
            Action::Assign(assignment) => self.assign(*assignment),
            Action::Revoke { worker, incarnation, attempt } => {
                self.tell(worker, incarnation, CoordinatorMessage::Revoke(attempt));
            }
            Action::StopAfterStep { worker, incarnation, attempt } => {
                self.tell(worker, incarnation, CoordinatorMessage::StopAfterStep(attempt));
            }
            Action::Ack { worker, incarnation, attempt } => {
                self.tell(worker, incarnation, CoordinatorMessage::Acknowledge(attempt));
            }
            Action::Drop { worker, incarnation, attempt } => {
                self.tell(worker, incarnation, CoordinatorMessage::Drop(attempt));
            }
            Action::RefuseWorker { worker, incarnation, refusal } => {
                let reason = refusal.to_string();
                tracing::warn!(%worker, %reason, "worker refused");
                self.tell(worker, incarnation, CoordinatorMessage::Refused { reason, take_new_identity: false });
                self.sessions.close(worker);
            }
            Action::RefuseRole { worker, refusal } => {
                tracing::warn!(worker = %self.sessions.name(worker), reason = %refusal, "worker refused for a role");
            }
            Action::Leave { worker, incarnation } => {
                tracing::info!(worker = self.sessions.name(worker), "worker drained; telling it to leave");
                self.tell(worker, incarnation, CoordinatorMessage::Leave);
            }
            Action::Disconnect { worker, incarnation } => {
                if self.sessions.incarnation(worker) == Some(incarnation) {
                    tracing::warn!(worker = self.sessions.name(worker), "worker silent for too long");
                    self.sessions.close(worker);
                }
            }
            Action::SetAside { worker, reason } => {
                tracing::warn!(worker = self.sessions.name(worker), %reason, "worker set aside");
            }
            Action::MakeDurable { artifact, tensors, holder } => {
                self.copies.start(artifact, tensors, holder, self.sessions.source(holder));
            }
            Action::DeleteDurable(artifact) => self.copies.forget(artifact),
            Action::WriteOutputs { video, frames, holder, checkpoint } => {
                self.write_outputs(video, frames, holder, checkpoint.tensors.first().map(|latents| latents.digest));
            }
            Action::RefuseJob { job, error } => {
                // Plans are made here from checked specs; a refusal is a fault of this program.
                tracing::error!(%job, %error, "the scheduler refused a job");
                let Some(videos) = self.registry.jobs.get(job).map(|job| job.videos().len()) else { return };
                self.put(Row::Resolved { job, videos: vec![Err(error.to_string()); videos] });
                self.finish_unplanned(job);
            }
            Action::VideoFailed { video, failure } => {
                let place = self.registry.jobs.in_manifest(video).unwrap_or(video);
                tracing::warn!(video = %place, %failure, "video failed");
            }
            // Shown as finished only when the report is there, for those who wait for the end.
            Action::JobFinished(job) => {
                if let Ok(report) = self.job_report(job) {
                    self.outputs.report(report);
                }
            }
        }
    }

    pub(super) fn tell(&mut self, worker: WorkerId, incarnation: Incarnation, message: CoordinatorMessage) {
        if self.sessions.incarnation(worker) == Some(incarnation) && !self.sessions.send(worker, message) {
            tracing::warn!(worker = self.sessions.name(worker), "worker reads too slowly; closing its connection");
            self.sessions.close(worker);
            self.feed(Input::WorkerLost { worker, incarnation });
        }
    }
}
