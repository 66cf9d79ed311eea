//! Loads a transformer of the sizes of Wan2.1 T2V-1.3B with random weights as a worker does, takes one step of a small
//! video, and prints what the process holds in memory: with bf16 weights, Q8_0 and Q4_K, beside what `inspect` says.
//!
//! Usage: `cargo run --release -p wanfarm-tools --example dit_memory`; it needs 3 GiB of disk for one file at a time.
//! Memory is read from `/proc`, so on Linux only. What is mapped from the file (matrices that stay compact) is counted
//! once it has been touched, and can be dropped by the system at any time; what is not, cannot.

use std::error::Error;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use candle_core::{DType, Device, Tensor};
use wanfarm_model::dit::{Timesteps, WanModel};
use wanfarm_model::folder;
use wanfarm_model::ops::device::DeviceKind;
use wanfarm_tools::inspect::{Questions, inspect};
use wanfarm_types::{Role, Transformer};
use wanfarm_weights::Param;
use wanfarm_weights::transformer::parameters;

/// Name, GGUF's number of the type, numbers and bytes of a block.
const ENCODINGS: [(&str, u32, usize, usize); 3] = [("bf16", 30, 1, 2), ("q8_0", 8, 32, 34), ("q4_k", 12, 256, 144)];
const F32: u32 = 0;
const ALIGNMENT: usize = 32;
/// Channels, frames, height and width of the latents.
const LATENTS: [usize; 4] = [16, 3, 32, 32];

const CONFIG: Transformer = Transformer::T2V_1_3B;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match &arguments[..] {
        [encoding, dtype] => measure(encoding, if dtype == "bf16" { DType::BF16 } else { DType::F32 }),
        _ => {
            println!(
                "weights  products  file MiB  inspect MiB | loaded: own + mapped MiB | after a step | peak  | step s"
            );
            for (encoding, dtype) in [("bf16", "bf16"), ("bf16", "f32"), ("q8_0", "f32"), ("q4_k", "f32")] {
                // A process each: peaks do not go down.
                let status = Command::new(std::env::current_exe()?).args([encoding, dtype]).status()?;
                if !status.success() {
                    return Err(format!("measuring {encoding} failed: {status}").into());
                }
            }
            Ok(())
        }
    }
}

fn measure(encoding: &str, dtype: DType) -> Result<(), Box<dyn Error>> {
    let known = ENCODINGS.into_iter().find(|(name, ..)| *name == encoding);
    let (_, kind, block, size) = known.ok_or("encodings are bf16, q8_0 and q4_k")?;
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("dit.gguf");
    write(&path, kind, block, size)?;
    let file = std::fs::metadata(&path)?.len();
    let questions = Questions { device: DeviceKind::Cpu, digests: false };
    let inspected = inspect(folder.path(), questions)?;
    let told = inspected.roles.iter().filter_map(|role| role.memory).map(|memory| memory.weights).sum::<u64>();

    let model = folder::open(folder.path())?;
    let weights = model.weights(Role::Dit)?;
    let network = WanModel::load(model.dit_config(Role::Dit, &weights)?, &weights, dtype, &Device::Cpu)?;
    let loaded = (resident("RssAnon")?, resident("RssFile")?);
    let text = network.embed_text(&Tensor::ones((20, CONFIG.text_dim), DType::F32, &Device::Cpu)?)?;
    let start = Instant::now();
    let x = Tensor::randn(0f32, 1., &LATENTS[..], &Device::Cpu)?;
    let velocity = network.forward(&x, Timesteps::Scalar(500.), &text)?;
    let seconds = start.elapsed().as_secs_f64();
    if !velocity.sum_all()?.to_scalar::<f32>()?.is_finite() {
        return Err("the step is not finite".into());
    }
    let after = (resident("RssAnon")?, resident("RssFile")?);
    let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    println!(
        "{encoding:<8} {:<9} {:>8.0} {:>12.0} | {:>10.0} + {:>6.0}      | {:>5.0} + {:<5.0}| {:>5.0} | {seconds:.1}",
        if dtype == DType::BF16 { "bf16" } else { "f32" },
        mib(file),
        mib(told),
        mib(loaded.0),
        mib(loaded.1),
        mib(after.0),
        mib(after.1),
        mib(resident("VmHWM")?),
    );
    Ok(())
}

/// A line of the process's own status, in bytes.
fn resident(what: &str) -> Result<u64, Box<dyn Error>> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix(what)?.strip_prefix(':'));
    let kib: u64 = line.ok_or("there is no such line in /proc")?.trim().trim_end_matches(" kB").parse()?;
    Ok(kib << 10)
}

/// A GGUF file with random numbers: the blocks' matrices as said, everything else in f32, as converters write it.
fn write(path: &Path, kind: u32, block: usize, size: usize) -> Result<(), Box<dyn Error>> {
    let params = parameters(&CONFIG);
    let encoded = |param: &Param| -> (u32, usize) {
        let count: usize = param.shape.iter().product();
        let is_matrix = param.shape.len() == 2 && param.name.starts_with("blocks.");
        if is_matrix { (kind, count / block * size) } else { (F32, 4 * count) }
    };
    let mut out = BufWriter::new(File::create(path)?);
    let mut head = b"GGUF".to_vec();
    head.extend(3u32.to_le_bytes());
    head.extend((params.len() as u64).to_le_bytes());
    head.extend(0u64.to_le_bytes());
    let mut offset = 0;
    for param in &params {
        let (kind, length) = encoded(param);
        head.extend((param.name.len() as u64).to_le_bytes());
        head.extend(param.name.as_bytes());
        head.extend((param.shape.len() as u32).to_le_bytes());
        param.shape.iter().rev().for_each(|&dim| head.extend((dim as u64).to_le_bytes()));
        head.extend(kind.to_le_bytes());
        head.extend((offset as u64).to_le_bytes());
        offset += length.next_multiple_of(ALIGNMENT);
    }
    head.resize(head.len().next_multiple_of(ALIGNMENT), 0);
    out.write_all(&head)?;
    let mut state = 1u64;
    let mut random = move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as u32
    };
    for param in &params {
        let (kind, length) = encoded(param);
        let mut bytes = Vec::with_capacity(length.next_multiple_of(ALIGNMENT));
        // ±0.03, about what keeps activations as large as they are.
        let uniform = |random: u32| (random as f32 / (1u64 << 31) as f32 - 0.5) * 0.06;
        while bytes.len() < length {
            match kind {
                F32 => bytes.extend(uniform(random()).to_le_bytes()),
                30 => bytes.extend(half::bf16::from_f32(uniform(random())).to_le_bytes()),
                _ => {
                    let scales = if kind == 8 { 1 } else { 2 };
                    (0..scales).for_each(|_| {
                        bytes.extend(half::f16::from_f32(2.4e-4 / scales as f32 / 8f32.powi(scales - 1)).to_le_bytes())
                    });
                    (2 * scales as usize..size).for_each(|_| bytes.push(random() as u8));
                }
            }
        }
        bytes.resize(length.next_multiple_of(ALIGNMENT), 0);
        out.write_all(&bytes)?;
    }
    Ok(out.flush()?)
}
