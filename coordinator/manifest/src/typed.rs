//! A manifest from what is typed: a model, prompts, and settings by the names of a manifest's keys. It is written as a
//! person would write it, so that faults are shown in it and it can be kept. Deliberately without the command line.

use super::images::is_pattern;
use super::keys::{RANDOM, Rule, Setting};
use super::names::slug;
use super::toml_text::{quoted, template};

/// A model, prompts and settings.
#[derive(Debug, Clone, Default)]
pub struct Typed {
    /// Name of the job; without one, what the first prompt says.
    pub name: Option<String>,
    /// Name of the model.
    pub model: String,
    /// A video each; braces stand for themselves.
    pub prompts: Vec<String>,
    /// Keys of [`typed_keys`] and what was typed for them, several times where they are lists.
    pub settings: Vec<(String, Vec<String>)>,
}

/// What can be typed beside the prompts.
#[derive(Debug, Clone, Copy)]
pub struct TypedKey {
    /// As a manifest has it.
    pub key: &'static str,
    /// As it is typed, without dashes before it.
    pub option: &'static str,
    /// What it means.
    pub about: &'static str,
    /// It can be typed several times.
    pub is_list: bool,
}

/// All that can be typed beside the prompts.
pub fn typed_keys() -> impl Iterator<Item = TypedKey> {
    // A chain is of several videos, which are not typed one by one.
    let untyped = [Setting::Prompt, Setting::Output, Setting::Join];
    let all = Setting::all().into_iter().filter(move |setting| !untyped.contains(setting));
    all.map(|setting| {
        let (key, about, is_list) = (setting.name(), setting.about(), matches!(setting.rule(), Rule::Loras));
        let option = match setting {
            Setting::LastImage => "last-image",
            // Which video of a manifest is meant is said by `--video`.
            Setting::Video => "clip",
            _ => key,
        };
        TypedKey { key, option, about, is_list }
    })
}

impl Typed {
    /// The manifest's text.
    pub fn to_toml(&self) -> String {
        let first = self.prompts.first().map(|prompt| slug(prompt)).filter(|slug| !slug.is_empty());
        let first = first.unwrap_or_else(|| "video".to_owned());
        let is_list = |(key, values): &(String, Vec<String>)| {
            Setting::of(key).is_some_and(Setting::is_file) && values.iter().any(|value| is_pattern(value))
        };
        let are_several = self.prompts.len() > 1 || self.settings.iter().any(is_list);
        let output = match are_several {
            true => "{index:04}-{slug}-{seed}",
            false => "{slug}-{seed}",
        };
        let name = self.name.as_ref().unwrap_or(&first);
        let mut text =
            format!("[job]\nname = {}\nmodel = {}\noutput = \"{output}\"\n", quoted(name), quoted(&self.model));
        let mut defaults = String::from("\n[defaults]\n");
        let mut files = String::new();
        for (key, values) in &self.settings {
            let Some(setting) = Setting::of(key) else { continue };
            // A pattern makes several videos, which only a video can.
            let lines = if setting.is_file() { &mut files } else { &mut defaults };
            lines.push_str(&format!("{key} = {}\n", value(setting, values)));
        }
        text.push_str(&defaults);
        for prompt in &self.prompts {
            text.push_str(&format!("\n[[video]]\nprompt = {}\n{files}", template(prompt)));
        }
        text
    }
}

/// What was typed for a key, as a manifest has it. What it cannot be is left to the manifest to refuse.
fn value(setting: Setting, typed: &[String]) -> String {
    let last = typed.last().map(String::as_str).unwrap_or_default();
    let list = |values: &mut dyn Iterator<Item = String>| format!("[{}]", values.collect::<Vec<_>>().join(", "));
    match setting.rule() {
        Rule::Template { .. } | Rule::Image | Rule::Clip => template(last),
        Rule::Word(_) => quoted(last),
        Rule::Seed if last == RANDOM => quoted(last),
        Rule::Words(_) => list(&mut last.split(',').map(|word| quoted(word.trim()))),
        Rule::Loras => list(&mut typed.iter().map(|lora| table_or(lora, quoted))),
        Rule::Guidance { .. } => match last.split_once(',') {
            Some((high, low)) if !last.starts_with('{') => {
                format!("{{ high = {}, low = {} }}", bare(high.trim()), bare(low.trim()))
            }
            _ => table_or(last, bare),
        },
        Rule::Nag | Rule::Cache | Rule::Seed | Rule::Whole(_) | Rule::Rate | Rule::Number { .. } | Rule::Flag => {
            table_or(last, bare)
        }
    }
}

