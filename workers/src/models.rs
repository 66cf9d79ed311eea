//! The models this worker can serve: what lies in its folders, for which of its roles, with the digest of every file
//! that decides a result. Not their weights in memory (`roles`).

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use candle_core::DType;
use tracing::{info, warn};
use wanfarm_model::ModelError;
use wanfarm_model::folder::{self, ModelFolder};
use wanfarm_model::ops::device::DeviceKind;
use wanfarm_types::{Footprint, ItemSize, ModelFile, ModelRole, Role, ServedModel, ServedRole, Size};
use wanfarm_weights::FileError;

use crate::WorkerError;
use crate::digests::KnownDigests;
use crate::holdings::ModelFiles;
use crate::loras::{self, Loras};

/// Characters of the reason given for one skipped folder.
const MAX_REASON_CHARS: usize = 240;
/// Skipped folders that are listed when no model is found.
const MAX_LISTED: usize = 5;

/// A model and the roles served for it.
#[derive(Debug)]
pub(crate) struct Model {
    pub(crate) folder: ModelFolder,
    pub(crate) roles: Vec<FoundRole>,
    /// What says what it is.
    beside: Vec<ModelFile>,
}

/// A role of a model that can be served.
#[derive(Debug)]
pub(crate) struct FoundRole {
    role: Role,
    files: Vec<ModelFile>,
    footprint: Footprint,
}

/// What is looked for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wish<'w> {
    /// Names of models; empty: all that are there.
    pub(crate) only: &'w [String],
    pub(crate) roles: &'w [Role],
    /// Where it is to run, and the type of the transformers' products there.
    pub(crate) device: DeviceKind,
    pub(crate) dtype: DType,
}

impl Model {
    /// The model in a folder, with those of the roles whose files are here, and whole.
    fn look(folder: &Path, wish: Wish<'_>, digests: &mut KnownDigests) -> Result<Self, ModelError> {
        let folder = folder::open(folder)?;
        let beside = digests.of(folder.path(), &folder.beside())?;
        let mut model = Self { folder, roles: Vec::new(), beside };
        for role in model.folder.roles().into_iter().filter(|role| wish.roles.contains(role)) {
            model.folder.check(role)?;
            let footprint = model.folder.footprint(role, wish.device, wish.dtype)?;
            let files = digests.of(model.folder.path(), &model.folder.files(role))?;
            model.roles.push(FoundRole { role, files, footprint });
        }
        model.doubt_calibration();
        Ok(model)
    }

    pub(crate) fn name(&self) -> &str {
        &self.folder.info().name
    }

    pub(crate) fn serves(&self, role: Role) -> bool {
        self.found(role).is_some()
    }

    /// One of its roles by name.
    pub(crate) fn role(&self, role: Role) -> ModelRole {
        ModelRole { model: self.name().to_owned(), role }
    }

    /// What a role takes; nothing, if it is not served.
    pub(crate) fn footprint(&self, role: Role) -> Footprint {
        self.found(role).map(|found| found.footprint).unwrap_or_default()
    }

    fn found(&self, role: Role) -> Option<&FoundRole> {
        self.roles.iter().find(|found| found.role == role)
    }

