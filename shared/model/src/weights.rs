//! Tensors by their official names, in memory-mapped files. Nothing is read until it is asked for.
//!
//! Not here: the file formats (`files::safetensors`, `files::pth`, `files::gguf`), which file holds what (`files`) and
//! matrices that stay as small as they are stored (`ops::compact`).

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use candle_core::{DType, Device, Tensor};
use serde::Serialize;

use crate::dit::PATCH;
use crate::error::{BadTensors, ModelError};
use crate::files::decode::decode;
use crate::files::encoding::{self, Encoding};
use crate::files::mapped::MappedFile;
use crate::files::names::Naming;
use crate::files::{gguf, kernels, prefix, pth, safetensors as safetensors_file, scales};
use crate::lora::{Adapters, Side};
use crate::ops::compact::Compact;
use crate::ops::device::DeviceKind;

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

/// More dimensions than any tensor has.
pub(crate) const MAX_RANK: usize = 8;

/// Where a tensor lies in its file: row-major, dense, little endian.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) encoding: Encoding,
    pub(crate) shape: Vec<usize>,
    /// Bytes in the file; readers have checked that they exist and are as many as encoding and shape say.
    pub(crate) bytes: Range<usize>,
}

impl Entry {
    /// A tensor of a shape that can be computed with.
    ///
    /// # Errors
    /// Why it cannot: too many dimensions, or strides that cannot be counted, which a tensor without numbers may have.
    pub(crate) fn new(encoding: Encoding, shape: Vec<usize>, bytes: Range<usize>) -> Result<Self, String> {
        if shape.len() > MAX_RANK {
            return Err(format!("it has {} dimensions", shape.len()));
        }
        let volume = shape.iter().try_fold(1usize, |volume, &dim| volume.checked_mul(dim.max(1)));
        volume.map(|_| Self { encoding, shape, bytes }).ok_or_else(|| "it is too large".to_owned())
    }
}

/// The tensors of one network, over one or more files. Names and shapes are the official ones, however they are stored.
#[derive(Debug)]
pub struct Weights {
    files: Vec<Arc<MappedFile>>,
    tensors: BTreeMap<String, Stored>,
    /// What the numbers of some matrices are multiplied by: one factor, or one per row.
    scales: BTreeMap<String, Vec<f32>>,
    channels_last: bool,
    /// Part of the model.
    fixed: Adapters,
    /// In place for now.
    adapters: Adapters,
}

/// The tensors of one element type, in figures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Share {
    /// Tensors.
    pub tensors: u64,
    /// Numbers in them.
    pub elements: u64,
    /// Bytes in the files.
    pub bytes: u64,
}

/// A tensor, where it is, and what it is called there.
#[derive(Debug)]
pub(crate) struct Stored {
    pub(crate) file: usize,
    pub(crate) name: String,
    pub(crate) entry: Entry,
}

impl Weights {
    /// Maps the files (safetensors, GGUF, or `.pth` of a plain state dict), reads their directories, and gives the
    /// tensors of diffusers, transformers, ComfyUI, llama.cpp and MLX files their official names and shapes.
    ///
    /// # Errors
    /// A file that cannot be opened, is truncated or damaged, holds weights of an encoding that is not known, or a
    /// tensor twice.
    pub fn open(paths: &[PathBuf]) -> Result<Self, ModelError> {
        let mut files = Vec::new();
        let mut found = Vec::new();
        for path in paths {
            let file = MappedFile::open(path)?;
            let entries = entries(&file)?;
            found.extend(entries.into_iter().map(|(name, entry)| Stored { file: files.len(), name, entry }));
            files.push(Arc::new(file));
        }
        if let Some((what, why)) = encoding::refused(found.iter().map(|t| (t.name.as_str(), t.entry.encoding))) {
            let what = format!("{}: {what}", place(&files));
            return Err(ModelError::Unsupported { what, why: why.to_owned() });
        }
        let prefix = prefix::common(found.iter().map(|tensor| tensor.name.as_str()));
        let prefix = prefix.map_err(|networks| several(&files, &networks))?;
        let naming = Naming::of(&found.iter().map(|tensor| prefix::bare(&prefix, &tensor.name)).collect());
        let mut tensors: BTreeMap<String, Stored> = BTreeMap::new();
        for tensor in found {
            let Some(name) = naming.official(prefix::bare(&prefix, &tensor.name)) else { continue };
            let (file, stored) = (tensor.file, tensor.name.clone());
            if let Some(other) = tensors.insert(name, tensor) {
                let why = format!("{stored} is the same tensor as {} in {}", other.name, files[other.file].name());
                return Err(files[file].corrupt(why));
            }
        }
        let scales = scales::take(&mut tensors, &files)?;
        let shapes = tensors.iter().map(|(name, tensor)| (name.as_str(), tensor.entry.shape.as_slice()));
        let channels_last = kernels::channels_last(naming, shapes);
        for (name, Stored { entry, .. }) in &mut tensors {
            if channels_last && kernels::is_convolution(name, &entry.shape) {
                // (out, kernel…, in) → (out, in, kernel…): what `read` turns the elements into.
                entry.shape[1..].rotate_right(1);
            }
        }
        let rows = tensors.get("patch_embedding.bias").and_then(|bias| bias.entry.shape.first().copied());
        if let (Some(rows), Some(patches)) = (rows, tensors.get_mut("patch_embedding.weight")) {
            kernels::unfold(&mut patches.entry.shape, rows, PATCH);
        }
        Ok(Self { files, tensors, scales, channels_last, fixed: Adapters::default(), adapters: Adapters::default() })
    }

