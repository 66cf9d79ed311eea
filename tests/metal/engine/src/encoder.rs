//! Encoders: record commands, and check what they are given and whether anything orders them.

use std::ffi::c_void;
use std::sync::{Arc, Mutex, OnceLock};

use crate::command::{Bound, Command};
use crate::findings::finding;
use crate::hazard::{Fence, Order, hazards};
use crate::launch::{Launch, MAX_BUFFERS};
use crate::library::Pipeline;
use crate::memory::Memory;
use crate::options::options;
use crate::queue::{CommandBuffer, lock};
use crate::stats::stats;

/// What the next dispatch is given.
struct Bindings {
    bound: [Option<Bound>; MAX_BUFFERS],
    threadgroup: [u32; MAX_BUFFERS],
    pipeline: Option<Arc<Pipeline>>,
}

/// Records compute or copy commands.
pub struct Encoder {
    buffer: Arc<CommandBuffer>,
    order: Arc<Order>,
    concurrent: bool,
    ended: OnceLock<()>,
    bindings: Mutex<Bindings>,
}

impl Encoder {
    /// A new encoder; `concurrent` if its dispatches may overlap.
    pub fn new(buffer: &Arc<CommandBuffer>, concurrent: bool) -> Self {
        stats().totals.encoders += 1;
        let order = Order::new();
        buffer.begin(Arc::clone(&order));
        let bindings = Bindings { bound: Default::default(), threadgroup: [0; MAX_BUFFERS], pipeline: None };
        Self { buffer: Arc::clone(buffer), order, concurrent, ended: OnceLock::new(), bindings: Mutex::new(bindings) }
    }

    pub fn command_buffer(&self) -> &Arc<CommandBuffer> {
        &self.buffer
    }

    fn record(&self, command: Command) {
        if self.ended.get().is_some() {
            finding("a command was encoded after endEncoding".into());
        }
        self.buffer.record(command);
    }

    pub fn end(&self) {
        if self.ended.set(()).is_err() {
            finding("endEncoding twice".into());
        }
    }

    pub fn barrier(&self) {
        stats().totals.barriers += 1;
        self.order.barrier();
        self.record(Command::Barrier);
    }

    pub fn wait(&self, fence: &Fence) {
        self.order.wait(fence);
    }

    pub fn update(&self, fence: &Fence) {
        self.order.update(fence);
    }

    pub fn set_pipeline(&self, pipeline: Arc<Pipeline>) {
        let mut bindings = lock(&self.bindings);
        bindings.pipeline = Some(pipeline);
        // On macOS they would stay; who counts on that passes something that another kernel was given.
        bindings.bound = Default::default();
    }

    pub fn set_buffer(&self, index: usize, memory: Option<Arc<Memory>>, offset: usize) {
        lock(&self.bindings).bound[index] = memory.map(|m| Bound::Memory(m, offset));
    }

    pub fn set_bytes(&self, index: usize, bytes: &[u8]) {
        if bytes.len() > 4096 {
            finding(format!("setBytes with {} bytes; at most 4096 are allowed", bytes.len()));
        }
        let mut copy = vec![u128::MAX; bytes.len().div_ceil(16) + 4];
        // SAFETY: the copy is longer.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), copy.as_mut_ptr().cast::<u8>(), bytes.len()) };
        lock(&self.bindings).bound[index] = Some(Bound::Bytes(Arc::new(copy), bytes.len()));
    }

    pub fn set_threadgroup_length(&self, index: usize, length: usize) {
        lock(&self.bindings).threadgroup[index] = u32::try_from(length).unwrap_or(u32::MAX);
    }

