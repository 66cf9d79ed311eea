//! The models that workers have announced: what they are, and which files stand behind each role.
//!
//! A name means one model for as long as a job is rendered with it or another worker serves it; after that an
//! announcement may change its meaning. Files are kept by their fingerprint, so that a sidecar names those it was
//! rendered with.

use std::collections::BTreeMap;

use wanfarm_types::{Digest, ModelFile, ModelInfo, Role, ServedModel, ServedRole};

use crate::store::Row;

/// A model and everything known about its files.
#[derive(Debug, Clone)]
pub struct Model {
    /// The model.
    pub info: ModelInfo,
    files: BTreeMap<(Role, Digest), Vec<ModelFile>>,
}

/// Models by name.
#[derive(Debug, Default)]
pub struct Catalog {
    models: BTreeMap<String, Model>,
}

impl Catalog {
    /// What is new in what a worker serves. `in_use`: a job or another worker relies on what the name means now.
    ///
    /// # Errors
    /// When the name already stands for a model of another kind.
    pub fn news(&self, served: &ServedModel, in_use: bool) -> Result<Vec<Row>, String> {
        let info = &served.info;
        let known = self.models.get(&info.name);
        let mut news = Vec::new();
        match known {
            Some(known) if known.info == *info => {}
            // A curve travels with the videos that follow it, so workers need not have it; one is enough to know it. A tiny
            // autoencoder only those that decode need.
            Some(known) if in_use && known.info.is_model_of(info) => {
                let decodes = served.roles.iter().any(|served| served.role == Role::Vae);
                let both = known.info.and(info, decodes);
                if both != known.info {
                    news.push(Row::Model(both));
                }
            }
            Some(known) if in_use => {
                return Err(format!(
                    "model {} is {} with other settings here than on the other workers ({}); \
                     copy the same model folder to every worker",
                    info.name, info.preset, known.info.preset
                ));
            }
            _ => news.push(Row::Model(info.clone())),
        }
        for ServedRole { role, files, .. } in &served.roles {
            let weights = fingerprint(files);
            if !known.is_some_and(|known| known.files.contains_key(&(*role, weights))) {
                news.push(Row::Weights { model: info.name.clone(), role: *role, weights, files: files.clone() });
            }
        }
        Ok(news)
    }

    /// Sets the info of a model.
    pub fn set_info(&mut self, info: &ModelInfo) {
        let new = || Model { info: info.clone(), files: BTreeMap::new() };
        self.models.entry(info.name.clone()).or_insert_with(new).info = info.clone();
    }

    /// Adds the files of a role.
    pub fn add_files(&mut self, model: &str, role: Role, weights: Digest, files: &[ModelFile]) {
        if let Some(model) = self.models.get_mut(model) {
            model.files.insert((role, weights), files.to_vec());
        }
    }

    /// Forgets a model that nothing names.
    pub fn forget(&mut self, model: &str) {
        self.models.remove(model);
    }

    /// The names of all models.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.models.keys().map(String::as_str)
    }

    /// What is known of each of them.
    pub fn infos(&self) -> impl Iterator<Item = &ModelInfo> {
        self.models.values().map(|model| &model.info)
    }

    /// Each role's files of each model, with the digest of all of them: several where workers had several.
    pub fn versions(&self) -> impl Iterator<Item = (&ModelInfo, Role, Digest, &[ModelFile])> {
        self.models.values().flat_map(|model| {
            let files = model.files.iter();
            files.map(move |((role, weights), files)| (&model.info, *role, *weights, files.as_slice()))
        })
    }

    /// A model by name.
    pub fn get(&self, name: &str) -> Option<&Model> {
        self.models.get(name)
    }
}

