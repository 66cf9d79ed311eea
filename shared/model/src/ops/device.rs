//! Opening a compute device without letting it take the process down.
//!
//! Compute threads are not set here, because the libraries read their settings once, before the first tensor:
//! the parent process sets `RAYON_NUM_THREADS` (matrix products and element-wise loops) and
//! `CANDLE_NUM_THREADS` (quantised and bf16 products), or several workers on one machine trample each other.
//! For Metal, `CANDLE_METAL_COMPUTE_PER_BUFFER` (1 to 4, so that no command buffer runs into the watchdog) and
//! `CANDLE_METAL_ENABLE_FAST_MATH=0` are set in the same place.

use std::fmt;
use std::str::FromStr;

use candle_core::Device;

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
        if cfg!(feature = "metal") {
            DeviceKind::Metal
        } else if cfg!(feature = "cuda") {
            DeviceKind::Cuda
        } else {
            DeviceKind::Cpu
        }
    }

    /// Whether this build supports devices of this kind; opens nothing.
    ///
    /// # Errors
    /// It does not, and which build does.
    pub fn supported(self) -> Result<(), ModelError> {
        let supported = match self {
            DeviceKind::Cpu => true,
            DeviceKind::Metal => cfg!(feature = "metal"),
            DeviceKind::Cuda => cfg!(feature = "cuda"),
        };
        if supported {
            return Ok(());
        }
        Err(self.fail(format!(
            "this build does not support it; use a build with `--features {}`, or `--device cpu`",
            self.name()
        )))
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
        match std::panic::catch_unwind(open) {
            Ok(Ok(device)) => Ok(device),
            Ok(Err(e)) => Err(fail(format!("{e}; try `--device cpu`"))),
            Err(_) if self == DeviceKind::Metal => {
                Err(fail("there is no usable GPU (macOS 15 or newer is needed); try `--device cpu`".to_owned()))
            }
            Err(_) => Err(fail("its driver failed while it was opened; try `--device cpu`".to_owned())),
        }
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
        assert!(DeviceKind::Cpu.open().is_ok());
        if !cfg!(feature = "cuda") {
            let message = DeviceKind::Cuda.open().unwrap_err().to_string();
            assert!(message.contains("--features cuda"), "{message}");
        }
    }
}
