//! How fast this machine is at what a render is made of: products, memory, attention, the networks' operations, a block of
//! each transformer, the autoencoders, the text encoder, files. Weights are random, so no model is needed.
//!
//! Not here: whether the results are right, which `doctor` tells; and showing them.

mod files;
mod limits;
mod networks;
mod operations;
mod products;
mod reading;
mod result;
mod stopwatch;
mod videos;

use std::path::Path;

use candle_core::{DType, Device};
use wanfarm_model::ModelError;
use wanfarm_model::ops::device::DeviceKind;
use wanfarm_roofline::models::PUBLISHED;
use wanfarm_roofline::{Chip, Elements, Forecast};
use wanfarm_types::VaeKind;

pub use result::{Line, Measurement, Results, Section, Skipped, Unit, VideoTime};

use limits::Limits;
use result::Recorder;

/// What is measured, where, and for how long.
#[derive(Debug, Clone, Copy)]
pub struct Bench<'a> {
    /// Where to compute.
    pub device: DeviceKind,
    /// Whether transformers multiply in bf16, as published, or in f32.
    pub bf16: bool,
    /// Seconds for everything. What would take longer is left out; what has begun is finished.
    pub seconds: f64,
    /// Bytes of the device's memory that may be used.
    pub memory_bytes: u64,
    /// The device as a worker announces it, which tells whether something is known of its chip.
    pub name: &'a str,
    /// A model folder whose files are read to measure how fast they load.
    pub model: Option<&'a Path>,
}

/// What measuring needs to know.
struct Scene {
    device: Device,
    dtype: DType,
    elements: Elements,
    limits: Limits,
    chip: Option<Forecast>,
    peaks: Peaks,
}

/// The best that was measured of what limits everything else.
#[derive(Debug, Clone, Copy, Default)]
struct Peaks {
    /// 10¹² operations a second of f32 products, and of products in the transformers' type.
    f32: Option<f64>,
    product: Option<f64>,
    /// 10⁹ bytes a second, read and written together.
    copy: Option<f64>,
    /// 10⁹ bytes a second into a temporary file.
    write: Option<f64>,
}

impl Bench<'_> {
    /// Measures everything there is time and memory for, and hands on each line as it is known.
    ///
    /// # Errors
    /// The device cannot be had. Whatever else fails is a line of its own.
    pub fn run(&self, sink: &mut dyn FnMut(&Line)) -> Result<Results, ModelError> {
        let device = self.device.open()?;
        let (dtype, elements) = if self.bf16 { (DType::BF16, Elements::Bf16) } else { (DType::F32, Elements::F32) };
        let limits = Limits::new(self.seconds, self.memory_bytes);
        let known = Chip::of(self.name);
        let chip = known.copied().map(Forecast::of);
        let mut scene = Scene { device, dtype, elements, limits, chip, peaks: Peaks::default() };
        let mut results = Results { chip: known.map(|chip| chip.name), ..Results::default() };
        let recorder = &mut Recorder::new(&mut results, sink);

        scene.peaks.write = reading::measure(&scene, self.model, recorder);
        scene.peaks.f32 = products::measure(&scene, DType::F32, recorder);
        scene.peaks.product = match dtype {
            DType::F32 => scene.peaks.f32,
            other => products::measure(&scene, other, recorder),
        };
        scene.peaks.copy = products::copy(&scene, recorder);
        products::attention(&scene, recorder);
        operations::measure(&scene, recorder);
        let mut times = Vec::new();
        for published in &PUBLISHED {
            times.extend(networks::block(&scene, published, recorder));
        }
        for kind in [VaeKind::Wan21, VaeKind::Wan22] {
            times.extend(networks::autoencoder(&scene, kind, recorder));
        }
        times.extend(networks::text_encoder(&scene, recorder));
        results.videos = times;
        Ok(results)
    }
}

impl Peaks {
    /// This machine, as a chip of which only this is known.
    fn machine(&self) -> Option<Forecast> {
        Some(Forecast::of(Chip::measured(self.product?, self.copy?)))
    }
}

impl Scene {
    /// What is known of this machine now, as of a chip.
    fn measured(&self) -> Option<Forecast> {
        self.peaks.machine()
    }

    /// Seconds that so many operations take at least.
    fn at_least(&self, flops: f64, peak: Option<f64>) -> f64 {
        peak.map_or(0., |peak| flops / (peak * 1e12))
    }

    /// Whether the device's memory is that of the machine too.
    fn is_cpu(&self) -> bool {
        self.device.is_cpu()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_there_is_no_time_or_memory_for_is_left_out_by_name() {
        let bench = Bench {
            device: DeviceKind::Cpu,
            bf16: false,
            seconds: 0.5,
            memory_bytes: 1 << 28,
            name: "metal (Apple M1)",
            model: None,
        };
        let mut lines = Vec::new();
        let results = bench.run(&mut |line| lines.push(line.to_string())).unwrap();
        assert_eq!(lines.len(), results.measured.len() + results.skipped.len());
        assert!(results.measured.iter().any(|line| line.section == Section::Products), "{lines:#?}");
        assert!(results.measured.iter().all(|line| line.seconds > 0. && line.rate > 0.), "{lines:#?}");
        let whole = results.skipped.iter().find(|line| line.name.contains("t2v-a14b")).expect("a block of A14B");
        assert!(whole.why.contains("memory") || whole.why.contains("time") || whole.why.contains(" s"), "{whole:?}");
        assert_eq!(results.chip, Some("Apple M1"));
        // Every section has its say.
        for section in Section::ALL {
            let measured = results.measured.iter().any(|line| line.section == section);
            assert!(measured || results.skipped.iter().any(|line| line.section == section), "{section:?}");
        }
    }
}
