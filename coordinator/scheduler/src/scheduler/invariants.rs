//! What must hold after every transition, checked from first principles and in linear time.
//! Tests and simulations call it after each input; production has no need to.

use std::collections::{BTreeMap, BTreeSet};

use wanfarm_types::{AttemptId, Role, Stage, VideoId, WorkerId};

use super::Scheduler;
use super::refresh::NO_STEPS;
use crate::attempts::Work;
use crate::job::PoolId;
use crate::placement::{Candidate, Membership, Ticket, has_room, is_better_kept, is_held_back, may_run, next_decision};
use crate::stage_result::{Holder, StageResult};
use crate::video::Video;
use crate::worker::Session;
use crate::{JobPhase, VideoPhase};

/// A state that should not exist.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("scheduler invariant broken: {0}")]
pub struct Violation(String);

type Check = Result<(), Violation>;

fn ensure(holds: bool, what: impl FnOnce() -> String) -> Check {
    if holds { Ok(()) } else { Err(Violation(what())) }
}

impl Scheduler {
    /// # Errors
    /// The first broken invariant.
    pub fn check_invariants(&self) -> Check {
        self.check_attempts()?;
        self.check_workers()?;
        self.check_results()?;
        self.check_jobs()?;
        self.check_chains()?;
        self.check_texts()?;
        self.check_kept()?;
        self.check_unwritten()?;
        self.check_memory()?;
        self.check_board()?;
        self.check_nothing_is_lost()?;
        self.check_work_is_conserved()
    }

    /// To be asked when `StopAfterStep` leaves for the first time: later on speeds may have been measured anew.
    ///
    /// # Errors
    /// The video was stopped for an idle worker that is known to be no faster.
    pub fn check_move(&self, id: AttemptId) -> Check {
        let Some(moving) = self.ledger.get(id) else { return Ok(()) };
        let slowness = |id| self.workers.get(&id).and_then(|worker| worker.slowness(moving.pool()));
        let speeds = slowness(moving.worker).zip(moving.awaited_by.and_then(slowness));
        ensure(speeds.is_none_or(|(here, there)| there < here), || {
            format!("attempt {id} moves from worker {} to {:?}, which is no faster", moving.worker, moving.awaited_by)
        })
    }

    /// To be asked when an item to decode has just been given out: later on a paused job may have been resumed.
    ///
    /// # Errors
    /// Its worker has more frames that are to be written, or will have, than it may.
    pub fn check_frames(&self, id: AttemptId) -> Check {
        let Some(decoding) = self.ledger.get(id) else { return Ok(()) };
        let coming = self
            .ledger
            .iter()
            .filter(|(_, attempt)| attempt.worker == decoding.worker && attempt.item.stage == Stage::Decode);
        let frames = self.frames_to_write().into_iter().filter(|(worker, ..)| *worker == decoding.worker).count();
        let (all, most) = (frames + coming.count(), self.config.unwritten_videos.max(1) as usize);
        ensure(all <= most, || format!("worker {} has {all} videos of frames, not {most}", decoding.worker))
    }

    /// Frames of active jobs, by the worker that holds them.
    fn frames_to_write(&self) -> BTreeSet<(WorkerId, VideoId, u64)> {
        let goes_on = |id: &VideoId, video: &Video| {
            video.state.is_open() && self.jobs.get(&id.job).is_some_and(|job| job.state == JobPhase::Active)
        };
        let open = self.videos.iter().filter(|(id, video)| goes_on(id, video));
        let frames = open.filter_map(|(id, video)| {
            let frames = video.frames.as_ref()?;
            Some((frames.holder.worker, *id, frames.tensor.byte_len().unwrap_or(u64::MAX)))
        });
        frames.collect()
    }

    /// What is counted as still to be written is what lies with the workers.
    fn check_unwritten(&self) -> Check {
        let counted = self
            .workers
            .iter()
            .flat_map(|(&worker, known)| known.unwritten.iter().map(move |(&video, &bytes)| (worker, video, bytes)));
        ensure(counted.collect::<BTreeSet<_>>() == self.frames_to_write(), || {
            "the frames counted as unwritten are not those of the videos".to_owned()
        })
    }

