//! The keys of a manifest: their names, what they mean and what they take. The reader and the JSON Schema both go
//! by this table, so that neither can know a key or a bound that the other does not.

use std::ops::RangeInclusive;

use wanfarm_types::{Format, SolverKind};

/// Whatever can stand in `[defaults]` and `[[video]]`, and be swept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Setting {
    Prompt,
    Negative,
    Seed,
    Image,
    Width,
    Height,
    Frames,
    Fps,
    Steps,
    Shift,
    Solver,
    Guidance,
    Cache,
    Loras,
    Formats,
    Output,
}

/// What a setting takes.
#[derive(Debug, Clone)]
pub(crate) enum Rule {
    /// A text in which `{names}` stand for values.
    Template { may_be_empty: bool },
    /// A whole number.
    Whole(RangeInclusive<u64>),
    /// Frames per second.
    Rate,
    /// A finite number; the smallest value itself is left out if `above`.
    Number { least: f64, above: bool, most: f64 },
    /// One of these words.
    Word(&'static [&'static str]),
    /// A number, or one for each expert.
    Guidance { most: f64 },
    /// true or false.
    Flag,
    /// A step cache: its kind, or a table.
    Cache,
    /// LoRA files.
    Loras,
    /// A list of these words, each once.
    Words(&'static [&'static str]),
}

/// Priorities of a job.
pub(crate) const PRIORITY: RangeInclusive<u64> = 0..=100;
/// The priority of a job that names none.
pub const DEFAULT_PRIORITY: u32 = 50;
/// The output template of a manifest that names none.
pub(crate) const DEFAULT_OUTPUT: &str = "{job}/{index:04}-{slug}-{seed}";
/// The files of a video that names none.
pub(crate) const DEFAULT_FORMATS: [Format; 1] = [Format::Mp4];
/// What `output` can name besides the keys of `sweep` and `zip`.
pub(crate) const OUTPUT_NAMES: [&str; 6] = ["job", "index", "slug", "seed", "width", "height"];
/// Longest text of a prompt or path in bytes; the text encoder reads 512 tokens.
pub(crate) const MAX_TEXT: usize = 8192;
/// Most videos of one manifest.
pub(crate) const MAX_VIDEOS: usize = 100_000;

const SOLVERS: [SolverKind; 4] = [SolverKind::UniPc, SolverKind::DpmPlusPlus, SolverKind::Euler, SolverKind::Lightning];
const FORMATS: [Format; 4] = [Format::Mp4, Format::Png, Format::Gif, Format::Contact];
const SOLVER_NAMES: [&str; 4] = [SOLVERS[0].name(), SOLVERS[1].name(), SOLVERS[2].name(), SOLVERS[3].name()];
const FORMAT_NAMES: [&str; 4] = [FORMATS[0].name(), FORMATS[1].name(), FORMATS[2].name(), FORMATS[3].name()];

/// The keys of `[job]` and what they mean. `output` and `formats` hold for every video that names none.
pub(crate) const JOB: [(&str, &str); 9] = [
    ("name", "Name of the job; without it, the manifest's file name."),
    ("model", "Name of the model, as workers serve it."),
    ("priority", "0 to 100; higher goes first. Without it, 50."),
    ("early_look", "true: the first, the last and the middle video go first, to be judged before the night is over."),
    ("owner", "Whose it is."),
    ("note", "What there is to say of it."),
    ("labels", "Texts by name, by which people and scripts find it: shot, sequence."),
    ("output", "Path of a video's files below the output directory, without extension."),
    ("formats", "Files to write; without it, mp4."),
];

/// The keys of `[[video]]` besides the settings.
pub(crate) const SERIES: [(&str, &str); 2] = [
    ("sweep", "Lists of values by name; every combination is a video, the last name changing fastest."),
    ("zip", "Lists of equal length by name; the first values make one video, the second ones the next."),
];

/// The settings, in the order in which they are declared, with their names and what they mean.
const SETTINGS: [(Setting, &str, &str); 16] = [
    (Setting::Prompt, "prompt", "What to show. {names} of sweep and zip stand for their values."),
    (Setting::Negative, "negative", "What to avoid; without it the model's own text, with \"\" nothing."),
    (Setting::Seed, "seed", "Seed of the noise, as torch.Generator(\"cpu\").manual_seed takes it."),
    (
        Setting::Image,
        "image",
        "First frame: an image file, relative to the manifest. Elsewhere, {image} is its name without ending.",
    ),
    (Setting::Width, "width", "Pixels; a multiple of 16 (of 32 for the 5B model)."),
    (Setting::Height, "height", "Pixels; a multiple of 16 (of 32 for the 5B model)."),
    (Setting::Frames, "frames", "How many frames: 4n+1."),
    (
        Setting::Fps,
        "fps",
        "Frames per second of the files, 1 to 240: 24, 23.976 (which means 24000/1001) or \"24000/1001\".",
    ),
    (Setting::Steps, "steps", "Denoising steps."),
    (Setting::Shift, "shift", "Shift of the flow schedule."),
    (Setting::Solver, "solver", "The method that follows the schedule."),
    (Setting::Guidance, "guidance", "Classifier-free guidance; one number, or one per expert."),
    (
        Setting::Cache,
        "cache",
        "Step cache: a kind, or { kind, … } with settings; what is not said is as published for the model.",
    ),
    (Setting::Loras, "loras", "LoRA files; a video's list replaces the one in [defaults], and [] is none."),
    (Setting::Formats, "formats", "Files to write."),
    (Setting::Output, "output", "Path of the video's files below the output directory, without extension."),
];

impl Setting {
    /// How many there are.
    pub(crate) const COUNT: usize = SETTINGS.len();

    pub(crate) fn all() -> [Self; Self::COUNT] {
        SETTINGS.map(|(setting, ..)| setting)
    }

    pub(crate) fn of(name: &str) -> Option<Self> {
        SETTINGS.into_iter().find(|(_, known, _)| *known == name).map(|(setting, ..)| setting)
    }

    pub(crate) fn name(self) -> &'static str {
        SETTINGS[self as usize].1
    }

    pub(crate) fn about(self) -> &'static str {
        SETTINGS[self as usize].2
    }

    pub(crate) fn rule(self) -> Rule {
        match self {
            Setting::Prompt | Setting::Image | Setting::Output => Rule::Template { may_be_empty: false },
            Setting::Negative => Rule::Template { may_be_empty: true },
            Setting::Seed => Rule::Whole(0..=u64::MAX),
            Setting::Width | Setting::Height => Rule::Whole(1..=8192),
            Setting::Frames => Rule::Whole(1..=4097),
            Setting::Fps => Rule::Rate,
            Setting::Steps => Rule::Whole(1..=1000),
            Setting::Shift => Rule::Number { least: 0.0, above: true, most: 100.0 },
            Setting::Solver => Rule::Word(&SOLVER_NAMES),
            Setting::Guidance => Rule::Guidance { most: 100.0 },
            Setting::Cache => Rule::Cache,
            Setting::Loras => Rule::Loras,
            Setting::Formats => Rule::Words(&FORMAT_NAMES),
        }
    }
}

/// The solver of that name.
pub fn solver(name: &str) -> Option<SolverKind> {
    SOLVERS.into_iter().find(|solver| solver.name() == name)
}

/// The format of that name.
pub(crate) fn format(name: &str) -> Option<Format> {
    FORMATS.into_iter().find(|format| format.name() == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_stand_in_the_table_where_their_numbers_say() {
        assert!(SETTINGS.iter().enumerate().all(|(at, (setting, ..))| *setting as usize == at));
    }
}
