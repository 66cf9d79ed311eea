//! Everything that can be wrong with files of a model, said so that a person can act on it.

use std::fmt;
use std::path::{Path, PathBuf};

/// A fault of a model's files.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// The folder is not laid out like any known model.
    #[error("{folder}: no model here: {why}")]
    NotAModel {
        /// Path of the folder.
        folder: PathBuf,
        /// What was looked for and not found.
        why: String,
    },
    /// A folder that models should lie in is one of them.
    #[error("{folder}: this is a model itself; give the folder it lies in")]
    ItselfAModel {
        /// Path of the folder.
        folder: PathBuf,
    },
    /// There is a model, and some of its files are not there.
    #[error("{folder}: the model is incomplete: {why}")]
    Incomplete {
        /// Path of the folder.
        folder: PathBuf,
        /// What is missing.
        why: String,
    },
    /// Each network is whole, and together they make no model.
    #[error("{folder}: its parts do not belong together: {why}")]
    Mixed {
        /// Path of the folder.
        folder: PathBuf,
        /// Which files, and what differs.
        why: String,
    },
    /// A file ends before its contents do.
    #[error("{file}: the file is truncated: {} of {expected} bytes are missing; download it again", expected - actual)]
    Truncated {
        /// Path of the file.
        file: PathBuf,
        /// Bytes the file's own directory promises.
        expected: u64,
        /// Bytes there are.
        actual: u64,
    },
    /// A file contradicts itself or its format.
    #[error("{file}: the file is damaged or not what its name says: {why}")]
    Corrupt {
        /// Path of the file.
        file: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// A file is another thing than its name says: what is left of a download that went wrong.
    #[error("{file}: {why}")]
    Mistaken {
        /// Path of the file.
        file: PathBuf,
        /// What it is, and what to do.
        why: String,
    },
    /// A configuration file holds a value no network can have.
    #[error("{file}: {why}")]
    Config {
        /// Path of the file.
        file: PathBuf,
        /// Which key, and why it cannot be.
        why: String,
    },
    /// Tensors are not those the network needs.
    #[error(transparent)]
    BadTensors(#[from] Box<BadTensors>),
    /// A file of adapters cannot be used, or not with this model.
    #[error("{file}: {why}")]
    Lora {
        /// Path of the file.
        file: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// The operating system refused.
    #[error("{path}: {source}")]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// Error of the operating system.
        source: std::io::Error,
    },
    /// Well formed, but beyond what this program does.
    #[error("{what} is not supported: {why}")]
    Unsupported {
        /// What was met.
        what: String,
        /// Why, and what to use instead.
        why: String,
    },
}

impl FileError {
    /// An operating-system error at `path`.
    pub fn io(path: impl AsRef<Path>, source: std::io::Error) -> Self {
        Self::Io { path: path.as_ref().to_owned(), source }
    }

    /// A file that contradicts itself.
    pub fn corrupt(file: impl AsRef<Path>, why: impl Into<String>) -> Self {
        Self::Corrupt { file: file.as_ref().to_owned(), why: why.into() }
    }

    /// A configuration file with an impossible value.
    pub fn config(file: impl AsRef<Path>, why: impl Into<String>) -> Self {
        Self::Config { file: file.as_ref().to_owned(), why: why.into() }
    }

    /// A LoRA file that cannot be used.
    pub fn lora(file: impl AsRef<Path>, why: impl Into<String>) -> Self {
        Self::Lora { file: file.as_ref().to_owned(), why: why.into() }
    }

    /// What is wrong, without the file's path: for messages that name the file in their own words.
    pub fn why(&self) -> String {
        let words = self.to_string();
        let file = match self {
            Self::NotAModel { folder: file, .. }
            | Self::Incomplete { folder: file, .. }
            | Self::Truncated { file, .. }
            | Self::Corrupt { file, .. }
            | Self::Config { file, .. }
            | Self::Mistaken { file, .. }
            | Self::Mixed { folder: file, .. }
            | Self::ItselfAModel { folder: file }
            | Self::Lora { file, .. }
            | Self::Io { path: file, .. } => file.display().to_string(),
            Self::BadTensors(bad) => bad.file.clone(),
            Self::Unsupported { .. } => return words,
        };
        words.strip_prefix(&format!("{file}: ")).unwrap_or(&words).to_owned()
    }
}

/// More names of one kind than this are counted, not listed.
const SHOWN: usize = 10;

/// What parts of names that no network here knows are of.
///
/// Source: hao-ai-lab/FastVideo@2f3d407 `fastvideo/models/dits/wanvideo.py`; thu-ml/TurboDiffusion@aaecff5
/// `turbodiffusion/inference/modify_model.py`, and as FastVideo converts it.
const FAMILIES: [(&str, &str); 2] = [
    (
        ".to_gate_compress.",
        "of video sparse attention, as in FastWan; its models with full attention (FullAttn) are rendered",
    ),
    (".proj_l.", "of sparse-linear attention, as in TurboWan; rCM's own models have the same steps and full attention"),
];

/// Every difference between the tensors a network needs and those its files hold. Nothing is loaded when there is one:
/// a network with a missing weight would run, and render noise.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct BadTensors {
    /// The file, or the folder and its number of files.
    pub file: String,
    /// Needed, not there.
    pub missing: Vec<String>,
    /// There, not needed.
    pub unexpected: Vec<String>,
    /// Name, shape needed, shape found, and a remark if the difference is a known one.
    pub misshapen: Vec<String>,
    /// Name and element type that no network computes with.
    pub wrong_dtype: Vec<String>,
}

