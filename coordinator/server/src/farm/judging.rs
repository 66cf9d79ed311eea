//! What the farm makes of a submission before it takes it: whether it is sound, which videos it can render, how long they
//! take and how much room.

use tonic::Status;
use wanfarm_client::{Accelerated, accelerations};
use wanfarm_manifest::{Submission, plan};
use wanfarm_proto::v1;
use wanfarm_scheduler::NoRoom;
use wanfarm_types::{About, VideoRequest, VideoSpec};

use super::{FarmService, on_a_thread, wire};
use crate::estimate::{Estimate, Footprint, Space, Workload, lack, needs, room_words};
use crate::requests::{Request, ServedRole, Settled};

/// Faults of single videos that an estimate names.
const MAX_FAULTS: usize = 20;

/// A submission, and what the model makes of it.
pub(super) struct Judged {
    pub(super) submission: Submission,
    /// Why the model cannot render some of its videos.
    pub(super) unfit: Option<String>,
    /// What each video takes on disks; none where the model is not known, or not all are fit.
    pub(super) footprints: Vec<Footprint>,
    /// How many videos are under way at a time.
    pub(super) under_way: u64,
}

impl FarmService {
    /// What a submission needs to know of the farm.
    async fn farm_of(&self, submission: &Submission) -> Result<crate::requests::Farm, Status> {
        let model = submission.model.clone();
        let images = submission.videos.iter().flat_map(VideoRequest::files).collect();
        self.ask(|reply| Request::Farm { model, images, reply }).await
    }

    /// Resolves a submission for its model, if that is known.
    pub(super) async fn judge(&self, submission: Submission) -> Result<Judged, Status> {
        let farm = self.farm_of(&submission).await?;
        let under_way = under_way(&farm.roles);
        let Some(info) = farm.info else {
            return Ok(Judged { submission, unfit: None, footprints: Vec::new(), under_way });
        };
        on_a_thread(move || {
            let resolved = plan::resolve_all(&submission.videos, |image| farm.images.get(image), &info);
            let (mut twins, mut footprints) = (wanfarm_manifest::Twins::default(), Vec::new());
            let unfit = (0..).zip(&submission.videos).zip(&resolved).filter_map(|((index, request), resolved)| {
                let mut twin = |spec: &VideoSpec| {
                    let [width, height] = [spec.width, spec.height].map(Some);
                    twins.find(index, &VideoRequest { width, height, ..request.clone() }, Some(&info))
                };
                let why = match resolved {
                    Err(why) => why.clone(),
                    Ok((plan, spec)) => match twin(spec) {
                        Some(first) => format!("it is video {first} again; give it another seed, or leave it out"),
                        None => {
                            footprints.push(Footprint::of(spec, &info.geometry));
                            no_room(lack(plan, &farm.rooms)?)
                        }
                    },
                };
                Some(format!("video {index}: {why}"))
            });
            let unfit: Vec<String> = unfit.take(MAX_FAULTS).collect();
            let unfit = (!unfit.is_empty()).then(|| unfit.join("; "));
            Judged { submission, unfit, footprints, under_way }
        })
        .await
    }

    /// A submission from the wire, checked. A large one takes a while, and much memory if it is hostile.
    pub(super) async fn read(&self, wire: v1::SubmitRequest) -> Result<(Submission, About), Status> {
        let _turn = self.checking.acquire().await.map_err(|closed| Status::internal(closed.to_string()))?;
        on_a_thread(move || submission(wire)).await?
    }

    pub(super) async fn estimate_submission(&self, mut submission: Submission) -> Result<v1::EstimateReply, Status> {
        let ask = |submission, places, reply| Request::Settle { submission, places, reply };
        let names = match self.with_places(submission.clone(), ask).await?.0 {
            Ok(Settled { videos, renamed, left_out }) => {
                submission.videos = videos;
                v1::EstimateReply { renamed, left_out, ..v1::EstimateReply::default() }
            }
            Err(taken) => v1::EstimateReply { taken: taken.to_string(), ..v1::EstimateReply::default() },
        };
        let v1::EstimateReply { taken, renamed, left_out, .. } = names;
        let estimate = self.estimate_work(submission).await?;
        Ok(v1::EstimateReply { taken, renamed, left_out, ..estimate })
    }

    async fn estimate_work(&self, submission: Submission) -> Result<v1::EstimateReply, Status> {
        let farm = self.farm_of(&submission).await?;
        let count = u32::try_from(submission.videos.len()).unwrap_or(u32::MAX);
        let Some(info) = farm.info else {
            let waiting_for = farm.waiting_for;
            return Ok(v1::EstimateReply { videos: count, waiting_for, ..v1::EstimateReply::default() });
        };
        // Ten thousand videos take a moment; the connection's thread has others to serve.
        let planned = on_a_thread(move || {
            let (mut faults, mut specs) = (Vec::new(), Vec::new());
            let (mut footprints, mut plans) = (Vec::new(), Vec::new());
            let resolved = plan::resolve_all(&submission.videos, |image| farm.images.get(image), &info);
            for (index, resolved) in (0..).zip(resolved) {
                match resolved {
                    Ok((plan, spec)) => {
                        if let Some(lack) = lack(&plan, &farm.rooms) {
                            faults.push(v1::VideoFault { index, why: no_room(lack) });
                        }
                        footprints.push(Footprint::of(&spec, &info.geometry));
                        specs.push(spec);
                        plans.push(plan);
                    }
                    Err(why) => faults.push(v1::VideoFault { index, why }),
                }
            }
            let estimate = Estimate::new(&Workload::of(&plans), &farm.force);
            let space = Space::of(footprints, under_way(&farm.roles));
            faults.truncate(MAX_FAULTS);
            let accelerations = accelerations(specs.iter().map(Accelerated::from));
            let needs = needs(&plans, &farm.rooms);
            let reply = wire::estimate(estimate, farm.roles, &needs);
            (space, v1::EstimateReply { videos: count, faults, accelerations, ..reply })
        });
        let (space, reply) = planned.await?;
        let shortages = self.shortages(space).await?.into_iter().map(wire::shortage).collect();
        Ok(v1::EstimateReply { waiting_for: farm.waiting_for, shortages, ..reply })
    }
}

/// How many videos are under way at a time, about: each worker has one.
fn under_way(roles: &[ServedRole]) -> u64 {
    roles.iter().map(|served| u64::from(served.workers)).sum()
}

fn no_room(lack: NoRoom) -> String {
    format!("no worker has room for {}: {}", lack.role, room_words(lack))
}

/// A submission from anywhere, checked as strictly as if a manifest had been read here.
fn submission(wire: v1::SubmitRequest) -> Result<(Submission, About), Status> {
    let about = About { owner: wire.owner, note: wire.note, labels: wire.labels.into_iter().collect() };
    about.check().map_err(|bad| Status::invalid_argument(bad.to_string()))?;
    wanfarm_manifest::check_count(wire.videos.len()).map_err(Status::invalid_argument)?;
    let mut submission = Submission {
        client_key: wire.client_key,
        name: wire.name,
        model: wire.model,
        priority: wire.priority.unwrap_or(wanfarm_manifest::DEFAULT_PRIORITY),
        early_look: wire.early_look,
        taken: wire::taken(wire.taken)?,
        videos: wire.videos.into_iter().map(TryInto::try_into).collect::<Result<_, _>>()?,
    };
    wanfarm_manifest::complete(&mut submission);
    wanfarm_manifest::check_submission(&submission).map_err(Status::invalid_argument)?;
    Ok((submission, about))
}
