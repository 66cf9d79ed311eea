//! The three tensors of one matrix, and in which ways their shapes can be understood.

use std::collections::BTreeMap;
use std::sync::Arc;

use safetensors::Dtype;

use super::said::Said;
use crate::encoding::{Affine, Encoding};
use crate::entry::Stored;
use crate::error::FileError;
use crate::factors::Groups;
use crate::mapped::{MappedFile, Piece};

/// What to do about tensors that contradict one another.
const AGAIN: &str = "download or convert the model again";

/// A packed matrix.
#[derive(Debug)]
pub(super) struct Packed {
    /// Official name.
    pub(super) name: String,
    pub(super) rows: usize,
    pub(super) groups: Groups,
    file: Arc<MappedFile>,
    /// Its name in the file.
    stored: String,
    /// Of 32 bits, in a row.
    words: usize,
    /// Scales of a row, and biases.
    scales: usize,
    factors: Dtype,
}

impl Packed {
    /// The matrix of a layer, by its official name; its scales and biases are taken out of the tensors.
    ///
    /// # Errors
    /// One of the three is not there, or is of another type or shape.
    pub(super) fn take(
        layer: &str,
        tensors: &mut BTreeMap<String, Stored>,
        files: &[Arc<MappedFile>],
    ) -> Result<Self, FileError> {
        let name = format!("{layer}.weight");
        let [scales, biases] = ["scales", "biases"].map(|end| tensors.remove(&format!("{layer}.{end}")));
        let (weight, scales, biases) = match (tensors.get(&name), scales, biases) {
            (Some(weight), Some(scales), Some(biases)) => (weight, scales, biases),
            (Some(_), Some(scales), None) => {
                let file = files[scales.file].path().display();
                return Err(FileError::Unsupported {
                    what: format!(
                        "{file}: {} without biases, as MLX's modes mxfp4, mxfp8 and nvfp4 have them,",
                        scales.name
                    ),
                    why: "quantise the model in MLX's mode affine, or not at all".to_owned(),
                });
            }
            (weight, scales, biases) => {
                let lacking = if weight.is_none() { "weight" } else { "scales" };
                let Some(alone) = scales.or(biases) else { return Err(FileError::corrupt(layer, "nothing is there")) };
                let why = format!("there are {} of a matrix that MLX quantised, and no {lacking}; {AGAIN}", alone.name);
                return Err(files[alone.file].corrupt(why));
            }
        };
        let wrong = |why: String| files[weight.file].corrupt(format!("{}: {why}; {AGAIN}", weight.name));
        let (&[rows, words], Encoding::Plain(Dtype::U32)) = (&*weight.entry.shape, weight.entry.encoding) else {
            let (shape, kind) = (&weight.entry.shape, weight.entry.encoding.name());
            return Err(wrong(format!("it has scales, and is {kind} of shape {shape:?}, not a packed matrix of u32")));
        };
        let (&[_, count], factors) = (&*scales.entry.shape, scales.entry.encoding) else {
            return Err(wrong(format!("its scales have the shape {:?}, not {rows} rows", scales.entry.shape)));
        };
        if scales.entry.shape != [rows, count] || biases.entry.shape != scales.entry.shape {
            let (scales, biases) = (&scales.entry.shape, &biases.entry.shape);
            return Err(wrong(format!(
                "its scales have the shape {scales:?} and its biases {biases:?}, for {rows} rows"
            )));
        }
        let factors = match (factors, biases.entry.encoding) {
            (Encoding::Plain(dtype @ (Dtype::F32 | Dtype::F16 | Dtype::BF16)), same) if same == factors => dtype,
            (scales, biases) => {
                let (scales, biases) = (scales.name(), biases.name());
                return Err(wrong(format!(
                    "its scales are {scales} and its biases {biases}, not both f32, f16 or bf16"
                )));
            }
        };
        let piece = |stored: &Stored| Piece::new(files[stored.file].clone(), stored.entry.bytes.clone());
        let groups = Groups { scales: piece(&scales), biases: piece(&biases) };
        let (file, stored) = (files[weight.file].clone(), weight.name.clone());
        Ok(Self { name, rows, groups, file, stored, words, scales: count, factors })
    }

    /// Its layer's path in the file.
    pub(super) fn path(&self) -> &str {
        self.stored.strip_suffix(".weight").unwrap_or(&self.stored)
    }

    /// Its inputs, understood in one of its [`Self::ways`].
    pub(super) fn inputs(&self, way: Affine) -> usize {
        self.scales.saturating_mul(way.group)
    }

    /// The ways in which its shapes can be understood that give it as many inputs as the network has for it, if that is
    /// known, and that are what was said of it.
    ///
    /// # Errors
    /// There is none.
    pub(super) fn ways(&self, inputs: Option<usize>, said: &Said<'_>) -> Result<Vec<Affine>, FileError> {
        let way = |bits| Affine::GROUPS.map(|group| Affine { bits, group, factors: self.factors });
        let mut ways: Vec<Affine> = Affine::BITS.into_iter().flat_map(way).collect();
        // A group fills whole words.
        ways.retain(|&way| self.inputs(way) / 32 * way.bits == self.words);
        let has = format!("it has {} words and {} scales for each row", self.words, self.scales);
        if ways.is_empty() {
            return Err(self.wrong(format!("{has}, which are no groups of 32, 64 or 128 numbers of 2 to 6 or 8 bits")));
        }
        if let Some(inputs) = inputs {
            ways.retain(|&way| self.inputs(way) == inputs);
            if ways.is_empty() {
                return Err(self.wrong(format!("{has}, which are not the {inputs} inputs that the network has for it")));
            }
        }
        let are = match &*ways {
            [way] => format!("it is of {} bits in groups of {}", way.bits, way.group),
            _ => has,
        };
        ways.retain(|way| said.allows(way.bits, way.group));
        if ways.is_empty() { Err(said.contradicted(&self.stored, &are)) } else { Ok(ways) }
    }

    /// Error: nothing tells in which of several ways its shapes are meant.
    pub(super) fn unclear(&self) -> FileError {
        let (stored, file) = (&self.stored, self.file.path().display());
        FileError::Unsupported {
            what: format!(
                "{file}: {stored}, of which {} words and {} scales for each row tell too little,",
                self.words, self.scales
            ),
            why: "put the config.json beside it that was written with the weights and has quantization with bits and \
                  group_size"
                .to_owned(),
        }
    }

    /// Error: its tensors contradict one another or the network.
    pub(super) fn wrong(&self, why: String) -> FileError {
        self.file.corrupt(format!("{}: {why}; {AGAIN}", self.stored))
    }
}
