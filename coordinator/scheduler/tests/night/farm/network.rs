//! Connections: each keeps its order until it breaks, and then swallows what was under way. Nothing crosses from one
//! connection to the next; re-attachment settles what was missed.

use super::*;

impl Farm {
    /// Sends on the open connection of a worker, if any; what was sent first arrives first.
    pub(super) fn send(&mut self, worker: WorkerId, message: Action) {
        let workers = &self.workers;
        let open = self.connections.iter_mut().find(|(_, c)| c.open && c.greeted && workers[c.worker].id == worker);
        let Some((&id, connection)) = open else { return };
        connection.arrived[0] = connection.arrived[0].max(self.now + self.rng.random_range(1..300));
        let (number, at) = (connection.worker, connection.arrived[0]);
        self.after(at - self.now, Event::ToWorker(number, id, message));
    }

    pub(super) fn say(&mut self, number: usize, input: Input) {
        let Some(id) = self.workers[number].connection else { return };
        let hello = matches!(input, Input::WorkerJoined(_));
        let copies = if !hello && self.chance(self.weather.doubled) { 2 } else { 1 };
        for _ in 0..copies {
            let Some(connection) = self.connections.get_mut(&id) else { return };
            connection.arrived[1] = connection.arrived[1].max(self.now + self.rng.random_range(1..300));
            let at = connection.arrived[1];
            self.after(at - self.now, Event::ToCoordinator(id, input.clone()));
        }
    }

    pub(super) fn dial(&mut self, number: usize) {
        if !self.workers[number].up || self.workers[number].connection.is_some() {
            return;
        }
        if self.scheduler.is_none() {
            return self.after(1_000, Event::Dial(number));
        }
        // The new connection takes the place of a half-open one.
        let old = self.connections.iter().filter(|(_, c)| c.worker == number && c.open).map(|(&id, _)| id);
        for id in old.collect::<Vec<_>>() {
            if self.rng.random() {
                self.lost(id);
            }
            if let Some(connection) = self.connections.get_mut(&id) {
                connection.open = false;
            }
        }
        if self.scheduler.is_none() {
            return self.after(1_000, Event::Dial(number));
        }
        self.sequence += 1;
        let id = self.sequence;
        let incarnation = self.workers[number].incarnation();
        let connection = Connection { worker: number, incarnation, open: true, greeted: false, arrived: [self.now; 2] };
        self.connections.retain(|_, connection| connection.open);
        self.connections.insert(id, connection);
        self.workers[number].connection = Some(id);
        self.say(number, Input::WorkerJoined(self.workers[number].hello()));
        for (attempt, report) in self.workers[number].buffer.clone() {
            let worker = self.workers[number].id;
            self.say(number, Input::Report { worker, incarnation, attempt, report });
        }
    }

    pub(super) fn deliver(&mut self, number: usize, message: &Action) {
        if let Action::Leave { worker, incarnation } = *message {
            self.say(number, Input::WorkerGone { worker, incarnation, clean: true });
            return self.crash(number);
        }
        let (changed, reports) = self.workers[number].receive(message, &self.jobs);
        self.tell(number, reports);
        if changed {
            self.next_point(number);
        }
    }

    pub(super) fn tell(&mut self, number: usize, reports: Vec<(AttemptId, wanfarm_types::Report)>) {
        for (attempt, report) in reports {
            let (worker, incarnation) = (self.workers[number].id, self.workers[number].incarnation());
            self.workers[number].buffer.push((attempt, report.clone()));
            if self.rng.random_ratio(1, 4) {
                self.workers[number].said = Some((attempt, report.clone()));
            }
            self.say(number, Input::Report { worker, incarnation, attempt, report });
        }
    }

    pub(super) fn heartbeat(&mut self, number: usize, boots: u64) {
        let worker = &self.workers[number];
        if !worker.up || worker.boots != boots {
            return;
        }
        let (id, incarnation) = (worker.id, worker.incarnation());
        self.say(number, Input::Heartbeat { worker: id, incarnation });
        if self.chance(self.weather.lie) {
            // A liar may ruin what it was given, and nothing else: about the work of others it lies credibly.
            let (attempt, report) = match self.audit.held_by_others(id).last() {
                Some(attempt) if self.rng.random() => (attempt, Worker::forge()),
                _ => {
                    let attempt = AttemptId(self.rng.random_range(0..=self.last_assigned.0 + 2));
                    (attempt, self.workers[number].lie(attempt, self.rng.random()))
                }
            };
            // A worker that says that its item has ended does not run it any more.
            if report.is_final() && self.workers[number].abandon(attempt) {
                self.next_point(number);
            }
            self.say(number, Input::Report { worker: id, incarnation, attempt, report });
        }
        if self.chance(self.weather.lie)
            && let Some((attempt, report)) = self.workers[number].said.clone()
        {
            self.say(number, Input::Report { worker: id, incarnation, attempt, report });
        }
        self.after(HEARTBEAT, Event::Heartbeat(number, boots));
    }

    pub(super) fn lost(&mut self, id: u64) {
        let Some(connection) = self.connections.get_mut(&id).filter(|connection| connection.open) else { return };
        connection.open = false;
        let (worker, incarnation) = (self.workers[connection.worker].id, connection.incarnation);
        self.input(Input::WorkerLost { worker, incarnation });
    }

    /// Closes a connection from the coordinator's side; the worker notices `late`.
    pub(super) fn hang_up(&mut self, id: u64, late: u64) {
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.open = false;
            let worker = connection.worker;
            self.after(late, Event::Closed(worker, id));
        }
    }
}