    /// Every attempt has one place on a living worker and one on its item, and every place has its attempt.
    fn check_attempts(&self) -> Check {
        let mut places: BTreeMap<Work, AttemptId> = BTreeMap::new();
        for (id, attempt) in self.ledger.iter() {
            ensure(id < self.ledger.next(), || format!("attempt {id} is not older than the next number"))?;
            let worker = self.workers.get(&attempt.worker);
            let placed = worker.is_some_and(|worker| {
                worker.session != Session::Gone
                    && worker.incarnation == attempt.incarnation
                    && (worker.running == Some(id) || worker.next == Some(id))
            });
            ensure(placed, || format!("attempt {id} is live, but its worker does not have it"))?;
            ensure(places.insert(attempt.work, id).is_none(), || format!("{:?} has two live attempts", attempt.work))?;
            let serves = worker.is_some_and(|worker| {
                let stops = attempt.revocation.is_some() && worker.can_run(attempt.pool());
                worker.session == Session::Lost || worker.is_member(attempt.pool()) || stops
            });
            ensure(serves, || format!("attempt {id} is on a worker without role {}", attempt.item.stage.role()))?;
            ensure(attempt.reached >= attempt.item.steps.first, || format!("attempt {id} went backwards"))?;
        }
        let texts = self.texts.iter().map(|(&key, text)| (Work::Text(key), text.attempt));
        let images = self.videos.iter().map(|(&id, video)| (Work::Image(id), video.image_attempt));
        let videos = self.videos.iter().map(|(&id, video)| (Work::Video(id), video.attempt));
        for (work, attempt) in texts.chain(images).chain(videos) {
            ensure(places.get(&work).copied() == attempt, || format!("{work:?} has {attempt:?}, the ledger differs"))?;
        }
        Ok(())
    }

    /// At most one running and one next item; a lease exactly while it may be alive.
    fn check_workers(&self) -> Check {
        let mut leases = BTreeSet::new();
        for (&id, worker) in &self.workers {
            let slots = [worker.running, worker.next];
            ensure(worker.next.is_none() || worker.running.is_some(), || format!("worker {id} has a next item only"))?;
            ensure(worker.next.is_none() || worker.next != worker.running, || {
                format!("worker {id} has one item twice")
            })?;
            for attempt in slots.into_iter().flatten() {
                let live = self.ledger.get(attempt).is_some_and(|attempt| attempt.worker == id);
                ensure(live, || format!("worker {id} has attempt {attempt}, which is not live on it"))?;
            }
            let refused = self.refusals(id);
            ensure(worker.session == Session::Gone || refused.keys().eq(worker.refused.keys()), || {
                format!("worker {id} is refused {:?}, not {refused:?}", worker.refused)
            })?;
            let watched = |id| self.ledger.get(id).is_some_and(|attempt| attempt.deadline.is_some());
            ensure(worker.running.is_none_or(watched), || format!("worker {id} may take for ever"))?;
            ensure((worker.session == Session::Gone) == worker.lease.is_none(), || format!("worker {id}: lease"))?;
            leases.extend(worker.lease.map(|lease| (lease, id)));
            if let Some(attempt) = worker.awaiting {
                let awaited = self.ledger.get(attempt).is_some_and(|attempt| attempt.awaited_by == Some(id));
                ensure(awaited && worker.running.is_none(), || format!("worker {id} waits in vain for {attempt}"))?;
            }
            for (&attempt, &work) in &worker.held {
                let known = self.refers(work, Holder { worker: id, attempt });
                ensure(known, || format!("worker {id} holds results of attempt {attempt} that nobody knows"))?;
            }
        }
        let stalls: BTreeSet<_> =
            self.ledger.iter().filter_map(|(id, attempt)| Some((attempt.deadline?, id))).collect();
        ensure(stalls == self.stalls, || "the deadlines are not those of the attempts".to_owned())?;
        ensure(leases == self.leases, || "the leases are not those of the workers".to_owned())
    }

