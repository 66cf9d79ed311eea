//! What a LoRA file holds, told by its header and its alphas: which tensors of a network it changes, and how. No model
//! is needed for it, so faults are reported as soon as a file is named.
//!
//! Not here: whether it suits a model (`fit`), and its matrices (`file`).

use std::collections::BTreeMap;
use std::path::Path;

use safetensors::Dtype;
use wanfarm_types::Expert;

use super::names::{Piece, few, foreign, meaning};
use crate::decode::decode;
use crate::encoding::Encoding;
use crate::entry::Entry;
use crate::error::FileError;
use crate::mapped::MappedFile;
use crate::safetensors as directory;

/// What keys begin with in a file for two transformers, as diffusers names them: the high-noise expert's, the low-noise
/// one's. A file for `transformer` alone is loaded into either.
///
/// Source: diffusers@0.42 `loaders/lora_pipeline.py` (WanLoraLoaderMixin).
const SIDES: [(&str, Expert); 2] = [("transformer.", Expert::High), ("transformer_2.", Expert::Low)];
/// Dimensions of the largest kernels.
const MAX_DIMENSIONS: usize = 8;

/// A file of adapters, of which nothing but the header is read.
#[derive(Debug)]
pub struct LoraContents {
    file: MappedFile,
    keys: Vec<Key>,
}

/// A tensor of the file.
#[derive(Debug)]
struct Key {
    key: String,
    /// Of the tensor it is about, in the network.
    name: String,
    piece: Piece,
    entry: Entry,
}

/// What the file does to one tensor of the network.
#[derive(Debug, Clone, Copy, Default)]
pub struct Change<'a> {
    /// Down `(r, in)` and up `(out, r)`.
    pub pair: Option<(&'a Entry, &'a Entry)>,
    /// What the product of both is multiplied by, times their rank.
    pub alpha: Option<f64>,
    /// A difference of the tensor's own shape.
    pub diff: Option<&'a Entry>,
}

/// The tensors of a file that are about one tensor of the network.
#[derive(Default)]
struct Pieces<'a> {
    down: Option<&'a Entry>,
    up: Option<&'a Entry>,
    alpha: Option<f64>,
    diff: Option<&'a Entry>,
}

/// What is wrong with the tensors of a file, by kind.
#[derive(Default)]
struct Wrong {
    dtypes: Vec<String>,
    shapes: Vec<String>,
    without_down: Vec<String>,
    without_up: Vec<String>,
}

impl LoraContents {
    /// Reads the header of a safetensors file of adapters.
    ///
    /// # Errors
    /// It cannot be read or is damaged; it is a model, or of a kind of adapters that is not read; a matrix lacks its
    /// counterpart; or it would change nothing.
    pub fn open(path: &Path) -> Result<Self, FileError> {
        let file = MappedFile::open(path)?;
        let (mut keys, mut strange) = (Vec::new(), Vec::new());
        for (key, entry) in directory::entries(&file)? {
            match meaning(&key) {
                Some((name, piece)) => keys.push(Key { key, name, piece, entry }),
                None => strange.push(key),
            }
        }
        if let Some(why) = foreign(keys.is_empty(), &strange) {
            return Err(FileError::lora(path, why));
        }
        let lora = Self { file, keys };
        for expert in lora.experts() {
            lora.changes(expert)?;
        }
        Ok(lora)
    }

    /// Whether a file has keys of adapters. One that cannot be read has none.
    pub fn has_adapters(path: &Path) -> bool {
        let entries = MappedFile::open(path).and_then(|file| directory::entries(&file));
        entries.is_ok_and(|entries| entries.iter().any(|(key, _)| meaning(key).is_some()))
    }

    /// The file.
    pub fn file(&self) -> &MappedFile {
        &self.file
    }

    /// Where it lies.
    pub fn path(&self) -> &Path {
        self.file.path()
    }

    /// The transformers it tells apart; [`Expert::Single`] if it tells none apart.
    pub(super) fn experts(&self) -> Vec<Expert> {
        let both = SIDES.iter().all(|(side, _)| self.keys.iter().any(|key| key.key.starts_with(side)));
        if both { SIDES.map(|(_, expert)| expert).to_vec() } else { vec![Expert::Single] }
    }

