//! The keys of a manifest: their names, what they mean and what they take. The reader and the JSON Schema both go
//! by this table, so that neither can know a key or a bound that the other does not.

use std::ops::RangeInclusive;

use wanfarm_types::{Decode, Format, SolverKind};

/// Whatever can stand in `[defaults]` and `[[video]]`, and be swept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Setting {
    Prompt,
    Negative,
    Seed,
    Image,
    Overlap,
    LastImage,
    Video,
    Strength,
    Width,
    Height,
    Frames,
    Fps,
    Steps,
    Shift,
    Solver,
    Guidance,
    Nag,
    Cache,
    Decode,
    Loras,
    Formats,
    Output,
    Join,
}

/// The word that leaves a seed to chance.
pub(crate) const RANDOM: &str = "random";

/// What a setting takes.
#[derive(Debug, Clone)]
pub(crate) enum Rule {
    /// A text in which `{names}` stand for values.
    Template { may_be_empty: bool },
    /// The path of an image file, a template; or a frame of another video.
    Image,
    /// The path of a clip, a template; or another video.
    Clip,
    /// A seed, or the word that leaves it to chance.
    Seed,
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
    /// true, false or a table.
    Nag,
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
pub(crate) const OUTPUT_NAMES: [&str; 7] = ["job", "index", "name", "slug", "seed", "width", "height"];
/// Longest text of a prompt or path in bytes; the text encoder reads 512 tokens.
pub(crate) const MAX_TEXT: usize = 8192;
/// Most videos of one manifest.
pub(crate) const MAX_VIDEOS: usize = 100_000;

const SOLVERS: [SolverKind; 6] = SolverKind::ALL;
const FORMATS: [Format; 4] = [Format::Mp4, Format::Png, Format::Gif, Format::Contact];
const DECODE_NAMES: [&str; 2] = [Decode::ALL[0].name(), Decode::ALL[1].name()];
const SOLVER_NAMES: [&str; 6] =
    [SOLVERS[0].name(), SOLVERS[1].name(), SOLVERS[2].name(), SOLVERS[3].name(), SOLVERS[4].name(), SOLVERS[5].name()];
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

/// The key of a video's name.
pub(crate) const NAME: &str = "name";
/// Longest name of a video, in characters.
pub(crate) const MAX_NAME: usize = 100;

/// The keys of `[[video]]` besides the settings.
pub(crate) const SERIES: [(&str, &str); 3] = [
    (NAME, "What other videos call it that start from a frame of it; {name} in output."),
    ("sweep", "Lists of values by name; every combination is a video, the last name changing fastest."),
    ("zip", "Lists of equal length by name; the first values make one video, the second ones the next."),
];

/// The settings, in the order in which they are declared, with their names and what they mean.
const SETTINGS: [(Setting, &str, &str); 23] = [
    (Setting::Prompt, "prompt", "What to show. {names} of sweep and zip stand for their values."),
    (Setting::Negative, "negative", "What to avoid; without it the model's own text, with \"\" nothing."),
    (
        Setting::Seed,
        "seed",
        "Seed of the noise, as torch.Generator(\"cpu\").manual_seed takes it; \"random\" draws one, which is recorded.",
    ),
    (
        Setting::Image,
        "image",
        "First frame: an image file, relative to the manifest, or a frame of another video. Elsewhere, {image} is the file's name without ending, or the video's name.",
    ),
    (
        Setting::Overlap,
        "overlap",
        "How many frames it starts from, beside image = { from = … }: those that end with that frame; or beside a clip as image, its last ones. 1, 5, 9, …; without it, 1.",
    ),
    (
        Setting::LastImage,
        "last_image",
        "Last frame, beside image: an image file of the same shape, or a frame of another video. Models that need a first frame take it.",
    ),
    (
        Setting::Video,
        "video",
        "A clip to change: an mp4 file (H.264), a GIF, or a folder or zip file of pictures; or another video. Its frames are taken at fps and cut to size; frames without it is as many as it has, at most the model's own.",
    ),
    (
        Setting::Strength,
        "strength",
        "How much of the schedule the clip goes through: near 0 it hardly changes, 1 leaves nothing of it. Without it, 0.8.",
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
    (
        Setting::Solver,
        "solver",
        "The method that follows the schedule; lightning, dmd and rcm are for models that were distilled for them.",
    ),
    (Setting::Guidance, "guidance", "Classifier-free guidance; one number, or one per expert."),
    (
        Setting::Nag,
        "nag",
        "Normalized attention guidance, a negative prompt without a second pass: true, or { scale, tau, alpha }.",
    ),
    (
        Setting::Cache,
        "cache",
        "Step cache: a kind, or { kind, … } with settings; what is not said is as published for the model.",
    ),
    (
        Setting::Decode,
        "decode",
        "full, or tiny: draft frames by a tiny VAE that lies with the model, in a fraction of the time.",
    ),
    (Setting::Loras, "loras", "LoRA files; a video's list replaces the one in [defaults], and [] is none."),
    (Setting::Formats, "formats", "Files to write."),
    (Setting::Output, "output", "Path of the video's files below the output directory, without extension."),
    (
        Setting::Join,
        "join",
        "Path, below the output directory, of an mp4 file of the whole chain that ends with this video, without the frames that are there twice.",
    ),
];

/// The pictures that a video is rendered from: its first frame, and its last.
pub(crate) const PICTURES: [Setting; 2] = [Setting::Image, Setting::LastImage];

/// What is named by the path of a file or is of another video, in the order in which the words for them are known.
pub(crate) const FILES: [Setting; 3] = [Setting::Image, Setting::LastImage, Setting::Video];

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

    /// True when it is the path of an image file or of a clip.
    pub(crate) fn is_file(self) -> bool {
        FILES.contains(&self)
    }

    pub(crate) fn about(self) -> &'static str {
        SETTINGS[self as usize].2
    }

    pub(crate) fn rule(self) -> Rule {
        match self {
            Setting::Prompt | Setting::Output | Setting::Join => Rule::Template { may_be_empty: false },
            Setting::Image | Setting::LastImage => Rule::Image,
            Setting::Video => Rule::Clip,
            Setting::Strength => Rule::Number { least: 0.0, above: true, most: 1.0 },
            Setting::Negative => Rule::Template { may_be_empty: true },
            Setting::Seed => Rule::Seed,
            Setting::Width | Setting::Height => Rule::Whole(1..=8192),
            Setting::Frames | Setting::Overlap => Rule::Whole(1..=4097),
            Setting::Fps => Rule::Rate,
            Setting::Steps => Rule::Whole(1..=1000),
            Setting::Shift => Rule::Number { least: 0.0, above: true, most: 100.0 },
            Setting::Solver => Rule::Word(&SOLVER_NAMES),
            Setting::Guidance => Rule::Guidance { most: 100.0 },
            Setting::Nag => Rule::Nag,
            Setting::Cache => Rule::Cache,
            Setting::Decode => Rule::Word(&DECODE_NAMES),
            Setting::Loras => Rule::Loras,
            Setting::Formats => Rule::Words(&FORMAT_NAMES),
        }
    }
}

/// The solver of that name.
pub fn solver(name: &str) -> Option<SolverKind> {
    SOLVERS.into_iter().find(|solver| solver.name() == name)
}

/// What decodes, of that name.
pub(crate) fn decode(name: &str) -> Option<Decode> {
    Decode::ALL.into_iter().find(|decode| decode.name() == name)
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
