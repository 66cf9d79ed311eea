//! Models by their names. A model is called what its folder is called, and everywhere that name is told apart by its
//! bytes: by case, whatever the disk does, but not by how a letter with an accent is put together, which nobody sees.

use std::path::PathBuf;

use wanfarm_weights::{FileError, listing, model_name};

use super::recognise::is_model;

/// The first folder of this name in these folders of models, as it is spelled on the disk.
///
/// # Errors
/// There is one of the same name but for its case, or one of the folders is a model itself.
pub fn find(folders: &[PathBuf], name: &str) -> Result<Option<PathBuf>, FileError> {
    let wanted = model_name(name);
    let mut other = None;
    for folder in folders {
        for path in listing::entries(folder)?.into_iter().filter(|path| path.is_dir()) {
            let found = model_name(&listing::name(&path));
            if found == wanted {
                return Ok(Some(path));
            }
            if found.to_lowercase() == wanted.to_lowercase() {
                other.get_or_insert((path, found));
            }
        }
    }
    if let Some((folder, found)) = other {
        let why = format!("{found} is not {wanted}, for names are told apart by case; write model = {found:?}");
        return Err(FileError::NotAModel { folder, why });
    }
    match folders.iter().find(|folder| is_model(folder)) {
        Some(folder) => Err(FileError::ItselfAModel { folder: folder.clone() }),
        None => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_told_apart_by_case_and_not_by_its_normal_form() {
        let (first, second) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        for (dir, name) in
            [(&first, "wan-tiny"), (&first, "e\u{301}te\u{301}"), (&second, "Wan-Tiny"), (&second, ".hidden")]
        {
            std::fs::create_dir(dir.path().join(name)).unwrap();
        }
        std::fs::write(first.path().join("file"), "").unwrap();
        let folders = [first.path().to_owned(), second.path().to_owned(), first.path().join("nowhere")];
        assert_eq!(find(&folders, "wan-tiny").unwrap(), Some(first.path().join("wan-tiny")));
        assert_eq!(find(&folders, "Wan-Tiny").unwrap(), Some(second.path().join("Wan-Tiny")));
        assert_eq!(find(&folders, "\u{e9}t\u{e9}").unwrap(), Some(first.path().join("e\u{301}te\u{301}")));
        for absent in ["file", ".hidden", "wan", ""] {
            assert_eq!(find(&folders, absent).unwrap(), None, "{absent}");
        }
        let error = find(&folders, "WAN-TINY").unwrap_err().to_string();
        assert!(error.contains("wan-tiny is not WAN-TINY") && error.contains("write model = \"wan-tiny\""), "{error}");
    }
}