    /// A curve that was measured with other weights says nothing of these.
    fn doubt_calibration(&mut self) {
        let measured = self.folder.calibration().map(|calibration| calibration.files.clone()).unwrap_or_default();
        let here = self.roles.iter().flat_map(|found| &found.files);
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
    /// Looks into every subfolder of the folders, or for the models of these names alone. What is asked for by name
    /// must be usable; of all others, what is no model or a damaged one is passed over, with a warning: people keep
    /// other things in such folders, and downloads under way, which the models beside them must not wait for.
    pub(crate) fn discover(folders: &[PathBuf], wish: Wish<'_>, data: &Path) -> Result<Self, WorkerError> {
        let Wish { only, roles, .. } = wish;
        let mut digests = KnownDigests::load(data);
        let mut models: BTreeMap<String, Model> = BTreeMap::new();
        let mut passed_over = Vec::new();
        for folder in places(folders, only)? {
            let model = match Model::look(&folder, wish, &mut digests) {
                Ok(model) => model,
                Err(source) if !only.is_empty() => return Err(unusable(&folder, source)),
                Err(error) => {
                    passed_over.push(brief(&folder, &error));
                    warn!("passed over: {}", brief(&folder, &error));
                    continue;
                }
            };
            if let Some(first) = models.get(model.name()) {
                let serving = first.folder.path().display();
                warn!(model = %model.name(), %serving, "{} is passed over", folder.display());
            } else if model.roles.is_empty() {
                let there = model.folder.roles().iter().map(|role| role.name()).collect::<Vec<_>>().join(", ");
                passed_over.push(format!("{}: holds files for {there} only", folder.display()));
                info!("passed over: {}: holds files for {there} only", folder.display());
            } else {
                let roles: Vec<&str> = model.roles.iter().map(|found| found.role.name()).collect();
                info!(model = %model.name(), ?roles, "found");
                models.insert(model.name().to_owned(), model);
            }
        }
        if models.is_empty() {
            return Err(none(folders, roles, &passed_over));
        }
        Ok(Self { models: models.into_values().collect(), loras: Arc::new(Loras::new(folders, data)) })
    }

    /// Leaves out the roles that exceed this budget whatever an item's size.
    ///
    /// # Errors
    /// None is left.
    pub(crate) fn fit(mut self, budget: Size) -> Result<Self, WorkerError> {
        let mut needs = Vec::new();
        for model in &mut self.models {
            let name = model.name().to_owned();
            model.roles.retain(|found| {
                let least = Size(found.footprint.needs(ItemSize::default()));
                let fits = least <= budget;
                if !fits {
                    let role = found.role;
                    warn!(
                        "{role} of {name} is not served: it needs more than {least} of memory, the budget is {budget}; \
                         weights in Q8_0 need about half of bf16's memory, another machine may have more"
                    );
                    needs.push((least, format!("{role} of {name} needs more than {least}")));
                }
                fits
            });
        }
        self.models.retain(|model| !model.roles.is_empty());
        if self.models.is_empty() {
            needs.sort();
            let needs: Vec<String> = needs.into_iter().map(|(_, words)| words).collect();
            return Err(WorkerError::Settings(format!(
                "a memory budget of {budget} is too small for every role: {}; give more with --memory, take weights in \
                 Q8_0, or another machine",
                needs.join(", ")
            )));
        }
        Ok(self)
    }

    /// The LoRA files at hand.
    pub(crate) fn loras(&self) -> &Arc<Loras> {
        &self.loras
    }

    /// The files of the models that are served.
    pub(crate) fn files(&self) -> ModelFiles {
        let served = self.served();
        ModelFiles::of(served.iter().zip(&self.models).map(|(served, model)| (served, model.folder.path())))
    }

    /// What a hello says of them.
    pub(crate) fn served(&self) -> Vec<ServedModel> {
        let role = |model: &Model, found: &FoundRole| {
            let role = found.role;
            // Whether they can be read shows when they are loaded.
            let dtypes = model.folder.weights(role).map(|weights| weights.files().dtypes()).unwrap_or_default();
            let bytes = dtypes.values().map(|share| share.bytes).sum();
            let most = dtypes.into_iter().max_by_key(|(_, share)| share.elements).map(|(name, _)| name);
            ServedRole {
                role,
                files: found.files.clone(),
                encoding: most.unwrap_or_default(),
                bytes,
                footprint: found.footprint,
            }
        };
        let served = |model: &Model| ServedModel {
            info: model.folder.info().clone(),
            roles: model.roles.iter().map(|found| role(model, found)).collect(),
            beside: model.beside.clone(),
        };
        self.models.iter().map(served).collect()
    }

    /// Every role that some model is served for.
    pub(crate) fn roles(&self) -> Vec<Role> {
        let roles: BTreeSet<Role> = self.models.iter().flat_map(|model| &model.roles).map(|found| found.role).collect();
        roles.into_iter().collect()
    }

    pub(crate) fn find(&self, name: &str) -> Option<&Model> {
        self.models.iter().find(|model| model.name() == name)
    }

    pub(crate) fn first(&self, role: Role) -> Option<&Model> {
        self.models.iter().find(|model| model.serves(role))
    }
}

/// Where to look: the folders of these names, or every subfolder, in alphabetical order whatever the file system's.
fn places(folders: &[PathBuf], only: &[String]) -> Result<Vec<PathBuf>, WorkerError> {
    let mut places = Vec::new();
    for name in only {
        let found = folder::find(folders, name);
        let found =
            found.map_err(|source| WorkerError::Model { model: name.clone(), source: Box::new(source.into()) })?;
        places.extend(found);
    }
    for folder in folders.iter().filter(|_| only.is_empty()) {
        if folder::is_model(folder) {
            return Err(unusable(folder, FileError::ItselfAModel { folder: folder.clone() }.into()));
        }
        let entries = fs::read_dir(folder).and_then(|entries| entries.collect::<Result<Vec<_>, _>>());
        let entries = entries.map_err(|source| unusable(folder, FileError::io(folder, source).into()))?;
        let mut found: Vec<PathBuf> = entries.into_iter().map(|entry| entry.path()).collect();
        let name = |path: &PathBuf| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        found.retain(|path| {
            path.is_dir() && !name(path).starts_with('.') && ![loras::FOLDER, folder::TINY_VAES].contains(&&*name(path))
        });
        found.sort();
        places.extend(found);
    }
    Ok(places)
}

fn unusable(folder: &Path, source: ModelError) -> WorkerError {
    let model = folder.file_name().unwrap_or(folder.as_os_str()).to_string_lossy().into_owned();
    WorkerError::Model { model, source: Box::new(source) }
}

/// In one line: what is wrong with something that is passed over.
fn brief(folder: &Path, error: &ModelError) -> String {
    match error {
        ModelError::File(FileError::NotAModel { .. }) => format!("{}: no Wan model", folder.display()),
        error => {
            let text = error.to_string();
            let short: String = text.chars().take(MAX_REASON_CHARS).collect();
            if short.len() < text.len() { format!("{short}…") } else { text }
        }
    }
}

fn none(folders: &[PathBuf], roles: &[Role], passed_over: &[String]) -> WorkerError {
    let list = |items: Vec<String>| items.join(", ");
    let mut why: Vec<String> = passed_over.iter().take(MAX_LISTED).cloned().collect();
    match passed_over.len().saturating_sub(MAX_LISTED) {
        _ if passed_over.is_empty() => why.push("there is no subfolder; each model is one".to_owned()),
        0 => {}
        more => why.push(format!("{more} more")),
    }
    WorkerError::NoModel {
        folder: PathBuf::from(list(folders.iter().map(|folder| folder.display().to_string()).collect())),
        roles: list(roles.iter().map(|role| role.name().to_owned()).collect()),
        why: why.join("; "),
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

    /// Serves the models on these shelves, with nothing remembered.
    fn discover(shelves: &[&Path], only: &[&str], roles: &[Role]) -> Result<Catalog, WorkerError> {
        let folders: Vec<PathBuf> = shelves.iter().map(|shelf| shelf.to_path_buf()).collect();
        let only: Vec<String> = only.iter().map(|&name| name.to_owned()).collect();
        let wish = Wish { only: &only, roles, device: DeviceKind::Cpu, dtype: DType::F32 };
        Catalog::discover(&folders, wish, tempfile::tempdir().unwrap().path())
    }

    /// A shelf with a copy of a golden model that may be changed, and the folder of the model.
    fn copied() -> (tempfile::TempDir, PathBuf) {
        let (shelf, from) = (tempfile::tempdir().unwrap(), golden("e2e_t2v_1_3b/official_repo"));
        let model = shelf.path().join("shapes");
        fs::create_dir(&model).unwrap();
        for file in ["config.json", WEIGHTS] {
            fs::copy(from.join(file), model.join(file)).unwrap();
        }
        (shelf, model)
    }

    const WEIGHTS: &str = "diffusion_pytorch_model.safetensors";

    #[test]
    fn only_the_files_of_the_roles_are_announced() {
        let shelf = shelf(&[("shapes", "repo_t2v_from_prompt/official_repo")]);
        fs::create_dir(shelf.path().join("notes")).unwrap();
        fs::create_dir(shelf.path().join(".cache")).unwrap();
        let catalog = discover(&[shelf.path()], &[], &[Role::DitHigh, Role::Dit]).unwrap();
        assert_eq!(catalog.roles(), [Role::DitHigh]);
        let served = catalog.served();
        assert_eq!(served[0].info.name, "shapes");
        let [ServedRole { role: Role::DitHigh, files, encoding, bytes, .. }] = &served[0].roles[..] else {
            panic!("{:?}", served[0].roles)
        };
        assert!(encoding == "f32" && *bytes > 0, "{encoding} {bytes}");
        assert!(files.iter().all(|file| file.path.starts_with("high_noise_model/")), "{files:?}");
        assert!(files.iter().any(|file| file.path.ends_with(".safetensors")));
        assert!(catalog.find("shapes").is_some() && catalog.first(Role::Vae).is_none());
    }

    #[test]
    fn a_folder_without_a_model_says_what_is_there_instead() {
        let shelf = shelf(&[("shapes", "e2e_t2v_1_3b/official_repo")]);
        let error = discover(&[shelf.path()], &[], &[Role::DitHigh]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ModelFiles);
        assert!(error.to_string().contains("roles dit-high") && error.to_string().contains("for dit only"), "{error}");
        let error = discover(&[&shelf.path().join("nowhere")], &[], &[Role::Dit]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ModelFiles);
    }

    #[test]
    fn a_damaged_model_is_an_error() {
        let (shelf, model) = copied();
        let bytes = fs::read(model.join(WEIGHTS)).unwrap();
        fs::write(model.join(WEIGHTS), &bytes[..bytes.len() - 10]).unwrap();
        let error = discover(&[shelf.path()], &[], &[Role::Dit]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ModelFiles);
        assert!(error.to_string().contains("truncated"), "{error}");
    }

    #[test]
    fn other_things_beside_a_model_are_passed_over_and_named_when_nothing_else_is_there() {
        let shelf = shelf(&[("shapes", "e2e_t2v_1_3b/official_repo")]);
        let put = |path: &str, bytes: &[u8]| {
            let path = shelf.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, bytes).unwrap();
        };
        let file = golden("e2e_t2v_1_3b/official_repo/diffusion_pytorch_model.safetensors");
        let bytes = fs::read(&file).unwrap();
        put("download/diffusion_pytorch_model.safetensors", &bytes[..bytes.len() - 10]);
        put("pointer/model.safetensors", b"version https://git-lfs.github.com/spec/v1\n");
        put("flux/transformer/diffusion_pytorch_model.safetensors", b"");
        put("loras/style.safetensors", b"");
        put("notes/read.me", b"");
        let discover = |only: &[&str]| discover(&[shelf.path()], only, &[Role::Dit]);
        let served =
            |catalog: Catalog| catalog.served().iter().map(|served| served.info.name.clone()).collect::<Vec<_>>();
        assert_eq!(served(discover(&[]).unwrap()), ["shapes"]);
        assert_eq!(served(discover(&["shapes"]).unwrap()), ["shapes"]);
        let refused = |only: &[&str]| {
            let error = discover(only).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::ModelFiles);
            error.to_string()
        };
        assert!(refused(&["download"]).contains("10 of"));
        assert!(refused(&["Shapes"]).contains("write model = \"shapes\""));
        fs::remove_file(shelf.path().join("shapes")).unwrap();
        let error = refused(&[]);
        for word in ["truncated: 10 of", "pointer of Git LFS", "it is empty", "notes: no Wan model"] {
            assert!(error.contains(word), "{error}\ndoes not say: {word}");
        }
        assert!(!error.contains("loras") && error.len() < 1200, "{error}");
    }

