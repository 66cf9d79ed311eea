//! What a manifest's author should know though nothing is wrong: of LoRA files that are applied in part, of negative
//! prompts that are guided away from twice, of few steps where they do not belong, and of texts that are longer than the model
//! reads. Each is said once, however many videos it is about.

use std::collections::{BTreeMap, BTreeSet};

use wanfarm_types::distilled::Sampling;
use wanfarm_types::{Expert, ModelInfo, TEXT_LEN, cut_off, method, pace};

use super::draft::Draft;
use super::keys::Setting;
use super::loras::Fits;
use super::read::Manifest;

/// A text of fewer bytes has no more tokens than are read: a token is a byte at least, and few are put around them.
const LONG: usize = TEXT_LEN - 16;
/// More are counted, not listed.
const MAX_NOTES: usize = 20;
/// As few steps as only distilled weights are rendered in.
const FEW_STEPS: u32 = 8;

impl Manifest {
    /// What there is to say of its settings with this model.
    pub fn setting_notes(&self, info: &ModelInfo) -> Vec<String> {
        let mut fits = Fits::new(&self.loras, info);
        let mut notes = BTreeSet::new();
        for draft in &self.drafts {
            for (lora, wanted) in draft.loras.iter().zip(draft.settings.loras()) {
                if let Ok(Some(remark)) = fits.of(lora) {
                    notes.insert(format!("the LoRA {}: {remark}", wanted.path));
                }
            }
            notes.extend(steps_note(draft, info));
            let (_, guidance) = method(info, draft.solver(), draft.settings.guidance());
            if draft.settings.nag().is_some() && [Expert::High, Expert::Low].iter().any(|of| guidance.passes(*of) == 2)
            {
                notes.insert(
                    "nag is on beside guidance: both lead away from the negative prompt; guidance = 1 leaves that to nag \
                     and halves the time"
                        .to_owned(),
                );
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

/// What there is to say of a video's steps: what they were chosen by, or that they do not suit the weights.
fn steps_note(draft: &Draft, info: &ModelInfo) -> Option<String> {
    let settings = &draft.settings;
    let (solver, guidance) = method(info, draft.solver(), settings.guidance());
    let (steps, shift) = pace(info, solver);
    let steps = settings.whole32(Setting::Steps).unwrap_or(steps);
    let shift = settings.number(Setting::Shift).unwrap_or(shift);
    let is_guided = info.denoisers().iter().any(|expert| guidance.passes(*expert) == 2);
    let of_lora = draft.distilled().map(|(path, known)| (format!("the LoRA {path}"), known));
    let known = of_lora.or_else(|| Some((format!("the model {}", info.name), info.distilled()?)));
    let is_published = info.preset != "custom";
    let is_few = solver.few_steps().is_some();
    match known {
        Some((what, known)) => match known.sampling {
            Sampling::Unknown => Some(format!(
                "{what} is of {}, whose attention no network here has, so it will not look as published",
                known.name
            )),
            Sampling::Solver(wanted) if solver != wanted || is_guided || steps > FEW_STEPS => Some(format!(
                "{what} is of {}, distilled to few steps without guidance: write solver = \"{}\", and leave steps and \
                 guidance out",
                known.name,
                wanted.name()
            )),
            Sampling::Solver(_) if settings.solver().is_none() => Some(format!(
                "{what} is of {}: solver {}, {steps} steps, shift {shift}, no guidance",
                known.name,
                solver.name()
            )),
            Sampling::Solver(_) => None,
        },
        None if info.defaults.solver.few_steps().is_some() => None,
        None if is_few && is_published && draft.loras.is_empty() && info.loras.is_empty() => Some(format!(
            "solver = \"{}\" is for distilled weights, which {} is not known to have: name a distilled LoRA, or leave solver \
             out",
            solver.name(),
            info.name
        )),
        None if !is_few && is_published && steps <= FEW_STEPS => Some(format!(
            "{steps} steps are few for {}, which is made for {}: leave steps out, or with a distilled LoRA write solver = \
             \"lightning\"",
            info.name, info.defaults.steps
        )),
        None => None,
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
