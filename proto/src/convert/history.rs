//! What happened, to the wire.

use wanfarm_types as domain;

use crate::v1;

impl From<domain::FarmEvent> for v1::FarmEvent {
    fn from(event: domain::FarmEvent) -> Self {
        let domain::FarmEvent { id, at, kind, job, video, worker, name, by, before, after, detail } = event;
        Self {
            id,
            at: at.unwrap_or_default(),
            r#type: kind.name().to_owned(),
            job: job.map(|job| job.0),
            video,
            worker: worker.map(|worker| worker.to_string()),
            name,
            by,
            before,
            after,
            detail,
        }
    }
}
