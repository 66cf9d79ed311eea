//! The files of one network: a single file, or shards with or without an index; also under the names of a variant, as
//! in `model.fp16.safetensors` and `model-00001-of-00006-bf16.safetensors`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use crate::config_file::ConfigFile;
use crate::error::{FileError, listed};
use crate::listing::{entries, name, names};

/// How the names of variants begin that are the same network in another element type.
const VARIANTS: [&str; 6] = ["fp8", "fp16", "fp32", "f16", "f32", "bf16"];

/// Finds `{stem}.safetensors`, the shards that `{stem}.safetensors.index.json` names, shards
/// `{stem}-00001-of-000NN.safetensors`, or a variant of these.
///
/// Empty if there are none at all, which is how a machine looks that holds other parts of the model.
///
/// # Errors
/// Some shards are there and others are not; there are several variants; or the index is damaged.
pub fn find(folder: &Path, stem: &str) -> Result<Vec<PathBuf>, FileError> {
    let single = folder.join(format!("{stem}.safetensors"));
    if single.is_file() {
        return Ok(vec![single]);
    }
    let index = folder.join(format!("{stem}.safetensors.index.json"));
    if index.is_file() {
        let shards: Vec<PathBuf> = indexed(&index)?.iter().map(|name| folder.join(name)).collect();
        // Where none of them is there, files may have been renamed and the index not.
        if shards.iter().any(|shard| shard.is_file()) {
            return complete(folder, shards);
        }
    }
    let mut variants: BTreeMap<String, Vec<PathBuf>> = BTreeMap::new();
    for file in entries(folder)?.into_iter().filter(|path| path.is_file()) {
        if let Some(variant) = variant(&name(&file), stem) {
            variants.entry(variant).or_default().push(file);
        }
    }
    // What says nothing of a variant is meant before those that do.
    let plain = variants.remove("");
    let sets = plain.map_or_else(|| variants.into_values().collect(), |plain| vec![plain]);
    only(folder, sets.into_iter().map(networks).collect::<Result<Vec<_>, _>>()?.concat())
}

/// Puts the shards of each network together; every other file is one by itself.
///
/// # Errors
/// Some shards of a network are there and others are not.
pub fn networks(files: Vec<PathBuf>) -> Result<Vec<Vec<PathBuf>>, FileError> {
    let (mut networks, mut sets) = (Vec::new(), BTreeSet::new());
    for file in files {
        match Numbering::of(&name(&file)) {
            Some(numbering) => _ = sets.insert((file.parent().unwrap_or(&file).to_owned(), numbering)),
            None => networks.push(vec![file]),
        }
    }
    for (folder, Numbering { before, count, after }) in sets {
        let shards = (1..=count).map(|i| folder.join(format!("{before}-{i:05}-of-{count:05}{after}"))).collect();
        networks.push(complete(&folder, shards)?);
    }
    Ok(networks)
}

/// The files of the one network of its kind that there is, if there is one.
///
/// # Errors
/// There are several.
pub fn only(root: &Path, networks: Vec<Vec<PathBuf>>) -> Result<Vec<PathBuf>, FileError> {
    if networks.len() > 1 {
        let what = format!("{}: more than one of {}", root.display(), names(root, &networks.concat()).join(", "));
        return Err(FileError::Unsupported { what, why: "each could be the one to use; keep one of them".to_owned() });
    }
    Ok(networks.concat())
}

/// These files, if all are there.
fn complete(folder: &Path, shards: Vec<PathBuf>) -> Result<Vec<PathBuf>, FileError> {
    let missing: Vec<String> = shards.iter().filter(|shard| !shard.is_file()).map(|shard| name(shard)).collect();
    if missing.is_empty() {
        return Ok(shards);
    }
    let why = format!("{} of its shards are missing: {}; download them", missing.len(), listed(&missing));
    Err(FileError::Incomplete { folder: folder.to_owned(), why })
}

/// What all shards of a network have in their names: what stands before and after the number, and how many there are.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Numbering {
    before: String,
    count: u32,
    after: String,
}

impl Numbering {
    /// Of `before-00001-of-00006after`.
    fn of(name: &str) -> Option<Self> {
        let (left, right) = name.rsplit_once("-of-")?;
        let (before, number) = left.rsplit_once('-')?;
        let (count, after) = right.split_at_checked(5)?;
        let digits = |text: &str| text.len() == 5 && text.bytes().all(|byte| byte.is_ascii_digit());
        let count = count.parse().ok().filter(|_| digits(number) && digits(count))?;
        Some(Self { before: before.to_owned(), count, after: after.to_owned() })
    }
}

/// The variant that a file of this stem is, empty if its name says none; `None` for another file.
fn variant(name: &str, stem: &str) -> Option<String> {
    let rest = name.strip_prefix(stem)?.strip_suffix(".safetensors")?;
    let rest = Numbering::of(rest).map_or_else(|| rest.to_owned(), |numbering| numbering.before + &numbering.after);
    let is_known = |variant: &str| VARIANTS.iter().any(|known| variant.starts_with(known));
    (rest.is_empty() || rest.strip_prefix(['.', '-', '_']).is_some_and(is_known)).then_some(rest)
}

