//! Encoded texts that no open video reads, kept for videos to come: which, and which goes first. Deliberately without
//! transitions; those are in `scheduler/kept.rs`.

use std::collections::{BTreeMap, BTreeSet};

use wanfarm_types::{Digest, JobId, TensorRef};

use crate::TextKey;

/// An encoded text without readers; its copy is durable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct KeptText {
    pub(crate) tensors: Vec<TensorRef>,
    /// The weights of the encoder that made it.
    pub(crate) weights: Digest,
    /// The last job that read it.
    pub(crate) job: JobId,
}

/// All of them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct KeptTexts {
    texts: BTreeMap<TextKey, KeptText>,
    /// The same, those read longest ago first. Jobs are numbered as they come, so this needs no clock.
    by_use: BTreeSet<(JobId, TextKey)>,
    bytes: u64,
}

impl KeptText {
    fn bytes(&self) -> u64 {
        self.tensors.iter().fold(0, |sum: u64, tensor| sum.saturating_add(tensor.byte_len().unwrap_or(u64::MAX)))
    }
}

impl KeptTexts {
    pub(crate) fn get(&self, key: TextKey) -> Option<&KeptText> {
        self.texts.get(&key)
    }

    pub(crate) fn insert(&mut self, key: TextKey, text: KeptText) {
        self.remove(key);
        self.bytes = self.bytes.saturating_add(text.bytes());
        self.by_use.insert((text.job, key));
        self.texts.insert(key, text);
    }

    pub(crate) fn remove(&mut self, key: TextKey) -> Option<KeptText> {
        let text = self.texts.remove(&key)?;
        self.by_use.remove(&(text.job, key));
        self.bytes = self.bytes.saturating_sub(text.bytes());
        Some(text)
    }

    /// The one to go first, if they take more than so many bytes.
    pub(crate) fn beyond(&self, bytes: u64) -> Option<TextKey> {
        self.by_use.first().filter(|_| self.bytes > bytes).map(|(_, key)| *key)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (TextKey, &KeptText)> {
        self.texts.iter().map(|(&key, text)| (key, text))
    }
}
