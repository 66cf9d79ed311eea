//! Checks a manifest by a model's files on this machine, with or without a coordinator.

use std::path::{Path, PathBuf};

use wanfarm_client::{Accelerated, BalanceForecast, Forecast, RoleForecast, StageForecast, accelerations};
use wanfarm_manifest::{Manifest, plan};
use wanfarm_model::folder::{self, ModelFolder};
use wanfarm_model::ops::device::DeviceKind;
use wanfarm_model::text::Tokenizer;
use wanfarm_scheduler::VideoPlan;
use wanfarm_server::estimate::{Estimate, Workforce, Workload};
use wanfarm_tools::inspect::{Questions, inspect};
use wanfarm_types::{Digest, ModelInfo, Role, VideoRequest, VideoSpec};

use crate::cli::error::CliError;
use crate::exit::Exit;

/// A model whose folder is here.
pub(in crate::cli) struct LocalModel(ModelFolder);

impl LocalModel {
    /// The model of this name, if it lies in one of these folders.
    pub(in crate::cli) fn find(folders: &[PathBuf], name: &str) -> Result<Option<Self>, CliError> {
        let bad = |error| CliError::new(Exit::BadModelFiles, error);
        let folder = folder::find(folders, name).map_err(bad)?;
        Ok(folder.map(|folder| folder::open(&folder)).transpose().map_err(bad)?.map(Self))
    }

    pub(in crate::cli) fn info(&self) -> &ModelInfo {
        self.0.info()
    }

    /// Estimates a manifest's videos without a coordinator: the work, but neither workers nor speeds.
    pub(in crate::cli) fn forecast(&self, manifest: &Manifest, videos: &[VideoRequest]) -> Result<Forecast, CliError> {
        let specs = resolved(manifest, self.info(), videos)?;
        let work = Workload::of(specs.iter().map(|(plan, _)| plan));
        let accelerations = accelerations(specs.iter().map(|(_, spec)| Accelerated::from(spec)));
        Ok(alone(u32::try_from(videos.len()).unwrap_or(u32::MAX), self.info(), &work, accelerations))
    }

    /// Adds the memory that each role needs where no worker has said, as far as the files here tell.
    pub(in crate::cli) fn add_needs(&self, roles: &mut [RoleForecast]) -> Result<(), CliError> {
        let questions = Questions { device: DeviceKind::preferred(), digests: false };
        let inspection =
            inspect(self.0.path(), questions).map_err(|error| CliError::new(Exit::BadModelFiles, error))?;
        for found in inspection.roles {
            let role = roles.iter_mut().find(|role| role.role == found.role.name());
            let role = role.filter(|role| role.needs_bytes.is_none());
            if let (Some(role), Some(memory)) = (role, found.memory) {
                role.needs_bytes = Some(memory.weights.saturating_add(memory.activations.unwrap_or(0)));
            }
        }
        Ok(())
    }

    pub(in crate::cli) fn notes(&self, manifest: &Manifest) -> Result<Vec<String>, CliError> {
        notes(manifest, &self.0)
    }
}

/// Remarks on a manifest whose model is here.
pub(super) fn notes(manifest: &Manifest, model: &ModelFolder) -> Result<Vec<String>, CliError> {
    let mut notes = manifest.setting_notes(model.info());
    // Reading the words of a tokenizer takes a second.
    if manifest.has_long_texts() {
        let tokenizer =
            Tokenizer::load(model.tokenizer()).map_err(|error| CliError::new(Exit::BadModelFiles, error))?;
        notes.extend(manifest.text_notes(|text| tokenizer.encode(text).ok().map(|tokens| tokens.length)));
    }
    Ok(notes)
}

/// Folders that models may lie in: those named, and the manifest's.
pub(in crate::cli) fn folders(named: &[PathBuf], manifest: &Path) -> Vec<PathBuf> {
    let parent = manifest.parent().map(|parent| if parent.as_os_str().is_empty() { Path::new(".") } else { parent });
    named.iter().cloned().chain(parent.map(Path::to_owned)).collect()
}

/// The videos with nothing left open, each with its plan.
pub(super) fn resolved(
    manifest: &Manifest,
    info: &ModelInfo,
    videos: &[VideoRequest],
) -> Result<Vec<(VideoPlan, VideoSpec)>, CliError> {
    let image = |digest: &Digest| manifest.images.iter().map(|file| &file.image).find(|image| image.digest == *digest);
    let resolved = plan::resolve_all(videos, image, info).into_iter();
    resolved.map(|video| video.map_err(|why| CliError::new(Exit::Usage, why))).collect()
}

/// The estimate without a coordinator: the work, but neither workers nor speeds.
fn alone(videos: u32, info: &ModelInfo, work: &Workload, accelerations: Vec<String>) -> Forecast {
    let estimate = Estimate::new(work, &Workforce::default());
    let role = |role: Role| RoleForecast {
        role: role.name(),
        workers: 0,
        least_memory_bytes: None,
        holders: 0,
        load_seconds: None,
        needs_bytes: None,
    };
    let stages = estimate.stages.iter().map(|line| StageForecast {
        stage: line.stage.name(),
        units: line.units,
        work: line.work,
        workers: 0,
        seconds_per_unit: None,
        basis: "none",
        seconds: None,
    });
    let balance = estimate.balance.map(|balance| {
        let (high_workers, low_workers) = balance.now.unzip();
        let (high, low) = balance.team;
        BalanceForecast {
            measured: balance.measured,
            high_share: balance.high_share,
            high,
            low,
            high_workers,
            low_workers,
        }
    });
    Forecast {
        videos,
        model_known: true,
        roles: info.roles().into_iter().map(role).collect(),
        stages: stages.collect(),
        balance,
        accelerations,
        ..Forecast::default()
    }
}