    /// Every holder is a living worker that is known to hold it; closed videos hold no memory, done ones nothing.
    fn check_results(&self) -> Check {
        let has = |holder: &Holder| {
            let worker = self.workers.get(&holder.worker);
            worker.is_some_and(|worker| worker.session != Session::Gone && worker.held.contains_key(&holder.attempt))
        };
        let check = |what: &dyn std::fmt::Debug, result: &StageResult| {
            ensure(result.is_alive(), || format!("{what:?} keeps a result that is nowhere"))?;
            ensure(result.holder.as_ref().is_none_or(has), || format!("{what:?} has a holder that is gone"))
        };
        for (key, text) in &self.texts {
            text.result.iter().try_for_each(|result| check(key, result))?;
        }
        for (id, video) in &self.videos {
            ensure(video.moves <= self.config.max_moves, || format!("video {id} moved {} times", video.moves))?;
            video.image.iter().chain(video.checkpoints.0.values()).try_for_each(|result| check(id, result))?;
            let frames = video.frames.as_ref().map(|frames| frames.holder);
            ensure(frames.as_ref().is_none_or(has), || format!("the frames of {id} have a holder that is gone"))?;
            let results = || video.image.iter().chain(video.checkpoints.0.values());
            let held = frames.is_some() || results().any(|result| result.holder.is_some());
            ensure(video.state.is_open() || !held, || format!("video {id} is closed and still held in memory"))?;
            let left = held || results().next().is_some();
            ensure(video.state != VideoPhase::Done || !left, || format!("video {id} is done and left something"))?;
        }
        Ok(())
    }

    fn check_jobs(&self) -> Check {
        let mut open: BTreeMap<_, u32> = BTreeMap::new();
        for (id, video) in &self.videos {
            *open.entry(id.job).or_default() += u32::from(video.state.is_open());
        }
        for (&id, job) in &self.jobs {
            let counted = open.get(&id).copied().unwrap_or(0);
            ensure(job.open == counted, || format!("job {id} counts {} open videos of {counted}", job.open))?;
            let finished = job.state == JobPhase::Finished;
            ensure(finished == (counted == 0), || format!("job {id} is {:?} with {counted} open videos", job.state))?;
        }
        Ok(())
    }

    /// What is kept is within its bound, has no reader's result under the same name, and is named by no attempt; what is
    /// read was made with the weights that its readers' jobs are rendered with.
    fn check_kept(&self) -> Check {
        ensure(self.kept.beyond(self.config.kept_text_bytes).is_none(), || "too many texts are kept".to_owned())?;
        for (key, _) in self.kept.iter() {
            let is_free = self.texts.get(&key).is_none_or(|text| text.result.is_none() && text.attempt.is_none());
            ensure(is_free, || format!("text {key:?} is kept and read"))?;
        }
        for (key, text) in self.texts.iter().filter(|(_, text)| text.is_usable()) {
            let pins = text.readers.iter().filter_map(|video| self.jobs.get(&video.job)?.pins.get(&Role::TextEncoder));
            let mut others = pins.filter(|pin| text.weights.is_some_and(|weights| weights != **pin));
            ensure(others.next().is_none(), || format!("text {key:?} was made with other weights than its readers'"))?;
        }
        Ok(())
    }

    /// An open video comes after videos that are done or can be, and nothing but its texts is computed before they are.
    fn check_chains(&self) -> Check {
        for (&id, video) in self.videos.iter().filter(|(_, video)| video.state.is_open()) {
            let before = video.plan.after.iter().map(|&index| VideoId { index, ..id });
            let states: Vec<_> = before.map(|before| self.videos.get(&before).map(|video| &video.state)).collect();
            let hopeful = states.iter().all(|state| matches!(state, Some(VideoPhase::Open | VideoPhase::Done)));
            ensure(hopeful, || format!("video {id} is open and comes after one that was given up"))?;
            let ready = states.iter().all(|state| matches!(state, Some(VideoPhase::Done)));
            let works = [Work::Image(id), Work::Video(id)];
            let begun = [video.attempt, video.image_attempt].iter().any(Option::is_some)
                || works.into_iter().any(|work| self.board.ticket(work).is_some());
            ensure(ready || !begun, || format!("video {id} is computed before those that it comes after are done"))?;
        }
        Ok(())
    }

