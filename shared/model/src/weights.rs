//! Tensors by their official names, in memory-mapped files. Nothing is read until it is asked for.
//!
//! Not here: the file formats (`files::safetensors`, `files::pth`) and which file holds what (`files`).

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::path::PathBuf;

use candle_core::{DType, Device, Tensor};
use half::{bf16, f16};
use rayon::prelude::*;
use safetensors::Dtype;

use crate::dit::PATCH;
use crate::error::{BadTensors, ModelError};
use crate::files::mapped::MappedFile;
use crate::files::names::{self, Naming};
use crate::files::{encoding, kernels, pth, safetensors as safetensors_file};

/// A tensor that a network needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Param {
    /// Official name.
    pub name: String,
    /// Dimensions, outermost first.
    pub shape: Vec<usize>,
}

impl Param {
    /// A tensor by name and shape.
    pub fn new(name: impl Into<String>, shape: impl Into<Vec<usize>>) -> Self {
        Self { name: name.into(), shape: shape.into() }
    }

    /// Weight `(out, in)` and, if asked for, bias `(out)` of a linear layer.
    pub fn linear(prefix: &str, out: usize, inner: usize, bias: bool) -> Vec<Self> {
        let mut params = vec![Self::new(format!("{prefix}.weight"), [out, inner])];
        if bias {
            params.push(Self::new(format!("{prefix}.bias"), [out]));
        }
        params
    }
}

/// Where a tensor lies in its file: row-major, dense, little endian.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) dtype: Dtype,
    pub(crate) shape: Vec<usize>,
    /// Bytes in the file; readers have checked that they exist and are as many as dtype and shape say.
    pub(crate) bytes: Range<usize>,
}

/// The tensors of one network, over one or more files. Names and shapes are the official ones, however they are stored.
#[derive(Debug)]
pub struct Weights {
    files: Vec<MappedFile>,
    tensors: BTreeMap<String, Stored>,
    channels_last: bool,
}

/// A tensor, where it is, and what it is called there.
#[derive(Debug)]
struct Stored {
    file: usize,
    name: String,
    entry: Entry,
}

impl Weights {
    /// Maps the files (`.safetensors`, or `.pth` of a plain state dict), reads their directories, and gives the tensors
    /// of diffusers, transformers, ComfyUI and MLX files their official names and shapes.
    ///
    /// # Errors
    /// A file that cannot be opened, is truncated or damaged, holds fp8 or quantised weights, or a tensor twice.
    pub fn open(paths: &[PathBuf]) -> Result<Self, ModelError> {
        let mut files = Vec::new();
        let mut found = Vec::new();
        for path in paths {
            let file = MappedFile::open(path)?;
            let entries = match path.extension().and_then(|ext| ext.to_str()) {
                Some("pth" | "pt" | "bin") => pth::entries(&file)?,
                _ => safetensors_file::entries(&file)?,
            };
            found.extend(entries.into_iter().map(|(name, entry)| Stored { file: files.len(), name, entry }));
            files.push(file);
        }
        if let Some((what, why)) = encoding::refused(found.iter().map(|t| (t.name.as_str(), t.entry.dtype))) {
            let what = format!("{}: {what}", place(&files));
            return Err(ModelError::Unsupported { what, why: why.to_owned() });
        }
        let naming = Naming::of(&found.iter().map(|tensor| names::bare(&tensor.name)).collect::<BTreeSet<_>>());
        let mut tensors: BTreeMap<String, Stored> = BTreeMap::new();
        for tensor in found {
            let Some(name) = naming.official(names::bare(&tensor.name)) else { continue };
            let (file, stored) = (tensor.file, tensor.name.clone());
            if let Some(other) = tensors.insert(name, tensor) {
                let why = format!("{stored} is the same tensor as {} in {}", other.name, files[other.file].name());
                return Err(files[file].corrupt(why));
            }
        }
        let shapes = tensors.iter().map(|(name, tensor)| (name.as_str(), tensor.entry.shape.as_slice()));
        let channels_last = kernels::channels_last(naming, shapes);
        for (name, Stored { entry, .. }) in &mut tensors {
            if channels_last && kernels::is_convolution(name, &entry.shape) {
                // (out, kernel…, in) → (out, in, kernel…): what `read` turns the elements into.
                entry.shape[1..].rotate_right(1);
            }
            if let (Naming::MlxDit, "patch_embedding.weight", &[dim, patch]) = (naming, name.as_str(), &*entry.shape) {
                let [t, p, q] = PATCH;
                // A matrix over patches is the convolution with its last four dimensions run together.
                if patch.is_multiple_of(t * p * q) {
                    entry.shape = vec![dim, patch / (t * p * q), t, p, q];
                }
            }
        }
        Ok(Self { files, tensors, channels_last })
    }

