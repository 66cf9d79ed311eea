//! The models this worker can serve: what lies in its folders, for which of its roles, with the digest of every file
//! that decides a result. Not their weights in memory (`roles`).

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tracing::{info, warn};
use wanfarm_model::ModelError;
use wanfarm_model::files::{self, ModelFolder};
use wanfarm_types::{ModelFile, Role};

use crate::WorkerError;
use crate::digests::KnownDigests;
use crate::loras::Loras;
use crate::wire::Served;

/// A model and the roles served for it.
#[derive(Debug)]
pub(crate) struct Model {
    pub(crate) folder: ModelFolder,
    pub(crate) roles: Vec<(Role, Vec<ModelFile>)>,
}

impl Model {
    pub(crate) fn name(&self) -> &str {
        &self.folder.card().name
    }

    pub(crate) fn serves(&self, role: Role) -> bool {
        self.roles.iter().any(|(served, _)| *served == role)
    }

    /// A curve that was measured with other weights says nothing of these.
    fn doubt_calibration(&mut self) {
        let measured = self.folder.calibration().map(|calibration| calibration.files.clone()).unwrap_or_default();
        let here = self.roles.iter().flat_map(|(_, files)| files);
        let other = |file: &&ModelFile| measured.iter().any(|m| m.path == file.path && m.blake3 != file.blake3);
        if let Some(file) = here.into_iter().find(other) {
            warn!(model = %self.name(), "mag_ratios.json was calibrated with another {}; calibrate again", file.path);
            self.folder.forget_calibration();
        }
    }

    pub(crate) fn unusable(&self, source: ModelError) -> WorkerError {
        WorkerError::Model { model: self.name().to_owned(), source: Box::new(source) }
    }
}

/// All models served, by name.
#[derive(Debug)]
pub(crate) struct Catalog {
    models: Vec<Model>,
    loras: Arc<Loras>,
}

impl Catalog {
    /// Looks into every subfolder of the folders. What is no model is passed over; a model whose files are damaged is
    /// an error, for a farm that silently renders without it would be worse.
    pub(crate) fn discover(folders: &[PathBuf], roles: &[Role], data: &Path) -> Result<Self, WorkerError> {
        let mut digests = KnownDigests::load(data);
        let mut models: BTreeMap<String, Model> = BTreeMap::new();
        let mut passed_over = Vec::new();
        for folder in folders.iter().map(|folder| subfolders(folder)).collect::<Result<Vec<_>, _>>()?.concat() {
            let model = match files::open(&folder) {
                Ok(model) => model,
                Err(error @ ModelError::NotAModel { .. }) => {
                    passed_over.push(error.to_string());
                    continue;
                }
                Err(source) => {
                    let model = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
                    return Err(WorkerError::Model { model, source: Box::new(source) });
                }
            };
            let name = model.card().name.clone();
            if let Some(first) = models.get(&name) {
                warn!(model = %name, serving = %first.folder.path().display(), "{} is passed over", folder.display());
                continue;
            }
            let here: Vec<Role> = model.roles().into_iter().filter(|role| roles.contains(role)).collect();
            if here.is_empty() {
                let there = model.roles().iter().map(|role| role.name()).collect::<Vec<_>>().join(", ");
                passed_over.push(format!("{}: holds files for {there} only", folder.display()));
                continue;
            }
            let mut model = Model { folder: model, roles: Vec::new() };
            for role in here {
                let files = digests.of(model.folder.path(), &model.folder.files(role));
                model.roles.push((role, files.map_err(|source| model.unusable(source))?));
            }
            model.doubt_calibration();
            info!(model = %name, roles = ?model.roles.iter().map(|(role, _)| role.name()).collect::<Vec<_>>(), "found");
            models.insert(name, model);
        }
        passed_over.iter().for_each(|why| info!("passed over: {why}"));
        if models.is_empty() {
            return Err(none(folders, roles, &passed_over));
        }
        Ok(Self { models: models.into_values().collect(), loras: Arc::new(Loras::new(folders, data)) })
    }

