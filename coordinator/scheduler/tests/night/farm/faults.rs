//! Who works on the farm, what is to be rendered, and what befalls them.

use super::reading::Read;
use super::*;

impl Farm {
    pub(super) fn hire(&mut self) {
        let count = self.rng.random_range(2..7);
        let elastic = self.rng.random_ratio(1, 2);
        for number in 0..count {
            // The first one serves everything, so that every role exists.
            let everything = number == 0 || self.chance(200);
            // Some machines have other files, all of them or those of some roles.
            let other_files = number != 0 && self.weather.bad_worker > 0 && self.rng.random_ratio(1, 15);
            let share = self.rng.random_range(1..3);
            let mut serves = Vec::new();
            for (model, roles) in [
                ("dual", &[Role::TextEncoder, Role::DitHigh, Role::DitLow, Role::Vae][..]),
                ("single", &[Role::TextEncoder, Role::Dit, Role::Vae][..]),
            ] {
                for &role in roles {
                    if everything || self.rng.random_ratio(1, 3) {
                        let lot = u64::from(other_files && self.rng.random_ratio(share, 2));
                        serves.push(Served {
                            model: model.into(),
                            role,
                            weights: weights(model, role, lot),
                            footprint: footprint(role),
                        });
                    }
                }
            }
            let broken = number != 0 && self.rng.random_ratio(self.weather.bad_worker.min(1000), 1000);
            let step_ms = self.rng.random_range(500..20_000);
            // Half of the farms, and some machines of the others, hold what they are told; the smallest one role at a time.
            let budget = (elastic || self.rng.random_ratio(1, 5)).then(|| self.rng.random_range(110_000..400_000));
            let mut worker = Worker::new(number, serves, budget, step_ms, broken);
            worker.ruins = number != 0 && self.chance(self.weather.ruin);
            self.workers.push(worker);
            if self.chance(self.weather.hidden) {
                self.walls.insert((None, number as usize));
            }
            for other in 0..count as usize {
                if self.chance(self.weather.hidden) {
                    self.walls.insert((Some(other), number as usize));
                }
            }
            let late = if self.chance(300) { self.rng.random_range(0..10 * MINUTE) } else { 0 };
            self.after(late, Event::Boot(number as usize));
        }
    }

    pub(super) fn plan(&mut self) {
        for id in 1..=self.rng.random_range(1..4) {
            let model = if self.chance(300) { "single" } else { "dual" };
            let total = self.rng.random_range(2..9);
            let high = self.rng.random_range(0..total);
            let videos = self.rng.random_range(1..9);
            let priority = self.rng.random_range(0..3);
            let mut plan = reference::job(id, priority, model, videos, high, total);
            plan.early_look = self.chance(200);
            self.chain(&mut plan);
            for index in 0..videos {
                if self.chance(self.weather.bad_video) {
                    let kind = if self.rng.random() { FailureKind::Deterministic } else { FailureKind::Transient };
                    self.bad.insert(VideoId { job: plan.id, index }, kind);
                }
            }
            self.jobs.push(plan);
            let at = self.rng.random_range(0..15 * MINUTE);
            self.after(at, Event::Submit(id as usize - 1));
        }
    }

    /// Lets videos of half of the jobs start from others, in any order and branching anyhow.
    fn chain(&mut self, plan: &mut JobPlan) {
        if !self.chance(500) {
            return;
        }
        let mut order: Vec<u32> = (0..plan.videos.len() as u32).collect();
        order.shuffle(&mut self.rng);
        for place in 1..order.len() {
            if self.chance(600) {
                let before = order[self.rng.random_range(0..place)];
                reference::chain(plan, &[before, order[place]]);
            }
        }
    }

    /// Gives every worker the weights that unfinished jobs are rendered with, and reboots it for that.
    pub(super) fn copy_weights(&mut self) {
        let mut pins = BTreeMap::new();
        for ((job, role), weights) in &self.audit.pins {
            if self.audit.jobs.get(job) != Some(&JobPhase::Finished) {
                pins.insert((self.jobs[job.0 as usize - 1].model.clone(), *role), *weights);
            }
        }
        for number in 0..self.workers.len() {
            let mut serves = self.workers[number].serves.clone();
            for served in &mut serves {
                let pin = pins.get(&(served.model.clone(), served.role)).copied();
                served.weights = pin.unwrap_or_else(|| weights(&served.model, served.role, 0));
            }
            if serves != self.workers[number].serves {
                self.workers[number].serves = serves;
                self.crash(number);
            }
        }
    }

    pub(super) fn next_point(&mut self, number: usize) {
        let worker = &mut self.workers[number];
        worker.generation += 1;
        let fetching = worker.inputs_to_fetch().is_some();
        if worker.running.is_some() {
            let (delay, generation) = (if fetching { 200 } else { worker.millis() }, worker.generation);
            self.after(delay, Event::Progress(number, generation));
        }
    }

    pub(super) fn progress(&mut self, number: usize, generation: u64) {
        let worker = &self.workers[number];
        if !worker.up || worker.generation != generation || worker.hung.is_some() {
            return;
        }
        if self.must_ask_again(number) {
            return self.after(1_000, Event::Progress(number, generation));
        }
        let Some(fate) = self.fate(number) else { return self.crash(number) };
        self.steps_run += 1;
        let reports = self.workers[number].progress(fate);
        self.tell(number, reports);
        self.next_point(number);
    }

