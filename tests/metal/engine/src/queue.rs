//! Queues and their command buffers, which run in order, when the host waits.

use std::collections::VecDeque;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard};

use crate::command::{Command, execute};
use crate::findings::finding;
use crate::hazard::Order;
use crate::options::{Schedule, options};
use crate::stats::stats;

/// Command buffers that may be committed and not yet run, as on macOS.
const IN_FLIGHT: usize = 64;

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|e| e.into_inner())
}

/// How far a command buffer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    NotEnqueued,
    Enqueued,
    Committed,
    Completed,
    Error,
}

/// What to call when a command buffer has ended.
type Handler = Box<dyn FnOnce() + Send>;

struct BufferState {
    status: Status,
    commands: Vec<Command>,
    orders: Vec<Arc<Order>>,
    handlers: Vec<Handler>,
    error: Option<String>,
}

pub struct CommandBuffer {
    pub queue: Arc<Queue>,
    state: Mutex<BufferState>,
}

/// A queue: its command buffers run in the order of their commits.
pub struct Queue {
    pending: Mutex<VecDeque<Arc<CommandBuffer>>>,
}

impl Queue {
    pub fn new() -> Arc<Self> {
        Arc::new(Self { pending: Mutex::default() })
    }

    pub fn command_buffer(self: &Arc<Self>) -> Arc<CommandBuffer> {
        while lock(&self.pending).len() >= IN_FLIGHT {
            self.run_next();
        }
        stats().totals.command_buffers += 1;
        let state = BufferState {
            status: Status::NotEnqueued,
            commands: Vec::new(),
            orders: Vec::new(),
            handlers: Vec::new(),
            error: None,
        };
        Arc::new(CommandBuffer { queue: Arc::clone(self), state: Mutex::new(state) })
    }

    fn run_next(&self) {
        // Taken and run under one lock, so that no thread sees a later buffer finished before an earlier one.
        let mut pending = lock(&self.pending);
        if let Some(next) = pending.pop_front() {
            next.run();
        }
    }
}

impl CommandBuffer {
    pub fn status(&self) -> Status {
        lock(&self.state).status
    }

    pub fn error(&self) -> Option<String> {
        lock(&self.state).error.clone()
    }

    pub fn enqueue(&self) {
        let mut state = lock(&self.state);
        if state.status == Status::NotEnqueued {
            state.status = Status::Enqueued;
        }
    }

    pub fn commit(self: &Arc<Self>) {
        {
            let mut state = lock(&self.state);
            if !matches!(state.status, Status::NotEnqueued | Status::Enqueued) {
                finding("a command buffer was committed twice".into());
                return;
            }
            state.status = Status::Committed;
        }
        lock(&self.queue.pending).push_back(Arc::clone(self));
        if options().schedule == Schedule::Commit {
            self.wait();
        }
    }

    pub fn on_completed(&self, handler: Handler) {
        lock(&self.state).handlers.push(handler);
    }

    pub fn wait(&self) {
        if matches!(self.status(), Status::NotEnqueued | Status::Enqueued) {
            finding("waited for a command buffer that was never committed: it would wait for ever".into());
            return;
        }
        stats().totals.waits += 1;
        while !matches!(self.status(), Status::Completed | Status::Error) {
            self.queue.run_next();
        }
    }

    fn run(&self) {
        let (commands, orders, handlers) = {
            let mut state = lock(&self.state);
            (
                std::mem::take(&mut state.commands),
                std::mem::take(&mut state.orders),
                std::mem::take(&mut state.handlers),
            )
        };
        let mut error = lock(&self.state).error.take();
        let dispatches = commands.iter().filter(|c| matches!(c, Command::Dispatch { .. })).count() as u64;
        {
            let mut stats = stats();
            stats.longest_command_buffer = stats.longest_command_buffer.max(dispatches);
        }
        for phase in commands.split(|c| matches!(c, Command::Barrier)) {
            let mut order: Vec<&Command> = phase.iter().collect();
            if options().reverse {
                order.reverse();
            }
            for command in order {
                if error.is_none() {
                    error = execute(command).err();
                }
            }
        }
        for order in orders {
            order.done.store(true, Ordering::Release);
        }
        {
            let mut state = lock(&self.state);
            state.status = if error.is_some() { Status::Error } else { Status::Completed };
            state.error = error;
        }
        for handler in handlers {
            handler();
        }
    }

    /// Begins an encoder, which is ordered by `order`.
    pub(crate) fn begin(&self, order: Arc<Order>) {
        let mut state = lock(&self.state);
        if !matches!(state.status, Status::NotEnqueued | Status::Enqueued) {
            finding("an encoder was made on a committed command buffer".into());
        }
        state.orders.push(order);
        state.commands.push(Command::Barrier);
    }

    /// Adds a command.
    pub(crate) fn record(&self, command: Command) {
        lock(&self.state).commands.push(command);
    }

    /// Makes it end with an error.
    pub(crate) fn fail(&self, error: String) {
        lock(&self.state).error.get_or_insert(error);
    }
}
