//! Kernels for Apple GPUs: each replaces a chain of candle's that would read and write the activations at every link.
//!
//! A kernel is one `.metal` source with what calls it; its function in `ops` says what it computes and does the same
//! from primitives wherever the kernel does not take the operands. What a kernel costs stands at the top of its source. The
//! kernel of attention is candle's.

mod attention;
mod conv;
mod gelu;
mod heads;
mod norm;
mod residual;
mod silu;

pub(super) use attention::{attend, split_scale};
pub(super) use conv::conv;
pub(super) use gelu::gelu;
pub(super) use heads::heads;
pub(super) use norm::norm;
pub(super) use residual::residual;
pub(super) use silu::silu;

use std::collections::HashMap;
use std::sync::Mutex;

use candle_core::op::BackpropOp;
use candle_core::{DType, Device, MetalDevice, MetalStorage, Shape, Storage, Tensor};
use candle_metal_kernels::MetalKernelError;
use candle_metal_kernels::metal::{ComputePipeline, Device as Gpu};
use objc2_metal::{MTLCompileOptions, MTLMathFloatingPointFunctions, MTLMathMode, MTLSize};

use crate::error::ModelError;

/// Channels that a thread takes at once.
const GROUP: usize = 4;
/// Threads of a threadgroup that need not be as many as a row is wide.
const THREADS: usize = 256;

/// A kernel, by its source and its name there.
#[derive(Debug, Clone)]
struct Kernel {
    source: &'static str,
    name: String,
}

/// How many threads run.
#[derive(Debug, Clone, Copy)]
enum Grid {
    /// A threadgroup of so many threads for each of so many rows.
    Rows { rows: usize, threads: usize },
    /// A thread for each group of channels of each row.
    Groups { groups: usize, rows: usize },
    /// A threadgroup for each tile of a matrix.
    Tiles { across: usize, down: usize, threads: usize },
}

impl Kernel {
    /// `names` are the types that the kernel is compiled for, in the order of its name.
    fn new(source: &'static str, name: &str, dtypes: &[DType]) -> Self {
        let name = dtypes.iter().fold(name.to_owned(), |name, dtype| name + "_" + dtype.as_str());
        Self { source, name }
    }

    /// Compiled once per process and device.
    fn pipeline(&self, gpu: &Gpu) -> Result<ComputePipeline, ModelError> {
        static COMPILED: Mutex<Option<HashMap<(u64, String), ComputePipeline>>> = Mutex::new(None);
        let mut compiled = COMPILED.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let compiled = compiled.get_or_insert_default();
        let key = (gpu.registry_id(), self.name.clone());
        if let Some(pipeline) = compiled.get(&key) {
            return Ok(pipeline.clone());
        }
        let library = gpu.new_library_with_source(self.source, Some(&options())).map_err(failed)?;
        let function = library.get_function(&self.name, None).map_err(failed)?;
        let pipeline = gpu.new_compute_pipeline_state_with_function(&function).map_err(failed)?;
        Ok(compiled.entry(key).or_insert(pipeline).clone())
    }

    /// Runs the kernel over dense `inputs`, which it has as its first buffers; then come the output and `parameters`. In
    /// the place of one that is absent stands the buffer of the first, which the kernel must not read.
    fn run<P>(
        &self,
        inputs: &[Option<&Tensor>],
        (shape, dtype): (impl Into<Shape>, DType),
        parameters: &P,
        grid: Grid,
    ) -> Result<Tensor, ModelError> {
        let device = metal(inputs)?;
        let shape = shape.into();
        let out = device.new_buffer(shape.elem_count(), dtype, &self.name)?;
        let pipeline = self.pipeline(device.metal_device())?;
        let present = inputs.iter().flatten();
        let storages: Vec<_> = present.clone().map(|input| input.storage_and_layout()).collect();
        let mut buffers = Vec::new();
        for ((storage, layout), input) in storages.iter().zip(present) {
            let Storage::Metal(storage) = &**storage else {
                return Err(ModelError::input("kernel", "an operand is not on the GPU"));
            };
            buffers.push((storage.buffer(), layout.start_offset() * input.dtype().size_in_bytes()));
        }
        let absent = buffers.first().map(|(buffer, _)| (*buffer, 0));
        let mut buffers = buffers.into_iter();
        {
            let guard = device.command_encoder()?;
            let encoder = guard.as_ref();
            encoder.set_compute_pipeline_state(&pipeline);
            for (index, input) in inputs.iter().enumerate() {
                if let Some((buffer, offset)) = input.and_then(|_| buffers.next()).or(absent) {
                    encoder.set_input_buffer(index, Some(buffer), offset);
                }
            }
            encoder.set_output_buffer(inputs.len(), Some(&out), 0);
            encoder.set_bytes(inputs.len() + 1, parameters);
            let size = |width, height| MTLSize { width, height, depth: 1 };
            match grid {
                Grid::Rows { rows, threads } => encoder.dispatch_thread_groups(size(rows, 1), size(threads, 1)),
                Grid::Tiles { across, down, threads } => {
                    encoder.dispatch_thread_groups(size(across, down), size(threads, 1));
                }
                Grid::Groups { groups, rows } => {
                    encoder.dispatch_thread_groups(size(groups.div_ceil(THREADS), rows), size(THREADS, 1));
                }
            }
        }
        let storage = MetalStorage::new(out, device.clone(), shape.elem_count(), dtype);
        Ok(Tensor::from_storage(Storage::Metal(storage), shape, BackpropOp::none(), false))
    }
}

