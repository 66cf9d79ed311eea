//! Replaces `here` in a client-only build: no model's files are read.

use std::path::PathBuf;

use wanfarm_client::{Forecast, RoleForecast};
use wanfarm_manifest::Manifest;
use wanfarm_types::{ModelInfo, VideoRequest};

use super::CliError;

/// A model whose folder is here: there is none.
pub(super) enum LocalModel {}

impl LocalModel {
    pub(super) fn find(_: &[PathBuf], _: &str) -> Result<Option<Self>, CliError> {
        Ok(None)
    }

    pub(super) fn info(&self) -> &ModelInfo {
        match *self {}
    }

    pub(super) fn forecast(&self, _: &Manifest, _: &[VideoRequest]) -> Result<Forecast, CliError> {
        match *self {}
    }

    pub(super) fn add_needs(&self, _: &mut [RoleForecast]) -> Result<(), CliError> {
        match *self {}
    }

    pub(super) fn notes(&self, _: &Manifest) -> Result<Vec<String>, CliError> {
        match *self {}
    }
}