    /// The LoRA files at hand.
    pub(crate) fn loras(&self) -> &Arc<Loras> {
        &self.loras
    }

    /// What a hello says of them.
    pub(crate) fn served(&self) -> Vec<Served> {
        let stored = |model: &Model, role: Role| {
            // Whether they can be read shows when they are loaded.
            let dtypes = model.folder.weights(role).map(|weights| weights.dtypes()).unwrap_or_default();
            let bytes = dtypes.values().map(|share| share.bytes).sum();
            let most = dtypes.into_iter().max_by_key(|(_, share)| share.elements).map(|(name, _)| name);
            (role, (most.unwrap_or_default(), bytes))
        };
        let served = |model: &Model| Served {
            card: model.folder.card().clone(),
            roles: model.roles.clone(),
            stored: model.roles.iter().map(|(role, _)| stored(model, *role)).collect(),
        };
        self.models.iter().map(served).collect()
    }

    /// Every role that some model is served for.
    pub(crate) fn roles(&self) -> Vec<Role> {
        let roles: BTreeSet<Role> = self.models.iter().flat_map(|model| &model.roles).map(|(role, _)| *role).collect();
        roles.into_iter().collect()
    }

    pub(crate) fn find(&self, name: &str) -> Option<&Model> {
        self.models.iter().find(|model| model.name() == name)
    }

    pub(crate) fn first(&self, role: Role) -> Option<&Model> {
        self.models.iter().find(|model| model.serves(role))
    }
}

/// In alphabetical order, whatever the file system's.
fn subfolders(folder: &Path) -> Result<Vec<PathBuf>, WorkerError> {
    let unreadable = |source| {
        let model = folder.display().to_string();
        WorkerError::Model { model, source: Box::new(ModelError::io(folder, source)) }
    };
    let entries = fs::read_dir(folder).map_err(unreadable)?;
    let mut found = entries.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>, _>>().map_err(unreadable)?;
    let hidden = |path: &PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
    found.retain(|path| path.is_dir() && !hidden(path));
    found.sort();
    Ok(found)
}