impl Model {
    /// The files that take part in a render with these weights, once, in order of path.
    pub fn files(&self, weights: &BTreeMap<Role, Digest>) -> Vec<ModelFile> {
        let of_role = |(&role, &weights): (&Role, &Digest)| self.files.get(&(role, weights));
        let mut files: Vec<ModelFile> = weights.iter().filter_map(of_role).flatten().cloned().collect();
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
    use wanfarm_types::fixtures::info;
    use wanfarm_types::{Experts, Footprint, OwnCurve, SolverKind, TinyVae};

    fn file(path: &str, byte: u8) -> ModelFile {
        ModelFile { path: path.into(), blake3: Digest([byte; 32]) }
    }

    fn role(role: Role, file: ModelFile) -> ServedRole {
        ServedRole { role, files: vec![file], encoding: "bf16".into(), bytes: 1, footprint: Footprint::default() }
    }

    /// Applies what is new, as its rows will.
    fn announce(catalog: &mut Catalog, served: &ServedModel, in_use: bool) -> Result<usize, String> {
        let news = catalog.news(served, in_use)?;
        for row in &news {
            match row {
                Row::Model(info) => catalog.set_info(info),
                Row::Weights { model, role, weights, files } => catalog.add_files(model, *role, *weights, files),
                other => panic!("{other:?}"),
            }
        }
        Ok(news.len())
    }

    #[test]
    fn a_name_means_one_model_while_it_is_used() {
        let mut catalog = Catalog::default();
        let announcement = ServedModel {
            info: info(Experts::Single),
            roles: vec![role(Role::Vae, file("vae.pth", 1))],
            beside: Vec::new(),
        };
        assert_eq!(announce(&mut catalog, &announcement, false), Ok(2));
        assert_eq!(announce(&mut catalog, &announcement, true), Ok(0));
        let other = ServedModel { info: info(Experts::Dual { boundary: 0.9 }), ..announcement };
        assert!(announce(&mut catalog, &other, true).is_err());
        assert_eq!(catalog.get("m").unwrap().info, info(Experts::Single));
        assert_eq!(announce(&mut catalog, &other, false), Ok(1));
        assert_eq!(catalog.get("m").unwrap().info, other.info);
    }

    #[test]
    fn a_curve_that_one_worker_has_is_enough() {
        let curve =
            |ratio| Some(OwnCurve { steps: 2, shift: 8.0, solver: SolverKind::UniPc, ratios: vec![[ratio; 2]] });
        let plain = ServedModel { info: info(Experts::Single), roles: Vec::new(), beside: Vec::new() };
        let with = |ratio| ServedModel {
            info: ModelInfo { mag_curve: curve(ratio), ..plain.info.clone() },
            roles: Vec::new(),
            beside: Vec::new(),
        };
        let mut catalog = Catalog::default();
        assert_eq!(announce(&mut catalog, &plain, false), Ok(1));
        assert_eq!(announce(&mut catalog, &with(0.9), true), Ok(1));
        for later in [plain.clone(), with(0.8)] {
            assert_eq!(announce(&mut catalog, &later, true), Ok(0), "the first stays while it is used");
            assert_eq!(catalog.get("m").unwrap().info.mag_curve, curve(0.9));
        }
        assert_eq!(announce(&mut catalog, &plain, false), Ok(1));
        assert_eq!(catalog.get("m").unwrap().info, plain.info);
    }

    #[test]
    fn the_tiny_autoencoder_is_that_of_those_who_decode() {
        let plain = ServedModel { info: info(Experts::Single), roles: Vec::new(), beside: Vec::new() };
        let with = |byte, roles: &[Role]| {
            let tiny = TinyVae::Here { file: "t".into(), blake3: Digest([byte; 32]) };
            let roles = roles.iter().map(|of| role(*of, file("vae.pth", 1))).collect();
            ServedModel { info: ModelInfo { tiny_vae: Some(tiny), ..plain.info.clone() }, roles, beside: Vec::new() }
        };
        let mut catalog = Catalog::default();
        announce(&mut catalog, &plain, false).unwrap();
        let mut tiny_after = |served: &ServedModel| {
            announce(&mut catalog, served, true).unwrap();
            catalog.get("m").unwrap().info.tiny_vae.as_ref().and_then(TinyVae::blake3).map(|digest| digest.0[0])
        };
        assert_eq!(tiny_after(&with(1, &[])), Some(1), "one that may decode later");
        assert_eq!(tiny_after(&with(2, &[Role::Vae])), Some(2));
        assert_eq!(tiny_after(&with(3, &[Role::Dit])), Some(2));
        assert_eq!(tiny_after(&plain), Some(2));
        let unfit = ModelInfo { tiny_vae: Some(TinyVae::Unfit("no".into())), ..plain.info.clone() };
        assert_eq!(tiny_after(&ServedModel { info: unfit, ..with(0, &[Role::Vae]) }), Some(2));
    }

    #[test]
    fn the_files_of_a_render_are_those_of_its_weights() {
        let mut catalog = Catalog::default();
        for byte in [1, 2] {
            let roles = vec![role(Role::Vae, file("vae.pth", byte)), role(Role::Dit, file("dit.pth", byte))];
            announce(&mut catalog, &ServedModel { info: info(Experts::Single), roles, beside: Vec::new() }, false)
                .unwrap();
        }
        let weights = |byte| [(Role::Vae, fingerprint(&[file("vae.pth", byte)]))].into();
        assert_eq!(catalog.get("m").unwrap().files(&weights(1)), [file("vae.pth", 1)]);
        assert_eq!(catalog.get("m").unwrap().files(&weights(2)), [file("vae.pth", 2)]);
    }

    #[test]
    fn a_fingerprint_sees_every_file_and_no_order() {
        let (a, b) = (file("a", 1), file("b", 2));
        assert_eq!(fingerprint(&[a.clone(), b.clone()]), fingerprint(&[b.clone(), a.clone()]));
        assert_ne!(fingerprint(&[a.clone(), b]), fingerprint(&[a, file("b", 3)]));
    }
}
