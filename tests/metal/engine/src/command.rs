//! What an encoder records: one command, how it runs, and a fault in words.

use std::sync::Arc;
use std::time::Instant;

use crate::fault::Fault;
use crate::findings::finding;
use crate::launch::{FLAGS, Launch};
use crate::library::Pipeline;
use crate::memory::Memory;
use crate::stats::stats;
use crate::worker;

/// Something bound to a buffer index.
#[derive(Clone)]
pub(crate) enum Bound {
    Memory(Arc<Memory>, usize),
    /// A copy, followed by canary bytes.
    Bytes(Arc<Vec<u128>>, usize),
}

pub(crate) enum Command {
    Dispatch {
        pipeline: Arc<Pipeline>,
        launch: Box<Launch>,
        bound: Vec<(usize, Bound)>,
    },
    Copy {
        from: Arc<Memory>,
        from_offset: usize,
        to: Arc<Memory>,
        to_offset: usize,
        size: usize,
    },
    Fill {
        memory: Arc<Memory>,
        start: usize,
        length: usize,
        value: u8,
    },
    /// What comes after may not run before what is before.
    Barrier,
}

/// Runs one command.
pub(crate) fn execute(command: &Command) -> Result<(), String> {
    match command {
        Command::Barrier => Ok(()),
        Command::Fill { memory, start, length, value } => {
            // SAFETY: checked against the memory's length when recorded.
            unsafe { std::ptr::write_bytes(memory.data().add(*start), *value, *length) };
            Ok(())
        }
        Command::Copy { from, from_offset, to, to_offset, size } => {
            // SAFETY: as above; a copy within one buffer may overlap.
            unsafe { std::ptr::copy(from.data().add(*from_offset), to.data().add(*to_offset), *size) };
            Ok(())
        }
        Command::Dispatch { pipeline, launch, bound } => {
            let start = Instant::now();
            let outcome = worker::run(&pipeline.code, launch);
            let elapsed = u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX);
            {
                let mut stats = stats();
                let kernel = stats.kernels.entry(pipeline.name.clone()).or_default();
                kernel.nanoseconds += elapsed;
                kernel.threadgroup_memory = kernel.threadgroup_memory.max(outcome.threadgroup_used);
            }
            for (_, text) in FLAGS.iter().filter(|(bit, _)| outcome.flags & bit != 0) {
                finding(format!("{}: {text}", pipeline.name));
            }
            match outcome.fault {
                Some(fault) => {
                    let text = format!("{}: {}", pipeline.name, describe(&fault, launch, bound));
                    finding(text.clone());
                    Err(text)
                }
                None => Ok(()),
            }
        }
    }
}

/// A fault in words: which buffer was missed, and by how much.
fn describe(fault: &Fault, launch: &Launch, bound: &[(usize, Bound)]) -> String {
    let at = format!(
        "thread {:?} of group {:?} (grid {:?}, group size {:?})",
        fault.thread, fault.group, launch.grid, launch.threads
    );
    if fault.in_stack {
        return format!("stack overflow in {at}");
    }
    if fault.unaligned {
        return format!("access to a vector that is not at a multiple of its size, in {at}");
    }
    if fault.address < 1 << 16 {
        return format!("access through a buffer that is not bound, or null, in {at}");
    }
    let nearest = bound.iter().filter_map(|(index, b)| {
        let Bound::Memory(memory, offset) = b else { return None };
        let (start, end) = (memory.data() as usize, memory.data() as usize + memory.length());
        let (distance, side) = if fault.address >= end {
            (fault.address - end, "past the end")
        } else {
            (start.saturating_sub(fault.address), "before the start")
        };
        Some((
            distance,
            format!("{distance} bytes {side} of buffer {index} ({} bytes, bound at {offset})", memory.length()),
        ))
    });
    match nearest.min_by_key(|(distance, _)| *distance) {
        Some((_, text)) => format!("out of bounds, {text}, in {at}"),
        None => format!("out of bounds at {:#x} in {at}", fault.address),
    }
}