    /// Makes adapters part of the tensors, before any others.
    pub(crate) fn fix(&mut self, adapters: Adapters) {
        self.fixed = adapters;
    }

    /// From now on, tensors are read with what these adapters add to them; with none, as they are.
    pub fn adapt(&mut self, adapters: Adapters) {
        self.adapters = adapters;
    }

    /// What stands beside a matrix that is kept compact, to multiply in `dtype`: all adapters.
    pub(crate) fn beside_compact(&self, name: &str, dtype: DType, device: &Device) -> Result<Option<Side>, ModelError> {
        self.fixed.and(&self.adapters).side(name, dtype, device)
    }

    /// What stands beside a matrix that was loaded before: what is not part of it.
    pub(crate) fn beside_loaded(&self, name: &str, dtype: DType, device: &Device) -> Result<Option<Side>, ModelError> {
        match self.compact(name)? {
            Some(_) => self.beside_compact(name, dtype, device),
            None => self.adapters.side(name, dtype, device),
        }
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
            if !entry.encoding.is_weight() {
                bad.wrong_dtype.push(format!("{} is {}", self.called(name), entry.encoding.name()));
            }
        }
        bad.unexpected = self.names().filter(|name| !needed.contains_key(name)).map(|name| self.called(name)).collect();
        if bad.is_empty() {
            return Ok(());
        }
        bad.file = self.place();
        Err(Box::new(bad).into())
    }

    /// Reads one tensor: converted to `dtype` on the CPU, then uploaded. `None` keeps the file's element type, or is f32
    /// for one that nothing is computed in.
    ///
    /// # Errors
    /// No such tensor, an element type candle cannot hold, or a device out of memory.
    pub fn tensor(&self, name: &str, dtype: Option<DType>, device: &Device) -> Result<Tensor, ModelError> {
        let (bytes, entry) = self.stored(name)?;
        let permuted = self.channels_last && kernels::is_convolution(name, &entry.shape);
        let mut shape = entry.shape.clone();
        if permuted {
            shape[1..].rotate_left(1);
        }
        let (scale, adapted) = (self.scales.get(name), self.fixed.touch(name) || self.adapters.touch(name));
        let plain = scale.is_none() && !adapted && !entry.encoding.is_compact() && dtype != Some(DType::F32);
        let mut tensor = match entry.encoding {
            Encoding::Plain(stored) if plain => {
                let stored = DType::try_from(stored).map_err(|_| self.unusable(name, entry))?;
                Tensor::from_raw_buffer(bytes, stored, &shape, &Device::Cpu)?.to_dtype(dtype.unwrap_or(stored))?
            }
            encoding => {
                let mut numbers = decode(bytes, encoding).map_err(|_| self.unusable(name, entry))?;
                if let Some(scale) = scale {
                    scales::apply(&mut numbers, scale);
                }
                Tensor::from_vec(numbers, shape, &Device::Cpu)?
            }
        };
        if permuted {
            let mut order: Vec<usize> = (0..tensor.rank()).collect();
            order[1..].rotate_right(1);
            tensor = tensor.permute(order)?.contiguous()?;
        }
        if adapted {
            tensor = self.adapters.merged(name, self.fixed.merged(name, tensor)?)?;
        }
        Ok(tensor.to_dtype(dtype.unwrap_or(tensor.dtype()))?.to_device(device)?)
    }

    /// A matrix as it is stored, if that takes less room than what products are computed in.
    ///
    /// # Errors
    /// No such tensor.
    pub(crate) fn compact(&self, name: &str) -> Result<Option<Compact>, ModelError> {
        let (_, entry) = self.stored(name)?;
        let &[out, inner] = &entry.shape[..] else { return Ok(None) };
        if !entry.encoding.is_compact() || !inner.is_multiple_of(entry.encoding.block()) {
            return Ok(None);
        }
        let file = self.files[self.tensors[name].file].clone();
        let scale = self.scales.get(name).cloned();
        Ok(Some(Compact::new(file, entry.bytes.clone(), entry.encoding, (out, inner), scale)))
    }

    /// Reads some rows of a matrix on the CPU, in the file's element type or, where nothing is computed in that, f32,
    /// without touching the others: a vocabulary has gigabytes of which a prompt needs a few hundred rows.
    ///
    /// # Shapes
    /// matrix `(n, inner)` → `(rows, inner)`.
    ///
    /// # Errors
    /// No such tensor, it is no matrix, or it has no such row.
    pub fn rows(&self, name: &str, rows: &[u32]) -> Result<Tensor, ModelError> {
        let (bytes, entry) = self.stored(name)?;
        let &[count, inner] = &entry.shape[..] else {
            return Err(ModelError::input("matrix", format!("{name} has the shape {:?}", entry.shape)));
        };
        let size = entry.encoding.bytes(inner).ok_or_else(|| self.unusable(name, entry))?;
        let mut picked = Vec::with_capacity(rows.len() * size);
        for &row in rows {
            let no_row = || ModelError::input("row", format!("{name} has {count} rows, and not row {row}"));
            picked.extend_from_slice(bytes.chunks_exact(size.max(1)).nth(row as usize).ok_or_else(no_row)?);
        }
        let shape = [rows.len(), inner];
        match (entry.encoding, self.scales.get(name)) {
            (Encoding::Plain(stored), None) if !entry.encoding.is_compact() => {
                let stored = DType::try_from(stored).map_err(|_| self.unusable(name, entry))?;
                Ok(Tensor::from_raw_buffer(&picked, stored, &shape, &Device::Cpu)?)
            }
            (encoding, scale) => {
                let mut numbers = decode(&picked, encoding).map_err(|_| self.unusable(name, entry))?;
                let factor =
                    |row: u32| scale.map_or(1., |scale| scale[if scale.len() == 1 { 0 } else { row as usize }]);
                scales::apply(&mut numbers, &rows.iter().map(|&row| factor(row)).collect::<Vec<_>>());
                Ok(Tensor::from_vec(numbers, &shape, &Device::Cpu)?)
            }
        }
    }

    /// A tensor's bytes, and how they are stored.
    fn stored(&self, name: &str) -> Result<(&[u8], &Entry), ModelError> {
        let Some(Stored { file, entry, .. }) = self.tensors.get(name) else {
            let file = self.place();
            return Err(Box::new(BadTensors { file, missing: vec![name.to_owned()], ..Default::default() }).into());
        };
        Ok((self.files[*file].bytes(entry.bytes.clone())?, entry))
    }

    fn unusable(&self, name: &str, entry: &Entry) -> ModelError {
        ModelError::Unsupported {
            what: format!("{name} in {} of type {}", self.place(), entry.encoding.name()),
            why: "use files in f32, f16, bf16, fp8 or GGUF".to_owned(),
        }
    }

    /// The file, or the folder and its number of files, for messages.
    pub fn place(&self) -> String {
        place(&self.files)
    }

    /// The shape of a tensor, if it is there.
    pub fn shape(&self, name: &str) -> Option<&[usize]> {
        self.tensors.get(name).map(|tensor| tensor.entry.shape.as_slice())
    }

    /// Element types, each with what is stored in it.
    pub fn dtypes(&self) -> BTreeMap<String, Share> {
        let mut dtypes: BTreeMap<String, Share> = BTreeMap::new();
        for Stored { entry, .. } in self.tensors.values() {
            let share = dtypes.entry(entry.encoding.name()).or_default();
            share.tensors += 1;
            share.elements += entry.shape.iter().map(|&dim| dim as u64).product::<u64>();
            share.bytes += entry.bytes.len() as u64;
        }
        dtypes
    }

    /// What of the LoRA files that are part of the model is not applied.
    pub(crate) fn fixed_remarks(&self) -> Vec<String> {
        self.fixed.remarks()
    }

    /// Whether adapters that are part of the model stand beside some matrix, for it is kept compact.
    pub(crate) fn keeps_fixed_beside(&self) -> bool {
        self.names().any(|name| self.fixed.touch(name) && matches!(self.compact(name), Ok(Some(_))))
    }

    /// The bytes of a matrix that stays as small as it is stored until it is used, if it does on such a device.
    pub(crate) fn compact_bytes(&self, name: &str, device: DeviceKind) -> Option<u64> {
        self.compact(name).ok()??.kept_bytes(device)
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

/// Error: networks that belong into files of their own.
fn several(files: &[Arc<MappedFile>], networks: &[&str]) -> ModelError {
    ModelError::Unsupported {
        what: format!("{}, an all-in-one checkpoint ({} in one file),", place(files), networks.join(", ")),
        why: "use the separate files of the same model, as in ComfyUI's diffusion_models/, text_encoders/ and vae/"
            .to_owned(),
    }
}

/// The directory of a file, whose beginning tells its format better than its name.
fn entries(file: &MappedFile) -> Result<Vec<(String, Entry)>, ModelError> {
    let end = file.path().extension().and_then(|end| end.to_str()).unwrap_or_default();
    match end {
        _ if file.starts_with(gguf::MAGIC) => gguf::entries(file),
        _ if safetensors_file::begins(file) => safetensors_file::entries(file),
        _ if file.starts_with(pth::MAGIC) => pth::entries(file),
        "gguf" => gguf::entries(file),
        "pth" | "pt" | "bin" | "ckpt" => pth::entries(file),
        _ => safetensors_file::entries(file),
    }
}

fn place(files: &[Arc<MappedFile>]) -> String {
    match files {
        [] => "no file".to_owned(),
        [file] => file.path().display().to_string(),
        [file, ..] => {
            let folder = file.path().parent().unwrap_or(file.path());
            format!("{} ({} files)", folder.display(), files.len())
        }
    }
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