    fn check_texts(&self) -> Check {
        let mut readers: BTreeMap<_, BTreeSet<VideoId>> = BTreeMap::new();
        let mut wanting: BTreeMap<_, BTreeSet<VideoId>> = BTreeMap::new();
        for (&id, video) in self.videos.iter().filter(|(_, video)| video.state.is_open()) {
            for &key in &video.plan.texts {
                readers.entry(key).or_default().insert(id);
                if self.next_step(id, video).texts {
                    wanting.entry(key).or_default().insert(id);
                }
            }
        }
        for key in readers.keys() {
            ensure(self.texts.contains_key(key), || format!("text {key:?} has readers and is forgotten"))?;
        }
        for (key, text) in &self.texts {
            let read = readers.remove(key).unwrap_or_default();
            ensure(text.readers == read, || format!("text {key:?} has readers {:?}, not {read:?}", text.readers))?;
            let listed: BTreeSet<VideoId> = text.wanting.iter().map(|&(.., video)| video).collect();
            let wants = wanting.remove(key).unwrap_or_default();
            ensure(listed == wants, || format!("text {key:?} is wanted by {listed:?}, not {wants:?}"))?;
        }
        Ok(())
    }

    /// The board shows the state, its indexes show the board, and the policy has nothing more to say.
    fn check_board(&self) -> Check {
        let mut tickets: BTreeMap<Work, Ticket> = BTreeMap::new();
        for (&id, video) in &self.videos {
            let next_step = self.next_step(id, video);
            let run = next_step.run.and_then(|(stage, steps)| self.ticket(id, video, stage, steps));
            let image = next_step.image.then(|| self.ticket(id, video, Stage::EncodeImage, NO_STEPS)).flatten();
            tickets.extend(run.into_iter().chain(image).map(|ticket| (ticket.work, ticket)));
        }
        tickets.extend(self.texts.keys().filter_map(|&key| Some((Work::Text(key), self.text_ticket(key)?))));
        ensure(&tickets == self.board.tickets(), || {
            format!("the tickets are not those of the state: {tickets:?}, not {:?}", self.board.tickets())
        })?;
        let mut fresh = self.config.board();
        for (&id, worker) in &self.workers {
            fresh.seat(id, self.seat(worker));
        }
        for (id, video) in &self.videos {
            let Some(job) = self.jobs.get(&id.job) else { continue };
            let extent = self.next_step(*id, video).going_on.then(|| video.extent());
            for (stage, work) in video.load(extent) {
                fresh.add_load(PoolId { model: job.model, role: stage.role() }, work);
            }
        }
        for id in self.workers.keys().chain(self.board.seats().keys()) {
            let (right, found) = (fresh.seats().get(id), self.board.seats().get(id));
            ensure(right == found, || format!("the seat of worker {id} is {found:?}, not {right:?}"))?;
        }
        for (id, pool) in self.board.pools() {
            ensure(fresh.pool(id).cloned().unwrap_or_default() == *pool, || format!("pool {id:?} is out of date"))?;
        }
        let listed: Vec<(Work, _)> =
            self.board.lanes().flat_map(|(id, lane)| lane.iter().map(move |e| (e.2, id))).collect();
        let right = listed.iter().all(|(work, lane)| tickets.get(work).is_some_and(|ticket| ticket.lane == *lane));
        ensure(right && listed.len() == tickets.len(), || "the lanes are not those of the tickets".to_owned())?;
        ensure(self.dirty.is_empty(), || "something was left to refresh".to_owned())?;
        ensure(next_decision(&self.board).is_none(), || "a decision was left to carry out".to_owned())
    }

