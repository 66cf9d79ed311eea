//! One LoRA file in memory: which tensors of a network it changes, and by what.

use std::collections::BTreeMap;
use std::path::Path;

use candle_core::{DType, Device, Tensor};
use wanfarm_types::Expert;
use wanfarm_weights::lora::{Change, LoraContents};
use wanfarm_weights::{Entry, Param};

use crate::error::ModelError;
use crate::ops::decode::decode;

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
    name: String,
    remark: Option<String>,
    deltas: BTreeMap<String, Vec<Delta>>,
}

impl Lora {
    /// Reads a safetensors file of adapters for an expert with these parameters. Of a file for two transformers, as
    /// diffusers names them, what is for the other is passed over.
    ///
    /// # Errors
    /// It cannot be read, or holds no adapters for this network.
    pub fn open(path: &Path, network: &[Param], expert: Expert) -> Result<Self, ModelError> {
        let lora = LoraContents::open(path)?;
        let fit = lora.fit(network, expert)?;
        let read = |(name, (change, shape)): (&&str, &(Change<'_>, &[usize]))| {
            Ok::<_, ModelError>(((*name).to_owned(), deltas(&lora, change, shape)?))
        };
        let deltas = fit.changes.iter().map(read).collect::<Result<_, _>>()?;
        Ok(Self { name: lora.file().name(), remark: fit.remark(), deltas })
    }

    /// The file's name, without its folder.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The changes that are not applied, if any.
    pub fn remark(&self) -> Option<&str> {
        self.remark.as_deref()
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

/// The differences that a change makes to a tensor of this shape, which it suits.
fn deltas(lora: &LoraContents, change: &Change<'_>, shape: &[usize]) -> Result<Vec<Delta>, ModelError> {
    let tensor = |entry: &Entry| {
        let numbers = decode(lora.file().bytes(entry.bytes.clone())?, entry.encoding, None)?;
        Ok::<_, ModelError>(Tensor::from_vec(numbers, entry.shape.as_slice(), &Device::Cpu)?)
    };
    let mut deltas = Vec::new();
    if let Some((down, up)) = change.pair {
        let matrix = |entry: &Entry| Ok::<_, ModelError>(tensor(entry)?.flatten_from(1)?);
        deltas.push(Delta::LowRank { down: matrix(down)?, up: matrix(up)?, scale: change.scale() });
    }
    if let Some(diff) = change.diff {
        deltas.push(Delta::Full(tensor(diff)?.reshape(shape)?.to_dtype(DType::F32)?));
    }
    Ok(deltas)
}

#[cfg(test)]
mod tests {
    use super::*;

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
}
