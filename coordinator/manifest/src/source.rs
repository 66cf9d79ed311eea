//! The manifest's text as it was read: bounded in size, with positions. It knows nothing of what the text means.

use std::io::Read;
use std::ops::Range;
use std::path::Path;

use super::embedded;
use super::files::Files;

/// A manifest larger than this is not read.
pub(crate) const MAX_BYTES: u64 = 16 << 20;

/// How a manifest is written. The shape is the same in each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Syntax {
    /// `.toml`.
    Toml,
    /// `.yaml`, `.yml`.
    Yaml,
    /// `.json`.
    Json,
}

/// Bytes `start..end` of the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub(crate) struct Span {
    /// First byte.
    pub(crate) start: u32,
    /// One past the last byte.
    pub(crate) end: u32,
}

/// A place in a file as editors count it: both from 1, columns in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Position {
    /// Line, from 1.
    pub line: u32,
    /// Column in characters, from 1.
    pub column: u32,
}

/// The text, its name for messages, and the folder that relative paths in it start from.
#[derive(Debug)]
pub(crate) struct Source {
    /// What messages call it: the path as given, or `<stdin>`.
    pub(crate) name: String,
    /// How it is written.
    pub(crate) syntax: Syntax,
    /// The whole text, without a byte order mark.
    pub(crate) text: String,
    /// Where relative paths start; `None` where files of this machine must not be named.
    pub(crate) files: Files,
    line_starts: Vec<u32>,
}

/// Why a manifest could not be read at all.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unreadable {
    #[error("cannot read it: {0}")]
    Io(#[from] std::io::Error),
    #[error("it is larger than {} MiB", MAX_BYTES >> 20)]
    TooLarge,
    #[error("byte {0} is not UTF-8")]
    NotUtf8(usize),
    #[error("it is not a regular file")]
    NotAFile,
    #[error("the extension says neither TOML nor YAML nor JSON")]
    UnknownSyntax,
    #[error("it has comments or other liberties that are no JSON")]
    LooseJson,
    #[error("a list of prompts is no manifest: nothing in it says which model renders them")]
    NoManifest,
    #[error("{}", embedded::NO_SETTINGS)]
    NoSettings,
}

impl Syntax {
    /// The syntax a path's extension names, in either case.
    pub fn of(path: &Path) -> Option<Self> {
        let extension = path.extension()?.to_str()?.to_ascii_lowercase();
        match extension.as_str() {
            "toml" => Some(Self::Toml),
            "yaml" | "yml" => Some(Self::Yaml),
            "json" => Some(Self::Json),
            _ => None,
        }
    }

    /// The syntax of a text without a name. JSON begins with a brace; of the others, the first line that says anything
    /// tells: TOML writes `[job]` or `key = value`, YAML `job:`.
    pub(crate) fn guess(text: &str) -> Self {
        let lines = text.trim_start_matches('\u{feff}').lines().map(str::trim_start);
        let first = lines.into_iter().find(|line| !line.is_empty() && !line.starts_with('#')).unwrap_or_default();
        if first.starts_with('{') {
            return Self::Json;
        }
        let toml = first.starts_with('[') || first.find('=').is_some_and(|at| !first[..at].contains(':'));
        let yaml = first.starts_with("---") || first.starts_with('%') || first.contains(':');
        if yaml && !toml { Self::Yaml } else { Self::Toml }
    }

    /// The name shown in messages.
    pub fn name(self) -> &'static str {
        match self {
            Self::Toml => "TOML",
            Self::Yaml => "YAML",
            Self::Json => "JSON",
        }
    }
}

impl Unreadable {
    fn other_syntax(path: &Path) -> Self {
        let extension = path.extension().map(|extension| extension.to_string_lossy().to_ascii_lowercase());
        match extension.as_deref() {
            Some("jsonc" | "json5") => Self::LooseJson,
            Some("txt" | "csv" | "tsv") => Self::NoManifest,
            _ => Self::UnknownSyntax,
        }
    }

    /// What to do about it.
    pub(crate) fn help(&self) -> &'static str {
        match self {
            Self::LooseJson => "take comments and trailing commas out, and call it .json; TOML and YAML have comments",
            Self::NoManifest => {
                "write a .toml file of this shape, with as many seeds as prompts, or without zip for one prompt:\n\
                 [job]\n\
                 model = \"the name of a model folder\"\n\
                 [[video]]\n\
                 zip = { prompt = [\"the first prompt\", \"the second\"], seed = [1, 2] }\n\
                 or name the model with --model and the list with --prompts"
            }
            Self::NoSettings => {
                "name the mp4 file, or a frame, as the farm wrote it; its sidecar beside it has the settings too"
            }
            _ => "name a .toml, .yaml or .json file of at most 16 MiB, or - for standard input",
        }
    }
}

impl Span {
    pub(crate) fn new(range: Range<usize>) -> Self {
        let clamp = |byte: usize| u32::try_from(byte).unwrap_or(u32::MAX);
        Self { start: clamp(range.start), end: clamp(range.end.max(range.start)) }
    }

    #[cfg(test)]
    pub(crate) fn range(self) -> Range<usize> {
        self.start as usize..self.end as usize
    }
}

