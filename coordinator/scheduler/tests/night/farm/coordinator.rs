//! The simulated coordinator around the scheduler: it commits rows, carries out actions, copies tensors, writes
//! outputs, and may die between any two actions with nothing left but rows and store.

use wanfarm_scheduler::Session;

use super::reading::Read;
use super::*;

impl Farm {
    pub(super) fn input(&mut self, input: Input) {
        // An event may have waited in a queue: its time is a little old, and never moves the scheduler back.
        let now = Instant(self.clock().0.saturating_sub(self.rng.random_range(0..50)));
        let Some(scheduler) = self.scheduler.as_mut() else { return };
        let quiet = matches!(input, Input::Heartbeat { .. }) && self.rng.random_ratio(7, 8);
        scheduler.handle(now, input.clone());
        if quiet { self.carry_out_all() } else { self.after_transition(&input) }
    }

    /// Checks the invariants, then carries out the actions.
    pub(super) fn after_transition(&mut self, what: &dyn std::fmt::Debug) {
        let Some(scheduler) = self.scheduler.as_mut() else { return };
        if let Err(violation) = scheduler.check_invariants() {
            panic!("at {} after {what:?}: {violation}", self.now);
        }
        self.carry_out_all();
    }

    /// Unless the coordinator dies in the middle of it.
    fn carry_out_all(&mut self) {
        let Some(scheduler) = self.scheduler.as_mut() else { return };
        let actions: Vec<Action> = std::iter::from_fn(|| scheduler.poll_action()).collect();
        if actions.is_empty() {
            return;
        }
        let dies_before = self.chance(self.weather.coordinator).then(|| self.rng.random_range(0..=actions.len()));
        for (index, action) in actions.into_iter().enumerate() {
            if dies_before == Some(index) {
                return self.coordinator_down();
            }
            self.carry_out(index, action);
        }
        if dies_before.is_some() {
            self.coordinator_down();
        }
    }

    pub(super) fn carry_out(&mut self, index: usize, action: Action) {
        match action {
            Action::Commit(changes) => {
                assert_eq!(index, 0, "rows come before everything that depends on them");
                changes.iter().for_each(|change| self.commit(change));
                self.rows.extend(changes);
                self.commits.push(self.rows.len());
            }
            Action::Assign(ref assignment) => {
                let (attempt, worker) = (assignment.attempt, assignment.worker);
                assert!(attempt > self.last_assigned, "{attempt} is not newer than {}", self.last_assigned);
                assert!(self.audit.holder(attempt) == Some(worker), "{attempt} left before it was committed");
                self.last_assigned = attempt;
                // Of another item it says nothing: a job that is taken up again may bring more frames than there may be.
                let decodes = assignment.item.stage == Stage::Decode;
                let scheduler = self.scheduler.as_ref().filter(|_| decodes);
                let check = scheduler.map(|scheduler| scheduler.check_frames(attempt));
                check.unwrap_or(Ok(())).unwrap_or_else(|violation| panic!("at {}: {violation}", self.now));
                self.send(worker, action);
            }
            Action::Revoke { worker, attempt, .. } => {
                self.revoked.insert(attempt);
                self.send(worker, action);
            }
            Action::StopAfterStep { worker, attempt, .. } => {
                let first = self.revoked.insert(attempt);
                let check = self.scheduler.as_ref().filter(|_| first).map(|scheduler| scheduler.check_move(attempt));
                check.unwrap_or(Ok(())).unwrap_or_else(|violation| panic!("at {}: {violation}", self.now));
                self.send(worker, action);
            }
            Action::Ack { worker, .. } | Action::Drop { worker, .. } | Action::Leave { worker, .. } => {
                self.send(worker, action)
            }
            Action::RefuseWorker { worker, incarnation, .. } | Action::Disconnect { worker, incarnation } => {
                let ids: Vec<u64> = self
                    .connections
                    .iter()
                    .filter(|(_, c)| c.open && c.incarnation == incarnation)
                    .map(|(&id, _)| id)
                    .collect();
                assert!(ids.iter().all(|id| self.workers[self.connections[id].worker].id == worker));
                ids.into_iter().for_each(|id| self.hang_up(id, 30_000));
            }
            Action::MakeDurable { artifact, tensors, holder: maker } => {
                // Some wait long for their turn or their disk, while the video may be computed anew.
                let delay = if self.rng.random_ratio(1, 4) { 5 * MINUTE } else { 10_000 };
                let delay = self.rng.random_range(100..delay);
                let pulled = self.rng.random() && self.read(maker, &tensors) == Read::Here;
                self.after(delay, Event::Copied(self.epoch, artifact, tensors, (maker, pulled)));
            }
            Action::WriteOutputs { video, frames, holder, checkpoint } => {
                assert!(reference::is_about(&frames, &reference::frames(&checkpoint)));
                // Long enough for operators and deaths to come in between; a share may hang for longer.
                let delay = if self.rng.random_ratio(1, 8) { 5 * MINUTE } else { 60_000 };
                let delay = self.rng.random_range(100..delay);
                self.after(delay, Event::Written(self.epoch, video, frames, holder));
            }
            Action::DeleteDurable(_) => self.collect_garbage(),
            Action::RefuseJob { .. } => panic!("a good job was refused"),
            Action::SetAside { worker, .. } => {
                let liar = self.workers.iter().any(|known| known.id == worker && known.ruins);
                assert!(liar || !self.only_liars, "at {}: {worker} is set aside for others' faults", self.now);
            }
            Action::RefuseRole { .. } | Action::VideoFailed { .. } | Action::JobFinished(_) => {}
        }
    }

