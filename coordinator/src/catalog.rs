//! The models that workers have announced: what they are, and which files stand behind each role.
//!
//! The first announcement of a name decides what it means for as long as this process runs.

use std::collections::BTreeMap;

use wanfarm_types::{Digest, ModelCard, ModelFile, Role};

/// A model and everything known about its files.
#[derive(Debug, Clone)]
pub struct Model {
    /// What it is.
    pub card: ModelCard,
    files: BTreeMap<Role, Vec<ModelFile>>,
}

/// Models by name.
#[derive(Debug, Default)]
pub struct Catalog {
    models: BTreeMap<String, Model>,
}

/// One model as one worker serves it.
#[derive(Debug, Clone)]
pub struct Announcement {
    /// What the folder was recognised as.
    pub card: ModelCard,
    /// The roles the worker serves, with their files.
    pub roles: Vec<(Role, Vec<ModelFile>)>,
}

impl Catalog {
    /// Takes in what a worker announced; true when the model was not known before.
    ///
    /// # Errors
    /// When the name already stands for a model of another kind.
    pub fn announce(&mut self, announcement: &Announcement) -> Result<bool, String> {
        let name = &announcement.card.name;
        let new = !self.models.contains_key(name);
        let model = self
            .models
            .entry(name.clone())
            .or_insert_with(|| Model { card: announcement.card.clone(), files: BTreeMap::new() });
        if model.card != announcement.card {
            return Err(format!(
                "model {name} is {} with other settings here than on the other workers ({}); \
                 copy the same model folder to every worker",
                announcement.card.preset, model.card.preset
            ));
        }
        for (role, files) in &announcement.roles {
            model.files.entry(*role).or_insert_with(|| files.clone());
        }
        Ok(new)
    }

    /// A model by name.
    pub fn get(&self, name: &str) -> Option<&Model> {
        self.models.get(name)
    }
}

impl Model {
    /// Every file known to take part in a render, once, in order of path.
    pub fn files(&self) -> Vec<ModelFile> {
        let mut files: Vec<ModelFile> = self.files.values().flatten().cloned().collect();
        files.sort();
        files.dedup();
        files
    }
}

/// One digest for all files of a role: equal exactly when path and content of every file are.
pub fn fingerprint(files: &[ModelFile]) -> Digest {
    let mut sorted: Vec<_> = files.iter().collect();
    sorted.sort();
    let mut hasher = blake3::Hasher::new();
    for file in sorted {
        hasher.update(&(file.path.len() as u64).to_le_bytes());
        hasher.update(file.path.as_bytes());
        hasher.update(&file.blake3.0);
    }
    Digest(*hasher.finalize().as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::tests::card;
    use wanfarm_types::Experts;

    fn file(path: &str, byte: u8) -> ModelFile {
        ModelFile { path: path.into(), blake3: Digest([byte; 32]) }
    }

    #[test]
    fn a_name_means_one_model() {
        let mut catalog = Catalog::default();
        let announcement =
            Announcement { card: card(Experts::Single), roles: vec![(Role::Vae, vec![file("vae.pth", 1)])] };
        assert_eq!(catalog.announce(&announcement), Ok(true));
        assert_eq!(catalog.announce(&announcement), Ok(false));
        let other = Announcement { card: card(Experts::Dual { boundary: 0.9 }), ..announcement };
        assert!(catalog.announce(&other).is_err());
        assert_eq!(catalog.get("m").unwrap().files(), [file("vae.pth", 1)]);
    }

    #[test]
    fn a_fingerprint_sees_every_file_and_no_order() {
        let (a, b) = (file("a", 1), file("b", 2));
        assert_eq!(fingerprint(&[a.clone(), b.clone()]), fingerprint(&[b.clone(), a.clone()]));
        assert_ne!(fingerprint(&[a.clone(), b]), fingerprint(&[a, file("b", 3)]));
    }
}
