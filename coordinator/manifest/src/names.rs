//! Names of output files: what they are, and which are safe on every file system.

use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;
use wanfarm_types::{Format, JobId, VideoRequest};

/// Most bytes between two slashes; file systems take 255, and endings such as `.contact.png` come on top.
const MAX_COMPONENT: usize = 200;
/// Most bytes of a name; macOS takes 1024 with the output directory.
const MAX_NAME: usize = 800;
/// Most parts of a name: folders, and the file itself.
const MAX_PARTS: usize = 16;
/// Longest slug in characters.
const MAX_SLUG: usize = 48;
/// Longest slug in bytes.
const MAX_SLUG_BYTES: usize = 3 * MAX_SLUG;
/// Characters that stand inside words without being letters: apostrophes and zero-width joiners.
const JOINERS: [char; 4] = ['\'', '\u{2019}', '\u{200c}', '\u{200d}'];

/// Where a format's file or folder goes, relative to the output directory.
pub fn path_of(output: &str, format: Format) -> String {
    match format {
        Format::Mp4 => format!("{output}.mp4"),
        Format::Png => output.to_owned(),
        Format::Gif => format!("{output}.gif"),
        Format::Contact => format!("{output}.contact.png"),
    }
}

/// Where a video's sidecar goes, relative to the output directory.
pub fn sidecar_of(output: &str) -> String {
    format!("{output}.json")
}

/// Everything that a video writes, relative to the output directory; the sidecar comes after the files of its formats.
pub fn paths_of(video: &VideoRequest) -> Vec<String> {
    let files = video.formats.iter().map(|&format| path_of(&video.output, format));
    files.chain([sidecar_of(&video.output)]).chain(video.join.clone()).collect()
}

/// Where `run` keeps the report of its last job, relative to the output directory.
pub const LAST_REPORT: &str = "report.json";
/// How the names of other reports end.
pub const REPORT: &str = ".report.json";

/// How the names of their pages end.
const PAGE: &str = ".html";
/// How the names of reports end in any case.
const JSON: &str = ".json";

/// Where the page of a report goes, which stands beside it.
pub fn page_of(report: &str) -> String {
    format!("{}{PAGE}", report.strip_suffix(JSON).unwrap_or(report))
}

/// The report that a page of this name stands beside; `None` of other names.
pub fn report_of(page: &str) -> Option<String> {
    let report = format!("{}{JSON}", page.strip_suffix(PAGE)?);
    (report == LAST_REPORT || report.ends_with(REPORT)).then_some(report)
}

/// Where a job's report can go, relative to the output directory, the first choice first. Without end.
pub fn report_names(job: &str, number: JobId, last: bool) -> impl Iterator<Item = String> {
    let plain = last.then(|| LAST_REPORT.to_owned());
    let named = [format!("{job}{REPORT}"), format!("{job}-{number}{REPORT}")];
    let more = format!("{job}-{number}");
    plain.into_iter().chain(named).chain((2u64..).map(move |again| format!("{more}-{again}{REPORT}")))
}

/// The prompt as a part of a file name: letters, digits and marks of every script in lower case, dashes for the rest.
/// At most 48 characters and 144 bytes, so that an index and a seed fit beside it in one name.
pub fn slug(prompt: &str) -> String {
    let mut slug = String::new();
    // Where the last character starts that is no mark upon another.
    let (mut last, mut characters) = (0, 0);
    for c in prompt.nfc().flat_map(char::to_lowercase).nfc() {
        let between_words = slug.is_empty() || slug.ends_with('-');
        if c.is_alphanumeric() {
            last = slug.len();
            slug.push(c);
        } else if is_combining_mark(c) && !between_words {
            slug.push(c);
        } else if JOINERS.contains(&c) || between_words {
            continue;
        } else {
            last = slug.len();
            slug.push('-');
        }
        characters += 1;
        if characters > MAX_SLUG || slug.len() > MAX_SLUG_BYTES {
            // A word is left out rather than cut, unless it is most of the slug or, as in Chinese, all of it.
            let cut = slug.rfind('-').filter(|&cut| cut >= slug.len() / 2).unwrap_or(last);
            slug.truncate(cut);
            break;
        }
    }
    let slug = slug.trim_end_matches('-');
    match component_fault(slug) {
        None => slug.to_owned(),
        Some(_) if slug.is_empty() => "video".to_owned(),
        // The name of a device.
        Some(_) => format!("video-{slug}"),
    }
}