    /// What becomes of the next point of the running item; `None`: the process dies of it.
    pub(super) fn fate(&mut self, number: usize) -> Option<Fate> {
        let item = self.workers[number].running.as_ref()?;
        let (video, steps) = (item.assignment.item.video, item.assignment.item.steps);
        if let Some(fetched) = self.fetch(number) {
            let failure = Failure { kind: FailureKind::InputsLost, message: "inputs are nowhere to be had".into() };
            let is_lost = fetched == Read::Missing || !self.workers[number].can_use_its_inputs();
            return Some(if is_lost { Fate::Fails(failure) } else { Fate::Well });
        }
        match self.bad.get(&video) {
            Some(FailureKind::Deterministic) if !steps.is_empty() => {
                return Some(Fate::Fails(Failure::deterministic("this size does not fit")));
            }
            // Poison: the process dies on its last step, wherever it runs.
            Some(_) if !steps.is_empty() && item.started => return None,
            _ => {}
        }
        if self.workers[number].is_loading() && self.chance(self.weather.load) {
            return Some(Fate::LoadFails);
        }
        if self.workers[number].broken || self.chance(self.weather.failure) {
            let kind = if self.chance(200) { FailureKind::NotFinite } else { FailureKind::Transient };
            return Some(Fate::Fails(Failure { kind, message: "something broke".into() }));
        }
        Some(Fate::Well)
    }

    pub(super) fn crash(&mut self, number: usize) {
        let worker = &mut self.workers[number];
        worker.up = false;
        worker.generation += 1;
        worker.asleep_until = None;
        let connection = worker.connection.take();
        let (id, incarnation) = (worker.id, worker.incarnation());
        if let Some(connection) = connection {
            let noticed = self.rng.random_range(1..3_000);
            if self.chance(300) {
                // A supervisor on the same machine saw it exit.
                self.input(Input::WorkerGone { worker: id, incarnation, clean: false });
            }
            self.after(noticed, Event::Lost(connection));
        }
        let reboot = self.rng.random_range(1_000..5 * MINUTE);
        self.after(reboot, Event::Boot(number));
    }

    pub(super) fn minute(&mut self) {
        for number in 0..self.workers.len() {
            if !self.workers[number].up {
                continue;
            }
            self.assert_nothing_hangs_for_ever(number);
            if self.chance(self.weather.crash) {
                self.crash(number);
            } else if self.chance(self.weather.sleep) {
                self.workers[number].asleep_until = Some(self.now + self.rng.random_range(1_000..10 * MINUTE));
            } else if self.chance(self.weather.hang) && self.workers[number].hung.is_none() {
                self.workers[number].hung = Some((self.now, self.workers[number].running_attempt()));
            } else if self.chance(self.weather.cut)
                && let Some(id) = self.workers[number].connection.take()
            {
                let (noticed, pause) = (self.rng.random_range(1..4_000), self.rng.random_range(1..8_000));
                self.after(noticed, Event::Lost(id));
                self.after(pause, Event::Dial(number));
            }
        }
        if self.chance(self.weather.operator) && self.stopped_until <= self.now {
            self.operate();
        }
        if self.chance(self.weather.stop) {
            // What waits for the end of one stop must not come after the end of the next.
            self.stopped_until = self.stopped_until.max(self.now + self.rng.random_range(1_000..10 * MINUTE));
        }
        self.after(MINUTE, Event::Minute);
    }

    /// What a device hangs in is given up, also when the coordinator started again in between.
    fn assert_nothing_hangs_for_ever(&self, number: usize) {
        let worker = &self.workers[number];
        let Some((since, Some(attempt))) = worker.hung else { return };
        let out =
            self.now > since.max(self.stopped_until) + 20 * MINUTE && self.audit.holder(attempt) == Some(worker.id);
        assert!(!out, "{attempt} hangs on {:?} since {since}", worker.id);
    }

    pub(super) fn operate(&mut self) {
        let job = JobId(self.rng.random_range(1..=self.jobs.len() as u64));
        let video = VideoId { job, index: self.rng.random_range(0..8) };
        let worker = self.workers[self.rng.random_range(0..self.workers.len())].id;
        let input = match self.rng.random_range(0..15) {
            0 => Input::Pause(job),
            1 | 2 => Input::Resume(job),
            3 => Input::Cancel(Target::Video(video)),
            4 => Input::Retry(Target::Job(job)),
            5 => Input::Retry(Target::Video(video)),
            6 => Input::Drain(worker),
            8 | 9 => Input::Forget(job),
            10 => Input::ForgetWorker(worker),
            11 if self.rng.random_ratio(1, 3) => {
                self.input(Input::Cancel(Target::Job(job)));
                Input::Forget(job)
            }
            12 => Input::AssignRoles(worker, None),
            14 => Input::SetPriority(job, self.rng.random_range(0..3)),
            13 => {
                let roles = [Role::TextEncoder, Role::DitHigh, Role::DitLow, Role::Dit, Role::Vae];
                Input::AssignRoles(worker, Some(roles.into_iter().filter(|_| self.rng.random_ratio(1, 2)).collect()))
            }
            7 if self.rng.random_ratio(1, 3) => Input::Cancel(Target::Job(job)),
            _ => Input::WorkerEnabled(worker),
        };
        self.input(input);
    }
}

fn footprint(role: Role) -> Footprint {
    let weights = match role {
        Role::TextEncoder => 30_000,
        Role::DitHigh | Role::DitLow | Role::Dit => 100_000,
        Role::Vae => 5_000,
    };
    Footprint { weights, item: 1_000, per_token: 4, per_frame_token: 1, per_kept_token: 2 }
}

fn weights(model: &str, role: Role, lot: u64) -> Digest {
    reference::digest(&[model.len() as u64, role as u64, lot])
}