fn none(folders: &[PathBuf], roles: &[Role], passed_over: &[String]) -> WorkerError {
    let list = |items: Vec<String>| items.join(", ");
    let why = match passed_over {
        [] => "there is no subfolder; each model is one".to_owned(),
        reasons => reasons.join("; "),
    };
    WorkerError::NoModel {
        folder: PathBuf::from(list(folders.iter().map(|folder| folder.display().to_string()).collect())),
        roles: list(roles.iter().map(|role| role.name().to_owned()).collect()),
        why,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;
    use crate::tests::fixtures::golden;

    /// A folder of models, each a link to a golden one.
    fn shelf(models: &[(&str, &str)]) -> tempfile::TempDir {
        let shelf = tempfile::tempdir().unwrap();
        for (name, case) in models {
            std::os::unix::fs::symlink(golden(case), shelf.path().join(name)).unwrap();
        }
        shelf
    }

    #[test]
    fn only_the_files_of_the_roles_are_announced() {
        let (shelf, data) = (shelf(&[("shapes", "repo_t2v_from_prompt/official_repo")]), tempfile::tempdir().unwrap());
        fs::create_dir(shelf.path().join("notes")).unwrap();
        fs::create_dir(shelf.path().join(".cache")).unwrap();
        let folders = [shelf.path().to_owned()];
        let catalog = Catalog::discover(&folders, &[Role::DitHigh, Role::Dit], data.path()).unwrap();
        assert_eq!(catalog.roles(), [Role::DitHigh]);
        let served = catalog.served();
        assert_eq!(served[0].card.name, "shapes");
        let [(Role::DitHigh, files)] = &served[0].roles[..] else { panic!("{:?}", served[0].roles) };
        let (encoding, bytes) = &served[0].stored[&Role::DitHigh];
        assert!(encoding == "f32" && *bytes > 0, "{encoding} {bytes}");
        assert!(files.iter().all(|file| file.path.starts_with("high_noise_model/")), "{files:?}");
        assert!(files.iter().any(|file| file.path.ends_with(".safetensors")));
        assert!(catalog.find("shapes").is_some() && catalog.first(Role::Vae).is_none());
    }

    #[test]
    fn a_folder_without_a_model_says_what_is_there_instead() {
        let (shelf, data) = (shelf(&[("shapes", "e2e_t2v_1_3b/official_repo")]), tempfile::tempdir().unwrap());
        let folders = [shelf.path().to_owned()];
        let error = Catalog::discover(&folders, &[Role::DitHigh], data.path()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ModelFiles);
        assert!(error.to_string().contains("roles dit-high") && error.to_string().contains("for dit only"), "{error}");
        let error = Catalog::discover(&[shelf.path().join("nowhere")], &[Role::Dit], data.path()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ModelFiles);
    }

    #[test]
    fn a_damaged_model_is_an_error() {
        let (shelf, data) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (model, from) = (shelf.path().join("shapes"), golden("e2e_t2v_1_3b/official_repo"));
        fs::create_dir(&model).unwrap();
        fs::copy(from.join("config.json"), model.join("config.json")).unwrap();
        let name = "diffusion_pytorch_model.safetensors";
        let bytes = fs::read(from.join(name)).unwrap();
        fs::write(model.join(name), &bytes[..bytes.len() - 10]).unwrap();
        let error = Catalog::discover(&[shelf.path().to_owned()], &[Role::Dit], data.path()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ModelFiles);
        assert!(error.to_string().contains("truncated"), "{error}");
    }

    #[test]
    fn a_curve_is_announced_unless_it_was_measured_with_other_weights() {
        use wanfarm_types::{CalibratedStage, Calibration, Digest, Expert, Guidance, SolverKind};
        let (shelf, data) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (model, from) = (shelf.path().join("shapes"), golden("e2e_t2v_1_3b/official_repo"));
        fs::create_dir(&model).unwrap();
        for file in ["config.json", "diffusion_pytorch_model.safetensors"] {
            fs::copy(from.join(file), model.join(file)).unwrap();
        }
        let discover = || Catalog::discover(&[shelf.path().to_owned()], &[Role::Dit], data.path());
        let announced = || discover().unwrap().served().remove(0);
        let calibrate = |files| {
            let calibration = Calibration {
                version: Calibration::VERSION,
                steps: 2,
                shift: 8.0,
                solver: SolverKind::UniPc,
                guidance: Guidance { high: 4.0, low: 3.0 },
                width: 64,
                height: 64,
                frames: 17,
                image: false,
                device: "cpu".into(),
                dtype: "f32".into(),
                prompts: Vec::new(),
                files,
                stages: vec![CalibratedStage { expert: Expert::Single, cond: vec![0.9], uncond: vec![0.8] }],
            };
            files::write_calibration(&calibration, &files::calibration_file(&model)).unwrap();
        };
        let plain = announced();
        assert_eq!(plain.card.mag_curve, None);
        let mut measured = plain.roles[0].1.clone();
        calibrate(measured.clone());
        assert_eq!(announced().card.mag_curve.map(|curve| curve.ratios), Some(vec![[0.9, 0.8]]));
        assert_eq!(announced().roles, plain.roles, "the curve decides no bytes");
        measured[0].blake3 = Digest([0; 32]);
        calibrate(measured);
        assert_eq!(announced().card, plain.card);
        fs::write(files::calibration_file(&model), "{").unwrap();
        assert_eq!(discover().unwrap_err().kind(), ErrorKind::ModelFiles);
    }

    #[test]
    fn of_two_models_with_one_name_the_first_is_served() {
        let first = shelf(&[("shapes", "e2e_t2v_1_3b/official_repo")]);
        let second = shelf(&[("shapes", "repo_t2v_from_prompt/official_repo")]);
        let data = tempfile::tempdir().unwrap();
        let folders = [first.path().to_owned(), second.path().to_owned()];
        let catalog = Catalog::discover(&folders, &Role::ALL, data.path()).unwrap();
        assert_eq!(catalog.served().len(), 1);
        assert!(catalog.find("shapes").unwrap().folder.path().starts_with(first.path()));
    }
}