impl Source {
    pub(crate) fn new(name: &str, syntax: Syntax, text: &str, files: Files) -> Self {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text).to_owned();
        let line_starts = std::iter::once(0)
            .chain(text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(at, _)| at as u32 + 1))
            .collect();
        Self { name: name.to_owned(), syntax, text, files, line_starts }
    }

    /// Reads a file, or for `-` standard input in any syntax.
    pub(crate) fn read(path: &Path) -> Result<Self, Unreadable> {
        if path == Path::new("-") {
            let text = read_bounded(std::io::stdin().lock())?;
            return Ok(Self::new("<stdin>", Syntax::guess(&text), &text, Files::Folder(".".into())));
        }
        let (syntax, text) = match embedded::read(path) {
            Some(text) => (Syntax::Toml, text?.ok_or(Unreadable::NoSettings)?),
            None => {
                let syntax = Syntax::of(path).ok_or_else(|| Unreadable::other_syntax(path))?;
                if !std::fs::metadata(path)?.is_file() {
                    return Err(Unreadable::NotAFile);
                }
                (syntax, read_bounded(std::fs::File::open(path)?)?)
            }
        };
        let folder = path.parent().unwrap_or(Path::new("."));
        Ok(Self::new(&path.display().to_string(), syntax, &text, Files::Folder(folder.to_owned())))
    }

    /// The same text, with its files elsewhere.
    pub(crate) fn with_files(self, files: Files) -> Self {
        Self { files, ..self }
    }

    /// The file's name without folder and extension; what a job is called that has no name.
    pub(crate) fn stem(&self) -> &str {
        Path::new(&self.name).file_stem().and_then(|stem| stem.to_str()).unwrap_or("job").trim_matches(['<', '>'])
    }

    pub(crate) fn position(&self, byte: u32) -> Position {
        let line = self.line_starts.partition_point(|&start| start <= byte).max(1);
        let before = self.floor(byte);
        let start = self.line_starts.get(line - 1).map_or(0, |&start| start as usize).min(before);
        Position { line: line as u32, column: self.text[start..before].chars().count() as u32 + 1 }
    }

    /// The bytes of the lines that hold `span`, without the last line break.
    pub(crate) fn lines_of(&self, span: Span) -> Range<usize> {
        let (start, end) = (self.floor(span.start), self.floor(span.end));
        let first = self.text[..start].rfind('\n').map_or(0, |at| at + 1);
        let last = self.text[end..].find('\n').map_or(self.text.len(), |at| end + at);
        first..last
    }

    /// The part of `span` that holds `words`, or all of it where the text spells them differently.
    pub(crate) fn narrow(&self, span: Span, words: &str) -> Span {
        let start = self.floor(span.start);
        let found = self.text.get(start..self.floor(span.end)).and_then(|text| text.find(words));
        found.map_or(span, |at| Span::new(start + at..start + at + words.len()))
    }

    /// The nearest place not after `byte` where a character starts.
    fn floor(&self, byte: u32) -> usize {
        self.text.floor_char_boundary(byte as usize)
    }
}

fn read_bounded(reader: impl Read) -> Result<String, Unreadable> {
    let mut bytes = Vec::new();
    reader.take(MAX_BYTES + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(Unreadable::TooLarge);
    }
    String::from_utf8(bytes).map_err(|error| Unreadable::NotUtf8(error.utf8_error().valid_up_to()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(text: &str) -> Source {
        Source::new("m.toml", Syntax::Toml, text, Files::None)
    }

    #[test]
    fn positions_count_characters_from_one() {
        let source = source("a\nbé=ü\r\n\nx");
        let at = |byte| {
            let Position { line, column } = source.position(byte);
            (line, column)
        };
        assert_eq!(at(0), (1, 1));
        assert_eq!(at(2), (2, 1));
        assert_eq!(at(5), (2, 3), "after the two-byte é");
        assert_eq!(at(10), (3, 1));
        assert_eq!(at(11), (4, 1));
        assert_eq!(at(9_999), (4, 2), "past the end is the end");
        assert_eq!(at(4), (2, 2), "inside a character is its start");
    }

    #[test]
    fn lines_and_narrowing() {
        let source = source("one\nprompt = \"a {x}\"\nthree");
        let value = Span::new(13..20);
        assert_eq!(&source.text[source.lines_of(value)], "prompt = \"a {x}\"");
        assert_eq!(&source.text[source.narrow(value, "{x}").range()], "{x}");
        assert_eq!(source.narrow(value, "{y}"), value);
    }

    #[test]
    fn a_byte_order_mark_is_dropped_and_size_is_bounded() {
        assert_eq!(source("\u{feff}a").text, "a");
        assert!(matches!(read_bounded(std::io::repeat(b'a')), Err(Unreadable::TooLarge)));
        assert!(matches!(read_bounded(&b"ab\xff"[..]), Err(Unreadable::NotUtf8(2))));
    }

    #[test]
    fn extensions() {
        assert_eq!(Syntax::of(Path::new("a.b/NIGHT.YML")), Some(Syntax::Yaml));
        assert_eq!(Syntax::of(Path::new("night.txt")), None);
        assert_eq!(Syntax::of(Path::new("toml")), None);
    }
}