impl BadTensors {
    /// True when there is nothing to report.
    pub fn is_empty(&self) -> bool {
        self.missing.is_empty()
            && self.unexpected.is_empty()
            && self.misshapen.is_empty()
            && self.wrong_dtype.is_empty()
    }
}

impl fmt::Display for BadTensors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: the tensors are not those of this network", self.file)?;
        let kinds = [
            ("missing", &self.missing),
            ("unexpected", &self.unexpected),
            ("of another shape", &self.misshapen),
            ("of an unusable element type", &self.wrong_dtype),
        ];
        for (kind, names) in kinds.into_iter().filter(|(_, names)| !names.is_empty()) {
            write!(f, "; {} {kind}: {}", names.len(), listed(names))?;
        }
        if !self.wrong_dtype.is_empty() {
            write!(f, "; use a file in f32, f16, bf16, fp8 or GGUF")?;
        }
        for (part, what) in FAMILIES {
            if self.unexpected.iter().any(|name| name.contains(part)) {
                write!(f, "; those with {part} are {what}")?;
            }
        }
        Ok(())
    }
}

impl std::error::Error for BadTensors {}

/// As many names as a person reads, and how many more there are.
pub fn listed(names: &[String]) -> String {
    let shown = names[..names.len().min(SHOWN)].join(", ");
    match names.len().saturating_sub(SHOWN) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_of_other_networks_are_known_by_their_names() {
        let said = |name: &str| BadTensors { unexpected: vec![name.to_owned()], ..Default::default() }.to_string();
        assert!(said("blocks.0.attn1.to_gate_compress.weight").contains("video sparse attention, as in FastWan"));
        for name in ["blocks.0.self_attn.attn_op.local_attn.proj_l.weight", "blocks.0.attn1.attn_impl.proj_l.bias"] {
            assert!(said(name).contains("sparse-linear attention, as in TurboWan"));
        }
        assert!(said("blocks.0.proj.weight").ends_with("1 unexpected: blocks.0.proj.weight"));
    }

    #[test]
    fn ten_names_of_a_kind_are_enough() {
        let names = |count: usize| (0..count).map(|i| format!("t{i}")).collect::<Vec<_>>();
        let bad =
            BadTensors { file: "a.gguf".to_owned(), missing: names(10), unexpected: names(12), ..Default::default() };
        let said = bad.to_string();
        assert!(said.contains("10 missing: t0, t1, t2, t3, t4, t5, t6, t7, t8, t9; 12 unexpected"), "{said}");
        assert!(said.ends_with("t8, t9 and 2 more"), "{said}");
    }
}