    /// What it does to an expert, by the official names of its tensors. Of a file for two transformers, what is for the
    /// other is passed over.
    pub(super) fn changes(&self, expert: Expert) -> Result<BTreeMap<&str, Change<'_>>, FileError> {
        // Asked once: it looks at every key.
        let is_told_apart = expert != Expert::Single && self.experts().len() > 1;
        let others = |key: &Key| {
            let of_another = |(side, of): &(&str, Expert)| *of != expert && key.key.starts_with(side);
            is_told_apart && SIDES.iter().any(of_another)
        };
        let mut wrong = Wrong::default();
        let mut pieces: BTreeMap<&str, Pieces<'_>> = BTreeMap::new();
        for key in self.keys.iter().filter(|key| !others(key)) {
            let Some(slot) = self.slot(key, &mut wrong)? else { continue };
            if !pieces.entry(&key.name).or_default().take(slot) {
                return Err(self.fault(format!("{} is there under another name as well", key.key)));
            }
        }
        let mut changes = BTreeMap::new();
        for (name, pieces) in pieces {
            let pair = match (pieces.down, pieces.up) {
                (Some(down), Some(up)) => {
                    if columns(&down.shape).is_none() || columns(&up.shape) != down.shape.first().copied() {
                        wrong.shapes.push(format!("{name} with {:?} · {:?}", up.shape, down.shape));
                    }
                    Some((down, up))
                }
                (None, None) => None,
                (None, Some(_)) => {
                    wrong.without_down.push(name.to_owned());
                    continue;
                }
                (Some(_), None) => {
                    wrong.without_up.push(name.to_owned());
                    continue;
                }
            };
            // An alpha alone changes nothing.
            if pair.is_some() || pieces.diff.is_some() {
                changes.insert(name, Change { pair, alpha: pieces.alpha, diff: pieces.diff });
            }
        }
        if let Some(why) = wrong.words() {
            return Err(self.fault(why));
        }
        if changes.is_empty() {
            let alphas = self.keys.len();
            return Err(self.fault(format!("it holds no adapters, only {alphas} alphas, so it would change nothing")));
        }
        Ok(changes)
    }

    /// A piece with what it is; `None` if it is unusable, which is noted.
    fn slot<'a>(&self, key: &'a Key, wrong: &mut Wrong) -> Result<Option<Slot<'a>>, FileError> {
        let Key { key, piece, entry, .. } = key;
        if *piece == Piece::Alpha {
            let number = self.number(entry)?.filter(|number| number.is_finite());
            let alpha = number.ok_or_else(|| self.fault(format!("{key} is no number")))?;
            return Ok(Some(Slot::Alpha(alpha)));
        }
        if !entry.encoding.is_weight() {
            wrong.dtypes.push(format!("{key} is {}", entry.encoding.name()));
            return Ok(None);
        }
        if entry.shape.is_empty() || entry.shape.len() > MAX_DIMENSIONS || entry.shape.contains(&0) {
            wrong.shapes.push(format!("{key} is {:?}", entry.shape));
            return Ok(None);
        }
        Ok(Some(match piece {
            Piece::Down => Slot::Down(entry),
            Piece::Up => Slot::Up(entry),
            Piece::Diff | Piece::Alpha => Slot::Diff(entry),
        }))
    }

    /// The one number in a tensor, as tools write it: in any type of numbers.
    fn number(&self, entry: &Entry) -> Result<Option<f64>, FileError> {
        if entry.shape.iter().any(|dim| *dim != 1) {
            return Ok(None);
        }
        let bytes = self.file.bytes(entry.bytes.clone())?;
        Ok(match entry.encoding {
            Encoding::Plain(Dtype::F64) => bytes.try_into().ok().map(f64::from_le_bytes),
            Encoding::Plain(Dtype::I64) => bytes.try_into().ok().map(|bytes| i64::from_le_bytes(bytes) as f64),
            Encoding::Plain(Dtype::I32) => bytes.try_into().ok().map(|bytes| f64::from(i32::from_le_bytes(bytes))),
            Encoding::Plain(dtype) => decode(bytes, dtype)?.first().copied().map(f64::from),
            Encoding::Blocks(_) | Encoding::Affine(_) => None,
        })
    }

    /// Error: it cannot be used.
    pub(super) fn fault(&self, why: impl Into<String>) -> FileError {
        FileError::lora(self.path(), why)
    }
}

