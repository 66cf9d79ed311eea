//! Weights as tensors: read from their files when they are asked for, converted, with what adapters add to them.
//!
//! Not here: which tensors the files hold (`wanfarm_weights`), and matrices that stay as small as they are stored
//! (`ops::compact`).

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use candle_core::{DType, Device, Tensor};
use wanfarm_weights::{Encoding, Factors, Piece, WeightFiles, scales};

use crate::error::ModelError;
use crate::lora::{Adapters, Side};
use crate::ops::affine;
use crate::ops::compact::Compact;
use crate::ops::decode::decode;
use crate::ops::device::DeviceKind;

/// The tensors of one network.
#[derive(Debug)]
pub struct Weights {
    files: WeightFiles,
    /// Part of the model.
    fixed: Adapters,
    /// In place for now.
    adapters: Adapters,
    /// Bytes of the tensors that were taken.
    taken: Arc<AtomicU64>,
}

impl Weights {
    /// The tensors in these files.
    ///
    /// # Errors
    /// As [`WeightFiles::open`].
    pub fn open(paths: &[PathBuf]) -> Result<Self, ModelError> {
        Ok(Self::new(WeightFiles::open(paths)?, Adapters::default()))
    }

    /// The tensors in these files, with adapters that are part of them, before any others.
    pub(crate) fn new(files: WeightFiles, fixed: Adapters) -> Self {
        Self { files, fixed, adapters: Adapters::default(), taken: Arc::default() }
    }

    /// Names and shapes.
    pub fn files(&self) -> &WeightFiles {
        &self.files
    }

    /// Bytes of the tensors that were taken so far, for those who watch a network being loaded.
    pub fn taken(&self) -> Arc<AtomicU64> {
        self.taken.clone()
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

    /// Reads one tensor: converted to `dtype` on the CPU, then uploaded. `None` keeps the file's element type, or is f32
    /// for one that nothing is computed in.
    ///
    /// # Errors
    /// No such tensor, an element type candle cannot hold, or a device out of memory.
    pub fn tensor(&self, name: &str, dtype: Option<DType>, device: &Device) -> Result<Tensor, ModelError> {
        let (file, entry) = self.files.entry(name)?;
        let bytes = file.bytes(entry.bytes.clone())?;
        let permuted = self.files.is_turned(name, entry);
        let mut shape = entry.shape.clone();
        if permuted {
            shape[1..].rotate_left(1);
        }
        let (factors, adapted) = (self.files.factors(name), self.fixed.touch(name) || self.adapters.touch(name));
        let plain = factors.is_none() && !adapted && !entry.encoding.is_compact() && dtype != Some(DType::F32);
        let mut tensor = match entry.encoding {
            Encoding::Plain(stored) if plain => {
                let stored = DType::try_from(stored).map_err(|_| self.files.unusable(name, entry))?;
                Tensor::from_raw_buffer(bytes, stored, &shape, &Device::Cpu)?.to_dtype(dtype.unwrap_or(stored))?
            }
            encoding => {
                let numbers = decode(bytes, encoding, factors).map_err(|_| self.files.unusable(name, entry))?;
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
        self.taken.fetch_add(self.files.bytes(name), Ordering::Relaxed);
        Ok(tensor.to_dtype(dtype.unwrap_or(tensor.dtype()))?.to_device(device)?)
    }

    /// A matrix as it is stored, if that takes less room than what products are computed in.
    ///
    /// # Errors
    /// No such tensor.
    pub fn compact(&self, name: &str) -> Result<Option<Compact>, ModelError> {
        let (file, entry) = self.files.entry(name)?;
        let &[out, inner] = &entry.shape[..] else { return Ok(None) };
        if !entry.encoding.is_compact() || !inner.is_multiple_of(entry.encoding.block()) {
            return Ok(None);
        }
        let factors = self.files.factors(name).cloned();
        self.taken.fetch_add(self.files.bytes(name), Ordering::Relaxed);
        let stored = Piece::new(file.clone(), entry.bytes.clone());
        Ok(Some(Compact::new(stored, entry.encoding, (out, inner), factors)))
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
        let (file, entry) = self.files.entry(name)?;
        let bytes = file.bytes(entry.bytes.clone())?;
        let &[count, inner] = &entry.shape[..] else {
            return Err(ModelError::input("matrix", format!("{name} has the shape {:?}", entry.shape)));
        };
        let size = entry.encoding.bytes(inner).ok_or_else(|| self.files.unusable(name, entry))?;
        let pick = |bytes: &[u8], size: usize| {
            let mut picked = Vec::with_capacity(rows.len() * size);
            for &row in rows {
                let no_row = || ModelError::input("row", format!("{name} has {count} rows, and not row {row}"));
                picked.extend_from_slice(bytes.chunks_exact(size.max(1)).nth(row as usize).ok_or_else(no_row)?);
            }
            Ok::<_, ModelError>(picked)
        };
        let (picked, shape) = (pick(bytes, size)?, [rows.len(), inner]);
        let numbers = match (entry.encoding, self.files.factors(name)) {
            (Encoding::Plain(stored), None) if !entry.encoding.is_compact() => {
                let stored = DType::try_from(stored).map_err(|_| self.files.unusable(name, entry))?;
                return Ok(Tensor::from_raw_buffer(&picked, stored, &shape, &Device::Cpu)?);
            }
            (Encoding::Affine(affine), Some(Factors::Groups(groups))) => {
                let of = |piece: &Piece| pick(piece.bytes()?, affine.factor_bytes(inner));
                affine::decode(&picked, &of(&groups.scales)?, &of(&groups.biases)?, affine)?
            }
            (encoding, factors) => {
                let mut numbers = decode(&picked, encoding, None).map_err(|_| self.files.unusable(name, entry))?;
                if let Some(Factors::Rows(factors)) = factors {
                    let factor = |&row: &u32| factors[if factors.len() == 1 { 0 } else { row as usize }];
                    scales::apply(&mut numbers, &rows.iter().map(factor).collect::<Vec<_>>());
                }
                numbers
            }
        };
        Ok(Tensor::from_vec(numbers, &shape, &Device::Cpu)?)
    }

    /// What of the LoRA files that are part of the model is not applied.
    pub fn fixed_remarks(&self) -> Vec<String> {
        self.fixed.remarks()
    }

    /// Whether adapters that are part of the model stand beside some matrix, for it is kept compact.
    pub fn keeps_fixed_beside(&self) -> bool {
        self.files.names().any(|name| self.fixed.touch(name) && matches!(self.compact(name), Ok(Some(_))))
    }

    /// The bytes of a matrix that stays as small as it is stored until it is used, if it does on such a device, and those
    /// that its product in `dtype` takes to decode it.
    pub fn compact_bytes(&self, name: &str, device: DeviceKind, dtype: DType) -> Option<(u64, u64)> {
        let compact = self.compact(name).ok()??;
        Some((compact.kept_bytes(device)?, compact.decoding_bytes(device, dtype)))
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
