//! One LoRA file: which tensors of a network it changes, and how.

use std::collections::BTreeMap;
use std::path::Path;

use candle_core::{DType, Device, Tensor};

use wanfarm_types::Expert;

use super::names::{Piece, meaning};
use crate::error::{BadTensors, ModelError};
use crate::files::decode::decode;
use crate::files::mapped::MappedFile;
use crate::files::safetensors;
use crate::weights::Param;

/// What is added to one tensor at strength 1; f32 on the CPU.
#[derive(Debug, Clone)]
pub(super) enum Delta {
    /// `scale · up · down`.
    LowRank {
        /// `(r, in)`.
        down: Tensor,
        /// `(out, r)`.
        up: Tensor,
        /// alpha / r.
        scale: f64,
    },
    /// The difference itself, of the tensor's shape.
    Full(Tensor),
}

/// The changes that one file makes to one network.
#[derive(Debug)]
pub struct Lora {
    place: String,
    deltas: BTreeMap<String, Vec<Delta>>,
}

/// The tensors of a file that belong to one tensor of the network.
#[derive(Debug, Default)]
struct Pieces {
    down: Option<Tensor>,
    up: Option<Tensor>,
    alpha: Option<f64>,
    diff: Option<Tensor>,
}

impl Lora {
    /// Reads a safetensors file of adapters for an expert with these parameters. Of a file for two transformers, as
    /// diffusers names them, what is for the other is passed over.
    ///
    /// # Errors
    /// It cannot be read; or some of its tensors have no place in the network, another shape, or no counterpart: one
    /// error that names all of them.
    pub fn open(path: &Path, network: &[Param], expert: Expert) -> Result<Self, ModelError> {
        let file = MappedFile::open(path)?;
        let shapes: BTreeMap<&str, &[usize]> = network.iter().map(|p| (p.name.as_str(), p.shape.as_slice())).collect();
        let mut bad = BadTensors { file: path.display().to_string(), ..BadTensors::default() };
        let mut pieces: BTreeMap<String, Pieces> = BTreeMap::new();
        let entries: Vec<_> = safetensors::entries(&file)?.into_iter().collect();
        let other = other_expert(entries.iter().map(|(key, _)| key.as_str()), expert);
        for (key, entry) in entries {
            if other.is_some_and(|other| key.starts_with(other)) {
                continue;
            }
            let Some((name, piece)) = meaning(&key).filter(|(name, _)| shapes.contains_key(name.as_str())) else {
                bad.unexpected.push(key);
                continue;
            };
            if !entry.encoding.is_weight() {
                bad.wrong_dtype.push(format!("{key} is {}", entry.encoding.name()));
                continue;
            }
            let numbers = decode(file.bytes(entry.bytes.clone())?, entry.encoding)?;
            let of_tensor = pieces.entry(name).or_default();
            let twice = match piece {
                Piece::Alpha if numbers.len() != 1 || !numbers[0].is_finite() => {
                    bad.misshapen.push(format!("{key} is {numbers:?}, and no number"));
                    continue;
                }
                Piece::Alpha => of_tensor.alpha.replace(f64::from(numbers[0])).is_some(),
                piece => {
                    let tensor = Tensor::from_vec(numbers, entry.shape, &Device::Cpu)?;
                    let slot = match piece {
                        Piece::Down => &mut of_tensor.down,
                        Piece::Up => &mut of_tensor.up,
                        Piece::Diff | Piece::Alpha => &mut of_tensor.diff,
                    };
                    slot.replace(tensor).is_some()
                }
            };
            if twice {
                return Err(file.corrupt(format!("{key} is there under another name as well")));
            }
        }
        let mut deltas = BTreeMap::new();
        for (name, pieces) in pieces {
            let shape = shapes.get(name.as_str()).copied().unwrap_or_default();
            deltas.insert(name.clone(), pieces.deltas(&name, shape, &mut bad)?);
        }
        if !bad.is_empty() {
            return Err(Box::new(bad).into());
        }
        if deltas.is_empty() {
            return Err(file.corrupt("it holds no adapters"));
        }
        Ok(Self { place: path.display().to_string(), deltas })
    }

    /// The file, for messages.
    pub fn place(&self) -> &str {
        &self.place
    }

    /// The official names of the tensors it changes.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.deltas.keys().map(String::as_str)
    }

    /// What is added to a tensor.
    pub(super) fn deltas(&self, name: &str) -> &[Delta] {
        self.deltas.get(name).map(Vec::as_slice).unwrap_or_default()
    }
}

impl Pieces {
    /// The differences these pieces make to a tensor of this shape; what does not fit is reported.
    fn deltas(self, name: &str, shape: &[usize], bad: &mut BadTensors) -> Result<Vec<Delta>, ModelError> {
        let mut deltas = Vec::new();
        match (self.down, self.up) {
            (Some(down), Some(up)) => {
                // A convolution's adapters are convolutions, whose kernels are the stride: matrices over patches.
                let ([rank, inner], [out, columns]) = (matrix(down.dims()), matrix(up.dims()));
                if rank == 0 || rank != columns || [out, inner] != matrix(shape) {
                    let (up, down) = (up.dims(), down.dims());
                    bad.misshapen.push(format!("the adapter of {name} is {up:?} · {down:?}, not of shape {shape:?}"));
                } else {
                    let scale = self.alpha.map_or(1., |alpha| alpha / rank as f64);
                    deltas.push(Delta::LowRank { down: down.flatten_from(1)?, up: up.flatten_from(1)?, scale });
                }
            }
            (None, None) => {}
            (Some(_), None) => bad.missing.push(format!("the second matrix (up, or B) of the adapter of {name}")),
            (None, Some(_)) => bad.missing.push(format!("the first matrix (down, or A) of the adapter of {name}")),
        }
        if let Some(diff) = self.diff {
            let row = |shape: &[usize]| shape.iter().copied().filter(|&dim| dim != 1).collect::<Vec<_>>();
            if row(diff.dims()) == row(shape) {
                deltas.push(Delta::Full(diff.reshape(shape)?.to_dtype(DType::F32)?));
            } else {
                bad.misshapen.push(format!("the difference of {name} is {:?}, not {shape:?}", diff.dims()));
            }
        }
        Ok(deltas)
    }
}