/// A table in one line as it is, all else by `other`.
fn table_or(text: &str, other: fn(&str) -> String) -> String {
    let is_table = text.starts_with('{') && text.ends_with('}') && !text.chars().any(char::is_control);
    if is_table { text.to_owned() } else { other(text) }
}

/// A number or a truth as it is, all else in quotes.
fn bare(text: &str) -> String {
    let is_number = text.starts_with(|first: char| first.is_ascii_digit() || first == '-')
        && text.chars().all(|letter| letter.is_ascii_digit() || "-+._eE".contains(letter));
    if is_number || matches!(text, "true" | "false") { text.to_owned() } else { quoted(text) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Manifest, Syntax};
    use wanfarm_types::{Format, FrameRate, Guidance, SolverKind};

    fn typed(prompts: &[&str], settings: &[(&str, &str)]) -> Typed {
        let settings = settings.iter().map(|(key, value)| ((*key).to_owned(), vec![(*value).to_owned()])).collect();
        let prompts = prompts.iter().map(|prompt| (*prompt).to_owned()).collect();
        Typed { name: None, model: "m".into(), prompts, settings }
    }

    fn read(typed: &Typed) -> Result<Vec<wanfarm_types::VideoRequest>, crate::Faults> {
        Manifest::parse("typed.toml", Syntax::Toml, &typed.to_toml(), None)?.check(None)
    }

    #[test]
    fn what_is_typed_is_what_a_manifest_says() {
        let prompt = "a {red} fox says \"hi\\n\"\nand runs";
        let settings = [
            ("negative", "{blurred}"),
            ("seed", "7"),
            ("width", "832"),
            ("fps", "24000/1001"),
            ("shift", "5"),
            ("solver", "euler"),
            ("guidance", "4, 3.5"),
            ("formats", "png,gif"),
        ];
        let videos = read(&typed(&[prompt], &settings)).unwrap();
        let [video] = &videos[..] else { panic!("{videos:?}") };
        assert_eq!((&*video.prompt, video.negative.as_deref()), (prompt, Some("{blurred}")));
        assert_eq!((video.seed, video.width, video.fps), (7, Some(832), FrameRate::new(24_000, 1001).ok()));
        assert_eq!((video.shift, video.solver), (Some(5.0), Some(SolverKind::Euler)));
        assert_eq!(video.guidance, Some(Guidance { high: 4.0, low: 3.5 }));
        assert_eq!(video.formats, [Format::Png, Format::Gif]);
        assert!(video.output.ends_with("-7") && !video.output.contains("0000"), "{}", video.output);
        let table = read(&typed(&["p"], &[("guidance", "{ high = 2, low = 1 }"), ("cache", "magcache")])).unwrap();
        assert_eq!(table[0].guidance, Some(Guidance { high: 2.0, low: 1.0 }));
        assert!(table[0].cache.is_some());
    }

    #[test]
    fn several_prompts_have_names_of_their_own() {
        let videos = read(&typed(&["p", "p q", "p!"], &[])).unwrap();
        let outputs: Vec<_> = videos.iter().map(|video| &*video.output).collect();
        assert_eq!(outputs, ["0000-p-0", "0001-p-q-0", "0002-p-0"]);
        assert_eq!(read(&typed(&["?"], &[])).unwrap().len(), 1, "a prompt that gives no name");
    }

    #[test]
    fn what_a_manifest_refuses_is_refused_at_its_line() {
        let faults = read(&typed(&["p"], &[("width", "wide"), ("frames", "80")])).unwrap_err();
        let told: Vec<_> = faults.iter().map(|fault| (&*fault.key, fault.at.map(|at| at.line))).collect();
        assert_eq!(told, [("defaults.width", Some(7)), ("defaults.frames", Some(8))]);
        let injected = read(&typed(&["p"], &[("guidance", "{ high = 1 }\nmodel = \"x\"")])).unwrap_err();
        assert_eq!(injected.iter().count(), 1, "what spans lines is a text");
    }

    #[test]
    fn every_key_of_a_video_but_its_prompt_and_its_paths_can_be_typed() {
        let keys: Vec<_> = typed_keys().map(|typed| typed.key).collect();
        assert_eq!(keys.len() + 3, Setting::COUNT);
        let option = |key: &str| if key == "video" { "clip".to_owned() } else { key.replace('_', "-") };
        assert!(typed_keys().all(|typed| typed.option == option(typed.key)));
        assert!(keys.contains(&"last_image") && !keys.contains(&"output"));
    }
}
