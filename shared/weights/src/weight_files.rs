//! The tensors of one network by their official names, over memory-mapped files. Headers are read; numbers are not.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use serde::Serialize;

use crate::config_file::ConfigFile;
use crate::encoding;
use crate::entry::{Entry, Stored};
use crate::error::{BadTensors, FileError};
use crate::factors::Factors;
use crate::kernels::PATCH;
use crate::mapped::MappedFile;
use crate::names::Naming;
use crate::param::Param;
use crate::{affine, gguf, kernels, prefix, pth, safetensors, scales};

/// The tensors of one network, over one or more files. Names and shapes are the official ones, however they are stored.
#[derive(Debug)]
pub struct WeightFiles {
    files: Vec<Arc<MappedFile>>,
    tensors: BTreeMap<String, Stored>,
    factors: BTreeMap<String, Factors>,
    channels_last: bool,
}

/// The tensors of one element type, in figures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Share {
    /// Tensors.
    pub tensors: u64,
    /// Numbers in them.
    pub elements: u64,
    /// Bytes in the files, scales and biases of their own included.
    pub bytes: u64,
}

impl WeightFiles {
    /// Maps the files (safetensors, GGUF, or `.pth` of a plain state dict), reads their directories, and gives the
    /// tensors of diffusers, transformers, ComfyUI, llama.cpp and MLX files their official names and shapes.
    ///
    /// # Errors
    /// A file that cannot be opened, is truncated or damaged, holds weights of an encoding that is not known, or a
    /// tensor twice.
    pub fn open(paths: &[PathBuf]) -> Result<Self, FileError> {
        Self::open_with(paths, &ConfigFile::default())
    }

    /// The same, of files that were written with this `config.json`, which says how MLX quantised them where the tensors
    /// do not tell.
    ///
    /// # Errors
    /// As of [`Self::open`]; matrices that MLX quantised in another way than it says.
    pub fn open_with(paths: &[PathBuf], config: &ConfigFile) -> Result<Self, FileError> {
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
            return Err(FileError::Unsupported { what, why: why.to_owned() });
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
        let rows = scales::take(&mut tensors, &files)?.into_iter().map(|(name, rows)| (name, Factors::Rows(rows)));
        let groups = affine::take(&mut tensors, &files, config)?;
        let factors = rows.chain(groups.into_iter().map(|(name, groups)| (name, Factors::Groups(groups)))).collect();
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
        Ok(Self { files, tensors, factors, channels_last })
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
    pub fn check(&self, expected: &[Param]) -> Result<(), FileError> {
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

    /// How a tensor is stored, and in which file.
    ///
    /// # Errors
    /// No such tensor.
    pub fn entry(&self, name: &str) -> Result<(&Arc<MappedFile>, &Entry), FileError> {
        let Some(Stored { file, entry, .. }) = self.tensors.get(name) else {
            let file = self.place();
            return Err(Box::new(BadTensors { file, missing: vec![name.to_owned()], ..Default::default() }).into());
        };
        Ok((&self.files[*file], entry))
    }

    /// What the stored numbers of a matrix are multiplied by, if by anything.
    pub fn factors(&self, name: &str) -> Option<&Factors> {
        self.factors.get(name)
    }

    /// The bytes of a tensor in its files, its factors included.
    pub fn bytes(&self, name: &str) -> u64 {
        let own = self.tensors.get(name).map_or(0, |tensor| tensor.entry.bytes.len());
        (own + self.factors(name).map_or(0, Factors::mapped_bytes)) as u64
    }

    /// Whether a tensor is the weight of a convolution that its file stores channels last.
    pub fn is_turned(&self, name: &str, entry: &Entry) -> bool {
        self.channels_last && kernels::is_convolution(name, &entry.shape)
    }

    /// Error: the numbers of a tensor cannot be computed with.
    pub fn unusable(&self, name: &str, entry: &Entry) -> FileError {
        FileError::Unsupported {
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
        for (name, Stored { entry, .. }) in &self.tensors {
            let share = dtypes.entry(entry.encoding.name()).or_default();
            share.tensors += 1;
            share.elements += entry.shape.iter().map(|&dim| dim as u64).product::<u64>();
            share.bytes += self.bytes(name);
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

/// Error: networks that belong into files of their own.
fn several(files: &[Arc<MappedFile>], networks: &[&str]) -> FileError {
    FileError::Unsupported {
        what: format!("{}, an all-in-one checkpoint ({} in one file),", place(files), networks.join(", ")),
        why: "use the separate files of the same model, as in ComfyUI's diffusion_models/, text_encoders/ and vae/"
            .to_owned(),
    }
}

/// The directory of a file, whose beginning tells its format better than its name.
fn entries(file: &MappedFile) -> Result<Vec<(String, Entry)>, FileError> {
    let end = file.path().extension().and_then(|end| end.to_str()).unwrap_or_default();
    match end {
        _ if file.starts_with(gguf::MAGIC) => gguf::entries(file),
        _ if safetensors::begins(file) => safetensors::entries(file),
        _ if file.starts_with(pth::MAGIC) => pth::entries(file),
        "gguf" => gguf::entries(file),
        "pth" | "pt" | "bin" | "ckpt" => pth::entries(file),
        _ => safetensors::entries(file),
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