    #[test]
    fn a_model_in_place_of_the_folder_it_lies_in_is_told_at_once() {
        for model in ["repo_t2v_from_prompt/official_repo", "e2e_t2v_1_3b/official_repo"] {
            let folder = golden(model);
            let error = discover(&[&folder], &[], &Role::ALL).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::ModelFiles);
            let said = format!("{}: this is a model itself; give the folder it lies in", folder.display());
            assert!(error.to_string().ends_with(&said), "{error}");
        }
    }

    #[test]
    fn a_curve_is_announced_unless_it_was_measured_with_other_weights() {
        use wanfarm_types::{CalibratedStage, Calibration, Digest, Expert, Guidance, SolverKind};
        let (shelf, model) = copied();
        let discover = || discover(&[shelf.path()], &[], &[Role::Dit]);
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
            folder::write_calibration(&calibration, &folder::calibration_file(&model)).unwrap();
        };
        let plain = announced();
        assert_eq!(plain.info.mag_curve, None);
        let mut measured = plain.roles[0].files.clone();
        calibrate(measured.clone());
        assert_eq!(announced().info.mag_curve.map(|curve| curve.ratios), Some(vec![[0.9, 0.8]]));
        assert_eq!(announced().roles, plain.roles, "the curve decides no bytes");
        measured[0].blake3 = Digest([0; 32]);
        calibrate(measured);
        assert_eq!(announced().info, plain.info);
        fs::write(folder::calibration_file(&model), "{").unwrap();
        assert_eq!(discover().unwrap_err().kind(), ErrorKind::ModelFiles);
    }

    #[test]
    fn of_two_models_with_one_name_the_first_is_served() {
        let first = shelf(&[("shapes", "e2e_t2v_1_3b/official_repo")]);
        let second = shelf(&[("shapes", "repo_t2v_from_prompt/official_repo")]);
        let catalog = discover(&[first.path(), second.path()], &[], &Role::ALL).unwrap();
        assert_eq!(catalog.served().len(), 1);
        assert!(catalog.find("shapes").unwrap().folder.path().starts_with(first.path()));
    }
}
