//! What this machine is, for people and for tables.

use sysinfo::{CpuRefreshKind, MemoryRefreshKind, RefreshKind, System};
use wanfarm_model::ops::device::DeviceKind;

/// The device and what it is part of: `metal (Apple M3 Ultra)`.
pub fn describe(kind: DeviceKind) -> String {
    // The name of the processor says nothing about a card beside it.
    let name = match kind {
        DeviceKind::Cuda => kind.find().ok().and_then(|found| found.name),
        DeviceKind::Cpu | DeviceKind::Metal => processor(),
    };
    name.map_or_else(|| kind.to_string(), |name| format!("{kind} ({name})"))
}

/// The brand of the processor, which on a Mac is that of its GPU too.
pub fn processor() -> Option<String> {
    let system = System::new_with_specifics(RefreshKind::nothing().with_cpu(CpuRefreshKind::nothing()));
    system.cpus().first().map(|cpu| cpu.brand().trim().to_owned()).filter(|brand| !brand.is_empty())
}

/// The operating system and its version, as it calls itself: `macOS 15.5 Sequoia`.
pub fn system() -> Option<String> {
    System::long_os_version().filter(|name| !name.is_empty())
}

/// What this machine calls itself; empty where it has no name that can be shown.
pub fn host() -> String {
    System::host_name().filter(|name| wanfarm_types::check_label("host", name).is_ok()).unwrap_or_default()
}

/// Bytes of main memory, which an Apple GPU shares.
pub fn memory_bytes() -> u64 {
    let memory = MemoryRefreshKind::nothing().with_ram();
    System::new_with_specifics(RefreshKind::nothing().with_memory(memory)).total_memory()
}

/// What tells this machine from others whatever it is called, and not outside this program; `None` where the system
/// has nothing of the kind, as in many containers.
pub(crate) fn id() -> Option<String> {
    // The system's own id is not to be told to others.
    system_id()
        .map(|id| blake3::Hash::from(blake3::derive_key("wanfarm the machine of a worker", id.as_bytes())))
        .map(|hash| hash.to_hex().to_string())
}

#[cfg(target_os = "linux")]
fn system_id() -> Option<String> {
    let read = |path| std::fs::read_to_string(path).ok();
    ["/etc/machine-id", "/var/lib/dbus/machine-id"].into_iter().filter_map(read).find_map(|text| machine_id(&text))
}

/// `machine-id(5)`: 128 bits in hexadecimal, or nothing of use, as in an image that has not booted yet.
#[cfg(target_os = "linux")]
fn machine_id(text: &str) -> Option<String> {
    let id = text.trim();
    let is_id =
        id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit()) && id.bytes().any(|byte| byte != b'0');
    is_id.then(|| id.to_owned())
}

/// On a Mac `IOPlatformUUID`.
#[cfg(not(target_os = "linux"))]
fn system_id() -> Option<String> {
    sysinfo::Product::uuid().filter(|id| !id.trim().is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_os = "linux")]
    fn a_machine_has_one_id_or_none() {
        assert_eq!(id(), id());
        let id = "0123456789abcdef0123456789abcdef";
        assert_eq!(machine_id(&format!("{id}\n")).as_deref(), Some(id));
        for none in ["", "\n", "uninitialized\n", "0123", "00000000000000000000000000000000"] {
            assert_eq!(machine_id(none), None, "{none:?}");
        }
    }

    #[test]
    fn this_machine_has_memory_and_a_name() {
        assert!(memory_bytes() > 1 << 28);
        assert!(describe(DeviceKind::Cpu).starts_with("cpu"));
        assert_eq!(describe(DeviceKind::Cuda), "cuda");
    }
}