/// Where a piece belongs.
enum Slot<'a> {
    Down(&'a Entry),
    Up(&'a Entry),
    Alpha(f64),
    Diff(&'a Entry),
}

impl<'a> Pieces<'a> {
    /// Takes a piece; false if it is there already.
    fn take(&mut self, slot: Slot<'a>) -> bool {
        match slot {
            Slot::Down(entry) => self.down.replace(entry).is_none(),
            Slot::Up(entry) => self.up.replace(entry).is_none(),
            Slot::Alpha(alpha) => self.alpha.replace(alpha).is_none(),
            Slot::Diff(entry) => self.diff.replace(entry).is_none(),
        }
    }
}

impl Change<'_> {
    /// The rank of its matrices.
    pub(super) fn rank(&self) -> Option<usize> {
        self.pair.and_then(|(down, _)| down.shape.first().copied())
    }

    /// What the product of its matrices is multiplied by.
    pub fn scale(&self) -> f64 {
        self.alpha.zip(self.rank()).map_or(1.0, |(alpha, rank)| alpha / rank as f64)
    }

    /// Rows and columns of what its matrices make.
    pub(super) fn product(&self) -> Option<[usize; 2]> {
        let (down, up) = self.pair?;
        Some([*up.shape.first()?, columns(&down.shape)?])
    }
}

impl Wrong {
    fn words(self) -> Option<String> {
        let missing =
            |what: &str, names: Vec<String>| (format!("the {what} of {} adapters is missing", names.len()), names);
        let kinds = [
            missing("first matrix (down, or A)", self.without_down),
            missing("second matrix (up, or B)", self.without_up),
            (format!("{} tensors have a shape that adapters cannot have", self.shapes.len()), self.shapes),
            (format!("{} tensors are of an unusable element type", self.dtypes.len()), self.dtypes),
        ];
        let kinds = kinds.into_iter().filter(|(_, names)| !names.is_empty());
        let words: Vec<String> = kinds.map(|(what, names)| format!("{what}: {}", few(&names))).collect();
        (!words.is_empty()).then(|| words.join("; "))
    }
}

/// Columns of a tensor taken for a matrix: a convolution's adapters are convolutions, whose kernels are the stride, so
/// they are matrices over patches. `None` of one that is none.
pub(super) fn columns(shape: &[usize]) -> Option<usize> {
    let [_, rest @ ..] = shape else { return None };
    if rest.is_empty() { None } else { rest.iter().try_fold(1usize, |columns, dim| columns.checked_mul(*dim)) }
}

#[cfg(test)]
mod tests {
    use super::super::tests::written;
    use super::*;

    const PAIR: [(&str, &[usize]); 2] =
        [("blocks.0.ffn.0.lora_down.weight", &[2, 4]), ("blocks.0.ffn.0.lora_up.weight", &[6, 2])];

    /// Names and shapes.
    type Tensors<'a> = &'a [(&'a str, &'a [usize])];

    fn open(tensors: Tensors<'_>) -> Result<(), String> {
        let (_dir, path) = written(tensors);
        LoraContents::open(&path).map(drop).map_err(|error| error.why())
    }

    #[test]
    fn what_is_no_lora_is_told_by_what_it_is() {
        assert_eq!(open(&PAIR), Ok(()));
        let cases: [(Tensors<'_>, &str); 14] = [
            (&[], "it holds no tensors"),
            (&[("blocks.0.ffn.0.alpha", &[])], "it holds no adapters, only 1 alphas, so it would change nothing"),
            (&[("blocks.0.ffn.0.weight", &[6, 4]), ("blocks.0.ffn.0.bias", &[6])], "the weights of a model"),
            (&[PAIR[0], PAIR[1], ("blocks.0.ffn.0.dora_scale", &[6])], "DoRA (blocks.0.ffn.0.dora_scale)"),
            (&[("lora_unet_blocks_0_ffn_0.hada_w1_a", &[6, 2])], "LoHa"),
            (&[("lora_unet_blocks_0_ffn_0.lokr_w1", &[6, 2])], "LoKr"),
            (&[PAIR[0], PAIR[1], ("who.knows", &[6])], "1 tensors of no known form: who.knows"),
            (&[PAIR[0]], "the second matrix (up, or B) of 1 adapters is missing: blocks.0.ffn.0.weight"),
            (&[PAIR[1]], "the first matrix (down, or A) of 1 adapters is missing: blocks.0.ffn.0.weight"),
            (&[PAIR[0], ("blocks.0.ffn.0.lora_up.weight", &[6, 3])], "blocks.0.ffn.0.weight with [6, 3] · [2, 4]"),
            (&[("blocks.0.ffn.0.lora_down.weight", &[2]), PAIR[1]], "blocks.0.ffn.0.weight with [6, 2] · [2]"),
            (&[("blocks.0.ffn.0.diff", &[0, 4])], "blocks.0.ffn.0.diff is [0, 4]"),
            (&[PAIR[0], PAIR[1], ("transformer.blocks.0.ffn.net.0.proj.lora_A.weight", &[2, 4])], "under another name"),
            (&[PAIR[0], PAIR[1], ("blocks.0.ffn.0.alpha", &[2])], "blocks.0.ffn.0.alpha is no number"),
        ];
        for (tensors, says) in cases {
            let why = open(tensors).unwrap_err();
            assert!(why.contains(says), "{why}\ndoes not say: {says}");
        }
    }

    #[test]
    fn of_many_faults_a_few_are_named() {
        let names: Vec<String> = (0..50).map(|block| format!("blocks.{block}.ffn.0.lora_up.weight")).collect();
        let tensors: Vec<_> = names.iter().map(|name| (name.as_str(), &[6, 2][..])).collect();
        let why = open(&tensors).unwrap_err();
        assert!(why.contains("of 50 adapters") && why.ends_with("and 47 more"), "{why}");
        assert!(why.len() < 300, "{why}");
    }

    #[test]
    fn an_alpha_is_a_number_of_any_type() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lora.safetensors");
        let pair =
            PAIR.map(|(name, shape)| (name, Dtype::F32, shape.to_vec(), vec![0; 4 * shape.iter().product::<usize>()]));
        for (dtype, shape, bytes) in [
            (Dtype::F64, vec![], 3f64.to_le_bytes().to_vec()),
            (Dtype::I64, vec![], 3i64.to_le_bytes().to_vec()),
            (Dtype::I32, vec![1], 3i32.to_le_bytes().to_vec()),
            (Dtype::F32, vec![1], 3f32.to_le_bytes().to_vec()),
            (Dtype::BF16, vec![], half::bf16::from_f32(3.0).to_le_bytes().to_vec()),
            (Dtype::F16, vec![], half::f16::from_f32(3.0).to_le_bytes().to_vec()),
        ] {
            let alpha = ("blocks.0.ffn.0.alpha", dtype, shape, bytes);
            let tensors = pair.iter().chain([&alpha]).map(|(name, dtype, shape, bytes)| {
                (*name, safetensors::tensor::TensorView::new(*dtype, shape.clone(), bytes).unwrap())
            });
            std::fs::write(&path, safetensors::serialize(tensors, None).unwrap()).unwrap();
            let lora = LoraContents::open(&path).unwrap();
            assert_eq!(lora.changes(Expert::Single).unwrap()["blocks.0.ffn.0.weight"].scale(), 1.5, "{dtype:?}");
        }
    }

    #[test]
    fn a_damaged_file_says_where_it_ends() {
        let (_dir, path) = written(&PAIR);
        let bytes = std::fs::read(&path).unwrap();
        std::fs::write(&path, &bytes[..bytes.len() - 3]).unwrap();
        let error = LoraContents::open(&path).unwrap_err();
        assert_eq!(error.why(), "the file is truncated: 3 of 264 bytes are missing; download it again");
        assert!(error.to_string().starts_with(&path.display().to_string()));
    }
}
