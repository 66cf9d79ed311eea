//! Public figures of the chips that workers may announce.
//!
//! - GPU cores and memory bandwidth: Apple's technical specifications of each Mac, largest configuration.
//! - ALU rate: 128 lanes of a core times two operations times the clock. 0.332 TFLOP/s a core of the M1 generation
//!   (philipturner/applegpuinfo#1: 48 cores, 15.925), 0.355 of the M2 and M3, 0.426 of the M4 (the table in
//!   GradientHQ/parallax `server_info.py`, halved: it counts f16 twice), 0.404 of the M5 (GradientHQ/parallax#449).
//! - Products reach what was measured where somebody published it, and elsewhere `SHARE` of the ALU rate. Products of
//!   f32, f16 and bf16 run at one rate on these GPUs, but for the M5's accelerators.

/// A GPU, and what its kernels reach.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Chip {
    /// As the system calls it.
    pub name: &'static str,
    /// 10¹² operations a second of the ALUs.
    pub alu_tflops: f64,
    /// 10¹² operations a second that matrix products reach with simdgroup kernels.
    pub product_tflops: f64,
    /// The same of bf16 and f16 with the neural accelerators of its cores, if it has them.
    pub accelerated_tflops: Option<f64>,
    /// 10⁹ bytes a second to and from memory, nominal.
    pub gb_s: f64,
}

/// What products reach of the ALU rate where nobody has published a measurement. Published ones: 61 % (M3 Ultra), 65 % (M4
/// without a fan), 80 % (M4 Max).
const SHARE: f64 = 0.7;

/// A chip of so many cores of this rate each.
const fn chip(name: &'static str, cores: f64, core: f64, gb_s: f64) -> Chip {
    let alu_tflops = cores * core;
    Chip { name, alu_tflops, product_tflops: alu_tflops * SHARE, accelerated_tflops: None, gb_s }
}

/// A chip whose products reach this.
const fn measured(chip: Chip, product_tflops: f64) -> Chip {
    Chip { product_tflops, ..chip }
}

/// A chip with neural accelerators in its cores.
const fn accelerated(chip: Chip, tflops: f64) -> Chip {
    Chip { accelerated_tflops: Some(tflops), ..chip }
}

const M1: f64 = 0.332;
const M2: f64 = 0.355;
const M3: f64 = 0.355;
const M4: f64 = 0.426;
const M5: f64 = 0.404;
/// Of one core with its accelerator: 55 of 40 cores, between the 52 and 60 of ml-explore/mlx#3211.
const M5_ACCELERATED: f64 = 1.375;

/// Share of the nominal bandwidth that passes reach. Assumed.
const MEMORY: f64 = 0.75;

impl Chip {
    /// Every chip that is known. A name stands for its largest configuration: workers do not announce cores.
    pub const ALL: [Chip; 18] = [
        chip("Apple M1", 8., M1, 68.),
        chip("Apple M1 Pro", 16., M1, 200.),
        chip("Apple M1 Max", 32., M1, 400.),
        chip("Apple M1 Ultra", 64., M1, 800.),
        chip("Apple M2", 10., M2, 100.),
        chip("Apple M2 Pro", 19., M2, 200.),
        chip("Apple M2 Max", 38., M2, 400.),
        chip("Apple M2 Ultra", 76., M2, 800.),
        chip("Apple M3", 10., M3, 100.),
        chip("Apple M3 Pro", 18., M3, 150.),
        chip("Apple M3 Max", 40., M3, 400.),
        // 17.4: raullenchai/Rapid-MLX#258.
        measured(chip("Apple M3 Ultra", 80., M3, 819.), 17.4),
        // 2.78, in a MacBook Air: dev.to/tinyalg, "2.78 TFLOPS on a Fanless MacBook Air".
        measured(chip("Apple M4", 10., M4, 120.), 2.78),
        chip("Apple M4 Pro", 20., M4, 273.),
        // 13.7 in bf16: mold#1030; 13.3 in f32: chsasank/device-benchmarks#13.
        measured(chip("Apple M4 Max", 40., M4, 546.), 13.7),
        accelerated(chip("Apple M5", 10., M5, 153.), 10. * M5_ACCELERATED),
        accelerated(chip("Apple M5 Pro", 20., M5, 307.), 20. * M5_ACCELERATED),
        // Without accelerators nobody has published it: the share that the M4 Max reaches.
        accelerated(measured(chip("Apple M5 Max", 40., M5, 614.), 13.7 * M5 / M4), 40. * M5_ACCELERATED),
    ];

    /// One of which only is known what was measured: 10¹² operations a second of products, and 10⁹ bytes a second that passes
    /// reach.
    pub fn measured(product_tflops: f64, reached_gb_s: f64) -> Chip {
        let gb_s = reached_gb_s / MEMORY;
        Chip { name: "measured", alu_tflops: product_tflops, product_tflops, accelerated_tflops: None, gb_s }
    }

    /// 10⁹ bytes a second that passes over memory reach.
    pub(crate) fn reached_gb_s(&self) -> f64 {
        self.gb_s * MEMORY
    }

    /// The chip of this name.
    pub fn named(name: &str) -> Option<&'static Chip> {
        Self::ALL.iter().find(|chip| chip.name == name)
    }

    /// The chip of a device as a worker announces it: `metal (Apple M3 Ultra)`. Of what computes on a processor or on
    /// another maker's card nothing is known.
    pub fn of(device: &str) -> Option<&'static Chip> {
        Self::named(device.strip_prefix("metal (")?.strip_suffix(')')?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_is_known_by_what_its_worker_announces() {
        assert_eq!(Chip::of("metal (Apple M3 Ultra)").map(|chip| chip.product_tflops), Some(17.4));
        for unknown in ["cpu (Apple M3 Ultra)", "metal", "metal (Apple M9)", "cuda (NVIDIA H200)", "Apple M3 Ultra", ""]
        {
            assert_eq!(Chip::of(unknown), None, "{unknown}");
        }
    }

    #[test]
    fn figures_are_possible() {
        for chip in Chip::ALL {
            let share = chip.product_tflops / chip.alu_tflops;
            assert!((0.6..=0.85).contains(&share), "{} reaches {share} of its ALUs", chip.name);
            assert!(chip.accelerated_tflops.is_none_or(|tflops| tflops > chip.product_tflops), "{}", chip.name);
            assert!(chip.gb_s > 60.);
        }
    }
}