/// As little freedom as the compiler can be given: the kernels are compared with the CPU.
fn options() -> objc2::rc::Retained<MTLCompileOptions> {
    let options = MTLCompileOptions::new();
    options.setMathMode(MTLMathMode::Safe);
    options.setMathFloatingPointFunctions(MTLMathFloatingPointFunctions::Precise);
    options
}

fn failed(error: MetalKernelError) -> ModelError {
    candle_core::Error::Metal(candle_core::MetalError::from(error)).into()
}

/// The device that all operands are on.
fn metal<'t>(inputs: &[Option<&'t Tensor>]) -> Result<&'t MetalDevice, ModelError> {
    match inputs.iter().flatten().next().map(|input| input.device()) {
        Some(Device::Metal(device)) => Ok(device),
        _ => Err(ModelError::input("kernel", "the operands are not on the GPU")),
    }
}

/// Whether the kernels take activations like these, and give results in `dtype`: on the GPU, of types that they know, and
/// of whole groups.
fn takes(x: &Tensor, dtype: DType) -> bool {
    let known = |dtype| matches!(dtype, DType::F32 | DType::BF16);
    let width = x.dims().last().copied().unwrap_or_default();
    x.device().is_metal()
        && known(x.dtype())
        && known(dtype)
        && width.is_multiple_of(GROUP)
        && (1..1 << 31).contains(&x.elem_count())
}

/// Whether an operand is what a kernel reads beside `x`: f32 of this shape, on the same device. One that is absent is.
fn fits<'t>(operand: impl Into<Option<&'t Tensor>>, x: &Tensor, shape: &[usize]) -> bool {
    operand.into().is_none_or(|operand| {
        operand.dtype() == DType::F32 && operand.dims() == shape && operand.device().same_device(x.device())
    })
}

/// The operand as kernels read it: its numbers one after the other, where a vector of a group may lie.
fn dense(operand: &Tensor) -> Result<Tensor, ModelError> {
    let is_so = operand.is_contiguous() && operand.layout().start_offset().is_multiple_of(GROUP);
    Ok(if is_so { operand.clone() } else { operand.force_contiguous()? })
}

/// The same of one that may be absent.
fn dense_if(operand: Option<&Tensor>) -> Result<Option<Tensor>, ModelError> {
    operand.map(dense).transpose()
}

/// Threads for rows of so many groups, each of which holds two; `None` where a row is too wide for one threadgroup.
fn threads(groups: usize) -> Option<usize> {
    let threads = groups.div_ceil(2).next_multiple_of(32);
    (threads <= 1024).then_some(threads)
}

/// Groups from one row to the next of what goes with the rows of `x`: 0 where all rows have the same; `None` where it does not
/// fit.
fn stride(operand: &Tensor, x: &Tensor) -> Result<Option<u32>, ModelError> {
    let [.., width] = *x.dims() else { return Ok(None) };
    if fits(operand, x, &[width]) || fits(operand, x, &[1, width]) {
        return Ok(Some(0));
    }
    fits(operand, x, x.dims()).then(|| number(width / GROUP)).transpose()
}

/// A size as kernels count.
fn number(size: usize) -> Result<u32, ModelError> {
    u32::try_from(size).map_err(|_| ModelError::input("kernel", format!("{size} does not fit into 32 bits")))
}