    /// Dispatches `grid` threads in groups of `threads`.
    pub fn dispatch(&self, grid: [usize; 3], threads: [usize; 3]) {
        let bindings = lock(&self.bindings);
        let Some(pipeline) = bindings.pipeline.clone() else {
            return finding("a dispatch without a pipeline".into());
        };
        let name = &pipeline.name;
        let per_group: usize = threads.iter().product();
        if per_group == 0 || grid.contains(&0) {
            return finding(format!("{name}: an empty dispatch, grid {grid:?} in groups of {threads:?}"));
        }
        if per_group > pipeline.max_threads {
            return self
                .fail(format!("{name}: {per_group} threads per group, at most {} are allowed", pipeline.max_threads));
        }
        let word = |n: [usize; 3]| n.map(|n| u32::try_from(n).unwrap_or(u32::MAX));
        let groups = std::array::from_fn(|k| grid[k].div_ceil(threads[k]));
        let mut launch = Box::new(Launch {
            grid: word(grid),
            threads: word(threads),
            groups: word(groups),
            buffer: [std::ptr::null_mut(); MAX_BUFFERS],
            threadgroup_length: bindings.threadgroup,
        });
        let what: Arc<str> = name.as_str().into();
        let mut bound = Vec::new();
        let (mut bytes_in, mut bytes_out) = (0, 0);
        for parameter in &pipeline.buffers {
            let index = parameter.index as usize;
            let Some(binding) = &bindings.bound[index] else { continue };
            let element = parameter.element as usize;
            let (pointer, length) = match binding {
                Bound::Memory(memory, offset) => {
                    if *offset > memory.length() {
                        self.fail(format!(
                            "{name}: buffer {index} bound at {offset}, past its {} bytes",
                            memory.length()
                        ));
                        continue;
                    }
                    if element.is_power_of_two() && element <= 16 && offset % element != 0 {
                        finding(format!(
                            "{name}: buffer {index} bound at an offset that is no multiple of its element's {element} bytes"
                        ));
                    }
                    let write = parameter.writable != 0;
                    if !memory.tracked {
                        for conflict in hazards().access(memory.id, *offset, memory.length(), write, &self.order, &what)
                        {
                            self.hazard(format!("{conflict} of buffer {index}"));
                        }
                    }
                    let length = memory.length() - offset;
                    *(if write { &mut bytes_out } else { &mut bytes_in }) += length as u64;
                    (memory.data().wrapping_add(*offset), length)
                }
                Bound::Bytes(bytes, length) => (bytes.as_ptr().cast_mut().cast::<u8>(), *length),
            };
            if parameter.pointer == 0 && length < element {
                finding(format!("{name}: argument {index} has {length} bytes, the kernel reads {element}"));
            }
            launch.buffer[index] = pointer.cast::<c_void>();
            bound.push((index, binding.clone()));
        }
        for parameter in &pipeline.threadgroup {
            if bindings.threadgroup[parameter.index as usize] == 0 {
                finding(format!("{name}: threadgroup memory {} has no length", parameter.index));
            }
        }
        drop(bindings);
        {
            let mut stats = stats();
            let kernel = stats.kernels.entry(name.clone()).or_default();
            kernel.dispatches += 1;
            kernel.threads += grid.iter().map(|&n| n as u64).product::<u64>();
            kernel.groups += groups.iter().map(|&n| n as u64).product::<u64>();
            kernel.bytes_in += bytes_in;
            kernel.bytes_out += bytes_out;
            stats.totals.dispatches += 1;
            stats.totals.bytes_in += bytes_in;
            stats.totals.bytes_out += bytes_out;
        }
        self.record(Command::Dispatch { pipeline, launch, bound });
        if !self.concurrent {
            self.order.barrier();
            self.record(Command::Barrier);
        }
    }

    pub fn copy(&self, from: &Arc<Memory>, from_offset: usize, to: &Arc<Memory>, to_offset: usize, size: usize) {
        if from_offset + size > from.length() || to_offset + size > to.length() {
            return self.fail(format!(
                "copy of {size} bytes from {from_offset} of {} to {to_offset} of {}",
                from.length(),
                to.length()
            ));
        }
        self.accessed(from, from_offset, size, false, "copy");
        self.accessed(to, to_offset, size, true, "copy");
        let mut stats = stats();
        stats.totals.copies += 1;
        stats.totals.copied_bytes += size as u64;
        drop(stats);
        self.record(Command::Copy { from: Arc::clone(from), from_offset, to: Arc::clone(to), to_offset, size });
        self.order.barrier();
        self.record(Command::Barrier);
    }

    pub fn fill(&self, memory: &Arc<Memory>, start: usize, length: usize, value: u8) {
        if start + length > memory.length() {
            return self.fail(format!("fill of {length} bytes from {start} of {}", memory.length()));
        }
        self.accessed(memory, start, length, true, "fill");
        self.record(Command::Fill { memory: Arc::clone(memory), start, length, value });
        self.order.barrier();
        self.record(Command::Barrier);
    }

    fn accessed(&self, memory: &Arc<Memory>, start: usize, length: usize, write: bool, what: &str) {
        if !memory.tracked {
            for conflict in hazards().access(memory.id, start, start + length, write, &self.order, &what.into()) {
                self.hazard(conflict);
            }
        }
    }

    fn hazard(&self, text: String) {
        if options().forgiving {
            finding(text);
        } else {
            self.fail(text);
        }
    }

    /// Makes the command buffer end with an error.
    fn fail(&self, text: String) {
        finding(text.clone());
        self.buffer.fail(text);
    }
}
