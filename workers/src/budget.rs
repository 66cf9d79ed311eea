//! How much of a machine's memory a worker may fill with weights and what is computed with them.

use sysinfo::{CGroupLimits, MemoryRefreshKind, RefreshKind, System};
use wanfarm_model::ops::device::{DeviceKind, Found};
use wanfarm_types::Size;

/// What a device may take where nothing else is said: 90 % of what Metal recommends or of what is free on a GPU; on
/// the processor 75 % of main memory, or of what the container is allowed.
pub fn budget(device: DeviceKind) -> Size {
    let memory = RefreshKind::nothing().with_memory(MemoryRefreshKind::nothing().with_ram());
    let system = System::new_with_specifics(memory);
    let limit = container(&system).map(|limits| limits.total_memory);
    Size(share(&device.find().unwrap_or_default(), system.total_memory(), limit))
}

/// What the container is allowed, if this is one.
pub(crate) fn container(system: &System) -> Option<CGroupLimits> {
    // Where nothing is known of memory, without /proc, asking panics.
    (system.total_memory() > 0).then(|| system.cgroup_limits()).flatten()
}

fn share(found: &Found, main: u64, limit: Option<u64>) -> u64 {
    match found.free_bytes.or(found.memory_bytes) {
        Some(bytes) => bytes / 10 * 9,
        None => limit.filter(|&limit| limit > 0).map_or(main, |limit| limit.min(main)) / 4 * 3,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_of_the_memory_is_taken() {
        let gpu = |memory_bytes, free_bytes| Found { memory_bytes, free_bytes, ..Found::default() };
        assert_eq!(share(&gpu(Some(1000), None), 4000, None), 900, "what Metal recommends");
        assert_eq!(share(&gpu(Some(1000), Some(500)), 4000, None), 450, "what is free");
        assert_eq!(share(&gpu(None, None), 4000, None), 3000);
        assert_eq!(share(&gpu(None, None), 4000, Some(400)), 300, "a container's limit");
        assert_eq!(share(&gpu(None, None), 4000, Some(u64::MAX)), 3000, "none");
        assert!(budget(DeviceKind::Cpu).0 > 1 << 27);
    }
}