/// What keeps `name` from being one file or folder name on macOS, Linux and Windows.
pub fn component_fault(name: &str) -> Option<String> {
    const RESERVED: [&str; 4] = ["con", "prn", "aux", "nul"];
    let stem = name.split('.').next().unwrap_or_default().trim_end().to_ascii_lowercase();
    // Windows takes the superscript digits for digits here.
    let numbered = |port: &str| {
        let number = stem.strip_prefix(port).unwrap_or_default();
        number.chars().count() == 1 && number.chars().all(|c| c.is_ascii_digit() || "\u{b9}\u{b2}\u{b3}".contains(c))
    };
    if name.is_empty() {
        Some("a part of it is empty".into())
    } else if name == ".." || name == "." {
        Some(format!("`{name}` would leave the output directory"))
    } else if name.starts_with('.') {
        Some("a part starts with a dot, so its files would be hidden".into())
    } else if name.ends_with(['.', ' ']) || name.starts_with(' ') {
        Some("a part starts or ends with a space, or ends with a dot".into())
    } else if let Some(bad) = name.chars().find(|c| "<>:\"|?*\\/".contains(*c) || c.is_control()) {
        Some(format!("{bad:?} is not allowed in file names"))
    } else if let Some(unseen) = name.chars().find(|&c| is_invisible(c)) {
        Some(format!("U+{:04X} cannot be seen, and would make names that look alike", u32::from(unseen)))
    } else if RESERVED.contains(&&*stem) || numbered("com") || numbered("lpt") {
        Some(format!("`{stem}` is a device's name on Windows"))
    } else if name.len() > MAX_COMPONENT {
        Some(format!("a part has {} bytes, at most {MAX_COMPONENT} are safe", name.len()))
    } else {
        None
    }
}

/// Spaces without width, line and paragraph separators, and changes of the writing direction. Joiners are letters'
/// company in several scripts.
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

/// What a shell would have replaced in a path, and nobody does here.
pub fn shell_fault(path: &str) -> Option<String> {
    let names = |rest: &str| rest.starts_with(|c: char| c == '{' || c == '_' || c.is_ascii_uppercase());
    if path.starts_with('~') {
        Some("it starts with `~`, which only a shell takes for a home folder".into())
    } else if path.split('$').skip(1).any(names) {
        Some("it names a variable with `$`, which only a shell replaces".into())
    } else {
        None
    }
}