/// The shards an index names.
fn indexed(index: &Path) -> Result<BTreeSet<String>, FileError> {
    let file = ConfigFile::read(index)?;
    let map = file.value("weight_map").and_then(|map| map.as_object());
    let map = map.ok_or_else(|| file.wrong("there is no weight_map"))?;
    let plain = |name: &str| Path::new(name).file_name().is_some_and(|plain| plain == name);
    let shard = |(tensor, name): (&String, &serde_json::Value)| match name.as_str() {
        Some(name) if plain(name) => Ok(name.to_owned()),
        _ => Err(file.wrong(format!("{tensor} is said to be in {name}, which is not a file name"))),
    };
    map.iter().map(shard).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn names(files: Vec<PathBuf>) -> Vec<String> {
        files.iter().map(|path| name(path)).collect()
    }

    #[test]
    fn numbered_shards_are_complete_or_an_error() {
        let dir = tempfile::tempdir().unwrap();
        assert!(find(dir.path(), "m").unwrap().is_empty());
        assert!(find(&dir.path().join("nowhere"), "m").unwrap().is_empty());
        for name in ["m-00001-of-00003.safetensors", "m-00002-of-00003.safetensors", "other.safetensors"] {
            fs::write(dir.path().join(name), "").unwrap();
        }
        let message = find(dir.path(), "m").unwrap_err().to_string();
        assert!(message.contains("m-00003-of-00003.safetensors") && !message.contains("00001-of"), "{message}");
        fs::write(dir.path().join("m-00003-of-00003.safetensors"), "").unwrap();
        assert_eq!(find(dir.path(), "m").unwrap().len(), 3);
        fs::write(dir.path().join("m.safetensors"), "").unwrap();
        assert_eq!(names(find(dir.path(), "m").unwrap()), ["m.safetensors"]);
    }

    #[test]
    fn an_index_names_its_shards() {
        let dir = tempfile::tempdir().unwrap();
        let index = dir.path().join("m.safetensors.index.json");
        fs::write(&index, r#"{"weight_map": {"a": "x.safetensors", "b": "y.safetensors", "c": "x.safetensors"}}"#)
            .unwrap();
        assert!(find(dir.path(), "m").unwrap().is_empty());
        fs::write(dir.path().join("y.safetensors"), "").unwrap();
        assert!(find(dir.path(), "m").unwrap_err().to_string().contains("x.safetensors"));
        fs::write(dir.path().join("x.safetensors"), "").unwrap();
        assert_eq!(names(find(dir.path(), "m").unwrap()), ["x.safetensors", "y.safetensors"]);
        fs::write(&index, r#"{"weight_map": {"a": "../x.safetensors"}}"#).unwrap();
        assert!(find(dir.path(), "m").unwrap_err().to_string().contains("not a file name"));
    }

    #[test]
    fn variants_stand_in_where_the_plain_files_are_not_there() {
        let found = |files: &[&str]| {
            let dir = tempfile::tempdir().unwrap();
            files.iter().for_each(|file| fs::write(dir.path().join(file), "").unwrap());
            find(dir.path(), "m").map(names).map_err(|error| error.to_string())
        };
        for files in [
            &["m.fp16.safetensors"][..],
            &["m_fp8_e4m3fn.safetensors"],
            &["m-00001-of-00002-bf16.safetensors", "m-00002-of-00002-bf16.safetensors"],
            &["m-00001-of-00002.fp16.safetensors", "m-00002-of-00002.fp16.safetensors"],
            &["m.fp16-00001-of-00001.safetensors"],
        ] {
            assert_eq!(found(files).unwrap(), files);
            assert_eq!(found(&[files, &["m.safetensors"]].concat()).unwrap(), ["m.safetensors"]);
            assert_eq!(found(&[files, &["._m.safetensors", "m.pdf.safetensors"]].concat()).unwrap(), files);
        }
        let plain = ["m-00001-of-00001.safetensors"];
        assert_eq!(found(&[plain[0], "m.fp16.safetensors"]).unwrap(), plain);
        let error = found(&["m.fp16.safetensors", "m.bf16.safetensors"]).unwrap_err();
        assert!(error.contains("more than one of m.bf16.safetensors, m.fp16.safetensors"), "{error}");
        let error = found(&["m-00001-of-00003-bf16.safetensors"]).unwrap_err();
        assert!(error.contains("2 of its shards are missing: m-00002-of-00003-bf16.safetensors"), "{error}");
        assert!(found(&["mm.safetensors", "m_ema.safetensors", "m-1-of-2.safetensors"]).unwrap().is_empty());
    }

    #[test]
    fn an_index_of_files_that_were_renamed_is_passed_over() {
        let dir = tempfile::tempdir().unwrap();
        let index = r#"{"weight_map": {"a": "m-00001-of-00001.safetensors"}}"#;
        fs::write(dir.path().join("m.safetensors.index.json"), index).unwrap();
        fs::write(dir.path().join("m-00001-of-00001-bf16.safetensors"), "").unwrap();
        assert_eq!(names(find(dir.path(), "m").unwrap()), ["m-00001-of-00001-bf16.safetensors"]);
    }

    #[test]
    fn shards_are_one_network() {
        let dir = tempfile::tempdir().unwrap();
        let files = ["a.gguf", "b-00001-of-00002.gguf", "b-00002-of-00002.gguf"].map(|name| dir.path().join(name));
        files.iter().for_each(|file| fs::write(file, "").unwrap());
        let found: Vec<_> = networks(files.to_vec()).unwrap().into_iter().map(names).collect();
        assert_eq!(found, [vec!["a.gguf"], vec!["b-00001-of-00002.gguf", "b-00002-of-00002.gguf"]]);
        fs::remove_file(&files[1]).unwrap();
        let error = networks(vec![files[2].clone()]).unwrap_err().to_string();
        assert!(error.contains("1 of its shards are missing: b-00001-of-00002.gguf"), "{error}");
    }
}
