//! Seeds that a manifest leaves to chance: `seed = "random"`. They follow from one number, the draw, and from what each video
//! is, so that the same manifest with the same draw asks for the same videos, whatever is added beside them.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};

use wanfarm_types::Digest;

use super::draft::Draft;
use super::keys::Setting;

/// What seeds are drawn by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Draw(u64);

impl Draw {
    /// One that nobody has had.
    pub fn fresh() -> Self {
        Self(RandomState::new().hash_one(()))
    }

    /// The one that belongs to the key of a submission: whoever sends it again draws the same. Without a key, a fresh one.
    pub fn of_key(key: &str) -> Self {
        if key.is_empty() { Self::fresh() } else { Self::of(key) }
    }

    /// The one that belongs to a text.
    pub fn of(text: &str) -> Self {
        let mut first = [0; 8];
        first.copy_from_slice(&blake3::hash(text.as_bytes()).as_bytes()[..8]);
        Self(u64::from_le_bytes(first))
    }
}

/// The seeds of a manifest's videos, one after the other.
pub(crate) struct Seeds {
    draw: Draw,
    /// How many like it there were.
    seen: HashMap<Digest, u32>,
}

impl Seeds {
    pub(crate) fn new(draw: Draw) -> Self {
        Self { draw, seen: HashMap::new() }
    }

    /// The seed of the next video. One that is drawn has 32 bits: as much as people like to type.
    pub(crate) fn next(&mut self, draft: &Draft) -> u64 {
        if !draft.settings.is_left_to_chance(Setting::Seed) {
            return draft.settings.whole(Setting::Seed).unwrap_or(0);
        }
        let mut hasher = blake3::Hasher::new();
        let swept = draft.swept.iter().flat_map(|(name, value)| [name, value]);
        for part in [draft.prompt.as_str(), draft.name.as_deref().unwrap_or_default()].into_iter().chain(swept) {
            // With its length, so that no two lists of parts read alike.
            hasher.update(&(part.len() as u64).to_le_bytes());
            hasher.update(part.as_bytes());
        }
        let like_it = self.seen.entry(Digest(*hasher.finalize().as_bytes())).or_default();
        hasher.update(&like_it.to_le_bytes());
        hasher.update(&self.draw.0.to_le_bytes());
        *like_it += 1;
        let mut first = [0; 4];
        first.copy_from_slice(&hasher.finalize().as_bytes()[..4]);
        u32::from_le_bytes(first).into()
    }
}