    /// Whether the files store convolutions channels last, as MLX does. Nothing else sees it: shapes are given and
    /// tensors are read in the official order.
    pub fn is_channels_last(&self) -> bool {
        self.channels_last && self.tensors.iter().any(|(name, t)| kernels::is_convolution(name, &t.entry.shape))
    }

    /// Compares the files with what a network needs.
    ///
    /// # Errors
    /// One error that names every tensor that is missing, unexpected, misshapen or of an unusable type.
    pub fn check(&self, expected: &[Param]) -> Result<(), ModelError> {
        let mut bad = BadTensors::default();
        let needed: BTreeMap<&str, &[usize]> = expected.iter().map(|p| (p.name.as_str(), p.shape.as_slice())).collect();
        for (&name, &shape) in &needed {
            let Some(Stored { entry, .. }) = self.tensors.get(name) else {
                bad.missing.push(name.to_owned());
                continue;
            };
            // The γ of a norm is a row of numbers, whatever it is broadcast over.
            let row = |shape: &[usize]| shape.iter().copied().filter(|&dim| dim != 1).collect::<Vec<_>>();
            let same_row = name.ends_with(".gamma") && row(&entry.shape) == row(shape);
            if entry.shape != shape && !same_row {
                let remark = remark(&entry.shape, shape);
                bad.misshapen.push(format!("{} is {:?}, not {shape:?}{remark}", self.called(name), entry.shape));
            }
            if !matches!(entry.dtype, Dtype::F32 | Dtype::F16 | Dtype::BF16) {
                bad.wrong_dtype.push(format!("{} is {:?}", self.called(name), entry.dtype));
            }
        }
        bad.unexpected = self.names().filter(|name| !needed.contains_key(name)).map(|name| self.called(name)).collect();
        if bad.is_empty() {
            return Ok(());
        }
        bad.file = self.place();
        Err(Box::new(bad).into())
    }

    /// Reads one tensor: converted to `dtype` on the CPU, then uploaded. `None` keeps the file's element type.
    ///
    /// # Errors
    /// No such tensor, an element type candle cannot hold, or a device out of memory.
    pub fn tensor(&self, name: &str, dtype: Option<DType>, device: &Device) -> Result<Tensor, ModelError> {
        let (bytes, stored, shape) = self.stored(name)?;
        let permuted = self.channels_last && kernels::is_convolution(name, shape);
        let mut shape = shape.to_vec();
        if permuted {
            shape[1..].rotate_left(1);
        }
        let mut tensor = match (stored, dtype) {
            (DType::BF16, Some(DType::F32)) => {
                Tensor::from_vec(widen(bytes, |b| bf16::from_le_bytes(b).to_f32()), shape, &Device::Cpu)?
            }
            (DType::F16, Some(DType::F32)) => {
                Tensor::from_vec(widen(bytes, |b| f16::from_le_bytes(b).to_f32()), shape, &Device::Cpu)?
            }
            _ => Tensor::from_raw_buffer(bytes, stored, &shape, &Device::Cpu)?.to_dtype(dtype.unwrap_or(stored))?,
        };
        if permuted {
            let mut order: Vec<usize> = (0..tensor.rank()).collect();
            order[1..].rotate_right(1);
            tensor = tensor.permute(order)?.contiguous()?;
        }
        Ok(tensor.to_device(device)?)
    }

    /// Reads some rows of a matrix, in the file's element type and on the CPU, without touching the others: a
    /// vocabulary has gigabytes of which a prompt needs a few hundred rows.
    ///
    /// # Shapes
    /// matrix `(n, inner)` → `(rows, inner)`.
    ///
    /// # Errors
    /// No such tensor, it is no matrix, or it has no such row.
    pub fn rows(&self, name: &str, rows: &[u32]) -> Result<Tensor, ModelError> {
        let (bytes, stored, shape) = self.stored(name)?;
        let &[count, inner] = shape else {
            return Err(ModelError::input("matrix", format!("{name} has the shape {shape:?}")));
        };
        let size = inner * stored.size_in_bytes();
        let mut picked = Vec::with_capacity(rows.len() * size);
        for &row in rows {
            let no_row = || ModelError::input("row", format!("{name} has {count} rows, and not row {row}"));
            picked.extend_from_slice(bytes.chunks_exact(size.max(1)).nth(row as usize).ok_or_else(no_row)?);
        }
        Ok(Tensor::from_raw_buffer(&picked, stored, &[rows.len(), inner], &Device::Cpu)?)
    }

