//! Which of a model's two transformers a file is. Nothing but its name tells, or that of a folder it lies in: the
//! shapes of both are the same, and with one in the other's place a model renders noise. LoRA files are named likewise.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use wanfarm_types::{Expert, Role};

use wanfarm_weights::FileError;
use wanfarm_weights::listing::{name, names};
use wanfarm_weights::shards::only;

/// Words for the experts of high and of low noise.
const HIGH: [&str; 3] = ["high", "highnoise", "hn"];
const LOW: [&str; 3] = ["low", "lownoise", "ln"];
/// What follows `high` and `low` where they are about something else.
const OTHERS: [&str; 7] = ["memory", "quality", "ram", "rank", "res", "resolution", "vram"];

/// Whose transformers these are, each one or several files: the only one's, or both experts', of which one may be
/// missing. All lie below `root`.
///
/// # Errors
/// Several could be the same one, or nothing tells which is which.
pub(super) fn assign(root: &Path, transformers: Vec<Vec<PathBuf>>) -> Result<BTreeMap<Role, Vec<PathBuf>>, FileError> {
    let mut found: BTreeMap<Role, Vec<Vec<PathBuf>>> = BTreeMap::new();
    for files in transformers {
        let role = files.first().map_or(Role::Dit, |file| of(root, file));
        found.entry(role).or_default().push(files);
    }
    let unclear = found.remove(&Role::Dit).unwrap_or_default();
    if found.is_empty() && unclear.len() <= 1 {
        return Ok(BTreeMap::from([(Role::Dit, unclear.concat())]));
    }
    if !unclear.is_empty() {
        let all: Vec<PathBuf> = found.into_values().flatten().chain(unclear).flatten().collect();
        return Err(FileError::Unsupported {
            what: format!("{}: more than one transformer in {}", root.display(), names(root, &all).join(", ")),
            why:
                "nothing tells which of them is the expert of high noise and which that of low noise; if they are the \
                  two, rename them to …high_noise… and …low_noise…, and if they are not, keep one model's"
                    .to_owned(),
        });
    }
    let mut one = |role| Ok::<_, FileError>((role, only(root, found.remove(&role).unwrap_or_default())?));
    Ok(BTreeMap::from([one(Role::DitHigh)?, one(Role::DitLow)?]))
}

/// Which expert a file is said to be, by its name or, where that says nothing, by the nearest folder below `root` that
/// says it; [`Role::Dit`] if none does.
pub(super) fn of(root: &Path, file: &Path) -> Role {
    let folders = file.ancestors().skip(1).take_while(|folder| *folder != root && folder.starts_with(root));
    let stem = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    std::iter::once(stem).chain(folders.map(name)).find_map(|name| said(&name)).unwrap_or(Role::Dit)
}

/// Which expert a file's own name says, if it says one of them alone.
pub fn named(file: &Path) -> Option<Expert> {
    match said(&file.file_stem()?.to_string_lossy())? {
        Role::DitHigh => Some(Expert::High),
        _ => Some(Expert::Low),
    }
}

/// Which expert a name says, if it says one of them alone.
fn said(name: &str) -> Option<Role> {
    let words = words(name);
    let says = |known: &[&str]| {
        words.iter().enumerate().any(|(at, word)| {
            let about_another = words.get(at + 1).is_some_and(|next| OTHERS.contains(&next.as_str()));
            known.contains(&word.as_str()) && !about_another
        })
    };
    match (says(&HIGH), says(&LOW)) {
        (true, false) => Some(Role::DitHigh),
        (false, true) => Some(Role::DitLow),
        _ => None,
    }
}

