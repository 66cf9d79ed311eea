//! What this machine is, for people and for tables.

use sysinfo::{CpuRefreshKind, MemoryRefreshKind, RefreshKind, System};
use wanfarm_model::ops::device::DeviceKind;

/// The device and what it is part of: `metal (Apple M3 Ultra)`.
pub(crate) fn describe(kind: DeviceKind) -> String {
    let system = System::new_with_specifics(RefreshKind::nothing().with_cpu(CpuRefreshKind::nothing()));
    match system.cpus().first().map(|cpu| cpu.brand().trim()) {
        // The brand of the processor says nothing about a card beside it.
        Some(brand) if !brand.is_empty() && kind != DeviceKind::Cuda => format!("{kind} ({brand})"),
        _ => kind.to_string(),
    }
}

/// Bytes of main memory, which an Apple GPU shares.
pub(crate) fn memory_bytes() -> u64 {
    let memory = MemoryRefreshKind::nothing().with_ram();
    System::new_with_specifics(RefreshKind::nothing().with_memory(memory)).total_memory()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_has_memory_and_a_name() {
        assert!(memory_bytes() > 1 << 28);
        assert!(describe(DeviceKind::Cpu).starts_with("cpu"));
        assert_eq!(describe(DeviceKind::Cuda), "cuda");
    }
}
