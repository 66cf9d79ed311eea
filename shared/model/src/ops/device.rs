//! Opening a compute device without letting it take the process down.
//!
//! Compute threads are not set here, because the libraries read their settings once, before the first tensor:
//! the parent process sets `RAYON_NUM_THREADS` (matrix products and element-wise loops) and
//! `CANDLE_NUM_THREADS` (quantised and bf16 products), or several workers on one machine trample each other.
//! For Metal, `CANDLE_METAL_COMPUTE_PER_BUFFER` (1 to 4, so that no command buffer runs into the watchdog) and
//! `CANDLE_METAL_ENABLE_FAST_MATH=0` are set in the same place.

use std::fmt;
use std::panic::catch_unwind;
use std::str::FromStr;

use candle_core::{DType, Device};

use crate::error::ModelError;

/// A kind of device, as named on the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeviceKind {
    /// The processor.
    Cpu,
    /// An Apple GPU.
    Metal,
    /// An NVIDIA GPU.
    Cuda,
}

/// Whether this build can compute on Apple GPUs: every build for macOS, and others that ask for the feature.
const METAL: bool = cfg!(any(target_os = "macos", feature = "metal"));

/// What is known of a device before it is opened.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Found {
    /// What its driver calls it, where that is more than the name of the processor.
    pub name: Option<String>,
    /// Bytes that may be used of its memory; absent for main memory.
    pub memory_bytes: Option<u64>,
    /// Bytes of them that nobody uses at present, where that is known.
    pub free_bytes: Option<u64>,
}

impl DeviceKind {
    /// All kinds.
    pub const ALL: [DeviceKind; 3] = [DeviceKind::Cpu, DeviceKind::Metal, DeviceKind::Cuda];

    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            DeviceKind::Cpu => "cpu",
            DeviceKind::Metal => "metal",
            DeviceKind::Cuda => "cuda",
        }
    }

    /// The best kind that this build supports; that the machine has it is found out by [`DeviceKind::open`].
    pub fn preferred() -> Self {
        if METAL {
            DeviceKind::Metal
        } else if cfg!(feature = "cuda") {
            DeviceKind::Cuda
        } else {
            DeviceKind::Cpu
        }
    }

    /// The element type in which a transformer's matrices are multiplied where nothing else is asked for: exact where memory
    /// is plenty, as published where bandwidth decides.
    pub fn dtype(self) -> DType {
        match self {
            DeviceKind::Cpu => DType::F32,
            DeviceKind::Metal | DeviceKind::Cuda => DType::BF16,
        }
    }

    /// Looks for the first device of this kind; opens nothing for long.
    ///
    /// # Errors
    /// The build does not support it, or the machine has none.
    pub fn find(self) -> Result<Found, ModelError> {
        self.supported()?;
        let found = match self {
            DeviceKind::Cpu => return Ok(Found::default()),
            DeviceKind::Metal => catch_unwind(metal),
            DeviceKind::Cuda => catch_unwind(cuda),
        };
        found.ok().flatten().ok_or_else(|| self.absent())
    }

    fn supported(self) -> Result<(), ModelError> {
        match self {
            DeviceKind::Metal if !METAL => Err(self.fail("only Macs have it; try `--device cpu`".to_owned())),
            DeviceKind::Cuda if !cfg!(feature = "cuda") => Err(self.fail(
                "this build does not support it; use a build with `--features cuda`, or `--device cpu`".to_owned(),
            )),
            _ => Ok(()),
        }
    }

    /// Opens the first device of this kind. One process opens it once: kernels, pools and queues belong to the value.
    ///
    /// # Errors
    /// The build does not support it, or the machine has none.
    pub fn open(self) -> Result<Device, ModelError> {
        self.supported()?;
        let fail = |why: String| self.fail(why);
        // The Metal back end panics where there is no GPU or the system is too old for it.
        let open: fn() -> candle_core::Result<Device> = match self {
            DeviceKind::Cpu => return Ok(Device::Cpu),
            DeviceKind::Metal => || Device::new_metal(0),
            DeviceKind::Cuda => || Device::new_cuda(0),
        };
        match catch_unwind(open) {
            Ok(Ok(device)) => Ok(device),
            Ok(Err(e)) => Err(fail(format!("{e}; try `--device cpu`"))),
            Err(_) => Err(self.absent()),
        }
    }

    fn absent(self) -> ModelError {
        self.fail(match self {
            DeviceKind::Metal => "there is no usable GPU (macOS 15 or newer is needed); try `--device cpu`".to_owned(),
            _ => "there is none, or its driver does not answer; try `--device cpu`".to_owned(),
        })
    }

    fn fail(self, why: String) -> ModelError {
        ModelError::Device { device: self.name(), why }
    }
}

impl fmt::Display for DeviceKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// Bounds what a GPU has queued, and lets freed buffers go. A Metal queue is bounded by itself, its buffers are used again
/// before they are free, and the faults of all its command buffers are told at the next readback.
///
/// # Errors
/// What was queued has failed.
pub(crate) fn bound_queue(device: &Device) -> Result<(), ModelError> {
    if !device.is_metal() {
        device.synchronize()?;
    }
    Ok(())
}

#[cfg(any(target_os = "macos", feature = "metal"))]
fn metal() -> Option<Found> {
    let device = candle_metal_kernels::metal::Device::all().into_iter().next()?;
    Some(Found { memory_bytes: Some(device.recommended_max_working_set_size() as u64), ..Found::default() })
}

#[cfg(not(any(target_os = "macos", feature = "metal")))]
fn metal() -> Option<Found> {
    None
}

#[cfg(feature = "cuda")]
fn cuda() -> Option<Found> {
    use candle_core::cuda_backend::cudarc::driver::{CudaContext, result};
    let context = CudaContext::new(0).ok()?;
    context.bind_to_thread().ok()?;
    let (free, total) = result::mem_get_info().ok()?;
    Some(Found { name: context.name().ok(), memory_bytes: Some(total as u64), free_bytes: Some(free as u64) })
}

#[cfg(not(feature = "cuda"))]
fn cuda() -> Option<Found> {
    None
}

/// The text names no kind of device.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no device is called {0:?}; the devices are cpu, metal, cuda")]
pub struct BadDeviceKind(String);

impl FromStr for DeviceKind {
    type Err = BadDeviceKind;

    fn from_str(text: &str) -> Result<Self, BadDeviceKind> {
        DeviceKind::ALL.into_iter().find(|kind| kind.name() == text).ok_or_else(|| BadDeviceKind(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_absence() {
        assert_eq!("metal".parse(), Ok(DeviceKind::Metal));
        assert!("tpu".parse::<DeviceKind>().unwrap_err().to_string().contains("cpu, metal, cuda"));
        assert!(DeviceKind::Cpu.open().is_ok() && DeviceKind::Cpu.find().is_ok());
        if !METAL {
            let message = DeviceKind::Metal.find().unwrap_err().to_string();
            assert_eq!(message, "device metal: only Macs have it; try `--device cpu`");
        }
        if !cfg!(feature = "cuda") {
            for message in [DeviceKind::Cuda.open().map(drop), DeviceKind::Cuda.find().map(drop)] {
                let message = message.unwrap_err().to_string();
                assert!(message.contains("--features cuda"), "{message}");
            }
        }
    }
}
