//! What a request needs. By its path alone, so that nothing of it is read before; what is not named here needs most.

use wanfarm_types::Access;

/// What whoever asks has to be allowed; `None`: nothing.
pub(super) fn needed(reads: bool, path: &str) -> Option<Access> {
    if let Some(method) = path.strip_prefix("/render.v1.Farm/") {
        return Some(of_farm(method));
    }
    let below = |folder: &str| path.strip_prefix(folder).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    let page = ["/enter", "/enter.html", "/enter.js", "/theme.js", "/style.css", "/icon.svg"];
    let open = ["/healthz", "/readyz", "/render.v1.Access/Enrol", "/grpc.health.v1.Health/Check"];
    if open.contains(&path) || page.contains(&path) {
        return None;
    }
    Some(match () {
        () if below("/render.v1.Dispatch") || below("/render.v1.Tensors") => Access::Worker,
        () if path.starts_with("/grpc.reflection.") => Access::Viewer,
        // Streams without end, of which a stranger would open as many as there may be.
        () if path.starts_with("/grpc.health.") => Access::Viewer,
        // For themselves, within what they may do; more is the service's to refuse.
        () if path == "/render.v1.Access/Grant" => Access::Viewer,
        () if path.starts_with("/render.") || path.starts_with("/grpc.") => Access::Operator,
        // Targets are told as they were given, and who adds one has this machine speak to it.
        () if below("/api/v1/webhooks") => Access::Operator,
        () if reads => Access::Viewer,
        () if below("/api/v1/workers") => Access::Operator,
        () => Access::Submitter,
    })
}

fn of_farm(method: &str) -> Access {
    match method {
        // Of those who compute: they are about to read the files.
        "ListModels" => Access::Worker,
        "GetModel" | "Estimate" | "Watch" | "WatchFarm" | "ListEvents" | "ListJobs" | "GetReport" | "ListFiles"
        | "ReadFile" | "ListWorkers" | "WorkerLog" => Access::Viewer,
        "MissingFiles" | "PutFile" | "Submit" | "SubmitManifest" | "RenderAgain" | "ControlJob" => Access::Submitter,
        _ => Access::Operator,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_path_needs_something_unless_it_is_for_everybody() {
        use Access::{Operator, Submitter, Viewer, Worker};
        for (reads, path, access) in [
            (true, "/", Some(Viewer)),
            (true, "/jobs/7", Some(Viewer)),
            (true, "/api/v1/jobs/7/report.json", Some(Viewer)),
            (true, "/metrics", Some(Viewer)),
            (true, "/enter", None),
            (false, "/enter", None),
            (true, "/entering", Some(Viewer)),
            (true, "/healthz", None),
            (false, "/grpc.health.v1.Health/Check", None),
            (false, "/grpc.health.v1.Health/Watch", Some(Viewer)),
            (false, "/api/v1/jobs", Some(Submitter)),
            (false, "/v1/videos", Some(Submitter)),
            (false, "/api/v1/workers/x", Some(Operator)),
            (false, "/api/v1/workersx", Some(Submitter)),
            (true, "/api/v1/workers/x/log", Some(Viewer)),
            (true, "/api/v1/webhooks", Some(Operator)),
            (false, "/api/v1/webhooks/x", Some(Operator)),
            (false, "/render.v1.Farm/Submit", Some(Submitter)),
            (false, "/render.v1.Farm/ListJobs", Some(Viewer)),
            (false, "/render.v1.Farm/ListModels", Some(Worker)),
            (false, "/render.v1.Farm/ControlWorker", Some(Operator)),
            (false, "/render.v1.Farm/Whatever", Some(Operator)),
            (false, "/render.v1.Dispatch/Attach", Some(Worker)),
            (false, "/render.v1.Tensors/Read", Some(Worker)),
            (false, "/render.v1.Access/Enrol", None),
            (false, "/render.v1.Access/Grant", Some(Viewer)),
            (false, "/render.v1.Access/Revoke", Some(Operator)),
            (false, "/render.v2.Farm/ListJobs", Some(Operator)),
        ] {
            assert_eq!(needed(reads, path), access, "{path}");
        }
    }
}