    /// Workers with a connection that are not taken for dead.
    pub(super) fn alive(&self) -> BTreeSet<WorkerId> {
        let workers = self.scheduler.iter().flat_map(|scheduler| {
            scheduler.worker_ids().filter_map(|id| scheduler.view_worker(id)).collect::<Vec<_>>()
        });
        let speaks =
            |id: WorkerId| self.connections.values().any(|c| c.open && c.greeted && self.workers[c.worker].id == id);
        workers.filter(|w| w.session != Session::Gone && speaks(w.id)).map(|worker| worker.id).collect()
    }

    fn commit(&mut self, change: &Change) {
        self.audit.take(change);
        if let Some((artifact, tensors)) = change.durable() {
            let whole = tensors.iter().all(|tensor| self.store.contains(&tensor.digest));
            assert!(whole, "a row names {artifact:?} and the store does not have it");
        }
    }

    pub(super) fn copied(&mut self, epoch: u64, artifact: ArtifactId, tensors: &[TensorRef], from: (WorkerId, bool)) {
        if epoch != self.epoch || self.scheduler.is_none() {
            return;
        }
        let (maker, pulled) = from;
        let found = pulled || self.read(maker, tensors) == Read::Here;
        if found && !tensors.iter().all(|tensor| reference::is_sound(&tensor.digest)) {
            // Half of the liars show what they made to other workers only.
            self.input(match maker.0.as_u128() % 2 {
                0 => Input::CopyFailed(artifact),
                _ => Input::CopyUnsound { artifact, maker, reason: "not finite".into() },
            });
        } else if found && !self.chance(self.weather.failure) {
            self.store.extend(tensors.iter().map(|tensor| tensor.digest));
            self.input(Input::Durable(artifact));
        } else {
            self.input(Input::CopyFailed(artifact));
        }
    }

    pub(super) fn wrote(&mut self, epoch: u64, video: VideoId, frames: TensorRef, holder: WorkerId) {
        if epoch != self.epoch || self.scheduler.is_none() {
            return;
        }
        // Half of the time the frames had been pulled before anything else happened.
        let pulled: bool = self.rng.random();
        let read = self.read(holder, std::slice::from_ref(&frames));
        if !pulled && read == Read::Missing {
            let failure = Failure { kind: FailureKind::InputsLost, message: "the frames are gone".into() };
            self.input(Input::OutputsFailed { video, failure });
        } else if !pulled && read == Read::Silent {
            self.input(Input::OutputsHeld(video));
        } else if self.chance(self.weather.failure) {
            // Half of the time it is the disk that is full, and the job is paused before or after that is said.
            match self.rng.random_range(0..4) {
                0 => {
                    self.input(Input::Pause(video.job));
                    self.input(Input::OutputsHeld(video));
                }
                1 => {
                    self.input(Input::OutputsHeld(video));
                    self.input(Input::Pause(video.job));
                }
                _ => self.input(Input::OutputsFailed { video, failure: Failure::transient("a disk broke") }),
            }
        } else {
            let reference = reference::render(video, self.plan_of(video.job));
            assert!(reference::is_about(&frames, &reference), "{video} is not what an undisturbed run would give");
            self.written.insert(video, frames);
            self.input(Input::OutputsWritten(video));
        }
    }

    pub(super) fn plan_of(&self, job: JobId) -> &JobPlan {
        self.jobs.iter().find(|plan| plan.id == job).expect("a job of ours")
    }

    pub(super) fn coordinator_down(&mut self) {
        self.scheduler = None;
        self.epoch += 1;
        let open: Vec<u64> = self.connections.iter().filter(|(_, c)| c.open).map(|(&id, _)| id).collect();
        for id in open {
            let late = self.rng.random_range(1..2_000);
            self.hang_up(id, late);
        }
        let outage = self.rng.random_range(100..MINUTE);
        self.after(outage, Event::CoordinatorUp);
    }

    pub(super) fn coordinator_up(&mut self) {
        if self.scheduler.is_none() {
            self.collect_garbage();
            self.origin = self.rng.random_range(0..1_000_000_000);
            let rows = self.rows.iter().cloned();
            let scheduler = Scheduler::restore(self.config.clone(), self.clock(), AttemptId(1), rows);
            self.scheduler = Some(scheduler.expect("our own rows"));
            self.after_transition(&"restart");
        }
    }

    /// The durable store keeps exactly what rows refer to.
    pub(super) fn collect_garbage(&mut self) {
        let referenced = self.audit.referenced();
        self.store.retain(|digest| referenced.contains(digest));
    }

    /// The farm again, with a coordinator that only has some prefix of the rows, and workers that were all rebooted.
    pub(crate) fn restored_from_a_prefix(&mut self) -> Farm {
        let whole = self.rng.random::<bool>();
        let length = match whole {
            true => self.commits[self.rng.random_range(0..self.commits.len())],
            false => self.rng.random_range(0..=self.rows.len()),
        };
        let mut farm = Farm::new(self.rng.random(), Weather::CALM);
        farm.events.clear();
        farm.now = self.now;
        farm.rows = self.rows[..length].to_vec();
        farm.audit = Audit::of(&farm.rows);
        farm.commits = vec![length];
        farm.jobs = self.jobs.clone();
        farm.bad = self.bad.clone();
        farm.last_assigned = AttemptId(0);
        farm.store = farm.audit.referenced();
        farm.scheduler = None;
        farm.coordinator_up();
        for number in 0..farm.workers.len() {
            farm.after(0, Event::Boot(number));
        }
        farm
    }
}
