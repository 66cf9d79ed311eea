//! What a manifest's author should know though nothing is wrong: of LoRA files that are applied in part, and of texts
//! that are longer than the model reads. Each is said once, however many videos it is about.

use std::collections::{BTreeMap, BTreeSet};

use wanfarm_types::{ModelInfo, TEXT_LEN, cut_off};

use super::loras::Fits;
use super::read::Manifest;

/// A text of fewer bytes has no more tokens than are read: a token is a byte at least, and few are put around them.
const LONG: usize = TEXT_LEN - 16;
/// More are counted, not listed.
const MAX_NOTES: usize = 20;

impl Manifest {
    /// What is left out of its LoRA files with this model.
    pub fn lora_notes(&self, info: &ModelInfo) -> Vec<String> {
        let mut fits = Fits::new(&self.loras, info);
        let mut notes = BTreeSet::new();
        for draft in &self.drafts {
            for (lora, wanted) in draft.loras.iter().zip(draft.settings.loras()) {
                if let Ok(Some(remark)) = fits.of(lora) {
                    notes.insert(format!("the LoRA {}: {remark}", wanted.path));
                }
            }
        }
        listed(notes.into_iter().collect())
    }

    /// Whether some text may be longer than is read, so that counting is worth it.
    pub fn has_long_texts(&self) -> bool {
        self.texts().any(|(_, _, text)| text.len() >= LONG)
    }

    /// What is cut off its texts. `tokens` counts those of a text; `None` for one that cannot be read at all, which is
    /// told when it is to be encoded.
    pub fn text_notes(&self, tokens: impl Fn(&str) -> Option<usize>) -> Vec<String> {
        // Videos that differ in their seed alone have one text.
        let mut of_videos: BTreeMap<(&str, &str), (usize, usize)> = BTreeMap::new();
        for (video, what, text) in self.texts().filter(|(_, _, text)| text.len() >= LONG) {
            let (_, count) = of_videos.entry((what, text)).or_insert((video, 0));
            *count += 1;
        }
        let mut notes = Vec::new();
        for ((what, text), (video, count)) in of_videos {
            let Some(cut) = tokens(text).and_then(|length| cut_off(what, length)) else { continue };
            let more = if count > 1 { format!(" and of {} others", count - 1) } else { String::new() };
            notes.push((video, format!("{cut} (of video {video}{more})")));
        }
        notes.sort();
        listed(notes.into_iter().map(|(_, note)| note).collect())
    }

    /// The texts of its videos, with what each is.
    fn texts(&self) -> impl Iterator<Item = (usize, &'static str, &str)> {
        self.drafts.iter().enumerate().flat_map(|(video, draft)| {
            let negative = draft.negative.as_deref().map(|text| (video, "negative prompt", text));
            std::iter::once((video, "prompt", draft.prompt.as_str())).chain(negative)
        })
    }
}

fn listed(mut notes: Vec<String>) -> Vec<String> {
    let more = notes.len().saturating_sub(MAX_NOTES);
    notes.truncate(MAX_NOTES);
    if more > 0 {
        notes.push(format!("and {more} more such notes"));
    }
    notes
}