    /// A tensor's bytes, element type and shape.
    fn stored(&self, name: &str) -> Result<(&[u8], DType, &[usize]), ModelError> {
        let Some(Stored { file, entry, .. }) = self.tensors.get(name) else {
            let file = self.place();
            return Err(Box::new(BadTensors { file, missing: vec![name.to_owned()], ..Default::default() }).into());
        };
        let file = &self.files[*file];
        let dtype = DType::try_from(entry.dtype).map_err(|_| ModelError::Unsupported {
            what: format!("{name} in {} of type {:?}", file.path().display(), entry.dtype),
            why: "use files in f32, f16 or bf16".to_owned(),
        })?;
        Ok((file.bytes(entry.bytes.clone())?, dtype, &entry.shape))
    }

    /// The file, or the folder and its number of files, for messages.
    pub fn place(&self) -> String {
        place(&self.files)
    }

    /// The shape of a tensor, if it is there.
    pub fn shape(&self, name: &str) -> Option<&[usize]> {
        self.tensors.get(name).map(|tensor| tensor.entry.shape.as_slice())
    }

    /// Element types, each with its number of elements and bytes.
    pub fn dtypes(&self) -> BTreeMap<String, (u64, u64)> {
        let mut dtypes = BTreeMap::new();
        for Stored { entry, .. } in self.tensors.values() {
            let (elements, bytes) = dtypes.entry(format!("{:?}", entry.dtype).to_lowercase()).or_insert((0, 0));
            *elements += entry.shape.iter().map(|&dim| dim as u64).product::<u64>();
            *bytes += entry.bytes.len() as u64;
        }
        dtypes
    }

    /// All names, in alphabetical order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.tensors.keys().map(String::as_str)
    }

    /// A tensor's official name, and the one it has in its file if that differs.
    fn called(&self, name: &str) -> String {
        match self.tensors.get(name) {
            Some(tensor) if tensor.name != name => format!("{name} (in the file: {})", tensor.name),
            _ => name.to_owned(),
        }
    }
}

fn place(files: &[MappedFile]) -> String {
    match files {
        [] => "no file".to_owned(),
        [file] => file.path().display().to_string(),
        [file, ..] => {
            let folder = file.path().parent().unwrap_or(file.path());
            format!("{} ({} files)", folder.display(), files.len())
        }
    }
}

/// Elements of two bytes as f32, on all cores: the text encoder is widened anew for each prompt.
fn widen(bytes: &[u8], to_f32: impl Fn([u8; 2]) -> f32 + Sync) -> Vec<f32> {
    const RUN: usize = 1 << 15;
    let mut wide = vec![0f32; bytes.len() / 2];
    wide.par_chunks_mut(RUN).zip(bytes.par_chunks(2 * RUN)).for_each(|(wide, bytes)| {
        let (elements, _) = bytes.as_chunks();
        for (wide, &element) in wide.iter_mut().zip(elements) {
            *wide = to_f32(element);
        }
    });
    wide
}

/// Says what a wrong shape usually means.
fn remark(found: &[usize], needed: &[usize]) -> &'static str {
    match (found, needed) {
        ([o, t, h, w, i], &[out, inner, kt, kh, kw]) if [*o, *i, *t, *h, *w] == [out, inner, kt, kh, kw] => {
            " (channels last, as MLX stores it, while other convolutions here are not; use the original files)"
        }
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file with the matrix `m` `(40, 3)`, whose element i is i / 8.
    fn matrix(dtype: DType) -> Weights {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("m.safetensors");
        let values: Vec<f32> = (0..120).map(|i| i as f32 / 8.).collect();
        let tensor = Tensor::from_vec(values, (40, 3), &Device::Cpu).unwrap().to_dtype(dtype).unwrap();
        candle_core::safetensors::save(&[("m", tensor)].into(), &path).unwrap();
        Weights::open(&[path]).unwrap()
    }

    #[test]
    fn half_types_are_widened_exactly() {
        for dtype in [DType::BF16, DType::F16, DType::F32] {
            let wide = matrix(dtype).tensor("m", Some(DType::F32), &Device::Cpu).unwrap();
            assert_eq!(wide.dims(), [40, 3]);
            let wide = wide.flatten_all().unwrap().to_vec1::<f32>().unwrap();
            assert!(wide.iter().enumerate().all(|(i, &value)| value == i as f32 / 8.), "{dtype:?}");
        }
    }

    #[test]
    fn rows_are_picked_in_order_and_by_need() {
        let weights = matrix(DType::BF16);
        let rows = weights.rows("m", &[39, 0, 39]).unwrap();
        assert_eq!(rows.dtype(), DType::BF16);
        let rows = rows.to_dtype(DType::F32).unwrap().to_vec2::<f32>().unwrap();
        assert_eq!(rows, [[14.625, 14.75, 14.875], [0., 0.125, 0.25], [14.625, 14.75, 14.875]]);
        assert!(weights.rows("m", &[40]).unwrap_err().to_string().contains("not row 40"));
        assert!(weights.rows("n", &[0]).unwrap_err().to_string().contains("missing: n"));
    }
}