    /// No worker was given more than its memory holds.
    fn check_memory(&self) -> Check {
        for (id, worker) in &self.workers {
            let Some(memory) = &worker.residency else { continue };
            let last = worker.next.or(worker.running).and_then(|id| self.ledger.get(id));
            if let Some(attempt) = last.filter(|attempt| !attempt.restored) {
                let needs = |pool: &PoolId| memory.roles.get(pool).map_or(0, |role| role.weights);
                let others = memory.held().iter().filter(|pool| **pool != attempt.pool()).map(needs).sum::<u64>();
                let own = memory.roles.get(&attempt.pool()).map_or(u64::MAX, |role| role.needs(attempt.lane.size));
                ensure(own.saturating_add(others) <= memory.budget, || {
                    format!("worker {id} has no room for {:?} beside {:?}", attempt.lane, memory.held())
                })?;
            }
        }
        Ok(())
    }

    /// Every open video of an active job is on its way: running, ready, waiting for something that is, or being written.
    fn check_nothing_is_lost(&self) -> Check {
        let on_its_way =
            |work: Work, attempt: Option<AttemptId>| attempt.is_some() || self.board.ticket(work).is_some();
        for (&id, video) in self.videos.iter().filter(|(_, video)| video.state.is_open()) {
            if self.jobs.get(&id.job).is_none_or(|job| job.state != JobPhase::Active) {
                continue;
            }
            let writes = video.frames.is_some()
                && (video.writing.is_some() || self.timers.contains(&(video.write_after, Work::Video(id))));
            let text = video.plan.texts.iter().any(|key| {
                self.texts.get(key).is_some_and(|text| !text.is_usable() && on_its_way(Work::Text(*key), text.attempt))
            });
            let image = on_its_way(Work::Image(id), video.image_attempt);
            let rests = video.rests_until.is_some_and(|until| self.timers.contains(&(until, Work::Video(id))));
            let moves =
                writes || rests || image || text || self.waits(id, video) || on_its_way(Work::Video(id), video.attempt);
            ensure(moves, || format!("video {id} is open and nothing is on its way: {video:?}"))?;
        }
        Ok(())
    }

    /// No worker idles while there is an item it could run, but for one that waits for a faster worker. Found by brute
    /// force, not by the policy.
    fn check_work_is_conserved(&self) -> Check {
        let idle = self.board.seats().iter().filter(|(_, seat)| seat.is_idle());
        for (&worker, seat) in idle {
            for &Membership { pool: id, held, slowness } in seat.memberships.iter() {
                let Some(pool) = self.board.pool(id) else { continue };
                let has_room = |worker: &WorkerId, ticket: &Ticket| has_room(&self.board, ticket.lane, *worker);
                let slowness = slowness.or(pool.speeds.average());
                let tickets = self.board.tickets().values().filter(|ticket| ticket.lane.pool() == id);
                // It would have to load, and does so only where that pays: somebody has to be there who need not.
                let is_served = |ticket: &Ticket| {
                    !(held && has_room(&worker, ticket))
                        && pool
                            .holders
                            .iter()
                            .any(|other| has_room(other, ticket) && may_run(&self.board, pool, ticket, *other))
                };
                let tickets = tickets.filter(|ticket| seat.fits(ticket.lane) && !is_served(ticket));
                let waits_for_writing = |ticket: &Ticket| ticket.lane.stage == Stage::Decode && seat.full;
                for ticket in
                    tickets.filter(|ticket| !ticket.avoids.contains_key(&worker) && !waits_for_writing(ticket))
                {
                    let held_back = is_held_back(&self.board, ticket.lane, ticket.priority);
                    let kept = is_better_kept(&self.board, pool, ticket, Candidate { worker, slowness });
                    // Whatever the reason to keep it, a faster worker must be on the way to it.
                    let faster = pool.runners.keys().next().is_some_and(|(theirs, _)| Some(*theirs) < slowness);
                    ensure(held_back || (kept && faster), || {
                        format!("worker {worker} idles while {:?} waits", ticket.work)
                    })?;
                }
            }
        }
        Ok(())
    }
}
