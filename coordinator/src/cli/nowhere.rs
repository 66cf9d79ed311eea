//! In the place of `here` in a build of the client alone: no model's files are looked at.

use std::path::PathBuf;

use wanfarm_client::{Forecast, RoleForecast};
use wanfarm_manifest::Manifest;
use wanfarm_types::{ModelInfo, VideoRequest};

use super::Failed;

/// A model whose folder is here: there is none.
pub(super) enum LocalModel {}

impl LocalModel {
    pub(super) fn find(_: &[PathBuf], _: &str) -> Result<Option<Self>, Failed> {
        Ok(None)
    }

    pub(super) fn info(&self) -> &ModelInfo {
        match *self {}
    }

    pub(super) fn forecast(&self, _: &Manifest, _: &[VideoRequest]) -> Result<Forecast, Failed> {
        match *self {}
    }

    pub(super) fn add_needs(&self, _: &mut [RoleForecast]) -> Result<(), Failed> {
        match *self {}
    }

    pub(super) fn notes(&self, _: &Manifest) -> Result<Vec<String>, Failed> {
        match *self {}
    }
}