/// What keys for the other expert begin with, if the file has some for each.
///
/// Source: diffusers@0.42 `loaders/lora_pipeline.py` (WanLoraLoaderMixin): `transformer` is the high-noise expert,
/// `transformer_2` the low-noise one. A file for `transformer` alone is loaded into either.
fn other_expert<'k>(keys: impl Iterator<Item = &'k str> + Clone, expert: Expert) -> Option<&'static str> {
    const OF: [&str; 2] = ["transformer.", "transformer_2."];
    let both = OF.iter().all(|of| keys.clone().any(|key| key.starts_with(of)));
    match expert {
        Expert::High => both.then_some(OF[1]),
        Expert::Low => both.then_some(OF[0]),
        Expert::Single => None,
    }
}

/// Rows and columns of a tensor taken for a matrix; none of one that is not.
fn matrix(shape: &[usize]) -> [usize; 2] {
    match shape {
        [rows, rest @ ..] if !rest.is_empty() => [*rows, rest.iter().product()],
        _ => [0, 0],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(tensors: &[(&str, &[usize])]) -> Result<Lora, String> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lora.safetensors");
        let tensor = |shape: &[usize]| Tensor::ones(shape, DType::F32, &Device::Cpu).unwrap();
        let tensors = tensors.iter().map(|(name, shape)| ((*name).to_owned(), tensor(shape))).collect();
        candle_core::safetensors::save(&tensors, &path).unwrap();
        let network = [Param::linear("blocks.0.ffn.0", 6, 4, true), vec![Param::new("head.modulation", [1, 2, 4])]];
        Lora::open(&path, &network.concat(), Expert::Single).map_err(|error| error.to_string())
    }

    #[test]
    fn of_a_file_for_two_transformers_each_takes_its_own() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lora.safetensors");
        let save = |prefixes: &[&str]| {
            let mut tensors = std::collections::HashMap::new();
            for (index, prefix) in prefixes.iter().enumerate() {
                for (end, shape) in [("A", (2, 4)), ("B", (6, 2))] {
                    let tensor = Tensor::full(index as f32 + 1.0, shape, &Device::Cpu).unwrap();
                    tensors.insert(format!("{prefix}.blocks.0.ffn.net.0.proj.lora_{end}.weight"), tensor);
                }
            }
            candle_core::safetensors::save(&tensors, &path).unwrap();
        };
        let network = Param::linear("blocks.0.ffn.0", 6, 4, true);
        let first = |expert| -> Result<f32, String> {
            let lora = Lora::open(&path, &network, expert).map_err(|error| error.to_string())?;
            let [Delta::LowRank { down, .. }] = lora.deltas("blocks.0.ffn.0.weight") else { panic!("{lora:?}") };
            Ok(down.flatten_all().unwrap().to_vec1::<f32>().unwrap()[0])
        };
        save(&["transformer", "transformer_2"]);
        assert_eq!((first(Expert::High), first(Expert::Low)), (Ok(1.0), Ok(2.0)));
        assert!(first(Expert::Single).unwrap_err().contains("under another name"), "which of them, nobody knows");
        for alone in ["transformer", "transformer_2"] {
            save(&[alone]);
            assert_eq!((first(Expert::High), first(Expert::Low), first(Expert::Single)), (Ok(1.0), Ok(1.0), Ok(1.0)));
        }
    }

    #[test]
    fn everything_that_does_not_fit_is_named_at_once() {
        let error = open(&[
            ("diffusion_model.blocks.0.ffn.0.lora_A.weight", &[2, 4]),
            ("diffusion_model.blocks.0.k_img.lora_A.weight", &[2, 4]),
            ("diffusion_model.blocks.0.ffn.0.dora_scale", &[6]),
            ("diffusion_model.head.diff_m", &[2, 5]),
        ])
        .unwrap_err();
        for part in [
            "1 missing: the second matrix (up, or B) of the adapter of blocks.0.ffn.0.weight",
            "2 unexpected: diffusion_model.blocks.0.ffn.0.dora_scale, diffusion_model.blocks.0.k_img.lora_A.weight",
            "the difference of head.modulation is [2, 5], not [1, 2, 4]",
        ] {
            assert!(error.contains(part), "{error}\ndoes not say: {part}");
        }
        let (down, up) = ("blocks.0.ffn.0.lora_down.weight", "blocks.0.ffn.0.lora_up.weight");
        assert!(open(&[(down, &[2, 4]), (up, &[6, 3])]).unwrap_err().contains("[6, 3] · [2, 4], not of shape [6, 4]"));
        assert!(open(&[(down, &[2, 4]), (up, &[6, 2])]).unwrap().names().eq(["blocks.0.ffn.0.weight"]));
        assert!(open(&[]).unwrap_err().contains("no adapters"));
        let twice = open(&[(down, &[2, 4]), ("transformer.blocks.0.ffn.net.0.proj.lora_A.weight", &[2, 4])]);
        assert!(twice.unwrap_err().contains("under another name"));
    }
}
