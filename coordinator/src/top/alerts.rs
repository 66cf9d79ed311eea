//! What needs a person: jobs that wait, videos that failed, workers that are lost or set aside.

use wanfarm_types::{JobSummary, WorkerStatus};

use super::night::Night;
use crate::progress::counted;

/// Of one kind so many workers are named; the rest is counted.
const NAMED: usize = 3;

/// A line that asks for attention.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Alert {
    /// Something is broken; otherwise it may pass by itself.
    pub(super) bad: bool,
    pub(super) text: String,
}

/// All of them, what is broken first.
pub(super) fn alerts(night: &Night) -> Vec<Alert> {
    let mut alerts: Vec<Alert> = night.jobs_in_order().into_iter().flat_map(of_job).collect();
    of_workers(&night.workers, &mut alerts);
    alerts.sort_by_key(|alert| !alert.bad);
    alerts
}

fn of_job(job: &JobSummary) -> Vec<Alert> {
    let (open, name) = (!job.state.is_end(), &job.name);
    let mut alerts = Vec::new();
    if let Some(waiting_for) = job.waiting_for.as_deref().filter(|_| open) {
        alerts.push(Alert { bad: false, text: format!("{name} is waiting for {waiting_for}") });
    }
    if let Some(why) = &job.unreported {
        alerts.push(Alert { bad: true, text: format!("the report of {name} could not be written: {why}") });
    }
    if job.failed > 0 && open {
        let text = format!("{} of {name} failed; see: coordinator status {}", counted(job.failed, "video"), job.job);
        alerts.push(Alert { bad: true, text });
    }
    alerts
}

fn of_workers(workers: &[WorkerStatus], alerts: &mut Vec<Alert>) {
    for (state, bad) in [("set aside", true), ("refused", true), ("lost", false)] {
        let those: Vec<&WorkerStatus> = workers.iter().filter(|worker| worker.state == state).collect();
        for worker in those.iter().take(NAMED) {
            let detail = worker.detail.as_ref().map(|detail| format!(": {detail}")).unwrap_or_default();
            alerts.push(Alert { bad, text: format!("{} is {state}{detail}", worker.name) });
        }
        match those.len().saturating_sub(NAMED) {
            0 => {}
            1 => alerts.push(Alert { bad, text: format!("1 more worker is {state}") }),
            more => alerts.push(Alert { bad, text: format!("{more} more workers are {state}") }),
        }
    }
    let walled = workers.iter().filter(|worker| worker.reachable == Some(false) && worker.state != "lost");
    let names: Vec<&str> = walled.map(|worker| worker.name.as_str()).collect();
    if !names.is_empty() {
        let more = names.len().saturating_sub(NAMED);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        let names = names[..names.len().min(NAMED)].join(", ");
        let text = format!("others cannot reach {names}{more}: results go round by the coordinator, which is slower");
        alerts.push(Alert { bad: false, text });
    }
}