/// The words of a name in lower case: what stands between other signs, cut where letters meet digits, where a capital
/// follows a small letter, and before the last of several capitals that a small letter follows.
fn words(name: &str) -> Vec<String> {
    let signs: Vec<char> = name.chars().collect();
    let mut words = vec![String::new()];
    for (at, &sign) in signs.iter().enumerate() {
        let before = at.checked_sub(1).map(|at| signs[at]);
        let small_follows = signs.get(at + 1).is_some_and(|next| next.is_lowercase());
        let begins = before.is_some_and(|before| {
            let numbers_end = before.is_numeric() != sign.is_numeric();
            numbers_end || sign.is_uppercase() && (before.is_lowercase() || before.is_uppercase() && small_follows)
        });
        if begins || !sign.is_alphanumeric() {
            words.push(String::new());
        }
        if let Some(word) = words.last_mut().filter(|_| sign.is_alphanumeric()) {
            word.extend(sign.to_lowercase());
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_the_experts_by_whole_words() {
        for (name, role) in [
            ("wan2.2_t2v_high_noise_14B_fp16.safetensors", Role::DitHigh),
            ("Wan2.2-I2V-LowNoise.safetensors", Role::DitLow),
            ("Wan2.2-T2V-A14B-HighNoise-Q8_0.gguf", Role::DitHigh),
            ("low-noise.safetensors", Role::DitLow),
            ("HIGHNOISE.gguf", Role::DitHigh),
            ("Wan2_2-T2V-A14B-HIGH_fp8_e4m3fn_scaled_KJ.safetensors", Role::DitHigh),
            ("Wan2_2-I2V-A14B-LOW_bf16.safetensors", Role::DitLow),
            ("Remix_v3_high.safetensors", Role::DitHigh),
            ("smoothMix_LN.safetensors", Role::DitLow),
            ("smoothMixHN.safetensors", Role::DitHigh),
            ("wan22Low14B.safetensors", Role::DitLow),
            ("High/model.safetensors", Role::DitHigh),
            ("t2v/low_noise/old/model.safetensors", Role::DitLow),
            ("low/wan_high.safetensors", Role::DitHigh),
            ("wan2.2_ti2v_5B_fp16.safetensors", Role::Dit),
            ("high_noise_and_low_noise.safetensors", Role::Dit),
            ("highlights.safetensors", Role::Dit),
            ("highland.safetensors", Role::Dit),
            ("flow_match.safetensors", Role::Dit),
            ("slow-motion.safetensors", Role::Dit),
            ("lowvram.safetensors", Role::Dit),
            ("wan_low_vram.safetensors", Role::Dit),
            ("HighResolution.safetensors", Role::Dit),
            ("lnx.safetensors", Role::Dit),
        ] {
            assert_eq!(of(Path::new("/models/low/t2v"), &Path::new("/models/low/t2v").join(name)), role, "{name}");
        }
    }

    #[test]
    fn a_lora_file_is_named_like_the_expert_it_is_for() {
        for (name, expert) in [
            ("wan2.2_lightx2v_high_noise_lora", Some(Expert::High)),
            ("Wan2.2-Lightning_HIGH_fp16", Some(Expert::High)),
            ("style-HN-v2", Some(Expert::High)),
            ("StyleHighNoise", Some(Expert::High)),
            ("lora_low_noise_model", Some(Expert::Low)),
            ("style_LN", Some(Expert::Low)),
            ("style_low_rank", None),
            ("highlander", None),
            ("slow-motion", None),
            ("high-and-low", None),
        ] {
            assert_eq!(named(Path::new(&format!("high/{name}.safetensors"))), expert, "{name}");
        }
    }

    #[test]
    fn what_cannot_be_told_is_asked_for() {
        let root = Path::new("/m/unet");
        let assigned = |files: &[&str]| {
            assign(root, files.iter().map(|file| vec![root.join(file)]).collect()).map_err(|error| error.to_string())
        };
        assert_eq!(assigned(&["wan.gguf"]).unwrap()[&Role::Dit], [root.join("wan.gguf")]);
        assert_eq!(assigned(&[]).unwrap()[&Role::Dit], [] as [PathBuf; 0]);
        let both = assigned(&["a_high.gguf", "a_low.gguf"]).unwrap();
        assert_eq!(
            (&both[&Role::DitHigh], &both[&Role::DitLow]),
            (&vec![root.join("a_high.gguf")], &vec![root.join("a_low.gguf")])
        );
        assert_eq!(assigned(&["a_low.gguf"]).unwrap()[&Role::DitHigh], [] as [PathBuf; 0], "on another machine");
        for files in
            [&["a1.gguf", "a2.gguf"][..], &["a1.gguf", "a_high.gguf"], &["a_high.gguf", "a_low.gguf", "x.gguf"]]
        {
            let error = assigned(files).unwrap_err();
            assert!(files.iter().all(|file| error.contains(file)), "{error}");
            assert!(error.contains("…high_noise… and …low_noise…") && !error.contains("keep one of them"), "{error}");
        }
        let error = assigned(&["a_high.gguf", "b_high.gguf", "a_low.gguf"]).unwrap_err();
        assert!(error.contains("more than one of a_high.gguf, b_high.gguf") && error.contains("keep one"), "{error}");
    }
}
