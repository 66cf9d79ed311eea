//! Tensors by their official names, in memory-mapped files. Nothing is read until it is asked for.
//!
//! Not here: the file formats (`files::safetensors`, `files::pth`) and which file holds what (`files`).

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::PathBuf;

use candle_core::{DType, Device, Tensor};
use safetensors::Dtype;

use crate::error::{BadTensors, ModelError};
use crate::files::mapped::MappedFile;
use crate::files::{pth, safetensors as safetensors_file};

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

/// The tensors of one network, over one or more files.
#[derive(Debug)]
pub struct Weights {
    files: Vec<MappedFile>,
    entries: BTreeMap<String, (usize, Entry)>,
}

impl Weights {
    /// Maps the files (`.safetensors`, or `.pth` of a plain state dict) and reads their directories.
    ///
    /// # Errors
    /// A file that cannot be opened, is truncated or damaged, or a tensor that two files hold.
    pub fn open(paths: &[PathBuf]) -> Result<Self, ModelError> {
        let mut weights = Self { files: Vec::new(), entries: BTreeMap::new() };
        for path in paths {
            let file = MappedFile::open(path)?;
            let entries = match path.extension().and_then(|ext| ext.to_str()) {
                Some("pth" | "pt" | "bin") => pth::entries(&file)?,
                _ => safetensors_file::entries(&file)?,
            };
            let index = weights.files.len();
            for (name, entry) in entries {
                if let Some((other, _)) = weights.entries.insert(name.clone(), (index, entry)) {
                    let other = weights.files.get(other).map_or(path.as_path(), |file| file.path());
                    return Err(ModelError::corrupt(path, format!("{name} is also in {}", other.display())));
                }
            }
            weights.files.push(file);
        }
        Ok(weights)
    }

    /// The same tensors under other names; a tensor renamed to `None` is left out.
    ///
    /// # Errors
    /// Two tensors with one new name.
    pub fn renamed(self, rename: impl Fn(&str) -> Option<String>) -> Result<Self, ModelError> {
        let Self { files, entries } = self;
        let mut renamed = BTreeMap::new();
        for (old, entry) in entries {
            let Some(new) = rename(&old) else { continue };
            let file = entry.0;
            if renamed.insert(new.clone(), entry).is_some() {
                return Err(ModelError::corrupt(files[file].path(), format!("{old} is there twice, as {new} too")));
            }
        }
        Ok(Self { files, entries: renamed })
    }

    /// Compares the files with what a network needs.
    ///
    /// # Errors
    /// One error that names every tensor that is missing, unexpected, misshapen or of an unusable type.
    pub fn check(&self, expected: &[Param]) -> Result<(), ModelError> {
        let mut bad = BadTensors::default();
        let needed: BTreeMap<&str, &[usize]> = expected.iter().map(|p| (p.name.as_str(), p.shape.as_slice())).collect();
        for (&name, &shape) in &needed {
            match self.entries.get(name) {
                None => bad.missing.push(name.to_owned()),
                Some((_, entry)) if entry.shape != shape => bad.misshapen.push(format!(
                    "{name} is {:?}, not {shape:?}{}",
                    entry.shape,
                    remark(&entry.shape, shape)
                )),
                Some((_, entry)) if !matches!(entry.dtype, Dtype::F32 | Dtype::F16 | Dtype::BF16) => {
                    bad.wrong_dtype.push(format!("{name} is {:?}", entry.dtype))
                }
                Some(_) => {}
            }
        }
        bad.unexpected = self.names().filter(|name| !needed.contains_key(name)).map(str::to_owned).collect();
        if bad.is_empty() {
            return Ok(());
        }
        bad.file = match self.files.as_slice() {
            [] => "no file".to_owned(),
            [file] => file.path().display().to_string(),
            [file, ..] => {
                let folder = file.path().parent().unwrap_or(file.path());
                format!("{} ({} files)", folder.display(), self.files.len())
            }
        };
        Err(Box::new(bad).into())
    }

    /// Reads one tensor: converted to `dtype` on the CPU, then uploaded. `None` keeps the file's element type.
    ///
    /// # Errors
    /// No such tensor, an element type candle cannot hold, or a device out of memory.
    pub fn tensor(&self, name: &str, dtype: Option<DType>, device: &Device) -> Result<Tensor, ModelError> {
        let Some((file, entry)) = self.entries.get(name) else {
            let file = self.files.first().map_or_else(String::new, |file| file.path().display().to_string());
            return Err(Box::new(BadTensors { file, missing: vec![name.to_owned()], ..Default::default() }).into());
        };
        let file = &self.files[*file];
        let stored = DType::try_from(entry.dtype).map_err(|_| ModelError::Unsupported {
            what: format!("{name} in {} of type {:?}", file.path().display(), entry.dtype),
            why: "use files in f32, f16 or bf16".to_owned(),
        })?;
        let bytes = file.bytes(entry.bytes.clone())?;
        let tensor = Tensor::from_raw_buffer(bytes, stored, &entry.shape, &Device::Cpu)?;
        Ok(tensor.to_dtype(dtype.unwrap_or(stored))?.to_device(device)?)
    }

    /// The shape of a tensor, if it is there.
    pub fn shape(&self, name: &str) -> Option<&[usize]> {
        self.entries.get(name).map(|(_, entry)| entry.shape.as_slice())
    }

    /// All names, in alphabetical order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.entries.keys().map(String::as_str)
    }
}

/// Says what a wrong shape usually means.
fn remark(found: &[usize], needed: &[usize]) -> &'static str {
    match (found, needed) {
        ([o, t, h, w, i], &[out, inner, kt, kh, kw]) if [*o, *i, *t, *h, *w] == [out, inner, kt, kh, kw] => {
            " (channels last, as MLX stores it; use the original files)"
        }
        _ => "",
    }
}