/// What keeps `output` from being a path below the output directory.
pub fn output_fault(output: &str) -> Option<String> {
    if let Some(why) = shell_fault(output) {
        return Some(why);
    }
    if output.starts_with('/') {
        return Some("it starts with `/`, which leaves the output directory".into());
    }
    if output.len() > MAX_NAME {
        return Some(format!("it has {} bytes, at most {MAX_NAME} are safe", output.len()));
    }
    let parts = output.split('/').count();
    if parts > MAX_PARTS {
        return Some(format!("it has {parts} parts, at most {MAX_PARTS} are taken"));
    }
    output.split('/').find_map(component_fault)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_and_its_page_lead_to_each_other() {
        for (report, page) in [("report.json", "report.html"), ("a/n-1.report.json", "a/n-1.report.html")] {
            assert_eq!((page_of(report).as_str(), report_of(page).as_deref()), (page, Some(report)));
        }
        for other in ["index.html", "n.report.json", "n.report.htm", ".html"] {
            assert_eq!(report_of(other), None, "{other}");
        }
    }

    #[test]
    fn slugs() {
        for (prompt, want) in [
            ("a Red circle, moving right!", "a-red-circle-moving-right"),
            ("  --  ", "video"),
            ("红色的圆", "红色的圆"),
            ("红色的圆，向右移动。", "红色的圆-向右移动"),
            ("Красный круг", "красный-круг"),
            ("Ünïcode Straße", "ünïcode-straße"),
            ("U\u{308}ni\u{308}code", "ünïcode"),
            ("don't café d’été", "dont-café-dété"),
            ("हिन्दी में", "हिन्दी-में"),
            ("می\u{200c}خواهم", "میخواهم"),
            ("🦊 fox 🦊", "fox"),
            ("🦊", "video"),
            ("\u{301}\u{301}", "video"),
            ("\u{202e}gpj.exe", "gpj-exe"),
            ("Con", "video-con"),
            ("com\u{b9}", "video-com\u{b9}"),
            (
                "a red circle moving right on a black background slowly",
                "a-red-circle-moving-right-on-a-black-background",
            ),
            (&"x".repeat(100), &"x".repeat(48)),
            (&format!("{} b", "x".repeat(48)), &"x".repeat(48)),
            (&format!("{} b", "x".repeat(47)), &"x".repeat(47)),
        ] {
            assert_eq!(slug(prompt), want, "{prompt}");
            assert!(slug(prompt).chars().count() <= MAX_SLUG);
        }
    }

    #[test]
    fn slugs_of_every_script_are_cut_between_characters_and_safe() {
        let chinese = "红".repeat(100);
        assert_eq!(slug(&chinese), "红".repeat(48));
        let marked = "e\u{302}\u{323}\u{31d}".repeat(40);
        let rare = "𠀀".repeat(100);
        let words = "слово ".repeat(30);
        assert_eq!(slug(&words), ["слово"; 8].join("-"));
        let zalgo = format!("a{}", "\u{31d}".repeat(500));
        for prompt in [&chinese, &marked, &rare, &words, &zalgo, &"\u{1e9e}".repeat(99), &"İ".repeat(99)] {
            let slug = slug(prompt);
            assert!(slug.len() <= MAX_SLUG_BYTES && slug.chars().count() <= MAX_SLUG, "{slug}");
            assert!(!slug.ends_with('-'), "{slug}");
            let name = format!("99999-{slug}-18446744073709551615");
            assert_eq!(component_fault(&name), None, "{name}");
            assert_eq!(slug.nfc().collect::<String>(), slug);
        }
        assert!(slug(&marked).ends_with('\u{31d}'), "no character loses its marks");
    }

    #[test]
    fn names_that_are_refused() {
        let long = "x".repeat(201);
        let (deep, parts) = ("abc/".repeat(250), ["a"; 17].join("/"));
        for name in [
            "",
            "/etc/x",
            "..",
            "a/../b",
            "a//b",
            "a/",
            ".hidden",
            "a/.b",
            "C:x",
            "a\\b",
            "a?b",
            "a*b",
            "a|b",
            "a\"b",
            "<a",
            "a\0b",
            "a\nb",
            "con",
            "CON.x",
            "a/nul",
            "com1",
            "lpt9.txt",
            "a.",
            "a ",
            " a",
            &long,
            &deep,
            &parts,
            "./a",
            "~",
            "~/x",
            "~ann/x",
            "$HOME/x",
            "a/$USER",
            "${HOME}/x",
            "x-$_",
            "COM\u{b3}",
            "a\u{202e}b",
            "a\u{200b}",
        ] {
            assert!(output_fault(name).is_some(), "{name:?} was let through");
        }
        for name in [
            "a",
            "a/b c/0001-ü",
            "console",
            "com",
            "com10",
            "a.b",
            "x..y",
            "a~",
            "x/~y",
            "5$",
            "$5",
            "a$b",
            "红",
            &"x".repeat(200),
            &["a"; 16].join("/"),
        ] {
            assert_eq!(output_fault(name), None, "{name:?}");
        }
    }
}
