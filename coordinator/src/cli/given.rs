//! What is to be rendered: a manifest, or videos typed on the command line, whose options are the manifest's own keys.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use clap::builder::NonEmptyStringValueParser;
use clap::{Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches};
use wanfarm_manifest::{Manifest, Syntax, Typed, TypedKey, typed_keys};

use super::args::{faulty, read_manifest};
use super::error::CliError;
use super::path;
use crate::exit::Exit;

/// Most bytes of a file of prompts; as much as of a manifest.
const MAX_PROMPTS: u64 = 16 << 20;
/// What a manifest that was typed is called in messages.
const NAME: &str = "command line";

/// A manifest's path, or the options in its place.
#[derive(Debug, Clone, Default)]
pub(super) struct GivenArgs {
    path: Option<PathBuf>,
    typed: Typed,
    /// A file of further prompts.
    prompts: Option<PathBuf>,
}

impl GivenArgs {
    /// The manifest, whose files lie below `files`, or where it lies itself; those of what was typed, here.
    pub(super) fn read(&self, files: Option<&Path>, json: bool) -> Result<Manifest, CliError> {
        match &self.path {
            Some(path) => read_manifest(path, files, json),
            None => {
                let files = files.unwrap_or(Path::new("."));
                Manifest::parse(NAME, Syntax::Toml, &self.text()?, Some(files)).map_err(|faults| faulty(&faults, json))
            }
        }
    }

    /// Where it lies: a path that need not be there.
    #[cfg(feature = "farm")]
    pub(super) fn path(&self) -> &Path {
        self.path.as_deref().unwrap_or(Path::new(NAME))
    }

    /// What was typed, as a manifest; empty where a manifest was given.
    pub(super) fn text(&self) -> Result<String, CliError> {
        if self.path.is_some() {
            return Ok(String::new());
        }
        let mut typed = self.typed.clone();
        if let Some(path) = &self.prompts {
            let told = |why: String| CliError::new(Exit::Usage, format!("cannot read {}: {why}", path.display()));
            let mut text = String::new();
            let file = File::open(path).map_err(|error| told(error.to_string()))?;
            let read = file.take(MAX_PROMPTS + 1).read_to_string(&mut text);
            if read.map_err(|error| told(error.to_string()))? as u64 > MAX_PROMPTS {
                return Err(told(format!("it is larger than {} MiB", MAX_PROMPTS >> 20)));
            }
            let lines = text.trim_start_matches('\u{feff}').lines().map(str::trim);
            typed.prompts.extend(lines.filter(|line| !line.is_empty() && !line.starts_with('#')).map(str::to_owned));
            if typed.prompts.is_empty() {
                return Err(told("there is no prompt in it; write one in a line".to_owned()));
            }
            typed.name = path.file_stem().map(|stem| stem.to_string_lossy().into_owned());
        }
        Ok(typed.to_toml())
    }
}

impl Args for GivenArgs {
    fn augment_args(command: Command) -> Command {
        let manifest = Arg::new("manifest")
            .value_name("MANIFEST")
            .help("Manifest: TOML, YAML or JSON, by its ending; - for standard input")
            .value_parser(path::existing())
            .required_unless_present_any(["prompt", "prompts"]);
        let typed = |name: &'static str, value: &'static str, help: &'static str| {
            Arg::new(name).long(name).value_name(value).help(help).conflicts_with("manifest")
        };
        let prompt = typed("prompt", "TEXT", "What to show; may be repeated, a video each").action(ArgAction::Append);
        let prompts = typed("prompts", "FILE", "A file of prompts, one in a line; # begins a remark");
        let model = typed("model", "NAME", "Name of the model, as workers serve it");
        let command = command.arg(manifest).next_help_heading("Instead of a manifest").args([
            model.required_unless_present("manifest"),
            prompt.value_parser(NonEmptyStringValueParser::new()).requires("model"),
            prompts.value_parser(path::existing()).requires("model"),
        ]);
        let settings = typed_keys().map(|TypedKey { option, about, is_list, .. }| {
            let action = if is_list { ArgAction::Append } else { ArgAction::Set };
            let arg = Arg::new(option).long(option).value_name("VALUE").help(about).action(action);
            arg.conflicts_with("manifest").allow_negative_numbers(true)
        });
        command.args(settings).next_help_heading(None::<&str>)
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for GivenArgs {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let one = |name: &str| matches.get_one::<String>(name).cloned();
        let all = |name: &str| matches.get_many::<String>(name).into_iter().flatten().cloned().collect::<Vec<_>>();
        let settings = typed_keys().map(|typed| (typed.key.to_owned(), all(typed.option)));
        let typed = Typed {
            name: None,
            model: one("model").unwrap_or_default(),
            prompts: all("prompt"),
            settings: settings.filter(|(_, typed)| !typed.is_empty()).collect(),
        };
        let path = |name: &str| matches.get_one::<PathBuf>(name).cloned();
        Ok(Self { path: path("manifest"), typed, prompts: path("prompts") })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &[&str]) -> Result<GivenArgs, clap::Error> {
        let command = GivenArgs::augment_args(Command::new("run"));
        GivenArgs::from_arg_matches(&command.try_get_matches_from(["run"].iter().chain(line))?)
    }

    #[test]
    fn either_a_manifest_or_prompts() {
        assert_eq!(parsed(&["night.toml"]).unwrap().path(), Path::new("night.toml"));
        assert_eq!(parsed(&["night.toml"]).unwrap().text().unwrap(), "");
        for wrong in [&[][..], &["--prompt", "p"], &["--model", "m"], &["night.toml", "--seed", "7"], &["--prompt", ""]]
        {
            assert!(parsed(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn options_are_the_manifest_s_keys() {
        let line =
            ["--model", "m", "--prompt", "a fox", "--seed", "7", "--width", "832", "--loras", "a", "--loras", "b"];
        let text = parsed(&line).unwrap().text().unwrap();
        for part in ["model = \"m\"", "seed = 7", "width = 832", "loras = [\"a\", \"b\"]", "prompt = \"a fox\""] {
            assert!(text.contains(part), "{part} in\n{text}");
        }
        let last = ["--model", "m", "--prompt", "p", "--image", "a.png", "--last-image", "b.png"];
        assert!(parsed(&last).unwrap().text().unwrap().contains("last_image = \"b.png\""));
    }

    #[test]
    fn a_file_of_prompts_makes_a_video_of_each_line() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("night.txt");
        std::fs::write(&file, "\u{feff}a fox\r\n\n# not this\n  a {cat} \n").unwrap();
        let line = ["--model", "m", "--prompts", file.to_str().unwrap()];
        let manifest = parsed(&line).unwrap().read(None, false).unwrap();
        assert_eq!((&*manifest.name, manifest.videos()), ("night", 2));
        let outputs: Vec<_> = manifest.check(None).unwrap().into_iter().map(|video| video.output).collect();
        assert_eq!(outputs, ["0000-a-fox-0", "0001-a-cat-0"]);
        std::fs::write(&file, "# nothing\n").unwrap();
        assert!(parsed(&line).unwrap().text().unwrap_err().to_string().contains("no prompt in it"));
    }
}
